//! Artifactory's own webhook (its Event service), domain `docker`.
//!
//! ```text
//! Content-Type: application/json
//! {"domain":"docker","event_type":"pushed","data":{"repo_key":"team","event_type":"pushed",
//!  "path":"app/1.4.2/list.manifest.json","name":"list.manifest.json","sha256":"<bare hex>","size":1609,
//!  "image_name":"app","tag":"1.4.2","image_type":"docker","platforms":[{"architecture":"amd64","os":"linux"}]},
//!  "subscription_key":"pushbell","jpd_origin":"https://<registry>","source":"jfrog/pushbell"}
//! ```
//!
//! - `event_type` is `pushed` or `deleted`, of a **tag**. There is no word for mounts and pulls; a manifest
//!   without a tag has no path.
//! - `repo_key` and `image_name` are what Artifactory calls it (`registry.layout: artifactory`). A plain registry
//!   has no such keys: there the first component of the repository stands for it and `image_name` is the
//!   rest, so that `<host of jpd_origin>/<repo_key>/<image_name>` is what clients pull. Of a repository with one
//!   component the rest is **empty**: a reader that joins `repo_key` and `path` (Kargo) still comes to the right
//!   image, and one that joins `repo_key` and `image_name` finds no image rather than another one.
//! - `name` is `list.manifest.json` for an index and `manifest.json` for all else; `path` is image, tag and name.
//! - `jpd_origin` is always there: without it Kargo cannot know the host.
//! - `image_type` is `docker` whatever the media type, and `oci` for a Helm chart alone: Kargo takes `oci` for a
//!   chart.
//! - `sha256` has no prefix and is left out for another algorithm or where unknown, as `size` is. Keel reads
//!   `size` into 32 bits, so one beyond that is left out too.
//! - Keel ignores `event_type` and would take a delete for a push, and knows only `image_name` without the key:
//!   its own dialect `keel` serves it better.
//!
//! Sources: docs.jfrog.com `administration/docs/event-types` and jfrog.com/help `domain-docker`; jfrog/terraform-provider-artifactory
//! `docs/resources/docker_webhook.md`; akuity/kargo `pkg/webhook/external/artifactory.go` and keel-hq/keel
//! `pkg/http/jfrog_webhook_trigger.go` as readers. The nested form is what is really sent; JFrog's pages long
//! showed the members of `data` alone.

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::registry::Digest;
use crate::registry::Kind;

use super::Dialect;
use super::Payload;
use super::Unwritable;

#[derive(Serialize)]
struct Body<'a> {
    domain: &'static str,
    event_type: &'static str,
    data: Data<'a>,
    subscription_key: &'static str,
    jpd_origin: String,
    source: &'static str,
}

#[derive(Serialize)]
struct Data<'a> {
    repo_key: &'a str,
    event_type: &'static str,
    path: String,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i32>,
    image_name: &'a str,
    tag: &'a str,
    image_type: &'static str,
    platforms: Vec<Platform<'a>>,
}

#[derive(Serialize)]
struct Platform<'a> {
    architecture: &'a str,
    os: &'a str,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let dialect = Dialect::Artifactory;
    let event_type = match event.action {
        Action::Push => "pushed",
        Action::Delete => "deleted",
        Action::Mount | Action::Pull => {
            return Err(dialect.no_word_for(event, "pushes and deletes of a tag"));
        }
    };
    let tag = dialect.tag(event)?;
    let (repo_key, image_name) = match &event.artifactory {
        Some(name) => (name.repository_key.as_str(), name.image_name.as_str()),
        None => {
            let path = event.repository.as_str();
            path.split_once('/').unwrap_or((path, ""))
        }
    };
    let name = match event.kind {
        Some(Kind::Index) => "list.manifest.json",
        _ => "manifest.json",
    };
    let folder = if image_name.is_empty() { String::new() } else { format!("{image_name}/") };
    let body = Body {
        domain: "docker",
        event_type,
        data: Data {
            repo_key,
            event_type,
            path: format!("{folder}{tag}/{name}"),
            name,
            sha256: event
                .digest
                .as_ref()
                .filter(|d| d.algorithm() == "sha256")
                .map(Digest::encoded),
            size: event.size.and_then(|size| i32::try_from(size).ok()),
            image_name,
            tag: tag.as_str(),
            image_type: if event.kind == Some(Kind::Chart) { "oci" } else { "docker" },
            platforms: event
                .platforms
                .iter()
                .filter(|platform| platform.os != "unknown")
                .map(|p| Platform { architecture: &p.architecture, os: &p.os })
                .collect(),
        },
        subscription_key: "pushbell",
        jpd_origin: format!("https://{}", event.registry),
        source: "jfrog/pushbell",
    };
    Ok(Payload::json("application/json", &body))
}

#[cfg(test)]
mod tests {
    use crate::registry::ArtifactoryName;

    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::super::tests::read;
    use super::super::tests::short;
    use super::super::tests::untagged;
    use super::*;

    #[test]
    fn golden_bodies() {
        let dialect = Dialect::Artifactory;
        golden(dialect, &pushed(), fixture!("artifactory-push"));
        golden(dialect, &bare(), fixture!("artifactory-bare"));
        golden(dialect, &short(), fixture!("artifactory-short"));
        golden(dialect, &untagged(), fixture!("artifactory-delete"));
    }

    #[test]
    fn what_artifactory_calls_it_goes_before_what_clients_type() {
        let name = ArtifactoryName {
            repository_key: "docker-local".parse().unwrap(),
            image_name: "team/app".parse().unwrap(),
        };
        let data = read(Dialect::Artifactory, &Event { artifactory: Some(name), ..pushed() });
        assert_eq!(data["data"]["repo_key"], "docker-local");
        assert_eq!(data["data"]["image_name"], "team/app");
        assert_eq!(data["data"]["path"], "team/app/1.4.2/list.manifest.json");
    }

    #[test]
    fn charts_are_told_from_images_and_sizes_stay_small() {
        let chart = Event { kind: Some(Kind::Chart), size: Some(1 << 31), ..pushed() };
        let data = read(Dialect::Artifactory, &chart)["data"].clone();
        assert_eq!(data["image_type"], "oci");
        assert_eq!(data.get("size"), None);
        assert_eq!(data["name"], "manifest.json");
    }

    #[test]
    fn tags_only() {
        for action in [Action::Mount, Action::Pull] {
            let refused = write(&Event { action, ..pushed() }).unwrap_err();
            assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
        }
        let refused = write(&Event { tag: None, ..pushed() }).unwrap_err();
        assert_eq!(refused, Unwritable::NoTag { dialect: Dialect::Artifactory });
    }
}
