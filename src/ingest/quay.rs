//! Quay's webhook for the event `repo_push`, of quay.io and of Red Hat Quay.
//!
//! ```text
//! {"name": "app", "namespace": "acme", "repository": "acme/app", "docker_url": "quay.example.test/acme/app",
//!  "homepage": "…", "updated_tags": ["1.4.2"]}
//! ```
//!
//! - The event's name is not in the body. A body without `updated_tags` is of another event and is skipped: use
//!   one URL for each event.
//! - It tells tags only: no digest, nobody, no time, no id, and no delete. A multi-platform push is one event.
//! - `updated_tags` has one entry for a push of today; old pushes and the test event have several, each an event.
//! - Fields that nobody asked for, such as `pruned_image_count`, are in some. A template of the
//!   administrator's may replace the whole body: it must have these fields to be read.
//! - Three tries that fail in a row switch the notification off at Quay until somebody resets it there.
//!
//! Source: quay/quay `notifications/notificationevent.py`, `notificationmethod.py`, `endpoints/v2/manifest.py`.

use crate::event::Action;
use crate::registry::RepositoryName;

use super::error::Error;
use super::node::Node;
use super::node::REPOSITORY;
use super::node::TAG;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split;
use super::told::split_host;

const TAGS: &str = "a list of tags";

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let repository: RepositoryName = root.parse("repository", REPOSITORY)?;
    if root.member("updated_tags").is_none() {
        let sentence = "no `updated_tags`: it is none of the event `repo_push`";
        reading.skip(sentence.to_owned());
        return Ok(());
    }
    let tags = root.list("updated_tags", TAGS)?;
    let url = root.text("docker_url")?;
    let host = url.as_deref().and_then(|url| split_host(url).0);
    let registry = reading.registry(host, "`docker_url` has no host")?;
    if tags.value().items().count() == 0 {
        reading.skip("`updated_tags` is empty: nothing happened".to_owned());
    }
    for (place, node) in tags.items().enumerate() {
        if node.value().text().is_none_or(|text| text.is_empty()) {
            return Err(node.wrong(TAG));
        }
        let mut told =
            Told::new(Identity::Arrival, Action::Push, registry.clone(), repository.clone());
        (told.tag, told.digest) = split(Some(node.as_reference()?));
        let field = if told.tag.is_some() { "tag" } else { "digest" };
        reading.found_at(field, super::Place::Pointer(node.pointer()));
        reading.found_in(root, &[("repository", "repository"), ("registry", "docker_url")]);
        reading.push(place, told);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::tests::RECEIVED;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;

    #[test]
    fn a_push_is_an_event() {
        let told = only(parse(Kind::Quay, fixture("quay-push"), None).unwrap());
        assert_eq!(told.event.reference(), "quay.example.test/acme/app:1.4.2");
        assert_eq!((told.stamp, told.source_event_id), (None, None));
        assert_eq!((told.event.time, told.event.actor.name), (RECEIVED, None));
    }

    #[test]
    fn each_tag_is_an_event() {
        let text = fixture("quay-push").replace("[\"1.4.2\"]", r#"["1.4", "1.4.2", "latest"]"#);
        let parsed = parse(Kind::Quay, &text, None).unwrap();
        let subjects: Vec<String> = parsed.events.iter().map(|t| t.event.subject()).collect();
        assert_eq!(subjects, ["acme/app:1.4", "acme/app:1.4.2", "acme/app:latest"]);
        let ids: std::collections::BTreeSet<_> = parsed.events.iter().map(|t| t.event.id).collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn other_events_are_skipped() {
        for text in [
            fixture("quay-push").replace("updated_tags", "build_id"),
            fixture("quay-push").replace("[\"1.4.2\"]", "[]"),
        ] {
            let parsed = parse(Kind::Quay, &text, None).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped.len() == 1, "{parsed:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("quay-push");
        for (from, to, expected) in [
            ("\"repository\"", "\"r\"", "`repository` is missing"),
            ("\"1.4.2\"", "7", "`updated_tags[0]` is `7`; it must be a tag"),
            ("\"1.4.2\"", "\"\"", "`updated_tags[0]` is ``; it must be a tag"),
            ("[\"1.4.2\"]", "{}", "`updated_tags` is an object; it must be a list of tags"),
            ("quay.example.test/", "", "`docker_url` has no host"),
        ] {
            let error = parse(Kind::Quay, &text.replace(from, to), None).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}, not {expected}");
        }
    }
}
