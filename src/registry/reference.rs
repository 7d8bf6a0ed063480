use std::fmt;
use std::str::FromStr;

use super::Digest;

/// A tag: at most 128 characters of `[a-zA-Z0-9_.-]`, not starting with `.` or `-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By a name that can move.
    Tag(Tag),
    /// By its content.
    Digest(Digest),
}

/// Text that is neither a tag nor a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a tag: it must be 1 to 128 letters, digits, `_`, `.` or `-`, and must not start with `.` or `-`"
)]
pub struct InvalidReference;

impl Tag {
    /// The text of the tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the tag is the referrers or signing scheme's, `sha256-<hex>` with an optional suffix
    /// (`.sig`, `.att`, `.sbom`): such a tag names another manifest, it is nobody's release.
    ///
    /// The first form is the OCI distribution specification's "Referrers Tag Schema", the suffixes
    /// are the signing tools' convention.
    #[must_use]
    pub fn names_a_digest(&self) -> bool {
        let Some((algorithm, rest)) = self.0.split_once('-') else {
            return false;
        };
        let hex = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let suffix = rest.get(hex..).unwrap_or_default();
        let full = matches!((algorithm, hex), ("sha256", 64) | ("sha512", 64 | 128));
        full && (suffix.is_empty() || suffix.starts_with('.'))
    }

    /// The suffix behind `sha256-<hex>`, without its dot: `sig`, `att`, `sbom`, or empty.
    #[must_use]
    pub fn digest_suffix(&self) -> Option<&str> {
        if !self.names_a_digest() {
            return None;
        }
        Some(self.0.split_once('.').map_or("", |(_, suffix)| suffix))
    }
}

impl FromStr for Tag {
    type Err = InvalidReference;

    fn from_str(s: &str) -> Result<Self, InvalidReference> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let mut bytes = s.bytes();
        let first = bytes.next().is_some_and(word);
        if first && s.len() <= 128 && bytes.all(|b| word(b) || matches!(b, b'.' | b'-')) {
            Ok(Self(s.into()))
        } else {
            Err(InvalidReference)
        }
    }
}

impl Reference {
    /// The tag, unless the reference is a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        match self {
            Self::Tag(tag) => Some(tag),
            Self::Digest(_) => None,
        }
    }

    /// The digest, unless the reference is a tag.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Tag(_) => None,
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    /// A `:` occurs in digests only, so it decides.
    fn from_str(s: &str) -> Result<Self, InvalidReference> {
        if s.contains(':') {
            s.parse().map(Self::Digest).map_err(|_| InvalidReference)
        } else {
            s.parse().map(Self::Tag)
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_at_most_128_word_characters() {
        let longest = "a".repeat(128);
        for good in ["latest", "1.4.2", "_x", "A-b.c_d", &longest] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        let longer = "a".repeat(129);
        for bad in ["", ".a", "-a", "a b", "a/b", "a:b", "é", &longer] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_colon_makes_a_digest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        assert!(matches!(digest.parse(), Ok(Reference::Digest(_))));
        assert!(matches!("1.0".parse(), Ok(Reference::Tag(_))));
        assert!("sha256:short".parse::<Reference>().is_err());
    }

    #[test]
    fn tags_of_the_signing_scheme_are_known() {
        let hex = "b".repeat(64);
        for (tag, suffix) in [
            (format!("sha256-{hex}"), Some("")),
            (format!("sha256-{hex}.sig"), Some("sig")),
            (format!("sha256-{hex}.att"), Some("att")),
            (format!("sha256-{hex}x"), None),
            ("sha256-abc".to_owned(), None),
            ("1.0".to_owned(), None),
        ] {
            let tag: Tag = tag.parse().unwrap();
            assert_eq!(tag.digest_suffix(), suffix, "{tag}");
        }
    }
}
