//! Dokploy's deployment hook of an application made from an image.
//!
//! It takes Docker Hub's body only from a `User-Agent` with `Go-http-client` in it, and **deploys at once, whatever the tag,
//! for a body that it does not know**. What it does not want it answers with 301 and no `Location`.
//!
//! Source: Dokploy/dokploy `apps/dokploy/pages/api/deploy/[refreshToken].ts`.

use super::Answers;
use super::Dialect;
use super::Facts;
use super::Scheme;

/// Docker Hub's body from what looks like its client.
pub(super) const DOKPLOY: Facts = Facts {
    word: "dokploy",
    about: "Dokploy, an application of the source Docker, told as Docker Hub would.",
    dialect: Dialect::DockerHub,
    headers: &[("user-agent", "Go-http-client/1.1")],
    path: "/api/deploy/{secret}",
    scheme: Some(Scheme::PathSecret),
    answers: Answers::Dokploy,
    url: "https://dokploy.example.com",
    create: "\
An application of the source *Docker* with the image's name as clients type it, host and tag included, and *Autodeploy* on.
*Deployments* shows its webhook URL: the last segment belongs into the file that `secret_file` names, and takes the place of
`{secret}`.",
    see: "\
Push the tag that the application has. The answer is 200 and *Deployments* has a new one. 301 says that the image or tag is
not the application's: no deployment, and nothing to repeat.",
    ..Facts::NONE
};
