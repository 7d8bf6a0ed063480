//! The command line: flags and subcommands into a command, and what each command prints.
//!
//! What a program may rely on: names, exit codes and `--json` shapes. Standard output carries the result
//! alone; everything said to people goes to standard error.

mod certs;
mod check;
mod endpoint;
mod exchange;
mod explain;
mod health;
mod history;
mod operator;
mod presets;
mod run;
mod schema;
mod shown;
mod transfer;
mod translate;
mod verify;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::IsTerminal as _;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::FromArgMatches as _;
use clap::Parser;
use clap::Subcommand;

use crate::config;
use crate::telemetry::chain;

/// How a command ended, in the words of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it should.
    Ok,
    /// It failed, or the answer is no.
    Failed,
    /// The command line or the configuration is wrong (`EX_USAGE`).
    Usage,
    /// The input is wrong (`EX_DATAERR`).
    Data,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Data => 65,
        })
    }
}

/// Why a command ended other than well; printed by [`main`], once.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

#[derive(Debug, Parser)]
#[command(
    name = "pushbell",
    version,
    about = "Tells build services of every push to your container registry",
    long_about = "Pushbell stands in front of a container registry, terminates TLS, forwards every push and \
                  pull unchanged, and tells build services of each push by a signed HTTPS webhook, in the \
                  dialect they already read. A push the registry acknowledged is never forgotten.",
    after_long_help = "Start with:\n  pushbell run --upstream http://127.0.0.1:5000 --webhook https://build.example.com/hook\n\n\
                       Exit codes:\n   0  done, or yes\n   1  failed, or no\n  64  wrong command line or configuration\n  65  unusable input",
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Certs(certs::Arguments),
    Presets(presets::Arguments),
    Translate(translate::Arguments),
    Explain(explain::Arguments),
    Endpoint(endpoint::Arguments),
    Events(history::Events),
    Deliveries(history::Deliveries),
    Verify(verify::Arguments),
    Schema(schema::Arguments),
    Health(health::Arguments),
}

/// Where the configuration comes from; every option of the command line overrides the file.
#[derive(Debug, Clone, Default, clap::Args)]
struct Source {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "PUSHBELL_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct Overrides {
    /// The registry: http://host:port, https://host:port or unix:/path/to/socket
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// A build service to tell of every push, https://…; may be given several times
    #[arg(long = "webhook", value_name = "URL")]
    webhooks: Vec<String>,
    /// Allow http:// for those: everyone on the way can read and change what is sent
    #[arg(long)]
    webhook_insecure_http: bool,
    /// A file with the secret that signs those webhooks: whsec_ and base64 (Standard Webhooks)
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// A PEM file with the CA that signed the certificates of those build services [default: the
    /// system's]
    #[arg(long, value_name = "FILE")]
    webhook_ca: Option<PathBuf>,
    /// What clients type, host or host:port [default: where the first listener is]
    #[arg(long, value_name = "NAME")]
    registry_name: Option<String>,
    /// Where to listen for docker, podman and the like [default: 127.0.0.1:5443]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where to serve /healthz, /readyz and /metrics [default: 127.0.0.1:9443]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Where events and certificates are kept [default: $STATE_DIRECTORY, /var/lib/pushbell for root,
    /// $XDG_STATE_HOME/pushbell]
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// The least that is logged: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How a log line looks: text or json [default: text on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Options of `run` that change nothing about a certificate. Commands about certificates take them, so that
/// one command line serves for all, but do not explain them.
const NOT_ABOUT_CERTIFICATES: [&str; 8] = [
    "upstream",
    "webhooks",
    "webhook_insecure_http",
    "webhook_secret_file",
    "webhook_ca",
    "admin",
    "log_level",
    "log_format",
];

/// The same for `health`, which needs to know where admin is.
const NOT_ABOUT_HEALTH: [&str; 10] = [
    "upstream",
    "webhooks",
    "webhook_insecure_http",
    "webhook_secret_file",
    "webhook_ca",
    "registry_name",
    "listen",
    "state_directory",
    "log_level",
    "log_format",
];

/// The grammar of the command line; each command explains the options that matter to it.
fn command_line() -> clap::Command {
    fn without(command: clap::Command, hidden: &[&str]) -> clap::Command {
        command.mut_args(|option| {
            let hide = hidden.contains(&option.get_id().as_str());
            if hide { option.hide(true) } else { option }
        })
    }
    Arguments::command()
        .mut_subcommand("health", |health| without(health, &NOT_ABOUT_HEALTH))
        .mut_subcommand("certs", |certs| {
            certs.mut_subcommands(|verb| without(verb, &NOT_ABOUT_CERTIFICATES))
        })
}

/// Reads the command line, does what it says, and tells how it went.
pub fn main<I>(arguments: I) -> Exit
where
    I: IntoIterator<Item = OsString>,
{
    let matches = command_line().try_get_matches_from(arguments);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        // Help and version are errors to clap, and the only good ones.
        Err(error) if error.use_stderr() => {
            error.print().ok();
            return Exit::Usage;
        }
        Err(error) => {
            return match error.print() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Failed,
                _ => Exit::Ok,
            };
        }
    };
    let done = match arguments.command {
        Command::Run(arguments) => run::main(&arguments),
        Command::Check(arguments) => check::main(&arguments),
        Command::Certs(arguments) => certs::main(&arguments),
        Command::Presets(arguments) => presets::main(&arguments),
        Command::Translate(arguments) => translate::main(&arguments),
        Command::Explain(arguments) => explain::main(&arguments),
        Command::Endpoint(arguments) => endpoint::main(&arguments),
        Command::Events(arguments) => history::events(&arguments),
        Command::Deliveries(arguments) => history::deliveries(&arguments),
        Command::Verify(arguments) => verify::main(&arguments),
        Command::Schema(arguments) => schema::main(&arguments),
        Command::Health(arguments) => health::main(&arguments),
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(Failure { exit, message }) => {
            say(&message);
            exit
        }
    }
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// An error with everything behind it, on one line.
    fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self::new(exit, format!("pushbell: {}", chain(error)))
    }

    /// With what would be right, in the form that problems of the configuration have.
    fn with_help(mut self, help: Option<String>) -> Self {
        if let Some(help) = help {
            self.message.push_str("\n  = help: ");
            self.message.push_str(&help);
        }
        self
    }
}

impl From<config::Problems> for Failure {
    fn from(problems: config::Problems) -> Self {
        Self::new(Exit::Usage, problems.show(paint()))
    }
}

/// Colour only where a person looks, and never against <https://no-color.org>.
fn paint() -> config::Paint {
    if io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        config::Paint::Colour
    } else {
        config::Paint::Plain
    }
}

/// Tells people something; standard error may be closed, and then nobody listens.
fn say(message: &str) {
    let end = if message.ends_with('\n') { "" } else { "\n" };
    write!(io::stderr(), "{message}{end}").ok();
}

/// Prints the result.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    match written {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("pushbell: could not write the result: {error}"),
        )),
        Ok(()) => Ok(()),
    }
}

/// Reads a file, or standard input where none or `-` is named, up to `limit` bytes.
fn read_input(file: Option<&Path>, limit: usize) -> Result<Vec<u8>, Failure> {
    let name = |file: &Path| file.display().to_string();
    let (from, reader): (String, Box<dyn io::Read>) = match file {
        Some(file) if file != Path::new("-") => {
            let opened = fs::File::open(file).map_err(|error| {
                let message = format!("pushbell: could not read {}: {error}", name(file));
                Failure::new(Exit::Data, message)
            })?;
            (name(file), Box::new(opened))
        }
        _ => ("standard input".to_owned(), Box::new(io::stdin())),
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|error| {
        Failure::new(Exit::Data, format!("pushbell: could not read {from}: {error}"))
    })?;
    if bytes.len() > limit {
        let message = format!("pushbell: {from} has more than {limit} bytes, which is the limit");
        return Err(Failure::new(Exit::Data, message));
    }
    Ok(bytes)
}
