//! Keel, by its own webhook, which alone carries the digest and has no trap.
//!
//! It answers once its queue has taken the event, and 400 or 401 to what it does not take.
//!
//! Source: keel-hq/keel `pkg/http/`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// The path `native`.
pub(super) const KEEL: Facts = Facts {
    word: "keel",
    about: "Keel, by its own webhook; Basic authentication where Keel has it on.",
    dialect: Dialect::Keel,
    path: "/v1/webhooks/native",
    scheme: Some(Scheme::Basic),
    answers: Answers::Keel,
    url: "https://keel.example.com",
    sign: "{ username: keel, secret_file: /run/secrets/keel }",
    create: "\
Nothing but a policy on what should follow, such as the label `keel.sh/policy: force`. Put Keel's port 9300 behind TLS. With
`AUTHENTICATED_WEBHOOKS=true`, `BASIC_AUTH_USER` is the `username`, and `BASIC_AUTH_PASSWORD` belongs into the file that
`secret_file` names; without it, leave `sign` out, and let nobody else reach the port.",
    see: "\
Push a tag that a workload follows. Keel's log says `updating`, and `kubectl rollout history` has a new revision. Keel
compares the image with its host and port, exactly.",
    ..Facts::NONE
};
