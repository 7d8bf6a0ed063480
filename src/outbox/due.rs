//! What is due, and all that an attempt of it needs; read only.

use std::collections::HashSet;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use time::OffsetDateTime;

use crate::event::Event;

use super::DeliveryId;
use super::Error;
use super::append::read_event;
use super::deliveries::at;
use super::deliveries::millis;
use super::endpoints::Endpoint;

/// A delivery taken to be attempted. Whoever has it records an outcome, or gives it back.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The event.
    pub event: Event,
    /// The event as it is stored: its CloudEvents JSON.
    pub envelope: String,
    /// The number of the attempt to make, 1 for the first.
    pub attempt: u32,
    /// How many attempts so far ended in [`Class::Event`](super::Class::Event).
    pub event_failures: u32,
    /// When the event was appended.
    pub owed_since: OffsetDateTime,
}

/// A due time further ahead than any schedule asks for was written before the clock went back, and is
/// taken as due.
const FURTHEST_AHEAD: time::Duration = time::Duration::days(7);

/// A delivery that can be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    event: i64,
    due_at: i64,
}

/// What is due at an endpoint and not claimed: the first of each lane, oldest event first. Among those
/// attempted before, whichever became due first comes first; sorting all of them by age would cost a
/// scan of as many lanes as are failing.
pub(super) fn events(
    connection: &Connection,
    endpoint: i64,
    claimed: &HashSet<i64>,
    now: OffsetDateTime,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let ready = "SELECT event, 0 FROM deliveries INDEXED BY deliveries_ready
                 WHERE endpoint = ?1 AND state = 'ready' ORDER BY event";
    let mut due = take(connection, ready, &[endpoint], claimed, limit)?;
    let later = "SELECT event, due_at FROM deliveries INDEXED BY deliveries_later
                 WHERE endpoint = ?1 AND state = 'later' AND due_at <= ?2 ORDER BY due_at, event";
    due.extend(take(connection, later, &[endpoint, millis(now)], claimed, limit)?);
    let ahead = "SELECT event, due_at FROM deliveries INDEXED BY deliveries_later
                 WHERE endpoint = ?1 AND state = 'later' AND due_at > ?2 ORDER BY due_at, event";
    let furthest = millis(now.saturating_add(FURTHEST_AHEAD));
    due.extend(take(connection, ahead, &[endpoint, furthest], claimed, limit)?);
    let mut events: Vec<i64> = due.into_iter().map(|due| due.event).collect();
    events.sort_unstable();
    events.truncate(limit);
    Ok(events)
}

/// When the next delivery that is not claimed is due at an endpoint.
pub(super) fn next(
    connection: &Connection,
    endpoint: i64,
    claimed: &HashSet<i64>,
) -> rusqlite::Result<Option<OffsetDateTime>> {
    let ready = "SELECT event, 0 FROM deliveries INDEXED BY deliveries_ready
                 WHERE endpoint = ?1 AND state = 'ready' ORDER BY event";
    if let Some(first) = take(connection, ready, &[endpoint], claimed, 1)?.first() {
        return appended_at(connection, first.event);
    }
    let later = "SELECT event, due_at FROM deliveries INDEXED BY deliveries_later
                 WHERE endpoint = ?1 AND state = 'later' ORDER BY due_at, event";
    Ok(take(connection, later, &[endpoint], claimed, 1)?.first().map(|due| at(due.due_at)))
}

/// When the oldest event still owed to an endpoint was appended.
pub(super) fn oldest_owed(
    connection: &Connection,
    endpoint: i64,
) -> rusqlite::Result<Option<OffsetDateTime>> {
    // The oldest of all is the first of its lane, so it is never among those waiting.
    let mut oldest: Option<i64> = None;
    for sql in [
        "SELECT min(event) FROM deliveries INDEXED BY deliveries_ready
         WHERE endpoint = ?1 AND state = 'ready'",
        "SELECT min(event) FROM deliveries INDEXED BY deliveries_later
         WHERE endpoint = ?1 AND state = 'later'",
    ] {
        let found: Option<i64> =
            connection.prepare_cached(sql)?.query_row([endpoint], |row| row.get(0))?;
        oldest = oldest.into_iter().chain(found).min();
    }
    oldest.map_or(Ok(None), |event| appended_at(connection, event))
}

/// All that a claim needs, or nothing if the delivery has ended; an error that is not SQLite's names what cannot
/// be read.
pub(super) fn claim(
    connection: &Connection,
    endpoint: &Endpoint,
    sequence: i64,
) -> rusqlite::Result<Option<Result<Claim, Error>>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok((
            row.get::<_, u32>(0)?,
            row.get::<_, u32>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, String>(3)?,
        ))
    };
    let found = connection
        .prepare_cached(
            "SELECT d.attempts, d.event_failures, e.appended_at, e.envelope
             FROM deliveries d JOIN events e ON e.sequence = d.event
             WHERE d.event = ?1 AND d.endpoint = ?2 AND d.ended_at IS NULL",
        )?
        .query_row([sequence, endpoint.id], read)
        .optional()?;
    Ok(found.map(|(attempts, event_failures, appended_at, envelope)| {
        let event = read_event(sequence, &envelope)?;
        Ok(Claim {
            delivery: DeliveryId::of(event.id, &endpoint.name),
            event,
            envelope,
            attempt: attempts.saturating_add(1),
            event_failures,
            owed_since: at(appended_at),
        })
    }))
}

fn take(
    connection: &Connection,
    sql: &str,
    parameters: &[i64],
    claimed: &HashSet<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<Due>> {
    let mut taken = Vec::new();
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    while taken.len() < limit
        && let Some(row) = rows.next()?
    {
        let due = Due { event: row.get(0)?, due_at: row.get(1)? };
        if !claimed.contains(&due.event) {
            taken.push(due);
        }
    }
    Ok(taken)
}

fn appended_at(connection: &Connection, event: i64) -> rusqlite::Result<Option<OffsetDateTime>> {
    let sql = "SELECT appended_at FROM events WHERE sequence = ?1";
    let found = connection.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()?;
    Ok(found.map(at))
}
