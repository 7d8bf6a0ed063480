//! Outgoing connections: a name into checked addresses, an address into a socket, a socket into TLS.
//!
//! Every part that calls out goes through here, so that one policy guards all of them: each attempt
//! resolves anew, each address is checked, only a checked address is dialled, and the peer's address
//! is checked again once connected. What it never does: speak HTTP, retry, follow a redirect, read a
//! proxy from the environment, or decide what a failure means to the caller.

pub mod address;
mod error;
mod stream;
pub mod tls;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::certs::ClientTls;
use crate::socket;

pub use self::error::Error;
pub use self::error::Step;
pub use self::stream::Connection;

use self::address::Host;
use self::address::Policy;
use self::stream::Socket;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A host by name or address, and a port.
    Tcp {
        /// As in a URL; an IPv6 address may be in brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system. With TLS, its server name is `localhost`.
    Unix(PathBuf),
}

/// What a connector needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to connect to.
    pub target: Target,
    /// TLS, or `None` for a plain connection.
    pub tls: Option<ClientTls>,
    /// Which addresses may be dialled; a unix socket has none.
    pub policy: Policy,
    /// How long resolving, connecting and the TLS handshake may take together. At its end the attempt
    /// fails with [`Error::Deadline`].
    pub deadline: Duration,
}

/// Opens connections to one target.
#[derive(Debug, Clone)]
pub struct Connector(Arc<Config>);

/// How long one address may leave us waiting before the next is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// The most addresses of one answer that are tried; later ones are left out.
const MAX_ADDRESSES: usize = 16;

/// As good as no deadline, and far from the end of the clock.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl Connector {
    /// A connector; nothing is dialled yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Arc::new(config))
    }

    /// Where it connects to.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Resolves, checks, connects, and shakes hands, all before the deadline.
    ///
    /// # Errors
    ///
    /// See [`Error`]. Where several addresses failed, the error is that of the first.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes whatever was opened.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let config = &*self.0;
        let clock = Clock::start(config.deadline);
        // Nobody is bothered before we know who we are.
        let tls = config.tls.as_ref().map(ClientTls::current).transpose();
        let tls = tls.map_err(|source| Error::Identity { at: self.to_string(), source })?;
        let (socket, server_name) = match &config.target {
            Target::Tcp { host, port } => {
                let at = format!("{host}:{port}");
                let host: Host =
                    host.parse().map_err(|source| Error::Host { host: host.clone(), source })?;
                let addresses = resolve(&host, *port, config.policy, &at, clock).await?;
                let stream = race(&addresses, config.policy, &at, clock).await?;
                (Socket::Tcp(stream), server_name(&host)?)
            }
            Target::Unix(path) => {
                let at = || path.display().to_string();
                let stream = clock
                    .limit(Step::Connect, &at(), UnixStream::connect(path))
                    .await?
                    .map_err(|source| Error::ConnectUnix { path: path.clone(), source })?;
                (Socket::Unix(stream), server_name(&Host::Name("localhost".into()))?)
            }
        };
        let Some(tls) = tls else {
            return Ok(Connection::plain(socket));
        };
        let at = self.to_string();
        let handshake = TlsConnector::from(tls).connect(server_name, socket);
        let stream = clock.limit(Step::Handshake, &at, handshake).await?;
        let stream = stream.map_err(|error| Error::handshake(at, error))?;
        Ok(Connection::tls(stream))
    }
}

impl std::fmt::Display for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.target {
            Target::Tcp { host, port } => write!(f, "{host}:{port}"),
            Target::Unix(path) => path.display().fmt(f),
        }
    }
}

/// The one deadline of an attempt.
#[derive(Clone, Copy)]
struct Clock {
    end: Instant,
    allowed: Duration,
}

impl Clock {
    fn start(allowed: Duration) -> Self {
        Self { end: Instant::now() + allowed.min(FAR), allowed }
    }

    async fn limit<F: Future>(self, step: Step, at: &str, work: F) -> Result<F::Output, Error> {
        let Ok(done) = tokio::time::timeout_at(self.end, work).await else {
            return Err(Error::Deadline { at: at.to_owned(), step, allowed: self.allowed });
        };
        Ok(done)
    }
}

/// The addresses of a host that may be dialled, in the resolver's order, never none.
async fn resolve(
    host: &Host,
    port: u16,
    policy: Policy,
    at: &str,
    clock: Clock,
) -> Result<Vec<SocketAddr>, Error> {
    let found = match host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            let lookup = tokio::net::lookup_host((&**name, port));
            let found = clock.limit(Step::Resolve, at, lookup).await?;
            let failed = |source| Error::Resolve { host: name.to_string(), source };
            found.map_err(failed)?.map(|address| address.ip().to_canonical()).collect()
        }
    };
    allowed(&found, port, policy, at)
}

fn allowed(
    found: &[IpAddr],
    port: u16,
    policy: Policy,
    at: &str,
) -> Result<Vec<SocketAddr>, Error> {
    let mut addresses = Vec::new();
    let mut refused = None;
    for address in found.iter().take(MAX_ADDRESSES) {
        match policy.check(*address) {
            Ok(()) => addresses.push(SocketAddr::new(*address, port)),
            Err(class) => refused = refused.or(Some((*address, class))),
        }
    }
    match refused {
        _ if !addresses.is_empty() => Ok(addresses),
        Some((address, class)) => Err(Error::Refused { at: at.to_owned(), address, class }),
        None => Err(Error::NoAddress { at: at.to_owned() }),
    }
}

/// Connects to the first address that answers. The next one starts when one has failed, or has not
/// answered within [`STAGGER`]; so a dead address neither costs the deadline nor the attempt.
async fn race(
    addresses: &[SocketAddr],
    policy: Policy,
    at: &str,
    clock: Clock,
) -> Result<TcpStream, Error> {
    let work = async {
        let mut left = addresses.iter().copied();
        let mut running = FuturesUnordered::new();
        let mut first_error = None;
        loop {
            if let Some(address) = left.next() {
                running.push(dial(address, policy, at));
            }
            let more = left.len() > 0;
            tokio::select! {
                Some(dialled) = running.next() => match dialled {
                    Ok(stream) => return Ok(stream),
                    Err(error) => first_error = first_error.or(Some(error)),
                },
                () = tokio::time::sleep(STAGGER), if more => {}
                else => {
                    let none = || Error::NoAddress { at: at.to_owned() };
                    return Err(first_error.unwrap_or_else(none));
                }
            }
        }
    };
    clock.limit(Step::Connect, at, work).await?
}

async fn dial(address: SocketAddr, policy: Policy, at: &str) -> Result<TcpStream, Error> {
    let failed = |source: io::Error| Error::Connect { address, source };
    let stream = socket::connect(address).await.map_err(failed)?;
    // What we are connected to decides, not what we asked for.
    let peer = stream.peer_addr().map_err(failed)?.ip();
    if let Err(class) = policy.check(peer) {
        return Err(Error::Refused { at: at.to_owned(), address: peer, class });
    }
    // A request's last piece must not wait for the acknowledgement of the one before it.
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Error> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| Error::Host {
            host: name.to_string(),
            source: address::InvalidHost::Name,
        }),
    }
}

#[cfg(test)]
mod tests;
