//! Many who push at the same time, as build farms do.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use http::Method;
use http::StatusCode;
use tokio::task::JoinSet;

use crate::body::Body;
use crate::body::swallow;
use crate::client::Connection;
use crate::client::Protocol;
use crate::client::Target;
use crate::lineup::Stage;
use crate::registry::Blob;
use crate::registry::MANIFEST;

/// What they all push: manifests of one image, each with its own note.
#[derive(Clone)]
pub(crate) struct Image {
    layers: Arc<[Blob]>,
    config: Arc<Blob>,
}

/// Who pushes how much.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) clients: usize,
    /// Of all of them together.
    pub(crate) pushes: usize,
    /// How the tags begin: a push with another word makes other tags.
    pub(crate) word: &'a str,
    /// How many tags each of them has; beyond it they are moved.
    pub(crate) tags: usize,
}

/// What came of it.
pub(crate) struct Pushed {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// `repository:tag`, and when its answer was there.
    pub(crate) answered: Vec<(String, Instant)>,
}

impl Image {
    pub(crate) fn new() -> Self {
        let layers = [Blob::random(4096)];
        let config = Arc::new(Blob::config(&layers));
        Self { layers: layers.into(), config }
    }

    /// Puts what the manifests refer to where so many clients will push to.
    pub(crate) async fn prepare(&self, stage: &Stage, at: Target, clients: usize) -> Result<()> {
        let mut connection = stage.client.connect(at, Protocol::Http1).await?;
        for client in 0..clients {
            self.upload(&mut connection, &repository(client)).await?;
        }
        Ok(())
    }

    /// Puts what the manifests refer to into one repository.
    pub(crate) async fn upload(&self, to: &mut Connection, repository: &str) -> Result<()> {
        for blob in self.layers.iter().chain([self.config.as_ref()]) {
            blob.upload(to, repository).await?;
        }
        Ok(())
    }

    pub(crate) fn manifest(&self, note: &str) -> Blob {
        Blob::manifest(&self.config, &self.layers, note)
    }
}

fn repository(client: usize) -> String {
    format!("bench/app-{client}")
}

/// All push at the same time, each one manifest after the other over a connection of its own.
pub(crate) async fn push(
    stage: &Stage,
    to: Target,
    image: &Image,
    load: Load<'_>,
) -> Result<Pushed> {
    let mut connections = Vec::new();
    for _ in 0..load.clients {
        let mut connection = stage.client.connect(to, Protocol::Http1).await?;
        connection.ask().await?;
        connections.push(connection);
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for (client, connection) in connections.into_iter().enumerate() {
        let (image, word) = (image.clone(), load.word.to_owned());
        let share = load.pushes / load.clients + usize::from(client < load.pushes % load.clients);
        let tags = load.tags;
        running.spawn(async move {
            one(connection, &image, &repository(client), &word, share, tags).await
        });
    }
    let mut answered = Vec::with_capacity(load.pushes);
    while let Some(ended) = running.join_next().await {
        answered.extend(ended??);
    }
    Ok(Pushed { took: started.elapsed(), answered })
}

async fn one(
    mut connection: Connection,
    image: &Image,
    repository: &str,
    word: &str,
    pushes: usize,
    tags: usize,
) -> Result<Vec<(String, Instant)>> {
    let mut answered = Vec::with_capacity(pushes);
    for n in 0..pushes {
        let tag = format!("{word}-{}", n % tags);
        let path = format!("/v2/{repository}/manifests/{tag}");
        let manifest = image.manifest(&format!("{repository}, {word}, {n}"));
        let body = Body::of(manifest.bytes);
        let response = connection.send(Method::PUT, &path, Some(MANIFEST), body).await?;
        let now = Instant::now();
        ensure!(response.status() == StatusCode::CREATED, "{path}: {}", response.status());
        swallow(response.into_body()).await?;
        answered.push((format!("{repository}:{tag}"), now));
    }
    Ok(answered)
}
