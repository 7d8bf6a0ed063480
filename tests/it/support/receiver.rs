use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use pushbell::body::Collected;
use pushbell::body::collect_capped;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::FromDer as _;
use x509_parser::prelude::X509Certificate;

use super::pki::Pair;
use super::pki::Pki;
use super::wait::until;

/// The tests' own receiver: HTTPS, HTTP/1.1 and HTTP/2, writes down everything, answers as told.
pub(crate) struct Receiver {
    ca: PathBuf,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    listening: Option<JoinHandle<()>>,
    address: SocketAddr,
}

/// What the receiver wants to see of who calls.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Nothing.
    Nothing,
    /// A certificate of its own CA.
    ClientCertificate,
    /// A certificate of the CA in this file.
    CertificateOf(PathBuf),
}

/// One answer of the script.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A status and headers.
    Status(u16, Vec<(&'static str, String)>),
    /// A status and a body.
    Said(u16, &'static str),
    /// Nothing until [`Receiver::release`], then 200.
    Held,
}

/// One request as it came.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) version: http::Version,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The common name of the client's certificate.
    pub(crate) peer: Option<String>,
    pub(crate) at: OffsetDateTime,
}

struct Shared {
    tls: Mutex<Arc<ServerConfig>>,
    requests: Mutex<Vec<Request>>,
    script: Mutex<VecDeque<Answer>>,
    afterwards: Mutex<Answer>,
    refused: AtomicUsize,
    released: watch::Sender<bool>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}

impl Request {
    /// A header's value, if there is exactly one that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// The body, read as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {:?}", self.method, self.path, self.version)?;
        writeln!(f, "{:#?}", self.headers)?;
        f.write_str(&String::from_utf8_lossy(&self.body))
    }
}

impl Receiver {
    /// One on a port of its own, with a certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn start(pki: &Pki, asks: Asks) -> Self {
        let pair = pki.server("receiver", &["localhost", "127.0.0.1"]);
        let shared = Arc::new(Shared {
            tls: Mutex::new(tls(pki, &pair, asks)),
            requests: Mutex::default(),
            script: Mutex::default(),
            afterwards: Mutex::new(Answer::status(200)),
            refused: AtomicUsize::new(0),
            released: watch::Sender::new(false),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut receiver =
            Self { ca: pki.ca(), shared, runtime: Some(runtime), listening: None, address };
        receiver.up();
        receiver
    }

    /// Takes connections, from the second time on at the same address.
    pub(crate) fn up(&mut self) {
        let runtime = self.runtime.as_ref().unwrap();
        let listener = runtime.block_on(TcpListener::bind(self.address)).unwrap();
        self.address = listener.local_addr().unwrap();
        self.listening = Some(runtime.spawn(listen(listener, Arc::clone(&self.shared))));
    }

    /// Takes none any more, and drops those it has.
    pub(crate) fn down(&mut self) {
        let listening = self.listening.take().expect("a receiver that is up");
        listening.abort();
        self.runtime.as_ref().unwrap().block_on(listening).ok();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// What has to be trusted to call it.
    pub(crate) fn ca(&self) -> PathBuf {
        self.ca.clone()
    }

    /// Shows this certificate from the next connection on.
    pub(crate) fn present(&self, pki: &Pki, pair: &Pair, asks: Asks) {
        *self.shared.tls.lock().unwrap() = tls(pki, pair, asks);
    }

    /// Answers like this once, after what was scripted before.
    pub(crate) fn answer(&self, answer: Answer) {
        self.shared.script.lock().unwrap().push_back(answer);
    }

    /// Answers like this whenever the script is empty; 200 unless said.
    pub(crate) fn afterwards(&self, answer: Answer) {
        *self.shared.afterwards.lock().unwrap() = answer;
    }

    /// Lets every held answer go, and those to come.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Everything that came, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many handshakes failed.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Waits until this many requests have come.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Request> {
        until(&format!("{count} webhooks"), || {
            Some(self.requests()).filter(|requests| requests.len() >= count)
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn tls(pki: &Pki, pair: &Pair, asks: Asks) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_file(&pair.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let issuer = match asks {
        Asks::Nothing => None,
        Asks::ClientCertificate => Some(pki.ca()),
        Asks::CertificateOf(issuer) => Some(issuer),
    };
    let builder = match issuer {
        None => versions.with_no_client_auth(),
        Some(issuer) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(issuer).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            versions.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let config = Arc::clone(&shared.tls.lock().unwrap());
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
        shared.refused.fetch_add(1, Ordering::SeqCst);
        return;
    };
    let session = stream.get_ref().1;
    let h2 = session.alpn_protocol() == Some(b"h2");
    let peer = session.peer_certificates().and_then(|chain| common_name(chain.first()?));
    let service = service_fn(move |request| exchange(request, peer.clone(), Arc::clone(&shared)));
    // What ends a connection is the sender's affair; the test looks at the requests.
    if h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(stream), service).await.ok();
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(TokioIo::new(stream), service).await.ok();
    }
}

async fn exchange(
    request: http::Request<Incoming>,
    peer: Option<String>,
    shared: Arc<Shared>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match collect_capped(body, 16 << 20).await {
        Ok(Collected::Whole(bytes)) => bytes.to_vec(),
        Ok(other) => panic!("a webhook without an end: {other:?}"),
        // Whoever sent it was killed in the middle: nothing came.
        Err(_) => return Ok(http::Response::default()),
    };
    let path = head.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    // The answer is chosen with the request, so that the n-th request gets the n-th answer.
    let answer = {
        let mut requests = shared.requests.lock().unwrap();
        requests.push(Request {
            method: head.method.to_string(),
            path,
            version: head.version,
            headers: head.headers,
            body,
            peer,
            at: OffsetDateTime::now_utc(),
        });
        let scripted = shared.script.lock().unwrap().pop_front();
        scripted.unwrap_or_else(|| shared.afterwards.lock().unwrap().clone())
    };
    let mut response = http::Response::new(Full::default());
    match answer {
        Answer::Status(status, headers) => {
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().append(name, value.parse().unwrap());
            }
        }
        Answer::Said(status, body) => {
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            *response.body_mut() = Full::from(body);
        }
        Answer::Held => {
            shared.released.subscribe().wait_for(|released| *released).await.ok();
        }
    }
    Ok(response)
}

fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    Some(name)
}
