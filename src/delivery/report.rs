//! What an operator sees of one endpoint: a line per attempt, a line per change, metrics, readiness.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use time::OffsetDateTime;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::event::schema::time_text;
use crate::outbox::AttemptOutcome;
use crate::outbox::Claim;
use crate::outbox::Class;
use crate::outbox::DeadReason;
use crate::outbox::Next;
use crate::registry::Digest;
use crate::registry::Tag;

use super::EndpointState;
use super::Metrics;
use super::answers::Meaning;
use super::attempt::escaped;
use super::health::Health;
use super::health::Turn;
use super::retry::Verdict;

/// Says what happens at one endpoint.
pub(super) struct Report {
    endpoint: String,
    metrics: Metrics,
    seen: Arc<Mutex<EndpointState>>,
}

/// The most of what a receiver said that goes into a log line.
const LOGGED: usize = 256;

impl Report {
    pub(super) fn new(endpoint: String, metrics: Metrics, seen: Arc<Mutex<EndpointState>>) -> Self {
        metrics.state(&endpoint, &Health::Healthy);
        Self { endpoint, metrics, seen }
    }

    /// Counts an event for which the dialect has no words.
    pub(super) fn unwritable(&self) {
        self.metrics.unwritable(&self.endpoint);
    }

    /// Counts a dead letter that no attempt made.
    pub(super) fn gave_up(&self, reason: DeadReason) {
        self.metrics.dead(&self.endpoint, reason.as_str());
    }

    /// Counts an attempt that ended.
    pub(super) fn count(
        &self,
        claim: &Claim,
        end: &AttemptOutcome,
        (verdict, meaning): (Verdict, Meaning),
        took: Duration,
    ) {
        let endpoint = &self.endpoint;
        // Nobody answered: the endpoint was not asked.
        if verdict != Verdict::NoWay {
            self.metrics.answered(endpoint, meaning);
        }
        self.metrics.attempt_ended(endpoint, verdict.outcome(), took);
        match &end.next {
            Next::Acked => {
                let lag = Duration::try_from(end.ended_at - claim.owed_since).unwrap_or_default();
                self.metrics.acked(endpoint, lag);
            }
            Next::Dead(reason) => self.metrics.dead(endpoint, reason.as_str()),
            Next::Due(_) => {}
        }
    }

    /// The one line that every attempt has; without a meaning, nothing was sent.
    pub(super) fn log(&self, claim: &Claim, end: &AttemptOutcome, meaning: Option<Meaning>) {
        let (outcome, due, dead) = match &end.next {
            Next::Acked => ("taken", None, None),
            Next::Due(due) => ("retry", Some(time_text(*due)), None),
            Next::Dead(reason) => ("dead", None, Some(reason.as_str())),
        };
        let plain = end.class == Class::Taken && meaning.is_none_or(Meaning::is_plain);
        let reason = (!plain).then(|| short(&end.detail));
        let took = (end.ended_at - end.started_at).whole_milliseconds();
        info!(
            endpoint = self.endpoint,
            event.id = %claim.event.id,
            delivery = %end.delivery,
            repository = claim.event.repository.as_str(),
            tag = claim.event.tag.as_ref().map(Tag::as_str),
            digest = claim.event.digest.as_ref().map(Digest::as_str),
            attempt = end.attempt,
            outcome,
            meaning = meaning.map(Meaning::as_str),
            status = end.status,
            took_ms = i64::try_from(took).unwrap_or(i64::MAX),
            next = due,
            dead,
            reason,
            "Attempt ended"
        );
        if meaning == Some(Meaning::NothingMatched) {
            warn!(
                endpoint = self.endpoint,
                event.id = %claim.event.id,
                reason = short(&end.detail),
                "Nothing at the receiver waits for this event"
            );
        }
        if let Some(dead) = dead {
            warn!(
                endpoint = self.endpoint,
                event.id = %claim.event.id,
                delivery = %end.delivery,
                dead,
                reason = short(&end.detail),
                "Gave up a delivery, it is kept for replay"
            );
        }
    }

    /// The one line that every change of an endpoint's state has.
    pub(super) fn log_turn(&self, turn: Turn, verdict: Verdict, detail: &str) {
        let endpoint = &self.endpoint;
        let reason = short(detail);
        match turn {
            Turn::None => {}
            Turn::Answers => info!(endpoint, "Endpoint answers again"),
            Turn::Off => {
                error!(endpoint, reason, "Endpoint has switched itself off, its events stay owed");
            }
            // Likely our settings: it will not mend itself.
            Turn::Failing if verdict == Verdict::Misdirected => {
                error!(
                    endpoint,
                    reason, "Endpoint does not accept us, its settings are likely wrong"
                );
            }
            Turn::Failing => warn!(endpoint, reason, "Endpoint is failing, its events wait"),
            Turn::CutOff => {
                warn!(endpoint, reason, "The proxy of the endpoint is failing, its events wait");
            }
        }
    }

    /// Keeps what went wrong last, for readiness.
    pub(super) fn note(&self, now: OffsetDateTime, detail: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last_error = Some((now, short(detail)));
    }

    /// Shows the state to whoever looks from outside.
    pub(super) fn show(&self, health: &Health, in_flight: usize) {
        self.metrics.in_flight(&self.endpoint, in_flight);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.in_flight = in_flight;
        if seen.state != health.as_str() {
            seen.state = health.as_str();
            seen.since = OffsetDateTime::now_utc();
            self.metrics.state(&self.endpoint, health);
        }
    }
}

fn short(detail: &str) -> String {
    escaped(detail.as_bytes(), LOGGED)
}
