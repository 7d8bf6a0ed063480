use std::ffi::OsStr;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::thread::JoinHandle;

use rustix::process::Pid;
use rustix::process::Signal;

use super::wait::until;

/// A program that runs beside the test and dies with it.
pub(crate) struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What a program that ended left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Process {
    /// Starts it and collects every line it prints.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = spawn(command.stdin(Stdio::null()));
        let lines = Arc::default();
        let readers = vec![
            follow(child.stdout.take().unwrap(), &lines),
            follow(child.stderr.take().unwrap(), &lines),
        ];
        Self { name: name_of(command), child, ended: None, lines, readers }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Every line so far, of both outputs.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, and for the last line.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let status = until(&format!("`{name}` to end"), || self.ended());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Ends it at once, as a power cut would.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            self.child.kill().unwrap();
        }
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if thread::panicking() {
            let lines = self.lines.lock().unwrap();
            eprintln!("--- last lines of `{}`", self.name);
            for line in &lines[lines.len().saturating_sub(20)..] {
                eprintln!("{}", line.chars().take(400).collect::<String>());
            }
        }
    }
}

impl Done {
    /// The same, if it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "failed\n{}\n{}", self.out, self.err);
        self
    }
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Done {
    run_with_input(command, b"")
}

/// Runs a program to its end with this on its standard input.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Done {
    let mut child = spawn(command.stdin(Stdio::piped()));
    let out = thread::spawn(read_all(child.stdout.take().unwrap()));
    let err = thread::spawn(read_all(child.stderr.take().unwrap()));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program may end without having read all of it; what that means is in its answer.
    let feeding = thread::spawn(move || stdin.write_all(&input).ok());
    let status = until(&format!("`{}` to end", name_of(command)), || child.try_wait().unwrap());
    feeding.join().unwrap();
    Done {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        out: out.join().unwrap(),
        err: err.join().unwrap(),
    }
}

fn spawn(command: &mut Command) -> Child {
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    started.unwrap_or_else(|e| match e.kind() {
        ErrorKind::NotFound => panic!(
            "`{}` is not installed; `make prepare` installs everything the tests use",
            name_of(command)
        ),
        _ => panic!("could not start `{}`: {e}", name_of(command)),
    })
}

fn name_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.take(3).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn follow(from: impl Read + Send + 'static, to: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let to = Arc::clone(to);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.lock().unwrap().push(line);
        }
    })
}

fn read_all(mut from: impl Read) -> impl FnOnce() -> String {
    move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
