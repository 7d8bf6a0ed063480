//! Deliveries that were owed for too long, or too many of them: the oldest become dead letters.
//!
//! The oldest of all is always the first of its lane, so no scan is needed to find it, however many are owed. What
//! is being attempted is left alone: its own outcome decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::append::Effects;
use super::claims::Claims;
use super::deliveries;
use super::deliveries::DeadReason;

/// Which of them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    /// However old they are.
    Any,
    /// Those appended at that time or before.
    AppendedBy(i64),
}

/// Ends the oldest deliveries owed to an endpoint, at most so many, and says which events they are of.
pub(super) fn expire(
    connection: &Connection,
    claims: &Claims,
    endpoint: i64,
    which: Which,
    most: usize,
    now: i64,
    effects: &mut Effects,
) -> rusqlite::Result<Vec<i64>> {
    // Behind what is claimed there are as many again.
    let heads = most.saturating_add(claims.of(endpoint).len());
    let mut oldest = BinaryHeap::new();
    for sql in [
        "SELECT event FROM deliveries INDEXED BY deliveries_ready
         WHERE endpoint = ?1 AND state = 'ready' ORDER BY event LIMIT ?2",
        "SELECT event FROM deliveries INDEXED BY deliveries_tried
         WHERE endpoint = ?1 AND state = 'later' ORDER BY event LIMIT ?2",
    ] {
        let limit = i64::try_from(heads).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(sql)?;
        for event in statement.query_map([endpoint, limit], |row| row.get::<_, i64>(0))? {
            oldest.push(Reverse(event?));
        }
    }
    let mut expired = Vec::new();
    while expired.len() < most
        && let Some(Reverse(event)) = oldest.pop()
    {
        if let Which::AppendedBy(then) = which
            && appended_at(connection, event)?.is_none_or(|at| at > then)
        {
            break;
        }
        if !claims.take(endpoint, event) {
            continue;
        }
        effects.taken.push((endpoint, event));
        let lane = connection
            .prepare_cached(
                "UPDATE deliveries SET state = 'dead', ended_at = ?3, reason = ?4
                 WHERE event = ?1 AND endpoint = ?2 RETURNING lane",
            )?
            .query_row(params![event, endpoint, now, DeadReason::Expired.as_str()], |row| {
                row.get::<_, i64>(0)
            })?;
        expired.push(event);
        *effects.expired.entry(endpoint).or_default() += 1;
        let next = deliveries::promote(connection, endpoint, lane)?;
        let owed = effects.owed.entry(endpoint).or_default();
        owed.change -= 1;
        if let Some(next) = next {
            owed.claimable += 1;
            oldest.push(Reverse(next));
        }
    }
    Ok(expired)
}

fn appended_at(connection: &Connection, event: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT appended_at FROM events WHERE sequence = ?1";
    connection.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()
}
