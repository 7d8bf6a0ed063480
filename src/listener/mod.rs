//! Bytes in: sockets, TLS, and one HTTP connection at a time. Never hears of registries.
//!
//! A [`Listener`] is bound first, so that every address is ours before anything runs, and served later.
//! Each connection is a tracked task on the worker that has the fewest of them: the drain waits for it, and
//! it is told to finish what it has.

mod accept;
mod coalesce;
mod connection;
mod error;
mod fill;
mod frames;
mod guarded;
mod handshake;
mod heads;
mod http1;
mod http2;
mod incoming;
mod metrics;
mod network;
mod patience;
mod pool;
mod proxy_protocol;
mod seldom;
mod spare;
mod stream;
mod timed;
mod turns;
mod windows;
mod workers;

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use hyper::Request;
use hyper::Response;
use hyper::service::Service;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::body::BoxError;
use crate::points::Points;
use crate::tasks::Tasks;

pub use self::accept::Listener;
pub use self::error::Error;
pub use self::incoming::Incoming;
pub use self::metrics::Metrics;
pub use self::network::Network;
pub use self::patience::Patience;
pub use self::timed::Timed;
pub use self::workers::PerWorker;
pub use self::workers::Workers;

use self::turns::Turns;
use self::windows::Windows;

/// What one listener needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 lets the system choose.
    pub address: Address,
    /// The identity to show, or plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Who is in front, and says by the PROXY protocol where a client comes from; nobody, where there is
    /// nothing.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How much, and how long.
    pub limits: Limits,
}

/// Each connection begins with a PROXY header, which tells the client's address.
#[derive(Debug, Clone)]
pub struct ProxyProtocol {
    /// Who may connect, and is believed; everybody, where there is none. On a unix socket its file decides.
    pub trusted: Vec<Network>,
}

/// A place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A unix socket; a stale one that nobody serves is replaced.
    Unix(PathBuf),
}

/// How long strangers may take (delivery-guarantees 8.4).
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a handshake may take, waiting for its turn included; then the connection is closed.
    pub handshake: Duration,
    /// How long the head of a request may take from its first byte on; then the client gets 408 and the
    /// connection is closed. Over HTTP/2, where there is no stream to answer on, it is closed at once; the
    /// preface has as long.
    pub request_head: Duration,
    /// How long a connection may wait for its next request; then it is closed, whatever else it says.
    pub idle: Duration,
    /// How long a client may take nothing of what it is sent; then its connection is closed, or, where only
    /// one stream of HTTP/2 stands still, that stream is reset.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address; none for a unix socket.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub transport: Transport,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP.
    Plain,
    /// HTTP over TLS.
    Tls,
}

/// Makes the service of each connection.
pub trait Serve: Clone + Send + Sync + 'static {
    /// What answers the requests of one connection.
    type Connection: Service<
            Request<Incoming>,
            Response = Response<Self::Body>,
            Error = BoxError,
            Future: Send + Unpin,
        > + Send
        + 'static;
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static;

    /// The service for a new connection.
    fn connection(&self, peer: Peer) -> Self::Connection;

    /// How a request is refused whose head cannot be read, so that no service ever sees it.
    fn refusal(&self) -> Refusal;
}

/// The words for a status that means that the head of a request was no head, too long or too late.
pub type Refusal = fn(StatusCode) -> Words;

/// The body of an answer, and what it is.
#[derive(Debug, Clone)]
pub struct Words {
    /// Its media type.
    pub media: &'static str,
    /// The body.
    pub body: Bytes,
}

/// How many connections and handshakes there may be at once, and how much clients may send ahead, over all
/// listeners that share it.
#[derive(Debug, Clone)]
pub struct Room {
    connections: Arc<Semaphore>,
    handshakes: Arc<Turns>,
    windows: Windows,
}

impl Room {
    /// Room for so many. Further connections wait in the kernel's queue, further handshakes for their
    /// turn, which comes at the latest when another had it for a second. HTTP/2 connections promise their clients windows of at most `memory` bytes together, and small
    /// windows to those for whom nothing of it is left.
    #[must_use]
    pub fn new(connections: usize, handshakes: usize, memory: usize) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            handshakes: Arc::new(Turns::new(handshakes)),
            windows: Windows::new(memory),
        }
    }
}

/// What a listener shares with the rest while it runs.
#[derive(Debug, Clone)]
pub struct Context {
    /// Counts connections, so that the drain waits for them.
    pub tasks: Tasks,
    /// When it is cancelled, connections are no longer accepted and open ones finish what they have.
    pub stop: CancellationToken,
    /// How many may come at once.
    pub room: Room,
    /// Counters.
    pub metrics: Metrics,
    /// The rules that a test bends: `floods`.
    pub points: Points,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
