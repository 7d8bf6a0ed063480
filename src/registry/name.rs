use std::fmt;
use std::str::FromStr;

/// The name of a repository, without a registry's host: `team/app`.
///
/// The OCI distribution specification ("Pulling manifests") knows lower-case components whose separators
/// stand alone. Registries take more: Distribution a host, also in capitals, with a port, for the first of
/// several components; Quay separators in any order. What a registry takes is a push that has to be seen, so
/// a component is letters, digits, `.`, `_` and `-` behind a letter or digit, and whether there is such a
/// repository is for the registry to say.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Box<str>);

/// Text that is not a repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a repository name: it must be components of letters, digits, `.`, `_` and `-`, joined by `/`"
)]
pub struct InvalidName;

/// Registries limit a name, host included, to 255 characters; longer ones are no names.
const MAX_LENGTH: usize = 255;

impl RepositoryName {
    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the last `/`, or the whole name where there is none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(namespace, _)| namespace)
    }

    /// The last component.
    #[must_use]
    pub fn base(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, base)| base)
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let (first, rest) =
            s.split_once('/').map_or((s, None), |(first, rest)| (first, Some(rest)));
        let host = match first.split_once(':') {
            Some((host, port)) if rest.is_some() && is_number(port) => host,
            _ => first,
        };
        let sound = is_component(host) && rest.is_none_or(|rest| rest.split('/').all(is_component));
        if s.len() > MAX_LENGTH || !sound {
            return Err(InvalidName);
        }
        Ok(Self(s.into()))
    }
}

/// `[A-Za-z0-9][A-Za-z0-9._-]*`
fn is_component(s: &str) -> bool {
    let within = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    s.starts_with(|c: char| c.is_ascii_alphanumeric()) && s.bytes().all(within)
}

fn is_number(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_some_registry_takes_is_a_name() {
        for good in [
            "a",
            "team/app",
            "a.b_c__d-e---f/0",
            "manifests/blobs/uploads",
            "a/b/c/d",
            "Team/app",
            "R.example:5000/app",
            "a..b/c._d/e-",
        ] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", "a/", "/a", "a//b", "-a", "a/.b", ".", "..", "a/..", "a b", "é", "a%62", "a:1",
            "a:/b", "a:x/b", "a/b:1", "a:1:2/b", "a/b:1/c", &long,
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn namespace_and_base_split_at_the_last_slash() {
        let name: RepositoryName = "a/b/c".parse().unwrap();
        assert_eq!((name.namespace(), name.base()), ("a/b", "c"));
        let name: RepositoryName = "app".parse().unwrap();
        assert_eq!((name.namespace(), name.base()), ("app", "app"));
    }
}
