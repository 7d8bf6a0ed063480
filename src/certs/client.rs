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
use super::identity::Purpose;
use super::roots::Trust;
use super::verify::Telling;

/// How we shake hands with servers: whom we trust, and who we are where a server asks. Both can be exchanged
/// under open connections: each new handshake takes the current ones.
#[derive(Debug, Clone)]
pub struct ClientTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: ArcSwap<ClientConfig>,
    identity: Option<ClientIdentity>,
    alpn: Vec<Vec<u8>>,
}

impl ClientTls {
    /// TLS 1.2 and 1.3 towards a server that `trust` vouches for, as `identity` where the server asks.
    ///
    /// # Errors
    ///
    /// If the TLS library refuses the roots.
    pub fn new(
        trust: &Trust,
        identity: Option<ClientIdentity>,
        alpn: &[&[u8]],
    ) -> Result<Self, Error> {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let current = ArcSwap::new(build(trust, identity.as_ref(), &alpn)?);
        Ok(Self(Arc::new(Inner { current, identity, alpn })))
    }

    /// What the next handshake is done with.
    ///
    /// # Errors
    ///
    /// If the identity we would have to show is not there, or not for clients.
    pub fn current(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(identity) = &self.0.identity {
            identity.is_there()?;
        }
        Ok(self.0.current.load_full())
    }

    /// Takes `trust` for every handshake from now on. No session of before is resumed: a server is not verified
    /// anew when one is.
    ///
    /// # Errors
    ///
    /// If the TLS library refuses the roots; those before stay.
    pub fn exchange(&self, trust: &Trust) -> Result<(), Error> {
        let Inner { current, identity, alpn } = &*self.0;
        current.store(build(trust, identity.as_ref(), alpn)?);
        Ok(())
    }
}

/// Who we are to a server that asks.
#[derive(Debug, Clone)]
pub struct ClientIdentity(Arc<ArcSwap<State>>);

#[derive(Debug)]
enum State {
    /// Somebody, for clients.
    There(Arc<CertifiedKey>),
    /// Nobody yet: a CA has not issued it.
    Awaited { identity: String },
    /// What there is is not for clients.
    Unfit { identity: String, usages: String },
}

impl ClientIdentity {
    /// Starts with `identity`, if that is for clients.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(State::of(identity))))
    }

    /// One that a CA has not issued yet: until it does, no handshake is begun.
    #[must_use]
    pub fn awaited(identity: &str) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(State::Awaited { identity: identity.to_owned() })))
    }

    /// Takes `identity` for every handshake from now on, if it is for clients; if not, one that is stays.
    ///
    /// # Errors
    ///
    /// If it is not for clients.
    pub fn replace(&self, identity: &Identity) -> Result<(), Error> {
        let fresh = State::of(identity);
        let told = fresh.is_there();
        if told.is_ok() || self.is_there().is_err() {
            self.0.store(Arc::new(fresh));
        }
        told
    }

    /// The chain and key of every handshake that begins now; nothing while there is nobody to be.
    #[must_use]
    pub fn current(&self) -> Option<Arc<CertifiedKey>> {
        match &**self.0.load() {
            State::There(certified) => Some(Arc::clone(certified)),
            State::Awaited { .. } | State::Unfit { .. } => None,
        }
    }

    /// # Errors
    ///
    /// If there is nobody to be, or nobody for clients.
    fn is_there(&self) -> Result<(), Error> {
        self.0.load().is_there()
    }
}

impl State {
    fn of(identity: &Identity) -> Self {
        match identity.check_purpose(Purpose::Clients) {
            Err(Error::Unfit { identity, usages, .. }) => Self::Unfit { identity, usages },
            Ok(()) | Err(_) => Self::There(identity.certified_key()),
        }
    }

    fn is_there(&self) -> Result<(), Error> {
        match self {
            Self::There(_) => Ok(()),
            Self::Awaited { identity } => Err(Error::NotIssued { identity: identity.clone() }),
            Self::Unfit { identity, usages } => Err(Error::Unfit {
                identity: identity.clone(),
                purpose: Purpose::Clients,
                usages: usages.clone(),
            }),
        }
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
        self.current()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn build(
    trust: &Trust,
    identity: Option<&ClientIdentity>,
    alpn: &[Vec<u8>],
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
            let mut config = builder.with_client_cert_resolver(Arc::new(identity.clone()));
            // To the server, a resumed session is who began it: after an exchange we would go on as who
            // we were, with a certificate that may be over (RFC 8446 §4.6.1).
            config.resumption = Resumption::disabled();
            config
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.to_vec();
    Ok(Arc::new(config))
}
