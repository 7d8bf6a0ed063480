//! Spinnaker's `webhook` trigger, by way of Gate or Echo. It has no authentication.
//!
//! Source: spinnaker/echo `echo-webhooks/`.

use super::Answers;
use super::Dialect;
use super::Facts;

/// A list of artifacts.
pub(super) const SPINNAKER: Facts = Facts {
    word: "spinnaker",
    about: "Spinnaker, a `webhook` trigger with a list of artifacts.",
    dialect: Dialect::Spinnaker,
    path: "/webhooks/webhook/pushbell",
    answers: Answers::Spinnaker,
    url: "https://gate.example.com",
    create: "\
In the pipeline, an automated trigger of type *Webhook* with the source `pushbell`, payload constraints such as
`repository` = `team/app`, and an expected artifact of type Docker with the image's name, host included. For another source
write the whole URL. Nobody is asked who he is: let only those reach Gate's `/webhooks` who may, by a client certificate in
front of it, say.",
    see: "\
Push the image. The answer is 200 with `eventProcessed` and an `eventId`; the pipeline's execution shows the artifact.",
    ..Facts::NONE
};
