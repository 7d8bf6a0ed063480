//! Show and operate: what a probe, a scraper and an operator ask, on a listener of its own.
//!
//! `/healthz`, `/readyz`, `/metrics` and `/keys`, the public keys that webhooks are signed with, need no
//! token, tell no repository, tag or person, and change nothing. Never on the path of a push.

mod api;
mod health;
mod hosts;
mod metrics;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use hyper::service::Service;
use prometheus_client::registry::Registry;

use crate::body::BoxError;
use crate::listener::Incoming;
use crate::listener::Peer;
use crate::listener::Refusal;
use crate::listener::Serve;
use crate::listener::Words;

pub use self::api::MOST_REPLAYED;
pub use self::api::Operated;
pub use self::health::Detail;
pub use self::health::Readiness;
pub use self::health::Standing;
pub use self::hosts::Hosts;

/// Finds out, when asked, how we stand.
pub type Ask = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Readiness> + Send>> + Send + Sync>;

/// The admin listener's service.
#[derive(Clone)]
pub struct Admin {
    readiness: Ask,
    metrics: Arc<Registry>,
    keys: Keys,
    operated: Operated,
    hosts: Hosts,
}

/// Says, when asked, which public keys our webhooks are signed with: a JSON Web Key Set.
pub type Keys = Arc<dyn Fn() -> String + Send + Sync>;

/// What a key set is (RFC 7517 §8.5.2).
const KEY_SET: &str = "application/jwk-set+json";

/// To who asks for somebody else.
const STRANGER: &str = "the Host of the request is none of ours: use an address, `localhost` or a name of the \
                        listener's identity, or add the name to `admin.hosts`\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// Our own answers are small and whole.
pub type Body = Full<Bytes>;

impl Admin {
    /// From what the composition root hands over.
    #[must_use]
    pub fn new(readiness: Ask, metrics: Arc<Registry>, keys: Keys, operated: Operated) -> Self {
        Self { readiness, metrics, keys, operated, hosts: Hosts::default() }
    }

    /// The same for a listener that has these names.
    #[must_use]
    pub fn named(&self, hosts: Hosts) -> Self {
        Self { hosts, ..self.clone() }
    }

    /// Answers one request below the root, or below `/_pushbell` on a listener shared with others.
    pub async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        let page = path.strip_prefix("/_pushbell").unwrap_or(path);
        if !matches!(page, "/healthz" | "/readyz" | "/metrics" | "/keys") {
            let known = "there is /healthz, /readyz, /metrics, /keys and /api/v1/\n";
            return text(StatusCode::NOT_FOUND, known);
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match page {
            "/healthz" => health::live(),
            "/readyz" => health::ready(&(self.readiness)().await),
            "/keys" => typed(StatusCode::OK, KEY_SET, (self.keys)()),
            _ => metrics::page(&self.metrics),
        }
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Serve for Admin {
    type Connection = Self;
    type Body = Body;

    fn connection(&self, _peer: Peer) -> Self {
        self.clone()
    }

    fn refusal(&self) -> Refusal {
        refused
    }
}

impl Service<Request<Incoming>> for Admin {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move {
            if !admin.hosts.allow(request.version(), request.uri(), request.headers()) {
                return Ok(text(StatusCode::MISDIRECTED_REQUEST, STRANGER));
            }
            let path = request.uri().path();
            let path = path.strip_prefix("/_pushbell").unwrap_or(path).to_owned();
            match path.strip_prefix("/api/v1/") {
                Some(asked) => Ok(admin.operated.answer(request, asked).await),
                None => Ok(admin.answer(request.method(), &path).await),
            }
        })
    }
}

fn refused(status: StatusCode) -> Words {
    let body = format!("{}\n", status.canonical_reason().unwrap_or("Refused")).into();
    Words { media: TEXT, body }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    typed(status, TEXT, body)
}

fn typed(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
