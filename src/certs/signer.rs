use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData;
use rcgen::SigningKey;
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::error::Error;
use super::pem;

/// An ECDSA P-256 key in memory, for as long as it takes to sign.
///
/// The certificate library's own key type keeps a second copy that it does not wipe; this one is only
/// the crypto library's, which wipes it when dropped.
pub(super) struct Signer(EcdsaKeyPair);

impl Signer {
    /// A new key, or what the crypto library has against making one.
    pub(super) fn generate() -> Result<Self, String> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(Self)
            .map_err(|_| "the crypto library made no key".to_owned())
    }

    /// The key in a file that nobody but its owner can read.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let unusable = || Error::CaKey { path: path.to_owned() };
        let key = pem::key(path)?;
        let PrivateKeyDer::Pkcs8(der) = &*key else {
            return Err(unusable());
        };
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der())
            .map(Self)
            .map_err(|_| unusable())
    }

    /// The key as the TLS library uses it.
    pub(super) fn for_tls(&self) -> Result<Arc<dyn rustls::sign::SigningKey>, Error> {
        let failed = |detail: String| Error::Tls { detail };
        let der = self.0.to_pkcs8v1().map_err(|_| failed("the key cannot be copied".to_owned()))?;
        let der = PrivateKeyDer::Pkcs8(der.as_ref().to_vec().into());
        let loaded = super::provider().key_provider.load_private_key(der);
        loaded.map_err(|error| failed(error.to_string()))
    }

    /// The key as a PEM file of PKCS#8 (RFC 7468 §10).
    pub(super) fn to_pem(&self) -> Result<Zeroizing<String>, String> {
        let der = self.0.to_pkcs8v1().map_err(|_| "the crypto library did not write the key")?;
        let base64 = Zeroizing::new(STANDARD.encode(der.as_ref()));
        // Sized at once, so that no grown-out-of piece of the key stays behind in memory.
        let mut text = Zeroizing::new(String::with_capacity(2 * base64.len() + 64));
        text.push_str("-----BEGIN PRIVATE KEY-----\n");
        for (n, c) in base64.chars().enumerate() {
            if n > 0 && n % 64 == 0 {
                text.push('\n');
            }
            text.push(c);
        }
        text.push_str("\n-----END PRIVATE KEY-----\n");
        Ok(text)
    }
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| rcgen::Error::RingUnspecified)
    }
}
