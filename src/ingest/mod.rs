//! Be told: the notifications of registries, each in its own format, read into events.
//!
//! The parsers are pure: bytes in, events out, the same ones for the same bytes. A notification is a
//! stranger's document. It is capped at [`MAX_BYTES`] and [`MAX_EVENTS`], nests at most 64 levels and may not
//! have a key twice; names, tags, digests and media types are parsed or the notification is refused
//! **whole**, with the place and what would be right; free text is cut and cleaned; fields that nobody asked
//! for are not looked at. No URL in a notification is ever fetched or copied into an event.

mod artifactory_plugin;
mod check;
mod distribution;
mod docker_hub;
mod error;
mod json;
mod node;
mod told;

use std::fmt;

use time::OffsetDateTime;

use crate::event::Event;

pub use self::error::Error;
pub use self::error::Position;
pub use self::error::Problem;

use self::json::Document;
use self::json::Escapes;
use self::json::Sort;
use self::node::Node;
use self::told::Reading;

/// The most bytes of one notification.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most events of one notification.
pub const MAX_EVENTS: usize = 1000;

/// How many places with an illegal escape are named one by one.
const MAX_REPAIRS_NAMED: usize = 8;

/// The format of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Docker Distribution's envelope, 2.x and 3.x; GitLab's registry sends the same.
    Distribution,
    /// Docker Hub's webhook, today's and that of its automated builds.
    DockerHub,
    /// Artifactory's user plugin `webhook`, in its formats `default`, `keel` and `spinnaker`.
    ArtifactoryPlugin,
}

/// What a notification said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// One event for each thing that happened to a manifest, in the notification's order.
    pub events: Vec<Event>,
    /// What was odd and had to be read one way or the other; a sentence each.
    pub warnings: Vec<String>,
    /// What was understood and makes no event, with the reason; a sentence each.
    pub skipped: Vec<String>,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Distribution, Self::DockerHub, Self::ArtifactoryPlugin];

    /// The word for it in the configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Distribution => "distribution",
            Self::DockerHub => "docker-hub",
            Self::ArtifactoryPlugin => "artifactory-plugin",
        }
    }

    /// The kind a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Finds out the kind of a notification by the keys at its top.
    ///
    /// # Errors
    ///
    /// If it is too large, no JSON, or has the keys of none.
    pub fn detect(bytes: &[u8]) -> Result<Self, Error> {
        let text = text_of(bytes)?;
        let document = Document::read(text, Escapes::Lenient)?;
        let root = Node::root(&document);
        let has = |key| root.member(key).is_some();
        let is_list = |key| root.member(key).is_some_and(|node| node.sort() == Sort::List);
        if has("artifactory") {
            Ok(Self::ArtifactoryPlugin)
        } else if is_list("events") {
            Ok(Self::Distribution)
        } else if has("push_data") {
            Ok(Self::DockerHub)
        } else if is_list("artifacts") || (has("name") && has("tag")) {
            Ok(Self::ArtifactoryPlugin)
        } else {
            let at = document.position(root.value().start);
            let expected = "Docker Distribution's has a list `events`, Docker Hub's has `push_data`, that of Artifactory's plugin has `artifactory`";
            Err(Error::Unknown { at, expected })
        }
    }

    fn escapes(self) -> Escapes {
        match self {
            // The Hub's own documentation shows `\[` in its samples.
            Self::DockerHub => Escapes::Lenient,
            Self::Distribution | Self::ArtifactoryPlugin => Escapes::Strict,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a notification.
///
/// `registry` is the name clients know the registry by; without it, the name is what the notification says.
/// `received` is when it arrived, which stands in where the notification does not say when it happened.
/// An event's id follows from the notification's own id and time, where there are such, and else from its
/// bytes, so that reading it again gives the same events.
///
/// # Errors
///
/// If any part of it that is needed cannot be used; then nothing of it can.
pub fn read(
    kind: Kind,
    bytes: &[u8],
    registry: Option<&str>,
    received: OffsetDateTime,
) -> Result<Parsed, Error> {
    let text = text_of(bytes)?;
    let document = Document::read(text, kind.escapes())?;
    let root = Node::root(&document);
    if root.sort() != Sort::Object {
        return Err(root.wrong(node::OBJECT));
    }
    let mut reading = Reading::new(kind, bytes, registry, received);
    warn_of_repairs(&document, text, &mut reading);
    match kind {
        Kind::Distribution => distribution::read(&root, &mut reading)?,
        Kind::DockerHub => docker_hub::read(&root, &mut reading)?,
        Kind::ArtifactoryPlugin => artifactory_plugin::read(&root, &mut reading)?,
    }
    Ok(reading.parsed)
}

fn text_of(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let at = Position::of(&good, good.len());
        Error::Syntax { at, problem: Problem::Utf8 }
    })
}

fn warn_of_repairs(document: &Document<'_>, text: &str, reading: &mut Reading<'_>) {
    for byte in document.repaired.iter().take(MAX_REPAIRS_NAMED) {
        let at = document.position(*byte);
        let mark = text.get(byte + 1..byte + 2).unwrap_or_default();
        reading.warn(format!("{at}: `\\{mark}` is not an escape of JSON, read as `{mark}`"));
    }
    let more = document.repaired.len().saturating_sub(MAX_REPAIRS_NAMED);
    if more > 0 {
        reading.warn(format!("{more} more escapes that are not JSON's, read the same way"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use crate::event::Action;
    use crate::registry::Digest;

    use super::*;

    /// When every notification of the tests arrives.
    pub(super) const RECEIVED: OffsetDateTime = datetime!(2026-03-01 10:00:00 UTC);

    const FIXTURES: [(Kind, &str); 3] = [
        (
            Kind::Distribution,
            include_str!("../../tests/fixtures/notifications/distribution-3-envelope.json"),
        ),
        (
            Kind::DockerHub,
            include_str!("../../tests/fixtures/notifications/docker-hub-legacy.json"),
        ),
        (
            Kind::ArtifactoryPlugin,
            include_str!("../../tests/fixtures/notifications/artifactory-plugin-created.json"),
        ),
    ];

    #[test]
    fn words_stand_for_kinds_and_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::of("harbor"), None);
    }

    #[test]
    fn a_kind_shows_by_its_keys() {
        for (kind, text) in FIXTURES {
            assert_eq!(Kind::detect(text.as_bytes()).unwrap(), kind);
        }
        let keel = br#"{"name": "r.example.com/app", "tag": "1"}"#;
        assert_eq!(Kind::detect(keel).unwrap(), Kind::ArtifactoryPlugin);
        for unknown in ["{}", "[]", "1", r#"{"events": {}}"#, r#"{"push_data": null}"#] {
            let error = Kind::detect(unknown.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Unknown { .. }), "{unknown}: {error}");
        }
    }

    #[test]
    fn reading_twice_gives_the_same_events() {
        for (kind, text) in FIXTURES {
            let once = read(kind, text.as_bytes(), Some("r.example.com"), RECEIVED).unwrap();
            let later = RECEIVED + time::Duration::HOUR;
            let again = read(kind, text.as_bytes(), Some("r.example.com"), later).unwrap();
            assert!(!once.events.is_empty());
            assert_eq!(once, again);
        }
    }

    /// The golden bodies of our own dialects are notifications, too: what one end writes the other end
    /// reads back, as far as the format can say it.
    #[test]
    fn our_own_dialects_are_read_back() {
        macro_rules! golden {
            ($name:literal) => {
                include_str!(concat!("../../tests/fixtures/dialects/", $name, ".json"))
            };
        }
        let digest = Digest::sha256(b"after");
        let index = "application/vnd.oci.image.index.v1+json";
        for (kind, text, action, is_full) in [
            (Kind::Distribution, golden!("distribution-push"), Action::Push, true),
            (Kind::Distribution, golden!("distribution-bare"), Action::Push, false),
            (Kind::Distribution, golden!("distribution-delete-tag"), Action::Delete, false),
            (Kind::DockerHub, golden!("docker-hub-push"), Action::Push, false),
            (Kind::DockerHub, golden!("docker-hub-bare"), Action::Push, false),
            (Kind::ArtifactoryPlugin, golden!("artifactory-plugin-push"), Action::Push, false),
            (Kind::ArtifactoryPlugin, golden!("artifactory-plugin-bare"), Action::Push, false),
            (Kind::ArtifactoryPlugin, golden!("artifactory-plugin-delete"), Action::Delete, false),
        ] {
            assert_eq!(Kind::detect(text.as_bytes()).unwrap(), kind);
            let parsed = read(kind, text.as_bytes(), None, RECEIVED).unwrap();
            let [event] = &parsed.events[..] else { panic!("{kind}: {parsed:?}") };
            assert_eq!(event.action, action, "{kind}");
            assert_eq!(event.registry, "registry.example.com", "{kind}");
            assert_eq!(event.subject(), "team/app:1.4.2", "{kind}");
            assert_eq!(event.digest, is_full.then(|| digest.clone()), "{kind}");
            if is_full {
                assert_eq!(event.media_type.as_ref().map(|m| m.as_str()), Some(index));
                assert_eq!(event.size, Some(1609));
            }
        }
    }

    #[test]
    fn limits_are_said() {
        let large = vec![b' '; MAX_BYTES + 1];
        for kind in Kind::ALL {
            let error = read(kind, &large, None, RECEIVED).unwrap_err();
            assert_eq!(error, Error::TooLarge { bytes: MAX_BYTES + 1, limit: MAX_BYTES });
            let error = read(kind, b"{\"a\":\n \"\xff\"}", None, RECEIVED).unwrap_err();
            assert_eq!(error.to_string(), "line 2, column 3: not JSON: the bytes are not UTF-8");
            let error = read(kind, b" [1]", None, RECEIVED).unwrap_err();
            let expected = "line 1, column 2: `the notification` is a list; it must be an object";
            assert_eq!(error.to_string(), expected);
        }
    }

    /// Pieces of real notifications, put together at random: gets further than random bytes do.
    fn almost() -> impl Strategy<Value = (usize, Vec<(usize, Vec<u8>)>)> {
        let edits =
            prop::collection::vec((any::<usize>(), prop::collection::vec(any::<u8>(), 0..4)), 0..6);
        (0..FIXTURES.len(), edits)
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes: Vec<u8>) {
            for kind in Kind::ALL {
                let _ignored = read(kind, &bytes, None, RECEIVED).is_ok();
            }
            let _ignored = Kind::detect(&bytes).is_ok();
        }

        #[test]
        fn no_altered_notification_makes_a_parser_panic((which, edits) in almost()) {
            let (kind, text) = FIXTURES[which];
            let mut bytes = text.as_bytes().to_vec();
            for (place, put) in edits {
                let start = place % bytes.len();
                let end = (start + put.len()).min(bytes.len());
                bytes.splice(start..end, put);
            }
            let _ignored = Kind::detect(&bytes).is_ok();
            if let Err(error) = read(kind, &bytes, None, RECEIVED) {
                let text = error.to_string();
                prop_assert!(text.len() < 2000 && !text.contains(char::is_control), "{text}");
            }
        }
    }
}
