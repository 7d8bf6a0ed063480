//! What the handles and the two threads of an outbox have in common.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;

use crate::event::IntentId;
use crate::points::Points;

use super::Bounds;
use super::Claim;
use super::Metrics;
use super::State;
use super::batch::Command;
use super::claims::Claims;
use super::endpoints::Endpoints;
use super::queue::Queue;
use super::reader::Query;

/// The length of each queue; callers beyond it wait.
const PLACES: usize = 4096;

pub(super) struct Shared {
    pub(super) database: PathBuf,
    pub(super) endpoints: Endpoints,
    pub(super) metrics: Metrics,
    pub(super) writes: Queue<Command>,
    pub(super) reads: Queue<Query>,
    /// Intents that an earlier run left open.
    pub(super) leftovers: Vec<IntentId>,
    pub(super) points: Points,
    pub(super) bounds: Bounds,
    /// What is weaker than it should be, in words, by part (rule D9).
    weaknesses: Mutex<BTreeMap<Weakness, String>>,
    pub(super) state: watch::Sender<State>,
    /// Becomes true when the writing thread has ended and let go of everything.
    pub(super) ended: watch::Sender<bool>,
    pub(super) claims: Claims,
}

/// What can be weaker than promised while the outbox takes appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weakness {
    /// The bound of the disk.
    Disk,
}

impl Shared {
    pub(super) fn new(
        database: PathBuf,
        endpoints: Endpoints,
        leftovers: Vec<IntentId>,
        points: Points,
        bounds: Bounds,
        metrics: Metrics,
    ) -> Self {
        Self {
            database,
            endpoints,
            metrics,
            writes: Queue::new(PLACES),
            reads: Queue::new(PLACES),
            leftovers,
            points,
            bounds,
            weaknesses: Mutex::default(),
            state: watch::Sender::new(State::Working),
            ended: watch::Sender::new(false),
            claims: Claims::default(),
        }
    }

    /// Says what is weaker than it should be.
    pub(super) fn weaken(&self, what: Weakness, words: impl Into<String>) {
        self.weak().insert(what, words.into());
    }

    /// Says that it is as it should be again.
    pub(super) fn mend(&self, what: Weakness) {
        self.weak().remove(&what);
    }

    pub(super) fn weaknesses(&self) -> Vec<String> {
        self.weak().values().cloned().collect()
    }

    fn weak(&self) -> MutexGuard<'_, BTreeMap<Weakness, String>> {
        // A map is a map even if somebody panicked while holding it.
        self.weaknesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a claim without an attempt.
    pub(super) fn give_back(&self, claim: &Claim) {
        let endpoint = self.endpoints.with_mark(claim.delivery.endpoint_mark());
        let sequence = claim.event.sequence.and_then(|sequence| i64::try_from(sequence).ok());
        if let (Some(endpoint), Some(sequence)) = (endpoint, sequence) {
            self.claims.release([(endpoint.id, sequence)]);
        }
    }
}
