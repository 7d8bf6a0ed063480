use std::fs;
use std::io;
use std::iter;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpStream as StdTcpStream;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use socket2::Domain;
use socket2::SockRef;
use socket2::Socket;
use socket2::Type;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::sleep;
use tracing::warn;

use crate::socket;
use crate::socket::Pace;

use super::Address;
use super::Config;
use super::Context;
use super::Error;
use super::Limits;
use super::Peer;
use super::PerWorker;
use super::ProxyProtocol;
use super::Serve;
use super::Transport;
use super::coalesce::Coalesced;
use super::connection;
use super::connection::Protocol;
use super::fill::Filled;
use super::handshake;
use super::pool::Pool;
use super::proxy_protocol::Source;
use super::seldom::Seldom;
use super::spare::Spare;

/// A bound address, not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    address: Address,
    tls: Option<Arc<rustls::ServerConfig>>,
    proxy_protocol: Option<ProxyProtocol>,
    /// What was taken off.
    pace: Option<Pace>,
    limits: Limits,
}

/// What every connection to one listener goes through.
#[derive(Debug)]
struct Door {
    tls: Option<Arc<rustls::ServerConfig>>,
    proxy_protocol: Option<ProxyProtocol>,
    /// What was taken off.
    pace: Option<Pace>,
    limits: Limits,
    /// Those who came from where nobody should.
    strangers: Seldom,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that no runtime knows yet: the worker that serves it waits for its bytes.
enum Accepted {
    Tcp(StdTcpStream, SocketAddr),
    Unix(StdUnixStream),
}

/// Connections the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;
/// How long the accept loop rests when the process is out of descriptors.
const REST: Duration = Duration::from_millis(50);

impl Listener {
    /// Takes the address. Nothing is accepted before [`Listener::serve`].
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let bound = match &config.address {
            Address::Tcp(address) => bind_tcp(*address),
            Address::Unix(path) => bind_unix(path),
        };
        let (socket, address, pace) =
            bound.map_err(|source| Error::Bind { address: config.address.clone(), source })?;
        let Config { tls, proxy_protocol, limits, .. } = config;
        Ok(Self { socket, address, tls, proxy_protocol, pace, limits })
    }

    /// The address that was had; with the port the system chose, where it was asked to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts connections until the context's stop, each served by a tracked task on the worker that has
    /// the fewest connections, and with that worker's service. Who has connected by then is still served;
    /// then the address is free.
    pub async fn serve<S: Serve>(self, workers: PerWorker<S>, context: Context) {
        let Self { socket, address, tls, proxy_protocol, pace, limits } = self;
        let door = Door { tls, proxy_protocol, pace, limits, strangers: Seldom::default() };
        let (door, full) = (Arc::new(door), Seldom::default());
        let (mut spare, mut starved) = (Spare::new(), false);
        loop {
            // Both are cancel safe: a permit not taken stays, a connection not accepted waits.
            let accepted = tokio::select! {
                accepted = next(&socket, &context.room.connections) => accepted,
                () = context.stop.cancelled() => break,
            };
            let error = match accepted {
                Ok((accepted, permit)) => {
                    starved = false;
                    spare.take();
                    door.open(accepted, permit, &workers, &context);
                    continue;
                }
                Err(error) => error,
            };
            context.metrics.refused("accept");
            if let Some(unsaid) = full.due() {
                warn!(%error, %address, unsaid, "Could not accept a connection");
            }
            // Once may be bad luck. After that who comes first is told to go away, so that it does not
            // wait for what never comes.
            if Spare::is_wanted(&error) && std::mem::replace(&mut starved, true) {
                spare.give();
                drop(socket.accept().now_or_never());
                spare.take();
            }
            sleep(REST).await;
        }
        for accepted in socket.waiting() {
            // Who finds no room now would not find any in time.
            if let Ok(permit) = context.room.connections.clone().try_acquire_owned() {
                door.open(accepted, permit, &workers, &context);
            }
        }
        if let Address::Unix(path) = &address {
            // It is ours; one that is gone already is as good as removed.
            fs::remove_file(path).ok();
        }
    }
}

async fn next(
    socket: &Bound,
    connections: &Arc<Semaphore>,
) -> io::Result<(Accepted, OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((socket.accept().await?, permit))
}

impl Bound {
    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(socket) => {
                let (io, peer) = socket.accept().await?;
                Accepted::Tcp(io.into_std()?, peer)
            }
            Self::Unix(socket) => Accepted::Unix(socket.accept().await?.0.into_std()?),
        })
    }

    /// The connections that wait in the kernel's queue, which dies with the socket.
    fn waiting(self) -> Vec<Accepted> {
        let waiting = || -> io::Result<Vec<Accepted>> {
            Ok(match self {
                Self::Tcp(socket) => {
                    let socket = socket.into_std()?;
                    let accept = || socket.accept().ok();
                    let new = |(io, peer): (StdTcpStream, _)| {
                        io.set_nonblocking(true).ok().map(|()| Accepted::Tcp(io, peer))
                    };
                    iter::from_fn(accept).take(BACKLOG as usize).filter_map(new).collect()
                }
                Self::Unix(socket) => {
                    let socket = socket.into_std()?;
                    let accept = || socket.accept().ok();
                    let new = |(io, _): (StdUnixStream, _)| {
                        io.set_nonblocking(true).ok().map(|()| Accepted::Unix(io))
                    };
                    iter::from_fn(accept).take(BACKLOG as usize).filter_map(new).collect()
                }
            })
        };
        waiting().unwrap_or_default()
    }
}

impl Door {
    /// Has a connection served.
    fn open<S: Serve>(
        self: &Arc<Self>,
        accepted: Accepted,
        permit: OwnedSemaphorePermit,
        workers: &PerWorker<S>,
        context: &Context,
    ) {
        context.metrics.accepted.inc();
        let (worker, serve) = workers.least_loaded();
        let (door, buffers) = (self.clone(), worker.buffers.clone());
        let (serve, inner) = (serve.clone(), context.clone());
        worker.spawn(&context.tasks, async move {
            inner.metrics.open.inc();
            let served = accepted.serve(buffers, &door, &serve, &inner).await;
            if let Err(error) = served {
                inner.metrics.refused("accept");
                warn!(%error, "Could not serve a connection");
            }
            inner.metrics.open.dec();
            drop(permit);
        });
    }

    /// Whether a connection may come from there.
    fn admits(&self, peer: IpAddr, context: &Context) -> bool {
        let trusted = self.proxy_protocol.as_ref().map_or(&[][..], |proxy| &proxy.trusted);
        if trusted.is_empty() || trusted.iter().any(|network| network.contains(peer)) {
            return true;
        }
        context.metrics.refused("stranger");
        if let Some(unsaid) = self.strangers.due() {
            warn!(
                %peer,
                unsaid,
                "Connection refused: this listener speaks the PROXY protocol with trusted_proxies only"
            );
        }
        false
    }
}

impl Accepted {
    /// Serves it to its end, on the runtime this is called on.
    async fn serve<S: Serve>(
        self,
        buffers: Pool,
        door: &Door,
        serve: &S,
        context: &Context,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(io, peer) => {
                let peer = peer.ip().to_canonical();
                if !door.admits(peer, context) {
                    return Ok(());
                }
                let io = TcpStream::from_std(io)?;
                // Without it the last small write of an answer waits for the peer's delayed
                // acknowledgement. A socket that refuses it is about to fail anyway.
                io.set_nodelay(true).ok();
                if let Some(pace) = &door.pace {
                    pace.give_back(&io, peer);
                }
                // Boxed, because every step of a connection has its own place for it.
                let io = Box::new(Coalesced::new(io, buffers));
                one(io, Some(peer), door, serve, context).await;
            }
            Self::Unix(io) => one(UnixStream::from_std(io)?, None, door, serve, context).await,
        }
        Ok(())
    }
}

/// Serves one connection to its end.
async fn one<Io, S>(mut io: Io, peer: Option<IpAddr>, door: &Door, serve: &S, context: &Context)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let limits = &door.limits;
    let (refusal, deadline) = (serve.refusal(), Instant::now() + limits.handshake);
    let mut address = peer;
    if door.proxy_protocol.is_some() {
        match Box::pin(handshake::told(&mut io, deadline, context)).await {
            Some(Source::Client(client)) => address = Some(client),
            Some(Source::Own) => {}
            None => return,
        }
    }
    let Some(tls) = door.tls.clone() else {
        let service = serve.connection(Peer { address, transport: Transport::Plain });
        return connection::serve::<_, S>(io, Protocol::Http1, service, refusal, limits, context)
            .await;
    };
    // Boxed, so that an idle connection does not hold for ever what its handshake needed.
    let Some(io) = Box::pin(handshake::accept(io, tls, deadline, context)).await else {
        return;
    };
    let protocol = match io.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        // A CA that validates a name has seen what it came for (RFC 8737 §3).
        Some(b"acme-tls/1") => return,
        _ => Protocol::Http1,
    };
    let service = serve.connection(Peer { address, transport: Transport::Tls });
    let io = Filled::new(io);
    connection::serve::<_, S>(io, protocol, service, refusal, limits, context).await;
}

fn bind_tcp(address: SocketAddr) -> io::Result<(Bound, Address, Option<Pace>)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    let pace = socket::unpace(SockRef::from(&socket));
    // A restart must not wait for the last connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from_std(socket.into())?;
    let address = socket.local_addr()?;
    Ok((Bound::Tcp(socket), Address::Tcp(address), pace))
}

fn bind_unix(path: &Path) -> io::Result<(Bound, Address, Option<Pace>)> {
    let bind = || UnixListener::bind(path);
    let socket = match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            bind()
        }
        bound => bound,
    }?;
    Ok((Bound::Unix(socket), Address::Unix(path.to_owned()), None))
}

/// Whether a socket file has nobody behind it, as after a kill.
fn is_stale(path: &Path) -> bool {
    StdUnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}
