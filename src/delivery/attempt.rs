//! One exchange with an endpoint: a POST, one deadline over all of it, an answer that cannot hurt us.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::header::RETRY_AFTER;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::body;
use crate::telemetry::chain;

use super::Endpoint;
use super::Error;
use super::Signer;
use super::answers::Answers;
use super::answers::Meaning;
use super::answers::Reading;
use super::retry;
use super::retry::Verdict;
use super::sign::TokenFile;
use super::sign::Unsigned;
use super::wire::Dial;
use super::wire::Served;

/// The most of status line and headers that is read.
pub(super) const HEAD_LIMIT: usize = 32 * 1024;

/// The most of a body that is read. A body that ends before leaves its connection usable; a longer
/// one costs the connection.
const BODY_LIMIT: usize = 64 * 1024;

/// How long we read the body of an answer that says all by its head: the event was taken, and the
/// next of its lane need not wait for words.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// How far a receiver may run ahead of what we read over HTTP/2, in one answer and in all of a
/// connection: the protocol's own bounds for memory that a stranger fills.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// The most of a body that is kept, for whoever asks what the receiver said.
const KEPT_LIMIT: usize = 4 * 1024;

/// How long a connection without work is kept. Shorter than what most servers and middleboxes do,
/// so that it is rarely they who end it.
const IDLE: Duration = Duration::from_secs(30);

/// How often, and for how long, an HTTP/2 connection is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The exchanges of one endpoint. Its idle connections are kept and used again: those of one
/// endpoint never serve another, which may have another trust or identity.
#[derive(Debug, Clone)]
pub struct Client {
    client: legacy::Client<Dial, Full<Bytes>>,
    timeout: Duration,
    token: Option<TokenFile>,
}

/// What a receiver said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its verdict, in numbers.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The first 4 KiB of its body, as they came; escape them before anyone sees them.
    pub body: Bytes,
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What comes of it.
    pub verdict: Verdict,
    /// What it means at the receiver.
    pub meaning: Meaning,
    /// The status, where there was an answer.
    pub status: Option<StatusCode>,
    /// What happened, in words fit for a log: escaped, at most 4 KiB and a little.
    pub detail: String,
    /// How long the receiver asks to be left alone, cut to what we honour.
    pub retry_after: Option<Duration>,
}

impl Client {
    /// A client for one endpoint, without a connection yet.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(endpoint.concurrency)
            .http1_max_buf_size(HEAD_LIMIT)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build(Dial::new(endpoint.connector.clone()));
        let token = endpoint.signer.as_ref().and_then(Signer::token_file).cloned();
        Self { client, timeout: endpoint.timeout, token }
    }

    /// Sends the request, exactly these bytes, and reads what of the answer we want. Redirects are
    /// answers, not followed.
    ///
    /// # Errors
    ///
    /// If no head of an answer came, or there was nothing to sign with. A head that came counts, whatever
    /// became of its body.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it closes its connection or resets its stream; the receiver may have got the request.
    pub async fn exchange(&self, request: Request<Bytes>) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.timeout;
        let late = |_| Error::Deadline { timeout: self.timeout };
        let request = timeout_at(deadline, self.authorized(request)).await.map_err(late)??;
        let response = timeout_at(deadline, self.send(request)).await.map_err(late)??;
        let (head, body) = response.into_parts();
        let patience = Instant::now() + BODY_PATIENCE;
        let until = if head.status.is_success() { deadline.min(patience) } else { deadline };
        let read = timeout_at(until, body::collect_capped(body, BODY_LIMIT)).await;
        let mut body = match read {
            Ok(Ok(collected)) => collected.into_bytes(),
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        // A copy, or the little that is kept would hold the whole in memory.
        body = Bytes::copy_from_slice(body.get(..KEPT_LIMIT).unwrap_or(&body));
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// The request as it is sent, with the token that is there now. One that could not be signed is not sent.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`].
    pub async fn authorized(&self, mut request: Request<Bytes>) -> Result<Request<Bytes>, Error> {
        if let Some(Unsigned(reason)) = request.extensions_mut().remove::<Unsigned>() {
            return Err(Error::Credentials { reason: reason.to_owned() });
        }
        if let Some(token) = &self.token {
            let value = token.authorization(OffsetDateTime::now_utc()).await;
            let value = value.map_err(|error| Error::Credentials { reason: chain(&error) })?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// A connection that has served before may have been given up by the other side while our
    /// request was under way to it. That says nothing about the endpoint, and the request carries an
    /// id that makes sending it twice harmless, so there is a second try at once.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Incoming>, Error> {
        let again = request.clone();
        match self.send_once(request).await {
            Err(error) if was_stale(&error) => self.send_once(again).await,
            other => other,
        }
        .map_err(|error| Error::of(&error))
    }

    async fn send_once(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let response = self.client.request(request.map(Full::new)).await?;
        if let Some(served) = response.extensions().get::<Served>() {
            served.note();
        }
        Ok(response)
    }
}

/// Whether a connection that had served before broke.
fn was_stale(error: &legacy::Error) -> bool {
    let mut extensions = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    let served = extensions.get::<Served>().is_some_and(Served::has);
    served && matches!(Error::of(error), Error::Broken { .. })
}

impl Ended {
    /// What an exchange with such a receiver that ended at `now` came to.
    #[must_use]
    pub fn of(exchange: &Result<Answer, Error>, answers: Answers, now: OffsetDateTime) -> Self {
        match exchange {
            Err(error) => Self {
                verdict: if error.is_of_proxy() { Verdict::NoWay } else { Verdict::Unavailable },
                meaning: Meaning::Transient,
                status: None,
                detail: error.words(),
                retry_after: None,
            },
            Ok(answer) => {
                let reading = answers.read(answer.status, &answer.body);
                let retry_after = answer.headers.get(RETRY_AFTER);
                Self {
                    verdict: reading.verdict,
                    meaning: reading.meaning,
                    status: Some(answer.status),
                    detail: answer.words(reading),
                    retry_after: retry_after.and_then(|value| retry::retry_after(value, now)),
                }
            }
        }
    }
}

impl Answer {
    /// The status, what it means for us where that is not plain, and what the receiver said.
    #[must_use]
    pub fn words(&self, reading: Reading) -> String {
        let mut words = format!("answered {}", self.status.as_u16());
        if let Some(reason) = self.status.canonical_reason() {
            words.push(' ');
            words.push_str(reason);
        }
        let Reading { meaning, why, .. } = reading;
        match (meaning.is_plain(), why) {
            (true, "") => {}
            (true, why) => words.push_str(&format!(" ({why})")),
            (false, why) => {
                let meaning = meaning.as_str().replace('-', " ");
                words.push_str(&format!(" ({meaning}: {why})"));
            }
        }
        let said = escaped(self.body.trim_ascii(), KEPT_LIMIT);
        if !said.is_empty() {
            words.push_str(": ");
            words.push_str(&said);
        }
        words
    }
}

/// Bytes of a peer as text on one line: what is no text is replaced, what could move a cursor, break
/// a line or turn the direction of writing is escaped, and the whole is cut at `limit` bytes.
#[must_use]
pub fn escaped(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        let before = text.len();
        let format = matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || format {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        if text.len() > limit {
            text.truncate(before);
            text.push('…');
            break;
        }
    }
    text
}
