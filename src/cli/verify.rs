use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Uri;
use time::OffsetDateTime;

use crate::certs::Trust;
use crate::delivery::sign::Algorithm;
use crate::delivery::sign::Means;
use crate::delivery::sign::NotGenuine;
use crate::delivery::sign::PARAMETER;
use crate::delivery::sign::Received;
use crate::delivery::sign::Scheme;
use crate::delivery::sign::Settings;
use crate::delivery::sign::Signer;
use crate::delivery::sign::Wanted;
use crate::delivery::sign::verify_message;
use crate::secret::Secret;
use crate::telemetry::chain;

use super::Exit;
use super::Failure;
use super::print;
use super::read_input;

/// Check that a received webhook is genuine, for a receiver's own tests
///
/// Exits with 0 if it is, with 1 and the reason if it is not.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pushbell verify --scheme standard-webhooks --secret-file hook.secret \\\n    \
                        -H 'webhook-id: 0199f3c2…' -H 'webhook-timestamp: 1772356502' \\\n    \
                        -H 'webhook-signature: v1,…' body.json\n  \
                        pushbell verify --scheme http-message-signatures --ca ca.pem \\\n    \
                        --url https://build.example.com/hook -H 'signature: …' … body.json"
)]
pub(super) struct Arguments {
    /// How it is signed
    #[arg(long, value_name = "SCHEME", default_value = "standard-webhooks", value_parser = schemes())]
    scheme: Scheme,
    /// A file with the secret; for standard-webhooks a public key (whpk_…) will do
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A header of the webhook, "name: value"; give all that were received, others are ignored
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// How many seconds the webhook's time may differ from now
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    tolerance: u64,
    /// The URL that was called, for query-secret, path-secret and http-message-signatures
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// The method of the webhook
    #[arg(long, value_name = "METHOD", default_value = "POST")]
    method: Method,
    /// The account's name, for basic
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// The digest, for flux-hmac: sha256 or sha512
    #[arg(long, value_name = "DIGEST", default_value = "sha256", value_parser = algorithms())]
    algorithm: Algorithm,
    /// The header it is in, for shared-header and github-sha256 where it is not the usual one
    #[arg(long, value_name = "NAME")]
    in_header: Option<HeaderName>,
    /// The parameter it is in, for query-secret
    #[arg(long, value_name = "NAME", default_value = PARAMETER)]
    parameter: String,
    /// A PEM file with the CA of the certificate that signs, for http-message-signatures
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file with the issuer's key set (JWKS), for oidc
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Whom the token must be for, for oidc
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Who must have issued the token, for oidc
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// The body, byte for byte as received [default: standard input]
    #[arg(value_name = "FILE")]
    body: Option<PathBuf>,
}

/// More than any webhook has.
const LIMIT: usize = 16 << 20;

/// More than any secret or key set has.
const SECRET_LIMIT: usize = 64 << 10;

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let check = Check::of(arguments)?;
    let body = read_input(arguments.body.as_deref(), LIMIT)?;
    let headers: HeaderMap = arguments.headers.iter().cloned().collect();
    let (method, target) = (&arguments.method, arguments.url.as_ref());
    let received = Received { method, target, headers: &headers, body: &body };
    let tolerance = Duration::from_secs(arguments.tolerance);
    let now = OffsetDateTime::now_utc();
    let checked = match &check {
        Check::Secret(signer) => signer.verify(&received, now, tolerance),
        Check::Authority(trust) => verify_message(&received, trust, now, tolerance),
        Check::Issuer(keys) => {
            let (audience, issuer) = (arguments.audience.as_deref(), arguments.issuer.as_deref());
            Wanted { keys, audience, issuer }.verify(&received, now, tolerance)
        }
    };
    match checked {
        Ok(()) => print(b"genuine\n"),
        Err(NotGenuine::NoTarget) => {
            Err(needs(arguments.scheme, "`--url`, the URL that was called"))
        }
        Err(error) => {
            Err(Failure::new(Exit::Failed, format!("pushbell: not genuine: {}", chain(&error))))
        }
    }
}

/// What it is checked with.
enum Check {
    Secret(Signer),
    Authority(Trust),
    Issuer(Vec<u8>),
}

impl Check {
    fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let scheme = arguments.scheme;
        let usage = |file: &Path, why: &dyn std::error::Error| {
            let message = format!("pushbell: {}: {}", file.display(), chain(why));
            Failure::new(Exit::Usage, message)
        };
        match scheme.means() {
            Means::Identity => {
                let ca = arguments.ca.as_ref().ok_or_else(|| needs(scheme, "`--ca`"))?;
                Trust::file(ca).map(Self::Authority).map_err(|error| usage(ca, &error))
            }
            Means::TokenFile => {
                let needed = || needs(scheme, "`--keys`, the issuer's key set");
                read(arguments.keys.as_ref().ok_or_else(needed)?).map(Self::Issuer)
            }
            Means::Secret => {
                let file = arguments.secret_file.as_ref();
                let file = file.ok_or_else(|| needs(scheme, "`--secret-file`"))?;
                let mut secret = read(file)?;
                if secret.ends_with(b"\n") {
                    secret.pop();
                }
                let settings = Settings {
                    username: arguments.username.clone(),
                    algorithm: arguments.algorithm,
                    header: arguments.in_header.clone(),
                    parameter: Some(arguments.parameter.clone()),
                    ..Settings::of(scheme, &Secret::new(secret))
                };
                Signer::read(settings).map(Self::Secret).map_err(|error| usage(file, &error))
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    read_input(Some(file), SECRET_LIMIT).map_err(|failure| Failure { exit: Exit::Usage, ..failure })
}

fn needs(scheme: Scheme, what: &str) -> Failure {
    Failure::new(Exit::Usage, format!("pushbell: `{}` needs {what}", scheme.as_str()))
}

fn algorithms() -> impl TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::as_str))
        .try_map(|word| Algorithm::of(&word).ok_or("no such digest"))
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
