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
use pushbell::body::collect_capped;
use pushbell::tasks::Tasks;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::pki::Pki;

/// A receiver of webhooks and of Distribution's notifications that notes what came when. While its gate is
/// closed, whoever tells it something waits for the answer.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    arrivals: mpsc::Receiver<Arrival>,
    gate: watch::Sender<Gate>,
}

/// A push that was told of.
pub(crate) struct Arrival {
    /// When its last byte was here, and the gate open.
    pub(crate) at: Instant,
    /// `repository:tag`.
    pub(crate) subject: String,
}

/// Whether what comes is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Closed,
}

/// Webhooks that nobody asked about yet; beyond it the receiver waits.
const WAITING: usize = 4096;
/// How long a webhook may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// As long as a webhook may be, in bytes.
const LIMIT: usize = 1 << 20;

impl Receiver {
    pub(crate) async fn start(pki: &Pki) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(Arc::new(pki.server()?));
        let (arrived, arrivals) = mpsc::channel(WAITING);
        let (gate, opening) = watch::channel(Gate::Open);
        let tasks = Tasks::new();
        tasks.clone().spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    continue;
                };
                tcp.set_nodelay(true).ok();
                let (acceptor, arrived) = (acceptor.clone(), arrived.clone());
                let opening = opening.clone();
                tasks.spawn(async move {
                    // Whoever breaks off is missed as an arrival, and that is said.
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let service =
                        service_fn(move |request| take(request, arrived.clone(), opening.clone()));
                    let server = auto::Builder::new(TokioExecutor::new());
                    server.serve_connection(TokioIo::new(tls), service).await.ok();
                });
            }
        });
        Ok(Self { port, arrivals, gate })
    }

    /// The next that is told.
    pub(crate) async fn next(&mut self) -> Result<Arrival> {
        let arrival = timeout(PATIENCE, self.arrivals.recv()).await;
        arrival.context("no webhook came")?.context("the receiver ended")
    }

    /// Opens or closes the gate.
    pub(crate) fn turn(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }
}

async fn take(
    request: Request<Incoming>,
    arrived: mpsc::Sender<Arrival>,
    mut gate: watch::Receiver<Gate>,
) -> Result<Response<Full<Bytes>>> {
    let body = collect_capped(request.into_body(), LIMIT).await?.into_bytes();
    gate.wait_for(|gate| *gate == Gate::Open).await?;
    let at = Instant::now();
    let told: Told = serde_json::from_slice(&body).context("read a webhook")?;
    for subject in told.subjects() {
        arrived.send(Arrival { at, subject }).await?;
    }
    Ok(Response::new(Full::default()))
}

/// What is read of a CloudEvent, which has a `subject`, or of Distribution's envelope, which has `events`.
#[derive(Deserialize)]
struct Told {
    subject: Option<String>,
    #[serde(default)]
    events: Vec<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    target: Descriptor,
}

#[derive(Deserialize)]
struct Descriptor {
    repository: String,
    #[serde(default)]
    tag: String,
}

impl Told {
    fn subjects(self) -> impl Iterator<Item = String> {
        let notified = self.events.into_iter().map(|event| event.target);
        let notified = notified.map(|target| format!("{}:{}", target.repository, target.tag));
        self.subject.into_iter().chain(notified)
    }
}
