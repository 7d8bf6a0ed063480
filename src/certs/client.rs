use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::sign::CertifiedKey;

use super::error::Error;
use super::identity::Identity;
use super::roots::Trust;
use super::verify::Telling;

/// Who we are to a server that asks, and can be exchanged under open connections: each new handshake
/// takes the current one.
#[derive(Debug, Clone)]
pub struct ClientIdentity(Arc<ArcSwap<CertifiedKey>>);

impl ClientIdentity {
    /// Starts with `identity`.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self(Arc::new(ArcSwap::new(identity.certified_key())))
    }

    /// Takes `identity` for every handshake from now on.
    pub fn replace(&self, identity: &Identity) {
        self.0.store(identity.certified_key());
    }

    /// The chain and key of every handshake that begins now.
    #[must_use]
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.0.load_full()
    }

    /// As [`client_config`], with this identity.
    ///
    /// # Errors
    ///
    /// As [`client_config`].
    pub fn config(&self, trust: &Trust, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Error> {
        build(trust, Some(self.clone()), alpn)
    }
}

impl ResolvesClientCert for ClientIdentity {
    /// Whatever CAs the server hints at: many servers hint wrongly, and one that does not like the
    /// certificate says so in words, which silence would not.
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// TLS 1.2 and 1.3 towards a server that `trust` vouches for, as `identity` where the server asks.
///
/// # Errors
///
/// If the TLS library refuses the roots.
pub fn client_config(
    trust: &Trust,
    identity: Option<&Identity>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, Error> {
    build(trust, identity.map(ClientIdentity::new), alpn)
}

fn build(
    trust: &Trust,
    identity: Option<ClientIdentity>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, Error> {
    let provider = super::provider();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(trust.roots(), Arc::clone(&provider))
            .build()
            .map_err(|error| Error::Tls { detail: error.to_string() })?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Error::Tls { detail: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Telling { inner: verifier }));
    let mut config = match identity {
        Some(identity) => {
            let mut config = builder.with_client_cert_resolver(Arc::new(identity));
            // To the server, a resumed session is who began it: after an exchange we would go on as who
            // we were, with a certificate that may be over (RFC 8446 §4.6.1).
            config.resumption = Resumption::disabled();
            config
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
