//! Google's Artifact Registry (and Container Registry before it), through a Pub/Sub subscription that pushes.
//!
//! ```text
//! {"message": {"data": "<base64 of the JSON below>", "messageId": "1001",
//!              "publishTime": "2026-03-01T09:15:02.1Z", "attributes": {}},
//!  "subscription": "projects/acme/subscriptions/relay"}
//!
//! {"action": "INSERT" | "DELETE", "digest": "eu-docker.pkg.dev/acme/apps/app@sha256:…",
//!  "tag": "eu-docker.pkg.dev/acme/apps/app:1.4.2"}
//! ```
//!
//! | what happened | fields |
//! |---|---|
//! | pushed by tag | `INSERT`, digest and tag |
//! | pushed by digest | `INSERT`, digest |
//! | tag removed | `DELETE`, tag |
//! | image deleted | `DELETE`, digest |
//!
//! - `tag` and `digest` are whole references, with the registry's host.
//! - Pub/Sub delivers at least once and in any order; a repetition has the same `messageId`. Some writers of the
//!   envelope say `message_id` and `publish_time` (unproven); those are read, too.
//! - A subscription without wrapping sends the inner JSON as the body (unproven); it then has neither id nor
//!   time, unless the headers of "write metadata" are there.
//! - Places in errors about the inner JSON count from its own beginning.
//!
//! Source: cloud.google.com, "Configure Pub/Sub notifications" of Artifact Registry; fluxcd/notification-controller
//! `internal/server/receiver_handlers.go` and keel-hq/keel `trigger/pubsub/pubsub.go` as independent readers.

use base64::Engine as _;
use http::HeaderMap;

use crate::event::Action;
use crate::event::schema::time_of;
use crate::registry::Digest;
use crate::registry::Reference;
use crate::registry::RepositoryName;

use super::BASE64;
use super::Place;
use super::error::Error;
use super::error::excerpt;
use super::json::Document;
use super::json::Escapes;
use super::json::Sort;
use super::node::Node;
use super::node::OBJECT;
use super::text_of;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::is_host;

const ACTION: &str = "`INSERT` or `DELETE`";
const DATA: &str = "the base64 of a JSON text";
const BY_TAG: &str = "a whole reference such as `eu-docker.pkg.dev/acme/apps/app:1.4.2`";
const BY_DIGEST: &str = "a whole reference such as `eu-docker.pkg.dev/acme/apps/app@sha256:…`";
const SAME: &str = "a reference of the same image as `digest`";

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    let Some(message) = root.object_if_any("message")? else {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let id = header("x-goog-pubsub-message-id").map(str::to_owned);
        let stamp = header("x-goog-pubsub-publish-time").and_then(time_of);
        if stamp.is_some() {
            reading.found_at("time", Place::Header("x-goog-pubsub-publish-time"));
        }
        let Some(mut told) = told(root, reading)? else {
            return Ok(());
        };
        told.identity = id.map_or(Identity::Arrival, Identity::Own);
        told.time = stamp;
        reading.push(0, told);
        return Ok(());
    };
    let id = match message.free_text("messageId")? {
        Some(id) => Some(id),
        None => message.free_text("message_id")?,
    };
    let mut time = message.time("publishTime")?;
    if time.is_none() {
        time = message.time("publish_time")?;
    }
    reading.found_in(&message, &[("time", "publishTime"), ("time", "publish_time")]);
    let data = message.need("data", DATA)?;
    let encoded = data.value().text().ok_or_else(|| data.wrong(DATA))?;
    let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| data.wrong(DATA))?;
    let mut inner = || {
        let mut document = Document::read(text_of(&bytes)?, Escapes::Strict)?;
        document.inside = "/message/data#";
        let root = Node::root(&document);
        if root.sort() == Sort::Object { told(&root, reading) } else { Err(root.wrong(OBJECT)) }
    };
    let Some(mut told) = inner().map_err(|error| data.inside(error))? else {
        return Ok(());
    };
    told.identity = id.map_or(Identity::Arrival, Identity::Own);
    told.time = time;
    reading.push(0, told);
    Ok(())
}

/// What the inner document tells.
fn told(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<Option<Told>, Error> {
    let word = root.text("action")?.ok_or_else(|| root.missing("action", ACTION))?;
    let action = match &*word {
        "INSERT" => Action::Push,
        "DELETE" => Action::Delete,
        other => {
            let other = excerpt(other);
            reading.skip(format!("the action `{other}` is none of INSERT, DELETE"));
            return Ok(None);
        }
    };
    let by_digest = named(root, "digest", BY_DIGEST)?;
    let by_tag = named(root, "tag", BY_TAG)?;
    let (host, repository) = match (&by_digest, &by_tag) {
        (Some(one), Some(other)) if (&one.0, &one.1) != (&other.0, &other.1) => {
            return Err(root.member("tag").unwrap_or_else(|| root.clone()).wrong(SAME));
        }
        (Some((host, repository, _)), _) | (None, Some((host, repository, _))) => {
            (host.clone(), repository.clone())
        }
        (None, None) => return Err(root.missing("digest", BY_DIGEST)),
    };
    let registry = reading.registry(Some(&host), "the reference has no host")?;
    let mut told = Told::new(Identity::Arrival, action, registry, repository);
    for (_, _, reference) in by_digest.into_iter().chain(by_tag) {
        match reference {
            Reference::Tag(tag) => told.tag = Some(tag),
            Reference::Digest(digest) => told.digest = Some(digest),
        }
    }
    let fields = [
        ("action", "action"),
        ("registry", "digest"),
        ("registry", "tag"),
        ("repository", "digest"),
        ("repository", "tag"),
        ("tag", "tag"),
        ("digest", "digest"),
    ];
    reading.found_in(root, &fields);
    Ok(Some(told))
}

/// A whole reference, if it is there.
fn named(
    root: &Node<'_>,
    key: &str,
    expected: &'static str,
) -> Result<Option<(String, RepositoryName, Reference)>, Error> {
    let Some(text) = root.text(key)? else {
        return Ok(None);
    };
    let wrong = || root.member(key).unwrap_or_else(|| root.clone()).wrong(expected);
    let (host, rest) = text.split_once('/').ok_or_else(wrong)?;
    let (name, reference) = match rest.split_once('@') {
        Some((name, digest)) => {
            (name, digest.parse::<Digest>().map(Reference::Digest).map_err(|_| wrong())?)
        }
        None => {
            let (name, tag) = rest.rsplit_once(':').ok_or_else(wrong)?;
            (name, tag.parse().map(Reference::Tag).map_err(|_| wrong())?)
        }
    };
    if !is_host(host) || reference.digest().is_some() != (key == "digest") {
        return Err(wrong());
    }
    Ok(Some((host.to_owned(), name.parse().map_err(|_| wrong())?, reference)))
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

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Gcr, text, None)
    }

    /// The envelope around an inner document.
    fn wrapped(inner: &str) -> String {
        let data = base64::prelude::BASE64_STANDARD.encode(inner);
        format!(
            "{{\"message\": {{\"data\": \"{data}\", \"messageId\": \"1\"}}, \"subscription\": \"s\"}}"
        )
    }

    fn inner(action: &str, digest: bool, tag: bool) -> String {
        let mut fields = vec![format!("\"action\": \"{action}\"")];
        let (name, d) = ("eu-docker.pkg.dev/acme/apps/app", Digest::sha256(b"index"));
        fields.extend(digest.then(|| format!("\"digest\": \"{name}@{d}\"")));
        fields.extend(tag.then(|| format!("\"tag\": \"{name}:1.4.2\"")));
        format!("{{{}}}", fields.join(", "))
    }

    #[test]
    fn a_push_is_an_event() {
        let told = only(parsed(fixture("gcr-insert")).unwrap());
        let event = &told.event;
        assert_eq!(event.registry, "eu-docker.pkg.dev");
        assert_eq!(event.subject(), "acme/apps/app:1.4.2");
        assert_eq!(event.digest, Some(Digest::sha256(b"index")));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02.1 UTC)));
        assert_eq!(told.source_event_id.as_deref(), Some("1001"));
        let pointer = Place::Pointer("/message/data#/tag".to_owned());
        assert!(told.origins.contains(&("tag", pointer)), "{:?}", told.origins);
        let snake = fixture("gcr-insert")
            .replace("messageId", "message_id")
            .replace("publishTime", "publish_time");
        let again = only(parsed(&snake).unwrap());
        assert_eq!((again.source_event_id, again.stamp), (told.source_event_id, told.stamp));
    }

    #[test]
    fn the_four_changes_are_told_apart() {
        let digest = Some(Digest::sha256(b"index"));
        for (word, has_digest, has_tag, action) in [
            ("INSERT", true, true, Action::Push),
            ("INSERT", true, false, Action::Push),
            ("DELETE", false, true, Action::Delete),
            ("DELETE", true, false, Action::Delete),
        ] {
            let event = only(parsed(&wrapped(&inner(word, has_digest, has_tag))).unwrap()).event;
            assert_eq!(event.action, action);
            assert_eq!(event.tag.is_some(), has_tag);
            assert_eq!(event.digest, digest.clone().filter(|_| has_digest));
        }
    }

    #[test]
    fn without_wrapping_the_body_is_the_inner_document() {
        let body = inner("INSERT", true, true);
        let told = only(parsed(&body).unwrap());
        assert_eq!((told.source_event_id, told.stamp), (None, None));
        let headers = [
            ("x-goog-pubsub-message-id", "7"),
            ("x-goog-pubsub-publish-time", "2026-03-01T09:15:02.1Z"),
        ];
        let told = only(parse_with(Kind::Gcr, &headers, &body, None).unwrap());
        assert_eq!(told.source_event_id.as_deref(), Some("7"));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02.1 UTC)));
    }

    #[test]
    fn other_actions_are_skipped() {
        let parsed = parsed(&wrapped(&inner("TOUCH", true, true))).unwrap();
        assert!(parsed.events.is_empty() && parsed.skipped[0].contains("`TOUCH`"), "{parsed:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let good = inner("INSERT", true, true);
        let within = "`message.data` cannot be used: line 1, column ";
        for (text, expected) in [
            (r#"{"message": {}}"#.to_owned(), "`message.data` is missing; it must be the base64"),
            (r#"{"message": {"data": "*"}}"#.to_owned(), "`message.data` is `*`; it must be the"),
            (r#"{"message": {"data": 7}}"#.to_owned(), "`message.data` is `7`; it must be the"),
            (r#"{"message": 7}"#.to_owned(), "`message` is `7`; it must be an object"),
            (wrapped("{"), within),
            (wrapped("[]"), "`the notification` is a list; it must be an object"),
            (
                wrapped(r#"{"action": "INSERT", "action": "DELETE"}"#),
                "the key `action` is there twice",
            ),
            (
                wrapped(r#"{"action": "INSERT"}"#),
                "`digest` is missing; it must be a whole reference",
            ),
            (wrapped(&good.replace("app:1.4.2", "other:1.4.2")), "of the same image as `digest`"),
            (wrapped(&good.replace(":1.4.2", "")), "`tag` is `eu-docker.pkg.dev/acme/apps/app`"),
            (wrapped(&good.replace("@sha256", ":sha256")), "`digest` is `eu-docker"),
            (wrapped(&good.replace("eu-docker.pkg.dev/", "/")), "`digest` is `/acme/apps/app@"),
            ("{}".to_owned(), "`action` is missing; it must be `INSERT` or `DELETE`"),
        ] {
            let error = parsed(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
