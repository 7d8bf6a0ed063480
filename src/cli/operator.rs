//! Asks a running Pushbell as an operator: through its admin listener, with its token.

use std::time::Duration;

use http::Request;
use http::StatusCode;
use http::header;
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::app;
use crate::body;
use crate::config::Address;
use crate::config::Config;
use crate::config::Serve;
use crate::secret::Secret;
use crate::telemetry::chain;

use super::Exit;
use super::Failure;
use super::exchange;
use super::exchange::REMEDY;

/// The most of an answer that is read: a page of events with all they say.
const LIMIT: usize = 64 << 20;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running Pushbell.
pub(super) struct Operator {
    address: Address,
    prefix: &'static str,
    token: Secret,
}

impl Operator {
    pub(super) fn of(config: &Config) -> Result<Self, Failure> {
        let mut admins = config.listeners.iter().filter(|l| l.serves.contains(&Serve::Admin));
        let Some(admin) = admins.next() else {
            let message = "pushbell: no listener serves `admin`; add one with `serve: [admin]`";
            return Err(Failure::new(Exit::Usage, message));
        };
        let address = admin.address.value.clone();
        if admin.identity.is_some() {
            let message = format!(
                "pushbell: the admin listener {address} speaks TLS; this asks one on loopback or a unix socket \
                 without `identity`"
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        let token = app::admin_token(config).map_err(|error| {
            let help = "run this as the user that Pushbell runs as, with the same `--config`";
            Failure::new(Exit::Failed, format!("pushbell: {}", chain(&error)))
                .with_help(Some(help.to_owned()))
        })?;
        let shared = admin.serves.contains(&Serve::Registry);
        Ok(Self { address, prefix: if shared { "/_pushbell" } else { "" }, token })
    }

    /// What stands at this path below `/api/v1/`.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Request::get(self.uri(path)), None)
    }

    /// Changes something.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(
            Request::post(self.uri(path)).header(header::CONTENT_TYPE, "application/json"),
            Some(body),
        )
    }

    fn uri(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.prefix)
    }

    fn ask(&self, request: http::request::Builder, body: Option<&Value>) -> Result<Value, Failure> {
        let address = &self.address;
        let failed =
            |why: String| Failure::new(Exit::Failed, format!("pushbell: {address}: {why}"));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let bearer = [b"Bearer ", self.token.expose()].concat();
        let body = body.map_or_else(body::empty, |value| body::full(value.to_string()));
        let request = request
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, bearer)
            .body(body)
            .map_err(|error| failed(error.to_string()))?;
        let asked = runtime
            .block_on(async { timeout(PATIENCE, exchange::ask(address, request, LIMIT)).await });
        let (status, answer) = asked
            .map_err(|_| failed(format!("no answer in {} s", PATIENCE.as_secs())))?
            .map_err(|error| failed(error.to_string()).with_help(Some(REMEDY.to_owned())))?;
        let value: Value = serde_json::from_slice(&answer)
            .map_err(|_| failed(format!("it answered {status}, and not as Pushbell does")))?;
        if status == StatusCode::OK {
            return Ok(value);
        }
        let why = value["error"].as_str().unwrap_or_default();
        let exit = if status == StatusCode::BAD_REQUEST { Exit::Usage } else { Exit::Failed };
        Err(Failure::new(exit, format!("pushbell: {address}: {why} ({status})")))
    }
}
