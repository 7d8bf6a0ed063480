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

/// Every one of these walks along an index and stops where it has enough: it costs the same with ten owed and with a
/// million.
const READY: &str = "SELECT event, 0 FROM deliveries INDEXED BY deliveries_ready
     WHERE endpoint = ?1 AND state = 'ready' ORDER BY event";
const LATER: &str = "SELECT event, due_at FROM deliveries INDEXED BY deliveries_later
     WHERE endpoint = ?1 AND state = 'later' ORDER BY due_at, event";
const DUE: &str = "SELECT event, due_at FROM deliveries INDEXED BY deliveries_later
     WHERE endpoint = ?1 AND state = 'later' AND due_at <= ?2 ORDER BY due_at, event";
const AHEAD: &str = "SELECT event, due_at FROM deliveries INDEXED BY deliveries_later
     WHERE endpoint = ?1 AND state = 'later' AND due_at > ?2 ORDER BY due_at, event";

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
    let mut due = take(connection, READY, &[endpoint], claimed, limit)?;
    due.extend(take(connection, DUE, &[endpoint, millis(now)], claimed, limit)?);
    let furthest = millis(now.saturating_add(FURTHEST_AHEAD));
    due.extend(take(connection, AHEAD, &[endpoint, furthest], claimed, limit)?);
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
    if let Some(first) = take(connection, READY, &[endpoint], claimed, 1)?.first() {
        return appended_at(connection, first.event);
    }
    Ok(take(connection, LATER, &[endpoint], claimed, 1)?.first().map(|due| at(due.due_at)))
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
        "SELECT min(event) FROM deliveries INDEXED BY deliveries_tried
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

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::super::recovery;
    use super::*;

    /// So many owed, each in a lane of its own; every second one was attempted before.
    fn owed(number: i64) -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let connection = recovery::open(&directory.path().join("outbox.db")).unwrap();
        connection
            .execute_batch(&format!(
                "INSERT INTO endpoints (id, name) VALUES (1, 'a'), (2, 'b');
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
                 INSERT INTO events SELECT i, CAST(printf('%016d', i) AS BLOB), x'00', 'k', i, '{{}}' FROM n;
                 INSERT INTO deliveries (event, endpoint, lane, state, due_at)
                 SELECT sequence, 1 + sequence % 2, sequence, iif(sequence % 4 < 2, 'ready', 'later'), sequence
                 FROM events;"
            ))
            .unwrap();
        (directory, connection)
    }

    #[test]
    fn what_is_due_is_found_along_an_index_however_much_is_owed() {
        let steps = |number| -> Vec<i32> {
            let (_directory, connection) = owed(number);
            let plan = |sql: &str, parameters: &[i64]| -> String {
                let sql = format!("EXPLAIN QUERY PLAN {sql}");
                let mut statement = connection.prepare(&sql).unwrap();
                let rows = statement
                    .query_map(rusqlite::params_from_iter(parameters), |row| {
                        row.get::<_, String>(3)
                    })
                    .unwrap();
                rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
            };
            let queries: [(&str, &[i64]); 4] =
                [(READY, &[1]), (LATER, &[1]), (DUE, &[1, i64::MAX]), (AHEAD, &[1, 5])];
            let steps = queries.map(|(sql, parameters)| {
                let plan = plan(sql, parameters);
                assert!(plan.starts_with("SEARCH deliveries USING "), "{sql}: {plan}");
                assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
                let mut statement = connection.prepare(sql).unwrap();
                let mut rows = statement.query(rusqlite::params_from_iter(parameters)).unwrap();
                for _ in 0..8 {
                    assert!(rows.next().unwrap().is_some(), "{sql}");
                }
                drop(rows);
                statement.get_status(StatementStatus::VmStep)
            });
            steps.to_vec()
        };
        // The control: the same rows without the index are walked through.
        assert_eq!(steps(200), steps(20_000));
        let (_directory, connection) = owed(20_000);
        let mut scan = connection
            .prepare("SELECT event FROM deliveries NOT INDEXED WHERE endpoint = 2 AND state = 'later' LIMIT 1 OFFSET 4000")
            .unwrap();
        scan.query_row([], |_| Ok(())).unwrap();
        assert!(scan.get_status(StatementStatus::VmStep) > 10_000);
    }
}
