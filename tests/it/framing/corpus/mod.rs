//! Raw inputs, and what each of them has to become.
//!
//! In all of them `@@@@` stands for the name of the repository, which is one case's own, and a character below
//! U+0100 for the byte of its number. After each comes a request for [`END`] that asks to close, so that
//! what still hides in the bytes before it has somebody to hide from.

mod chunks;
mod codings;
mod fields;
mod hops;
mod lengths;
mod lines;
mod pipelines;
mod streams;
mod targets;

pub(super) use self::streams::streams;

/// One input.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) input: String,
    pub(super) expected: Expected,
}

/// What has to become of it.
pub(super) enum Expected {
    /// The registry sees none of it, the client hears this status first, and then the connection is over.
    Refused(u16),
    /// The same, but that the client is told nothing: what it sent is no HTTP at all.
    Dropped,
    /// The registry sees this, and then the last request.
    Passes(Vec<Seen>),
    /// The registry sees this and nothing after it: the connection is over.
    Closes(Vec<Seen>),
    /// The client ends its side right after the input, and the registry sees nothing.
    Cut,
}

/// A request as an upstream has to understand it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: String,
}

/// An index of nothing: the smallest manifest that a registry stores with no blob before it.
pub(super) const INDEX: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const TYPE: &str = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
/// Where nobody ever is to be seen.
const EVIL: &str = "/v2/@@@@/manifests/smuggled";
const PATH: &str = "/v2/@@@@/manifests/a";
/// The last request of a connection.
pub(super) const END: &str = "/v2/@@@@/tags/list";

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let all = [
        lengths::cases(),
        codings::cases(),
        chunks::cases(),
        lines::cases(),
        fields::cases(),
        targets::cases(),
        hops::cases(),
        pipelines::cases(),
    ];
    all.into_iter().flatten().collect()
}

/// A push of `body` with these lines between its first and its empty one.
fn put(lines: &str, body: &str) -> String {
    format!("PUT {PATH} HTTP/1.1\r\nHost: r\r\n{TYPE}{lines}\r\n{body}")
}

/// A read with these lines.
fn get(lines: &str, body: &str) -> String {
    format!("GET {PATH} HTTP/1.1\r\nHost: r\r\n{lines}\r\n{body}")
}

/// A whole push that must stay what it is: somebody's body.
fn evil() -> String {
    let length = INDEX.len();
    format!("PUT {EVIL} HTTP/1.1\r\nHost: r\r\n{TYPE}Content-Length: {length}\r\n\r\n{INDEX}")
}

/// The index as one chunk, and the end.
fn chunked() -> String {
    format!("{:x}\r\n{INDEX}\r\n0\r\n\r\n", INDEX.len())
}

fn length() -> String {
    format!("Content-Length: {}\r\n", INDEX.len())
}

fn seen(method: &str, path: &str, body: &str) -> Seen {
    Seen { method: method.to_owned(), path: path.to_owned(), body: body.to_owned() }
}

fn pushed() -> Vec<Seen> {
    vec![seen("PUT", PATH, INDEX)]
}

fn read() -> Vec<Seen> {
    vec![seen("GET", PATH, "")]
}

fn refused(name: impl Into<String>, input: impl Into<String>) -> Case {
    answered(400, name, input)
}

fn answered(status: u16, name: impl Into<String>, input: impl Into<String>) -> Case {
    Case { name: name.into(), input: input.into(), expected: Expected::Refused(status) }
}

fn dropped(name: impl Into<String>, input: impl Into<String>) -> Case {
    Case { name: name.into(), input: input.into(), expected: Expected::Dropped }
}

fn passes(name: impl Into<String>, input: impl Into<String>, seen: Vec<Seen>) -> Case {
    Case { name: name.into(), input: input.into(), expected: Expected::Passes(seen) }
}

fn closes(name: impl Into<String>, input: impl Into<String>, seen: Vec<Seen>) -> Case {
    Case { name: name.into(), input: input.into(), expected: Expected::Closes(seen) }
}

fn cut(name: impl Into<String>, input: impl Into<String>) -> Case {
    Case { name: name.into(), input: input.into(), expected: Expected::Cut }
}
