//! Forward, and notice: every request goes to the registry unchanged, and a manifest's `PUT` or `DELETE`
//! that the registry accepts becomes an event before the client hears of it.
//!
//! Never collects a body, never waits for a receiver, never answers in the registry's place except to
//! say that there is no answer, or that a request can be understood in two ways.

mod answer;
mod asked;
mod classify;
mod error;
mod exchange;
mod forward;
mod forwarded;
mod framing;
mod gathered;
mod headers;
mod heard_out;
mod known;
mod linger;
mod location;
mod look;
mod metrics;
mod mount;
mod observe;
mod overlap;
mod paced;
mod protocol;
mod record;
mod request;
mod response;
#[cfg(test)]
mod sanitation;
mod settle;
#[cfg(test)]
mod simulation;
mod token;
mod unrecorded;
mod upstream;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::Uri;
use http::Version;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::service::Service;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use tracing::warn;

use crate::body::BoxError;
use crate::body::discard;
use crate::budget::Budget;
use crate::connect::Connector;
use crate::listener::Incoming;
use crate::listener::Network;
use crate::listener::Peer;
use crate::listener::Refusal;
use crate::listener::Serve;
use crate::outbox::Durability;
use crate::outbox::Outbox;
use crate::points::Points;
use crate::registry::Ambiguous;
use crate::registry::Layout;
use crate::tasks::Tasks;
use crate::telemetry::printable;

use self::forward::DISCARD;
use self::forward::DISCARDED;
use self::forward::Head;
use self::headers::Client;
use self::known::KnownTags;
use self::linger::Early;
use self::look::Look;
use self::overlap::Overlaps;
use self::protocol::Rules;
use self::settle::Settler;
use self::settle::rules::Schedule;
use self::token::Realm;
use self::unrecorded::Unrecorded;
use self::upstream::Session;
use self::upstream::Upstream;

pub use self::error::Error;
pub use self::error::Refused;
pub use self::look::Account;
pub use self::look::USER_AGENT;
pub use self::metrics::Metrics;
pub use self::protocol::OnFailure;
pub use self::response::ResponseBody;

/// What the proxy needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The registry as clients name it: the only source of the host in events.
    pub registry: String,
    /// The way to the registry.
    pub connector: Connector,
    /// How the registry's paths name repositories.
    pub layout: Layout,
    /// `host:port` of the registry as we reach it; nothing for a unix socket.
    pub upstream_authority: Option<String>,
    /// The account for our own looks; without one they are anonymous.
    pub look: Option<Account>,
    /// Where else that account may ask for tokens than at the registry itself, and the way there.
    pub look_realms: Vec<(Uri, Connector)>,
    /// How an intent is written before a push becomes complete; not at all, if nothing is said.
    pub intent: Option<Durability>,
    /// What to do with a push whose event cannot be kept.
    pub on_failure: OnFailure,
    /// Whether mounts are events.
    pub mounts: Mounts,
    /// Whether a push waits for the answer to another of the same tag.
    pub serialize_tag: bool,
    /// When to look at pushes of unknown end.
    pub settling: Settling,
    /// How long, and how much.
    pub limits: Limits,
    /// Where a test ends us.
    pub points: Points,
}

/// Whether a blob that a repository takes over from another one is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// It is: an endpoint asks for mounts.
    Told,
    /// It is none.
    Untold,
}

/// When to look at pushes of unknown end (delivery-guarantees 3.5).
#[derive(Debug, Clone, Copy)]
pub struct Settling {
    /// From the end of the exchange, or from the start, to the first look.
    pub first_look: Duration,
    /// When nobody will ever know, and the event says so.
    pub give_up: Duration,
}

/// The bounds of an exchange (delivery-guarantees 8.4).
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the head of the answer to a manifest, from its last byte on; then 504.
    pub manifest_answer: Duration,
    /// For the head of any other answer, from the request's last byte on; then 504.
    pub answer: Duration,
    /// For progress in a body, either way; then the exchange breaks off.
    pub body_idle: Duration,
    /// How much of a manifest is kept to be read; a larger one passes, its event has fewer fields.
    pub manifest_copy: usize,
    /// How much all such copies take together; beyond it manifests pass unread.
    pub manifest_copies: usize,
    /// How long the last frame of a manifest waits for a look; then `change` stays unknown.
    pub look: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_answer: Duration::from_secs(120),
            answer: Duration::from_secs(900),
            body_idle: Duration::from_secs(60),
            manifest_copy: 4 << 20,
            manifest_copies: 64 << 20,
            look: Duration::from_millis(250),
        }
    }
}

/// Everything between a client and the registry.
#[derive(Debug, Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
    trusted: Arc<[Network]>,
}

#[derive(Debug, Clone)]
struct Inner {
    config: Config,
    upstream: Upstream,
    look: Look,
    known: KnownTags,
    overlaps: Overlaps,
    copies: Budget,
    outbox: Outbox,
    unrecorded: Unrecorded,
    settler: Arc<Settler>,
    /// Whether an unusual success was said to be one.
    odd: Arc<AtomicBool>,
    points: Points,
    tasks: Tasks,
    metrics: Metrics,
}

/// One client's connection.
#[derive(Debug)]
pub struct Connection {
    inner: Arc<Inner>,
    trusted: Arc<[Network]>,
    peer: Peer,
    /// The peer's address for the registry to read.
    line: Option<HeaderValue>,
    session: Session,
}

/// How often an outbox that refused is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How much of a client's own words the log keeps (delivery-guarantees 8.9).
const WORDS: usize = 256;

impl Proxy {
    /// Puts it together; nothing is dialled yet.
    #[must_use]
    pub fn new(config: Config, outbox: Outbox, tasks: Tasks, metrics: Metrics) -> Self {
        let upstream = Upstream::new(config.connector.clone(), config.limits.body_idle);
        let look = Look::new(
            upstream.clone(),
            config.layout.clone(),
            config.upstream_authority.as_deref(),
            config.look.as_ref(),
            own_places(&config),
            config.look_realms.iter().map(|(url, way)| realm(url, way, &config)).collect(),
        );
        let unrecorded = Unrecorded::new(outbox.clone(), metrics.clone());
        let copies = Budget::new(config.limits.manifest_copies);
        let schedule = Schedule {
            first: config.settling.first_look,
            working: config.limits.manifest_answer,
            give_up: config.settling.give_up,
            account: config.look.is_some(),
        };
        let points = config.points.clone();
        let settler =
            Settler::new(schedule, look.clone(), outbox.clone(), metrics.clone(), points.clone());
        let settler = Arc::new(settler);
        let odd = Arc::new(AtomicBool::new(false));
        let known = KnownTags::default();
        let inner = Inner {
            config,
            upstream,
            look,
            known,
            overlaps: Overlaps::default(),
            copies,
            outbox,
            unrecorded,
            settler,
            odd,
            points,
            tasks,
            metrics,
        };
        Self { inner: Arc::new(inner), trusted: Arc::default() }
    }

    /// The same proxy for another worker: its connections to the registry are its own, and end with it.
    #[must_use]
    pub fn apart(&self) -> Self {
        let inner = self.inner.as_ref();
        let upstream = Upstream::new(inner.config.connector.clone(), inner.config.limits.body_idle);
        let look = inner.look.through(upstream.clone());
        let inner = Inner { upstream, look, ..inner.clone() };
        Self { inner: Arc::new(inner), trusted: self.trusted.clone() }
    }

    /// The same proxy for a listener at which the forwarding headers of these peers count.
    #[must_use]
    pub fn trusting(&self, proxies: &[Network]) -> Self {
        Self { inner: self.inner.clone(), trusted: proxies.into() }
    }

    /// Appends what only memory holds, for as long as we run.
    pub async fn keep_recording(self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(AGAIN)).await.is_some() {
            self.inner.append_unrecorded().await;
        }
    }

    /// Finds out what became of pushes whose answer nobody saw, for as long as we run.
    pub async fn keep_settling(self, stop: CancellationToken) {
        let tell = |appended: &_| self.inner.tell(appended);
        self.inner.settler.run(stop, tell).await;
    }

    /// How many events wait in memory.
    #[must_use]
    pub fn unrecorded(&self) -> usize {
        self.inner.unrecorded.len()
    }

    /// How many of them are gone with us: the others have an intent on the disk.
    #[must_use]
    pub fn unkept(&self) -> usize {
        self.inner.unrecorded.unkept()
    }

    /// The last try to append what only memory holds.
    pub async fn close(&self) {
        self.inner.append_unrecorded().await;
    }
}

/// `host:port` under which a realm is the registry itself: as clients name it, and as we reach it.
fn own_places(config: &Config) -> Vec<String> {
    let urls = [
        Some(format!("https://{}/", config.registry)),
        config.upstream_authority.as_ref().map(|authority| format!("http://{authority}/")),
    ];
    let urls = urls.into_iter().flatten().filter_map(|url| url.parse::<Uri>().ok());
    urls.filter_map(|url| token::place(&url)).collect()
}

fn realm(url: &Uri, way: &Connector, config: &Config) -> Realm {
    Realm { url: url.clone(), way: Upstream::new(way.clone(), config.limits.body_idle) }
}

impl Config {
    fn rules(&self) -> Rules {
        Rules { intent: self.intent, on_failure: self.on_failure }
    }
}

impl Serve for Proxy {
    type Connection = Connection;
    type Body = ResponseBody;

    fn connection(&self, peer: Peer) -> Connection {
        let line = peer.address.and_then(|a| HeaderValue::from_str(&a.to_string()).ok());
        let (inner, trusted) = (self.inner.clone(), self.trusted.clone());
        Connection { inner, trusted, peer, line, session: Session::default() }
    }

    fn refusal(&self) -> Refusal {
        answer::unreadable
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (inner, session, line) = (self.inner.clone(), self.session.clone(), self.line.clone());
        let client = Client::of(&self.peer, &self.trusted, request.headers());
        Box::pin(async move { Ok(inner.serve(request, client, line, session).await) })
    }
}

impl Inner {
    /// One request through.
    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Client,
        line: Option<HeaderValue>,
        session: Session,
    ) -> Response<ResponseBody> {
        let (mut parts, body) = request.into_parts();
        let mut body = (!body.is_end_stream()).then_some(body);
        match check(&parts, &mut body, &self.config.layout, self.idle()).await {
            Ok(()) => {}
            Err(refused) => {
                self.metrics.refused(&refused);
                debug!(
                    refused = printable(&refused.to_string(), WORDS),
                    method = printable(parts.method.as_str(), WORDS),
                    path = printable(parts.uri.path(), WORDS),
                    "Request refused"
                );
                // Who waits for our word before it sends a body has its answer.
                let unread = match body {
                    Some(body) if !parts.headers.contains_key(header::EXPECT) => {
                        !timeout(DISCARD, discard(body, DISCARDED)).await.unwrap_or(false)
                    }
                    body => body.is_some(),
                };
                let mut response = answer::refused(&refused);
                if unread {
                    response.extensions_mut().insert(Early);
                }
                self.metrics.answered(&parts.method, response.status());
                return ended_for(parts.version, response);
            }
        }
        let config = &self.config;
        let (registry, layout, metrics) = (&config.registry, &config.layout, &self.metrics);
        let head = Head::of(&mut parts, client, registry, layout, metrics, line.as_ref());
        let bodied = body.is_some();
        let answered = match self.exchange_of(&parts, &head) {
            Some(exchange) => self.clone().observed(exchange, head, body, session).await,
            None => match self.mount_of(&parts, &head) {
                Some(mount) => self.clone().mount(mount, &head, body, &session).await,
                None => self.forward(&head, body, &session).await,
            },
        };
        let response = answered.unwrap_or_else(|error| {
            self.metrics.failed(&error);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let path = printable(parts.uri.path(), WORDS);
            let (method, status) = (&parts.method, error.status().as_u16());
            if let Error::Incomplete = error {
                debug!(%error, %method, path, status, "Request broken off");
            } else {
                warn!(%error, cause, %method, path, status, "No answer from the registry");
            }
            let mut response = answer::failed(&error);
            if bodied && error.is_early() {
                response.extensions_mut().insert(Early);
            }
            response
        });
        self.metrics.answered(&parts.method, response.status());
        debug!(
            method = %parts.method,
            path = printable(parts.uri.path(), WORDS),
            status = response.status().as_u16(),
            "Request answered"
        );
        ended_for(parts.version, response)
    }
}

/// Over HTTP/2 an early answer ends a moment later than it is complete; over HTTP/1.1 the end of the
/// connection is what waits.
fn ended_for(version: Version, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    let early = response.extensions_mut().remove::<Early>().is_some();
    if early && version == Version::HTTP_2 { response.map(ResponseBody::early) } else { response }
}

/// Refuses what could be understood in two ways. A body that turns out to be empty where there may be none
/// is taken away.
async fn check(
    parts: &Parts,
    body: &mut Option<Incoming>,
    layout: &Layout,
    idle: Duration,
) -> Result<(), Refused> {
    framing::check(parts)?;
    let method = &parts.method;
    if matches!(*method, Method::GET | Method::HEAD | Method::DELETE)
        && let Some(present) = body
    {
        if !timeout(idle, is_empty(present)).await.unwrap_or(false) {
            return Err(Refused::Body { method: method.clone() });
        }
        *body = None;
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let path = parts.uri.path();
    // Beside `/v2/` registries have APIs of their own, whose paths are theirs to read.
    if !layout.could_push(path) {
        return Ok(());
    }
    let sound = match *method {
        Method::PUT => Ambiguous::check(path).and_then(|()| Ambiguous::check_push(path)),
        _ => Ambiguous::check(path),
    };
    sound.map_err(|why| Refused::Path { why })
}

/// Whether a body ends without a byte: HTTP/2 may say so in a frame of its own, HTTP/1.1 in a chunk.
async fn is_empty(body: &mut Incoming) -> bool {
    loop {
        match body.frame().await {
            None => return true,
            Some(Ok(frame)) if frame.data_ref().is_none_or(Bytes::is_empty) => {}
            Some(_) => return false,
        }
    }
}
