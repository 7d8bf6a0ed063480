//! Azure Container Registry's webhook: one event of Distribution's shape without the envelope.
//!
//! ```text
//! Content-Type: application/json
//! User-Agent: AzureContainerRegistry/1.0
//! {"id":"<event id>","timestamp":"<RFC 3339, UTC, ms>","action":"push|delete",
//!  "target":{"mediaType":"…","size":1609,"digest":"sha256:…","length":1609,"repository":"team/app","tag":"1.4.2"},
//!  "request":{"id":"…","host":"<registry>","method":"PUT","useragent":"…"}}
//! ```
//!
//! - The format tells **pushes**, by tag or by digest, and the **delete of a manifest** by its digest. Azure
//!   sends nothing for the delete of a tag, and a reader that found one would take the manifest for gone.
//!   Charts have an event of another shape there (`chart_push`), which nothing reads; they are pushes here.
//! - The `User-Agent` belongs to the format: Kargo answers 400 to any that does not begin with
//!   `AzureContainerRegistry`. An endpoint's `headers` can change it.
//! - `size` and `length` are the same integer, left out together where unknown, as `mediaType` and `digest` are.
//! - `request.id` is the request's; where nobody saw one, the delivery's.
//!
//! Sources: MicrosoftDocs/azure-management-docs `articles/container-registry/container-registry-webhook-reference.md`;
//! akuity/kargo `pkg/webhook/external/azure.go`, argocd-image-updater `pkg/webhook/acr.go`, keel,
//! jenkinsci/dockerhub-notification-plugin as readers. The value after the `/` of the `User-Agent` is not
//! documented anywhere.

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

#[derive(Serialize)]
struct Body<'a> {
    id: String,
    timestamp: String,
    action: &'static str,
    target: Target<'a>,
    request: Request<'a>,
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
    tag: Option<&'a str>,
}

#[derive(Serialize)]
struct Request<'a> {
    id: &'a str,
    host: &'a str,
    method: &'static str,
    useragent: &'a str,
}

/// Writes the body.
pub(super) fn write(event: &Event, delivery_id: &str) -> Result<Payload, Unwritable> {
    let dialect = Dialect::Acr;
    let (action, method) = match (event.action, &event.tag) {
        (Action::Push, _) => ("push", "PUT"),
        (Action::Delete, None) => ("delete", "DELETE"),
        (Action::Delete | Action::Mount | Action::Pull, _) => {
            return Err(dialect.no_word_for(event, "pushes and deletes by digest"));
        }
    };
    if event.tag.is_none() && event.digest.is_none() {
        return Err(Unwritable::NoReference { dialect });
    }
    let pushed = event.action == Action::Push;
    let size = event.size.filter(|_| pushed);
    let body = Body {
        id: event.id.to_string(),
        timestamp: time_text(event.time),
        action,
        target: Target {
            media_type: event.media_type.as_ref().map(MediaType::as_str),
            size,
            digest: event.digest.as_ref().map(Digest::as_str),
            length: size,
            repository: event.repository.as_str(),
            tag: event.tag.as_ref().map(Tag::as_str),
        },
        request: Request {
            id: event.request.id.as_deref().unwrap_or(delivery_id),
            host: &event.registry,
            method,
            useragent: event.request.user_agent.as_deref().unwrap_or_default(),
        },
    };
    let payload = Payload::json("application/json", &body);
    Ok(payload.with("user-agent", "AzureContainerRegistry/1.0"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::super::tests::deleted;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::header;
    use super::super::tests::pushed;
    use super::super::tests::untagged;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Acr, &pushed(), fixture!("acr-push"));
        golden(Dialect::Acr, &bare(), fixture!("acr-bare"));
        golden(Dialect::Acr, &deleted(), fixture!("acr-delete"));
    }

    #[test]
    fn its_user_agent_is_part_of_it() {
        let agent = header(Dialect::Acr, &pushed(), "user-agent");
        assert!(agent.starts_with("AzureContainerRegistry/"), "{agent}");
    }

    #[test]
    fn a_tag_is_never_deleted() {
        let refused = write(&untagged(), "d").unwrap_err();
        assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
        let nothing = Event { tag: None, ..bare() };
        let dialect = Dialect::Acr;
        assert_eq!(write(&nothing, "d").unwrap_err(), Unwritable::NoReference { dialect });
    }
}
