use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

use super::answers::Meaning;
use super::health::Health;

/// What an operator watches of delivery. Labels come from the configuration and from fixed words,
/// never from a receiver or an event.
#[derive(Debug, Clone)]
pub struct Metrics {
    attempts: Family<Attempts, Counter>,
    attempt_seconds: Family<Endpoint, Histogram, fn() -> Histogram>,
    lag_seconds: Family<Endpoint, Histogram, fn() -> Histogram>,
    answers: Family<Answered, Counter>,
    acked: Family<Endpoint, Counter>,
    dead: Family<Dead, Counter>,
    in_flight: Family<Endpoint, Gauge>,
    state: Family<State, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempts {
    endpoint: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    endpoint: String,
    meaning: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dead {
    endpoint: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    endpoint: String,
    state: &'static str,
}

/// From a neighbour's answer to the longest deadline that makes sense.
const ATTEMPT_BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// From told at once to told after an outage of days.
const LAG_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.01, 0.04, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0, 3600.0, 86400.0];

impl Default for Metrics {
    fn default() -> Self {
        let attempt_seconds: fn() -> Histogram = || Histogram::new(ATTEMPT_BUCKETS);
        let lag_seconds: fn() -> Histogram = || Histogram::new(LAG_BUCKETS);
        Self {
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(attempt_seconds),
            lag_seconds: Family::new_with_constructor(lag_seconds),
            answers: Family::default(),
            acked: Family::default(),
            dead: Family::default(),
            in_flight: Family::default(),
            state: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds them to the metrics page, each as `pushbell_delivery_…`.
    pub fn register(&self, registry: &mut Registry) {
        let page = registry.sub_registry_with_prefix("pushbell_delivery");
        page.register(
            "attempts",
            "Attempts that ended: taken, failed by the endpoint or by the proxy to it, refused for the event, or unwritable",
            self.attempts.clone(),
        );
        page.register_with_unit(
            "attempt",
            "Time from the start of an attempt to the end of its answer",
            Unit::Seconds,
            self.attempt_seconds.clone(),
        );
        page.register_with_unit(
            "lag",
            "Time from an event being owed to the receiver having taken it",
            Unit::Seconds,
            self.lag_seconds.clone(),
        );
        page.register(
            "answers",
            "What attempts came to at the receiver: delivered, ignored, nothing-matched, rejected, permanent, \
             transient or suspended",
            self.answers.clone(),
        );
        page.register("acked", "Deliveries that the receiver took", self.acked.clone());
        page.register(
            "dead",
            "Deliveries given up because the receiver does not take them, kept for replay",
            self.dead.clone(),
        );
        page.register("in_flight", "Attempts under way", self.in_flight.clone());
        page.register(
            "endpoint_state",
            "1 for the state the endpoint is in: healthy, failing, cut_off (its proxy fails), recovering or off",
            self.state.clone(),
        );
    }

    pub(super) fn attempt_ended(&self, endpoint: &str, outcome: &'static str, took: Duration) {
        let attempts = Attempts { endpoint: endpoint.to_owned(), outcome };
        self.attempts.get_or_create(&attempts).inc();
        self.attempt_seconds.get_or_create(&Endpoint::of(endpoint)).observe(took.as_secs_f64());
    }

    pub(super) fn answered(&self, endpoint: &str, meaning: Meaning) {
        let answered = Answered { endpoint: endpoint.to_owned(), meaning: meaning.as_str() };
        self.answers.get_or_create(&answered).inc();
    }

    pub(super) fn unwritable(&self, endpoint: &str) {
        let attempts = Attempts { endpoint: endpoint.to_owned(), outcome: "unwritable" };
        self.attempts.get_or_create(&attempts).inc();
    }

    pub(super) fn acked(&self, endpoint: &str, lag: Duration) {
        let endpoint = Endpoint::of(endpoint);
        self.acked.get_or_create(&endpoint).inc();
        self.lag_seconds.get_or_create(&endpoint).observe(lag.as_secs_f64());
    }

    pub(super) fn dead(&self, endpoint: &str, reason: &'static str) {
        self.dead.get_or_create(&Dead { endpoint: endpoint.to_owned(), reason }).inc();
    }

    pub(super) fn in_flight(&self, endpoint: &str, attempts: usize) {
        let attempts = i64::try_from(attempts).unwrap_or(i64::MAX);
        self.in_flight.get_or_create(&Endpoint::of(endpoint)).set(attempts);
    }

    pub(super) fn state(&self, endpoint: &str, health: &Health) {
        for state in Health::WORDS {
            let labels = State { endpoint: endpoint.to_owned(), state };
            self.state.get_or_create(&labels).set(i64::from(state == health.as_str()));
        }
    }
}

impl Endpoint {
    fn of(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned() }
    }
}
