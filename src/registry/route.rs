use std::borrow::Cow;

use super::Digest;
use super::Reference;
use super::RepositoryName;

/// What a path below `/v2/` names.
///
/// Registries decode a path once before they route it, so we do the same, and read it from its right
/// end: a component of a repository's name may itself be called `manifests`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/<name>/manifests/<reference>`
    Manifest {
        /// Which repository.
        repository: RepositoryName,
        /// Which manifest of it.
        reference: Reference,
    },
    /// `/v2/<name>/blobs/<digest>`
    Blob {
        /// Which repository.
        repository: RepositoryName,
        /// Which blob of it.
        digest: Digest,
    },
    /// `/v2/<name>/blobs/uploads/`, with or without the id of an upload behind it
    Upload {
        /// Which repository.
        repository: RepositoryName,
    },
    /// Anything else: it makes no event.
    Other,
}

impl Route {
    /// Reads the path of a request, without its query.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let Some(path) = percent_decoded(path) else {
            return Self::Other;
        };
        let segments: Vec<&str> = path.split('/').collect();
        let ["", "v2", rest @ ..] = &segments[..] else {
            return Self::Other;
        };
        Self::below_v2(rest).unwrap_or(Self::Other)
    }

    /// What the segments behind `/v2/` name.
    pub(super) fn below_v2(segments: &[&str]) -> Option<Self> {
        let repository = |name: &[&str]| name.join("/").parse::<RepositoryName>().ok();
        match segments {
            [name @ .., "manifests", reference] => Some(Self::Manifest {
                repository: repository(name)?,
                reference: reference.parse().ok()?,
            }),
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", _] => {
                Some(Self::Upload { repository: repository(name)? })
            }
            [name @ .., "blobs", digest] => {
                Some(Self::Blob { repository: repository(name)?, digest: digest.parse().ok()? })
            }
            _ => None,
        }
    }
}

/// The text with its percent escapes taken out once, or nothing if one is invalid or the result is not text.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'%', high, low, tail @ ..] => {
                bytes.push(hex(*high, *low)?);
                tail
            }
            [b'%', ..] => return None,
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        };
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The bytes with their escapes taken out once; what is no escape stays.
pub(super) fn leniently_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, tail @ ..] => hex(*high, *low).map(|byte| (byte, tail)),
            _ => None,
        };
        let (byte, behind) = escaped.unwrap_or((*first, tail));
        decoded.push(byte);
        rest = behind;
    }
    decoded
}

pub(super) fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, reference: &str) -> Route {
        Route::Manifest { repository: name.parse().unwrap(), reference: reference.parse().unwrap() }
    }

    #[test]
    fn escaped_pushes_are_the_same_push() {
        for path in [
            "/v2/team/app/manifests/a",
            "/v2/team/app/%6danifests/a",
            "/v2/team/app/manifests/%61",
            "/%762/team/app/manifests/a",
        ] {
            assert_eq!(Route::of(path), manifest("team/app", "a"), "{path}");
        }
        let digest = Digest::sha256(b"");
        let escaped = format!("/v2/app/manifests/{}", digest.as_str().replace(':', "%3A"));
        assert_eq!(Route::of(&escaped), manifest("app", digest.as_str()));
    }

    #[test]
    fn the_path_is_read_from_its_right_end() {
        assert_eq!(
            Route::of("/v2/manifests/manifests/manifests"),
            manifest("manifests", "manifests")
        );
        assert_eq!(Route::of("/v2/a/blobs/uploads/manifests/x"), manifest("a/blobs/uploads", "x"));
        let upload = Route::Upload { repository: "a/manifests".parse().unwrap() };
        for path in ["/v2/a/manifests/blobs/uploads/", "/v2/a/manifests/blobs/uploads/1f=="] {
            assert_eq!(Route::of(path), upload, "{path}");
        }
    }

    #[test]
    fn other_paths_are_other() {
        for path in [
            "/",
            "/v2/",
            "/V2/a/manifests/b",
            "/v2/a/Manifests/b",
            "/v2/-a/manifests/b",
            "/v2/manifests/b",
        ] {
            assert_eq!(Route::of(path), Route::Other, "{path}");
        }
    }
}
