use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::standing::Standing;

/// What an operator watches of certificates; the label is the identity's name in the configuration, and of CAs
/// that we trust their file.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    reloads: Family<Name, Counter>,
    reload_failed: Family<Name, Counter>,
    renewals: Family<Name, Counter>,
    renewal_failed: Family<Name, Counter>,
    trust_reloads: Family<File, Counter>,
    trust_reload_failed: Family<File, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    identity: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct File {
    file: String,
}

impl Metrics {
    /// Adds them to the metrics page, each as `pushbell_certificate_…` or `pushbell_trust_…`, with the time that
    /// `standing` has left.
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
        let page = registry.sub_registry_with_prefix("pushbell_trust");
        page.register("reloads", "Changed files with CAs taken", self.trust_reloads.clone());
        page.register(
            "reload_failed",
            "Changed files with CAs that could not be used; the CAs in use stayed",
            self.trust_reload_failed.clone(),
        );
    }

    /// Puts an identity on the page before anything happens to it: rates need a first value.
    pub fn begin(&self, identity: &str) {
        for family in [&self.reloads, &self.reload_failed, &self.renewals, &self.renewal_failed] {
            family.get_or_create(&name(identity)).inc_by(0);
        }
    }

    /// The same for a file with CAs.
    pub fn begin_trust(&self, file: &str) {
        for family in [&self.trust_reloads, &self.trust_reload_failed] {
            family.get_or_create(&File { file: file.to_owned() }).inc_by(0);
        }
    }

    /// Other CAs were taken from a file.
    pub fn trust_reloaded(&self, file: &str) {
        self.trust_reloads.get_or_create(&File { file: file.to_owned() }).inc();
    }

    /// A changed file with CAs could not be used.
    pub fn trust_reload_failed(&self, file: &str) {
        self.trust_reload_failed.get_or_create(&File { file: file.to_owned() }).inc();
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
