//! The listener for notifications: who speaks, what was said, kept before it is answered (delivery-guarantees 8.5).
//!
//! | answer | when |
//! |---|---|
//! | 200 | it is durable: taken, known already, or, if it cannot be used, in quarantine (rule I4) |
//! | 401 | a credential is missing or wrong |
//! | 404 | there is no such source |
//! | 405 | it is no `POST` |
//! | 408 | its body did not come in time |
//! | 413 | it is larger than 1 MiB |
//! | 415 | its body is coded, and could be a bomb |
//! | 503 | the outbox cannot take it: the sender keeps it |

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::service::Service;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;
use tracing::info;
use tracing::warn;

use crate::body::BoxError;
use crate::body::Collected;
use crate::event::Action;
use crate::event::filter::Patterns;
use crate::listener::Incoming;
use crate::listener::Peer;
use crate::listener::Refusal;
use crate::listener::Serve;
use crate::listener::Words;
use crate::outbox::Error;
use crate::outbox::Noted;
use crate::outbox::Notice;
use crate::outbox::Outbox;
use crate::outbox::QUARANTINED_BYTES;
use crate::outbox::Quarantined;
use crate::outbox::State;
use crate::registry::Layout;
use crate::telemetry::chain;
use crate::telemetry::printable;

use super::Context;
use super::Detected;
use super::Kind;
use super::MAX_BYTES;
use super::Metrics;
use super::Notified;
use super::Parsed;
use super::Wanted;
use super::auth;
use super::auth::Credential;
use super::auth::Presented;
use super::auth::Refused;
use super::auth::Scheme;
use super::keeper::tell;
use super::read;

/// What the listener for notifications needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who may speak.
    pub sources: Vec<Source>,
    /// The registry a source speaks for where nothing else is known of it.
    pub registry: String,
    /// The name we look under: a pull by it is our own echo (rule S6).
    pub echo: &'static str,
    /// How the registry's paths name repositories.
    pub layout: Layout,
}

/// Somebody who tells us of events.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, in its path, in events and in metrics.
    pub name: String,
    /// How it speaks.
    pub kind: Wanted,
    /// What it must show, all of it; nothing, where the operator insisted.
    pub credentials: Vec<Credential>,
    /// The registry it speaks for, whatever it says itself; the kind's, or ours, where nothing is told.
    pub registry: Option<String>,
    /// The repositories it may speak for (rule I2).
    pub repositories: Patterns,
}

/// The service of the listener.
#[derive(Debug, Clone)]
pub struct Hooks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: BTreeMap<String, Known>,
    registry: String,
    echo: &'static str,
    layout: Layout,
    /// How many large bodies may be in memory at once.
    bodies: Semaphore,
    /// How many pages all others may fill.
    pages: Semaphore,
    outbox: Outbox,
    metrics: Metrics,
}

/// A source, and what was odd of late.
#[derive(Debug)]
struct Known {
    source: Source,
    /// The kinds that were found out, each said once.
    found: Mutex<BTreeSet<Kind>>,
    refused: Mutex<Option<(Instant, String)>>,
    quarantined: Mutex<Option<(Instant, String)>>,
}

/// What became of a notification that was in quarantine.
#[derive(Debug)]
pub enum Replayed {
    /// It is not there.
    Unknown,
    /// It still cannot be used, for this reason.
    Useless(String),
    /// A word for each report in it.
    Became(Vec<&'static str>),
}

/// Our own answers are small and whole.
pub type Body = Full<Bytes>;

/// Where notifications go: this, the source's name, and the token where it has one.
pub const PATH: &str = "/_pushbell/hooks/";

const TEXT: &str = "text/plain; charset=utf-8";

/// How many large bodies are in memory at once: 64 MiB of them.
const BODIES: usize = 64;

/// The most bytes of a body that is not large, as nearly all are: these share 64 MiB, by the page that they fill.
const SMALL: usize = 64 << 10;
const PAGE: usize = 1 << 10;
const PAGES: usize = 64 << 10;

/// How long a body may take.
const BODY: Duration = Duration::from_secs(30);

/// How long a sender that is told to come again should wait, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("5");

/// How long something odd is shown to who asks whether we are well.
const SHOWN: Duration = Duration::from_secs(600);

/// How much of a peer's words the log keeps (delivery-guarantees 8.9).
const WORDS: usize = 256;

/// What a request gets, and the word for it in metrics.
struct Answer(StatusCode, &'static str, &'static str);

const TAKEN: Answer = Answer(StatusCode::OK, "taken", "taken\n");
const KEPT: Answer = Answer(
    StatusCode::OK,
    "quarantined",
    "kept, but it cannot be used: see the log, or `pushbell events list --quarantined`\n",
);
const UNAUTHORIZED: Answer =
    Answer(StatusCode::UNAUTHORIZED, "unauthorized", "this is not the sender we know\n");
const METHOD: Answer = Answer(StatusCode::METHOD_NOT_ALLOWED, "method", "only POST\n");
const LATE: Answer = Answer(StatusCode::REQUEST_TIMEOUT, "late", "the body did not come in time\n");
const BROKEN: Answer = Answer(StatusCode::BAD_REQUEST, "broken", "the body broke off\n");
const LARGE: Answer =
    Answer(StatusCode::PAYLOAD_TOO_LARGE, "large", "a notification has 1 MiB at most\n");
const CODED: Answer = Answer(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "coded",
    "send the body as it is, without Content-Encoding\n",
);
const UNABLE: Answer =
    Answer(StatusCode::SERVICE_UNAVAILABLE, "unable", "it cannot be kept now, send it again\n");

impl Hooks {
    /// From what the composition root hands over.
    #[must_use]
    pub fn new(config: Config, outbox: Outbox, metrics: Metrics) -> Self {
        let known = |source: Source| {
            let (found, refused, quarantined) = Default::default();
            (source.name.clone(), Known { source, found, refused, quarantined })
        };
        let sources = config.sources.into_iter().map(known).collect();
        let (bodies, pages) = (Semaphore::new(BODIES), Semaphore::new(PAGES));
        let Config { registry, echo, layout, .. } = config;
        Self(Arc::new(Inner { sources, registry, echo, layout, bodies, pages, outbox, metrics }))
    }

    /// What was odd in the last ten minutes, a sentence for each source.
    #[must_use]
    pub fn oddities(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (name, known) in &self.0.sources {
            for (place, what) in [
                (&known.refused, "refused, for it did not show who it is"),
                (&known.quarantined, "kept in quarantine"),
            ] {
                let place = place.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, why)) = place.as_ref().filter(|(at, _)| at.elapsed() < SHOWN) {
                    all.push(format!("a notification of {name} was {what}: {why}"));
                }
            }
        }
        all
    }
}

impl Hooks {
    /// Reads one in quarantine again, as the configuration is now, and takes it up where it can be used; its headers
    /// were not kept. One that cannot be used stays.
    ///
    /// # Errors
    ///
    /// If the outbox cannot be read or written.
    pub async fn replay(&self, number: u64) -> Result<Replayed, Error> {
        self.0.replay(number).await
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let path = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
        let (name, token) = match path.split_once('/') {
            Some((name, token)) => (name, Some(token)),
            None => (path.as_str(), None),
        };
        let Some(known) = self.sources.get(name) else {
            return response(StatusCode::NOT_FOUND, "there is no such source\n");
        };
        let Answer(status, word, text) = self.take(known, token, request).await;
        self.metrics.answered(name, word, started.elapsed());
        let mut response = response(status, text);
        let headers = response.headers_mut();
        match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, AGAIN);
            }
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer realm=\"pushbell\"");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            _ => {}
        }
        response
    }

    async fn take(&self, known: &Known, token: Option<&str>, request: Request<Incoming>) -> Answer {
        let received = OffsetDateTime::now_utc();
        let (head, body) = request.into_parts();
        let presented =
            Presented { headers: &head.headers, path_token: token, body: &[], now: received };
        // Whoever cannot show what needs no body does not get to send one.
        let credentials = &known.source.credentials;
        let (signed, shown): (Vec<Credential>, Vec<Credential>) =
            credentials.iter().cloned().partition(is_over_the_body);
        if let Err(refused) = auth::verify(&shown, &presented) {
            return known.refuse(&refused);
        }
        if head.method != Method::POST {
            return METHOD;
        }
        let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if !head.headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
            return CODED;
        }
        if body.size_hint().lower() > MAX_BYTES as u64 {
            return LARGE;
        }
        if let State::Failed(_) = self.outbox.state() {
            return UNABLE;
        }
        let bytes = match timeout(BODY, self.body(body)).await {
            Ok(Ok(Collected::Whole(bytes))) => bytes,
            Ok(Ok(Collected::Cut(_))) => return LARGE,
            Ok(Err(_)) => return BROKEN,
            Err(_) => return LATE,
        };
        if let Err(refused) = auth::verify(&signed, &Presented { body: &bytes, ..presented }) {
            return known.refuse(&refused);
        }
        match self.read(known, &head.headers, &bytes, received) {
            Ok(parsed) => self.note(known, parsed, &bytes, received).await,
            Err(error) => self.quarantine(known, error.to_string(), &bytes, received).await,
        }
    }

    /// Reads what was said.
    fn read(
        &self,
        known: &Known,
        headers: &HeaderMap,
        bytes: &[u8],
        received: OffsetDateTime,
    ) -> Result<Parsed, super::Error> {
        let source = &known.source;
        let kind = known.found(source.kind.find(headers, bytes)?);
        let registry = source.registry.as_deref().or(kind.registry());
        let context = Context {
            source: Some(&source.name),
            registry: Some(registry.unwrap_or(&self.registry)),
            layout: &self.layout,
            received,
        };
        read(kind, headers, bytes, &context)
    }

    /// Reads a body. It takes room as it grows: whoever sends a byte now and then keeps nobody out.
    async fn body(&self, mut body: Incoming) -> Result<Collected, BoxError> {
        let mut read = BytesMut::new();
        let mut pages = self.pages.acquire_many(0).await?;
        let mut large = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let length = read.len().saturating_add(data.len());
            if length > MAX_BYTES {
                return Ok(Collected::Cut(read.freeze()));
            }
            if length <= SMALL {
                let more = length.div_ceil(PAGE).saturating_sub(pages.num_permits());
                pages.merge(self.pages.acquire_many(u32::try_from(more)?).await?);
            } else if large.is_none() {
                large = Some(self.bodies.acquire().await?);
                pages = self.pages.acquire_many(0).await?;
            }
            read.extend_from_slice(&data);
        }
        Ok(Collected::Whole(read.freeze()))
    }

    /// Keeps what was said, as far as it may be said.
    async fn note(
        &self,
        known: &Known,
        parsed: Parsed,
        bytes: &Bytes,
        received: OffsetDateTime,
    ) -> Answer {
        let source = &known.source;
        let (notices, foreign) = self.usable(known, parsed, received);
        if let Some(reason) = foreign {
            let kept = self.quarantine(known, reason, bytes, received).await;
            if notices.is_empty() || kept.0 != StatusCode::OK {
                return kept;
            }
        }
        if notices.is_empty() {
            return TAKEN;
        }
        match self.outbox.note(notices).await {
            Ok(all) => {
                self.became(known, all);
                TAKEN
            }
            Err(error) => {
                warn!(
                    error = chain(&error),
                    source = source.name,
                    "A notification could not be kept; its sender keeps it"
                );
                UNABLE
            }
        }
    }

    /// What the source may say of what it says, and why it may not say the rest.
    fn usable(
        &self,
        known: &Known,
        parsed: Parsed,
        received: OffsetDateTime,
    ) -> (Vec<Notice>, Option<String>) {
        let source = &known.source;
        for warning in &parsed.warnings {
            debug!(source = source.name, warning, "Something in a notification was odd");
        }
        for skipped in &parsed.skipped {
            debug!(source = source.name, skipped, "Something in a notification makes no event");
        }
        let mut notices = Vec::new();
        let mut foreign = None;
        for Notified { event, .. } in parsed.events {
            let agent = event.request.user_agent.as_deref();
            if event.action == Action::Pull && agent == Some(self.echo) {
                continue;
            }
            if !source.repositories.allow(event.repository.as_str()) {
                foreign = Some(format!("it may not speak for `{}`", event.repository));
                continue;
            }
            notices.push(Notice { source: source.name.clone(), event, received });
        }
        (notices, foreign)
    }

    /// Counts what became of reports, and tells of events; yields the words for it.
    fn became(&self, known: &Known, all: Vec<Noted>) -> Vec<&'static str> {
        let source = &known.source.name;
        let told = |noted: Noted| {
            let word = became(&noted);
            self.metrics.reported(source, word);
            if let Noted::Appended(appended) = noted {
                tell(source, &appended);
            }
            word
        };
        all.into_iter().map(told).collect()
    }

    async fn replay(&self, number: u64) -> Result<Replayed, Error> {
        let found = self.outbox.quarantined(number.checked_add(1), 1).await?.pop();
        let Some(Quarantined { source, received, bytes, .. }) =
            found.filter(|found| found.number == number)
        else {
            return Ok(Replayed::Unknown);
        };
        let Some(known) = self.sources.get(&source) else {
            return Ok(Replayed::Useless(format!("there is no source `{source}` any more")));
        };
        // The headers were not kept: they hold credentials.
        let parsed = match self.read(known, &HeaderMap::new(), &bytes, received) {
            Ok(parsed) => parsed,
            Err(error) if bytes.len() < QUARANTINED_BYTES => {
                return Ok(Replayed::Useless(error.to_string()));
            }
            Err(error) => {
                let why = format!("{error} (only its first 64 KiB were kept)");
                return Ok(Replayed::Useless(why));
            }
        };
        let (notices, foreign) = self.usable(known, parsed, received);
        if let Some(reason) = foreign {
            return Ok(Replayed::Useless(reason));
        }
        let noted = self.outbox.discharge(number, notices).await?;
        Ok(Replayed::Became(self.became(known, noted)))
    }

    async fn quarantine(
        &self,
        known: &Known,
        reason: String,
        bytes: &Bytes,
        received: OffsetDateTime,
    ) -> Answer {
        let source = known.source.name.clone();
        let reason = printable(&reason, WORDS);
        if known.is_news(&known.quarantined, reason.clone()) {
            warn!(source, reason, "A notification cannot be used; it is kept in quarantine");
        }
        let cut = bytes.get(..QUARANTINED_BYTES).unwrap_or(bytes).to_vec();
        let quarantined = Quarantined { number: 0, source, received, reason, bytes: cut };
        match self.outbox.quarantine(quarantined).await {
            Ok(()) => KEPT,
            Err(error) => {
                info!(error = chain(&error), "A notification could not be put in quarantine");
                UNABLE
            }
        }
    }
}

impl Known {
    /// The kind; said in the log when it was found out for the first time.
    fn found(&self, found: Detected) -> Kind {
        let Detected { kind, by } = found;
        if self.source.kind == Wanted::Auto {
            let mut said = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            if said.insert(kind) {
                let source = &self.source.name;
                info!(source, %kind, by, "A notification of this source was found to be of a kind");
            }
        }
        kind
    }

    fn refuse(&self, refused: &Refused) -> Answer {
        // A sender that has the wrong secret repeats itself: once in ten minutes is enough.
        if self.is_news(&self.refused, refused.to_string()) {
            let source = &self.source.name;
            warn!(source, reason = %refused, "A notification is not from the sender we know");
        }
        UNAUTHORIZED
    }

    /// Notes that something odd has happened; says whether it is the first time in a while.
    fn is_news(&self, place: &Mutex<Option<(Instant, String)>>, why: String) -> bool {
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let said = place.as_ref().filter(|(at, before)| at.elapsed() < SHOWN && *before == why);
        let news = said.is_none();
        if news {
            *place = Some((Instant::now(), why));
        }
        news
    }
}

impl Serve for Hooks {
    type Connection = Self;
    type Body = Body;

    fn connection(&self, _peer: Peer) -> Self {
        self.clone()
    }

    fn refusal(&self) -> Refusal {
        refused
    }
}

impl Service<Request<Incoming>> for Hooks {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

/// Whether what a sender shows is computed from its body.
fn is_over_the_body(credential: &Credential) -> bool {
    matches!(credential.scheme(), Scheme::Signature | Scheme::StandardWebhooks)
}

/// The word for what became of a report.
pub(super) fn became(noted: &Noted) -> &'static str {
    match noted {
        Noted::Repeated => "repeated",
        Noted::Linked => "linked",
        Noted::Held => "held",
        Noted::Appended(_) => "event",
        Noted::Dropped => "dropped",
    }
}

fn refused(status: StatusCode) -> Words {
    let body = format!("{}\n", status.canonical_reason().unwrap_or("Refused")).into();
    Words { media: TEXT, body }
}

fn response(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
