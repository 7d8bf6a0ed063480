use std::fs;
use std::io;
use std::net::SocketAddr;
use std::net::TcpStream as StdTcpStream;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::warn;

use crate::socket;

use super::Address;
use super::Config;
use super::Context;
use super::Error;
use super::Limits;
use super::Peer;
use super::PerWorker;
use super::Serve;
use super::Transport;
use super::coalesce::Coalesced;
use super::connection;
use super::connection::Protocol;
use super::fill::Filled;
use super::handshake;
use super::pool::Pool;

/// A bound address, not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    address: Address,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
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
        let (socket, address) =
            bound.map_err(|source| Error::Bind { address: config.address, source })?;
        Ok(Self { socket, address, tls: config.tls, limits: config.limits })
    }

    /// The address that was had; with the port the system chose, where it was asked to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts connections until the context's stop, each served by a tracked task on the worker that has
    /// the fewest connections, and with that worker's service.
    pub async fn serve<S: Serve>(self, workers: PerWorker<S>, context: Context) {
        loop {
            // Both are cancel safe: a permit not taken stays, a connection not accepted waits.
            let accepted = tokio::select! {
                accepted = self.next(&context.room.connections) => accepted,
                () = context.stop.cancelled() => break,
            };
            let (accepted, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    context.metrics.refused("accept");
                    warn!(%error, address = %self.address, "Could not accept a connection");
                    sleep(REST).await;
                    continue;
                }
            };
            context.metrics.accepted.inc();
            let (tls, limits) = (self.tls.clone(), self.limits.clone());
            let (worker, serve) = workers.least_loaded();
            let (serve, inner, buffers) = (serve.clone(), context.clone(), worker.buffers.clone());
            worker.spawn(&context.tasks, async move {
                inner.metrics.open.inc();
                let served = accepted.serve(buffers, tls, &limits, &serve, &inner).await;
                if let Err(error) = served {
                    inner.metrics.refused("accept");
                    warn!(%error, "Could not serve a connection");
                }
                inner.metrics.open.dec();
                drop(permit);
            });
        }
        if let Address::Unix(path) = &self.address {
            // It is ours; one that is gone already is as good as removed.
            fs::remove_file(path).ok();
        }
    }

    async fn next(
        &self,
        connections: &Arc<Semaphore>,
    ) -> io::Result<(Accepted, tokio::sync::OwnedSemaphorePermit)> {
        let permit = connections.clone().acquire_owned().await.map_err(io::Error::other)?;
        let accepted = match &self.socket {
            Bound::Tcp(socket) => {
                let (io, peer) = socket.accept().await?;
                Accepted::Tcp(io.into_std()?, peer)
            }
            Bound::Unix(socket) => Accepted::Unix(socket.accept().await?.0.into_std()?),
        };
        Ok((accepted, permit))
    }
}

impl Accepted {
    /// Serves it to its end, on the runtime this is called on.
    async fn serve<S: Serve>(
        self,
        buffers: Pool,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: &Limits,
        serve: &S,
        context: &Context,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(io, peer) => {
                let io = TcpStream::from_std(io)?;
                // Without it the last small write of an answer waits for the peer's delayed
                // acknowledgement. A socket that refuses it is about to fail anyway.
                io.set_nodelay(true).ok();
                socket::unpaced(&io, peer.ip());
                let address = Some(peer.ip().to_canonical());
                // Boxed, because every step of a connection has its own place for it.
                let io = Box::new(Coalesced::new(io, buffers));
                one(io, address, tls, limits, serve, context).await;
            }
            Self::Unix(io) => {
                one(UnixStream::from_std(io)?, None, tls, limits, serve, context).await;
            }
        }
        Ok(())
    }
}

/// Serves one connection to its end.
async fn one<Io, S>(
    io: Io,
    address: Option<std::net::IpAddr>,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: &Limits,
    serve: &S,
    context: &Context,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let Some(tls) = tls else {
        let service = serve.connection(Peer { address, transport: Transport::Plain });
        let refusal = serve.refusal();
        return connection::serve::<_, S>(io, Protocol::Http1, service, refusal, limits, context)
            .await;
    };
    // Boxed, so that an idle connection does not hold for ever what its handshake needed.
    let accepted = tokio::select! {
        accepted = Box::pin(handshake::accept(io, tls, limits.handshake, context)) => accepted,
        () = context.stop.cancelled() => None,
    };
    let Some(io) = accepted else {
        return;
    };
    let protocol = match io.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        // A CA that validates a name has seen what it came for (RFC 8737 §3).
        Some(b"acme-tls/1") => return,
        _ => Protocol::Http1,
    };
    let service = serve.connection(Peer { address, transport: Transport::Tls });
    let (io, refusal) = (Filled::new(io), serve.refusal());
    connection::serve::<_, S>(io, protocol, service, refusal, limits, context).await;
}

fn bind_tcp(address: SocketAddr) -> io::Result<(Bound, Address)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the last connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from_std(socket.into())?;
    let address = socket.local_addr()?;
    Ok((Bound::Tcp(socket), Address::Tcp(address)))
}

fn bind_unix(path: &Path) -> io::Result<(Bound, Address)> {
    let bind = || UnixListener::bind(path);
    let socket = match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            bind()
        }
        bound => bound,
    }?;
    Ok((Bound::Unix(socket), Address::Unix(path.to_owned())))
}

/// Whether a socket file has nobody behind it, as after a kill.
fn is_stale(path: &Path) -> bool {
    StdUnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}
