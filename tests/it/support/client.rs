use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Method;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::raw::config;
use super::sidecar::Sidecar;

/// A client that keeps its connection, says exactly what it is told, and hears everything.
pub(crate) struct Client {
    runtime: Runtime,
    way: Way,
    sender: Option<Sender>,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Where a client connects to.
enum Way {
    Plain(SocketAddr),
    Tls { address: SocketAddr, ca: PathBuf, protocol: Protocol },
}

enum Sender {
    Http1(http1::SendRequest<Said>),
    Http2(http2::SendRequest<Said>),
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pieces: VecDeque<Bytes>,
    /// What is announced; without it the body is a stream whose end nobody knows before it comes.
    length: Option<u64>,
    ends: bool,
}

/// What came back.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
}

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

impl Client {
    /// To a server without TLS, such as the registry itself.
    pub(crate) fn direct(address: SocketAddr) -> Self {
        Self::new(Way::Plain(address))
    }

    /// Through the sidecar.
    pub(crate) fn through(sidecar: &Sidecar, protocol: Protocol) -> Self {
        Self::new(Way::Tls { address: sidecar.address("registry"), ca: sidecar.ca(), protocol })
    }

    fn new(way: Way) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, way, sender: None }
    }

    /// `scheme://host:port` of who it talks to.
    pub(crate) fn base(&self) -> String {
        match &self.way {
            Way::Plain(address) => format!("http://{address}"),
            Way::Tls { address, .. } => format!("https://localhost:{}", address.port()),
        }
    }

    /// One exchange; an error is what went wrong below HTTP.
    pub(crate) fn send(
        &mut self,
        method: Method,
        target: &str,
        headers: &HeaderMap,
        body: Said,
    ) -> Result<Heard, String> {
        let Self { runtime, way, sender } = self;
        let exchange = async {
            let mut request = Request::new(body);
            *request.method_mut() = method;
            request.headers_mut().extend(headers.clone());
            let connected = way.connected(sender.take()).await;
            let connected = sender.insert(connected);
            connected.send(request, &way.authority(), target).await
        };
        let answered = async { timeout(PATIENCE, exchange).await };
        let answered = runtime.block_on(answered).map_err(|_| "no answer in time".to_owned())?;
        if answered.is_err() {
            self.sender = None;
        }
        answered
    }

    /// Begins an exchange, sends what the body has, and breaks it off when `enough` returns: over HTTP/1.1
    /// by the end of the connection, over HTTP/2 by that of the stream.
    pub(crate) fn begin_and_leave(
        &mut self,
        method: Method,
        target: &str,
        headers: &HeaderMap,
        body: Said,
        enough: impl FnOnce(),
    ) {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        request.headers_mut().extend(headers.clone());
        let authority = self.way.authority();
        let target = target.to_owned();
        let kept = self.sender.take();
        let mut connected = self.runtime.block_on(self.way.connected(kept));
        let begun =
            self.runtime.spawn(async move { connected.send(request, &authority, &target).await });
        enough();
        begun.abort();
        self.runtime.block_on(begun).map(|answered| panic!("answered: {answered:?}")).ok();
    }
}

impl Way {
    fn authority(&self) -> String {
        match self {
            Self::Plain(address) => address.to_string(),
            Self::Tls { address, .. } => format!("localhost:{}", address.port()),
        }
    }

    /// The connection of before, or a new one where the other side has closed that.
    async fn connected(&self, kept: Option<Sender>) -> Sender {
        if let Some(mut sender) = kept
            && sender.is_ready().await
        {
            return sender;
        }
        self.connect().await
    }

    async fn connect(&self) -> Sender {
        match self {
            Self::Plain(address) => {
                let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
                Sender::http1(io).await
            }
            Self::Tls { address, ca, protocol } => {
                let alpn: &[u8] = match protocol {
                    Protocol::Http1 => b"http/1.1",
                    Protocol::Http2 => b"h2",
                };
                let config: ClientConfig = config(ca, rustls::DEFAULT_VERSIONS, &[alpn]);
                let tcp = TcpStream::connect(address).await.unwrap();
                tcp.set_nodelay(true).unwrap();
                let name = "localhost".try_into().unwrap();
                let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
                assert_eq!(tls.get_ref().1.alpn_protocol(), Some(alpn));
                let io = TokioIo::new(tls);
                match protocol {
                    Protocol::Http1 => Sender::http1(io).await,
                    Protocol::Http2 => {
                        let executor = TokioExecutor::new();
                        let (sender, connection) = http2::handshake(executor, io).await.unwrap();
                        tokio::runtime::Handle::current().spawn(connection);
                        Sender::Http2(sender)
                    }
                }
            }
        }
    }
}

impl Sender {
    async fn http1<Io>(io: Io) -> Self
    where
        Io: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let handshake = http1::Builder::new().title_case_headers(true).handshake(io);
        let (sender, connection) = handshake.await.unwrap();
        tokio::runtime::Handle::current().spawn(connection);
        Self::Http1(sender)
    }

    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(
        &mut self,
        mut request: Request<Said>,
        authority: &str,
        target: &str,
    ) -> Result<Heard, String> {
        let answered = match self {
            Self::Http1(sender) => {
                *request.uri_mut() = target.parse().unwrap();
                let host = authority.parse().unwrap();
                request.headers_mut().entry(header::HOST).or_insert(host);
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                let target: Uri = format!("https://{authority}{target}").parse().unwrap();
                *request.uri_mut() = target;
                sender.send_request(request).await
            }
        };
        let (parts, body) = answered.map_err(|e| chain(&e))?.into_parts();
        let (body, whole) = read(body).await;
        Ok(Heard { status: parts.status, headers: parts.headers, body, whole })
    }
}

async fn read(mut body: Incoming) -> (Bytes, bool) {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return (read.into(), false);
        };
        read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    (read.into(), true)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Said {
    /// No body.
    pub(crate) fn nothing() -> Self {
        Self::whole("")
    }

    /// All of it, its length announced.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { length: Some(bytes.len() as u64), pieces: [bytes].into(), ends: true }
    }

    /// Piece by piece, with nothing announced.
    pub(crate) fn streamed(bytes: impl Into<Bytes>, piece: usize) -> Self {
        let mut bytes = bytes.into();
        let mut pieces = VecDeque::new();
        while !bytes.is_empty() {
            pieces.push_back(bytes.split_to(piece.min(bytes.len())));
        }
        Self { pieces, length: None, ends: true }
    }

    /// The same piece so many times, the length of them all announced.
    pub(crate) fn again(piece: Bytes, times: usize) -> Self {
        let length = Some((piece.len() * times) as u64);
        Self { pieces: vec![piece; times].into(), length, ends: true }
    }

    /// The beginning of a body of this length, or of a stream, whose rest never comes.
    pub(crate) fn beginning(bytes: impl Into<Bytes>, length: Option<u64>) -> Self {
        Self { pieces: [bytes.into()].into(), length, ends: false }
    }
}

impl Body for Said {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while let Some(piece) = self.pieces.pop_front() {
            if let Some(length) = &mut self.length {
                *length -= piece.len() as u64;
            }
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        if self.ends { Poll::Ready(None) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.ends && self.pieces.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{:#?}", self.status, self.headers)?;
        f.write_str(&String::from_utf8_lossy(&self.body).chars().take(500).collect::<String>())
    }
}

impl Heard {
    /// A header's value, where there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
