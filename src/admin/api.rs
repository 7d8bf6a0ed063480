//! What operators ask and change, as JSON below `/api/v1/` (or `/_pushbell/api/v1/`), with the token.
//!
//! | request | answer |
//! |---|---|
//! | `GET events?limit=50&before=<next>` | `{"events":[…],"next":…}`, newest first; `next` is null on the last page |
//! | `GET events/<id>` | the event, its deliveries and their attempts |
//! | `GET deliveries?endpoint=&state=&since=&limit=&before=` | `{"deliveries":[…],"next":…}`; a page may be empty and still have a next |
//! | `GET deliveries/<id>` | the delivery and its attempts |
//! | `GET quarantined?limit=&before=` | `{"quarantined":[…],"next":…}`: notifications that cannot be used, 100 at most |
//! | `POST quarantined/replay` with `{"number":7}` | `{"number":7,"became":["event"]}`: a word for each report in it |
//! | `POST deliveries/replay` with `{"deliveries":["<id>",…]}` | `{"replayed":["<id>",…]}`: those that had ended and are owed again |
//!
//! The token is `Authorization: Bearer …`, compared in constant time over digests. There are no cookies and no CORS
//! headers, and what changes something has to be JSON, so that no page of another site can ask for it (rule
//! 8.7). An error is `{"error":"…"}`.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::SHA256;
use aws_lc_rs::digest::digest;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::body::Collected;
use crate::body::collect_capped;
use crate::event::EventId;
use crate::event::schema::time_of;
use crate::event::schema::time_text;
use crate::ingest::Hooks;
use crate::ingest::Replayed;
use crate::listener::Incoming;
use crate::outbox::DeliveryId;
use crate::outbox::Error;
use crate::outbox::Outbox;
use crate::outbox::Quarantined;
use crate::outbox::history::Cursor;
use crate::outbox::history::MOST_ROWS;
use crate::outbox::history::StoredAttempt;
use crate::outbox::history::StoredDelivery;
use crate::outbox::history::StoredEvent;
use crate::outbox::history::Wanted;
use crate::secret::Secret;
use crate::telemetry::chain;

use super::Body;
use super::typed;

const JSON: &str = "application/json";

const KNOWN: &str = "there is `events`, `deliveries` and `quarantined`";

/// The most notifications in quarantine on a page: each has up to 64 KiB.
const QUARANTINED: usize = 100;

/// The most of a request's body that is read, and for how long.
const BODY_LIMIT: usize = 256 * 1024;
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// The most deliveries of one replay.
pub const MOST_REPLAYED: usize = 1000;

/// How many rows a page has unless said.
const ROWS: usize = 50;

/// What operators work on, and what they have to know for it.
#[derive(Clone)]
pub struct Operated {
    /// Where events and deliveries are.
    pub outbox: Outbox,
    /// Who reads what is in quarantine again.
    pub hooks: Hooks,
    /// What they have to know.
    pub token: Secret,
}

/// An answer that is no.
struct No(StatusCode, String);

impl From<Error> for No {
    fn from(error: Error) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, chain(&error))
    }
}

impl Operated {
    /// Answers what stands behind `/api/v1/`.
    pub(super) async fn answer(&self, request: Request<Incoming>, path: &str) -> Response<Body> {
        match self.decide(request, path).await {
            Ok(value) => typed(StatusCode::OK, JSON, format!("{value}\n")),
            Err(No(status, why)) => {
                let mut response = typed(status, JSON, format!("{}\n", json!({ "error": why })));
                if status == StatusCode::UNAUTHORIZED {
                    let challenge = HeaderValue::from_static("Bearer");
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                response
            }
        }
    }

    async fn decide(&self, request: Request<Incoming>, path: &str) -> Result<Value, No> {
        if !self.knows_token(request.headers()) {
            let why = "say `Authorization: Bearer` and the token, which is in `admin.token` of the state directory";
            return Err(No(StatusCode::UNAUTHORIZED, why.to_owned()));
        }
        let query = request.uri().query().unwrap_or_default().to_owned();
        let method = request.method().clone();
        let read = matches!(method, Method::GET | Method::HEAD);
        let parts: Vec<&str> = path.split('/').collect();
        match (&parts[..], read, method == Method::POST) {
            (["events"], true, _) => self.events(&query).await,
            (["events", id], true, _) => self.event(id).await,
            (["deliveries"], true, _) => self.deliveries(&query).await,
            (["deliveries", "replay"], _, true) => self.replay(request).await,
            (["deliveries", id], true, _) => self.delivery(id).await,
            (["quarantined"], true, _) => self.quarantined(&query).await,
            (["quarantined", "replay"], _, true) => self.replay_quarantined(request).await,
            (["events" | "deliveries" | "quarantined"], ..)
            | (["events" | "deliveries", _] | ["quarantined", "replay"], ..) => {
                Err(No(StatusCode::METHOD_NOT_ALLOWED, "that is not done so".to_owned()))
            }
            _ => Err(No(StatusCode::NOT_FOUND, KNOWN.to_owned())),
        }
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
        // Digests have one length, so the time taken says nothing (rule I6).
        let (given, expected) = (digest(&SHA256, given), digest(&SHA256, self.token.expose()));
        verify_slices_are_equal(given.as_ref(), expected.as_ref()).is_ok()
    }

    async fn events(&self, query: &str) -> Result<Value, No> {
        let mut asked = Asked::of(query, &["limit", "before"])?;
        let before = asked.number("before")?;
        let page = self.outbox.events(before, asked.limit()?).await?;
        let events: Vec<Value> = page.rows.iter().map(event_json).collect();
        Ok(json!({ "events": events, "next": page.next }))
    }

    async fn event(&self, id: &str) -> Result<Value, No> {
        let id: EventId = id.parse().map_err(|_| bad("this is no event's id"))?;
        let event = self.outbox.event(id).await?.ok_or_else(|| unknown("event"))?;
        let wanted = Wanted { event: Some(id), limit: MOST_ROWS, ..Wanted::default() };
        let mut deliveries = Vec::new();
        for delivery in self.outbox.deliveries(wanted).await?.rows {
            deliveries.push(self.with_attempts(&delivery).await?);
        }
        let mut value = event_json(&event);
        value["deliveries"] = json!(deliveries);
        Ok(value)
    }

    async fn deliveries(&self, query: &str) -> Result<Value, No> {
        let known = ["limit", "before", "endpoint", "state", "since"];
        let mut asked = Asked::of(query, &known)?;
        let since = asked.take("since").map(|text| {
            time_of(&text).ok_or_else(|| bad("`since` must be a time such as 2026-03-01T09:15:00Z"))
        });
        let before = asked.take("before").map(|text| {
            cursor(&text).ok_or_else(|| bad("`before` must be the `next` of another page"))
        });
        let wanted = Wanted {
            endpoint: asked.take("endpoint"),
            state: asked.take("state"),
            since: since.transpose()?,
            before: before.transpose()?,
            event: None,
            limit: asked.limit()?,
        };
        let states = ["waiting", "ready", "later", "acked", "replaced", "dead"];
        if wanted.state.as_ref().is_some_and(|state| !states.contains(&state.as_str())) {
            return Err(bad("`state` must be waiting, ready, later, acked, replaced or dead"));
        }
        let page = self.outbox.deliveries(wanted).await?;
        let deliveries: Vec<Value> = page.rows.iter().map(delivery_json).collect();
        let next = page.next.map(|Cursor(event, endpoint)| format!("{event}.{endpoint}"));
        Ok(json!({ "deliveries": deliveries, "next": next }))
    }

    async fn delivery(&self, id: &str) -> Result<Value, No> {
        let id: DeliveryId = id.parse().map_err(|_| bad("this is no delivery's id"))?;
        let wanted = Wanted { event: Some(id.event()), limit: MOST_ROWS, ..Wanted::default() };
        let found = self.outbox.deliveries(wanted).await?.rows.into_iter().find(|row| row.id == id);
        self.with_attempts(&found.ok_or_else(|| unknown("delivery"))?).await
    }

    async fn with_attempts(&self, delivery: &StoredDelivery) -> Result<Value, No> {
        let attempts = self.outbox.attempts(delivery.id).await?;
        let mut value = delivery_json(delivery);
        value["history"] = attempts.iter().map(attempt_json).collect();
        Ok(value)
    }

    async fn quarantined(&self, query: &str) -> Result<Value, No> {
        let mut asked = Asked::of(query, &["limit", "before"])?;
        let before = asked.number("before")?.map(|before| u64::try_from(before).unwrap_or(0));
        let limit = asked.limit()?.min(QUARANTINED);
        let rows = self.outbox.quarantined(before, limit).await?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|last| last.number);
        let rows: Vec<Value> = rows.iter().map(quarantined_json).collect();
        Ok(json!({ "quarantined": rows, "next": next }))
    }

    async fn replay_quarantined(&self, request: Request<Incoming>) -> Result<Value, No> {
        let number = body_of(request).await?;
        let expected = || bad("the body has to be {\"number\":<a number in quarantine>}");
        let number = number.and_then(|body| body["number"].as_u64()).ok_or_else(expected)?;
        match self.hooks.replay(number).await? {
            Replayed::Unknown => Err(unknown("notification in quarantine")),
            Replayed::Useless(why) => {
                let why = format!("it still cannot be used, and stays: {why}");
                Err(No(StatusCode::UNPROCESSABLE_ENTITY, why))
            }
            Replayed::Became(became) => {
                tracing::info!(number, "An operator replays a notification from quarantine");
                Ok(json!({ "number": number, "became": became }))
            }
        }
    }

    async fn replay(&self, request: Request<Incoming>) -> Result<Value, No> {
        let expected = "the body has to be {\"deliveries\":[\"<id>\",…]}, up to 1000";
        let body = body_of(request).await?.ok_or_else(|| bad(expected))?;
        let ids = body["deliveries"].as_array().filter(|ids| ids.len() <= MOST_REPLAYED);
        let ids = ids.ok_or_else(|| bad(expected))?.iter();
        let ids: Option<Vec<DeliveryId>> = ids.map(|id| id.as_str()?.parse().ok()).collect();
        let replayed = self.outbox.replay(ids.ok_or_else(|| bad(expected))?).await?;
        tracing::info!(deliveries = replayed.len(), "An operator replays deliveries");
        let replayed: Vec<String> = replayed.iter().map(ToString::to_string).collect();
        Ok(json!({ "replayed": replayed }))
    }
}

/// What a request says; nothing where that is no JSON.
async fn body_of(request: Request<Incoming>) -> Result<Option<Value>, No> {
    let media = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if media.is_none_or(|media| !media.starts_with(JSON.as_bytes())) {
        let why = "the body has to be application/json".to_owned();
        return Err(No(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let read = timeout(BODY_PATIENCE, collect_capped(request.into_body(), BODY_LIMIT)).await;
    let Ok(Ok(Collected::Whole(body))) = read else {
        return Err(bad("the body is too large, or did not come"));
    };
    Ok(serde_json::from_slice(&body).ok())
}

fn bad(why: &str) -> No {
    No(StatusCode::BAD_REQUEST, why.to_owned())
}

fn unknown(what: &str) -> No {
    No(StatusCode::NOT_FOUND, format!("there is no such {what}"))
}

fn cursor(text: &str) -> Option<Cursor> {
    let (event, endpoint) = text.split_once('.')?;
    Some(Cursor(event.parse().ok()?, endpoint.parse().ok()?))
}

/// What a query asks for; each name once.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn of(query: &str, known: &[&str]) -> Result<Self, No> {
        let mut asked = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                return Err(bad(&format!("there is {}", known.join(", "))));
            }
            // Names of endpoints, states, times and numbers: of escapes, only the colon's is usual.
            asked.push((name.to_owned(), value.replace("%3A", ":").replace("%3a", ":")));
        }
        Ok(Self(asked))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, value)| known == name && !value.is_empty())?;
        Some(self.0.swap_remove(place).1)
    }

    fn number(&mut self, name: &str) -> Result<Option<i64>, No> {
        let number = self.take(name).map(|text| text.parse());
        number.transpose().map_err(|_| bad(&format!("`{name}` must be a number")))
    }

    fn limit(&mut self) -> Result<usize, No> {
        let limit = self.number("limit")?;
        Ok(limit.map_or(ROWS, |limit| usize::try_from(limit).unwrap_or(1)).clamp(1, MOST_ROWS))
    }
}

fn time(moment: OffsetDateTime) -> Value {
    json!(time_text(moment))
}

/// The stored text is JSON of ours; one that a hand has damaged shows as text.
fn stored(envelope: &str) -> Value {
    serde_json::from_str(envelope).unwrap_or_else(|_| json!(envelope))
}

fn event_json(event: &StoredEvent) -> Value {
    json!({
        "sequence": event.sequence, "appended_at": time(event.appended_at),
        "event": stored(&event.envelope),
    })
}

fn quarantined_json(quarantined: &Quarantined) -> Value {
    json!({
        "number": quarantined.number, "source": quarantined.source,
        "received_at": time(quarantined.received), "reason": quarantined.reason,
        "body": String::from_utf8_lossy(&quarantined.bytes),
    })
}

fn delivery_json(delivery: &StoredDelivery) -> Value {
    let event = stored(&delivery.envelope);
    json!({
        "id": delivery.id.to_string(), "endpoint": delivery.endpoint,
        "event": delivery.id.event().to_string(), "type": event["type"], "subject": event["subject"],
        "state": delivery.state, "attempts": delivery.attempts, "owed_since": time(delivery.owed_since),
        "due_at": delivery.due_at.map(time), "ended_at": delivery.ended_at.map(time),
        "reason": delivery.reason,
    })
}

fn attempt_json(attempt: &StoredAttempt) -> Value {
    json!({
        "attempt": attempt.number, "started_at": time(attempt.started_at),
        "ended_at": time(attempt.ended_at), "class": attempt.class, "status": attempt.status,
        "detail": attempt.detail,
    })
}
