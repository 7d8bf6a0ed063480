use super::Digest;
use super::percent_decoded;
use super::route::hex;
use super::route::leniently_decoded;

/// A path that two readers could take for different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// `%` without two hex digits behind it.
    #[error("the path has an invalid percent escape")]
    InvalidEscape,
    /// An escaped `/`, `\`, `%`, `;`, control or non-ASCII byte.
    #[error("the path escapes a byte that no repository name, tag or digest contains")]
    MeaningfulEscape,
    /// A backslash, `;`, control or non-ASCII byte as it is.
    #[error("the path has a byte that no repository name, tag or digest contains")]
    ForeignByte,
    /// A segment that is empty, `.` or `..`.
    #[error("the path has an empty, `.` or `..` segment")]
    RelativeSegment,
    /// A reference that is neither a tag nor a digest but has the colon of one. Distribution stores the
    /// manifest before it finds out.
    #[error("the path ends in a digest that is none")]
    MalformedDigest,
}

impl Ambiguous {
    /// Whether a path that is about to change something could be read in two ways.
    ///
    /// The id of an upload is the registry's own and opaque, so only `.` and `..` in it count.
    ///
    /// # Errors
    ///
    /// What is ambiguous about it.
    pub fn check(path: &str) -> Result<(), Self> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (checked, id) = match &segments[..] {
            [checked @ .., id] if checked.ends_with(&["blobs", "uploads"]) => (checked, Some(*id)),
            all => (all, None),
        };
        if id.is_some_and(leads_elsewhere) {
            return Err(Self::RelativeSegment);
        }
        checked.iter().try_for_each(|segment| Self::check_segment(segment))
    }

    /// Whether a push names a digest that is none. (What else is asked of one is for the registry to answer.)
    ///
    /// # Errors
    ///
    /// [`Self::MalformedDigest`].
    pub fn check_push(path: &str) -> Result<(), Self> {
        let path = percent_decoded(path).unwrap_or_default();
        let malformed = path.rsplit_once("/manifests/").is_some_and(|(_, reference)| {
            reference.contains(':') && reference.parse::<Digest>().is_err()
        });
        if malformed { Err(Self::MalformedDigest) } else { Ok(()) }
    }

    fn check_segment(segment: &str) -> Result<(), Self> {
        let foreign = |b: u8| {
            matches!(b, b'/' | b'\\' | b'%' | b';') || b.is_ascii_control() || !b.is_ascii()
        };
        let mut rest = segment.as_bytes();
        loop {
            rest = match rest {
                [] => break,
                [b'%', high, low, tail @ ..] => {
                    let byte = hex(*high, *low).ok_or(Self::InvalidEscape)?;
                    if foreign(byte) {
                        return Err(Self::MeaningfulEscape);
                    }
                    tail
                }
                [b'%', ..] => return Err(Self::InvalidEscape),
                [byte, ..] if foreign(*byte) => return Err(Self::ForeignByte),
                [_, tail @ ..] => tail,
            };
        }
        let relative = percent_decoded(segment).is_none_or(|s| s.is_empty() || is_relative(&s));
        if relative { Err(Self::RelativeSegment) } else { Ok(()) }
    }
}

/// Whether somebody who takes the id of an upload apart finds his way out of it: by its bytes, because they
/// need not be text, and before a `;`, behind which some servers see no path.
fn leads_elsewhere(id: &str) -> bool {
    let bytes = leniently_decoded(id.as_bytes());
    bytes.split(|b| matches!(b, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        matches!(name, b"." | b"..")
    })
}

fn is_relative(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_what_a_path_may_have_are_no_matter() {
        for path in [
            "/v2/team/app/manifests/a",
            "/v2/team/app/%6danifests/a",
            "/v2/team/app/manifests/%61",
            "/%762/team/app/manifests/a",
        ] {
            assert_eq!(Ambiguous::check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn ambiguous_writes_are_named() {
        use Ambiguous::*;
        for (path, expected) in [
            ("/v2/team%2Fapp/manifests/a", MeaningfulEscape),
            ("/v2/team%5capp/manifests/a", MeaningfulEscape),
            ("/v2/app/%256danifests/a", MeaningfulEscape),
            ("/v2/app/manifests/a%00", MeaningfulEscape),
            ("/v2/app/manifests/a%3bx", MeaningfulEscape),
            ("/v2/app/manifests/a;x=1", ForeignByte),
            ("/v2/app\\manifests/a", ForeignByte),
            ("/v2/app/manifests/a%", InvalidEscape),
            ("/v2/app/manifests/%zz", InvalidEscape),
            ("/v2/x/../app/manifests/a", RelativeSegment),
            ("/v2/x/%2e%2e/app/manifests/a", RelativeSegment),
            ("/v2/./app/manifests/a", RelativeSegment),
            ("/v2//app/manifests/a", RelativeSegment),
            ("/v2/app/manifests//a", RelativeSegment),
            ("/v2/app/manifests/a/", RelativeSegment),
            ("/v2/app/blobs/uploads/..", RelativeSegment),
            ("/v2/app/blobs/uploads/%2E%2e", RelativeSegment),
            ("/v2/app/blobs/uploads/a%2f%2E%2e%2fb", RelativeSegment),
            ("/v2/app/blobs/uploads/a%5c..%5cb", RelativeSegment),
            ("/v2/app/blobs/uploads/%ff%2f..;x%2fb", RelativeSegment),
        ] {
            assert_eq!(Ambiguous::check(path), Err(expected), "{path}");
        }
        assert_eq!(Ambiguous::check("/v2/app/blobs/uploads/"), Ok(()));
        assert_eq!(Ambiguous::check("/v2/app/blobs/uploads/a:b"), Ok(()));
        assert_eq!(Ambiguous::check("/v2/app/blobs/uploads/a%2Fb%25;c"), Ok(()));
    }

    #[test]
    fn a_push_by_what_is_no_digest_is_named() {
        for path in [
            "/v2/app/manifests/sha256:00",
            "/v2/app/%6danifests/sha256%3A00",
            "/v2/app/manifests/a:b:c",
        ] {
            assert_eq!(Ambiguous::check_push(path), Err(Ambiguous::MalformedDigest), "{path}");
        }
        for path in ["/v2/app/manifests/a:b", "/v2/app/manifests/a", "/v2/a:1/blobs/uploads/a:b:c"]
        {
            assert_eq!(Ambiguous::check_push(path), Ok(()), "{path}");
        }
    }
}
