use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use time::OffsetDateTime;

use crate::delivery::sign::NotGenuine;
use crate::delivery::sign::Scheme;
use crate::delivery::sign::verify;
use crate::secret::Secret;
use crate::telemetry::chain;

use super::Exit;
use super::Failure;
use super::print;
use super::read_input;

/// Check the signature of a received webhook, for a receiver's own tests
///
/// Exits with 0 if it is genuine, with 1 and the reason if it is not.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pushbell verify --scheme standard-webhooks --secret-file hook.secret \\\n    \
                        -H 'webhook-id: 0199f3c2…' -H 'webhook-timestamp: 1772356502' \\\n    \
                        -H 'webhook-signature: v1,…' body.json"
)]
pub(super) struct Arguments {
    /// How it is signed
    #[arg(long, value_name = "SCHEME", default_value = "standard-webhooks", value_parser = schemes())]
    scheme: Scheme,
    /// A file with the secret
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// A header of the webhook, "name: value"; give all that were received, others are ignored
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// How many seconds the webhook's time may differ from now
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    tolerance: u64,
    /// The body, byte for byte as received [default: standard input]
    #[arg(value_name = "FILE")]
    body: Option<PathBuf>,
}

/// More than any webhook has.
const LIMIT: usize = 16 << 20;

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let mut secret = read_input(Some(&arguments.secret_file), 64 << 10)
        .map_err(|failure| Failure { exit: Exit::Usage, ..failure })?;
    if secret.ends_with(b"\n") {
        secret.pop();
    }
    let body = read_input(arguments.body.as_deref(), LIMIT)?;
    let headers: HeaderMap = arguments.headers.iter().cloned().collect();
    let tolerance = Duration::from_secs(arguments.tolerance);
    let now = OffsetDateTime::now_utc();
    match verify(arguments.scheme, &Secret::new(secret), &headers, &body, now, tolerance) {
        Ok(()) => print(b"genuine\n"),
        Err(error @ NotGenuine::Secret { .. }) => {
            let file = arguments.secret_file.display();
            Err(Failure::new(Exit::Usage, format!("pushbell: {file}: {}", chain(&error))))
        }
        Err(error) => {
            Err(Failure::new(Exit::Failed, format!("pushbell: not genuine: {}", chain(&error))))
        }
    }
}

fn schemes() -> impl TypedValueParser<Value = Scheme> {
    PossibleValuesParser::new(Scheme::ALL.map(|scheme| scheme.as_str()))
        .try_map(|word| Scheme::of(&word).ok_or("no such scheme"))
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "a header is written as \"name: value\"".to_owned();
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let name = name.trim().parse().map_err(|_| wrong())?;
    let value = value.trim().parse().map_err(|_| wrong())?;
    Ok((name, value))
}
