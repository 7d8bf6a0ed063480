use std::error::Error as StdError;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certs;
use crate::certs::ClientIdentity;
use crate::certs::Identity;
use crate::certs::LocalCa;
use crate::certs::Trust;
use crate::tasks::Tasks;

/// Far more than anything on loopback takes; a test that reaches it has failed.
const LONG: Duration = Duration::from_secs(30);

struct Pki {
    folder: TempDir,
    ca: LocalCa,
}

impl Pki {
    fn new(now: OffsetDateTime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["other.example".to_owned()];
        let (ca, _) = LocalCa::open_or_create(folder.path(), &names, now).unwrap();
        Self { folder, ca }
    }

    fn leaf(&self, name: &str, now: OffsetDateTime) -> Identity {
        self.ca.leaf(name, &[name.to_owned()], now).unwrap()
    }

    fn trust(&self) -> Trust {
        Trust::file(&self.ca.certificate_path()).unwrap()
    }

    fn client(&self, identity: Option<&Identity>) -> ClientTls {
        let identity = identity.map(ClientIdentity::new);
        ClientTls::new(&self.trust(), identity, &[b"h2", b"http/1.1"]).unwrap()
    }

    /// A server that lets nobody in without a certificate of this CA.
    fn strict_server(&self, identity: &Identity) -> Arc<ServerConfig> {
        use rustls::pki_types::pem::PemObject as _;
        let mut roots = RootCertStore::empty();
        let ca = self.folder.path().join("ca.pem");
        roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), certs::provider())
                .build()
                .unwrap();
        let config = ServerConfig::builder_with_provider(certs::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                identity.certified_key(),
            )));
        Arc::new(config)
    }
}

fn connector(target: Target, tls: Option<ClientTls>) -> Connector {
    Connector::new(Config {
        target,
        tls,
        proxy: None,
        policy: Policy::for_endpoint(),
        deadline: LONG,
    })
}

fn tcp(host: &str, address: SocketAddr) -> Target {
    Target::Tcp { host: host.to_owned(), port: address.port() }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Says back what it hears, over TLS.
async fn tls_echo(tasks: &Tasks, config: Arc<ServerConfig>) -> SocketAddr {
    let (listener, address) = listen().await;
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = TlsAcceptor::from(Arc::clone(&config)).accept(stream).await {
                echo(stream).await;
            }
        }
    });
    address
}

async fn echo<S: AsyncRead + AsyncWrite>(stream: S) {
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await.ok();
}

async fn is_echoed(connection: &mut Connection) -> io::Result<()> {
    let pieces = [io::IoSlice::new(b"pi"), io::IoSlice::new(b"ng")];
    assert!(connection.is_write_vectored());
    assert_eq!(connection.write_vectored(&pieces).await?, 4);
    connection.flush().await?;
    let mut heard = [0; 4];
    connection.read_exact(&mut heard).await?;
    assert_eq!(&heard, b"ping");
    Ok(())
}

/// The whole chain, as a log would have it.
fn told(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

#[tokio::test]
async fn a_plain_connection_sends_small_pieces_at_once() {
    let tasks = Tasks::new();
    let (listener, address) = listen().await;
    tasks.spawn(async move { echo(listener.accept().await.unwrap().0).await });
    let stream = dial(address, Policy::for_endpoint(), "here").await.unwrap();
    assert!(stream.nodelay().unwrap());
    let mut connection = Connection::plain(Socket::Tcp(stream));
    assert!(!connection.negotiated_h2());
    is_echoed(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_a_target_too() {
    let tasks = Tasks::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tasks.spawn(async move { echo(listener.accept().await.unwrap().0).await });
    let mut connection = connector(Target::Unix(path), None).connect().await.unwrap();
    is_echoed(&mut connection).await.unwrap();

    let nowhere = folder.path().join("nowhere.sock");
    let error = connector(Target::Unix(nowhere), None).connect().await.unwrap_err();
    assert!(told(&error).contains("nowhere.sock: No such file"), "{}", told(&error));
    assert_eq!(error.reason(), "connect");
}

#[tokio::test]
async fn tls_agrees_on_http2_with_a_name_and_with_an_address() {
    let tasks = Tasks::new();
    let now = OffsetDateTime::now_utc();
    let pki = Pki::new(now);
    for host in ["localhost", "127.0.0.1"] {
        let server = certs::server_config(&pki.leaf(host, now)).unwrap();
        let address = tls_echo(&tasks, server).await;
        let connector = connector(tcp(host, address), Some(pki.client(None)));
        let mut connection = connector.connect().await.unwrap();
        assert!(connection.negotiated_h2());
        is_echoed(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_we_cannot_trust_is_told_in_words() {
    let tasks = Tasks::new();
    let now = OffsetDateTime::now_utc();
    let (pki, stranger) = (Pki::new(now), Pki::new(now));
    let past = now - time::Duration::days(200);
    let old = Pki::new(past);
    let old_leaf = old.leaf("localhost", past);
    let expired_on = format!("certificate expired on {}", certs::date(old_leaf.not_after()));
    let strange = stranger.leaf("localhost", now);
    let issuer = format!("unknown issuer: the certificate was issued by {}", strange.issuer());
    let table = [
        (old_leaf, old.client(None), expired_on),
        (strange, pki.client(None), issuer),
        (
            pki.leaf("other.example", now),
            pki.client(None),
            "wrong name: we asked for localhost, the certificate is for other.example".to_owned(),
        ),
    ];
    for (identity, client, words) in table {
        let address = tls_echo(&tasks, certs::server_config(&identity).unwrap()).await;
        let error = connector(tcp("localhost", address), Some(client)).connect().await.unwrap_err();
        assert!(told(&error).contains(&words), "{words}: {}", told(&error));
        assert_eq!(error.reason(), "tls");
    }
}

#[tokio::test]
async fn a_server_that_wants_to_know_us_gets_our_certificate() {
    let tasks = Tasks::new();
    let now = OffsetDateTime::now_utc();
    let (pki, stranger) = (Pki::new(now), Pki::new(now));
    let server = pki.strict_server(&pki.leaf("localhost", now));
    let address = tls_echo(&tasks, server).await;
    let (ours, wrong) = (pki.leaf("127.0.0.1", now), stranger.leaf("localhost", now));
    let attempt = |client: ClientTls| {
        let connector = connector(tcp("localhost", address), Some(client));
        async move {
            // Under TLS 1.3 our side is done before the server has judged the certificate.
            let mut connection = connector.connect().await.map_err(|error| told(&error))?;
            is_echoed(&mut connection).await.map_err(|error| {
                assert!(tls::Problem::of(&error).is_some(), "{error}");
                error.to_string()
            })
        }
    };
    attempt(pki.client(Some(&ours))).await.unwrap();
    let error = attempt(pki.client(None)).await.unwrap_err();
    assert!(error.contains("asks for a client certificate and got none"), "{error}");

    let identity = ClientIdentity::new(&wrong);
    let client = ClientTls::new(&pki.trust(), Some(identity.clone()), &[b"http/1.1"]).unwrap();
    let error = attempt(client.clone()).await.unwrap_err();
    assert!(error.contains("did not accept our client certificate"), "{error}");
    identity.replace(&ours).unwrap();
    attempt(client).await.unwrap();
}

#[tokio::test]
async fn a_port_without_tls_is_told() {
    let tasks = Tasks::new();
    let (listener, address) = listen().await;
    tasks.spawn(async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        plain.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        plain.flush().await.unwrap();
        drop(listener.accept().await.unwrap());
        std::future::pending::<()>().await;
    });
    let pki = Pki::new(OffsetDateTime::now_utc());
    let connector = connector(tcp("127.0.0.1", address), Some(pki.client(None)));
    let error = connector.connect().await.unwrap_err();
    assert!(told(&error).ends_with("the server does not speak TLS on this port"), "{error:?}");
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. } | Error::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_meets_the_deadline() {
    let tasks = Tasks::new();
    let (listener, address) = listen().await;
    tasks.spawn(async move {
        let _silent = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    let pki = Pki::new(OffsetDateTime::now_utc());
    let connector = Connector::new(Config {
        target: tcp("127.0.0.1", address),
        tls: Some(pki.client(None)),
        proxy: None,
        policy: Policy::for_endpoint(),
        deadline: Duration::from_secs(1),
    });
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, Error::Deadline { step: Step::Handshake, .. }), "{error:?}");
    let text = format!("could not agree on TLS with {address} within 1s");
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_fails() {
    let (listener, address) = listen().await;
    let dead = SocketAddr::from(([127, 0, 0, 2], address.port()));
    let clock = Clock::start(LONG);
    let policy = Policy::for_endpoint();
    let stream = race(&[dead, address], policy, "here", clock).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    drop(listener);
    let error = race(&[dead, address], policy, "here", clock).await.unwrap_err();
    assert!(matches!(error, Error::Connect { address, .. } if address == dead), "{error:?}");
}

#[tokio::test]
async fn an_address_that_may_not_be_dialled_is_not() {
    let refused = |host: &str| {
        let target = Target::Tcp { host: host.to_owned(), port: 443 };
        let connector = connector(target, None);
        async move { connector.connect().await.unwrap_err() }
    };
    for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0"] {
        let error = refused(host).await;
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    }
    let error = refused("169.254.169.254").await.to_string();
    assert_eq!(
        error,
        "did not connect to 169.254.169.254:443: 169.254.169.254 is a link-local address, where \
         metadata services live, which may not be dialled from here"
    );
    for host in ["0x7f000001", "127.1", "a b", ""] {
        let error = refused(host).await;
        assert!(matches!(error, Error::Host { .. }), "{error:?}");
    }
}

#[test]
fn of_many_addresses_only_the_allowed_are_left() {
    let left_of = |addresses: &[&str]| {
        let addresses: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        allowed(&addresses, 443, Policy::for_endpoint(), "host:443")
    };
    let left = left_of(&["169.254.169.254", "10.0.0.1", "fe80::1", "::1"]).unwrap();
    assert_eq!(left, ["10.0.0.1:443".parse().unwrap(), "[::1]:443".parse().unwrap()]);
    assert!(matches!(left_of(&["fe80::1", "0.0.0.0"]), Err(Error::Refused { .. })));
    assert!(matches!(left_of(&[]), Err(Error::NoAddress { .. })));
    assert_eq!(left_of(&["10.0.0.1"; 100]).unwrap().len(), MAX_ADDRESSES);
}
