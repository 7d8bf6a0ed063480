use std::fs;
use std::process::Command;

use anyhow::Context as _;
use anyhow::Result;

use crate::client::Protocol;
use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::Value;
use crate::lineup::Contender;
use crate::lineup::Stage;
use crate::options::Options;
use crate::peers::Kind;
use crate::process::Memory;
use crate::sink::Sink;

/// What a program holds when nothing happens, and what a connection adds that was used once and rests.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let contenders = stage.line_up("memory", sink.port, None).await?;
    let (mut resident, mut proportional, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for contender in &contenders {
        let Some(rest) = memory(contender)? else {
            continue;
        };
        let mut open = Vec::with_capacity(options.sizes.idle);
        for _ in 0..options.sizes.idle {
            let mut connection = stage.client.connect(contender.target, Protocol::Http1).await?;
            connection.ask().await?;
            open.push(connection);
        }
        let held = memory(contender)?.unwrap_or(rest);
        drop(open);
        resident.push(Value::one(contender.name, mib(rest.resident)));
        proportional.extend(rest.proportional.map(|bytes| Value::one(contender.name, mib(bytes))));
        // Without the proportional size, what workers share cancels out in the difference.
        let (before, after) = match (rest.proportional, held.proportional) {
            (Some(before), Some(after)) => (before, after),
            _ => (rest.resident, held.resident),
        };
        let connections = f64::from(u32::try_from(options.sizes.idle)?);
        let grown = (mib(after) - mib(before)) * 1024.0;
        each.push(Value::one(contender.name, grown / connections));
    }
    let line = |name: String, digits, values, target| Figure {
        name,
        better: Better::Less,
        digits,
        values,
        target,
    };
    let mut figures = vec![
        line("memory at rest, RSS: MiB".to_owned(), 1, resident, Target::Fixed(15.0)),
        line("memory at rest, PSS: MiB".to_owned(), 1, proportional, Target::None),
        line(
            format!("memory per idle TLS connection, of {}: KiB", options.sizes.idle),
            1,
            each,
            Target::TimesBest(0.9),
        ),
    ];
    let (mut built, mut stripped) = (Vec::new(), Vec::new());
    for kind in stage.kinds.iter().filter(|kind| kind.is_ours()) {
        let (as_built, without_symbols) = sizes(stage, kind)?;
        built.push(Value::one(kind.name, as_built));
        stripped.extend(without_symbols.map(|size| Value::one(kind.name, size)));
    }
    figures.push(line("binary as built: MiB".to_owned(), 1, built, Target::None));
    figures.push(line("binary stripped: MiB".to_owned(), 1, stripped, Target::None));
    Ok(figures)
}

fn memory(contender: &Contender) -> Result<Option<Memory>> {
    contender.front.as_ref().map(|front| front.process.memory()).transpose()
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

/// Exact enough: no program here holds more than 4 TiB.
fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}
