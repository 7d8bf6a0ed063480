//! Artifactory's user plugin `webhook`, in three of its four formats.
//!
//! ```text
//! default   {"artifactory":{"webhook":{"event":"docker.tagCreated"|"docker.tagDeleted","data":{
//!             "docker":{"tag":"1.4.2","image":"team/app"},
//!             "event":{"repoPath":{"repoKey":"docker-local","path":"…"},"repoKey":"docker-local",
//!               "relPath":"team/app/1.4.2/manifest.json","name":"manifest.json","created":<ms>,
//!               "createdBy":"…","lastModified":<ms>,"modifiedBy":"…","size":1582,…}}}}}
//! keel      {"name":"<host>/<image>","tag":"1.4.2"}
//! spinnaker {"artifacts":[{"type":"docker/image","name":"team/app","version":"1.4.2",
//!             "reference":"https://<host>/artifactory/<repoKey>/team/app:1.4.2"}]}
//! ping      {"artifactory":{"webhook":{"event":"execute.pingWebhook","data":{"message":"It works!"}}}}
//! ```
//!
//! - `data.event` is a serialised `ItemInfo` and differs between versions of Artifactory; only what is named
//!   above is read from it, and `sha2`, which newer ones have: of the manifest file that is the digest.
//! - A "tag" can be a digest, `sha256:<hex>` or `sha256__<hex>`: that is how the children of an index
//!   arrive. The event then has a digest and no tag.
//! - A delete tells neither who nor when: the times and names are those of the file that is gone.
//! - **The registry.** Only `keel` and `spinnaker` name a host. In `default`, without our name for the
//!   registry, the repository key stands in for it, as `docker-local/team/app:1.4.2` is what Artifactory
//!   itself calls the image; a warning says so. Our own dialect of this name writes the registry there.
//! - `keel` is the same for tags created and deleted, and is read as a push, with a warning. Without
//!   `dockerRegistryUrl` in its configuration the plugin writes `null` into the name; that is refused.
//! - `slack` is prose and is refused; storage and build events, and the plugin's own "not supported"
//!   notes, are skipped.
//!
//! Source: jfrog/artifactory-user-plugins `webhook/webhook.groovy`; codefresh-io/nomios
//! `pkg/jfrog/jfrog.go` as an independent reader.

use time::OffsetDateTime;

use crate::event::Action;
use crate::registry::ArtifactoryName;
use crate::registry::Digest;
use crate::registry::Kind as ManifestKind;
use crate::registry::Layout;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use super::Kind;
use super::error::Error;
use super::error::excerpt;
use super::json::Sort;
use super::node::Node;
use super::node::REPOSITORY;
use super::node::TAG;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::is_host;
use super::told::looks_like_host;
use super::told::split;
use super::told::split_host;

const EVENT: &str = "the name of an event such as `docker.tagCreated`";
const IMAGE: &str = "`<host>/<image>`, such as `registry.example.com/team/app`";
const SHAPE: &str = "the format `default` has `artifactory`, `keel` has `name` and `tag`, `spinnaker` has `artifacts`";

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    if let Some(artifactory) = root.object_if_any("artifactory")? {
        return default(&artifactory.object("webhook")?, reading);
    }
    if root.member("artifacts").is_some() {
        return spinnaker(&root.list("artifacts", "a list of artifacts")?, reading);
    }
    if root.member("name").is_some() {
        return keel(root, reading);
    }
    if let Some(attachments) = root.member("attachments") {
        return Err(attachments.format(
            Kind::ArtifactoryPlugin,
            "slack",
            "it is prose; set `\"format\": \"default\"` for this webhook in webhook.config.json",
        ));
    }
    if let Some(text) = root.free_text("text")? {
        reading.skip(format!("a note of the plugin: {}", excerpt(&text)));
        return Ok(());
    }
    Err(root.unknown(SHAPE))
}

fn default(webhook: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let event = webhook.text("event")?.ok_or_else(|| webhook.missing("event", EVENT))?;
    let action = match &*event {
        "docker.tagCreated" => Action::Push,
        "docker.tagDeleted" => Action::Delete,
        "execute.pingWebhook" => {
            reading.test("`execute.pingWebhook`: a ping; it arrived, and nothing happened".into());
            return Ok(());
        }
        other => {
            let other = excerpt(other);
            reading.skip(format!(
                "`{other}` is not about tags; events are made of `docker.tagCreated` and `docker.tagDeleted`"
            ));
            return Ok(());
        }
    };
    let data = webhook.object("data")?;
    let docker = data.object("docker")?;
    let repository = docker.parse("image", REPOSITORY)?;
    let reference = docker.reference("tag")?.ok_or_else(|| docker.missing("tag", TAG))?;
    let (tag, tag_digest) = split(Some(reference));
    let item = Item::read(data.member("event").as_ref(), reading);
    let registry = stand_in(item.repository_key.as_deref(), reading)?;
    let (actor, time) = match action {
        Action::Delete => (None, None),
        _ => (item.modified_by, item.modified),
    };
    if time.is_none() {
        reading.warn(format!("`{event}` does not say when; the time is that of the arrival"));
    }
    // Of a file that is gone the times are its own, yet they tell two deletes apart.
    let identity = if item.modified.is_some() { Identity::Bytes } else { Identity::Arrival };
    let mut told = Told::new(identity, action, registry, repository);
    in_layout(&mut told, item.repository_key.as_deref(), reading);
    told.tag = tag;
    told.digest = tag_digest.or(item.digest);
    told.kind = item.kind;
    told.size = item.size;
    told.actor = actor;
    told.time = time;
    reading.found_in(webhook, &[("action", "event")]);
    reading.found_in(&docker, &[("repository", "image"), ("tag", "tag")]);
    if told.tag.is_none() {
        reading.found_in(&docker, &[("digest", "tag")]);
    }
    if let Some(item) = data.member("event") {
        reading.found_in(&item, &ITEM);
    }
    reading.push(0, told);
    Ok(())
}

/// What is read of `ItemInfo`, the better key of two first.
const ITEM: [(&str, &str); 8] = [
    ("registry", "repoKey"),
    ("digest", "sha2"),
    ("kind", "name"),
    ("size", "size"),
    ("actor", "modifiedBy"),
    ("actor", "createdBy"),
    ("time", "lastModified"),
    ("time", "created"),
];

/// Names the image as the clients of this Artifactory do, where we know how they do that.
fn in_layout(told: &mut Told, key: Option<&str>, reading: &Reading<'_>) {
    let is_artifactory = matches!(reading.layout(), Layout::Artifactory { .. });
    let key = key.filter(|_| is_artifactory).and_then(|key| key.parse().ok());
    if let Some(repository_key) = key {
        let name = ArtifactoryName { repository_key, image_name: told.repository.clone() };
        told.repository = reading.artifactory(&name);
        told.artifactory = Some(name);
    }
}

/// What is read of `ItemInfo`.
#[derive(Default)]
struct Item {
    repository_key: Option<String>,
    kind: Option<ManifestKind>,
    digest: Option<Digest>,
    size: Option<u64>,
    modified: Option<OffsetDateTime>,
    modified_by: Option<String>,
}

impl Item {
    /// Versions of Artifactory differ in what they write here, so what cannot be read is left out.
    fn read(item: Option<&Node<'_>>, reading: &mut Reading<'_>) -> Self {
        let Some(item) = item else {
            return Self::default();
        };
        let mut text = |node: &Node<'_>, key| reading.lenient(node.free_text(key));
        let key = text(item, "repoKey")
            .or_else(|| item.member("repoPath").and_then(|path| text(&path, "repoKey")));
        let modified_by = text(item, "modifiedBy").or_else(|| text(item, "createdBy"));
        let file = text(item, "name");
        let hash = text(item, "sha2");
        let mut whole = |key| reading.lenient(item.whole(key));
        let millis = whole("lastModified").or_else(|| whole("created"));
        Self {
            repository_key: key,
            kind: file.filter(|name| name == "list.manifest.json").map(|_| ManifestKind::Index),
            digest: hash.and_then(|hex| format!("sha256:{hex}").parse().ok()),
            size: whole("size"),
            modified: millis.and_then(time_of_millis),
            modified_by,
        }
    }
}

fn time_of_millis(millis: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()
}

/// The registry's name, or the repository key in its place.
fn stand_in(key: Option<&str>, reading: &mut Reading<'_>) -> Result<String, Error> {
    let reason = "it has no host and no `repoKey` that could stand in for one";
    let registry = reading.registry(key, reason)?;
    if !reading.is_registry_known() && !looks_like_host(&registry) {
        reading.warn(format!(
            "the notification names no host; Artifactory's repository key `{registry}` stands in for the registry's name"
        ));
    }
    Ok(registry)
}

fn keel(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let name = root.need("name", IMAGE)?;
    let text = name.value().text().ok_or_else(|| name.wrong(IMAGE))?;
    let (host, path) = split_host(without_scheme(&text));
    if text.split('/').any(|component| component == "null") {
        return Err(name.format(
            Kind::ArtifactoryPlugin,
            "keel",
            "the name has a `null` in it; set `dockerRegistryUrl` in webhook.config.json, or the format `default`",
        ));
    }
    if host.is_some_and(|host| !is_host(host)) {
        return Err(name.wrong(IMAGE));
    }
    let repository = path.parse().map_err(|_| name.wrong(IMAGE))?;
    let reference = root.reference("tag")?.ok_or_else(|| root.missing("tag", TAG))?;
    let registry = reading.registry(host, "`name` has no host")?;
    let sentence = "the format `keel` is the same for tags created and deleted, and says neither who nor when: read as a push, now";
    reading.warn(sentence.to_owned());
    let fields = [("registry", "name"), ("repository", "name"), ("tag", "tag"), ("digest", "tag")];
    reading.found_in(root, &fields);
    reading.push(0, sparse(registry, repository, split(Some(reference))));
    Ok(())
}

fn spinnaker(artifacts: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    for (place, artifact) in artifacts.items().enumerate() {
        if artifact.sort() != Sort::Object {
            return Err(artifact.wrong("an artifact, an object"));
        }
        let sort = artifact.text("type")?.unwrap_or_default();
        if sort != "docker/image" {
            let (path, sort) = (artifact.path(), excerpt(&sort));
            reading.skip(format!("`{path}`: of type `{sort}`; events are made of `docker/image`"));
            continue;
        }
        let repository = artifact.parse("name", REPOSITORY)?;
        let reference = artifact.reference("version")?;
        let reference = reference.ok_or_else(|| artifact.missing("version", TAG))?;
        let pull = artifact.text("reference")?;
        let host = pull.as_deref().and_then(|text| split_host(without_scheme(text)).0);
        let registry = reading.registry(host, "`reference` has no host")?;
        let path = artifact.path_of("reference");
        reading.warn(format!("`{path}` does not say when; the time is that of the arrival"));
        let fields = [
            ("registry", "reference"),
            ("repository", "name"),
            ("tag", "version"),
            ("digest", "version"),
        ];
        reading.found_in(&artifact, &fields);
        reading.push(place, sparse(registry, repository, split(Some(reference))));
    }
    Ok(())
}

/// A push of which no more is told.
fn sparse(
    registry: String,
    repository: RepositoryName,
    (tag, digest): (Option<Tag>, Option<Digest>),
) -> Told {
    let mut told = Told::new(Identity::Arrival, Action::Push, registry, repository);
    told.tag = tag;
    told.digest = digest;
    told
}

fn without_scheme(text: &str) -> &str {
    text.split_once("://").map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use time::macros::datetime;

    use crate::event::Event;

    use super::super::Context;
    use super::super::Parsed;
    use super::super::read;
    use super::super::tests::RECEIVED;
    use super::super::tests::parse;
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!(
                "../../tests/fixtures/notifications/artifactory-plugin-",
                $name,
                ".json"
            ))
        };
    }

    const CREATED: &str = fixture!("created");

    fn parsed(text: &str, registry: Option<&str>) -> Result<Parsed, Error> {
        parse(Kind::ArtifactoryPlugin, text, registry)
    }

    fn only(text: &str) -> Event {
        let mut parsed = parsed(text, Some("r.example.com")).unwrap();
        assert_eq!(parsed.events.len(), 1, "{parsed:?}");
        parsed.events.remove(0).event
    }

    #[test]
    fn a_tag_created_is_a_push() {
        let event = only(CREATED);
        assert_eq!(event.reference(), "r.example.com/team/app:1.4.2");
        assert_eq!((event.action, event.size), (Action::Push, Some(1582)));
        assert_eq!(event.actor.name.as_deref(), Some("release-bot"));
        assert_eq!(event.time, datetime!(2026-01-01 00:00:00.123 UTC));
        assert_eq!(event.kind, None);
    }

    #[test]
    fn a_tag_deleted_says_neither_who_nor_when() {
        let event = only(fixture!("deleted"));
        assert_eq!((event.action, event.time), (Action::Delete, RECEIVED));
        assert_eq!(event.actor.name, None);
        assert_eq!(event.subject(), "team/app:1.4.2");
    }

    #[test]
    fn the_child_of_an_index_has_a_digest_and_no_tag() {
        let digest = Digest::sha256(b"child");
        let stored = digest.as_str().replace(':', "__");
        let text = fixture!("child");
        for text in [text.to_owned(), text.replace(&stored, digest.as_str())] {
            let event = only(&text);
            assert_eq!((event.tag, event.digest.as_ref()), (None, Some(&digest)));
        }
    }

    #[test]
    fn the_manifest_file_may_tell_more() {
        let digest = Digest::sha256(b"index");
        let with = format!("\"sha2\": \"{}\", \"size\"", digest.encoded());
        let text =
            CREATED.replace("\"size\"", &with).replace("manifest.json", "list.manifest.json");
        let event = only(&text);
        assert_eq!((event.digest, event.kind), (Some(digest), Some(ManifestKind::Index)));
        let text = CREATED.replace("\"size\"", "\"sha2\": \"\", \"size\"");
        assert_eq!(only(&text).digest, None);
    }

    #[test]
    fn what_artifactory_adds_may_be_anything() {
        let named = Some("r.example.com");
        let odd = CREATED.replace("1582", "\"1582\"").replace("1767225600123", "\"today\"");
        let parsed = parsed(&odd, named).unwrap();
        let created = datetime!(2025-12-31 23:59:59 UTC);
        assert_eq!((parsed.events[0].event.size, parsed.events[0].event.time), (None, created));
        let [when, size] = &parsed.warnings[..] else { panic!("{parsed:?}") };
        assert!(when.contains("data.event.lastModified` is `today`"), "{when}");
        assert!(size.contains("data.event.size` is `1582`"), "{size}");
        let list = CREATED.replace("\"event\": {", "\"event\": [], \"e\": {");
        assert_eq!(only(&list).subject(), "team/app:1.4.2");
    }

    #[test]
    fn the_repository_key_stands_in_for_a_host() {
        let alone = parsed(CREATED, None).unwrap();
        assert_eq!(alone.events[0].event.reference(), "docker-local/team/app:1.4.2");
        assert!(alone.warnings[0].contains("`docker-local` stands in"), "{alone:?}");
        let ours = CREATED.replace("\"docker-local\"", "\"r.example.com:5000\"");
        let ours = parsed(&ours, None).unwrap();
        assert_eq!(ours.events[0].event.registry, "r.example.com:5000");
        assert_eq!(ours.warnings, Vec::<String>::new());
        assert_eq!(parsed(CREATED, Some("r")).unwrap().warnings, Vec::<String>::new());
        let without = CREATED.replace("repoKey", "key");
        let error = parsed(&without, None).unwrap_err();
        assert!(error.to_string().contains("no `repoKey`"), "{error}");
    }

    #[test]
    fn keel_and_spinnaker_name_a_host() {
        for (text, registry) in
            [(fixture!("keel"), "docker.example.com"), (fixture!("spinnaker"), "acme.example.com")]
        {
            let parsed = parsed(text, None).unwrap();
            assert_eq!(parsed.events[0].event.registry, registry);
            assert_eq!(parsed.events[0].event.subject(), "team/app:1.4.2");
            assert_eq!(parsed.events[0].event.time, RECEIVED);
            assert_eq!(parsed.warnings.len(), 1);
            assert_eq!(only(text).registry, "r.example.com");
        }
    }

    #[test]
    fn two_pushes_with_the_same_bytes_are_two_events() {
        let keel = fixture!("keel").as_bytes();
        let at = |time| {
            let context = Context::at(time);
            let parsed = read(Kind::ArtifactoryPlugin, &HeaderMap::new(), keel, &context).unwrap();
            assert_eq!(parsed.events[0].source_event_id, None);
            parsed.events[0].event.id
        };
        assert_ne!(at(RECEIVED), at(RECEIVED + time::Duration::SECOND));
        assert_eq!(at(RECEIVED), at(RECEIVED));
    }

    #[test]
    fn what_is_not_about_tags_is_skipped() {
        let with = |event: &str| CREATED.replace("docker.tagCreated", event);
        for (text, reason) in [
            (fixture!("ping").to_owned(), "a ping"),
            (with("storage.afterCreate"), "`storage.afterCreate` is not about tags"),
            (with("build.afterSave"), "`build.afterSave` is not about tags"),
            (with("docker.new\\nword"), "`docker.new\\nword` is not about tags"),
            (r#"{"text": "Artifactory: not supported"}"#.to_owned(), "Artifactory: not supported"),
            (fixture!("spinnaker").replace("docker/image", "helm"), "of type `helm`"),
        ] {
            let parsed = parsed(&text, None).unwrap();
            assert!(parsed.events.is_empty(), "{parsed:?}");
            assert!(parsed.skipped[0].contains(reason), "{parsed:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_what_would_be_right() {
        let keel = fixture!("keel");
        for (text, expected) in [
            (CREATED.replace("\"webhook\"", "\"w\""), "`artifactory.webhook` is missing"),
            (CREATED.replace("\"docker.tagCreated\"", "7"), "`artifactory.webhook.event` is `7`"),
            (
                CREATED.replace("\"image\"", "\"i\""),
                "`artifactory.webhook.data.docker.image` is missing; it must be a repository name",
            ),
            (
                CREATED.replace("\"tag\": \"1.4.2\"", "\"tag\": \"\""),
                "`artifactory.webhook.data.docker.tag` is missing; it must be a tag",
            ),
            (keel.replace("docker.example.com/", "acme.example.com/null/"), "`dockerRegistryUrl`"),
            (keel.replace("docker.example.com/", "a..b/"), "`name` is `a..b/team/app`; it must be"),
            (keel.replace("docker.example.com/", ""), "`name` has no host"),
            (keel.replace("\"tag\"", "\"t\""), "`tag` is missing; it must be a tag"),
            (r#"{"text": "x", "attachments": []}"#.to_owned(), "\"format\": \"default\""),
            ("{}".to_owned(), "the format `default` has `artifactory`"),
        ] {
            let error = parsed(&text, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
