//! What may be forgotten, and when: small steps of the writer, so that no append waits for one long.
//!
//! | what | is forgotten |
//! |---|---|
//! | an event and its deliveries | 30 days after the last of them was acked or dead; one owed to nobody, 30 days after it was appended: until then it says why nobody was told |
//! | that a tag was deleted | after 30 days: from then on a look says so |
//! | that an exchange made no event | after 30 days |
//! | the size of a manifest | when a million newer ones are known |
//!
//! An event that is still owed is never forgotten here, whatever its age.

use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::TransactionBehavior;
use time::OffsetDateTime;

use super::deliveries::millis;

/// How long history is kept.
const HISTORY: time::Duration = time::Duration::days(30);

/// How many rows of each kind one step looks at.
const STEP: i64 = 200;

/// How many sizes of manifests are kept.
const SIZES: i64 = 1_000_000;

/// How many free pages stay in the file for what comes next, and how many go at once.
const FREE_PAGES: i64 = 1024;
const FREED_PAGES: u32 = 256;

/// From one pass over the old events to the next.
const BETWEEN_PASSES: Duration = Duration::from_secs(600);

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
}

/// What one step did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// How many events it removed.
    pub(super) events: u64,
    /// Whether there may be more to do.
    more: bool,
}

/// A first pass that begins a little after the start.
impl Default for Retention {
    fn default() -> Self {
        Self { after: 0, next_step: Instant::now() + Duration::from_secs(10) }
    }
}

impl Retention {
    /// How long the writer may wait for commands before it should take a step.
    pub(super) fn patience(&self) -> Duration {
        self.next_step.saturating_duration_since(Instant::now())
    }

    /// One step, and when the next one is due.
    pub(super) fn step_and_pause(
        &mut self,
        connection: &mut Connection,
        busy: bool,
    ) -> rusqlite::Result<Step> {
        self.next_step = Instant::now() + AFTER_FAILURE;
        let step = self.step(connection, OffsetDateTime::now_utc())?;
        let pause = match (step.more, busy) {
            (false, _) => BETWEEN_PASSES,
            (true, false) => BETWEEN_IDLE_STEPS,
            (true, true) => BETWEEN_BUSY_STEPS,
        };
        self.next_step = Instant::now() + pause;
        Ok(step)
    }

    fn step(&mut self, connection: &mut Connection, now: OffsetDateTime) -> rusqlite::Result<Step> {
        let oldest = millis(now.saturating_sub(HISTORY));
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior)?;
        let mut step = self.forget_events(&transaction, oldest)?;
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
        transaction.commit()?;
        step.more |= tags > 0 || closed > 0 || sizes > 0 || free_pages(connection)?;
        if !step.more {
            self.after = 0;
        }
        Ok(step)
    }

    fn forget_events(&mut self, connection: &Connection, oldest: i64) -> rusqlite::Result<Step> {
        let mut step = Step::default();
        let looked_at: Vec<(i64, i64)> = connection
            .prepare_cached(
                "SELECT sequence, appended_at FROM events
                 WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            )?
            .query_map([self.after, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        step.more = looked_at.len() == usize::try_from(STEP).unwrap_or_default();
        for (sequence, appended_at) in looked_at {
            if appended_at > oldest {
                step.more = false;
                break;
            }
            self.after = sequence;
            let needed = connection
                .prepare_cached(
                    "SELECT 1 FROM deliveries
                     WHERE event = ?1 AND (ended_at IS NULL OR ended_at > ?2) LIMIT 1",
                )?
                .query_row([sequence, oldest], |_| Ok(()))
                .optional()?;
            if needed.is_some() {
                continue;
            }
            for sql in [
                "DELETE FROM attempts WHERE event = ?1",
                "DELETE FROM deliveries WHERE event = ?1",
                "DELETE FROM links WHERE event = ?1",
                "DELETE FROM events WHERE sequence = ?1",
            ] {
                connection.prepare_cached(sql)?.execute([sequence])?;
            }
            step.events += 1;
        }
        Ok(step)
    }
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
        connection.execute_batch("INSERT INTO endpoints VALUES (1, 'a', 0)").unwrap();
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
            .execute_batch("INSERT INTO links VALUES ('s', '1', 1, NULL), ('s', '2', 2, NULL)")
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
        let mut retention = Retention::default();
        while retention.step(&mut connection, now).unwrap().more {}
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
    fn a_step_that_fails_is_not_tried_again_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = recovery::open(&directory.path().join("outbox.db")).unwrap();
        connection.execute_batch("DROP TABLE manifests").unwrap();
        let mut retention = Retention { after: 0, next_step: Instant::now() };
        assert!(retention.step_and_pause(&mut connection, false).is_err());
        assert!(retention.patience() > Duration::from_secs(1));
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
        let mut retention = Retention::default();
        let first = retention.step(&mut connection, now).unwrap();
        assert_eq!(first, Step { events: 200, more: true });
        while retention.step(&mut connection, now).unwrap().more {}
        assert_eq!(count(&connection, "events"), 0);
        assert!(pages(&connection) < before / 2, "{before} pages, now {}", pages(&connection));
        assert_eq!(super::super::endpoints::last_sequence(&connection).unwrap(), 600);
    }
}
