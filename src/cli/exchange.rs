//! One question to a running Pushbell, over its admin listener.

use std::path::Path;

use http::Request;
use http::StatusCode;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::net::UnixStream;

use crate::body;
use crate::body::BoxError;
use crate::body::collect_capped;
use crate::config::Address;

/// What to do where nobody answers.
pub(super) const REMEDY: &str =
    "start Pushbell, or say where its admin listener is with `--admin` or `--config`";

/// Asks, and reads at most `limit` bytes of the answer. It has no deadline of its own.
pub(super) async fn ask(
    address: &Address,
    request: Request<body::Body>,
    limit: usize,
) -> Result<(StatusCode, Vec<u8>), BoxError> {
    match address {
        Address::Tcp(address) => over(TcpStream::connect(address).await?, request, limit).await,
        Address::Unix(socket) => {
            over(UnixStream::connect(Path::new(socket)).await?, request, limit).await
        }
    }
}

async fn over<Io>(
    io: Io,
    request: Request<body::Body>,
    limit: usize,
) -> Result<(StatusCode, Vec<u8>), BoxError>
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(io)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = collect_capped(response.into_body(), limit).await?;
        Ok((status, body.into_bytes().to_vec()))
    };
    // The connection has to be driven; when the exchange is over, so is its use.
    tokio::select! {
        answered = exchange => answered,
        ended = connection => {
            ended?;
            Err("the connection ended before the answer".into())
        }
    }
}
