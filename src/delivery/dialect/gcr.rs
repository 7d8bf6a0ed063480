//! Google's notification of Artifact Registry and Container Registry, as Pub/Sub pushes it.
//!
//! ```text
//! Content-Type: application/json
//! {"message":{"data":"<base64>","messageId":"<event id>","publishTime":"<RFC 3339, UTC, ms>","attributes":{}},
//!  "subscription":"projects/pushbell/subscriptions/gcr"}
//! ```
//!
//! where `data` is the standard base64, with padding, of
//!
//! ```text
//! {"action":"INSERT","digest":"<registry>/<repository>@sha256:…","tag":"<registry>/<repository>:1.4.2"}
//! ```
//!
//! - `INSERT` is a push and `DELETE` a delete. There is no word for mounts and pulls.
//! - `digest` and `tag` are whole references, and either may be missing: Google sends `digest` alone for a push by
//!   digest and for the delete of an image, `tag` alone for the delete of a tag.
//! - `messageId` is the event's id, the same on every attempt, as Pub/Sub's is; Google's are decimal numbers.
//! - There is no subscription here; its name says who speaks.
//! - Flux checks a Google identity token in `Authorization`, which nobody but Google can make: the receiver type
//!   `gcr` reads this dialect, but answers 400 to anyone who signs otherwise.
//!
//! Sources: cloud.google.com `artifact-registry/docs/configure-notifications`; fluxcd/notification-controller
//! `internal/server/receiver_handlers.go`, keel-hq/keel `trigger/pubsub/pubsub.go` as readers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::event::schema::time_text;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::image;

#[derive(Serialize)]
struct Push {
    message: Message,
    subscription: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    data: String,
    message_id: String,
    publish_time: String,
    attributes: Attributes,
}

#[derive(Serialize)]
struct Attributes {}

#[derive(Serialize)]
struct Data {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let dialect = Dialect::Gcr;
    let action = match event.action {
        Action::Push => "INSERT",
        Action::Delete => "DELETE",
        Action::Mount | Action::Pull => {
            return Err(dialect.no_word_for(event, "pushes and deletes"));
        }
    };
    let image = image(event);
    let tag = event.tag.as_ref().map(|tag| format!("{image}:{tag}"));
    // The delete of a tag with a digest beside it would read as the delete of the image.
    let tag_alone = event.action == Action::Delete && tag.is_some();
    let digest = event.digest.as_ref().filter(|_| !tag_alone);
    let digest = digest.map(|digest| format!("{image}@{digest}"));
    if tag.is_none() && digest.is_none() {
        return Err(Unwritable::NoReference { dialect });
    }
    // Texts alone: nothing in it can fail to serialize.
    let data = serde_json::to_vec(&Data { action, digest, tag }).unwrap_or_default();
    let body = Push {
        message: Message {
            data: STANDARD.encode(data),
            message_id: event.id.to_string(),
            publish_time: time_text(event.time),
            attributes: Attributes {},
        },
        subscription: "projects/pushbell/subscriptions/gcr",
    };
    Ok(Payload::json("application/json", &body))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::super::tests::bare;
    use super::super::tests::deleted;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::super::tests::read;
    use super::super::tests::untagged;
    use super::*;

    fn data(event: &Event) -> Value {
        let body = read(Dialect::Gcr, event);
        let data = STANDARD.decode(body["message"]["data"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&data).unwrap()
    }

    #[test]
    fn golden_bodies() {
        golden(Dialect::Gcr, &pushed(), fixture!("gcr-push"));
        golden(Dialect::Gcr, &untagged(), fixture!("gcr-delete"));
    }

    #[test]
    fn what_is_known_is_there_as_whole_references() {
        let digest = format!("registry.example.com/team/app@{}", pushed().digest.unwrap());
        let tag = "registry.example.com/team/app:1.4.2";
        for (event, expected) in [
            (pushed(), json!({"action": "INSERT", "digest": digest, "tag": tag})),
            (bare(), json!({"action": "INSERT", "tag": tag})),
            (Event { tag: None, ..pushed() }, json!({"action": "INSERT", "digest": digest})),
            (deleted(), json!({"action": "DELETE", "digest": digest})),
            (untagged(), json!({"action": "DELETE", "tag": tag})),
            (Event { action: Action::Delete, ..pushed() }, json!({"action": "DELETE", "tag": tag})),
        ] {
            assert_eq!(data(&event), expected);
        }
    }

    #[test]
    fn pushes_and_deletes_of_something_only() {
        let refused = write(&Event { action: Action::Pull, ..pushed() }).unwrap_err();
        assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
        let refused = write(&Event { tag: None, ..bare() }).unwrap_err();
        assert_eq!(refused, Unwritable::NoReference { dialect: Dialect::Gcr });
    }
}
