//! Connections to the registry, which we own.
//!
//! A request with a body gets a connection that no other client's request has used, because a body is
//! how one request is smuggled behind another (delivery-guarantees 8.1): those connections live and die
//! with the client's own. Requests without a body share the rest.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use futures_util::FutureExt as _;
use http::Request;
use http::Response;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::client::conn::http1::Builder;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tracing::debug;

use crate::connect::Connector;
use crate::listener::Timed;
use crate::tasks::Tasks;

use super::attentive::Attentive;
use super::error::Error;
use super::request::RequestBody;

/// The way to the registry. Idle connections are closed when the last clone of it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    stall: Duration,
    shared: Pool,
    /// Connections are tasks of their own tracker: nobody waits for idle ones at a drain.
    tasks: Tasks,
}

/// The connections one client has to itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Session(Pool);

/// Idle connections, the newest last.
#[derive(Debug, Clone, Default)]
struct Pool(Arc<Mutex<Vec<Idle>>>);

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection in use; given back when the answer has been read to its end, else closed.
#[derive(Debug)]
pub(super) struct Lease {
    sender: SendRequest<RequestBody>,
    pool: Pool,
}

/// Whether a connection may have been used by other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Any will do: the request has no body.
    Any,
    /// Only this client's own.
    Own,
}

/// What became of a request that got no answer.
pub(super) struct Failed {
    /// Why.
    pub(super) error: Error,
    /// The connection had been idle and was closed under the request: worth a second try for a request
    /// that may be repeated.
    pub(super) stale: bool,
    /// The body, if not a byte of the request was sent.
    pub(super) unsent: Option<RequestBody>,
}

/// The registry closes idle connections too; ours go first.
const IDLE: Duration = Duration::from_secs(30);
/// The most idle connections kept in one pool.
const MAX_IDLE: usize = 32;

impl Upstream {
    /// A registry that takes nothing of what it is sent for `stall` is given up.
    pub(super) fn new(connector: Connector, stall: Duration) -> Self {
        let (shared, tasks) = (Pool::default(), Tasks::new());
        Self(Arc::new(Inner { connector, stall, shared, tasks }))
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the connection is closed and the request with it; the registry may have acted.
    pub(super) async fn send(
        &self,
        session: &Session,
        share: Share,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        let pool = match share {
            Share::Any => &self.0.shared,
            Share::Own => &session.0,
        };
        loop {
            let idle = pool.take();
            let reused = idle.is_some();
            let mut sender = match idle {
                Some(sender) => sender,
                None => match self.dial().await {
                    Ok(sender) => sender,
                    Err(error) => {
                        let unsent = Some(request.into_body());
                        return Err(Failed { error, stale: false, unsent });
                    }
                },
            };
            let error = match sender.try_send_request(request).await {
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Failed { error: Error::Upgrade, stale: false, unsent: None });
                }
                Ok(response) => return Ok((response, Lease { sender, pool: pool.clone() })),
                Err(error) => error,
            };
            let mut error = error;
            // What comes back was not written, not a byte of it.
            match error.take_message() {
                Some(unsent) if reused => request = unsent,
                Some(unsent) => {
                    let error = Error::Unsent { source: error.into_error() };
                    return Err(Failed { error, stale: false, unsent: Some(unsent.into_body()) });
                }
                None => {
                    let source = error.into_error();
                    let stale = reused && (source.is_incomplete_message() || source.is_closed());
                    return Err(Failed { error: Error::Exchange { source }, stale, unsent: None });
                }
            }
        }
    }

    async fn dial(&self) -> Result<SendRequest<RequestBody>, Error> {
        let io = self.0.connector.connect().await.map_err(|source| Error::Connect { source })?;
        // No rule asks for it, but a client that can tell us from the registry will be written some day.
        let (sender, connection) = Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(Timed::new(Attentive::new(io), self.0.stall)))
            .await
            .map_err(|source| Error::Exchange { source })?;
        self.0.tasks.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "Connection to the registry ended");
            }
        });
        Ok(sender)
    }
}

impl Pool {
    /// The newest connection that still works.
    fn take(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.lock();
        while let Some(Idle { mut sender, since }) = idle.pop() {
            let ready = matches!(sender.ready().now_or_never(), Some(Ok(())));
            if ready && since.elapsed() < IDLE {
                return Some(sender);
            }
        }
        None
    }

    fn give(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.lock();
        idle.retain(|i| i.since.elapsed() < IDLE && !i.sender.is_closed());
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Whoever panicked while holding it left a list of connections, which is fine as it is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The answer has been read: the connection may serve the next request.
    pub(super) fn give_back(self) {
        self.pool.give(self.sender);
    }
}
