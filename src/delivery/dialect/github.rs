//! GitHub's webhook for packages, events `package` and `registry_package`.
//!
//! ```text
//! Content-Type: application/json
//! X-GitHub-Event: package
//! X-GitHub-Delivery: <event id>
//! {"action":"published","package":{"name":"app","namespace":"team","ecosystem":"CONTAINER",
//!  "package_type":"CONTAINER","owner":{"login":"team"},"registry":{"url":"https://<registry>"},
//!  "package_version":{"version":"sha256:…","name":"sha256:…","package_url":"<registry>/<repository>:1.4.2",
//!   "container_metadata":{"tag":{"name":"1.4.2","digest":"sha256:…"},
//!    "manifest":{"config":{"media_type":"application/vnd.oci.image.config.v1+json"}}}}},
//!  "repository":{"name":"app","full_name":"team/app","owner":{"login":"team"}},"sender":{"login":"ci"}}
//! ```
//!
//! - GitHub tells **pushes** and nothing else of a version. The action is always `published`: the readers want that
//!   word, and GitHub says it of every version.
//! - Repository and organization hooks have the event `package`, GitHub Apps `registry_package`; the header and
//!   the member are called by it and all else is the same. Keel's reader of `registry_package` is said to want
//!   `repository.full_name`, which is why `repository` is there.
//! - `package_url` is what readers that know more than `ghcr.io` (Kargo, Dokploy) take the image from. **Argo CD,
//!   Image Updater and Keel read every such event as one of `ghcr.io`**, whatever the host: they are no
//!   receivers for another registry's events in this dialect.
//! - A push without a tag has the tag `""` and a `package_url` that ends with a colon, as GitHub has it; it needs
//!   a digest. `version`, `name` and `tag.digest` are left out where the digest is unknown.
//! - `owner` is the first component of the repository, which may be empty, and `name` the rest.
//! - The type of the config tells Kargo images from charts. It follows from what the manifest is; for what is
//!   neither, `manifest` is null.
//! - The signature, `X-Hub-Signature-256`, is the scheme `github-sha256` and not the dialect's.
//!
//! Sources: octokit/webhooks `payload-schemas/api.github.com/{package,registry_package}`; akuity/kargo
//! `pkg/webhook/external/github.go`, argo-cd `util/webhook/ghcr.go`, argocd-image-updater `pkg/webhook/ghcr.go`,
//! keel, Dokploy as readers. That an attempt repeats the `X-GitHub-Delivery` of the first is not documented.

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::Tag;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::image;
use super::project;

/// One of the two events.
pub(super) struct Hook {
    dialect: Dialect,
    name: &'static str,
}

/// Of a repository or an organization.
pub(super) const PACKAGE: Hook = Hook { dialect: Dialect::GitHub, name: "package" };

/// Of a GitHub App.
pub(super) const REGISTRY_PACKAGE: Hook =
    Hook { dialect: Dialect::GitHubRegistry, name: "registry_package" };

#[derive(Serialize)]
struct Body<'a> {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a Package<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_package: Option<&'a Package<'a>>,
    repository: Repository<'a>,
    sender: Login<'a>,
}

#[derive(Serialize)]
struct Package<'a> {
    name: &'a str,
    namespace: &'a str,
    ecosystem: &'static str,
    package_type: &'static str,
    owner: Login<'a>,
    registry: Registry,
    package_version: Version<'a>,
}

#[derive(Serialize)]
struct Registry {
    url: String,
}

#[derive(Serialize)]
struct Version<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    package_url: String,
    container_metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    tag: TagName<'a>,
    manifest: Option<Manifest>,
}

#[derive(Serialize)]
struct TagName<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
}

#[derive(Serialize)]
struct Manifest {
    config: Config,
}

#[derive(Serialize)]
struct Config {
    media_type: &'static str,
}

#[derive(Serialize)]
struct Repository<'a> {
    name: &'a str,
    full_name: &'a str,
    owner: Login<'a>,
}

#[derive(Serialize)]
struct Login<'a> {
    login: &'a str,
}

impl Hook {
    /// Writes the body.
    pub(super) fn write(&self, event: &Event) -> Result<Payload, Unwritable> {
        let dialect = self.dialect;
        if event.action != Action::Push {
            return Err(dialect.no_word_for(event, "pushes"));
        }
        if event.tag.is_none() && event.digest.is_none() {
            return Err(Unwritable::NoReference { dialect });
        }
        let tag = event.tag.as_ref().map_or("", Tag::as_str);
        let digest = event.digest.as_ref().map(Digest::as_str);
        let (owner, name) = project(event);
        let package = Package {
            name,
            namespace: owner,
            ecosystem: "CONTAINER",
            package_type: "CONTAINER",
            owner: Login { login: owner },
            registry: Registry { url: format!("https://{}", event.registry) },
            package_version: Version {
                version: digest,
                name: digest,
                package_url: format!("{}:{tag}", image(event)),
                container_metadata: Metadata {
                    tag: TagName { name: tag, digest },
                    manifest: config(event.kind)
                        .map(|media_type| Manifest { config: Config { media_type } }),
                },
            },
        };
        let own = self.dialect == Dialect::GitHub;
        let body = Body {
            action: "published",
            package: own.then_some(&package),
            registry_package: (!own).then_some(&package),
            repository: Repository {
                name,
                full_name: event.repository.as_str(),
                owner: Login { login: owner },
            },
            sender: Login { login: event.actor.name.as_deref().unwrap_or_default() },
        };
        let payload = Payload::json("application/json", &body);
        let payload = payload.with("x-github-event", self.name);
        Ok(payload.with("x-github-delivery", event.id.to_string()))
    }
}

/// What the config of such a manifest is. An unknown kind is most likely an image.
fn config(kind: Option<Kind>) -> Option<&'static str> {
    match kind {
        None | Some(Kind::Image | Kind::Index) => Some("application/vnd.oci.image.config.v1+json"),
        Some(Kind::Chart) => Some("application/vnd.cncf.helm.config.v1+json"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::header;
    use super::super::tests::pushed;
    use super::super::tests::read;
    use super::super::tests::short;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::GitHub, &pushed(), fixture!("github-push"));
        golden(Dialect::GitHub, &bare(), fixture!("github-bare"));
        golden(Dialect::GitHub, &short(), fixture!("github-short"));
        golden(Dialect::GitHubRegistry, &pushed(), fixture!("github-registry-push"));
    }

    #[test]
    fn the_header_names_the_event() {
        for (dialect, name) in
            [(Dialect::GitHub, "package"), (Dialect::GitHubRegistry, "registry_package")]
        {
            assert_eq!(header(dialect, &pushed(), "x-github-event"), name);
            let id = header(dialect, &pushed(), "x-github-delivery");
            assert_eq!(id, pushed().id.to_string());
            assert!(read(dialect, &pushed())[name].is_object());
        }
    }

    #[test]
    fn without_a_tag_the_url_ends_with_a_colon_as_theirs_does() {
        let untagged = Event { tag: None, ..pushed() };
        let version = read(Dialect::GitHub, &untagged)["package"]["package_version"].clone();
        assert_eq!(version["package_url"], "registry.example.com/team/app:");
        assert_eq!(version["container_metadata"]["tag"]["name"], "");
    }

    #[test]
    fn charts_and_signatures_are_no_images() {
        let of = |kind| {
            let body = read(Dialect::GitHub, &Event { kind: Some(kind), ..pushed() });
            body["package"]["package_version"]["container_metadata"]["manifest"].clone()
        };
        assert_eq!(
            of(Kind::Chart)["config"]["media_type"],
            "application/vnd.cncf.helm.config.v1+json"
        );
        assert!(of(Kind::Signature).is_null());
    }

    #[test]
    fn pushes_only() {
        for action in [Action::Delete, Action::Mount, Action::Pull] {
            let refused = PACKAGE.write(&Event { action, ..pushed() }).unwrap_err();
            assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
        }
        let refused = PACKAGE.write(&Event { tag: None, ..bare() }).unwrap_err();
        assert_eq!(refused, Unwritable::NoReference { dialect: Dialect::GitHub });
    }
}
