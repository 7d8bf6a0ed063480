use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use http::Method;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;

use crate::event::Action;

use super::error::Error;
use super::error::Refused;

/// Counters of the way to the registry. No label ever holds a repository, tag, actor or address.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    /// The counters of most answers, so that they are found without a lock.
    usual: Arc<[[OnceLock<Counter>; USUAL.len()]; METHODS.len()]>,
    refused: Family<Rule, Counter>,
    failed: Family<Reason, Counter>,
    events: Family<Observed, Counter>,
    pub(super) headers_dropped: Counter,
    pub(super) mismatches: Counter,
    pub(super) concurrent: Counter,
    pub(super) not_serialized: Counter,
    pub(super) unsettled: Counter,
    pub(super) settling: Gauge,
    settled: Family<Verdict, Counter>,
    closed: Family<Reason, Counter>,
    pub(super) unintended: Counter,
    pub(super) unkept: Counter,
    pub(super) waiting: Gauge,
    pub(super) gap: Counter<f64, AtomicU64>,
    pub(super) intended: Histogram,
    pub(super) added: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    rule: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Observed {
    action: &'static str,
}

const METHODS: [(Method, &str); 7] = [
    (Method::GET, "GET"),
    (Method::HEAD, "HEAD"),
    (Method::PUT, "PUT"),
    (Method::POST, "POST"),
    (Method::PATCH, "PATCH"),
    (Method::DELETE, "DELETE"),
    (Method::OPTIONS, "OPTIONS"),
];
const USUAL: [StatusCode; 10] = [
    StatusCode::OK,
    StatusCode::CREATED,
    StatusCode::ACCEPTED,
    StatusCode::NO_CONTENT,
    StatusCode::PARTIAL_CONTENT,
    StatusCode::NOT_MODIFIED,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::UNAUTHORIZED,
    StatusCode::NOT_FOUND,
    StatusCode::RANGE_NOT_SATISFIABLE,
];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            usual: Arc::default(),
            refused: Family::default(),
            failed: Family::default(),
            events: Family::default(),
            headers_dropped: Counter::default(),
            mismatches: Counter::default(),
            concurrent: Counter::default(),
            not_serialized: Counter::default(),
            unsettled: Counter::default(),
            settling: Gauge::default(),
            settled: Family::default(),
            closed: Family::default(),
            unintended: Counter::default(),
            unkept: Counter::default(),
            waiting: Gauge::default(),
            gap: Counter::default(),
            intended: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            added: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
        }
    }
}

impl Metrics {
    /// Names them on the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let part = registry.sub_registry_with_prefix("pushbell_proxy");
        part.register("requests", "Answers given to clients", self.requests.clone());
        part.register(
            "requests_refused",
            "Requests not passed on because they could be understood in two ways, by rule",
            self.refused.clone(),
        );
        part.register(
            "headers_dropped",
            "Header lines of clients not passed on because of an underscore in their name",
            self.headers_dropped.clone(),
        );
        part.register(
            "upstream_failures",
            "Exchanges with the registry that brought no answer, by reason",
            self.failed.clone(),
        );
        part.register("events", "Events observed, by action", self.events.clone());
        part.register(
            "digest_mismatches",
            "Pushes whose digest the registry gave differently",
            self.mismatches.clone(),
        );
        part.register(
            "concurrent",
            "Events of a tag of which another push or delete was under way at the same time",
            self.concurrent.clone(),
        );
        part.register(
            "not_serialized",
            "Pushes that waited for the answer to another of their tag for 10 s, and then went ahead",
            self.not_serialized.clone(),
        );
        part.register(
            "unsettled",
            "Pushes and deletes whose answer did not say whether the registry applied them",
            self.unsettled.clone(),
        );
        part.register(
            "settling",
            "Pushes and deletes of which nobody knows yet whether the registry applied them",
            self.settling.clone(),
        );
        part.register(
            "settled",
            "Pushes and deletes looked at afterwards, by verdict: confirmed, unconfirmed, not_applied",
            self.settled.clone(),
        );
        part.register(
            "closed",
            "Pushes and deletes that make no event, by reason: refused, redirected, not sent",
            self.closed.clone(),
        );
        part.register(
            "unintended",
            "Pushes and deletes that went to the registry without an intent on the disk",
            self.unintended.clone(),
        );
        part.register(
            "events_unkept",
            "Events that no durable place could be found for and that are gone",
            self.unkept.clone(),
        );
        part.register(
            "events_in_memory",
            "Events that wait in memory because the outbox takes none",
            self.waiting.clone(),
        );
        part.register(
            "outbox_gap_seconds",
            "How long events waited in memory because the outbox took none",
            self.gap.clone(),
        );
        part.register(
            "intend_seconds",
            "What keeping an intent added to a push",
            self.intended.clone(),
        );
        part.register(
            "record_seconds",
            "What making an event durable added to a push",
            self.added.clone(),
        );
    }

    pub(super) fn answered(&self, method: &Method, status: StatusCode) {
        let method = METHODS.iter().position(|(known, _)| known == method);
        let usual = USUAL.iter().position(|usual| *usual == status);
        let counters = method.and_then(|method| self.usual.get(method));
        let counter = counters.zip(usual).and_then(|(counters, usual)| counters.get(usual));
        // Only methods we serve get here by their own name, so a stranger cannot make up labels.
        let named = method.and_then(|method| METHODS.get(method)).map_or("other", |known| known.1);
        let find = || {
            let status = status.as_str().to_owned();
            self.requests.get_or_create_owned(&Answered { method: named, status })
        };
        match counter {
            Some(counter) => counter.get_or_init(find).inc(),
            None => find().inc(),
        };
    }

    pub(super) fn refused(&self, refused: &Refused) {
        self.refused.get_or_create(&Rule { rule: refused.rule() }).inc();
    }

    pub(super) fn failed(&self, error: &Error) {
        self.failed.get_or_create(&Reason { reason: error.reason() }).inc();
    }

    pub(super) fn settled(&self, verdict: &'static str) {
        self.settled.get_or_create(&Verdict { verdict }).inc();
    }

    pub(super) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn event(&self, action: Action) {
        self.events.get_or_create(&Observed { action: action.as_str() }).inc();
    }
}
