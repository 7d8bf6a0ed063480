use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;

/// What the outbox counts. No label ever names a repository, a tag or a client.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) appends: Counter,
    pub(super) repeats: Counter,
    pub(super) outcomes: Counter,
    pub(super) commits: Counter,
    pub(super) batch: Histogram,
    pub(super) commit_seconds: Histogram,
    pub(super) failures: Counter,
    pub(super) failed: Gauge,
    pub(super) forgotten: Counter,
    replaced: Family<Endpoint, Counter>,
    owed: Family<Endpoint, Gauge>,
    oldest: Family<Endpoint, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            appends: Counter::default(),
            repeats: Counter::default(),
            outcomes: Counter::default(),
            commits: Counter::default(),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            failures: Counter::default(),
            failed: Gauge::default(),
            forgotten: Counter::default(),
            replaced: Family::default(),
            owed: Family::default(),
            oldest: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds them to the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let page = registry.sub_registry_with_prefix("pushbell_outbox");
        page.register("appends", "Events made durable", self.appends.clone());
        page.register("repeats", "Events that were there already", self.repeats.clone());
        page.register("outcomes", "Ends of attempts recorded", self.outcomes.clone());
        page.register("commits", "Transactions committed", self.commits.clone());
        page.register(
            "batch_commands",
            "Appends and outcomes that shared one commit",
            self.batch.clone(),
        );
        page.register(
            "commit_seconds",
            "One transaction, from its first statement to the end of its sync",
            self.commit_seconds.clone(),
        );
        page.register(
            "failures",
            "Transactions that failed, whether or not the second try succeeded",
            self.failures.clone(),
        );
        page.register("failed", "1 while the outbox takes nothing", self.failed.clone());
        page.register("forgotten", "Events removed because they are old", self.forgotten.clone());
        page.register(
            "replaced",
            "Deliveries whose place a newer event of the tag took, where the endpoint wants the latest only",
            self.replaced.clone(),
        );
        page.register("owed", "Deliveries neither acked nor dead", self.owed.clone());
        page.register(
            "oldest_owed_timestamp_seconds",
            "When the oldest delivery owed to the endpoint was appended; 0 where none is",
            self.oldest.clone(),
        );
    }

    pub(super) fn committed(&self, commands: usize, took: Duration) {
        self.commits.inc();
        self.batch.observe(f64::from(u32::try_from(commands).unwrap_or(u32::MAX)));
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn replaced_at(&self, endpoint: &str) {
        self.replaced.get_or_create(&label(endpoint)).inc();
    }

    pub(super) fn owed_to(&self, endpoint: &str, owed: i64) {
        self.owed.get_or_create(&label(endpoint)).set(owed);
    }

    pub(super) fn oldest_owed_to(&self, endpoint: &str, unix_seconds: i64) {
        self.oldest.get_or_create(&label(endpoint)).set(unix_seconds);
    }
}

fn label(endpoint: &str) -> Endpoint {
    Endpoint { endpoint: endpoint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_documented_ones() {
        let metrics = Metrics::default();
        metrics.owed_to("build", 3);
        metrics.appends.inc();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        assert!(page.contains("pushbell_outbox_appends_total 1\n"), "{page}");
        assert!(page.contains("pushbell_outbox_owed{endpoint=\"build\"} 3\n"), "{page}");
    }
}
