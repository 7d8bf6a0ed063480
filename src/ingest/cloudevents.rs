//! The native events of another Pushbell, so that two can be chained.
//!
//! The format is that of [`crate::event::schema`]: a CloudEvent of the type `dev.pushbell.image.<action>.v1`,
//! structured or binary, whose `data` is the event. Nothing of it is lost but what only its own outbox can mean:
//!
//! - The id stays, and so does every fact: an event that comes by two ways is one.
//! - `origin` becomes `notification`, because that is how *we* know. Who saw it stays known: `seen_by` has the
//!   name of the source, then each of the other's witnesses behind it, `<source>/proxy`.
//! - `sequence` is the other's place in its own order, and is not taken over; `key` and `reference` follow from
//!   the rest.
//! - With a name configured for the registry, that is the name.
//! - Fields that a newer Pushbell has are not looked at. Annotations are cut at 4 KiB each.

use std::collections::BTreeMap;

use http::HeaderMap;

use crate::event::Action;
use crate::event::Actor;
use crate::event::Change;
use crate::event::DigestFrom;
use crate::event::Event;
use crate::event::Evidence;
use crate::event::Integrity;
use crate::event::Origin;
use crate::event::Outcome;
use crate::event::Request;
use crate::registry::ArtifactoryName;
use crate::registry::Kind as ManifestKind;
use crate::registry::Platform;

use super::distribution::HOST;
use super::envelope::Envelope;
use super::error::Error;
use super::error::excerpt;
use super::json::Sort;
use super::node::DIGEST;
use super::node::MEDIA_TYPE;
use super::node::Node;
use super::node::OBJECT;
use super::node::REPOSITORY;
use super::node::TAG;
use super::node::TEXT;
use super::node::TIME;
use super::node::cut;
use super::told::Reading;
use super::told::is_host;

const ID: &str = "the id of an event, a UUID";
const WORD: &str = "one of the words that `pushbell schema event` lists";

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    let envelope = Envelope::read(root, headers, reading)?;
    if !envelope.sort.starts_with("dev.pushbell.image.") || !envelope.sort.ends_with(".v1") {
        let sort = excerpt(&envelope.sort);
        reading.skip(format!("the type `{sort}` is not `dev.pushbell.image.<action>.v1`"));
        return Ok(());
    }
    let data = envelope.data()?;
    let id = envelope.id.parse().map_err(|_| envelope.wrong_id(ID))?;
    let time = envelope.time.ok_or_else(|| root.missing("time", TIME))?;
    let host = data.text("registry")?.ok_or_else(|| data.missing("registry", HOST))?;
    if !is_host(&host) {
        return Err(data.member("registry").unwrap_or_else(|| data.clone()).wrong(HOST));
    }
    let registry = reading.registry(Some(&host), "`registry` is not there")?;
    let request = data.object_if_any("request")?;
    let event = Event {
        id,
        action: need(data, "action", Action::of)?,
        change: word(data, "change", Change::of)?,
        previous_digest: data.parse_if_any("previous_digest", DIGEST)?,
        registry,
        repository: data.parse("repository", REPOSITORY)?,
        artifactory: artifactory(data)?,
        tag: data.parse_if_any("tag", TAG)?,
        digest: data.parse_if_any("digest", DIGEST)?,
        kind: word(data, "kind", ManifestKind::of)?,
        media_type: data.parse_if_any("media_type", MEDIA_TYPE)?,
        artifact_type: data.parse_if_any("artifact_type", MEDIA_TYPE)?,
        size: data.count("size")?,
        total_size: data.count("total_size")?,
        platforms: platforms(data)?,
        annotations: annotations(data)?,
        subject_digest: data.parse_if_any("subject_digest", DIGEST)?,
        actor: match data.object_if_any("actor")? {
            Some(actor) => Actor { name: actor.free_text("name")? },
            None => Actor::default(),
        },
        request: match &request {
            Some(request) => Request {
                id: request.free_text("id")?,
                address: request.free_text("address")?,
                user_agent: request.free_text("user_agent")?,
            },
            None => Request::default(),
        },
        origin: Origin::Notification,
        seen_by: witnesses(data, reading)?,
        outcome: need(data, "outcome", Outcome::of)?,
        evidence: need(data, "evidence", Evidence::of)?,
        digest_from: word(data, "digest_from", DigestFrom::of)?,
        integrity: integrity(data)?,
        current_digest: data.parse_if_any("current_digest", DIGEST)?,
        concurrent: is_true(data, "concurrent")?,
        late: is_true(data, "late")?,
        superseded: is_true(data, "superseded")?,
        time,
        started_at: data.time("started_at")?,
        answered_at: data.time("answered_at")?,
        sequence: None,
    };
    if event.action == Action::Push && event.tag.is_none() && event.digest.is_none() {
        return Err(data.missing("digest", DIGEST));
    }
    envelope.trace(reading, &[("time", "time")]);
    reading.found_in(data, &FIELDS);
    if let Some(actor) = data.member("actor") {
        reading.found_in(&actor, &[("actor", "name")]);
    }
    if let Some(request) = request {
        let fields = [
            ("request.id", "id"),
            ("request.address", "address"),
            ("request.user_agent", "user_agent"),
        ];
        reading.found_in(&request, &fields);
    }
    reading.take(event, Some(envelope.id.clone()), Some(time));
    Ok(())
}

/// What has the same name at both ends.
const FIELDS: [(&str, &str); 9] = [
    ("action", "action"),
    ("registry", "registry"),
    ("repository", "repository"),
    ("tag", "tag"),
    ("digest", "digest"),
    ("kind", "kind"),
    ("media_type", "media_type"),
    ("artifact_type", "artifact_type"),
    ("size", "size"),
];

/// One of a set of words, if it is there.
fn word<T>(data: &Node<'_>, key: &str, of: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
    let Some(text) = data.text(key)? else {
        return Ok(None);
    };
    let wrong = || data.member(key).unwrap_or_else(|| data.clone()).wrong(WORD);
    of(&text).map(Some).ok_or_else(wrong)
}

fn need<T>(data: &Node<'_>, key: &str, of: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    word(data, key, of)?.ok_or_else(|| data.missing(key, WORD))
}

fn artifactory(data: &Node<'_>) -> Result<Option<ArtifactoryName>, Error> {
    let Some(name) = data.object_if_any("artifactory")? else {
        return Ok(None);
    };
    Ok(Some(ArtifactoryName {
        repository_key: name.parse("repository_key", TEXT)?,
        image_name: name.parse("image_name", REPOSITORY)?,
    }))
}

fn platforms(data: &Node<'_>) -> Result<Vec<Platform>, Error> {
    if data.member("platforms").is_none() {
        return Ok(Vec::new());
    }
    let list = data.list("platforms", "a list of platforms")?;
    let platform = |node: Node<'_>| {
        if node.sort() != Sort::Object {
            return Err(node.wrong(OBJECT));
        }
        let unknown = || "unknown".to_owned();
        Ok(Platform {
            os: node.free_text("os")?.unwrap_or_else(unknown),
            architecture: node.free_text("architecture")?.unwrap_or_else(unknown),
            variant: node.free_text("variant")?,
            digest: node.parse("digest", DIGEST)?,
        })
    };
    list.items().map(platform).collect()
}

fn annotations(data: &Node<'_>) -> Result<BTreeMap<String, String>, Error> {
    let Some(node) = data.object_if_any("annotations")? else {
        return Ok(BTreeMap::new());
    };
    let members = node.value().members().map(|(key, value)| {
        let text = value.text().ok_or_else(|| node.wrong("an object whose values are texts"))?;
        Ok((cut(&key), cut(&text)))
    });
    members.collect()
}

fn integrity(data: &Node<'_>) -> Result<Option<Integrity>, Error> {
    let Some(text) = data.text("integrity")? else {
        return Ok(None);
    };
    match &*text {
        "ok" => Ok(Some(Integrity::Ok)),
        "unknown" => Ok(Some(Integrity::Unknown)),
        "mismatch" => data.parse("registry_digest", DIGEST).map(Integrity::Mismatch).map(Some),
        _ => Err(data.member("integrity").unwrap_or_else(|| data.clone()).wrong(WORD)),
    }
}

fn is_true(data: &Node<'_>, key: &str) -> Result<bool, Error> {
    match data.member(key) {
        None => Ok(false),
        Some(node) => match node.value().raw() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(node.wrong("true or false")),
        },
    }
}

/// Ours, and behind it each of the other's.
fn witnesses(data: &Node<'_>, reading: &Reading<'_>) -> Result<Vec<String>, Error> {
    let source = reading.source();
    let mut witnesses = vec![source.to_owned()];
    if data.member("seen_by").is_some() {
        for node in data.list("seen_by", "a list of names")?.items() {
            let name = node.value().text().ok_or_else(|| node.wrong(TEXT))?;
            witnesses.push(format!("{source}/{}", super::node::clean(&name)));
        }
    }
    Ok(witnesses)
}

#[cfg(test)]
mod tests {
    use crate::event::schema::Envelope as Written;
    use crate::event::schema::tests::sample;
    use crate::registry::Digest;

    use super::super::Context;
    use super::super::Kind;
    use super::super::Parsed;
    use super::super::tests::RECEIVED;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::super::tests::parse_with;
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::CloudEvents, text, None)
    }

    /// What a chain keeps of an event.
    fn chained(event: Event) -> Event {
        let seen = event.seen_by.iter().map(|name| format!("cloudevents/{name}"));
        let seen_by = std::iter::once("cloudevents".to_owned()).chain(seen).collect();
        Event { origin: Origin::Notification, seen_by, sequence: None, ..event }
    }

    #[test]
    fn nothing_is_lost_in_a_chain() {
        let name = ArtifactoryName {
            repository_key: "docker-local".parse().unwrap(),
            image_name: "team/app".parse().unwrap(),
        };
        let odd = "line\nbreak \u{1b}";
        for event in [
            sample(),
            Event { artifactory: Some(name), ..sample() },
            Event { integrity: Some(Integrity::Ok), current_digest: sample().digest, ..sample() },
            Event { concurrent: true, ..sample() },
            Event { integrity: None, size: Some(0), total_size: Some(0), ..sample() },
            Event { outcome: Outcome::Unconfirmed, evidence: Evidence::None, ..sample() },
            Event { action: Action::Delete, digest: None, change: None, ..sample() },
            Event { annotations: [("a".to_owned(), odd.to_owned())].into(), ..sample() },
            Event { subject_digest: Some(Digest::sha256(b"x")), tag: None, ..sample() },
        ] {
            let told = only(parsed(&Written::of(&event).to_json()).unwrap());
            assert_eq!(told.source_event_id, Some(event.id.to_string()));
            assert_eq!(told.stamp, Some(event.time));
            assert_eq!(told.event.key(), event.key());
            assert_eq!(told.event, chained(event));
        }
    }

    #[test]
    fn the_binary_mode_is_read_alike() {
        let event = sample();
        let written = Written::of(&event);
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", written.id.as_str()),
            ("ce-source", written.source.as_str()),
            ("ce-type", written.kind.as_str()),
            ("ce-time", written.time.as_str()),
        ];
        let data = serde_json::to_string(&written.data).unwrap();
        let told = only(parse_with(Kind::CloudEvents, &headers, &data, None).unwrap());
        assert_eq!(told.event, chained(event));
    }

    #[test]
    fn a_source_has_its_name_and_a_registry_ours() {
        let text = Written::of(&sample()).to_json();
        let context = Context {
            source: Some("upstream"),
            registry: Some("r.example.com"),
            ..Context::at(RECEIVED)
        };
        let headers = HeaderMap::new();
        let parsed =
            super::super::read(Kind::CloudEvents, &headers, text.as_bytes(), &context).unwrap();
        let event = only(parsed).event;
        assert_eq!(event.seen_by, ["upstream", "upstream/proxy"]);
        assert_eq!(event.registry, "r.example.com");
        assert_eq!(
            event.id,
            text.parse::<serde_json::Value>().unwrap()["id"].as_str().unwrap().parse().unwrap()
        );
    }

    #[test]
    fn what_is_not_a_pushbells_is_skipped() {
        let text = Written::of(&sample()).to_json().replace("dev.pushbell.image.push.v1", "com.x");
        let parsed = parsed(&text).unwrap();
        assert!(parsed.events.is_empty() && parsed.skipped[0].contains("`com.x`"), "{parsed:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = Written::of(&sample()).to_json();
        let digest = Digest::sha256(b"after");
        for (from, to, expected) in [
            ("\"data\"", "\"d\"", "`data` is missing; it must be an object"),
            ("\"action\"", "\"a\"", "`data.action` is missing; it must be one of the words"),
            ("\"moved\"", "\"shoved\"", "`data.change` is `shoved`; it must be one of the words"),
            ("\"repository\"", "\"r\"", "`data.repository` is missing"),
            ("\"registry.example.com\"", "\"a/b\"", "`data.registry` is `a/b`"),
            (digest.as_str(), "sha256:x", "`data.digest` is `sha256:x`"),
            ("\"size\":1609", "\"size\":-1", "`data.size` is `-1`; it must be a whole number"),
            ("\"os\":\"linux\"", "\"os\":7", "`data.platforms[0].os` is `7`"),
            (
                "{\"a\":\"b\"}",
                "{\"a\":7}",
                "`data.annotations` is an object; it must be an object whose",
            ),
            ("\"seen_by\":[\"proxy\"]", "\"seen_by\":[7]", "`data.seen_by[0]` is `7`"),
            ("\"mismatch\"", "\"odd\"", "`data.integrity` is `odd`"),
            ("\"time\":", "\"t\":", "`time` is missing; it must be an RFC 3339 time"),
        ] {
            let error = parsed(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["id"] = "1".into();
        let error = parsed(&value.to_string()).unwrap_err().to_string();
        assert!(error.contains("`id` is `1`; it must be the id of an event"), "{error}");
    }
}
