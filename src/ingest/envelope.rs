//! CloudEvents 1.0 over HTTP: what is around the data, wherever it stands.
//!
//! ```text
//! structured  Content-Type: application/cloudevents+json       binary  ce-id: …  ce-source: …
//!             {"specversion": "1.0", "id": "…", "source": "…",         ce-specversion: 1.0
//!              "type": "…", "time": "…", "data": {…}}                  ce-type: …  ce-time: …
//!                                                                      and the data is the body
//! ```
//!
//! - Binary values are UTF-8 with `%XX` for what headers cannot hold; they are un-quoted, then decoded once.
//! - `data_base64` is for data that is not JSON; ours always is, so it is refused.
//! - The batched mode may not be used unasked (HTTP binding §3.3), and nobody asked: its list is refused.
//!
//! Source: cloudevents/spec `bindings/http-protocol-binding.md`, `formats/json-format.md`.

use http::HeaderMap;
use time::OffsetDateTime;
use time::UtcOffset;

use crate::event::schema::time_of;
use crate::registry::percent_decoded;

use super::Place;
use super::error::Error;
use super::error::excerpt;
use super::json::Sort;
use super::node::Node;
use super::node::OBJECT;
use super::node::TEXT;
use super::node::TIME;
use super::node::clean;
use super::told::Reading;

const ATTRIBUTE: &str = "a text, in UTF-8 with `%XX` for what a header cannot hold";
const VERSION: &str = "`1.0`";

/// The attributes of one event, and its data.
pub(super) struct Envelope<'a> {
    pub(super) id: String,
    pub(super) source: String,
    /// `type`.
    pub(super) sort: String,
    pub(super) time: Option<OffsetDateTime>,
    data: Option<Node<'a>>,
    root: Node<'a>,
    is_binary: bool,
}

/// Whether it is a CloudEvent in one of the two modes.
pub(super) fn is_cloud_event(root: &Node<'_>, headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion") || root.member("specversion").is_some()
}

impl<'a> Envelope<'a> {
    /// Reads the attributes.
    pub(super) fn read(
        root: &Node<'a>,
        headers: &HeaderMap,
        reading: &mut Reading<'_>,
    ) -> Result<Self, Error> {
        if headers.contains_key("ce-specversion") {
            return Self::binary(root, headers);
        }
        let need = |key| root.free_text(key)?.ok_or_else(|| root.missing(key, TEXT));
        let version = need("specversion")?;
        if version != "1.0" {
            let member = root.member("specversion").unwrap_or_else(|| root.clone());
            return Err(member.wrong(VERSION));
        }
        if let Some(encoded) = root.member("data_base64") {
            return Err(encoded.wrong("absent; the event belongs into `data`, as JSON"));
        }
        let time = root.time("time")?;
        if time.is_none() {
            reading.warn("`time` is missing; the time is that of the arrival".to_owned());
        }
        Ok(Self {
            id: need("id")?,
            source: need("source")?,
            sort: need("type")?,
            time,
            data: root.member("data"),
            root: root.clone(),
            is_binary: false,
        })
    }

    fn binary(root: &Node<'a>, headers: &HeaderMap) -> Result<Self, Error> {
        let need = |header| {
            let missing =
                || Error::Header { header, found: "missing".to_owned(), expected: ATTRIBUTE };
            attribute(headers, header)?.ok_or_else(missing)
        };
        let version = need("ce-specversion")?;
        if version != "1.0" {
            let found = format!("`{}`", excerpt(&version));
            return Err(Error::Header { header: "ce-specversion", found, expected: VERSION });
        }
        let time = attribute(headers, "ce-time")?.map(|text| {
            let time = time_of(&text).and_then(|time| time.checked_to_offset(UtcOffset::UTC));
            let found = format!("`{}`", excerpt(&text));
            time.ok_or(Error::Header { header: "ce-time", found, expected: TIME })
        });
        Ok(Self {
            id: need("ce-id")?,
            source: need("ce-source")?,
            sort: need("ce-type")?,
            time: time.transpose()?.filter(|time| time.year() > 1),
            data: Some(root.clone()),
            root: root.clone(),
            is_binary: true,
        })
    }

    /// The data, an object.
    pub(super) fn data(&self) -> Result<&Node<'a>, Error> {
        let data = self.data.as_ref().ok_or_else(|| self.root.missing("data", OBJECT))?;
        if data.sort() == Sort::Object { Ok(data) } else { Err(data.wrong(OBJECT)) }
    }

    /// The error that the id is something else than it must be.
    pub(super) fn wrong_id(&self, expected: &'static str) -> Error {
        match self.root.member("id").filter(|_| !self.is_binary) {
            Some(id) => id.wrong(expected),
            None => {
                let found = format!("`{}`", excerpt(&self.id));
                Error::Header { header: "ce-id", found, expected }
            }
        }
    }

    /// Another attribute: an optional one, or one of an extension.
    pub(super) fn extension(&self, key: &str) -> Result<Option<String>, Error> {
        if self.is_binary { Ok(None) } else { self.root.free_text(key) }
    }

    /// Notes which attributes the fields of the event come from.
    pub(super) fn trace(&self, reading: &mut Reading<'_>, fields: &[(&'static str, &str)]) {
        if !self.is_binary {
            return reading.found_in(&self.root, fields);
        }
        for (field, key) in fields {
            let header = match *key {
                "type" => "ce-type",
                "source" => "ce-source",
                "time" => "ce-time",
                _ => continue,
            };
            reading.found_at(field, Place::Header(header));
        }
    }

    /// Makes no event of it, because its type is of something else.
    pub(super) fn skip(&self, wanted: &str, reading: &mut Reading<'_>) {
        reading.skip(format!("the type `{}` is not of {wanted}", excerpt(&self.sort)));
    }
}

/// The value of one header, if it is there.
fn attribute(headers: &HeaderMap, header: &'static str) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    let found = || format!("`{}`", excerpt(&String::from_utf8_lossy(value.as_bytes())));
    let malformed = || Error::Header { header, found: found(), expected: ATTRIBUTE };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| malformed())?.trim();
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = match quoted {
        Some(inner) => unquoted(inner).ok_or_else(malformed)?,
        None => text.to_owned(),
    };
    let decoded = percent_decoded(&plain).ok_or_else(malformed)?;
    Ok(Some(clean(&decoded)).filter(|text| !text.is_empty()))
}

/// Takes the backslashes out of a quoted string (RFC 9110 §5.6.4).
fn unquoted(inner: &str) -> Option<String> {
    let mut plain = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next()?),
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::super::tests::headers;
    use super::*;

    #[test]
    fn binary_attributes_are_decoded_once() {
        for (value, expected) in [
            ("a b", Some("a b")),
            ("Euro%20%E2%82%AC", Some("Euro €")),
            ("%2520", Some("%20")),
            ("\"a\\\"b%20c\"", Some("a\"b c")),
            ("\"a\"b\"", None),
            ("\"a\\\"", None),
            ("%E2%82", None),
            ("%zz", None),
        ] {
            let headers = headers(&[("ce-id", value)]);
            let found = attribute(&headers, "ce-id").ok().flatten();
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        assert_eq!(attribute(&HeaderMap::new(), "ce-id").unwrap(), None);
    }
}
