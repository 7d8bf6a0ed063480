use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::Uri;
use http::header;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::BodyWrapper;
use instant_acme::BytesResponse;
use instant_acme::HttpClient;
use tokio::time::timeout;

use crate::body::BoxError;
use crate::body::Collected;
use crate::body::collect_capped;
use crate::certs::ClientTls;
use crate::connect;
use crate::connect::Connector;
use crate::connect::Target;
use crate::connect::address::Policy;
use crate::telemetry::chain;

/// How long one exchange with a CA may take, from resolving its name to the end of its answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// The most of an answer that is read; a chain has a tenth of it.
const MAX_ANSWER: usize = 256 * 1024;

/// HTTPS to the CA, a connection for each exchange: there are ten of them in two months. No redirect is
/// followed.
#[derive(Debug, Clone)]
pub(super) struct Client {
    tls: ClientTls,
    /// How long the CA wants us to wait after it refused something.
    patience: Arc<Mutex<Option<Duration>>>,
}

/// Why there was no answer. Words, because the ACME library keeps nothing else of it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the CA's URL {0:?} is no `https` URL")]
    Url(String),
    #[error("{0}")]
    Connect(String),
    #[error("no answer from {0}: {1}")]
    Answer(String, String),
    #[error("the answer of {0} has more than {MAX_ANSWER} bytes")]
    TooLong(String),
    #[error("no answer from {0} within {DEADLINE:?}")]
    Deadline(String),
}

impl Client {
    pub(super) fn new(tls: &ClientTls) -> Self {
        Self { tls: tls.clone(), patience: Arc::default() }
    }

    /// What the CA said last of how long to wait, once.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, Failure> {
        let (mut parts, body) = request.into_parts();
        let url = std::mem::take(&mut parts.uri);
        let no_url = || Failure::Url(crate::certs::printable(&url.to_string()));
        let authority = url.authority().filter(|_| url.scheme_str() == Some("https"));
        let authority = authority.ok_or_else(no_url)?;
        let at = authority.to_string();
        let host = HeaderValue::from_str(&at).map_err(|_| no_url())?;
        let target = Target::Tcp {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(443),
        };
        let path = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri = path.parse::<Uri>().map_err(|_| no_url())?;
        parts.headers.insert(header::HOST, host);
        let agent = HeaderValue::from_static(concat!("pushbell/", env!("CARGO_PKG_VERSION")));
        parts.headers.insert(header::USER_AGENT, agent);
        let broken = |error: BoxError| Failure::Answer(at.clone(), chain(&*error));

        let connector = Connector::new(connect::Config {
            target,
            tls: Some(self.tls.clone()),
            proxy: None,
            policy: Policy::for_endpoint(),
            deadline: DEADLINE,
        });
        let stream = connector.connect().await.map_err(|error| Failure::Connect(chain(&error)))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
        let body = collect_capped(body, MAX_ANSWER).await.unwrap_or_else(|never| match never {});
        let request = Request::from_parts(parts, Full::new(body.into_bytes()));
        let work = async {
            let answer =
                sender.send_request(request).await.map_err(|error| broken(error.into()))?;
            let (parts, body) = answer.into_parts();
            match collect_capped(body, MAX_ANSWER).await.map_err(|error| broken(error.into()))? {
                Collected::Whole(bytes) => Ok(Response::from_parts(parts, bytes)),
                Collected::Cut(_) => Err(Failure::TooLong(at.clone())),
            }
        };
        // The connection moves the bytes for as long as the work needs them.
        tokio::pin!(connection, work);
        tokio::select! {
            done = &mut work => done,
            _ = &mut connection => work.await,
        }
    }

    fn note(&self, answer: &Response<Bytes>) {
        if answer.status().is_success() {
            return;
        }
        let seconds = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let seconds = seconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = seconds;
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let at = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let answer = match timeout(DEADLINE, client.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(Failure::Deadline(at)),
            };
            let answer = answer.map_err(|error| instant_acme::Error::Other(error.into()))?;
            client.note(&answer);
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
