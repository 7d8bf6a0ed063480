//! From what one notification tells to an event: what all kinds have in common.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Actor;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Evidence;
use crate::event::Origin;
use crate::event::Outcome;
use crate::event::Request;
use crate::registry::Digest;
use crate::registry::Kind as ManifestKind;
use crate::registry::MediaType;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use super::Kind;
use super::Parsed;
use super::error::Error;

/// One notification being read.
pub(super) struct Reading<'a> {
    kind: Kind,
    content: Digest,
    registry: Option<&'a str>,
    received: OffsetDateTime,
    pub(super) parsed: Parsed,
}

/// What is told about one manifest, or one mounted blob.
pub(super) struct Told {
    /// The sender's own id of the event.
    pub(super) id: Option<String>,
    /// The time that tells this event from one with the same bytes; `time`, where that is told.
    pub(super) stamp: Option<OffsetDateTime>,
    pub(super) action: Action,
    pub(super) registry: String,
    pub(super) repository: RepositoryName,
    pub(super) tag: Option<Tag>,
    pub(super) digest: Option<Digest>,
    pub(super) kind: Option<ManifestKind>,
    pub(super) media_type: Option<MediaType>,
    pub(super) artifact_type: Option<MediaType>,
    pub(super) size: Option<u64>,
    pub(super) actor: Option<String>,
    pub(super) request: Request,
    /// When it happened; unknown to some.
    pub(super) time: Option<OffsetDateTime>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        kind: Kind,
        bytes: &[u8],
        registry: Option<&'a str>,
        received: OffsetDateTime,
    ) -> Self {
        let content = Digest::sha256(bytes);
        Self { kind, content, registry, received, parsed: Parsed::default() }
    }

    /// The registry's name: ours for it, or else what the notification says, if that is one.
    pub(super) fn registry(
        &self,
        own: Option<&str>,
        reason: &'static str,
    ) -> Result<String, Error> {
        let own = own.filter(|name| is_host(name));
        let name = self.registry.or(own).ok_or(Error::Registry { reason })?;
        Ok(name.to_owned())
    }

    /// Whether somebody told us the registry's name, so that the notification's does not matter.
    pub(super) fn is_registry_known(&self) -> bool {
        self.registry.is_some()
    }

    pub(super) fn warn(&mut self, sentence: String) {
        self.parsed.warnings.push(sentence);
    }

    /// What nobody needs, and a warning if it cannot be read.
    pub(super) fn lenient<T>(&mut self, found: Result<Option<T>, Error>) -> Option<T> {
        found.unwrap_or_else(|error| {
            self.warn(format!("{error}; left out"));
            None
        })
    }

    pub(super) fn skip(&mut self, sentence: String) {
        self.parsed.skipped.push(sentence);
    }

    /// Takes the event up that the notification tells at a place of its list.
    pub(super) fn push(&mut self, place: usize, told: Told) {
        let id = self.id(place, &told);
        // What the media type or the tag gives away; a manifest's own fields are not here to ask.
        let by_type = || told.media_type.as_ref().map(|m| ManifestKind::of_media_type(Some(m)));
        let kind = ManifestKind::of_tag(told.tag.as_ref()).or(told.kind).or_else(by_type);
        self.parsed.events.push(Event {
            id,
            action: told.action,
            change: None,
            previous_digest: None,
            registry: told.registry,
            repository: told.repository,
            artifactory: None,
            tag: told.tag,
            digest: told.digest,
            kind: if told.action == Action::Mount { None } else { kind },
            media_type: told.media_type,
            artifact_type: told.artifact_type,
            size: told.size,
            total_size: None,
            platforms: Vec::new(),
            annotations: BTreeMap::new(),
            subject_digest: None,
            actor: Actor { name: told.actor },
            request: told.request,
            origin: Origin::Notification,
            seen_by: vec![self.kind.as_str().to_owned()],
            outcome: Outcome::Confirmed,
            evidence: Evidence::Notification,
            digest_from: None,
            integrity: None,
            current_digest: None,
            concurrent: false,
            time: told.time.unwrap_or(self.received),
            started_at: None,
            answered_at: None,
            sequence: None,
        });
    }

    /// Senders repeat themselves, so the same report must get the same id. Where neither an id nor a time
    /// tells two pushes of one tag apart, the time of arrival must: an event said twice does less harm
    /// than one swallowed.
    fn id(&self, place: usize, told: &Told) -> EventId {
        let place = place.to_string();
        let arrival = self.received.unix_timestamp_nanos().to_string();
        let kind = self.kind.as_str();
        let stamp = told.stamp.or(told.time);
        let time = stamp.unwrap_or(self.received);
        match (&told.id, stamp) {
            (Some(id), Some(_)) => EventId::told(time, &[kind, "id", id]),
            (Some(id), None) => EventId::told(OffsetDateTime::UNIX_EPOCH, &[kind, "id", id]),
            (None, Some(_)) => {
                EventId::told(time, &[kind, "content", self.content.as_str(), &place])
            }
            (None, None) => {
                EventId::told(time, &[kind, "arrival", self.content.as_str(), &place, &arrival])
            }
        }
    }
}

/// The tag and the digest of what may be either.
pub(super) fn split(reference: Option<Reference>) -> (Option<Tag>, Option<Digest>) {
    match reference {
        Some(Reference::Tag(tag)) => (Some(tag), None),
        Some(Reference::Digest(digest)) => (None, Some(digest)),
        None => (None, None),
    }
}

/// Splits `host/repository` as clients do: the first component is a host if it has a `.` or a `:`, or is
/// `localhost`.
pub(super) fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((host, rest)) if looks_like_host(host) => (Some(host), rest),
        _ => (None, name),
    }
}

/// Whether clients would take the text for a registry and not for a part of a repository's name.
pub(super) fn looks_like_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

/// Whether a text can be a registry's name, `host` or `host:port`.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|p| {
        p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok_and(|number| number != 0)
    });
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let label = |l: &str| !l.is_empty() && l.len() <= 63 && l.bytes().all(word);
            host.len() <= 253 && host.split('.').all(label)
        }
    };
    port_fits && host_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_registries() {
        for good in ["a", "docker.io", "r.example.com:5000", "10.0.0.1", "[::1]:5000", "[fd00::1]"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in
            ["", ":80", "a:", "a:0", "a:70000", "a:+1", "a/b", "a b", "a..b", "::1", "[x]", "é"]
        {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn hosts_are_told_from_names_as_clients_do() {
        for (name, host, rest) in [
            ("team/app", None, "team/app"),
            ("app", None, "app"),
            ("r.example.com/team/app", Some("r.example.com"), "team/app"),
            ("localhost/app", Some("localhost"), "app"),
            ("r:5000/app", Some("r:5000"), "app"),
        ] {
            assert_eq!(split_host(name), (host, rest));
        }
    }
}
