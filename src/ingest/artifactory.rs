//! Artifactory's own webhooks, of its event service.
//!
//! ```text
//! {"domain": "docker", "event_type": "pushed", "data": {
//!     "repo_key": "docker-local", "path": "team/app/1.4.2/list.manifest.json", "name": "list.manifest.json",
//!     "sha256": "<64 hex>", "size": 1609, "image_name": "team/app", "tag": "1.4.2", …},
//!  "subscription_key": "relay", "jpd_origin": "https://acme.jfrog.io", "source": "jfrog/…"}
//! ```
//!
//! - Older documentation shows the members of `data` at the top, without the rest: that flat form is read, too.
//! - `sha256` is of the manifest file, in bare hex: with `sha256:` before it, it is the digest. A "tag" can be
//!   the digest of an index's child, `sha256:<hex>` or `sha256__<hex>`.
//! - `docker`: `pushed` and `deleted` are events. `promoted` is skipped, because nobody has published what its
//!   fields say; subscribe to `pushed` of the target repository.
//! - `artifact`: `deployed` and `deleted` of a file `manifest.json` or `list.manifest.json` are events, its
//!   image and tag being the path without its last two segments, and the last but one; every other file is a
//!   layer, and skipped. `moved` and `copied` are skipped. Other domains are, too.
//! - It tells neither who nor when, and has no id: two pushes of one content have the same bytes.
//! - **The registry.** `jpd_origin` names a host, and is missing or empty where no base URL is configured. Clients
//!   name the image `<repo_key>/<image_name>`, unless the configuration says that a host or port stands for the
//!   key. Pulls often go through a virtual repository with another key.
//! - The button "Test" sends a dummy of no documented shape; what cannot be read of it is an error like any.
//!
//! Unproven: the bodies of `deleted` and `promoted`, retries, and whether the signature ever had a prefix.
//!
//! Source: docs.jfrog.com "Event Types"; independent readers: akuity/kargo `pkg/webhook/external/artifactory.go`,
//! keel-hq/keel `pkg/http/jfrog_webhook_trigger.go`.

use crate::event::Action;
use crate::registry::ArtifactoryName;
use crate::registry::Digest;
use crate::registry::Kind as ManifestKind;
use crate::registry::Reference;
use crate::registry::RepositoryKey;
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

const KEY: &str = "the key of a repository such as `docker-local`";
const HEX: &str = "64 lower-case hex digits, the SHA-256 of the manifest";
const PATH: &str = "a path such as `team/app/1.4.2/manifest.json`";

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let nested = root.object_if_any("data")?;
    let data = nested.as_ref().unwrap_or(root);
    let domain = root.text("domain")?.unwrap_or("docker".into());
    let teller = if root.member("event_type").is_some() { root } else { data };
    let word = teller.text("event_type")?.ok_or_else(|| teller.missing("event_type", TEXT))?;
    let action = match (&*domain, &*word) {
        ("docker", "pushed") | ("artifact", "deployed") => Action::Push,
        ("docker" | "artifact", "deleted") => Action::Delete,
        (domain, word) => {
            let (domain, word) = (excerpt(domain), excerpt(word));
            reading.skip(format!(
                "`{word}` of `{domain}`: events are made of `pushed` and `deleted` of `docker`, and of `deployed` and `deleted` manifests of `artifact`"
            ));
            return Ok(());
        }
    };
    let file = data.text("name")?;
    let is_manifest = matches!(file.as_deref(), Some("manifest.json" | "list.manifest.json"));
    if domain == "artifact" && !is_manifest {
        let file = excerpt(&file.unwrap_or_default());
        reading.skip(format!("`{file}` is no manifest; events are about manifests"));
        return Ok(());
    }
    let name = ArtifactoryName {
        repository_key: data.parse::<RepositoryKey>("repo_key", KEY)?,
        image_name: image(data, reading)?,
    };
    let reference = reference(data, reading)?;
    let registry = registry(root, reading)?;
    let mut told = Told::new(Identity::Arrival, action, registry, reading.artifactory(&name));
    told.artifactory = Some(name);
    (told.tag, told.digest) = split(Some(reference));
    if let Some(digest) = digest(data)? {
        reading.found_in(data, &[("digest", "sha256")]);
        told.digest = Some(digest);
    }
    told.kind = file.filter(|name| name == "list.manifest.json").map(|_| ManifestKind::Index);
    told.size = data.whole("size")?;
    reading.found_in(teller, &[("action", "event_type")]);
    reading.found_in(root, &[("registry", "jpd_origin")]);
    reading.found_in(data, &[("kind", "name"), ("size", "size")]);
    reading.push(0, told);
    Ok(())
}

/// The host that Artifactory calls itself by.
fn registry(root: &Node<'_>, reading: &Reading<'_>) -> Result<String, Error> {
    let origin = root.text("jpd_origin")?;
    let host = origin.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
    let host = host.and_then(|rest| rest.split('/').next());
    reading.registry(host, "`jpd_origin` is empty, as it is without a custom base URL")
}

fn image(data: &Node<'_>, reading: &mut Reading<'_>) -> Result<RepositoryName, Error> {
    let given = data.parse_if_any("image_name", REPOSITORY)?;
    let place = if given.is_some() { "image_name" } else { "path" };
    reading.found_in(data, &[("repository", place)]);
    match given {
        Some(name) => Ok(name),
        None => segments(data)?.0.parse().map_err(|_| wrong_path(data)),
    }
}

fn reference(data: &Node<'_>, reading: &mut Reading<'_>) -> Result<Reference, Error> {
    let given = data.reference("tag")?;
    let place = if given.is_some() { "tag" } else { "path" };
    let reference = match given {
        Some(reference) => reference,
        None => {
            let (_, tag) = segments(data)?;
            let stored = tag.replacen("__", ":", usize::from(tag.starts_with("sha256__")));
            stored.parse().map_err(|_| data.missing("tag", TAG))?
        }
    };
    let field = if reference.tag().is_some() { "tag" } else { "digest" };
    if let Some(place) = data.place(place) {
        reading.found_at(field, place);
    }
    Ok(reference)
}

/// The image and the tag in `path`.
fn segments(data: &Node<'_>) -> Result<(String, String), Error> {
    let path = data.text("path")?.ok_or_else(|| data.missing("path", PATH))?;
    let (rest, _) = path.rsplit_once('/').ok_or_else(|| wrong_path(data))?;
    let (image, tag) = rest.rsplit_once('/').ok_or_else(|| wrong_path(data))?;
    Ok((image.trim_start_matches('/').to_owned(), tag.to_owned()))
}

fn wrong_path(data: &Node<'_>) -> Error {
    data.member("path").map_or_else(|| data.missing("path", PATH), |node| node.wrong(PATH))
}

fn digest(data: &Node<'_>) -> Result<Option<Digest>, Error> {
    let Some(hex) = data.text("sha256")? else {
        return Ok(None);
    };
    let wrong = || data.member("sha256").unwrap_or_else(|| data.clone()).wrong(HEX);
    format!("sha256:{hex}").parse().map(Some).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::registry::Layout;

    use super::super::Context;
    use super::super::Kind;
    use super::super::Parsed;
    use super::super::Place;
    use super::super::tests::RECEIVED;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Artifactory, text, None)
    }

    #[test]
    fn a_push_is_an_event() {
        let told = only(parsed(fixture("artifactory-pushed")).unwrap());
        let event = &told.event;
        assert_eq!(event.registry, "acme.jfrog.io");
        assert_eq!(event.subject(), "docker-local/team/app:1.4.2");
        assert_eq!(event.digest, Some(Digest::sha256(b"index")));
        assert_eq!((event.kind, event.size), (Some(ManifestKind::Index), Some(1609)));
        let name = event.artifactory.as_ref().unwrap();
        assert_eq!(name.repository_key.as_str(), "docker-local");
        assert_eq!(name.image_name.as_str(), "team/app");
        assert_eq!((told.stamp, told.source_event_id, event.time), (None, None, RECEIVED));
    }

    #[test]
    fn the_flat_form_is_read_too() {
        let flat = fixture("artifactory-flat");
        let error = parsed(flat).unwrap_err().to_string();
        assert!(error.contains("`jpd_origin` is empty"), "{error}");
        let event = only(parse(Kind::Artifactory, flat, Some("r.example.com")).unwrap()).event;
        assert_eq!(event.subject(), "docker-local/team/app:1.4.2");
        assert_eq!(event.digest, Some(Digest::sha256(b"index")));
    }

    #[test]
    fn the_layout_says_what_clients_call_it() {
        let text = fixture("artifactory-pushed").as_bytes();
        for (key, expected) in [
            (Some("docker-local"), "team/app"),
            (Some("docker-virtual"), "docker-local/team/app"),
            (None, "docker-local/team/app"),
        ] {
            let layout = Layout::Artifactory { key: key.map(|key| key.parse().unwrap()) };
            let context = Context { layout: &layout, ..Context::at(RECEIVED) };
            let parsed =
                super::super::read(Kind::Artifactory, &HeaderMap::new(), text, &context).unwrap();
            assert_eq!(only(parsed).event.repository.as_str(), expected, "{key:?}");
        }
    }

    #[test]
    fn a_delete_is_an_event() {
        let event = only(parsed(fixture("artifactory-deleted")).unwrap()).event;
        assert_eq!(event.action, Action::Delete);
        assert_eq!(event.subject(), "docker-local/team/app:1.4.2");
    }

    #[test]
    fn a_deployed_manifest_is_a_push_and_a_layer_is_not() {
        let text = fixture("artifactory-deployed");
        let told = only(parsed(text).unwrap());
        assert_eq!(told.event.subject(), "docker-local/team/app:1.4.2");
        assert_eq!(told.event.digest, Some(Digest::sha256(b"manifest")));
        assert!(
            told.origins.contains(&("tag", Place::Pointer("/data/path".into()))),
            "{:?}",
            told.origins
        );
        let layer = text.replace("\"manifest.json\"", "\"sha256__abc\"");
        let parsed = parsed(&layer).unwrap();
        assert!(
            parsed.events.is_empty() && parsed.skipped[0].contains("no manifest"),
            "{parsed:?}"
        );
    }

    #[test]
    fn the_child_of_an_index_has_a_digest_and_no_tag() {
        let child = Digest::sha256(b"child");
        let stored = child.as_str().replace(':', "__");
        let pushed = fixture("artifactory-pushed")
            .replace(Digest::sha256(b"index").encoded(), child.encoded());
        let deployed = fixture("artifactory-deployed")
            .replace(Digest::sha256(b"manifest").encoded(), child.encoded());
        for text in [
            pushed.replace("\"1.4.2\"", &format!("\"{stored}\"")),
            pushed.replace("\"1.4.2\"", &format!("\"{child}\"")),
            deployed.replace("1.4.2", &stored),
        ] {
            let event = only(parsed(&text).unwrap()).event;
            assert_eq!((event.tag, event.digest.as_ref()), (None, Some(&child)), "{text}");
        }
    }

    #[test]
    fn what_is_not_about_a_manifest_is_skipped() {
        let text = fixture("artifactory-pushed");
        for (from, to) in [
            ("\"pushed\"", "\"promoted\""),
            ("\"docker\",", "\"build\","),
            ("\"docker\",", "\"artifact_property\","),
        ] {
            let parsed = parsed(&text.replace(from, to)).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped.len() == 1, "{parsed:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("artifactory-pushed");
        let hex = Digest::sha256(b"index").encoded().to_owned();
        for (from, to, expected) in [
            ("event_type", "e", "`data.event_type` is missing; it must be a text"),
            ("\"repo_key\"", "\"r\"", "`data.repo_key` is missing; it must be the key"),
            ("docker-local", "a/b", "`data.repo_key` is `a/b`"),
            (&hex, "abc", "`data.sha256` is `abc`; it must be 64 lower-case hex digits"),
            (
                "\"image_name\": \"team/app\"",
                "\"image_name\": \"Te//am\"",
                "`data.image_name` is `Te//am`",
            ),
            ("\"data\": {", "\"data\": 1, \"d\": {", "`data` is `1`; it must be an object"),
        ] {
            let error = parsed(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        let deployed = fixture("artifactory-deployed");
        let error = parsed(&deployed.replace("team/app/1.4.2/", "")).unwrap_err().to_string();
        assert!(error.contains("`data.path` is `manifest.json`; it must be a path"), "{error}");
    }
}
