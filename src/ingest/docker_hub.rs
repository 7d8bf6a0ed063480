//! Docker Hub's webhook: today's, and the one of its automated builds that old documentation shows.
//!
//! ```text
//! {"callback_url": "https://registry.hub.docker.com/u/acme/app/hook/…/",
//!  "push_data": {"pushed_at": 1767225600, "pusher": "ci", "tag": "1.4.2", "images": […],
//!                "media_type": "…"},
//!  "repository": {"repo_name": "acme/app", "namespace": "acme", "name": "app", …}}
//! ```
//!
//! - It tells pushes and nothing else, and never a digest. There is no id: the Hub sends one push of a
//!   multi-platform image as several calls with the same bytes, which make one event.
//! - `pushed_at` is a number of seconds, written as `1767225600` today and as `1.417566161e+09` once; a
//!   number in quotes and a missing one are taken too.
//! - `tag` is missing in notifications from before 2017. The event then has none: which tag was meant
//!   cannot be known.
//! - Old samples of the documentation are not JSON: they escape `[` and `]`. Such an escape is read as
//!   the mark behind it, with a warning that names the place.
//! - `repo_name` is `namespace/name`. Where it begins with a host, as from registries that imitate the
//!   Hub, that is the registry; otherwise the registry is `docker.io`.
//! - The body is not signed, so anyone can choose its URLs: `repo_url` is never read, and `callback_url` only
//!   where it is Docker Hub's own. It is no part of the event.
//! - `comment_count` is a text or a number, `images` a list, `null` or absent: none of them is read.
//!
//! Source: docker/docs `docker-hub/webhooks.md`, old and current; jenkinsci/dockerhub-notification-plugin
//! (test payloads); akuity/kargo `pkg/webhook/external/dockerhub.go` (`media_type`).

use time::OffsetDateTime;

use crate::event::Action;
use crate::registry::RepositoryName;

use super::Callback;
use super::error::Error;
use super::json::Sort;
use super::node::MEDIA_TYPE;
use super::node::Node;
use super::node::REPOSITORY;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::is_host;
use super::told::split;
use super::told::split_host;

const SECONDS: &str = "the number of seconds since 1970, such as 1767225600";

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let push = root.object("push_data")?;
    let (registry, repository) = names(&root.object("repository")?, reading)?;
    let (tag, digest) = split(push.reference("tag")?);
    if tag.is_none() && digest.is_none() {
        let sentence = "`push_data.tag` is missing, as it was before 2017: the event names no tag";
        reading.warn(sentence.to_owned());
    }
    let time = match push.member("pushed_at") {
        Some(node) => seconds(&node)?,
        None => None,
    };
    if time.is_none() {
        let sentence = "`push_data.pushed_at` is missing; the time is that of the arrival";
        reading.warn(sentence.to_owned());
    }
    let identity = if time.is_some() { Identity::Bytes } else { Identity::Arrival };
    let mut told = Told::new(identity, Action::Push, registry, repository);
    told.tag = tag;
    told.digest = digest;
    told.media_type = push.parse_if_any("media_type", MEDIA_TYPE)?;
    told.actor = push.free_text("pusher")?;
    told.time = time;
    let kind = told.media_type.as_ref().map(|_| ("kind", "media_type"));
    reading.found_in(&push, &PUSH);
    reading.found_in(&push, kind.as_slice());
    callback(root, reading);
    reading.push(0, told);
    Ok(())
}

/// What is read of `push_data`.
const PUSH: [(&str, &str); 5] = [
    ("tag", "tag"),
    ("digest", "tag"),
    ("media_type", "media_type"),
    ("actor", "pusher"),
    ("time", "pushed_at"),
];

/// Where the Hub wants to hear what became of the push; any other address is left out.
fn callback(root: &Node<'_>, reading: &mut Reading<'_>) {
    let Some(url) = reading.lenient(root.text("callback_url")) else {
        return;
    };
    reading.parsed.callback = Callback::of(&url);
    if reading.parsed.callback.is_none() {
        let sentence = "`callback_url` is not one of Docker Hub's own; left out";
        reading.warn(sentence.to_owned());
    }
}

/// The registry and the repository.
fn names(
    repository: &Node<'_>,
    reading: &mut Reading<'_>,
) -> Result<(String, RepositoryName), Error> {
    let wrong = |key: &str| match repository.member(key) {
        Some(node) => node.wrong(REPOSITORY),
        None => repository.missing(key, REPOSITORY),
    };
    let Some(full) = repository.text("repo_name")? else {
        let name = repository.text("name")?.ok_or_else(|| wrong("repo_name"))?;
        let namespace = repository.text("namespace")?;
        let path = namespace.map_or_else(|| name.to_string(), |n| format!("{n}/{name}"));
        let path = path.parse().map_err(|_| wrong("name"))?;
        reading.found_in(repository, &[("repository", "name")]);
        return Ok((reading.registry(Some("docker.io"), NO_HOST)?, path));
    };
    let (host, path) = split_host(&full);
    reading.found_in(repository, &[("repository", "repo_name")]);
    if host.is_some() {
        reading.found_in(repository, &[("registry", "repo_name")]);
    }
    let host = host.unwrap_or("docker.io");
    if !is_host(host) {
        return Err(wrong("repo_name"));
    }
    let registry = reading.registry(Some(host), NO_HOST)?;
    if full.len() != path.len() && registry != host {
        reading.warn(format!("`repository.repo_name` says {host}, our name for it is {registry}"));
    }
    Ok((registry, path.parse().map_err(|_| wrong("repo_name"))?))
}

const NO_HOST: &str = "`repository.repo_name` has no host";

/// A number of seconds in any of the ways the Hub has written one; 0 is as good as absent.
fn seconds(node: &Node<'_>) -> Result<Option<OffsetDateTime>, Error> {
    let text = match node.sort() {
        Sort::Number => node.value().raw().into(),
        Sort::Text => node.value().text().unwrap_or_default(),
        _ => return Err(node.wrong(SECONDS)),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let number = || text.parse::<f64>().ok().filter(|n| n.is_finite() && n.abs() < 1e12);
    #[expect(clippy::cast_possible_truncation, reason = "checked: far inside the range")]
    let whole = text.parse::<i64>().ok().or_else(|| number().map(|n| n.trunc() as i64));
    let time = whole.and_then(|n| OffsetDateTime::from_unix_timestamp(n).ok());
    let time = time.filter(|time| *time >= OffsetDateTime::UNIX_EPOCH);
    let time = time.ok_or_else(|| node.wrong(SECONDS))?;
    Ok(Some(time).filter(|time| *time != OffsetDateTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use time::macros::datetime;

    use crate::event::Event;
    use crate::registry::Kind as ManifestKind;

    use super::super::Context;
    use super::super::Kind;
    use super::super::Parsed;
    use super::super::read;
    use super::super::tests::RECEIVED;
    use super::super::tests::parse;
    use super::*;

    const TODAY: &str = include_str!("../../tests/fixtures/notifications/docker-hub-today.json");
    const LEGACY: &str = include_str!("../../tests/fixtures/notifications/docker-hub-legacy.json");

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::DockerHub, text, None)
    }

    fn only(text: &str) -> Event {
        let mut parsed = parsed(text).unwrap();
        assert_eq!(parsed.events.len(), 1);
        parsed.events.remove(0).event
    }

    #[test]
    fn todays_webhook_is_an_event() {
        let event = only(TODAY);
        assert_eq!(event.registry, "docker.io");
        assert_eq!(event.subject(), "acme/app:1.4.2");
        assert_eq!(event.time, datetime!(2026-01-01 0:00 UTC));
        assert_eq!(event.actor.name.as_deref(), Some("ci"));
        assert_eq!((event.action, event.digest.is_none()), (Action::Push, true));
        assert_eq!(event.kind, Some(ManifestKind::Index));
        assert_eq!(parsed(TODAY).unwrap().warnings, Vec::<String>::new());
    }

    #[test]
    fn the_old_documentation_is_read_with_warnings() {
        let read = parsed(LEGACY).unwrap();
        assert_eq!(read.events[0].event.subject(), "acme/testhook:latest");
        assert_eq!(read.events[0].event.time, datetime!(2014-12-03 00:22:41 UTC));
        let expected = [
            r"line 15, column 76: `\[` is not an escape of JSON, read as `[`",
            r"line 15, column 95: `\]` is not an escape of JSON, read as `]`",
        ];
        assert_eq!(read.warnings, expected);
        let many = LEGACY.replace("docker build", &r"\[".repeat(20));
        let warnings = parsed(&many).unwrap().warnings;
        assert_eq!(warnings.len(), 9);
        assert_eq!(warnings[8], "14 more escapes that are not JSON's, read the same way");
    }

    #[test]
    fn the_samples_of_the_documentation_are_taken_as_they_are() {
        for name in ["docker-hub-documented", "docker-hub-documented-older"] {
            let read = parsed(super::super::tests::fixture(name)).unwrap();
            let event = &read.events[0].event;
            assert_eq!(event.reference(), "docker.io/svendowideit/testhook:latest");
            assert_eq!(event.time, datetime!(2014-12-03 00:22:41 UTC));
            assert_eq!(event.actor.name.as_deref(), Some("trustedbuilder"));
            let callback = read.callback.unwrap();
            assert_eq!(callback.uri().host(), Some("registry.hub.docker.com"));
            let expected = r"line 17, column 368: `\]` is not an escape of JSON, read as `]`";
            assert_eq!(read.warnings, [expected]);
        }
    }

    #[test]
    fn what_nobody_needs_may_be_anything() {
        let plain = only(TODAY);
        for (from, to) in [
            ("\"images\": []", "\"images\": null"),
            ("\"images\": []", "\"images\": [\"27d47432\", \"...\"]"),
            (",\n    \"images\": []", ""),
            ("\"comment_count\": 0", "\"comment_count\": \"0\""),
            ("\"date_created\": 1700000000", "\"date_created\": 1.417494799e+09"),
            ("\"full_description\": \"\"", "\"full_description\": \"# A README\\n\""),
        ] {
            let text = TODAY.replace(from, to);
            assert_ne!(text, TODAY, "{from}");
            let event = only(&text);
            let expected = Event { id: event.id, ..plain.clone() };
            assert_eq!(event, expected, "{to}");
        }
    }

    #[test]
    fn only_docker_hubs_own_callback_is_one() {
        assert!(parsed(TODAY).unwrap().callback.is_some());
        let evil = TODAY.replace("registry.hub.docker.com", "169.254.169.254");
        let parsed_evil = parsed(&evil).unwrap();
        assert_eq!(parsed_evil.callback, None);
        assert!(parsed_evil.warnings[0].contains("`callback_url` is not"), "{parsed_evil:?}");
        assert_eq!(parsed(&TODAY.replace("callback_url", "c")).unwrap().callback, None);
    }

    #[test]
    fn times_are_taken_as_the_hub_has_written_them() {
        for (written, expected) in [
            ("1767225600", Some(datetime!(2026-01-01 0:00 UTC))),
            ("1.7672256e+09", Some(datetime!(2026-01-01 0:00 UTC))),
            ("1.7672256E9", Some(datetime!(2026-01-01 0:00 UTC))),
            ("1767225600.75", Some(datetime!(2026-01-01 0:00 UTC))),
            ("\"1767225600\"", Some(datetime!(2026-01-01 0:00 UTC))),
            ("0", None),
            ("\"0\"", None),
            ("\"\"", None),
            ("null", None),
        ] {
            let text = TODAY.replace("1767225600", written);
            let parsed = parsed(&text).unwrap();
            assert_eq!(parsed.events[0].event.time, expected.unwrap_or(RECEIVED), "{written}");
            assert_eq!(parsed.warnings.is_empty(), expected.is_some(), "{written}");
        }
        for bad in ["-1", "1e300", "1e13", "true", "[]", "\"yesterday\"", "\"inf\"", "\"nan\""] {
            let error = parsed(&TODAY.replace("1767225600", bad)).unwrap_err().to_string();
            assert!(
                error.contains("`push_data.pushed_at` is ") && error.contains(SECONDS),
                "{error}"
            );
        }
    }

    #[test]
    fn a_missing_tag_stays_missing() {
        let parsed = parsed(&TODAY.replace("\"tag\"", "\"no_tag\"")).unwrap();
        assert_eq!(parsed.events[0].event.tag, None);
        assert_eq!(parsed.events[0].event.subject(), "acme/app");
        assert!(parsed.warnings[0].contains("`push_data.tag` is missing"), "{parsed:?}");
    }

    #[test]
    fn names_come_in_several_ways() {
        for (written, registry, repository) in [
            ("\"repo_name\": \"acme/app\"", "docker.io", "acme/app"),
            ("\"repo_name\": \"r.example.com:5000/team/app\"", "r.example.com:5000", "team/app"),
            ("\"repo_name\": \"localhost/app\"", "localhost", "app"),
            ("\"repo_name\": \"\"", "docker.io", "acme/app"),
            ("\"repo_name\": null", "docker.io", "acme/app"),
        ] {
            let event = only(&TODAY.replace("\"repo_name\": \"acme/app\"", written));
            assert_eq!(event.registry, registry, "{written}");
            assert_eq!(event.repository.as_str(), repository, "{written}");
        }
        let named = Some("hub.example.com");
        let foreign = TODAY.replace("acme/app\"", "r.example.com/acme/app\"");
        let parsed = parse(Kind::DockerHub, &foreign, named).unwrap();
        assert_eq!(parsed.events[0].event.registry, "hub.example.com");
        assert_eq!(parsed.events[0].event.repository.as_str(), "acme/app");
        assert!(parsed.warnings[0].contains("says r.example.com"), "{parsed:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_path() {
        for (from, to, expected) in [
            ("\"push_data\"", "\"push\"", "`push_data` is missing; it must be an object"),
            ("\"repository\": {", "\"repository\": 1, \"r\": {", "`repository` is `1`; it must be"),
            (
                "\"acme/app\"",
                "\"Acme//App\"",
                "`repository.repo_name` is `Acme//App`; it must be a",
            ),
            ("\"acme/app\"", "7", "`repository.repo_name` is `7`; it must be a text"),
            ("\"1.4.2\"", "\"a b\"", "`push_data.tag` is `a b`; it must be a tag"),
            ("\"1.4.2\"", "\"sha256:x\"", "`push_data.tag` is `sha256:x`; it must be a tag"),
        ] {
            let error = parsed(&TODAY.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn one_push_told_twice_is_one_event() {
        let later = RECEIVED + time::Duration::MINUTE;
        let again = Context::at(later);
        let again = read(Kind::DockerHub, &HeaderMap::new(), TODAY.as_bytes(), &again).unwrap();
        assert_eq!(only(TODAY).id, again.events[0].event.id);
        assert_ne!(only(TODAY).id, only(&TODAY.replace("1767225600", "1767225601")).id);
    }
}
