use std::io;

use crate::certs;
use crate::listener;
use crate::outbox;

/// A run that did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory cannot be used, or somebody else has it.
    #[error("could not open the outbox")]
    Outbox {
        /// Why.
        source: outbox::Error,
    },
    /// No threads.
    #[error("could not start the runtime")]
    Runtime {
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be watched, so nobody could stop us.
    #[error("could not watch for signals")]
    Signals {
        /// Why.
        source: io::Error,
    },
    /// An identity that loads but that TLS does not take.
    #[error("could not use an identity")]
    Identity {
        /// Why.
        source: certs::Error,
    },
    /// An address cannot be had.
    #[error("could not start to listen")]
    Listen {
        /// Why.
        source: listener::Error,
    },
    /// The drain's time was over, or a second signal came.
    #[error(
        "stopped with {unfinished} tasks unfinished; what was acknowledged is durable and will be delivered"
    )]
    CutShort {
        /// Connections and exchanges that were cut off.
        unfinished: usize,
    },
    /// The outbox took no events until the end.
    #[error("stopped with {events} events that only memory held; each stands in the log")]
    Unkept {
        /// How many.
        events: usize,
    },
}
