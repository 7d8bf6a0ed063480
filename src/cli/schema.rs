use clap::Args;
use clap::Subcommand;

use crate::config;
use crate::event::schema::Envelope;

use super::Failure;
use super::print;

/// Print a JSON Schema: of the configuration file, or of the native event
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pushbell schema config >pushbell.schema.json\n  \
                        pushbell schema event >event.schema.json")]
pub(super) struct Arguments {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// The configuration file, for an editor that checks while you type
    Config,
    /// The CloudEvents envelope that the native dialect sends, for receivers
    Event,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let schema = match arguments.of {
        Of::Config => config::schema(),
        Of::Event => schemars::schema_for!(Envelope).to_value(),
    };
    print(format!("{schema:#}\n").as_bytes())
}
