//! Space taken ahead (rule J5): a file beside the database that goes when a write meets a full disk, so that this is
//! seen and said while there is still room for several thousand events.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::FallocateFlags;
use tracing::error;
use tracing::info;
use tracing::warn;

use super::shared::Shared;
use super::shared::Weakness;

/// How much is taken.
const BYTES: u64 = 16 << 20;

/// How much must be left beside it, or the file itself would fill the disk.
const LEFT: u64 = 16 << 20;

/// From one look whether there is space for it to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// The file.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    there: bool,
    next_look: Instant,
    /// Why there is none, as it was said.
    said: Option<String>,
}

impl Reserve {
    /// That of a database. It is made a moment after the start.
    pub(super) fn of(database: &Path) -> Self {
        let next_look = Instant::now() + Duration::from_millis(500);
        Self {
            path: database.with_file_name("outbox.reserve"),
            there: false,
            next_look,
            said: None,
        }
    }

    /// How long until it should be looked after.
    pub(super) fn patience(&self) -> Duration {
        if self.there {
            return Duration::MAX;
        }
        self.next_look.saturating_duration_since(Instant::now())
    }

    /// Lets it go, if it is there, and says so. Says whether that made any room.
    pub(super) fn let_go(&mut self, shared: &Shared) -> bool {
        self.next_look = Instant::now() + BETWEEN_LOOKS;
        let removed = fs::remove_file(&self.path).is_ok();
        self.there = false;
        shared.metrics.reserve(false);
        if removed {
            let words = "the disk is full: the outbox lives on its reserve, which is 16 MiB";
            shared.weaken(Weakness::Reserve, words);
            error!(
                reserve = %self.path.display(),
                "The disk is full, the outbox goes on with the space it had in reserve: make room"
            );
            self.said = Some(words.to_owned());
        }
        removed
    }

    /// Makes it, where it is missing and there is space for it.
    pub(super) fn look_after(&mut self, shared: &Shared) {
        if !self.patience().is_zero() {
            return;
        }
        self.next_look = Instant::now() + BETWEEN_LOOKS;
        match self.make() {
            Ok(()) => {
                self.there = true;
                shared.metrics.reserve(true);
                shared.mend(Weakness::Reserve);
                if self.said.take().is_some() {
                    info!("There is space again, and some of it in reserve");
                }
            }
            Err(error) => {
                shared.metrics.reserve(false);
                let words = format!("there is no space in reserve for a full disk: {error}");
                if self.said.is_none() {
                    warn!(%error, reserve = %self.path.display(), "No space could be taken in reserve");
                    shared.weaken(Weakness::Reserve, words.clone());
                    self.said = Some(words);
                }
            }
        }
    }

    fn make(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|file| file.len() == BYTES) {
            return Ok(());
        }
        let directory = self.path.parent().unwrap_or(&self.path);
        let disk = rustix::fs::statvfs(directory)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < BYTES + LEFT {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{} MiB are free, and 32 are needed", free >> 20),
            ));
        }
        let made = self.fill();
        if made.is_err() {
            // A part of it is space that nobody can use.
            fs::remove_file(&self.path).ok();
        }
        made
    }

    fn fill(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
            Ok(()) => return Ok(()),
            // Some file systems cannot promise space; there the bytes themselves take it.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        let piece = vec![0x5a; 1 << 20];
        for _ in 0..BYTES >> 20 {
            file.write_all(&piece)?;
        }
        file.sync_data()
    }
}
