use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use bytes::Bytes;
use http::Request;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use pushbell::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::body::swallow;
use crate::pki::Pki;

/// A receiver of webhooks that takes everything at once, and notes when.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    arrivals: mpsc::Receiver<Instant>,
}

/// Webhooks that nobody asked about yet; beyond it the receiver waits.
const WAITING: usize = 1024;
/// How long a webhook may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Receiver {
    pub(crate) async fn start(pki: &Pki) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(Arc::new(pki.server()?));
        let (arrived, arrivals) = mpsc::channel(WAITING);
        let tasks = Tasks::new();
        tasks.clone().spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    continue;
                };
                tcp.set_nodelay(true).ok();
                let (acceptor, arrived) = (acceptor.clone(), arrived.clone());
                tasks.spawn(async move {
                    // Whoever breaks off is missed as an arrival, and that is said.
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let service = service_fn(move |request| take(request, arrived.clone()));
                    let server = auto::Builder::new(TokioExecutor::new());
                    server.serve_connection(TokioIo::new(tls), service).await.ok();
                });
            }
        });
        Ok(Self { port, arrivals })
    }

    /// When the next webhook was here with its last byte.
    pub(crate) async fn next(&mut self) -> Result<Instant> {
        let arrival = timeout(PATIENCE, self.arrivals.recv()).await;
        arrival.context("no webhook came")?.context("the receiver ended")
    }
}

async fn take(
    request: Request<Incoming>,
    arrived: mpsc::Sender<Instant>,
) -> Result<Response<Full<Bytes>>> {
    swallow(request.into_body()).await?;
    arrived.send(Instant::now()).await?;
    Ok(Response::new(Full::default()))
}
