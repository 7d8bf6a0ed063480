//! HTTP message signatures (RFC 9421) by the key of a certificate that a CA issued us, so that a receiver
//! checks where a webhook comes from against a CA, and shares no secret with us. On the wire:
//!
//! ```text
//! content-digest: sha-256=:<base64>:                  RFC 9530, of the exact bytes of the body
//! webhook-certificate: :<base64>:, :<base64>:         our chain in DER, the certificate of the key first
//! signature-input: pushbell=("@method" "@target-uri" "content-type" "content-digest" "webhook-id"
//!     "webhook-timestamp" "webhook-certificate");created=<seconds>;keyid="<thumbprint>";
//!     alg="<algorithm>";tag="pushbell"                one line
//! signature: pushbell=:<base64>:
//! ```
//!
//! RFC 9421 leaves open how a verifier gets from `keyid` to a key it trusts (§1.1, §7.3.5). Here `keyid` is the
//! base64url of the SHA-256 of the certificate in DER, what JOSE calls `x5t#S256`; the certificate itself comes
//! along in `webhook-certificate`, written as RFC 9440 §2 writes a chain, and covered by the signature. (The
//! header of RFC 9440 is what a TLS terminator tells of *its* client, and must not come from one, so the
//! name is another.) A receiver builds the chain to the CA it trusts for client authentication, checks the
//! signature by the first certificate's key, compares the digest with the body, and looks at `created`. Or it
//! takes the key from our published key set, which has `x5c` as well.
//!
//! | key | algorithm |
//! |---|---|
//! | ECDSA P-256, P-384 | `ecdsa-p256-sha256`, `ecdsa-p384-sha384` |
//! | Ed25519 | `ed25519` |
//! | RSA | `rsa-pss-sha512` |

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::certs::ClientIdentity;

use super::InvalidSecret;

pub(super) const INPUT: HeaderName = HeaderName::from_static("signature-input");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("signature");
pub(super) const DIGEST: HeaderName = HeaderName::from_static("content-digest");
pub(super) const CERTIFICATE: HeaderName = HeaderName::from_static("webhook-certificate");

/// The label of our signature, and its tag: a receiver may get others from those between us.
pub(super) const LABEL: &str = "pushbell";

/// What is signed, in this order.
const COVERED: [&str; 7] = [
    "@method",
    "@target-uri",
    "content-type",
    "content-digest",
    "webhook-id",
    "webhook-timestamp",
    "webhook-certificate",
];

/// What signs.
#[derive(Clone, Debug)]
pub(super) struct Messages(ClientIdentity);

/// An algorithm of RFC 9421 §3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    P256,
    P384,
    Ed25519,
    RsaPss,
}

impl Algorithm {
    pub(super) const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Ed25519, Self::RsaPss];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-p256-sha256",
            Self::P384 => "ecdsa-p384-sha384",
            Self::Ed25519 => "ed25519",
            Self::RsaPss => "rsa-pss-sha512",
        }
    }

    fn scheme(self) -> SignatureScheme {
        match self {
            Self::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::P384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::Ed25519 => SignatureScheme::ED25519,
            Self::RsaPss => SignatureScheme::RSA_PSS_SHA512,
        }
    }

    /// Bytes of each of the two numbers of a signature, if it has two.
    fn scalar(self) -> Option<usize> {
        match self {
            Self::P256 => Some(32),
            Self::P384 => Some(48),
            Self::Ed25519 | Self::RsaPss => None,
        }
    }
}

impl Messages {
    pub(super) fn new(identity: ClientIdentity) -> Result<Self, InvalidSecret> {
        match identity.current() {
            Some(certified) if signs(&certified).is_none() => Err(InvalidSecret::Key),
            _ => Ok(Self(identity)),
        }
    }

    /// The certificate and key in use now, if a CA has issued it already.
    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.current()
    }

    /// Adds digest, certificate and signature to a request that has everything else.
    ///
    /// # Errors
    ///
    /// If the key, which may have been exchanged since the start, cannot sign; in words.
    pub(super) fn sign(
        &self,
        request: &mut Request<Bytes>,
        created: OffsetDateTime,
    ) -> Result<(), &'static str> {
        const REASON: &str = "the key of the identity that signs cannot sign messages";
        let certified = self.current().ok_or("the identity that signs has not been issued yet")?;
        let (algorithm, signer) = signs(&certified).ok_or(REASON)?;
        let leaf = certified.cert.first().ok_or(REASON)?;
        let digest = content_digest(request.body());
        let chain: Vec<String> =
            certified.cert.iter().map(|der| format!(":{}:", STANDARD.encode(der))).collect();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| REASON);
        request.headers_mut().insert(DIGEST, value(&digest)?);
        request.headers_mut().insert(CERTIFICATE, value(&chain.join(", "))?);
        // Only a webhook without a body has no type.
        let there = |name: &&str| name.starts_with('@') || request.headers().contains_key(*name);
        let names: Vec<&str> = COVERED.into_iter().filter(there).collect();
        let covered: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let parameters = format!(
            "({});created={};keyid=\"{}\";alg=\"{}\";tag=\"{LABEL}\"",
            covered.join(" "),
            created.unix_timestamp(),
            key_id(leaf),
            algorithm.as_str()
        );
        let base =
            base(COVERED, request.method(), Some(request.uri()), request.headers(), &parameters)
                .ok_or(REASON)?;
        let mut signature = signer.sign(base.as_bytes()).map_err(|_| REASON)?;
        if let Some(bytes) = algorithm.scalar() {
            signature = fixed(&signature, bytes).ok_or(REASON)?;
        }
        let signature = format!("{LABEL}=:{}:", STANDARD.encode(signature));
        request.headers_mut().insert(INPUT, value(&format!("{LABEL}={parameters}"))?);
        request.headers_mut().insert(SIGNATURE, value(&signature)?);
        Ok(())
    }
}

/// How a key signs, if RFC 9421 has an algorithm for it.
fn signs(certified: &CertifiedKey) -> Option<(Algorithm, Box<dyn rustls::sign::Signer>)> {
    let offered = |algorithm: Algorithm| {
        certified.key.choose_scheme(&[algorithm.scheme()]).map(|signer| (algorithm, signer))
    };
    Algorithm::ALL.into_iter().find_map(offered)
}

/// What JOSE calls `x5t#S256`.
pub(super) fn key_id(certificate: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, certificate))
}

/// The value of `Content-Digest` (RFC 9530 §2).
pub(super) fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest::digest(&digest::SHA256, body)))
}

/// The signature base (RFC 9421 §2.5): a line for each component, and the parameters last. Nothing where a
/// component is not there, or is none that we know.
pub(super) fn base<'a>(
    covered: impl IntoIterator<Item = &'a str>,
    method: &Method,
    target: Option<&Uri>,
    headers: &HeaderMap,
    parameters: &str,
) -> Option<String> {
    let mut base = String::new();
    for name in covered {
        let value = match name {
            "@method" => method.as_str().to_owned(),
            "@target-uri" => target_uri(target?),
            "@authority" => authority(target?),
            _ if name.starts_with('@') => return None,
            _ => {
                let mut values = headers.get_all(name).iter().map(|value| value.to_str().ok());
                let first = values.next()??.trim().to_owned();
                values.try_fold(first, |all, next| Some(format!("{all}, {}", next?.trim())))?
            }
        };
        writeln!(base, "\"{name}\": {value}").ok()?;
    }
    write!(base, "\"@signature-params\": {parameters}").ok()?;
    Some(base)
}

/// The URI as the receiver puts it together again: without a port that goes without saying, which clients do
/// not send.
fn target_uri(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("https");
    let rest = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    format!("{scheme}://{}{rest}", authority(uri))
}

fn authority(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let port = uri.port_u16().filter(|port| *port != usual);
    port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

/// An ECDSA signature as RFC 9421 §3.3.4 has it: both numbers in all their bytes, not in DER.
fn fixed(der: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let mut rest = inner(der, 0x30)?.0;
    let mut signature = Vec::with_capacity(2 * bytes);
    for _ in 0..2 {
        let (number, after) = inner(rest, 0x02)?;
        rest = after;
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
        let number = number.get(start..)?;
        let missing = bytes.checked_sub(number.len())?;
        signature.extend(std::iter::repeat_n(0, missing));
        signature.extend_from_slice(number);
    }
    Some(signature)
}

/// The content of a DER element with this tag, and what follows it. ECDSA signatures are short.
fn inner(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        _ => return None,
    };
    if *first == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_as_the_receiver_sees_it() {
        for (uri, expected) in [
            ("https://h:443/a?b", "https://h/a?b"),
            ("https://h", "https://h/"),
            ("https://h:8443/", "https://h:8443/"),
            ("http://[::1]:80/x", "http://[::1]/x"),
        ] {
            assert_eq!(target_uri(&uri.parse().unwrap()), expected);
        }
    }

    #[test]
    fn der_becomes_two_numbers_of_one_length() {
        let der = [0x30, 0x08, 0x02, 0x02, 0x00, 0x81, 0x02, 0x02, 0x01, 0x02];
        assert_eq!(fixed(&der, 3).unwrap(), [0, 0, 0x81, 0, 1, 2]);
        assert_eq!(fixed(&der, 1), None, "it does not fit");
        for cut in 0..der.len() {
            assert_eq!(fixed(&der[..cut], 3), None);
        }
    }

    /// RFC 9421, B.2.5: the key of B.1.5, and the signature of the example.
    #[test]
    fn the_base_is_that_of_the_rfc() {
        let mut headers = HeaderMap::new();
        headers.insert("date", HeaderValue::from_static("Tue, 20 Apr 2021 02:07:55 GMT"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let uri: Uri = "https://example.com/foo?param=Value&Pet=dog".parse().unwrap();
        let parameters = "(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
        let covered = ["date", "@authority", "content-type"];
        let base = base(covered, &Method::POST, Some(&uri), &headers, parameters).unwrap();
        let key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let key =
            aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
        let signature = aws_lc_rs::hmac::sign(&key, base.as_bytes());
        assert_eq!(
            STANDARD.encode(signature),
            "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
            "{base}"
        );
    }
}
