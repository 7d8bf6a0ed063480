//! A broker of Knative Eventing: any CloudEvent.
//!
//! It stores the event and answers 202; what it is told twice has the same `source` and `id`.
//!
//! Source: knative/eventing `pkg/broker/ingress/`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// The native event.
pub(super) const KNATIVE: Facts = Facts {
    word: "knative",
    about: "Knative Eventing, a broker: CloudEvents, with a token where it asks for one.",
    dialect: Dialect::Native,
    scheme: Some(Scheme::Oidc),
    answers: Answers::Knative,
    url: "https://broker-ingress.example.com/default/default",
    sign: "{ token_file: /run/secrets/knative }",
    create: "\
A `Broker`, and a `Trigger` with `filter.attributes: { type: dev.pushbell.image.push.v1 }`. The URL's path is namespace and name of
the broker. Where authentication is on, mount a projected service account token with the broker's audience
(`kubectl get broker default -o jsonpath={.status.address.audience}`) and name its file in `token_file`; elsewhere leave `sign` out.",
    see: "\
Push an image. The answer is 202; the trigger's subscriber gets an event whose `ce-id` is the event's id here.",
    ..Facts::NONE
};
