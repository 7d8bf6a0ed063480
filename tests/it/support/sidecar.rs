use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::process::Done;
use super::process::Process;
use super::process::run;
use super::process::run_with_input;
use super::wait::until;
use super::workdir::Workdir;

/// The product, as a process of its own.
pub(crate) struct Sidecar {
    process: Process,
    state: PathBuf,
}

impl Sidecar {
    /// `pushbell run` with these flags and no file. Its state is in `<workdir>/state`.
    #[track_caller]
    pub(crate) fn with_flags(
        work: &Workdir,
        flags: &[&str],
        environment: &[(&str, &Path)],
    ) -> Self {
        Self::ready(Self::starting(work, flags, environment))
    }

    /// `pushbell run --config` with this file. Its state has to be in `<workdir>/state`.
    #[track_caller]
    pub(crate) fn with_file(work: &Workdir, yaml: &str) -> Self {
        let file = work.write("pushbell.yaml", yaml);
        Self::with_flags(work, &["--config", file.to_str().unwrap()], &[])
    }

    /// In front of any registry, with nobody to tell: events stand in the log. These lines
    /// go at the end of its file.
    #[track_caller]
    pub(crate) fn before(work: &Workdir, upstream: &str, more: &str) -> Self {
        Self::with_file(work, &file_before(upstream, more))
    }

    /// The same with this rule bent, which only a build with debug assertions lets a test do.
    #[track_caller]
    pub(crate) fn bent(work: &Workdir, upstream: &str, rule: &str) -> Self {
        let file = work.write("pushbell.yaml", file_before(upstream, ""));
        let flags = ["--config", file.to_str().unwrap()];
        Self::with_flags(work, &flags, &[("PUSHBELL_BEND", Path::new(rule))])
    }

    /// `pushbell run --config` with this file, where these shell commands of root's have changed what is mounted.
    #[track_caller]
    pub(crate) fn behind_mounts(work: &Workdir, yaml: &str, mounts: &str) -> Self {
        let file = work.write("pushbell.yaml", yaml);
        let mut alone = Command::new("unshare");
        alone
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("STATE_DIRECTORY", work.join("state"))
            .current_dir(work.path())
            .args(["--mount", "sh", "-ec", &format!("{mounts}exec \"$@\""), "sh"])
            .args([env!("CARGO_BIN_EXE_pushbell"), "run", "--config"])
            .arg(file);
        Self::ready(Self { process: Process::start(&mut alone), state: work.join("state") })
    }

    /// The same with no more descriptors than these.
    #[track_caller]
    pub(crate) fn with_descriptors(work: &Workdir, upstream: &str, descriptors: u64) -> Self {
        let file = work.write("pushbell.yaml", file_before(upstream, ""));
        let mut limited = Command::new("prlimit");
        limited
            .env_clear()
            .env("STATE_DIRECTORY", work.join("state"))
            .current_dir(work.path())
            .arg(format!("--nofile={descriptors}:{descriptors}"))
            .arg(env!("CARGO_BIN_EXE_pushbell"))
            .args(["run", "--config"])
            .arg(file);
        Self::ready(Self { process: Process::start(&mut limited), state: work.join("state") })
    }

    /// Leaves it no more descriptors than these, from now on.
    pub(crate) fn limit_descriptors(&self, descriptors: u64) {
        let mut limit = Command::new("prlimit");
        let id = self.id().to_string();
        run(limit.args(["--pid", &id]).arg(format!("--nofile={descriptors}:{descriptors}"))).ok();
    }

    /// How much of the processors it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        let ticks = after_name.split_whitespace().skip(11).take(2);
        // A tick is 10 ms wherever there are users to see it (proc(5), `USER_HZ`).
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    /// One that was started, ready or not: for those that shall not start.
    pub(crate) fn starting(work: &Workdir, flags: &[&str], environment: &[(&str, &Path)]) -> Self {
        let mut command = pushbell(work, &["run"]);
        command.args(flags).envs(environment.iter().copied());
        Self { process: Process::start(&mut command), state: work.join("state") }
    }

    /// Where the listener for `registry`, `hooks` or `admin` is.
    #[track_caller]
    pub(crate) fn address(&self, serves: &str) -> SocketAddr {
        until(&format!("the listener for {serves}"), || {
            let line = self.log().into_iter().find(|line| {
                message(line) == "Listening"
                    && field(line, "serve").is_some_and(|s| text(s).contains(serves))
            })?;
            text(field(&line, "address").expect("an address in the log")).parse().ok()
        })
    }

    /// `localhost:port`, as clients name the registry.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address("registry").port())
    }

    /// A path of the registry, through us.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host())
    }

    /// A path of the admin listener.
    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.address("admin"))
    }

    /// The certificate clients have to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.state.join("certs/ca.pem")
    }

    /// A directory in which podman, buildah and skopeo find what they have to trust.
    pub(crate) fn cert_dir(&self, work: &Workdir) -> PathBuf {
        let directory = work.directory("client-trust");
        fs::copy(self.ca(), directory.join("ca.crt")).unwrap();
        directory
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of memory it holds now, and at most held so far.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        (kib("VmRSS:") << 10, kib("VmHWM:") << 10)
    }

    /// Every line of its log that is JSON, so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        let lines = self.process.lines();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Everything it printed so far.
    pub(crate) fn printed(&self) -> String {
        self.process.lines().join("\n")
    }

    /// Waits for a line of the log that carries all of these, in its fields or its spans.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, what: &str, wanted: &[(&str, &str)]) -> Value {
        until(&format!("a line of the log that says {what}: {wanted:?}"), || {
            self.log()
                .into_iter()
                .find(|line| wanted.iter().all(|(name, value)| carries(line, name, value)))
        })
    }

    /// Asks it to read its certificates again.
    pub(crate) fn reload(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Ends it as a power cut would, and does not wait for that.
    pub(crate) fn cut(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Ends it as a power cut would.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Asks it to stop, and expects a clean end.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.printed());
    }

    #[track_caller]
    fn ready(mut self) -> Self {
        until("the sidecar to listen", || {
            if let Some(status) = self.process.ended() {
                panic!("the sidecar ended: {status}\n{}", self.printed());
            }
            self.log().iter().any(|line| message(line) == "Listening").then_some(())
        });
        self
    }
}

/// Any command of the product, run to its end.
#[track_caller]
pub(crate) fn command(work: &Workdir, words: &[&str]) -> Done {
    run(&mut pushbell(work, words))
}

/// The same, with this on its standard input.
#[track_caller]
pub(crate) fn command_with_input(work: &Workdir, words: &[&str], input: &[u8]) -> Done {
    run_with_input(&mut pushbell(work, words), input)
}

fn file_before(upstream: &str, more: &str) -> String {
    format!(
        "registry: {{ name: registry.example.com, upstream: \"{upstream}\" }}\n\
             identities: {{ registry: {{ local_ca: {{ names: [localhost, registry.example.com] }} }} }}\n\
             listeners:\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n{more}"
    )
}

fn pushbell(work: &Workdir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushbell"));
    // Nothing of who runs the tests may reach it.
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("STATE_DIRECTORY", work.join("state"))
        .current_dir(work.path())
        .args(words);
    command
}

fn message(line: &Value) -> &str {
    field(line, "message").and_then(Value::as_str).unwrap_or_default()
}

/// A field of a line, wherever the format keeps them.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get("fields").and_then(|fields| fields.get(name)).or_else(|| line.get(name))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn carries(line: &Value, name: &str, wanted: &str) -> bool {
    // Numbers are compared by their text, as words are.
    let is =
        |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned) == wanted;
    match line {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| (key == name && is(value)) || carries(value, name, wanted)),
        Value::Array(values) => values.iter().any(|value| carries(value, name, wanted)),
        _ => false,
    }
}
