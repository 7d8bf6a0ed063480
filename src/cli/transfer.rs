//! `events export` and `events import`: going back a version.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;

use crate::outbox;

use super::Exit;
use super::Failure;
use super::Source;
use super::run;
use super::say;

/// From where to where.
#[derive(Debug, Args)]
pub(super) struct Transfer {
    /// The file; `-` or nothing is standard output, or input
    file: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

impl Transfer {
    pub(super) fn export(&self) -> Result<(), Failure> {
        let (directory, file) = self.ends()?;
        let done = match file {
            Some(file) => {
                let to = File::create_new(file).map_err(|error| unopened(&error, file))?;
                let done = outbox::export(&directory, &mut BufWriter::new(&to));
                // Whoever goes back a version removes the old state next.
                done.and_then(|done| {
                    to.sync_all().map_err(|source| outbox::Error::Lines { source }).map(|()| done)
                })
            }
            None => outbox::export(&directory, &mut BufWriter::new(io::stdout().lock())),
        };
        ended(done, "exported")
    }

    pub(super) fn import(&self) -> Result<(), Failure> {
        let (directory, file) = self.ends()?;
        let done = match file {
            Some(file) => {
                let from = File::open(file).map_err(|error| unopened(&error, file))?;
                outbox::import(&directory, &mut BufReader::new(from))
            }
            None => outbox::import(&directory, &mut io::stdin().lock()),
        };
        ended(done, "imported")
    }

    /// The outbox, and the file if it is not a standard stream.
    fn ends(&self) -> Result<(PathBuf, Option<&Path>), Failure> {
        let config = run::load_anywhere(&self.source)?;
        let file = self.file.as_deref().filter(|file| *file != Path::new("-"));
        Ok((config.state_directory.join("outbox"), file))
    }
}

fn unopened(error: &io::Error, file: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("pushbell: could not open {}: {error}", file.display()))
}

fn ended(done: Result<outbox::Transferred, outbox::Error>, verb: &str) -> Result<(), Failure> {
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
