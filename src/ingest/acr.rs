//! Azure Container Registry's webhook: one event as Docker Distribution's, without the envelope.
//!
//! ```text
//! {"id": "…", "timestamp": "<RFC 3339, up to 9 digits>", "action": "push" | "delete" | "chart_push" | …,
//!  "target": {"mediaType": "…", "size": 1582, "digest": "sha256:…", "length": 1582,
//!             "repository": "team/app", "tag": "1.4.2"},
//!  "request": {"id": "…", "host": "acme.azurecr.io", "method": "PUT", "useragent": "…"}}
//! ```
//!
//! - A delete is of a manifest (with `digest`) or of a repository (without); never of a tag alone.
//! - A push by digest, as of the children of an index, has no `tag`.
//! - `chart_push` and `chart_delete`, of Helm charts before they were OCI artifacts, have no `request`: the
//!   registry's name must be known.
//! - `ping` is what the portal's button sends; its body is not documented, and nothing of it is read.
//! - `quarantine` and whatever else comes is skipped.
//!
//! Unproven: the body of `ping`, and how often a notification is sent again.
//!
//! Source: Microsoft's webhook reference for Azure Container Registry; independent readers: akuity/kargo
//! `pkg/webhook/external/azure.go`, argoproj-labs/argocd-image-updater `pkg/webhook/acr.go`.

use crate::event::Action;
use crate::event::Request;
use crate::registry::Kind as ManifestKind;

use super::distribution::registry;
use super::error::Error;
use super::error::excerpt;
use super::node::DIGEST;
use super::node::MEDIA_TYPE;
use super::node::Node;
use super::node::REPOSITORY;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split;

const ACTION: &str = "`push`, `delete`, `chart_push`, `chart_delete` or `ping`";

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let word = root.text("action")?.ok_or_else(|| root.missing("action", ACTION))?;
    let (action, is_chart) = match &*word {
        "push" => (Action::Push, false),
        "delete" => (Action::Delete, false),
        "chart_push" => (Action::Push, true),
        "chart_delete" => (Action::Delete, true),
        "ping" => {
            reading.test("`ping`: the registry tries the webhook; nothing happened".to_owned());
            return Ok(());
        }
        other => {
            let other = excerpt(other);
            reading.skip(format!(
                "the action `{other}` is none of push, delete, chart_push, chart_delete"
            ));
            return Ok(());
        }
    };
    let target = root.object("target")?;
    let request = root.object_if_any("request")?;
    let time = root.time("timestamp")?;
    let identity = match root.free_text("id")? {
        Some(id) => Identity::Own(id),
        None if time.is_some() => Identity::Bytes,
        None => Identity::Arrival,
    };
    let registry = registry(root, request.as_ref(), reading)?;
    let repository = target.parse("repository", REPOSITORY)?;
    let mut told = Told::new(identity, action, registry, repository);
    let (tag, tag_digest) = split(target.reference("tag")?);
    told.tag = tag;
    told.digest = target.parse_if_any("digest", DIGEST)?.or(tag_digest);
    if told.tag.is_none() && told.digest.is_none() && action == Action::Push {
        return Err(target.missing("digest", DIGEST));
    }
    told.kind = is_chart.then_some(ManifestKind::Chart);
    told.media_type = target.parse_if_any("mediaType", MEDIA_TYPE)?;
    told.size = target.whole("size")?;
    if told.size.is_none() {
        told.size = target.whole("length")?;
    }
    told.time = time;
    if is_chart {
        reading.found_in(root, &[("kind", "action")]);
    }
    reading.found_in(root, &[("action", "action"), ("time", "timestamp")]);
    reading.found_in(&target, &super::distribution::TARGET);
    if let Some(request) = request {
        told.request = Request {
            id: request.free_text("id")?,
            address: None,
            user_agent: request.free_text("useragent")?,
        };
        reading.found_in(&request, &super::distribution::REQUEST);
    }
    reading.push(0, told);
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use crate::registry::Digest;

    use super::super::Kind;
    use super::super::Parsed;
    use super::super::tests::RECEIVED;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Acr, text, None)
    }

    #[test]
    fn a_push_is_an_event() {
        let told = only(parsed(fixture("acr-push")).unwrap());
        let event = &told.event;
        let digest = Digest::sha256(b"manifest");
        assert_eq!(event.reference(), format!("acme.azurecr.io/team/app:1.4.2@{digest}"));
        assert_eq!((event.action, event.size), (Action::Push, Some(1582)));
        assert_eq!(event.kind, Some(ManifestKind::Image));
        assert_eq!(event.request.user_agent.as_deref(), Some("docker/27.1"));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02.343145347 UTC)));
        let id = "cb8c3971-9adc-488b-bdd8-43cbb4974ff5";
        assert_eq!(told.source_event_id.as_deref(), Some(id));
    }

    #[test]
    fn a_push_by_digest_has_no_tag() {
        let event = only(parsed(&fixture("acr-push").replace("\"tag\"", "\"t\"")).unwrap()).event;
        assert_eq!((event.tag, event.digest), (None, Some(Digest::sha256(b"manifest"))));
    }

    #[test]
    fn a_delete_is_of_a_manifest_or_a_repository() {
        let text = fixture("acr-delete");
        let event = only(parsed(text).unwrap()).event;
        assert_eq!((event.action, event.tag.is_none()), (Action::Delete, true));
        assert_eq!(event.digest, Some(Digest::sha256(b"manifest")));
        let event = only(parsed(&text.replace("\"digest\"", "\"d\"")).unwrap()).event;
        assert_eq!((event.action, &event.digest), (Action::Delete, &None));
        assert_eq!(event.subject(), "team/app");
    }

    #[test]
    fn a_chart_names_no_registry() {
        let text = fixture("acr-chart");
        let error = parsed(text).unwrap_err().to_string();
        assert!(error.contains("`request.host` is not there"), "{error}");
        let event = only(parse(Kind::Acr, text, Some("acme.azurecr.io")).unwrap()).event;
        assert_eq!(event.subject(), "charts/app:1.4.2");
        assert_eq!(event.kind, Some(ManifestKind::Chart));
    }

    #[test]
    fn a_ping_and_other_actions_make_no_event() {
        for body in [r#"{"action": "ping"}"#, r#"{"id": "1", "action": "ping", "target": {}}"#] {
            let parsed = parsed(body).unwrap();
            assert!(parsed.events.is_empty() && parsed.is_test, "{parsed:?}");
        }
        let parsed = parsed(&fixture("acr-push").replace("\"push\"", "\"quarantine\"")).unwrap();
        assert!(parsed.events.is_empty() && !parsed.is_test, "{parsed:?}");
        assert!(parsed.skipped[0].contains("`quarantine`"), "{parsed:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let push = fixture("acr-push");
        for (from, to, expected) in [
            ("\"action\"", "\"a\"", "`action` is missing; it must be `push`, `delete`"),
            ("\"target\"", "\"t\"", "`target` is missing; it must be an object"),
            ("\"repository\"", "\"r\"", "`target.repository` is missing"),
            ("acme.azurecr.io", "a/b", "`request.host` is `a/b`; it must be the registry's name"),
            ("2026-03-01T", "today", "`timestamp` is `today09:15"),
            ("1582", "\"big\"", "`target.size` is `big`; it must be a whole number"),
        ] {
            let error = parsed(&push.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        let bare = r#"{"action": "push", "target": {"repository": "a"}, "request": {"host": "r"}}"#;
        let error = parsed(bare).unwrap_err().to_string();
        assert!(error.contains("`target.digest` is missing"), "{error}");
        let tagged = bare.replace("\"a\"", "\"a\", \"tag\": \"1\"");
        assert_eq!(only(parsed(&tagged).unwrap()).event.time, RECEIVED);
    }
}
