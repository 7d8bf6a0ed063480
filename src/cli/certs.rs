use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use time::OffsetDateTime;

use crate::app;
use crate::app::AuthorityState;
use crate::app::Making;
use crate::app::Parts;
use crate::certs::show;
use crate::certs::show::Row;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Located;

use super::Exit;
use super::Failure;
use super::Source;
use super::print;
use super::run;
use super::say;

/// Make, show and trust certificates
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
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
    Init(Init),
    /// Show what expires when: name, names covered, issuer, expiry, days left, where used
    Show(Source),
    /// Print the commands by which docker, podman, containerd and others come to trust the local CA
    Trust(Source),
}

#[derive(Debug, Args)]
struct Init {
    /// Where the CA and its certificates go, in the place of what the configuration says
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Init(init) => make(init),
        Command::Show(source) => list(source),
        Command::Trust(source) => trust(source),
    }
}

/// The configuration; to make and show certificates nobody has to say where the registry is.
fn load(source: &Source) -> Result<Config, Failure> {
    let mut source = source.clone();
    if source.config.is_none() && source.overrides.upstream.is_none() {
        source.overrides.upstream = Some("http://127.0.0.1:5000".to_owned());
    }
    Ok(run::load(&source)?)
}

fn make(init: &Init) -> Result<(), Failure> {
    let mut config = load(&init.source)?;
    if let Some(wanted) = &init.directory {
        for identity in &mut config.identities {
            if let IdentityOrigin::LocalCa { directory, .. } = &mut identity.origin {
                directory.value.clone_from(wanted);
            }
        }
    }
    let parts = Parts::load(&config, Making::Allowed)?;
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

fn list(source: &Source) -> Result<(), Failure> {
    let config = load(source)?;
    let parts = Parts::load(&config, Making::Forbidden)?;
    print(table(&config, &parts).as_bytes())
}

fn trust(source: &Source) -> Result<(), Failure> {
    let config = load(source)?;
    let parts = Parts::load(&config, Making::Forbidden)?;
    if parts.authorities.values().any(|ca| ca.state == AuthorityState::Pending) {
        say(
            "The CA has not been made yet; `pushbell certs init` or the first `pushbell run` does that.",
        );
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
            say(&format!("{name} has not been made yet; `pushbell certs init` does that"));
            continue;
        };
        let listeners = config.listeners.iter().filter(|l| is(&l.identity, name));
        let mut used: Vec<String> =
            listeners.map(|l| format!("listener {}", l.address.value)).collect();
        let endpoints = config.endpoints.iter().filter(|e| is(&e.tls.identity, name));
        used.extend(endpoints.map(|e| format!("endpoint {}", e.name.value)));
        if is(&config.registry.tls.identity, name) {
            used.push("upstream".to_owned());
        }
        rows.push(Row::of(loaded, used));
    }
    show::table(&rows, OffsetDateTime::now_utc())
}
