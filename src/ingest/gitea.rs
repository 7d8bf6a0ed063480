//! Gitea's and Forgejo's webhook of packages.
//!
//! ```text
//! {"action": "created" | "deleted", "repository": {…} | null, "package": {
//!     "id": 7, "owner": {"login": "acme"}, "creator": {"login": "ci"}, "type": "container",
//!     "name": "team/app", "version": "1.4.2", "html_url": "https://git.example.test/acme/-/packages/…",
//!     "created_at": "<RFC 3339>"}, "organization": {…} | null, "sender": {"login": "ci"}}
//! ```
//!
//! - `version` is the tag **in lower case** (`V1-RC` arrives as `v1-rc`), or the digest where the manifest was
//!   pushed by it, as the children of an index are. A push by tag tells no digest.
//! - A tag that is overwritten is `created` again; no `deleted` comes before it.
//! - `created_at` is when the version was made: of a delete nobody says when.
//! - `X-Gitea-Event` (`X-Forgejo-Event`) is `package`; other events are skipped, and so are other types of packages.
//! - The host is that of `html_url`, where no other is known.
//! - The ids of the delivery are not covered by the signature, so they tell no repetition: the bytes do.
//! - The body may be a form, `payload=<JSON>`; the signature is then over the JSON, unlike GitHub's. Hooks that
//!   use `GET` have no body and cannot be read.
//!
//! Source: go-gitea/gitea `services/webhook/deliver.go`, `modules/structs/{hook,package}.go`,
//! `routers/api/packages/container/manifest.go`; forgejo.org, user documentation of webhooks.

use http::HeaderMap;

use crate::event::Action;
use crate::registry::RepositoryName;

use super::error::Error;
use super::error::excerpt;
use super::node::Node;
use super::node::REPOSITORY;
use super::node::TAG;
use super::node::TEXT;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split;

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    let event = ["x-forgejo-event", "x-gitea-event"].into_iter().find_map(|h| headers.get(h));
    let event = event.map(|value| String::from_utf8_lossy(value.as_bytes()));
    if let Some(other) = event.filter(|event| event != "package") {
        let other = excerpt(&other);
        reading.skip(format!("the event `{other}` is not `package`"));
        return Ok(());
    }
    let word = root.text("action")?.ok_or_else(|| root.missing("action", TEXT))?;
    let package = root.object("package")?;
    let action = match &*word {
        "created" => Action::Push,
        "deleted" => Action::Delete,
        other => {
            let other = excerpt(other);
            reading.skip(format!("the action `{other}` is none of created, deleted"));
            return Ok(());
        }
    };
    let sort = package.text("type")?.unwrap_or_default();
    if sort != "container" {
        let sort = excerpt(&sort);
        reading.skip(format!("the package is of type `{sort}`, not `container`"));
        return Ok(());
    }
    let owner = package.object("owner")?;
    let repository = repository(&package, &owner)?;
    let url = package.text("html_url")?;
    let host = url.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
    let host = host.and_then(|rest| rest.split('/').next());
    let registry = reading.registry(host, "`package.html_url` has no host")?;
    let reference = package.reference("version")?.ok_or_else(|| package.missing("version", TAG))?;
    let mut told = Told::new(Identity::Bytes, action, registry, repository);
    (told.tag, told.digest) = split(Some(reference));
    let created = package.time("created_at")?;
    told.time = created.filter(|_| action == Action::Push);
    reading.found_in(root, &[("action", "action")]);
    let fields = [
        ("registry", "html_url"),
        ("repository", "name"),
        ("tag", "version"),
        ("digest", "version"),
        ("time", "created_at"),
    ];
    reading.found_in(&package, &fields);
    if let Some(sender) = root.object_if_any("sender")? {
        told.actor = sender.free_text("login")?;
        reading.found_in(&sender, &[("actor", "login")]);
    }
    reading.push(0, told);
    Ok(())
}

/// `<owner>/<name>`, in lower case as in all references to images.
fn repository(package: &Node<'_>, owner: &Node<'_>) -> Result<RepositoryName, Error> {
    let login = owner.text("login")?.ok_or_else(|| owner.missing("login", TEXT))?;
    let name = package.text("name")?.ok_or_else(|| package.missing("name", REPOSITORY))?;
    let wrong = || package.member("name").unwrap_or_else(|| package.clone()).wrong(REPOSITORY);
    format!("{login}/{name}").to_ascii_lowercase().parse().map_err(|_| wrong())
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
    use super::super::tests::parse_with;
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Gitea, text, None)
    }

    #[test]
    fn a_push_is_an_event() {
        let told = only(parsed(fixture("gitea-created")).unwrap());
        let event = &told.event;
        assert_eq!(event.registry, "git.example.test");
        assert_eq!(event.subject(), "acme/team/app:1.4.2");
        assert_eq!((event.action, &event.digest), (Action::Push, &None));
        assert_eq!(event.actor.name.as_deref(), Some("ci"));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02 UTC)));
        let upper = fixture("gitea-created").replace("\"acme\"", "\"Acme\"");
        assert_eq!(only(parsed(&upper).unwrap()).event.subject(), "acme/team/app:1.4.2");
    }

    #[test]
    fn a_child_of_an_index_is_named_by_its_digest() {
        let digest = Digest::sha256(b"child");
        let text = fixture("gitea-created").replace("\"1.4.2\"", &format!("\"{digest}\""));
        let event = only(parsed(&text).unwrap()).event;
        assert_eq!((event.tag, event.digest), (None, Some(digest)));
    }

    #[test]
    fn nobody_says_when_it_was_deleted() {
        let told = only(parsed(fixture("gitea-deleted")).unwrap());
        assert_eq!((told.event.action, told.stamp), (Action::Delete, None));
        assert_eq!(told.event.time, RECEIVED);
        assert!(told.source_event_id.is_some(), "a version is deleted once");
    }

    #[test]
    fn what_is_no_image_is_skipped() {
        let text = fixture("gitea-created");
        for text in
            [text.replace("\"container\"", "\"npm\""), text.replace("\"created\"", "\"renamed\"")]
        {
            let parsed = parsed(&text).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped.len() == 1, "{parsed:?}");
        }
        for (header, count) in [
            (("x-gitea-event", "push"), 0),
            (("x-gitea-event", "package"), 1),
            (("x-forgejo-event", "package"), 1),
            (("x-forgejo-event", "release"), 0),
        ] {
            let parsed = parse_with(Kind::Gitea, &[header], text, None).unwrap();
            assert_eq!(parsed.events.len(), count, "{header:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("gitea-created");
        for (from, to, expected) in [
            ("\"action\"", "\"a\"", "`action` is missing"),
            ("\"package\"", "\"p\"", "`package` is missing; it must be an object"),
            ("\"owner\"", "\"o\"", "`package.owner` is missing"),
            ("\"team/app\"", "\"team//app\"", "`package.name` is `team//app`"),
            ("\"version\"", "\"v\"", "`package.version` is missing; it must be a tag"),
            ("2026-03-01T", "x", "`package.created_at` is `x09:15:02Z`"),
            ("https://git.example.test/", "/", "`package.html_url` has no host"),
        ] {
            let error = parsed(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
