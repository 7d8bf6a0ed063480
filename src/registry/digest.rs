use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

/// A content digest, `algorithm:encoded`. Invariant: parsed, so nobody checks it again.
///
/// The grammar is that of the OCI image specification, "Digests"; for the two registered
/// algorithms, SHA-256 and SHA-512, the encoded part must be lower-case hex of the right length.
///
/// ```
/// use pushbell::registry::Digest;
///
/// let digest = Digest::sha256(b"{}");
/// assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
/// assert!("sha256:abc".parse::<Digest>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

/// Text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: it must look like `sha256:` and 64 lower-case hex digits")]
pub struct InvalidDigest;

/// A digest algorithm we can compute ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `sha256`, the algorithm every registry uses.
    Sha256,
    /// `sha512`, registered by the OCI image specification.
    Sha512,
}

/// Computes a digest of bytes as they stream by.
pub struct Digester {
    algorithm: Algorithm,
    context: digest::Context,
}

/// The longest digest text we take: far above any registered algorithm.
const MAX_LENGTH: usize = 512;

impl Digest {
    /// The whole text, `algorithm:encoded`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// The part after the colon.
    #[must_use]
    pub fn encoded(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, encoded)| encoded)
    }

    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut digester = Digester::new(Algorithm::Sha256);
        digester.update(bytes);
        digester.finish()
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(s: &str) -> Result<Self, InvalidDigest> {
        if s.len() > MAX_LENGTH {
            return Err(InvalidDigest);
        }
        let (algorithm, encoded) = s.split_once(':').ok_or(InvalidDigest)?;
        let component = |c: &str| {
            !c.is_empty() && c.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !algorithm.split(['+', '.', '_', '-']).all(component) {
            return Err(InvalidDigest);
        }
        let hex = |length: usize| {
            encoded.len() == length
                && encoded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let fits = match algorithm {
            "sha256" => hex(64),
            "sha512" => hex(128),
            _ => {
                !encoded.is_empty()
                    && encoded
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-'))
            }
        };
        if fits { Ok(Self(s.into())) } else { Err(InvalidDigest) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Algorithm {
    /// The algorithm a digest names, if we can compute it.
    #[must_use]
    pub fn of(digest: &Digest) -> Option<Self> {
        match digest.algorithm() {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Digester {
    /// Starts a digest of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let context = digest::Context::new(match algorithm {
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha512 => &digest::SHA512,
        });
        Self { algorithm, context }
    }

    /// Takes the next piece of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of everything taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        use fmt::Write as _;
        let bytes = self.context.finish();
        let mut text = String::with_capacity(8 + bytes.as_ref().len() * 2);
        text.push_str(self.algorithm.name());
        text.push(':');
        for byte in bytes.as_ref() {
            // Writing to a `String` cannot fail.
            write!(text, "{byte:02x}").ok();
        }
        Digest(text.into())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Digester").field(&self.algorithm).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_that_of_the_image_specification() {
        let sha256 = format!("sha256:{}", "a".repeat(64));
        let sha512 = format!("sha512:{}", "0".repeat(128));
        for good in
            [&sha256, &sha512, "blake3:abc", "multihash+base58:QmRZxt", "sha256+b64u:LCa0-a2_="]
        {
            assert!(good.parse::<Digest>().is_ok(), "{good}");
        }
        let upper = format!("sha256:{}", "A".repeat(64));
        let long = format!("x:{}", "a".repeat(600));
        for bad in [
            "",
            "sha256",
            "sha256:",
            ":a",
            "sha256:abc",
            &upper,
            "sha+:a",
            "Sha256:a",
            "x:a b",
            "x:a/b",
            &long,
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let known = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::sha256(b"").as_str(), known);
    }
}
