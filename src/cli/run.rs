use std::env;
use std::fs;

use clap::Args;

use crate::app;
use crate::app::AuthorityState;
use crate::app::Making;
use crate::app::Parts;
use crate::config;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Problems;
use crate::telemetry;
use crate::telemetry::Colour;

use super::Exit;
use super::Failure;
use super::Overrides;
use super::Source;
use super::paint;
use super::print;

/// Run the sidecar
///
/// Listens for docker, podman and the like, forwards everything to the registry, and tells build services
/// of every push. Without a file it makes a CA and a certificate and says how clients come to trust it.
/// SIGTERM finishes what is under way and exits; a second one stops at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    pushbell run --upstream http://127.0.0.1:5000 --webhook https://build.example.com/hook\n  \
    pushbell run --config pushbell.yaml")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(&arguments.source)?;
    start_telemetry(&config)?;
    let parts = Parts::load(&config, Making::Allowed)?;
    let news = parts.authorities.values().any(|ca| ca.state == AuthorityState::Made);
    if news || arguments.source.config.is_none() {
        print(app::trust(&config, &parts).as_bytes())?;
    }
    app::run(&config, parts).map_err(|error| Failure::of(Exit::Failed, &error))
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

fn start_telemetry(config: &Config) -> Result<(), Failure> {
    let format = match config.log.format {
        Some(config::Format::Text) => telemetry::Format::Text,
        Some(config::Format::Json) => telemetry::Format::Json,
        None => telemetry::Format::suiting_stderr(),
    };
    let colour = match paint() {
        config::Paint::Colour => Colour::Allowed,
        config::Paint::Plain => Colour::Never,
    };
    // An operator who needs more than a level for a while says it in the environment.
    let level = env::var("PUSHBELL_LOG").unwrap_or_else(|_| config.log.level.as_str().to_owned());
    telemetry::start(&telemetry::Config { level, format, colour })
        .map_err(|error| Failure::of(Exit::Usage, &error))
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
