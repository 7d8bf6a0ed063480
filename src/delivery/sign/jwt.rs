//! Checks a bearer token as a receiver does: a JWT (RFC 7519) signed by a key of a set (RFC 7517).
//!
//! `RS256`, `ES256` and `EdDSA`, which are what issuers of OIDC tokens use; what else is there is refused.

use std::time::Duration;

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use aws_lc_rs::signature::ED25519;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use aws_lc_rs::signature::RsaPublicKeyComponents;
use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use serde_json::Value;
use time::OffsetDateTime;

use super::verify::NotGenuine;
use super::verify::Received;

/// What a receiver asks of a token.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The issuer's key set, JSON.
    pub keys: &'a [u8],
    /// Who the token must be for.
    pub audience: Option<&'a str>,
    /// Who must have issued it.
    pub issuer: Option<&'a str>,
}

impl Wanted<'_> {
    /// Checks the bearer token of a received webhook.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be trusted.
    pub fn verify(
        &self,
        received: &Received<'_>,
        now: OffsetDateTime,
        tolerance: Duration,
    ) -> Result<(), NotGenuine> {
        let malformed = || NotGenuine::Malformed {
            header: AUTHORIZATION.as_str().to_owned(),
            expected: "`Bearer` and a JWT".to_owned(),
        };
        let value = received.only(&AUTHORIZATION)?;
        let token = value.strip_prefix("Bearer ").ok_or_else(malformed)?.trim();
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (head, claims) = message.split_once('.').ok_or_else(malformed)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed());
        let read = |text: &str| -> Result<Value, NotGenuine> {
            serde_json::from_slice(&decode(text)?).map_err(|_| malformed())
        };
        let (head, claims, signature) = (read(head)?, read(claims)?, decode(signature)?);
        let keys: Value = serde_json::from_slice(self.keys)
            .map_err(|_| NotGenuine::Keys { reason: "it is not JSON" })?;
        let keys =
            keys["keys"].as_array().ok_or(NotGenuine::Keys { reason: "it has no `keys`" })?;
        let named = |key: &&Value| head["kid"].is_null() || key["kid"] == head["kid"];
        let mut tried = 0;
        let genuine = keys.iter().filter(named).any(|key| {
            tried += 1;
            signed(key, head["alg"].as_str(), message.as_bytes(), &signature).is_some()
        });
        if !genuine {
            return Err(NotGenuine::NoMatch { tried });
        }
        self.meets(&claims, now, tolerance)
    }

    fn meets(
        &self,
        claims: &Value,
        now: OffsetDateTime,
        tolerance: Duration,
    ) -> Result<(), NotGenuine> {
        let claim = |claim: &'static str| Err(NotGenuine::Claim { claim });
        let now = now.unix_timestamp();
        let slack = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
        let seconds = |name: &str| claims[name].as_i64();
        if seconds("exp").is_none_or(|exp| exp.saturating_add(slack) <= now) {
            return claim("exp");
        }
        if seconds("nbf").is_some_and(|nbf| nbf.saturating_sub(slack) > now) {
            return claim("nbf");
        }
        if self.issuer.is_some_and(|issuer| claims["iss"] != issuer) {
            return claim("iss");
        }
        let is_for = |audience: &str| match &claims["aud"] {
            Value::Array(all) => all.iter().any(|one| one == audience),
            one => one == audience,
        };
        if self.audience.is_some_and(|audience| !is_for(audience)) { claim("aud") } else { Ok(()) }
    }
}

fn signed(key: &Value, algorithm: Option<&str>, message: &[u8], signature: &[u8]) -> Option<()> {
    let member = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
    match (algorithm?, key["kty"].as_str()?, key["crv"].as_str()) {
        ("RS256", "RSA", _) => {
            let key = RsaPublicKeyComponents { n: member("n")?, e: member("e")? };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).ok()
        }
        ("ES256", "EC", Some("P-256")) => {
            let point = [vec![4], member("x")?, member("y")?].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(message, signature).ok()
        }
        ("EdDSA", "OKP", Some("Ed25519")) => {
            UnparsedPublicKey::new(&ED25519, member("x")?).verify(message, signature).ok()
        }
        _ => None,
    }
}
