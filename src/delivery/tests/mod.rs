//! A receiver of our own, as good or as bad as a test wants it, and endpoints that post to it.

mod deliver;
mod exchange;
mod outage;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http::Request;
use http::Response;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::body;
use crate::body::Body;
use crate::certs;
use crate::certs::Identity;
use crate::certs::LocalCa;
use crate::certs::Trust;
use crate::connect;
use crate::connect::Connector;
use crate::connect::Target;
use crate::connect::address::Policy;
use crate::secret::Secret;
use crate::tasks::Tasks;

use super::Answers;
use super::Dialect;
use super::Endpoint;
use super::Names;
use super::Signer;
use super::sign::Scheme;

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// 24 bytes, the fewest that are allowed.
const SECRET: &[u8] = b"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";

/// A CA, and identities of it.
struct Pki {
    directory: TempDir,
    ca: LocalCa,
}

/// Who the receiver lets in.
enum Demand {
    Anybody,
    /// Only who has a certificate of the same CA.
    Clients,
}

/// Something that listens on loopback.
struct Receiver {
    address: SocketAddr,
    /// Requests as they come, in the order in which they were read whole.
    requests: mpsc::Receiver<Request<Bytes>>,
    /// One entry per connection that ended.
    ended: mpsc::Receiver<()>,
}

type Stream = TlsStream<TcpStream>;

impl Pki {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ca, _) = LocalCa::open_or_create(&directory.path().join("ca"), &[], now()).unwrap();
        Self { directory, ca }
    }

    fn identity(&self, name: &str) -> Identity {
        self.ca.leaf(name, &["127.0.0.1".to_owned(), "localhost".to_owned()], now()).unwrap()
    }

    fn trust(&self) -> Trust {
        Trust::file(&self.ca.certificate_path()).unwrap()
    }

    /// An endpoint that trusts this CA, speaks one protocol, and posts to the address.
    fn endpoint(&self, address: SocketAddr, alpn: &[u8], identity: Option<&Identity>) -> Endpoint {
        let identity = identity.map(certs::ClientIdentity::new);
        let tls = certs::ClientTls::new(&self.trust(), identity, &[alpn]).unwrap();
        let connector = Connector::new(connect::Config {
            target: Target::Tcp { host: address.ip().to_string(), port: address.port() },
            tls: Some(tls),
            proxy: None,
            policy: Policy::for_endpoint(),
            deadline: Duration::from_secs(30),
        });
        Endpoint {
            name: "build".to_owned(),
            url: format!("https://{address}/hook?team=platform").parse().unwrap(),
            connector,
            dialect: Dialect::Native,
            template: None,
            headers: Vec::new(),
            signer: Some(
                Signer::new(Scheme::StandardWebhooks, &Secret::new(SECRET.to_vec())).unwrap(),
            ),
            names: Names::default(),
            answers: Answers::Plain,
            timeout: Duration::from_secs(30),
            concurrency: 8,
            pace: None,
        }
    }
}

impl Receiver {
    /// A server that reads each request whole and gives it the answer that `answer` says; the first
    /// request is number 0.
    async fn http<F>(pki: &Pki, demand: Demand, alpn: &[u8], answer: F) -> Self
    where
        F: Fn(usize, &Request<Bytes>) -> Response<Body> + Send + Sync + 'static,
    {
        let (read, requests) = mpsc::channel(4096);
        let answer = Arc::new(answer);
        let count = Arc::new(AtomicUsize::new(0));
        let serve = move |stream: Stream| {
            let (read, answer, count) = (read.clone(), Arc::clone(&answer), Arc::clone(&count));
            let service = service_fn(move |request: Request<Incoming>| {
                let (read, answer, count) = (read.clone(), Arc::clone(&answer), Arc::clone(&count));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body::collect_capped(body, 1 << 20).await.unwrap().into_bytes();
                    let request = Request::from_parts(head, body);
                    let place = count.fetch_add(1, Ordering::SeqCst);
                    let response = answer(place, &request);
                    read.try_send(request).unwrap();
                    Ok::<_, hyper::Error>(response)
                }
            });
            async move {
                let h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
                let io = TokioIo::new(stream);
                // A connection that we end badly is what some tests are about.
                if h2 {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    server.serve_connection(io, service).await.ok();
                } else {
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(io, service).await.ok();
                }
            }
        };
        Self::listen(pki, demand, alpn, serve, requests).await
    }

    /// A server that does to each connection what `serve` does.
    async fn raw<F, S>(pki: &Pki, serve: F) -> Self
    where
        F: Fn(Stream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let (_, requests) = mpsc::channel(1);
        Self::listen(pki, Demand::Anybody, HTTP1, serve, requests).await
    }

    async fn listen<F, S>(
        pki: &Pki,
        demand: Demand,
        alpn: &[u8],
        serve: F,
        requests: mpsc::Receiver<Request<Bytes>>,
    ) -> Self
    where
        F: Fn(Stream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(server_config(pki, demand, alpn));
        let (end, ended) = mpsc::channel(4096);
        let tasks = Tasks::new();
        tasks.clone().spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let (served, end) = (serve(stream), end.clone());
                tasks.spawn(async move {
                    served.await;
                    end.try_send(()).ok();
                });
            }
        });
        Self { address, requests, ended }
    }
}

fn server_config(pki: &Pki, demand: Demand, alpn: &[u8]) -> Arc<rustls::ServerConfig> {
    let builder = rustls::ServerConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match demand {
        Demand::Anybody => builder.with_no_client_auth(),
        Demand::Clients => {
            let ca = CertificateDer::from_pem_file(pki.ca.certificate_path()).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(ca).unwrap();
            let provider = certs::provider();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let certified = pki.identity("receiver").certified_key();
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

fn status(status: u16) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
