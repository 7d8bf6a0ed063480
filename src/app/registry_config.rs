//! What belongs in the registry's own configuration, so that it sends us its notifications.

use std::fmt::Write as _;

use http::HeaderName;

use crate::config;
use crate::config::Address;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Serve;
use crate::ingest::Kind;
use crate::ingest::PATH;
use crate::ingest::Wanted;
use crate::ingest::auth::Credential;
use crate::ingest::auth::Scheme;

use super::Parts;

/// The lines for the configuration of a registry of this kind, ready to be pasted but for the secrets.
///
/// # Errors
///
/// What is missing, in words: a listener, a source, or a kind that is configured in a file at all.
pub fn registry_config(config: &Config, parts: &Parts, kind: Kind) -> Result<String, String> {
    if kind != Kind::Distribution {
        return Err(format!(
            "`{kind}` is not configured by a file of its own: there is only `{}`",
            Kind::Distribution
        ));
    }
    let sources: Vec<_> =
        config.sources.iter().filter(|source| source.kind == Wanted::Kind(kind)).collect();
    if sources.is_empty() {
        return Err(format!(
            "there is no source of the kind `{kind}`: write `sources: [{{ name: from-registry, kind: {kind}, auth: {{ bearer_file: … }} }}]`"
        ));
    }
    let hooks = config.listeners.iter().find(|listener| listener.serves.contains(&Serve::Hooks));
    let base = hooks.and_then(|listener| base(config, listener));
    let base = base.ok_or_else(|| {
        "the registry can only call a TCP port: write a listener for `hooks` with one".to_owned()
    })?;
    let mut text = String::from(
        "# For the configuration of the registry (Docker Distribution 2.7 or later). Put the secrets where `<…>` stands.\n",
    );
    if base.starts_with("https:") {
        for authority in parts.authorities.values() {
            // Writing to a `String` cannot fail.
            writeln!(
                text,
                "# The registry has to trust {}: start it with SSL_CERT_FILE naming that file.",
                authority.certificate.display()
            )
            .ok();
        }
    }
    text.push_str("notifications:\n  endpoints:\n");
    for source in sources {
        endpoint(&mut text, &base, source);
    }
    Ok(text)
}

fn endpoint(text: &mut String, base: &str, source: &config::NotificationSource) {
    let name = &source.name.value;
    let mut url = format!("{base}{PATH}{name}");
    let mut headers = Vec::new();
    let authorization = |value| ("Authorization", value);
    for (scheme, place) in &source.shows {
        match scheme {
            Scheme::Bearer => {
                headers.push(authorization(format!("Bearer <the token in {place}>")));
            }
            Scheme::Basic => {
                let value = format!("Basic <base64 of user:password, the password in {place}>");
                headers.push(authorization(value));
            }
            Scheme::PathToken => write!(url, "/<the secret in {place}>").unwrap_or_default(),
            Scheme::Header => {
                let name = source.credentials.iter().find_map(Credential::header_name);
                let name = name.map_or("Authorization", HeaderName::as_str);
                headers.push((name, format!("<the secret in {place}>")));
            }
            Scheme::Signature | Scheme::StandardWebhooks | Scheme::GoogleToken => {}
        }
    }
    let mut line = |words: &str| writeln!(text, "{words}").unwrap_or_default();
    line(&format!("    - name: pushbell-{name}"));
    line(&format!("      url: {url}"));
    if !headers.is_empty() {
        line("      headers:");
    }
    for (name, value) in headers {
        line(&format!("        {name}: [\"{value}\"]"));
    }
    // An answer takes milliseconds; what is not taken is tried again, and again, until it is.
    line("      timeout: 5s");
    line("      threshold: 3");
    line("      backoff: 1s");
    // Pulls and blobs are nobody's event.
    line("      ignore:");
    line("        actions: [pull]");
    line("        mediatypes: [application/octet-stream]");
}

/// `scheme://host:port` of a listener, by a name that its certificate covers.
fn base(config: &Config, listener: &config::Listener) -> Option<String> {
    let Address::Tcp(address) = listener.address.value else {
        return None;
    };
    let identity = listener.identity.as_ref().and_then(|name| config.identity(&name.value));
    let names = match identity.map(|identity| &identity.origin) {
        Some(IdentityOrigin::LocalCa { names, .. }) => &names[..],
        Some(IdentityOrigin::Acme(acme)) => &acme.names[..],
        Some(IdentityOrigin::Files { .. }) | None => &[],
    };
    let ip = address.ip().to_canonical();
    let own = match ip.is_loopback() {
        true => "localhost".to_owned(),
        false if ip.is_unspecified() => config.registry.name.value.host().to_owned(),
        false if ip.is_ipv6() => format!("[{ip}]"),
        false => ip.to_string(),
    };
    let covered = |name: &&String| **name == own || !name.starts_with("*.");
    let host = if names.is_empty() || names.contains(&own) {
        own
    } else {
        names.iter().find(covered).cloned().unwrap_or(own)
    };
    let scheme = if listener.identity.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{host}:{}", address.port()))
}
