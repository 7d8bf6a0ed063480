use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::CipherSuite;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

use super::challenge::ACME_TLS;
use super::challenge::Challenges;
use super::error::Error;
use super::identity::Identity;

/// Who a listener is, by the name that the client asks for, and can be exchanged under open
/// connections: each new handshake takes the current one.
#[derive(Debug, Clone)]
pub struct ServerIdentities {
    current: Arc<ArcSwap<ByName>>,
    challenges: Option<Challenges>,
}

#[derive(Debug)]
struct ByName {
    default: Option<Arc<CertifiedKey>>,
    names: HashMap<String, Arc<CertifiedKey>>,
}

impl ServerIdentities {
    /// Starts with `default` for clients that ask for no name, or for one that nobody covers, and
    /// `others` for the names that they cover; of two that cover a name, the first. Without a default,
    /// which may not have been issued yet, such clients are refused.
    #[must_use]
    pub fn new(default: Option<&Identity>, others: &[Identity]) -> Self {
        let current = Arc::new(ArcSwap::from_pointee(ByName::new(default, others)));
        Self { current, challenges: None }
    }

    /// The same, and at this port CAs find what they look for when they validate a name.
    #[must_use]
    pub fn with_challenges(mut self, challenges: Challenges) -> Self {
        self.challenges = Some(challenges);
        self
    }

    /// Takes these identities for every handshake from now on.
    pub fn replace(&self, default: Option<&Identity>, others: &[Identity]) {
        self.current.store(Arc::new(ByName::new(default, others)));
    }

    /// TLS 1.2 and 1.3 with these identities, AES-128-GCM before other ciphers, HTTP/2 before HTTP/1.1, sessions resumed by tickets.
    ///
    /// # Errors
    ///
    /// If the TLS library cannot make keys for the tickets.
    pub fn config(&self) -> Result<Arc<ServerConfig>, Error> {
        let failed = |error: rustls::Error| Error::Tls { detail: error.to_string() };
        let mut provider = CryptoProvider::clone(&super::provider());
        // The cheapest of those that are good enough for everybody comes first, and we choose.
        provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.challenges.is_some() {
            config.alpn_protocols.push(ACME_TLS.to_vec());
        }
        // Stateless: a session is resumed without keeping anything for it, and the keys change by
        // themselves.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(failed)?;
        Ok(Arc::new(config))
    }
}

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

impl ResolvesServerCert for ServerIdentities {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.challenges.as_ref().and_then(|challenges| challenges.find(&client_hello)) {
            Some(answer) => answer,
            None => self.current.load().find(client_hello.server_name()),
        }
    }
}

impl ByName {
    fn new(default: Option<&Identity>, others: &[Identity]) -> Self {
        let mut names = HashMap::new();
        for identity in default.into_iter().chain(others) {
            for name in identity.names() {
                names.entry(name.clone()).or_insert_with(|| identity.certified_key());
            }
        }
        Self { default: default.map(Identity::certified_key), names }
    }

    fn find(&self, asked: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let found = asked.and_then(|asked| {
            let asked = asked.to_ascii_lowercase();
            let wildcard = || {
                let (_, parent) = asked.split_once('.')?;
                self.names.get(&format!("*.{parent}"))
            };
            self.names.get(&asked).or_else(wildcard)
        });
        found.or(self.default.as_ref()).cloned()
    }
}

/// A configuration with one identity.
///
/// # Errors
///
/// As [`ServerIdentities::config`].
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    ServerIdentities::new(Some(identity), &[]).config()
}
