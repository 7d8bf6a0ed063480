use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use tokio::time::timeout;

use crate::client::Client;
use crate::client::Protocol;
use crate::client::Target;
use crate::client::Tls;
use crate::figure::Better;
use crate::figure::DIRECT;
use crate::figure::Figure;
use crate::figure::Target as Goal;
use crate::figure::Value;
use crate::peers::Front;
use crate::peers::Kind;
use crate::peers::OTHER;
use crate::peers::OURS;
use crate::peers::Setting;
use crate::peers::free_port;
use crate::pki::Pki;
use crate::process::Cpu;

/// Connections and requests that a fresh process is given before anything is measured.
const WARM_UP: usize = 50;

/// How long one of them may take for one round.
const PATIENCE: Duration = Duration::from_secs(300);

/// What every measurement stands on.
pub(crate) struct Stage {
    /// On a real disk, where the build is; removed at the end.
    pub(crate) directory: PathBuf,
    pub(crate) pki: Pki,
    pub(crate) client: Client,
    /// Who is measured, in the order of the table.
    pub(crate) kinds: Vec<Kind>,
}

/// Somebody who is measured: nobody in between, or a program that stands in front of the upstream.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    pub(crate) front: Option<Front>,
    start: Option<Start>,
}

/// What it takes to start it anew.
struct Start {
    kind: Kind,
    directory: PathBuf,
    upstream: u16,
    webhook: Option<u16>,
    state: State,
}

/// Where everybody is put.
#[derive(Default)]
pub(crate) struct Scene<'a> {
    /// Names the directory.
    pub(crate) name: &'a str,
    /// The port of the upstream.
    pub(crate) upstream: u16,
    /// The port of the receiver of events.
    pub(crate) webhook: Option<u16>,
    pub(crate) who: Who,
    pub(crate) state: State,
    /// Where the programs keep their files, if it is not the stage's directory.
    pub(crate) root: Option<&'a Path>,
}

/// What a fresh process finds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// What the one before left.
    #[default]
    Kept,
    /// Nothing.
    Forgotten,
}

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Who {
    #[default]
    All,
    /// Only Pushbell, whose the events are.
    Ours,
}

/// What is measured in each round, and how it is shown.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) better: Better,
    pub(crate) digits: usize,
    pub(crate) goal: Goal,
}

/// All samples of one contender: one list per column, with `NaN` where there is nothing.
pub(crate) struct Samples {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Vec<f64>>,
}

impl Stage {
    /// Starts everybody in front of one upstream. Who does not start is named and left out.
    pub(crate) async fn line_up(&self, scene: Scene<'_>) -> Result<Vec<Contender>> {
        let target = Target { port: scene.upstream, tls: Tls::No };
        let mut contenders = vec![Contender::nobody(DIRECT, target)];
        let wanted = |kind: &&Kind| {
            (scene.who == Who::All || kind.is_ours())
                && kind.scene.is_none_or(|only| only == scene.name)
        };
        for kind in self.kinds.iter().filter(wanted).filter(|kind| kind.find().is_some()) {
            let root = scene.root.unwrap_or(&self.directory);
            let start = Start {
                kind: kind.clone(),
                directory: root.join(scene.name).join(kind.name),
                upstream: scene.upstream,
                webhook: scene.webhook,
                state: scene.state,
            };
            match start.front(self).await {
                Ok(front) => contenders.push(Contender {
                    name: kind.name,
                    target: front.target,
                    front: Some(front),
                    start: Some(start),
                }),
                Err(error) => eprintln!("{}: left out of `{}`: {error:#}", kind.name, scene.name),
            }
        }
        Ok(contenders)
    }
}

impl Start {
    async fn front(&self, stage: &Stage) -> Result<Front> {
        let setting = Setting {
            directory: &self.directory,
            port: free_port()?,
            upstream: self.upstream,
            pki: &stage.pki,
            webhook: self.webhook,
        };
        self.kind.start(&setting, &stage.client).await
    }
}

impl Contender {
    /// No program in between.
    pub(crate) fn nobody(name: &'static str, target: Target) -> Self {
        Self { name, target, front: None, start: None }
    }

    /// Whether it is one of our builds.
    pub(crate) fn is_ours(&self) -> bool {
        [OURS, OTHER].contains(&self.name)
    }

    /// The same program in a process of its own: where the kernel and the allocator put things is luck that
    /// lasts as long as a process, and may be as much as what one looks for.
    pub(crate) async fn start_anew(&mut self, stage: &Stage) -> Result<()> {
        if let Some(start) = &self.start {
            self.front = None;
            if start.state == State::Forgotten && start.directory.exists() {
                fs::remove_dir_all(&start.directory)
                    .with_context(|| format!("remove {}", start.directory.display()))?;
            }
            let front = start.front(stage).await?;
            self.target = front.target;
            self.front = Some(front);
        }
        Ok(())
    }

    /// Ends the program without a word.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut front) = self.front.take() {
            front.process.kill()?;
        }
        Ok(())
    }

    /// Where the program keeps its files.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.start.as_ref().map(|start| start.directory.as_path())
    }

    /// What a fresh process does for the first time only is no part of what many times cost.
    pub(crate) async fn warm_up(&self, stage: &Stage) -> Result<()> {
        for _ in 0..WARM_UP {
            stage.client.connect(self.target, Protocol::Http1).await?.ask().await?;
        }
        Ok(())
    }

    /// Processor time so far; none for nobody.
    pub(crate) fn cpu(&self) -> Result<Option<Cpu>> {
        self.front.as_ref().map(|front| front.process.cpu()).transpose()
    }

    /// Seconds of processor time since; `NaN` for nobody.
    pub(crate) fn spent_since(&self, before: Option<&Cpu>) -> Result<f64> {
        let spent = before.zip(self.cpu()?.as_ref()).map(|(before, now)| now.since(before));
        Ok(spent.map_or(f64::NAN, |spent| spent.as_secs_f64()))
    }
}

/// Measures everybody in turn, as many times as there are rounds, and every other round backwards, so that
/// what else happens on the machine happens to all alike. Each round has processes of its own. `NaN` says
/// that there is nothing to measure.
pub(crate) async fn rounds(
    stage: &Stage,
    scene: &str,
    contenders: &mut [Contender],
    rounds: usize,
    columns: usize,
    mut measure: impl AsyncFnMut(&Contender) -> Result<Vec<f64>>,
) -> Vec<Samples> {
    let mut all: Vec<Samples> = contenders
        .iter()
        .map(|contender| Samples { name: contender.name, columns: vec![Vec::new(); columns] })
        .collect();
    for round in 1..=rounds {
        let mut turn: Vec<_> = contenders.iter_mut().zip(&mut all).collect();
        if round % 2 == 0 {
            turn.reverse();
        }
        for (contender, samples) in turn {
            let measured = async {
                contender.start_anew(stage).await?;
                timeout(PATIENCE, measure(contender)).await.context("it took too long")?
            };
            let values = measured
                .await
                .with_context(|| format!("{scene}, round {round}, {}", contender.name))
                .unwrap_or_else(|error| {
                    eprintln!("{error:#}");
                    Vec::new()
                });
            for (at, column) in samples.columns.iter_mut().enumerate() {
                column.push(values.get(at).copied().unwrap_or(f64::NAN));
            }
        }
    }
    all
}

/// The medians, one line of the table for each column.
pub(crate) fn medians(samples: &[Samples], columns: Vec<Column>) -> Vec<Figure> {
    let figure = |(at, column): (usize, Column)| Figure {
        name: column.name,
        better: column.better,
        digits: column.digits,
        target: column.goal,
        values: samples
            .iter()
            .filter_map(|samples| Value::median(samples.name, samples.columns.get(at)?))
            .collect(),
    };
    columns.into_iter().enumerate().map(figure).collect()
}
