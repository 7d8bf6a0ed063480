//! The body of Artifactory's user plugin `webhook`, format `default`.
//!
//! ```text
//! Content-Type: application/json
//! {"artifactory":{"webhook":{"event":"docker.tagCreated","data":{
//!  "docker":{"tag":"1.4.2","image":"team/app"},
//!  "event":{"repoPath":{"repoKey":"<registry>","path":"team/app/1.4.2/manifest.json"},
//!   "repoKey":"<registry>","relPath":"team/app/1.4.2/manifest.json","name":"manifest.json",
//!   "folder":false,"created":1767225600000,"createdBy":"ci","lastModified":1767225600000,
//!   "modifiedBy":"ci","size":1582}}}}}
//! ```
//!
//! - `event` is `docker.tagCreated` for a push and `docker.tagDeleted` for the delete of a tag. The format
//!   has no word for mounts, pulls and manifests without a tag, and no place for a digest.
//! - `data.docker` is what readers act on: `image` is the whole repository, `tag` the tag.
//! - `data.event` is Artifactory's `ItemInfo` of the manifest file, whose path says the same again. The file
//!   is **always** `manifest.json`: the plugin fires for no other name and takes image and tag out of such
//!   paths, so a reader may do the same. Artifactory keeps an index in `list.manifest.json`, and the plugin
//!   stays silent about it; from here tags of multi-platform images are told, in the shape that is known.
//! - `repoKey` is where Artifactory names its own repository, which the image lives in: with
//!   `registry.layout: artifactory` that is what stands there, and `image` goes without it. A plain registry
//!   has no such thing, so the registry's name stands there: `<repoKey>/<image>:<tag>` is then exactly
//!   what clients pull, and two registries that report to one receiver cannot be mixed up. It is in
//!   two places because one reader (codefresh's nomios) knows only `repoPath`.
//! - Times are plain integers, milliseconds since 1970. `size` is left out where it is unknown; an unknown
//!   actor is the empty text.
//!
//! Sources: jfrog/artifactory-user-plugins `webhook/webhook.groovy` and `webhook/README.md`;
//! codefresh-io/nomios `pkg/jfrog/jfrog.go` as a reader.

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;

use super::Dialect;
use super::Payload;
use super::Unwritable;

/// The only file that the plugin speaks of.
const FILE: &str = "manifest.json";

#[derive(Serialize)]
struct Body<'a> {
    artifactory: Artifactory<'a>,
}

#[derive(Serialize)]
struct Artifactory<'a> {
    webhook: Webhook<'a>,
}

#[derive(Serialize)]
struct Webhook<'a> {
    event: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    docker: Docker<'a>,
    event: ItemInfo<'a>,
}

#[derive(Serialize)]
struct Docker<'a> {
    tag: &'a str,
    image: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemInfo<'a> {
    repo_path: RepoPath<'a>,
    repo_key: &'a str,
    rel_path: &'a str,
    name: &'static str,
    folder: bool,
    created: u64,
    created_by: &'a str,
    last_modified: u64,
    modified_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepoPath<'a> {
    repo_key: &'a str,
    path: &'a str,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let dialect = Dialect::ArtifactoryPlugin;
    let name = match event.action {
        Action::Push => "docker.tagCreated",
        Action::Delete => "docker.tagDeleted",
        action @ (Action::Mount | Action::Pull) => {
            let known = "pushes and deletes of a tag";
            return Err(Unwritable::Action { dialect, action, known });
        }
    };
    let tag = event.tag.as_ref().ok_or(Unwritable::NoTag { dialect })?;
    let (key, image) = match &event.artifactory {
        Some(name) => (name.repository_key.as_str(), name.image_name.as_str()),
        None => (event.registry.as_str(), event.repository.as_str()),
    };
    let path = format!("{image}/{tag}/{FILE}");
    let millis = u64::try_from(event.time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let actor = event.actor.name.as_deref().unwrap_or_default();
    let item = ItemInfo {
        repo_path: RepoPath { repo_key: key, path: &path },
        repo_key: key,
        rel_path: &path,
        name: FILE,
        folder: false,
        created: millis,
        created_by: actor,
        last_modified: millis,
        modified_by: actor,
        size: event.size,
    };
    let docker = Docker { tag: tag.as_str(), image };
    let webhook = Webhook { event: name, data: Data { docker, event: item } };
    Ok(Payload::json("application/json", &Body { artifactory: Artifactory { webhook } }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::bare;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::super::tests::untagged;
    use crate::registry::ArtifactoryName;

    use super::*;

    fn body(event: &Event) -> Value {
        serde_json::from_slice(&write(event).unwrap().body).unwrap()
    }

    #[test]
    fn golden_bodies() {
        let dialect = Dialect::ArtifactoryPlugin;
        let fixture = include_str!("../../../tests/fixtures/dialects/artifactory-plugin-push.json");
        golden(dialect, &pushed(), fixture);
        let fixture = include_str!("../../../tests/fixtures/dialects/artifactory-plugin-bare.json");
        golden(dialect, &bare(), fixture);
        let fixture =
            include_str!("../../../tests/fixtures/dialects/artifactory-plugin-delete.json");
        golden(dialect, &untagged(), fixture);
    }

    #[test]
    fn image_and_tag_are_in_the_path_as_the_plugin_reads_it() {
        for event in [pushed(), bare(), untagged()] {
            let item = body(&event)["artifactory"]["webhook"]["data"]["event"].clone();
            assert_eq!(item["name"], "manifest.json");
            // What the plugin matches with `^(.*)/(.*?)/manifest.json$`.
            assert_eq!(item["relPath"], "team/app/1.4.2/manifest.json");
            assert_eq!(item["repoPath"]["path"], item["relPath"]);
        }
    }

    #[test]
    fn what_artifactory_calls_it_stands_where_artifactory_says_it() {
        let name = ArtifactoryName {
            repository_key: "docker-local".parse().unwrap(),
            image_name: "team/app".parse().unwrap(),
        };
        let repository = "docker-local/team/app".parse().unwrap();
        let body = body(&Event { repository, artifactory: Some(name), ..pushed() });
        let data = &body["artifactory"]["webhook"]["data"];
        assert_eq!(data["docker"]["image"], "team/app");
        assert_eq!(data["event"]["repoKey"], "docker-local");
        assert_eq!(data["event"]["repoPath"]["repoKey"], "docker-local");
        assert_eq!(data["event"]["relPath"], "team/app/1.4.2/manifest.json");
    }

    #[test]
    fn tags_created_and_deleted_only() {
        for action in [Action::Mount, Action::Pull] {
            let refused = write(&Event { action, ..pushed() }).unwrap_err();
            assert!(matches!(refused, Unwritable::Action { .. }));
        }
        let by_digest = Event { action: Action::Delete, tag: None, ..pushed() };
        let dialect = Dialect::ArtifactoryPlugin;
        assert_eq!(write(&by_digest).unwrap_err(), Unwritable::NoTag { dialect });
    }
}
