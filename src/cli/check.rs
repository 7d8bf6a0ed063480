use clap::Args;

use crate::app;
use crate::app::Making;
use crate::app::Parts;

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
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let config = run::load(&arguments.source)?;
    let parts = Parts::load(&config, Making::Forbidden)?;
    app::verify(&config, &parts)?;
    print(app::describe(&config, &parts).as_bytes())
}
