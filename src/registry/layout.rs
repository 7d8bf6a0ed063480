use std::fmt;
use std::str::FromStr;

use super::Reference;
use super::RepositoryName;
use super::Route;
use super::percent_decoded;
use super::readings::Root;
use super::readings::could_push;

/// How a registry's paths name what they are about.
///
/// Artifactory keeps images in repositories of its own, each with a key, and knows three ways to say which
/// one is meant, beside its API's own path, which always counts:
///
/// | what says it | client's path | path of the API |
/// |---|---|---|
/// | the path | `/v2/<key>/<image>/…` | the same |
/// | the host's name, or the port | `/v2/<image>/…` | `/artifactory/api/docker/<key>/v2/<image>/…` |
/// | the path of the API | `/artifactory/api/docker/<key>/v2/<image>/…` | the same |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Layout {
    /// `/v2/<name>/…` and nothing else, as the OCI distribution specification has it.
    #[default]
    Plain,
    /// Artifactory's.
    Artifactory {
        /// The repository that `/v2/` is all about, because clients choose it by a host's name or a port;
        /// without one it is the first component of each name.
        key: Option<RepositoryKey>,
    },
}

/// The key of one of Artifactory's repositories: up to 255 printable ASCII characters without a `/`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RepositoryKey(Box<str>);

/// What Artifactory calls an image: its repository's key and, apart from it, the image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactoryName {
    /// The repository it is in.
    pub repository_key: RepositoryKey,
    /// The image in that repository.
    pub image_name: RepositoryName,
}

/// Text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a repository key: it must be up to 255 printable ASCII characters without a `/`")]
pub struct InvalidKey;

const MAX_LENGTH: usize = 255;

impl Layout {
    /// Reads the path of a request, without its query: what clients of this registry would call what it
    /// names, and what Artifactory calls it.
    #[must_use]
    pub fn route(&self, path: &str) -> (Route, Option<ArtifactoryName>) {
        let Self::Artifactory { key } = self else {
            return (Route::of(path), None);
        };
        let Some(decoded) = percent_decoded(path) else {
            return (Route::Other, None);
        };
        let segments: Vec<&str> = decoded.split('/').collect();
        let (named, below) = match &segments[..] {
            ["", "v2", below @ ..] => (None, below),
            all => match api_path(all) {
                Some((key, below)) => (Some(key), below),
                None => return (Route::Other, None),
            },
        };
        let mut route = Route::below_v2(below).unwrap_or(Route::Other);
        let (Route::Manifest { repository, .. } | Route::Upload { repository }) = &mut route else {
            return (route, None);
        };
        let name = match (named.map(str::parse::<RepositoryKey>), key) {
            (Some(Err(_)), _) => return (Route::Other, None),
            (Some(Ok(named)), key) => {
                let image_name = repository.clone();
                if key.as_ref() != Some(&named) {
                    // Names are lower case, keys need not be.
                    let both = format!("{}/{image_name}", named.as_str().to_ascii_lowercase());
                    *repository = both.parse().unwrap_or_else(|_| image_name.clone());
                }
                Some(ArtifactoryName { repository_key: named, image_name })
            }
            (None, Some(key)) => Some(ArtifactoryName {
                repository_key: key.clone(),
                image_name: repository.clone(),
            }),
            (None, None) => ArtifactoryName::of(repository),
        };
        (route, name)
    }

    /// Whether some reader could take a path, however it is spelled, for that of a manifest or of an upload.
    /// Only then it matters whether there are two ways to read it.
    #[must_use]
    pub fn could_push(&self, path: &str) -> bool {
        let root = match self {
            Self::Plain => Root::First,
            Self::Artifactory { .. } => Root::Anywhere,
        };
        could_push(path, root)
    }

    /// What goes before a client's path, byte for byte as it is, to make the registry's own of it.
    #[must_use]
    pub fn prefix(&self, path: &str) -> Option<String> {
        let Self::Artifactory { key: Some(key) } = self else {
            return None;
        };
        let first = path.strip_prefix('/')?.split('/').next()?;
        (percent_decoded(first)? == "v2").then(|| format!("/artifactory/api/docker/{key}"))
    }

    /// Where the registry has a manifest.
    #[must_use]
    pub fn manifest(
        &self,
        repository: &RepositoryName,
        name: Option<&ArtifactoryName>,
        reference: &Reference,
    ) -> String {
        match (self, name) {
            (Self::Artifactory { key: Some(_) }, Some(name)) => format!(
                "/artifactory/api/docker/{}/v2/{}/manifests/{reference}",
                name.repository_key, name.image_name
            ),
            (Self::Artifactory { key: None }, Some(name)) => {
                format!("/v2/{}/{}/manifests/{reference}", name.repository_key, name.image_name)
            }
            _ => format!("/v2/{repository}/manifests/{reference}"),
        }
    }
}

/// The key in a path of the API, and what is below its `v2`. Whatever comes before it is where Artifactory
/// is mounted, `/artifactory` as a rule. An image may be called `api/docker/x/v2/y`, so the first one counts.
fn api_path<'a, 's>(segments: &'a [&'s str]) -> Option<(&'s str, &'a [&'s str])> {
    (0..segments.len()).find_map(|at| match segments.get(at..)? {
        ["api", "docker", key, "v2", below @ ..] => Some((*key, below)),
        _ => None,
    })
}

impl ArtifactoryName {
    /// Of a name whose first component is the key.
    fn of(repository: &RepositoryName) -> Option<Self> {
        let (key, image) = repository.as_str().split_once('/')?;
        Some(Self { repository_key: key.parse().ok()?, image_name: image.parse().ok()? })
    }
}

impl RepositoryKey {
    /// The whole key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryKey {
    type Err = InvalidKey;

    fn from_str(s: &str) -> Result<Self, InvalidKey> {
        let printable = s.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if s.is_empty() || s.len() > MAX_LENGTH || !printable {
            return Err(InvalidKey);
        }
        Ok(Self(s.into()))
    }
}

impl fmt::Display for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_path() -> Layout {
        Layout::Artifactory { key: None }
    }

    fn by_host() -> Layout {
        Layout::Artifactory { key: Some("docker-local".parse().unwrap()) }
    }

    /// Repository, key and image of a manifest's path.
    fn read(layout: &Layout, path: &str) -> Option<(String, String, String)> {
        let (route, name) = layout.route(path);
        let Route::Manifest { repository, .. } = route else {
            assert_eq!(name, None, "{path}");
            return None;
        };
        let (key, image) = match name {
            Some(name) => (name.repository_key.to_string(), name.image_name.to_string()),
            None => (String::new(), String::new()),
        };
        Some((repository.to_string(), key, image))
    }

    fn texts(texts: [&str; 3]) -> Option<(String, String, String)> {
        let [repository, key, image] = texts.map(str::to_owned);
        Some((repository, key, image))
    }

    #[test]
    fn key_and_image_are_kept_apart_in_every_form() {
        const LOCAL: &str = "docker-local";
        for (layout, path, expected) in [
            (
                by_path(),
                "/v2/docker-local/team/app/manifests/1",
                ["docker-local/team/app", LOCAL, "team/app"],
            ),
            (by_path(), "/v2/docker-local/app/manifests/1", ["docker-local/app", LOCAL, "app"]),
            (
                by_path(),
                "/%762/docker%2dlocal/app/%6danifests/1",
                ["docker-local/app", LOCAL, "app"],
            ),
            (by_path(), "/v2/app/manifests/1", ["app", "", ""]),
            (
                by_path(),
                "/artifactory/api/docker/docker-local/v2/team/app/manifests/1",
                ["docker-local/team/app", LOCAL, "team/app"],
            ),
            (
                by_path(),
                "/api/docker/docker-local/v2/app/manifests/1",
                ["docker-local/app", LOCAL, "app"],
            ),
            (
                by_path(),
                "/artifactory/api/docker/Docker_L/v2/app/manifests/1",
                ["docker_l/app", "Docker_L", "app"],
            ),
            (by_path(), "/artifactory/api/docker/-x-/v2/app/manifests/1", ["app", "-x-", "app"]),
            (
                by_path(),
                "/artifactory/api/docker/docker-local/v2/api/docker/x/v2/y/manifests/1",
                ["docker-local/api/docker/x/v2/y", LOCAL, "api/docker/x/v2/y"],
            ),
            (
                by_path(),
                "/v2/docker-local/api/docker/x/v2/y/manifests/1",
                ["docker-local/api/docker/x/v2/y", LOCAL, "api/docker/x/v2/y"],
            ),
            (by_host(), "/v2/team/app/manifests/1", ["team/app", LOCAL, "team/app"]),
            (
                by_host(),
                "/v2/docker-local/app/manifests/1",
                ["docker-local/app", LOCAL, "docker-local/app"],
            ),
            (
                by_host(),
                "/artifactory/api/docker/docker-local/v2/team/app/manifests/1",
                ["team/app", LOCAL, "team/app"],
            ),
            (
                by_host(),
                "/artifactory/api/docker/other/v2/team/app/manifests/1",
                ["other/team/app", "other", "team/app"],
            ),
            (Layout::Plain, "/v2/docker-local/app/manifests/1", ["docker-local/app", "", ""]),
        ] {
            assert_eq!(read(&layout, path), texts(expected), "{layout:?} {path}");
        }
        for (layout, path) in [
            (by_path(), "/artifactory/api/docker/docker-local/v2/app/tags/list"),
            (by_path(), "/artifactory/api/docker/docker-local/V2/app/manifests/1"),
            (by_path(), "/artifactory/docker-local/v2/app/manifests/1"),
            (by_path(), "/artifactory/api/docker/a%20b/v2/app/manifests/1"),
            (Layout::Plain, "/artifactory/api/docker/docker-local/v2/app/manifests/1"),
        ] {
            assert_eq!(read(&layout, path), None, "{layout:?} {path}");
        }
    }

    #[test]
    fn only_what_a_host_or_a_port_says_has_to_be_added_to_the_path() {
        let prefix = Some("/artifactory/api/docker/docker-local".to_owned());
        for path in
            ["/v2/", "/v2", "/v2/app/blobs/uploads/1%2F", "/%762/app/manifests/1", "/v2//x/.."]
        {
            assert_eq!(by_host().prefix(path), prefix, "{path}");
            assert_eq!(by_path().prefix(path), None, "{path}");
            assert_eq!(Layout::Plain.prefix(path), None, "{path}");
        }
        for path in ["/", "/artifactory/api/docker/x/v2/", "/V2/", "/v2x/", "//v2/", "/%zz/", "*"] {
            assert_eq!(by_host().prefix(path), None, "{path}");
        }
    }

    #[test]
    fn a_manifest_is_where_a_client_put_it() {
        let reference: Reference = "1.0".parse().unwrap();
        for (layout, path) in [
            (by_path(), "/v2/docker-local/team/app/manifests/1.0"),
            (by_host(), "/artifactory/api/docker/other/v2/team/app/manifests/1.0"),
            (by_host(), "/artifactory/api/docker/docker-local/v2/team/app/manifests/1.0"),
            (Layout::Plain, "/v2/team/app/manifests/1.0"),
        ] {
            let (route, name) = layout.route(path);
            let Route::Manifest { repository, .. } = route else { panic!("{path}") };
            assert_eq!(layout.manifest(&repository, name.as_ref(), &reference), path);
        }
    }
}
