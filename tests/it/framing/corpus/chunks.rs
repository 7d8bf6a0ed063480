//! What is between chunks: H11, H12, H16.

use super::Case;
use super::INDEX;
use super::chunked;
use super::closes;
use super::cut;
use super::evil;
use super::passes;
use super::pushed;
use super::put;
use super::refused;

fn chunks(body: &str) -> String {
    put("Transfer-Encoding: chunked\r\n", body)
}

/// The same from a client that says it will send no more.
fn last(body: &str) -> String {
    put("Connection: close\r\nTransfer-Encoding: chunked\r\n", body)
}

pub(super) fn cases() -> Vec<Case> {
    let n = INDEX.len();
    let (one, two) = INDEX.split_at(n / 3);
    let evil = evil();
    let mut cases = vec![
        passes(
            "two chunks",
            chunks(&format!("{:x}\r\n{one}\r\n{:X}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len())),
            pushed(),
        ),
        passes(
            "a chunk for each byte",
            chunks(
                &INDEX
                    .chars()
                    .map(|c| format!("1\r\n{c}\r\n"))
                    .chain(["0\r\n\r\n".to_owned()])
                    .collect::<String>(),
            ),
            pushed(),
        ),
        passes(
            "zeros before a size",
            chunks(&format!("0000{n:x}\r\n{INDEX}\r\n000\r\n\r\n")),
            pushed(),
        ),
        passes("an extension", chunks(&format!("{n:x};a=b\r\n{INDEX}\r\n0;c\r\n\r\n")), pushed()),
        passes(
            "an extension in quotes",
            chunks(&format!("{n:x};a=\"0;\"\r\n{INDEX}\r\n0\r\n\r\n")),
            pushed(),
        ),
        passes(
            "blanks after a size",
            chunks(&format!("{n:x} \t\r\n{INDEX}\r\n0\r\n\r\n")),
            pushed(),
        ),
        passes(
            "trailers",
            put(
                "Trailer: X-Own\r\nTransfer-Encoding: chunked\r\n",
                &format!("{n:x}\r\n{INDEX}\r\n0\r\nX-Own: 1\r\n\r\n"),
            ),
            pushed(),
        ),
        passes(
            "trailers that would frame",
            put(
                "TE: trailers\r\nTransfer-Encoding: chunked\r\n",
                &format!(
                    "{n:x}\r\n{INDEX}\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: evil\r\n\r\n"
                ),
            ),
            pushed(),
        ),
        // hyper takes a bare line feed there for the beginning of a trailer, so what follows up to the next
        // empty line is trailers too: it goes nowhere, like all trailers, and we say nothing else on it.
        closes(
            "a line feed for the last line",
            last(&format!("{n:x}\r\n{INDEX}\r\n0\r\n\n")),
            pushed(),
        ),
        closes(
            "trailers that end in a line feed",
            last(&format!("{n:x}\r\n{INDEX}\r\n0\r\nX-Own: 1\n\r\n")),
            pushed(),
        ),
        cut("chunks without an end", chunks(&format!("{n:x}\r\n{INDEX}\r\n"))),
        cut("chunks that are cut off in one", chunks(&format!("{n:x}\r\n{one}"))),
        cut("chunks that are cut off in a size", chunks(&format!("{n:x}\r\n{INDEX}\r\n0"))),
        cut(
            "chunks that are cut off before the last empty line",
            chunks(&format!("{n:x}\r\n{INDEX}\r\n0\r\n")),
        ),
        cut(
            "chunks that are cut off in trailers",
            chunks(&format!("{n:x}\r\n{INDEX}\r\n0\r\nX-Own: 1\r\n")),
        ),
    ];
    for (name, body) in [
        ("a size that ends in a line feed", format!("{n:x}\n{INDEX}\r\n0\r\n\r\n")),
        ("a chunk that ends in a line feed", format!("{n:x}\r\n{INDEX}\n0\r\n\r\n")),
        ("the last size ends in a line feed", format!("{n:x}\r\n{INDEX}\r\n0\n\r\n")),
        ("a size that ends in a carriage return", format!("{n:x}\r{INDEX}\r\n0\r\n\r\n")),
        ("a chunk that ends in a carriage return", format!("{n:x}\r\n{INDEX}\r0\r\n\r\n")),
        ("an extension with a line feed in it", format!("{n:x};a\nb\r\n{INDEX}\r\n0\r\n\r\n")),
        ("an extension that ends in a line feed", format!("{n:x};\n{INDEX}\r\n0\r\n\r\n")),
        (
            "an extension with a carriage return in it",
            format!("{n:x};a\rb\r\n{INDEX}\r\n0\r\n\r\n"),
        ),
        ("a size with 0x", format!("0x{n:x}\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size with a plus", format!("+{n:x}\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size with a minus", format!("-{n:x}\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size with a blank before it", format!(" {n:x}\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size with a blank in it", format!("{:x} {:x}\r\n{INDEX}\r\n0\r\n\r\n", n / 16, n % 16)),
        ("a size with an underscore", format!("{:x}_{:x}\r\n{INDEX}\r\n0\r\n\r\n", n / 16, n % 16)),
        ("a size of no digits", format!("\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size that is no number", format!("xyz\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size in quotes", format!("\"{n:x}\"\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size beyond 64 bits", format!("1000000000000000{n:016x}\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a size just beyond 64 bits", format!("10000000000000000\r\n{INDEX}\r\n0\r\n\r\n")),
        ("a chunk longer than its size", format!("{:x}\r\n{INDEX}\r\n0\r\n\r\n", n - 2)),
        ("a chunk with a request behind its size", format!("{n:x}\r\n{INDEX}{evil}\r\n0\r\n\r\n")),
        ("an empty line between chunks", format!("{n:x}\r\n{INDEX}\r\n\r\n0\r\n\r\n")),
        ("trailers with no colon", format!("{n:x}\r\n{INDEX}\r\n0\r\nX-Own\r\n\r\n")),
        ("trailers that are folded", format!("{n:x}\r\n{INDEX}\r\n0\r\nX-Own: 1\r\n 2\r\n\r\n")),
        ("a request for trailers", format!("{n:x}\r\n{INDEX}\r\n0\r\n{evil}")),
        ("a size of many bytes", format!("{}{n:x}\r\n{INDEX}\r\n0\r\n\r\n", "f".repeat(100))),
        ("no chunks at all", INDEX.to_owned()),
        ("an upload that is no chunks", chunked().replacen("\r\n", "\n", 1)),
    ] {
        cases.push(refused(format!("chunks: {name}"), chunks(&body)));
    }
    cases
}
