//! Stopping: what the signals mean, and the order in which we end.
//!
//! 1. not ready (`/readyz` says 503, so nobody sends new work)
//! 2. stop accepting connections
//! 3. finish requests, and the events they owe
//! 4. finish attempts in flight
//! 5. seal the outbox
//! 6. the admin listener, last
//!
//! All of it within the drain deadline; out of time we exit with 1 and nothing is lost, because what was
//! acknowledged is durable already.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

/// What an operator can wish for.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    at_once: CancellationToken,
    reload: watch::Sender<()>,
}

impl Shutdown {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when we should finish what we hold and end.
    #[must_use]
    pub fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Cancelled when we should end without finishing.
    #[must_use]
    pub fn at_once(&self) -> &CancellationToken {
        &self.at_once
    }

    /// Changes when files that may have changed should be read again.
    #[must_use]
    pub fn reload(&self) -> watch::Receiver<()> {
        self.reload.subscribe()
    }

    /// Turns signals into wishes: the first SIGTERM or SIGINT drains, the second ends at once; SIGHUP
    /// reloads. What must not end the process, though that is its default, is
    /// SIGXFSZ, which a limit on the size of files sends: to the outbox it is a full disk, like any other.
    ///
    /// # Errors
    ///
    /// If the signals cannot be watched.
    pub fn watch(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        // Once watched, a signal never has its default effect again; nobody need listen.
        drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
        let shutdown = self.clone();
        Ok(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => shutdown.asked("SIGTERM"),
                    _ = interrupt.recv() => shutdown.asked("SIGINT"),
                    _ = hangup.recv() => {
                        info!("SIGHUP: reading certificates again; options are read at the start only");
                        shutdown.reload.send_replace(());
                    }
                }
            }
        })
    }

    fn asked(&self, signal: &'static str) {
        if self.drain.is_cancelled() {
            warn!(signal, "Stopping at once");
            self.at_once.cancel();
        } else {
            info!(signal, "Draining; a second signal stops at once");
            self.drain.cancel();
        }
    }
}
