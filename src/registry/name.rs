use std::fmt;
use std::str::FromStr;

/// The name of a repository, without a registry's host: `team/app`.
///
/// The grammar is that of the OCI distribution specification, "Pulling manifests".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Box<str>);

/// Text that is not a repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a repository name: it must be lower-case components of letters, digits and the separators `.`, `_`, `__`, `-`, joined by `/`"
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
        if s.len() > MAX_LENGTH || !s.split('/').all(is_component) {
            return Err(InvalidName);
        }
        Ok(Self(s.into()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(s: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = s.as_bytes();
    loop {
        let run = rest.iter().take_while(|b| alphanumeric(**b)).count();
        if run == 0 {
            return false;
        }
        rest = rest.get(run..).unwrap_or_default();
        let separator = match rest {
            [] => return true,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            _ => rest.iter().take_while(|b| **b == b'-').count(),
        };
        if separator == 0 {
            return false;
        }
        rest = rest.get(separator..).unwrap_or_default();
    }
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
    fn the_grammar_is_that_of_the_distribution_specification() {
        for good in ["a", "team/app", "a.b_c__d-e---f/0", "manifests/blobs/uploads", "a/b/c/d"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in
            ["", "A", "a/", "/a", "a//b", "a..b", "a___b", "-a", "a-", "a._b", "a b", "é", &long]
        {
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
