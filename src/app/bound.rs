use std::collections::BTreeMap;

use tracing::warn;

use crate::certs::ServerIdentities;
use crate::config;
use crate::config::Config;
use crate::config::Serve;
use crate::listener;
use crate::listener::Listener;
use crate::telemetry::chain;

use super::Error;
use super::Parts;

/// What listeners show, by the identity's name.
pub(super) type Servers = BTreeMap<String, Vec<ServerIdentities>>;

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
) -> Result<(Vec<Bound<'a>>, Servers), Error> {
    let (mut bound, mut servers) = (Vec::new(), Servers::new());
    for listener in &config.listeners {
        let identity = listener.identity.as_ref().and_then(|i| parts.identities.get(&i.value));
        let server = identity.map(|identity| ServerIdentities::new(identity, &[]));
        let tls = server.as_ref().map(ServerIdentities::config).transpose();
        if let (Some(identity), Some(server)) = (identity, server) {
            servers.entry(identity.name().to_owned()).or_default().push(server);
        }
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
    Ok((bound, servers))
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
