//! Watchtower's HTTP API: one image in the query, and nothing in the body, which it would copy to its log.
//!
//! It answers when the update has run, which may take minutes; with an image named it waits for a run under way.
//!
//! Source: containrrr/watchtower `pkg/api/`.

use std::time::Duration;

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// An empty request with an image.
pub(super) const WATCHTOWER: Facts = Facts {
    word: "watchtower",
    about: "Watchtower, the update of the containers of one image.",
    dialect: Dialect::Empty,
    path: "/v1/update",
    query: "image={registry}/{repository}",
    scheme: Some(Scheme::Bearer),
    must_sign: true,
    timeout: Some(Duration::from_secs(10 * 60)),
    answers: Answers::Watchtower,
    url: "https://watchtower.example.com",
    create: "\
Run it with `WATCHTOWER_HTTP_API_UPDATE=true` and a `WATCHTOWER_HTTP_API_TOKEN` of your choice, which also belongs into the file
that `secret_file` names. Put its port 8080 behind TLS. It compares the image's name without tag, and cuts that at the first
colon: a registry with a port in its name is never found, and needs `?image=` left out (write the whole URL with an empty
query, `https://…/v1/update?`).",
    see: "\
Push an image that a container runs. The answer, 200, comes when the container has been replaced; the attempt may take ten
minutes.",
    ..Facts::NONE
};
