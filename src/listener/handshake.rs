use std::future::Future;
use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout_at;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::Context;
use super::connection::BEGINNING;
use super::proxy_protocol;
use super::proxy_protocol::Source;

/// Reads who the client is within the deadline, or closes.
pub(super) async fn told<Io>(io: &mut Io, deadline: Instant, context: &Context) -> Option<Source>
where
    Io: AsyncRead + Unpin,
{
    match in_time(proxy_protocol::read(io), deadline, context).await? {
        Ok(source) => Some(source),
        Err(error) => {
            context.metrics.refused("proxy_protocol");
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            debug!(%error, cause, "Connection refused");
            None
        }
    }
}

/// Accepts TLS within the deadline, or closes: most failures are scanners and probes, so they are a
/// counter and a `debug` line, not a warning each. Who has said nothing yet takes nobody's turn.
pub(super) async fn accept<Io>(
    io: Io,
    tls: Arc<rustls::ServerConfig>,
    deadline: Instant,
    context: &Context,
) -> Option<Box<TlsStream<Io>>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let in_turn = async {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let turn = context.room.handshakes.take().await.map_err(io::Error::other)?;
        tokio::select! {
            biased;
            accepted = hello.into_stream(tls) => accepted,
            () = turn.over() => Err(io::Error::new(io::ErrorKind::TimedOut, Crowded)),
        }
    };
    match in_time(in_turn, deadline, context).await? {
        // Boxed, because whatever serves it has several places for it.
        Ok(stream) => Some(Box::new(stream)),
        Err(error) => {
            let crowded = error.get_ref().is_some_and(|error| error.is::<Crowded>());
            context.metrics.refused(if crowded { "handshakes" } else { "handshake" });
            debug!(%error, "TLS handshake failed");
            None
        }
    }
}

/// Others waited for the turn of this handshake.
#[derive(Debug, thiserror::Error)]
#[error(
    "it took more than a second while others waited, and there are as many as `limits.handshakes` allows"
)]
struct Crowded;

/// Nothing if it takes too long, or if the listener stops and it is not over soon: who has connected by then
/// is about to ask.
async fn in_time<T>(
    beginning: impl Future<Output = T>,
    deadline: Instant,
    context: &Context,
) -> Option<T> {
    let stopped = async {
        context.stop.cancelled().await;
        sleep(BEGINNING).await;
    };
    tokio::select! {
        biased;
        begun = timeout_at(deadline, beginning) => begun
            .inspect_err(|_| {
                context.metrics.refused("handshake_deadline");
                debug!("Connection refused: it took too long to begin");
            })
            .ok(),
        () = stopped => None,
    }
}
