//! Jenkins, by two of its plugins.
//!
//! Source: jenkinsci/dockerhub-notification-plugin, jenkinsci/generic-webhook-trigger-plugin.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// The plugin "CloudBees Docker Hub/Registry Notification", its registry path.
pub(super) const REGISTRY: Facts = Facts {
    word: "jenkins-registry",
    about: "Jenkins with the plugin *CloudBees Docker Hub/Registry Notification*, told as Docker Distribution would.",
    dialect: Dialect::Distribution,
    path: "/dockerregistry-webhook/{secret}/notify",
    scheme: Some(Scheme::PathSecret),
    answers: Answers::Jenkins,
    url: "https://jenkins.example.com",
    create: "\
An API token for the plugin in *Manage Jenkins*, *Docker Hub/Registry notification*: it belongs into the file that
`secret_file` names, and takes the place of `{secret}`. In the job, the trigger *Monitor Docker Hub/Registry for image
changes* with the repository as `registry.example.com/team/app`, host included.",
    see: "\
Push the image. The job runs with `DOCKER_TRIGGER_REPO_NAME` and `DOCKER_TRIGGER_TAG`. The plugin answers 200 also to what
triggers nothing, and 403 to a wrong token.",
    ..Facts::NONE
};

/// The plugin "Generic Webhook Trigger".
pub(super) const GENERIC: Facts = Facts {
    word: "jenkins-generic-webhook-trigger",
    about: "Jenkins with the plugin *Generic Webhook Trigger*: a token, and variables by JSONPath.",
    dialect: Dialect::Flat,
    path: "/generic-webhook-trigger/invoke",
    content_type: Some("application/json"),
    scheme: Some(Scheme::Bearer),
    answers: Answers::GenericWebhookTrigger,
    url: "https://jenkins.example.com",
    create: "\
In the job, the trigger *Generic Webhook Trigger* with a token of your choice, which also belongs into the file that
`secret_file` names, and variables such as `IMAGE` by `$.image`, `REPOSITORY` by `$.repository`, `TAG` by `$.tag`. An optional
filter compares them with a regular expression. For a signature instead, turn HMAC on with the header
`X-Hub-Signature-256`, algorithm SHA-256, hex, and write `sign: { scheme: github-sha256, … }`.",
    see: "\
Push an image. The answer is 200 with `Triggered jobs.` and each job of that token, or 404 if no job has it. The header
`gwt-dry-run: true` (in `headers`) has it evaluated without a build.",
    ..Facts::NONE
};
