use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;
use http::Method;
use http::StatusCode;

use crate::body::Body;
use crate::body::swallow;
use crate::client::Connection;
use crate::client::Protocol;
use crate::figure::Better;
use crate::figure::DIRECT;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::Value;
use crate::figure::median;
use crate::figure::percentile;
use crate::lineup::Contender;
use crate::lineup::Samples;
use crate::lineup::Stage;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::registry::Blob;
use crate::registry::MANIFEST;
use crate::registry::Registry;

/// One of those who push, with what it pushes.
struct Pusher<'a> {
    contender: &'a Contender,
    connection: Connection,
    repository: String,
    tags: Tags,
}

/// Whether a tag was there before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tags {
    /// Each push makes one: Pushbell has to ask the registry what was there.
    New,
    /// Each push moves the same: Pushbell knows it from the push before.
    Moved,
}

/// The last step of a push: a manifest whose blobs are there. Everybody in turn for each manifest, and the
/// next one only when the webhook of the one before has arrived.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let directory = stage.directory.join("manifests");
    std::fs::create_dir_all(&directory)?;
    let registry = Registry::start(&directory, &stage.client).await?;
    let mut receiver = Receiver::start(&stage.pki).await?;
    let contenders = stage.line_up("manifests", registry.port, Some(receiver.port)).await?;
    let layers = [Blob::random(4096)];
    let config = Blob::config(&layers);
    let mut disk = OpenOptions::new().create(true).append(true).open(directory.join("disk"))?;
    let mut figures = Vec::new();
    for (name, tags) in [("new tag", Tags::New), ("moved tag", Tags::Moved)] {
        let mut pushers = Vec::new();
        for contender in &contenders {
            let repository = format!("bench/{}-{}", contender.name, name.replace(' ', "-"));
            let repository = repository.to_lowercase();
            let mut direct = stage.client.connect(registry.target(), Protocol::Http1).await?;
            for blob in layers.iter().chain([&config]) {
                blob.upload(&mut direct, &repository).await?;
            }
            let connection = stage.client.connect(contender.target, Protocol::Http1).await?;
            pushers.push(Pusher { contender, connection, repository, tags });
        }
        let nothing = |pusher: &Pusher<'_>| Samples {
            name: pusher.contender.name,
            columns: vec![Vec::new()],
        };
        let mut latencies: Vec<Samples> = pushers.iter().map(nothing).collect();
        let mut lags: Vec<Samples> =
            pushers.iter().filter(|pusher| pusher.tells()).map(nothing).collect();
        let mut syncs = Vec::new();
        for n in 0..options.sizes.manifests {
            syncs.push(sync(&mut disk)?);
            let mut turn: Vec<_> = pushers.iter_mut().zip(&mut latencies).collect();
            if n % 2 == 1 {
                turn.reverse();
            }
            for (pusher, latencies) in turn {
                // Each its own, or only the first of them would have the registry write it.
                let note = format!("{}, {n}", pusher.repository);
                let manifest = Blob::manifest(&config, &layers, &note);
                let (latency, answered) = pusher.push(n, &manifest).await?;
                if let Some(samples) = latencies.columns.first_mut() {
                    samples.push(latency.as_secs_f64() * 1e3);
                }
                if pusher.tells() {
                    let lag = milliseconds_after(answered, receiver.next().await?);
                    let lags = lags.iter_mut().find(|lags| lags.name == pusher.contender.name);
                    if let Some(samples) = lags.and_then(|lags| lags.columns.first_mut()) {
                        samples.push(lag);
                    }
                }
            }
        }
        figures.extend(lines(name, &latencies, &lags, &syncs));
    }
    Ok(figures)
}

impl Pusher<'_> {
    /// Whether a webhook comes of it.
    fn tells(&self) -> bool {
        self.contender.is_ours()
    }

    /// Pushes the manifest; says how long it took, and when the answer was there.
    async fn push(&mut self, n: usize, manifest: &Blob) -> Result<(Duration, Instant)> {
        let tag = match self.tags {
            Tags::New => format!("v{n}"),
            Tags::Moved => "latest".to_owned(),
        };
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        let body = Body::of(manifest.bytes.clone());
        let started = Instant::now();
        let sent = self.connection.send(Method::PUT, &path, Some(MANIFEST), body).await;
        let response = sent.with_context(|| format!("{}: PUT {path}", self.contender.name))?;
        let answered = Instant::now();
        ensure!(response.status() == StatusCode::CREATED, "{path}: {}", response.status());
        swallow(response.into_body()).await?;
        Ok((answered - started, answered))
    }
}

fn lines(name: &str, latencies: &[Samples], lags: &[Samples], syncs: &[f64]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let sync = median(syncs);
    // An event is durable before the 201: what was intended is synced first, what happened afterwards.
    let allowed = sync.map_or(Target::Alone, |sync| Target::Fixed(2.0 * sync + 0.3));
    for (percent, target) in [(50, allowed), (99, Target::Alone)] {
        let values: Vec<(&'static str, f64)> = latencies
            .iter()
            .filter_map(|s| Some((s.name, percentile(s.columns.first()?, percent)?)))
            .collect();
        let direct = values.iter().find(|(name, _)| *name == DIRECT).map_or(f64::NAN, |v| v.1);
        let added = values.iter().filter(|(name, _)| *name != DIRECT);
        let added = added.map(|(name, value)| Value::one(name, value - direct)).collect();
        let values = values.into_iter().map(|(name, value)| Value::one(name, value)).collect();
        figures.push(line(format!("manifest PUT, {name}: ms, p{percent}"), values, Target::None));
        figures.push(line(format!("… added to direct: ms, p{percent}"), added, target));
    }
    for (percent, target) in [(50, 1.0), (99, 2.0)] {
        let one = |lags: &Samples| {
            Some(Value::one(lags.name, percentile(lags.columns.first()?, percent)?))
        };
        let values = lags.iter().filter_map(one).collect();
        let name = format!("… 201 seen to webhook arrived: ms, p{percent}");
        figures.push(line(name, values, Target::Fixed(target)));
    }
    let here = Value::median(DIRECT, syncs).into_iter().collect();
    figures.push(line("… one sync of this disk: ms, p50".to_owned(), here, Target::Alone));
    figures
}

fn line(name: String, values: Vec<Value>, target: Target) -> Figure {
    Figure { name, better: Better::Less, digits: 2, values, target }
}

/// What a durable event costs at least, in milliseconds: a write of 1 KiB and its sync, here and now.
fn sync(disk: &mut File) -> Result<f64> {
    let started = Instant::now();
    disk.write_all(&[0xa5; 1024])?;
    disk.sync_data()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// Negative if the webhook was there before the client had its answer.
fn milliseconds_after(answered: Instant, arrived: Instant) -> f64 {
    match arrived.checked_duration_since(answered) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -(answered - arrived).as_secs_f64() * 1e3,
    }
}
