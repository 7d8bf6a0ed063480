//! Nexus Repository's webhook of a repository, event `rm:repository:component`.
//!
//! ```text
//! Content-Type: application/json; charset=UTF-8
//! X-Nexus-Webhook-Id: rm:repository:component
//! X-Nexus-Webhook-Delivery: <event id>
//! {"timestamp":"2026-03-01T09:15:02.123+00:00","nodeId":"pushbell","initiator":"ci/203.0.113.7",
//!  "repositoryName":"<registry>","action":"CREATED",
//!  "component":{"id":"<32 hex digits>","componentId":"<base64 of repositoryName:id>","format":"docker",
//!   "name":"team/app","version":"1.4.2"}}
//! ```
//!
//! - The format tells of a **tag** that it was `CREATED`, `UPDATED` or `DELETED`. A push whose tag may or may not have
//!   been there is `CREATED`. It has no digest, no host and no word for mounts and pulls.
//! - `repositoryName` is a repository of Nexus, which another registry does not have: the registry's name stands
//!   there, or Artifactory's key where there is one. `component.name` is the image below it.
//! - `component.id` is the same for the same image and tag: the first half of the SHA-256 of both. Nexus leaves
//!   out what is null, such as `group`.
//! - `initiator` is who and from where, as far as known; where nobody is known, `*UNKNOWN`, which is Nexus' own
//!   way to name what is no user. The exact word for that is not documented.
//! - `timestamp` has a colon in its offset, as newer versions print it and RFC 3339 wants it.
//! - The signature, `X-Nexus-Webhook-Signature`, is the scheme `nexus-sha1` and not the dialect's.
//!
//! Sources: sonatype/nexus-public `…/webhooks/{WebhookServiceImpl,RepositoryComponentWebhook,WebhookPayload}.java`,
//! help.sonatype.com *Example Headers And Payloads*; fluxcd/notification-controller as a reader of `action` and
//! `repositoryName`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use time::UtcOffset;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::event::Action;
use crate::event::Change;
use crate::event::Event;
use crate::registry::Digest;

use super::Dialect;
use super::Payload;
use super::Unwritable;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+00:00");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    timestamp: String,
    node_id: &'static str,
    initiator: String,
    repository_name: &'a str,
    action: &'static str,
    component: Component<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component<'a> {
    id: &'a str,
    component_id: String,
    format: &'static str,
    name: &'a str,
    version: &'a str,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let dialect = Dialect::Nexus;
    let action = match (event.action, event.change) {
        (Action::Push, None | Some(Change::Created)) => "CREATED",
        (Action::Push, Some(Change::Moved | Change::Unchanged)) => "UPDATED",
        (Action::Delete, _) => "DELETED",
        (Action::Mount | Action::Pull, _) => {
            return Err(dialect.no_word_for(event, "pushes and deletes of a tag"));
        }
    };
    let tag = dialect.tag(event)?;
    let (repository, image) = match &event.artifactory {
        Some(name) => (name.repository_key.as_str(), name.image_name.as_str()),
        None => (event.registry.as_str(), event.repository.as_str()),
    };
    let hash = Digest::sha256(format!("{image}:{tag}").as_bytes());
    let id = hash.encoded().get(..32).unwrap_or_default();
    let body = Body {
        // The format asks for nothing that a UTC time lacks.
        timestamp: event.time.to_offset(UtcOffset::UTC).format(TIME).unwrap_or_default(),
        node_id: "pushbell",
        initiator: initiator(event),
        repository_name: repository,
        action,
        component: Component {
            id,
            component_id: STANDARD.encode(format!("{repository}:{id}")),
            format: "docker",
            name: image,
            version: tag.as_str(),
        },
    };
    let payload = Payload::json("application/json; charset=UTF-8", &body);
    let payload = payload.with("x-nexus-webhook-id", "rm:repository:component");
    Ok(payload.with("x-nexus-webhook-delivery", event.id.to_string()))
}

fn initiator(event: &Event) -> String {
    match (&event.actor.name, &event.request.address) {
        (Some(name), Some(address)) => format!("{name}/{address}"),
        (Some(name), None) => name.clone(),
        (None, Some(address)) => format!("*UNKNOWN/{address}"),
        (None, None) => "*UNKNOWN".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::header;
    use super::super::tests::pushed;
    use super::super::tests::read;
    use super::super::tests::untagged;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Nexus, &pushed(), fixture!("nexus-push"));
        golden(Dialect::Nexus, &bare(), fixture!("nexus-bare"));
        golden(Dialect::Nexus, &untagged(), fixture!("nexus-delete"));
    }

    #[test]
    fn a_tag_that_was_there_is_updated() {
        for (change, action) in [
            (None, "CREATED"),
            (Some(Change::Created), "CREATED"),
            (Some(Change::Moved), "UPDATED"),
            (Some(Change::Unchanged), "UPDATED"),
        ] {
            assert_eq!(read(Dialect::Nexus, &Event { change, ..pushed() })["action"], action);
        }
    }

    #[test]
    fn its_headers_name_event_and_delivery() {
        let id = header(Dialect::Nexus, &pushed(), "x-nexus-webhook-id");
        assert_eq!(id, "rm:repository:component");
        let delivery = header(Dialect::Nexus, &pushed(), "x-nexus-webhook-delivery");
        assert_eq!(delivery, pushed().id.to_string());
    }

    #[test]
    fn tags_only() {
        for action in [Action::Mount, Action::Pull] {
            let refused = write(&Event { action, ..pushed() }).unwrap_err();
            assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
        }
        let refused = write(&Event { tag: None, ..pushed() }).unwrap_err();
        assert_eq!(refused, Unwritable::NoTag { dialect: Dialect::Nexus });
    }
}
