//! A token that somebody else keeps fresh in a file: Kubernetes' projected service account tokens, or what a
//! sidecar of an identity provider writes.
//!
//! The file is read before each attempt, so that a new token is used as soon as it is there and an old one
//! never for longer. Its signature is the receiver's to check; that it is a JWT (RFC 7519) and not over by
//! our own clock is looked at here, because a receiver says no more than 401.

use std::path::Path;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::certs::date;

/// Bytes of a token; a header has to hold it.
const MAX_BYTES: u64 = 16 * 1024;

/// Where the token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile(PathBuf);

/// Why there is no token to send. Says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// The file cannot be read.
    #[error("could not read the token in {}: {reason}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// What is there is no token.
    #[error("{} holds no JWT: three parts of base64url between dots", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// Nobody has written a new one in time.
    #[error("the token in {} ended on {}: whoever keeps it fresh does not", path.display(), date(*ended))]
    Over {
        /// Which file.
        path: PathBuf,
        /// When.
        ended: OffsetDateTime,
    },
}

impl TokenFile {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The value of `Authorization` with the token that is there now.
    ///
    /// # Errors
    ///
    /// If there is none, or it is over.
    pub async fn authorization(&self, now: OffsetDateTime) -> Result<HeaderValue, NoToken> {
        let failed = |reason: String| NoToken::Read { path: self.0.clone(), reason };
        let file = File::open(&self.0).await.map_err(|error| failed(error.to_string()))?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await;
        read.map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed("it is larger than 16 KiB".to_owned()));
        }
        self.value(&bytes, now)
    }

    fn value(&self, bytes: &[u8], now: OffsetDateTime) -> Result<HeaderValue, NoToken> {
        let malformed = || NoToken::Malformed { path: self.0.clone() };
        let text = str::from_utf8(bytes.trim_ascii()).map_err(|_| malformed())?;
        let parts: Vec<&str> = text.split('.').collect();
        let [_, claims, _] = parts[..] else {
            return Err(malformed());
        };
        if parts.iter().any(|part| part.is_empty() || URL_SAFE_NO_PAD.decode(part).is_err()) {
            return Err(malformed());
        }
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| malformed())?;
        let claims: Value = serde_json::from_slice(&claims).map_err(|_| malformed())?;
        if let Some(ended) = claims.get("exp").and_then(Value::as_i64)
            && let Ok(ended) = OffsetDateTime::from_unix_timestamp(ended)
            && ended <= now
        {
            return Err(NoToken::Over { path: self.0.clone(), ended });
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| malformed())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 09:15:02 UTC);

    fn token(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
    }

    #[test]
    fn a_fresh_token_is_sent_and_others_are_told_apart() {
        let file = TokenFile::new(PathBuf::from("/run/token"));
        let exp = |seconds: i64| format!(r#"{{"exp":{}}}"#, NOW.unix_timestamp() + seconds);
        for fresh in [token(&exp(60)), token("{}")] {
            let value = file.value(format!("{fresh}\n").as_bytes(), NOW).unwrap();
            assert_eq!(value.to_str().unwrap(), format!("Bearer {fresh}"));
            assert!(value.is_sensitive());
        }
        let over = file.value(token(&exp(0)).as_bytes(), NOW).unwrap_err();
        assert!(over.to_string().contains("ended on 2026-03-01"), "{over}");
        for malformed in ["", "a.b", "a.b.c.d", "hunter2", "a..c", "a.!.c"] {
            let error = file.value(malformed.as_bytes(), NOW).unwrap_err();
            assert_eq!(error, NoToken::Malformed { path: PathBuf::from("/run/token") });
        }
    }
}
