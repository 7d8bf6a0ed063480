use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

use crate::outbox;

use super::Exit;
use super::Failure;
use super::Source;
use super::run;
use super::say;

/// Takes all events and whom they are owed to out of the state directory, or into a new one.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Write them as lines of JSON, to a file or to standard output
    ///
    /// Pushbell may run meanwhile; what it tells and takes in after that is not in it. To go back a version, stop it
    /// first.
    Export(Transfer),
    /// Read them from a file or from standard input, into a state directory that has no events
    ///
    /// Pushbell must not run on it. Either all of it is taken in, or nothing.
    Import(Transfer),
}

#[derive(Debug, Args)]
pub(super) struct Transfer {
    /// The file; `-` or nothing is standard output, or input
    file: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn main(what: &What) -> Result<(), Failure> {
    let (What::Export(transfer) | What::Import(transfer)) = what;
    let config = run::load_anywhere(&transfer.source)?;
    let directory = config.state_directory.join("outbox");
    let file = transfer.file.as_deref().filter(|file| *file != Path::new("-"));
    let opened = |source: io::Error, file: &Path| {
        Failure::new(Exit::Failed, format!("pushbell: could not open {}: {source}", file.display()))
    };
    let (done, verb) = match (what, file) {
        (What::Export(_), Some(file)) => {
            let to = File::create_new(file).map_err(|error| opened(error, file))?;
            let done = outbox::export(&directory, &mut BufWriter::new(&to));
            // Whoever goes back a version removes the old state next.
            let done = done.and_then(|done| {
                to.sync_all().map_err(|source| outbox::Error::Lines { source }).map(|()| done)
            });
            (done, "exported")
        }
        (What::Export(_), None) => {
            (outbox::export(&directory, &mut BufWriter::new(io::stdout().lock())), "exported")
        }
        (What::Import(_), Some(file)) => {
            let from = File::open(file).map_err(|error| opened(error, file))?;
            (outbox::import(&directory, &mut BufReader::new(from)), "imported")
        }
        (What::Import(_), None) => {
            (outbox::import(&directory, &mut io::stdin().lock()), "imported")
        }
    };
    let done = done.map_err(|error| {
        let exit =
            if matches!(error, outbox::Error::Line { .. }) { Exit::Data } else { Exit::Failed };
        Failure::of(exit, &error)
    })?;
    say(&format!(
        "pushbell: {verb} {} events, {} deliveries still owed, {} pushes of unknown end",
        done.events, done.owed, done.intents
    ));
    Ok(())
}
