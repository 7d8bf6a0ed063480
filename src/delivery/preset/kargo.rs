//! Kargo's webhook receivers: each type has a path of its own below the external webhooks server, and whoever has the
//! whole URL may call it. An event refreshes every Warehouse that subscribes to the repository.
//!
//! A body of up to 2 MiB. What is answered: 200 with `refreshed N warehouse(s)`, where N may be 0.
//!
//! Source: akuity/kargo `pkg/webhook/external/`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

const SEE: &str = "\
Push an image that a Warehouse subscribes to. Kargo answers `refreshed 1 warehouse(s)`, which the delivery's history
keeps; **`refreshed 0` means that nothing matched**: compare the Warehouse's `repoURL` with `registry.name` and the
repository. `kubectl describe warehouse` shows the discovery at the time of the push.";

const CREATE_URL: &str = "\
In the `ProjectConfig`, a receiver of this type in `spec.webhookReceivers`, with a `secretRef` to a `Secret` whose
`stringData.secret` you choose. `status.webhookReceivers[].url` is then the URL to post to. Its last segment is what keeps
others out: put it alone into the file that `secret_file` names, and it takes the place of `{secret}`.";

const KARGO: Facts = Facts { answers: Answers::Kargo, see: SEE, ..Facts::NONE };

/// The type `artifactory`, which checks a signature.
pub(super) const ARTIFACTORY: Facts = Facts {
    word: "kargo-artifactory",
    about: "Kargo, receiver of type `artifactory`: signed, and the first choice.",
    dialect: Dialect::Artifactory,
    scheme: Some(Scheme::JfrogSigned),
    must_sign: true,
    url: "https://kargo.example.com/artifactory/5f1e0c",
    create: "\
In the `ProjectConfig`, an `artifactory` receiver in `spec.webhookReceivers`, with a `secretRef` to a `Secret` whose
`stringData` has `secret-token`. `status.webhookReceivers[].url` is then the URL to post to; the token is what signs, and
belongs into the file that `secret_file` names. Leave `virtualRepoName` out: the event's own path is what clients pull.",
    ..KARGO
};

/// The type `github`, which checks a signature.
pub(super) const GITHUB: Facts = Facts {
    word: "kargo-github",
    about: "Kargo, receiver of type `github`: signed, for any registry's host.",
    dialect: Dialect::GitHub,
    scheme: Some(Scheme::GithubSha256),
    must_sign: true,
    url: "https://kargo.example.com/github/5f1e0c",
    create: "\
In the `ProjectConfig`, a `github` receiver in `spec.webhookReceivers`, with a `secretRef` to a `Secret` whose
`stringData.secret` you choose. `status.webhookReceivers[].url` is then the URL to post to; the secret is what signs, and
belongs into the file that `secret_file` names.",
    ..KARGO
};

/// The type `dockerhub`, which takes any registry's host in the name.
pub(super) const DOCKER_HUB: Facts = Facts {
    word: "kargo-docker-hub",
    about: "Kargo, receiver of type `dockerhub`: by its URL alone, for any registry's host.",
    dialect: Dialect::DockerHub,
    path: "/dockerhub/{secret}",
    scheme: Some(Scheme::PathSecret),
    url: "https://kargo.example.com",
    create: CREATE_URL,
    ..KARGO
};

/// The type `harbor`, which compares a header.
pub(super) const HARBOR: Facts = Facts {
    word: "kargo-harbor",
    about: "Kargo, receiver of type `harbor`: a secret in `Authorization`.",
    dialect: Dialect::Harbor,
    scheme: Some(Scheme::StaticAuthorization),
    must_sign: true,
    url: "https://kargo.example.com/harbor/5f1e0c",
    create: "\
In the `ProjectConfig`, a `harbor` receiver in `spec.webhookReceivers`, with a `secretRef` to a `Secret` whose `stringData` has
`auth-header`. `status.webhookReceivers[].url` is then the URL to post to; the value of `auth-header` belongs into the file
that `secret_file` names, exactly as it is there.",
    ..KARGO
};

/// The type `quay`.
pub(super) const QUAY: Facts = Facts {
    word: "kargo-quay",
    about: "Kargo, receiver of type `quay`: by its URL alone.",
    dialect: Dialect::Quay,
    path: "/quay/{secret}",
    scheme: Some(Scheme::PathSecret),
    url: "https://kargo.example.com",
    create: CREATE_URL,
    ..KARGO
};

/// The type `azure`, which looks at the `User-Agent`.
pub(super) const AZURE: Facts = Facts {
    word: "kargo-azure",
    about: "Kargo, receiver of type `azure`: by its URL alone.",
    dialect: Dialect::Acr,
    path: "/azure/{secret}",
    scheme: Some(Scheme::PathSecret),
    url: "https://kargo.example.com",
    create: CREATE_URL,
    ..KARGO
};

/// The type `generic`, which reads what its expressions say.
pub(super) const GENERIC: Facts = Facts {
    word: "kargo-generic",
    about: "Kargo, receiver of type `generic`: by its URL alone, and what its expressions read.",
    dialect: Dialect::Flat,
    path: "/generic/{secret}",
    scheme: Some(Scheme::PathSecret),
    url: "https://kargo.example.com",
    create: "\
In the `ProjectConfig`, a `generic` receiver in `spec.webhookReceivers`, with a `secretRef` to a `Secret` whose
`stringData.secret` you choose, and an action `Refresh` whose `indexSelector` has the key `subscribedURLs` and the value
`${{ normalizeImage(request.body.registry + '/' + request.body.repository) }}`. `status.webhookReceivers[].url` is then the URL
to post to. Its last segment is what keeps others out: put it alone into the file that `secret_file` names, and it takes
the place of `{secret}`.",
    ..KARGO
};
