use std::fmt;
use std::str::FromStr;

/// A media type without parameters, in lower case: `application/vnd.oci.image.index.v1+json`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MediaType(Box<str>);

/// Text that is not a media type (RFC 6838 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a media type: it must look like `application/json`")]
pub struct InvalidMediaType;

impl MediaType {
    /// Every manifest media type a registry may hold, newest first; what a look's `Accept` lists.
    pub const MANIFESTS: [&'static str; 7] = [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
    ];

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a manifest of this type lists other manifests.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(
            &*self.0,
            "application/vnd.oci.image.index.v1+json"
                | "application/vnd.docker.distribution.manifest.list.v2+json"
        )
    }
}

impl FromStr for MediaType {
    type Err = InvalidMediaType;

    /// Parameters behind a `;` are cut off.
    fn from_str(s: &str) -> Result<Self, InvalidMediaType> {
        let bare = s.split(';').next().unwrap_or_default().trim();
        let (kind, subtype) = bare.split_once('/').ok_or(InvalidMediaType)?;
        let name = |part: &str| {
            let restricted = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !part.is_empty() && part.len() <= 127 && part.bytes().all(restricted)
        };
        if name(kind) && name(subtype) {
            Ok(Self(bare.to_ascii_lowercase().into()))
        } else {
            Err(InvalidMediaType)
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let media: MediaType = "Application/JSON; charset=utf-8".parse().unwrap();
        assert_eq!(media.as_str(), "application/json");
        for bad in ["", "json", "a/", "/b", "a/b c", "a/b/c"] {
            assert!(bad.parse::<MediaType>().is_err(), "{bad}");
        }
    }
}
