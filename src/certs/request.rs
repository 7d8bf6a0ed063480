use std::path::Path;

use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use zeroize::Zeroizing;

use super::error::Error;
use super::signer::Signer;

/// A key that a CA is asked to vouch for: ECDSA P-256.
pub struct Request(Signer);

impl Request {
    /// With a new key.
    ///
    /// # Errors
    ///
    /// If the crypto library makes none.
    pub fn generate() -> Result<Self, Error> {
        Signer::generate().map(Self).map_err(|detail| Error::Tls { detail })
    }

    /// With the key that [`Request::key`] gave, in a file that nobody but its owner can read.
    ///
    /// # Errors
    ///
    /// If there is no such file, or another key in it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Signer::load(path).map(Self)
    }

    /// The key as PEM.
    ///
    /// # Errors
    ///
    /// If the crypto library does not write it.
    pub fn key(&self) -> Result<Zeroizing<String>, Error> {
        self.0.to_pem().map_err(|detail| Error::Tls { detail })
    }

    /// The request for a certificate for `names`, DER (RFC 2986).
    ///
    /// # Errors
    ///
    /// If one of them cannot be in a certificate.
    pub fn for_names(&self, names: &[String]) -> Result<Vec<u8>, Error> {
        let failed = |error: rcgen::Error| Error::Tls { detail: error.to_string() };
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.0).map(|request| request.der().to_vec()).map_err(failed)
    }
}
