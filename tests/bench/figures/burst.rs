use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::ensure;

use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::percentile;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::Who;
use crate::lineup::medians;
use crate::lineup::rounds;
use crate::options::Options;
use crate::pushers::Image;
use crate::pushers::Load;
use crate::pushers::push;
use crate::receiver::Receiver;
use crate::registry::DISTRIBUTION;
use crate::registry::Registry;

use super::milliseconds_after;

const CLIENTS: usize = 8;

/// Many pushes in a short time: how late the webhooks are. Beside it a registry of its own that tells of
/// pushes itself, pushed to without anybody in between.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let mut receiver = Receiver::start(&stage.pki).await?;
    let (quiet, telling) = (stage.directory.join("burst"), stage.directory.join("burst-telling"));
    fs::create_dir_all(&quiet)?;
    fs::create_dir_all(&telling)?;
    let quiet = Registry::start(stage, &quiet, None).await?;
    let telling = Registry::start(stage, &telling, Some(receiver.port)).await?;
    let image = Image::new();
    for registry in [&quiet, &telling] {
        image.prepare(stage, registry.target(), CLIENTS).await?;
    }
    let scene = Scene {
        name: "burst",
        upstream: quiet.port,
        webhook: Some(receiver.port),
        who: Who::Ours,
        ..Scene::default()
    };
    let mut contenders = stage.line_up(scene).await?;
    if let Some(first) = contenders.first_mut() {
        *first = Contender::nobody(DISTRIBUTION, telling.target());
    }
    let pushes = options.sizes.burst;
    let mut round = 0;
    let samples = rounds(stage, "burst", &mut contenders, options.rounds, 2, async |contender| {
        round += 1;
        let word = format!("r{round}");
        let load = Load { clients: CLIENTS, pushes, word: &word, tags: pushes };
        one(stage, contender, &mut receiver, &image, load).await
    });
    let name = format!("burst of {pushes} pushes from {CLIENTS} clients: webhook after its 201");
    let column = |percent, goal| Column {
        name: format!("{name}, ms, p{percent}"),
        better: Better::Less,
        digits: 1,
        goal,
    };
    let columns = vec![column(50, Target::None), column(99, Target::Fixed(40.0))];
    Ok(medians(&samples.await, columns))
}

async fn one(
    stage: &Stage,
    contender: &Contender,
    receiver: &mut Receiver,
    image: &Image,
    load: Load<'_>,
) -> Result<Vec<f64>> {
    let mut arrived: HashMap<String, Instant> = HashMap::new();
    let pushing = push(stage, contender.target, image, load);
    let hearing = async {
        while arrived.len() < load.pushes {
            let arrival = receiver
                .next()
                .await
                .with_context(|| format!("{} of {} webhooks came", arrived.len(), load.pushes))?;
            // One that comes twice was there with the first; one of a round that failed is nobody's.
            if arrival.subject.contains(&format!(":{}-", load.word)) {
                arrived.entry(arrival.subject).or_insert(arrival.at);
            }
        }
        anyhow::Ok(())
    };
    let (pushed, ()) = tokio::try_join!(pushing, hearing)?;
    ensure!(pushed.answered.len() == load.pushes, "{} were pushed", pushed.answered.len());
    let mut lags = Vec::with_capacity(load.pushes);
    for (subject, answered) in pushed.answered {
        let arrival = arrived.get(&subject).with_context(|| format!("nobody told of {subject}"))?;
        lags.push(milliseconds_after(answered, *arrival));
    }
    let place = |percent| percentile(&lags, percent).context("nothing was pushed");
    Ok(vec![place(50)?, place(99)?])
}
