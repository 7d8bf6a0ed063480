use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::secret::Secret;

use super::BASE64;

const SHARED: &[u8] = b"whsec_";
const PRIVATE: &[u8] = b"whsk_";
const PUBLIC: &[u8] = b"whpk_";
const PEM: &[u8] = b"-----BEGIN ";
const SHORTEST: usize = 24;
const LONGEST: usize = 64;

/// Bytes of an Ed25519 seed, and of its public key.
pub(super) const ED25519: usize = 32;

/// The most secrets of one endpoint; changing one takes two.
const MOST: usize = 8;

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
    /// A private key that is none.
    #[error(
        "this is no Ed25519 private key: `whsk_` and the base64 of its {ED25519} bytes, or a PEM file; {MAKE_A_PAIR}"
    )]
    Private,
    /// A public key, which signs nothing.
    #[error("this is a public key, and only the private one signs; {MAKE_A_PAIR}")]
    Public,
    /// More secrets than a rotation needs.
    #[error(
        "there are more than {MOST} secrets; keep the newest, and those that receivers still use"
    )]
    TooMany,
    /// Bytes that no header can carry.
    #[error("the secret holds a byte that no header can carry; use visible ASCII characters")]
    Unsendable,
    /// Something else is missing that the scheme needs.
    #[error("`{scheme}` needs {what}")]
    Incomplete {
        /// The scheme's word.
        scheme: &'static str,
        /// What it needs.
        what: &'static str,
    },
    /// The identity's key is none that RFC 9421 has an algorithm for.
    #[error(
        "the key of this identity cannot sign messages: RFC 9421 has algorithms for RSA, ECDSA on P-256 and P-384, and Ed25519"
    )]
    Key,
}

/// Advice for whoever has no secret yet.
const MAKE_ONE: &str = "make one with `printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\"` and give it to the receiver too";

/// The same for a pair of keys.
const MAKE_A_PAIR: &str = "make one with `openssl genpkey -algorithm ed25519`; `pushbell certs show` prints the public key for the receiver";

/// One key of Standard Webhooks.
#[derive(Clone)]
pub(super) enum Key {
    /// Of both sides; `v1`.
    Shared(Arc<hmac::Key>),
    /// Ours alone; `v1a`.
    Private(Arc<Ed25519KeyPair>),
    /// What everybody may know of that; checks, and signs nothing.
    Public([u8; ED25519]),
}

impl Key {
    /// The version of its signatures.
    pub(super) fn version(&self) -> &'static str {
        match self {
            Self::Shared(_) => "v1",
            Self::Private(_) | Self::Public(_) => "v1a",
        }
    }

    /// What everybody may know of it.
    pub(super) fn public(&self) -> Option<[u8; ED25519]> {
        match self {
            Self::Shared(_) => None,
            Self::Private(pair) => pair.public_key().as_ref().try_into().ok(),
            Self::Public(key) => Some(*key),
        }
    }
}

/// The keys that a secret holds: one in a line, or one PEM block after the other; the newest first.
pub(super) fn keys(secret: &Secret) -> Result<Vec<Key>, InvalidSecret> {
    let text = secret.expose().trim_ascii();
    let keys: Vec<Key> = if text.starts_with(PEM) {
        PrivatePkcs8KeyDer::pem_slice_iter(text)
            .map(|der| from_pem(der.ok()))
            .collect::<Result<_, _>>()?
    } else {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty()).map(from_line).collect::<Result<_, _>>()?
    };
    match keys.len() {
        0 if text.starts_with(PEM) => Err(InvalidSecret::Private),
        0 => Err(InvalidSecret::Empty),
        n if n > MOST => Err(InvalidSecret::TooMany),
        _ => Ok(keys),
    }
}

fn from_pem(der: Option<PrivatePkcs8KeyDer<'static>>) -> Result<Key, InvalidSecret> {
    let der = der.ok_or(InvalidSecret::Private)?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
    pair.map(|pair| Key::Private(Arc::new(pair))).map_err(|_| InvalidSecret::Private)
}

fn from_line(line: &[u8]) -> Result<Key, InvalidSecret> {
    // In a `Secret` at once, so that it is wiped whatever happens next.
    let decoded = |text| BASE64.decode(text).map(Secret::new);
    if let Some(encoded) = line.strip_prefix(PRIVATE) {
        let key = decoded(encoded).map_err(|_| InvalidSecret::Private)?;
        // Some write the seed alone, some the public key behind it.
        let pair = match key.expose().split_at_checked(ED25519) {
            Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
            Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            None => return Err(InvalidSecret::Private),
        };
        return pair.map(|p| Key::Private(Arc::new(p))).map_err(|_| InvalidSecret::Private);
    }
    if let Some(encoded) = line.strip_prefix(PUBLIC) {
        let key = BASE64.decode(encoded).map_err(|_| InvalidSecret::Public)?;
        return key.try_into().map(Key::Public).map_err(|_| InvalidSecret::Public);
    }
    let (encoded, bare) = line.strip_prefix(SHARED).map_or((line, true), |rest| (rest, false));
    let wrong = |otherwise| if bare { InvalidSecret::Prefix } else { otherwise };
    let key = decoded(encoded).map_err(|_| wrong(InvalidSecret::Base64))?;
    let bytes = key.expose().len();
    if !(SHORTEST..=LONGEST).contains(&bytes) {
        return Err(wrong(InvalidSecret::Length { bytes }));
    }
    Ok(Key::Shared(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))))
}
