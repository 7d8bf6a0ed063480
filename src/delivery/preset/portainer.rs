//! Portainer's hook of a Swarm service: the tag in the query, and nothing in the body.
//!
//! Source: portainer/portainer `api/http/handler/webhooks/webhook_execute.go`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// An empty request with a tag.
pub(super) const PORTAINER: Facts = Facts {
    word: "portainer",
    about: "Portainer, the update of a Swarm service to the tag that was pushed.",
    dialect: Dialect::Empty,
    path: "/api/webhooks/{secret}",
    query: "tag={tag}",
    scheme: Some(Scheme::PathSecret),
    answers: Answers::Portainer,
    url: "https://portainer.example.com",
    more: &["when: { repositories: [\"team/app\"], tags: [\"1.*\"] }"],
    create: "\
In the service's page, *Service webhook*. The last segment of its URL belongs into the file that `secret_file` names, and takes
the place of `{secret}`. A hook is for one service: an endpoint each, and `when` so that it hears of that service's repository
alone. A stack made from git has a hook of another kind, which takes no tag: `dialect: empty`, the URL
`https://portainer.example.com/api/stacks/webhooks/{secret}`, and `sign: { scheme: path-secret, secret_file: … }`.",
    see: "\
Push a tag. The answer is an empty 204, and the service has the new image. 404 says that there is no such hook.",
    ..Facts::NONE
};
