//! What the figures depend on besides the programs: who reads them has to know.

use std::fs;
use std::process::Command;
use std::thread;

use crate::peers::Kind;

/// A load above which wall times are no longer worth much.
const QUIET: f64 = 0.5;

/// What does most of our work besides ourselves.
const OUR_LIBRARIES: [&str; 3] = ["rustls", "aws-lc-sys", "hyper"];
const LOCK: &str = include_str!("../../Cargo.lock");

/// The processor, the kernel, and how it sends.
pub(crate) fn describe() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| "processor unknown".to_owned());
    let kernel = line("/proc/sys/kernel/osrelease");
    let congestion = line("/proc/sys/net/ipv4/tcp_congestion_control");
    format!("{model}, {cores} cores, Linux {kernel}, congestion control {congestion}")
}

fn line(file: &str) -> String {
    fs::read_to_string(file).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Programs that wanted a core, on the average of the last minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// What the load at the start and at the end says of the figures.
pub(crate) fn say_load(before: Option<f64>, after: Option<f64>) -> Option<String> {
    let (before, after) = before.zip(after)?;
    let warning = if before > QUIET {
        "; **the machine was busy: wall times say little, and processor times are too high**"
    } else {
        ""
    };
    Some(format!("load {before:.2} at the start, {after:.2} at the end{warning}"))
}

/// The version of a program and those of the libraries that it names; none for one's other settings.
pub(crate) fn version(kind: &Kind) -> Option<String> {
    if kind.name.contains('-') {
        return None;
    }
    let said = Command::new(kind.find()?).args(kind.version).output().ok()?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next()?.trim();
    let library = text.lines().map(str::trim).find(|line| {
        line.starts_with("built with OpenSSL") || line.starts_with("Running on OpenSSL")
    });
    let library = match library {
        Some(line) => format!(", {line}"),
        None if kind.is_ours() => OUR_LIBRARIES.map(of_lock_file).concat(),
        None => String::new(),
    };
    Some(format!("{}: {first}{library}", kind.name))
}

/// What a program of others says of itself when it is asked so, if it is there.
pub(crate) fn version_of(program: &str) -> Option<String> {
    let said = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&said.stdout).lines().next()?.trim().to_owned())
}

/// The version that the lock file names, as a further word of a list.
fn of_lock_file(package: &str) -> String {
    let head = format!("name = \"{package}\"\nversion = \"");
    let version = LOCK.split_once(&head).and_then(|(_, rest)| rest.split_once('"'));
    version.map(|(version, _)| format!(", {package} {version}")).unwrap_or_default()
}
