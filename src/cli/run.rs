use std::env;
use std::fs;

use clap::Args;
use tracing::info;

use crate::app;
use crate::app::Authority;
use crate::app::AuthorityState;
use crate::app::Making;
use crate::app::Parts;
use crate::app::Started;
use crate::certs::trust::quote;
use crate::config;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Problems;
use crate::points::Points;
use crate::telemetry;
use crate::telemetry::Colour;

use super::Exit;
use super::Failure;
use super::Overrides;
use super::Source;
use super::paint;
use super::say;

/// Run the sidecar
///
/// Listens for docker, podman and the like, forwards everything to the registry, and tells build services
/// of every push. Without a file it makes a CA and a certificate and says how clients come to trust it.
/// SIGTERM finishes what is under way and exits; a second one stops at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    pushbell run --upstream http://127.0.0.1:5000 --webhook https://build.example.com/hook\n  \
    pushbell run --config pushbell.yaml\n  \
    PUSHBELL_LOG=pushbell::delivery=debug pushbell run --config pushbell.yaml")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let source = &arguments.source;
    let config = load(source)?;
    let format = start_telemetry(&config)?;
    let parts = Parts { points: points(), ..Parts::load(&config, Making::Allowed)? };
    let authority = app::shown_authority(&config, &parts).cloned();
    let started = |started: &Started| {
        if let Some(authority) = &authority {
            announce(authority, started, &trust_command(source, &config, started), format);
        }
    };
    app::run(&config, parts, started).map_err(|error| {
        let failure = Failure::of(Exit::Failed, &error);
        failure.with_help(error.remedy())
    })
}

/// Tells whoever starts us how clients come to trust what we show them: in full when the CA is new, in a
/// line when it is not, and as a line of the log where programs read it.
fn announce(authority: &Authority, started: &Started, command: &str, format: telemetry::Format) {
    let ca = &authority.certificate;
    let new = authority.state == AuthorityState::Made;
    match format {
        telemetry::Format::Text if new => say(&app::welcome(started, ca, command)),
        telemetry::Format::Text => {
            say(&format!("Clients have to trust the CA in {}; how: {command}", ca.display()));
        }
        telemetry::Format::Json => info!(
            registry = started.registry,
            ca = %ca.display(),
            new,
            command,
            "Clients have to trust this CA; the command says how they come to"
        ),
    }
}

/// The command that prints how clients come to trust us, for what is running now.
fn trust_command(source: &Source, config: &Config, started: &Started) -> String {
    let mut words = vec!["pushbell certs trust".to_owned()];
    let mut option = |name: &str, value: String| words.push(format!("{name} {}", quote(&value)));
    if let Some(file) = &source.config {
        option("--config", file.display().to_string());
    }
    let overrides = &source.overrides;
    if overrides.registry_name.is_some() {
        option("--registry-name", started.registry.clone());
    }
    if let (Some(_), Some(address)) = (&overrides.listen, &started.address) {
        option("--listen", address.to_string());
    }
    // Whoever types it does not have the environment that a service manager made for us.
    if overrides.state_directory.is_some() || env::var_os("STATE_DIRECTORY").is_some() {
        option("--state-directory", config.state_directory.display().to_string());
    }
    words.join(" ")
}

/// The configuration from the file, if there is one, and the command line.
pub(super) fn load(source: &Source) -> Result<Config, Problems> {
    let overrides = source.overrides.checked();
    let environment = environment();
    match &source.config {
        Some(file) => Config::load(file, &overrides, &environment),
        None => Config::without_file(&overrides, &environment),
    }
}

/// The same for commands that have no business with the registry, so that nobody has to say where it is.
pub(super) fn load_anywhere(source: &Source) -> Result<Config, Problems> {
    let mut source = source.clone();
    if source.config.is_none() && source.overrides.upstream.is_none() {
        source.overrides.upstream = Some("http://127.0.0.1:5000".to_owned());
    }
    load(&source)
}

fn start_telemetry(config: &Config) -> Result<telemetry::Format, Failure> {
    let format = match config.log.format {
        Some(config::Format::Text) => telemetry::Format::Text,
        Some(config::Format::Json) => telemetry::Format::Json,
        None => telemetry::Format::suiting_stderr(),
    };
    let colour = match paint() {
        config::Paint::Colour => Colour::Allowed,
        config::Paint::Plain => Colour::Never,
    };
    let written = env::var("PUSHBELL_LOG").unwrap_or_default();
    let level = filter(config.log.level, written.trim()).ok_or_else(|| wrong_filter(&written))?;
    telemetry::start(&telemetry::Config { level, format, colour })
        .map_err(|_| wrong_filter(&written))?;
    Ok(format)
}

/// What is logged. An operator who needs more than a level for a while, or another, says it in the
/// environment: `debug`, or `pushbell::proxy=debug,pushbell::outbox=trace`.
fn filter(level: config::Level, written: &str) -> Option<String> {
    let word = |word: &str| config::Level::ALL.iter().copied().find(|level| level.as_str() == word);
    if written.is_empty() {
        return Some(directives(level));
    }
    if let Some(level) = word(written) {
        return Some(directives(level));
    }
    // To the library a word without a level is a part of the program, and then nothing else is logged.
    let clear = written.split(',').all(|one| one.contains('=') || word(one.trim()).is_some());
    clear.then(|| format!("{},{written}", directives(level)))
}

fn wrong_filter(written: &str) -> Failure {
    let written = telemetry::printable(written, 64);
    let message = format!("pushbell: `{written}` in $PUSHBELL_LOG does not say what is logged");
    let help = "write a level, `debug`, or levels of parts, `pushbell::proxy=debug,pushbell::outbox=trace`";
    Failure::new(Exit::Usage, message).with_help(Some(help.to_owned()))
}

/// A level is ours: at `debug`, the libraries below us would write a line for each frame of HTTP/2.
fn directives(level: config::Level) -> String {
    match level {
        config::Level::Debug | config::Level::Trace => format!("info,pushbell={}", level.as_str()),
        _ => level.as_str().to_owned(),
    }
}

/// The only place that reads the environment.
fn environment() -> Environment {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    Environment {
        variables: env::vars_os().collect(),
        directory: env::current_dir().unwrap_or_default(),
        hostname: hostname.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
        is_root: rustix::process::geteuid().is_root(),
    }
}

/// Where a test ends us.
#[cfg(debug_assertions)]
fn points() -> Points {
    let variable = |name| env::var(name).ok();
    Points::of(variable("PUSHBELL_POINT").as_deref(), variable("PUSHBELL_BEND").as_deref())
}

/// Nobody can choose any.
#[cfg(not(debug_assertions))]
fn points() -> Points {
    Points::default()
}

impl Overrides {
    fn checked(&self) -> config::Overrides {
        config::Overrides {
            upstream: self.upstream.clone(),
            registry_name: self.registry_name.clone(),
            listen: self.listen.clone(),
            admin: self.admin.clone(),
            state_directory: self.state_directory.clone(),
            webhooks: self.webhooks.clone(),
            webhook_secret_file: self.webhook_secret_file.clone(),
            webhook_ca: self.webhook_ca.clone(),
            webhook_insecure_http: self.webhook_insecure_http,
            log_level: self.log_level.clone(),
            log_format: self.log_format.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Level;

    use super::*;

    #[test]
    fn the_environment_says_what_is_logged_and_a_typing_mistake_does_not_silence_us() {
        for (level, written, expected) in [
            (Level::Info, "", Some("info")),
            (Level::Debug, "", Some("info,pushbell=debug")),
            (Level::Debug, "warn", Some("warn")),
            (Level::Info, "debug", Some("info,pushbell=debug")),
            (Level::Info, "pushbell::proxy=debug", Some("info,pushbell::proxy=debug")),
            (Level::Info, "warn,pushbell::proxy=debug", Some("info,warn,pushbell::proxy=debug")),
            (Level::Info, "loud", None),
            (Level::Info, "info,loud", None),
        ] {
            assert_eq!(filter(level, written).as_deref(), expected, "{level:?} {written}");
        }
    }
}
