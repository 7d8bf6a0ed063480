//! What we ask of TCP sockets beyond what their makers do.
//!
//! BBR sends at a pace, by a timer for every few packets, and where there is no way between the two ends that
//! costs processor time and brings nothing. Reno is in every kernel and allowed to everybody (tcp(7)). But a
//! socket that was BBR's once keeps its pace whatever is asked of it afterwards, so it has to be asked for
//! before there is a connection: of a socket that connects, and of one that listens, which hands it on.

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

/// What the host would send with, where that has a pace: for connections that leave this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace(Vec<u8>);

const PACED: &[u8] = b"bbr";
const UNPACED: &[u8] = b"reno";

/// Connects; without a pace to this host, and to anywhere else with whatever the host has chosen.
///
/// # Errors
///
/// As [`TcpStream::connect`].
///
/// # Cancel safety
///
/// Dropped, nothing is left of it.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if is_here(address.ip()) {
        unpace(SockRef::from(&socket));
    }
    socket.connect(address).await
}

/// Takes the pace off a socket that is not connected yet, and off what it accepts. What comes back is for
/// those of its connections that leave this host; nothing, where there was no pace.
pub fn unpace(socket: SockRef<'_>) -> Option<Pace> {
    let host = socket.tcp_congestion().ok().filter(|name| name.starts_with(PACED))?;
    // As good as before if it is refused.
    socket.set_tcp_congestion(UNPACED).ok()?;
    // The kernel tells all the room there is for a name.
    let end = host.iter().position(|byte| *byte == 0).unwrap_or(host.len());
    Some(Pace(host.into_iter().take(end).collect()))
}

impl Pace {
    /// Gives an accepted connection back what the host has chosen, unless it stays on this host.
    pub fn give_back(&self, socket: &TcpStream, peer: IpAddr) {
        if !is_here(peer) {
            // The host's own choice is allowed to everybody. Were it refused, reno would do.
            SockRef::from(socket).set_tcp_congestion(&self.0).ok();
        }
    }
}

fn is_here(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use socket2::Domain;
    use socket2::Socket;
    use socket2::Type;
    use tokio::net::TcpListener;

    use super::*;

    fn sends_with(socket: SockRef<'_>) -> String {
        let name = socket.tcp_congestion().unwrap();
        String::from_utf8(name).unwrap().trim_end_matches('\0').to_owned()
    }

    #[tokio::test]
    async fn no_connection_on_this_host_is_paced() {
        let listening = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listening.set_nonblocking(true).unwrap();
        // A host without BBR has nothing to take off; what it has stays.
        let host = match listening.set_tcp_congestion(PACED) {
            Ok(()) => "bbr".to_owned(),
            Err(_) => sends_with(SockRef::from(&listening)),
        };
        let unpaced = if host == "bbr" { "reno" } else { &host };
        listening.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let pace = unpace(SockRef::from(&listening));
        assert_eq!(pace.is_some(), host == "bbr");
        listening.listen(1).unwrap();
        let listener = TcpListener::from_std(listening.into()).unwrap();
        let client = connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!sends_with(SockRef::from(&client)).starts_with("bbr"));
        let (accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(sends_with(SockRef::from(&accepted)), unpaced);
        let Some(pace) = pace else {
            return;
        };
        pace.give_back(&accepted, peer.ip());
        assert_eq!(sends_with(SockRef::from(&accepted)), unpaced);
        pace.give_back(&accepted, "192.0.2.1".parse().unwrap());
        assert_eq!(sends_with(SockRef::from(&accepted)), "bbr");
    }
}
