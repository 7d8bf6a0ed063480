//! One flat object with what most filters ask for, for receivers that read any JSON.
//!
//! ```text
//! Content-Type: application/json
//! {"action":"push","registry":"<registry>","repository":"team/app","tag":"1.4.2","digest":"sha256:…",
//!  "image":"<registry>/<repository>:1.4.2","change":"moved","kind":"index","media_type":"…","actor":"ci",
//!  "id":"<event id>","time":"<RFC 3339, UTC, ms>"}
//! ```
//!
//! - Flux (`req.image`), Tekton (`body.image`), Argo Events (`body.image`), Jenkins (`$.image`) and Kargo
//!   (`request.body.image`) each have a language of their own for looking into a body, and in all of them the top
//!   of an object is the shortest way.
//! - Every member is always there, and null where nothing is known: such languages fail on a member that is
//!   missing.
//! - `image` is what to pull: with the tag, else with the digest, else bare.
//! - `Content-Type` is exactly `application/json`, which is the one that Flux opens the body for.
//!
//! This format is ours; its members are those of the native event, except that `image` is not there and `actor` is
//! an object there.

use serde::Serialize;

use crate::event::Change;
use crate::event::Event;
use crate::event::schema::time_text;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::MediaType;
use crate::registry::Tag;

use super::Payload;
use super::image;

#[derive(Serialize)]
struct Body<'a> {
    action: &'static str,
    registry: &'a str,
    repository: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
    image: String,
    change: Option<&'static str>,
    kind: Option<&'static str>,
    media_type: Option<&'a str>,
    actor: Option<&'a str>,
    id: String,
    time: String,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Payload {
    let image = match (&event.tag, &event.digest) {
        (Some(tag), _) => format!("{}:{tag}", image(event)),
        (None, Some(digest)) => format!("{}@{digest}", image(event)),
        (None, None) => image(event),
    };
    let body = Body {
        action: event.action.as_str(),
        registry: &event.registry,
        repository: event.repository.as_str(),
        tag: event.tag.as_ref().map(Tag::as_str),
        digest: event.digest.as_ref().map(Digest::as_str),
        image,
        change: event.change.map(Change::as_str),
        kind: event.kind.map(Kind::as_str),
        media_type: event.media_type.as_ref().map(MediaType::as_str),
        actor: event.actor.name.as_deref(),
        id: event.id.to_string(),
        time: time_text(event.time),
    };
    Payload::json("application/json", &body)
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::bare;
    use super::super::tests::deleted;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::pushed;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Flat, &pushed(), fixture!("flat-push"));
        golden(Dialect::Flat, &bare(), fixture!("flat-bare"));
        golden(Dialect::Flat, &deleted(), fixture!("flat-delete"));
    }
}
