//! What the handles and the two threads of an outbox have in common.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use crate::event::IntentId;
use crate::pairing::Rules;
use crate::points::Points;

use super::AfterDamage;
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
    /// How notifications are paired with what we see ourselves, if there are any.
    pub(super) pairing: Option<Rules>,
    /// Goes up with every notification that comes to wait.
    pub(super) held: watch::Sender<u64>,
    /// The largest number that a notification that waits has had.
    pub(super) last_held: AtomicI64,
    pub(super) bounds: Bounds,
    /// What is weaker than it should be, in words, by part (rule D9).
    weaknesses: Mutex<BTreeMap<Weakness, String>>,
    pub(super) after_damage: AfterDamage,
    damage: Mutex<Option<String>>,
    file: AtomicU64,
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
    /// The space in reserve.
    Reserve,
    /// A damaged file that nobody has looked at.
    Damaged,
}

impl Weakness {
    /// Which part of us is weaker, in readiness. That the outbox takes nothing is `outbox`.
    fn part(self) -> &'static str {
        match self {
            Self::Disk | Self::Reserve => "disk",
            Self::Damaged => "damage",
        }
    }
}

impl Shared {
    pub(super) fn new(
        database: PathBuf,
        endpoints: Endpoints,
        leftovers: Vec<IntentId>,
        points: Points,
        bounds: Bounds,
        after_damage: AfterDamage,
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
            pairing: None,
            held: watch::Sender::new(0),
            last_held: AtomicI64::default(),
            bounds,
            weaknesses: Mutex::default(),
            after_damage,
            damage: Mutex::default(),
            file: AtomicU64::default(),
            state: watch::Sender::new(State::Working),
            ended: watch::Sender::new(false),
            claims: Claims::default(),
        }
    }

    /// The same where notifications are paired with what we see.
    pub(super) fn paired(self, pairing: Option<Rules>) -> Self {
        Self { pairing, ..self }
    }

    /// Says what is weaker than it should be.
    pub(super) fn weaken(&self, what: Weakness, words: impl Into<String>) {
        self.weak().insert(what, words.into());
    }

    /// Says that it is as it should be again, and whether it was not.
    pub(super) fn mend(&self, what: Weakness) -> bool {
        self.weak().remove(&what).is_some()
    }

    /// The reading thread has seen damage.
    pub(super) fn see_damage(&self, detail: String) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(detail);
    }

    /// What it has seen, once.
    pub(super) fn damage_seen(&self) -> Option<String> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// There is another file: whoever reads opens it before the next query.
    pub(super) fn renew_readers(&self) {
        self.file.fetch_add(1, Ordering::SeqCst);
    }

    /// Which file it is: the number changes with it.
    pub(super) fn file(&self) -> u64 {
        self.file.load(Ordering::SeqCst)
    }

    pub(super) fn is_weak(&self, what: Weakness) -> bool {
        self.weak().contains_key(&what)
    }

    /// The part and the words of each.
    pub(super) fn weaknesses(&self) -> Vec<(&'static str, String)> {
        self.weak().iter().map(|(what, words)| (what.part(), words.clone())).collect()
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
