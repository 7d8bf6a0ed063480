//! `Content-Length`: H3, H4, H13, H16.

use super::Case;
use super::INDEX;
use super::answered;
use super::closes;
use super::cut;
use super::evil;
use super::get;
use super::length;
use super::passes;
use super::pushed;
use super::put;
use super::read;
use super::refused;
use super::seen;

pub(super) fn cases() -> Vec<Case> {
    let n = INDEX.len();
    let own = length();
    let mut cases = vec![
        passes("a length", put(&own, INDEX), pushed()),
        passes(
            "a length with zeros before it",
            put(&format!("Content-Length: 000{n}\r\n"), INDEX),
            pushed(),
        ),
        passes(
            "a length with blanks around it",
            put(&format!("Content-Length: \t {n} \t\r\n"), INDEX),
            pushed(),
        ),
        passes("the same length twice", put(&own.repeat(2), INDEX), pushed()),
        passes(
            "the same length three times, spelled differently",
            put(&format!("content-length: {n}\r\nCONTENT-LENGTH: {n}\r\n{own}"), INDEX),
            pushed(),
        ),
        passes(
            "a push of nothing",
            put("Content-Length: 0\r\n", ""),
            vec![seen("PUT", super::PATH, "")],
        ),
        passes("a push without a length", put("", ""), vec![seen("PUT", super::PATH, "")]),
        passes("a read with a length of nothing", get("Content-Length: 0\r\n", ""), read()),
        passes(
            "a request in the body",
            put(&format!("Content-Length: {}\r\n", evil().len()), &evil()),
            vec![seen("PUT", super::PATH, &evil())],
        ),
        refused(
            "a read with a body",
            get(&format!("Content-Length: {}\r\n", evil().len()), &evil()),
        ),
        refused(
            "a HEAD with a body",
            get(&format!("Content-Length: {}\r\n", evil().len()), &evil())
                .replacen("GET", "HEAD", 1),
        ),
        refused(
            "a DELETE with a body",
            get(&format!("Content-Length: {}\r\n", evil().len()), &evil())
                .replacen("GET", "DELETE", 1),
        ),
        refused(
            "two lengths",
            put(
                &format!("{own}Content-Length: {}\r\n", n + evil().len()),
                &format!("{INDEX}{}", evil()),
            ),
        ),
        refused(
            "two lengths, the larger first",
            put(
                &format!("Content-Length: {}\r\n{own}", n + evil().len()),
                &format!("{INDEX}{}", evil()),
            ),
        ),
        refused(
            "two lengths, the second no number",
            put(&format!("{own}Content-Length: x\r\n"), INDEX),
        ),
        refused("no length, then the length", put(&format!("Content-Length:\r\n{own}"), INDEX)),
        refused("nothing, then the length", put(&format!("Content-Length: 0\r\n{own}"), INDEX)),
        answered(
            431,
            "a length as large as no body can be",
            put("Content-Length: 18446744073709551615\r\n", INDEX),
        ),
        closes(
            "a request after the client said it was the last",
            put(&format!("Connection: close\r\n{own}"), INDEX) + &get("", ""),
            pushed(),
        ),
        cut("a body that is cut off", put(&own, INDEX.split_at(n / 2).0)),
        cut("a body that is cut off before it begins", put(&own, "")),
        cut("a body that lacks its last byte", put(&own, INDEX.split_at(n - 1).0)),
        cut(
            "an upload that is cut off",
            format!(
                "PATCH /v2/@@@@/blobs/uploads/1 HTTP/1.1\r\nHost: r\r\n{own}\r\n{}",
                INDEX.split_at(n / 2).0
            ),
        ),
    ];
    for (name, value) in [
        ("with a plus", format!("+{n}")),
        ("with a minus", format!("-{n}")),
        ("as a list", format!("{n}, {n}")),
        ("as a list of two", format!("{n},{}", n + 1)),
        ("that is empty", String::new()),
        ("of blanks", "  ".to_owned()),
        ("in hexadecimal", format!("0x{n:x}")),
        ("in hexadecimal digits", format!("{n:x}h")),
        ("with a fraction", format!("{n}.0")),
        ("with an exponent", format!("{n}e0")),
        ("with an underscore", "8_7".to_owned()),
        ("with a comma after it", format!("{n},")),
        ("with a semicolon", format!("{n};q=1")),
        ("with a blank inside", format!("{} {}", n / 10, n % 10)),
        ("in quotes", format!("\"{n}\"")),
        ("beyond 64 bits", format!("18446744073709551616{n}")),
        ("in digits of another script", "\u{d9}\u{a8}".to_owned()),
        ("with a vertical tab", format!("\u{b}{n}")),
        ("with a byte of nothing", format!("{n}\0")),
    ] {
        let body = format!("{INDEX}{}", evil());
        cases.push(refused(
            format!("a length {name}"),
            put(&format!("Content-Length: {value}\r\n"), &body),
        ));
    }
    cases
}
