//! What is measured: one file per scene.

pub(crate) mod appends;
pub(crate) mod backlog;
pub(crate) mod burst;
pub(crate) mod crowd;
pub(crate) mod deliveries;
pub(crate) mod far;
pub(crate) mod handshakes;
pub(crate) mod layer;
pub(crate) mod manifests;
pub(crate) mod memory;
pub(crate) mod push;
pub(crate) mod requests;
pub(crate) mod start;
pub(crate) mod transfer;

use std::time::Instant;

use anyhow::Result;
use anyhow::bail;

use crate::figure::Figure;
use crate::lineup::Stage;
use crate::options::Options;

/// The scenes, as `--only` takes them, in the order of the table.
pub(crate) const NAMES: [&str; 14] = [
    "push",
    "transfer",
    "crowd",
    "far",
    "layer",
    "requests",
    "handshakes",
    "memory",
    "manifests",
    "burst",
    "appends",
    "deliveries",
    "backlog",
    "start",
];

/// The programs of others that a scene cannot do without.
pub(crate) fn needs(name: &str) -> &'static [&'static str] {
    match name {
        "push" => &["docker-registry", "skopeo"],
        "manifests" | "burst" | "deliveries" => &["docker-registry"],
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
        "burst" => burst::measure(stage, options).await,
        "appends" => appends::measure(stage, options).await,
        "deliveries" => deliveries::measure(stage, options).await,
        "backlog" => backlog::measure(stage, options).await,
        "start" => start::measure(stage, options).await,
        _ => bail!("no figure is called `{name}`"),
    }
}

/// Negative if the webhook was there before the client had its answer.
fn milliseconds_after(answered: Instant, arrived: Instant) -> f64 {
    match arrived.checked_duration_since(answered) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -(answered - arrived).as_secs_f64() * 1e3,
    }
}
