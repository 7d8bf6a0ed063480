//! What an exchange was: route, answer and observation into events, or none. Pure.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use http::HeaderMap;
use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Actor;
use crate::event::DigestFrom;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Evidence;
use crate::event::Integrity;
use crate::event::IntentId;
use crate::event::Origin;
use crate::event::Outcome;
use crate::event::Request;
use crate::outbox::Intent;
use crate::registry::ArtifactoryName;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::Manifest;
use crate::registry::MediaType;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use super::observe::Observation;

/// A request that may change what a repository's tags name: everything known before its answer.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) intent: IntentId,
    pub(super) action: Action,
    pub(super) registry: String,
    pub(super) repository: RepositoryName,
    pub(super) artifactory: Option<ArtifactoryName>,
    pub(super) reference: Reference,
    /// The tags asked for by `?tag=`.
    pub(super) tags: Vec<Tag>,
    /// `Content-Type` of the request.
    pub(super) media_type: Option<MediaType>,
    /// Whether the bytes are those of the manifest, not of some coding of it.
    pub(super) coding: Coding,
    pub(super) actor: Actor,
    pub(super) request: Request,
    pub(super) started_at: OffsetDateTime,
}

/// Whether the request's body is the manifest itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Encoded,
}

const CONTENT_DIGEST: &str = "docker-content-digest";
const OCI_TAG: &str = "oci-tag";
impl Exchange {
    /// The intent: the event as it would be, before the registry has answered.
    pub(super) fn intent(&self, seen: Option<&Observation>) -> Intent {
        let event = self.event();
        let event = match self.action {
            Action::Push => self.pushed(seen, event),
            _ => event,
        };
        let asks = self.action == Action::Push && self.reference.tag().is_none();
        let tags = if asks { self.tags.clone() } else { Vec::new() };
        Intent { id: self.intent, event, tags }
    }

    /// The events of an exchange that the registry accepted.
    pub(super) fn events(
        &self,
        intent: &Intent,
        answer: &HeaderMap,
        answered_at: OffsetDateTime,
    ) -> Vec<Event> {
        let tags = match &self.reference {
            Reference::Digest(_) if self.action == Action::Push => self.accepted_tags(answer),
            reference => vec![reference.tag().cloned()],
        };
        let told = header_text(answer, CONTENT_DIGEST).and_then(|d| Digest::from_str(d).ok());
        let told = told.filter(|_| self.action != Action::Delete);
        let ours = intent.event.digest.clone();
        let (digest, integrity) = match intent.event.digest_from {
            Some(DigestFrom::Response) => (told.or(ours), Some(Integrity::Unknown)),
            Some(DigestFrom::Bytes) => {
                let integrity = compared(ours.as_ref(), told);
                (ours, Some(integrity))
            }
            None if self.action == Action::Mount => {
                let integrity = compared(ours.as_ref(), told);
                (ours, Some(integrity))
            }
            None => (ours, None),
        };
        let event = |tag: Option<Tag>| Event {
            digest: digest.clone(),
            integrity: integrity.clone(),
            outcome: Outcome::Confirmed,
            evidence: Evidence::Response,
            time: answered_at,
            answered_at: Some(answered_at),
            ..intent.event_for(tag.as_ref())
        };
        tags.into_iter().map(event).collect()
    }

    /// What the bytes of a manifest tell.
    fn pushed(&self, seen: Option<&Observation>, event: Event) -> Event {
        let seen = seen.filter(|_| self.coding == Coding::Identity);
        let manifest =
            seen.and_then(|seen| seen.copy.as_ref()).and_then(|copy| Manifest::read(copy).ok());
        let media_type = self
            .media_type
            .clone()
            .or_else(|| manifest.as_ref().and_then(|manifest| manifest.media_type.clone()));
        let tag = self.reference.tag();
        let kind = match &manifest {
            Some(manifest) => manifest.kind(media_type.as_ref(), tag),
            None => Kind::of_tag(tag).unwrap_or_else(|| Kind::of_media_type(media_type.as_ref())),
        };
        let fields = manifest.unwrap_or_default();
        let size = seen.map(|seen| seen.size);
        // Of a coded body nobody but the registry can tell the digest, unless it is asked for by it.
        let (digest, digest_from) = match seen {
            None => (self.reference.digest().cloned(), DigestFrom::Response),
            Some(seen) => {
                let ours = match (self.reference.digest(), &seen.named) {
                    (Some(_), Some(named)) => named,
                    _ => &seen.digest,
                };
                (Some(ours.clone()), DigestFrom::Bytes)
            }
        };
        Event {
            digest,
            digest_from: Some(digest_from),
            integrity: Some(Integrity::Unknown),
            kind: Some(kind),
            media_type,
            artifact_type: fields.artifact_type,
            size,
            total_size: size
                .zip(fields.content_size)
                .and_then(|(own, content)| own.checked_add(content)),
            platforms: fields.platforms,
            annotations: fields.annotations,
            subject_digest: fields.subject,
            ..event
        }
    }

    /// Only tags the registry says it made were made: some answer 201 and overlook `?tag=` (rule D3).
    fn accepted_tags(&self, answer: &HeaderMap) -> Vec<Option<Tag>> {
        let lines = answer.get_all(OCI_TAG).iter().filter_map(|line| line.to_str().ok());
        let said: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        let made = |tag: &&Tag| said.contains(&tag.as_str());
        let accepted: Vec<_> = self.tags.iter().filter(made).cloned().map(Some).collect();
        if accepted.is_empty() { vec![None] } else { accepted }
    }

    /// An event with everything that is known without looking at a body or an answer.
    fn event(&self) -> Event {
        let tag = self.reference.tag();
        Event {
            id: EventId::of(self.intent, tag),
            action: self.action,
            change: None,
            previous_digest: None,
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            artifactory: self.artifactory.clone(),
            tag: tag.cloned(),
            digest: self.reference.digest().cloned(),
            kind: None,
            media_type: None,
            artifact_type: None,
            size: None,
            total_size: None,
            platforms: Vec::new(),
            annotations: BTreeMap::new(),
            subject_digest: None,
            actor: self.actor.clone(),
            request: self.request.clone(),
            origin: Origin::Proxy,
            seen_by: vec!["proxy".to_owned()],
            outcome: Outcome::Unconfirmed,
            evidence: Evidence::None,
            digest_from: None,
            integrity: None,
            current_digest: None,
            late: false,
            superseded: false,
            concurrent: false,
            time: self.started_at,
            started_at: Some(self.started_at),
            answered_at: None,
            sequence: None,
        }
    }
}

/// Whether the registry agrees with the digest of the bytes.
fn compared(ours: Option<&Digest>, told: Option<Digest>) -> Integrity {
    match (ours, told) {
        (Some(ours), Some(told)) if told.algorithm() == ours.algorithm() => {
            if told == *ours {
                Integrity::Ok
            } else {
                Integrity::Mismatch(told)
            }
        }
        _ => Integrity::Unknown,
    }
}

pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use http::HeaderValue;

    use super::super::asked::tags_of;
    use super::super::observe::Reader;
    use super::*;
    use crate::budget::Budget;

    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

    fn exchange(action: Action, reference: &str) -> Exchange {
        Exchange {
            intent: IntentId::now(),
            action,
            registry: "r.example".to_owned(),
            repository: "team/app".parse().unwrap(),
            artifactory: None,
            reference: reference.parse().unwrap(),
            tags: Vec::new(),
            media_type: Some(IMAGE.parse().unwrap()),
            coding: Coding::Identity,
            actor: Actor::default(),
            request: Request::default(),
            started_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn seen(bytes: &[u8], named: Option<&Digest>) -> Observation {
        let mut reader = Reader::new(named, bytes.len(), Budget::new(bytes.len()).share());
        reader.update(bytes);
        reader.finish()
    }

    /// The events of an exchange that was answered at no time in particular.
    fn events(exchange: &Exchange, seen: Option<&Observation>, answer: &HeaderMap) -> Vec<Event> {
        exchange.events(&exchange.intent(seen), answer, OffsetDateTime::UNIX_EPOCH)
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    const MANIFEST: &[u8] = br#"{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":10},"layers":[{"size":90}]}"#;

    #[test]
    fn a_push_by_tag_is_one_event_with_the_digest_of_the_bytes() {
        let seen = seen(MANIFEST, None);
        let answer = headers(&[("Docker-Content-Digest", seen.digest.as_str())]);
        let events = events(&exchange(Action::Push, "1.0"), Some(&seen), &answer);
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event.digest.as_ref(), Some(&seen.digest));
        assert_eq!(event.integrity, Some(Integrity::Ok));
        assert_eq!(event.kind, Some(Kind::Image));
        assert_eq!(event.size, Some(MANIFEST.len() as u64));
        assert_eq!(event.total_size, Some(MANIFEST.len() as u64 + 100));
        assert_eq!(event.tag.as_ref().map(Tag::as_str), Some("1.0"));
    }

    #[test]
    fn another_digest_in_the_answer_is_a_mismatch() {
        let seen = seen(MANIFEST, None);
        let other = Digest::sha256(b"other");
        let answer = headers(&[("Docker-Content-Digest", other.as_str())]);
        let events = events(&exchange(Action::Push, "1.0"), Some(&seen), &answer);
        assert_eq!(events[0].digest.as_ref(), Some(&seen.digest));
        assert_eq!(events[0].integrity, Some(Integrity::Mismatch(other)));
    }

    #[test]
    fn only_tags_the_registry_made_are_told() {
        let seen = seen(MANIFEST, None);
        let mut exchange = exchange(Action::Push, seen.digest.as_str());
        exchange.tags = tags_of(Some("tag=a&tag=b&tag=a&x=1&tag=%2f"));
        assert_eq!(exchange.tags.len(), 2);
        let none = events(&exchange, Some(&seen), &headers(&[]));
        assert_eq!(none.iter().map(|e| e.tag.clone()).collect::<Vec<_>>(), [None]);
        let answer = headers(&[("OCI-Tag", "b, c")]);
        let one = events(&exchange, Some(&seen), &answer);
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].tag.as_ref().map(Tag::as_str), Some("b"));
    }

    #[test]
    fn sizes_beyond_all_numbers_make_no_total() {
        let manifest =
            format!(r#"{{"config":{{"size":1}},"layers":[{{"size":{}}}]}}"#, u64::MAX - 1);
        let seen = seen(manifest.as_bytes(), None);
        let events = events(&exchange(Action::Push, "1.0"), Some(&seen), &headers(&[]));
        assert_eq!((events[0].total_size, events[0].size), (None, Some(manifest.len() as u64)));
    }

    #[test]
    fn a_coded_body_leaves_the_digest_to_the_registry() {
        let seen = seen(MANIFEST, None);
        let told = Digest::sha256(b"decoded");
        let answer = headers(&[("Docker-Content-Digest", told.as_str())]);
        let exchange = Exchange { coding: Coding::Encoded, ..exchange(Action::Push, "1.0") };
        let events = events(&exchange, Some(&seen), &answer);
        assert_eq!(events[0].digest.as_ref(), Some(&told));
        assert_eq!(events[0].digest_from, Some(DigestFrom::Response));
        assert_eq!(events[0].size, None);
    }

    #[test]
    fn a_delete_tells_what_was_asked_for() {
        let digest = Digest::sha256(b"x");
        let none = headers(&[]);
        let by_digest = events(&exchange(Action::Delete, digest.as_str()), None, &none);
        assert_eq!((by_digest[0].tag.clone(), by_digest[0].digest.clone()), (None, Some(digest)));
        let by_tag = events(&exchange(Action::Delete, "1.0"), None, &none);
        assert_eq!((by_tag[0].digest.clone(), by_tag[0].tag.is_some()), (None, true));
    }
}
