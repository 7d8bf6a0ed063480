use std::time::Duration;
use std::time::Instant;

use anyhow::Result;

use crate::body::Body;
use crate::client::Protocol;
use crate::client::Target as Address;
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
use crate::peers::FAR;
use crate::process::mib;
use crate::relay::Relay;
use crate::sink::Sink;

use super::transfer::upload;

/// Half a round trip.
const DELAY: Duration = Duration::from_millis(10);

/// An upload from far away: not the processor but the window of HTTP/2 decides how fast it is.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let scene = Scene { name: FAR, upstream: sink.port, ..Scene::default() };
    let mut contenders = stage.line_up(scene).await?;
    let time = options.sizes.far;
    let samples = rounds(stage, FAR, &mut contenders, options.rounds, 2, async |contender| {
        one(stage, contender, time).await
    });
    let trip = 2 * DELAY.as_millis();
    let columns = vec![
        Column {
            name: format!("upload, HTTP/2, {trip} ms round trip: MiB/s"),
            better: Better::More,
            digits: 0,
            goal: Target::TimesBest(5.0),
        },
        Column {
            name: format!("small GET, HTTP/2, {trip} ms round trip: ms"),
            better: Better::Less,
            digits: 1,
            goal: Target::None,
        },
    ];
    Ok(medians(&samples.await, columns))
}

async fn one(stage: &Stage, contender: &Contender, time: Duration) -> Result<Vec<f64>> {
    let relay = Relay::start(contender.target.port, DELAY).await?;
    // Who is not in between speaks HTTP/1.1: what the way itself lets through.
    let target = Address { port: relay.port, ..contender.target };
    let mut connection = stage.client.connect(target, Protocol::Http2).await?;
    connection.ask().await?;
    let asked = Instant::now();
    connection.ask().await?;
    let trip = asked.elapsed().as_secs_f64() * 1e3;
    let started = Instant::now();
    let seen = upload(&mut connection, Body::lasting(time)).await?;
    let rate = mib(seen) / started.elapsed().as_secs_f64();
    Ok(vec![rate, trip])
}
