//! What outlives the process. The directory is 0700 and holds, all of it 0600:
//!
//! ```text
//! account-<id>.json     an account: its URL and key, as the ACME library writes them. <id> is of the
//!                       directory and the external account, so identities of one CA share it
//! <identity>.pem        the certificate's key and, behind it, its chain
//! <identity>.order.key  the key of the order under way, written before the CA hears of it
//! <identity>.json       where the identity stands: one object of
//!     order       URL of the order under way
//!     failures    attempts in a row that failed
//!     why         what the last one said
//!     not_before  no attempt before that, Unix seconds
//!     renew_at    when to renew, Unix seconds: the CA said so; else at two thirds of the life
//!     ask_at      when to ask the CA for that again, Unix seconds
//! ```
//!
//! Whoever has mended what the CA complained of and does not want to wait removes `<identity>.json` and
//! sends SIGHUP.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use aws_lc_rs::digest::SHA256;
use aws_lc_rs::digest::digest;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use tracing::error;
use tracing::warn;

use crate::certs;
use crate::certs::Locked;
use crate::certs::Readers;
use crate::telemetry::chain;

use super::Config;
use super::error::Error;
use super::schedule;

/// Where one identity stands.
#[derive(Debug)]
pub(super) struct State {
    files: PathBuf,
    identity: String,
    pub(super) saved: Saved,
}

/// The part of it that is on disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Saved {
    pub(super) order: Option<String>,
    pub(super) failures: u32,
    pub(super) why: Option<String>,
    pub(super) not_before: Option<i64>,
    pub(super) renew_at: Option<i64>,
    pub(super) ask_at: Option<i64>,
}

impl State {
    /// As it was left; as new where nothing was left.
    pub(super) fn read(files: &Path, identity: &str) -> Self {
        let path = files.join(format!("{identity}.json"));
        let saved = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                warn!(%error, path = %path.display(), "Not understood, so begun anew");
                Saved::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(%error, path = %path.display(), "Not read, so begun anew");
                }
                Saved::default()
            }
        };
        Self { files: files.to_owned(), identity: identity.to_owned(), saved }
    }

    /// What the last attempt failed with, and when the next one is, in words.
    pub(super) fn why(&self) -> Option<&str> {
        self.saved.why.as_deref()
    }

    pub(super) fn succeeded(&mut self) {
        self.saved = Saved::default();
    }

    /// Notes a failure; yields when the next attempt is.
    pub(super) fn failed(
        &mut self,
        why: &Error,
        told: &str,
        now: OffsetDateTime,
    ) -> OffsetDateTime {
        self.saved.failures = self.saved.failures.saturating_add(1);
        let next = now + schedule::pause(why, self.saved.failures);
        self.saved.not_before = Some(next.unix_timestamp());
        self.saved.why = Some(format!("{told}; next attempt {}", certs::date(next)));
        if why.ends_the_order() {
            self.saved.order = None;
        }
        next
    }

    /// Keeps it. A disk that takes nothing is told of; what we do then is in memory alone.
    pub(super) async fn save(&self) {
        let bytes = serde_json::to_vec(&self.saved).unwrap_or_default();
        let name = format!("{}.json", self.identity);
        if let Err(error) = write(&self.files, name, bytes).await {
            error!(error = chain(&error), "Where we stand with the CA is not kept");
        }
    }

    /// The file of the order's key.
    pub(super) fn order_key(&self) -> PathBuf {
        self.files.join(format!("{}.order.key", self.identity))
    }
}

/// The account's file.
pub(super) fn account_path(config: &Config) -> PathBuf {
    let key_id = config.external_account.as_ref().map_or("", |account| &account.key_id);
    let id = digest(&SHA256, format!("{}\n{key_id}", config.directory).as_bytes());
    let id: String = id.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    config.files.join(format!("account-{id}.json"))
}

/// Writes a file of the directory, whole or not at all.
pub(super) async fn write(files: &Path, name: String, bytes: Vec<u8>) -> Result<(), certs::Error> {
    let files = files.to_owned();
    let failed = certs::Error::Write {
        path: files.join(&name),
        source: io::Error::other("the thread that writes has broken off"),
    };
    let written =
        spawn_blocking(move || Locked::open(&files)?.write(&name, &bytes, Readers::Owner));
    written.await.unwrap_or(Err(failed))
}
