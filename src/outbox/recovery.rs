//! Opening the database: what is looked at before anything is changed (rules J3, J4, J7, J9).
//!
//! 1. The first hundred bytes are read as a plain file: no database at all, another program's, or a
//!    newer release's is refused with not one byte touched.
//! 2. A log (`outbox.db-wal`) with something in it means that the last stop was not clean. SQLite
//!    takes over its complete transactions. Up to [`QUICK_CHECK_BYTES`] the whole database is then
//!    checked; a larger one is not, or opening it would take minutes: its pages are checked as they
//!    are read, and damage found then stops the outbox in the same words.
//! 3. The log is written back and emptied. After a failed sync the kernel may show pages that the
//!    disk never got (rule J2); writing them again through the checkpoint makes them real, or fails.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use tracing::warn;

use super::Error;
use super::directory;
use super::error::means_damage;
use super::schema;

/// The largest database that is checked as a whole after an unclean stop: about half a second of reading.
const QUICK_CHECK_BYTES: u64 = 64 << 20;

/// SQLite 3.7.0 to 3.51.2 can lose committed data when one connection checkpoints while another commits.
const OLDEST_SQLITE: i32 = 3_051_003;

/// What SQLite calls `auto_vacuum = INCREMENTAL`.
const INCREMENTAL: i64 = 2;

/// How long a statement waits for another program that has the database locked, `sqlite3` say.
const BUSY: Duration = Duration::from_millis(500);

/// Opens the database for writing at start, making it if there is none.
pub(super) fn open(database: &Path) -> Result<Connection, Error> {
    refuse_old_sqlite(rusqlite::version_number())?;
    let unclean = inspect(database)?;
    let mut connection = connect(database)?;
    // Nobody else has it open, so what is here was here before us: look at it, then change it.
    let identity = |c: &Connection| -> rusqlite::Result<(i64, i32, i32)> {
        Ok((
            c.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
            c.pragma_query_value(None, "application_id", |row| row.get(0))?,
            c.pragma_query_value(None, "user_version", |row| row.get(0))?,
        ))
    };
    let (tables, application, version) = identity(&connection).map_err(|e| opening(database, e))?;
    if tables > 0 || version != 0 {
        schema::check(database, application, version, schema::VERSION)?;
    }
    if unclean {
        quick_check(&connection, database)?;
    }
    prepare(&connection).map_err(|e| opening(database, e))?;
    schema::migrate(&mut connection, database, schema::MIGRATIONS)?;
    if !empty_log(&connection).map_err(|e| opening(database, e))? {
        warn!(database = %database.display(), "Another program reads the outbox, its log cannot be emptied now");
    }
    directory::keep_private(database)?;
    Ok(connection)
}

/// Opens the database again after a failed transaction, and never makes a new one.
pub(super) fn reopen(database: &Path) -> Result<Connection, Error> {
    let connection = connect(database)?;
    quick_check(&connection, database)?;
    prepare(&connection).map_err(|e| opening(database, e))?;
    if empty_log(&connection).map_err(|e| opening(database, e))? {
        return Ok(connection);
    }
    // Going on would sync new pages on top of old ones that may never have reached the disk.
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    let words = "another program reads it, so that its log cannot be written back".to_owned();
    Err(opening(database, rusqlite::Error::SqliteFailure(busy, Some(words))))
}

/// Opens the database for reading only.
pub(super) fn reader(database: &Path) -> Result<Connection, Error> {
    let failed = |e| opening(database, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Writes the whole log into the database and empties it; false if somebody else is reading from it.
pub(super) fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "PRAGMA wal_checkpoint(TRUNCATE)",
        [],
        |row| Ok(row.get::<_, i64>(0)? == 0),
    )
}

/// What a failure while opening means.
pub(super) fn opening(database: &Path, source: rusqlite::Error) -> Error {
    let database = database.to_owned();
    if means_damage(&source) {
        return Error::Damaged { database, detail: source.to_string() };
    }
    Error::Open { database, source }
}

fn refuse_old_sqlite(version: i32) -> Result<(), Error> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    let (major, rest) = (version / 1_000_000, version % 1_000_000);
    let found = format!("{major}.{}.{}", rest / 1000, rest % 1000);
    Err(Error::OldSqlite { found })
}

/// Looks at the file without SQLite, and says whether the last stop was unclean.
///
/// Only before the first connection: closing any descriptor of the file drops the locks that SQLite
/// holds on it in this process (POSIX locks belong to the process, not to the descriptor).
fn inspect(database: &Path) -> Result<bool, Error> {
    let failed = |source| Error::Directory { path: database.to_owned(), source };
    let damaged = |detail: &str| {
        Err(Error::Damaged { database: database.to_owned(), detail: detail.to_owned() })
    };
    let unclean = length(&beside(database, "-wal")).map_err(failed)? > 0;
    if length(database).map_err(failed)? == 0 {
        if unclean {
            return damaged("it is empty or missing, but there is a log of it");
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(database).map_err(failed)?;
        return Ok(false);
    }
    let mut header = [0_u8; 100];
    match File::open(database).and_then(|mut file| file.read_exact(&mut header)) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return damaged("it is too short"),
        other => other.map_err(failed)?,
    }
    // Database File Format, 1.3: the magic string, `user_version` at 60, `application_id` at 68.
    let [magic @ .., _] = header.first_chunk::<16>().copied().unwrap_or_default();
    if magic != *b"SQLite format 3" {
        return damaged("it does not begin as an SQLite database does");
    }
    let number = |at: usize| {
        let bytes = header.get(at..).and_then(<[u8]>::first_chunk::<4>);
        bytes.map_or(0, |bytes| i32::from_be_bytes(*bytes))
    };
    let (version, application) = (number(60), number(68));
    if version != 0 || application != 0 {
        schema::check(database, application, version, schema::VERSION)?;
    }
    Ok(unclean)
}

fn length(file: &Path) -> io::Result<u64> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    }
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn connect(database: &Path) -> Result<Connection, Error> {
    let failed = |e| opening(database, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(failed)?;
    // A connection that failed must not write the log back as it goes.
    let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(option, true).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    Ok(connection)
}

fn quick_check(connection: &Connection, database: &Path) -> Result<(), Error> {
    let size = fs::metadata(database)
        .map_err(|source| Error::Directory { path: database.to_owned(), source })?
        .len();
    if size > QUICK_CHECK_BYTES {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| opening(database, e))?;
    if found == "ok" {
        return Ok(());
    }
    Err(Error::Damaged { database: database.to_owned(), detail: found })
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    // Said again, it would be written again, and cost every start the syncs of an event.
    let vacuum: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if vacuum != INCREMENTAL {
        connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    }
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 33554432;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_new_database_is_private_and_durable() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        let connection = open(&database).unwrap();
        let pragma = |name| -> String {
            let text = |row: &rusqlite::Row<'_>| Ok(format!("{:?}", row.get_ref(0)?));
            connection.pragma_query_value(None, name, text).unwrap()
        };
        for (name, expected) in [
            ("journal_mode", "Text([119, 97, 108])"),
            ("synchronous", "Integer(2)"),
            ("foreign_keys", "Integer(1)"),
            ("auto_vacuum", "Integer(2)"),
            ("user_version", "Integer(3)"),
        ] {
            assert_eq!(pragma(name), expected, "{name}");
        }
        for (file, _) in files(directory.path()) {
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_newer_one_is_refused_without_touching_a_byte() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        let connection = open(&database).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        // Once with the number in the log only, once in the file.
        let log = beside(&database, "-wal");
        assert!(length(&log).unwrap() > 0);
        let copy = tempfile::tempdir().unwrap();
        let copied = copy.path().join("outbox.db");
        fs::copy(&database, &copied).unwrap();
        fs::copy(&log, beside(&copied, "-wal")).unwrap();
        assert!(empty_log(&connection).unwrap());
        drop(connection);
        for database in [database, copied] {
            let kept = |path: &Path| {
                let mut files = files(path.parent().unwrap());
                // SQLite's shared memory says nothing that is not in the log.
                files.retain(|(path, _)| !path.to_string_lossy().ends_with("-shm"));
                files
            };
            let before = kept(&database);
            let error = open(&database).unwrap_err();
            assert!(
                matches!(error, Error::Newer { found: 7, known: schema::VERSION, .. }),
                "{error}"
            );
            assert_eq!(kept(&database), before);
        }
    }

    #[test]
    fn what_is_not_a_sound_database_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        for content in [&b"not a database, but long enough to have a header. ".repeat(9)[..], b"x"]
        {
            fs::write(&database, content).unwrap();
            let error = open(&database).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("outbox.db"), "{error}");
            assert_eq!(fs::read(&database).unwrap(), content);
        }
        fs::remove_file(&database).unwrap();
        fs::write(beside(&database, "-wal"), b"something").unwrap();
        assert!(matches!(open(&database), Err(Error::Damaged { .. })));
        assert!(!database.exists());
    }

    #[test]
    fn damage_is_found_after_an_unclean_stop() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        drop(open(&database).unwrap());
        let connection = connect(&database).unwrap();
        connection.execute_batch("INSERT INTO endpoints (name) VALUES ('a')").unwrap();
        drop(connection);
        assert!(length(&beside(&database, "-wal")).unwrap() > 0);
        let mut bytes = fs::read(&database).unwrap();
        // The second page to the last: whatever they are, they must not be noise.
        bytes.get_mut(4096 * 2..).unwrap().fill(0x5a);
        fs::write(&database, &bytes).unwrap();
        let error = open(&database).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&database).unwrap(), bytes);
    }

    #[test]
    fn an_old_sqlite_is_refused() {
        assert!(refuse_old_sqlite(3_051_003).is_ok());
        let error = refuse_old_sqlite(3_051_002).unwrap_err();
        assert!(error.to_string().starts_with("SQLite 3.51.2 can lose"), "{error}");
    }
}
