//! The same over HTTP/2, where a request cannot hide in another one's bytes, but can in our own
//! HTTP/1.1 behind it.

use crate::framing::frames::Stream;

use super::INDEX;
use super::PATH;
use super::Seen;
use super::seen;

/// A request and what the registry has to see of it.
pub(crate) struct StreamCase {
    pub(crate) name: &'static str,
    pub(crate) stream: Stream,
    pub(crate) expected: Vec<Seen>,
}

type Field = (&'static str, String);

fn fields(fields: &[Field], number: &str) -> Vec<(String, String)> {
    let filled = |text: &str| text.replace("@@@@", number);
    fields.iter().map(|(name, value)| ((*name).to_owned(), filled(value))).collect()
}

/// The fields of a push, with some exchanged for others and some at the end.
fn push(instead: &[(&'static str, &str)], more: &[(&'static str, &str)]) -> Vec<Field> {
    let usual = [
        (":method", "PUT"),
        (":scheme", "https"),
        (":authority", "r"),
        (":path", PATH),
        ("content-type", "application/vnd.oci.image.index.v1+json"),
    ];
    let chosen = usual.iter().filter_map(|(name, value)| {
        match instead.iter().find(|(other, _)| other == name) {
            Some((_, "")) => None,
            Some((_, other)) => Some((*name, (*other).to_owned())),
            None => Some((*name, (*value).to_owned())),
        }
    });
    chosen.chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect()
}

/// All of them; each gets the number it has in the list.
pub(crate) fn streams(repository: impl Fn(usize) -> String) -> Vec<StreamCase> {
    let length = INDEX.len().to_string();
    let (shorter, longer) = ((INDEX.len() - 1).to_string(), (INDEX.len() + 1).to_string());
    let (one, two) = INDEX.split_at(INDEX.len() / 2);
    let pushed = || vec![seen("PUT", PATH, INDEX)];
    let read = || vec![seen("GET", PATH, "")];
    let crlf = format!("{PATH} HTTP/1.1\r\nx: ");
    let mut cases = Vec::new();
    let mut add = |name, expected, stream: &dyn Fn(&str) -> Stream| {
        let stream = stream(&repository(cases.len()));
        cases.push(StreamCase { name, stream, expected });
    };

    let begun = |given: &[Field], n: &str| Stream::default().fields(&fields(given, n), false);

    // Whole pushes, told from each other by their fields.
    let passing: [(&'static str, Vec<Field>); 9] = [
        ("a push", push(&[], &[])),
        ("a length", push(&[], &[("content-length", &length)])),
        (
            "the same length twice",
            push(&[], &[("content-length", &length), ("content-length", &length)]),
        ),
        ("a host beside the authority", push(&[], &[("host", "r")])),
        ("a host instead of the authority", push(&[(":authority", "")], &[("host", "r")])),
        ("trailers are welcome", push(&[], &[("te", "trailers")])),
        ("who waits to be told to go on", push(&[], &[("expect", "100-continue")])),
        ("another scheme", push(&[(":scheme", "http")], &[])),
        ("underscores", push(&[], &[("transfer_encoding", "chunked"), ("content_length", "3")])),
    ];
    for (name, given) in passing {
        add(name, pushed(), &|n| begun(&given, n).data(INDEX, true));
    }
    let refused: [(&'static str, Vec<Field>); 55] = [
        ("connection", push(&[], &[("connection", "close")])),
        ("keep-alive", push(&[], &[("keep-alive", "timeout=5")])),
        ("proxy-connection", push(&[], &[("proxy-connection", "close")])),
        ("transfer-encoding", push(&[], &[("transfer-encoding", "chunked")])),
        ("transfer-encoding of nothing", push(&[], &[("transfer-encoding", "")])),
        ("upgrade", push(&[], &[("upgrade", "h2c")])),
        ("te of something else", push(&[], &[("te", "gzip")])),
        ("a name in capitals", push(&[], &[("X-Own", "1")])),
        ("a length in capitals", push(&[], &[("Content-Length", "3")])),
        ("a name with a colon", push(&[], &[("x:own", "1")])),
        ("a name with a blank", push(&[], &[("x own", "1")])),
        (
            "a name that ends a line",
            push(&[], &[("x-own\r\ntransfer-encoding: chunked\r\ny", "1")]),
        ),
        ("a name with a byte of nothing", push(&[], &[("x\0own", "1")])),
        ("a name of nothing", push(&[], &[("", "1")])),
        ("a name above ASCII", push(&[], &[("x-\u{e4}", "1")])),
        ("a value that ends a line", push(&[], &[("x-own", "1\r\ntransfer-encoding: chunked")])),
        ("a value with a line feed", push(&[], &[("x-own", "1\ntransfer-encoding: chunked")])),
        ("a value with a carriage return", push(&[], &[("x-own", "1\r2")])),
        ("a value with a byte of nothing", push(&[], &[("x-own", "1\x002")])),
        ("two paths", push(&[], &[(":path", "/v2/@@@@/manifests/smuggled")])),
        (
            "a second path at once",
            [vec![(":path", "/v2/@@@@/manifests/smuggled".to_owned())], push(&[], &[])].concat(),
        ),
        ("two methods", [vec![(":method", "GET".to_owned())], push(&[], &[])].concat()),
        ("two authorities", [vec![(":authority", "r".to_owned())], push(&[], &[])].concat()),
        (
            "an unknown field of the protocol",
            [vec![(":own", "x".to_owned())], push(&[], &[])].concat(),
        ),
        ("a status", [vec![(":status", "200".to_owned())], push(&[], &[])].concat()),
        ("a protocol", [vec![(":protocol", "websocket".to_owned())], push(&[], &[])].concat()),
        ("no method", push(&[(":method", "")], &[])),
        ("no path", push(&[(":path", "")], &[])),
        ("no scheme", push(&[(":scheme", "")], &[])),
        ("no authority and no host", push(&[(":authority", "")], &[])),
        ("a path without a slash", push(&[(":path", "v2/@@@@/manifests/a")], &[])),
        ("a path that is an asterisk", push(&[(":path", "*")], &[])),
        ("a path that ends a line", push(&[(":path", &crlf)], &[])),
        ("a path with a blank", push(&[(":path", "/v2/@@@@/manifests/a HTTP/1.1")], &[])),
        ("a path with a byte of nothing", push(&[(":path", "/v2/@@@@/manifests/a\0")], &[])),
        ("a path with a host", push(&[(":path", "http://evil/v2/@@@@/manifests/a")], &[])),
        ("a path to a parent", push(&[(":path", "/v2/x/../@@@@/manifests/a")], &[])),
        ("a path above ASCII", push(&[(":path", "/v2/@@@@/manifests/\u{c3}\u{a4}")], &[])),
        (
            "a method that ends a line",
            push(&[(":method", "PUT /v2/@@@@/manifests/smuggled HTTP/1.1\r\nx:")], &[]),
        ),
        ("a method with a blank", push(&[(":method", "PUT /x")], &[])),
        ("a method in small letters", push(&[(":method", "put")], &[])),
        ("CONNECT", push(&[(":method", "CONNECT"), (":scheme", ""), (":path", "")], &[])),
        ("CONNECT to a path", push(&[(":method", "CONNECT")], &[])),
        ("TRACE", push(&[(":method", "TRACE")], &[])),
        ("a scheme that is none", push(&[(":scheme", "https://evil/?")], &[])),
        ("a scheme of another protocol", push(&[(":scheme", "ftp")], &[])),
        ("an authority with a path", push(&[(":authority", "r/v2")], &[])),
        ("an authority with a user", push(&[(":authority", "evil@r")], &[])),
        ("an authority that ends a line", push(&[(":authority", "r\r\nx: y")], &[])),
        ("another host", push(&[], &[("host", "evil")])),
        ("two hosts", push(&[], &[("host", "r"), ("host", "r")])),
        ("two lengths", push(&[], &[("content-length", &length), ("content-length", "3")])),
        ("a length longer than the body", push(&[], &[("content-length", &longer)])),
        ("a length shorter than the body", push(&[], &[("content-length", &shorter)])),
        ("a length that is no number", push(&[], &[("content-length", "+88")])),
    ];
    for (name, given) in refused {
        add(name, Vec::new(), &|n| begun(&given, n).data(INDEX, true));
    }

    // Others by their frames.
    let given = push(&[], &[]);
    let counted = push(&[], &[("content-length", &length)]);
    let reading = push(&[(":method", "GET"), ("content-type", "")], &[]);
    let field = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    add("a body in pieces", pushed(), &|n| {
        begun(&given, n).data(one, false).data("", false).data(two, false).data("", true)
    });
    add("trailers", pushed(), &|n| {
        begun(&given, n).data(INDEX, false).fields(&field("x-own", "1"), true)
    });
    // RFC 9113 §8.1 calls it malformed, h2 does not; no trailer goes anywhere.
    add("trailers of the protocol", pushed(), &|n| {
        begun(&given, n)
            .data(INDEX, false)
            .fields(&field(":path", "/v2/x/manifests/smuggled"), true)
    });
    add("trailers that would frame", Vec::new(), &|n| {
        begun(&given, n).data(INDEX, false).fields(&field("transfer-encoding", "x"), true)
    });
    add("a push that is given up", Vec::new(), &|n| begun(&given, n).data(one, false).reset());
    add("a read", read(), &|n| Stream::default().fields(&fields(&reading, n), true));
    add("a read with a body of nothing", read(), &|n| begun(&reading, n).data("", true));
    add("a read with a body", Vec::new(), &|n| begun(&reading, n).data(INDEX, true));
    add("a read with a body after nothing", Vec::new(), &|n| {
        begun(&reading, n).data("", false).data("x", true)
    });
    add("a length and no body", Vec::new(), &|n| begun(&counted, n).data("", true));
    add("a length and half a body", Vec::new(), &|n| begun(&counted, n).data(one, true));
    cases
}
