//! What a receiver calls the registry and its repositories, where that is not what clients of ours type: another
//! host or port in front of the same registry, a path that a proxy adds or takes away, Artifactory's virtual
//! repository in the place of the local one.
//!
//! The event that the dialect writes has these names; the one that is stored, and that filters look at, keeps its
//! own. Matchers of receivers compare literally, so what cannot be named is not sent rather than named wrongly.

use std::borrow::Cow;

use crate::event::Event;
use crate::registry::RepositoryKey;
use crate::registry::RepositoryName;

use super::Unwritable;

/// The names of one receiver; what is not there stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The registry, `host` or `host:port`.
    pub registry: Option<String>,
    /// What is taken off the front of a repository's name, where it begins with it; whole components.
    pub strip: Option<RepositoryName>,
    /// What is put before it, after that.
    pub prefix: Option<RepositoryName>,
    /// The repository of Artifactory that stands for the one that was pushed to; also as the first component of the
    /// name, where that is the key.
    pub repository_key: Option<RepositoryKey>,
}

impl Names {
    /// The event as the receiver calls it.
    ///
    /// # Errors
    ///
    /// If the repository's name would be none.
    pub(super) fn apply<'e>(&self, event: &'e Event) -> Result<Cow<'e, Event>, Unwritable> {
        if *self == Self::default() {
            return Ok(Cow::Borrowed(event));
        }
        let mut named = event.clone();
        if let Some(registry) = &self.registry {
            named.registry.clone_from(registry);
        }
        let mut name = event.repository.as_str().to_owned();
        if let (Some(key), Some(artifactory)) = (&self.repository_key, &mut named.artifactory) {
            if let Some(image) = below(&name, artifactory.repository_key.as_str()) {
                name = format!("{}/{image}", key.as_str());
            }
            artifactory.repository_key = key.clone();
        }
        if let Some(rest) = self.strip.as_ref().and_then(|strip| below(&name, strip.as_str())) {
            name = rest.to_owned();
        }
        if let Some(prefix) = &self.prefix {
            name = format!("{}/{name}", prefix.as_str());
        }
        if name != event.repository.as_str() {
            named.repository = name.parse().map_err(|_| Unwritable::Name { name })?;
        }
        Ok(Cow::Owned(named))
    }
}

/// What stands behind a prefix of whole components.
fn below<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    name.strip_prefix(prefix)?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::event::schema::tests::sample;
    use crate::registry::ArtifactoryName;

    use super::*;

    fn event(repository: &str, key: Option<&str>) -> Event {
        let artifactory = key.map(|key| ArtifactoryName {
            repository_key: key.parse().unwrap(),
            image_name: "team/app".parse().unwrap(),
        });
        Event { repository: repository.parse().unwrap(), artifactory, ..sample() }
    }

    #[test]
    fn repositories_are_named_as_the_receiver_does() {
        let names = |strip: &str, prefix: &str, key: &str| Names {
            registry: None,
            strip: strip.parse().ok(),
            prefix: prefix.parse().ok(),
            repository_key: key.parse().ok(),
        };
        for (names, repository, key, expected) in [
            (names("", "", ""), "team/app", None, "team/app"),
            (names("team", "", ""), "team/app", None, "app"),
            (names("tea", "", ""), "team/app", None, "team/app"),
            (names("team", "", ""), "team", None, "team"),
            (names("", "mirror/eu", ""), "team/app", None, "mirror/eu/team/app"),
            (names("team", "ops", ""), "team/app", None, "ops/app"),
            (names("", "", "virtual"), "local/team/app", Some("local"), "virtual/team/app"),
            (names("virtual", "", "virtual"), "local/team/app", Some("local"), "team/app"),
            (names("", "", "virtual"), "team/app", Some("local"), "team/app"),
            (names("", "", "virtual"), "local/team/app", None, "local/team/app"),
        ] {
            let event = event(repository, key);
            let named = names.apply(&event).unwrap();
            assert_eq!(named.repository.as_str(), expected, "{names:?}");
            if let (Some(artifactory), Some(key)) = (&named.artifactory, &names.repository_key) {
                assert_eq!(artifactory.repository_key, *key);
            }
            assert_eq!((named.id, &named.tag), (event.id, &event.tag));
        }
    }

    #[test]
    fn the_registry_is_named_with_its_port_and_what_is_no_name_is_not_sent() {
        let names = Names { registry: Some("r.example.net:8443".to_owned()), ..Names::default() };
        assert_eq!(names.apply(&sample()).unwrap().registry, "r.example.net:8443");
        let prefix = "a/".repeat(126) + "a";
        let long = Names { prefix: prefix.parse().ok(), ..Names::default() };
        assert!(matches!(long.apply(&sample()), Err(Unwritable::Name { .. })));
        assert!(matches!(Names::default().apply(&sample()), Ok(Cow::Borrowed(_))));
    }
}
