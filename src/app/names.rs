//! Whether clients are content with the certificates that listeners show them.

use std::net::IpAddr;

use crate::admin::Hosts;
use crate::certs::Purpose;
use crate::certs::covers;
use crate::certs::list_names;
use crate::config;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Located;
use crate::config::Place;
use crate::config::Problem;
use crate::config::Problems;
use crate::config::Serve;
use crate::telemetry::chain;

use super::Parts;

/// A certificate that clients refuse.
pub(super) struct Mistake {
    place: Place,
    pub(super) words: String,
    remedy: String,
    pub(super) sureness: Sureness,
}

/// Whether it is a mistake for certain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sureness {
    /// No client succeeds.
    Certain,
    /// Some may: something in front of us shows another certificate, or another listener does.
    Perhaps,
}

/// What cannot be left as it is; what may be right is said by [`describe()`](super::describe()).
///
/// # Errors
///
/// Every listener that no client could use, with its place in the configuration.
pub fn verify(config: &Config, parts: &Parts) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for mistake in mistakes(config, parts) {
        if mistake.sureness == Sureness::Certain {
            problems.add(Problem::new(mistake.place, mistake.words, mistake.remedy));
        }
    }
    problems.unless_any(())
}

/// Certificates that clients refuse, because they type a name that is not in them, or because they are not for
/// servers.
pub(super) fn mistakes(config: &Config, parts: &Parts) -> Vec<Mistake> {
    let host = config.registry.name.value.host();
    let registry: Vec<&config::Listener> =
        config.listeners.iter().filter(|l| l.serves.contains(&Serve::Registry)).collect();
    let somebody_succeeds =
        registry.iter().any(|listener| unnamed(config, parts, listener, host).is_none());
    let misnamed = registry.iter().filter_map(|listener| {
        let (shown, names) = unnamed(config, parts, listener, host)?;
        let elsewhere = somebody_succeeds || has_front(listener);
        Some(Mistake {
            place: shown.place.clone(),
            words: format!(
                "clients that type {host} refuse the identity {} at {}: it is for {names}",
                shown.value, listener.address.value,
            ),
            remedy: format!(
                "use a certificate for {host}, or correct `registry.name`; or, if a load balancer in front ends \
                 TLS, name it in `trusted_proxies`"
            ),
            sureness: if elsewhere { Sureness::Perhaps } else { Sureness::Certain },
        })
    });
    let unfit = config.listeners.iter().flat_map(|listener| {
        listener.all_identities().filter_map(move |shown| {
            let error =
                parts.identities.get(&shown.value)?.check_purpose(Purpose::Servers).err()?;
            let sureness = if has_front(listener) { Sureness::Perhaps } else { Sureness::Certain };
            let remedy = "have it issued with serverAuth, or show another identity here".to_owned();
            Some(Mistake { place: shown.place.clone(), words: chain(&error), remedy, sureness })
        })
    });
    misnamed.chain(unfit).collect()
}

/// Whether something in front of the listener speaks HTTP, and so ends TLS: clients see its certificate. One that
/// passes TLS on says who the client is by the PROXY protocol alone.
fn has_front(listener: &config::Listener) -> bool {
    !listener.trusted_proxies.is_empty() && !listener.proxy_protocol
}

/// What a listener shows to clients that type `host`, and the names it is for, if `host` is not among them.
fn unnamed<'a>(
    config: &Config,
    parts: &Parts,
    listener: &'a config::Listener,
    host: &str,
) -> Option<(&'a Located<String>, String)> {
    // Plain HTTP, for something that ends TLS.
    let default = listener.identity.as_ref()?;
    // Clients ask for a name, and never for an address (RFC 6066 §3): then the default is shown.
    let by_name = host.parse::<IpAddr>().is_err();
    let shown = listener.all_identities().take(if by_name { usize::MAX } else { 1 });
    let mut names = shown.map(|shown| names(config, parts, shown));
    if names.any(|names| covers(&names, host)) {
        return None;
    }
    Some((default, list_names(self::names(config, parts, default))))
}

/// What the pages of a listener are known by: every name of its certificates, and what the operator added.
pub(super) fn hosts(config: &Config, parts: &Parts, listener: &config::Listener) -> Hosts {
    let shown = listener.all_identities().flat_map(|shown| names(config, parts, shown));
    Hosts::new(shown.chain(config.admin_hosts.iter().cloned()).collect())
}

/// The names that an identity is for, or will be once it is there.
fn names(config: &Config, parts: &Parts, name: &str) -> Vec<String> {
    if let Some(loaded) = parts.identities.get(name) {
        return loaded.names().to_vec();
    }
    match config.identity(name).map(|identity| &identity.origin) {
        Some(IdentityOrigin::LocalCa { names, .. }) => names.clone(),
        Some(IdentityOrigin::Acme(acme)) => acme.names.clone(),
        Some(IdentityOrigin::Files { .. }) | None => Vec::new(),
    }
}
