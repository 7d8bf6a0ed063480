//! Events the outbox would not take while pushes must pass (`outbox.on_failure: pass`): kept in memory,
//! said loudly, and appended as soon as the outbox takes appends again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use time::OffsetDateTime;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::event::schema::Envelope;
use crate::event::schema::time_text;
use crate::outbox::Append;
use crate::outbox::Appended;
use crate::outbox::Error;
use crate::outbox::Outbox;
use crate::telemetry::chain;

use super::metrics::Metrics;
use super::protocol::Promise;

/// Appends that wait for the outbox.
#[derive(Debug, Clone)]
pub(super) struct Unrecorded {
    waiting: Arc<Mutex<VecDeque<(Append, Promise)>>>,
    /// Since when the outbox takes none, if it does not.
    gap: Arc<Mutex<Option<OffsetDateTime>>>,
    /// Held by the one who appends what waits.
    turn: Arc<tokio::sync::Mutex<()>>,
    outbox: Outbox,
    metrics: Metrics,
}

/// The most appends kept; beyond it they are lost, counted, and stand in the log.
const MOST: usize = 10_000;

impl Unrecorded {
    pub(super) fn new(outbox: Outbox, metrics: Metrics) -> Self {
        let (waiting, gap, turn) = Default::default();
        Self { waiting, gap, turn, outbox, metrics }
    }

    /// Keeps what could not be appended, and says whether it could be kept or is lost; if neither, its
    /// intent on the disk is all there is.
    ///
    /// Where there is no intent the whole event goes to the log: if we die now, it is the only trace of a
    /// push that a client was told about.
    pub(super) fn keep(&self, append: Append, promise: Promise, why: &Error) -> bool {
        let promised = promise == Promise::Intent;
        if promised {
            let error = chain(why);
            warn!(error, intent = %append.intent, "The outbox did not take an event; its intent is kept");
        } else {
            write_down(&append, why, "The outbox did not take an event; it is kept in memory");
        }
        self.gap().get_or_insert_with(OffsetDateTime::now_utc);
        let mut waiting = self.lock();
        if waiting.len() < MOST {
            waiting.push_back((append, promise));
            self.metrics.waiting.set(events(&waiting) as i64);
            return true;
        }
        drop(waiting);
        if promised {
            return false;
        }
        self.metrics.unkept.inc_by(append.events.len() as u64);
        error!(limit = MOST, "No more events can be kept in memory; this one is lost");
        true
    }

    /// Writes down what can neither be appended nor kept, because we are ending.
    pub(super) fn lose(&self, append: &Append, why: &Error) {
        self.metrics.unkept.inc_by(append.events.len() as u64);
        write_down(
            append,
            why,
            "We end before an event could be kept; its client is not told of success",
        );
    }

    /// How many events wait.
    pub(super) fn len(&self) -> usize {
        events(&self.lock())
    }

    /// How many of them have nothing on the disk.
    pub(super) fn unkept(&self) -> usize {
        let waiting = self.lock();
        let unkept = waiting.iter().filter(|(_, promise)| *promise != Promise::Intent);
        unkept.map(|(append, _)| append.events.len()).sum()
    }

    /// Appends what waits, oldest first, until the outbox refuses again; `tell` hears of each event.
    pub(super) async fn append_all(&self, tell: impl Fn(&Appended)) {
        if self.lock().is_empty() {
            return;
        }
        // Two at once would append the same and take away what neither has appended.
        let _turn = self.turn.lock().await;
        loop {
            let Some((append, _)) = self.lock().front().cloned() else {
                return;
            };
            let Ok(appended) = self.outbox.append(append).await else {
                return;
            };
            appended.iter().for_each(&tell);
            let mut waiting = self.lock();
            waiting.pop_front();
            self.metrics.waiting.set(events(&waiting) as i64);
            if waiting.is_empty() {
                self.end_gap();
            }
        }
    }

    /// Says how long the outbox took nothing: what nobody may have told us of in that time is not in it.
    fn end_gap(&self) {
        let (Some(from), to) = (self.gap().take(), OffsetDateTime::now_utc()) else {
            return;
        };
        let seconds = (to - from).as_seconds_f64().max(0.0);
        self.metrics.gap.inc_by(seconds);
        info!(
            from = time_text(from),
            to = time_text(to),
            "The outbox takes events again; all that waited in memory are durable"
        );
    }

    fn gap(&self) -> MutexGuard<'_, Option<OffsetDateTime>> {
        self.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Append, Promise)>> {
        // A list is a list even if somebody panicked while holding it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn events(waiting: &VecDeque<(Append, Promise)>) -> usize {
    waiting.iter().map(|(append, _)| append.events.len()).sum()
}

fn write_down(append: &Append, why: &Error, what: &'static str) {
    for event in &append.events {
        let envelope = Envelope::of(event).to_json();
        error!(error = chain(why), envelope, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use crate::event::Event;
    use crate::event::EventId;
    use crate::event::IntentId;
    use crate::event::schema::tests::sample;
    use crate::outbox;
    use crate::outbox::Before;
    use crate::points::Points;

    use super::*;

    #[tokio::test]
    async fn what_two_append_at_once_is_appended_once_each_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let config = outbox::Config {
            directory: directory.path().join("outbox"),
            subscriptions: Vec::new(),
            pairing: None,
            bounds: outbox::Bounds::default(),
            after_damage: outbox::AfterDamage::GoOn,
            points: Points::default(),
        };
        let outbox = Outbox::open(config, outbox::Metrics::default()).unwrap();
        let unrecorded = Unrecorded::new(outbox.clone(), Metrics::default());
        let mut kept = Vec::new();
        for _ in 0..20 {
            let intent = IntentId::now();
            let event = Event { id: EventId::of(intent, None), sequence: None, ..sample() };
            kept.push(event.id);
            let append = Append { intent, events: vec![event], before: Before::Unknown };
            unrecorded.keep(append, Promise::Nothing, &Error::Closed);
        }
        assert_eq!(unrecorded.len(), kept.len());
        let told = Mutex::new(Vec::new());
        let tell = |appended: &Appended| told.lock().unwrap().push(appended.event.id);
        tokio::join!(unrecorded.append_all(tell), unrecorded.append_all(tell));
        assert_eq!(unrecorded.len(), 0);
        assert_eq!(*told.lock().unwrap(), kept);
        outbox.close().await;
    }
}
