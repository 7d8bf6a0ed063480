//! What may be forgotten, and when: small steps of the writer, so that no append waits for one long.
//!
//! | what | is forgotten |
//! |---|---|
//! | an event and its deliveries | `keep_history` after the last of them was taken or replaced, `keep_dead` after it became a dead letter; one owed to nobody, `keep_history` after it was appended: until then it says why nobody was told |
//! | a delivery still owed | never; after `max_age` it becomes a dead letter, see `expiry` |
//! | that a tag was deleted | after `keep_history`: from then on a look says so |
//! | that an exchange made no event | after `keep_history` |
//! | the size of a manifest | when a million newer ones are known |
//! | what an event was about, for pairing | after `match.memory`, or when a million newer ones are known |
//! | a notification in quarantine | after 30 days, or when a thousand newer ones are there |
//!
//! Where the disk has no room for as much, `room` says what goes earlier.
//!
//! Ages are told by a clock that only goes as fast as time passes: whoever sets the wall clock ten years ahead makes
//! nothing old. One that was wrong at our start is believed until the next.

use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::TransactionBehavior;
use time::OffsetDateTime;
use tracing::info;

use crate::pairing::Rules;

use super::append::Effects;
use super::bounds::Bounds;
use super::deliveries::millis;
use super::expiry;
use super::expiry::Which;
use super::room::Room;
use super::shared::Shared;

/// How many rows of each kind one step looks at.
const STEP: i64 = 200;

/// How many deliveries of an endpoint one step ends.
const EXPIRED: usize = 500;

/// How many sizes of manifests are kept.
const SIZES: i64 = 1_000_000;

/// How many events are remembered for pairing.
const SIGHTINGS: i64 = 1_000_000;

/// How many free pages stay in the file for what comes next, and how many go at once.
const FREE_PAGES: i64 = 1024;
const FREED_PAGES: u32 = 256;

/// From one pass over the old events to the next; from one look at the age of what is owed, and at the size of all,
/// to the next.
const BETWEEN_PASSES: Duration = Duration::from_secs(600);
const BETWEEN_EXPIRIES: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const BETWEEN_IDLE_LOOKS: Duration = Duration::from_secs(30);

/// From a step that failed to the next try: whatever is in the way is likely still there.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// From one step to the next: short when idle, longer while there is work.
const BETWEEN_IDLE_STEPS: Duration = Duration::from_millis(20);
const BETWEEN_BUSY_STEPS: Duration = Duration::from_secs(1);

/// Where the pass over the old events is.
pub(super) struct Retention {
    /// The last event looked at.
    after: i64,
    next_step: Instant,
    next_expiry: Instant,
    next_look: Instant,
    room: Room,
    clock: Clock,
    /// How long is remembered what events were about.
    memory: Duration,
}

/// Until when an event must be kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needed {
    /// Until nothing of it is owed or a dead letter.
    Dead,
    /// Until nothing of it is owed.
    Owed,
}

/// A clock that nobody sets ahead.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began: Instant,
    then: OffsetDateTime,
}

/// A first pass that begins a little after the start.
impl Default for Retention {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            after: 0,
            next_step: now + Duration::from_secs(10),
            next_expiry: now + BETWEEN_LOOKS,
            next_look: now + BETWEEN_LOOKS,
            room: Room::default(),
            clock: Clock { began: now, then: OffsetDateTime::now_utc() },
            memory: Rules::default().memory,
        }
    }
}

impl Clock {
    fn now(self) -> OffsetDateTime {
        OffsetDateTime::now_utc().min(self.then + self.began.elapsed())
    }
}

impl Retention {
    /// The same, remembering for so long what events were about.
    pub(super) fn remembering(self, memory: Duration) -> Self {
        Self { memory, ..self }
    }

    /// How long the writer may wait for commands before it should take a step.
    pub(super) fn patience(&self) -> Duration {
        let next = self.next_step.min(self.next_expiry).min(self.next_look);
        next.saturating_duration_since(Instant::now())
    }

    /// All steps that are due, and when the next ones are. What they did is in the effects, also where one fails.
    pub(super) fn step_and_pause(
        &mut self,
        connection: &mut Connection,
        shared: &Shared,
        busy: bool,
        effects: &mut Effects,
    ) -> rusqlite::Result<()> {
        let (started, now) = (Instant::now(), self.clock.now());
        let pause = if busy { BETWEEN_BUSY_STEPS } else { BETWEEN_IDLE_STEPS };
        if self.next_look <= started {
            self.next_look = started + AFTER_FAILURE;
            let more = self.room.step(connection, shared, millis(now), effects)?;
            let idle = if busy { BETWEEN_LOOKS } else { BETWEEN_IDLE_LOOKS };
            // Where there is no room, giving up must keep pace with what is appended.
            self.next_look = started + if more { Duration::ZERO } else { idle };
        }
        if self.next_expiry <= started {
            self.next_expiry = started + AFTER_FAILURE;
            let more = expire(connection, shared, now, effects)?;
            self.next_expiry = started + if more { pause } else { BETWEEN_EXPIRIES };
        }
        if self.next_step <= started {
            self.next_step = started + AFTER_FAILURE;
            let more = self.step(connection, &shared.bounds, now, effects)?;
            self.next_step = Instant::now() + if more { pause } else { BETWEEN_PASSES };
        }
        Ok(())
    }

    fn step(
        &mut self,
        connection: &mut Connection,
        bounds: &Bounds,
        now: OffsetDateTime,
        effects: &mut Effects,
    ) -> rusqlite::Result<bool> {
        let before = |age: Duration| {
            millis(now.saturating_sub(age.try_into().unwrap_or(time::Duration::MAX)))
        };
        let (oldest, oldest_dead) = (before(bounds.keep_history), before(bounds.keep_dead));
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior)?;
        let more = self.forget_events(&transaction, oldest, oldest_dead, effects)?;
        let tags = transaction
            .prepare_cached(
                "DELETE FROM tags WHERE (repository, tag, registry) IN (
                     SELECT repository, tag, registry FROM tags INDEXED BY tags_absent
                     WHERE digest IS NULL AND at <= ?1 ORDER BY at LIMIT ?2)",
            )?
            .execute([oldest, STEP])?;
        let closed = transaction
            .prepare_cached(
                "DELETE FROM closed WHERE closed_at <= ?1 AND intent IN (
                     SELECT intent FROM closed ORDER BY intent LIMIT ?2)",
            )?
            .execute([oldest, STEP])?;
        let sizes = transaction
            .prepare_cached(
                "DELETE FROM manifests WHERE number IN (
                     SELECT number FROM manifests
                     WHERE number <= (SELECT max(number) FROM manifests) - ?1
                     ORDER BY number LIMIT ?2)",
            )?
            .execute([SIZES, STEP])?;
        let sightings = transaction
            .prepare_cached(
                "DELETE FROM sightings WHERE event IN (
                     SELECT event FROM sightings
                     WHERE event <= (SELECT max(event) FROM sightings) - ?1
                        OR (event <= (SELECT min(event) FROM sightings) + ?2 AND ended <= ?3)
                     ORDER BY event LIMIT ?2)",
            )?
            .execute([SIGHTINGS, STEP, before(self.memory)])?;
        let quarantined = transaction
            .prepare_cached(
                "DELETE FROM notifications WHERE number IN (
                     SELECT number FROM notifications
                     WHERE state = 'quarantined' AND received_at <= ?1 ORDER BY number LIMIT ?2)",
            )?
            .execute([oldest, STEP])?;
        transaction.commit()?;
        let forgotten = tags + closed + sizes + sightings + quarantined;
        let more = more || forgotten > 0 || free_pages(connection)?;
        if !more {
            self.after = 0;
        }
        Ok(more)
    }

    fn forget_events(
        &mut self,
        connection: &Connection,
        oldest: i64,
        oldest_dead: i64,
        effects: &mut Effects,
    ) -> rusqlite::Result<bool> {
        let looked_at: Vec<(i64, i64)> = connection
            .prepare_cached(
                "SELECT sequence, appended_at FROM events
                 WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            )?
            .query_map([self.after, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (sequence, appended_at) in &looked_at {
            if *appended_at > oldest.max(oldest_dead) {
                return Ok(false);
            }
            self.after = *sequence;
            let needed = connection
                .prepare_cached(
                    "SELECT 1 FROM deliveries WHERE event = ?1 AND (ended_at IS NULL
                         OR ended_at > CASE state WHEN 'dead' THEN ?3 ELSE ?2 END) LIMIT 1",
                )?
                .query_row([*sequence, oldest, oldest_dead], |_| Ok(()))
                .optional()?;
            let owed_to_nobody = || -> rusqlite::Result<bool> {
                let sql = "SELECT 1 FROM deliveries WHERE event = ?1 LIMIT 1";
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.query_row([*sequence], |_| Ok(())).optional()?.is_none())
            };
            if needed.is_none() && (*appended_at <= oldest || !owed_to_nobody()?) {
                remove(connection, *sequence, effects)?;
            }
        }
        Ok(looked_at.len() == usize::try_from(STEP).unwrap_or_default())
    }
}

/// Ends what was owed for too long.
fn expire(
    connection: &mut Connection,
    shared: &Shared,
    now: OffsetDateTime,
    effects: &mut Effects,
) -> rusqlite::Result<bool> {
    let age = shared.bounds.max_age.try_into().unwrap_or(time::Duration::MAX);
    let which = Which::AppendedBy(millis(now.saturating_sub(age)));
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior)?;
    let mut more = false;
    for endpoint in shared.endpoints.iter() {
        let (claims, now) = (&shared.claims, millis(now));
        let ended =
            expiry::expire(&transaction, claims, endpoint.id, which, EXPIRED, now, effects)?;
        more |= ended.len() == EXPIRED;
    }
    effects.apply_owed(&transaction)?;
    transaction.commit()?;
    Ok(more)
}

/// Whether anything of an event must still be kept.
pub(super) fn is_needed(
    connection: &Connection,
    sequence: i64,
    needed: Needed,
) -> rusqlite::Result<bool> {
    let sql = match needed {
        Needed::Dead => {
            "SELECT 1 FROM deliveries WHERE event = ?1 AND (ended_at IS NULL OR state = 'dead') LIMIT 1"
        }
        Needed::Owed => "SELECT 1 FROM deliveries WHERE event = ?1 AND ended_at IS NULL LIMIT 1",
    };
    Ok(connection.prepare_cached(sql)?.query_row([sequence], |_| Ok(())).optional()?.is_some())
}

/// Removes an event and all that belongs to it. Of a dead letter a number stays, and a line in the log.
pub(super) fn remove(
    connection: &Connection,
    sequence: i64,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let sql = "SELECT p.id, p.name, d.reason, e.envelope ->> '$.id', e.envelope ->> '$.subject'
         FROM deliveries d JOIN endpoints p ON p.id = d.endpoint
         JOIN events e ON e.sequence = d.event
         WHERE d.event = ?1 AND d.state = 'dead'";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([sequence])?;
    while let Some(row) = rows.next()? {
        let text = |column| row.get::<_, Option<String>>(column);
        let id = row.get(0)?;
        connection
            .prepare_cached(
                "UPDATE endpoints SET dead_forgotten = dead_forgotten + 1 WHERE id = ?1",
            )?
            .execute([id])?;
        *effects.dead_forgotten.entry(id).or_default() += 1;
        info!(
            endpoint = text(1)?,
            event.id = text(3)?,
            sequence,
            subject = text(4)?,
            reason = text(2)?,
            "A dead letter is forgotten"
        );
    }
    drop(rows);
    for sql in [
        "DELETE FROM attempts WHERE event = ?1",
        "DELETE FROM deliveries WHERE event = ?1",
        "DELETE FROM links WHERE event = ?1",
        "DELETE FROM sightings WHERE event = ?1",
        "DELETE FROM events WHERE sequence = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([sequence])?;
    }
    effects.forgotten += 1;
    Ok(())
}

/// Gives some of the free pages back to the file system; says whether there are more to give.
fn free_pages(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free <= FREE_PAGES {
        return Ok(false);
    }
    // Each row of the answer frees one page: they must all be asked for.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({FREED_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::super::recovery;
    use super::*;

    const DAY: i64 = 86_400_000;

    fn count(connection: &Connection, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    fn event(connection: &Connection, n: i64, appended_at: i64, size: usize) {
        let sql = "INSERT INTO events VALUES (?1, ?2, x'00', 'k', ?3, ?4)";
        let id = n.to_be_bytes();
        connection.execute(sql, params![n, id.as_slice(), appended_at, "x".repeat(size)]).unwrap();
    }

    fn delivery(connection: &Connection, event: i64, ended_at: Option<i64>) {
        let sql = "INSERT INTO deliveries (event, endpoint, lane, state, due_at, ended_at)
                   VALUES (?1, 1, ?1, ?2, 0, ?3)";
        let state = if ended_at.is_some() { "acked" } else { "ready" };
        connection.execute(sql, params![event, state, ended_at]).unwrap();
        let sql = "INSERT INTO attempts VALUES (?1, 1, 1, 0, 0, 'taken', 200, '')";
        connection.execute(sql, [event]).unwrap();
    }

    #[test]
    fn only_old_events_that_nobody_is_owed_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = recovery::open(&directory.path().join("outbox.db")).unwrap();
        connection.execute_batch("INSERT INTO endpoints (id, name) VALUES (1, 'a')").unwrap();
        let now = OffsetDateTime::now_utc();
        let (old, new) = (millis(now) - 31 * DAY, millis(now) - 29 * DAY);
        event(&connection, 1, old, 1);
        delivery(&connection, 1, Some(old));
        event(&connection, 2, old, 1);
        delivery(&connection, 2, Some(new));
        event(&connection, 3, old, 1);
        delivery(&connection, 3, None);
        event(&connection, 4, old, 1);
        event(&connection, 5, new, 1);
        connection
            .execute_batch("INSERT INTO links VALUES ('s', '1', 1, 0, 0), ('s', '2', 2, 0, 0)")
            .unwrap();
        for (tag, digest, at) in
            [("gone", None, old), ("going", None, new), ("there", Some("d"), old)]
        {
            let sql = "INSERT INTO tags VALUES ('r', ?1, 'h', ?2, 1, ?3)";
            connection.execute(sql, params![tag, digest, at]).unwrap();
        }
        for (intent, at) in [([1_u8; 16], old), ([2; 16], new)] {
            let sql = "INSERT INTO closed VALUES (?1, ?2, 'refused')";
            connection.execute(sql, params![intent, at]).unwrap();
        }
        let (mut retention, mut effects) = (Retention::default(), Effects::default());
        let bounds = Bounds::default();
        while retention.step(&mut connection, &bounds, now, &mut effects).unwrap() {}
        assert_eq!(effects.forgotten, 2);
        let left: Vec<i64> = connection
            .prepare("SELECT sequence FROM events ORDER BY sequence")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(left, [2, 3, 5]);
        for (table, rows) in
            [("deliveries", 2), ("attempts", 2), ("links", 1), ("tags", 2), ("closed", 1)]
        {
            assert_eq!(count(&connection, table), rows, "{table}");
        }
    }

    #[test]
    fn the_file_shrinks_in_small_steps_and_the_sequence_never_goes_back() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        let mut connection = recovery::open(&database).unwrap();
        let now = OffsetDateTime::now_utc();
        let transaction = connection.transaction().unwrap();
        for n in 1..=600 {
            event(&transaction, n, millis(now) - 31 * DAY, 16_000);
        }
        transaction.commit().unwrap();
        let pages = |connection: &Connection| -> i64 {
            connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
        };
        let before = pages(&connection);
        let (mut retention, mut effects) = (Retention::default(), Effects::default());
        let bounds = Bounds::default();
        assert!(retention.step(&mut connection, &bounds, now, &mut effects).unwrap());
        assert_eq!(effects.forgotten, 200);
        while retention.step(&mut connection, &bounds, now, &mut effects).unwrap() {}
        assert_eq!(count(&connection, "events"), 0);
        assert!(pages(&connection) < before / 2, "{before} pages, now {}", pages(&connection));
        assert_eq!(super::super::endpoints::last_sequence(&connection).unwrap(), 600);
    }
}
