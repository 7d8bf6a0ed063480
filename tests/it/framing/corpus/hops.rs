//! What belongs to one hop: H8, H9.

use super::Case;
use super::INDEX;
use super::chunked;
use super::closes;
use super::get;
use super::length;
use super::passes;
use super::pushed;
use super::put;
use super::read;
use super::refused;

pub(super) fn cases() -> Vec<Case> {
    let own = length();
    let push = |lines: &str| put(&format!("{lines}{own}"), INDEX);
    let mut cases = vec![
        passes(
            "headers named by Connection",
            push("Connection: x-own, x-other\r\nX-Own: 1\r\nX-Other: 2\r\n"),
            pushed(),
        ),
        passes(
            "headers named by two Connections",
            push("Connection: x-own\r\nX-Own: 1\r\nConnection: x-other\r\nX-Other: 2\r\n"),
            pushed(),
        ),
        passes("a Connection of nothing", push("Connection: , ,\r\n"), pushed()),
        passes(
            "a Connection that names the coding",
            put("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", &chunked()),
            pushed(),
        ),
        closes(
            "a Connection that closes",
            push("Connection: x-own\r\nConnection: close\r\n"),
            pushed(),
        ),
        passes("an upgrade", push("Connection: Upgrade\r\nUpgrade: websocket\r\n"), pushed()),
        passes(
            "an upgrade to HTTP/2",
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
                "",
            ),
            read(),
        ),
        passes("an upgrade that Connection does not name", get("Upgrade: h2c\r\n", ""), read()),
        passes(
            "what is left of older proxies",
            push(
                "Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: trailers, deflate\r\n",
            ),
            pushed(),
        ),
    ];
    for name in [
        "Host",
        "Content-Length",
        "Authorization",
        "Content-Type",
        "Content-Encoding",
        "Range",
        "Content-Range",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Real-IP",
    ] {
        cases.push(refused(
            format!("a Connection that names {name}"),
            push(&format!("Connection: {name}\r\n")),
        ));
        let second = name.to_ascii_lowercase();
        cases.push(refused(
            format!("a second Connection that names {name}"),
            push(&format!("Connection: keep-alive\r\nConnection: close, {second}\r\n")),
        ));
    }
    for (name, value) in [
        ("two words", "close x-own"),
        ("quotes", "\"close\""),
        ("a byte above ASCII", "close\u{a0}"),
        ("a semicolon", "close; x"),
    ] {
        cases.push(refused(
            format!("a Connection with {name}"),
            push(&format!("Connection: {value}\r\n")),
        ));
    }
    cases
}
