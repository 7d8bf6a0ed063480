use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;

use super::append::GivenUp;

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
    expired: Family<Endpoint, Counter>,
    dead_forgotten: Family<Endpoint, Counter>,
    given_up: Family<What, Counter>,
    disk: Gauge,
    reserve: Gauge,
    damaged: Gauge,
    owed: Family<Endpoint, Gauge>,
    oldest: Family<Endpoint, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
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
            expired: Family::default(),
            dead_forgotten: Family::default(),
            given_up: Family::default(),
            disk: Gauge::default(),
            reserve: Gauge::default(),
            damaged: Gauge::default(),
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
            "expired",
            "Deliveries that became dead letters because they were owed for too long or were too many",
            self.expired.clone(),
        );
        page.register(
            "dead_forgotten",
            "Dead letters of which only this number is left",
            self.dead_forgotten.clone(),
        );
        page.register(
            "given_up",
            "Events removed because the outbox was as large as it may be: history, dead or owed",
            self.given_up.clone(),
        );
        page.register(
            "reserve",
            "1 while there is space in reserve for a full disk",
            self.reserve.clone(),
        );
        page.register(
            "damaged",
            "1 while a damaged database is kept that nobody has taken away: events may be missing",
            self.damaged.clone(),
        );
        page.register("disk_bytes", "The size of the database", self.disk.clone());
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

    pub(super) fn expired_at(&self, endpoint: &str, number: u64) {
        self.expired.get_or_create(&label(endpoint)).inc_by(number);
    }

    pub(super) fn dead_forgotten_at(&self, endpoint: &str, number: u64) {
        self.dead_forgotten.get_or_create(&label(endpoint)).inc_by(number);
    }

    pub(super) fn given_up(&self, given_up: &GivenUp) {
        let GivenUp { history, dead, owed } = *given_up;
        for (what, number) in [("history", history), ("dead", dead), ("owed", owed)] {
            if number > 0 {
                self.given_up.get_or_create(&What { what }).inc_by(number);
            }
        }
    }

    pub(super) fn reserve(&self, there: bool) {
        self.reserve.set(i64::from(there));
    }

    pub(super) fn damaged(&self, kept: bool) {
        self.damaged.set(i64::from(kept));
    }

    pub(super) fn disk(&self, bytes: u64) {
        self.disk.set(i64::try_from(bytes).unwrap_or(i64::MAX));
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
