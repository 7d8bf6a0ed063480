use std::fmt::Write as _;

use clap::Args;
use clap::builder::PossibleValue;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;

use crate::delivery::Preset;

use super::Failure;
use super::print;

/// Show the receivers that are known by name, with an endpoint of each to paste
///
/// Without a name: all of them, as the list `endpoints` of a configuration. With one: its page.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pushbell presets\n  pushbell presets kargo-artifactory")]
pub(super) struct Arguments {
    /// What to create there, the endpoint, and how to see that it works, in Markdown
    #[arg(value_name = "NAME", value_parser = presets(), hide_possible_values = true)]
    name: Option<Preset>,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let text = arguments.name.map_or_else(all, Preset::page);
    print(text.as_bytes())
}

fn all() -> String {
    let mut text = String::from("endpoints:\n");
    for preset in Preset::ALL {
        // Writing to a string does not fail.
        write!(text, "  # {}\n{}", preset.about(), preset.example()).ok();
    }
    text
}

fn presets() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.iter().map(|preset| PossibleValue::new(preset.as_str())))
        .try_map(|word| Preset::of(&word).ok_or("no such preset"))
}
