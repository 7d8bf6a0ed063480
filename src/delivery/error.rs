use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy;

use crate::connect;
use crate::telemetry::chain;

use super::attempt::HEAD_LIMIT;
use super::attempt::escaped;

/// Why an attempt got no answer. None of these is the event's failure, and all but those of a proxy are the
/// endpoint's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no connection: no address, nobody there, or no trust.
    #[error(transparent)]
    Connect {
        /// What was in the way, certificates named in words.
        source: Arc<connect::Error>,
    },
    /// We have nothing to show the receiver that it would believe.
    #[error("nothing was sent: {reason}")]
    Credentials {
        /// What is missing.
        reason: String,
    },
    /// The whole of connecting, sending and being answered took too long.
    #[error("no answer within {timeout:?}")]
    Deadline {
        /// The endpoint's `timeout`.
        timeout: Duration,
    },
    /// Status line and headers do not fit what we read of them.
    #[error("the head of the answer is over {} KiB", HEAD_LIMIT / 1024)]
    HeadTooLarge,
    /// The answer is not HTTP.
    #[error("could not read the answer: {reason}")]
    Unreadable {
        /// What is wrong with it, escaped.
        reason: String,
    },
    /// The connection ended before there was an answer: closed, reset, or told to go away.
    #[error("the connection broke before an answer: {reason}")]
    Broken {
        /// How it ended, escaped.
        reason: String,
    },
}

/// The most of a library's words that we repeat: a peer may have a say in them (the text of a
/// `GOAWAY`).
const REASON_LIMIT: usize = 256;

impl Error {
    /// Sorts what the HTTP client reports into the few things an operator can tell apart.
    pub(super) fn of(error: &legacy::Error) -> Self {
        let mut last = None;
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(connect) = error.downcast_ref::<Arc<connect::Error>>() {
                return Self::Connect { source: Arc::clone(connect) };
            }
            if let Some(http) = error.downcast_ref::<hyper::Error>() {
                if http.is_parse_too_large() {
                    return Self::HeadTooLarge;
                }
                if http.is_parse() {
                    return Self::Unreadable { reason: reason(error) };
                }
            }
            last = Some(error);
            cause = error.source();
        }
        // The innermost words say most: those around them are "client error" and "http2 error".
        Self::Broken { reason: last.map_or_else(|| "not known why".to_owned(), reason) }
    }

    /// Whether the proxy on the way failed, so that nothing is known of the endpoint.
    #[must_use]
    pub fn is_of_proxy(&self) -> bool {
        matches!(self, Self::Connect { source } if matches!(**source, connect::Error::Proxy { .. }))
    }

    /// The error and everything behind it, on one line.
    #[must_use]
    pub fn words(&self) -> String {
        chain(self)
    }
}

fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::UnexpectedEof) => "the receiver closed it".to_owned(),
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            "the receiver reset it".to_owned()
        }
        _ => escaped(error.to_string().as_bytes(), REASON_LIMIT),
    }
}
