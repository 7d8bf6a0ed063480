use aws_lc_rs::hmac;
use base64::Engine as _;

use crate::secret::Secret;

use super::BASE64;

const PREFIX: &[u8] = b"whsec_";
const SHORTEST: usize = 24;
const LONGEST: usize = 64;

/// A secret that cannot be used. Says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// There is no text.
    #[error("the secret is empty; {MAKE_ONE}")]
    Empty,
    /// It neither says what it is nor looks like it.
    #[error(
        "a standard-webhooks secret is `whsec_` and base64, and this one is not; {MAKE_ONE}, or put `whsec_` before the base64 of the {SHORTEST} to {LONGEST} bytes that the receiver uses as its key"
    )]
    Prefix,
    /// What follows the prefix cannot be decoded.
    #[error("what follows `whsec_` is not standard base64; {MAKE_ONE}")]
    Base64,
    /// The key is too short to be safe, or too long to be one.
    #[error(
        "the secret holds {bytes} bytes, and a standard-webhooks secret holds {SHORTEST} to {LONGEST}; {MAKE_ONE}"
    )]
    Length {
        /// How many bytes it holds.
        bytes: usize,
    },
}

/// Advice for whoever has no secret yet.
const MAKE_ONE: &str = "make one with `printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\"` and give it to the receiver too";

/// The key that a secret holds.
pub(super) fn key(secret: &Secret) -> Result<hmac::Key, InvalidSecret> {
    let text = secret.expose().trim_ascii();
    if text.is_empty() {
        return Err(InvalidSecret::Empty);
    }
    let (encoded, bare) = text.strip_prefix(PREFIX).map_or((text, true), |rest| (rest, false));
    let wrong = |otherwise| if bare { InvalidSecret::Prefix } else { otherwise };
    // In a `Secret` at once, so that it is wiped whatever happens next.
    let key = Secret::new(BASE64.decode(encoded).map_err(|_| wrong(InvalidSecret::Base64))?);
    let bytes = key.expose().len();
    if !(SHORTEST..=LONGEST).contains(&bytes) {
        return Err(wrong(InvalidSecret::Length { bytes }));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
}
