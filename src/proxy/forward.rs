use std::mem::take;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Extensions;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::Uri;
use http::Version;
use http::header;
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::body::collect_capped;
use crate::body::discard;
use crate::listener;
use crate::registry::Layout;

use super::Inner;
use super::error::Error;
use super::headers;
use super::headers::Client;
use super::linger::Early;
use super::metrics::Metrics;
use super::request::RequestBody;
use super::request::Streaming;
use super::response::ResponseBody;
use super::upstream::Failed;
use super::upstream::Lease;
use super::upstream::Session;
use super::upstream::Share;

/// How much of an early answer's body is passed on: far more than any error document.
const EARLY_BODY: usize = 1 << 20;

/// How much of a request's body is read although it goes nowhere, and for how long.
pub(super) const DISCARDED: usize = 1 << 20;
pub(super) const DISCARD: Duration = Duration::from_secs(1);

/// The head of a client's request, made ready for the registry.
pub(super) struct Head {
    pub(super) method: Method,
    uri: Uri,
    pub(super) headers: HeaderMap,
    /// What HTTP/1.1 keeps beside the headers: how the client spelled them.
    spelling: Extensions,
    pub(super) client: Client,
    /// The host the client asked for.
    asked: HeaderValue,
}

impl Head {
    /// Takes the headers out of `parts`; `peer` is the line that tells the client's address.
    pub(super) fn of(
        parts: &mut Parts,
        client: Client,
        registry: &str,
        layout: &Layout,
        metrics: &Metrics,
        peer: Option<&HeaderValue>,
    ) -> Self {
        let asked = headers::authority(parts, registry);
        let mut headers = take(&mut parts.headers);
        let dropped = headers::to_upstream(&mut headers, &client, &asked, peer);
        metrics.headers_dropped.inc_by(dropped);
        if let Layout::Artifactory { .. } = layout {
            headers::name_base_url(&mut headers, &client, &asked);
        }
        Self {
            method: parts.method.clone(),
            uri: target(&parts.uri, layout),
            headers,
            spelling: take(&mut parts.extensions),
            client,
            asked,
        }
    }

    /// The request to send: the client's own target and headers, framed by the body we really have.
    pub(super) fn request(&self, body: RequestBody) -> Request<RequestBody> {
        let mut headers = self.headers.clone();
        let bodied = matches!(self.method, Method::PUT | Method::POST | Method::PATCH);
        if let Some(length) = body.size_hint().exact().filter(|n| *n > 0 || bodied) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        *request.extensions_mut() = self.spelling.clone();
        request
    }

    fn repeatable(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

impl Inner {
    /// Passes on a request that makes no event, streaming both ways.
    pub(super) async fn forward(
        &self,
        head: &Head,
        body: Option<listener::Incoming>,
        session: &Session,
    ) -> Result<Response<ResponseBody>, Error> {
        let deadline = self.config.limits.answer;
        let Some(body) = body else {
            let answered = async {
                loop {
                    let request = head.request(RequestBody::Empty);
                    match self.upstream.send(session, Share::Any, request).await {
                        // A registry that restarts leaves many of them; a new connection is never stale.
                        Err(Failed { stale: true, .. }) if head.repeatable() => {}
                        sent => return sent,
                    }
                }
            };
            let sent = timeout(deadline, answered).await.map_err(|_| Error::Deadline)?;
            let (response, lease) = sent.map_err(|failed| failed.error)?;
            return Ok(self.relay(response, lease, head));
        };
        let (body, all_sent) = Streaming::new(body, self.config.limits.body_idle);
        let request = head.request(RequestBody::Streaming(Box::new(body)));
        let send = self.upstream.send(session, Share::Own, request);
        // An upload takes as long as it takes; the registry's time begins when it has all of it.
        let over = AtomicBool::new(false);
        let late = async {
            if all_sent.await.is_err() {
                // The body was dropped before its end: the exchange itself tells why.
                std::future::pending::<()>().await;
            }
            over.store(true, Ordering::Relaxed);
            sleep(deadline).await;
        };
        // Either may be dropped here: the request is over then.
        let (response, mut lease) = tokio::select! {
            biased;
            () = late => return Err(Error::Deadline),
            sent = send => match sent {
                Ok(sent) => sent,
                Err(failed) => return Err(failed.after_discarding().await),
            },
        };
        let early = !over.load(Ordering::Relaxed);
        if early {
            self.upstream.go_on(&mut lease);
        }
        let mut response = self.relay(response, lease, head);
        if early {
            response.extensions_mut().insert(Early);
        }
        Ok(response)
    }

    /// The registry's answer as the client gets it.
    pub(super) fn relay(
        &self,
        response: Response<Incoming>,
        lease: Lease,
        head: &Head,
    ) -> Response<ResponseBody> {
        let (mut parts, body) = response.into_parts();
        let upstream = self.config.upstream_authority.as_deref();
        headers::to_client(&mut parts.headers, upstream, &head.asked, &head.client);
        // What the registry speaks to us says nothing about what we speak to the client.
        parts.version = Version::default();
        Response::from_parts(parts, ResponseBody::upstream(body, self.idle(), lease))
    }

    /// An answer that came while the last frame of a manifest was still held: a refusal. It is read while
    /// the request is still whole, because breaking that off breaks the answer off too.
    pub(super) async fn relay_early(
        &self,
        response: Response<Incoming>,
        head: &Head,
    ) -> Result<Response<ResponseBody>, Error> {
        let (mut parts, body) = response.into_parts();
        let read = timeout(self.idle(), collect_capped(body, EARLY_BODY)).await;
        let body = read
            .map_err(|_| Error::Deadline)?
            .map_err(|source| Error::Exchange { source })?
            .into_bytes();
        let upstream = self.config.upstream_authority.as_deref();
        headers::to_client(&mut parts.headers, upstream, &head.asked, &head.client);
        parts.version = Version::default();
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        // The rest of the request is not read (H17).
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        parts.extensions.insert(Early);
        Ok(Response::from_parts(parts, ResponseBody::whole(body)))
    }

    pub(super) fn idle(&self) -> Duration {
        self.config.limits.body_idle
    }
}

impl Failed {
    /// The error, once the client has had the time to send what nobody wants any more.
    pub(super) async fn after_discarding(self) -> Error {
        if let Some(body) = self.unsent {
            timeout(DISCARD, discard(body, DISCARDED)).await.ok();
        }
        self.error.blaming_the_client()
    }
}

impl Error {
    /// A request that broke off because its body did is the client's doing, not the registry's.
    fn blaming_the_client(self) -> Self {
        match self {
            Self::Exchange { source } if source.is_user() => Self::Incomplete,
            other => other,
        }
    }
}

/// The target as the registry knows it; path and query byte for byte.
fn target(uri: &Uri, layout: &Layout) -> Uri {
    let prefixed = layout.prefix(uri.path()).and_then(|prefix| {
        let target = uri.path_and_query()?;
        format!("{prefix}{target}").parse().ok()
    });
    prefixed.unwrap_or_else(|| origin_form(uri))
}

/// The target without scheme and host; path and query byte for byte.
fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(target) if uri.authority().is_some() => Uri::from(target.clone()),
        _ => uri.clone(),
    }
}
