//! The reading thread: claims, due times and last known digests, on a read-only connection of its own.
//!
//! Reading here and not on the writer keeps a claim from waiting behind a sync, and a sync from waiting
//! behind a claim. It is exact all the same:
//! - what was answered as appended is committed, and every query sees all that is committed;
//! - what is claimed is read *before* a query begins, and the writer lets go of a claim only once its
//!   outcome is committed, so whatever is no longer claimed is seen as the outcome left it, and nothing
//!   can be claimed twice from an older view.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tracing::error;
use tracing::warn;

use crate::event::EventId;
use crate::event::IntentId;
use crate::registry::RepositoryName;
use crate::registry::Tag;
use crate::telemetry::chain;

use super::Claim;
use super::DeliveryId;
use super::Error;
use super::Intent;
use super::Known;
use super::due;
use super::endpoints::Endpoint;
use super::error::means_bad_row;
use super::error::means_damage;
use super::history;
use super::history::Cursor;
use super::history::Page;
use super::history::StoredAttempt;
use super::history::StoredDelivery;
use super::history::StoredEvent;
use super::history::Wanted;
use super::intents;
use super::notices;
use super::notices::Quarantined;
use super::notices::Waiting;
use super::queue::Taken;
use super::recovery;
use super::shared::Shared;
use super::tags;

/// What can be asked.
pub(super) enum Query {
    Claim {
        endpoint: String,
        now: OffsetDateTime,
        limit: usize,
        reply: oneshot::Sender<Result<Claimed, Error>>,
    },
    NextDue {
        endpoint: String,
        reply: oneshot::Sender<Result<Option<OffsetDateTime>, Error>>,
    },
    Known {
        registry: Option<String>,
        repository: RepositoryName,
        tag: Tag,
        reply: oneshot::Sender<Result<Known, Error>>,
    },
    Intent {
        id: IntentId,
        reply: oneshot::Sender<Result<Option<Intent>, Error>>,
    },
    Events {
        before: Option<i64>,
        limit: usize,
        reply: oneshot::Sender<Result<Page<StoredEvent, i64>, Error>>,
    },
    Event {
        id: EventId,
        reply: oneshot::Sender<Result<Option<StoredEvent>, Error>>,
    },
    Deliveries {
        wanted: Box<Wanted>,
        reply: oneshot::Sender<Result<Page<StoredDelivery, Cursor>, Error>>,
    },
    Attempts {
        id: DeliveryId,
        reply: oneshot::Sender<Result<Vec<StoredAttempt>, Error>>,
    },
    Held {
        after: i64,
        limit: usize,
        reply: oneshot::Sender<Result<Vec<Waiting>, Error>>,
    },
    Quarantined {
        before: Option<u64>,
        limit: usize,
        reply: oneshot::Sender<Result<Vec<Quarantined>, Error>>,
    },
    Witnesses {
        intent: IntentId,
        reply: oneshot::Sender<Result<Vec<String>, Error>>,
    },
    Undone {
        intent: Box<Intent>,
        working: Duration,
        reply: oneshot::Sender<Result<bool, Error>>,
    },
}

/// Claims on their way to whoever asked; given back if nobody is there any more to take them.
pub(super) struct Claimed {
    claims: Vec<Claim>,
    shared: Arc<Shared>,
}

/// How many queries are taken at once.
const BATCH: usize = 64;

/// From one look at the age of what is owed to the next.
const BETWEEN_MEASUREMENTS: Duration = Duration::from_secs(10);

/// The reading thread's own things.
pub(super) struct Reader {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    /// Which file it is of.
    file: u64,
    measured: Option<Instant>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        let file = shared.file();
        Self { shared, connection: Some(connection), file, measured: None }
    }

    /// Answers until the queue is closed.
    pub(super) fn run(mut self) {
        loop {
            match self.shared.reads.take(BATCH, BETWEEN_MEASUREMENTS) {
                Taken::Commands(queries) => {
                    for query in queries {
                        self.answer(query);
                    }
                }
                Taken::Idle => {}
                Taken::Closed => return,
            }
            if self.measured.is_none_or(|at| at.elapsed() >= BETWEEN_MEASUREMENTS) {
                self.measure();
                self.measured = Some(Instant::now());
            }
        }
    }

    fn answer(&mut self, query: Query) {
        // Nobody listening is no fault: whoever asked has left.
        let _left = match query {
            Query::Claim { endpoint, now, limit, reply } => {
                reply.send(self.claim(&endpoint, now, limit)).is_err()
            }
            Query::NextDue { endpoint, reply } => reply.send(self.next_due(&endpoint)).is_err(),
            Query::Known { registry, repository, tag, reply } => {
                let known = self.query(|connection| match &registry {
                    Some(registry) => tags::known(connection, registry, &repository, &tag),
                    None => tags::known_anywhere(connection, &repository, &tag),
                });
                reply.send(known).is_err()
            }
            Query::Intent { id, reply } => {
                let document = self.query(|connection| intents::document(connection, id));
                let read = document.and_then(|document| {
                    let read = document.map(|document| Intent::read(id, &document)).transpose();
                    read.map_err(|source| Error::UnreadableIntent { intent: id, source })
                });
                reply.send(read).is_err()
            }
            Query::Events { before, limit, reply } => {
                reply.send(self.query(|c| history::events(c, before, limit))).is_err()
            }
            Query::Event { id, reply } => {
                reply.send(self.query(|c| history::event_of(c, id))).is_err()
            }
            Query::Deliveries { wanted, reply } => {
                reply.send(self.query(|c| history::deliveries(c, &wanted))).is_err()
            }
            Query::Attempts { id, reply } => {
                let shared = Arc::clone(&self.shared);
                let endpoint = shared.endpoints.with_mark(id.endpoint_mark()).map(|e| e.id);
                let read = self.query(|c| {
                    endpoint.map_or(Ok(Vec::new()), |e| history::attempts(c, id.event(), e))
                });
                reply.send(read).is_err()
            }
            Query::Held { after, limit, reply } => {
                reply.send(self.query(|c| notices::held(c, after, limit))).is_err()
            }
            Query::Quarantined { before, limit, reply } => {
                reply.send(self.query(|c| notices::quarantined(c, before, limit))).is_err()
            }
            Query::Witnesses { intent, reply } => {
                reply.send(self.query(|c| notices::witnesses_of(c, intent))).is_err()
            }
            Query::Undone { intent, working, reply } => {
                let undone = self.query(|connection| intents::undone(connection, &intent, working));
                reply.send(undone).is_err()
            }
        };
    }

    fn claim(
        &mut self,
        endpoint: &str,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Claimed, Error> {
        let shared = Arc::clone(&self.shared);
        // From the first on, so that whatever fails below gives back what was claimed before it.
        let mut claims = Claimed { claims: Vec::new(), shared: Arc::clone(&shared) };
        let Some(endpoint) = shared.endpoints.named(endpoint) else {
            return Ok(claims);
        };
        // Not one round only: what cannot be read must not stand in the way of what can.
        while claims.claims.len() < limit {
            let claimed = shared.claims.of(endpoint.id);
            let wanted = limit - claims.claims.len();
            let mut due = self
                .query(|connection| due::events(connection, endpoint.id, &claimed, now, wanted))?;
            // The writer may just be ending one of them.
            due.retain(|sequence| shared.claims.take(endpoint.id, *sequence));
            if due.is_empty() {
                break;
            }
            let mut due = due.into_iter();
            while let Some(sequence) = due.next() {
                match self.query(|c| due::claim(c, endpoint, sequence)) {
                    Ok(Some(Ok(claim))) => claims.claims.push(claim),
                    Ok(Some(Err(error))) => say_unreadable(endpoint, &error),
                    // The writer has ended it since we looked.
                    Ok(None) => shared.claims.release([(endpoint.id, sequence)]),
                    Err(Error::Read { database, source }) if means_bad_row(&source) => {
                        say_unreadable(endpoint, &Error::Read { database, source });
                    }
                    Err(error) => {
                        // None of these will reach anybody.
                        let rest = std::iter::once(sequence).chain(due);
                        shared.claims.release(rest.map(|sequence| (endpoint.id, sequence)));
                        return Err(error);
                    }
                }
            }
        }
        Ok(claims)
    }

    fn next_due(&mut self, endpoint: &str) -> Result<Option<OffsetDateTime>, Error> {
        let shared = Arc::clone(&self.shared);
        let Some(endpoint) = shared.endpoints.named(endpoint) else {
            return Ok(None);
        };
        let claimed = shared.claims.of(endpoint.id);
        self.query(|c| due::next(c, endpoint.id, &claimed))
    }

    /// Runs a query, opening the database again if the last one failed.
    fn query<T>(
        &mut self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let file = self.shared.file();
        if std::mem::replace(&mut self.file, file) != file {
            self.connection = None;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => recovery::reader(&self.shared.database)?,
        };
        let database = self.shared.database.clone();
        match query(&connection) {
            Ok(answer) => {
                self.connection = Some(connection);
                Ok(answer)
            }
            Err(source) if means_damage(&source) => {
                self.shared.see_damage(source.to_string());
                Err(Error::Damaged { database, detail: source.to_string() })
            }
            Err(source) => Err(Error::Read { database, source }),
        }
    }

    fn measure(&mut self) {
        let shared = Arc::clone(&self.shared);
        for endpoint in shared.endpoints.iter() {
            match self.query(|connection| due::oldest_owed(connection, endpoint.id)) {
                Ok(oldest) => {
                    let seconds = oldest.map_or(0, OffsetDateTime::unix_timestamp);
                    shared.metrics.oldest_owed_to(&endpoint.name, seconds);
                }
                Err(error) => {
                    let error = chain(&error);
                    warn!(error, "The age of what is owed cannot be read");
                    return;
                }
            }
        }
    }
}

/// It stays claimed, so that this is said once in a run and the other lanes go on.
fn say_unreadable(endpoint: &Endpoint, error: &Error) {
    let error = chain(&error);
    error!(error, endpoint = endpoint.name, "A stored event cannot be read, its lane stands still");
}

/// However the thread ends, nobody must wait for it.
impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.reads.close();
        self.shared.reads.clear();
    }
}

impl Claimed {
    pub(super) fn into_claims(mut self) -> Vec<Claim> {
        std::mem::take(&mut self.claims)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        for claim in self.claims.drain(..) {
            self.shared.give_back(&claim);
        }
    }
}
