//! The local CA and its leaves.
//!
//! The directory holds, each as PEM:
//!
//! ```text
//! ca.pem           0644  the CA's certificate: what clients come to trust; behind it, until it ends, that
//!                        of the CA before, so that leaves of both are accepted while they change
//! ca.key           0600  its key, PKCS#8; needed only while a certificate is made, so it may be kept
//!                        elsewhere in between
//! <identity>.pem   0644  the certificate of an identity, without the CA's
//! <identity>.key   0600  its key, PKCS#8; a new one with each certificate
//! ```
//!
//! A key is written before its certificate. Dying in between leaves a pair that does not match, which
//! the next start finds and replaces; a `ca.key` without `ca.pem` is used for the new `ca.pem`.

use std::path::Path;
use std::path::PathBuf;

use rcgen::Issuer;
use rcgen::PublicKeyData as _;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use time::OffsetDateTime;
use tracing::warn;

use super::constraints::Constraints;
use super::constraints::Name;
use super::error::Error;
use super::identity::Identity;
use super::pem;
use super::signer::Signer;
use super::store::Locked;
use super::store::Readers;
use super::template;
use super::words::date;
use super::x509;
use super::x509::Facts;

const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";

/// A CA of our own, in a directory.
pub struct LocalCa {
    directory: PathBuf,
    certificate: CertificateDer<'static>,
    facts: Facts,
    constraints: Constraints,
}

/// How a local CA came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It was made just now: nobody trusts it yet.
    Created,
    /// It was there.
    Existing,
}

/// Which key a renewed CA gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaKey {
    /// The old one. Clients that trust the old certificate go on accepting leaves for its names.
    Keep,
    /// A new one, in good time. The old certificate stays beside the new one in what clients are given:
    /// whoever has that accepts leaves of both. New leaves are the new one's, so nobody accepts them
    /// before he has it.
    Replace,
}

impl LocalCa {
    /// Opens the CA in `directory`, or makes one that may issue certificates for `names` and this
    /// machine. An existing CA keeps the names it was made for. Blocks, as everything here, for as
    /// long as the disk takes.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used, if what is there is no CA or is over, or if others can read
    /// its key.
    pub fn open_or_create(
        directory: &Path,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<(Self, Opened), Error> {
        let locked = Locked::open(directory)?;
        match Self::open(directory, now) {
            Ok(ca) => Ok((ca, Opened::Existing)),
            Err(Error::Missing { .. }) => {
                let ca = Self::create(&locked, directory, names, CaKey::Keep, now)?;
                Ok((ca, Opened::Created))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a new CA certificate in the place of the old one, for `names` and this machine. Leaves of
    /// a replaced key are made anew when they are next asked for.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used, or an old key that should be kept cannot.
    pub fn renew(
        directory: &Path,
        names: &[String],
        key: CaKey,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let locked = Locked::open(directory)?;
        Self::create(&locked, directory, names, key, now)
    }

    fn open(directory: &Path, now: OffsetDateTime) -> Result<Self, Error> {
        let path = directory.join(CA_CERTIFICATE);
        let certificate = pem::certificates(&path)?.swap_remove(0);
        // Looked at now so that a key with open permissions is told at the start, not in two months.
        match Signer::load(&directory.join(CA_KEY)) {
            Ok(_) | Err(Error::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        Self::of(directory, certificate, now)
    }

    fn of(
        directory: &Path,
        certificate: CertificateDer<'static>,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let path = || directory.join(CA_CERTIFICATE);
        let malformed = |detail| Error::Malformed { path: path(), number: 1, detail };
        let facts = x509::read(&certificate).map_err(malformed)?;
        let constraints = x509::parse(&certificate)
            .and_then(|parsed| Constraints::of(&parsed))
            .map_err(|detail| Error::Malformed { path: path(), number: 1, detail })?;
        if !facts.is_ca {
            return Err(Error::CaNotACa { path: path() });
        }
        if now > facts.not_after {
            return Err(Error::CaExpired { path: path(), on: date(facts.not_after) });
        }
        if now < facts.not_before {
            return Err(Error::NotYetValid { path: path(), from: date(facts.not_before) });
        }
        Ok(Self { directory: directory.to_owned(), certificate, facts, constraints })
    }

    fn create(
        locked: &Locked,
        directory: &Path,
        names: &[String],
        key: CaKey,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let path = directory.join(CA_CERTIFICATE);
        let failed = |detail| Error::Mint { path: path.clone(), detail };
        let names = parse_all(names)?;
        // Where the key is gone, it was taken away: perhaps because somebody has seen it.
        let has_key = directory.join(CA_KEY).is_file();
        let former = match key {
            CaKey::Replace if has_key => former(&path, now),
            CaKey::Keep | CaKey::Replace => String::new(),
        };
        let old = match key {
            CaKey::Keep => match Signer::load(&directory.join(CA_KEY)) {
                Ok(signer) => Some(signer),
                Err(Error::Missing { .. }) => None,
                Err(error) => return Err(error),
            },
            CaKey::Replace => None,
        };
        let signer = match old {
            Some(signer) => signer,
            None => {
                let signer = Signer::generate().map_err(failed)?;
                let pem = signer.to_pem().map_err(failed)?;
                locked.write(CA_KEY, pem.as_bytes(), Readers::Owner)?;
                signer
            }
        };
        let certificate = template::ca(&names, &signer, now)
            .self_signed(&signer)
            .map_err(|error| failed(error.to_string()))?;
        let both = certificate.pem() + &former;
        locked.write(CA_CERTIFICATE, both.as_bytes(), Readers::Everybody)?;
        Self::of(directory, certificate.into(), now)
    }

    /// The file that clients come to trust.
    #[must_use]
    pub fn certificate_path(&self) -> PathBuf {
        self.directory.join(CA_CERTIFICATE)
    }

    /// Until when the CA is valid.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.facts.not_after
    }

    /// Who issued the CA's certificate: usually it itself.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.facts.issuer
    }

    /// The names and networks that the CA may issue certificates for; none where it may for all.
    #[must_use]
    pub fn permitted(&self) -> Vec<String> {
        self.constraints.list()
    }

    /// The certificate of `identity` for exactly `names`: the one that is there, or a new one where it
    /// is over two thirds of its life, for other names, of another CA, or damaged. Where a new one is
    /// due and cannot be made, one that is still good is used on, with a warning.
    ///
    /// # Errors
    ///
    /// If the CA may not issue for one of the names, or no good certificate is there and none can be
    /// made.
    pub fn leaf(
        &self,
        identity: &str,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<Identity, Error> {
        let names = self.check(identity, names)?;
        let locked = Locked::open(&self.directory)?;
        let there = match self.load(identity, now) {
            Ok(there) if self.vouches_for(&there, &names, now) => Some(there),
            Ok(_) => None,
            Err(error) if error.minting_cures() => None,
            Err(error) => return Err(error),
        };
        match there {
            Some(there) if now < there.renew_at() => Ok(there),
            Some(there) => self.mint(&locked, identity, &names, now).or_else(|error| {
                let until = date(there.not_after());
                warn!(%error, identity, until, "Certificate not renewed, the old one stays");
                Ok(there)
            }),
            None => self.mint(&locked, identity, &names, now),
        }
    }

    /// A new certificate of `identity` for exactly `names`, whatever is there.
    ///
    /// # Errors
    ///
    /// If the CA may not issue for one of the names, or the certificate cannot be made; what was there
    /// stays.
    pub fn renew_leaf(
        &self,
        identity: &str,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<Identity, Error> {
        let names = self.check(identity, names)?;
        let locked = Locked::open(&self.directory)?;
        self.mint(&locked, identity, &names, now)
    }

    fn load(&self, identity: &str, now: OffsetDateTime) -> Result<Identity, Error> {
        let file = |end| self.directory.join(format!("{identity}.{end}"));
        Identity::load(identity, &file("pem"), &file("key"), now)
    }

    /// Whether a certificate of `identity` for `names` could be made.
    ///
    /// # Errors
    ///
    /// If the identity's name is no file name, or the CA may not issue for one of the names.
    pub fn permits(&self, identity: &str, names: &[String]) -> Result<(), Error> {
        self.check(identity, names).map(drop)
    }

    fn check(&self, identity: &str, names: &[String]) -> Result<Vec<Name>, Error> {
        let usable = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if identity.is_empty()
            || identity.eq_ignore_ascii_case("ca")
            || identity.starts_with('.')
            || identity.len() > 128
            || !identity.bytes().all(usable)
        {
            return Err(Error::IdentityName { name: identity.to_owned() });
        }
        let names = parse_all(names)?;
        if names.is_empty() {
            return Err(Error::NoNames { identity: identity.to_owned() });
        }
        if let Some(name) = names.iter().find(|name| !self.constraints.permit(name)) {
            return Err(Error::OutsideConstraints {
                ca: self.certificate_path(),
                name: name.to_string(),
                permitted: self.permitted().join(", "),
            });
        }
        Ok(names)
    }

    fn mint(
        &self,
        locked: &Locked,
        identity: &str,
        names: &[Name],
        now: OffsetDateTime,
    ) -> Result<Identity, Error> {
        let path = self.directory.join(format!("{identity}.pem"));
        let failed = |detail| Error::Mint { path: path.clone(), detail };
        let ca_key_path = self.directory.join(CA_KEY);
        let ca_key = Signer::load(&ca_key_path)?;
        if !self.has_key(&ca_key).map_err(failed)? {
            return Err(Error::NotMatching {
                certificate: self.certificate_path(),
                key: ca_key_path,
            });
        }
        let issuer = Issuer::from_ca_cert_der(&self.certificate, ca_key)
            .map_err(|error| failed(error.to_string()))?;
        let signer = Signer::generate().map_err(failed)?;
        let leaf = template::leaf(identity, names, self.facts.not_after, now)
            .map_err(failed)?
            .signed_by(&signer, &issuer)
            .map_err(|error| failed(error.to_string()))?;
        for name in names {
            self.verify(leaf.der(), name, now).map_err(|error| failed(error.to_string()))?;
        }
        let key = signer.to_pem().map_err(failed)?;
        locked.write(&format!("{identity}.key"), key.as_bytes(), Readers::Owner)?;
        locked.write(&format!("{identity}.pem"), leaf.pem().as_bytes(), Readers::Everybody)?;
        self.load(identity, now)
    }

    /// Whether `key` is the one of the CA's certificate.
    fn has_key(&self, key: &Signer) -> Result<bool, String> {
        let certificate = x509::parse(&self.certificate)?;
        Ok(certificate.public_key().raw == key.subject_public_key_info())
    }

    /// Whether `there` is ours and for exactly these names.
    fn vouches_for(&self, there: &Identity, names: &[Name], now: OffsetDateTime) -> bool {
        let certified = there.certified_key();
        let Ok(leaf) = certified.end_entity_cert() else {
            return false;
        };
        let mut covered: Vec<_> = there.names().iter().filter_map(|n| Name::parse(n)).collect();
        covered.sort();
        covered == names && names.iter().all(|name| self.verify(leaf, name, now).is_ok())
    }

    /// Verifies a leaf as a client that trusts this CA alone would.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        name: &Name,
        now: OffsetDateTime,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), super::provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let server_name = match name {
            Name::Address(address) => ServerName::from(*address),
            Name::Dns(name) => ServerName::try_from(name.replacen('*', "any", 1))
                .map_err(|error| rustls::Error::General(error.to_string()))?,
        };
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        verifier.verify_server_cert(leaf, &[], &server_name, &[], now).map(|_| ())
    }
}

impl std::fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCa").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The newest of the certificates that were trusted until now and are still good, as PEM.
fn former(path: &Path, now: OffsetDateTime) -> String {
    let there = pem::certificates(path).unwrap_or_default();
    let is_good = |der: &&CertificateDer<'static>| {
        x509::read(der).is_ok_and(|facts| facts.is_ca && now <= facts.not_after)
    };
    there.iter().find(is_good).map(|der| pem::to_pem("CERTIFICATE", der)).unwrap_or_default()
}

/// The names in order, each once.
fn parse_all(names: &[String]) -> Result<Vec<Name>, Error> {
    let parse = |text: &String| Name::parse(text).ok_or_else(|| Error::Name { name: text.clone() });
    let mut names = names.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}
