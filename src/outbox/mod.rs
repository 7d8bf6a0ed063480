//! The outbox: durable until delivered.
//!
//! Whoever learned of an event appends it; when [`Outbox::append`] returns, it is on the disk together
//! with whom it is owed to, and no crash, kill or power loss takes it away. Whoever delivers claims what
//! is due, and records how each attempt ended. In between sits one SQLite file, described in `schema`.
//!
//! What is promised: rules D1 to D9, O1, O2, O4 and J1 to J9 of the delivery guarantees, as far as a
//! store can keep them. An event gets its `change`, `previous_digest`, `total_size` and `sequence`
//! here, because only the one writer knows the order.
//!
//! Never: HTTP, a retry schedule, a decision what an answer means.

mod append;
mod batch;
mod bounds;
mod claims;
mod deliveries;
mod delivery_id;
mod directory;
mod due;
mod endpoints;
mod error;
mod expiry;
pub mod history;
mod intents;
mod mending;
mod metrics;
mod notices;
mod queue;
mod reader;
mod recovery;
mod reserve;
mod retention;
mod room;
mod salvage;
mod schema;
mod shared;
mod tags;
mod transfer;
mod witnesses;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Filter;
use crate::event::IntentId;
use crate::pairing::Rules;
use crate::points::Points;
use crate::registry::Digest;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use self::batch::Command;
use self::batch::Release;
use self::directory::Directory;
use self::endpoints::Endpoints;
use self::history::Cursor;
use self::history::Page;
use self::history::StoredAttempt;
use self::history::StoredDelivery;
use self::history::StoredEvent;
use self::history::Wanted;
use self::reader::Query;
use self::reader::Reader;
use self::shared::Shared;
use self::writer::Writer;

pub use self::bounds::Bounds;
pub use self::deliveries::AttemptOutcome;
pub use self::deliveries::Class;
pub use self::deliveries::DETAIL_BYTES;
pub use self::deliveries::DeadReason;
pub use self::deliveries::Next;
pub use self::delivery_id::DeliveryId;
pub use self::delivery_id::InvalidDeliveryId;
pub use self::due::Claim;
pub use self::error::Error;
pub use self::intents::Durability;
pub use self::intents::Intent;
pub use self::intents::Reason;
pub use self::mending::AfterDamage;
pub use self::metrics::Metrics;
pub use self::notices::Looked;
pub use self::notices::Noted;
pub use self::notices::Notice;
pub use self::notices::QUARANTINED_BYTES;
pub use self::notices::Quarantined;
pub use self::notices::Waiting;
pub use self::transfer::Transferred;
pub use self::transfer::export;
pub use self::transfer::import;

/// Where the outbox is, and who wants what.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of the database; made with mode 0700 where there is none. On a local disk.
    pub directory: PathBuf,
    /// Which events are owed to whom, from now on.
    pub subscriptions: Vec<Subscription>,
    /// How notifications are paired with what we see ourselves; nothing, where there are no sources.
    pub pairing: Option<Rules>,
    /// How much is kept, and for how long.
    pub bounds: Bounds,
    /// What is done about events after damage was found.
    pub after_damage: AfterDamage,
    /// Where a test ends us.
    pub points: Points,
}

/// Which events an endpoint is owed. An endpoint may have several: one that matches is enough.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The endpoint's name.
    pub endpoint: String,
    /// The events it wants.
    pub filter: Filter,
    /// Whether only the last event of a lane matters to it: a newer one takes the place of an older one that
    /// is not taken yet.
    pub latest_only: bool,
}

/// A handle on the open outbox. All clones are the same outbox; it is closed by [`Outbox::close`], or
/// in the background when the last of them is dropped.
#[derive(Clone)]
pub struct Outbox(Arc<Handle>);

struct Handle(Arc<Shared>);

/// Events to be made durable, all in one transaction.
#[derive(Debug, Clone)]
pub struct Append {
    /// The exchange they come from.
    pub intent: IntentId,
    /// One for each tag, or one without a tag.
    pub events: Vec<Event>,
    /// What a look said about the tag before the push. Used only where our own memory does not know the
    /// tag and the events are about no other one.
    pub before: Before,
}

/// What a look said about a tag before a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Nobody looked, or there was no answer in time.
    Unknown,
    /// There was no such tag.
    Absent,
    /// It was this.
    Was(Digest),
}

/// An event that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The event as it is stored, with `change`, `previous_digest`, `total_size` and `sequence`.
    pub event: Event,
    /// The endpoints it is owed to, or was when it was appended.
    pub owed_to: Vec<String>,
    /// False if an event with this id was there already; then `event` is that one.
    pub new: bool,
}

/// What our own memory says about a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Never,
    /// It was deleted.
    Absent,
    /// It was last this.
    Digest(Digest),
}

/// Whether the outbox takes appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does.
    Working,
    /// It does not, because of this; it goes on trying.
    Failed(String),
}

impl Outbox {
    /// Opens the outbox, making it if there is none. It blocks, for a few milliseconds as a rule and two
    /// seconds at most; and it starts two threads, which end with the outbox.
    ///
    /// # Errors
    ///
    /// Where the directory or the database cannot be used: held by another process, writable by
    /// others, on a network file system, of a newer release, or simply not to be opened. A damaged database is kept
    /// aside, and what can be read of it carried over; that takes as long as reading it.
    pub fn open(config: Config, metrics: Metrics) -> Result<Self, Error> {
        let directory = Directory::hold(&config.directory, OffsetDateTime::now_utc())?;
        let database = directory.database();
        salvage::finish(&database)?;
        let (mut connection, salvaged) = match recovery::open(&database) {
            Err(Error::Damaged { detail, .. }) => {
                let salvaged = salvage::salvage(&database, &detail)?;
                (recovery::open(&database)?, Some(salvaged))
            }
            opened => (opened?, None),
        };
        let endpoints = Endpoints::load(&mut connection, config.subscriptions)
            .map_err(|source| recovery::opening(&database, source))?;
        let reading = recovery::reader(&database)?;
        for endpoint in endpoints.iter() {
            metrics.owed_to(&endpoint.name, endpoint.owed_at_open);
            metrics.dead_forgotten_at(&endpoint.name, endpoint.dead_forgotten_at_open);
        }
        let leftovers = intents::leftovers(&connection)
            .map_err(|source| recovery::opening(&database, source))?;
        notices::give_back_orphans(&connection)
            .map_err(|source| recovery::opening(&database, source))?;
        let (points, bounds, after) = (config.points, config.bounds, config.after_damage);
        let shared = Shared::new(database, endpoints, leftovers, points, bounds, after, metrics);
        let shared = Arc::new(shared.paired(config.pairing));
        match salvaged {
            Some(salvaged) => mending::say_salvaged(&shared, &salvaged),
            None => mending::note_damage(&shared),
        }
        start(&shared, directory, connection, reading)?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Writes down that a push or delete is about to become complete for upstream. When this returns, it
    /// is as durable as was asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the intent may or may not be written; [`Outbox::close_intent`] after it
    /// takes it away in either case.
    pub async fn intend(&self, intent: Intent, durability: Durability) -> Result<(), Error> {
        self.write(|reply| Command::Intend(Box::new(intent), durability, reply)).await
    }

    /// Takes away an intent that makes no event. When this returns, a kill does not undo it; a loss of
    /// power may for another 200 ms, and then it is settled once more.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it; the intent stays open.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the intent may or may not be closed.
    pub async fn close_intent(&self, intent: IntentId, reason: Reason) -> Result<(), Error> {
        self.write(|reply| Command::Close(intent, reason, reply)).await
    }

    /// The intents that an earlier run left open, oldest first; a hundred thousand at most, what is
    /// beyond them waits for the next run.
    #[must_use]
    pub fn leftovers(&self) -> &[IntentId] {
        &self.0.0.leftovers
    }

    /// An intent that is still open.
    ///
    /// # Errors
    ///
    /// If the database cannot be read, or what is written there is no intent.
    pub async fn intent(&self, id: IntentId) -> Result<Option<Intent>, Error> {
        self.read(|reply| Query::Intent { id, reply }).await
    }

    /// Whether the opposite of it was recorded since the exchange began, or may still be: a delete of what it
    /// pushed, a push of what it deleted. `working` is how long the registry may be at work on one. Of the
    /// events since then the last twenty thousand are looked at.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn undone(&self, intent: Intent, working: Duration) -> Result<bool, Error> {
        self.read(|reply| Query::Undone { intent: Box::new(intent), working, reply }).await
    }

    /// Makes events durable, and takes away the intent they come from, in one transaction. When this
    /// returns, they are: the transaction was synced to the disk.
    ///
    /// An event whose id is there already is not added again; what is stored is returned instead. So
    /// it is safe to append the same once more after an error.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it; nothing of it is durable then, as far as
    /// anybody can know.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the events may or may not become durable.
    pub async fn append(&self, append: Append) -> Result<Vec<Appended>, Error> {
        self.write(|reply| Command::Append(append, reply)).await
    }

    /// Takes notifications up, all in one transaction. When this returns, each is durable: linked to what it speaks of,
    /// waiting for that, or an event (rule D4).
    ///
    /// What comes again changes nothing, so that it is safe to note the same once more after an error.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it; nothing of it is durable then, as far as anybody can
    /// know.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the notifications may or may not become durable.
    pub async fn note(&self, notices: Vec<Notice>) -> Result<Vec<Noted>, Error> {
        self.write(|reply| Command::Note(notices, reply)).await
    }

    /// Notifications that wait, in the order they came to, with larger numbers than this.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn held(&self, after: i64, limit: usize) -> Result<Vec<Waiting>, Error> {
        self.read(|reply| Query::Held { after, limit, reply }).await
    }

    /// Changes whenever a notification comes to wait.
    #[must_use]
    pub fn holds(&self) -> watch::Receiver<u64> {
        self.0.0.held.subscribe()
    }

    /// Lets a notification wait no longer. One that waits no more is [`Noted::Repeated`].
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it; then it still waits.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, it may or may not wait.
    pub async fn release(
        &self,
        source: String,
        id: EventId,
        looked: Looked,
    ) -> Result<Noted, Error> {
        let release = Box::new(Release { source, id, looked });
        self.write(|reply| Command::Release(release, reply)).await
    }

    /// Keeps a notification that is authentic and cannot be used: its first [`QUARANTINED_BYTES`], and the last
    /// thousand of them.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it.
    pub async fn quarantine(&self, quarantined: Quarantined) -> Result<(), Error> {
        self.write(|reply| Command::Quarantine(Box::new(quarantined), reply)).await
    }

    /// What is in quarantine, the latest first, from before this number on where one is said.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn quarantined(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, Error> {
        self.read(|reply| Query::Quarantined { before, limit, reply }).await
    }

    /// Takes one out of quarantine, and takes up what it says after all, in one transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it; then it stays where it is.
    pub async fn discharge(&self, number: u64, notices: Vec<Notice>) -> Result<Vec<Noted>, Error> {
        self.write(|reply| Command::Discharge(number, notices, reply)).await
    }

    /// The sources that have told of an open intent: evidence that it was applied (rule S5).
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn witnesses(&self, intent: IntentId) -> Result<Vec<String>, Error> {
        if self.0.0.pairing.is_none() {
            return Ok(Vec::new());
        }
        self.read(|reply| Query::Witnesses { intent, reply }).await
    }

    /// What a tag was last known to be. Where two registries have such a repository and tag, this does
    /// not say which is meant, and so nothing is known; see [`Outbox::last_digest_at`].
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn last_digest(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Known, Error> {
        self.known(None, repository, tag).await
    }

    /// What a tag of one registry was last known to be.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn last_digest_at(
        &self,
        registry: &str,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Known, Error> {
        self.known(Some(registry.to_owned()), repository, tag).await
    }

    /// Takes deliveries to attempt: what is due, oldest first, at most `limit`, at most one of each
    /// lane and none while an earlier one of its lane is outstanding (rule O2). What was never
    /// attempted is due at once, the rest at the time its last outcome said.
    ///
    /// A claim lives in memory, until its outcome is recorded or it is given back; after a restart
    /// nothing is claimed.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing stays claimed.
    pub async fn claim(
        &self,
        endpoint: &str,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Claim>, Error> {
        let endpoint = endpoint.to_owned();
        let claimed = self.read(|reply| Query::Claim { endpoint, now, limit, reply }).await?;
        Ok(claimed.into_claims())
    }

    /// Gives a claim back without an attempt; it is due as it was before.
    pub fn give_back(&self, claim: &Claim) {
        self.0.0.give_back(claim);
    }

    /// When the next delivery that is not claimed is due, in the past if it is already.
    ///
    /// It was computed by the clock of the day it was recorded. Sleep until then, but no more than a
    /// minute at once: the clock may be set back meanwhile.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn next_due(&self, endpoint: &str) -> Result<Option<OffsetDateTime>, Error> {
        let endpoint = endpoint.to_owned();
        self.read(|reply| Query::NextDue { endpoint, reply }).await
    }

    /// Writes down how an attempt ended, and ends its claim. Recorded twice, it counts once. When this
    /// returns, a kill does not undo it; a loss of power may for another 200 ms, and then the delivery
    /// is attempted once more.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it. The delivery then stays claimed, so that a
    /// full disk does not make a receiver hear everything again and again: record the same once more.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the outcome may or may not be recorded.
    pub async fn record(&self, outcome: AttemptOutcome) -> Result<(), Error> {
        self.write(|reply| Command::Record(outcome, reply)).await
    }

    /// The events there are, newest first, from below `before` on.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn events(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<StoredEvent, i64>, Error> {
        self.read(|reply| Query::Events { before, limit, reply }).await
    }

    /// One event, if it is there.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn event(&self, id: EventId) -> Result<Option<StoredEvent>, Error> {
        self.read(|reply| Query::Event { id, reply }).await
    }

    /// The deliveries there are, newest event first.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn deliveries(&self, wanted: Wanted) -> Result<Page<StoredDelivery, Cursor>, Error> {
        self.read(|reply| Query::Deliveries { wanted: Box::new(wanted), reply }).await
    }

    /// The last attempts of a delivery, oldest first.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn attempts(&self, id: DeliveryId) -> Result<Vec<StoredAttempt>, Error> {
        self.read(|reply| Query::Attempts { id, reply }).await
    }

    /// Makes deliveries that have ended due again, with the same ids; what is still owed stays as it is. Says
    /// which of them are owed anew. When this returns, that is durable.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the disk does not take it.
    pub async fn replay(&self, deliveries: Vec<DeliveryId>) -> Result<Vec<DeliveryId>, Error> {
        self.write(|reply| Command::Replay(deliveries, reply)).await
    }

    /// Changes whenever something can newly be claimed for the endpoint: an event became owed to it,
    /// or one that held up its lane has ended.
    #[must_use]
    pub fn owed(&self, endpoint: &str) -> watch::Receiver<u64> {
        self.0.0.endpoints.watch(endpoint)
    }

    /// Whether the outbox takes appends at the moment.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.0.state.borrow().clone()
    }

    /// The same, for whoever wants to wait for a change of it.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.0.state.subscribe()
    }

    /// What is weaker than promised while it takes appends: which part, and how in words (rule D9).
    #[must_use]
    pub fn weaknesses(&self) -> Vec<(&'static str, String)> {
        self.0.0.weaknesses()
    }

    /// Seals the outbox: what was put in is committed, nothing more is taken, through any handle. When
    /// this returns, both threads have ended, the log is written back, and the directory is free.
    pub async fn close(self) {
        let mut ended = self.0.0.ended.subscribe();
        self.0.0.writes.close();
        // The sender is in our own hands: it cannot go away while we wait.
        let _gone = ended.wait_for(|ended| *ended).await.is_err();
    }

    async fn known(
        &self,
        registry: Option<String>,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Known, Error> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.read(|reply| Query::Known { registry, repository, tag, reply }).await
    }

    async fn write<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.0.writes.put(command(reply)).await?;
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn read<T>(
        &self,
        query: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Query,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.0.reads.put(query(reply)).await?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = &self.0.0;
        f.debug_struct("Outbox").field("database", &shared.database).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.writes.close();
    }
}

fn start(
    shared: &Arc<Shared>,
    directory: Directory,
    connection: Connection,
    reading: Connection,
) -> Result<(), Error> {
    let named = |name: &'static str| {
        (thread::Builder::new().name(name.to_owned()), move |source| Error::Thread { name, source })
    };
    let (builder, failed) = named("outbox-reader");
    let reader = Reader::new(Arc::clone(shared), reading);
    let reader = builder.spawn(move || reader.run()).map_err(failed)?;
    let (builder, failed) = named("outbox-writer");
    let ended = Ended(Arc::clone(shared));
    let writer = Writer::new(Arc::clone(shared), directory, connection, reader);
    builder
        .spawn(move || {
            let _last = ended;
            writer.run();
        })
        .map_err(failed)?;
    Ok(())
}

/// Says that the writing thread has let go of everything, however it ended.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
    }
}
