use http::HeaderName;
use http::header::AUTHORIZATION;

/// A way to show a receiver that a webhook is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Standard Webhooks: HMAC-SHA256 (`v1`), Ed25519 (`v1a`), or both.
    StandardWebhooks,
    /// GitHub's: HMAC-SHA256 of the body in `X-Hub-Signature-256`.
    GithubSha256,
    /// Flux's `generic-hmac`: HMAC of the body in `X-Signature`, its algorithm before it.
    FluxHmac,
    /// Artifactory's with "use secret for payload signing": bare HMAC-SHA256 of the body.
    JfrogSigned,
    /// Artifactory's without: the secret itself.
    JfrogToken,
    /// Nexus': bare HMAC-SHA1 of the body. SHA-1 is for this receiver alone, which knows no other.
    NexusSha1,
    /// The secret alone is the value of `Authorization`.
    StaticAuthorization,
    /// A bearer token (RFC 6750).
    Bearer,
    /// A user's name and password (RFC 7617).
    Basic,
    /// GitLab's: the secret in `X-Gitlab-Token`.
    GitlabToken,
    /// The secret in a header of the operator's choice.
    SharedHeader,
    /// The secret as a parameter of the URL's query.
    QuerySecret,
    /// The secret in the URL's path.
    PathSecret,
    /// A token that somebody keeps fresh in a file, as a bearer token.
    Oidc,
    /// HTTP message signatures (RFC 9421) by the key of a certificate that a CA issued us.
    HttpMessageSignatures,
}

/// What a scheme works with, besides the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A secret that the receiver knows too, or a private key.
    Secret,
    /// A file that holds a token.
    TokenFile,
    /// A certificate and its key.
    Identity,
}

impl Scheme {
    /// Every scheme, in the order of the documentation.
    pub const ALL: [Self; 15] = [
        Self::StandardWebhooks,
        Self::GithubSha256,
        Self::FluxHmac,
        Self::JfrogSigned,
        Self::JfrogToken,
        Self::NexusSha1,
        Self::StaticAuthorization,
        Self::Bearer,
        Self::Basic,
        Self::GitlabToken,
        Self::SharedHeader,
        Self::QuerySecret,
        Self::PathSecret,
        Self::Oidc,
        Self::HttpMessageSignatures,
    ];

    /// The word for it in the configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::GithubSha256 => "github-sha256",
            Self::FluxHmac => "flux-hmac",
            Self::JfrogSigned => "jfrog-signed",
            Self::JfrogToken => "jfrog-token",
            Self::NexusSha1 => "nexus-sha1",
            Self::StaticAuthorization => "static-authorization",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::GitlabToken => "gitlab-token",
            Self::SharedHeader => "shared-header",
            Self::QuerySecret => "query-secret",
            Self::PathSecret => "path-secret",
            Self::Oidc => "oidc",
            Self::HttpMessageSignatures => "http-message-signatures",
        }
    }

    /// The scheme a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }

    /// What it works with.
    #[must_use]
    pub fn means(self) -> Means {
        match self {
            Self::Oidc => Means::TokenFile,
            Self::HttpMessageSignatures => Means::Identity,
            _ => Means::Secret,
        }
    }

    /// Whether it signs what is sent, rather than show a secret along with it.
    #[must_use]
    pub fn signs(self) -> bool {
        match self {
            Self::StandardWebhooks
            | Self::GithubSha256
            | Self::FluxHmac
            | Self::JfrogSigned
            | Self::NexusSha1
            | Self::HttpMessageSignatures => true,
            Self::JfrogToken
            | Self::StaticAuthorization
            | Self::Bearer
            | Self::Basic
            | Self::GitlabToken
            | Self::SharedHeader
            | Self::QuerySecret
            | Self::PathSecret
            | Self::Oidc => false,
        }
    }

    /// The header its proof is in, unless the operator may and does choose another.
    #[must_use]
    pub fn header(self) -> Option<HeaderName> {
        match self {
            Self::StandardWebhooks => Some(HeaderName::from_static(super::SIGNATURE)),
            Self::GithubSha256 => Some(HeaderName::from_static("x-hub-signature-256")),
            Self::FluxHmac => Some(HeaderName::from_static("x-signature")),
            Self::JfrogSigned | Self::JfrogToken => {
                Some(HeaderName::from_static("x-jfrog-event-auth"))
            }
            Self::NexusSha1 => Some(HeaderName::from_static("x-nexus-webhook-signature")),
            Self::StaticAuthorization | Self::Bearer | Self::Basic | Self::Oidc => {
                Some(AUTHORIZATION)
            }
            Self::GitlabToken => Some(HeaderName::from_static("x-gitlab-token")),
            Self::SharedHeader => Some(HeaderName::from_static("x-webhook-secret")),
            Self::HttpMessageSignatures => Some(HeaderName::from_static("signature")),
            Self::QuerySecret | Self::PathSecret => None,
        }
    }

    /// Whether the operator may choose the header.
    #[must_use]
    pub fn header_may_be_chosen(self) -> bool {
        // Tekton's interceptor for Bitbucket reads GitHub's value in `X-Hub-Signature`.
        matches!(self, Self::GithubSha256 | Self::SharedHeader)
    }
}
