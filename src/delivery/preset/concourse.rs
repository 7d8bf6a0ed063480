//! Concourse's hook that has one resource checked now. The request says it all; the body is ignored.
//!
//! 201 with the check. 500 also where the check could not be made.
//!
//! Source: concourse/concourse `atc/api/resourceserver/check_webhook.go`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// An empty request.
pub(super) const CONCOURSE: Facts = Facts {
    word: "concourse",
    about: "Concourse, the check of one resource: a token in the query.",
    dialect: Dialect::Empty,
    scheme: Some(Scheme::QuerySecret),
    parameter: Some("webhook_token"),
    must_sign: true,
    answers: Answers::Concourse,
    url: "https://concourse.example.com/api/v1/teams/main/pipelines/app/resources/image/check/webhook",
    more: &["when: { repositories: [\"team/app\"] }"],
    create: "\
A resource of type `registry-image` with a `webhook_token` of your choice, which also belongs into the file that `secret_file`
names. There is one URL for each resource: an endpoint each, and `when` so that it hears of that resource's repository alone.",
    see: "\
Push the image. The answer is 201 with the check, and the resource's page shows it at that time. 401 says that the token is
another.",
    ..Facts::NONE
};
