use std::fmt;

use http::Uri;
use time::OffsetDateTime;

use crate::event::Event;

use super::Kind;

/// What a notification said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Whose it was.
    pub kind: Kind,
    /// One for each thing that happened to a manifest, in the notification's order.
    pub events: Vec<Notified>,
    /// Whether the sender was only trying if it reaches us; then there is no event.
    pub is_test: bool,
    /// Where Docker Hub wants to hear what became of it.
    pub callback: Option<Callback>,
    /// What was odd and had to be read one way or the other; a sentence each.
    pub warnings: Vec<String>,
    /// What was understood and makes no event, with the reason; a sentence each.
    pub skipped: Vec<String>,
}

/// One event of a notification, and what only the notification knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    /// The event, of origin `notification`. Its time is the notification's own, or that of the arrival.
    /// Without a digest it can be paired by its tag only (rule M8).
    pub event: Event,
    /// What tells this report from all others of its source, for M1 and I5: the sender's own id, or the
    /// hash of its bytes where they cannot be the same for two things. Nothing where a repetition looks
    /// exactly like news.
    pub source_event_id: Option<String>,
    /// When it happened, by the sender's clock; nothing where it does not tell.
    pub stamp: Option<OffsetDateTime>,
    /// Where each field of the event comes from, in the order of its JSON.
    pub origins: Vec<(&'static str, Place)>,
}

/// Where a field of an event comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A value of the notification, by its JSON pointer (RFC 6901). What follows a `#` points into the
    /// document that the text there holds.
    Pointer(String),
    /// A header of the request.
    Header(&'static str),
    /// The operator's own word.
    Configuration,
    /// When it arrived.
    Arrival,
    /// No field says it: it is what this kind of notification is about, or follows from other fields.
    Format,
}

/// A `callback_url`. It was in a body that nobody signs, so only Docker Hub's own are ever one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(Uri);

/// The hosts of Docker Hub that have called themselves in a `callback_url`.
const CALLBACK_HOSTS: [&str; 2] = ["registry.hub.docker.com", "hub.docker.com"];

impl Parsed {
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            events: Vec::new(),
            is_test: false,
            callback: None,
            warnings: Vec::new(),
            skipped: Vec::new(),
        }
    }
}

impl Callback {
    /// A `callback_url`, if it is one of Docker Hub's own: `https`, its host and its port, no user.
    pub(super) fn of(text: &str) -> Option<Self> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['#', '\\']) {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let host = authority.strip_suffix(":443").unwrap_or(authority);
        let is_hub = CALLBACK_HOSTS.iter().any(|known| host.eq_ignore_ascii_case(known));
        (uri.scheme_str() == Some("https") && is_hub).then_some(Self(uri))
    }

    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => f.write_str(pointer),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Configuration => f.write_str("our configuration"),
            Self::Arrival => f.write_str("the time of arrival"),
            Self::Format => f.write_str("what this kind of notification means"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_docker_hub_is_called_back() {
        for good in [
            "https://registry.hub.docker.com/u/acme/app/hook/2f1a/",
            "https://hub.docker.com/u/acme/app/hook/2f1a/?x=1",
            "https://Registry.Hub.Docker.com:443/u/acme/app/hook/2f1a/",
        ] {
            assert_eq!(Callback::of(good).map(|c| c.uri().path().len() > 5), Some(true), "{good}");
        }
        for bad in [
            "",
            "/u/acme/app/hook/",
            "http://registry.hub.docker.com/u/",
            "https://registry.hub.docker.com:8443/u/",
            "https://registry.hub.docker.com.evil.example/u/",
            "https://evil.example/registry.hub.docker.com/",
            "https://registry.hub.docker.com@evil.example/u/",
            "https://a:b@hub.docker.com/u/",
            "https://evil.example#@hub.docker.com/",
            "https://evil.example\\@hub.docker.com/",
            "https://hub.docker.com./u/",
            "https://169.254.169.254/",
            "https://hub.docker.com/ x",
            "https://hub.docker.com\n/",
        ] {
            assert_eq!(Callback::of(bad), None, "{bad}");
        }
    }
}
