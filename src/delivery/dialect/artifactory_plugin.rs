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
//! - `data.event` is Artifactory's `ItemInfo` of the manifest file, whose path says the same again. An index
//!   is stored as `list.manifest.json`, everything else as `manifest.json`. The plugin itself stays
//!   silent about `list.manifest.json`, so that tags of multi-platform images never reach its readers from
//!   there; from here they do. Readers take image and tag from `data.docker`, not from the file's name.
//! - `repoKey` is where Artifactory names its own repository, which the image lives in. A plain registry
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
use crate::registry::Kind;
use crate::registry::MediaType;

use super::Dialect;
use super::Payload;
use super::Unwritable;

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
    let image = event.repository.as_str();
    let file = file_name(event);
    let path = format!("{image}/{tag}/{file}");
    let millis = u64::try_from(event.time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let actor = event.actor.name.as_deref().unwrap_or_default();
    let item = ItemInfo {
        repo_path: RepoPath { repo_key: &event.registry, path: &path },
        repo_key: &event.registry,
        rel_path: &path,
        name: file,
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

/// The file that Artifactory would keep the manifest in.
fn file_name(event: &Event) -> &'static str {
    let is_index = event.media_type.as_ref().is_some_and(MediaType::is_index);
    if is_index || event.kind == Some(Kind::Index) { "list.manifest.json" } else { "manifest.json" }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::bare;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::super::tests::untagged;
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
    fn the_file_follows_the_kind() {
        let image = Event {
            kind: Some(Kind::Image),
            media_type: Some("application/vnd.oci.image.manifest.v1+json".parse().unwrap()),
            ..pushed()
        };
        for (event, file) in [
            (pushed(), "list.manifest.json"),
            (Event { media_type: None, ..pushed() }, "list.manifest.json"),
            (image, "manifest.json"),
            (bare(), "manifest.json"),
        ] {
            let item = body(&event)["artifactory"]["webhook"]["data"]["event"].clone();
            assert_eq!(item["name"], file);
            assert_eq!(item["relPath"], format!("team/app/1.4.2/{file}"));
            assert_eq!(item["repoPath"]["path"], item["relPath"]);
        }
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
