//! Harbor 2.x, in its payload formats `Default` and `CloudEvents`.
//!
//! ```text
//! {"type": "PUSH_ARTIFACT", "occur_at": <seconds>, "operator": "robot$library+ci", "event_data": {
//!     "resources": [{"digest": "sha256:…", "tag": "1.4.2", "resource_url": "<host>/library/app:1.4.2"}],
//!     "repository": {"date_created": <seconds>, "name": "app", "namespace": "library",
//!                    "repo_full_name": "library/app", "repo_type": "private"}}}
//! ```
//!
//! As a CloudEvent `type` is `harbor.artifact.pushed`, `time` stands for `occur_at`, `operator` is an extension,
//! and `data` is what is `event_data` above.
//!
//! - `PUSH_ARTIFACT`, `DELETE_ARTIFACT` and `PULL_ARTIFACT` make events, of each resource one. Scans, quotas,
//!   replications and retentions are skipped. Tags made or removed by Harbor's own API are told by nobody.
//! - `tag` is the digest again where the artifact was pushed or deleted by its digest, as the children of an
//!   index are. A delete names the first of the artifact's tags; the others are gone with it.
//! - `resource_url` has no scheme: its first component is the host. Older releases wrote `repo:sha256:…`.
//! - `operator` may be empty. `occur_at` is in whole seconds, and there is no id but the CloudEvent's.
//! - Nothing is signed. `Authorization` is the configured text as it is, without a scheme.
//!
//! Source: goharbor/harbor `src/pkg/notifier/formats/{default,cloudevents}.go`, `model/event.go`,
//! `src/controller/event/handler/webhook/artifact/artifact.go`.

use time::OffsetDateTime;

use crate::event::Action;
use crate::registry::RepositoryName;

use super::envelope::Envelope;
use super::error::Error;
use super::error::excerpt;
use super::json::Sort;
use super::node::DIGEST;
use super::node::Node;
use super::node::OBJECT;
use super::node::REPOSITORY;
use super::node::TEXT;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::part;
use super::told::split;

const SECONDS: &str = "the number of seconds since 1970, such as 1767225600";
const RESOURCES: &str = "a list of resources";

/// What is the same in both formats.
struct Report<'n, 'a> {
    id: Option<String>,
    action: Action,
    actor: Option<String>,
    time: Option<OffsetDateTime>,
    data: &'n Node<'a>,
}

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    if root.member("specversion").is_some() {
        let event = Envelope::read(root, &http::HeaderMap::new(), reading)?;
        let Some(action) = action(event.sort.as_str()) else {
            event.skip("a push, a pull or a delete", reading);
            return Ok(());
        };
        let actor = event.extension("operator")?;
        let (id, time) = (Some(event.id.clone()), event.time);
        let fields = [("action", "type"), ("actor", "operator"), ("time", "time")];
        let report = Report { id, action, actor, time, data: event.data()? };
        return resources(&report, reading, |reading| event.trace(reading, &fields));
    }
    let word = root.text("type")?.ok_or_else(|| root.missing("type", TEXT))?;
    let Some(action) = action(&word) else {
        let word = excerpt(&word);
        reading.skip(format!("`{word}` is not of a push, a pull or a delete"));
        return Ok(());
    };
    let data = root.object("event_data")?;
    let actor = root.free_text("operator")?;
    let fields = [("action", "type"), ("actor", "operator"), ("time", "occur_at")];
    let report = Report { id: None, action, actor, time: seconds(root)?, data: &data };
    resources(&report, reading, |reading| reading.found_in(root, &fields))
}

fn action(word: &str) -> Option<Action> {
    match word {
        "PUSH_ARTIFACT" | "harbor.artifact.pushed" => Some(Action::Push),
        "DELETE_ARTIFACT" | "harbor.artifact.deleted" => Some(Action::Delete),
        "PULL_ARTIFACT" | "harbor.artifact.pulled" => Some(Action::Pull),
        _ => None,
    }
}

fn seconds(root: &Node<'_>) -> Result<Option<OffsetDateTime>, Error> {
    let Some(node) = root.member("occur_at") else {
        return Ok(None);
    };
    let number: i64 = node.value().raw().parse().map_err(|_| node.wrong(SECONDS))?;
    let time = OffsetDateTime::from_unix_timestamp(number).ok();
    let time = time.filter(|time| *time >= OffsetDateTime::UNIX_EPOCH);
    let time = time.ok_or_else(|| node.wrong(SECONDS))?;
    Ok(Some(time).filter(|time| *time != OffsetDateTime::UNIX_EPOCH))
}

fn resources(
    report: &Report<'_, '_>,
    reading: &mut Reading<'_>,
    trace: impl Fn(&mut Reading<'_>),
) -> Result<(), Error> {
    let named = report.data.object("repository")?;
    let repository: RepositoryName = named.parse("repo_full_name", REPOSITORY)?;
    let list = report.data.list("resources", RESOURCES)?;
    if list.value().items().count() == 0 {
        reading.skip("`resources` is empty: nothing happened".to_owned());
    }
    for (place, resource) in list.items().enumerate() {
        if resource.sort() != Sort::Object {
            return Err(resource.wrong(OBJECT));
        }
        let (tag, tag_digest) = split(resource.reference("tag")?);
        let digest = resource.parse_if_any("digest", DIGEST)?.or(tag_digest);
        if tag.is_none() && digest.is_none() {
            return Err(resource.missing("digest", DIGEST));
        }
        let identity = match (&report.id, report.time) {
            (Some(id), _) => Identity::Own(part(id, place)),
            (None, Some(_)) => Identity::Bytes,
            (None, None) => Identity::Arrival,
        };
        let url = resource.text("resource_url")?;
        let host = url.as_deref().and_then(|url| url.split_once('/')).map(|(host, _)| host);
        let registry = reading.registry(host, "`resource_url` has no host")?;
        let mut told = Told::new(identity, report.action, registry, repository.clone());
        told.tag = tag;
        told.digest = digest;
        told.actor.clone_from(&report.actor);
        told.time = report.time;
        trace(reading);
        reading.found_in(&named, &[("repository", "repo_full_name")]);
        let fields =
            [("registry", "resource_url"), ("tag", "tag"), ("digest", "digest"), ("digest", "tag")];
        reading.found_in(&resource, &fields);
        reading.push(place, told);
    }
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
        parse(Kind::Harbor, text, None)
    }

    #[test]
    fn a_push_is_an_event_in_both_formats() {
        let default = only(parsed(fixture("harbor-push")).unwrap());
        let cloud = only(parsed(fixture("harbor-cloudevent")).unwrap());
        for told in [&default, &cloud] {
            let event = &told.event;
            assert_eq!(event.registry, "harbor.example.test");
            assert_eq!(event.subject(), "library/app:1.4.2");
            assert_eq!(event.digest, Some(Digest::sha256(b"index")));
            assert_eq!(event.actor.name.as_deref(), Some("robot$library+ci"));
            assert_eq!(told.stamp, Some(datetime!(2026-01-01 0:00 UTC)));
        }
        let id = "66e18103-f0c5-42e4-8f95-0e2ac6b7c6f7";
        assert_eq!(cloud.source_event_id.as_deref(), Some(id));
        assert!(default.source_event_id.is_some_and(|id| id.starts_with("sha256:")));
    }

    #[test]
    fn a_child_of_an_index_has_its_digest_for_a_tag() {
        let event = only(parsed(fixture("harbor-child")).unwrap()).event;
        assert_eq!((event.tag, event.digest), (None, Some(Digest::sha256(b"child"))));
        let old = fixture("harbor-child").replace("app@sha256", "app:sha256");
        assert_eq!(only(parsed(&old).unwrap()).event.registry, "harbor.example.test");
    }

    #[test]
    fn a_delete_names_the_first_tag_and_the_digest() {
        let told = only(parsed(fixture("harbor-delete")).unwrap());
        let event = told.event;
        assert_eq!((event.action, event.subject()), (Action::Delete, "library/app:1.4.2".into()));
        assert_eq!(event.digest, Some(Digest::sha256(b"index")));
    }

    #[test]
    fn a_pull_may_be_anonymous() {
        let text = fixture("harbor-push")
            .replace("PUSH_ARTIFACT", "PULL_ARTIFACT")
            .replace("robot$library+ci", "");
        let event = only(parsed(&text).unwrap()).event;
        assert_eq!((event.action, event.actor.name), (Action::Pull, None));
    }

    #[test]
    fn several_resources_are_several_events() {
        let digest = Digest::sha256(b"index");
        let one =
            format!("{{\"digest\": \"{digest}\", \"tag\": \"a\", \"resource_url\": \"h/a/b:a\"}}");
        for (name, key) in [("harbor-push", "event_data"), ("harbor-cloudevent", "data")] {
            let mut value: serde_json::Value = serde_json::from_str(fixture(name)).unwrap();
            let two: serde_json::Value = serde_json::from_str(&format!("[{one},{one}]")).unwrap();
            value[key]["resources"] = two;
            let events = parsed(&value.to_string()).unwrap().events;
            assert_eq!(events.len(), 2);
            assert_ne!(events[0].event.id, events[1].event.id);
            assert_ne!(events[0].source_event_id, events[1].source_event_id);
        }
    }

    #[test]
    fn what_is_no_push_pull_or_delete_is_skipped() {
        for word in ["QUOTA_EXCEED", "SCANNING_COMPLETED", "REPLICATION", "TAG_RETENTION", "NEW"] {
            let text = fixture("harbor-push").replace("PUSH_ARTIFACT", word);
            let parsed = parsed(&text).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped[0].contains(word), "{parsed:?}");
        }
        // A replication has neither resources nor a repository.
        let bare = r#"{"type": "REPLICATION", "event_data": {"replication": {}}}"#;
        assert_eq!(parsed(bare).unwrap().skipped.len(), 1);
        let scan = fixture("harbor-cloudevent").replace("artifact.pushed", "scan.completed");
        assert!(parsed(&scan).unwrap().skipped[0].contains("harbor.scan.completed"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("harbor-push");
        for (from, to, expected) in [
            ("\"type\"", "\"t\"", "`type` is missing; it must be a text"),
            ("1767225600", "\"now\"", "`occur_at` is `now`; it must be the number of seconds"),
            ("1767225600", "-1", "`occur_at` is `-1`; it must be the number of seconds"),
            ("\"event_data\"", "\"e\"", "`event_data` is missing"),
            ("\"resources\"", "\"r\"", "`event_data.resources` is missing; it must be a list"),
            ("repo_full_name", "r", "`event_data.repository.repo_full_name` is missing"),
            ("harbor.example.test/", "", "`resource_url` has no host"),
            ("\"1.4.2\"", "\"a b\"", "`event_data.resources[0].tag` is `a b`"),
        ] {
            let altered = text.replace(from, to).replace("library/app:1.4.2", "app:1.4.2");
            let altered = if to.is_empty() { altered } else { text.replace(from, to) };
            let error = parsed(&altered).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        let text = fixture("harbor-cloudevent");
        for (from, to, expected) in [
            ("\"1.0\"", "\"0.3\"", "`specversion` is `0.3`; it must be `1.0`"),
            ("\"id\"", "\"i\"", "`id` is missing"),
            ("\"data\"", "\"d\"", "`data` is missing; it must be an object"),
            ("\"data\"", "\"data_base64\": \"e30=\", \"d\"", "`data_base64` is `e30=`; it must be"),
        ] {
            let error = parsed(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        let timeless = fixture("harbor-push").replace("1767225600", "0");
        assert_eq!(only(parsed(&timeless).unwrap()).event.time, RECEIVED);
    }
}
