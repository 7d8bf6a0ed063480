//! The one writer: group commit, and what happens when a commit fails.
//!
//! The thread takes everything that waits, makes one transaction of it, commits, and then answers
//! everybody. While one sync runs, what arrives joins the next: no timer, no delay. SQLite checkpoints
//! on this connection too (rule J8), after the commit that made the log long enough.
//!
//! A transaction of nothing but ends of attempts and closed intents is committed but not synced: lost with
//! the power they cost one repeated delivery or one more look, while their sync would keep a push waiting.
//! The next append's sync covers them, and where none comes within 200 ms, one of its own.
//!
//! A transaction that failed is never tried again on its connection (rule J2). The batch stays in
//! memory, the connection is dropped, the database is opened again and checked, its log written back,
//! and the batch goes in once more: the ids make that harmless. If that fails as well, everybody is
//! told, and the outbox has failed until a commit succeeds again: that of the next command, or one of
//! nothing that is tried every 5 s. To be opened is not enough, a full disk lets itself be opened.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::event::EventId;
use crate::telemetry::chain;

use super::Error;
use super::State;
use super::append::Effects;
use super::batch;
use super::batch::Command;
use super::batch::Done;
use super::directory::Directory;
use super::error::means_damage;
use super::queue::Taken;
use super::recovery;
use super::reserve::Reserve;
use super::retention::Retention;
use super::schema;
use super::shared::Shared;

/// The most commands that share a commit.
const BATCH: usize = 512;

/// How long an outcome may stay unsynced.
const UNSYNCED: Duration = Duration::from_millis(200);

/// How often a batch is tried again: on a new connection, with the reserve gone, on a new file.
const MENDED: usize = 3;

/// From one try to open a failed database to the next.
const BETWEEN_TRIES: Duration = Duration::from_secs(5);

/// The writing thread's own things.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// Held until the thread ends.
    _directory: Directory,
    /// None after a failure.
    pub(super) connection: Option<Connection>,
    /// Whether the connection leaves commits unsynced.
    relaxed: bool,
    /// Since when something committed is not synced.
    unsynced: Option<Instant>,
    retention: Retention,
    pub(super) reserve: Reserve,
    /// Why no events are taken although they could be.
    pub(super) waits: Option<Arc<Error>>,
    reader: Option<JoinHandle<()>>,
}

/// A transaction that failed.
struct Failure {
    error: Box<Error>,
    /// What it had added: should its commit be on disk after all, this is still new to the callers.
    added: HashSet<EventId>,
    /// Whether it came as far as a transaction, so that another try is worth it.
    began: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        directory: Directory,
        connection: Connection,
        reader: JoinHandle<()>,
    ) -> Self {
        let reserve = Reserve::of(&shared.database);
        Self {
            shared,
            _directory: directory,
            connection: Some(connection),
            relaxed: false,
            unsynced: None,
            retention: Retention::default(),
            reserve,
            waits: None,
            reader: Some(reader),
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        self.wait_for_an_operator();
        loop {
            match self.shared.writes.take(BATCH, self.patience()) {
                Taken::Commands(batch) => {
                    self.write(batch);
                    self.keep_house(true);
                }
                Taken::Idle if self.connection.is_none() => self.open_again(),
                Taken::Idle => self.keep_house(false),
                Taken::Closed => break,
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.connection.is_none() {
            return BETWEEN_TRIES;
        }
        let sync = self.unsynced.map(|since| UNSYNCED.saturating_sub(since.elapsed()));
        let mut others = [self.retention.patience(), self.reserve.patience(), BETWEEN_TRIES];
        others.sort_unstable();
        sync.into_iter().chain(others).min().unwrap_or_default()
    }

    fn write(&mut self, batch: Vec<Command>) {
        let started = Instant::now();
        let batch = self.refuse_events(batch);
        if batch.is_empty() {
            return;
        }
        let mut result = self.attempt(&batch, HashSet::new());
        // Once more on a new connection; and again where something was done about what is wrong.
        for _ in 0..MENDED {
            let Err(Failure { error, added, mut began }) = result else { break };
            self.say_failed(&error);
            self.connection = None;
            // Damage is believed when it is there on a new connection, too.
            let damaged = matches!(*error, Error::Damaged { .. });
            if !(damaged && began) {
                began |= self.mend(&error);
            }
            if !began {
                result = Err(Failure { error, added, began });
                break;
            }
            result = self.attempt(&batch, added);
            if let Err(Failure { began, .. }) = &mut result {
                *began = false;
            }
        }
        match result {
            Ok(done) => {
                self.shared.metrics.committed(batch.len(), started.elapsed());
                self.succeed();
                done.answer(batch, &self.shared);
            }
            Err(failure) => {
                let error = self.fail(*failure.error);
                for command in batch {
                    command.refuse(&self.shared, &error);
                }
            }
        }
    }

    /// Everything in one transaction, opening the database first if it is not.
    fn attempt(
        &mut self,
        batch: &[Command],
        mut earlier: HashSet<EventId>,
    ) -> Result<Done, Failure> {
        if let Err(error) = self.connect() {
            return Err(Failure { error: Box::new(error), added: earlier, began: false });
        }
        let shared = Arc::clone(&self.shared);
        let mut effects = Effects::default();
        let synced = batch.iter().any(Command::wants_sync);
        let result = self.commit(synced, |connection| {
            batch::transact(connection, &shared, batch, &mut earlier, &mut effects)
        });
        shared.claims.release(std::mem::take(&mut effects.taken));
        match result {
            Ok(replies) => Ok(Done { replies, effects }),
            Err(source) => {
                earlier.extend(effects.added);
                let database = self.shared.database.clone();
                let error = if means_damage(&source) {
                    Error::Damaged { database, detail: source.to_string() }
                } else {
                    Error::Write { database, source }
                };
                Err(Failure { error: Box::new(error), added: earlier, began: true })
            }
        }
    }

    /// Runs what commits one transaction, synced or not. It must not be called without a connection.
    fn commit<T>(
        &mut self,
        synced: bool,
        transaction: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let connection = self.connection.as_mut().ok_or(rusqlite::Error::InvalidQuery)?;
        if self.shared.points.bends("no-sync") {
            connection.pragma_update(None, "synchronous", "OFF")?;
        } else if self.relaxed == synced {
            let mode = if synced { "FULL" } else { "NORMAL" };
            connection.pragma_update(None, "synchronous", mode)?;
            self.relaxed = !synced;
        }
        let before = connection.total_changes();
        let done = transaction(connection)?;
        // A transaction that changes nothing syncs nothing either.
        if connection.total_changes() != before {
            self.unsynced = match synced {
                true => None,
                false => self.unsynced.or_else(|| Some(Instant::now())),
            };
        }
        Ok(done)
    }

    fn connect(&mut self) -> Result<(), Error> {
        if self.connection.is_none() {
            self.connection = Some(recovery::reopen(&self.shared.database)?);
            // Opening wrote the whole log back: there is nothing left to sync.
            (self.relaxed, self.unsynced) = (false, None);
        }
        Ok(())
    }

    /// Opens the database again, and finds out whether it takes anything: a full disk can be opened.
    pub(super) fn open_again(&mut self) {
        let database = self.shared.database.clone();
        let tried = self.connect().and_then(|()| {
            self.write_nothing().map_err(|source| Error::Write { database, source })
        });
        match tried {
            Ok(()) => self.succeed(),
            Err(error) => {
                self.mend(&error);
                drop(self.fail(error));
            }
        }
    }

    /// What is due between two batches: the sync of outcomes, a step of forgetting.
    fn keep_house(&mut self, busy: bool) {
        if !busy || self.waits.is_some() {
            self.look_for_damage();
            self.reserve.look_after(&self.shared);
        }
        if let Err(source) = self.sync_outcomes().and_then(|()| self.forget(busy)) {
            let database = self.shared.database.clone();
            let error = Error::Write { database, source };
            self.say_failed(&error);
            self.connection = None;
            self.mend(&error);
            self.open_again();
        }
    }

    fn sync_outcomes(&mut self) -> rusqlite::Result<()> {
        if self.connection.is_none() || self.unsynced.is_none_or(|at| at.elapsed() < UNSYNCED) {
            return Ok(());
        }
        self.write_nothing()
    }

    /// Commits and syncs the smallest transaction there is: it writes the first page as it was.
    fn write_nothing(&mut self) -> rusqlite::Result<()> {
        self.commit(true, |c| c.pragma_update(None, "user_version", schema::VERSION))?;
        self.unsynced = None;
        Ok(())
    }

    fn forget(&mut self, busy: bool) -> rusqlite::Result<()> {
        if self.connection.is_none() || !self.retention.patience().is_zero() {
            return Ok(());
        }
        let mut retention = std::mem::take(&mut self.retention);
        let (shared, mut effects) = (Arc::clone(&self.shared), Effects::default());
        let step = self.commit(true, |c| retention.step_and_pause(c, &shared, busy, &mut effects));
        self.retention = retention;
        shared.claims.release(std::mem::take(&mut effects.taken));
        step?;
        effects.tell(&shared);
        Ok(())
    }

    pub(super) fn fail(&mut self, error: Error) -> Arc<Error> {
        self.connection = None;
        let reason = chain(&error);
        if self.works() {
            error!(error = reason, "The outbox has failed, it takes nothing until this is mended");
        }
        self.become_state(State::Failed(reason));
        self.shared.metrics.failed.set(1);
        Arc::new(error)
    }

    /// Something was committed.
    pub(super) fn succeed(&self) {
        if !self.works() && self.waits.is_none() {
            self.become_state(State::Working);
            self.shared.metrics.failed.set(0);
            info!("The outbox works again");
        }
    }

    /// Counts a transaction that failed. Said only while the outbox works: that it does not was said
    /// when it failed, and every push that meets it would say so again.
    fn say_failed(&self, error: &Error) {
        self.shared.metrics.failures.inc();
        if self.works() {
            warn!(error = chain(&error), "A transaction failed, the database is opened again");
        }
    }

    fn works(&self) -> bool {
        *self.shared.state.borrow() == State::Working
    }

    pub(super) fn become_state(&self, new: State) {
        self.shared.state.send_if_modified(|state| std::mem::replace(state, new.clone()) != new);
    }
}

/// However the thread ends, nobody must wait for it: not a caller, not the reading thread.
impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the writing thread ended early: start again".to_owned();
            self.shared.state.send_replace(State::Failed(reason));
        }
        self.shared.writes.close();
        self.shared.writes.clear();
        self.shared.reads.close();
        if let Some(reader) = self.reader.take()
            && reader.join().is_err()
        {
            error!("The outbox's reading thread ended early");
        }
        if let Some(connection) = self.connection.take()
            && !recovery::empty_log(&connection).unwrap_or_default()
        {
            // Nothing is lost: what is in the log is durable, and taken over at the next start.
            info!("The log could not be written back, it stays for the next start");
        }
    }
}
