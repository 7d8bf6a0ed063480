use std::fs;
use std::process::Command;

use anyhow::Context as _;
use anyhow::Result;

use crate::client::Protocol;
use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::Value;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::medians;
use crate::lineup::rounds;
use crate::options::Options;
use crate::peers::Kind;
use crate::process::mib;
use crate::sink::Sink;

/// What a program holds when nothing happens, and what a connection adds that was used once and rests.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let scene = Scene { name: "memory", upstream: sink.port, ..Scene::default() };
    let mut contenders = stage.line_up(scene).await?;
    let idle = options.sizes.idle;
    let samples = rounds(stage, "memory", &mut contenders, options.rounds, 3, async |contender| {
        one(stage, contender, idle).await
    });
    let column = |name: String, goal| Column { name, better: Better::Less, digits: 1, goal };
    let columns = vec![
        column("memory at rest, RSS: MiB".to_owned(), Target::Fixed(15.0)),
        column("memory at rest, PSS: MiB".to_owned(), Target::None),
        column(
            format!("memory per idle TLS connection, of {idle}: KiB"),
            Target::TimesOf("nginx", 0.9),
        ),
    ];
    let mut figures = medians(&samples.await, columns);
    let line = |name: &str, values| Figure {
        name: name.to_owned(),
        better: Better::Less,
        digits: 1,
        values,
        target: Target::Alone,
    };
    let (mut built, mut stripped) = (Vec::new(), Vec::new());
    for kind in stage.kinds.iter().filter(|kind| kind.is_ours()) {
        let (as_built, without_symbols) = sizes(stage, kind)?;
        built.push(Value::one(kind.name, as_built));
        stripped.extend(without_symbols.map(|size| Value::one(kind.name, size)));
    }
    figures.push(line("binary as built: MiB", built));
    figures.push(line("binary stripped: MiB", stripped));
    Ok(figures)
}

async fn one(stage: &Stage, contender: &Contender, idle: usize) -> Result<Vec<f64>> {
    let Some(front) = &contender.front else {
        return Ok(Vec::new());
    };
    let rest = front.process.memory()?;
    let mut open = Vec::with_capacity(idle);
    for _ in 0..idle {
        let mut connection = stage.client.connect(contender.target, Protocol::Http1).await?;
        connection.ask().await?;
        open.push(connection);
    }
    let held = front.process.memory()?;
    drop(open);
    // Without the proportional size, what workers share cancels out in the difference.
    let (before, after) = match (rest.proportional, held.proportional) {
        (Some(before), Some(after)) => (before, after),
        _ => (rest.resident, held.resident),
    };
    let each = (mib(after) - mib(before)) * 1024.0 / f64::from(u32::try_from(idle)?);
    Ok(vec![mib(rest.resident), rest.proportional.map_or(f64::NAN, mib), each])
}

/// The size of a program of ours as it is, and without symbols where `strip` is installed.
fn sizes(stage: &Stage, kind: &Kind) -> Result<(f64, Option<f64>)> {
    let program = kind.find().with_context(|| format!("find {}", kind.name))?;
    let stripped = stage.directory.join("stripped");
    let size = mib(fs::metadata(&program)?.len());
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(&program).status();
    let stripped = match done {
        Ok(status) if status.success() => Some(mib(fs::metadata(&stripped)?.len())),
        _ => None,
    };
    Ok((size, stripped))
}
