use std::fmt::Write as _;

use super::curl::Curl;
use super::pki::Pki;
use super::receiver::Asks;
use super::receiver::Receiver;
use super::registry::Registry;
use super::sidecar::Sidecar;
use super::workdir::Workdir;

/// The secret webhooks are signed with: 32 bytes in base64.
pub(crate) const SECRET: &str = "whsec_bm90IGEgc2VjcmV0OiBvbmx5IGZvciB0aGUgdGVzdHM=";

/// A registry, the sidecar in front of it, and a receiver: what most tests start from.
///
/// Events name the registry `registry.example.com`; clients reach it as `localhost:port`.
pub(crate) struct Stage {
    // In this order they are dropped: nobody loses the one he talks to.
    pub(crate) sidecar: Sidecar,
    pub(crate) receiver: Receiver,
    pub(crate) registry: Registry,
    pub(crate) pki: Pki,
    pub(crate) work: Workdir,
}

impl Stage {
    /// With one signed native endpoint at `/hook` that asks for our certificate, and every default.
    pub(crate) fn open() -> Self {
        Self::with_endpoint("dialect: native\n")
    }

    /// The same with these lines in the endpoint, one key each.
    pub(crate) fn with_endpoint(lines: &str) -> Self {
        Self::with(lines, "", Registry::start)
    }

    /// The same with a registry of one's own choice, and more lines at the end of the file.
    pub(crate) fn with(
        endpoint: &str,
        more: &str,
        registry: impl FnOnce(&Workdir) -> Registry,
    ) -> Self {
        let work = Workdir::new();
        let registry = registry(&work);
        let pki = Pki::new(&work, "receiver-pki");
        let receiver = Receiver::start(&pki, Asks::ClientCertificate);
        let yaml = Self::file(&work, &registry, &pki, &receiver.url("/hook"), endpoint) + more;
        let sidecar = Sidecar::with_file(&work, &yaml);
        Self { sidecar, receiver, registry, pki, work }
    }

    /// The file [`Stage::with`] starts the sidecar with.
    pub(crate) fn file(
        work: &Workdir,
        registry: &Registry,
        pki: &Pki,
        url: &str,
        endpoint: &str,
    ) -> String {
        let client = pki.client("pushbell");
        let secret = work.write_secret("signing-secret", format!("{SECRET}\n"));
        let mut yaml = format!(
            "registry:\n  name: registry.example.com\n  upstream: {}\n\
             identities:\n  registry: {{ local_ca: {{ names: [registry.example.com, localhost, 127.0.0.1] }} }}\n\
             \x20 client: {{ files: {{ certificate: {}, key: {} }} }}\n\
             listeners:\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n\
             state: {{ directory: {} }}\n\
             endpoints:\n  - name: build\n    tls: {{ ca: {}, identity: client }}\n\
             \x20   sign: {{ scheme: standard-webhooks, secret_file: {} }}\n",
            registry.url(),
            client.certificate.display(),
            client.key.display(),
            work.join("state").display(),
            pki.ca().display(),
            secret.display(),
        );
        writeln!(yaml, "    url: {url}").unwrap();
        for line in endpoint.lines() {
            writeln!(yaml, "    {line}").unwrap();
        }
        yaml
    }

    /// curl through the sidecar.
    pub(crate) fn curl(&self) -> Curl {
        Curl::through(&self.work, &self.sidecar)
    }

    /// curl to the registry itself.
    pub(crate) fn direct(&self) -> Curl {
        Curl::direct(&self.work, &self.registry.url())
    }

    /// curl to the admin listener.
    pub(crate) fn admin(&self) -> Curl {
        Curl::direct(&self.work, &self.sidecar.admin(""))
    }

    /// Kills the sidecar and starts it again on the same state, at a new port.
    pub(crate) fn revive(&mut self) {
        self.sidecar.kill();
        let yaml = std::fs::read_to_string(self.work.join("pushbell.yaml")).unwrap();
        self.sidecar = Sidecar::with_file(&self.work, &yaml);
    }
}
