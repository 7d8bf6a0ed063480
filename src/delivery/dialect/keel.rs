//! Keel's own webhook, below `/v1/webhooks/native`.
//!
//! ```text
//! Content-Type: application/json
//! {"name":"<registry>/<repository>","tag":"1.4.2","digest":"sha256:…","host":"<registry>"}
//! ```
//!
//! - Keel knows **pushes of a tag** only: `name` and `tag` are required, whatever comes is an image to look at.
//! - `name` carries the host; `host` says it again. `digest` is left out where it is unknown.
//! - The same body without `digest` and `host` is what Artifactory's plugin sends in its format `keel`.
//!
//! Sources: keel-hq/keel `pkg/http/native_webhook_trigger.go`, `types/types.go`; jfrog/artifactory-user-plugins
//! `webhook/webhook.groovy`.

use serde::Serialize;

use crate::event::Event;
use crate::registry::Digest;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::image;

#[derive(Serialize)]
struct Body<'a> {
    name: String,
    tag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    host: &'a str,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let tag = Dialect::Keel.pushed_tag(event)?;
    let body = Body {
        name: image(event),
        tag: tag.as_str(),
        digest: event.digest.as_ref().map(Digest::as_str),
        host: &event.registry,
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
        golden(Dialect::Keel, &pushed(), fixture!("keel-push"));
        golden(Dialect::Keel, &bare(), fixture!("keel-bare"));
    }

    #[test]
    fn pushes_only() {
        only_pushed_tags(Dialect::Keel);
    }
}
