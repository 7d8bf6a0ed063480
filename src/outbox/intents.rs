//! What upstream may have applied, not yet known: one row for each exchange from the moment its last
//! frame may go until its event, or the fact that there is none, is written in its place.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Evidence;
use crate::event::IntentId;
use crate::event::schema::Envelope;
use crate::event::schema::Unreadable;
use crate::pairing::Subject;
use crate::registry::Kind;
use crate::registry::Tag;

use super::deliveries::at;
use super::deliveries::millis;

/// A push or delete that is about to become complete for upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The exchange.
    pub id: IntentId,
    /// The event as it would be, with everything that is known before the registry's answer.
    pub event: Event,
    /// Tags that a push by digest asks for beside it. Whether the registry makes them, only it can say.
    pub tags: Vec<Tag>,
}

/// How sure an intent must be written before the exchange goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced to the disk: it survives a loss of power.
    Synced,
    /// Given to the kernel: it survives our own end. The next sync covers it, within 200 ms.
    Written,
}

/// Why an exchange makes no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The registry refused it.
    Refused,
    /// The registry sent the client elsewhere.
    Redirected,
    /// The registry never had all of the request.
    NotSent,
    /// We looked, and the registry did not apply it.
    NotApplied,
}

/// The most intents of earlier runs that are settled in this one.
const LEFTOVERS: i64 = 100_000;

/// How many events, and how many open intents, are looked at to find one that undid another.
const LOOKED_AT: i64 = 20_000;

/// How an intent is written: `event` is the envelope that would be delivered.
#[derive(Serialize, Deserialize)]
struct Document {
    event: Envelope,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl Intent {
    /// The event this makes for a tag, or for none.
    #[must_use]
    pub fn event_for(&self, tag: Option<&Tag>) -> Event {
        Event {
            id: EventId::of(self.id, tag),
            tag: tag.cloned(),
            kind: Kind::of_tag(tag).or(self.event.kind),
            ..self.event.clone()
        }
    }

    /// Whether an event that was appended then takes away what this did. One that was not appended on the
    /// registry's own answer may have been there so long before the registry had done with it.
    #[must_use]
    pub fn is_undone_by(
        &self,
        event: &Event,
        appended_at: OffsetDateTime,
        working: Duration,
    ) -> bool {
        let since = match event.evidence {
            Evidence::Response => self.since(Duration::ZERO),
            _ => self.since(working),
        };
        appended_at >= since && self.is_opposed_by(event, &[])
    }

    /// Whether the other one, asked to make these tags too, takes away what this one does.
    #[must_use]
    pub fn is_opposed_by(&self, other: &Event, tags: &[Tag]) -> bool {
        let this = &self.event;
        if this.registry != other.registry || this.repository != other.repository {
            return false;
        }
        let mut named = this.tag.iter().chain(&self.tags);
        match (this.action, other.action) {
            (Action::Push, Action::Delete) => match &other.tag {
                Some(tag) => named.any(|named| named == tag),
                None => this.digest.is_none() || this.digest == other.digest,
            },
            (Action::Delete, Action::Push) => match &this.tag {
                Some(tag) => other.tag.iter().chain(tags).any(|pushed| pushed == tag),
                None => other.digest.is_none() || this.digest == other.digest,
            },
            _ => false,
        }
    }

    /// When it began, less this; as times are stored, in whole milliseconds.
    fn since(&self, less: Duration) -> OffsetDateTime {
        let began = at(millis(self.event.started_at.unwrap_or(self.event.time)));
        began.saturating_sub(less.try_into().unwrap_or(time::Duration::MAX))
    }

    fn document(&self) -> String {
        let event = Envelope::of(&self.event);
        let tags = self.tags.iter().map(ToString::to_string).collect();
        // Text, numbers and lists of them: nothing in it can fail to serialize.
        serde_json::to_string(&Document { event, tags }).unwrap_or_default()
    }

    pub(super) fn read(id: IntentId, document: &str) -> Result<Self, Unreadable> {
        let Document { event, tags } =
            serde_json::from_str(document).map_err(|source| Unreadable::Json { source })?;
        let tags: Result<_, _> = tags.iter().map(|tag| tag.parse()).collect();
        let tags = tags.map_err(|_| Unreadable::Field { field: "tags" })?;
        Ok(Self { id, event: event.into_event()?, tags })
    }
}

impl Reason {
    /// The word for it, in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Redirected => "redirected",
            Self::NotSent => "not sent",
            Self::NotApplied => "not applied",
        }
    }
}

/// Writes an intent down; the same one twice is the same row. Where notifications are `paired`, it can be found by
/// what it is about.
pub(super) fn open(
    connection: &Connection,
    intent: &Intent,
    now: i64,
    paired: bool,
) -> rusqlite::Result<()> {
    let event = &intent.event;
    let exchange = paired.then(|| Subject::of(event).exchange);
    let began = paired.then(|| millis(event.started_at.unwrap_or(event.time)));
    connection
        .prepare_cached(
            "INSERT INTO intents (id, opened_at, exchange, began, document)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![intent.id.as_bytes(), now, exchange, began, intent.document()])?;
    Ok(())
}

/// Takes an intent away because its events are in the same transaction.
pub(super) fn fulfil(connection: &Connection, id: IntentId) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM intents WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.execute([id.as_bytes()])? > 0)
}

/// Takes an intent away that makes no event, and says why. Of one that is not there nothing is said.
pub(super) fn close(
    connection: &Connection,
    id: IntentId,
    reason: Reason,
    now: i64,
) -> rusqlite::Result<()> {
    if fulfil(connection, id)? {
        connection
            .prepare_cached(
                "INSERT INTO closed (intent, closed_at, reason) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![id.as_bytes(), now, reason.as_str()])?;
    }
    Ok(())
}

/// Those that an earlier run left, oldest first.
pub(super) fn leftovers(connection: &Connection) -> rusqlite::Result<Vec<IntentId>> {
    connection
        .prepare("SELECT id FROM intents ORDER BY id LIMIT ?1")?
        .query_map([LEFTOVERS], |row| row.get::<_, [u8; 16]>(0).map(IntentId::from_bytes))?
        .collect()
}

/// The document of one that is open.
pub(super) fn document(connection: &Connection, id: IntentId) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT document FROM intents WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()
}

/// Whether the opposite of it was recorded since it was opened, or is open itself.
pub(super) fn undone(
    connection: &Connection,
    intent: &Intent,
    working: Duration,
) -> rusqlite::Result<bool> {
    let since = intent.since(working);
    let mut events = connection.prepare_cached(
        "SELECT appended_at, envelope FROM events ORDER BY sequence DESC LIMIT ?1",
    )?;
    let mut rows = events.query([LOOKED_AT])?;
    while let Some(row) = rows.next()? {
        let appended_at = at(row.get(0)?);
        if appended_at < since {
            break;
        }
        // Most are about something else, and that is found out without reading all of them.
        let envelope = row.get_ref(1)?.as_str()?;
        if envelope.contains(intent.event.repository.as_str())
            && Envelope::read(envelope)
                .is_ok_and(|event| intent.is_undone_by(&event, appended_at, working))
        {
            return Ok(true);
        }
    }
    let mut open = connection.prepare_cached("SELECT id, document FROM intents LIMIT ?1")?;
    let mut rows = open.query([LOOKED_AT])?;
    while let Some(row) = rows.next()? {
        let id = IntentId::from_bytes(row.get(0)?);
        let document = row.get_ref(1)?.as_str()?;
        if document.contains(intent.event.repository.as_str())
            && Intent::read(id, document)
                .is_ok_and(|other| intent.is_opposed_by(&other.event, &other.tags))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use crate::event::schema::tests::sample;

    use super::*;

    #[test]
    fn an_intent_survives_its_document() {
        let id = IntentId::now();
        let tags = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let event = Event { id: EventId::of(id, None), tag: None, ..sample() };
        let intent = Intent { id, event, tags };
        assert_eq!(Intent::read(id, &intent.document()).unwrap(), intent);
        let tag = "sha256-0000000000000000000000000000000000000000000000000000000000000000.sig";
        let signature = intent.event_for(Some(&tag.parse().unwrap()));
        assert_eq!(signature.kind, Some(Kind::Signature));
        assert_eq!(signature.id, EventId::of(id, signature.tag.as_ref()));
        assert!(Intent::read(id, "{}").is_err());
    }
}
