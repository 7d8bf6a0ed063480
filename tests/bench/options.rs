use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;

/// What to measure, and how much of it.
pub(crate) struct Options {
    /// Each round measures every contender once, in turn.
    pub(crate) rounds: usize,
    /// Bytes of one upload or download.
    pub(crate) transfer: u64,
    /// Small requests of one run.
    pub(crate) requests: usize,
    /// Handshakes of one run.
    pub(crate) handshakes: usize,
    /// Bytes of each of the four layers of the image that is pushed.
    pub(crate) layer: usize,
    /// Manifests each contender is given.
    pub(crate) manifests: usize,
    /// Starts of each program.
    pub(crate) starts: usize,
    /// Connections that are held open and do nothing.
    pub(crate) idle: usize,
    only: Vec<String>,
}

/// The names of the figures, as `--only` takes them.
pub(crate) const FIGURES: [&str; 7] =
    ["transfer", "requests", "handshakes", "push", "manifests", "start", "memory"];

const HELP: &str = "\
Measures Pushbell beside other proxies on this machine and prints one table.

    cargo bench -- [--quick] [--only FIGURE]... [--rounds N]

  --quick        small sizes and two rounds: whether it works, not what it costs
  --only FIGURE  this one only; may be given several times:
                 transfer, requests, handshakes, push, manifests, start, memory
  --rounds N     rounds, instead of five

Each option can come from the environment, too: PUSHBELL_BENCH_QUICK=1,
PUSHBELL_BENCH_ONLY=push,start, PUSHBELL_BENCH_ROUNDS=3.
";

/// What the command line asks for.
pub(crate) enum Command {
    Measure(Options),
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
    let mut arguments = arguments.into_iter();
    let mut quick = environment("PUSHBELL_BENCH_QUICK").is_some_and(|value| value == "1");
    let mut rounds = environment("PUSHBELL_BENCH_ROUNDS");
    let mut only: Vec<String> = environment("PUSHBELL_BENCH_ONLY")
        .map(|names| names.split(',').map(|name| name.trim().to_owned()).collect())
        .unwrap_or_default();
    let mut named = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => quick = true,
            "--rounds" => rounds = Some(value_of(&argument, arguments.next())?),
            "--only" => {
                if !std::mem::replace(&mut named, true) {
                    only.clear();
                }
                only.push(value_of(&argument, arguments.next())?);
            }
            other => bail!("unknown option `{other}`; `cargo bench -- --help` lists what there is"),
        }
    }
    if let Some(wrong) = only.iter().find(|name| !FIGURES.contains(&name.as_str())) {
        bail!("no figure is called `{wrong}`; there are {}", FIGURES.join(", "));
    }
    let mut options = if quick { Options::quick() } else { Options::full() };
    if let Some(rounds) = rounds {
        options.rounds = match rounds.parse() {
            Ok(rounds @ 1..) => rounds,
            _ => bail!("`{rounds}` is no number of rounds; a number from 1 up is"),
        };
    }
    options.only = only;
    Ok(Command::Measure(options))
}

fn value_of(option: &str, value: Option<String>) -> Result<String> {
    // Cargo puts its own word behind ours.
    let value = value.filter(|value| !value.starts_with("--"));
    value.with_context(|| format!("`{option}` wants a value; `cargo bench -- --help` says which"))
}

impl Options {
    fn full() -> Self {
        Self {
            rounds: 5,
            transfer: 1 << 30,
            requests: 48_000,
            handshakes: 2_000,
            layer: 64 << 20,
            manifests: 300,
            starts: 15,
            idle: 100,
            only: Vec::new(),
        }
    }

    fn quick() -> Self {
        Self {
            rounds: 2,
            transfer: 128 << 20,
            requests: 4_000,
            handshakes: 200,
            layer: 8 << 20,
            manifests: 40,
            starts: 4,
            idle: 100,
            only: Vec::new(),
        }
    }

    /// Whether this figure is asked for.
    pub(crate) fn wants(&self, figure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == figure)
    }
}
