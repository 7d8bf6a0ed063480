//! Argo CD's API server: one URL for every sender. Harbor's is known by its `Authorization` alone, and serves any
//! registry's host.
//!
//! The first parser that knows the request takes it, and those of git come first: no header of theirs may be there. It
//! answers 200 also to what it skips, and 503 while its queue is full.
//!
//! Source: argoproj/argo-cd `util/webhook/`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// Harbor's parser.
pub(super) const HARBOR: Facts = Facts {
    word: "argocd-harbor",
    about: "Argo CD, applications whose source is an OCI artifact (`oci://…`), told as Harbor would.",
    dialect: Dialect::Harbor,
    path: "/api/webhook",
    scheme: Some(Scheme::StaticAuthorization),
    must_sign: true,
    answers: Answers::ArgoCd,
    url: "https://argocd.example.com",
    create: "\
In the `Secret` `argocd-secret`, the key `webhook.harbor.secret` with a value of your choice, which also belongs into the file
that `secret_file` names. Without that key Argo CD knows no Harbor at all. An application is refreshed if its `repoURL` is
`oci://` and the image's name without tag, and its `targetRevision` is the tag or a range with it.",
    see: "\
Push an artifact that an application follows. The answer is an empty 200 whether or not one was found; the log of
`argocd-server` at level `debug` says which, and `argocd app get` shows the refresh.",
    ..Facts::NONE
};
