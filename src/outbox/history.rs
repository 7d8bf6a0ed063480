//! What was told to whom, for operators; read only, in pages that never cost more than a bounded scan.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;
use time::OffsetDateTime;

use crate::event::EventId;

use super::DeliveryId;
use super::deliveries::at;
use super::deliveries::millis;

/// The most rows of a page.
pub const MOST_ROWS: usize = 200;

/// The most events that one page looks at: a page may be short, or empty, and still not the last.
const WINDOW: i64 = 20_000;

/// Which deliveries are looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// To this endpoint only.
    pub endpoint: Option<String>,
    /// In this state only: `waiting`, `ready`, `later`, `acked`, `replaced` or `dead`.
    pub state: Option<String>,
    /// Of events that were appended then or later.
    pub since: Option<OffsetDateTime>,
    /// Of this event only.
    pub event: Option<EventId>,
    /// Where the page before ended.
    pub before: Option<Cursor>,
    /// The most rows; never more than [`MOST_ROWS`].
    pub limit: usize,
}

/// Where a page of deliveries ended, newest first: the row of the event, then that of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub i64, pub i64);

/// Rows, and where the next ones begin if there may be more.
#[derive(Debug, Clone)]
pub struct Page<R, C> {
    /// The rows, newest first.
    pub rows: Vec<R>,
    /// Where the next page begins.
    pub next: Option<C>,
}

/// An event as it is stored.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Its place in the order of all.
    pub sequence: i64,
    /// When it became durable.
    pub appended_at: OffsetDateTime,
    /// Its CloudEvents JSON.
    pub envelope: String,
}

/// How a delivery stands.
#[derive(Debug, Clone)]
pub struct StoredDelivery {
    /// Its id, `webhook-id` of each attempt.
    pub id: DeliveryId,
    /// To whom.
    pub endpoint: String,
    /// The event's CloudEvents JSON.
    pub envelope: String,
    /// `waiting`, `ready`, `later`, `acked`, `replaced` or `dead`.
    pub state: String,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the event was appended.
    pub owed_since: OffsetDateTime,
    /// When it is due again, where it waits for that.
    pub due_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// Why it was given up.
    pub reason: Option<String>,
}

/// How one attempt ended.
#[derive(Debug, Clone)]
pub struct StoredAttempt {
    /// Its number.
    pub number: u32,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: OffsetDateTime,
    /// `taken`, `endpoint` or `event`.
    pub class: String,
    /// The receiver's status.
    pub status: Option<u16>,
    /// What happened, in words.
    pub detail: String,
}

pub(super) fn events(
    connection: &Connection,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Page<StoredEvent, i64>> {
    let limit = limit.clamp(1, MOST_ROWS);
    let sql = "SELECT sequence, appended_at, envelope FROM events
               WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![before.unwrap_or(i64::MAX), limit as i64], event)?;
    let rows: Vec<StoredEvent> = rows.collect::<Result<_, _>>()?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|last| last.sequence);
    Ok(Page { rows, next })
}

pub(super) fn event_of(
    connection: &Connection,
    id: EventId,
) -> rusqlite::Result<Option<StoredEvent>> {
    let sql = "SELECT sequence, appended_at, envelope FROM events WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id.as_bytes()], event).optional()
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let (sequence, appended_at, envelope) = (row.get(0)?, at(row.get(1)?), row.get(2)?);
    Ok(StoredEvent { sequence, appended_at, envelope })
}

pub(super) fn deliveries(
    connection: &Connection,
    wanted: &Wanted,
) -> rusqlite::Result<Page<StoredDelivery, Cursor>> {
    let limit = wanted.limit.clamp(1, MOST_ROWS);
    let last: Option<i64> =
        connection.query_row("SELECT max(sequence) FROM events", [], |row| row.get(0))?;
    let start = wanted.before.unwrap_or(Cursor(last.unwrap_or(0), i64::MAX));
    let (mut from, mut to) = (start.0.saturating_sub(WINDOW), start.0);
    if let Some(id) = wanted.event {
        let only = event_of(connection, id)?.map_or(-1, |event| event.sequence);
        (from, to) = (only, only.min(to));
    }
    let since = wanted.since.map_or(i64::MIN, millis);
    let sql = "SELECT d.event, d.endpoint, e.id, p.name, e.envelope, d.state, d.attempts, e.appended_at,
                      d.due_at, d.ended_at, d.reason
               FROM deliveries d JOIN events e ON e.sequence = d.event JOIN endpoints p ON p.id = d.endpoint
               WHERE d.event BETWEEN ?1 AND ?2 AND (d.event, d.endpoint) < (?3, ?4)
                 AND (?5 IS NULL OR p.name = ?5) AND (?6 IS NULL OR d.state = ?6) AND e.appended_at >= ?7
               ORDER BY d.event DESC, d.endpoint DESC LIMIT ?8";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params![
        from,
        to,
        start.0,
        start.1,
        wanted.endpoint,
        wanted.state,
        since,
        limit as i64
    ])?;
    let (mut rows, mut cursor) = (Vec::new(), None);
    while let Some(row) = found.next()? {
        cursor = Some(Cursor(row.get(0)?, row.get(1)?));
        rows.push(delivery(row)?);
    }
    if rows.len() < limit {
        let older =
            "SELECT appended_at FROM events WHERE sequence < ?1 ORDER BY sequence DESC LIMIT 1";
        let older: Option<i64> =
            connection.prepare_cached(older)?.query_row([from], |row| row.get(0)).optional()?;
        let more = wanted.event.is_none() && older.is_some_and(|appended| appended >= since);
        cursor = more.then_some(Cursor(from, 0));
    }
    Ok(Page { rows, next: cursor })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    let (id, endpoint): ([u8; 16], String) = (row.get(2)?, row.get(3)?);
    let state: String = row.get(5)?;
    let due_at: i64 = row.get(8)?;
    let ended_at: Option<i64> = row.get(9)?;
    Ok(StoredDelivery {
        id: DeliveryId::of(EventId::from_bytes(id), &endpoint),
        endpoint,
        envelope: row.get(4)?,
        due_at: (state == "later").then(|| at(due_at)),
        state,
        attempts: row.get(6)?,
        owed_since: at(row.get(7)?),
        ended_at: ended_at.map(at),
        reason: row.get(10)?,
    })
}

pub(super) fn attempts(
    connection: &Connection,
    event: EventId,
    endpoint: i64,
) -> rusqlite::Result<Vec<StoredAttempt>> {
    let sql = "SELECT a.number, a.started_at, a.ended_at, a.class, a.status, a.detail
               FROM events e JOIN attempts a ON a.event = e.sequence AND a.endpoint = ?2
               WHERE e.id = ?1 ORDER BY a.number";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![event.as_bytes(), endpoint], |row| {
        Ok(StoredAttempt {
            number: row.get(0)?,
            started_at: at(row.get(1)?),
            ended_at: at(row.get(2)?),
            class: row.get(3)?,
            status: row.get(4)?,
            detail: row.get(5)?,
        })
    })?;
    rows.collect()
}
