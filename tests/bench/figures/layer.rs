use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;

use crate::body::Body;
use crate::body::Length;
use crate::client::Protocol;
use crate::client::Tls;
use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::median;
use crate::figure::percentile;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::medians;
use crate::lineup::rounds;
use crate::options::Options;
use crate::process::mib;
use crate::sink::Sink;

use super::transfer::upload;

/// How often memory is looked at.
const STEP: Duration = Duration::from_millis(20);
/// The first tenth of the looks sees buffers grow to what they need, and does not count.
const RAMP: usize = 10;
/// The share of itself by which memory may grow between the two halves and still be flat.
const FLAT: f64 = 1.05;

/// One layer that is larger than memory has to be: what the proxy holds while it passes.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let scene = Scene { name: "layer", upstream: sink.port, ..Scene::default() };
    let mut contenders = stage.line_up(scene).await?;
    // Settings that only cost time here.
    contenders.retain(|contender| !contender.name.ends_with("-default"));
    let size = options.sizes.huge;
    let mut figures = Vec::new();
    for (protocol, name) in [(Protocol::Http1, "HTTP/1.1"), (Protocol::Http2, "HTTP/2")] {
        let samples = rounds(stage, "layer", &mut contenders, 1, 4, async |contender| {
            one(stage, contender, protocol, size).await
        });
        let name = format!("a layer of {:.1} GiB, {name}: memory", mib(size) / 1024.0);
        let column = |what: &str, digits, goal| Column {
            name: format!("{name}, {what}"),
            better: Better::Less,
            digits,
            goal,
        };
        let columns = vec![
            column("least, RSS MiB", 1, Target::None),
            column("median, RSS MiB", 1, Target::None),
            column("most, RSS MiB", 1, Target::Fixed(40.0)),
            column("second half over first", 2, Target::Fixed(FLAT)),
        ];
        figures.extend(medians(&samples.await, columns));
    }
    Ok(figures)
}

async fn one(
    stage: &Stage,
    contender: &Contender,
    protocol: Protocol,
    size: u64,
) -> Result<Vec<f64>> {
    let Some(front) = contender.front.as_ref().filter(|_| contender.target.tls == Tls::Yes) else {
        return Ok(Vec::new());
    };
    let mut connection = stage.client.connect(contender.target, protocol).await?;
    let started = Instant::now();
    let mut uploading = std::pin::pin!(upload(&mut connection, Body::filler(size, Length::Untold)));
    let mut curve = Vec::new();
    let mut clock = tokio::time::interval(STEP);
    let seen = loop {
        tokio::select! {
            seen = &mut uploading => break seen?,
            _ = clock.tick() => curve.push(mib(front.process.resident()?)),
        }
    };
    ensure!(seen == size, "{seen} of {size} bytes arrived");
    let looks = curve.len();
    let settled = curve.get(looks / RAMP..).unwrap_or_default();
    let (first, second) = settled.split_at(settled.len() / 2);
    let (first, second) = median(first)
        .zip(median(second))
        .with_context(|| format!("only {looks} looks in {:?}", started.elapsed()))?;
    let place = |percent| percentile(&curve, percent).context("no look at memory");
    // A look may miss a peak; the kernel does not.
    let most = mib(front.process.most_resident()?);
    Ok(vec![place(0)?, place(50)?, most.max(place(100)?), second / first])
}
