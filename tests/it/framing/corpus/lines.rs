//! The first line and how lines end: H5, H15.

use super::Case;
use super::INDEX;
use super::PATH;
use super::TYPE;
use super::answered;
use super::dropped;
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
    let own = length();
    let push = put(&own, INDEX);
    let first = |line: &str| push.replacen(&format!("PUT {PATH} HTTP/1.1"), line, 1);
    let mut cases = vec![
        passes("empty lines before the first", format!("\r\n\r\n{push}"), pushed()),
        passes("lines that end in a line feed", get("", "").replace("\r\n", "\n"), read()),
        passes("a head whose lines end in both ways", put(&own.replace("\r\n", "\n"), INDEX), pushed()),
        passes("HTTP/1.0 kept alive", put(&format!("Connection: keep-alive\r\n{own}"), INDEX)
            .replacen("HTTP/1.1", "HTTP/1.0", 1), pushed()),
        super::closes("HTTP/1.0", put(&own, INDEX).replacen("HTTP/1.1", "HTTP/1.0", 1), pushed()),
        super::closes("HTTP/1.0 without Host", put(&own, INDEX)
            .replacen("HTTP/1.1", "HTTP/1.0", 1).replacen("Host: r\r\n", "", 1), pushed()),
        dropped("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        answered(405, "CONNECT", "CONNECT r:5000 HTTP/1.1\r\nHost: r:5000\r\n\r\n"),
        answered(405, "CONNECT to a path", first(&format!("CONNECT {PATH} HTTP/1.1"))
            .replacen("Host: r", "Host: r:1", 1)),
        passes("a method as a header", put(&format!("X-HTTP-Method-Override: DELETE\r\n{own}"), INDEX), pushed()),
        passes("another method as a header of a POST", put(&format!(
            "X-HTTP-Method: PUT\r\nX-Method-Override: PUT\r\nX-HTTP-Method-Override: PUT\r\n{own}"), INDEX)
            .replacen("PUT", "POST", 1), vec![seen("POST", PATH, INDEX)]),
    ];
    for (name, line) in [
        ("version 1.2", format!("PUT {PATH} HTTP/1.2")),
        ("version 2.0", format!("PUT {PATH} HTTP/2.0")),
        ("version 0.9", format!("PUT {PATH} HTTP/0.9")),
        ("version 1.10", format!("PUT {PATH} HTTP/1.10")),
        ("version 01.1", format!("PUT {PATH} HTTP/01.1")),
        ("a version in small letters", format!("PUT {PATH} http/1.1")),
        ("a version of another protocol", format!("PUT {PATH} ICY/1.1")),
        ("no version", format!("PUT {PATH}")),
        ("no version but a blank", format!("PUT {PATH} ")),
        ("two blanks before the version", format!("PUT {PATH}  HTTP/1.1")),
        ("a blank after the version", format!("PUT {PATH} HTTP/1.1 ")),
        ("two blanks after the method", format!("PUT  {PATH} HTTP/1.1")),
        ("a tab after the method", format!("PUT\t{PATH} HTTP/1.1")),
        ("a blank before the method", format!(" PUT {PATH} HTTP/1.1")),
        ("a blank in the target", format!("PUT {PATH} b HTTP/1.1")),
        ("a second version", format!("PUT {PATH} HTTP/1.1 HTTP/1.1")),
        ("no target", "PUT HTTP/1.1".to_owned()),
        ("no method", format!("{PATH} HTTP/1.1")),
        ("a method with a colon", format!("PUT: {PATH} HTTP/1.1")),
        ("a method in quotes", format!("\"PUT\" {PATH} HTTP/1.1")),
        ("a method with a byte of nothing", format!("PU\0T {PATH} HTTP/1.1")),
        ("a carriage return in the line", format!("PUT {PATH}\rHTTP/1.1")),
        ("a carriage return for its end", format!("PUT {PATH} HTTP/1.1\rX: y")),
        ("a byte of nothing in the target", format!("PUT {PATH}\0 HTTP/1.1")),
        ("a vertical tab for a blank", format!("PUT\u{b}{PATH}\u{b}HTTP/1.1")),
        ("a name before it", format!("x: y\r\nPUT {PATH} HTTP/1.1")),
    ] {
        cases.push(refused(format!("first line: {name}"), first(&line)));
    }
    for method in
        ["put", "Put", "PUTX", "MKCOL", "TRACE", "PROPFIND", "MOVE", "QUERY", "GETPUT", "M!#"]
    {
        cases.push(answered(
            405,
            format!("the method {method}"),
            first(&format!("{method} {PATH} HTTP/1.1")),
        ));
    }
    cases.push(refused(
        "a blank line of blanks",
        format!("PUT {PATH} HTTP/1.1\r\nHost: r\r\n{TYPE}{own} \r\n\r\n{INDEX}{}", evil()),
    ));
    cases
}
