use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::Metrics;

/// Accepts TLS within the deadline, or closes: most failures are scanners and probes, so they are a
/// counter and a `debug` line, not a warning each.
pub(super) async fn accept<Io>(
    io: Io,
    tls: Arc<rustls::ServerConfig>,
    deadline: Duration,
    metrics: &Metrics,
) -> Option<TlsStream<Io>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(deadline, TlsAcceptor::from(tls).accept(io)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            metrics.refused("handshake");
            debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => {
            metrics.refused("handshake_deadline");
            debug!(?deadline, "TLS handshake took too long");
            None
        }
    }
}
