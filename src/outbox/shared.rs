//! What the handles and the two threads of an outbox have in common.

use std::path::PathBuf;

use tokio::sync::watch;

use crate::event::IntentId;
use crate::points::Points;

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
    pub(super) state: watch::Sender<State>,
    /// Becomes true when the writing thread has ended and let go of everything.
    pub(super) ended: watch::Sender<bool>,
    pub(super) claims: Claims,
}

impl Shared {
    pub(super) fn new(
        database: PathBuf,
        endpoints: Endpoints,
        leftovers: Vec<IntentId>,
        points: Points,
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
            state: watch::Sender::new(State::Working),
            ended: watch::Sender::new(false),
            claims: Claims::default(),
        }
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
