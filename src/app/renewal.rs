use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;

use crate::certs::ClientIdentity;
use crate::certs::Identity;
use crate::certs::LocalCa;
use crate::certs::ServerIdentities;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::telemetry::chain;

/// Certificates of local CAs, kept fresh under the connections that use them: a leaf is made anew when two
/// thirds of its life are over, here or by `pushbell certs renew`, and no connection is dropped for it.
pub(super) struct Renewal {
    identities: Vec<Renewable>,
}

struct Renewable {
    name: String,
    names: Vec<String>,
    directory: PathBuf,
    current: Identity,
    servers: Vec<ServerIdentities>,
    client: Option<ClientIdentity>,
}

/// How often the files are looked at: a leaf of 90 days has 30 left when it is due.
const EVERY: Duration = Duration::from_secs(60 * 60);

impl Renewal {
    /// Of every identity that a local CA issues.
    pub(super) fn new(
        config: &Config,
        identities: &BTreeMap<String, Identity>,
        mut servers: BTreeMap<String, Vec<ServerIdentities>>,
        clients: &BTreeMap<String, ClientIdentity>,
    ) -> Self {
        let renewable = |identity: &crate::config::Identity| {
            let IdentityOrigin::LocalCa { names, directory } = &identity.origin else {
                return None;
            };
            let name = &identity.name.value;
            Some(Renewable {
                name: name.clone(),
                names: names.clone(),
                directory: directory.value.clone(),
                current: identities.get(name)?.clone(),
                servers: servers.remove(name).unwrap_or_default(),
                client: clients.get(name).cloned(),
            })
        };
        Self { identities: config.identities.iter().filter_map(renewable).collect() }
    }

    /// Looks after them until the stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = sleep(EVERY) => {}
                () = stop.cancelled() => break,
            }
            for identity in &mut self.identities {
                identity.look_after().await;
            }
        }
    }
}

impl Renewable {
    async fn look_after(&mut self) {
        let (directory, name, names) =
            (self.directory.clone(), self.name.clone(), self.names.clone());
        let made = spawn_blocking(move || {
            let now = OffsetDateTime::now_utc();
            let (ca, _) = LocalCa::open_or_create(&directory, &names, now)?;
            ca.leaf(&name, &names, now)
        });
        match made.await {
            Ok(Ok(fresh)) if fresh.not_after() != self.current.not_after() => {
                self.servers.iter().for_each(|server| server.replace(&fresh, &[]));
                if let Some(client) = &self.client {
                    client.replace(&fresh);
                }
                info!(
                    identity = self.name,
                    until = %crate::certs::date(fresh.not_after()),
                    "Certificate renewed; new connections get it"
                );
                self.current = fresh;
            }
            Ok(Ok(_)) => {}
            Ok(Err(why)) => error!(
                identity = self.name,
                error = chain(&why),
                until = %crate::certs::date(self.current.not_after()),
                "Certificate not renewed; the one in use stays"
            ),
            Err(why) => error!(identity = self.name, error = %why, "Renewal broke off"),
        }
    }
}
