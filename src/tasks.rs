//! The one tracked spawn: a task that a drain does not wait for is a task whose work gets lost.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Counts tasks before they start, so that a drain can wait for every one of them.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// A tracker of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task in the current span.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(future.in_current_span())
    }

    /// Starts a task on another runtime, in the current span.
    pub fn spawn_on<F>(&self, future: F, runtime: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn_on(future.in_current_span(), runtime)
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no task is running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until every task has ended. Tasks may still be started while it waits, and are waited for.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if it is dropped and called again.
    pub async fn finished(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
