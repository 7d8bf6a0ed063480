//! Settling: what became of the pushes and deletes whose answer nobody saw (delivery-guarantees 3.5).
//!
//! Every intent that an earlier run left open, and every exchange of this run whose end is unknown, is
//! looked at with our own account until the registry says what it did, or until nobody will ever know.
//! Either way its event, or that there is none, is one transaction with the end of the intent. What an
//! event of it would say is decided in [`rules`]; here is only the doing.
//!
//! It delays nothing and nobody: not readiness, not a push, and never more than a few looks at once.

pub(super) mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::event::IntentId;
use crate::event::Outcome;
use crate::outbox::Append;
use crate::outbox::Appended;
use crate::outbox::Before;
use crate::outbox::Error;
use crate::outbox::Intent;
use crate::outbox::Outbox;
use crate::outbox::Reason;
use crate::points::Points;
use crate::telemetry::chain;

use super::look::Look;
use super::metrics::Metrics;
use super::overlap::UnderWay;

use self::rules::Conclusion;
use self::rules::Found;
use self::rules::Learned;
use self::rules::Question;
use self::rules::Round;
use self::rules::Schedule;

/// What waits to be settled.
#[derive(Debug)]
pub(super) struct Settler {
    schedule: Schedule,
    look: Look,
    outbox: Outbox,
    metrics: Metrics,
    points: Points,
    /// By when they are due; the number tells those of one moment apart.
    waiting: Mutex<BTreeMap<(Instant, u64), Waiting>>,
    arrived: Notify,
}

/// One of them.
#[derive(Debug)]
struct Waiting {
    id: IntentId,
    /// The intent itself where it is on no disk.
    kept: Option<Arc<Intent>>,
    /// Its tags, which others may move meanwhile.
    under_way: Option<UnderWay>,
    /// When the registry had all of the request, or when we began.
    since: Instant,
    looks: u32,
}

/// The most that wait at once, and the most of them that are on no disk.
const MOST: usize = 100_000;
const MOST_KEPT: usize = 10_000;
/// More than these, and each is looked at as seldom as can be.
const CROWD: usize = 64;
/// Rule S1.
const AT_ONCE: usize = 4;
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);

impl Settler {
    pub(super) fn new(
        schedule: Schedule,
        look: Look,
        outbox: Outbox,
        metrics: Metrics,
        points: Points,
    ) -> Self {
        let (waiting, arrived) = (Mutex::default(), Notify::new());
        Self { schedule, look, outbox, metrics, points, waiting, arrived }
    }

    /// Finds out later what became of an exchange whose intent is on the disk.
    pub(super) fn settle(&self, id: IntentId, under_way: Option<UnderWay>) {
        if self.len() >= MOST {
            error!(
                limit = MOST,
                intent = %id,
                "Too many pushes wait to be settled; this one is settled after the next start"
            );
            return;
        }
        self.put(Waiting { id, kept: None, under_way, since: Instant::now(), looks: 0 });
    }

    /// The same for one whose intent is on no disk: it is settled in this run or never.
    pub(super) fn settle_kept(&self, intent: Intent, under_way: Option<UnderWay>) {
        if self.kept() >= MOST_KEPT {
            self.metrics.unkept.inc();
            error!(
                limit = MOST_KEPT,
                intent = %intent.id,
                repository = %intent.event.repository,
                "No more pushes of unknown end can be kept in memory; nobody will hear of this one"
            );
            return;
        }
        let (id, kept) = (intent.id, Some(Arc::new(intent)));
        self.put(Waiting { id, kept, under_way, since: Instant::now(), looks: 0 });
    }

    /// How many exchanges of unknown end are in memory only.
    pub(super) fn kept(&self) -> usize {
        self.lock().values().filter(|waiting| waiting.kept.is_some()).count()
    }

    /// Settles, for as long as we run. `tell` hears of each event.
    pub(super) async fn run(&self, stop: CancellationToken, tell: impl Fn(&Appended)) {
        let leftovers = self.outbox.leftovers();
        if !leftovers.is_empty() {
            let intents = leftovers.len();
            info!(intents, "Pushes of an earlier run are looked at: nobody saw how they ended");
        }
        for id in leftovers {
            self.settle(*id, None);
        }
        let mut looking = FuturesUnordered::new();
        loop {
            let next = loop {
                let mut waiting = self.lock();
                let Some(first) = waiting.first_entry() else {
                    break None;
                };
                let due = first.key().0;
                if looking.len() >= AT_ONCE || due > Instant::now() {
                    break Some(due);
                }
                let one = first.remove();
                drop(waiting);
                looking.push(self.round(one, &tell));
            };
            let count = self.len() + looking.len();
            self.metrics.settling.set(i64::try_from(count).unwrap_or(i64::MAX));
            let full = looking.len() >= AT_ONCE;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(again) = looking.next() => again.into_iter().for_each(|one| self.put(one)),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() && !full => {}
                () = self.arrived.notified() => {}
            }
        }
        drop(looking);
        for kept in self.lock().values().filter_map(|waiting| waiting.kept.as_ref()) {
            warn!(
                intent = %kept.id,
                action = kept.event.action.as_str(),
                repository = %kept.event.repository,
                "Nobody will know how this ended: its intent was never on a disk"
            );
        }
    }

    /// One round of looks at one intent; yields it where it needs another.
    async fn round(&self, mut one: Waiting, tell: &impl Fn(&Appended)) -> Option<Waiting> {
        let intent = match &one.kept {
            Some(intent) => Ok(Some(Arc::clone(intent))),
            None => self.outbox.intent(one.id).await.map(|intent| intent.map(Arc::new)),
        };
        let settled = match intent {
            Ok(Some(intent)) => self.look_at(&intent, &one, tell).await,
            // Its own exchange has recorded it meanwhile.
            Ok(None) => return None,
            Err(error) => Err(error),
        };
        match settled {
            Ok(true) => return None,
            Ok(false) => {}
            Err(error @ Error::UnreadableIntent { .. }) => {
                self.metrics.unkept.inc();
                error!(error = chain(&error), "A push of unknown end cannot be settled, it stays");
                return None;
            }
            Err(Error::Closed) => return None,
            Err(error) => {
                warn!(error = chain(&error), intent = %one.id, "Could not settle a push, it waits");
            }
        }
        one.looks += 1;
        Some(one)
    }

    /// Whether it is settled now.
    async fn look_at(
        &self,
        intent: &Intent,
        one: &Waiting,
        tell: &impl Fn(&Appended),
    ) -> Result<bool, Error> {
        let event = &intent.event;
        let began = one.since.elapsed();
        let mut round = Round::new(intent);
        while let Some(question) = round.question() {
            round.learn(match question {
                Question::Look(reference) => {
                    let look = timeout(
                        LOOK,
                        self.look.at(&event.repository, event.artifactory.as_ref(), &reference),
                    );
                    Learned::Found(look.await.unwrap_or(Found::Unclear))
                }
                Question::Undone => Learned::Undone(
                    self.outbox.undone(intent.clone(), self.schedule.working).await?,
                ),
            });
        }
        self.points.reach("looked");
        match round.conclusion(&self.schedule, began, one.since.elapsed()) {
            Conclusion::Again => return Ok(false),
            Conclusion::Close => {
                self.outbox.close_intent(intent.id, Reason::NotApplied).await?;
                self.metrics.settled("not_applied");
                info!(
                    intent = %intent.id,
                    action = event.action.as_str(),
                    repository = %event.repository,
                    reference = event.subject(),
                    "Settled: the registry did not apply it, there is no event"
                );
            }
            Conclusion::Append(mut events) => {
                for event in &mut events {
                    let under_way = one.under_way.as_ref();
                    event.concurrent = under_way.is_some_and(|one| one.has_met(event.tag.as_ref()));
                }
                let append = Append { intent: intent.id, events, before: Before::Unknown };
                for appended in self.outbox.append(append).await? {
                    let outcome = appended.event.outcome;
                    self.metrics.settled(outcome.as_str());
                    if outcome == Outcome::Unconfirmed {
                        warn!(
                            event.id = %appended.event.id,
                            "Settled: nobody can say whether the registry applied it, and so says the event"
                        );
                    }
                    tell(&appended);
                }
            }
        }
        Ok(true)
    }

    fn put(&self, one: Waiting) {
        let (jitter, mut waiting) = (fastrand::f64(), self.lock());
        let pause = if waiting.len() > CROWD {
            self.schedule.pause_in_a_crowd(one.looks, jitter, one.since.elapsed())
        } else {
            self.schedule.pause(one.looks, jitter)
        };
        let due = Instant::now() + pause;
        let mut number = 0;
        while waiting.contains_key(&(due, number)) {
            number += 1;
        }
        waiting.insert((due, number), one);
        drop(waiting);
        self.arrived.notify_one();
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Instant, u64), Waiting>> {
        // A map is a map even if somebody panicked while holding it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
