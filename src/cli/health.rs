use std::time::Duration;

use clap::Args;
use http::Request;
use http::StatusCode;
use http::header;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::body;
use crate::config::Serve;

use super::Exit;
use super::Failure;
use super::Source;
use super::exchange;
use super::exchange::REMEDY;
use super::print;
use super::run;

/// Ask a running Pushbell how it is, for container probes
///
/// Exits with 0 if a push would pass (with --live: if the process runs), else with 1. Prints what is
/// weaker than it should be.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pushbell health\n  \
                        pushbell health --live --admin 127.0.0.1:9443 --timeout 2")]
pub(super) struct Arguments {
    /// Only ask whether the process runs
    #[arg(long)]
    live: bool,
    /// How many seconds it may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    timeout: u64,
    #[command(flatten)]
    source: Source,
}

/// An answer is a line; more than this is not ours.
const LIMIT: usize = 64 << 10;

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let config = run::load_anywhere(&arguments.source)?;
    let admin = config.listeners.iter().find(|listener| listener.serves.contains(&Serve::Admin));
    let Some(admin) = admin else {
        let message = "pushbell: no listener serves `admin`; add one with `serve: [admin]`";
        return Err(Failure::new(Exit::Usage, message));
    };
    let address = &admin.address.value;
    if admin.identity.is_some() {
        let message = format!(
            "pushbell: the admin listener {address} speaks TLS; `health` asks one on loopback or a unix \
             socket without `identity`"
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let path = if arguments.live { "/healthz" } else { "/readyz" };
    let path = if admin.serves.contains(&Serve::Registry) {
        format!("/_pushbell{path}")
    } else {
        path.to_owned()
    };
    let failed = |why: String| Failure::new(Exit::Failed, format!("pushbell: {address}: {why}"));
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let limit = Duration::from_secs(arguments.timeout);
    let request = Request::get(path).header(header::HOST, "localhost").body(body::empty());
    let request = request.map_err(|error| failed(error.to_string()))?;
    let asked =
        runtime.block_on(async { timeout(limit, exchange::ask(address, request, LIMIT)).await });
    let (status, answer) = asked
        .map_err(|_| failed(format!("no answer in {} s", limit.as_secs())))?
        .map_err(|error| failed(error.to_string()).with_help(Some(REMEDY.to_owned())))?;
    print(&answer)?;
    if status == StatusCode::OK { Ok(()) } else { Err(failed(format!("it answered {status}"))) }
}
