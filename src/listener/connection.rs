use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use super::Context;
use super::Limits;
use super::Refusal;
use super::Serve;
use super::Timed;
use super::http1;
use super::http2;

/// The HTTP spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The most of a head, in bytes.
pub(super) const HEAD: u32 = 64 << 10;
/// How long a client that has not begun a request yet, or not sent the whole head of it, may hold up a drain.
pub(super) const BEGINNING: Duration = Duration::from_secs(2);
/// How long a client that got its answer early may go on sending what nobody wants (H17).
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection until its end. When the listener stops, the requests it has are finished.
pub(super) async fn serve<Io, S>(
    io: Io,
    protocol: Protocol,
    service: S::Connection,
    refusal: Refusal,
    limits: &Limits,
    context: &Context,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let io = Timed::new(io, limits.stall).lingering(LINGER);
    // Boxed each, or an idle connection of the one would hold the room that the other needs.
    match protocol {
        Protocol::Http1 => {
            Box::pin(http1::serve::<_, S>(io, service, refusal, limits, context)).await;
        }
        Protocol::Http2 => Box::pin(http2::serve::<_, S>(io, service, limits, context)).await,
    }
}
