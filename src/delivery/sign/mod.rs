//! Signatures: how a receiver knows that a webhook is ours, unaltered and fresh.
//!
//! Pure: the time is an argument, secrets come in as [`Secret`] and never come out. The one scheme so far is
//! Standard Webhooks, symmetric. On the wire:
//!
//! ```text
//! webhook-id: <delivery id>              the same on every attempt; contains no `.`
//! webhook-timestamp: 1767225600          seconds since 1970, when this attempt was made
//! webhook-signature: v1,<base64> v1,<base64>    one for each secret, newest first
//! ```
//!
//! Each signature is the HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`, the body being the exact
//! bytes sent, in standard base64 with padding. Entries of other versions (`v1a`, …) are for other readers.
//!
//! A secret is `whsec_` and the base64 of 24 to 64 random bytes, which are the key; white space around it,
//! such as the last line feed of a file, does not count. The base64 alone is taken too, as the reference
//! libraries take it. **Anything else is refused**: some receivers use a plain text's bytes as the key, and
//! whoever has such a text of 24 to 64 bytes writes `whsec_` and the base64 of it:
//! `printf 'whsec_%s\n' "$(printf %s "$SECRET" | base64 -w0)"`.
//!
//! Source: standard-webhooks/standard-webhooks `spec/standard-webhooks.md`.

mod secret;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use time::OffsetDateTime;

use crate::secret::Secret;

pub use self::secret::InvalidSecret;
pub use self::verify::NotGenuine;
pub use self::verify::TOLERANCE;
pub use self::verify::verify;

use self::secret::key;

/// The header with the delivery's id.
pub const ID: &str = "webhook-id";
/// The header with the attempt's time.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// A way to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Standard Webhooks, symmetric (`v1`).
    StandardWebhooks,
}

/// Signs attempts, and checks signatures, with one secret or, while it is being changed, several.
#[derive(Clone)]
pub struct Signer {
    scheme: Scheme,
    /// Newest first; never empty.
    keys: Vec<hmac::Key>,
}

impl Scheme {
    /// Every scheme, in the order of the documentation.
    pub const ALL: [Self; 1] = [Self::StandardWebhooks];

    /// The word for it in the configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
        }
    }

    /// The scheme a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }
}

/// The headers of an attempt that nothing signs: a receiver needs the id to tell a repetition.
#[must_use]
pub fn unsigned(id: &str, timestamp: OffsetDateTime) -> Vec<(&'static str, String)> {
    vec![(ID, id.to_owned()), (TIMESTAMP, timestamp.unix_timestamp().to_string())]
}

impl Signer {
    /// Takes the secret to sign with.
    ///
    /// # Errors
    ///
    /// If it is not one of the scheme's.
    pub fn new(scheme: Scheme, secret: &Secret) -> Result<Self, InvalidSecret> {
        Ok(Self { scheme, keys: vec![key(secret)?] })
    }

    /// Signs with an older secret as well, for receivers that do not know the new one yet.
    ///
    /// # Errors
    ///
    /// If it is not one of the scheme's.
    pub fn and_older(mut self, secret: &Secret) -> Result<Self, InvalidSecret> {
        self.keys.push(key(secret)?);
        Ok(self)
    }

    /// The scheme it signs by.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The headers of one attempt: id, time and signatures of exactly these bytes.
    #[must_use]
    pub fn headers(
        &self,
        id: &str,
        timestamp: OffsetDateTime,
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        let seconds = timestamp.unix_timestamp().to_string();
        let sign = |key| format!("v1,{}", BASE64.encode(mac(key, id, &seconds, body)));
        let signatures: Vec<String> = self.keys.iter().map(sign).collect();
        let mut headers = unsigned(id, timestamp);
        headers.push((SIGNATURE, signatures.join(" ")));
        headers
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, keys } = self;
        write!(f, "Signer({}, {} secrets)", scheme.as_str(), keys.len())
    }
}

fn mac(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign()
}

/// Padding is written, and asked of nobody: tools that make secrets differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
