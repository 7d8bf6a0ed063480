use std::time::Duration;

use instant_acme::Problem;

use crate::certs;
use crate::certs::printable;

/// Why there is no certificate. What a CA says is cut, and cannot act on a terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CA cannot be reached, or does not speak ACME.
    #[error("no talking with the CA: {detail}")]
    Unreachable {
        /// What happened.
        detail: String,
    },
    /// The CA has trouble of its own.
    #[error("the CA cannot do it now: {detail}")]
    Unable {
        /// What it says.
        detail: String,
    },
    /// The CA does not want to hear of us for a while.
    #[error("the CA limits how often we may ask: {detail}")]
    Limited {
        /// What it says.
        detail: String,
        /// How long we should wait.
        wait: Option<Duration>,
    },
    /// The CA will not do it, now or later.
    #[error("the CA refused: {detail}")]
    Refused {
        /// What it says.
        detail: String,
    },
    /// The CA came to see that a name is ours, and saw something else.
    #[error("the CA could not see that the names are ours: {detail}")]
    NotValidated {
        /// Each name, and what it saw there.
        detail: String,
    },
    /// The CA has other ways to see that a name is ours.
    #[error("the CA does not validate {name} by `{wanted}`, but by {offered}")]
    NoChallenge {
        /// The name.
        name: String,
        /// The way that the configuration wants.
        wanted: &'static str,
        /// The ways there are.
        offered: String,
    },
    /// The CA wants to validate a name that we have not asked for.
    #[error("the CA brought up {name}, which nobody ordered")]
    Foreign {
        /// The name.
        name: String,
    },
    /// The CA takes longer than we wait; the order goes on where it is.
    #[error("the CA has not finished in time; the order goes on")]
    Unfinished,
    /// What the CA issued is not what we ordered.
    #[error("the certificate that the CA issued cannot be used")]
    Unusable {
        /// Why.
        source: certs::Error,
    },
    /// What has to be kept cannot be.
    #[error("could not keep what the CA gave us")]
    Keep {
        /// Why.
        source: certs::Error,
    },
}

impl Error {
    /// What the library says, sorted by who has to do something.
    pub(super) fn of(error: instant_acme::Error, wait: Option<Duration>) -> Self {
        use instant_acme::Error as Acme;
        match error {
            Acme::Api(problem) => Self::of_problem(&problem, wait),
            Acme::Timeout(_) => Self::Unfinished,
            other => Self::Unreachable { detail: printable(&other.to_string()) },
        }
    }

    fn of_problem(problem: &Problem, wait: Option<Duration>) -> Self {
        let detail = words(problem);
        match kind(problem) {
            "rateLimited" => Self::Limited { detail, wait },
            "serverInternal" | "badNonce" => Self::Unable { detail },
            _ if problem.status.is_some_and(|status| status >= 500) => Self::Unable { detail },
            "caa" | "connection" | "dns" | "incorrectResponse" | "tls" => {
                Self::NotValidated { detail }
            }
            _ => Self::Refused { detail },
        }
    }

    /// Whether the order is lost with it: a new one has to be made.
    pub(super) fn ends_the_order(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::NotValidated { .. }
            | Self::NoChallenge { .. }
            | Self::Foreign { .. }
            | Self::Unusable { .. } => true,
            Self::Unreachable { .. }
            | Self::Unable { .. }
            | Self::Limited { .. }
            | Self::Unfinished
            | Self::Keep { .. } => false,
        }
    }
}

/// The last part of a problem's type (RFC 8555 §6.7).
pub(super) fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.rsplit(':').next().unwrap_or_default()
}

/// A problem as text.
pub(super) fn words(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    for inner in &problem.subproblems {
        if let Some(detail) = &inner.detail {
            text.push_str("; ");
            text.push_str(detail);
        }
    }
    if text.is_empty() {
        text = "no reason given".to_owned();
    }
    format!("{} ({})", printable(&text), printable(kind(problem)))
}
