//! Connections to the registry, which we own.
//!
//! A request with a body gets a connection that no other client's request has used, because a body is
//! how one request is smuggled behind another (delivery-guarantees 8.1): those connections live and die
//! with the client's own. Requests without a body share the rest.
//!
//! A connection has no task of its own: whoever waits for an answer on it moves it on. That saves two tasks
//! waking each other for each request and each piece of a body, and what was read of a body is written
//! before others have their turn, while it is still in the cache. Only where the answer is there before the
//! whole request was sent does the rest of it go on in a task.

use std::collections::VecDeque;
use std::future::Future as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::Once;
use std::sync::PoisonError;
use std::sync::Weak;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http::Response;
use http::StatusCode;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::Builder;
use hyper::client::conn::http1::Connection;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::time::sleep;
use tracing::debug;

use crate::connect;
use crate::connect::Connector;
use crate::listener::Timed;
use crate::tasks::Tasks;

use super::error::Error;
use super::gathered::Gathered;
use super::gathered::Gathering;
use super::heard_out::HeardOut;
use super::request::RequestBody;

/// The way to the registry. Idle connections are closed when the last clone of it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    stall: Duration,
    shared: Pool,
    gathering: Gathering,
    /// Whether somebody looks after the shared connections that nobody moves on.
    cleared: Once,
    /// Connections are tasks of their own tracker: nobody waits for idle ones at a drain.
    tasks: Tasks,
}

/// The connections one client has to itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Session(Pool);

/// Idle connections, the newest last.
#[derive(Debug, Clone, Default)]
struct Pool(Arc<Mutex<VecDeque<Idle>>>);

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

/// A connection.
#[derive(Debug)]
struct Link {
    sender: SendRequest<RequestBody>,
    /// What moves it on, unless a task does, or it has ended.
    driver: Option<Box<Driver>>,
}

type Driver = Connection<TokioIo<Gathered<Timed<HeardOut<connect::Connection>>>>, RequestBody>;

/// A connection in use; given back when the answer has been read to its end, else closed.
#[derive(Debug)]
pub(super) struct Lease {
    link: Link,
    pool: Pool,
}

/// The body of an answer. Its connection goes back when it has been read to its end.
#[derive(Debug)]
pub(super) struct Inflow {
    body: Incoming,
    lease: Option<Lease>,
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

/// How much of a body waits to be written, and is read of an answer at once. A head may be as long.
const MOST: usize = 64 << 10;
/// The same of a connection for requests with a body, where there are few of them: what is written at once is
/// as much as is read of a client at once. There is little to read of their answers.
const MOST_OF_A_BODY: usize = 256 << 10;
/// The registry closes idle connections too; ours go first.
const IDLE: Duration = Duration::from_secs(30);
/// The most idle connections kept in one pool.
const MAX_IDLE: usize = 32;

impl Upstream {
    /// A registry that takes nothing of what it is sent for `stall` is given up.
    pub(super) fn new(connector: Connector, stall: Duration) -> Self {
        Self(Arc::new(Inner {
            connector,
            stall,
            shared: Pool::default(),
            gathering: Gathering::default(),
            cleared: Once::new(),
            tasks: Tasks::new(),
        }))
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
            let mut link = match idle {
                Some(link) => link,
                None => match self.dial(share).await {
                    Ok(link) => link,
                    Err(error) => {
                        let unsent = Some(request.into_body());
                        return Err(Failed { error, stale: false, unsent });
                    }
                },
            };
            let error = match link.exchange(request).await {
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Failed { error: Error::Upgrade, stale: false, unsent: None });
                }
                Ok(response) => return Ok((response, Lease { link, pool: pool.clone() })),
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

    /// Lets a request go on by itself whose answer came before all of it was sent.
    pub(super) fn go_on(&self, lease: &mut Lease) {
        if let Some(connection) = lease.link.driver.take() {
            self.0.tasks.spawn(async move { say(connection.await) });
        }
    }

    async fn dial(&self, share: Share) -> Result<Link, Error> {
        let io = self.0.connector.connect().await.map_err(|source| Error::Connect { source })?;
        // No rule asks for it, but a client that can tell us from the registry will be written some day.
        let io = Timed::new(HeardOut::new(io), self.0.stall);
        let io = Gathered::new(io, self.0.gathering.clone());
        let most = match share {
            Share::Own if !io.is_in_a_crowd() => MOST_OF_A_BODY,
            _ => MOST,
        };
        let (sender, connection) = Builder::new()
            .preserve_header_case(true)
            .max_buf_size(most)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|source| Error::Exchange { source })?;
        if share == Share::Any {
            self.0.cleared.call_once(|| {
                self.0.tasks.spawn(clear(Arc::downgrade(&self.0.shared.0)));
            });
        }
        Ok(Link { sender, driver: Some(Box::new(connection)) })
    }
}

/// Closes what has been idle for too long, as long as there is a pool.
async fn clear(pool: Weak<Mutex<VecDeque<Idle>>>) {
    loop {
        sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        Pool(pool).lock().retain(|idle| idle.since.elapsed() < IDLE);
    }
}

fn say(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        debug!(%error, "Connection to the registry ended");
    }
}

impl Link {
    /// One request and the head of its answer.
    async fn exchange(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(&mut told_by(driver, cx))
        })
        .await
    }

    /// Whether it can take a request.
    fn is_ready(&mut self) -> bool {
        // Whatever has happened since it became idle happens here.
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.sender.is_ready()
    }
}

/// Moves a connection on as far as it goes.
fn drive(driver: &mut Option<Box<Driver>>, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
    {
        say(ended);
        *driver = None;
    }
}

/// How to wait for what comes out of a connection: what only we move on need not wake us too.
fn told_by<'a>(driver: &Option<Box<Driver>>, cx: &'a Context<'_>) -> Context<'a> {
    Context::from_waker(if driver.is_some() { Waker::noop() } else { cx.waker() })
}

impl Pool {
    /// The newest connection that still works.
    fn take(&self) -> Option<Link> {
        loop {
            let Idle { mut link, since } = self.lock().pop_back()?;
            if since.elapsed() < IDLE && link.is_ready() {
                return Some(link);
            }
        }
    }

    fn give(&self, link: Link) {
        let now = Instant::now();
        let mut idle = self.lock();
        while idle.front().is_some_and(|oldest| now - oldest.since >= IDLE) {
            idle.pop_front();
        }
        if idle.len() < MAX_IDLE && !link.sender.is_closed() {
            idle.push_back(Idle { link, since: now });
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        // Whoever panicked while holding it left a list of connections, which is fine as it is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The answer has been read: the connection may serve the next request.
    pub(super) fn give_back(self) {
        self.pool.give(self.link);
    }
}

impl Inflow {
    pub(super) fn new(body: Incoming, lease: Lease) -> Self {
        Self { body, lease: Some(lease) }
    }
}

impl Body for Inflow {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, lease } = self.get_mut();
        let mut body = Pin::new(body);
        let Some(Lease { link, .. }) = lease else {
            return body.poll_frame(cx);
        };
        let mut frame = body.as_mut().poll_frame(&mut told_by(&link.driver, cx));
        if frame.is_pending() && link.driver.is_some() {
            // Only now it knows that more is wanted.
            drive(&mut link.driver, cx);
            frame = body.as_mut().poll_frame(&mut told_by(&link.driver, cx));
        }
        let over = match &frame {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(None) => true,
            _ => false,
        };
        if over && let Some(lease) = lease.take() {
            lease.give_back();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
