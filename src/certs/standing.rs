use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric as _;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use time::OffsetDateTime;

use super::identity::Identity;
use super::identity::Lifetime;
use super::words::date;

/// How the identities in use stand: what metrics and readiness tell of them.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<Mutex<States>>);

#[derive(Debug, Default)]
struct States {
    identities: BTreeMap<String, State>,
    /// Files with CAs that could not be used when they changed, and why.
    trusts: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    identity: Option<Identity>,
    problem: Option<String>,
}

impl Standing {
    /// `identity` is the one in use from now on.
    pub fn uses(&self, identity: &Identity) {
        let mut states = self.lock();
        let state = states.identities.entry(identity.name().to_owned()).or_default();
        state.identity = Some(identity.clone());
        state.problem = None;
    }

    /// The identity of that name has, or no longer has, something about it that somebody must mend.
    pub fn problem(&self, name: &str, problem: Option<String>) {
        self.lock().identities.entry(name.to_owned()).or_default().problem = problem;
    }

    /// The file with CAs has, or no longer has, something about it that somebody must mend.
    pub fn trust_problem(&self, file: &str, problem: Option<String>) {
        let trusts = &mut self.lock().trusts;
        match problem {
            Some(problem) => trusts.insert(file.to_owned(), problem),
            None => trusts.remove(file),
        };
    }

    /// What is weaker than it should be, in words.
    #[must_use]
    pub fn weaknesses(&self, now: OffsetDateTime) -> Vec<String> {
        let states = self.lock();
        let identities =
            states.identities.iter().flat_map(|(name, state)| state.weaknesses(name, now));
        let trusts = states
            .trusts
            .iter()
            .map(|(file, why)| format!("the CAs of {file} were not taken: {why}"));
        identities.chain(trusts).collect()
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        // Each change is one assignment, so what a panic left behind is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn weaknesses(&self, name: &str, now: OffsetDateTime) -> Vec<String> {
        let life = match &self.identity {
            None => Some(format!("{name} has no certificate yet")),
            Some(identity) => {
                let until = date(identity.not_after());
                match identity.lifetime(now) {
                    Lifetime::Fresh => None,
                    Lifetime::Late => {
                        Some(format!("{name} has a third of its life left: ends {until}"))
                    }
                    Lifetime::Ending => Some(format!("{name} ends {until}")),
                    Lifetime::Over => Some(format!("{name} expired on {until}")),
                }
            }
        };
        let problem = self.problem.as_ref().map(|problem| format!("{name}: {problem}"));
        life.into_iter().chain(problem).collect()
    }
}

/// Seconds until each certificate ends, as they are when somebody asks.
impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = OffsetDateTime::now_utc();
        let mut gauge = encoder.encode_descriptor(
            "pushbell_certificate_expiry",
            "Time until the certificate in use ends, below zero once it is over",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (name, state) in &self.lock().identities {
            if let Some(identity) = &state.identity {
                let left = (identity.not_after() - now).whole_seconds();
                let labels = [("identity", name.as_str())];
                ConstGauge::new(left).encode(gauge.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
