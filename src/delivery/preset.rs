//! Presets: what a known receiver needs, so that an operator names the receiver and not its details.

use http::Uri;
use http::uri::PathAndQuery;

use super::dialect::Dialect;

/// A known receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// The build service's endpoint for registry notifications.
    BuildServiceDocker,
    /// The build service's endpoint for Docker Hub's webhooks.
    BuildServiceDockerHub,
    /// The build service's endpoint for Artifactory's webhook plugin.
    BuildServiceArtifactory,
}

impl Preset {
    /// Every preset, in the order of the documentation.
    pub const ALL: &'static [Self] =
        &[Self::BuildServiceDocker, Self::BuildServiceDockerHub, Self::BuildServiceArtifactory];

    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildServiceDocker => "build-service-docker",
            Self::BuildServiceDockerHub => "build-service-docker-hub",
            Self::BuildServiceArtifactory => "build-service-artifactory",
        }
    }

    /// The preset a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|preset| preset.as_str() == word)
    }

    /// The dialect the receiver reads.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::BuildServiceDocker => Dialect::Distribution,
            Self::BuildServiceDockerHub => Dialect::DockerHub,
            Self::BuildServiceArtifactory => Dialect::ArtifactoryPlugin,
        }
    }

    /// Where the receiver listens, below its base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::BuildServiceDocker => "/v1/docker/notification",
            Self::BuildServiceDockerHub => "/v1/docker/webhook",
            Self::BuildServiceArtifactory => "/v1/artifactory/webhook",
        }
    }

    /// The URL to post to, from the receiver's base URL: [`Preset::path`] is appended to its path unless
    /// it is there already, and a query stays behind it. A URL that would become too long for a
    /// request is kept as it is.
    #[must_use]
    pub fn complete(self, url: &Uri) -> Uri {
        let base = url.path().trim_end_matches('/');
        let added = if base.ends_with(self.path()) { "" } else { self.path() };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = url.clone().into_parts();
        let Ok(target) = PathAndQuery::try_from(format!("{base}{added}{query}")) else {
            return url.clone();
        };
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_presets_and_back() {
        for preset in Preset::ALL {
            assert_eq!(Preset::of(preset.as_str()), Some(*preset));
        }
        assert_eq!(Preset::of("build-service"), None);
    }

    #[test]
    fn a_base_url_is_completed_once() {
        let preset = Preset::BuildServiceDocker;
        for (base, expected) in [
            ("https://b.example.com", "https://b.example.com/v1/docker/notification"),
            ("https://b.example.com/", "https://b.example.com/v1/docker/notification"),
            ("https://b.example.com:8443/", "https://b.example.com:8443/v1/docker/notification"),
            ("https://b.example.com/build", "https://b.example.com/build/v1/docker/notification"),
            ("https://b.example.com/build/", "https://b.example.com/build/v1/docker/notification"),
            ("https://b.example.com/v1", "https://b.example.com/v1/v1/docker/notification"),
            ("https://b.example.com?a=1", "https://b.example.com/v1/docker/notification?a=1"),
            ("https://b.example.com/?a=/", "https://b.example.com/v1/docker/notification?a=/"),
            (
                "https://b.example.com/x/v1/docker/notification",
                "https://b.example.com/x/v1/docker/notification",
            ),
            (
                "https://b.example.com/v1/docker/notification/",
                "https://b.example.com/v1/docker/notification",
            ),
            (
                "https://b.example.com/v1/docker/notification?a=1",
                "https://b.example.com/v1/docker/notification?a=1",
            ),
            (
                "https://b.example.com/v1/docker/webhook",
                "https://b.example.com/v1/docker/webhook/v1/docker/notification",
            ),
        ] {
            let completed = preset.complete(&base.parse().unwrap());
            assert_eq!(completed.to_string(), expected, "{base}");
            assert_eq!(preset.complete(&completed), completed, "{base}");
        }
    }

    #[test]
    fn each_preset_posts_its_dialect_to_its_path() {
        for (preset, dialect, url) in [
            (Preset::BuildServiceDocker, Dialect::Distribution, "https://b/v1/docker/notification"),
            (Preset::BuildServiceDockerHub, Dialect::DockerHub, "https://b/v1/docker/webhook"),
            (
                Preset::BuildServiceArtifactory,
                Dialect::ArtifactoryPlugin,
                "https://b/v1/artifactory/webhook",
            ),
        ] {
            assert_eq!(preset.dialect(), dialect);
            assert_eq!(preset.complete(&"https://b".parse().unwrap()).to_string(), url);
        }
    }
}
