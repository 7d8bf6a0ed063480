//! The room on the disk: where all of it takes more than it may, the oldest goes, in the order of what is missed
//! least. New events always go in.
//!
//! 1. history: events that were taken, replaced, or owed to nobody;
//! 2. dead letters, which stay as a number;
//! 3. what is still owed, and that is said as loudly as it can be: nobody will be told of it.

use rusqlite::Connection;
use rusqlite::TransactionBehavior;
use tracing::error;
use tracing::warn;

use super::append::Effects;
use super::expiry;
use super::expiry::Which;
use super::retention;
use super::retention::Needed;
use super::shared::Shared;
use super::shared::Weakness;

/// What is on the disk beside the pages in use: the log, the reserve, and what is free inside the file.
const BESIDE: u64 = 64 << 20;

/// How many events one step looks at.
const STEP: i64 = 512;

/// How many deliveries of each endpoint one step ends.
const ENDED: usize = 256;

/// Where giving up is.
#[derive(Debug, Default)]
pub(super) struct Room {
    stage: Option<Stage>,
    /// The last event looked at.
    after: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    History,
    Dead,
    Owed,
}

impl Room {
    /// Looks how much there is, and gives up some of it if that is too much. Says whether there is more to do.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        shared: &Shared,
        now: i64,
        effects: &mut Effects,
    ) -> rusqlite::Result<bool> {
        let limit = shared.bounds.max_disk_bytes.saturating_sub(BESIDE);
        let (used, file) = bytes(connection)?;
        shared.metrics.disk(file);
        // Once begun, far enough that the next event does not begin it again.
        let enough = limit - limit / 16;
        let Some(stage) = self.stage.filter(|_| used > enough) else {
            self.stage = (used > limit).then_some(Stage::History);
            self.after = 0;
            match self.stage {
                None => drop(shared.mend(Weakness::Disk)),
                Some(_) => warn!(
                    bytes = used,
                    limit = shared.bounds.max_disk_bytes,
                    "The outbox is as large as it may be, it gives up its oldest history"
                ),
            }
            return Ok(self.stage.is_some());
        };
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior)?;
        let looked_at = match stage {
            Stage::History => self.remove(&transaction, Needed::Dead, effects)?,
            Stage::Dead => self.remove(&transaction, Needed::Owed, effects)?,
            Stage::Owed => give_up(&transaction, shared, now, effects)?,
        };
        effects.apply_owed(&transaction)?;
        transaction.commit()?;
        if looked_at == 0 {
            self.after = 0;
            self.stage = match stage {
                Stage::History => Some(Stage::Dead),
                Stage::Dead => Some(Stage::Owed),
                // Nothing is left but what is in flight.
                Stage::Owed => None,
            };
            return Ok(self.stage.is_some());
        }
        Ok(true)
    }

    /// Looks at the next events, and removes those that need not be kept.
    fn remove(
        &mut self,
        connection: &Connection,
        needed: Needed,
        effects: &mut Effects,
    ) -> rusqlite::Result<usize> {
        let sql = "SELECT sequence FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
        let looked_at: Vec<i64> = connection
            .prepare_cached(sql)?
            .query_map([self.after, STEP], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for sequence in &looked_at {
            self.after = *sequence;
            if !retention::is_needed(connection, *sequence, needed)? {
                retention::remove(connection, *sequence, effects)?;
                match needed {
                    Needed::Dead => effects.given_up.history += 1,
                    Needed::Owed => effects.given_up.dead += 1,
                }
            }
        }
        Ok(looked_at.len())
    }
}

/// Ends the oldest of what is owed, and removes it.
fn give_up(
    connection: &Connection,
    shared: &Shared,
    now: i64,
    effects: &mut Effects,
) -> rusqlite::Result<usize> {
    let mut events = Vec::new();
    for endpoint in shared.endpoints.iter() {
        let claims = &shared.claims;
        let ended =
            expiry::expire(connection, claims, endpoint.id, Which::Any, ENDED, now, effects)?;
        events.extend(ended);
    }
    events.sort_unstable();
    events.dedup();
    if events.is_empty() {
        return Ok(0);
    }
    error!(
        events = events.len(),
        limit = shared.bounds.max_disk_bytes,
        "The outbox is as large as it may be and holds nothing but what is owed: the oldest is given up"
    );
    shared.weaken(
        Weakness::Disk,
        "events still owed are given up: the outbox is as large as `outbox.max_disk` allows",
    );
    for sequence in &events {
        if !retention::is_needed(connection, *sequence, Needed::Owed)? {
            retention::remove(connection, *sequence, effects)?;
        }
        effects.given_up.owed += 1;
    }
    Ok(events.len())
}

/// The bytes of pages in use, and of the file.
fn bytes(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let read = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map(|value| u64::try_from(value).unwrap_or_default())
    };
    let (size, pages, free) = (read("page_size")?, read("page_count")?, read("freelist_count")?);
    Ok((pages.saturating_sub(free) * size, pages * size))
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use crate::event::Filter;
    use crate::points::Points;

    use super::super::Bounds;
    use super::super::Metrics;
    use super::super::Subscription;
    use super::super::endpoints::Endpoints;
    use super::super::recovery;
    use super::*;

    /// A hundred events of each kind in turn: taken, dead, owed; 20 KiB each.
    fn filled(directory: &std::path::Path, max_disk_bytes: u64) -> (Connection, Shared) {
        let database = directory.join("outbox.db");
        let mut connection = recovery::open(&database).unwrap();
        let subscription = Subscription {
            endpoint: "a".to_owned(),
            filter: Filter::default(),
            latest_only: false,
        };
        let endpoints = Endpoints::load(&mut connection, vec![subscription]).unwrap();
        let transaction = connection.transaction().unwrap();
        for n in 1..=300_i64 {
            let sql = "INSERT INTO events VALUES (?1, ?2, x'00', 'k', 1, ?3)";
            let envelope = format!("{{\"id\": \"{n}\", \"x\": \"{}\"}}", "x".repeat(20_000));
            transaction.execute(sql, params![n, n.to_be_bytes(), envelope]).unwrap();
            let (state, ended) =
                [("ready", None), ("acked", Some(1)), ("dead", Some(1))][n as usize % 3];
            let sql = "INSERT INTO deliveries (event, endpoint, lane, state, due_at, ended_at)
                       VALUES (?1, 1, ?1, ?2, 0, ?3)";
            transaction.execute(sql, params![n, state, ended]).unwrap();
        }
        transaction.execute("UPDATE endpoints SET owed = 100", []).unwrap();
        transaction.commit().unwrap();
        let bounds = Bounds { max_disk_bytes, ..Bounds::default() };
        let metrics = Metrics::default();
        let points = Points::default();
        let after = super::super::AfterDamage::GoOn;
        (connection, Shared::new(database, endpoints, Vec::new(), points, bounds, after, metrics))
    }

    /// What is left of each kind when there is room again, and what was given up.
    fn left(max_disk_bytes: u64) -> ([i64; 3], Effects, usize) {
        let directory = tempfile::tempdir().unwrap();
        let (mut connection, shared) = filled(directory.path(), max_disk_bytes);
        let (mut room, mut effects) = (Room::default(), Effects::default());
        let mut steps = 0;
        while room.step(&mut connection, &shared, 5, &mut effects).unwrap() {
            shared.claims.release(std::mem::take(&mut effects.taken));
            steps += 1;
            assert!(steps < 100, "it never ends");
        }
        let (used, _) = bytes(&connection).unwrap();
        assert!(used <= max_disk_bytes - BESIDE, "{used}");
        let left = ["acked", "dead", "ready"].map(|state| {
            let sql = "SELECT count(*) FROM deliveries WHERE state = ?1";
            connection.query_row(sql, [state], |row| row.get(0)).unwrap()
        });
        let sql = "SELECT owed, dead_forgotten FROM endpoints";
        let counted: (i64, i64) =
            connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(counted.0, left[2]);
        assert_eq!(
            u64::try_from(counted.1).unwrap(),
            effects.given_up.dead + effects.given_up.owed
        );
        let weaknesses = shared.weaknesses().len();
        (left, effects, weaknesses)
    }

    #[test]
    fn what_is_missed_least_goes_first() {
        const MIB: u64 = 1 << 20;
        let (left_over, effects, _) = left(BESIDE + 8 * MIB);
        assert_eq!(left_over, [100, 100, 100], "there is room");
        assert_eq!(effects.forgotten, 0);
        let (left_over, effects, weaknesses) = left(BESIDE + 5 * MIB);
        assert_eq!(left_over, [0, 100, 100]);
        assert_eq!((effects.given_up.history, effects.given_up.dead), (100, 0));
        assert_eq!(weaknesses, 0);
        let (left_over, effects, weaknesses) = left(BESIDE + 3 * MIB);
        assert_eq!(left_over, [0, 0, 100]);
        assert_eq!((effects.given_up.dead, effects.given_up.owed), (100, 0));
        assert_eq!(weaknesses, 0);
    }

    #[test]
    fn what_is_owed_goes_last_and_that_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let (mut connection, shared) = filled(directory.path(), BESIDE + (1 << 20));
        let (mut room, mut effects) = (Room::default(), Effects::default());
        // One that is in flight is nobody's to end.
        assert!(shared.claims.take(1, 3));
        while effects.given_up.owed == 0 {
            assert!(room.step(&mut connection, &shared, 5, &mut effects).unwrap());
        }
        assert_eq!(shared.weaknesses().len(), 1);
        let sql = "SELECT group_concat(sequence) FROM events";
        let kept: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "3");
        assert_eq!(effects.given_up.owed, 99);
        assert!(!room.step(&mut connection, &shared, 5, &mut effects).unwrap());
        room.step(&mut connection, &shared, 5, &mut effects).unwrap();
        assert!(shared.weaknesses().is_empty(), "there is room again");
    }
}
