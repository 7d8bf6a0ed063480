//! Header lines: H5, H10, H14.

use super::Case;
use super::INDEX;
use super::answered;
use super::chunked;
use super::evil;
use super::length;
use super::passes;
use super::pushed;
use super::put;
use super::refused;

pub(super) fn cases() -> Vec<Case> {
    let own = length();
    let mut cases = vec![
        passes("names in any letters", put(&own.to_ascii_uppercase(), INDEX), pushed()),
        passes(
            "bytes above ASCII in a value",
            put(&format!("X-Own: \u{e4}\u{ff}\r\n{own}"), INDEX),
            pushed(),
        ),
        passes("a value of nothing", put(&format!("X-Own:\r\n{own}"), INDEX), pushed()),
        passes("a tab in a value", put(&format!("X-Own: a\tb\r\n{own}"), INDEX), pushed()),
        passes(
            "underscores",
            put(
                &format!(
                    "Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Forwarded_For: 1.2.3.4\r\n{own}"
                ),
                INDEX,
            ),
            pushed(),
        ),
        passes(
            "who would speak for a proxy",
            put(
                &format!(
                    "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: gopher\r\n\
             X-Forwarded-Prefix: /evil\r\nX-Real-IP: 1.2.3.4\r\nX-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\n\
             Forwarded: for=1.2.3.4;host=evil\r\nX-JFrog-Override-Base-Url: http://evil\r\n\
             X-Artifactory-Override-Base-Url: http://evil\r\nProxy: evil\r\nProxy-Authorization: x\r\n{own}"
                ),
                INDEX,
            ),
            pushed(),
        ),
        passes(
            "who waits to be told to go on",
            put(&format!("Expect: 100-continue\r\n{own}"), INDEX),
            pushed(),
        ),
        passes(
            "who waits with capitals",
            put(&format!("Expect: 100-CONTINUE\r\n{own}"), INDEX),
            pushed(),
        ),
        answered(
            417,
            "who expects something else",
            put(&format!("Expect: 200-ok\r\n{own}"), INDEX),
        ),
        answered(
            417,
            "who expects with a word before it",
            put(&format!("Expect: y 100-continue\r\n{own}"), INDEX),
        ),
        answered(417, "who expects nothing", put(&format!("Expect:\r\n{own}"), INDEX)),
        answered(
            417,
            "who expects a list",
            put(&format!("Expect: 100-continue, 100-continue\r\n{own}"), INDEX),
        ),
        answered(
            417,
            "who expects two things",
            put(&format!("Expect: 100-continue\r\nExpect: x\r\n{own}"), INDEX),
        ),
        answered(
            431,
            "more fields than there may be",
            put(&format!("{}{own}", "X: y\r\n".repeat(120)), INDEX),
        ),
        passes(
            "fields as many as most have",
            put(&format!("{}{own}", "X: y\r\n".repeat(80)), INDEX),
            pushed(),
        ),
    ];
    for (name, lines) in [
        ("a folded line", format!("X-Own: 1\r\n 2\r\n{own}")),
        ("a length that is folded", format!("Content-Length:\r\n {}\r\n", INDEX.len())),
        ("a coding that is folded", format!("{own}Transfer-Encoding:\r\n chunked\r\n")),
        ("a coding folded with a tab", format!("{own}Transfer-Encoding:\r\n\tchunked\r\n")),
        ("a folded line at first", format!(" X-Own: 1\r\n{own}")),
        ("a blank before a colon", format!("X-Own : 1\r\n{own}")),
        ("a length with a blank before its colon", format!("Content-Length : {}\r\n", INDEX.len())),
        ("a coding with a blank before its colon", format!("{own}Transfer-Encoding : chunked\r\n")),
        ("a coding with a tab before its colon", format!("{own}Transfer-Encoding\t: chunked\r\n")),
        (
            "a coding with a vertical tab before its colon",
            format!("{own}Transfer-Encoding\u{b}: chunked\r\n"),
        ),
        ("a blank before a name", format!("{own}X: y\r\n Transfer-Encoding: chunked\r\n")),
        ("a byte of nothing in a name", format!("{own}Transfer-Encoding\0: chunked\r\n")),
        ("a byte of nothing in a value", format!("X-Own: a\0b\r\n{own}")),
        ("a carriage return in a value", format!("X-Own: a\rTransfer-Encoding: chunked\r\n{own}")),
        ("a carriage return before a name", format!("{own}\rTransfer-Encoding: chunked\r\n")),
        ("two carriage returns", format!("X-Own: a\r\r\n{own}")),
        ("an escape in a value", format!("X-Own: a\u{1b}b\r\n{own}")),
        ("an erased byte in a value", format!("X-Own: a\u{7f}b\r\n{own}")),
        ("a name of nothing", format!(": x\r\n{own}")),
        ("no colon", format!("X-Own\r\n{own}")),
        ("a name in quotes", format!("\"X-Own\": 1\r\n{own}")),
        ("a name in brackets", format!("[X-Own]: 1\r\n{own}")),
        ("a name of two words", format!("X Own: 1\r\n{own}")),
        ("a name above ASCII", format!("X-\u{e4}: 1\r\n{own}")),
        ("a coding with a byte above ASCII", format!("{own}Transfer-Encoding\u{a0}: chunked\r\n")),
        (
            "a coding after a separator of lines",
            format!("{own}X: y\u{85}Transfer-Encoding\u{7f}: chunked\r\n"),
        ),
    ] {
        let body = format!("{}{}", chunked(), evil());
        cases.push(refused(format!("field: {name}"), put(&lines, &body)));
    }
    cases
}
