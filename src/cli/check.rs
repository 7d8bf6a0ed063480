use clap::Args;

use crate::app;
use crate::app::Making;
use crate::app::Parts;
use crate::ingest::Kind;

use super::Exit;
use super::Failure;
use super::Source;
use super::print;
use super::run;

/// Read the configuration, load every certificate and secret, and say what would happen
///
/// Opens no socket and writes nothing. Exits with 64 and every problem at once, each with file, line, column, key, and what would be right.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pushbell check --config pushbell.yaml\n  \
                        pushbell check --upstream http://127.0.0.1:5000 --webhook https://build.example.com/hook")]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Print what belongs in the configuration of a registry of this kind, so that it tells us
    #[arg(long, value_name = "KIND", value_parser = kind)]
    print_registry_config: Option<Kind>,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let config = run::load(&arguments.source)?;
    let parts = Parts::load(&config, Making::Forbidden)?;
    app::verify(&config, &parts)?;
    if let Some(kind) = arguments.print_registry_config {
        let text = app::registry_config(&config, &parts, kind)
            .map_err(|message| Failure { exit: Exit::Usage, message })?;
        return print(text.as_bytes());
    }
    print(app::describe(&config, &parts).as_bytes())
}

fn kind(word: &str) -> Result<Kind, String> {
    Kind::of(word).ok_or_else(|| format!("there is `{}`", Kind::Distribution))
}
