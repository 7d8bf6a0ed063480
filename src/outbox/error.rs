use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::event::IntentId;
use crate::event::schema::Unreadable;

use super::DeliveryId;

/// What the outbox can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory, or a file in it, cannot be made or looked at.
    #[error("could not use {}", path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put files in the directory, and with them events we never saw.
    #[error(
        "{} can be written by others (mode {mode:04o}): make it 0700, or name a folder inside it that does not exist yet",
        path.display()
    )]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The directory is on another machine's disk, where neither locks nor syncs can be trusted.
    #[error(
        "{} is on a network file system ({kind}): the outbox needs a local disk",
        path.display()
    )]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// Which kind.
        kind: &'static str,
    },
    /// Another process has the outbox open.
    #[error(
        "{} is in use by {holder}: stop it, or give this one a state directory of its own",
        path.display()
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, where it said so.
        pid: Option<u32>,
        /// The same in words, with the time it started.
        holder: String,
    },
    /// The SQLite we run on can lose committed data.
    #[error("SQLite {found} can lose committed data: 3.51.3 or newer is needed")]
    OldSqlite {
        /// The version in use.
        found: String,
    },
    /// A newer release wrote the file. It was not touched.
    #[error(
        "{} has format {found}, this release knows up to {known}: run the newer release, whose `pushbell events export` writes what `pushbell events import` of this one reads",
        database.display()
    )]
    Newer {
        /// The database.
        database: PathBuf,
        /// The format it has.
        found: i32,
        /// The last format we know.
        known: i32,
    },
    /// An older release wrote the file, and nobody has brought it to this one's format yet.
    #[error(
        "{} has format {found}, this release writes {known}: start it once, or use the release that wrote it",
        database.display()
    )]
    Older {
        /// The database.
        database: PathBuf,
        /// The format it has.
        found: i32,
        /// The format we write.
        known: i32,
    },
    /// Events can be taken in only where there are none yet.
    #[error("{} has events already: name a state directory that has none", database.display())]
    NotEmpty {
        /// The database.
        database: PathBuf,
    },
    /// The lines of an export cannot be read or written.
    #[error("could not read or write the events")]
    Lines {
        /// Why.
        source: io::Error,
    },
    /// A line of an export is not what it should be. Nothing was taken in.
    #[error("line {line} is not one of an export: {why}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// Why.
        why: String,
    },
    /// The file is a database, but not an outbox. It was not touched.
    #[error("{} is not an outbox: move it away, or name another state directory", database.display())]
    Foreign {
        /// The database.
        database: PathBuf,
    },
    /// The file is damaged, or there is none where there must be one. It is kept as it is.
    #[error(
        "{} is damaged: {detail}",
        database.display()
    )]
    Damaged {
        /// The database.
        database: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The database cannot be opened or prepared.
    #[error("could not open {}", database.display())]
    Open {
        /// The database.
        database: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A thread of the outbox cannot be started.
    #[error("could not start the outbox's thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The outbox has failed; nothing is durable that was not answered before.
    #[error("the outbox in {} does not take anything at the moment", database.display())]
    Failed {
        /// The database.
        database: PathBuf,
        /// Why, the same for everything that was waiting.
        source: Arc<Self>,
    },
    /// A transaction failed.
    #[error("could not write to {}", database.display())]
    Write {
        /// The database.
        database: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A query failed.
    #[error("could not read from {}", database.display())]
    Read {
        /// The database.
        database: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A stored event cannot be read back.
    #[error("could not read the stored event {sequence}")]
    Unreadable {
        /// Its place in the order of all.
        sequence: u64,
        /// Why.
        source: Unreadable,
    },
    /// A stored intent cannot be read back.
    #[error("could not read the stored intent {intent}")]
    UnreadableIntent {
        /// Its id.
        intent: IntentId,
        /// Why.
        source: Unreadable,
    },
    /// There is no such delivery.
    #[error("there is no delivery {delivery}")]
    UnknownDelivery {
        /// The id asked for.
        delivery: DeliveryId,
    },
    /// The outbox was closed.
    #[error("the outbox is closed")]
    Closed,
}

impl Error {
    /// Whether the same call may succeed later, as a full disk is freed or a mount comes back.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Write { .. } | Self::Read { .. })
    }
}

/// Whether SQLite says that the file itself is broken.
pub(super) fn means_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}

/// Whether the disk has no room.
pub(super) fn means_full(error: &Error) -> bool {
    let (Error::Write { source, .. } | Error::Open { source, .. } | Error::Read { source, .. }) =
        error
    else {
        return false;
    };
    match source {
        rusqlite::Error::SqliteFailure(error, _) => {
            error.code == rusqlite::ErrorCode::DiskFull
                || matches!(
                    error.extended_code,
                    // A limit on the size of files, and a shared memory that cannot grow, look like this.
                    rusqlite::ffi::SQLITE_IOERR_WRITE | rusqlite::ffi::SQLITE_IOERR_SHMSIZE
                )
        }
        _ => false,
    }
}

/// Whether the database is fine, and one row of it holds what it never should.
pub(super) fn means_bad_row(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}
