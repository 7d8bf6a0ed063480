use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;

/// What the listener for notifications counts. The only label from outside is a source's name, which the operator
/// chose.
#[derive(Debug, Clone)]
pub struct Metrics {
    answers: Family<Answered, Counter>,
    reports: Family<Reported, Counter>,
    /// How many notifications wait to become events.
    pub(super) held: Gauge,
    seconds: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    source: String,
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reported {
    source: String,
    became: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            answers: Family::default(),
            reports: Family::default(),
            held: Gauge::default(),
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
        }
    }
}

impl Metrics {
    /// Adds them to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let page = registry.sub_registry_with_prefix("pushbell_ingest");
        page.register(
            "notifications",
            "Notifications answered: taken, quarantined, or refused",
            self.answers.clone(),
        );
        page.register(
            "reports",
            "What became of what notifications told: linked, held, event, repeated or dropped",
            self.reports.clone(),
        );
        page.register(
            "held",
            "Reports that wait for an observation, a look or the end of match.hold",
            self.held.clone(),
        );
        page.register(
            "answer_seconds",
            "From the head of a notification to its answer",
            self.seconds.clone(),
        );
    }

    pub(super) fn answered(&self, source: &str, answer: &'static str, took: Duration) {
        let labels = Answered { source: source.to_owned(), answer };
        self.answers.get_or_create(&labels).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn reported(&self, source: &str, became: &'static str) {
        self.reports.get_or_create(&Reported { source: source.to_owned(), became }).inc();
    }
}
