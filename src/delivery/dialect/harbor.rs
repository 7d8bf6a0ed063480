//! Harbor's webhook, payload format `Default`.
//!
//! ```text
//! Content-Type: application/json
//! {"type":"PUSH_ARTIFACT","occur_at":1772356502,"operator":"ci","event_data":{
//!  "resources":[{"digest":"sha256:…","tag":"1.4.2","resource_url":"<registry>/<repository>:1.4.2"}],
//!  "repository":{"name":"app","namespace":"team","repo_full_name":"team/app","repo_type":"private"}}}
//! ```
//!
//! - The format tells **pushes and pulls of a tag**. Harbor sends `DELETE_ARTIFACT` for a manifest with all
//!   its tags and nothing at all for the delete of one tag, so neither of our deletes fits.
//! - Always **one resource**: Image Updater reads only the first, Argo CD stops at the first that has a tag,
//!   Kargo takes the repository from the first alone.
//! - `tag` is a tag. Harbor puts the digest there for a push by digest, which no reader's tag rules expect.
//! - `resource_url` has no scheme; readers take host and image from it.
//! - `namespace` is the first component of the repository, Harbor's project, and `name` the rest; both are
//!   less than what `repo_full_name` says, which is always there.
//! - `digest` is left out where it is unknown. `date_created` is left out always, as Harbor does where it does
//!   not know; `repo_type` claims the least.
//! - `occur_at` is a plain integer, seconds since 1970; an unknown actor is the empty text.
//! - The authentication is a value that the receiver was given, in `Authorization`, without a scheme: that is
//!   the signature scheme `static-authorization` and not the dialect's.
//!
//! Sources: goharbor/harbor `src/pkg/notifier/{formats/default,model/event}.go`; argo-cd `util/webhook/harbor.go`,
//! argocd-image-updater `pkg/webhook/harbor.go`, akuity/kargo `pkg/webhook/external/harbor.go` and keel as readers.

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::registry::Digest;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::image;
use super::project;
use super::seconds;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    occur_at: u64,
    operator: &'a str,
    event_data: EventData<'a>,
}

#[derive(Serialize)]
struct EventData<'a> {
    resources: [Resource<'a>; 1],
    repository: Repository<'a>,
}

#[derive(Serialize)]
struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    tag: &'a str,
    resource_url: String,
}

#[derive(Serialize)]
struct Repository<'a> {
    name: &'a str,
    namespace: &'a str,
    repo_full_name: &'a str,
    repo_type: &'static str,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Result<Payload, Unwritable> {
    let dialect = Dialect::Harbor;
    let kind = match event.action {
        Action::Push => "PUSH_ARTIFACT",
        Action::Pull => "PULL_ARTIFACT",
        Action::Delete | Action::Mount => {
            return Err(dialect.no_word_for(event, "pushes and pulls of a tag"));
        }
    };
    let tag = dialect.tag(event)?;
    let (namespace, name) = project(event);
    let body = Body {
        kind,
        occur_at: seconds(event),
        operator: event.actor.name.as_deref().unwrap_or_default(),
        event_data: EventData {
            resources: [Resource {
                digest: event.digest.as_ref().map(Digest::as_str),
                tag: tag.as_str(),
                resource_url: format!("{}:{tag}", image(event)),
            }],
            repository: Repository {
                name,
                namespace,
                repo_full_name: event.repository.as_str(),
                repo_type: "private",
            },
        },
    };
    Ok(Payload::json("application/json", &body))
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::super::tests::read;
    use super::super::tests::short;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Harbor, &pushed(), fixture!("harbor-push"));
        golden(Dialect::Harbor, &bare(), fixture!("harbor-bare"));
        golden(Dialect::Harbor, &short(), fixture!("harbor-short"));
    }

    #[test]
    fn pulls_have_a_word_and_deletes_have_none() {
        let pulled = Event { action: Action::Pull, ..pushed() };
        assert_eq!(read(Dialect::Harbor, &pulled)["type"], "PULL_ARTIFACT");
        for action in [Action::Delete, Action::Mount] {
            let refused = write(&Event { action, ..pushed() }).unwrap_err();
            assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
        }
    }
}
