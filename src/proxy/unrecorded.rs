//! Events the outbox would not take while pushes must pass (`outbox.on_failure: pass`): kept in memory,
//! said loudly, and appended as soon as the outbox takes appends again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;

use crate::event::schema::Envelope;
use crate::outbox::Append;
use crate::outbox::Error;
use crate::outbox::Outbox;

use super::metrics::Metrics;

/// Appends that wait for the outbox.
#[derive(Debug, Clone)]
pub(super) struct Unrecorded {
    waiting: Arc<Mutex<VecDeque<Append>>>,
    outbox: Outbox,
    metrics: Metrics,
}

/// The most appends kept; beyond it they are lost, counted, and stand in the log.
const MOST: usize = 10_000;
/// How often the outbox is asked again.
const PAUSE: Duration = Duration::from_secs(5);

impl Unrecorded {
    pub(super) fn new(outbox: Outbox, metrics: Metrics) -> Self {
        Self { waiting: Arc::default(), outbox, metrics }
    }

    /// Keeps what could not be appended. The whole event goes to the log: if we die now, it is the only
    /// trace of a push that a client was told about.
    pub(super) fn keep(&self, append: Append, why: &Error) {
        for event in &append.events {
            let envelope = Envelope::of(event).to_json();
            error!(error = %why, envelope, "The outbox did not take an event; it is kept in memory");
        }
        let mut waiting = self.lock();
        if waiting.len() < MOST {
            waiting.push_back(append);
            self.metrics.waiting.set(waiting.len() as i64);
        } else {
            self.metrics.unkept.inc();
            error!(limit = MOST, "No more events can be kept in memory; this one is lost");
        }
    }

    /// How many appends wait.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Appends what waits, until the stop; then once more.
    pub(super) async fn drain_into_outbox(self, stop: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = sleep(PAUSE) => false,
                () = stop.cancelled() => true,
            };
            self.append_all().await;
            if stopping {
                break;
            }
        }
    }

    /// Appends what waits, oldest first, until the outbox refuses again.
    pub(super) async fn append_all(&self) {
        loop {
            let Some(append) = self.lock().front().cloned() else {
                return;
            };
            if self.outbox.append(append).await.is_err() {
                return;
            }
            let mut waiting = self.lock();
            waiting.pop_front();
            self.metrics.waiting.set(waiting.len() as i64);
            if waiting.is_empty() {
                info!("The outbox takes events again; all that waited in memory are durable");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Append>> {
        // A list is a list even if somebody panicked while holding it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
