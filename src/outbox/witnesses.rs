//! The memory that pairing asks: open intents, events, and notifications that wait, by what they are about.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;

use crate::event::Event;
use crate::event::EventId;
use crate::event::IntentId;
use crate::pairing::Candidate;
use crate::pairing::Fact;
use crate::pairing::Hearsay;
use crate::pairing::Held;
use crate::pairing::Memory;
use crate::pairing::Observed;
use crate::pairing::Report;
use crate::pairing::Rules;
use crate::pairing::Subject;
use crate::pairing::Told;

use super::deliveries::millis;

/// What a link says of an observation that has no event of its own.
pub(super) const PROXY: &str = "proxy";

/// The most candidates of one subject; nobody pushes one content to one tag so often in a minute.
const CANDIDATES: i64 = 512;

/// The longest exchange that is sure to be found by its end: an hour.
const LONGEST: i64 = 3_600_000;

/// The tables, as pairing sees them.
pub(super) struct Witnesses<'a> {
    pub(super) connection: &'a Connection,
    pub(super) rules: &'a Rules,
}

/// What an event is about, and when it happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) subject: Subject,
    pub(super) began: i64,
    pub(super) ended: i64,
    /// When it arrived, of one that we were only told of.
    pub(super) hearsay: Option<i64>,
}

impl Sighting {
    /// Of an exchange of ours. Where nobody saw the answer, it is taken for as long as it could last.
    pub(super) fn of_exchange(event: &Event, now: i64) -> Self {
        let began = millis(event.started_at.unwrap_or(event.time));
        let ended = event.answered_at.map_or(now.min(began.saturating_add(LONGEST)), millis);
        Self { subject: Subject::of(event), began, ended: ended.max(began), hearsay: None }
    }

    /// Of what somebody told, or of what we found when we looked.
    pub(super) fn of_hearsay(event: &Event, received: i64) -> Self {
        let at = millis(event.time);
        Self { subject: Subject::of(event), began: at, ended: at, hearsay: Some(received) }
    }

    pub(super) fn write(&self, connection: &Connection, event: i64) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO sightings (event, name, content, began, ended, hearsay)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                event,
                self.subject.name,
                self.subject.content,
                self.began,
                self.ended,
                self.hearsay
            ])?;
        Ok(())
    }
}

impl Memory for Witnesses<'_> {
    type Error = rusqlite::Error;

    fn knows(&mut self, told: &Told) -> rusqlite::Result<bool> {
        let known = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM links WHERE source = ?1 AND source_id = ?2
                 UNION ALL
                 SELECT 1 FROM notifications WHERE source = ?1 AND source_id = ?2",
            )?
            .query_row(params![told.source, told.id.to_string()], |_| Ok(()))
            .optional()?;
        Ok(known.is_some())
    }

    fn intents(&mut self, told: &Told) -> rusqlite::Result<Vec<Candidate>> {
        if told.subject.content.is_none() && told.subject.name != told.subject.exchange {
            return Ok(Vec::new());
        }
        let working = i64::try_from(self.rules.working.as_millis()).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(
            "SELECT i.id, i.began, i.opened_at, n.source_id, n.stamp, n.received_at
             FROM intents i LEFT JOIN notifications n ON n.intent = i.id AND n.source = ?2
             WHERE i.exchange = ?1 LIMIT ?3",
        )?;
        let read = |row: &Row<'_>| {
            let opened: i64 = row.get(2)?;
            Ok(Candidate {
                fact: Fact::Intent(IntentId::from_bytes(row.get(0)?)),
                began: row.get::<_, Option<i64>>(1)?.unwrap_or(opened),
                ended: opened.saturating_add(working),
                taken: report(row, 3)?,
            })
        };
        let about = params![told.subject.exchange, told.source, CANDIDATES];
        statement.query_map(about, read)?.collect()
    }

    fn events(&mut self, told: &Told, from: i64, to: i64) -> rusqlite::Result<Vec<Candidate>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT s.event, s.began, s.ended, l.source_id, l.stamp, l.received_at
             FROM sightings s LEFT JOIN links l ON l.event = s.event AND l.source = ?2
             WHERE s.name = ?1 AND s.began BETWEEN ?3 AND ?4 AND s.ended >= ?5
                   AND (s.content IS NULL OR ?6 IS NULL OR s.content = ?6)
             ORDER BY s.began LIMIT ?7",
        )?;
        let read = |row: &Row<'_>| {
            Ok(Candidate {
                fact: Fact::Event(row.get(0)?),
                began: row.get(1)?,
                ended: row.get(2)?,
                taken: report(row, 3)?,
            })
        };
        let about = params![
            told.subject.name,
            told.source,
            from.saturating_sub(LONGEST),
            to,
            from,
            told.subject.content,
            CANDIDATES
        ];
        statement.query_map(about, read)?.collect()
    }

    fn held(&mut self, observed: &Observed) -> rusqlite::Result<Vec<Held>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT source, source_id, stamp, received_at FROM notifications
             WHERE state = 'held' AND name = ?1
                   AND (content IS NULL OR ?2 IS NULL OR content = ?2)
             ORDER BY number LIMIT ?3",
        )?;
        let about = params![observed.subject.name, observed.subject.content, CANDIDATES];
        let rows =
            statement.query_map(about, |row| Ok((row.get::<_, String>(0)?, report(row, 1)?)))?;
        let mut held = Vec::new();
        for row in rows {
            if let (source, Some(report)) = row? {
                held.push(Held { source, report });
            }
        }
        Ok(held)
    }

    fn hearsay(
        &mut self,
        observed: &Observed,
        from: i64,
        to: i64,
    ) -> rusqlite::Result<Vec<Hearsay>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT s.event, e.id, s.began, s.hearsay
             FROM sightings s JOIN events e ON e.sequence = s.event
             WHERE s.name = ?1 AND s.began BETWEEN ?2 AND ?3 AND s.hearsay IS NOT NULL
                   AND (s.content IS NULL OR ?4 IS NULL OR s.content = ?4)
                   AND NOT EXISTS
                       (SELECT 1 FROM links l WHERE l.event = s.event AND l.source = ?5)
             ORDER BY s.began LIMIT ?6",
        )?;
        let read = |row: &Row<'_>| {
            let report = Report {
                id: EventId::from_bytes(row.get(1)?),
                at: row.get(2)?,
                received: row.get(3)?,
            };
            Ok(Hearsay { event: row.get(0)?, report })
        };
        let subject = &observed.subject;
        let about = params![subject.name, from, to, subject.content, PROXY, CANDIDATES];
        statement.query_map(about, read)?.collect()
    }
}

/// A report in three columns from this one on: its id, its stamp, when it arrived.
fn report(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Report>> {
    let Some(id) = row.get::<_, Option<String>>(first)? else {
        return Ok(None);
    };
    // Ids are ours; one that somebody wrote by hand is nobody's report.
    let Ok(id) = id.parse() else {
        return Ok(None);
    };
    Ok(Some(Report { id, at: row.get(first + 1)?, received: row.get(first + 2)? }))
}
