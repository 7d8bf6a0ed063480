use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use tokio::task::JoinSet;

use crate::body::Body;
use crate::body::Length;
use crate::client::Protocol;
use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
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

/// Uploads at the same time, each over a connection of its own.
const UPLOADS: u32 = 64;

/// Many uploads at once, as when a build farm wakes up.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let scene = Scene { name: "crowd", upstream: sink.port, ..Scene::default() };
    let mut contenders = stage.line_up(scene).await?;
    let each = options.sizes.crowd;
    let samples = rounds(stage, "crowd", &mut contenders, options.rounds, 4, async |contender| {
        one(stage, contender, each).await
    });
    let name = format!("{UPLOADS} uploads of {} MiB at once, HTTP/1.1", each >> 20);
    let column = |what: &str, digits, goal| Column {
        name: format!("{name}: {what}"),
        better: Better::Less,
        digits,
        goal,
    };
    let columns = vec![
        column("CPU s/GiB", 3, Target::TimesBest(0.75)),
        column("wall s/GiB", 2, Target::None),
        column("peak memory, MiB", 1, Target::TimesOf("nginx", 0.8)),
        column("memory afterwards, MiB", 1, Target::None),
    ];
    Ok(medians(&samples.await, columns))
}

async fn one(stage: &Stage, contender: &Contender, each: u64) -> Result<Vec<f64>> {
    let rest = contender.front.as_ref().map(|front| front.process.memory()).transpose()?;
    let mut connections = Vec::new();
    for _ in 0..UPLOADS {
        let mut connection = stage.client.connect(contender.target, Protocol::Http1).await?;
        connection.ask().await?;
        connections.push(connection);
    }
    let before = contender.cpu()?;
    let started = Instant::now();
    let mut running = JoinSet::new();
    for mut connection in connections {
        running.spawn(async move {
            let seen = upload(&mut connection, Body::filler(each, Length::Untold)).await?;
            ensure!(seen == each, "{seen} of {each} bytes arrived");
            // It stays open until everybody is there.
            Ok(connection)
        });
    }
    let mut open = Vec::new();
    while let Some(ended) = running.join_next().await {
        open.push(ended??);
    }
    let wall = started.elapsed().as_secs_f64();
    let gib = mib(each) * f64::from(UPLOADS) / 1024.0;
    let cpu = contender.spent_since(before.as_ref())?;
    let mut values = vec![cpu / gib, wall / gib];
    if let Some((front, rest)) = contender.front.as_ref().zip(rest) {
        let now = front.process.memory()?;
        values.push(mib(front.process.peak(rest)?));
        values.push(mib(now.proportional.unwrap_or(now.resident)));
    }
    Ok(values)
}
