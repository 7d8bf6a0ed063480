//! A value and the path to it, so that whatever is wrong with it can be said with its place.

use std::borrow::Cow;
use std::str::FromStr;

use time::OffsetDateTime;
use time::UtcOffset;

use crate::event::schema::time_of;
use crate::registry::Digest;
use crate::registry::Reference;

use super::Kind;
use super::MAX_EVENTS;
use super::Place;
use super::error::Error;
use super::error::excerpt;
use super::json::Document;
use super::json::Sort;
use super::json::Value;

/// How many bytes of free text are kept; the mark behind a cut comes on top.
const MAX_TEXT: usize = 4 * 1024;

pub(super) const DIGEST: &str = "a digest such as `sha256:` and 64 lower-case hex digits";
pub(super) const TAG: &str =
    "a tag: 1 to 128 letters, digits, `_`, `.` or `-`, not starting with `.` or `-`";
pub(super) const REPOSITORY: &str = "a repository name without a host, such as `team/app`: lower-case letters, digits and `.`, `_`, `__`, `-` between them";
pub(super) const MEDIA_TYPE: &str =
    "a media type such as `application/vnd.oci.image.index.v1+json`";
pub(super) const TIME: &str = "an RFC 3339 time such as `2026-03-01T09:15:02.123Z`";
pub(super) const TEXT: &str = "a text";
pub(super) const OBJECT: &str = "an object";
pub(super) const WHOLE: &str = "a whole number";

/// A value somewhere in a document.
#[derive(Clone)]
pub(super) struct Node<'a> {
    document: &'a Document<'a>,
    value: Value<'a>,
    path: String,
}

impl<'a> Node<'a> {
    pub(super) fn root(document: &'a Document<'a>) -> Self {
        Self { document, value: document.root(), path: String::new() }
    }

    /// How errors and warnings name it.
    pub(super) fn path(&self) -> &str {
        if self.path.is_empty() { "the notification" } else { &self.path }
    }

    pub(super) fn value(&self) -> Value<'a> {
        self.value
    }

    pub(super) fn sort(&self) -> Sort {
        self.value.sort()
    }

    /// What a key holds; `null` is as good as absent.
    pub(super) fn member(&self, key: &str) -> Option<Self> {
        let value = self.value.member(key).filter(|value| value.sort() != Sort::Null)?;
        Some(Self { document: self.document, value, path: self.path_of(key) })
    }

    pub(super) fn need(&self, key: &str, expected: &'static str) -> Result<Self, Error> {
        self.member(key).ok_or_else(|| self.missing(key, expected))
    }

    /// An object that must be there.
    pub(super) fn object(&self, key: &str) -> Result<Self, Error> {
        let node = self.need(key, OBJECT)?;
        if node.sort() == Sort::Object { Ok(node) } else { Err(node.wrong(OBJECT)) }
    }

    /// An object, if it is there.
    pub(super) fn object_if_any(&self, key: &str) -> Result<Option<Self>, Error> {
        self.member(key).map(|_| self.object(key)).transpose()
    }

    pub(super) fn items(&self) -> impl Iterator<Item = Self> {
        let (document, path) = (self.document, self.path.clone());
        self.value.items().enumerate().map(move |(place, value)| Self {
            document,
            value,
            path: format!("{path}[{place}]"),
        })
    }

    /// A text that is not empty, if it is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Error> {
        let Some(node) = self.member(key) else {
            return Ok(None);
        };
        let text = node.value.text().ok_or_else(|| node.wrong(TEXT))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A text that must be there and must be one of a grammar.
    pub(super) fn parse<T: FromStr>(&self, key: &str, expected: &'static str) -> Result<T, Error> {
        self.parse_if_any(key, expected)?.ok_or_else(|| match self.member(key) {
            Some(empty) => empty.wrong(expected),
            None => self.missing(key, expected),
        })
    }

    /// A text of a grammar, if it is there; the empty text is as good as absent.
    pub(super) fn parse_if_any<T: FromStr>(
        &self,
        key: &str,
        expected: &'static str,
    ) -> Result<Option<T>, Error> {
        let Some(node) = self.member(key) else {
            return Ok(None);
        };
        let text = node.value.text().ok_or_else(|| node.wrong(expected))?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| node.wrong(expected))
    }

    /// What a registry calls a tag, which some of them use for a digest as well.
    pub(super) fn reference(&self, key: &str) -> Result<Option<Reference>, Error> {
        match self.text(key)? {
            Some(_) => self.member(key).map(|node| node.as_reference()).transpose(),
            None => Ok(None),
        }
    }

    /// The value itself, as a tag or a digest.
    pub(super) fn as_reference(&self) -> Result<Reference, Error> {
        let text = self.value.text().ok_or_else(|| self.wrong(TAG))?;
        match stored_digest(&text) {
            Some(digest) => Ok(Reference::Digest(digest)),
            None => text.parse().map_err(|_| self.wrong(TAG)),
        }
    }

    /// A list that must be there, of no more entries than are read.
    pub(super) fn list(&self, key: &str, expected: &'static str) -> Result<Self, Error> {
        let list = self.need(key, expected)?;
        if list.sort() != Sort::List {
            return Err(list.wrong(expected));
        }
        let count = list.value.items().count();
        if count > MAX_EVENTS { Err(list.too_many(count, MAX_EVENTS)) } else { Ok(list) }
    }

    /// An RFC 3339 time, if it is there; the zero time, which Go's programs write for "not set", is not.
    pub(super) fn time(&self, key: &str) -> Result<Option<OffsetDateTime>, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        // In UTC at once: at the ends of the calendar not every local time has one.
        let time = time_of(&text).and_then(|time| time.checked_to_offset(UtcOffset::UTC));
        let time = time.ok_or_else(|| self.member(key).unwrap_or_else(|| self.clone()).wrong(TIME));
        Ok(Some(time?).filter(|time| time.year() > 1))
    }

    /// A plain whole number that is not 0, if it is there.
    pub(super) fn whole(&self, key: &str) -> Result<Option<u64>, Error> {
        Ok(self.count(key)?.filter(|number| *number != 0))
    }

    /// A plain whole number, if it is there.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>, Error> {
        let Some(node) = self.member(key) else {
            return Ok(None);
        };
        node.value.raw().parse().map(Some).map_err(|_| node.wrong(WHOLE))
    }

    /// Text that a stranger wrote and people read: control characters out, cut at 4 KiB with a mark.
    pub(super) fn free_text(&self, key: &str) -> Result<Option<String>, Error> {
        let text = self.text(key)?;
        Ok(text.map(|text| clean(&text)).filter(|text| !text.is_empty()))
    }

    /// The error that it is something else than it must be.
    pub(super) fn wrong(&self, expected: &'static str) -> Error {
        let found = match self.sort() {
            Sort::Null => "null".to_owned(),
            Sort::Bool | Sort::Number => format!("`{}`", excerpt(self.value.raw())),
            Sort::Text => format!("`{}`", excerpt(&self.value.text().unwrap_or_default())),
            Sort::List => "a list".to_owned(),
            Sort::Object => "an object".to_owned(),
        };
        let at = self.document.position(self.value.start);
        Error::Field { at, field: self.path().to_owned(), found, expected }
    }

    /// The error that the document in this text is wrong.
    pub(super) fn inside(&self, source: Error) -> Error {
        let at = self.document.position(self.value.start);
        Error::Inside { at, field: self.path().to_owned(), source: Box::new(source) }
    }

    /// The error that a key is not there.
    pub(super) fn missing(&self, key: &str, expected: &'static str) -> Error {
        let at = self.document.position(self.value.start);
        Error::Field { at, field: self.path_of(key), found: "missing".to_owned(), expected }
    }

    /// The error that a list is longer than is read.
    pub(super) fn too_many(&self, count: usize, limit: usize) -> Error {
        let at = self.document.position(self.value.start);
        Error::TooMany { at, field: self.path().to_owned(), count, limit }
    }

    /// The error that this shows a format which does not say enough.
    pub(super) fn format(&self, kind: Kind, format: &'static str, remedy: &'static str) -> Error {
        let at = self.document.position(self.value.start);
        Error::Format { at, kind, format, remedy }
    }

    /// The error that this is no notification.
    pub(super) fn unknown(&self, expected: &'static str) -> Error {
        Error::Unknown { at: self.document.position(self.value.start), expected }
    }

    /// Where the value of a key is, for whoever asks what a field was read from; none if there is nothing.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        let node = self.member(key)?;
        let is_empty = node.value.raw() == "\"\"";
        (!is_empty).then(|| Place::Pointer(node.pointer()))
    }

    /// The JSON pointer to it (RFC 6901); behind a `#` where it is in a document inside the document.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = self.document.inside.to_owned();
        // The keys that are asked for hold none of the marks that a pointer or a path has.
        for part in self.path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            pointer.push('/');
            pointer.push_str(part);
        }
        pointer
    }

    /// The path of one of its members, there or not.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// A digest as Artifactory stores it in a path, where a colon cannot stand: `sha256__<hex>`.
fn stored_digest(text: &str) -> Option<Digest> {
    let (algorithm, encoded) = text.split_once("__")?;
    let digest: Digest = format!("{algorithm}:{encoded}").parse().ok()?;
    matches!(algorithm, "sha256" | "sha512").then_some(digest)
}

/// Without control characters, and cut.
pub(super) fn clean(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT + 1).collect();
    cut(&text)
}

/// Cut at 4 KiB, with a mark.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::json::Escapes;
    use super::*;

    fn with<T>(text: &str, f: impl FnOnce(Node<'_>) -> T) -> T {
        let document = Document::read(text, Escapes::Strict).unwrap();
        f(Node::root(&document))
    }

    #[test]
    fn free_text_is_cut_and_cleaned() {
        let long = "é".repeat(3000);
        for (text, expected) in [
            ("a\u{1b}[31mb\nc\u{7f}\u{85}d".to_owned(), "a[31mbcd".to_owned()),
            (long, format!("{}…", "é".repeat(2048))),
            ("x".repeat(4096), "x".repeat(4096)),
        ] {
            assert_eq!(clean(&text), expected);
        }
        let none = with(r#"{"a": "\n\t"}"#, |node| node.free_text("a").unwrap());
        assert_eq!(none, None);
    }

    #[test]
    fn a_tag_that_is_a_digest_is_a_digest() {
        let hex = "a".repeat(64);
        for (text, is_digest) in [
            (format!("sha256:{hex}"), true),
            (format!("sha256__{hex}"), true),
            (format!("sha256-{hex}"), false),
            ("sha256__abc".to_owned(), false),
            (format!("md5__{hex}"), false),
            ("1.4.2".to_owned(), false),
        ] {
            let json = format!(r#"{{"tag": "{text}"}}"#);
            let reference = with(&json, |node| node.reference("tag").unwrap().unwrap());
            assert_eq!(reference.digest().is_some(), is_digest, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let text = "{\"a\": [\n  {\"digest\": \"sha256:X\\u0007\"}\n]}";
        let error = with(text, |root| {
            let item = root.member("a").unwrap().items().next().unwrap();
            item.parse::<Digest>("digest", DIGEST).unwrap_err()
        });
        assert_eq!(
            error.to_string(),
            "line 2, column 14: `a[0].digest` is `sha256:X\\u{7}`; it must be a digest such as `sha256:` and 64 lower-case hex digits"
        );
        let error = with(text, |root| root.object("b").map(|_| ()).unwrap_err());
        assert_eq!(error.to_string(), "line 1, column 1: `b` is missing; it must be an object");
        let error = with(r#"{"size": 1.5}"#, |root| root.whole("size").unwrap_err());
        assert_eq!(
            error.to_string(),
            "line 1, column 10: `size` is `1.5`; it must be a whole number"
        );
    }
}
