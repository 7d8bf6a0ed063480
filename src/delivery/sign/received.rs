//! Checks a message signature (RFC 9421) as a receiver does that trusts nothing but a CA.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED;
use aws_lc_rs::signature::ED25519;
use aws_lc_rs::signature::RSA_PSS_2048_8192_SHA512;
use aws_lc_rs::signature::UnparsedPublicKey;
use aws_lc_rs::signature::VerificationAlgorithm;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use time::OffsetDateTime;
use x509_parser::prelude::FromDer as _;
use x509_parser::prelude::X509Certificate;

use crate::certs::Trust;

use super::message::Algorithm;
use super::message::CERTIFICATE;
use super::message::DIGEST;
use super::message::INPUT;
use super::message::LABEL;
use super::message::SIGNATURE;
use super::message::base;
use super::message::content_digest;
use super::message::key_id;
use super::verify::NotGenuine;
use super::verify::Received;
use super::verify::check_time;

/// The most certificates of a chain, and components of a signature, that are looked at.
const MOST: usize = 32;

/// What a signature of ours must cover at least: whoever leaves one out could change it.
const NEEDED: [&str; 4] = ["@method", "@target-uri", "content-digest", "webhook-timestamp"];

/// Checks a received webhook by the certificate that came with it, and that by the CAs in `trust`.
///
/// # Errors
///
/// If a part is missing or malformed, the CA does not vouch for the certificate, or the signature, the digest
/// or the time is wrong.
pub fn verify_message(
    received: &Received<'_>,
    trust: &Trust,
    now: OffsetDateTime,
    tolerance: Duration,
) -> Result<(), NotGenuine> {
    received.target.ok_or(NotGenuine::NoTarget)?;
    let malformed = |header: &http::HeaderName, expected: &str| NotGenuine::Malformed {
        header: header.as_str().to_owned(),
        expected: expected.to_owned(),
    };
    let input = received.only(&INPUT)?;
    let wrong_input = || malformed(&INPUT, "`pushbell=(…)` with its parameters");
    let inner = input.strip_prefix(LABEL).and_then(|rest| rest.strip_prefix('='));
    let inner = inner.ok_or_else(wrong_input)?;
    let (covered, parameters) = parsed(inner).ok_or_else(wrong_input)?;
    if NEEDED.iter().any(|needed| !covered.contains(needed)) {
        return Err(malformed(&INPUT, "a list with method, URI, digest and time at least"));
    }
    let chain = chain(received.only(&CERTIFICATE)?)
        .ok_or_else(|| malformed(&CERTIFICATE, "certificates in base64 between colons"))?;
    let (leaf, rest) =
        chain.split_first().ok_or_else(|| malformed(&CERTIFICATE, "at least one certificate"))?;
    trusted(leaf, rest, trust, now)?;
    if parameters.get("keyid").is_none_or(|id| *id != key_id(leaf)) {
        return Err(malformed(&INPUT, "a `keyid` that is the SHA-256 of the certificate"));
    }
    let named = parameters.get("alg").copied();
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| Some(algorithm.as_str()) == named);
    let algorithm = algorithm.ok_or_else(|| malformed(&INPUT, "an `alg` of RFC 9421"))?;
    check_time(parameters.get("created").copied().unwrap_or_default(), now, tolerance)?;
    let signature = received.only(&SIGNATURE)?;
    let wrong_signature = || malformed(&SIGNATURE, "`pushbell=:<base64>:`");
    let signature = signature.strip_prefix(LABEL).and_then(|rest| rest.strip_prefix("=:"));
    let signature =
        signature.and_then(|rest| rest.strip_suffix(':')).ok_or_else(wrong_signature)?;
    let signature = STANDARD.decode(signature).map_err(|_| wrong_signature())?;
    let base =
        base(covered.iter().copied(), received.method, received.target, received.headers, inner)
            .ok_or_else(wrong_input)?;
    let no_match = || NotGenuine::NoMatch { tried: 1 };
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| no_match())?;
    let key = &certificate.public_key().subject_public_key.data;
    let by: &dyn VerificationAlgorithm = match algorithm {
        Algorithm::P256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::P384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::Ed25519 => &ED25519,
        Algorithm::RsaPss => &RSA_PSS_2048_8192_SHA512,
    };
    let verified = UnparsedPublicKey::new(by, key).verify(base.as_bytes(), &signature);
    verified.map_err(|_| no_match())?;
    if received.only(&DIGEST)? == content_digest(received.body) {
        Ok(())
    } else {
        Err(NotGenuine::OtherBody)
    }
}

fn trusted(
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    trust: &Trust,
    now: OffsetDateTime,
) -> Result<(), NotGenuine> {
    let untrusted = |reason: String| NotGenuine::Untrusted { reason };
    let provider = crate::certs::provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(trust.roots(), Arc::clone(&provider))
            .build()
            .map_err(|error| untrusted(error.to_string()))?;
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let verified = verifier.verify_client_cert(leaf, rest, now);
    verified.map(drop).map_err(|error| untrusted(error.to_string()))
}

/// The components and parameters of one member of `Signature-Input`.
fn parsed(inner: &str) -> Option<(Vec<&str>, BTreeMap<&str, &str>)> {
    let (list, parameters) = inner.strip_prefix('(')?.split_once(')')?;
    let quoted = |word: &'_ str| -> Option<()> {
        (word.len() > 2 && word.starts_with('"') && word.ends_with('"')).then_some(())
    };
    let mut covered = Vec::new();
    for word in list.split(' ') {
        quoted(word)?;
        covered.push(word.trim_matches('"'));
    }
    let mut named = BTreeMap::new();
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        named.insert(name, value.trim_matches('"'));
    }
    (covered.len() <= MOST).then_some((covered, named))
}

/// A list of byte sequences (RFC 9651 §3.3.5).
fn chain(value: &str) -> Option<Vec<CertificateDer<'static>>> {
    let one = |item: &str| {
        let base64 = item.trim().strip_prefix(':')?.strip_suffix(':')?;
        STANDARD.decode(base64).ok().map(CertificateDer::from)
    };
    value.split(',').take(MOST).map(one).collect()
}
