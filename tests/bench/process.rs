use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use rustix::process::Pid;
use rustix::process::Signal;
use tokio::time::sleep;

/// A program that runs beside the benchmark, with all its workers, and dies with it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// Processor time of a program and its workers, by thread: one that ends in between takes only its last
/// moments with it, and not what it had done before.
pub(crate) struct Cpu {
    threads: HashMap<PathBuf, Duration>,
}

/// What a program and its workers hold, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Resident; what workers share is counted for each of them.
    pub(crate) resident: u64,
    /// Proportional; none where the kernel does not tell.
    pub(crate) proportional: Option<u64>,
}

/// The kernel counts processor time for user space in hundredths of a second, on every architecture.
const TICKS_PER_SECOND: u64 = 100;
/// Places in `stat`, counted behind the name.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
/// How long a program may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(5);
/// How often one looks whether a program has ended by itself.
const GLANCE: Duration = Duration::from_millis(1);
/// How much of a log is worth reading.
const LAST_LINES: usize = 15;

impl Process {
    /// Starts it; everything it prints goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start `{program}`"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn finish(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            sleep(GLANCE).await;
        }
    }

    /// Ends it without a word, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(LAST_LINES))
            .fold(String::new(), |all, line| {
                all + "\n    " + &line.chars().take(400).collect::<String>()
            })
    }

    /// Processor time, user and system, of it and its workers so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut threads = HashMap::new();
        for pid in self.family() {
            let tasks = format!("/proc/{pid}/task");
            for entry in fs::read_dir(&tasks).with_context(|| format!("read {tasks}"))? {
                let directory = entry?.path();
                // A thread that ended since it was listed has nothing to say.
                threads.extend(time_of(&directory).map(|time| (directory, time)));
            }
        }
        Ok(Cpu { threads })
    }

    /// Memory of it and its workers now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let each =
            self.family().into_iter().map(|pid| kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:"));
        Ok(Memory { resident: self.resident()?, proportional: each.sum() })
    }

    /// What it and its workers have resident now, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.sum("VmRSS:")
    }

    /// The most that was resident at any time, for each of them, in bytes.
    pub(crate) fn most_resident(&self) -> Result<u64> {
        self.sum("VmHWM:")
    }

    /// The most that it and its workers held at any time since they were started, in bytes: what they held
    /// at rest, without counting twice what they share, and by how much they once grew.
    pub(crate) fn peak(&self, rest: Memory) -> Result<u64> {
        let grown = self.most_resident()?.saturating_sub(rest.resident);
        Ok(rest.proportional.unwrap_or(rest.resident) + grown)
    }

    /// A line of `status`, over all of them.
    fn sum(&self, key: &str) -> Result<u64> {
        let each = self.family().into_iter().map(|pid| {
            kib(&format!("/proc/{pid}/status"), key)
                .with_context(|| format!("read the memory of process {pid}"))
        });
        each.sum()
    }

    /// Itself first, then its children.
    fn family(&self) -> Vec<u32> {
        let own = self.child.id();
        let mut family = vec![own];
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        family.extend(
            processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(
                |pid: &u32| {
                    let parent = field(Path::new(&format!("/proc/{pid}")), PARENT);
                    parent == Some(own.into())
                },
            ),
        );
        family
    }
}

impl Cpu {
    /// What was spent since.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let spent = self.threads.iter().map(|(thread, now)| {
            now.saturating_sub(before.threads.get(thread).copied().unwrap_or_default())
        });
        spent.sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What has ended was waited for, and its number may be somebody else's by now.
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // Known before the parent is gone: workers whose parent was killed belong to nobody.
        let family = self.family();
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(STEP);
        }
        for pid in family {
            signal(pid, Signal::KILL);
        }
        self.child.wait().ok();
    }
}

/// The scheduler counts in nanoseconds. Where it does not tell, the times of the thread do, in hundredths
/// of a second.
fn time_of(thread: &Path) -> Option<Duration> {
    if let Ok(text) = fs::read_to_string(thread.join("schedstat")) {
        return Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?));
    }
    let ticks = field(thread, USER)? + field(thread, SYSTEM)?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// A number out of the `stat` of a process or a thread.
fn field(directory: &Path, at: usize) -> Option<u64> {
    let text = fs::read_to_string(directory.join("stat")).ok()?;
    // The name of the program comes first, in parentheses, and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(at)?.parse().ok()
}

fn kib(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(value.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Exact enough: no program here holds more than 4 TiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that is gone already needs no signal.
        rustix::process::kill_process(pid, signal).ok();
    }
}
