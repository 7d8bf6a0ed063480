use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http1;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::sleep;
use tokio::time::timeout;
use tracing::debug;

use crate::tasks::Tasks;

use super::Context;
use super::Limits;
use super::Serve;
use super::Timed;

/// The HTTP spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Streams of one HTTP/2 connection are tasks too, and are waited for.
#[derive(Clone)]
struct Tracked {
    tasks: Tasks,
    /// Whether there ever was a stream.
    used: Arc<AtomicBool>,
}

const FRAME: u32 = 64 << 10;
const STREAMS: u32 = 100;
const HEAD: u32 = 64 << 10;
/// How long a client that has not begun yet may hold up a drain.
const BEGINNING: Duration = Duration::from_secs(1);
/// How long a client that got its answer early may go on sending what nobody wants (H17).
const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection until its end. When the listener stops, the requests it has are finished.
pub(super) async fn serve<Io, S>(
    io: Io,
    protocol: Protocol,
    service: S::Connection,
    limits: &Limits,
    context: &Context,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let io = TokioIo::new(Timed::new(io, limits.stall).lingering(LINGER));
    let ended = match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.idle)
                .preserve_header_case(true)
                .serve_connection(io, service);
            let mut connection = pin!(connection);
            // `biased`, so that a request which is here already is one of those that are finished.
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = context.stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Protocol::Http2 => {
            let tracked = Tracked { tasks: context.tasks.clone(), used: Arc::default() };
            let used = tracked.used.clone();
            let window = context.room.windows.open();
            let connection = http2::Builder::new(tracked)
                .timer(TokioTimer::new())
                .initial_stream_window_size(window.stream)
                .initial_connection_window_size(window.connection)
                .max_frame_size(FRAME)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEAD)
                .keep_alive_interval(limits.idle / 2)
                .keep_alive_timeout(limits.idle / 2)
                .serve_connection(io, service);
            let mut connection = pin!(connection);
            // hyper gives the client for ever to begin, and a shutdown waits for that beginning.
            let unused = async {
                sleep(limits.idle).await;
                if used.load(Ordering::Relaxed) {
                    pending::<()>().await;
                }
            };
            // `biased`, so that a request which is here already is one of those that are finished.
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = unused => Ok(()),
                () = context.stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    match timeout(BEGINNING, connection.as_mut()).await {
                        Ok(ended) => ended,
                        Err(_) if used.load(Ordering::Relaxed) => connection.await,
                        Err(_) => Ok(()),
                    }
                }
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "Connection ended early");
    }
}

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.used.store(true, Ordering::Relaxed);
        drop(self.tasks.spawn(future));
    }
}
