use std::fs;
use std::process::Command;

use anyhow::Context as _;
use anyhow::Result;

use crate::client::Protocol;
use crate::lineup::Contender;
use crate::lineup::Stage;
use crate::options::Options;
use crate::peers::KINDS;
use crate::peers::OURS;
use crate::process::Memory;
use crate::sink::Sink;
use crate::table::Better;
use crate::table::Figure;
use crate::table::Target;

/// What a program holds when nothing happens, and what a connection adds that was used once and rests.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let contenders = stage.line_up("memory", sink.port, None).await?;
    let (mut resident, mut proportional, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for contender in &contenders {
        let Some(rest) = memory(contender)? else {
            continue;
        };
        let mut open = Vec::with_capacity(options.idle);
        for _ in 0..options.idle {
            let mut connection = stage.client.connect(contender.target, Protocol::Http1).await?;
            connection.ask().await?;
            open.push(connection);
        }
        let held = memory(contender)?.unwrap_or(rest);
        drop(open);
        resident.push((contender.name, mib(rest.resident)));
        proportional.extend(rest.proportional.map(|bytes| (contender.name, mib(bytes))));
        // Without the proportional size, what workers share cancels out in the difference.
        let (before, after) = match (rest.proportional, held.proportional) {
            (Some(before), Some(after)) => (before, after),
            _ => (rest.resident, held.resident),
        };
        let connections = f64::from(u32::try_from(options.idle)?);
        each.push((contender.name, (mib(after) - mib(before)) * 1024.0 / connections));
    }
    let line = |name: String, digits, values, target| Figure {
        name,
        better: Better::Less,
        digits,
        values,
        target,
    };
    let mut figures = vec![
        line("memory at rest, RSS: MiB".to_owned(), 1, resident, Target::AtMost(15.0)),
        line("memory at rest, PSS: MiB".to_owned(), 1, proportional, Target::None),
        line(
            format!("memory per idle TLS connection, of {}: KiB", options.idle),
            1,
            each,
            Target::TimesBest(0.9),
        ),
    ];
    let (built, stripped) = binary(stage)?;
    figures.push(line("binary as built: MiB".to_owned(), 1, vec![(OURS, built)], Target::None));
    let stripped = stripped.map(|size| (OURS, size)).into_iter().collect();
    figures.push(line("binary stripped: MiB".to_owned(), 1, stripped, Target::None));
    Ok(figures)
}

fn memory(contender: &Contender) -> Result<Option<Memory>> {
    contender.front.as_ref().map(|front| front.process.memory()).transpose()
}

/// The size of our program as it is, and without symbols where `strip` is installed.
fn binary(stage: &Stage) -> Result<(f64, Option<f64>)> {
    let ours = KINDS.iter().find(|kind| kind.name == OURS).context("we measure ourselves")?;
    let stripped = stage.directory.join("stripped");
    let size = mib(fs::metadata(ours.program)?.len());
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(ours.program).status();
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
