//! What a person needs at the first start: where the CA is, and how the clients at hand come to trust it.

use std::path::Path;

use crate::certs::trust::quote;
use crate::config;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Serve;
use crate::listener;

use super::Authority;
use super::Parts;

/// A start that worked: every address is taken, nothing is served yet.
#[derive(Debug, Clone)]
pub struct Started {
    /// What clients type, with the port that the system chose where it was asked to choose one.
    pub registry: String,
    /// Where the registry is served.
    pub address: Option<listener::Address>,
}

/// The local CA behind what clients of the registry are shown, if it is one of ours.
#[must_use]
pub fn shown_authority<'a>(config: &Config, parts: &'a Parts) -> Option<&'a Authority> {
    let listeners = config.listeners.iter().filter(|l| l.serves.contains(&Serve::Registry));
    let mut shown = listeners.flat_map(config::Listener::all_identities);
    shown.find_map(|shown| {
        let identity = config.identity(&shown.value)?;
        match &identity.origin {
            IdentityOrigin::LocalCa { directory, .. } => parts.authorities.get(&directory.value),
            IdentityOrigin::Acme(_) | IdentityOrigin::Files { .. } => None,
        }
    })
}

/// The commands for docker, podman and containerd; `more` is the command that prints those for all others.
#[must_use]
pub fn welcome(started: &Started, ca: &Path, more: &str) -> String {
    let ca = quote(&ca.display().to_string());
    let host = started.registry.as_str();
    let install = |directory: &str| {
        let to = quote(&format!("{directory}/{host}/ca.crt"));
        format!("  install -Dm644 {ca} {to}\n")
    };
    let containerd = format!("/etc/containerd/certs.d/{host}");
    let hosts = quote(&format!("[host.\"https://{host}\"]\\n  ca = \"{containerd}/ca.crt\"\\n"));
    let mut text = format!("Clients have to trust the CA in {ca}. As root, where they run:\n");
    for (client, commands) in [
        ("docker", install("/etc/docker/certs.d")),
        ("podman, skopeo, buildah, CRI-O", install("/etc/containers/certs.d")),
        (
            "containerd, once its config.toml says config_path = \"/etc/containerd/certs.d\"",
            install("/etc/containerd/certs.d")
                + &format!("  printf {hosts} > {}\n", quote(&format!("{containerd}/hosts.toml"))),
        ),
        ("Kubernetes, whole systems, build services", format!("  {more}\n")),
    ] {
        text.push_str(&format!("# {client}\n{commands}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_names_the_port_that_was_bound() {
        let started = Started { registry: "localhost:41000".to_owned(), address: None };
        let text = welcome(&started, Path::new("/srv/a b/ca.pem"), "pushbell certs trust");
        for line in [
            "Clients have to trust the CA in '/srv/a b/ca.pem'. As root, where they run:",
            "  install -Dm644 '/srv/a b/ca.pem' /etc/docker/certs.d/localhost:41000/ca.crt",
            "  install -Dm644 '/srv/a b/ca.pem' /etc/containers/certs.d/localhost:41000/ca.crt",
            "  printf '[host.\"https://localhost:41000\"]\\n  \
             ca = \"/etc/containerd/certs.d/localhost:41000/ca.crt\"\\n' \
             > /etc/containerd/certs.d/localhost:41000/hosts.toml",
            "  pushbell certs trust",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n---\n{text}");
        }
        assert!(text.lines().count() <= 12, "short enough to be read:\n{text}");
    }
}
