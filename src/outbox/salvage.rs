//! A damaged database (rule J3): kept as it is, and every row that can be read carried over into a new one.
//!
//! 1. What can be read goes into `outbox.db.salvaged`, which is then complete and synced.
//! 2. The damaged files are renamed to `outbox.db.damaged` and `…damaged-wal`; of an earlier damage that is still
//!    there, `…damaged-2` and so on.
//! 3. The new file takes its place.
//!
//! Whoever dies in between begins again, or goes on from 2: [`finish`]. The damaged files are never written to.
//!
//! Of a table with a bad page the rows before and behind it are read: after an error the reading goes on further
//! behind, each time twice as far, until a row can be read again.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::OptionalExtension as _;
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use tracing::error;

use super::Error;
use super::directory;
use super::recovery;
use super::schema;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Salvaged {
    /// Where the damaged file is now.
    pub(super) kept: PathBuf,
    /// How many rows were carried over.
    pub(super) rows: u64,
    /// Which tables could not be read to the end, or at all.
    pub(super) incomplete: Vec<&'static str>,
}

/// A table, the column that rows are in the order of, and how far behind a bad place to go on: numbers only.
struct Table {
    name: &'static str,
    key: Option<&'static str>,
}

/// In the order in which they refer to each other.
const TABLES: [Table; 12] = [
    Table { name: "endpoints", key: Some("id") },
    Table { name: "events", key: Some("sequence") },
    Table { name: "deliveries", key: Some("event") },
    Table { name: "attempts", key: Some("event") },
    Table { name: "tags", key: None },
    Table { name: "manifests", key: Some("number") },
    Table { name: "settings", key: Some("number") },
    Table { name: "intents", key: None },
    Table { name: "closed", key: None },
    Table { name: "notifications", key: Some("number") },
    Table { name: "links", key: None },
    Table { name: "sightings", key: Some("event") },
];

/// Sequences that may have been given to events that cannot be read; they are never given again (rule O1).
const SEQUENCES_LEFT_OUT: i64 = 1_000_000;

/// How often a table is begun again behind a bad place.
const TRIES: u32 = 64;

/// Keeps the damaged database aside and puts what can be read of it in its place.
pub(super) fn salvage(database: &Path, why: &str) -> Result<Salvaged, Error> {
    error!(database = %database.display(), why, "The database is damaged: it is kept, and what can be read of it carried over");
    let new = beside(database, ".salvaged");
    remove(&new)?;
    let (rows, incomplete) = carry_over(database, &new)?;
    sync(&new)?;
    let kept = put_away(database)?;
    put_in_place(&new, database)?;
    Ok(Salvaged { kept, rows, incomplete })
}

/// Finishes what an earlier run began, if it came as far as putting the damaged file away.
pub(super) fn finish(database: &Path) -> Result<(), Error> {
    let new = beside(database, ".salvaged");
    let failed = |source| Error::Directory { path: new.clone(), source };
    if !fs::exists(&new).map_err(failed)? || fs::exists(database).map_err(failed)? {
        return Ok(());
    }
    put_away(database)?;
    put_in_place(&new, database)
}

/// The damaged files that an operator has not yet taken away.
pub(super) fn kept(database: &Path) -> Option<PathBuf> {
    (1..).map(|n| damaged(database, n)).take(NAMES).find(|path| path.exists())
}

/// How many damaged files are kept at most; the next one takes the place of the last.
const NAMES: usize = 8;

fn damaged(database: &Path, number: usize) -> PathBuf {
    match number {
        1 => beside(database, ".damaged"),
        number => beside(database, &format!(".damaged-{number}")),
    }
}

fn carry_over(database: &Path, new: &Path) -> Result<(u64, Vec<&'static str>), Error> {
    let failed = |source| recovery::opening(new, source);
    let mut to = Connection::open(new).map_err(failed)?;
    directory::keep_private(new)?;
    to.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA foreign_keys = OFF")
        .map_err(failed)?;
    schema::migrate(&mut to, new, schema::MIGRATIONS)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let all = || TABLES.iter().map(|table| table.name).collect();
    let Ok(from) = Connection::open_with_flags(database, flags) else {
        return Ok((0, all()));
    };
    if from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).is_err() {
        return Ok((0, all()));
    }
    let (mut rows, mut incomplete) = (0, Vec::new());
    let transaction = to.transaction().map_err(failed)?;
    for table in &TABLES {
        let (carried, whole) = carry_table(&from, &transaction, table).map_err(failed)?;
        rows += carried;
        if !whole {
            incomplete.push(table.name);
        }
    }
    make_fit(&from, &transaction, !incomplete.is_empty()).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok((rows, incomplete))
}

/// The rows of one table, and whether all of them could be read. An error is one of the new file.
fn carry_table(from: &Connection, to: &Connection, table: &Table) -> rusqlite::Result<(u64, bool)> {
    let name = table.name;
    let columns = columns_of(to, name)?;
    // A file of an older format has fewer.
    let known: Vec<String> = columns_of(from, name).unwrap_or_else(|_| columns.clone());
    let shared: Vec<&str> =
        columns.iter().filter(|c| known.contains(c)).map(String::as_str).collect();
    if shared.is_empty() {
        return Ok((0, false));
    }
    let list = shared.join(", ");
    let places = vec!["?"; shared.len()].join(", ");
    let insert = format!("INSERT OR IGNORE INTO {name} ({list}) VALUES ({places})");
    let mut insert = to.prepare(&insert)?;
    let mut carried = 0;
    let mut whole = true;
    let mut behind = i64::MIN;
    let mut leap = 1;
    for _ in 0..TRIES {
        let sql = match table.key {
            Some(key) => format!("SELECT {list} FROM {name} WHERE {key} > ?1 ORDER BY {key}"),
            None => format!("SELECT {list} FROM {name} WHERE ?1 IS NOT NULL"),
        };
        let mut last = behind;
        let mut read = || -> rusqlite::Result<bool> {
            let mut statement = from.prepare(&sql)?;
            let mut rows = statement.query([behind])?;
            while let Some(row) = rows.next()? {
                let values: Vec<Value> =
                    (0..shared.len()).map(|n| row.get(n)).collect::<Result<_, _>>()?;
                if let Some(Value::Integer(key)) =
                    table.key.and_then(|key| values.get(shared.iter().position(|c| *c == key)?))
                {
                    last = *key;
                }
                // A row that the new file does not take is as unreadable as one that is not there.
                match insert.execute(params_from_iter(values)) {
                    Ok(changed) => carried += changed as u64,
                    Err(error) if super::error::means_damage(&error) => return Err(error),
                    Err(_) => return Ok(false),
                }
            }
            Ok(true)
        };
        match read() {
            Ok(true) => return Ok((carried, whole)),
            Ok(false) | Err(_) => whole = false,
        }
        let Some(_) = table.key else {
            // Without a number to go on from, the rows from the other end.
            carried += from_the_end(from, &mut insert, name, &list, shared.len())?;
            return Ok((carried, false));
        };
        leap = if last > behind { 1 } else { leap * 2 };
        behind = last.max(0).saturating_add(leap);
    }
    Ok((carried, whole))
}

fn from_the_end(
    from: &Connection,
    insert: &mut rusqlite::Statement<'_>,
    name: &str,
    list: &str,
    columns: usize,
) -> rusqlite::Result<u64> {
    let key = match name {
        "tags" => "repository DESC, tag DESC, registry DESC",
        "intents" => "id DESC",
        "closed" => "intent DESC",
        _ => "source DESC, source_id DESC",
    };
    let mut carried = 0;
    let Ok(mut statement) = from.prepare(&format!("SELECT {list} FROM {name} ORDER BY {key}"))
    else {
        return Ok(0);
    };
    let Ok(mut rows) = statement.query([]) else {
        return Ok(0);
    };
    while let Ok(Some(row)) = rows.next() {
        let values: Result<Vec<Value>, _> = (0..columns).map(|n| row.get(n)).collect();
        let Ok(values) = values else { break };
        carried += insert.execute(params_from_iter(values)).unwrap_or_default() as u64;
    }
    Ok(carried)
}

/// Rows that refer to what is gone go too; what is first of its lane goes ahead; no sequence is given twice.
fn make_fit(from: &Connection, to: &Connection, incomplete: bool) -> rusqlite::Result<()> {
    to.execute_batch(
        "DELETE FROM deliveries WHERE event NOT IN (SELECT sequence FROM events)
             OR endpoint NOT IN (SELECT id FROM endpoints);
         DELETE FROM attempts WHERE (event, endpoint) NOT IN (SELECT event, endpoint FROM deliveries);
         DELETE FROM links WHERE event NOT IN (SELECT sequence FROM events);
         DELETE FROM sightings WHERE event NOT IN (SELECT sequence FROM events);
         UPDATE deliveries SET state = 'ready' WHERE state = 'waiting' AND NOT EXISTS (
             SELECT 1 FROM deliveries AS earlier INDEXED BY deliveries_lane
             WHERE earlier.endpoint = deliveries.endpoint AND earlier.lane = deliveries.lane
                 AND earlier.ended_at IS NULL AND earlier.event < deliveries.event);
         UPDATE endpoints SET owed = (
             SELECT count(*) FROM deliveries WHERE endpoint = endpoints.id AND ended_at IS NULL);",
    )?;
    let sequence = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let last: Option<i64> =
        from.query_row(sequence, [], |row| row.get(0)).optional().ok().flatten();
    let highest = "SELECT max(coalesce((SELECT max(sequence) FROM events), 0),
                              coalesce((SELECT max(sequence) FROM tags), 0),
                              coalesce((SELECT max(since) FROM settings), 0))";
    let highest: i64 = to.query_row(highest, [], |row| row.get(0))?;
    let last = match last.filter(|last| *last >= highest) {
        Some(last) => last,
        None if incomplete => highest + SEQUENCES_LEFT_OUT,
        None => highest,
    };
    to.execute("DELETE FROM sqlite_sequence WHERE name = 'events'", [])?;
    to.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)", [last])?;
    Ok(())
}

fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// Renames the damaged files, and says what the first of them is called now.
fn put_away(database: &Path) -> Result<PathBuf, Error> {
    let free = (1..NAMES).map(|n| damaged(database, n)).find(|path| !path.exists());
    let kept = free.unwrap_or_else(|| damaged(database, NAMES));
    for suffix in ["", "-wal"] {
        let (from, to) = (beside(database, suffix), beside(&kept, suffix));
        match fs::rename(&from, &to) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Directory { path: from, source });
            }
            _ => {}
        }
    }
    remove(&beside(database, "-shm"))?;
    sync_directory(database)?;
    Ok(kept)
}

fn put_in_place(new: &Path, database: &Path) -> Result<(), Error> {
    let failed = |source| Error::Directory { path: new.to_owned(), source };
    fs::rename(new, database).map_err(failed)?;
    sync_directory(database)
}

fn remove(file: &Path) -> Result<(), Error> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let path = beside(file, suffix);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Directory { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn sync(file: &Path) -> Result<(), Error> {
    let failed = |source| Error::Directory { path: file.to_owned(), source };
    File::open(file).and_then(|file| file.sync_all()).map_err(failed)
}

fn sync_directory(database: &Path) -> Result<(), Error> {
    let directory = database.parent().unwrap_or(database);
    sync(directory)
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
