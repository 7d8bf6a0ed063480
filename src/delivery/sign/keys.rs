//! The public keys that our webhooks are signed with, as a JSON Web Key Set (RFC 7517): for receivers that
//! fetch them. Nothing in it is a secret, and nothing names an endpoint.
//!
//! An Ed25519 key of Standard Webhooks is an `OKP` key (RFC 8037) whose `kid` is its thumbprint (RFC 7638), with
//! `whpk_` and base64 beside it for the libraries of that standard. A certificate's key has `x5c` and
//! `x5t#S256`, which is its `kid` and the `keyid` of the messages it signs.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::json;
use x509_parser::prelude::FromDer as _;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

use super::Kind;
use super::Signer;
use super::message::key_id;

/// What signs, as others may know it; made anew whenever it is asked, so that it follows a reload.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys(Vec<Signer>);

impl PublicKeys {
    /// Of these; most have none.
    #[must_use]
    pub fn of<'a>(signers: impl IntoIterator<Item = &'a Signer>) -> Self {
        let published =
            |signer: &&Signer| matches!(signer.kind, Kind::Standard(_) | Kind::Message(_));
        Self(signers.into_iter().filter(published).cloned().collect())
    }

    /// The set, each key once.
    #[must_use]
    pub fn json(&self) -> String {
        let mut keys: Vec<Value> = Vec::new();
        for key in self.0.iter().flat_map(of) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        json!({ "keys": keys }).to_string()
    }
}

impl Signer {
    /// The public keys a receiver may be given, in the form of Standard Webhooks; for `certs show`.
    #[must_use]
    pub fn public_keys(&self) -> Vec<String> {
        match &self.kind {
            Kind::Standard(keys) => keys.public().map(|key| webhook_key(&key)).collect(),
            _ => Vec::new(),
        }
    }
}

fn webhook_key(key: &[u8]) -> String {
    format!("whpk_{}", STANDARD.encode(key))
}

fn of(signer: &Signer) -> Vec<Value> {
    match &signer.kind {
        Kind::Standard(keys) => keys.public().map(|key| ed25519(&key)).collect(),
        Kind::Message(messages) => {
            let current = messages.current();
            current.and_then(|certified| certificate(&certified.cert)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn ed25519(key: &[u8]) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key);
    // RFC 7638 §3.2 and RFC 8037 §2: the required members alone, in this order, without white space.
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let thumbprint = digest::digest(&digest::SHA256, members.as_bytes());
    json!({
        "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA",
        "kid": URL_SAFE_NO_PAD.encode(thumbprint), "webhook": webhook_key(key),
    })
}

fn certificate(chain: &[rustls::pki_types::CertificateDer<'_>]) -> Option<Value> {
    let leaf = chain.first()?;
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    let url = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let unsigned = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
        url(bytes.get(start..).unwrap_or_default())
    };
    let public = parsed.public_key();
    let mut key = match public.parsed().ok()? {
        PublicKey::RSA(rsa) => {
            json!({ "kty": "RSA", "n": unsigned(rsa.modulus), "e": unsigned(rsa.exponent) })
        }
        PublicKey::EC(point) => {
            // SEC 1, 2.3.3: 4, then both coordinates.
            let (4, coordinates) = point.data().split_first()? else {
                return None;
            };
            let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
            let curve = if x.len() == 32 { "P-256" } else { "P-384" };
            json!({ "kty": "EC", "crv": curve, "x": url(x), "y": url(y) })
        }
        _ => json!({ "kty": "OKP", "crv": "Ed25519", "x": url(&public.subject_public_key.data) }),
    };
    let members = key.as_object_mut()?;
    members.insert("use".to_owned(), json!("sig"));
    members.insert("kid".to_owned(), json!(key_id(leaf)));
    members.insert("x5t#S256".to_owned(), json!(key_id(leaf)));
    let chain: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    members.insert("x5c".to_owned(), json!(chain));
    Some(key)
}
