//! The tables, row by row, and how an older file becomes a newer one.
//!
//! One SQLite file, `outbox.db`, that anybody may read with `sqlite3`. Its `application_id` is
//! `PBel`, its `user_version` the number of the last migration. Times are milliseconds since 1970,
//! ids are the sixteen bytes of a UUID, digests and names are their text.
//!
//! | table | one row is | and holds |
//! |---|---|---|
//! | `events` | one event, never changed | `sequence`: its place in the order of all (gaps allowed, never back). `id`: the event's id, time-ordered, so that the index grows at its end. `intent`: the exchange it came from. `key`: what two reports of one fact share. `appended_at`. `envelope`: the CloudEvents JSON as delivered. |
//! | `endpoints` | a name deliveries refer to | `id`, `name`, `owed`: how many deliveries to it are outstanding, kept with every transaction so that nobody has to count a million rows, and `dead_forgotten`: how many dead letters are nothing but this number. A row stays when the endpoint leaves the configuration: so do the events it is owed. |
//! | `deliveries` | one event owed to one endpoint | `event`, `endpoint`. `lane`: 64 bits of the SHA-256 of the event's lane; lanes that collide only wait for each other. `state`: see below. `due_at`: when the next attempt may start. `attempts` and `event_failures` so far. `ended_at` and `reason` once it is `acked`, `replaced` or `dead`. |
//! | `attempts` | one exchange of a delivery | `event`, `endpoint`, `number`, `started_at`, `ended_at`, `class`, `status`, `detail`. The last twenty of each delivery. |
//! | `tags` | what a tag was last known to be | `registry`, `repository`, `tag`. `digest`: null where the tag was deleted. `sequence`, `at`: of the event that said so. No row: we never knew, or no longer do. A delete by digest reads all tags of its repository: an index by digest would cost every push two pages at random places. |
//! | `manifests` | the size of one manifest's content | `digest`, `total_size`; `number` grows, so that the oldest rows can be found and forgotten. |
//! | `settings` | the endpoints from some event on | `since`: the last sequence before; `endpoints`: a JSON array of names. |
//! | `intents` | an exchange whose end is not known | `id`, `opened_at`, `document`: its facts as JSON, the event as it would be and the tags asked for beside it. `exchange`, `began`: what it is about and since when, where notifications are paired. Removed in the transaction that appends its events or its row in `closed`. |
//! | `closed` | an exchange that made no event | `intent`, `closed_at`, `reason`: `refused`, `redirected`, `not sent` or `not applied`. |
//! | `notifications` | a registry's report that is not an event, or not yet | `number`: their order. `source`, `source_id`: who sent it, and the id of the event it would be. `received_at`, `stamp`: when, by our clock and by theirs. `state`: `held` until `due_at`, `linked` to an open `intent`, or `quarantined` for `reason`. `name`, `content`, `exchange`: what it is about, in 64 bits each. `document`: the event it would be, as JSON; of a quarantined one the raw bytes. |
//! | `links` | a report paired with an event | `source`: who told it, or `proxy`; `source_id`: the id of the event it would have been; `event`; `stamp`, `received_at`. |
//! | `sightings` | what an event is about, and when | `event`; `name`, `content`; `began`, `ended`; `hearsay`: when it arrived, of one that we were only told of. Written while there are sources, kept for `match.memory`. |
//!
//! A delivery's `state`:
//!
//! | state | meaning |
//! |---|---|
//! | `waiting` | an earlier delivery of its lane to its endpoint is outstanding |
//! | `ready` | first of its lane and never attempted: due at once, whatever the clock says |
//! | `later` | first of its lane, attempted, due again at `due_at` |
//! | `acked` | the receiver took it |
//! | `replaced` | a newer event of its lane took its place, `reason` says which: `by <sequence>` |
//! | `dead` | given up, `reason` says why |
//!
//! The first of a lane is marked rather than searched for, and all four indexes of `deliveries` hold
//! nothing but outstanding rows of one kind: taking the next due one costs the same with ten owed and
//! with a million, in one lane or in a million lanes.

use std::path::Path;
use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::TransactionBehavior;

use super::Error;

/// `PBel`, so that `file` and we can tell whose database it is.
pub(super) const APPLICATION_ID: i32 = 0x5042_656c;

/// What brings a file from each version to the next; the first one makes it.
pub(super) const MIGRATIONS: &[&str] = &[FIRST, SECOND, THIRD];

/// The format this release writes.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

const FIRST: &str = "
CREATE TABLE events (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB    NOT NULL UNIQUE,
    intent      BLOB    NOT NULL,
    key         TEXT    NOT NULL,
    appended_at INTEGER NOT NULL,
    envelope    TEXT    NOT NULL
) STRICT;

CREATE TABLE endpoints (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE,
    owed INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE deliveries (
    event          INTEGER NOT NULL REFERENCES events (sequence),
    endpoint       INTEGER NOT NULL REFERENCES endpoints (id),
    lane           INTEGER NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('waiting', 'ready', 'later', 'acked', 'dead')),
    due_at         INTEGER NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    event_failures INTEGER NOT NULL DEFAULT 0,
    ended_at       INTEGER,
    reason         TEXT,
    PRIMARY KEY (event, endpoint)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_ready ON deliveries (endpoint, event) WHERE state = 'ready';
CREATE INDEX deliveries_later ON deliveries (endpoint, due_at, event) WHERE state = 'later';
CREATE INDEX deliveries_lane ON deliveries (endpoint, lane, event) WHERE ended_at IS NULL;

CREATE TABLE attempts (
    event      INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    class      TEXT    NOT NULL CHECK (class IN ('taken', 'endpoint', 'event')),
    status     INTEGER,
    detail     TEXT    NOT NULL,
    PRIMARY KEY (event, endpoint, number),
    FOREIGN KEY (event, endpoint) REFERENCES deliveries (event, endpoint)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
    repository TEXT    NOT NULL,
    tag        TEXT    NOT NULL,
    registry   TEXT    NOT NULL,
    digest     TEXT,
    sequence   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (repository, tag, registry)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_absent ON tags (at) WHERE digest IS NULL;

CREATE TABLE manifests (
    number     INTEGER PRIMARY KEY,
    digest     TEXT    NOT NULL UNIQUE,
    total_size INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    number    INTEGER PRIMARY KEY,
    since     INTEGER NOT NULL,
    endpoints TEXT    NOT NULL
) STRICT;

CREATE TABLE intents (
    id        BLOB    PRIMARY KEY,
    opened_at INTEGER NOT NULL,
    document  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE closed (
    intent    BLOB    PRIMARY KEY,
    closed_at INTEGER NOT NULL,
    reason    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
    source      TEXT    NOT NULL,
    source_id   TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    document    BLOB    NOT NULL,
    PRIMARY KEY (source, source_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    source    TEXT NOT NULL,
    source_id TEXT NOT NULL,
    event     INTEGER REFERENCES events (sequence),
    intent    BLOB,
    PRIMARY KEY (source, source_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_event ON links (event) WHERE event IS NOT NULL;
";

/// Deliveries that were replaced; dead letters that are a number only; the oldest of what was attempted before. What a
/// column may hold cannot be changed, so both tables are written anew.
const SECOND: &str = "
ALTER TABLE endpoints ADD COLUMN dead_forgotten INTEGER NOT NULL DEFAULT 0;

CREATE TABLE deliveries_new (
    event          INTEGER NOT NULL REFERENCES events (sequence),
    endpoint       INTEGER NOT NULL REFERENCES endpoints (id),
    lane           INTEGER NOT NULL,
    state          TEXT    NOT NULL CHECK (
        state IN ('waiting', 'ready', 'later', 'acked', 'replaced', 'dead')
    ),
    due_at         INTEGER NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    event_failures INTEGER NOT NULL DEFAULT 0,
    ended_at       INTEGER,
    reason         TEXT,
    PRIMARY KEY (event, endpoint)
) STRICT, WITHOUT ROWID;
INSERT INTO deliveries_new SELECT * FROM deliveries;

CREATE TABLE attempts_new (
    event      INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    class      TEXT    NOT NULL CHECK (class IN ('taken', 'endpoint', 'event')),
    status     INTEGER,
    detail     TEXT    NOT NULL,
    PRIMARY KEY (event, endpoint, number),
    FOREIGN KEY (event, endpoint) REFERENCES deliveries_new (event, endpoint)
) STRICT, WITHOUT ROWID;
INSERT INTO attempts_new SELECT * FROM attempts;

DROP TABLE attempts;
DROP TABLE deliveries;
ALTER TABLE deliveries_new RENAME TO deliveries;
ALTER TABLE attempts_new RENAME TO attempts;
CREATE INDEX deliveries_ready ON deliveries (endpoint, event) WHERE state = 'ready';
CREATE INDEX deliveries_later ON deliveries (endpoint, due_at, event) WHERE state = 'later';
CREATE INDEX deliveries_tried ON deliveries (endpoint, event) WHERE state = 'later';
CREATE INDEX deliveries_lane ON deliveries (endpoint, lane, event) WHERE ended_at IS NULL;
";

/// What notifications are paired by. Nothing was ever written to the two tables as they were.
const THIRD: &str = "
ALTER TABLE intents ADD COLUMN exchange INTEGER;
ALTER TABLE intents ADD COLUMN began INTEGER;
CREATE INDEX intents_exchange ON intents (exchange) WHERE exchange IS NOT NULL;

DROP TABLE notifications;
DROP TABLE links;

CREATE TABLE notifications (
    number      INTEGER PRIMARY KEY,
    source      TEXT    NOT NULL,
    source_id   TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    stamp       INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('held', 'linked', 'quarantined')),
    due_at      INTEGER NOT NULL,
    intent      BLOB,
    name        INTEGER,
    content     INTEGER,
    exchange    INTEGER,
    reason      TEXT,
    document    BLOB    NOT NULL,
    UNIQUE (source, source_id)
) STRICT;
CREATE INDEX notifications_held ON notifications (name) WHERE state = 'held';
CREATE INDEX notifications_due ON notifications (due_at) WHERE state = 'held';
CREATE INDEX notifications_intent ON notifications (intent) WHERE intent IS NOT NULL;
CREATE INDEX notifications_quarantined ON notifications (number) WHERE state = 'quarantined';

CREATE TABLE links (
    source      TEXT    NOT NULL,
    source_id   TEXT    NOT NULL,
    event       INTEGER NOT NULL REFERENCES events (sequence),
    stamp       INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (source, source_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_event ON links (event);

CREATE TABLE sightings (
    event   INTEGER PRIMARY KEY,
    name    INTEGER NOT NULL,
    content INTEGER,
    began   INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    hearsay INTEGER
) STRICT;
CREATE INDEX sightings_name ON sightings (name, began);
";

/// Refuses a format that a newer release wrote, or a database that is not an outbox at all.
pub(super) fn check(
    database: &Path,
    application: i32,
    version: i32,
    known: i32,
) -> Result<(), Error> {
    if application != APPLICATION_ID {
        return Err(Error::Foreign { database: database.to_owned() });
    }
    if version > known {
        return Err(Error::Newer { database: database.to_owned(), found: version, known });
    }
    Ok(())
}

/// Brings the file to the last version, all steps in one transaction. Where there is something to
/// lose, a copy of the file as it was stays beside it, `outbox.v<version>.db` (rule J4).
pub(super) fn migrate(
    connection: &mut Connection,
    database: &Path,
    steps: &[&str],
) -> Result<(), Error> {
    let failed = |source| Error::Open { database: database.to_owned(), source };
    let known = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let pragma = |connection: &Connection, name| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0))
    };
    let version = pragma(connection, "user_version").map_err(failed)?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let empty = connection.query_row(tables, [], |row| row.get::<_, i64>(0)).map_err(failed)? == 0;
    if version != 0 || !empty {
        let application = pragma(connection, "application_id").map_err(failed)?;
        check(database, application, version, known)?;
    }
    if version == known {
        return Ok(());
    }
    if version > 0 {
        let copy = copy_path(database, version);
        if let Err(source) = std::fs::remove_file(&copy)
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::Directory { path: copy, source });
        }
        connection.execute("VACUUM INTO ?1", [copy.to_string_lossy().as_ref()]).map_err(failed)?;
        super::directory::keep_private(&copy)?;
    }
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).map_err(failed)?;
    for step in steps.iter().skip(usize::try_from(version).unwrap_or_default()) {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn copy_path(database: &Path, version: i32) -> PathBuf {
    database.with_extension(format!("v{version}.db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_versions_are_migrated_at_once_and_a_copy_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        let mut connection = Connection::open(&database).unwrap();
        let first = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);";
        migrate(&mut connection, &database, &[first]).unwrap();
        let steps = [first, "ALTER TABLE a ADD y INTEGER;", "UPDATE a SET y = x + 1;"];
        migrate(&mut connection, &database, &steps).unwrap();
        let y: i64 = connection.query_row("SELECT y FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!(y, 2);
        let copy = Connection::open(copy_path(&database, 1)).unwrap();
        assert!(copy.prepare("SELECT y FROM a").is_err());
        let x: i64 = copy.query_row("SELECT x FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!(x, 1);
    }

    /// A file of the first format, with a delivery that was attempted, becomes one of this format.
    #[test]
    fn what_the_first_format_holds_is_carried_over() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        let mut connection = Connection::open(&database).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        migrate(&mut connection, &database, &MIGRATIONS[..1]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO events VALUES (7, x'01', x'02', 'k', 3, '{}');
                 INSERT INTO endpoints VALUES (1, 'a', 1);
                 INSERT INTO deliveries VALUES (7, 1, 5, 'later', 9, 2, 0, NULL, NULL);
                 INSERT INTO attempts VALUES (7, 1, 2, 0, 1, 'endpoint', 503, 'busy');",
            )
            .unwrap();
        migrate(&mut connection, &database, MIGRATIONS).unwrap();
        let sql = "SELECT d.attempts, a.detail, p.dead_forgotten FROM deliveries d
                   JOIN attempts a USING (event, endpoint) JOIN endpoints p ON p.id = d.endpoint";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: (i64, String, i64) = connection.query_row(sql, [], row).unwrap();
        assert_eq!(found, (2, "busy".to_owned(), 0));
        connection.execute_batch("UPDATE deliveries SET state = 'replaced'").unwrap();
        // The reference was renamed with what it refers to.
        assert!(connection.execute_batch("DELETE FROM deliveries").is_err());
        let fine: i64 = connection
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(fine, 0);
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        let mut connection = Connection::open(&database).unwrap();
        migrate(&mut connection, &database, &["CREATE TABLE a (x INTEGER);"]).unwrap();
        let steps = ["", "CREATE TABLE b (x INTEGER);", "nonsense"];
        assert!(migrate(&mut connection, &database, &steps).is_err());
        assert!(connection.prepare("SELECT x FROM b").is_err());
        migrate(&mut connection, &database, &["", "CREATE TABLE b (x INTEGER);"]).unwrap();
    }

    #[test]
    fn a_database_of_somebody_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("outbox.db");
        let mut connection = Connection::open(&database).unwrap();
        connection.execute_batch("CREATE TABLE theirs (x INTEGER);").unwrap();
        let error = migrate(&mut connection, &database, MIGRATIONS).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
    }
}
