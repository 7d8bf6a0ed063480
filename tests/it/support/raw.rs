use std::io::Read;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::CipherSuite;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::ProtocolVersion;
use rustls::RootCertStore;
use rustls::StreamOwned;
use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::FromDer as _;
use x509_parser::prelude::X509Certificate;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;

use super::sidecar::Sidecar;

/// A TLS connection byte by byte, for clients that stop in the middle.
pub(crate) struct Raw(StreamOwned<ClientConnection, TcpStream>);

impl Read for Raw {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

/// Makes many of them.
pub(crate) struct Dialer {
    address: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    room: Option<usize>,
}

impl Dialer {
    /// To the sidecar's registry listener, for HTTP/1.1.
    pub(crate) fn new(sidecar: &Sidecar) -> Self {
        Self::speaking(sidecar, rustls::DEFAULT_VERSIONS, &[b"http/1.1"])
    }

    /// The same with these versions of TLS and these protocols on offer.
    pub(crate) fn speaking(
        sidecar: &Sidecar,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> Self {
        let config = Arc::new(config(&sidecar.ca(), versions, alpn));
        let name = "localhost".try_into().unwrap();
        Self { address: sidecar.address("registry"), name, config, room: None }
    }

    /// The same with as little room for what comes as the system allows.
    pub(crate) fn with_little_room(&self) -> Self {
        let (name, config) = (self.name.clone(), Arc::clone(&self.config));
        Self { address: self.address, name, config, room: Some(1) }
    }

    /// A connection without a handshake.
    pub(crate) fn connect(&self) -> Raw {
        let name = self.name.clone();
        let session = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None).unwrap();
        if let Some(room) = self.room {
            // Before the connection is made, so that the other side is told of it from the start.
            socket.set_recv_buffer_size(room).unwrap();
        }
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Raw(StreamOwned::new(session, stream))
    }

    /// One that has only begun its handshake.
    pub(crate) fn greet(&self) -> Raw {
        let mut raw = self.connect();
        raw.0.conn.write_tls(&mut raw.0.sock).expect("a greeting");
        raw
    }

    #[track_caller]
    pub(crate) fn dial(&self) -> Raw {
        let mut raw = self.connect();
        while raw.0.conn.is_handshaking() {
            raw.0.conn.complete_io(&mut raw.0.sock).expect("a handshake");
        }
        raw
    }
}

impl Raw {
    /// To the sidecar's registry listener, for HTTP/1.1.
    pub(crate) fn connect(sidecar: &Sidecar) -> Self {
        Self::speaking(sidecar, rustls::DEFAULT_VERSIONS, &[b"http/1.1"])
    }

    /// The same with these versions of TLS and these protocols on offer.
    pub(crate) fn speaking(
        sidecar: &Sidecar,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> Self {
        Dialer::speaking(sidecar, versions, alpn).dial()
    }

    /// To the sidecar's registry listener, under this name, trusting this CA; no session is resumed.
    #[track_caller]
    pub(crate) fn trusting(sidecar: &Sidecar, ca: &Path, name: &str) -> Self {
        let config = Arc::new(config(ca, rustls::DEFAULT_VERSIONS, &[b"http/1.1"]));
        let name = name.to_owned().try_into().unwrap();
        Dialer { address: sidecar.address("registry"), name, config, room: None }.dial()
    }

    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.0.conn.protocol_version()
    }

    pub(crate) fn cipher(&self) -> Option<CipherSuite> {
        self.0.conn.negotiated_cipher_suite().map(|suite| suite.suite())
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.0.conn.alpn_protocol()
    }

    /// The certificate that was shown, DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }

    /// Its common name.
    pub(crate) fn common_name(&self) -> String {
        let shown = self.certificate();
        let (_, shown) = X509Certificate::from_der(&shown).unwrap();
        let mut names = shown.subject().iter_common_name();
        names.next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
        self.0.flush().unwrap();
    }

    /// Waits so long for what is read.
    pub(crate) fn waiting(self, patience: Duration) -> Self {
        self.0.sock.set_read_timeout(Some(patience)).unwrap();
        self
    }

    /// The same, and whether the other side still took it.
    pub(crate) fn sends(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).and_then(|()| self.0.flush()).is_ok()
    }

    /// So many bytes, or nothing if the other side closes before.
    pub(crate) fn read(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let read = self.hear(rest)?;
            rest = &mut rest[read..];
        }
        Some(bytes)
    }

    /// Whether so many bytes have come by now.
    pub(crate) fn has_come(&mut self, bytes: usize) -> bool {
        self.0.sock.set_nonblocking(true).unwrap();
        while self.0.conn.read_tls(&mut self.0.sock).is_ok_and(|read| read > 0) {
            if self.0.conn.process_new_packets().is_err() {
                break;
            }
        }
        self.0.sock.set_nonblocking(false).unwrap();
        let state = self.0.conn.process_new_packets();
        state.is_ok_and(|state| state.plaintext_bytes_to_read() >= bytes)
    }

    /// Reads what has come, also where nothing can be sent any more; nothing once the other side has closed.
    fn hear(&mut self, bytes: &mut [u8]) -> Option<usize> {
        loop {
            match self.0.conn.reader().read(bytes) {
                Ok(read) => return (read > 0).then_some(read),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
            match self.0.conn.read_tls(&mut self.0.sock) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    println!("no more to hear: {error}");
                    return None;
                }
            }
            self.0.conn.process_new_packets().ok()?;
        }
    }

    /// Sends as much of it as the other side still takes.
    pub(crate) fn offer(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).and_then(|()| self.0.flush()).ok();
    }

    /// Says that nothing will follow, and goes on listening.
    pub(crate) fn end(&mut self) {
        self.0.conn.send_close_notify();
        self.0.flush().ok();
        self.0.sock.shutdown(Shutdown::Write).ok();
    }

    /// Reads up to the end of a head and yields it.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            let read = self.0.read(&mut byte).unwrap();
            assert!(read == 1, "closed in the head: {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// So many bytes of a body.
    #[track_caller]
    pub(crate) fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        body
    }

    /// Everything it says until it closes, however it does.
    pub(crate) fn says(&mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).ok();
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether the other side closes now, whatever it still says.
    pub(crate) fn closes(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => !matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        }
    }
}

pub(super) fn config(
    ca: &Path,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}
