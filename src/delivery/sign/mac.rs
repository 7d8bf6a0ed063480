//! The body's HMAC in a header: GitHub, Flux, Artifactory, Nexus.
//!
//! ```text
//! X-Hub-Signature-256: sha256=<hex>      github-sha256
//! X-Signature: sha256=<hex>              flux-hmac; or sha512=
//! X-JFrog-Event-Auth: <hex>              jfrog-signed: SHA-256, no prefix
//! X-Nexus-Webhook-Signature: <hex>       nexus-sha1
//! ```
//!
//! The key is the secret's bytes, the message the exact bytes of the body, `<hex>` in lower case. Nothing of
//! it says when it was made, so a receiver cannot tell a replay; `webhook-id` is the same on each.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::hmac;
use http::HeaderName;
use http::HeaderValue;

use crate::secret::Secret;

use super::Scheme;
use super::verify::NotGenuine;
use super::verify::Received;
use super::verify::equal;

/// The digest of an HMAC, where the receiver leaves the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The word for it in the configuration and in the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The one a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == word)
    }
}

/// What makes the header.
#[derive(Clone)]
pub(super) struct Mac {
    header: HeaderName,
    prefix: &'static str,
    key: Arc<hmac::Key>,
}

impl Mac {
    /// Nothing for a scheme that is none of these.
    pub(super) fn new(
        scheme: Scheme,
        algorithm: Algorithm,
        header: HeaderName,
        secret: &Secret,
    ) -> Option<Self> {
        let (prefix, digest) = match (scheme, algorithm) {
            (Scheme::GithubSha256, _) | (Scheme::FluxHmac, Algorithm::Sha256) => {
                ("sha256=", hmac::HMAC_SHA256)
            }
            (Scheme::FluxHmac, Algorithm::Sha512) => ("sha512=", hmac::HMAC_SHA512),
            (Scheme::JfrogSigned, _) => ("", hmac::HMAC_SHA256),
            (Scheme::NexusSha1, _) => ("", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            _ => return None,
        };
        Some(Self { header, prefix, key: Arc::new(hmac::Key::new(digest, secret.expose())) })
    }

    /// The header of these bytes.
    pub(super) fn header(&self, body: &[u8]) -> Option<(HeaderName, HeaderValue)> {
        let mut value = self.prefix.to_owned();
        for byte in hmac::sign(&self.key, body).as_ref() {
            write!(value, "{byte:02x}").ok()?;
        }
        Some((self.header.clone(), HeaderValue::from_str(&value).ok()?))
    }

    pub(super) fn verify(&self, received: &Received<'_>) -> Result<(), NotGenuine> {
        let given = received.only(&self.header)?;
        let (_, expected) = self.header(received.body).ok_or(NotGenuine::NoMatch { tried: 1 })?;
        if equal(expected.as_bytes(), given.as_bytes()) {
            Ok(())
        } else if self.prefix.is_empty() || given.starts_with(self.prefix) {
            Err(NotGenuine::NoMatch { tried: 1 })
        } else {
            Err(NotGenuine::Malformed {
                header: self.header.as_str().to_owned(),
                expected: format!("`{}` and hexadecimal digits", self.prefix),
            })
        }
    }
}
