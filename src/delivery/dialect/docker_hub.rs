//! Docker Hub's webhook, as the Hub posts it today.
//!
//! ```text
//! Content-Type: application/json
//! {"callback_url":"","push_data":{"pushed_at":1767225600,"images":[],"tag":"1.4.2","pusher":"ci",
//!  "media_type":"application/vnd.oci.image.index.v1+json"},
//!  "repository":{"status":"Active","description":"","is_trusted":false,"full_description":"",
//!  "repo_url":"https://<registry>/<repository>","owner":"team","is_official":false,"is_private":true,
//!  "name":"app","namespace":"team","star_count":0,"comment_count":0,"date_created":0,"dockerfile":"",
//!  "repo_name":"<registry>/<repository>"}}
//! ```
//!
//! - The format tells **pushes of a tag** and nothing else: no delete, no digest anywhere, and no way to
//!   say that an event is unconfirmed.
//! - `repo_name` carries the registry's host, as Kargo, Keel, Jenkins and Dokploy accept it: the Hub's own
//!   readers complete a bare `team/app` to `docker.io/team/app`, which for any other registry is
//!   somebody else's image. Where the registry *is* Docker Hub the name is bare, as the Hub writes it.
//!   A receiver that reads bare names only (Image Updater, Spinnaker, kobold) can thus hear of Docker Hub's
//!   own images alone, which is all that it can pull by such a name.
//! - `namespace` and `owner` are everything before the last `/` and may be empty; `name` is the rest.
//! - Every number is a plain integer in seconds. The Hub's old documentation shows `1.417566161e+09` and
//!   `"0"`; a reader with an integer field (Keel) answers those with 400.
//! - `callback_url` is there and empty. It is where a receiver may post the result of its build; there is
//!   nobody here to read it, and any address we made up would be one we ask others to call.
//! - `media_type` is left out where it is unknown; Kargo tells images from charts by it.
//! - Facts about the repository that a push does not tell have the value that claims least: `date_created`
//!   is 0, `is_private` is true, counts are 0, texts are empty.
//!
//! Sources: docker/docs `docker-hub/webhooks.md` (old and current), akuity/kargo
//! `pkg/webhook/external/dockerhub.go`, keel-hq/keel `pkg/http/dockerhub_webhook_trigger.go`,
//! jenkinsci/dockerhub-notification-plugin, Dokploy `pages/api/deploy/[refreshToken].ts`.

use serde::Serialize;

use crate::event::Event;
use crate::registry::MediaType;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::seconds;

#[derive(Serialize)]
struct Body<'a> {
    callback_url: &'static str,
    push_data: PushData<'a>,
    repository: Repository<'a>,
}

#[derive(Serialize)]
struct PushData<'a> {
    pushed_at: u64,
    images: [&'static str; 0],
    tag: &'a str,
    pusher: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
}

#[derive(Serialize)]
struct Repository<'a> {
    status: &'static str,
    description: &'static str,
    is_trusted: bool,
    full_description: &'static str,
    repo_url: String,
    owner: &'a str,
    is_official: bool,
    is_private: bool,
    name: &'a str,
    namespace: &'a str,
    star_count: u64,
    comment_count: u64,
    date_created: u64,
    dockerfile: &'static str,
    repo_name: String,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let tag = Dialect::DockerHub.pushed_tag(event)?;
    let body = Body {
        callback_url: "",
        push_data: PushData {
            pushed_at: seconds(event),
            images: [],
            tag: tag.as_str(),
            pusher: event.actor.name.as_deref().unwrap_or_default(),
            media_type: event.media_type.as_ref().map(MediaType::as_str),
        },
        repository: Repository::of(event),
    };
    Ok(Payload::json("application/json", &body))
}

impl<'a> Repository<'a> {
    fn of(event: &'a Event) -> Self {
        let path = event.repository.as_str();
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        // The three names under which clients reach Docker Hub.
        let hub = matches!(
            event.registry.as_str(),
            "docker.io" | "index.docker.io" | "registry-1.docker.io"
        );
        let (repo_name, repo_url) = if hub {
            (path.to_owned(), format!("https://hub.docker.com/r/{path}"))
        } else {
            let name = format!("{}/{path}", event.registry);
            let url = format!("https://{name}");
            (name, url)
        };
        Self {
            status: "Active",
            description: "",
            is_trusted: false,
            full_description: "",
            repo_url,
            owner: namespace,
            is_official: hub && namespace == "library",
            is_private: !(hub && namespace == "library"),
            name,
            namespace,
            star_count: 0,
            comment_count: 0,
            date_created: 0,
            dockerfile: "",
            repo_name,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::bare;
    use super::super::tests::golden;
    use super::super::tests::only_pushed_tags;
    use super::super::tests::pushed;
    use super::*;

    fn body(event: &Event) -> Value {
        serde_json::from_slice(&write(event).unwrap().body).unwrap()
    }

    #[test]
    fn golden_bodies() {
        let fixture = include_str!("../../../tests/fixtures/dialects/docker-hub-push.json");
        golden(Dialect::DockerHub, &pushed(), fixture);
        let fixture = include_str!("../../../tests/fixtures/dialects/docker-hub-bare.json");
        golden(Dialect::DockerHub, &bare(), fixture);
    }

    #[test]
    fn the_name_carries_the_host_unless_it_is_the_hub() {
        for (registry, repository, repo_name, namespace, name, official) in [
            ("r.example.com:5000", "team/app", "r.example.com:5000/team/app", "team", "app", false),
            ("localhost:5443", "app", "localhost:5443/app", "", "app", false),
            ("r.example.com", "a/b/c", "r.example.com/a/b/c", "a/b", "c", false),
            ("docker.io", "acme/app", "acme/app", "acme", "app", false),
            ("index.docker.io", "library/ubuntu", "library/ubuntu", "library", "ubuntu", true),
        ] {
            let event = Event {
                registry: registry.to_owned(),
                repository: repository.parse().unwrap(),
                ..pushed()
            };
            let repository = body(&event)["repository"].clone();
            assert_eq!(repository["repo_name"], repo_name);
            assert_eq!(repository["namespace"], namespace);
            assert_eq!(repository["name"], name);
            assert_eq!(repository["is_official"], official);
        }
    }

    #[test]
    fn pushes_only() {
        only_pushed_tags(Dialect::DockerHub);
    }

    #[test]
    fn a_clock_before_1970_is_zero() {
        let time = time::macros::datetime!(1969-01-01 0:00 UTC);
        assert_eq!(body(&Event { time, ..pushed() })["push_data"]["pushed_at"], 0);
    }
}
