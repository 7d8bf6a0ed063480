//! Tell: signed webhooks, one worker per endpoint.
//!
//! A worker claims what is due from the outbox, makes one exchange of each claim, and records what
//! became of it. What an answer means and when to try again is [`retry`]; how much an endpoint gets
//! while it fails and recovers is [`health`]; the bytes are the dialect's and the signer's.
//!
//! Each attempt of one delivery carries the same `webhook-id` and its own `webhook-timestamp`. The
//! bytes that were signed are the bytes that are sent. Events of one lane reach an endpoint in their
//! order, because the outbox hands out one of a lane at a time.
//!
//! An event for which the endpoint's dialect has no words is not the receiver's fault and will never
//! have any: it becomes a dead letter at once, with the reason, is counted as `unwritable`, and can
//! be replayed once the endpoint has another dialect. It is never counted as told.
//!
//! Delivery never decides which events are owed to whom, never follows a redirect, and never waits
//! for one endpoint on behalf of another.

pub mod answers;
pub mod attempt;
pub mod dialect;
mod error;
pub mod health;
mod metrics;
pub mod names;
pub mod preset;
mod rate;
mod report;
pub mod retry;
pub mod sign;
#[cfg(test)]
mod tests;
pub mod url;
mod wire;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::header;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::connect::Connector;
use crate::event::Event;
use crate::outbox::Outbox;
use crate::tasks::Tasks;

pub use self::answers::Answers;
pub use self::dialect::Dialect;
pub use self::dialect::InvalidTemplate;
pub use self::dialect::Template;
pub use self::dialect::Unwritable;
pub use self::error::Error;
pub use self::metrics::Metrics;
pub use self::names::Names;
pub use self::preset::Preset;
pub use self::sign::Signer;

use self::health::Health;
use self::report::Report;
use self::worker::Worker;

/// A configured destination.
#[derive(Clone)]
pub struct Endpoint {
    /// Its name, as in the configuration, the outbox, logs and metrics.
    pub name: String,
    /// Where to post: scheme, host and path, with [`url`]'s placeholders. Who is connected to is the connector's
    /// business.
    pub url: Uri,
    /// Connections to it, with its trust and our identity.
    pub connector: Connector,
    /// The words it understands.
    pub dialect: Dialect,
    /// What the operator wrote instead, where the dialect is [`Dialect::Template`].
    pub template: Option<Arc<Template>>,
    /// What it calls the registry and its repositories.
    pub names: Names,
    /// Headers of the configuration. One takes the place of the dialect's of the same name; one that
    /// [`may_be_set`] does not allow is left out.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What signs each attempt, if anything does.
    pub signer: Option<Signer>,
    /// How its answers are read.
    pub answers: Answers,
    /// The deadline over a whole attempt, connecting included.
    pub timeout: Duration,
    /// The most attempts in flight, at least one.
    pub concurrency: usize,
    /// The time from the start of one attempt to the next when they come at the fastest, if that is
    /// limited.
    pub pace: Option<Duration>,
}

/// The running workers, seen from outside.
#[derive(Debug, Clone)]
pub struct Delivery {
    seen: Vec<Arc<Mutex<EndpointState>>>,
}

/// How an endpoint is, for readiness and the admin page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointState {
    /// Its name.
    pub name: String,
    /// Its URL as anyone may see it: scheme, host and first path segment.
    pub url: String,
    /// `healthy`, `failing`, `cut_off`, `recovering` or `off`.
    pub state: &'static str,
    /// Since when it is that.
    pub since: OffsetDateTime,
    /// Attempts under way.
    pub in_flight: usize,
    /// What was last wrong and when, escaped; it stays when the endpoint works again.
    pub last_error: Option<(OffsetDateTime, String)>,
}

/// Headers that belong to the connection or to the framing of the body, or that would have an
/// answer compressed, which we never read.
const OURS: [HeaderName; 11] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pushbell/", env!("CARGO_PKG_VERSION")));

/// Whether an endpoint's configuration may set a header. Those of the connection and of the body's
/// framing are ours, and so are the `webhook-…` ones, which tell one delivery from another.
#[must_use]
pub fn may_be_set(name: &HeaderName) -> bool {
    !OURS.contains(name) && !name.as_str().starts_with("webhook-")
}

impl Delivery {
    /// Starts one worker per endpoint. Each ends after `stop`: it claims nothing new, finishes the
    /// attempts in flight and records them.
    #[must_use]
    pub fn start(
        endpoints: Vec<Endpoint>,
        outbox: Outbox,
        tasks: &Tasks,
        stop: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        let start = |endpoint: Endpoint| {
            let seen = Arc::new(Mutex::new(EndpointState::of(&endpoint)));
            let report = Report::new(endpoint.name.clone(), metrics.clone(), Arc::clone(&seen));
            let worker = Worker::new(endpoint, outbox.clone(), tasks.clone(), stop.clone(), report);
            // Nobody waits for the handle: the tracker does.
            drop(tasks.spawn(worker.run()));
            seen
        };
        Self { seen: endpoints.into_iter().map(start).collect() }
    }

    /// How each endpoint is now, in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointState> {
        let read = |seen: &Arc<Mutex<EndpointState>>| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        self.seen.iter().map(read).collect()
    }
}

impl Endpoint {
    /// The request that tells the event, the same for the same arguments. Where the signer has a token file,
    /// the token is put in by [`attempt::Client::exchange`].
    ///
    /// # Errors
    ///
    /// If the dialect has no words for the event, or the URL asks for what it does not know.
    pub fn request(
        &self,
        event: &Event,
        delivery_id: &str,
        timestamp: OffsetDateTime,
    ) -> Result<Request<Bytes>, Unwritable> {
        let named = self.names.apply(event)?;
        let event = &*named;
        let payload = match &self.template {
            Some(template) => template.write(event)?,
            None => self.dialect.write(event, delivery_id)?,
        };
        let url = url::fill(&self.url, event)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, USER_AGENT);
        if let Some(content_type) = &payload.content_type {
            set(&mut headers, &header::CONTENT_TYPE, content_type);
        }
        for (name, value) in &payload.headers {
            set(&mut headers, name, value);
        }
        // What the configuration says takes the place of the dialect's, once per name.
        let configured: Vec<_> = self.headers.iter().filter(|(n, _)| may_be_set(n)).collect();
        for (place, (name, value)) in configured.iter().enumerate() {
            if configured.iter().take(place).any(|(earlier, _)| earlier == name) {
                headers.append(name, value.clone());
            } else {
                headers.insert(name, value.clone());
            }
        }
        let mut request = Request::new(Bytes::from(payload.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        match &self.signer {
            Some(signer) => signer.sign(&mut request, delivery_id, timestamp),
            None => sign::identify(&mut request, delivery_id, timestamp),
        }
        Ok(request)
    }

    /// The URL as anyone may see it: scheme, host and first path segment. The rest, and a query,
    /// may be a secret.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("https");
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let path = self.url.path().trim_start_matches('/');
        let (first, rest) = path.split_once('/').map_or((path, false), |(first, _)| (first, true));
        let hidden = match (first, rest || self.url.query().is_some()) {
            (_, false) => "",
            ("", true) => "…",
            (_, true) => "/…",
        };
        format!("{scheme}://{host}{port}/{first}{hidden}")
    }
}

/// A path, a query and a header's value may be secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("url", &self.shown_url())
            .field("dialect", &self.dialect)
            .field("names", &self.names)
            .field("headers", &headers)
            .field("signer", &self.signer)
            .field("answers", &self.answers)
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// Sets a header of ours. A value that HTTP does not allow does not come from a dialect or a signer; one
/// that did would be left out rather than stop the delivery.
fn set(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

impl EndpointState {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            name: endpoint.name.clone(),
            url: endpoint.shown_url(),
            state: Health::Healthy.as_str(),
            since: OffsetDateTime::now_utc(),
            in_flight: 0,
            last_error: None,
        }
    }
}

impl fmt::Display for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.state)?;
        match &self.last_error {
            Some((_, error)) if self.state != Health::Healthy.as_str() => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}
