use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;
use http::Method;
use http::StatusCode;

use crate::body::Body;
use crate::body::Length;
use crate::body::swallow;
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
use crate::sink::BLOB;
use crate::sink::SEEN;
use crate::sink::Sink;
use crate::sink::UPLOAD;

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// One large upload or download at a time, over a connection of its own.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(options.sizes.transfer).await?;
    let mut contenders =
        stage.line_up(Scene { name: "transfer", upstream: sink.port, ..Scene::default() }).await?;
    let mut figures = Vec::new();
    for (name, way, protocol, target) in [
        ("upload, HTTP/1.1", Way::Up, Protocol::Http1, Target::TimesBest(0.7)),
        ("upload, HTTP/2", Way::Up, Protocol::Http2, Target::TimesBest(0.8)),
        ("download, HTTP/1.1", Way::Down, Protocol::Http1, Target::TimesBest(0.6)),
        ("download, HTTP/2", Way::Down, Protocol::Http2, Target::None),
    ] {
        let samples = rounds(stage, name, &mut contenders, options.rounds, 2, async |contender| {
            one(stage, contender, way, protocol, options.sizes.transfer).await
        });
        let columns = vec![
            Column {
                name: format!("{name}: CPU s/GiB"),
                better: Better::Less,
                digits: 3,
                goal: target,
            },
            Column {
                name: format!("{name}: wall s/GiB"),
                better: Better::Less,
                digits: 2,
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
    way: Way,
    protocol: Protocol,
    size: u64,
) -> Result<Vec<f64>> {
    if contender.target.tls == Tls::No && protocol == Protocol::Http2 {
        return Ok(Vec::new());
    }
    let mut connection = stage.client.connect(contender.target, protocol).await?;
    connection.ask().await?;
    let before = contender.cpu()?;
    let started = Instant::now();
    let moved = match way {
        Way::Up => upload(&mut connection, Body::filler(size, Length::Untold)).await?,
        Way::Down => connection.exchange(Method::GET, BLOB, Body::empty(), StatusCode::OK).await?,
    };
    let wall = started.elapsed().as_secs_f64();
    ensure!(moved == size, "{moved} of {size} bytes arrived");
    let gib = f64::from(u32::try_from(size >> 20)?) / 1024.0;
    let cpu = contender.spent_since(before.as_ref())?;
    Ok(vec![cpu / gib, wall / gib])
}

/// As docker and skopeo do it: a `PATCH` of unknown length. Says how much arrived.
pub(super) async fn upload(connection: &mut Connection, body: Body) -> Result<u64> {
    let content_type = Some("application/octet-stream");
    let response = connection.send(Method::PATCH, UPLOAD, content_type, body).await?;
    ensure!(response.status() == StatusCode::ACCEPTED, "the upload: {}", response.status());
    let seen = response.headers().get(SEEN).context("the sink did not say what it saw")?;
    let seen = seen.to_str()?.parse()?;
    swallow(response.into_body()).await?;
    Ok(seen)
}
