//! Standard Webhooks. On the wire:
//!
//! ```text
//! webhook-id: <delivery id>              the same on every attempt; contains no `.`
//! webhook-timestamp: 1767225600          seconds since 1970, when this attempt was made
//! webhook-signature: v1,<base64> v1a,<base64>   one for each secret, newest first
//! ```
//!
//! Each signature is over `<webhook-id>.<webhook-timestamp>.<body>`, the body being the exact bytes sent, in
//! standard base64 with padding: `v1` the HMAC-SHA256, `v1a` the Ed25519 signature. A reader passes over
//! versions that it does not know.
//!
//! A shared secret is `whsec_` and the base64 of 24 to 64 random bytes, which are the key; white space around
//! it, such as the last line feed of a file, does not count. The base64 alone is taken too, as the reference
//! libraries take it. **Anything else is refused**: some receivers use a plain text's bytes as the key, and
//! whoever has such a text of 24 to 64 bytes writes `whsec_` and the base64 of it:
//! `printf 'whsec_%s\n' "$(printf %s "$SECRET" | base64 -w0)"`.
//!
//! A private key is `whsk_` and the base64 of the 32 bytes of an Ed25519 seed, with or without the public key
//! behind it, or a PEM file in PKCS #8. Its public key is published as `whpk_` and base64, and as a JWK.
//!
//! While secrets are changed there are several, one in a line: every attempt is signed with each, so that it
//! does not matter when a receiver changes.
//!
//! Source: standard-webhooks/standard-webhooks `spec/standard-webhooks.md`.

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ED25519;
use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine as _;
use http::HeaderName;
use http::HeaderValue;
use time::OffsetDateTime;

use crate::secret::Secret;

use super::BASE64;
use super::ID;
use super::InvalidSecret;
use super::SIGNATURE;
use super::TIMESTAMP;
use super::secret::Key;
use super::secret::keys;
use super::verify::NotGenuine;
use super::verify::Received;
use super::verify::check_time;
use super::verify::equal;

/// The most signatures of one header that are looked at; a rotation needs two.
const MAX_SIGNATURES: usize = 32;

pub(super) const SIGNATURE_LIST: &str = "one list of up to 32 entries such as `v1,<base64 of 32 bytes>`, separated by spaces, at least one of them of a version that the secret is for: `v1`, or `v1a` for Ed25519";

/// The secrets of one endpoint, newest first; never empty.
#[derive(Clone)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    pub(super) fn new(secret: &Secret) -> Result<Self, InvalidSecret> {
        keys(secret).map(Self)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether each of them can sign.
    pub(super) fn sign(&self) -> bool {
        !self.0.iter().any(|key| matches!(key, Key::Public(_)))
    }

    /// The public keys of those that have one.
    pub(super) fn public(&self) -> impl Iterator<Item = [u8; super::secret::ED25519]> {
        self.0.iter().filter_map(Key::public)
    }

    /// The header with a signature by each of them.
    pub(super) fn header(
        &self,
        id: &str,
        timestamp: OffsetDateTime,
        body: &[u8],
    ) -> Option<(HeaderName, HeaderValue)> {
        let seconds = timestamp.unix_timestamp().to_string();
        let mut list = String::new();
        for key in &self.0 {
            let signature = match key {
                Key::Shared(key) => BASE64.encode(mac(key, id, &seconds, body)),
                Key::Private(pair) => BASE64.encode(pair.sign(&signed(id, &seconds, body))),
                Key::Public(_) => continue,
            };
            if !list.is_empty() {
                list.push(' ');
            }
            list.push_str(key.version());
            list.push(',');
            list.push_str(&signature);
        }
        Some((HeaderName::from_static(SIGNATURE), HeaderValue::from_str(&list).ok()?))
    }

    /// Any of the listed signatures by any of the secrets will do, and all are compared, in constant time, so
    /// that the time taken says nothing.
    pub(super) fn verify(
        &self,
        received: &Received<'_>,
        now: OffsetDateTime,
        tolerance: Duration,
    ) -> Result<(), NotGenuine> {
        let id = received.only_named(ID, "one text of printable characters")?;
        let timestamp = received.only_named(TIMESTAMP, super::verify::WHOLE_SECONDS)?;
        let signatures = received.only_named(SIGNATURE, SIGNATURE_LIST)?;
        check_time(timestamp, now, tolerance)?;
        let listed = self.listed(signatures)?;
        let mut genuine = false;
        for key in &self.0 {
            let of_its_kind = listed.iter().filter(|(version, _)| *version == key.version());
            match (key, key.public()) {
                (Key::Shared(key), _) => {
                    let expected = mac(key, id, timestamp, received.body);
                    for (_, signature) in of_its_kind {
                        genuine |= equal(expected.as_ref(), signature);
                    }
                }
                (_, Some(public)) => {
                    let message = signed(id, timestamp, received.body);
                    let public = UnparsedPublicKey::new(&ED25519, public);
                    for (_, signature) in of_its_kind {
                        genuine |= public.verify(&message, signature).is_ok();
                    }
                }
                (_, None) => {}
            }
        }
        if genuine { Ok(()) } else { Err(NotGenuine::NoMatch { tried: listed.len() }) }
    }

    /// The signatures of a list that are of a version we have a key for, decoded.
    fn listed<'a>(&self, signatures: &'a str) -> Result<Vec<(&'a str, Vec<u8>)>, NotGenuine> {
        let malformed = || NotGenuine::Malformed {
            header: SIGNATURE.to_owned(),
            expected: SIGNATURE_LIST.to_owned(),
        };
        let mut listed = Vec::new();
        for (place, entry) in signatures.split_ascii_whitespace().enumerate() {
            let (version, encoded) = entry.split_once(',').ok_or_else(malformed)?;
            if place >= MAX_SIGNATURES {
                return Err(malformed());
            }
            if self.0.iter().any(|key| key.version() == version) {
                listed.push((version, BASE64.decode(encoded).map_err(|_| malformed())?));
            }
        }
        if listed.is_empty() { Err(malformed()) } else { Ok(listed) }
    }
}

fn mac(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign()
}

/// Ed25519 wants the whole of what is signed.
fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}
