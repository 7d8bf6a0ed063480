//! Who may speak for a source: what each kind of registry can show for itself, checked over the raw request.
//!
//! Pure: no I/O, the time is an argument, secrets come in as [`Secret`](crate::secret::Secret) and never come out. What is compared is
//! of fixed length, in constant time: digests of texts, or the codes of signatures. All configured secrets are
//! compared, always (rule I6), so that a source can have an old and a new one.
//!
//! A source's credentials are all asked for: a secret path does not make up for a wrong signature. Which one a
//! source has is configuration, never guessed from what is presented: the weakest would decide.

mod credential;
mod google;
mod signature;
mod standard;
mod token;

use std::fmt;

use http::HeaderMap;
use time::OffsetDateTime;

use super::Kind;

pub use self::credential::Credential;
pub use self::credential::InvalidCredential;
pub use self::google::InvalidKeys;
pub use self::google::Keys;

/// A way to show who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `Authorization: Bearer <secret>`.
    Bearer,
    /// `Authorization: Basic <base64 of user:password>`.
    Basic,
    /// A header whose value is the secret.
    Header,
    /// A header with a code over the body, in the way of the kind.
    Signature,
    /// A secret at the end of the path.
    PathToken,
    /// `webhook-signature` of Standard Webhooks, with its id and time.
    StandardWebhooks,
    /// A token of Google's, for one audience and one service account.
    GoogleToken,
}

/// What a request shows for itself.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// What stands in its path behind the source's name.
    pub path_token: Option<&'a str>,
    /// Its body, as it came.
    pub body: &'a [u8],
    /// Now.
    pub now: OffsetDateTime,
}

/// Why a request is not believed: for the log. The peer learns no more than that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What should be shown is not there.
    #[error("it has no {what}")]
    Missing {
        /// What it has not.
        what: &'static str,
    },
    /// It is there, and is nothing that could be right.
    #[error("its {what} is malformed: it must be {expected}")]
    Malformed {
        /// What is malformed.
        what: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// It is there, and no secret makes it right.
    #[error("its {what} is wrong: {remedy}")]
    Wrong {
        /// What is wrong.
        what: &'static str,
        /// What to look at.
        remedy: &'static str,
    },
}

impl Scheme {
    /// Every scheme, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Bearer,
        Self::Basic,
        Self::Header,
        Self::Signature,
        Self::PathToken,
        Self::StandardWebhooks,
        Self::GoogleToken,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header => "header",
            Self::Signature => "signature",
            Self::PathToken => "path_token",
            Self::StandardWebhooks => "standard_webhooks",
            Self::GoogleToken => "google_token",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Kind {
    /// What this kind of sender can show, the strongest first. The last is the secret path, which all can: it is
    /// a part of the URL.
    #[must_use]
    pub fn schemes(self) -> &'static [Scheme] {
        use Scheme::Basic;
        use Scheme::Bearer;
        use Scheme::GoogleToken;
        use Scheme::Header;
        use Scheme::PathToken;
        use Scheme::Signature;
        use Scheme::StandardWebhooks;
        match self {
            // Static headers, as many as one likes.
            Self::Distribution | Self::Acr | Self::Zot | Self::Ecr => {
                &[Bearer, Basic, Header, PathToken]
            }
            // User and password of its URL.
            Self::ArtifactoryPlugin => &[Basic, PathToken],
            Self::Artifactory => &[Signature, Header, Bearer, Basic, PathToken],
            // `Authorization`, whatever is written there.
            Self::Harbor => &[Header, Bearer, Basic, PathToken],
            Self::Gitea => &[Signature, Header, Bearer, Basic, PathToken],
            Self::Github | Self::Nexus | Self::Europa => &[Signature, PathToken],
            Self::Gcr => &[GoogleToken, PathToken],
            Self::DockerHub | Self::Quay | Self::Alibaba => &[PathToken],
            Self::CloudEvents | Self::CdEvents => {
                &[StandardWebhooks, Bearer, Basic, Header, PathToken]
            }
        }
    }

    /// The header in which this kind of sender has a plain secret, unless the configuration says another.
    #[must_use]
    pub fn secret_header(self) -> &'static str {
        match self {
            Self::Artifactory => "x-jfrog-event-auth",
            _ => "authorization",
        }
    }
}

/// Whether a request may speak for a source with these credentials: all of them must be right, and all are
/// looked at. No credential at all is nobody's leave: the caller decides what that means.
///
/// # Errors
///
/// If one of them is not right: the first.
pub fn verify(credentials: &[Credential], presented: &Presented<'_>) -> Result<(), Refused> {
    let mut verdict = Ok(());
    for credential in credentials {
        // Looked at in any case: how long it takes must not say which one was wrong.
        let next = credential.verify(presented);
        verdict = verdict.and(next);
    }
    verdict
}

/// The value of a header that must be there once: of two, nobody knows which one counts.
fn only<'a>(headers: &'a HeaderMap, header: &str, what: &'static str) -> Result<&'a str, Refused> {
    let mut values = headers.get_all(header).iter();
    let value = values.next().ok_or(Refused::Missing { what })?;
    let malformed = Refused::Malformed { what, expected: "one printable text" };
    if values.next().is_some() {
        return Err(malformed);
    }
    value.to_str().map(str::trim).map_err(|_| malformed)
}
