//! Tekton's EventListener: any path, any JSON object; its interceptor for GitHub is how an own body gets checked.
//!
//! 202 says that a trigger was looked for, not that one was found.
//!
//! Source: tektoncd/triggers `pkg/sink/`, `pkg/interceptors/`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// A signed body of our own.
pub(super) const TEKTON: Facts = Facts {
    word: "tekton",
    about: "A Tekton EventListener: an own event, signed the way of GitHub.",
    dialect: Dialect::Flat,
    headers: &[("x-github-event", "pushbell")],
    content_type: Some("application/json"),
    scheme: Some(Scheme::GithubSha256),
    answers: Answers::Tekton,
    url: "https://tekton.example.com",
    create: "\
An `EventListener` whose trigger begins with the interceptor `github`: `secretRef` to a `Secret` with a value of your choice,
which also belongs into the file that `secret_file` names, and `eventTypes: [pushbell]`. A `TriggerBinding` takes
`$(body.image)`, `$(body.repository)`, `$(body.tag)`, `$(body.digest)`; a `cel` interceptor such as
`body.repository.startsWith('team/')` keeps the rest away.",
    see: "\
Push an image. The answer is 202 with an `eventID`; `kubectl get pipelinerun -l triggers.tekton.dev/triggers-eventid=…` shows
what it started, which may be nothing: an interceptor that stops does not show in the answer.",
    ..Facts::NONE
};
