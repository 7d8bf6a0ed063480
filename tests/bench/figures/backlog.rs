use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;
use rusqlite::Connection;
use rusqlite::OpenFlags;

use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Samples;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::Who;
use crate::lineup::medians;
use crate::options::Options;
use crate::peers::free_port;
use crate::process::mib;
use crate::pushers::Image;
use crate::pushers::Load;
use crate::pushers::push;
use crate::sink::Sink;

const PUSHERS: usize = 16;

/// A receiver that is away for long: what waits for it, and what it costs to start with it. Each push goes
/// to a tag of its own, so that nothing waits for anything else.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let scene = Scene {
        name: "backlog",
        upstream: sink.port,
        webhook: Some(free_port()?),
        who: Who::Ours,
        ..Scene::default()
    };
    let mut contenders = stage.line_up(scene).await?;
    contenders.retain(|contender| contender.front.is_some());
    let image = Image::new();
    let mut samples = Vec::new();
    let events = options.sizes.backlog;
    for contender in &mut contenders {
        let columns = one(stage, contender, &image, events).await?;
        let columns = columns.into_iter().map(|value| vec![value]).collect();
        samples.push(Samples { name: contender.name, columns });
    }
    let name = format!("backlog of {events} events");
    let column = |what: &str, digits, goal| Column {
        name: format!("{name}: {what}"),
        better: Better::Less,
        digits,
        goal,
    };
    let columns = vec![
        column("peak memory while it grows, MiB", 1, Target::Fixed(100.0)),
        column("start after a stop, s", 3, Target::Fixed(2.0)),
        column("start after a kill, s", 3, Target::Fixed(2.0)),
        column("peak memory after the start, MiB", 1, Target::Fixed(100.0)),
        column("database, MiB", 0, Target::None),
    ];
    Ok(medians(&samples, columns))
}

async fn one(
    stage: &Stage,
    contender: &mut Contender,
    image: &Image,
    events: usize,
) -> Result<Vec<f64>> {
    let load = Load { clients: PUSHERS, pushes: events, word: "v", tags: events };
    push(stage, contender.target, image, load).await?;
    let grown = peak(contender)?;
    let stopped = restart(stage, contender).await?;
    contender.kill()?;
    let killed = restart(stage, contender).await?;
    // It has looked at everything that is due by the time it has answered, or it does so while this lasts.
    contender.warm_up(stage).await?;
    let after = peak(contender)?;
    let database = contender.directory().context("it has files")?.join("state/outbox/outbox.db");
    let owed = owed(&database)?;
    ensure!(owed == u64::try_from(events)?, "{owed} of {events} events wait");
    Ok(vec![grown, stopped, killed, after, mib(std::fs::metadata(&database)?.len())])
}

fn peak(contender: &Contender) -> Result<f64> {
    let front = contender.front.as_ref().context("it runs")?;
    Ok(mib(front.process.most_resident()?))
}

/// Seconds from the start of a process to its first answer; the one before has ended by then.
async fn restart(stage: &Stage, contender: &mut Contender) -> Result<f64> {
    contender.front = None;
    let started = Instant::now();
    contender.start_anew(stage).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// What its own books say that the endpoint is owed.
fn owed(database: &Path) -> Result<u64> {
    let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let owed: i64 = database.query_row("SELECT sum(owed) FROM endpoints", [], |row| row.get(0))?;
    Ok(u64::try_from(owed)?)
}
