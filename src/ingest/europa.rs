//! Puppet Container Registry, which was Distelli Europa.
//!
//! ```text
//! x-europa-event: DockerImagePush   x-europa-event-id: <26 characters>   x-europa-signature: <base64>
//! {"event": "DockerImagePush",
//!  "image": {"tags": ["1.4.2"], "sha": "sha256:…", "size": null, "pushed": "2026-03-01T09:15:02.123Z"},
//!  "repository": {"name": "team/app", "region": null, "provider": "EUROPA"}}
//! ```
//!
//! - **A delete is the same event with `"sha": null`**: of a tag that was removed here, or is gone from the remote
//!   repository. Nulls are written; a `sha` that is not there at all is an error, not a delete.
//! - `sha` is the digest of the manifest. `size` is virtual, of all layers: it is not the manifest's, and is not
//!   read.
//! - Every write of a tag is told, changed or not; pushes by digest are not.
//! - The button "Test Webhook" sends a fixed sample of the repository `test-repo` whose `sha` is 40 hex digits and
//!   no digest: that is how it is known.
//! - `pushed` may be empty. `x-europa-event-id` is new at each "Redeliver" and not signed, so it tells two
//!   reports apart only where there is no time.
//! - No host is named. Of the `provider`s only `DOCKERHUB` stands for one (`docker.io`); otherwise the registry's
//!   name must be configured.
//! - Connecting a remote repository of many tags sends one webhook for each.
//!
//! Source: ramakrishnamukku/europa, a fork with the original source, `com/distelli/europa/notifiers` and
//! `models`; the webhook documentation of Puppet Container Registry.

use http::HeaderMap;

use crate::event::Action;
use crate::registry::Digest;
use crate::registry::RepositoryName;

use super::Place;
use super::error::Error;
use super::error::excerpt;
use super::json::Sort;
use super::node::DIGEST;
use super::node::Node;
use super::node::REPOSITORY;
use super::node::TAG;
use super::node::TEXT;
use super::node::clean;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::part;
use super::told::split;

const EVENT: &str = "DockerImagePush";
const NO_HOST: &str = "its `provider` does not stand for one";
const TAGS: &str = "a list of tags";
const SHA: &str = "the digest of the manifest, or null for a delete";

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    let word = root.text("event")?.ok_or_else(|| root.missing("event", TEXT))?;
    if word != EVENT {
        let word = excerpt(&word);
        reading.skip(format!("the event `{word}` is not `{EVENT}`"));
        return Ok(());
    }
    let image = root.object("image")?;
    let named = root.object("repository")?;
    let repository: RepositoryName = named.parse("name", REPOSITORY)?;
    if is_test(&image, &repository)? {
        reading.test("the sample of the button \"Test Webhook\"; nothing happened".to_owned());
        return Ok(());
    }
    let sha = image.value().member("sha").ok_or_else(|| image.missing("sha", SHA))?;
    let digest: Option<Digest> = match sha.sort() {
        Sort::Null => None,
        _ => Some(image.parse("sha", DIGEST)?),
    };
    let action = if digest.is_some() { Action::Push } else { Action::Delete };
    let time = image.time("pushed")?;
    let id = headers.get("x-europa-event-id").and_then(|value| value.to_str().ok());
    let hub = named.text("provider")?.filter(|provider| provider == "DOCKERHUB");
    let registry = reading.registry(hub.map(|_| "docker.io"), NO_HOST)?;
    let tags = image.list("tags", TAGS)?;
    if tags.value().items().count() == 0 {
        reading.skip("`image.tags` is empty: nothing happened to a tag".to_owned());
    }
    for (place, node) in tags.items().enumerate() {
        if node.value().text().is_none_or(|text| text.is_empty()) {
            return Err(node.wrong(TAG));
        }
        let identity = match (time, id) {
            (Some(_), _) => Identity::Bytes,
            (None, Some(id)) => Identity::Own(part(&clean(id), place)),
            (None, None) => Identity::Arrival,
        };
        let mut told = Told::new(identity, action, registry.clone(), repository.clone());
        let (tag, tag_digest) = split(Some(node.as_reference()?));
        if tag.is_none() {
            reading.found_at("digest", Place::Pointer(node.pointer()));
        }
        reading.found_at("tag", Place::Pointer(node.pointer()));
        reading.found_at("action", Place::Pointer("/image/sha".to_owned()));
        told.tag = tag;
        told.digest = tag_digest.or_else(|| digest.clone());
        // Of a delete nobody has said whether it is the time of the push or of its end.
        told.time = time.filter(|_| action == Action::Push);
        reading.found_in(&image, &[("digest", "sha"), ("time", "pushed")]);
        reading.found_in(&named, &[("repository", "name"), ("registry", "provider")]);
        reading.push(place, told);
    }
    Ok(())
}

/// Whether it is the fixed sample: its `sha` is that of no manifest.
fn is_test(image: &Node<'_>, repository: &RepositoryName) -> Result<bool, Error> {
    let sha = if repository.as_str() == "test-repo" { image.member("sha") } else { None };
    let Some(sha) = sha else {
        return Ok(false);
    };
    let text = sha.value().text().ok_or_else(|| sha.wrong(SHA))?;
    Ok(text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::Kind;
    use super::super::Parsed;
    use super::super::tests::RECEIVED;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::super::tests::parse_with;
    use super::*;

    const NAMED: Option<&str> = Some("pcr.example.com");

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Europa, text, NAMED)
    }

    #[test]
    fn a_push_is_an_event() {
        let told = only(parsed(fixture("europa-push")).unwrap());
        let event = &told.event;
        assert_eq!((event.action, event.subject()), (Action::Push, "team/app:1.4.2".to_owned()));
        assert_eq!(event.digest, Some(Digest::sha256(b"manifest")));
        assert_eq!((event.size, event.registry.as_str()), (None, "pcr.example.com"));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02.123 UTC)));
    }

    #[test]
    fn a_null_digest_is_a_delete_and_a_missing_one_an_error() {
        let text = fixture("europa-delete");
        let told = only(parsed(text).unwrap());
        assert_eq!((told.event.action, &told.event.digest), (Action::Delete, &None));
        assert_eq!(
            (told.event.subject(), told.event.time),
            ("team/app:1.4.2".to_owned(), RECEIVED)
        );
        let error = parsed(&text.replace("\"sha\"", "\"s\"")).unwrap_err().to_string();
        assert!(error.contains("`image.sha` is missing; it must be the digest"), "{error}");
        let error = parsed(&text.replace("null,\"size\"", "\"\",\"size\"")).unwrap_err();
        assert!(error.to_string().contains("`image.sha` is ``"), "{error}");
    }

    #[test]
    fn the_test_is_known_by_its_hash() {
        let text = fixture("europa-test");
        let parsed_test = parsed(text).unwrap();
        assert!(parsed_test.is_test && parsed_test.events.is_empty(), "{parsed_test:?}");
        // A repository may be called that.
        let real = text.replace(
            "d573f3ab519f9e83046bbc66d9f68fb11c3a7037",
            Digest::sha256(b"manifest").as_str(),
        );
        assert_eq!(only(parsed(&real).unwrap()).event.subject(), "test-repo:12345");
        let other = text.replace("test-repo", "other-repo");
        assert!(parsed(&other).unwrap_err().to_string().contains("`image.sha` is `d573f3ab"));
    }

    #[test]
    fn a_redelivery_is_the_same_event() {
        let text = fixture("europa-push");
        let with = |text: &str, id| {
            only(parse_with(Kind::Europa, &[("x-europa-event-id", id)], text, NAMED).unwrap())
        };
        assert_eq!(with(text, "a").event.id, with(text, "b").event.id);
        let timeless = text.replace("2026-03-01T09:15:02.123Z", "");
        assert_ne!(with(&timeless, "a").event.id, with(&timeless, "b").event.id);
        assert_eq!(with(&timeless, "a").source_event_id.as_deref(), Some("a"));
    }

    #[test]
    fn docker_hub_is_the_one_provider_with_a_name() {
        let text = fixture("europa-push");
        let hub = text.replace("EUROPA", "DOCKERHUB");
        let event = only(parse(Kind::Europa, &hub, None).unwrap()).event;
        assert_eq!(event.registry, "docker.io");
        for provider in ["EUROPA", "ECR", "PRIVATE", "GCR"] {
            let error = parse(Kind::Europa, &text.replace("EUROPA", provider), None).unwrap_err();
            assert!(matches!(error, Error::Registry { .. }), "{error}");
        }
    }

    #[test]
    fn each_tag_is_an_event() {
        let text = fixture("europa-push").replace("[\"1.4.2\"]", "[\"1\",\"2\"]");
        let events = parsed(&text).unwrap().events;
        assert_eq!(events.len(), 2);
        assert_ne!(events[0].event.id, events[1].event.id);
        let none = parsed(&fixture("europa-push").replace("[\"1.4.2\"]", "[]")).unwrap();
        assert!(none.events.is_empty() && none.skipped.len() == 1, "{none:?}");
        let other = parsed(&text.replace(EVENT, "Other")).unwrap();
        assert!(other.skipped[0].contains("`Other`"), "{other:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("europa-push");
        for (from, to, expected) in [
            ("\"event\"", "\"e\"", "`event` is missing"),
            ("\"image\"", "\"i\"", "`image` is missing; it must be an object"),
            ("\"repository\"", "\"r\"", "`repository` is missing; it must be an object"),
            ("\"tags\"", "\"t\"", "`image.tags` is missing; it must be a list of tags"),
            ("[\"1.4.2\"]", "[7]", "`image.tags[0]` is `7`; it must be a tag"),
            ("2026-03-01T", "x", "`image.pushed` is `x09:15:02.123Z`; it must be an RFC 3339"),
            ("sha256:", "sha256-", "`image.sha` is `sha256-"),
        ] {
            let error = parsed(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
