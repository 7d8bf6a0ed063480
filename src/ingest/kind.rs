use std::fmt;

use super::json::Escapes;

/// The format of a notification: which registry, or which program beside it, sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Docker Distribution's envelope, 2.x and 3.x; GitLab's registry sends the same.
    Distribution,
    /// Artifactory's user plugin `webhook`, in its formats `default`, `keel` and `spinnaker`.
    ArtifactoryPlugin,
    /// Artifactory's own webhooks.
    Artifactory,
    /// Docker Hub's webhook, today's and that of its automated builds.
    DockerHub,
    /// Harbor 2.x, in its formats `Default` and `CloudEvents`.
    Harbor,
    /// Quay, `repo_push`.
    Quay,
    /// GitHub's events `package`, `registry_package` and `ping`.
    Github,
    /// Gitea's and Forgejo's event `package`.
    Gitea,
    /// Azure Container Registry.
    Acr,
    /// Google's Artifact Registry, through a Pub/Sub subscription that pushes.
    Gcr,
    /// Amazon ECR, through EventBridge.
    Ecr,
    /// Sonatype Nexus Repository 3.
    Nexus,
    /// zot's extension `events`.
    Zot,
    /// Puppet Container Registry, which was Distelli Europa.
    Europa,
    /// Alibaba Cloud's registry.
    Alibaba,
    /// The native events of another Pushbell.
    CloudEvents,
    /// `CDEvents` about artifacts.
    CdEvents,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Distribution,
        Self::ArtifactoryPlugin,
        Self::Artifactory,
        Self::DockerHub,
        Self::Harbor,
        Self::Quay,
        Self::Github,
        Self::Gitea,
        Self::Acr,
        Self::Gcr,
        Self::Ecr,
        Self::Nexus,
        Self::Zot,
        Self::Europa,
        Self::Alibaba,
        Self::CloudEvents,
        Self::CdEvents,
    ];

    /// The word for it in the configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Distribution => "distribution",
            Self::ArtifactoryPlugin => "artifactory-plugin",
            Self::Artifactory => "artifactory",
            Self::DockerHub => "docker-hub",
            Self::Harbor => "harbor",
            Self::Quay => "quay",
            Self::Github => "github",
            Self::Gitea => "gitea",
            Self::Acr => "acr",
            Self::Gcr => "gcr",
            Self::Ecr => "ecr",
            Self::Nexus => "nexus",
            Self::Zot => "zot",
            Self::Europa => "europa",
            Self::Alibaba => "alibaba",
            Self::CloudEvents => "cloudevents",
            Self::CdEvents => "cdevents",
        }
    }

    /// The kind a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The registry that its notifications are about, where there is but one of the kind.
    #[must_use]
    pub fn registry(self) -> Option<&'static str> {
        match self {
            Self::DockerHub => Some("docker.io"),
            _ => None,
        }
    }

    pub(super) fn escapes(self) -> Escapes {
        match self {
            // The Hub's own documentation shows `\[` in its samples.
            Self::DockerHub => Escapes::Lenient,
            _ => Escapes::Strict,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
