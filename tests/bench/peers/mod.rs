//! The programs that can stand in front of a registry. A further one is a file here and a line in
//! [`PEERS`].

mod caddy;
mod haproxy;
mod nginx;
mod pushbell;

use std::borrow::Cow;
use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;

use crate::client::Client;
use crate::client::Protocol;
use crate::client::Target;
use crate::client::Tls;
use crate::options::Options;
use crate::pki::Pki;
use crate::process::Process;

/// A program that is measured.
#[derive(Clone)]
pub(crate) struct Kind {
    /// What the table calls it; one word.
    pub(crate) name: &'static str,
    /// What the command line calls it and its other settings.
    pub(crate) family: &'static str,
    /// Whether it is there unless somebody says something else.
    usual: bool,
    /// The only scene that it is for, if it is not for all.
    pub(crate) scene: Option<&'static str>,
    /// Its program, as a path or to be looked for.
    pub(crate) program: Cow<'static, str>,
    /// How one gets it.
    pub(crate) install: &'static str,
    /// What makes it print its version, and those of its libraries.
    pub(crate) version: &'static [&'static str],
    /// Writes its configuration, and says how it is started.
    command: fn(&Path, &Setting<'_>) -> Result<Command>,
}

/// What a program is told.
pub(crate) struct Setting<'a> {
    /// Its own, for configuration, state and logs.
    pub(crate) directory: &'a Path,
    pub(crate) port: u16,
    pub(crate) upstream: u16,
    pub(crate) pki: &'a Pki,
    /// Where events go, for who has events.
    pub(crate) webhook: Option<u16>,
}

/// A program that stands in front of a registry now.
pub(crate) struct Front {
    pub(crate) process: Process,
    pub(crate) target: Target,
}

/// The scene with a long way, to which some settings fit that fit nowhere else.
pub(crate) const FAR: &str = "far";

/// What others make.
const PEERS: [&Kind; 7] = [
    &nginx::NGINX,
    &nginx::NGINX_DEFAULT,
    &nginx::NGINX_WIDE,
    &haproxy::HAPROXY,
    &haproxy::HAPROXY_DEFAULT,
    &haproxy::HAPROXY_WIDE,
    &caddy::CADDY,
];

/// Their names, as `--with` takes them.
pub(crate) const FAMILIES: [&str; 3] =
    [nginx::NGINX.family, haproxy::HAPROXY.family, caddy::CADDY.family];

/// The name of ours.
pub(crate) const OURS: &str = pushbell::PUSHBELL.name;
/// The name of the build that ours is compared with.
pub(crate) const OTHER: &str = "other";

/// How long a program may take to answer its first request.
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_micros(200);

/// Everybody whom these options ask for. Pushbell is the last: what it is compared with comes before it.
pub(crate) fn chosen(options: &Options) -> Vec<Kind> {
    let peers =
        PEERS.into_iter().filter(|kind| options.has_peers(kind.family, kind.usual)).cloned();
    let other = options.against.as_deref().map(|file| pushbell(OTHER, file));
    let ours = match &options.pushbell {
        Some(file) => pushbell(OURS, file),
        None => pushbell::PUSHBELL.clone(),
    };
    peers.chain(other).chain([ours]).collect()
}

/// Another build of ours.
fn pushbell(name: &'static str, file: &Path) -> Kind {
    let program = file.to_string_lossy().into_owned().into();
    Kind { name, program, ..pushbell::PUSHBELL.clone() }
}

impl Kind {
    /// Whether it is one of our builds.
    pub(crate) fn is_ours(&self) -> bool {
        [OURS, OTHER].contains(&self.name)
    }

    /// The file of its program, if it is there.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        find(&self.program)
    }

    /// Starts it and returns at once.
    pub(crate) fn spawn(&self, setting: &Setting<'_>) -> Result<Process> {
        let program = self.find().with_context(|| format!("{} is not installed", self.name))?;
        fs::create_dir_all(setting.directory)?;
        let mut command = (self.command)(&program, setting)?;
        Process::start(&mut command, &setting.directory.join("output"))
    }

    /// Starts it and waits for its first answer.
    pub(crate) async fn start(&self, setting: &Setting<'_>, client: &Client) -> Result<Front> {
        let process = self.spawn(setting)?;
        let mut front = Front { process, target: Target { port: setting.port, tls: Tls::Yes } };
        front.first_answer(client).await.with_context(|| format!("start {}", self.name))?;
        Ok(front)
    }
}

impl Front {
    /// Asks again and again until there is an answer.
    pub(crate) async fn first_answer(&mut self, client: &Client) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = async { client.connect(self.target, Protocol::Http1).await?.ask().await };
            let Err(error) = asked.await else {
                return Ok(());
            };
            if self.process.ended()? {
                bail!("it ended at once; its last words:{}", self.process.last_words());
            }
            if Instant::now() > deadline {
                let words = self.process.last_words();
                return Err(error.context(format!("no answer in time; its last words:{words}")));
            }
            // On the thread: a timer of the runtime is no finer than a millisecond.
            thread::sleep(STEP);
        }
    }
}

/// Whether a program is there.
pub(crate) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers are where an ordinary user's PATH does not look. A path that is whole stays as it is.
    let further = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(further).map(|d| d.join(program)).find(|file| file.is_file())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
