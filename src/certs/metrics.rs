use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::standing::Standing;

/// What an operator watches of certificates; the label is the identity's name in the configuration.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    reloads: Family<Name, Counter>,
    reload_failed: Family<Name, Counter>,
    renewals: Family<Name, Counter>,
    renewal_failed: Family<Name, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    identity: String,
}

impl Metrics {
    /// Adds them to the metrics page, each as `pushbell_certificate_…`, with the time that `standing`
    /// has left.
    pub fn register(&self, registry: &mut Registry, standing: Standing) {
        registry.register_collector(Box::new(standing));
        let page = registry.sub_registry_with_prefix("pushbell_certificate");
        page.register("reloads", "New certificates taken from files", self.reloads.clone());
        page.register(
            "reload_failed",
            "Changed files that could not be used; the certificate in use stayed",
            self.reload_failed.clone(),
        );
        page.register("renewals", "Certificates renewed by us", self.renewals.clone());
        page.register(
            "renewal_failed",
            "Renewals that failed; the certificate in use stayed",
            self.renewal_failed.clone(),
        );
    }

    /// Puts an identity on the page before anything happens to it: rates need a first value.
    pub fn begin(&self, identity: &str) {
        for family in [&self.reloads, &self.reload_failed, &self.renewals, &self.renewal_failed] {
            family.get_or_create(&name(identity)).inc_by(0);
        }
    }

    /// A new certificate was taken from files.
    pub fn reloaded(&self, identity: &str) {
        self.reloads.get_or_create(&name(identity)).inc();
    }

    /// Changed files could not be used.
    pub fn reload_failed(&self, identity: &str) {
        self.reload_failed.get_or_create(&name(identity)).inc();
    }

    /// We renewed a certificate.
    pub fn renewed(&self, identity: &str) {
        self.renewals.get_or_create(&name(identity)).inc();
    }

    /// We tried to renew a certificate and could not.
    pub fn renewal_failed(&self, identity: &str) {
        self.renewal_failed.get_or_create(&name(identity)).inc();
    }
}

fn name(identity: &str) -> Name {
    Name { identity: identity.to_owned() }
}
