use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of all listeners together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) open: Gauge,
    pub(super) accepted: Counter,
    pub(super) refused: Family<Reason, Counter>,
    pub(super) closed: Family<Reason, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: &'static str,
}

impl Metrics {
    /// Names them on the metrics page.
    pub fn register(&self, registry: &mut Registry) {
        let part = registry.sub_registry_with_prefix("pushbell_listener");
        part.register("connections", "Connections open now", self.open.clone());
        part.register("connections_accepted", "Connections accepted", self.accepted.clone());
        part.register(
            "connections_refused",
            "Connections closed before their first request, by reason",
            self.refused.clone(),
        );
        part.register(
            "connections_closed",
            "Connections closed because of what their client did or did not do, by reason",
            self.closed.clone(),
        );
    }

    pub(super) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }
}
