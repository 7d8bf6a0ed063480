use std::collections::HashSet;
use std::fs;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;

use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::State;
use crate::lineup::Who;
use crate::lineup::medians;
use crate::lineup::rounds;
use crate::options::Options;
use crate::pushers::Image;
use crate::pushers::Load;
use crate::pushers::push;
use crate::receiver::Gate;
use crate::receiver::Receiver;
use crate::registry::DISTRIBUTION;
use crate::registry::Registry;
use crate::sink::Sink;

const CLIENTS: usize = 8;

/// How fast one endpoint that takes everything is told what has piled up while it did not answer. Beside it
/// a registry that tells of pushes itself.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let mut receiver = Receiver::start(&stage.pki).await?;
    let sink = Sink::start(0).await?;
    let directory = stage.directory.join("deliveries-telling");
    fs::create_dir_all(&directory)?;
    let telling = Registry::start(stage, &directory, Some(receiver.port)).await?;
    let image = Image::new();
    image.prepare(stage, telling.target(), CLIENTS).await?;
    let scene = Scene {
        name: "deliveries",
        upstream: sink.port,
        webhook: Some(receiver.port),
        who: Who::Ours,
        state: State::Forgotten,
        ..Scene::default()
    };
    let mut contenders = stage.line_up(scene).await?;
    if let Some(first) = contenders.first_mut() {
        *first = Contender::nobody(DISTRIBUTION, telling.target());
    }
    let mut round = 0;
    let name = "deliveries";
    let samples = rounds(stage, name, &mut contenders, options.rounds, 2, async |contender| {
        round += 1;
        let word = format!("r{round}");
        let pushes = match &contender.front {
            Some(_) => options.sizes.deliveries,
            // A registry with a disk takes longer for each push, and less of them show its rate.
            None => options.sizes.deliveries / 5,
        };
        let load = Load { clients: CLIENTS, pushes, word: &word, tags: pushes };
        one(stage, contender, &mut receiver, &image, load).await
    });
    let columns = vec![
        Column {
            name: "events delivered to one healthy endpoint: per second".to_owned(),
            better: Better::More,
            digits: 0,
            goal: Target::TimesBest(10.0),
        },
        Column {
            name: "events delivered to one healthy endpoint: CPU µs each".to_owned(),
            better: Better::Less,
            digits: 1,
            goal: Target::None,
        },
    ];
    Ok(medians(&samples.await, columns))
}

async fn one(
    stage: &Stage,
    contender: &Contender,
    receiver: &mut Receiver,
    image: &Image,
    load: Load<'_>,
) -> Result<Vec<f64>> {
    receiver.turn(Gate::Closed);
    let pushed = push(stage, contender.target, image, load).await;
    let (cpu, opened) = (contender.cpu()?, Instant::now());
    receiver.turn(Gate::Open);
    pushed?;
    let mut told = HashSet::new();
    let mut last = opened;
    while told.len() < load.pushes {
        let arrival = receiver
            .next()
            .await
            .with_context(|| format!("{} of {} webhooks came", told.len(), load.pushes))?;
        if arrival.subject.contains(&format!(":{}-", load.word)) && told.insert(arrival.subject) {
            last = arrival.at;
        }
    }
    let count = f64::from(u32::try_from(told.len())?);
    let cpu = contender.spent_since(cpu.as_ref())?;
    Ok(vec![count / (last - opened).as_secs_f64(), cpu * 1e6 / count])
}
