use std::time::Instant;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::client::Connection;
use crate::client::Protocol;
use crate::client::Tls;
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
use crate::sink::Sink;

/// Requests under way at the same time.
const AT_ONCE: usize = 16;

/// Many small requests: over HTTP/1.1 on as many connections, over HTTP/2 on one.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let mut contenders =
        stage.line_up(Scene { name: "requests", upstream: sink.port, ..Scene::default() }).await?;
    let mut figures = Vec::new();
    for (name, protocol, target) in [
        ("small GET, HTTP/1.1, 16 connections", Protocol::Http1, 0.8),
        ("small GET, HTTP/2, 16 streams", Protocol::Http2, 1.0),
    ] {
        let samples = rounds(stage, name, &mut contenders, options.rounds, 2, async |contender| {
            one(stage, contender, protocol, options.sizes.requests).await
        });
        let columns = vec![
            Column {
                name: format!("{name}: CPU µs"),
                better: Better::Less,
                digits: 1,
                goal: Target::TimesBest(target),
            },
            Column {
                name: format!("{name}: per second"),
                better: Better::More,
                digits: 0,
                goal: Target::None,
            },
        ];
        figures.extend(medians(&samples.await, columns));
    }
    Ok(figures)
}

async fn one(
    stage: &Stage,
    contender: &Contender,
    protocol: Protocol,
    requests: usize,
) -> Result<Vec<f64>> {
    if contender.target.tls == Tls::No && protocol == Protocol::Http2 {
        return Ok(Vec::new());
    }
    contender.warm_up(stage).await?;
    let mut connections = Vec::with_capacity(AT_ONCE);
    while connections.len() < AT_ONCE {
        let mut connection = match connections.first().and_then(Connection::another) {
            Some(another) => another,
            None => stage.client.connect(contender.target, protocol).await?,
        };
        // The upstream's connections are made before the clock runs.
        connection.ask().await?;
        connections.push(connection);
    }
    let each = requests / AT_ONCE;
    let before = contender.cpu()?;
    let started = Instant::now();
    let mut running = JoinSet::new();
    for mut connection in connections {
        running.spawn(async move {
            for _ in 0..each {
                connection.ask().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let wall = started.elapsed().as_secs_f64();
    let sent = f64::from(u32::try_from(each * AT_ONCE)?);
    let cpu = contender.spent_since(before.as_ref())?;
    Ok(vec![cpu * 1e6 / sent, sent / wall])
}
