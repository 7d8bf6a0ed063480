//! Quay's webhook, event `repo_push`.
//!
//! ```text
//! Content-Type: application/json
//! {"name":"app","repository":"team/app","namespace":"team","docker_url":"<registry>/<repository>",
//!  "homepage":"https://<registry>/repository/<repository>","updated_tags":["1.4.2"]}
//! ```
//!
//! - The format tells **pushes of a tag** and nothing else: no digest, no actor, no time, no id.
//! - `updated_tags` always has one entry: Image Updater reads only the first.
//! - `docker_url` has neither scheme nor tag; every reader takes the whole image from it.
//! - `homepage` is where Quay would show the repository; here it is a name, not a page that somebody serves.
//!
//! Sources: quay/quay `notifications/notificationevent.py` and `endpoints/v2/manifest.py`; akuity/kargo
//! `pkg/webhook/external/quay.go`, fluxcd/notification-controller, keel and argocd-image-updater as readers.

use serde::Serialize;

use crate::event::Event;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::image;
use super::project;

#[derive(Serialize)]
struct Body<'a> {
    name: &'a str,
    repository: &'a str,
    namespace: &'a str,
    docker_url: String,
    homepage: String,
    updated_tags: [&'a str; 1],
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let tag = Dialect::Quay.pushed_tag(event)?;
    let (namespace, name) = project(event);
    let body = Body {
        name,
        repository: event.repository.as_str(),
        namespace,
        docker_url: image(event),
        homepage: format!("https://{}/repository/{}", event.registry, event.repository),
        updated_tags: [tag.as_str()],
    };
    Ok(Payload::json("application/json", &body))
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::only_pushed_tags;
    use super::super::tests::pushed;
    use super::super::tests::short;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Quay, &pushed(), fixture!("quay-push"));
        golden(Dialect::Quay, &short(), fixture!("quay-short"));
    }

    #[test]
    fn pushes_only() {
        only_pushed_tags(Dialect::Quay);
    }
}
