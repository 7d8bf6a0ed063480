//! What Pushbell costs, beside what others cost: every program in front of the same upstream on the same
//! machine in the same minutes, one Markdown table at the end.
//!
//! Only ratios within one run compare. Processor time, which is what most lines show, stands the noise
//! that wall time does not. Nothing here is a test: no figure makes it fail.

mod body;
mod client;
mod disk;
mod figure;
mod figures;
mod json;
mod lineup;
mod machine;
mod options;
mod peers;
mod pki;
mod process;
mod pushers;
mod receiver;
mod registry;
mod relay;
mod sink;
mod table;

use std::env;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::anyhow;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time::timeout;

use crate::client::Client;
use crate::figure::DIRECT;
use crate::figures::NAMES;
use crate::lineup::Stage;
use crate::options::Command;
use crate::options::Options;
use crate::peers::Kind;
use crate::pki::Pki;
use crate::registry::DISTRIBUTION;
use crate::table::Table;

/// How long one scene may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What the figures mean.
const LEGEND: [&str; 6] = [
    "loopback, TLS 1.3 with AES-128-GCM, one ECDSA P-256 certificate for all",
    "direct is plain HTTP: no proxy, no TLS",
    "CPU is user and system time of the proxy with its workers, by the kernel's own count, and of nothing \
     else",
    "a peer is tuned as well as we could, `-default` as it comes, and the best of both counts",
    "peers are Debian's, with the OpenSSL that is named below; 3.6 was seen to encrypt 2.6 times as fast \
     as 3.0",
    "a start finds its certificate and its state directory there; minting is not in it",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = match options::read(env::args().skip(1), |name| env::var(name).ok())? {
        Command::Measure(options) => options,
        Command::Say(words) => {
            print!("{words}");
            return Ok(());
        }
    };
    // Beside the build, not in /tmp, which may be no disk at all.
    let directory = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .context("make a directory for the benchmark")?;
    let pki = Pki::new(directory.path())?;
    let client = Client::new(&pki)?;
    let kinds = peers::chosen(&options);
    let stage = Stage { directory: directory.path().to_owned(), pki, client, kinds };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let table = runtime.block_on(async {
        tokio::select! {
            table = measure(&stage, &options) => Ok(table),
            signal = interrupted() => Err(anyhow!("stopped by {}", signal?)),
        }
    })?;
    print!("{table}");
    if let Some(file) = &options.json {
        fs::write(file, format!("{:#}\n", json::of(&table)))
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Waits until somebody wants it to end. What was started ends with what is dropped then.
async fn interrupted() -> Result<&'static str> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = hangup.recv() => "SIGHUP",
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

async fn measure(stage: &Stage, options: &Options) -> Table {
    let mut table = Table::default();
    table.columns.push(DIRECT);
    let (ours, peers): (Vec<&Kind>, _) = stage.kinds.iter().partition(|kind| kind.is_ours());
    table.columns.extend(peers.iter().map(|kind: &&Kind| kind.name));
    table.columns.push(DISTRIBUTION);
    table.columns.extend(ours.iter().map(|kind| kind.name));
    for kind in stage.kinds.iter().filter(|kind| kind.find().is_none()) {
        table.missing.push((kind.name, format!("not installed; `{}`", kind.install)));
    }
    let busy_before = machine::load();
    let started = Instant::now();
    for name in NAMES.into_iter().filter(|name| options.wants(name)) {
        eprintln!("{:>4} s  {name}", started.elapsed().as_secs());
        let needed = figures::needs(name);
        if let Some(program) = needed.iter().find(|program| !peers::is_installed(program)) {
            let install = registry::INSTALL;
            let note = format!("{name}: not measured, {program} is not installed; `{install}`");
            table.notes.push(note);
            continue;
        }
        let figures = timeout(PATIENCE, figures::measure(name, stage, options)).await;
        match figures.context("it took too long").flatten() {
            Ok(figures) => table.figures.extend(figures),
            // The others are worth having all the same.
            Err(error) => table.notes.push(format!("{name}: not measured: {error:#}")),
        }
    }
    let took = started.elapsed().as_secs();
    table.notes.push(machine::describe());
    table.notes.extend(machine::say_load(busy_before, machine::load()));
    table
        .notes
        .push(format!("medians of {} interleaved rounds; all of it took {took} s", options.rounds));
    table.notes.extend(LEGEND.map(str::to_owned));
    table.notes.extend(stage.kinds.iter().filter_map(machine::version));
    table.notes.extend(["docker-registry", "skopeo"].into_iter().filter_map(machine::version_of));
    table
}
