use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use pushbell::tasks::Tasks;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::body::Body;
use crate::body::swallow;
use crate::pki::KeyExchange;
use crate::pki::Pki;

/// Where to connect to, on this machine.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) tls: Tls,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    Yes,
    /// Straight to the upstream, past any proxy.
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// The one client of every measurement.
#[derive(Clone)]
pub(crate) struct Client {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    post_quantum: Arc<ClientConfig>,
    tasks: Tasks,
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    sender: Sender,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    pub(crate) fn new(pki: &Pki) -> Result<Self> {
        Ok(Self {
            http1: Arc::new(pki.client(KeyExchange::Classical, b"http/1.1")?),
            http2: Arc::new(pki.client(KeyExchange::Classical, b"h2")?),
            post_quantum: Arc::new(pki.client(KeyExchange::PostQuantum, b"http/1.1")?),
            tasks: Tasks::new(),
        })
    }

    pub(crate) async fn connect(&self, target: Target, protocol: Protocol) -> Result<Connection> {
        let authority = format!("localhost:{}", target.port);
        let tcp = dial(target.port).await?;
        let sender = match (target.tls, protocol) {
            (Tls::No, _) => {
                let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
                self.tasks.spawn(connection);
                Sender::Http1(sender)
            }
            (Tls::Yes, Protocol::Http1) => {
                let io = TokioIo::new(secure(tcp, &self.http1).await?);
                let (sender, connection) = http1::handshake(io).await?;
                self.tasks.spawn(connection);
                Sender::Http1(sender)
            }
            (Tls::Yes, Protocol::Http2) => {
                let io = TokioIo::new(secure(tcp, &self.http2).await?);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                self.tasks.spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Connection { sender, authority })
    }

    /// One full handshake, and a close that the server has seen: its share of the work is done, too.
    pub(crate) async fn shake_hands(&self, port: u16, exchange: KeyExchange) -> Result<()> {
        let config = match exchange {
            KeyExchange::Classical => &self.http1,
            KeyExchange::PostQuantum => &self.post_quantum,
        };
        let mut stream = secure(dial(port).await?, config).await?;
        stream.shutdown().await?;
        // How it ends is the server's affair; that it ended is enough.
        stream.read_to_end(&mut Vec::new()).await.ok();
        Ok(())
    }
}

impl Connection {
    /// Another sender of the same HTTP/2 connection; none for HTTP/1.1, which takes one request at a time.
    pub(crate) fn another(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                authority: self.authority.clone(),
            }),
        }
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Body,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(method);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                let request = request.uri(path).header(header::HOST, &self.authority).body(body)?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                let uri = format!("https://{}{path}", self.authority);
                sender.send_request(request.uri(uri).body(body)?).await?
            }
        };
        Ok(response)
    }

    /// Sends, expects this status, and reads the answer to its end; says how long its body was.
    pub(crate) async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Body,
        expected: StatusCode,
    ) -> Result<u64> {
        let response = self.send(method, path, None, body).await?;
        ensure!(response.status() == expected, "{path}: {}, not {expected}", response.status());
        swallow(response.into_body()).await
    }

    /// The smallest request there is: does a registry live here.
    pub(crate) async fn ask(&mut self) -> Result<()> {
        self.exchange(Method::GET, "/v2/", Body::empty(), StatusCode::OK).await?;
        Ok(())
    }
}

async fn dial(port: u16) -> Result<TcpStream> {
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("connect to port {port}"))?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn secure(tcp: TcpStream, config: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost")?;
    TlsConnector::from(config.clone()).connect(name, tcp).await.context("TLS handshake")
}
