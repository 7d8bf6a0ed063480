use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::registry::Digest;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use super::Action;

/// The id of one exchange that may change the registry: a UUIDv7, so that ids sort by time and the
/// outbox's index grows at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IntentId(Uuid);

/// The id of an event, `id` of its CloudEvents envelope.
///
/// It is derived from the intent and the tag: whoever finds out twice what became of an exchange
/// gets the same id twice, and the second is refused as already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

/// What all reports of one content under one tag share, for a receiver that wants to act on it once.
///
/// The first 32 hex digits of the SHA-256 of action, registry, repository, tag and digest, each
/// followed by a line feed, with nothing in the place of a tag or digest that there is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl IntentId {
    /// A new id, later than every one this process made before.
    #[must_use]
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen bytes, as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From sixteen stored bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl EventId {
    /// The id of the event that `intent` makes for `tag`.
    #[must_use]
    pub fn of(intent: IntentId, tag: Option<&Tag>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(intent.as_bytes());
        context.update(tag.map_or("", Tag::as_str).as_bytes());
        let hash = context.finish();
        // The first half keeps the time, version and counter (RFC 9562 §5.7), so that events sort as
        // their intents do; the second keeps its variant bits and takes the rest from the hash.
        let mut bytes = *intent.as_bytes();
        for (byte, hashed) in bytes.iter_mut().zip(hash.as_ref()).skip(8) {
            *byte = *hashed;
        }
        Self(uuid::Builder::from_bytes(bytes).with_variant(uuid::Variant::RFC4122).into_uuid())
    }

    /// The id of an event that somebody told us of: a UUIDv7 of the time it was told to have happened at,
    /// and for the rest of whatever tells it from all others. The same report gets the same id, always.
    #[must_use]
    pub fn told(time: OffsetDateTime, parts: &[&str]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            // With its length before it, so that no two lists of parts look alike.
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut random = [0; 10];
        for (byte, hashed) in random.iter_mut().zip(context.finish().as_ref()) {
            *byte = *hashed;
        }
        let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The sixteen bytes, as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From sixteen stored bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, uuid::Error> {
        s.parse().map(Self)
    }
}

impl Key {
    /// The key of a fact.
    #[must_use]
    pub fn of(
        action: Action,
        registry: &str,
        repository: &RepositoryName,
        tag: Option<&Tag>,
        digest: Option<&Digest>,
    ) -> Self {
        let parts = [
            action.as_str(),
            registry,
            repository.as_str(),
            tag.map_or("", Tag::as_str),
            digest.map_or("", Digest::as_str),
        ];
        let mut text = parts.join("\n");
        text.push('\n');
        let hex = Digest::sha256(text.as_bytes());
        Self(hex.encoded().chars().take(32).collect())
    }

    /// The 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_intent_and_tag_make_one_id() {
        let intent = IntentId::now();
        let (a, b): (Tag, Tag) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(EventId::of(intent, Some(&a)), EventId::of(intent, Some(&a)));
        assert_ne!(EventId::of(intent, Some(&a)), EventId::of(intent, Some(&b)));
        assert_ne!(EventId::of(intent, Some(&a)), EventId::of(intent, None));
        assert_ne!(EventId::of(IntentId::now(), Some(&a)), EventId::of(intent, Some(&a)));
    }

    #[test]
    fn ids_sort_as_their_intents_and_stay_version_7() {
        let intents: Vec<IntentId> = (0..1000).map(|_| IntentId::now()).collect();
        let events: Vec<EventId> = intents.iter().map(|i| EventId::of(*i, None)).collect();
        assert!(events.is_sorted_by(|a, b| a.as_bytes()[..6] <= b.as_bytes()[..6]));
        assert_eq!(events[0].0.get_version_num(), 7);
        assert_eq!(events[0].to_string().parse::<EventId>().unwrap(), events[0]);
    }

    #[test]
    fn the_same_report_makes_the_same_id() {
        let time = time::macros::datetime!(2026-03-01 09:15:02.123 UTC);
        let id = EventId::told(time, &["a", "bc"]);
        assert_eq!(id, EventId::told(time, &["a", "bc"]));
        assert_ne!(id, EventId::told(time, &["ab", "c"]));
        assert_ne!(id, EventId::told(time, &["a", "bc", ""]));
        assert_eq!((id.0.get_version_num(), id.0.get_variant()), (7, uuid::Variant::RFC4122));
        let later = EventId::told(time + time::Duration::MILLISECOND, &["a", "bc"]);
        assert!(later > id);
        // A time that UUIDs cannot hold is the earliest one they can.
        let ancient = time::macros::datetime!(0001-01-01 0:00 UTC);
        assert!(EventId::told(ancient, &["a"]).to_string().starts_with("00000000-0000-7"));
    }

    #[test]
    fn the_key_can_be_computed_by_anyone() {
        let repository = "team/app".parse().unwrap();
        let tag: Tag = "1.0".parse().unwrap();
        let key = Key::of(Action::Push, "r:5000", &repository, Some(&tag), None);
        let text = "push\nr:5000\nteam/app\n1.0\n\n";
        assert_eq!(key.as_str(), Digest::sha256(text.as_bytes()).encoded().get(..32).unwrap());
    }
}
