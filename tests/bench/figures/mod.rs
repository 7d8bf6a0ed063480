//! What is measured: one file per scene.

pub(crate) mod crowd;
pub(crate) mod far;
pub(crate) mod handshakes;
pub(crate) mod layer;
pub(crate) mod manifests;
pub(crate) mod memory;
pub(crate) mod push;
pub(crate) mod requests;
pub(crate) mod start;
pub(crate) mod transfer;

use anyhow::Result;
use anyhow::bail;

use crate::figure::Figure;
use crate::lineup::Stage;
use crate::options::Options;

/// The scenes, as `--only` takes them, in the order of the table.
pub(crate) const NAMES: [&str; 10] = [
    "push",
    "transfer",
    "crowd",
    "far",
    "layer",
    "requests",
    "handshakes",
    "memory",
    "manifests",
    "start",
];

/// The programs of others that a scene cannot do without.
pub(crate) fn needs(name: &str) -> &'static [&'static str] {
    match name {
        "push" => &["docker-registry", "skopeo"],
        "manifests" => &["docker-registry"],
        _ => &[],
    }
}

/// Everything that a scene shows.
pub(crate) async fn measure(name: &str, stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    match name {
        "push" => push::measure(stage, options).await,
        "transfer" => transfer::measure(stage, options).await,
        "crowd" => crowd::measure(stage, options).await,
        "far" => far::measure(stage, options).await,
        "layer" => layer::measure(stage, options).await,
        "requests" => requests::measure(stage, options).await,
        "handshakes" => handshakes::measure(stage, options).await,
        "memory" => memory::measure(stage, options).await,
        "manifests" => manifests::measure(stage, options).await,
        "start" => start::measure(stage, options).await,
        _ => bail!("no figure is called `{name}`"),
    }
}
