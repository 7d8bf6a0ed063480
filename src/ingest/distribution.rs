//! Docker Distribution's notification envelope, 2.x and 3.x; GitLab's registry sends the same.
//!
//! ```text
//! {"events": [{
//!    "id": "<UUID>", "timestamp": "<RFC 3339, local offset, up to 9 digits>",
//!    "action": "push" | "pull" | "mount" | "delete",
//!    "target": {"mediaType": "…", "size": 1609, "digest": "sha256:…", "length": 1609,
//!               "repository": "team/app", "url": "…", "tag": "1.4.2", "fromRepository": "…"},
//!    "request": {"id": "…", "addr": "…", "host": "…", "method": "PUT", "useragent": "…"},
//!    "actor": {"name": "…"}, "source": {"addr": "…", "instanceID": "…"}}, …]}
//! ```
//!
//! - Any number of events, possibly unrelated; today's sender puts one in each envelope.
//! - 3.x writes `"mediaType":"","digest":"","size":0` where 2.x leaves the member out: the empty text and 0
//!   are as good as absent. `length` is the older name of `size`.
//! - A blob is told from a manifest by its `mediaType`, `application/octet-stream`, not by its `url`.
//!   Pushes and pulls of blobs are skipped; a mount is always one of a blob, and stays.
//! - Deletes come in three shapes: `repository` and `digest`, `repository` and `tag`, `repository` alone. The
//!   delete of a blob looks exactly like that of a manifest; it is kept, as nobody can tell.
//! - `url` is never read: whoever pushes can choose the host in it.
//! - An action that is none of the four is skipped: a newer registry may have one.
//!
//! Source: distribution/distribution `notifications/event.go`, `bridge.go` and `listener.go`, `main` and
//! `release/2.8`.

use std::net::IpAddr;
use std::net::SocketAddr;

use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Request;
use crate::registry::Digest;
use crate::registry::MediaType;

use super::error::Error;
use super::error::excerpt;
use super::json::Sort;
use super::node::DIGEST;
use super::node::MEDIA_TYPE;
use super::node::Node;
use super::node::REPOSITORY;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::is_host;
use super::told::split;

const EVENTS: &str = "a list of events, as Docker Distribution sends";
const ACTION: &str = "`push`, `pull`, `mount` or `delete`";
pub(super) const HOST: &str = "the registry's name, `host` or `host:port`";
const BLOB: &str = "application/octet-stream";

/// Reads the envelope.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let events = root.list("events", EVENTS)?;
    let count = events.value().items().count();
    if count == 0 {
        reading.skip("`events` is empty: nothing happened".to_owned());
    }
    for (place, event) in events.items().enumerate() {
        if let Some(told) = told(&event, reading)? {
            reading.push(place, told);
        }
    }
    Ok(())
}

fn told(event: &Node<'_>, reading: &mut Reading<'_>) -> Result<Option<Told>, Error> {
    let path = event.path();
    if event.sort() != Sort::Object {
        return Err(event.wrong("an event, an object"));
    }
    let word = event.text("action")?.ok_or_else(|| event.missing("action", ACTION))?;
    let Some(action) = Action::of(&word) else {
        let word = excerpt(&word);
        reading.skip(format!("`{path}`: the action `{word}` is none of push, pull, mount, delete"));
        return Ok(None);
    };
    let target = event.object("target")?;
    let media_type: Option<MediaType> = target.parse_if_any("mediaType", MEDIA_TYPE)?;
    let is_blob = media_type.as_ref().is_some_and(|media_type| media_type.as_str() == BLOB);
    if is_blob && action != Action::Mount {
        let digest = excerpt(&target.text("digest")?.unwrap_or_default());
        reading.skip(format!("`{path}`: {word} of a blob, {digest}; events are about manifests"));
        return Ok(None);
    }
    let (tag, tag_digest) = split(target.reference("tag")?);
    let digest: Option<Digest> = target.parse_if_any("digest", DIGEST)?;
    let digest = digest.or(tag_digest);
    if digest.is_none() && tag.is_none() && action != Action::Delete {
        return Err(target.missing("digest", DIGEST));
    }
    let request = event.object_if_any("request")?;
    let time = time(event, reading)?;
    let registry = registry(event, request.as_ref(), reading)?;
    let repository = target.parse("repository", REPOSITORY)?;
    let identity = event.free_text("id")?.map_or_else(
        || if time.is_some() { Identity::Bytes } else { Identity::Arrival },
        Identity::Own,
    );
    let mut told = Told::new(identity, action, registry, repository);
    told.tag = tag;
    told.digest = digest;
    told.media_type = media_type;
    told.artifact_type = target.parse_if_any("artifactType", MEDIA_TYPE)?;
    told.size = target.whole("size")?;
    if told.size.is_none() {
        told.size = target.whole("length")?;
    }
    told.time = time;
    reading.found_in(event, &[("action", "action"), ("time", "timestamp")]);
    reading.found_in(&target, &TARGET);
    if let Some(actor) = event.object_if_any("actor")? {
        told.actor = actor.free_text("name")?;
        reading.found_in(&actor, &[("actor", "name")]);
    }
    if let Some(request) = request {
        told.request = Request {
            id: request.free_text("id")?,
            address: request.text("addr")?.and_then(|text| address(&text)),
            user_agent: request.free_text("useragent")?,
        };
        reading.found_in(&request, &REQUEST);
    }
    Ok(Some(told))
}

/// What is read of `target`, the better key of two first.
pub(super) const TARGET: [(&str, &str); 9] = [
    ("repository", "repository"),
    ("tag", "tag"),
    ("digest", "digest"),
    ("digest", "tag"),
    ("media_type", "mediaType"),
    ("kind", "mediaType"),
    ("artifact_type", "artifactType"),
    ("size", "size"),
    ("size", "length"),
];

/// What is read of `request`.
pub(super) const REQUEST: [(&str, &str); 4] = [
    ("registry", "host"),
    ("request.id", "id"),
    ("request.address", "addr"),
    ("request.user_agent", "useragent"),
];

/// `request.host` is what the client called the registry.
pub(super) fn registry(
    event: &Node<'_>,
    request: Option<&Node<'_>>,
    reading: &Reading<'_>,
) -> Result<String, Error> {
    let reason = "`request.host` is not there";
    let Some(request) = request.filter(|_| !reading.is_registry_known()) else {
        return reading.registry(None, reason);
    };
    let host = request.text("host")?;
    match host.as_deref() {
        Some(host) if !is_host(host) => {
            Err(request.member("host").unwrap_or_else(|| event.clone()).wrong(HOST))
        }
        host => reading.registry(host, reason),
    }
}

fn time(event: &Node<'_>, reading: &mut Reading<'_>) -> Result<Option<OffsetDateTime>, Error> {
    if event.text("timestamp")?.is_none() {
        let path = event.path_of("timestamp");
        reading.warn(format!("`{path}` is missing; the time is that of the arrival"));
    }
    event.time("timestamp")
}

/// The address without port.
pub(super) fn address(text: &str) -> Option<String> {
    let ip: Option<IpAddr> = text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    ip.or_else(with_port).map(|ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use crate::event::Event;
    use crate::event::Evidence;
    use crate::event::Origin;
    use crate::event::Outcome;
    use crate::registry::Kind as ManifestKind;

    use super::super::Kind;
    use super::super::Parsed;
    use super::super::tests::RECEIVED;
    use super::super::tests::parse;
    use super::*;

    const ENVELOPE_2: &str =
        include_str!("../../tests/fixtures/notifications/distribution-2-push.json");
    const ENVELOPE_3: &str =
        include_str!("../../tests/fixtures/notifications/distribution-3-envelope.json");

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Distribution, text, None)
    }

    fn digest(of: &str) -> Option<Digest> {
        Some(Digest::sha256(of.as_bytes()))
    }

    #[test]
    fn a_push_of_2_x_is_an_event() {
        let parsed = parsed(ENVELOPE_2).unwrap();
        assert_eq!((parsed.warnings.len(), parsed.skipped.len()), (0, 0));
        let [told] = &parsed.events[..] else { panic!("{parsed:?}") };
        let event = &told.event;
        assert_eq!(told.stamp, Some(event.time));
        let id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        assert_eq!(told.source_event_id.as_deref(), Some(id));
        let expected = Event {
            id: event.id,
            action: Action::Push,
            change: None,
            previous_digest: None,
            registry: "reg.example.test:5000".to_owned(),
            repository: "team/app".parse().unwrap(),
            artifactory: None,
            tag: Some("1.4.2".parse().unwrap()),
            digest: digest("manifest"),
            kind: Some(ManifestKind::Image),
            media_type: Some("application/vnd.oci.image.manifest.v1+json".parse().unwrap()),
            artifact_type: None,
            size: Some(1582),
            total_size: None,
            platforms: Vec::new(),
            annotations: std::collections::BTreeMap::new(),
            subject_digest: None,
            actor: crate::event::Actor { name: Some("ci-bot".to_owned()) },
            request: Request {
                id: Some("6b1f7c0a-54f0-4a39-9d0f-6f8a5c1d2e3f".to_owned()),
                address: Some("203.0.113.7".to_owned()),
                user_agent: Some("docker/27.1".to_owned()),
            },
            origin: Origin::Notification,
            seen_by: vec!["distribution".to_owned()],
            outcome: Outcome::Confirmed,
            evidence: Evidence::Notification,
            digest_from: None,
            integrity: None,
            current_digest: None,
            late: false,
            superseded: false,
            concurrent: false,
            time: datetime!(2026-03-01 11:15:02.123456789 +2),
            started_at: None,
            answered_at: None,
            sequence: None,
        };
        assert_eq!(*event, expected);
    }

    #[test]
    fn an_envelope_of_3_x_is_taken_apart() {
        let parsed = parsed(ENVELOPE_3).unwrap();
        let told: Vec<(Action, Option<&str>, Option<Digest>)> = parsed
            .events
            .iter()
            .map(|told| &told.event)
            .map(|e| (e.action, e.tag.as_ref().map(|t| t.as_str()), e.digest.clone()))
            .collect();
        let expected = [
            (Action::Push, None, digest("child")),
            (Action::Push, Some("1.4.2"), digest("index")),
            (Action::Pull, Some("1.4.2"), digest("index")),
            (Action::Mount, None, digest("layer")),
            (Action::Delete, None, digest("index")),
            (Action::Delete, Some("1.4.2"), None),
            (Action::Delete, None, None),
        ];
        assert_eq!(told, expected);
        let [blob_push, blob_pull, unknown] = &parsed.skipped[..] else { panic!("{parsed:?}") };
        let layer = digest("layer").unwrap();
        let about = "; events are about manifests";
        assert_eq!(*blob_push, format!("`events[0]`: push of a blob, {layer}{about}"));
        assert_eq!(*blob_pull, format!("`events[4]`: pull of a blob, {layer}{about}"));
        assert!(unknown.contains("`events[9]`: the action `archive`"), "{unknown}");
        let delete = &parsed.events[5].event;
        assert_eq!((&delete.media_type, delete.size, delete.kind), (&None, None, None));
        assert_eq!(parsed.events[1].event.kind, Some(ManifestKind::Index));
        assert_eq!(parsed.events[3].event.kind, None);
        assert_eq!(parsed.warnings, Vec::<String>::new());
        let ids: std::collections::BTreeSet<_> = parsed.events.iter().map(|e| e.event.id).collect();
        assert_eq!(ids.len(), parsed.events.len());
    }

    #[test]
    fn our_name_for_the_registry_wins() {
        let named = Some("registry.example.com");
        let parsed = parse(Kind::Distribution, ENVELOPE_2, named).unwrap();
        assert_eq!(parsed.events[0].event.registry, "registry.example.com");
        let without = ENVELOPE_2.replace("\"host\"", "\"hosts\"");
        let error = parse(Kind::Distribution, &without, None).unwrap_err();
        assert!(error.to_string().contains("`--config`"), "{error}");
        assert!(parse(Kind::Distribution, &without, named).is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_path() {
        let d = digest("manifest").unwrap();
        for (from, to, expected) in [
            ("\"events\"", "\"event\"", "`events` is missing; it must be a list of events"),
            ("\"push\"", "\"\"", "`events[0].action` is missing; it must be `push`"),
            ("\"push\"", "7", "`events[0].action` is `7`; it must be a text"),
            (d.as_str(), "sha256:short", "`events[0].target.digest` is `sha256:short`; it must be"),
            ("\"digest\"", "\"digests\"", ""),
            (
                "team/app\",",
                "team/-app\",",
                "`events[0].target.repository` is `team/-app`; it must",
            ),
            ("\"repository\"", "\"r\"", "`events[0].target.repository` is missing; it must be"),
            ("\"1.4.2\"", "\"-x\"", "`events[0].target.tag` is `-x`; it must be a tag"),
            ("\"size\": 1582", "\"size\": 1.5e3", "`events[0].target.size` is `1.5e3`; it must be"),
            (
                "\"size\": 1582",
                "\"size\": -1",
                "`events[0].target.size` is `-1`; it must be a whole",
            ),
            ("application/vnd.oci", "x y/", "`events[0].target.mediaType` is `x y/"),
            (
                "2026-03-01T11:15:02.123456789+02:00",
                "9999-12-31T23:59:59-23:59",
                "`events[0].timestamp` is `9999-12-31T23:59:59-23:59`; it must be an RFC 3339",
            ),
            ("2026-03-01T", "2026-03-01 at ", "`events[0].timestamp` is `2026-03-01 at "),
            (
                "reg.example.test:5000\",\n",
                "a/b\",\n",
                "`events[0].request.host` is `a/b`; it must",
            ),
            (
                "\"request\": {",
                "\"request\": [], \"r\": {",
                "`events[0].request` is a list; it must",
            ),
        ] {
            let altered = ENVELOPE_2.replace(from, to);
            assert_ne!(altered, ENVELOPE_2, "{from}");
            match (parsed(&altered), expected) {
                (Ok(_), "") => {}
                (Err(error), expected) if !expected.is_empty() => {
                    let text = error.to_string();
                    assert!(text.starts_with("line ") && text.contains(expected), "{text}");
                }
                (other, expected) => panic!("{from}: {other:?}, not {expected}"),
            }
        }
        let error = parsed(&ENVELOPE_2.replace(d.as_str(), "sha256:short")).unwrap_err();
        assert!(error.to_string().starts_with("line 10, column 23: "), "{error}");
    }

    #[test]
    fn more_events_than_anyone_sends_are_refused() {
        let many = |count: usize| format!(r#"{{"events": [{}]}}"#, vec!["0"; count].join(","));
        let error = parsed(&many(1001)).unwrap_err();
        assert!(error.to_string().contains("lists 1001 events; at most 1000"), "{error}");
        let error = parsed(&many(1000)).unwrap_err();
        assert!(matches!(error, Error::Field { .. }), "{error}");
        assert_eq!(parsed(&many(0)).unwrap().skipped.len(), 1);
    }

    #[test]
    fn a_time_that_is_not_set_is_the_arrival() {
        let zero =
            ENVELOPE_2.replace("2026-03-01T11:15:02.123456789+02:00", "0001-01-01T00:00:00Z");
        assert_eq!(parsed(&zero).unwrap().events[0].event.time, RECEIVED);
        let missing = ENVELOPE_2.replace("\"timestamp\"", "\"when\"");
        let parsed = parsed(&missing).unwrap();
        assert_eq!(parsed.events[0].event.time, RECEIVED);
        assert!(parsed.warnings[0].contains("`events[0].timestamp` is missing"));
    }

    #[test]
    fn addresses_lose_their_port() {
        for (text, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7:51544", Some("203.0.113.7")),
            ("[2001:db8::1]:51544", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("@", None),
        ] {
            assert_eq!(address(text).as_deref(), expected);
        }
    }

    proptest! {
        /// What the dialect of the same name writes is in its golden files; this is the same shape.
        #[test]
        fn what_a_registry_tells_is_kept(
            repository in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}",
            tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            content: Vec<u8>,
            size in 1_u64..,
            media in 0_usize..7,
        ) {
            let digest = Digest::sha256(&content);
            let media_type = MediaType::MANIFESTS[media];
            let text = serde_json::json!({"events": [{
                "id": "1", "timestamp": "2026-03-01T09:15:02.123Z", "action": "push",
                "target": {"mediaType": media_type, "size": size, "digest": digest.as_str(),
                    "length": size, "repository": repository, "tag": tag},
                "request": {"host": "r.example.com"}, "actor": {}, "source": {},
            }]});
            let parsed = parsed(&text.to_string()).unwrap();
            let event = &parsed.events[0].event;
            prop_assert_eq!(event.repository.as_str(), repository);
            prop_assert_eq!(event.tag.as_ref().map(|t| t.as_str().to_owned()), tag);
            prop_assert_eq!(event.digest.as_ref(), Some(&digest));
            prop_assert_eq!(event.media_type.as_ref().map(MediaType::as_str), Some(media_type));
            prop_assert_eq!(event.size, Some(size));
        }
    }
}
