//! Certificates of a CA that speaks ACME (RFC 8555): got, and renewed in time, with nobody thinking of it.
//!
//! One order at a time, over all identities. What a CA must not be asked twice for is on disk before it is
//! asked: the account, the order under way, and how long to wait after a failure (rule C6); see `state`.
//! A new certificate is written to its file, whole and checked, and whoever watches that file takes it; a
//! failure touches no file that is in use. Every URL is dialled through `connect`, those that the CA hands
//! out as well, so that the same policy guards them.
//!
//! What this part never does: ask for a name that the configuration does not have, answer for one that a
//! CA brings up by itself, or validate by changing DNS.

mod answers;
mod client;
mod error;
mod order;
mod schedule;
mod state;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use tracing::error;
use tracing::info;

use crate::certs;
use crate::certs::ClientTls;
use crate::certs::Identity;
use crate::certs::Metrics;
use crate::certs::Standing;
use crate::secret::Secret;
use crate::telemetry::chain;

pub use self::answers::Answers;
pub use self::answers::Tokens;
pub use self::error::Error;

use self::order::Job;
use self::state::State;

/// One identity that a CA issues.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the configuration calls it.
    pub identity: String,
    /// The host names it is for, at least one, in lower case and without wildcards.
    pub names: Vec<String>,
    /// The CA's directory, an `https` URL.
    pub directory: String,
    /// Whom the CA may write to.
    pub contact: Option<String>,
    /// How the CA sees that the names are ours.
    pub challenge: Challenge,
    /// The account that the CA knows us by already.
    pub external_account: Option<ExternalAccount>,
    /// Whom we trust to be the CA's directory.
    pub tls: ClientTls,
    /// Where the state is.
    pub files: PathBuf,
}

/// How a CA sees that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// It fetches a file from port 80 (RFC 8555 §8.3).
    Http01,
    /// It shakes hands at port 443 (RFC 8737).
    TlsAlpn01,
}

/// An account at the CA that was made elsewhere (RFC 8555 §7.3.4).
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// Its name.
    pub key_id: String,
    /// Its key, as bytes.
    pub key: Secret,
}

/// Looks after every identity that a CA issues.
#[derive(Debug)]
pub struct Acme {
    kept: Vec<Kept>,
    answers: Answers,
    standing: Standing,
    metrics: Metrics,
}

#[derive(Debug)]
struct Kept {
    config: Config,
    state: State,
    /// Whether an attempt has begun whose end is not noted yet.
    under_way: bool,
}

/// The longest sleep: due times are those of the wall clock, which can be set.
const NAP: Duration = Duration::from_secs(60);

/// The file of an identity's certificate and key, one after the other, so that both change at once.
#[must_use]
pub fn certificate_path(files: &Path, identity: &str) -> PathBuf {
    files.join(format!("{identity}.pem"))
}

impl Acme {
    /// Reads where each of them stands; nobody is asked yet.
    #[must_use]
    pub fn new(
        configs: Vec<Config>,
        answers: Answers,
        standing: Standing,
        metrics: Metrics,
    ) -> Self {
        let kept = |config: Config| {
            let state = State::read(&config.files, &config.identity);
            if let Some(why) = state.why() {
                standing.problem(&config.identity, Some(why.to_owned()));
            }
            metrics.begin(&config.identity);
            Kept { config, state, under_way: false }
        };
        let kept = configs.into_iter().map(kept).collect();
        Self { kept, answers, standing, metrics }
    }

    /// Gets what is missing and renews what is due, until the stop; when `reload` changes, what is on disk
    /// is read again.
    pub async fn run(mut self, mut reload: watch::Receiver<()>, stop: CancellationToken) {
        while !self.kept.is_empty() {
            let now = OffsetDateTime::now_utc();
            let next = self.kept.iter().map(|kept| kept.next(now)).min().unwrap_or(now);
            let wait = Duration::try_from(next - now).unwrap_or_default().min(NAP);
            tokio::select! {
                () = sleep(wait) => {}
                Ok(()) = reload.changed() => {
                    for kept in &mut self.kept {
                        kept.state = State::read(&kept.config.files, &kept.config.identity);
                    }
                }
                () = stop.cancelled() => return,
            }
            for kept in &mut self.kept {
                let work = kept.look_after(&self.answers, &self.standing, &self.metrics);
                let stopped = tokio::select! {
                    () = work => false,
                    () = stop.cancelled() => true,
                };
                if stopped {
                    self.answers.withdraw();
                    // An order goes on at the next start, at once. What has failed waits all the same.
                    if kept.under_way {
                        kept.state.saved.not_before = None;
                    }
                    kept.state.save().await;
                    return;
                }
            }
        }
    }
}

impl Kept {
    fn current(&self) -> Option<Identity> {
        let path = certificate_path(&self.config.files, &self.config.identity);
        let loaded = Identity::load_of_any_age(&self.config.identity, &path, &path).ok();
        loaded.filter(|current| self.config.names.iter().all(|name| current.covers(name)))
    }

    fn next(&self, now: OffsetDateTime) -> OffsetDateTime {
        let current = self.current();
        let due = schedule::due(&self.state.saved, current.as_ref(), now);
        match current {
            Some(_) => due.min(schedule::ask(&self.state.saved, now)),
            None => due,
        }
    }

    async fn look_after(&mut self, answers: &Answers, standing: &Standing, metrics: &Metrics) {
        let now = OffsetDateTime::now_utc();
        let current = self.current();
        if schedule::due(&self.state.saved, current.as_ref(), now) <= now {
            self.attempt(current.as_ref(), answers, standing, metrics).await;
        } else if let Some(current) = &current
            && schedule::ask(&self.state.saved, now) <= now
        {
            self.ask(current).await;
        }
    }

    /// One order from its beginning, or from where it was left, to its end.
    async fn attempt(
        &mut self,
        current: Option<&Identity>,
        answers: &Answers,
        standing: &Standing,
        metrics: &Metrics,
    ) {
        let (identity, names) = (&self.config.identity, certs::list_names(&self.config.names));
        info!(identity, names, directory = self.config.directory, "Ordering a certificate");
        // Before anything is asked: dying in an attempt must not make the next one come sooner.
        self.state.saved.not_before =
            Some(schedule::after_attempt(OffsetDateTime::now_utc()).unix_timestamp());
        self.under_way = true;
        self.state.save().await;
        let ended =
            Job { config: &self.config, state: &mut self.state, answers }.run(current).await;
        answers.withdraw();
        self.under_way = false;
        let now = OffsetDateTime::now_utc();
        match ended {
            Ok(issued) => {
                let until = certs::date(issued.not_after());
                metrics.renewed(identity);
                standing.problem(identity, None);
                self.state.succeeded();
                info!(
                    identity,
                    until,
                    issuer = certs::printable(issued.issuer()),
                    "Certificate issued"
                );
            }
            Err(why) => {
                let told = chain(&why);
                metrics.renewal_failed(identity);
                let next = self.state.failed(&why, &told, now);
                standing.problem(identity, self.state.why().map(str::to_owned));
                error!(
                    identity,
                    error = told,
                    next = certs::date(next),
                    "Certificate not issued; what is in use stays"
                );
            }
        }
        self.state.save().await;
    }

    /// Asks the CA when it wants us to renew.
    async fn ask(&mut self, current: &Identity) {
        let mut job =
            Job { config: &self.config, state: &mut self.state, answers: &Answers::default() };
        let told = job.renewal(current).await;
        let now = OffsetDateTime::now_utc();
        match told {
            Ok(Some(told)) => {
                let at = schedule::within(told.start, told.end, fastrand::f64());
                let at = at.min(schedule::latest(current));
                if self.state.saved.renew_at != Some(at.unix_timestamp()) {
                    let identity = &self.config.identity;
                    info!(identity, renewal = certs::date(at), "The CA says when to renew");
                }
                self.state.saved.renew_at = Some(at.unix_timestamp());
                self.state.saved.ask_at =
                    Some(schedule::ask_again(now, told.again).unix_timestamp());
            }
            Ok(None) => {
                self.state.saved.ask_at =
                    Some(schedule::ask_again(now, schedule::DAY).unix_timestamp());
            }
            Err(why) => {
                debug!(error = chain(&why), "The CA does not say when to renew");
                self.state.saved.ask_at =
                    Some(schedule::ask_again(now, schedule::HOUR).unix_timestamp());
            }
        }
        self.state.save().await;
    }
}
