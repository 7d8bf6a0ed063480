//! Flux's notification-controller: a `Receiver` annotates the objects that it names, so that they are reconciled now.
//!
//! The event does not choose the objects, except by a CEL `resourceFilter`, which sees the body only where the type is
//! exactly `application/json`. The path is compared with the whole request target: **a query makes it 404**. A body of up
//! to 3 MiB. 503 says that the receiver is suspended or not ready.
//!
//! Source: fluxcd/notification-controller `internal/server/`, `docs/spec/v1/receivers.md`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

const JSON: &str = "application/json";

const SEE: &str = "\
Push an image. The answer is an empty 200, and `kubectl get imagerepository -o yaml` shows a new
`reconcile.fluxcd.io/requestedAt`. 404 says that the path is not the one of `status.webhookPath`, 400 that token and
`secret_file` differ, 503 that the receiver is suspended.";

const CREATE_PATH: &str = "\
A `Secret` with a `token` of your choice, and a `Receiver` of this type whose `secretRef` names it and whose `resources` are
what to reconcile (an `ImageRepository`, say). `status.webhookPath` is then `/hook/` and 64 hex digits: those digits alone
belong into the file that `secret_file` names, and take the place of `{secret}`.";

const CREATE_TOKEN: &str = "\
A `Secret` with a `token` of your choice, and a `Receiver` of this type whose `secretRef` names it and whose `resources` are
what to reconcile (an `ImageRepository`, say). `status.webhookPath` is the path to post to, and the token belongs into the
file that `secret_file` names.";

const FLUX: Facts = Facts { answers: Answers::Flux, see: SEE, ..Facts::NONE };

const BY_PATH: Facts = Facts {
    path: "/hook/{secret}",
    scheme: Some(Scheme::PathSecret),
    url: "https://flux.example.com",
    create: CREATE_PATH,
    ..FLUX
};

const BY_TOKEN: Facts = Facts {
    must_sign: true,
    url: "https://flux.example.com/hook/5f1e0c",
    create: CREATE_TOKEN,
    ..FLUX
};

/// The type `generic-hmac`: the best choice.
pub(super) const GENERIC_HMAC: Facts = Facts {
    word: "flux-generic-hmac",
    about: "Flux, receiver of type `generic-hmac`: signed, and the first choice.",
    dialect: Dialect::Flat,
    content_type: Some(JSON),
    scheme: Some(Scheme::FluxHmac),
    create: "\
A `Secret` with a `token` of your choice, and a `Receiver` of type `generic-hmac` whose `secretRef` names it and whose
`resources` are what to reconcile. `status.webhookPath` is the path to post to, and the token belongs into the file that
`secret_file` names. With `resourceFilter: 'req.image.contains(res.metadata.name)'` only what was pushed is reconciled; the
body's members are `action`, `registry`, `repository`, `tag`, `digest`, `image` and some more.",
    ..BY_TOKEN
};

/// The type `generic`.
pub(super) const GENERIC: Facts = Facts {
    word: "flux-generic",
    about: "Flux, receiver of type `generic`: by its path alone.",
    dialect: Dialect::Flat,
    content_type: Some(JSON),
    ..BY_PATH
};

/// The type `harbor`.
pub(super) const HARBOR: Facts = Facts {
    word: "flux-harbor",
    about: "Flux, receiver of type `harbor`: the token in `Authorization`.",
    dialect: Dialect::Harbor,
    scheme: Some(Scheme::StaticAuthorization),
    ..BY_TOKEN
};

/// The type `dockerhub`.
pub(super) const DOCKER_HUB: Facts = Facts {
    word: "flux-docker-hub",
    about: "Flux, receiver of type `dockerhub`: by its path alone.",
    dialect: Dialect::DockerHub,
    ..BY_PATH
};

/// The type `quay`.
pub(super) const QUAY: Facts = Facts {
    word: "flux-quay",
    about: "Flux, receiver of type `quay`: by its path alone.",
    dialect: Dialect::Quay,
    ..BY_PATH
};

/// The type `nexus`.
pub(super) const NEXUS: Facts = Facts {
    word: "flux-nexus",
    about: "Flux, receiver of type `nexus`: signed, by SHA-1.",
    dialect: Dialect::Nexus,
    scheme: Some(Scheme::NexusSha1),
    ..BY_TOKEN
};

/// The type `gcr`.
pub(super) const GCR: Facts = Facts {
    word: "flux-gcr",
    about: "Flux, receiver of type `gcr`: with an identity token that Google issued.",
    dialect: Dialect::Gcr,
    scheme: Some(Scheme::Oidc),
    sign: "{ token_file: /run/secrets/flux-gcr }",
    create: "\
A `Secret` with `token`, and with the `email` of the service account and the `audience` that the identity token has, and a
`Receiver` of type `gcr` whose `secretRef` names it and whose `resources` are what to reconcile. `status.webhookPath` is the
path to post to. Nobody but Google can make such a token: have it written into the file that `token_file` names, by a
metadata server's client, say, and kept fresh. Where there is none, `flux-generic-hmac` does the same.",
    ..BY_TOKEN
};

/// The type `cdevents`.
pub(super) const CDEVENTS: Facts = Facts {
    word: "flux-cdevents",
    about: "Flux, receiver of type `cdevents`: CDEvents 0.4, by its path alone.",
    dialect: Dialect::CdEvents04,
    create: "\
A `Secret` with a `token` of your choice, and a `Receiver` of type `cdevents` with `events:
[dev.cdevents.artifact.published.0.2.0]`, whose `secretRef` names the secret and whose `resources` are what to reconcile.
`status.webhookPath` is then `/hook/` and 64 hex digits: those digits alone belong into the file that `secret_file` names,
and take the place of `{secret}`.",
    ..BY_PATH
};

/// The type `github`.
pub(super) const GITHUB: Facts = Facts {
    word: "flux-github",
    about: "Flux, receiver of type `github`: signed.",
    dialect: Dialect::GitHub,
    scheme: Some(Scheme::GithubSha256),
    create: "\
A `Secret` with a `token` of your choice, and a `Receiver` of type `github` with `events: [package]`, whose `secretRef` names the
secret and whose `resources` are what to reconcile. `status.webhookPath` is the path to post to, and the token belongs into
the file that `secret_file` names.",
    ..BY_TOKEN
};
