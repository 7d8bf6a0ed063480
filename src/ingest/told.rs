//! From what one notification tells to an event: what all kinds have in common.

use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Actor;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Evidence;
use crate::event::Origin;
use crate::event::Outcome;
use crate::event::Request;
use crate::registry::ArtifactoryName;
use crate::registry::Digest;
use crate::registry::Kind as ManifestKind;
use crate::registry::Layout;
use crate::registry::Manifest;
use crate::registry::MediaType;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use super::Context;
use super::Kind;
use super::Notified;
use super::Parsed;
use super::Place;
use super::error::Error;
use super::node::Node;

/// One notification being read.
pub(super) struct Reading<'a> {
    kind: Kind,
    context: &'a Context<'a>,
    content: Digest,
    /// Where the fields of the event being read were found.
    found: Vec<(&'static str, Place)>,
    pub(super) parsed: Parsed,
}

/// What is told about one manifest, or one mounted blob.
pub(super) struct Told {
    pub(super) identity: Identity,
    pub(super) action: Action,
    pub(super) registry: String,
    pub(super) repository: RepositoryName,
    pub(super) artifactory: Option<ArtifactoryName>,
    pub(super) tag: Option<Tag>,
    pub(super) digest: Option<Digest>,
    pub(super) kind: Option<ManifestKind>,
    pub(super) media_type: Option<MediaType>,
    pub(super) artifact_type: Option<MediaType>,
    pub(super) size: Option<u64>,
    /// The manifest itself, where a notification brings it along.
    pub(super) manifest: Option<Manifest>,
    pub(super) actor: Option<String>,
    pub(super) request: Request,
    /// When it happened; unknown to some.
    pub(super) time: Option<OffsetDateTime>,
}

/// What tells one report from all others of its source (rule I5).
///
/// An id in a header that no signature covers is no such thing where the body tells repetitions from news:
/// whoever replays a captured delivery can write another id.
pub(super) enum Identity {
    /// The sender's own id.
    Own(String),
    /// Its bytes: two reports of different things never have the same ones.
    Bytes,
    /// Nothing but its arrival: the same push twice gives the same bytes. An event said twice does less harm
    /// than one swallowed.
    Arrival,
}

impl Told {
    /// What every report has; a parser adds what its format knows.
    pub(super) fn new(
        identity: Identity,
        action: Action,
        registry: String,
        repository: RepositoryName,
    ) -> Self {
        Self {
            identity,
            action,
            registry,
            repository,
            artifactory: None,
            tag: None,
            digest: None,
            kind: None,
            media_type: None,
            artifact_type: None,
            size: None,
            manifest: None,
            actor: None,
            request: Request::default(),
            time: None,
        }
    }
}

impl<'a> Reading<'a> {
    pub(super) fn new(kind: Kind, bytes: &[u8], context: &'a Context<'a>) -> Self {
        let parsed = Parsed::of(kind);
        Self { kind, context, content: Digest::sha256(bytes), found: Vec::new(), parsed }
    }

    /// The registry's name: ours for it, or else what the notification says, if that is one.
    pub(super) fn registry(
        &self,
        own: Option<&str>,
        reason: &'static str,
    ) -> Result<String, Error> {
        let own = own.filter(|name| is_host(name));
        let name = self.context.registry.or(own).ok_or(Error::Registry { reason })?;
        Ok(name.to_owned())
    }

    /// Whether somebody told us the registry's name, so that the notification's does not matter.
    pub(super) fn is_registry_known(&self) -> bool {
        self.context.registry.is_some()
    }

    /// What clients call an image that Artifactory keeps in one of its repositories.
    pub(super) fn artifactory(&self, name: &ArtifactoryName) -> RepositoryName {
        let key = name.repository_key.as_str();
        match self.context.layout {
            Layout::Artifactory { key: Some(ours) } if ours.as_str() == key => {
                name.image_name.clone()
            }
            // Names are lower case, keys need not be.
            _ => format!("{}/{}", key.to_ascii_lowercase(), name.image_name)
                .parse()
                .unwrap_or_else(|_| name.image_name.clone()),
        }
    }

    /// How the registry's paths name things.
    pub(super) fn layout(&self) -> &Layout {
        self.context.layout
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

    /// The sender was only trying whether it reaches us.
    pub(super) fn test(&mut self, sentence: String) {
        self.parsed.is_test = true;
        self.skip(sentence);
    }

    /// Notes where fields of the event come from: each with a key of an object, if that is there.
    pub(super) fn found_in(&mut self, node: &Node<'_>, fields: &[(&'static str, &str)]) {
        for (field, key) in fields {
            if let Some(place) = node.place(key) {
                self.found_at(field, place);
            }
        }
    }

    /// Notes where a field of the event comes from; the first note counts.
    pub(super) fn found_at(&mut self, field: &'static str, place: Place) {
        if !self.found.iter().any(|(known, _)| *known == field) {
            self.found.push((field, place));
        }
    }

    /// Takes the event up that the notification tells at a place of its list.
    pub(super) fn push(&mut self, place: usize, told: Told) {
        let (id, source_event_id) = self.id(place, &told);
        // What the media type or the tag gives away; a manifest's own fields are not here to ask.
        let by_type = || told.media_type.as_ref().map(|m| ManifestKind::of_media_type(Some(m)));
        let kind = ManifestKind::of_tag(told.tag.as_ref()).or(told.kind).or_else(by_type);
        let manifest = told.manifest.unwrap_or_default();
        let weight = |content: u64| told.size.and_then(|own| own.checked_add(content));
        let event = Event {
            id,
            action: told.action,
            change: None,
            previous_digest: None,
            registry: told.registry,
            repository: told.repository,
            artifactory: told.artifactory,
            tag: told.tag,
            digest: told.digest,
            kind: if told.action == Action::Mount { None } else { kind },
            media_type: told.media_type,
            artifact_type: told.artifact_type,
            size: told.size,
            total_size: manifest.content_size.and_then(weight),
            platforms: manifest.platforms,
            annotations: manifest.annotations,
            subject_digest: manifest.subject,
            actor: Actor { name: told.actor },
            request: told.request,
            origin: Origin::Notification,
            seen_by: vec![self.source().to_owned()],
            outcome: Outcome::Confirmed,
            evidence: Evidence::Notification,
            digest_from: None,
            integrity: None,
            current_digest: None,
            late: false,
            superseded: false,
            concurrent: false,
            time: told.time.unwrap_or(self.context.received),
            started_at: None,
            answered_at: None,
            sequence: None,
        };
        self.take(event, source_event_id, told.time);
    }

    /// Takes an event up that is whole already.
    pub(super) fn take(
        &mut self,
        event: Event,
        source_event_id: Option<String>,
        stamp: Option<OffsetDateTime>,
    ) {
        let found = std::mem::take(&mut self.found);
        let origins = trace(&event, found, stamp.is_some(), self.context.registry.is_some());
        self.parsed.events.push(Notified { event, source_event_id, stamp, origins });
    }

    /// The name of the source, and where nobody gave it one, the word of its kind.
    pub(super) fn source(&self) -> &'a str {
        self.context.source.unwrap_or(self.kind.as_str())
    }

    /// Senders repeat themselves, so the same report must get the same id.
    fn id(&self, place: usize, told: &Told) -> (EventId, Option<String>) {
        let received = self.context.received;
        let source = self.source();
        let content = self.content.as_str();
        // Ids sort by time, where there is one that is the same at each reading.
        let time = told.time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        match &told.identity {
            Identity::Own(id) => (EventId::told(time, &[source, "id", id]), Some(id.clone())),
            Identity::Bytes => {
                let own = format!("{content}/{place}");
                (EventId::told(time, &[source, "content", &own]), Some(own))
            }
            Identity::Arrival => {
                let arrival = received.unix_timestamp_nanos().to_string();
                let parts = [source, "arrival", content, &place.to_string(), &arrival];
                (EventId::told(received, &parts), None)
            }
        }
    }
}

/// Where each field that an event has comes from, in the order of the event's own JSON.
fn trace(
    event: &Event,
    mut found: Vec<(&'static str, Place)>,
    is_stamped: bool,
    is_named: bool,
) -> Vec<(&'static str, Place)> {
    let request = &event.request;
    let fields = [
        ("action", true),
        ("registry", true),
        ("repository", true),
        ("tag", event.tag.is_some()),
        ("digest", event.digest.is_some()),
        ("kind", event.kind.is_some()),
        ("media_type", event.media_type.is_some()),
        ("artifact_type", event.artifact_type.is_some()),
        ("size", event.size.is_some()),
        ("actor", event.actor.name.is_some()),
        ("request.id", request.id.is_some()),
        ("request.address", request.address.is_some()),
        ("request.user_agent", request.user_agent.is_some()),
        ("time", true),
    ];
    let mut place_of = |field: &'static str| match field {
        "registry" if is_named => Place::Configuration,
        "time" if !is_stamped => Place::Arrival,
        _ => {
            let at = found.iter().position(|(known, _)| *known == field);
            at.map_or(Place::Format, |at| found.swap_remove(at).1)
        }
    };
    let there = fields.into_iter().filter(|(_, is_there)| *is_there);
    there.map(|(field, _)| (field, place_of(field))).collect()
}

/// The tag and the digest of what may be either.
pub(super) fn split(reference: Option<Reference>) -> (Option<Tag>, Option<Digest>) {
    match reference {
        Some(Reference::Tag(tag)) => (Some(tag), None),
        Some(Reference::Digest(digest)) => (None, Some(digest)),
        None => (None, None),
    }
}

/// The id of one event of a notification that has one id for all of them.
pub(super) fn part(id: &str, place: usize) -> String {
    if place == 0 { id.to_owned() } else { format!("{id}#{place}") }
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
