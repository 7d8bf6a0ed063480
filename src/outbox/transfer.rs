//! All that an outbox holds as lines of JSON: for going back a version, and for moving to another machine.
//!
//! The first line says what it is, the last that nothing is missing; between them, in this order:
//!
//! | line | is |
//! |---|---|
//! | `{"pushbell":"outbox","version":1,"sequence":n}` | the header; `sequence` is the last one ever given |
//! | `{"endpoint":{"name","dead_forgotten"}}` | an endpoint that deliveries refer to |
//! | `{"event":{…},"intent","appended_at","deliveries":[…]}` | the CloudEvents envelope as delivered, and each delivery of it: `endpoint`, `state`, `due_at`, `attempts`, `event_failures`, `ended_at`, `reason` |
//! | `{"intent":{"id","opened_at","document"}}` | an exchange whose end is not known; `document` is text, as it is stored |
//! | `{"closed":{"intent","closed_at","reason"}}` | an exchange that made no event |
//! | `{"tag":{…}}`, `{"manifest":{…}}` | what a tag was last known to be; the size of a manifest |
//! | `{"end":{"lines":n}}` | how many lines there were before |
//!
//! Times are milliseconds since 1970. Lines and fields of a kind that is not known are passed over. What each attempt
//! came to is not in it, nor are notifications that wait to be paired.

use std::io::BufRead;
use std::io::Read;
use std::io::Write;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::TransactionBehavior;
use rusqlite::params;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::event::schema::Envelope;

use super::Error;
use super::directory::Directory;
use super::endpoints::first_bytes;
use super::endpoints::last_sequence;
use super::recovery;
use super::schema;

/// The longest line that is read: a manifest has 4 MiB at most, and its event is smaller.
const LONGEST: u64 = 16 << 20;

/// How much was written or read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Transferred {
    /// Events.
    pub events: u64,
    /// Deliveries that are still owed.
    pub owed: u64,
    /// Intents.
    pub intents: u64,
}

#[derive(Serialize, Deserialize)]
struct Delivery {
    endpoint: String,
    state: String,
    due_at: i64,
    attempts: u32,
    event_failures: u32,
    ended_at: Option<i64>,
    reason: Option<String>,
}

/// A line, of whichever kind it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line<'l> {
    pushbell: Option<String>,
    version: i64,
    sequence: i64,
    endpoint: Option<Value>,
    #[serde(borrow)]
    event: Option<&'l RawValue>,
    intent: Option<Value>,
    appended_at: i64,
    deliveries: Vec<Delivery>,
    closed: Option<Value>,
    tag: Option<Value>,
    manifest: Option<Value>,
    end: Option<Value>,
}

/// Where the lines go.
struct Lines<'w> {
    to: &'w mut dyn Write,
    written: u64,
}

impl Lines<'_> {
    fn put(&mut self, line: &str) -> Result<(), Error> {
        let failed = |source| Error::Lines { source };
        self.to.write_all(line.as_bytes()).map_err(failed)?;
        self.to.write_all(b"\n").map_err(failed)?;
        self.written += 1;
        Ok(())
    }
}

/// Writes down all that the outbox in a directory holds, as it is at one moment; it may be in use.
///
/// # Errors
///
/// Where it cannot be read, is of another format than this release writes, or the lines cannot be written.
pub fn export(directory: &Path, to: &mut dyn Write) -> Result<Transferred, Error> {
    let database = directory.join("outbox.db");
    let connection = recovery::reader(&database)?;
    let failed = |source| recovery::opening(&database, source);
    let pragma = |name| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed)
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    schema::check(&database, application, version, schema::VERSION)?;
    if version < schema::VERSION {
        return Err(Error::Older { database, found: version, known: schema::VERSION });
    }
    // One view of everything, however much is appended meanwhile.
    connection.execute_batch("BEGIN").map_err(failed)?;
    let mut lines = Lines { to, written: 0 };
    let mut done = Transferred::default();
    let sequence = last_sequence(&connection).map_err(failed)?;
    lines.put(&json!({ "pushbell": "outbox", "version": 1, "sequence": sequence }).to_string())?;
    rows(
        &connection,
        "SELECT name, dead_forgotten FROM endpoints",
        &database,
        |row| {
            let (name, forgotten): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok(json!({ "endpoint": { "name": name, "dead_forgotten": forgotten } }))
        },
        &mut lines,
    )?;
    events(&connection, &database, &mut lines, &mut done)?;
    let intents = rows(
        &connection,
        "SELECT id, opened_at, document FROM intents",
        &database,
        |row| {
            let (id, opened_at): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
            let document: String = row.get(2)?;
            let id = Uuid::from_bytes(id).to_string();
            Ok(json!({ "intent": { "id": id, "opened_at": opened_at, "document": document } }))
        },
        &mut lines,
    )?;
    done.intents = intents;
    rows(
        &connection,
        "SELECT intent, closed_at, reason FROM closed",
        &database,
        |row| {
            let (id, at, reason): ([u8; 16], i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let intent = Uuid::from_bytes(id).to_string();
            Ok(json!({ "closed": { "intent": intent, "closed_at": at, "reason": reason } }))
        },
        &mut lines,
    )?;
    let sql = "SELECT registry, repository, tag, digest, sequence, at FROM tags";
    rows(
        &connection,
        sql,
        &database,
        |row| {
            let text = |column| row.get::<_, Option<String>>(column);
            let (sequence, at): (i64, i64) = (row.get(4)?, row.get(5)?);
            Ok(json!({ "tag": { "registry": text(0)?, "repository": text(1)?, "tag": text(2)?,
            "digest": text(3)?, "sequence": sequence, "at": at } }))
        },
        &mut lines,
    )?;
    let sql = "SELECT digest, total_size FROM manifests ORDER BY number";
    rows(
        &connection,
        sql,
        &database,
        |row| {
            let (digest, size): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok(json!({ "manifest": { "digest": digest, "total_size": size } }))
        },
        &mut lines,
    )?;
    let before = lines.written;
    lines.put(&json!({ "end": { "lines": before } }).to_string())?;
    lines.to.flush().map_err(|source| Error::Lines { source })?;
    Ok(done)
}

/// The events with their deliveries. An envelope is written as it is stored, byte for byte: it is what was, or will
/// be, delivered.
fn events(
    connection: &Connection,
    database: &Path,
    lines: &mut Lines<'_>,
    done: &mut Transferred,
) -> Result<(), Error> {
    let failed = |source| recovery::opening(database, source);
    let mut events = connection
        .prepare("SELECT sequence, intent, appended_at, envelope FROM events ORDER BY sequence")
        .map_err(failed)?;
    let mut deliveries = connection
        .prepare(
            "SELECT p.name, d.state, d.due_at, d.attempts, d.event_failures, d.ended_at, d.reason
             FROM deliveries d JOIN endpoints p ON p.id = d.endpoint WHERE d.event = ?1",
        )
        .map_err(failed)?;
    let mut rows = events.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let read = || -> rusqlite::Result<(i64, [u8; 16], i64, String)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        };
        let (sequence, intent, appended_at, envelope) = read().map_err(failed)?;
        let of: Vec<Delivery> = deliveries
            .query_map([sequence], Delivery::of)
            .and_then(Iterator::collect)
            .map_err(failed)?;
        done.events += 1;
        done.owed += of.iter().filter(|delivery| delivery.ended_at.is_none()).count() as u64;
        // Lists and words: nothing in it can fail to serialize.
        let of = serde_json::to_string(&of).unwrap_or_default();
        let intent = Uuid::from_bytes(intent);
        lines.put(&format!(
            "{{\"event\":{envelope},\"intent\":\"{intent}\",\"sequence\":{sequence},\
             \"appended_at\":{appended_at},\"deliveries\":{of}}}"
        ))?;
    }
    Ok(())
}

/// One line for each row; says how many there were.
fn rows(
    connection: &Connection,
    sql: &str,
    database: &Path,
    line: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<Value>,
    lines: &mut Lines<'_>,
) -> Result<u64, Error> {
    let failed = |source| recovery::opening(database, source);
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut number = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        lines.put(&line(row).map_err(failed)?.to_string())?;
        number += 1;
    }
    Ok(number)
}

impl Delivery {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            endpoint: row.get(0)?,
            state: row.get(1)?,
            due_at: row.get(2)?,
            attempts: row.get(3)?,
            event_failures: row.get(4)?,
            ended_at: row.get(5)?,
            reason: row.get(6)?,
        })
    }
}

/// Takes in what [`export`] wrote, into an outbox that has no events yet; all of it, or nothing.
///
/// # Errors
///
/// Where the outbox is in use or has events, or a line is not what it should be; the error says which.
pub fn import(directory: &Path, from: &mut dyn BufRead) -> Result<Transferred, Error> {
    let directory = Directory::hold(directory, OffsetDateTime::now_utc())?;
    let database = directory.database();
    let mut connection = recovery::open(&database)?;
    let failed = |source| recovery::opening(&database, source);
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).map_err(failed)?;
    let any = transaction.query_row("SELECT 1 FROM events LIMIT 1", [], |_| Ok(())).optional();
    if any.map_err(failed)?.is_some() || last_sequence(&transaction).map_err(failed)? > 0 {
        return Err(Error::NotEmpty { database });
    }
    let mut done = Transferred::default();
    let mut text = Vec::new();
    let mut number = 0;
    loop {
        let wrong = |why: String| Error::Line { line: number + 1, why };
        text.clear();
        let read = Read::take(&mut *from, LONGEST).read_until(b'\n', &mut text);
        if read.map_err(|source| Error::Lines { source })? == 0 {
            return Err(wrong("the end is missing: the export was cut off".to_owned()));
        }
        let line: Line<'_> =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if number == 0 && (line.pushbell.as_deref() != Some("outbox") || line.version != 1) {
            let why = "it does not begin as an export of Pushbell does, with version 1";
            return Err(wrong(why.to_owned()));
        }
        if let Some(end) = &line.end {
            if end.get("lines").and_then(Value::as_u64) != Some(number) {
                return Err(wrong(format!("there are {number} lines, and it says otherwise")));
            }
            break;
        }
        take(&transaction, &line, &mut done).map_err(|error| match error {
            Taking::Wrong(why) => wrong(why),
            Taking::Failed(source) => recovery::opening(&database, source),
        })?;
        number += 1;
    }
    transaction
        .execute_batch(
            "UPDATE endpoints SET owed = (
                 SELECT count(*) FROM deliveries WHERE endpoint = endpoints.id AND ended_at IS NULL)",
        )
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    recovery::empty_log(&connection).map_err(failed)?;
    Ok(done)
}

/// Why a line was not taken.
enum Taking {
    Wrong(String),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Taking {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

fn take(to: &Connection, line: &Line<'_>, done: &mut Transferred) -> Result<(), Taking> {
    let text = |of: &Value, name: &str| {
        let value = of.get(name).and_then(Value::as_str).map(str::to_owned);
        value.ok_or_else(|| Taking::Wrong(format!("`{name}` is missing")))
    };
    let number = |of: &Value, name: &str| {
        let value = of.get(name).and_then(Value::as_i64);
        value.ok_or_else(|| Taking::Wrong(format!("`{name}` is missing")))
    };
    let id = |text: String| {
        let id = Uuid::parse_str(&text).map_err(|_| Taking::Wrong(format!("{text:?} is no id")))?;
        Ok::<_, Taking>(id.into_bytes())
    };
    if line.pushbell.is_some() {
        let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)";
        to.execute(sql, [line.sequence])?;
    } else if let Some(endpoint) = &line.endpoint {
        to.prepare_cached(
            "INSERT INTO endpoints (name, dead_forgotten) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET dead_forgotten = ?2",
        )?
        .execute(params![text(endpoint, "name")?, number(endpoint, "dead_forgotten")?])?;
    } else if let Some(envelope) = line.event {
        let envelope = envelope.get();
        let event = Envelope::read(envelope).map_err(|error| {
            let why = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            Taking::Wrong(why)
        })?;
        let intent = line.intent.as_ref().and_then(Value::as_str).unwrap_or_default();
        to.prepare_cached(
            "INSERT INTO events (sequence, id, intent, key, appended_at, envelope)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            line.sequence,
            event.id.as_bytes(),
            id(intent.to_owned())?,
            event.key().as_str(),
            line.appended_at,
            envelope,
        ])?;
        let lane = i64::from_be_bytes(first_bytes(&event.lane()));
        for delivery in &line.deliveries {
            take_delivery(to, line.sequence, lane, delivery)?;
            done.owed += u64::from(delivery.ended_at.is_none());
        }
        done.events += 1;
    } else if let Some(closed) = &line.closed {
        to.prepare_cached("INSERT INTO closed (intent, closed_at, reason) VALUES (?1, ?2, ?3)")?
            .execute(params![
                id(text(closed, "intent")?)?,
                number(closed, "closed_at")?,
                text(closed, "reason")?
            ])?;
    } else if let Some(tag) = &line.tag {
        to.prepare_cached(
            "INSERT INTO tags (registry, repository, tag, digest, sequence, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            text(tag, "registry")?,
            text(tag, "repository")?,
            text(tag, "tag")?,
            tag.get("digest").and_then(Value::as_str),
            number(tag, "sequence")?,
            number(tag, "at")?,
        ])?;
    } else if let Some(manifest) = &line.manifest {
        to.prepare_cached("INSERT INTO manifests (digest, total_size) VALUES (?1, ?2)")?
            .execute(params![text(manifest, "digest")?, number(manifest, "total_size")?])?;
    } else if let Some(intent) = &line.intent {
        let document = text(intent, "document")?;
        to.prepare_cached("INSERT INTO intents (id, opened_at, document) VALUES (?1, ?2, ?3)")?
            .execute(params![id(text(intent, "id")?)?, number(intent, "opened_at")?, document])?;
        done.intents += 1;
    }
    Ok(())
}

/// What is first of its lane goes ahead, as it would have. A state that a newer release knows is one that has ended.
fn take_delivery(
    to: &Connection,
    event: i64,
    lane: i64,
    delivery: &Delivery,
) -> rusqlite::Result<()> {
    let ended = ["acked", "replaced", "dead"].iter().find(|state| **state == delivery.state);
    let (state, reason) = match (delivery.ended_at, ended) {
        (None, _) => (None, None),
        (Some(_), Some(state)) => (Some(*state), delivery.reason.as_deref()),
        (Some(_), None) => (Some("dead"), Some(delivery.state.as_str())),
    };
    to.prepare_cached("INSERT INTO endpoints (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
        .execute([&delivery.endpoint])?;
    to.prepare_cached(
        "INSERT INTO deliveries
             (event, endpoint, lane, state, due_at, attempts, event_failures, ended_at, reason)
         SELECT ?1, id, ?3, coalesce(?4, CASE
             WHEN EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_lane
                 WHERE endpoint = endpoints.id AND lane = ?3 AND ended_at IS NULL) THEN 'waiting'
             WHEN ?6 > 0 THEN 'later' ELSE 'ready' END), ?5, ?6, ?7, ?8, ?9
         FROM endpoints WHERE name = ?2",
    )?
    .execute(params![
        event,
        delivery.endpoint,
        lane,
        state,
        delivery.due_at,
        delivery.attempts,
        delivery.event_failures,
        delivery.ended_at,
        reason,
    ])?;
    Ok(())
}
