//! Google's word for who calls: the token that Pub/Sub puts into `Authorization: Bearer` where a subscription has
//! authentication switched on.
//!
//! It is an OpenID Connect token, a JWT that Google signed. Believed if one of the configured keys verifies its
//! signature, and its claims say:
//!
//! - `iss` is `https://accounts.google.com` or `accounts.google.com`,
//! - `aud` is, or has, the configured audience,
//! - `email` is the configured service account, and `email_verified` is true,
//! - `exp` is not past, and `iat` and `nbf`, where there are such, not to come, each give or take a minute.
//!
//! Anybody can get a token for an audience of their choice from Google: the account is what counts.
//!
//! The keys are those of <https://www.googleapis.com/oauth2/v3/certs>, a JWK Set (RFC 7517). Google changes them
//! every few weeks. This module fetches nothing.
//!
//! Source: OpenID Connect Core §2 and §3.1.3.7; fluxcd/notification-controller
//! `internal/server/receiver_handlers.go` as an independent reader.

use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use aws_lc_rs::signature::RsaPublicKeyComponents;

use super::super::Error;
use super::super::json::Document;
use super::super::json::Escapes;
use super::super::json::Sort;
use super::super::node::Node;
use super::super::text_of;
use super::Presented;
use super::Refused;
use super::credential::authorization;
use super::token::Token;
use super::token::decoded;

const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// How far clocks may be apart, in seconds.
const SKEW: i64 = 60;
/// The most keys of one set.
const MAX_KEYS: usize = 64;

const WHAT: &str = "token of Google's";

/// Whom to believe.
#[derive(Clone)]
pub(super) struct Google {
    audience: String,
    email: String,
    keys: Keys,
}

/// Google's public keys.
#[derive(Debug, Clone)]
pub struct Keys(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// A set of keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// It is not what it should be.
    #[error("this is no JWK Set; get Google's from https://www.googleapis.com/oauth2/v3/certs")]
    Set {
        /// Why.
        source: Error,
    },
    /// It has none that could have signed a token.
    #[error(
        "no key of this set is an RSA key for signatures by RS256; get Google's from https://www.googleapis.com/oauth2/v3/certs"
    )]
    None,
}

impl Keys {
    /// Reads a JWK Set. Keys of other sorts or for other uses are left out.
    ///
    /// # Errors
    ///
    /// If it is none, or no key of it can be used.
    pub fn read(bytes: &[u8]) -> Result<Self, InvalidKeys> {
        let keys = Self::of(bytes).map_err(|source| InvalidKeys::Set { source })?;
        if keys.is_empty() { Err(InvalidKeys::None) } else { Ok(Self(keys)) }
    }

    fn of(bytes: &[u8]) -> Result<Vec<Key>, Error> {
        let document = Document::read(text_of(bytes)?, Escapes::Strict)?;
        let list = Node::root(&document).list("keys", "a list of keys")?;
        let keys = list.items().take(MAX_KEYS).map(|node| {
            let is = |key, wanted: &str| Ok(node.text(key)?.is_none_or(|text| text == wanted));
            let is_rsa = node.text("kty")?.is_some_and(|sort| sort == "RSA");
            if !is_rsa || !is("use", "sig")? || !is("alg", "RS256")? {
                return Ok(None);
            }
            let number = |key| {
                let text = node.text(key)?.ok_or_else(|| node.missing(key, NUMBER))?;
                let member = || node.member(key).unwrap_or_else(|| node.clone());
                decoded(&text).ok_or_else(|| member().wrong(NUMBER))
            };
            let id = node.text("kid")?.map(|id| id.into_owned());
            Ok(Some(Key { id, modulus: number("n")?, exponent: number("e")? }))
        });
        keys.filter_map(Result::transpose).collect()
    }
}

const NUMBER: &str = "a number in base64url without padding";

impl Google {
    pub(super) fn of(audience: &str, email: &str, keys: Keys) -> Self {
        Self { audience: audience.to_owned(), email: email.to_owned(), keys }
    }

    pub(super) fn verify(&self, presented: &Presented<'_>) -> Result<(), Refused> {
        let text = authorization(presented, "Bearer", WHAT)?;
        let expected = "a JWT with RS256, as Google signs";
        let token = Token::read(text).ok_or(Refused::Malformed { what: WHAT, expected })?;
        let mut is_signed = false;
        for key in &self.keys.0 {
            let may_be = token.key.is_none() || key.id.is_none() || token.key == key.id;
            let key = RsaPublicKeyComponents { n: &key.modulus[..], e: &key.exponent[..] };
            let signed = key.verify(&RSA_PKCS1_2048_8192_SHA256, token.signed, &token.signature);
            is_signed |= may_be && signed.is_ok();
        }
        let wrong = |remedy| Err(Refused::Wrong { what: WHAT, remedy });
        if !is_signed {
            return wrong("none of the configured keys signed it; they may be out of date");
        }
        let claims = claims(&token.claims, presented.now.unix_timestamp(), self);
        match claims {
            Ok(None) => Ok(()),
            Ok(Some(remedy)) => wrong(remedy),
            Err(_) => Err(Refused::Malformed { what: WHAT, expected }),
        }
    }
}

/// What is wrong with the claims, if anything.
fn claims(bytes: &[u8], now: i64, google: &Google) -> Result<Option<&'static str>, Error> {
    let document = Document::read(text_of(bytes)?, Escapes::Strict)?;
    let root = Node::root(&document);
    let is = |key, wanted: &str| Ok(root.text(key)?.is_some_and(|text| text == wanted));
    let issued =
        ISSUERS.iter().map(|issuer| is("iss", issuer)).collect::<Result<Vec<_>, Error>>()?;
    let audience = root.member("aud");
    let is_audience = audience.is_some_and(|audience| match audience.sort() {
        Sort::Text => audience.value().text().is_some_and(|text| text == google.audience),
        _ => audience.items().any(|one| one.value().text().is_some_and(|t| t == google.audience)),
    });
    // Some write the truth as a text.
    let verified = root.member("email_verified").map(|node| node.value().raw());
    let seconds = |key| Ok(root.count(key)?.and_then(|number| i64::try_from(number).ok()));
    let (expires, issued_at, begins) = (seconds("exp")?, seconds("iat")?, seconds("nbf")?);
    Ok(if !issued.contains(&true) {
        Some("its `iss` is not Google")
    } else if !is_audience {
        Some("its `aud` is not the configured audience")
    } else if !is("email", &google.email)? {
        Some("its `email` is not the configured service account")
    } else if !matches!(verified, Some("true" | "\"true\"")) {
        Some("its `email` is not verified")
    } else if expires.is_none_or(|at| at.saturating_add(SKEW) < now) {
        Some("it has expired, or a clock is wrong")
    } else if issued_at.max(begins).is_some_and(|at| at.saturating_sub(SKEW) > now) {
        Some("it is from the future: a clock is wrong")
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeyPair;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::KeyPair as _;
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::Value;
    use serde_json::json;
    use time::OffsetDateTime;

    use super::super::super::tests::headers;
    use super::super::Credential;
    use super::*;

    const AUDIENCE: &str = "https://hooks.example.com/_pushbell/hooks/gcr";
    const EMAIL: &str = "pusher@acme.iam.gserviceaccount.com";
    const NOW: i64 = 1_767_225_600;

    static OURS: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());
    static OTHER: LazyLock<KeyPair> =
        LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

    fn encoded(bytes: impl AsRef<[u8]>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn jwk(pair: &KeyPair, id: &str) -> Value {
        let key = pair.public_key();
        let number = |bytes: &[u8]| encoded(bytes);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
            "n": number(key.modulus().big_endian_without_leading_zero()),
            "e": number(key.exponent().big_endian_without_leading_zero()),
        })
    }

    fn token(pair: &KeyPair, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", encoded(signature))
    }

    fn header() -> Value {
        json!({"alg": "RS256", "kid": "a", "typ": "JWT"})
    }

    fn good() -> Value {
        json!({
            "iss": "https://accounts.google.com", "aud": AUDIENCE, "azp": "1", "sub": "1",
            "email": EMAIL, "email_verified": true, "iat": NOW - 10, "exp": NOW + 3600,
        })
    }

    fn verdict(token: &str) -> Result<(), Refused> {
        let set = json!({"keys": [jwk(&OTHER, "b"), jwk(&OURS, "a"), {"kty": "EC"}]});
        let keys = Keys::read(set.to_string().as_bytes()).unwrap();
        let credential = Credential::google(AUDIENCE, EMAIL, keys);
        let headers = headers(&[("authorization", &format!("Bearer {token}"))]);
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        credential.verify(&Presented { headers: &headers, path_token: None, body: b"", now })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut claims = good();
        claims[key] = value;
        claims
    }

    #[test]
    fn a_genuine_token_is_believed() {
        for claims in [
            good(),
            with("iss", json!("accounts.google.com")),
            with("aud", json!(["x", AUDIENCE])),
            with("email_verified", json!("true")),
            with("exp", json!(NOW - 60)),
            with("iat", json!(NOW + 60)),
        ] {
            assert_eq!(verdict(&token(&OURS, &header(), &claims)), Ok(()), "{claims}");
        }
        let unnamed = json!({"alg": "RS256"});
        assert_eq!(verdict(&token(&OURS, &unnamed, &good())), Ok(()), "any key will do");
    }

    #[test]
    fn every_claim_counts() {
        for (key, value, said) in [
            ("iss", json!("https://accounts.google.com.evil.example"), "`iss`"),
            ("iss", Value::Null, "`iss`"),
            ("aud", json!("https://other.example.com/"), "`aud`"),
            ("aud", json!([]), "`aud`"),
            ("email", json!("other@acme.iam.gserviceaccount.com"), "`email`"),
            ("email", Value::Null, "`email`"),
            ("email_verified", json!(false), "not verified"),
            ("email_verified", Value::Null, "not verified"),
            ("exp", json!(NOW - 61), "expired"),
            ("exp", Value::Null, "expired"),
            ("iat", json!(NOW + 61), "future"),
            ("nbf", json!(NOW + 61), "future"),
        ] {
            let claims = with(key, value);
            let refused = verdict(&token(&OURS, &header(), &claims)).unwrap_err().to_string();
            assert!(refused.contains(said), "{claims}: {refused}");
        }
    }

    #[test]
    fn a_signature_by_anybody_else_is_worth_nothing() {
        let good_token = token(&OURS, &header(), &good());
        let (signed, signature) = good_token.rsplit_once('.').unwrap();
        let (head, _) = signed.split_once('.').unwrap();
        let mut forged = good();
        forged["email"] = "evil@acme.iam.gserviceaccount.com".into();
        let forged = encoded(forged.to_string());
        let none = encoded(json!({"alg": "none"}).to_string());
        let hmac = json!({"alg": "HS256", "kid": "a"});
        let crit = json!({"alg": "RS256", "kid": "a", "crit": ["b64"], "b64": false});
        for token in [
            token(&OTHER, &header(), &good()),
            token(&OURS, &json!({"alg": "RS256", "kid": "b"}), &good()),
            token(&OURS, &hmac, &good()),
            token(&OURS, &crit, &good()),
            format!("{head}.{forged}.{signature}"),
            format!("{none}.{forged}."),
            format!("{none}.{}.", encoded(good().to_string())),
            signed.to_owned(),
            format!("{good_token}.x"),
            format!("{good_token}="),
            String::new(),
            "..".to_owned(),
        ] {
            assert!(verdict(&token).is_err(), "{token}");
        }
        let twice = good().to_string().replacen('{', "{\"email\":\"x\",", 1);
        let signed = format!("{head}.{}", encoded(twice));
        let mut signature = vec![0; OURS.public_modulus_len()];
        let random = SystemRandom::new();
        OURS.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        let refused = verdict(&format!("{signed}.{}", encoded(signature)));
        assert!(matches!(refused, Err(Refused::Malformed { .. })), "a key twice: {refused:?}");
    }

    #[test]
    fn keys_are_read_or_refused() {
        let short = json!({"keys": [{"kty": "RSA", "n": "***", "e": "AQAB"}]}).to_string();
        for bad in ["", "{}", r#"{"keys": {}}"#, &short] {
            assert!(matches!(Keys::read(bad.as_bytes()), Err(InvalidKeys::Set { .. })), "{bad}");
        }
        for none in [
            json!({"keys": []}),
            json!({"keys": [{"kty": "EC"}]}),
            json!({"keys": [{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}]}),
            json!({"keys": [{"kty": "RSA", "alg": "RS512", "n": "AQAB", "e": "AQAB"}]}),
        ] {
            assert_eq!(Keys::read(none.to_string().as_bytes()).unwrap_err(), InvalidKeys::None);
        }
    }
}
