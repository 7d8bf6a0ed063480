use std::path;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use time::OffsetDateTime;

use crate::app;
use crate::app::AuthorityState;
use crate::app::Making;
use crate::app::Parts;
use crate::certs::CaKey;
use crate::certs::show;
use crate::certs::show::Row;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Listener;
use crate::config::Located;
use crate::delivery::Signer;

use super::Exit;
use super::Failure;
use super::Source;
use super::print;
use super::run;
use super::say;

/// Make, show and trust certificates
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "Examples:\n  pushbell certs show --config pushbell.yaml\n  \
                        pushbell certs trust --state-directory /var/lib/pushbell")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the local CA and its certificates that are not there yet
    ///
    /// Each identity of the configuration that says `local_ca` gets a certificate; without a configuration
    /// one named `registry` is made for localhost. `run` does the same at its start.
    #[command(after_help = "Examples:\n  pushbell certs init --config pushbell.yaml\n  \
                            pushbell certs init --registry-name registry.example.com --directory certs")]
    Init(Place),
    /// Make the certificates of local CAs anew
    ///
    /// A running Pushbell shows them within seconds, and renews them by itself when two thirds of their life
    /// are over.
    #[command(after_help = "Examples:\n  pushbell certs renew --config pushbell.yaml\n  \
                            pushbell certs renew --ca --config pushbell.yaml\n  \
                            pushbell certs renew --ca --new-key --config pushbell.yaml")]
    Renew(Renew),
    /// Show what expires when: name, names covered, issuer, expiry, days left, where used
    #[command(after_help = "Example:\n  pushbell certs show --config pushbell.yaml")]
    Show(Place),
    /// Print the commands by which docker, podman, containerd and others come to trust the local CA
    #[command(after_help = "Examples:\n  pushbell certs trust\n  \
                            pushbell certs trust --config pushbell.yaml")]
    Trust(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// Where the CA and its certificates are, in the place of what the configuration says
    /// [default: `certs` in the state directory]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Args)]
struct Renew {
    /// Make the CA's own certificate anew as well, for the names of today; it keeps its key, so whoever trusts
    /// the old certificate goes on accepting us under the old names
    #[arg(long)]
    ca: bool,
    /// Give the CA a new key, too: ca.pem then has both certificates, so that whoever trusts it accepts those
    /// of the old key and of the new one; the new one issues
    #[arg(long, requires = "ca")]
    new_key: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Init(place) => make(place, Making::Allowed),
        Command::Renew(renew) => {
            let making = match (renew.ca, renew.new_key) {
                (true, true) => Making::Authorities(CaKey::Replace),
                (true, false) => Making::Authorities(CaKey::Keep),
                (false, _) => Making::Leaves,
            };
            make(&renew.place, making)
        }
        Command::Show(place) => list(place),
        Command::Trust(place) => trust(place),
    }
}

/// The configuration, with every local CA where the command line says.
fn load(place: &Place) -> Result<Config, Failure> {
    let mut config = run::load_anywhere(&place.source)?;
    if let Some(wanted) = &place.directory {
        let wanted = path::absolute(wanted).unwrap_or_else(|_| wanted.clone());
        for identity in &mut config.identities {
            if let IdentityOrigin::LocalCa { directory, .. } = &mut identity.origin {
                directory.value.clone_from(&wanted);
            }
        }
    }
    Ok(config)
}

fn make(place: &Place, making: Making) -> Result<(), Failure> {
    let config = load(place)?;
    let parts = Parts::load(&config, making)?;
    if parts.authorities.is_empty() {
        let message = "pushbell: no identity of the configuration says `local_ca`; nothing to make";
        return Err(Failure::new(Exit::Usage, message));
    }
    for authority in parts.authorities.values() {
        let how = match authority.state {
            AuthorityState::Made => "made",
            AuthorityState::Existing | AuthorityState::Pending => "was there",
        };
        say(&format!("CA {} {how}", authority.certificate.display()));
    }
    print(table(&config, &parts).as_bytes())
}

fn list(place: &Place) -> Result<(), Failure> {
    let config = load(place)?;
    let parts = Parts::load(&config, Making::Forbidden)?;
    print((table(&config, &parts) + &public_keys(&parts)).as_bytes())
}

/// What receivers check Ed25519 signatures with.
fn public_keys(parts: &Parts) -> String {
    let mut text = String::new();
    for endpoint in &parts.endpoints {
        for key in endpoint.signer.iter().flat_map(Signer::public_keys) {
            if text.is_empty() {
                text.push_str("\nPUBLIC KEY\n");
            }
            text.push_str(&format!("{key}  endpoint {}\n", endpoint.name));
        }
    }
    text
}

fn trust(place: &Place) -> Result<(), Failure> {
    let config = load(place)?;
    let parts = Parts::load(&config, Making::Forbidden)?;
    if parts.authorities.values().any(|ca| ca.state == AuthorityState::Pending) {
        say(
            "The CA has not been made yet; `pushbell certs init` or the first `pushbell run` does that.",
        );
    }
    if config.registry.name.value.port() == Some(0) {
        let message = "pushbell: the system chooses the port anew at each start: name the one it chose with \
                       `--listen`, as `pushbell run` says it";
        return Err(Failure::new(Exit::Usage, message));
    }
    let text = app::trust(&config, &parts);
    if text.is_empty() {
        let message = "pushbell: no listener shows a certificate of a local CA; clients trust what the \
                       CA of your certificates tells them to";
        return Err(Failure::new(Exit::Failed, message));
    }
    print(text.as_bytes())
}

/// One row per identity that is there, and where each is used.
fn table(config: &Config, parts: &Parts) -> String {
    let is = |used: &Option<Located<String>>, name: &str| {
        used.as_ref().is_some_and(|used| used.value == name)
    };
    let mut rows = Vec::new();
    for identity in &config.identities {
        let name = identity.name.value.as_str();
        let Some(loaded) = parts.identities.get(name) else {
            let by_acme = matches!(identity.origin, IdentityOrigin::Acme(_));
            say(&match (parts.unusable.get(name), by_acme) {
                (Some(why), false) => format!("{name}: {why}; `pushbell certs init` makes it anew"),
                (None, false) => {
                    format!("{name} has not been made yet; `pushbell certs init` does that")
                }
                (Some(why), true) => format!("{name}: {why}; `pushbell run` orders it anew"),
                (None, true) => format!("{name} has not been issued yet; `pushbell run` orders it"),
            });
            continue;
        };
        let shows = |l: &&Listener| l.all_identities().any(|identity| identity.value == name);
        let listeners = config.listeners.iter().filter(shows);
        let mut used: Vec<String> =
            listeners.map(|l| format!("listener {}", l.address.value)).collect();
        let endpoints = config.endpoints.iter().filter(|e| is(&e.tls.identity, name));
        used.extend(endpoints.map(|e| format!("endpoint {}", e.name.value)));
        if is(&config.registry.tls.identity, name) {
            used.push("upstream".to_owned());
        }
        rows.push(Row::of(loaded, used));
    }
    rows.extend(parts.authorities.values().filter_map(|authority| authority.row.clone()));
    show::table(&rows, OffsetDateTime::now_utc())
}
