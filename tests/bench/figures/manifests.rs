use std::fs;
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
use crate::disk::Disk;
use crate::figure::Better;
use crate::figure::DIRECT;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::Value;
use crate::figure::median;
use crate::figure::percentile;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::options::Options;
use crate::pushers::Image;
use crate::receiver::Receiver;
use crate::registry::Blob;
use crate::registry::DISTRIBUTION;
use crate::registry::MANIFEST;
use crate::registry::Registry;

use super::milliseconds_after;

/// One of those who push, with what it pushes.
struct Pusher<'a> {
    contender: &'a Contender,
    connection: Connection,
    repository: String,
    tags: Tags,
    /// Milliseconds to each answer, and from it to its webhook.
    latencies: Vec<f64>,
    lags: Vec<f64>,
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
/// next one only when the webhook of the one before has arrived. Beside the webhooks of Pushbell those of a
/// registry that tells of pushes itself.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let (quiet, telling) = (stage.directory.join("manifests"), stage.directory.join("telling"));
    fs::create_dir_all(&quiet)?;
    fs::create_dir_all(&telling)?;
    let mut receiver = Receiver::start(&stage.pki).await?;
    let mut disk = Disk::under(&quiet)?;
    let quiet = Registry::start(stage, &quiet, None).await?;
    let telling = Registry::start(stage, &telling, Some(receiver.port)).await?;
    let (upstream, webhook) = (quiet.port, Some(receiver.port));
    let scene = Scene { name: "manifests", upstream, webhook, ..Scene::default() };
    let mut contenders = stage.line_up(scene).await?;
    contenders.insert(1, Contender::nobody(DISTRIBUTION, telling.target()));
    let image = Image::new();
    let mut figures = Vec::new();
    for (name, tags) in [("new tag", Tags::New), ("moved tag", Tags::Moved)] {
        let mut pushers = Vec::new();
        for contender in &contenders {
            let repository = format!("bench/{}-{}", contender.name, name.replace(' ', "-"));
            let repository = repository.to_lowercase();
            for registry in [&quiet, &telling] {
                let mut direct = stage.client.connect(registry.target(), Protocol::Http1).await?;
                image.upload(&mut direct, &repository).await?;
            }
            let connection = stage.client.connect(contender.target, Protocol::Http1).await?;
            let (latencies, lags) = (Vec::new(), Vec::new());
            pushers.push(Pusher { contender, connection, repository, tags, latencies, lags });
        }
        let mut syncs = Vec::new();
        for n in 0..options.sizes.manifests {
            syncs.push(disk.sync()?);
            let mut turn: Vec<_> = pushers.iter_mut().collect();
            if n % 2 == 1 {
                turn.reverse();
            }
            for pusher in turn {
                // Each its own, or only the first of them would have the registry write it.
                let manifest = image.manifest(&format!("{}, {n}", pusher.repository));
                let (latency, answered) = pusher.push(n, &manifest).await?;
                pusher.latencies.push(latency.as_secs_f64() * 1e3);
                if pusher.tells() {
                    let wanted = format!("{}:{}", pusher.repository, pusher.tags.name(n));
                    let mut arrival = receiver.next().await?;
                    // Whoever is not sure that it was heard tells again.
                    while arrival.subject != wanted {
                        arrival = receiver.next().await?;
                    }
                    pusher.lags.push(milliseconds_after(answered, arrival.at));
                }
            }
        }
        figures.extend(lines(name, &pushers, &syncs));
    }
    Ok(figures)
}

impl Tags {
    fn name(self, n: usize) -> String {
        match self {
            Self::New => format!("v{n}"),
            Self::Moved => "latest".to_owned(),
        }
    }
}

impl Pusher<'_> {
    /// Whether a webhook comes of it.
    fn tells(&self) -> bool {
        self.contender.is_ours() || self.contender.name == DISTRIBUTION
    }

    /// Pushes the manifest; says how long it took, and when the answer was there.
    async fn push(&mut self, n: usize, manifest: &Blob) -> Result<(Duration, Instant)> {
        let tag = self.tags.name(n);
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

fn lines(name: &str, pushers: &[Pusher<'_>], syncs: &[f64]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let sync = median(syncs);
    // An event is durable before the 201: what was intended is synced first, what happened afterwards.
    let allowed = sync.map_or(Target::Alone, |sync| Target::Fixed(2.0 * sync + 0.3));
    // One that tells by itself is no other way to the same registry.
    let ways = || pushers.iter().filter(|pusher| pusher.contender.name != DISTRIBUTION);
    for (percent, target) in [(50, allowed), (99, Target::Alone)] {
        let place = |pusher: &Pusher<'_>| {
            Some((pusher.contender.name, percentile(&pusher.latencies, percent)?))
        };
        let direct = ways().filter_map(place).find(|(name, _)| *name == DIRECT);
        let direct = direct.map_or(f64::NAN, |(_, value)| value);
        let values = ways().filter_map(place);
        let values = values.map(|(name, value)| Value::one(name, value)).collect();
        let added = ways().filter_map(place).filter(|(name, _)| *name != DIRECT);
        let added = added.map(|(name, value)| Value::one(name, value - direct)).collect();
        figures.push(line(format!("manifest PUT, {name}: ms, p{percent}"), values, Target::None));
        figures.push(line(format!("… added to direct: ms, p{percent}"), added, target));
    }
    for (percent, target) in [(50, 1.0), (99, 2.0)] {
        let values = pushers.iter().filter_map(|pusher| {
            Some(Value::one(pusher.contender.name, percentile(&pusher.lags, percent)?))
        });
        let name = format!("… 201 seen to webhook arrived: ms, p{percent}");
        figures.push(line(name, values.collect(), Target::Fixed(target)));
    }
    let here = Value::median(DIRECT, syncs).into_iter().collect();
    figures.push(line("… one sync of this disk: ms, p50".to_owned(), here, Target::Alone));
    figures
}

fn line(name: String, values: Vec<Value>, target: Target) -> Figure {
    Figure { name, better: Better::Less, digits: 2, values, target }
}
