//! Who events are owed to: the subscriptions of the configuration, and the rows that stand for them.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::TransactionBehavior;
use rusqlite::params;
use tokio::sync::watch;

use crate::event::Event;
use crate::event::Filter;

use super::Subscription;

/// Every endpoint that is subscribed to anything, or still owed something from earlier.
pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    /// What those listen to who ask for an endpoint that nobody knows.
    nobody: watch::Sender<u64>,
}

/// One endpoint.
pub(super) struct Endpoint {
    /// Its row.
    pub(super) id: i64,
    /// Its name.
    pub(super) name: String,
    /// What stands for its name in the id of a delivery.
    pub(super) mark: u64,
    /// How many were owed to it when the outbox was opened.
    pub(super) owed_at_open: i64,
    /// How many of its dead letters were a number only when the outbox was opened.
    pub(super) dead_forgotten_at_open: u64,
    /// Goes up with every delivery that can newly be claimed.
    pub(super) owed: watch::Sender<u64>,
    /// Whether a newer event of a lane takes the place of an older one.
    pub(super) latest_only: bool,
    filters: Vec<Filter>,
}

impl Endpoints {
    /// Makes a row for each name that has none, and notes from which event on these are the endpoints.
    pub(super) fn load(
        connection: &mut Connection,
        subscriptions: Vec<Subscription>,
    ) -> rusqlite::Result<Self> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let names: BTreeSet<&str> = subscriptions.iter().map(|s| s.endpoint.as_str()).collect();
        for name in &names {
            let sql = "INSERT INTO endpoints (name) VALUES (?1) ON CONFLICT DO NOTHING";
            transaction.execute(sql, [name])?;
        }
        let names = serde_json::Value::from_iter(names).to_string();
        let last = "SELECT endpoints FROM settings ORDER BY number DESC LIMIT 1";
        let last = transaction.query_row(last, [], |row| row.get::<_, String>(0)).optional()?;
        if last.is_none_or(|last| last != names) {
            let since = last_sequence(&transaction)?;
            let sql = "INSERT INTO settings (since, endpoints) VALUES (?1, ?2)";
            transaction.execute(sql, params![since, names])?;
        }
        let mut all = Vec::new();
        let mut statement =
            transaction.prepare("SELECT id, name, owed, dead_forgotten FROM endpoints")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            all.push(Endpoint {
                id: row.get(0)?,
                mark: mark(&name),
                name,
                owed_at_open: row.get(2)?,
                dead_forgotten_at_open: u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default(),
                owed: watch::Sender::new(0),
                latest_only: false,
                filters: Vec::new(),
            });
        }
        drop(rows);
        drop(statement);
        transaction.commit()?;
        for Subscription { endpoint, filter, latest_only } in subscriptions {
            if let Some(row) = all.iter_mut().find(|row| row.name == endpoint) {
                row.latest_only |= latest_only;
                row.filters.push(filter);
            }
        }
        Ok(Self { all, nobody: watch::Sender::new(0) })
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.all.iter()
    }

    /// Those that asked for the event.
    pub(super) fn wanting(&self, event: &Event) -> impl Iterator<Item = &Endpoint> {
        self.all.iter().filter(|e| e.filters.iter().any(|filter| filter.wants(event).is_ok()))
    }

    /// The one with this row.
    pub(super) fn with_id(&self, id: i64) -> Option<&Endpoint> {
        self.all.iter().find(|endpoint| endpoint.id == id)
    }

    /// The one with this mark.
    pub(super) fn with_mark(&self, mark: u64) -> Option<&Endpoint> {
        self.all.iter().find(|endpoint| endpoint.mark == mark)
    }

    /// The one with this name.
    pub(super) fn named(&self, name: &str) -> Option<&Endpoint> {
        self.all.iter().find(|endpoint| endpoint.name == name)
    }

    /// What tells of newly owed deliveries.
    pub(super) fn watch(&self, name: &str) -> watch::Receiver<u64> {
        self.named(name).map_or(&self.nobody, |endpoint| &endpoint.owed).subscribe()
    }
}

/// The sequence of the last event ever appended, also if it is gone by now.
pub(super) fn last_sequence(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let last = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or(0))
}

/// What stands for an endpoint's name in the id of a delivery.
pub(super) fn mark(name: &str) -> u64 {
    u64::from_be_bytes(first_bytes(name))
}

/// The first eight bytes of the SHA-256 of a text.
pub(super) fn first_bytes(text: &str) -> [u8; 8] {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}
