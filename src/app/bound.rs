use std::collections::BTreeMap;

use tracing::warn;

use crate::acme::Answers;
use crate::certs::Identity;
use crate::certs::ServerIdentities;
use crate::config;
use crate::config::Challenge;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Serve;
use crate::listener;
use crate::listener::Listener;
use crate::telemetry::chain;

use super::Error;
use super::Parts;

/// What a listener shows, by the names of the identities, the default first.
pub(super) struct Shown {
    pub(super) names: Vec<String>,
    pub(super) server: ServerIdentities,
}

impl Shown {
    fn new(config: &Config, listener: &config::Listener, parts: &Parts, answers: &Answers) -> Self {
        let names: Vec<String> = listener.all_identities().map(|i| i.value.clone()).collect();
        let validated = |name: &String| {
            config.identity(name).is_some_and(|identity| match &identity.origin {
                IdentityOrigin::Acme(acme) => acme.challenge == Challenge::TlsAlpn01,
                _ => false,
            })
        };
        let mut server = ServerIdentities::new(None, &[]);
        if names.iter().any(validated) {
            server = server.with_challenges(answers.challenges.clone());
        }
        let shown = Self { names, server };
        shown.update(&parts.identities);
        shown
    }

    /// Shows what is in use now.
    pub(super) fn update(&self, identities: &BTreeMap<String, Identity>) {
        let mut in_use = self.names.iter().map(|name| identities.get(name));
        let default = in_use.next().flatten();
        let others: Vec<Identity> = in_use.flatten().cloned().collect();
        self.server.replace(default, &others);
    }
}

/// A bound listener and what it will serve.
pub(super) struct Bound<'a> {
    pub(super) listener: Listener,
    pub(super) config: &'a config::Listener,
}

/// Takes every address before anything is served. The admin address that nobody asked for is given up if
/// somebody else has it: a second Pushbell on one machine must still start without a file.
pub(super) fn bind<'a>(
    config: &'a Config,
    parts: &Parts,
    answers: &Answers,
) -> Result<(Vec<Bound<'a>>, Vec<Shown>), Error> {
    let (mut bound, mut all) = (Vec::new(), Vec::new());
    for listener in &config.listeners {
        let shown =
            listener.identity.as_ref().map(|_| Shown::new(config, listener, parts, answers));
        let tls = shown.as_ref().map(|shown| shown.server.config()).transpose();
        all.extend(shown);
        let limits = &config.limits;
        let had = Listener::bind(listener::Config {
            address: match &listener.address.value {
                config::Address::Tcp(address) => listener::Address::Tcp(*address),
                config::Address::Unix(path) => listener::Address::Unix(path.clone()),
            },
            tls: tls.map_err(|source| Error::Identity { source })?,
            proxy_protocol: listener
                .proxy_protocol
                .then(|| listener::ProxyProtocol { trusted: listener.trusted_proxies.clone() }),
            limits: listener::Limits {
                handshake: limits.handshake,
                request_head: limits.request_head,
                idle: limits.idle,
                stall: limits.body_idle,
            },
        });
        match had {
            Ok(had) => bound.push(Bound { listener: had, config: listener }),
            Err(error) if asked_for(listener) => return Err(Error::Listen { source: error }),
            Err(error) => {
                warn!(
                    error = chain(&error),
                    "No /healthz, /readyz and /metrics; name another address with --admin"
                );
            }
        }
    }
    Ok((bound, all))
}

/// Whether somebody wrote this listener down, or it serves the registry, without which we are nothing.
fn asked_for(listener: &config::Listener) -> bool {
    let place = &listener.address.place;
    place.line().is_some()
        || place.key().starts_with("--")
        || listener.serves.contains(&Serve::Registry)
}

/// The registry's name; with the port the system chose, where it was asked to choose one.
pub(super) fn registry_name(config: &Config, bound: &[Bound<'_>]) -> String {
    let name = &config.registry.name.value;
    let mut addresses = registry_listeners(bound).map(|listener| listener.address());
    let port = addresses.find_map(|address| match address {
        listener::Address::Tcp(address) => Some(address.port()),
        listener::Address::Unix(_) => None,
    });
    port.map_or_else(|| name.clone(), |port| name.bound(port)).to_string()
}

pub(super) fn registry_address(bound: &[Bound<'_>]) -> Option<listener::Address> {
    registry_listeners(bound).next().map(|listener| listener.address().clone())
}

fn registry_listeners<'a>(bound: &'a [Bound<'_>]) -> impl Iterator<Item = &'a Listener> {
    let serving = bound.iter().filter(|bound| bound.config.serves.contains(&Serve::Registry));
    serving.map(|bound| &bound.listener)
}
