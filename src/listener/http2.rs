//! One HTTP/2 connection (RFC 9113): its streams, each a tracked task, and its end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use h2::server::Connection;
use http::Request;
use hyper::service::Service as _;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::pin;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;
use tracing::debug;

use super::Context;
use super::Incoming;
use super::Limits;
use super::Serve;
use super::connection::BEGINNING;
use super::connection::HEAD;
use super::connection::LINGER;
use super::guarded::Guarded;
use super::guarded::Guilt;
use super::guarded::Verdict;
use super::stream;
use super::windows::Size;

const FRAME: u32 = 64 << 10;
const STREAMS: u32 = 100;
/// How much of one answer may wait for the socket.
const UNSENT: usize = 64 << 10;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// We stop: the requests it has are finished.
    Draining,
    /// It ends, whatever it still has.
    Closing,
}

/// The streams of a connection.
#[derive(Debug)]
struct Streams {
    began: Instant,
    open: AtomicUsize,
    /// When the last of them ended, in milliseconds since the connection began.
    ended: AtomicU64,
}

/// One of them, until it is dropped.
struct Open(Arc<Streams>);

/// Serves a connection until its end. When the listener stops, the requests it has are finished.
pub(super) async fn serve<Io, S>(io: Io, service: S::Connection, limits: &Limits, context: &Context)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let verdict = Arc::new(Verdict::default());
    let io = Guarded::new(io, limits.request_head, verdict.clone(), context.points.clone());
    let mut window = context.room.windows.open();
    let Some(mut connection) = begin(io, window.size(), limits, context).await else {
        return;
    };
    let streams = Arc::new(Streams::new());
    let moving = window.moving().clone();
    let mut stage = Stage::Open;
    let timer = sleep(limits.idle);
    pin!(timer);
    loop {
        // `biased`, so that a request which is here already is one of those that are finished.
        tokio::select! {
            biased;
            guilt = verdict.guilty(), if stage != Stage::Closing => {
                debug!(?guilt, "Connection closed");
                context.metrics.closed(guilt.reason());
                connection.abrupt_shutdown(guilt.code());
                stage = Stage::Closing;
                timer.as_mut().reset(Instant::now() + 2 * LINGER);
            }
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let (head, frames) = request.into_parts();
                    let body = Incoming::http2(frames, &head.headers, window.moving().clone());
                    let method = head.method.clone();
                    let call = service.call(Request::from_parts(head, body));
                    let open = Open::new(&streams);
                    let stall = limits.stall;
                    // Boxed, because it is moved several times on its way to where it stays.
                    context.tasks.spawn(Box::pin(async move {
                        let _open = open;
                        stream::answer(call, &method, respond, stall).await;
                    }));
                }
                Some(Err(error)) => {
                    debug!(%error, "Connection ended early");
                    break;
                }
                None => break,
            },
            () = moving.enough(), if stage == Stage::Open => {
                window.grow(|size| {
                    // Refused as long as the client has not agreed to the last change; there is a next time.
                    let agreed = connection.set_initial_window_size(size.stream).is_ok();
                    if agreed {
                        connection.set_target_window_size(size.connection);
                    }
                    agreed
                });
            }
            () = context.stop.cancelled(), if stage == Stage::Open => {
                connection.graceful_shutdown();
                stage = Stage::Draining;
                timer.as_mut().reset(Instant::now() + BEGINNING);
            }
            () = &mut timer => match stage {
                Stage::Open => {
                    let now = Instant::now();
                    let due = streams.idle_since().unwrap_or(now) + limits.idle;
                    if due > now {
                        timer.as_mut().reset(due);
                    } else {
                        context.metrics.closed("idle");
                        connection.graceful_shutdown();
                        stage = Stage::Closing;
                        timer.as_mut().reset(now + LINGER / 2);
                    }
                }
                Stage::Draining if connection.has_streams() => {
                    timer.as_mut().reset(Instant::now() + BEGINNING);
                }
                Stage::Draining | Stage::Closing => break,
            },
        }
    }
}

/// Waits for the client to begin, as long as it may take.
async fn begin<Io>(
    io: Io,
    window: Size,
    limits: &Limits,
    context: &Context,
) -> Option<Connection<Io, Bytes>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let begun = Builder::new()
        .initial_window_size(window.stream)
        .initial_connection_window_size(window.connection)
        .max_frame_size(FRAME)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD)
        .max_send_buffer_size(UNSENT)
        .handshake(io);
    let stopped = async {
        context.stop.cancelled().await;
        sleep(BEGINNING).await;
    };
    tokio::select! {
        biased;
        begun = timeout(limits.request_head, begun) => match begun {
            Ok(Ok(connection)) => Some(connection),
            Ok(Err(error)) => {
                debug!(%error, "Connection ended early");
                None
            }
            Err(_) => {
                context.metrics.closed("request_head");
                None
            }
        },
        () = stopped => None,
    }
}

impl Guilt {
    fn reason(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::SlowHead => "request_head",
        }
    }

    fn code(self) -> Reason {
        match self {
            Self::Flood => Reason::ENHANCE_YOUR_CALM,
            Self::SlowHead => Reason::NO_ERROR,
        }
    }
}

impl Streams {
    fn new() -> Self {
        Self { began: Instant::now(), open: AtomicUsize::new(0), ended: AtomicU64::new(0) }
    }

    /// Since when there is none.
    fn idle_since(&self) -> Option<Instant> {
        let ended = Duration::from_millis(self.ended.load(Ordering::Relaxed));
        (self.open.load(Ordering::Relaxed) == 0).then(|| self.began + ended)
    }
}

impl Open {
    fn new(streams: &Arc<Streams>) -> Self {
        streams.open.fetch_add(1, Ordering::Relaxed);
        Self(streams.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended.store(since, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
