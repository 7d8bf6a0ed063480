//! What a `webhook` trigger of Spinnaker takes artifacts from.
//!
//! ```text
//! Content-Type: application/json
//! {"action":"push","registry":"<registry>","repository":"team/app","tag":"1.4.2","digest":"sha256:…",
//!  "artifacts":[{"type":"docker/image","name":"<registry>/<repository>","version":"1.4.2",
//!   "reference":"<registry>/<repository>:1.4.2"}]}
//! ```
//!
//! - `artifacts` is what any payload may carry and Spinnaker prefers; always one. It has a place for a tag and none
//!   for a digest or a delete, so the dialect tells **pushes of a tag**.
//! - The members beside it are for payload constraints, which is how a trigger is kept to some repositories:
//!   Spinnaker has no authentication and matches JSON paths. `digest` is null where it is unknown.
//! - Unlike Distribution's envelope there it serves every media type: that extractor drops OCI manifests and
//!   all indexes.
//!
//! Sources: spinnaker/echo `echo-webhooks/…/WebhooksController.groovy` and `artifacts/`; jfrog/artifactory-user-plugins
//! `webhook/webhook.groovy`, format `spinnaker`.

use serde::Serialize;

use crate::event::Event;
use crate::registry::Digest;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::image;

#[derive(Serialize)]
struct Body<'a> {
    action: &'static str,
    registry: &'a str,
    repository: &'a str,
    tag: &'a str,
    digest: Option<&'a str>,
    artifacts: [Artifact<'a>; 1],
}

#[derive(Serialize)]
struct Artifact<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    version: &'a str,
    reference: String,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let tag = Dialect::Spinnaker.pushed_tag(event)?.as_str();
    let name = image(event);
    let reference = format!("{name}:{tag}");
    let body = Body {
        action: event.action.as_str(),
        registry: &event.registry,
        repository: event.repository.as_str(),
        tag,
        digest: event.digest.as_ref().map(Digest::as_str),
        artifacts: [Artifact { kind: "docker/image", name, version: tag, reference }],
    };
    Ok(Payload::json("application/json", &body))
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::only_pushed_tags;
    use super::super::tests::pushed;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Spinnaker, &pushed(), fixture!("spinnaker-push"));
        golden(Dialect::Spinnaker, &bare(), fixture!("spinnaker-bare"));
    }

    #[test]
    fn pushes_only() {
        only_pushed_tags(Dialect::Spinnaker);
    }
}
