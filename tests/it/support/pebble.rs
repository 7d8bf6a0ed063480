use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::curl::Curl;
use super::pki::Pki;
use super::process::Process;
use super::until;
use super::workdir::Workdir;

/// A CA that speaks ACME, as Debian ships it for tests, and the DNS by which it finds every name here.
pub(crate) struct Pebble {
    port: u16,
    management: u16,
    pki: Pki,
    _dns: Process,
    process: Process,
}

/// What a CA can be like.
pub(crate) struct Temper {
    /// Where it comes to validate by TLS.
    pub(crate) tls_port: u16,
    /// Where it comes to validate by HTTP.
    pub(crate) http_port: u16,
    /// How long its certificates live.
    pub(crate) life_seconds: u64,
    /// Good nonces that it refuses, of a hundred.
    pub(crate) refused_nonces: u32,
    /// How long it takes before it comes.
    pub(crate) sleep_seconds: u32,
    /// Whether it finds everything valid, be anybody there or not.
    pub(crate) believes: bool,
    /// Whether it asks for an account that it has made before: [`KEY_ID`] with [`KEY`].
    pub(crate) external_accounts: bool,
}

impl Default for Temper {
    fn default() -> Self {
        Self {
            tls_port: 1,
            http_port: 1,
            life_seconds: 24 * 60 * 60,
            refused_nonces: 0,
            sleep_seconds: 0,
            believes: false,
            external_accounts: false,
        }
    }
}

pub(crate) const KEY_ID: &str = "kid-1";
pub(crate) const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A name that the CA issues no certificates for.
pub(crate) const BLOCKED: &str = "blocked.example.com";

/// A port that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Pebble {
    pub(crate) fn start(work: &Workdir, temper: &Temper) -> Self {
        let pki = Pki::new(work, "directory");
        let pair = pki.server("directory", &["localhost", "127.0.0.1"]);
        let (port, management, dns, dns_management) =
            (free_port(), free_port(), free_port(), free_port());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": pair.certificate,
            "privateKey": pair.key,
            "httpPort": temper.http_port,
            "tlsPort": temper.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": temper.external_accounts,
            "externalAccountMACKeys": { KEY_ID: KEY },
            "domainBlocklist": [BLOCKED],
            "certificateValidityPeriod": temper.life_seconds,
        }});
        let config = work.write("pebble.json", config.to_string());
        let mut server = Command::new("pebble-challtestsrv");
        server
            .arg("-dns01")
            .arg(format!("127.0.0.1:{dns}"))
            .arg("-management")
            .arg(format!("127.0.0.1:{dns_management}"))
            .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        let dns_process = Process::start(&mut server);
        let mut server = Command::new("pebble");
        server
            .arg("-config")
            .arg(config)
            .arg("-dnsserver")
            .arg(format!("127.0.0.1:{dns}"))
            .env("PEBBLE_WFE_NONCEREJECT", temper.refused_nonces.to_string())
            .env("PEBBLE_AUTHZREUSE", "0");
        match temper.sleep_seconds {
            0 => server.env("PEBBLE_VA_NOSLEEP", "1"),
            // It takes up to so long, by chance, and one second at least.
            seconds => server.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
        };
        if temper.believes {
            server.env("PEBBLE_VA_ALWAYS_VALID", "1");
        }
        let process = Process::start(&mut server);
        let pebble = Self { port, management, pki, _dns: dns_process, process };
        until("the CA to listen", || {
            let lines = pebble.process.lines();
            lines.iter().any(|line| line.contains("ACME directory available")).then_some(())
        });
        pebble
    }

    /// Where its directory is.
    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// Who vouches for the directory.
    pub(crate) fn directory_ca(&self) -> PathBuf {
        self.pki.ca()
    }

    /// What clients have to trust to accept what it issues.
    pub(crate) fn root(&self, work: &Workdir) -> PathBuf {
        let curl = Curl::direct(work, &format!("https://localhost:{}", self.management))
            .with(&["--cacert", self.pki.ca().to_str().unwrap()]);
        let root = curl.get("/roots/0");
        assert_eq!(root.status, 200, "{root:?}");
        work.write("pebble-root.pem", root.body)
    }

    /// How often it said such a thing.
    pub(crate) fn said(&self, what: &str) -> usize {
        self.process.lines().iter().filter(|line| line.contains(what)).count()
    }
}
