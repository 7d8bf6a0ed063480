//! GitHub's webhooks of packages: `package`, `registry_package` and `ping`, for ghcr.io.
//!
//! ```text
//! {"action": "published" | "updated", "package": {
//!     "name": "app", "namespace": "Acme", "ecosystem": "CONTAINER", "package_type": "CONTAINER",
//!     "package_version": {"version": "sha256:…", "package_url": "ghcr.io/Acme/app:1.4.2",
//!       "container_metadata": {"tag": {"name": "1.4.2", "digest": "sha256:…"}, "manifest": {…} | null, …},
//!       "created_at": "…", "updated_at": "…", …}, …},
//!  "repository": {…}, "sender": {"login": "ci"}}
//! ```
//!
//! - The same under `registry_package`, which GitHub Apps get. `ping` has `zen` and `hook_id`.
//! - `package_type` or `ecosystem` says that it is an image, in either case of letters: a sample of GitHub's own
//!   has `npm` in one and `docker` in the other. Other packages are skipped.
//! - One event for each manifest: children of an index and attestations have an empty `tag.name`, and a
//!   `package_url` that ends in a colon. There is no event for a deleted version.
//! - Names are as the owner writes them; those of images are lower case, and so are ours.
//! - `package_version` may be null: then nobody says what was pushed, and it is skipped.
//! - The zero time `0001-01-01T00:00:00Z` is no time.
//! - `X-GitHub-Delivery` is not covered by the signature, so it tells no repetition: the bytes do.
//! - The body may be a form, `payload=<JSON>`.
//!
//! Source: octokit/webhooks `payload-schemas/api.github.com/{package,registry_package}`; akuity/kargo
//! `pkg/webhook/external/github.go` and argoproj-labs/argocd-image-updater `pkg/webhook/ghcr.go` as
//! independent readers.

use http::HeaderMap;

use crate::event::Action;
use crate::registry::Reference;

use super::error::Error;
use super::error::excerpt;
use super::node::DIGEST;
use super::node::MEDIA_TYPE;
use super::node::Node;
use super::node::OBJECT;
use super::node::REPOSITORY;
use super::node::TEXT;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split_host;

const HOST: &str = "ghcr.io";

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    let event = headers.get("x-github-event").and_then(|value| value.to_str().ok());
    let is_ping = root.member("zen").is_some() && root.member("hook_id").is_some();
    match event {
        Some("ping") => return ping(reading),
        None if is_ping => return ping(reading),
        None | Some("package" | "registry_package") => {}
        Some(other) => {
            let other = excerpt(other);
            reading.skip(format!("the event `{other}` is none of package, registry_package, ping"));
            return Ok(());
        }
    }
    let package = match root.object_if_any("registry_package")? {
        Some(package) => package,
        None => root.object("package")?,
    };
    let word = root.text("action")?.ok_or_else(|| root.missing("action", TEXT))?;
    if !matches!(&*word, "published" | "updated") {
        let word = excerpt(&word);
        reading.skip(format!("the action `{word}` is none of published, updated"));
        return Ok(());
    }
    let sorts = [package.text("package_type")?, package.text("ecosystem")?];
    let is_image =
        |sort: &str| sort.eq_ignore_ascii_case("container") || sort.eq_ignore_ascii_case("docker");
    if !sorts.iter().flatten().any(|sort| is_image(sort)) {
        reading
            .skip("the package is no image: its type is neither container nor docker".to_owned());
        return Ok(());
    }
    let Some(version) = package.object_if_any("package_version")? else {
        reading.skip("`package_version` is null: it does not say what was pushed".to_owned());
        return Ok(());
    };
    reading.found_in(root, &[("action", "action")]);
    let mut told = told(&package, &version, reading)?;
    if let Some(sender) = root.object_if_any("sender")? {
        told.actor = sender.free_text("login")?;
        reading.found_in(&sender, &[("actor", "login")]);
    }
    reading.push(0, told);
    Ok(())
}

fn ping(reading: &mut Reading<'_>) -> Result<(), Error> {
    reading.test("`ping`: GitHub tries the webhook; nothing happened".to_owned());
    Ok(())
}

fn told(package: &Node<'_>, version: &Node<'_>, reading: &mut Reading<'_>) -> Result<Told, Error> {
    let url = version.text("package_url")?;
    let (host, path) = url.as_deref().map_or((None, ""), split_host);
    // Behind the last colon is the tag, nothing where there is none; names hold no colon.
    let (path, url_tag) = path.split_once(':').unwrap_or((path, ""));
    let (repository, place) = if path.is_empty() {
        let name = package.text("name")?.ok_or_else(|| package.missing("name", REPOSITORY))?;
        let namespace = package.text("namespace")?;
        (namespace.map_or_else(|| name.to_string(), |space| format!("{space}/{name}")), "name")
    } else {
        (path.to_owned(), "package_url")
    };
    let repository = repository.to_ascii_lowercase().parse().map_err(|_| {
        let node = version.member(place).or_else(|| package.member(place));
        node.unwrap_or_else(|| package.clone()).wrong(REPOSITORY)
    })?;
    reading.found_in(version, &[("repository", "package_url"), ("registry", "package_url")]);
    reading.found_in(package, &[("repository", "name")]);
    let registry = reading.registry(Some(host.unwrap_or(HOST)), "`package_url` has no host")?;
    let mut told = Told::new(Identity::Bytes, Action::Push, registry, repository);
    metadata(version, &mut told, reading)?;
    if told.tag.is_none() && !url_tag.is_empty() {
        told.tag = url_tag.parse().ok();
        reading.found_in(version, &[("tag", "package_url")]);
    }
    for key in ["version", "name"] {
        // Of an image it is the digest; of old ones it may be anything.
        let text = version.text(key)?;
        let digest = text.and_then(|text| text.parse::<Reference>().ok()?.digest().cloned());
        if told.digest.is_none() && digest.is_some() {
            told.digest = digest;
            reading.found_in(version, &[("digest", key)]);
        }
    }
    if told.tag.is_none() && told.digest.is_none() {
        return Err(version.missing("version", DIGEST));
    }
    told.time = version.time("updated_at")?;
    if told.time.is_some() {
        reading.found_in(version, &[("time", "updated_at")]);
    } else {
        told.time = version.time("created_at")?;
        reading.found_in(version, &[("time", "created_at")]);
    }
    Ok(told)
}

/// What `container_metadata` says; it, and most of what is in it, may be null.
fn metadata(version: &Node<'_>, told: &mut Told, reading: &mut Reading<'_>) -> Result<(), Error> {
    let Some(metadata) = version.object_if_any("container_metadata")? else {
        return Ok(());
    };
    if let Some(tag) = metadata.object_if_any("tag")? {
        told.tag = tag.parse_if_any("name", super::node::TAG)?;
        told.digest = tag.parse_if_any("digest", DIGEST)?;
        reading.found_in(&tag, &[("tag", "name"), ("digest", "digest")]);
    }
    if let Some(manifest) = metadata.member("manifest") {
        let is_object = manifest.sort() == super::json::Sort::Object;
        let manifest = if is_object { manifest } else { return Err(manifest.wrong(OBJECT)) };
        told.media_type = reading.lenient(manifest.parse_if_any("media_type", MEDIA_TYPE));
        reading.found_in(&manifest, &[("media_type", "media_type"), ("kind", "media_type")]);
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
    use super::super::tests::parse_with;
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Github, text, None)
    }

    #[test]
    fn a_published_package_is_an_event_under_both_names() {
        let text = fixture("github-package");
        for text in [text.to_owned(), text.replacen("\"package\"", "\"registry_package\"", 1)] {
            let told = only(parsed(&text).unwrap());
            let event = &told.event;
            assert_eq!(event.registry, "ghcr.io");
            assert_eq!(event.subject(), "acme/app:1.4.2", "in lower case");
            assert_eq!(event.digest, Some(Digest::sha256(b"index")));
            assert_eq!(event.actor.name.as_deref(), Some("octo-ci"));
            assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02 UTC)));
            assert_eq!(event.kind.map(|kind| kind.as_str()), Some("index"));
        }
    }

    #[test]
    fn an_untagged_manifest_has_a_digest_alone() {
        let text = fixture("github-untagged");
        let event = only(parsed(text).unwrap()).event;
        assert_eq!((&event.tag, event.digest), (&None, Some(Digest::sha256(b"child"))));
        // Without the metadata the rest says as much.
        let bare = text.replace("container_metadata", "c");
        let event = only(parsed(&bare).unwrap()).event;
        assert_eq!((&event.tag, event.digest), (&None, Some(Digest::sha256(b"child"))));
        assert_eq!(event.time, RECEIVED, "the zero time is none");
    }

    #[test]
    fn names_and_tags_come_in_several_places() {
        let text = fixture("github-package").replace("container_metadata", "c");
        assert_eq!(only(parsed(&text).unwrap()).event.subject(), "acme/app:1.4.2");
        let text = text.replace("package_url", "p");
        let event = only(parsed(&text).unwrap()).event;
        assert_eq!((event.registry.as_str(), event.tag), ("ghcr.io", None));
        assert_eq!(event.repository.as_str(), "acme/app");
    }

    #[test]
    fn the_type_is_compared_leniently() {
        let text = fixture("github-package");
        for (package_type, ecosystem, is_image) in [
            ("container", "x", true),
            ("Docker", "x", true),
            ("npm", "docker", true),
            ("npm", "npm", false),
        ] {
            let text = text
                .replace(
                    "\"package_type\": \"CONTAINER\"",
                    &format!("\"package_type\": \"{package_type}\""),
                )
                .replace(
                    "\"ecosystem\": \"CONTAINER\"",
                    &format!("\"ecosystem\": \"{ecosystem}\""),
                );
            let parsed = parsed(&text).unwrap();
            assert_eq!(parsed.events.len(), usize::from(is_image), "{package_type} {ecosystem}");
            assert_eq!(parsed.skipped.is_empty(), is_image);
        }
    }

    #[test]
    fn a_ping_is_a_test() {
        let ping = r#"{"zen": "Keep it logically awesome.", "hook_id": 1, "hook": {}}"#;
        for headers in [&[][..], &[("x-github-event", "ping")]] {
            let parsed = parse_with(Kind::Github, headers, ping, None).unwrap();
            assert!(parsed.is_test && parsed.events.is_empty(), "{parsed:?}");
        }
        let text = fixture("github-package");
        let headers = [("x-github-event", "push")];
        let parsed = parse_with(Kind::Github, &headers, text, None).unwrap();
        assert!(!parsed.is_test && parsed.skipped[0].contains("`push`"), "{parsed:?}");
    }

    #[test]
    fn what_says_nothing_is_skipped() {
        let text = fixture("github-package");
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["package"]["package_version"] = serde_json::Value::Null;
        let null = parsed(&value.to_string()).unwrap();
        assert!(null.skipped[0].contains("`package_version` is null"), "{null:?}");
        let other = parsed(&text.replace("published", "frozen")).unwrap();
        assert!(other.skipped[0].contains("`frozen`"), "{other:?}");
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["package"]["package_version"]["body"] = serde_json::json!({"a": {"b": []}});
        assert_eq!(parsed(&value.to_string()).unwrap().events.len(), 1);
    }

    #[test]
    fn a_form_is_read_too() {
        let json = fixture("github-package");
        let encoded: String = json.bytes().map(|b| format!("%{b:02X}")).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let form = parse_with(Kind::Github, &headers, &format!("payload={encoded}"), None).unwrap();
        assert_eq!(only(form), only(parsed(json).unwrap()));
        let error = parse_with(Kind::Github, &headers, json, None).unwrap_err();
        assert_eq!(error, Error::Form);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("github-package");
        for (from, to, expected) in [
            ("\"package\"", "\"p\"", "`package` is missing; it must be an object"),
            ("\"action\"", "\"a\"", "`action` is missing; it must be a text"),
            ("Acme/app:", "Ac me/app:", "`package.package_version.package_url` is `ghcr.io/Ac me"),
            (
                "\"1.4.2\"",
                "\"-x\"",
                "`package.package_version.container_metadata.tag.name` is `-x`",
            ),
            ("2026-03-01T09:15:02Z", "now", "`package.package_version.updated_at` is `now`"),
        ] {
            let error = parsed(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        let digest = Digest::sha256(b"index");
        let text = text.replace(digest.as_str(), "1.0").replace("container_metadata", "c");
        let error = parsed(&text.replace("app:1.4.2", "app:")).unwrap_err().to_string();
        assert!(error.contains("`package.package_version.version` is missing"), "{error}");
    }
}
