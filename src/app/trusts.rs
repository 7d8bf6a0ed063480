use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use tracing::error;
use tracing::info;

use crate::certs;
use crate::certs::Asked;
use crate::certs::ClientTls;
use crate::certs::Found;
use crate::certs::Metrics;
use crate::certs::Standing;
use crate::certs::Trust;
use crate::certs::WatchedTrust;
use crate::telemetry::chain;

/// Who trusts which CAs: those of a file, or the system's where there is none. A file that several name is read
/// once for all of them.
#[derive(Debug, Clone, Default)]
pub struct Trusting(BTreeMap<Option<PathBuf>, Trusted>);

#[derive(Debug, Clone)]
struct Trusted {
    trust: Trust,
    by: Vec<ClientTls>,
}

/// CAs exchanged under the connections of those who trust them, when their files change.
pub(super) struct Trusts {
    /// Absent while a look goes on.
    watched: Vec<WatchedTrust>,
    by: BTreeMap<Option<PathBuf>, Vec<ClientTls>>,
    standing: Standing,
    metrics: Metrics,
}

/// What became of one file.
pub(super) enum Turned {
    Reloaded(Trust),
    Refused(certs::Error),
    /// The file is again what is in use.
    Mended,
}

impl Trusting {
    /// The CAs of the file as they were read before, if they were.
    pub(super) fn known(&self, path: Option<&PathBuf>) -> Option<Trust> {
        self.0.get(&path.cloned()).map(|trusted| trusted.trust.clone())
    }

    pub(super) fn learn(&mut self, path: Option<&PathBuf>, trust: &Trust) {
        let trusted = || Trusted { trust: trust.clone(), by: Vec::new() };
        self.0.entry(path.cloned()).or_insert_with(trusted);
    }

    /// Whoever connects with `tls` trusts the CAs of the file.
    pub(super) fn used_by(&mut self, path: Option<&PathBuf>, tls: &ClientTls) {
        if let Some(trusted) = self.0.get_mut(&path.cloned()) {
            trusted.by.push(tls.clone());
        }
    }
}

impl Trusts {
    pub(super) fn new(trusting: &Trusting, standing: Standing, metrics: Metrics) -> Self {
        let (mut watched, mut by) = (Vec::new(), BTreeMap::new());
        for (path, trusted) in &trusting.0 {
            if !trusted.by.is_empty() {
                metrics.begin_trust(&shown(path.as_ref()));
                watched.push(WatchedTrust::new(path.clone(), trusted.trust.clone()));
                by.insert(path.clone(), trusted.by.clone());
            }
        }
        Self { watched, by, standing, metrics }
    }

    /// What is to be looked at, until it is put back.
    pub(super) fn take(&mut self) -> Vec<WatchedTrust> {
        std::mem::take(&mut self.watched)
    }

    pub(super) fn put_back(&mut self, watched: Vec<WatchedTrust>) {
        self.watched = watched;
    }

    /// Lets everybody know what became of the file.
    pub(super) fn note(&self, path: Option<&PathBuf>, what: Turned) {
        let file = shown(path);
        let refused = |why: &certs::Error| {
            self.metrics.trust_reload_failed(&file);
            let why = chain(why);
            error!(file, error = why, "Changed CAs not taken; those in use stay");
            self.standing.trust_problem(&file, Some(why));
        };
        match what {
            Turned::Reloaded(fresh) => {
                let mut users = self.by.get(&path.cloned()).into_iter().flatten();
                match users.try_for_each(|tls| tls.exchange(&fresh)) {
                    Ok(()) => {
                        self.metrics.trust_reloaded(&file);
                        self.standing.trust_problem(&file, None);
                        info!(
                            file,
                            cas = fresh.count(),
                            "CAs reloaded; new connections trust them"
                        );
                    }
                    Err(why) => refused(&why),
                }
            }
            Turned::Refused(why) => refused(&why),
            Turned::Mended => self.standing.trust_problem(&file, None),
        }
    }
}

/// Looks at all of them. Blocks for as long as the disk takes.
pub(super) fn look(
    watched: &mut [WatchedTrust],
    asked: Asked,
    at: Instant,
) -> Vec<(Option<PathBuf>, Turned)> {
    let mut turned = Vec::new();
    for trust in watched {
        let was_refused = trust.is_refused();
        let what = match trust.look(asked, at) {
            Found::Fresh(fresh) => Turned::Reloaded(fresh),
            Found::Refused(why) => Turned::Refused(why),
            Found::Nothing if was_refused && !trust.is_refused() => Turned::Mended,
            Found::Nothing => continue,
        };
        turned.push((trust.path().map(PathBuf::from), what));
    }
    turned
}

fn shown(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| "the system's".to_owned(), |path| path.display().to_string())
}
