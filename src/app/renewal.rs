use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::acme;
use crate::certs;
use crate::certs::Asked;
use crate::certs::ClientIdentity;
use crate::certs::Found;
use crate::certs::Identity;
use crate::certs::Lifetime;
use crate::certs::LocalCa;
use crate::certs::Metrics;
use crate::certs::Purpose;
use crate::certs::Standing;
use crate::certs::Wanted;
use crate::certs::Watched;
use crate::certs::date;
use crate::certs::list_names;
use crate::config;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Serve;
use crate::telemetry::chain;

use super::Parts;
use super::bound::Shown;
use super::trusts;
use super::trusts::Trusts;

/// Certificates kept fresh under the connections that use them: taken from their files when those change, as the
/// CAs that we trust are, and made anew by a local CA when two thirds of their life are over. No connection is dropped for it.
pub(super) struct Renewal {
    kept: Vec<Kept>,
    in_use: BTreeMap<String, Identity>,
    shown: Vec<Shown>,
    clients: BTreeMap<String, ClientIdentity>,
    trusts: Trusts,
    standing: Standing,
    metrics: Metrics,
}

/// One identity: its files, and what is to be done about them.
struct Kept {
    files: Watched,
    issuer: Option<Issuer>,
    renewer: Renewer,
    late_since: Option<Instant>,
    said: Option<(Lifetime, Instant)>,
}

/// Who sees to it that there is a new certificate in time.
#[derive(PartialEq)]
enum Renewer {
    Us,
    Others,
}

/// A local CA that renews a certificate.
struct Issuer {
    directory: PathBuf,
    names: Vec<String>,
    next: Instant,
    /// Whether it was asked since the certificate is due.
    asked: bool,
}

/// What a local CA did.
enum Answer {
    NotAsked,
    /// What it has issued is fresh.
    Served,
    /// What it has issued is due; the reason is in the log where it is not here.
    Refused(Option<certs::Error>),
}

/// What became of one identity.
enum Happened {
    Reloaded(Identity),
    Refused(certs::Error),
    /// The files are again what is in use.
    Mended,
    Renewed(Identity),
    NotRenewed(Option<certs::Error>),
    Aged(Identity, Lifetime),
}

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How often a local CA is asked: a leaf of 90 days has 30 left when it is due.
const ASK_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long a renewal of ours may take before somebody is told that it is late.
const RENEWING: Duration = Duration::from_secs(10 * 60);

/// How often a life that is ending is told of.
const TELL_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

impl Renewal {
    /// Of every identity that is there.
    pub(super) fn new(
        config: &Config,
        parts: &Parts,
        shown: Vec<Shown>,
        standing: Standing,
        metrics: Metrics,
    ) -> Self {
        let mut kept = Vec::new();
        for identity in &config.identities {
            let name = &identity.name.value;
            let files = match (parts.identities.get(name), &identity.origin) {
                (Some(current), _) => {
                    standing.uses(current);
                    if let Err(unfit) = current.check_purpose(Purpose::Clients)
                        && parts.clients.contains_key(name)
                    {
                        standing.problem(name, Some(unfit.to_string()));
                    }
                    Watched::new(current.clone(), wanted(config, identity))
                }
                (None, IdentityOrigin::Acme(acme)) => {
                    let path = acme::certificate_path(&acme.files, name);
                    Watched::awaited(name, &path, &path, wanted(config, identity))
                }
                (None, _) => continue,
            };
            metrics.begin(name);
            let renewer = match identity.origin {
                IdentityOrigin::Files { .. } => Renewer::Others,
                IdentityOrigin::LocalCa { .. } | IdentityOrigin::Acme(_) => Renewer::Us,
            };
            let issuer = Issuer::of(identity);
            kept.push(Kept { files, issuer, renewer, late_since: None, said: None });
        }
        Self {
            kept,
            in_use: parts.identities.clone(),
            shown,
            clients: parts.clients.clone(),
            trusts: Trusts::new(&parts.trusting, standing.clone(), metrics.clone()),
            standing,
            metrics,
        }
    }

    /// Looks after them until the stop, and at once when `reload` changes.
    pub(super) async fn run(mut self, mut reload: watch::Receiver<()>, stop: CancellationToken) {
        loop {
            let asked = tokio::select! {
                () = sleep(EVERY) => Asked::BySchedule,
                Ok(()) = reload.changed() => Asked::ByOperator,
                () = stop.cancelled() => break,
            };
            let mut kept = std::mem::take(&mut self.kept);
            let mut watched = self.trusts.take();
            let looked = spawn_blocking(move || {
                let now = OffsetDateTime::now_utc();
                let mut happened = Vec::new();
                for kept in &mut kept {
                    for what in kept.look(asked, Instant::now(), now) {
                        happened.push((kept.files.name().to_owned(), what));
                    }
                }
                let turned = trusts::look(&mut watched, asked, Instant::now());
                (kept, happened, watched, turned)
            });
            match looked.await {
                Ok((kept, happened, watched, turned)) => {
                    self.kept = kept;
                    self.trusts.put_back(watched);
                    turned.into_iter().for_each(|(path, what)| {
                        self.trusts.note(path.as_ref(), what);
                    });
                    happened.into_iter().for_each(|(name, what)| self.note(&name, what));
                }
                Err(error) => {
                    error!(%error, "Nobody looks after certificates any more; restart us");
                    self.in_use.keys().for_each(|name| {
                        self.standing.problem(name, Some("nobody looks after it".to_owned()));
                    });
                    break;
                }
            }
        }
    }

    fn note(&mut self, identity: &str, what: Happened) {
        match what {
            Happened::Reloaded(fresh) => {
                let (until, names) = (date(fresh.not_after()), list_names(fresh.names()));
                self.exchange(fresh);
                self.metrics.reloaded(identity);
                info!(identity, until, names, "Certificate reloaded; new connections get it");
            }
            Happened::Renewed(fresh) => {
                let until = date(fresh.not_after());
                self.exchange(fresh);
                self.metrics.renewed(identity);
                info!(identity, until, "Certificate renewed; new connections get it");
            }
            Happened::Refused(why) => {
                self.metrics.reload_failed(identity);
                let why = chain(&why);
                error!(
                    identity,
                    error = why,
                    "Changed certificate not taken; the one in use stays"
                );
                self.standing.problem(identity, Some(format!("its files were not taken: {why}")));
            }
            Happened::Mended => self.standing.problem(identity, None),
            Happened::NotRenewed(why) => {
                self.metrics.renewal_failed(identity);
                let why =
                    why.as_ref().map_or_else(|| "the log says why".to_owned(), |why| chain(why));
                error!(identity, error = why, "Certificate not renewed; the one in use stays");
                self.standing.problem(identity, Some(format!("not renewed: {why}")));
            }
            Happened::Aged(current, lifetime) => {
                let until = date(current.not_after());
                match lifetime {
                    Lifetime::Fresh => {}
                    Lifetime::Late => {
                        warn!(identity, until, "A third of the certificate's life is left");
                    }
                    Lifetime::Ending => {
                        error!(identity, until, "A tenth of the certificate's life is left");
                    }
                    Lifetime::Over => {
                        error!(
                            identity,
                            until, "The certificate is over; it is shown for want of another"
                        );
                    }
                }
            }
        }
    }

    fn exchange(&mut self, fresh: Identity) {
        self.standing.uses(&fresh);
        let name = fresh.name().to_owned();
        if let Some(client) = self.clients.get(&name)
            && let Err(why) = client.replace(&fresh)
        {
            let why = chain(&why);
            error!(
                identity = name,
                error = why,
                "New certificate not shown to servers; listeners show it"
            );
            self.standing.problem(&name, Some(why));
        }
        self.in_use.insert(name.clone(), fresh);
        let shows = |shown: &&Shown| shown.names.contains(&name);
        self.shown.iter().filter(shows).for_each(|shown| shown.update(&self.in_use));
    }
}

impl Kept {
    /// Blocks for as long as the disk takes.
    fn look(&mut self, asked: Asked, at: Instant, now: OffsetDateTime) -> Vec<Happened> {
        let was_refused = self.files.is_refused();
        let mut happened = Vec::new();
        let answer = self.ask_issuer(asked, at, now);
        // What the CA has just written is whole.
        let asked = if matches!(answer, Answer::Served) { Asked::ByOperator } else { asked };
        match self.files.look(asked, at, now) {
            Found::Fresh(fresh) if matches!(answer, Answer::Served) => {
                happened.push(Happened::Renewed(fresh));
            }
            Found::Fresh(fresh) => happened.push(Happened::Reloaded(fresh)),
            // Not issued yet.
            Found::Refused(certs::Error::Missing { .. }) if self.files.current().is_none() => {}
            Found::Refused(why) => happened.push(Happened::Refused(why)),
            Found::Nothing if was_refused && !self.files.is_refused() => {
                happened.push(Happened::Mended);
            }
            Found::Nothing => {}
        }
        if let Answer::Refused(why) = answer {
            happened.push(Happened::NotRenewed(why));
        }
        happened.extend(self.age(at, now));
        happened
    }

    /// Lets the CA make what is due.
    fn ask_issuer(&mut self, asked: Asked, at: Instant, now: OffsetDateTime) -> Answer {
        let Some(issuer) = &mut self.issuer else {
            return Answer::NotAsked;
        };
        let is_due = self.files.current().is_some_and(|current| now >= current.renew_at());
        if asked == Asked::BySchedule && at < issuer.next && (issuer.asked || !is_due) {
            return Answer::NotAsked;
        }
        issuer.next = at + ASK_EVERY;
        issuer.asked = is_due;
        let name = self.files.name();
        let made = LocalCa::open_or_create(&issuer.directory, &issuer.names, now)
            .and_then(|(ca, _)| ca.leaf(name, &issuer.names, now));
        match made {
            Ok(fresh) if now >= fresh.renew_at() => Answer::Refused(None),
            Ok(_) => Answer::Served,
            Err(why) => Answer::Refused(Some(why)),
        }
    }

    /// What has to be told of how much life is left, once for each step and then daily.
    fn age(&mut self, at: Instant, now: OffsetDateTime) -> Option<Happened> {
        let current = self.files.current()?;
        let mut lifetime = current.lifetime(now);
        if lifetime == Lifetime::Late && self.renewer == Renewer::Us {
            let since = *self.late_since.get_or_insert(at);
            // Then it is due, and on its way.
            if at < since + RENEWING {
                lifetime = Lifetime::Fresh;
            }
        } else {
            self.late_since = None;
        }
        let told = self.said.is_some_and(|(said, when)| said == lifetime && at < when + TELL_EVERY);
        if told {
            return None;
        }
        self.said = Some((lifetime, at));
        (lifetime != Lifetime::Fresh).then(|| Happened::Aged(current.clone(), lifetime))
    }
}

impl Issuer {
    fn of(identity: &config::Identity) -> Option<Self> {
        match &identity.origin {
            IdentityOrigin::LocalCa { names, directory } => Some(Self {
                directory: directory.value.clone(),
                names: names.clone(),
                next: Instant::now() + ASK_EVERY,
                asked: false,
            }),
            // The one asks for itself, for the other somebody else does.
            IdentityOrigin::Acme(_) | IdentityOrigin::Files { .. } => None,
        }
    }
}

/// What a successor has to be good for.
fn wanted(config: &Config, identity: &config::Identity) -> Wanted {
    let name = &identity.name.value;
    let shows = |listener: &&config::Listener| listener.all_identities().any(|i| i.value == *name);
    match &identity.origin {
        IdentityOrigin::LocalCa { names, .. } => {
            Wanted { names: names.clone(), purposes: Vec::new() }
        }
        // A CA that no longer issues for clients still issues for the listeners that show it.
        IdentityOrigin::Acme(acme) => Wanted { names: acme.names.clone(), purposes: Vec::new() },
        IdentityOrigin::Files { .. } => {
            let mut listeners = config.listeners.iter().filter(shows).peekable();
            let mut purposes = Vec::new();
            purposes.extend(listeners.peek().map(|_| Purpose::Servers));
            purposes.extend(config.shows_to_servers(name).then_some(Purpose::Clients));
            let host = config.registry.name.value.host();
            let registry = listeners.find(|listener| listener.serves.contains(&Serve::Registry));
            Wanted { names: registry.map(|_| host.to_owned()).into_iter().collect(), purposes }
        }
    }
}
