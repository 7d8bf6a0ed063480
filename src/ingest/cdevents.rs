//! `CDEvents` about artifacts: published and deleted.
//!
//! ```text
//! {"context": {"specversion": "0.5.1", "id": "…", "source": "…", "timestamp": "<RFC 3339>",
//!              "type": "dev.cdevents.artifact.published.0.3.0"},
//!  "subject": {"id": "pkg:oci/app@sha256%3A…?repository_url=reg.example.test/team/app&tag=1.4.2",
//!              "source": "…", "content": {"user": "…"}}, "customData": {…}}
//! ```
//!
//! - The type carries its version. Before 0.5 `specversion` was called `version`, and the subject had a `type`;
//!   neither is read.
//! - Around it may be a CloudEvent, binary or structured: the CDEvent is its data.
//! - The subject's id is a package URL. `pkg:oci` and `pkg:docker` are images; other packages are skipped. The
//!   version is the digest, with its colon escaped or not, or the tag; `repository_url` is the registry and the
//!   whole repository of an `oci` one, and the registry of a `docker` one, whose repository is in its path.
//! - `packaged` comes from a build, before anything is in a registry: it is skipped, like all other events.
//!
//! Source: cdevents/spec `continuous-integration.md`, `conformance/*.json` at v0.4.1 and v0.5.1; package-url/purl-spec
//! `PURL-TYPES` for `oci` and `docker`.

use http::HeaderMap;

use crate::event::Action;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::registry::percent_decoded;

use super::envelope::Envelope;
use super::envelope::is_cloud_event;
use super::error::Error;
use super::error::excerpt;
use super::node::Node;
use super::node::TEXT;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;

const PURL: &str =
    "a package URL such as `pkg:oci/app@sha256%3A…?repository_url=reg.example.test/team/app`";

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    if is_cloud_event(root, headers) {
        let envelope = Envelope::read(root, headers, reading)?;
        return event(envelope.data()?, reading);
    }
    event(root, reading)
}

fn event(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let context = root.object("context")?;
    let word = context.text("type")?.ok_or_else(|| context.missing("type", TEXT))?;
    let action = if word.starts_with("dev.cdevents.artifact.published.") {
        Action::Push
    } else if word.starts_with("dev.cdevents.artifact.deleted.") {
        Action::Delete
    } else {
        let word = excerpt(&word);
        reading.skip(format!("the type `{word}` is not of an artifact published or deleted"));
        return Ok(());
    };
    let subject = root.object("subject")?;
    let id = subject.text("id")?.ok_or_else(|| subject.missing("id", PURL))?;
    if id.starts_with("pkg:") && !id.starts_with("pkg:oci/") && !id.starts_with("pkg:docker/") {
        let id = excerpt(&id);
        reading.skip(format!("`{id}` is no image: it is neither of `pkg:oci` nor of `pkg:docker`"));
        return Ok(());
    }
    let wrong = || subject.member("id").unwrap_or_else(|| subject.clone()).wrong(PURL);
    let purl = Purl::of(&id).ok_or_else(wrong)?;
    if purl.references.is_empty() {
        return Err(wrong());
    }
    let registry =
        reading.registry(purl.host.as_deref(), "`subject.id` has no `repository_url`")?;
    let own = context.free_text("id")?;
    let time = context.time("timestamp")?;
    let identity = own.map_or(Identity::Arrival, Identity::Own);
    let mut told = Told::new(identity, action, registry, purl.repository);
    for reference in purl.references {
        match reference {
            Reference::Tag(tag) => told.tag = Some(tag),
            Reference::Digest(digest) => told.digest = Some(digest),
        }
    }
    told.time = time;
    reading.found_in(&context, &[("action", "type"), ("time", "timestamp")]);
    let fields = [("registry", "id"), ("repository", "id"), ("tag", "id"), ("digest", "id")];
    reading.found_in(&subject, &fields);
    if let Some(content) = subject.object_if_any("content")? {
        told.actor = content.free_text("user")?;
        reading.found_in(&content, &[("actor", "user")]);
    }
    reading.push(0, told);
    Ok(())
}

/// A package URL of an image.
struct Purl {
    host: Option<String>,
    repository: RepositoryName,
    /// The version, and the qualifier `tag`.
    references: Vec<Reference>,
}

impl Purl {
    fn of(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("pkg:")?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (sort, path) = path.split_once('/')?;
        let (name, version) = path.rsplit_once('@').map_or((path, None), |(n, v)| (n, Some(v)));
        let name = percent_decoded(name)?;
        let mut references = Vec::new();
        let mut host = None;
        let mut repository = (*name).to_owned();
        if let Some(version) = version {
            references.push(percent_decoded(version)?.parse().ok()?);
        }
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = percent_decoded(value)?;
            match key {
                "tag" => references.push(value.parse().ok()?),
                "repository_url" => {
                    let value = value.split_once("://").map_or(&*value, |(_, rest)| rest);
                    let (first, path) = value.split_once('/').unwrap_or((value, ""));
                    host = Some(first.to_owned());
                    if sort == "oci" && !path.is_empty() {
                        path.trim_end_matches('/').clone_into(&mut repository);
                    }
                }
                _ => {}
            }
        }
        Some(Self { host, repository: repository.parse().ok()?, references })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use crate::registry::Digest;

    use super::super::Kind;
    use super::super::Parsed;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::super::tests::parse_with;
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::CdEvents, text, None)
    }

    #[test]
    fn a_published_artifact_is_a_push() {
        let told = only(parsed(fixture("cdevents-published")).unwrap());
        let event = &told.event;
        assert_eq!((event.action, event.registry.as_str()), (Action::Push, "reg.example.test"));
        assert_eq!(event.subject(), "team/app:1.4.2");
        assert_eq!(event.digest, Some(Digest::sha256(b"index")));
        assert_eq!(event.actor.name.as_deref(), Some("ci-bot"));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02 UTC)));
        let id = "271069a8-fc18-44f1-b38f-9d70a1695819";
        assert_eq!(told.source_event_id.as_deref(), Some(id));
    }

    #[test]
    fn older_versions_and_deletes_are_read() {
        let text = fixture("cdevents-published");
        let old = text.replace("specversion", "version").replace("0.3.0", "0.2.0");
        assert_eq!(only(parsed(&old).unwrap()).event.subject(), "team/app:1.4.2");
        let deleted = text.replace("published.0.3.0", "deleted.0.2.0");
        assert_eq!(only(parsed(&deleted).unwrap()).event.action, Action::Delete);
    }

    #[test]
    fn a_cloud_event_may_be_around_it() {
        let data = fixture("cdevents-published");
        let sort = "dev.cdevents.artifact.published.0.3.0";
        let structured = format!(
            r#"{{"specversion": "1.0", "id": "1", "source": "/s", "type": "{sort}", "data": {data}}}"#
        );
        let headers =
            [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", sort)];
        let plain = only(parsed(data).unwrap()).event;
        let structured = only(parsed(&structured).unwrap()).event;
        let binary = only(parse_with(Kind::CdEvents, &headers, data, None).unwrap()).event;
        assert_eq!((&structured, &binary), (&plain, &plain));
    }

    #[test]
    fn package_urls_come_in_many_ways() {
        let digest = Digest::sha256(b"index");
        let hex = digest.encoded();
        for (id, registry, subject) in [
            (
                format!("pkg:oci/app@sha256%3A{hex}?repository_url=r.example.com/team/app"),
                "r.example.com",
                format!("team/app@{digest}"),
            ),
            (
                format!("pkg:oci/app@sha256:{hex}?repository_url=r.example.com%2Fteam%2Fapp&tag=1"),
                "r.example.com",
                "team/app:1".to_owned(),
            ),
            (
                format!(
                    "pkg:oci/app@sha256%3A{hex}?arch=amd64&repository_url=https://r.example.com:5000/app/"
                ),
                "r.example.com:5000",
                format!("app@{digest}"),
            ),
            (
                "pkg:docker/team/app@1.4.2?repository_url=r.example.com".to_owned(),
                "r.example.com",
                "team/app:1.4.2".to_owned(),
            ),
            (
                format!("pkg:oci/app@sha256%3A{hex}?repository_url=r.example.com#x"),
                "r.example.com",
                format!("app@{digest}"),
            ),
        ] {
            let event = only(parsed(&with_id(&id)).unwrap()).event;
            assert_eq!((event.registry.as_str(), event.subject()), (registry, subject), "{id}");
        }
        let bare = with_id(&format!("pkg:oci/app@sha256%3A{hex}"));
        let error = parsed(&bare).unwrap_err();
        assert!(matches!(error, Error::Registry { .. }), "{error}");
        let named = parse(Kind::CdEvents, &bare, Some("r.example.com")).unwrap();
        assert_eq!(only(named).event.repository.as_str(), "app");
    }

    fn with_id(id: &str) -> String {
        let mut value: serde_json::Value =
            serde_json::from_str(fixture("cdevents-published")).unwrap();
        value["subject"]["id"] = id.into();
        value.to_string()
    }

    #[test]
    fn what_is_not_an_image_in_a_registry_is_skipped() {
        let text = fixture("cdevents-published");
        for text in [
            text.replace("artifact.published", "artifact.packaged"),
            text.replace("artifact.published", "pipelinerun.started"),
            with_id("pkg:npm/app@1.0.0"),
        ] {
            let parsed = parsed(&text).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped.len() == 1, "{parsed:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for id in [
            "app",
            "pkg:oci/app",
            "pkg:oci/",
            "pkg:oci/app@%zz",
            "pkg:oci/app@1?tag=-x",
            "pkg:oci/Ä@1",
        ] {
            let error = parsed(&with_id(id)).unwrap_err().to_string();
            assert!(error.contains("`subject.id` is ") && error.contains(PURL), "{id}: {error}");
        }
        let text = fixture("cdevents-published");
        for (from, to, expected) in [
            ("\"context\"", "\"c\"", "`context` is missing; it must be an object"),
            ("\"type\"", "\"t\"", "`context.type` is missing"),
            ("\"subject\"", "\"s\"", "`subject` is missing; it must be an object"),
            ("2026-03-01T", "x", "`context.timestamp` is `x09:15:02Z`"),
        ] {
            let error = parsed(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
