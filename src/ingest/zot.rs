//! zot's extension `events`, over HTTP: CloudEvents in the binary mode.
//!
//! ```text
//! ce-id: <UUID>   ce-source: zotregistry.dev   ce-specversion: 1.0   ce-type: zotregistry.image.updated
//! {"name": "team/app", "reference": "1.4.2", "digest": "sha256:…", "mediaType": "…",
//!  "manifest": "<the manifest, as a text>", "actor": {"name": "ci"},
//!  "request": {"addr": "203.0.113.7:40112", "method": "PUT", "useragent": "skopeo/1.15"}}
//! ```
//!
//! - `zotregistry.image.updated` is a push and `zotregistry.image.deleted` a delete; repositories made, lints that
//!   failed and scans are skipped. The first push to a repository comes as two events, `created` and `updated`.
//! - What happened is in the headers alone: without `ce-type` nothing can be said. The structured mode, which zot
//!   does not use, is read as well.
//! - `reference` is a tag or a digest; `deleted` and `lint_failed` may have neither `manifest` nor `actor`.
//! - The manifest is read where it has the digest that the event names, and left out with a warning where not.
//! - A push that changes nothing is told by nobody. Events come in any order, once, without a retry.
//! - `request.addr` is the peer of zot, which is us where we stand in front.
//! - No host is named: the registry's name must be configured.
//!
//! Source: project-zot/zot `pkg/extensions/events/*.go`, `pkg/storage/imagestore/imagestore.go`.

use http::HeaderMap;

use crate::event::Action;
use crate::event::Request;
use crate::registry::Digest;
use crate::registry::Manifest;

use super::distribution::address;
use super::envelope::Envelope;
use super::envelope::is_cloud_event;
use super::error::Error;
use super::node::DIGEST;
use super::node::MEDIA_TYPE;
use super::node::Node;
use super::node::REPOSITORY;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split;

const NO_HOST: &str = "zot never does";
const TYPE: &str =
    "the type of zot's event, such as `zotregistry.image.updated`; give the headers with the body";

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    if !is_cloud_event(root, headers) {
        let found = "missing".to_owned();
        return Err(Error::Header { header: "ce-type", found, expected: TYPE });
    }
    let envelope = Envelope::read(root, headers, reading)?;
    let action = match envelope.sort.as_str() {
        "zotregistry.image.updated" => Action::Push,
        "zotregistry.image.deleted" => Action::Delete,
        _ => {
            envelope.skip("an image updated or deleted", reading);
            return Ok(());
        }
    };
    let data = envelope.data()?;
    let repository = data.parse("name", REPOSITORY)?;
    let registry = reading.registry(None, NO_HOST)?;
    let (tag, tag_digest) = split(data.reference("reference")?);
    let digest = data.parse_if_any("digest", DIGEST)?.or(tag_digest);
    if tag.is_none() && digest.is_none() {
        return Err(data.missing("digest", DIGEST));
    }
    let identity = Identity::Own(envelope.id.clone());
    let mut told = Told::new(identity, action, registry, repository);
    told.tag = tag;
    told.digest = digest;
    told.media_type = data.parse_if_any("mediaType", MEDIA_TYPE)?;
    told.time = envelope.time;
    manifest(data, &mut told, reading)?;
    envelope.trace(reading, &[("action", "type"), ("time", "time")]);
    let fields = [
        ("repository", "name"),
        ("tag", "reference"),
        ("digest", "digest"),
        ("digest", "reference"),
        ("media_type", "mediaType"),
        ("kind", "mediaType"),
    ];
    reading.found_in(data, &fields);
    if let Some(actor) = data.object_if_any("actor")? {
        told.actor = actor.free_text("name")?;
        reading.found_in(&actor, &[("actor", "name")]);
    }
    if let Some(request) = data.object_if_any("request")? {
        told.request = Request {
            id: None,
            address: request.text("addr")?.and_then(|text| address(&text)),
            user_agent: request.free_text("useragent")?,
        };
        reading.found_in(
            &request,
            &[("request.address", "addr"), ("request.user_agent", "useragent")],
        );
    }
    reading.push(0, told);
    Ok(())
}

/// What the manifest tells, if it is the one that the digest is of.
fn manifest(data: &Node<'_>, told: &mut Told, reading: &mut Reading<'_>) -> Result<(), Error> {
    let Some(text) = data.text("manifest")? else {
        return Ok(());
    };
    let is_it = told.digest.as_ref() == Some(&Digest::sha256(text.as_bytes()));
    let Some(manifest) = Manifest::read(text.as_bytes()).ok().filter(|_| is_it) else {
        reading.warn("`manifest` is not the one that `digest` is of; left out".to_owned());
        return Ok(());
    };
    told.size = u64::try_from(text.len()).ok();
    told.kind = Some(manifest.kind(told.media_type.as_ref(), told.tag.as_ref()));
    told.artifact_type.clone_from(&manifest.artifact_type);
    let fields = [("size", "manifest"), ("kind", "manifest"), ("artifact_type", "manifest")];
    reading.found_in(data, &fields);
    told.manifest = Some(manifest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::Kind;
    use super::super::Parsed;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::super::tests::parse_with;
    use super::*;

    fn headers(sort: &str) -> [(&'static str, &str); 5] {
        [
            ("ce-id", "1fcc4e71-3d43-4d9b-9b5e-6b4d2f3c9a10"),
            ("ce-source", "zotregistry.dev"),
            ("ce-specversion", "1.0"),
            ("ce-time", "2026-03-01T09:15:02.5Z"),
            ("ce-type", sort),
        ]
    }

    fn parsed(sort: &str, text: &str) -> Result<Parsed, Error> {
        parse_with(Kind::Zot, &headers(sort), text, Some("zot.example.com"))
    }

    #[test]
    fn a_push_is_an_event_with_its_manifest() {
        let told = only(parsed("zotregistry.image.updated", fixture("zot-updated")).unwrap());
        let event = &told.event;
        assert_eq!((event.action, event.subject()), (Action::Push, "team/app:1.4.2".to_owned()));
        assert_eq!(event.actor.name.as_deref(), Some("ci"));
        assert_eq!(event.request.address.as_deref(), Some("203.0.113.7"));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02.5 UTC)));
        let id = "1fcc4e71-3d43-4d9b-9b5e-6b4d2f3c9a10";
        assert_eq!(told.source_event_id.as_deref(), Some(id));
        assert_eq!(event.annotations["org.opencontainers.image.revision"], "0123abc");
        assert!(event.size > Some(100) && event.total_size > event.size, "{event:?}");
    }

    #[test]
    fn a_manifest_of_another_digest_is_left_out() {
        let text = fixture("zot-updated").replace("0123abc", "4567def");
        let parsed = parsed("zotregistry.image.updated", &text).unwrap();
        assert!(parsed.warnings[0].contains("`manifest` is not the one"), "{parsed:?}");
        let event = only(parsed).event;
        assert!(event.annotations.is_empty() && event.size.is_none(), "{event:?}");
        assert!(event.digest.is_some() && event.media_type.is_some());
    }

    #[test]
    fn a_delete_is_an_event() {
        let text = fixture("zot-deleted");
        let event = only(parsed("zotregistry.image.deleted", text).unwrap()).event;
        assert_eq!((event.action, event.tag.is_some()), (Action::Delete, true));
        let digest = event.digest.unwrap();
        let by_digest = text.replace("\"1.4.2\"", &format!("\"{digest}\""));
        let event = only(parsed("zotregistry.image.deleted", &by_digest).unwrap()).event;
        assert_eq!((event.tag, event.digest), (None, Some(digest)));
    }

    #[test]
    fn what_is_not_about_an_image_is_skipped() {
        for sort in [
            "zotregistry.repository.created",
            "zotregistry.image.lint_failed",
            "zotregistry.image.scanned",
        ] {
            let parsed = parsed(sort, r#"{"name": "team/app"}"#).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped[0].contains(sort), "{parsed:?}");
        }
    }

    #[test]
    fn the_structured_mode_is_read_too() {
        let data = fixture("zot-deleted");
        let text = format!(
            r#"{{"specversion": "1.0", "id": "1", "source": "zotregistry.dev", "type": "zotregistry.image.deleted", "time": "2026-03-01T09:15:02.5Z", "data": {data}}}"#
        );
        let told = only(parse(Kind::Zot, &text, Some("zot.example.com")).unwrap());
        assert_eq!(told.event.subject(), "team/app:1.4.2");
        assert_eq!(told.source_event_id.as_deref(), Some("1"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("zot-updated");
        let error = parse(Kind::Zot, text, None).unwrap_err().to_string();
        assert!(error.starts_with("the header `ce-type` is missing"), "{error}");
        let sort = "zotregistry.image.updated";
        let error = parse_with(Kind::Zot, &headers(sort), text, None).unwrap_err().to_string();
        assert!(error.contains("zot never does"), "{error}");
        for (at, value, expected) in [
            (0, "", "the header `ce-id` is missing"),
            (2, "0.3", "the header `ce-specversion` is `0.3`; it must be `1.0`"),
            (3, "now", "the header `ce-time` is `now`; it must be an RFC 3339 time"),
            (1, "%zz", "the header `ce-source` is `%zz`; it must be a text"),
        ] {
            let mut headers = headers(sort);
            headers[at].1 = value;
            let error = parse_with(Kind::Zot, &headers, text, Some("z")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        for (from, to, expected) in [
            (
                "\"name\": \"team/app\"",
                "\"n\": 1",
                "`name` is missing; it must be a repository name",
            ),
            ("\"mediaType\": \"", "\"mediaType\": \"x y", "`mediaType` is `x y"),
            (
                "\"manifest\": \"",
                "\"manifest\": 7, \"m\": \"",
                "`manifest` is `7`; it must be a text",
            ),
        ] {
            let error = parsed(sort, &text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
