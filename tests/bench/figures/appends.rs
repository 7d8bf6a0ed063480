use anyhow::Context as _;
use anyhow::Result;

use crate::disk::Disk;
use crate::figure::Better;
use crate::figure::DIRECT;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::Value;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::State;
use crate::lineup::Who;
use crate::lineup::medians;
use crate::lineup::rounds;
use crate::options::Options;
use crate::peers::free_port;
use crate::pushers::Image;
use crate::pushers::Load;
use crate::pushers::push;
use crate::sink::Sink;

const PUSHERS: usize = 16;
/// Tags of each of them; after the first push to each the registry need not be asked what was there.
const TAGS: usize = 64;
/// How many syncs say what one takes.
const SYNCS: usize = 50;
/// Where files are in memory.
const MEMORY: &str = "/dev/shm";

/// Events that are durable before the answer: manifests onto a registry that does nothing, with an endpoint
/// that is owed each event and is not there. On a real disk, and where a sync is nothing.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let sink = Sink::start(0).await?;
    let memory = tempfile::Builder::new().prefix("bench-").tempdir_in(MEMORY);
    let memory = memory.with_context(|| format!("make a directory in {MEMORY}"))?;
    let image = Image::new();
    let mut figures = Vec::new();
    for (place, root) in [("disk", stage.directory.as_path()), ("tmpfs", memory.path())] {
        let scene = Scene {
            name: "appends",
            upstream: sink.port,
            webhook: Some(free_port()?),
            who: Who::Ours,
            root: Some(root),
            state: State::Forgotten,
        };
        let mut contenders = stage.line_up(scene).await?;
        let load = Load { clients: PUSHERS, pushes: options.sizes.appends, word: "v", tags: TAGS };
        let name = format!("events appended durably, {PUSHERS} pushers, {place}");
        let samples = rounds(stage, &name, &mut contenders, options.rounds, 2, async |contender| {
            one(stage, contender, &image, load).await
        });
        let columns = vec![
            Column {
                name: format!("{name}: per second"),
                better: Better::More,
                digits: 0,
                goal: Target::Fixed(15_000.0),
            },
            Column {
                name: format!("{name}: CPU µs each"),
                better: Better::Less,
                digits: 1,
                goal: Target::None,
            },
        ];
        figures.extend(medians(&samples.await, columns));
        let mut disk = Disk::under(root)?;
        let syncs = (0..SYNCS).map(|_| disk.sync()).collect::<Result<Vec<f64>>>()?;
        figures.push(Figure {
            name: format!("… one sync of this {place}: ms"),
            better: Better::Less,
            digits: 3,
            values: Value::median(DIRECT, &syncs).into_iter().collect(),
            target: Target::Alone,
        });
    }
    Ok(figures)
}

async fn one(
    stage: &Stage,
    contender: &Contender,
    image: &Image,
    load: Load<'_>,
) -> Result<Vec<f64>> {
    let before = contender.cpu()?;
    let pushed = push(stage, contender.target, image, load).await?;
    let count = f64::from(u32::try_from(pushed.answered.len())?);
    let cpu = contender.spent_since(before.as_ref())?;
    Ok(vec![count / pushed.took.as_secs_f64(), cpu * 1e6 / count])
}
