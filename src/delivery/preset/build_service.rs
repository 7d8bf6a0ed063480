//! The build service of 2019 (Pivotal, VMware): three endpoints below its API, each for one sender it knows.
//!
//! It has no authentication of its own; who may reach it is a matter of the network and of TLS. The receiver's code is
//! closed: what it reads is what the documentation of its three senders promises, and that is sent complete.
//!
//! Source: ssapra/docs-build-service `webhooks.md`.

use super::Dialect;
use super::Facts;

const CREATE: &str = "\
Nothing: the endpoint is there. Relocate the builder image with the registry's name and repository spelled as clients
type them here (`registry.name`), because the service compares that reference with what the event says; it reacts to
that image alone.";

const SEE: &str = "\
Push the builder image through Pushbell. The delivery's line in the log says `outcome=taken`, and the service starts to
rebuild at once instead of at its next poll.";

/// The endpoint for registry notifications.
pub(super) const DOCKER: Facts = Facts {
    word: "build-service-docker",
    about: "The build service, told as Docker Distribution would.",
    dialect: Dialect::Distribution,
    path: "/v1/docker/notification",
    url: "https://build.example.com",
    more: &["when: { repositories: [\"platform/build-service-builder\"] }"],
    create: CREATE,
    see: SEE,
    ..Facts::NONE
};

/// The endpoint for Docker Hub's webhooks.
pub(super) const DOCKER_HUB: Facts = Facts {
    word: "build-service-docker-hub",
    about: "The build service, told as Docker Hub would.",
    dialect: Dialect::DockerHub,
    path: "/v1/docker/webhook",
    ..DOCKER
};

/// The endpoint for Artifactory's webhook plugin.
pub(super) const ARTIFACTORY: Facts = Facts {
    word: "build-service-artifactory",
    about: "The build service, told as Artifactory's `webhook` plugin would.",
    dialect: Dialect::ArtifactoryPlugin,
    path: "/v1/artifactory/webhook",
    ..DOCKER
};
