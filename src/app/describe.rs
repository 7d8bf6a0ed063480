use std::collections::BTreeSet;
use std::fmt::Write as _;

use time::OffsetDateTime;

use crate::certs;
use crate::certs::date;
use crate::certs::list_names;
use crate::config;
use crate::config::Address;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Serve;
use crate::delivery;
use crate::ingest::Wanted;

use super::AuthorityState;
use super::Parts;
use super::names::mistakes;

/// What would happen with this configuration, a line each, for `pushbell check`.
#[must_use]
pub fn describe(config: &Config, parts: &Parts) -> String {
    let mut text = String::new();
    let mut line = |what: &str, words: String| {
        // Writing to a `String` cannot fail.
        writeln!(text, "{what:<10}{words}").ok();
    };
    let registry = &config.registry;
    line("registry", format!("{} is {}", registry.name.value, registry.upstream.value));
    for listener in &config.listeners {
        let serves: Vec<&str> = listener.serves.iter().map(|s| s.as_str()).collect();
        let names: Vec<&str> = listener.all_identities().map(|i| i.value.as_str()).collect();
        let with = match &names[..] {
            [] => "plain HTTP".to_owned(),
            [name] => format!("identity {name}"),
            [default, others @ ..] => {
                format!("identity {default}, or {} by name", others.join(" or "))
            }
        };
        let address = &listener.address.value;
        line("listener", format!("{address} serves {}, {with}", serves.join(" and ")));
    }
    for identity in &config.identities {
        line("identity", describe_identity(identity, parts));
    }
    for source in &config.sources {
        let registry = source.registry.clone();
        let registry = registry.unwrap_or_else(|| registry_of(config));
        let shown: Vec<&str> = source.credentials.iter().map(|c| c.scheme().as_str()).collect();
        let shown = if shown.is_empty() { "nothing".to_owned() } else { shown.join(" and ") };
        let name = &source.name.value;
        let kind = match source.kind {
            Wanted::Auto => "whatever each notification looks like",
            Wanted::Kind(kind) => kind.as_str(),
        };
        line("source", format!("{name} speaks {kind} for {registry}, and shows {shown}"));
    }
    for (endpoint, loaded) in config.endpoints.iter().zip(&parts.endpoints) {
        line("endpoint", describe_endpoint(endpoint, loaded));
    }
    if config.endpoints.is_empty() {
        line("endpoint", "none: events are kept, and nobody is told".to_owned());
    }
    line("state", config.state_directory.display().to_string());
    for mistake in mistakes(config, parts) {
        line("warning", mistake.words);
    }
    text.push_str("The configuration is good.\n");
    text
}

fn registry_of(config: &Config) -> String {
    config.registry.name.value.to_string()
}

fn describe_identity(identity: &config::Identity, parts: &Parts) -> String {
    let name = &identity.name.value;
    let Some(loaded) = parts.identities.get(name) else {
        return match &identity.origin {
            IdentityOrigin::LocalCa { names, directory } => {
                let state = parts.authorities.get(&directory.value).map(|a| a.state);
                let ca = match state {
                    Some(AuthorityState::Existing) => "is",
                    _ => "would be made",
                };
                let anew = parts.unusable.get(name).map(|why| format!(" anew ({why})"));
                format!(
                    "{name} for {} would be made{}; its CA {ca} in {}",
                    list_names(names),
                    anew.unwrap_or_default(),
                    directory.display()
                )
            }
            IdentityOrigin::Acme(acme) => format!(
                "{name} for {} would be ordered from {}, validated by {}{}",
                list_names(&acme.names),
                acme.directory.value,
                acme.challenge.as_str(),
                parts.unusable.get(name).map(|why| format!(" ({why})")).unwrap_or_default(),
            ),
            IdentityOrigin::Files { .. } => format!("{name} is not loaded"),
        };
    };
    let left = (loaded.not_after() - OffsetDateTime::now_utc()).whole_days();
    format!(
        "{name} for {}, issued by {}, until {} ({left} days left)",
        list_names(loaded.names()),
        certs::printable(loaded.issuer()),
        date(loaded.not_after()),
    )
}

fn describe_endpoint(endpoint: &config::Endpoint, loaded: &delivery::Endpoint) -> String {
    // A path that a preset adds is in its documentation, one that the operator wrote can be a secret.
    let bare = matches!(endpoint.url.value.uri().path(), "" | "/");
    let url = match endpoint.preset {
        Some(_) if bare => loaded.url.to_string(),
        _ => endpoint.url.value.to_string(),
    };
    let dialect = loaded.dialect.as_str();
    let mut words = format!("{} at {url}, dialect {dialect}", endpoint.name.value);
    match &endpoint.sign {
        Some(sign) => {
            let how = if sign.scheme.signs() { "signed" } else { "known" };
            words.push_str(&format!(", {how} by {}", sign.scheme.as_str()));
        }
        None => words.push_str(", not signed"),
    }
    if let Some(identity) = &endpoint.tls.identity {
        words.push_str(&format!(", client certificate {}", identity.value));
    }
    if let Some(proxy) = &endpoint.proxy {
        let url = proxy.url.to_string();
        let url = url.trim_end_matches('/');
        words.push_str(&format!(", through {url}, which decides what may be reached"));
    }
    match &endpoint.tls.ca {
        Some(ca) => words.push_str(&format!(", trusts {}", ca.display())),
        None => words.push_str(", trusts the system's CAs"),
    }
    words
}

/// How clients come to trust the local CAs that listeners show, for `pushbell certs trust` and a first run.
#[must_use]
pub fn trust(config: &Config, parts: &Parts) -> String {
    let mut text = String::new();
    for (directory, authority) in &parts.authorities {
        let signs = |name: &str| {
            config.identity(name).is_some_and(|identity| {
                matches!(&identity.origin, IdentityOrigin::LocalCa { directory: d, .. } if d.value == *directory)
            })
        };
        let listeners = config.listeners.iter().filter(|listener| {
            listener.serves.contains(&Serve::Registry)
                && listener.all_identities().any(|i| signs(&i.value))
        });
        let mut hosts = BTreeSet::new();
        for listener in listeners {
            hosts.insert(config.registry.name.value.to_string());
            hosts.extend(typed_address(&listener.address.value));
        }
        if hosts.is_empty() {
            continue;
        }
        let hosts: Vec<String> = hosts.into_iter().collect();
        text.push_str(&certs::trust::commands(&hosts, &authority.certificate));
    }
    text
}

/// The address itself, where a client on this machine can type it.
fn typed_address(address: &Address) -> Option<String> {
    match address {
        Address::Tcp(address) if address.port() != 0 && !address.ip().is_unspecified() => {
            Some(address.to_string())
        }
        _ => None,
    }
}
