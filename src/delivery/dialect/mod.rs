//! Dialects: one event in the words of one kind of receiver.
//!
//! A dialect is pure: an event in, a content type and bytes out, the same bytes on every attempt. Each
//! file explains its format byte by byte. Three rules hold for all of them, because somewhere a receiver
//! breaks on the opposite: numbers are plain integers, one body tells one tag, and a tag field never
//! holds a digest. What a dialect has no words for is [`Unwritable`]; nothing is bent to fit.

mod artifactory_plugin;
mod distribution;
mod docker_hub;
mod native;

use std::fmt;

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;

/// The body and headers an endpoint expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// CloudEvents 1.0, structured JSON, around our own event: all we know.
    Native,
    /// Docker Distribution's notification envelope.
    Distribution,
    /// Docker Hub's webhook.
    DockerHub,
    /// The body of Artifactory's user plugin `webhook`, format `default`.
    ArtifactoryPlugin,
}

/// What goes into the request, apart from what the endpoint's own settings add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers that belong to the dialect.
    pub headers: Vec<(&'static str, String)>,
    /// The exact bytes; what gets signed.
    pub body: Vec<u8>,
}

/// An event that a dialect has no words for. No attempt can change that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The format has no such event.
    #[error(
        "the `{dialect}` dialect has no word for a {}, only for {known}; `native` and `distribution` tell it",
        action.as_str()
    )]
    Action {
        /// Which dialect.
        dialect: Dialect,
        /// What happened.
        action: Action,
        /// What the format does tell.
        known: &'static str,
    },
    /// The format names manifests by tag, and a digest in a tag's place would mislead its readers.
    #[error(
        "the `{dialect}` dialect names manifests by tag only and this one has none; `native` and `distribution` name it by digest"
    )]
    NoTag {
        /// Which dialect.
        dialect: Dialect,
    },
    /// Nobody knows which manifest it was.
    #[error(
        "the `{dialect}` dialect needs a tag or a digest to name the manifest by, and this event has neither; `native` can tell it"
    )]
    NoReference {
        /// Which dialect.
        dialect: Dialect,
    },
}

impl Dialect {
    /// Every dialect, in the order of the documentation.
    pub const ALL: [Self; 4] =
        [Self::Native, Self::Distribution, Self::DockerHub, Self::ArtifactoryPlugin];

    /// The word for it in the configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Distribution => "distribution",
            Self::DockerHub => "docker-hub",
            Self::ArtifactoryPlugin => "artifactory-plugin",
        }
    }

    /// The dialect a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == word)
    }

    /// Writes an event. The same event and delivery give the same bytes.
    ///
    /// # Errors
    ///
    /// If the format cannot say what happened, see [`Unwritable`].
    pub fn write(self, event: &Event, delivery_id: &str) -> Result<Payload, Unwritable> {
        match self {
            Self::Native => Ok(native::write(event)),
            Self::Distribution => distribution::write(event, delivery_id),
            Self::DockerHub => docker_hub::write(event),
            Self::ArtifactoryPlugin => artifactory_plugin::write(event),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Payload {
    fn json<T: Serialize>(content_type: &'static str, body: &T) -> Self {
        // Strings, integers and structures of them: nothing in it can fail to serialize.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { content_type, headers: Vec::new(), body }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::event::Actor;
    use crate::event::Request;
    use crate::event::schema::tests::sample;
    use crate::registry::Digest;
    use crate::registry::Kind;

    use super::*;

    /// The id that every golden delivery has.
    pub(super) const DELIVERY: &str = "dlv_0199f3c2a1b7";

    /// A push of an index, every field known and always the same.
    pub(super) fn pushed() -> Event {
        Event { id: "0199f3c2-a1b7-7c44-8a55-0123456789ab".parse().unwrap(), ..sample() }
    }

    /// What little a notification of the poorest kind tells.
    pub(super) fn bare() -> Event {
        Event {
            change: None,
            previous_digest: None,
            digest: None,
            kind: None,
            media_type: None,
            size: None,
            total_size: None,
            platforms: Vec::new(),
            actor: Actor::default(),
            request: Request::default(),
            digest_from: None,
            integrity: None,
            ..pushed()
        }
    }

    /// The delete of a tag, which names no digest.
    pub(super) fn untagged() -> Event {
        Event { action: Action::Delete, ..bare() }
    }

    /// Compares a body with its golden file, byte by byte, and checks its numbers.
    #[track_caller]
    pub(super) fn golden(dialect: Dialect, event: &Event, expected: &str) {
        let payload = dialect.write(event, DELIVERY).unwrap();
        let body = String::from_utf8(payload.body).unwrap();
        assert_eq!(body, expected.trim_end_matches('\n'), "{dialect}");
        assert_only_integers(&serde_json::from_str(&body).unwrap());
        assert_eq!(dialect.write(event, DELIVERY).unwrap().body, body.into_bytes());
    }

    /// No fraction, no exponent, nothing negative: what a strict reader takes as an integer.
    #[track_caller]
    fn assert_only_integers(value: &Value) {
        match value {
            Value::Number(number) => assert!(number.is_u64(), "{number}"),
            Value::Array(items) => items.iter().for_each(assert_only_integers),
            Value::Object(members) => members.values().for_each(assert_only_integers),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn words_stand_for_dialects_and_back() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::of(dialect.as_str()), Some(dialect));
        }
        assert_eq!(Dialect::of("harbor"), None);
    }

    #[test]
    fn every_tag_shaped_dialect_refuses_what_has_no_tag() {
        let by_digest = Event { tag: None, ..pushed() };
        for dialect in [Dialect::DockerHub, Dialect::ArtifactoryPlugin] {
            let refused = dialect.write(&by_digest, DELIVERY).unwrap_err();
            assert_eq!(refused, Unwritable::NoTag { dialect });
        }
        for dialect in [Dialect::Native, Dialect::Distribution] {
            assert!(dialect.write(&by_digest, DELIVERY).is_ok(), "{dialect}");
        }
    }

    #[test]
    fn no_tag_field_ever_holds_a_digest() {
        let digest = Digest::sha256(b"child");
        let child =
            Event { tag: None, digest: Some(digest.clone()), kind: Some(Kind::Image), ..pushed() };
        for dialect in Dialect::ALL {
            let Ok(payload) = dialect.write(&child, DELIVERY) else {
                continue;
            };
            let value: Value = serde_json::from_slice(&payload.body).unwrap();
            let tags = [&value["data"]["tag"], &value["events"][0]["target"]["tag"]];
            assert!(tags.into_iter().all(Value::is_null), "{dialect}: {value}");
        }
    }

    #[test]
    fn what_cannot_be_said_says_who_can() {
        let deleted = untagged();
        let text = Dialect::DockerHub.write(&deleted, DELIVERY).unwrap_err().to_string();
        assert!(text.contains("`docker-hub`") && text.contains("delete"), "{text}");
        assert!(text.contains("pushes") && text.contains("`native`"), "{text}");
    }
}
