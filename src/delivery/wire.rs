//! Between our connections and the HTTP client that uses them.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::Connected;
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::connect::Connection;
use crate::connect::Connector;

/// Opens the connections of one endpoint. Where to is the connector's business; the request's URI is
/// not asked.
#[derive(Debug, Clone)]
pub(super) struct Dial(Connector);

impl Dial {
    pub(super) fn new(connector: Connector) -> Self {
        Self(connector)
    }
}

impl Service<Uri> for Dial {
    type Response = Wire;
    // Shared, because the client lends its cause and does not give it.
    type Error = Arc<crate::connect::Error>;
    type Future = BoxFuture<'static, Result<Wire, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.0.clone();
        async move {
            let connection = connector.connect().await.map_err(Arc::new)?;
            Ok(Wire { io: TokioIo::new(connection), served: Served::default() })
        }
        .boxed()
    }
}

/// Whether a connection has brought an answer before.
#[derive(Debug, Clone, Default)]
pub(super) struct Served(Arc<AtomicBool>);

impl Served {
    /// Notes that it has.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn has(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection as the HTTP client wants it.
pub(super) struct Wire {
    io: TokioIo<Connection>,
    served: Served,
}

impl legacy::connect::Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.served.clone());
        if self.io.inner().negotiated_h2() { connected.negotiated_h2() } else { connected }
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
