//! Per delivery: that it is owed, what its attempts came to, how it ended.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;
use time::OffsetDateTime;

use crate::event::Event;

use super::DeliveryId;
use super::Error;
use super::append::Effects;
use super::append::Replaced;
use super::claims::Claims;
use super::endpoints::Endpoint;
use super::endpoints::first_bytes;
use super::shared::Shared;

/// How an attempt ended, and what comes next.
#[derive(Debug, Clone)]
pub struct AttemptOutcome {
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// The number of the attempt, as claimed.
    pub attempt: u32,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: OffsetDateTime,
    /// What its end means.
    pub class: Class,
    /// The status the receiver answered with, if it did.
    pub status: Option<u16>,
    /// What happened, in words; kept up to [`DETAIL_BYTES`].
    pub detail: String,
    /// What comes next.
    pub next: Next,
}

/// What the end of an attempt means (delivery guarantees, 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The receiver took it.
    Taken,
    /// The endpoint failed, whatever the event.
    Endpoint,
    /// The endpoint does not take this event.
    Event,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is done.
    Acked,
    /// It is attempted again, then.
    Due(OffsetDateTime),
    /// It is given up, and kept for an operator to see and replay.
    Dead(DeadReason),
}

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    /// The receiver does not take this event.
    Refused,
    /// It was owed for too long.
    Expired,
}

/// How much of an attempt's detail is kept.
pub const DETAIL_BYTES: usize = 4096;

/// The most deliveries whose place one event takes; where more are owed, as after the option was switched on, the
/// next event of the tag goes on.
const REPLACED_AT_ONCE: i64 = 1000;

/// Writes down that an event is owed to an endpoint.
pub(super) fn owe(
    connection: &Connection,
    endpoint: &Endpoint,
    event: &Event,
    sequence: i64,
    now: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries (event, endpoint, lane, state, due_at)
             VALUES (?1, ?2, ?3, CASE WHEN EXISTS (
                 SELECT 1 FROM deliveries INDEXED BY deliveries_lane
                 WHERE endpoint = ?2 AND lane = ?3 AND ended_at IS NULL
             ) THEN 'waiting' ELSE 'ready' END, ?4)",
        )?
        .execute(params![sequence, endpoint.id, lane(event), now])?;
    Ok(())
}

/// Ends what a newer event of the lane takes the place of (option `latest_only`), except what is being attempted:
/// of that its own outcome decides. Lanes are told apart by a hash, and two registries may share one: only what is
/// about the very same tag is replaced.
pub(super) fn replace(
    connection: &Connection,
    claims: &Claims,
    endpoint: &Endpoint,
    event: &Event,
    by: i64,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let now = millis(OffsetDateTime::now_utc());
    let older: Vec<i64> = connection
        .prepare_cached(
            "SELECT d.event FROM deliveries d INDEXED BY deliveries_lane
             JOIN events e ON e.sequence = d.event
             WHERE d.endpoint = ?1 AND d.lane = ?2 AND d.ended_at IS NULL
                 AND e.envelope ->> '$.subject' = ?3 AND e.envelope ->> '$.data.registry' = ?4
             ORDER BY d.event LIMIT ?5",
        )?
        .query_map(
            params![endpoint.id, lane(event), event.subject(), event.registry, REPLACED_AT_ONCE],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for older in older {
        if claims.take(endpoint.id, older) {
            effects.taken.push((endpoint.id, older));
            end_replaced(connection, endpoint.id, older, by, now, effects)?;
        }
    }
    // What collided with the lane goes ahead, if it was behind what went.
    promote(connection, endpoint.id, lane(event))?;
    Ok(())
}

fn end_replaced(
    connection: &Connection,
    endpoint: i64,
    event: i64,
    by: i64,
    now: i64,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = 'replaced', ended_at = ?3, reason = ?4
             WHERE event = ?1 AND endpoint = ?2",
        )?
        .execute(params![event, endpoint, now, format!("by {by}")])?;
    effects.owed.entry(endpoint).or_default().change -= 1;
    effects.replaced.push(Replaced { endpoint, event, by });
    Ok(())
}

/// The newest event of the same tag that waits behind this one.
fn newer(
    connection: &Connection,
    endpoint: i64,
    lane: i64,
    event: i64,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT d.event FROM deliveries d INDEXED BY deliveries_lane
             JOIN events e ON e.sequence = d.event JOIN events this ON this.sequence = ?3
             WHERE d.endpoint = ?1 AND d.lane = ?2 AND d.ended_at IS NULL AND d.event > ?3
                 AND e.envelope ->> '$.subject' = this.envelope ->> '$.subject'
                 AND e.envelope ->> '$.data.registry' = this.envelope ->> '$.data.registry'
             ORDER BY d.event DESC LIMIT 1",
        )?
        .query_row([endpoint, lane, event], |row| row.get(0))
        .optional()
}

fn lane(event: &Event) -> i64 {
    i64::from_be_bytes(first_bytes(&event.lane()))
}

/// Writes down the end of an attempt. One that is there already, or of a delivery that has ended, is
/// taken as said: the answer to the first try of the same call may have got lost in a failed commit.
pub(super) fn record(
    connection: &Connection,
    shared: &Shared,
    outcome: &AttemptOutcome,
    effects: &mut Effects,
) -> rusqlite::Result<Result<(), Error>> {
    let unknown = Ok(Err(Error::UnknownDelivery { delivery: outcome.delivery }));
    let Some(endpoint) = shared.endpoints.with_mark(outcome.delivery.endpoint_mark()) else {
        return unknown;
    };
    let found = connection
        .prepare_cached(
            "SELECT d.event, d.lane, d.attempts, d.ended_at IS NOT NULL
             FROM events e JOIN deliveries d ON d.event = e.sequence AND d.endpoint = ?2
             WHERE e.id = ?1",
        )?
        .query_row(params![outcome.delivery.event().as_bytes(), endpoint.id], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, u32>(2)?,
                row.get::<_, bool>(3)?,
            ))
        })
        .optional()?;
    let Some((event, lane, attempts, ended)) = found else {
        return unknown;
    };
    effects.released.push((endpoint.id, event));
    if ended || outcome.attempt <= attempts {
        return Ok(Ok(()));
    }
    let ended_at = millis(outcome.ended_at);
    let (state, due_at, ended_at, reason) = match outcome.next {
        Next::Due(due) => ("later", millis(due), None, None),
        Next::Acked => ("acked", ended_at, Some(ended_at), None),
        Next::Dead(reason) => ("dead", ended_at, Some(ended_at), Some(reason.as_str())),
    };
    connection
        .prepare_cached(
            "UPDATE deliveries
             SET state = ?3, due_at = ?4, ended_at = ?5, reason = ?6, attempts = ?7,
                 event_failures = event_failures + ?8
             WHERE event = ?1 AND endpoint = ?2",
        )?
        .execute(params![
            event,
            endpoint.id,
            state,
            due_at,
            ended_at,
            reason,
            outcome.attempt,
            outcome.class == Class::Event,
        ])?;
    let kept = shared.bounds.keep_attempts;
    write_attempt(connection, event, endpoint.id, outcome, kept)?;
    effects.outcomes += 1;
    if ended_at.is_none()
        && endpoint.latest_only
        && let Some(by) = newer(connection, endpoint.id, lane, event)?
    {
        end_replaced(connection, endpoint.id, event, by, millis(outcome.ended_at), effects)?;
        let promoted = promote(connection, endpoint.id, lane)?;
        effects.owed.entry(endpoint.id).or_default().claimable += u64::from(promoted.is_some());
    }
    if ended_at.is_some() {
        let owed = effects.owed.entry(endpoint.id).or_default();
        owed.change -= 1;
        owed.claimable += u64::from(promote(connection, endpoint.id, lane)?.is_some());
    }
    Ok(Ok(()))
}

/// Makes deliveries that have ended owed again, in their place in the lane. What was held against the event is
/// forgotten; the numbers of its attempts go on. Says which of them.
pub(super) fn replay(
    connection: &Connection,
    shared: &Shared,
    ids: &[DeliveryId],
    now: i64,
    effects: &mut Effects,
) -> rusqlite::Result<Vec<DeliveryId>> {
    let mut again = Vec::new();
    for id in ids {
        let Some(endpoint) = shared.endpoints.with_mark(id.endpoint_mark()) else {
            continue;
        };
        let changed = connection
            .prepare_cached(
                "UPDATE deliveries
                 SET due_at = ?3, ended_at = NULL, reason = NULL, event_failures = 0,
                     state = CASE WHEN EXISTS (
                         SELECT 1 FROM deliveries o INDEXED BY deliveries_lane
                         WHERE o.endpoint = ?2 AND o.lane = deliveries.lane AND o.ended_at IS NULL
                     ) THEN 'waiting' ELSE 'ready' END
                 WHERE event = (SELECT sequence FROM events WHERE id = ?1) AND endpoint = ?2
                   AND ended_at IS NOT NULL",
            )?
            .execute(params![id.event().as_bytes(), endpoint.id, now])?;
        if changed > 0 {
            let owed = effects.owed.entry(endpoint.id).or_default();
            owed.change += 1;
            owed.claimable += 1;
            again.push(*id);
        }
    }
    Ok(again)
}

/// Lets the next of a lane go ahead, if there is one, and says which.
pub(super) fn promote(
    connection: &Connection,
    endpoint: i64,
    lane: i64,
) -> rusqlite::Result<Option<i64>> {
    let next = connection
        .prepare_cached(
            "SELECT event FROM deliveries INDEXED BY deliveries_lane
             WHERE endpoint = ?1 AND lane = ?2 AND ended_at IS NULL ORDER BY event LIMIT 1",
        )?
        .query_row([endpoint, lane], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(event) = next else {
        return Ok(None);
    };
    let sql = "UPDATE deliveries SET state = 'ready'
               WHERE event = ?1 AND endpoint = ?2 AND state = 'waiting'";
    let promoted = connection.prepare_cached(sql)?.execute([event, endpoint])? > 0;
    Ok(promoted.then_some(event))
}

fn write_attempt(
    connection: &Connection,
    event: i64,
    endpoint: i64,
    outcome: &AttemptOutcome,
    kept: u32,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO attempts
                 (event, endpoint, number, started_at, ended_at, class, status, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            event,
            endpoint,
            outcome.attempt,
            millis(outcome.started_at),
            millis(outcome.ended_at),
            outcome.class.as_str(),
            outcome.status,
            cut(&outcome.detail),
        ])?;
    if outcome.attempt > kept {
        let sql = "DELETE FROM attempts WHERE event = ?1 AND endpoint = ?2 AND number <= ?3";
        let last = outcome.attempt - kept;
        connection.prepare_cached(sql)?.execute(params![event, endpoint, last])?;
    }
    Ok(())
}

fn cut(detail: &str) -> &str {
    let ends = (0..=DETAIL_BYTES.min(detail.len())).rev();
    ends.into_iter().find_map(|end| detail.get(..end)).unwrap_or_default()
}

/// A time as it is stored.
pub(super) fn millis(time: OffsetDateTime) -> i64 {
    // Every time there is fits: the year 9999 is 2.5e14 milliseconds away.
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// A stored time.
pub(super) fn at(millis: i64) -> OffsetDateTime {
    // Only a hand that wrote to the database puts a time there that does not exist.
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl Class {
    /// The word for it in the database and on the admin page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Endpoint => "endpoint",
            Self::Event => "event",
        }
    }
}

impl DeadReason {
    /// The word for it in the database and on the admin page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(DETAIL_BYTES);
        assert_eq!(cut(&format!("x{long}")).len(), DETAIL_BYTES - 1);
        assert_eq!(cut(&long).len(), DETAIL_BYTES);
    }

    #[test]
    fn a_time_survives_its_milliseconds() {
        let time = time::macros::datetime!(2026-03-01 09:15:02.123 UTC);
        assert_eq!(at(millis(time)), time);
        let before = time::macros::datetime!(1969-12-31 23:59:59.999 UTC);
        assert_eq!(millis(before), -1);
        assert_eq!(at(i64::MAX), OffsetDateTime::UNIX_EPOCH);
    }
}
