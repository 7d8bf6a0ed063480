use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::sign::SigningKey;
use time::Duration;
use time::OffsetDateTime;

use super::error::Error;
use super::pem;
use super::words::date;
use super::x509;
use super::x509::Facts;

/// A chain and its key, checked when they were loaded: somebody we can be.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    name: String,
    certificate: PathBuf,
    key: PathBuf,
    facts: Facts,
    certified: Arc<CertifiedKey>,
}

/// How much of a certificate's life is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// More than a third.
    Fresh,
    /// A third or less: it should have been renewed by now.
    Late,
    /// A tenth or less: somebody must act.
    Ending,
    /// Nothing.
    Over,
}

/// Who shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A listener.
    Servers,
    /// We, to a server that asks.
    Clients,
}

impl Purpose {
    /// What the extended key usage has to have for it.
    #[must_use]
    pub fn usage(self) -> &'static str {
        match self {
            Self::Servers => "serverAuth",
            Self::Clients => "clientAuth",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Servers => "servers",
            Self::Clients => "clients",
        })
    }
}

impl Identity {
    /// Loads the chain in `certificate` and the key in `key`, which may be one file.
    ///
    /// # Errors
    ///
    /// If a file is missing, cannot be read or understood, if others can read the key, if the two do
    /// not belong together, or if the certificate is not valid `now`.
    pub fn load(
        name: &str,
        certificate: &Path,
        key: &Path,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let identity = Self::load_of_any_age(name, certificate, key)?;
        identity.check(now)?;
        Ok(identity)
    }

    /// The same, whether it is valid now or not: for one that we renew ourselves, which is shown for want
    /// of another (rule C4).
    ///
    /// # Errors
    ///
    /// As [`Identity::load`], but for its dates.
    pub fn load_of_any_age(name: &str, certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain = pem::certificates(certificate)?;
        let mut facts = Vec::new();
        for (n, der) in chain.iter().enumerate() {
            facts.push(x509::read(der).map_err(|detail| Error::Malformed {
                path: certificate.to_owned(),
                number: n + 1,
                detail,
            })?);
        }
        let unsupported = |_| Error::UnsupportedKey { path: key.to_owned() };
        let private = pem::key(key)?;
        let signing = super::provider()
            .key_provider
            .load_private_key(private.clone_key())
            .map_err(unsupported)?;
        belongs(&chain, &signing).map_err(|problem| problem.of(certificate, key))?;
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            facts: facts.swap_remove(0),
            certified: Arc::new(CertifiedKey::new(chain, signing)),
        })))
    }

    fn check(&self, now: OffsetDateTime) -> Result<(), Error> {
        let path = || self.0.certificate.clone();
        if now > self.not_after() {
            return Err(Error::Expired { path: path(), on: date(self.not_after()) });
        }
        if now < self.not_before() {
            return Err(Error::NotYetValid { path: path(), from: date(self.not_before()) });
        }
        Ok(())
    }

    /// What the TLS library works with.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.certified)
    }

    /// What the configuration calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The host names, in lower case, and addresses that the certificate is for.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0.facts.names
    }

    /// Whether a client that asks for `host`, a name or an address, will be content.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        covers(self.names(), host)
    }

    /// Who issued the certificate.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.facts.issuer
    }

    /// Whether servers, or clients, may show it: without an extended key usage, both.
    ///
    /// # Errors
    ///
    /// If not, with what it is for.
    pub fn check_purpose(&self, purpose: Purpose) -> Result<(), Error> {
        let usage = &self.0.facts.usage;
        let fit = match purpose {
            Purpose::Servers => usage.servers,
            Purpose::Clients => usage.clients,
        };
        if fit {
            return Ok(());
        }
        let usages = usage.words.clone();
        Err(Error::Unfit { identity: self.0.name.clone(), purpose, usages })
    }

    /// From when on the certificate is valid.
    #[must_use]
    pub fn not_before(&self) -> OffsetDateTime {
        self.0.facts.not_before
    }

    /// Until when the certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.0.facts.not_after
    }

    /// When two thirds of the certificate's life are over, and a new one is due.
    #[must_use]
    pub fn renew_at(&self) -> OffsetDateTime {
        self.not_before() + self.whole_life() * 2 / 3
    }

    /// How much of the certificate's life is left.
    #[must_use]
    pub fn lifetime(&self, now: OffsetDateTime) -> Lifetime {
        let left = self.not_after() - now;
        if left < Duration::ZERO {
            Lifetime::Over
        } else if left <= self.whole_life() / 10 {
            Lifetime::Ending
        } else if left <= self.whole_life() / 3 {
            Lifetime::Late
        } else {
            Lifetime::Fresh
        }
    }

    fn whole_life(&self) -> Duration {
        (self.not_after() - self.not_before()).max(Duration::ZERO)
    }

    /// Who issued the last certificate of our chain, if that of `other` goes on with his certificate
    /// there. A root is not missed: clients have it.
    #[must_use]
    pub(super) fn lacks_chain_of(&self, other: &Self) -> Option<String> {
        let last = x509::parse(self.0.certified.cert.last()?).ok()?;
        let goes_on = |certificate: &CertificateDer<'_>| {
            x509::parse(certificate).is_ok_and(|next| {
                next.subject().as_raw() == last.issuer().as_raw()
                    && next.subject().as_raw() != next.issuer().as_raw()
            })
        };
        let theirs = &other.0.certified.cert;
        theirs.iter().skip(1).any(goes_on).then(|| x509::distinguished(last.issuer()))
    }

    /// The file of the certificate.
    #[must_use]
    pub fn certificate_path(&self) -> &Path {
        &self.0.certificate
    }

    /// The file of the key.
    #[must_use]
    pub fn key_path(&self) -> &Path {
        &self.0.key
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Identity");
        shown.field("name", &self.0.name).field("names", &self.names());
        shown.field("not_after", &self.not_after()).finish_non_exhaustive()
    }
}

/// Whether a client that asks for `host`, a name or an address, is content with a certificate for `names`.
#[must_use]
pub fn covers(names: &[String], host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        let text = address.to_string();
        return names.contains(&text);
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // A wildcard stands for exactly one label (RFC 6125 §6.4.3).
    let parent = host.split_once('.').map(|(_, parent)| parent);
    names.iter().any(|name| {
        *name == host || name.strip_prefix("*.").is_some_and(|rest| parent == Some(rest))
    })
}

/// Why a key is not that of a chain's first certificate.
enum Stranger {
    /// It belongs to a later one, counted from 1.
    Later(usize),
    /// It belongs to none.
    Unknown,
    /// The TLS library cannot use the first one.
    Unusable(String),
}

impl Stranger {
    fn of(self, certificate: &Path, key: &Path) -> Error {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        match self {
            Self::Later(number) => Error::Order { certificate, key, number },
            Self::Unknown => Error::NotMatching { certificate, key },
            Self::Unusable(detail) => Error::Malformed { path: certificate, number: 1, detail },
        }
    }
}

fn belongs(chain: &[CertificateDer<'static>], key: &Arc<dyn SigningKey>) -> Result<(), Stranger> {
    let matches = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(key)).keys_match()
    };
    match chain.first().map(matches) {
        Some(Ok(())) => Ok(()),
        None | Some(Err(rustls::Error::InconsistentKeys(_))) => {
            let later = chain.iter().skip(1).position(|later| matches(later).is_ok());
            Err(later.map_or(Stranger::Unknown, |n| Stranger::Later(n + 2)))
        }
        Some(Err(other)) => Err(Stranger::Unusable(other.to_string())),
    }
}
