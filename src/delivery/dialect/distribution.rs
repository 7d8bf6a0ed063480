//! Docker Distribution's notification envelope, as a registry of the 2.x line posts it, and as one of the 3.x line
//! does.
//!
//! ```text
//! Content-Type: application/vnd.docker.distribution.events.v1+json
//! {"events":[{"id":"<event id>","timestamp":"<RFC 3339, UTC, ms>","action":"push|delete|mount|pull",
//!  "target":{"mediaType":"…","size":1609,"digest":"sha256:…","length":1609,"repository":"team/app",
//!            "url":"https://<registry>/v2/<repository>/manifests/<digest>","tag":"1.4.2"},
//!  "request":{"id":"…","addr":"203.0.113.7","host":"<registry>","method":"PUT","useragent":"…"},
//!  "actor":{"name":"…"},"source":{"addr":"<registry>","instanceID":"pushbell"}}]}
//! ```
//!
//! - Keys come in the order of Distribution's own structures, without white space, and an empty member
//!   is left out where Distribution leaves it out; `request.{id,method,useragent}` are always there.
//! - Always **one event per envelope**: one receiver (the Jenkins registry plugin) drops a whole envelope
//!   when one event in it is malformed.
//! - `size` and `length` are the same integer, left out together where the size is unknown.
//! - A push, pull or mount always has `url`, with `/manifests/` (a mount: `/blobs/`) before its last
//!   segment: readers take the host from it and tell manifests from blobs by it. It is built from the
//!   registry's configured name and the digest; where no digest is known, from the tag. It is never copied
//!   from anywhere: a pusher can choose what a registry puts there.
//! - The delete of a tag has `repository` and `tag` only, of a manifest `repository` and `digest` only,
//!   of a repository `repository` only: the three shapes that Distribution sends.
//! - `request.method` follows from the action: `PUT`, `DELETE`, `POST`, `GET`. `request.id` is the
//!   request's; where nobody saw one, the delivery's, so that it is neither empty nor new on each attempt.
//! - `source.instanceID` says who really wrote the envelope.
//! - `fromRepository` of a mount is left out: an event does not know it.
//!
//! The 3.x line (`distribution-v2`) differs in two things: the type is `…events.v2+json`, and `mediaType`, `size` and
//! `digest` are always there, empty or 0 where there is nothing to say. A receiver that compares the type with one
//! of the two wants that one; all others take either.
//!
//! Sources: distribution/distribution `notifications/event.go` and `notifications/bridge.go`, branches
//! `release/2.8` and `main`; jenkinsci/dockerhub-notification-plugin, keel, kobold and Spinnaker's echo as readers.

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::event::schema::time_text;
use crate::registry::Digest;
use crate::registry::MediaType;
use crate::registry::Tag;

use super::Dialect;
use super::Payload;
use super::Unwritable;

const CONTENT_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";

const CONTENT_TYPE_V2: &str = "application/vnd.docker.distribution.events.v2+json";

/// Distribution gives every blob this type, whatever it holds.
const BLOB: &str = "application/octet-stream";

#[derive(Serialize)]
struct Envelope<'a> {
    events: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: String,
    timestamp: String,
    action: &'static str,
    target: Target<'a>,
    request: Request<'a>,
    actor: Actor<'a>,
    source: Source<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    repository: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
}

#[derive(Serialize)]
struct Request<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<&'a str>,
    host: &'a str,
    method: &'static str,
    useragent: &'a str,
}

#[derive(Serialize)]
struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Source<'a> {
    addr: &'a str,
    #[serde(rename = "instanceID")]
    instance_id: &'static str,
}

/// Writes the envelope of the 2.x line.
pub(super) fn write(event: &Event, delivery_id: &str) -> Result<Payload, Unwritable> {
    let target = Target::of(event, Dialect::Distribution)?;
    Ok(envelope(CONTENT_TYPE, target, event, delivery_id))
}

/// Writes the envelope of the 3.x line.
pub(super) fn write_v2(event: &Event, delivery_id: &str) -> Result<Payload, Unwritable> {
    let target = Target::of(event, Dialect::DistributionV2)?;
    let target = Target {
        media_type: target.media_type.or(Some("")),
        size: target.size.or(Some(0)),
        digest: target.digest.or(Some("")),
        ..target
    };
    Ok(envelope(CONTENT_TYPE_V2, target, event, delivery_id))
}

fn envelope(
    content_type: &'static str,
    target: Target<'_>,
    event: &Event,
    delivery_id: &str,
) -> Payload {
    let entry = Entry {
        id: event.id.to_string(),
        timestamp: time_text(event.time),
        action: event.action.as_str(),
        target,
        request: Request {
            id: event.request.id.as_deref().unwrap_or(delivery_id),
            addr: event.request.address.as_deref(),
            host: &event.registry,
            method: method(event.action),
            useragent: event.request.user_agent.as_deref().unwrap_or_default(),
        },
        actor: Actor { name: event.actor.name.as_deref() },
        source: Source { addr: &event.registry, instance_id: "pushbell" },
    };
    Payload::json(content_type, &Envelope { events: [entry] })
}

impl<'a> Target<'a> {
    fn of(event: &'a Event, dialect: Dialect) -> Result<Self, Unwritable> {
        let tag = event.tag.as_ref().map(Tag::as_str);
        let digest = event.digest.as_ref().map(Digest::as_str);
        let repository = event.repository.as_str();
        let bare = Self {
            media_type: None,
            size: None,
            digest: None,
            length: None,
            repository,
            url: None,
            tag: None,
        };
        if event.action == Action::Delete {
            // A reader that finds both would take it for the delete of a manifest, and so of all its tags.
            let digest = if tag.is_some() { None } else { digest };
            return Ok(Self { digest, tag, ..bare });
        }
        let reference = digest.or(tag).ok_or(Unwritable::NoReference { dialect })?;
        let (folder, default_type) = match event.action {
            Action::Mount => ("blobs", Some(BLOB)),
            Action::Push | Action::Pull | Action::Delete => ("manifests", None),
        };
        Ok(Self {
            media_type: event.media_type.as_ref().map(MediaType::as_str).or(default_type),
            size: event.size,
            digest,
            length: event.size,
            url: Some(format!("https://{}/v2/{repository}/{folder}/{reference}", event.registry)),
            tag,
            ..bare
        })
    }
}

/// The method of the request that has such an effect.
fn method(action: Action) -> &'static str {
    match action {
        Action::Push => "PUT",
        Action::Delete => "DELETE",
        Action::Mount => "POST",
        Action::Pull => "GET",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::DELIVERY;
    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::super::tests::untagged;
    use super::*;

    fn target(event: &Event) -> Value {
        let payload = write(event, DELIVERY).unwrap();
        let value: Value = serde_json::from_slice(&payload.body).unwrap();
        assert_eq!(value["events"].as_array().unwrap().len(), 1);
        assert!(value["events"][0]["request"].is_object());
        value["events"][0]["target"].clone()
    }

    #[test]
    fn golden_bodies() {
        let dialect = Dialect::Distribution;
        let fixture = include_str!("../../../tests/fixtures/dialects/distribution-push.json");
        golden(dialect, &pushed(), fixture);
        let fixture = include_str!("../../../tests/fixtures/dialects/distribution-bare.json");
        golden(dialect, &bare(), fixture);
        let fixture = include_str!("../../../tests/fixtures/dialects/distribution-delete-tag.json");
        golden(dialect, &untagged(), fixture);
        let payload = write(&pushed(), DELIVERY).unwrap();
        assert_eq!(payload.content_type.as_deref(), Some(CONTENT_TYPE));
        let dialect = Dialect::DistributionV2;
        golden(dialect, &pushed(), fixture!("distribution-v2-push"));
        golden(dialect, &untagged(), fixture!("distribution-v2-delete-tag"));
        let payload = write_v2(&pushed(), DELIVERY).unwrap();
        assert_eq!(payload.content_type.as_deref(), Some(CONTENT_TYPE_V2));
    }

    #[test]
    fn the_url_is_ours_and_by_digest() {
        let event = pushed();
        let digest = event.digest.clone().unwrap();
        let expected = format!("https://registry.example.com/v2/team/app/manifests/{digest}");
        assert_eq!(target(&event)["url"], expected);
        let expected = "https://registry.example.com/v2/team/app/manifests/1.4.2";
        assert_eq!(target(&bare())["url"], expected);
        let mount = Event { action: Action::Mount, tag: None, media_type: None, ..event };
        let expected = format!("https://registry.example.com/v2/team/app/blobs/{digest}");
        assert_eq!(target(&mount)["url"], expected);
        assert_eq!(target(&mount)["mediaType"], BLOB);
    }

    #[test]
    fn deletes_have_the_three_shapes_of_distribution() {
        let digest = pushed().digest;
        let delete = |tag: Option<&str>, digest: Option<Digest>| Event {
            action: Action::Delete,
            tag: tag.map(|t| t.parse().unwrap()),
            digest,
            ..pushed()
        };
        let text = digest.as_ref().unwrap().as_str();
        for (event, expected) in [
            (delete(Some("a"), None), serde_json::json!({"repository": "team/app", "tag": "a"})),
            (
                delete(Some("a"), digest.clone()),
                serde_json::json!({"repository": "team/app", "tag": "a"}),
            ),
            (
                delete(None, digest.clone()),
                serde_json::json!({"repository": "team/app", "digest": text}),
            ),
            (delete(None, None), serde_json::json!({"repository": "team/app"})),
        ] {
            assert_eq!(target(&event), expected);
        }
    }

    #[test]
    fn a_push_of_nobody_knows_what_is_refused() {
        let event = Event { tag: None, ..bare() };
        let refused = write(&event, DELIVERY).unwrap_err();
        assert_eq!(refused, Unwritable::NoReference { dialect: Dialect::Distribution });
    }
}
