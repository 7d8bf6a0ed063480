use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::Context;

/// Accepts TLS within the deadline, or closes: most failures are scanners and probes, so they are a
/// counter and a `debug` line, not a warning each.
pub(super) async fn accept<Io>(
    io: Io,
    tls: Arc<rustls::ServerConfig>,
    deadline: Duration,
    context: &Context,
) -> Option<Box<TlsStream<Io>>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let in_turn = async {
        let _turn = context.room.handshakes.acquire().await.map_err(io::Error::other)?;
        TlsAcceptor::from(tls).accept(io).await
    };
    match timeout(deadline, in_turn).await {
        // Boxed, because whatever serves it has several places for it.
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            context.metrics.refused("handshake");
            debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => {
            context.metrics.refused("handshake_deadline");
            debug!(?deadline, "TLS handshake took too long");
            None
        }
    }
}
