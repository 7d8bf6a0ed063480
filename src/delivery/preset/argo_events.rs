//! An event source `webhook` of Argo Events: port, path and method are its owner's choice.
//!
//! 200 only after its bus has the event; a body of up to 1 MiB.
//!
//! Source: argoproj/argo-events `pkg/eventsources/`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// A flat body and a bearer token.
pub(super) const ARGO_EVENTS: Facts = Facts {
    word: "argo-events",
    about: "Argo Events, an event source `webhook`: a bearer token where it has one.",
    dialect: Dialect::Flat,
    content_type: Some("application/json"),
    scheme: Some(Scheme::Bearer),
    answers: Answers::ArgoEvents,
    url: "https://argo-events.example.com/push",
    create: "\
An `EventSource` with `webhook.<name>: { port: \"12000\", endpoint: /push, method: POST, authSecret: … }`. The secret's value is
the token, and belongs into the file that `secret_file` names. A `Sensor` filters on `body.repository`, `body.tag` and the
like.",
    see: "\
Push an image. The answer is 200 with `success` once the bus has it; the sensor's log says whether its filters let it
through.",
    ..Facts::NONE
};
