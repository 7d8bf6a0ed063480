//! Argo CD Image Updater: one path, and a type in the query.
//!
//! It listens with TLS 1.3 alone and a certificate that nobody issued, unless one is mounted: give `tls.ca`. Types without
//! a configured secret are not there. A body of up to 1 MiB. It answers before it works, and 400 also to what it ignores.
//!
//! Source: argoproj-labs/argocd-image-updater `pkg/webhook/`, `docs/configuration/webhook.md`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

const IMAGE_UPDATER: Facts = Facts {
    path: "/webhook",
    must_sign: true,
    answers: Answers::ImageUpdater,
    url: "https://image-updater.example.com:8082",
    see: "\
Push an image that an application uses. The answer is 200 with `Webhook received and processing`; the log of the updater
then names the applications it looks at. 400 with `ignoring action` is not a failure of either side.",
    ..Facts::NONE
};

/// The type `cloudevents`, structured mode.
pub(super) const CLOUDEVENTS: Facts = Facts {
    word: "image-updater-cloudevents",
    about: "Argo CD Image Updater, type `cloudevents`: a secret in `X-Webhook-Secret`; any registry's host.",
    dialect: Dialect::Native,
    query: "type=cloudevents",
    scheme: Some(Scheme::SharedHeader),
    create: "\
Run the updater with its webhook server on, and a secret of your choice for CloudEvents
(`webhook.cloudevents-secret`, `CLOUDEVENTS_WEBHOOK_SECRET`), which also belongs into the file that `secret_file` names. Mount
a certificate of a CA that you name in `tls.ca`: the one it makes for itself changes at each start.",
    ..IMAGE_UPDATER
};

/// The type `harbor`.
pub(super) const HARBOR: Facts = Facts {
    word: "image-updater-harbor",
    about: "Argo CD Image Updater, type `harbor`: a secret in `Authorization`; any registry's host.",
    dialect: Dialect::Harbor,
    query: "type=harbor",
    content_type: Some("application/json"),
    scheme: Some(Scheme::StaticAuthorization),
    create: "\
Run the updater with its webhook server on, and a secret of your choice for Harbor (`webhook.harbor-secret`,
`HARBOR_WEBHOOK_SECRET`), which also belongs into the file that `secret_file` names. Mount a certificate of a CA that you name
in `tls.ca`: the one it makes for itself changes at each start.",
    ..IMAGE_UPDATER
};
