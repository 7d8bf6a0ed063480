//! `Transfer-Encoding`: H1, H2, H5.

use super::Case;
use super::INDEX;
use super::chunked;
use super::closes;
use super::evil;
use super::get;
use super::length;
use super::passes;
use super::pushed;
use super::put;
use super::read;
use super::refused;

pub(super) fn cases() -> Vec<Case> {
    let te = "Transfer-Encoding: chunked\r\n";
    // For who counts the length a request follows, for who counts the chunks it is a chunk.
    let ends_here = format!("0\r\n\r\n{}", evil());
    let mut cases = vec![
        passes("chunks", put(te, &chunked()), pushed()),
        passes("chunks in capitals", put("TRANSFER-ENCODING: CHUNKED\r\n", &chunked()), pushed()),
        passes(
            "chunks with blanks around the word",
            put("Transfer-Encoding:\t chunked \t\r\n", &chunked()),
            pushed(),
        ),
        passes("chunks of nothing on a read", get(te, "0\r\n\r\n"), read()),
        refused("chunks on a read", get(te, &chunked())),
        refused(
            "a request in the chunks of a read",
            get(te, &format!("{:x}\r\n{}\r\n0\r\n\r\n", evil().len(), evil())),
        ),
        closes("a length before chunks", put(&format!("{}{te}", length()), &chunked()), pushed()),
        closes("a length after chunks", put(&format!("{te}{}", length()), &chunked()), pushed()),
        closes(
            "a length that ends later than the chunks",
            put(
                &format!("Content-Length: {}\r\n{te}", chunked().len() + evil().len()),
                &format!("{}{}", chunked(), evil()),
            ),
            pushed(),
        ),
        closes(
            "a length that ends earlier than the chunks",
            put(&format!("{te}Content-Length: 4\r\n"), &chunked()),
            pushed(),
        ),
        closes(
            "a length of nothing before chunks",
            put(&format!("Content-Length: 0\r\n{te}"), &chunked()),
            pushed(),
        ),
        closes(
            "a length that is none after chunks",
            put(&format!("{te}Content-Length: x\r\n"), &chunked()),
            pushed(),
        ),
        refused(
            "a length that is none before chunks",
            put(&format!("Content-Length: x\r\n{te}"), &chunked()),
        ),
        refused("chunks twice", put(&te.repeat(2), &chunked())),
        refused("chunks twice beside a length", put(&format!("{te}{}{te}", length()), &chunked())),
        refused(
            "chunks, then a coding nobody has",
            put(&format!("{te}Transfer-Encoding: x\r\n"), &chunked()),
        ),
        refused(
            "a coding nobody has, then chunks",
            put(&format!("Transfer-Encoding: x\r\n{te}"), &chunked()),
        ),
        refused("no coding, then chunks", put(&format!("Transfer-Encoding:\r\n{te}"), &chunked())),
        refused(
            "identity, then chunks",
            put(&format!("Transfer-Encoding: identity\r\n{te}"), &chunked()),
        ),
        refused("chunks in HTTP/1.0", put(te, &chunked()).replacen("HTTP/1.1", "HTTP/1.0", 1)),
        refused(
            "chunks in HTTP/1.0 kept alive",
            put(&format!("Connection: keep-alive\r\n{te}"), &chunked())
                .replacen("HTTP/1.1", "HTTP/1.0", 1),
        ),
        refused(
            "chunks and a length in HTTP/1.0",
            put(&format!("{te}{}", length()), INDEX).replacen("HTTP/1.1", "HTTP/1.0", 1),
        ),
    ];
    for (name, value) in [
        ("chunks as a list of two", "chunked, chunked"),
        ("chunks before another", "chunked, identity"),
        ("chunks after identity", "identity, chunked"),
        ("chunks after compression", "gzip, chunked"),
        ("compression", "gzip"),
        ("identity", "identity"),
        ("nothing", ""),
        ("a word that ends in it", "xchunked"),
        ("a word that begins with it", "chunkedx"),
        ("a comma before it", ", chunked"),
        ("a comma after it", "chunked,"),
        ("a vertical tab before it", "\u{b}chunked"),
        ("a form feed after it", "chunked\u{c}"),
        ("a byte of nothing after it", "chunked\0"),
        ("a blank of Latin 1 before it", "\u{a0}chunked"),
        ("quotes", "\"chunked\""),
        ("apostrophes", "'chunked'"),
        ("a parameter", "chunked;q=0.5"),
        ("a kelvin sign for its k", "chun\u{212a}ed"),
        ("a carriage return before it", "\rchunked"),
        ("a second name before it", "Transfer-Encoding: chunked"),
    ] {
        // A byte of its own for the kelvin sign, whose small letter is a k.
        let value = value.replace('\u{212a}', "\u{e2}\u{84}\u{aa}");
        let lines =
            format!("Content-Length: {}\r\nTransfer-Encoding: {value}\r\n", ends_here.len());
        cases.push(refused(format!("coding: {name}"), put(&lines, &ends_here)));
    }
    cases
}
