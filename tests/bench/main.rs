//! What Pushbell costs, beside what others cost: every program in front of the same upstream on the same
//! machine in the same minutes, one Markdown table at the end.
//!
//! Only ratios within one run compare. Processor time, which is what most lines show, stands the noise
//! that wall time does not. Nothing here is a test: no figure makes it fail.

mod body;
mod client;
mod figure;
mod figures;
mod json;
mod lineup;
mod options;
mod peers;
mod pki;
mod process;
mod receiver;
mod registry;
mod sink;
mod table;

use std::env;
use std::fs;
use std::process::Command as Program;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;

use crate::client::Client;
use crate::figure::DIRECT;
use crate::lineup::Stage;
use crate::options::Command;
use crate::options::FIGURES;
use crate::options::Options;
use crate::pki::Pki;
use crate::table::Table;

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
    let table = runtime.block_on(measure(&stage, &options))?;
    print!("{table}");
    if let Some(file) = &options.json {
        fs::write(file, format!("{:#}\n", json::of(&table)))
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

async fn measure(stage: &Stage, options: &Options) -> Result<Table> {
    let mut table = Table::default();
    table.columns.push(DIRECT);
    table.columns.extend(stage.kinds.iter().map(|kind| kind.name));
    for kind in stage.kinds.iter().filter(|kind| kind.find().is_none()) {
        table.missing.push((kind.name, format!("not installed; `{}`", kind.install)));
    }
    let busy_before = load();
    let started = Instant::now();
    for name in FIGURES.into_iter().filter(|name| options.wants(name)) {
        eprintln!("{:>4} s  {name}", started.elapsed().as_secs());
        if let Some(program) = needs(name).iter().find(|program| !peers::is_installed(program)) {
            let install = registry::INSTALL;
            let note = format!("{name}: not measured, {program} is not installed; `{install}`");
            table.notes.push(note);
            continue;
        }
        let figures = match name {
            "transfer" => figures::transfer::measure(stage, options).await,
            "requests" => figures::requests::measure(stage, options).await,
            "handshakes" => figures::handshakes::measure(stage, options).await,
            "push" => figures::push::measure(stage, options).await,
            "manifests" => figures::manifests::measure(stage, options).await,
            "start" => figures::start::measure(stage, options).await,
            _ => figures::memory::measure(stage, options).await,
        };
        match figures {
            Ok(figures) => table.figures.extend(figures),
            // The others are worth having all the same.
            Err(error) => table.notes.push(format!("{name}: not measured: {error:#}")),
        }
    }
    table.notes.extend(conditions(stage, options));
    let took = started.elapsed().as_secs();
    table.notes.push(format!("all of it took {took} s"));
    // Wall times of a busy machine mean little; who reads them has to know.
    table.notes.extend(busy_before.map(|load| format!("the load before the first of it: {load}")));
    Ok(table)
}

/// The programs of others that a figure cannot do without.
fn needs(figure: &str) -> &'static [&'static str] {
    match figure {
        "push" => &["docker-registry", "skopeo"],
        "manifests" => &["docker-registry"],
        _ => &[],
    }
}

/// Programs that wanted a core, on the average of the last minute.
fn load() -> Option<String> {
    Some(fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.to_owned())
}

/// What the figures depend on.
fn conditions(stage: &Stage, options: &Options) -> Vec<String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut notes = vec![
        format!("medians of {} interleaved rounds on {cores} cores", options.rounds),
        "loopback, TLS 1.3 with AES-128-GCM, one ECDSA P-256 certificate for all".to_owned(),
        "direct is plain HTTP: no proxy, no TLS".to_owned(),
        "CPU is user and system time of the proxy with its workers, and of nothing else".to_owned(),
        "a start finds its certificate and its state directory there; minting is not in it"
            .to_owned(),
    ];
    for kind in &stage.kinds {
        let said = kind.find().and_then(|file| Program::new(file).arg(kind.version).output().ok());
        notes.extend(said.and_then(|said| {
            let text = [said.stdout, said.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            Some(text.lines().next()?.trim().to_owned())
        }));
    }
    notes
}
