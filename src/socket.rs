//! What we ask of TCP sockets beyond what their makers do.

use std::net::IpAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Takes BBR off a connection that stays on this host.
///
/// BBR sends at a pace, by a timer for every few packets, and where there is no way between the two ends
/// that costs processor time and brings nothing. Reno is in every kernel and allowed to everybody
/// (tcp(7)). A connection to anywhere else keeps what the host has chosen, and so does one that refuses.
pub fn unpaced(socket: &TcpStream, peer: IpAddr) {
    if !peer.to_canonical().is_loopback() {
        return;
    }
    let socket = SockRef::from(socket);
    if socket.tcp_congestion().is_ok_and(|name| name.starts_with(b"bbr")) {
        // As good as before if it is refused.
        socket.set_tcp_congestion(b"reno").ok();
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn no_connection_on_this_host_is_paced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = stream.peer_addr().unwrap().ip();
        // A host without BBR has nothing to take off; what it has stays.
        let had = SockRef::from(&stream).set_tcp_congestion(b"bbr");
        let before = SockRef::from(&stream).tcp_congestion().unwrap();
        unpaced(&stream, "192.0.2.1".parse().unwrap());
        assert_eq!(SockRef::from(&stream).tcp_congestion().unwrap(), before);
        unpaced(&stream, peer);
        let after = SockRef::from(&stream).tcp_congestion().unwrap();
        match had {
            Ok(()) => assert!(after.starts_with(b"reno"), "{after:?}"),
            Err(_) => assert_eq!(after, before),
        }
    }
}
