use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;

use crate::figures::NAMES;
use crate::peers::FAMILIES;

/// What to measure, and how much of it.
pub(crate) struct Options {
    /// Each round measures every contender once, in turn.
    pub(crate) rounds: usize,
    pub(crate) sizes: Sizes,
    /// Another build of Pushbell to compare ours with.
    pub(crate) against: Option<PathBuf>,
    /// The build to measure, if it is not the one that was built with the benchmark.
    pub(crate) pushbell: Option<PathBuf>,
    /// Where the numbers of every round go.
    pub(crate) json: Option<PathBuf>,
    with: Vec<String>,
    only: Vec<String>,
}

/// How much of each thing.
pub(crate) struct Sizes {
    /// Bytes of one upload or download.
    pub(crate) transfer: u64,
    /// Bytes of each of the uploads that come at once.
    pub(crate) crowd: u64,
    /// How long one sends from far away.
    pub(crate) far: Duration,
    /// Bytes of the layer that is larger than memory has to be.
    pub(crate) huge: u64,
    /// Small requests of one run.
    pub(crate) requests: usize,
    /// Handshakes of one run.
    pub(crate) handshakes: usize,
    /// Bytes of each of the four layers of the image that is pushed.
    pub(crate) layer: usize,
    /// Manifests each contender is given.
    pub(crate) manifests: usize,
    /// Pushes of a burst.
    pub(crate) burst: usize,
    /// Events that are appended in one run.
    pub(crate) appends: usize,
    /// Events that are delivered in one run.
    pub(crate) deliveries: usize,
    /// Events that wait for a receiver that is away.
    pub(crate) backlog: usize,
    /// Starts of each program.
    pub(crate) starts: usize,
    /// Connections that are held open and do nothing.
    pub(crate) idle: usize,
}

const HELP: &str = "\
Measures Pushbell beside other proxies on this machine and prints one table.

    cargo bench -- [OPTION]...

  --quick          small sizes and two rounds: whether it works, not what it costs
  --only FIGURE    this one only; may be given several times:
                   push, transfer, crowd, far, layer, requests, handshakes, memory,
                   manifests, burst, appends, deliveries, backlog, start
  --rounds N       rounds, instead of five
  --against FILE   another build of Pushbell, measured in the same rounds; other proxies
                   stay away unless --with asks for them
  --pushbell FILE  measure this build, not the one that was built just now
  --with PEER      measure beside this one: nginx, haproxy or caddy; the first two are
                   there without --against; may be given several times
  --json FILE      write the numbers of every round there

Two builds on a machine that does other things too: many short rounds tell more than a
few long ones, as in --quick --rounds 30 --only requests --against /tmp/before.

Files that are no absolute path are looked for in the package's directory. Each option
can come from the environment, too: PUSHBELL_BENCH_QUICK=1, PUSHBELL_BENCH_ONLY=push,start,
PUSHBELL_BENCH_ROUNDS=3, PUSHBELL_BENCH_AGAINST=/tmp/pushbell and so on.
";

/// What the command line asks for.
pub(crate) enum Command {
    Measure(Box<Options>),
    /// Say this, and measure nothing.
    Say(&'static str),
}

/// Reads the arguments and the environment. The arguments win.
pub(crate) fn read(
    arguments: impl Iterator<Item = String>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Command> {
    let arguments: Vec<String> = arguments.collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Command::Say(HELP));
    }
    // `cargo test --all-targets` and nextest start benches, too, and mean a test. Only `cargo bench` adds
    // this word.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(Command::Say(""));
    }
    let mut words = Words::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => words.quick = true,
            "--rounds" => words.rounds = Some(value_of(&argument, arguments.next())?),
            "--against" => words.against = Some(value_of(&argument, arguments.next())?),
            "--pushbell" => words.pushbell = Some(value_of(&argument, arguments.next())?),
            "--json" => words.json = Some(value_of(&argument, arguments.next())?),
            "--only" => words.only.extend(list(&value_of(&argument, arguments.next())?)),
            "--with" => words.with.extend(list(&value_of(&argument, arguments.next())?)),
            other => bail!("unknown option `{other}`; `cargo bench -- --help` lists what there is"),
        }
    }
    words.fill_from(|name| environment(&format!("PUSHBELL_BENCH_{name}")));
    Ok(Command::Measure(Box::new(words.checked()?)))
}

/// As given.
#[derive(Default)]
struct Words {
    quick: bool,
    rounds: Option<String>,
    against: Option<String>,
    pushbell: Option<String>,
    json: Option<String>,
    with: Vec<String>,
    only: Vec<String>,
}

impl Words {
    /// What the command line does not say may be in the environment.
    fn fill_from(&mut self, environment: impl Fn(&str) -> Option<String>) {
        self.quick |= environment("QUICK").is_some_and(|value| value == "1");
        for (name, word) in [
            ("ROUNDS", &mut self.rounds),
            ("AGAINST", &mut self.against),
            ("PUSHBELL", &mut self.pushbell),
            ("JSON", &mut self.json),
        ] {
            *word = word.take().or_else(|| environment(name));
        }
        for (name, words) in [("WITH", &mut self.with), ("ONLY", &mut self.only)] {
            if words.is_empty() {
                words.extend(environment(name).iter().flat_map(|value| list(value)));
            }
        }
    }

    fn checked(self) -> Result<Options> {
        if let Some(wrong) = self.only.iter().find(|name| !NAMES.contains(&name.as_str())) {
            bail!("no figure is called `{wrong}`; there are {}", NAMES.join(", "));
        }
        if let Some(wrong) = self.with.iter().find(|name| !FAMILIES.contains(&name.as_str())) {
            bail!("no peer is called `{wrong}`; there are {}", FAMILIES.join(", "));
        }
        let rounds = match self.rounds.as_deref().map(str::parse) {
            None if self.quick => 2,
            None => 5,
            Some(Ok(rounds @ 1..)) => rounds,
            Some(_) => bail!("`--rounds` wants a number from 1 up"),
        };
        Ok(Options {
            rounds,
            sizes: if self.quick { Sizes::quick() } else { Sizes::full() },
            against: self.against.as_deref().map(program).transpose()?,
            pushbell: self.pushbell.as_deref().map(program).transpose()?,
            json: self.json.map(PathBuf::from),
            with: self.with,
            only: self.only,
        })
    }
}

fn value_of(option: &str, value: Option<String>) -> Result<String> {
    // Cargo puts its own word behind ours.
    let value = value.filter(|value| !value.starts_with("--"));
    value.with_context(|| format!("`{option}` wants a value; `cargo bench -- --help` says which"))
}

fn list(value: &str) -> impl Iterator<Item = String> {
    value.split(',').map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty())
}

/// Whole, since programs are started in directories of their own.
fn program(file: &str) -> Result<PathBuf> {
    let whole = Path::new(file).canonicalize();
    let whole = whole.with_context(|| format!("look for the program `{file}`"))?;
    if !whole.is_file() {
        bail!("`{file}` is no program");
    }
    Ok(whole)
}

impl Sizes {
    fn full() -> Self {
        Self {
            transfer: 1 << 30,
            crowd: 16 << 20,
            far: Duration::from_secs(4),
            huge: 10 << 30,
            requests: 48_000,
            handshakes: 2_000,
            layer: 64 << 20,
            manifests: 300,
            burst: 1_000,
            appends: 40_000,
            deliveries: 10_000,
            backlog: 1_000_000,
            starts: 15,
            idle: 400,
        }
    }

    fn quick() -> Self {
        Self {
            transfer: 128 << 20,
            crowd: 2 << 20,
            far: Duration::from_secs(1),
            huge: 512 << 20,
            requests: 4_000,
            handshakes: 200,
            layer: 8 << 20,
            manifests: 40,
            burst: 200,
            appends: 4_000,
            deliveries: 1_000,
            backlog: 50_000,
            starts: 4,
            idle: 100,
        }
    }
}

impl Options {
    /// Whether this figure is asked for.
    pub(crate) fn wants(&self, figure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == figure)
    }

    /// Whether this family of peers is asked for.
    pub(crate) fn has_peers(&self, family: &str, otherwise: bool) -> bool {
        (otherwise && self.against.is_none()) || self.with.iter().any(|name| name == family)
    }
}
