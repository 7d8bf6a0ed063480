//! What the operator wrote, then what we accepted.
//!
//! [`Config::load`] reads `pushbell.yaml`, lets the command line go before it, fills in defaults, and
//! checks everything that can be checked without opening a socket: grammar, references, combinations,
//! secrets. It reports all that is wrong at once, each with its place. What can only fail later, such as
//! a certificate that does not load, is [`Located`], so that whoever finds out adds a [`Problem`] to the
//! same [`Problems`].
//!
//! The way of a file: `tree` makes nodes with places of the text, `read` and `file` make structs of the
//! nodes, `check` makes a [`Config`] of the structs. Nothing is substituted in the text, no secret stands
//! in it, and the environment is not read here but handed in.

mod address;
mod check;
mod env;
mod error;
mod file;
mod host;
mod read;
mod schema;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod url;
mod words;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::HeaderValue;

use crate::delivery::Answers;
use crate::delivery::Dialect;
use crate::delivery::Names;
use crate::delivery::Preset;
use crate::delivery::Template;
use crate::delivery::sign::Algorithm;
use crate::delivery::sign::Scheme;
use crate::event::Filter;
use crate::event::filter::Patterns;
use crate::ingest::Wanted;
use crate::ingest::auth::Credential;
use crate::ingest::auth::Scheme as Shown;
use crate::listener::Network;
use crate::outbox::Bounds;
use crate::pairing::Rules;
use crate::registry::Layout;
use crate::secret::Secret;

use self::check::Origin;
use self::file::FileConfig;
use self::read::At;
use self::read::Read as _;
use self::read::Reader;
use self::source::Mark;
use self::source::Source;

pub use self::address::Address;
pub use self::env::Environment;
pub use self::env::Overrides;
pub use self::error::Located;
pub use self::error::Paint;
pub use self::error::Place;
pub use self::error::Problem;
pub use self::error::Problems;
pub use self::host::Name;
pub use self::schema::schema;
pub use self::units::Rate;
pub use self::url::Upstream;
pub use self::url::Url;
pub use self::words::Challenge;
pub use self::words::Format;
pub use self::words::IngestMode;
pub use self::words::IntentMode;
pub use self::words::LayoutName;
pub use self::words::Level;
pub use self::words::MethodName;
pub use self::words::OnFailure;
pub use self::words::Serve;

/// Bytes of a configuration file; a larger one is refused.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Everything that was said, checked. Paths are absolute, or as absolute as the working directory.
#[derive(Debug, Clone)]
pub struct Config {
    /// The registry we stand in front of.
    pub registry: Registry,
    /// Certificates by name.
    pub identities: Vec<Identity>,
    /// Where we listen; at least one listener serves the registry.
    pub listeners: Vec<Listener>,
    /// Where events are kept.
    pub state_directory: Located<PathBuf>,
    /// What becomes of a push whose event the outbox cannot take.
    pub on_failure: OnFailure,
    /// What is kept of a push before the registry has all of it.
    pub intent: IntentMode,
    /// How much is kept, and for how long.
    pub bounds: Bounds,
    /// How it is found out what became of a push whose answer nobody saw.
    pub settle: Settle,
    /// Who tells us.
    pub sources: Vec<NotificationSource>,
    /// How what we are told is paired with what we see.
    pub pairing: Rules,
    /// Who is told.
    pub endpoints: Vec<Endpoint>,
    /// What operators have to know; one of our own making in the state directory, where nothing is said.
    pub admin_token: Option<Located<Secret>>,
    /// How long, how many and how much at most.
    pub limits: Limits,
    /// Further names under which the pages for operators answer.
    pub admin_hosts: Vec<String>,
    /// What is logged.
    pub log: Log,
}

/// The registry we stand in front of.
#[derive(Debug, Clone)]
pub struct Registry {
    /// What clients type. Port zero: see [`Name::bound`].
    pub name: Located<Name>,
    /// Where it is.
    pub upstream: Located<Upstream>,
    /// Trust and identity towards it; empty unless it is `https`.
    pub tls: Tls,
    /// The account of our own looks.
    pub look: Option<Look>,
    /// How its paths name repositories.
    pub layout: Layout,
    /// Whether a push waits for the answer to another of the same tag.
    pub serialize_tag: bool,
}

/// Trust and identity towards a server.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM file of the CA certificates trusted; the system's, where nothing is said.
    pub ca: Option<Located<PathBuf>>,
    /// Name of one of [`Config::identities`].
    pub identity: Option<Located<String>>,
}

/// An account that may read.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Who may have it beside the registry, for tokens.
    pub realms: Vec<Located<Url>>,
}

/// A certificate, and where it comes from.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What listeners and endpoints call it.
    pub name: Located<String>,
    /// Where it comes from.
    pub origin: IdentityOrigin,
}

/// Where a certificate comes from.
#[derive(Debug, Clone)]
pub enum IdentityOrigin {
    /// A CA of our own makes it.
    LocalCa {
        /// Host names and addresses, in the form certificates hold them; the first label can be `*`.
        names: Vec<String>,
        /// Where the CA is.
        directory: Located<PathBuf>,
    },
    /// A CA issues it over the network.
    Acme(Acme),
    /// Somebody puts it in place.
    Files {
        /// PEM file of the chain.
        certificate: Located<PathBuf>,
        /// PEM file of the key.
        key: Located<PathBuf>,
    },
}

/// A CA that issues certificates over the network (RFC 8555).
#[derive(Debug, Clone)]
pub struct Acme {
    /// Its directory, an `https` URL.
    pub directory: Located<Url>,
    /// Host names, in lower case and without wildcards.
    pub names: Vec<String>,
    /// Whom it may write to.
    pub contact: Option<String>,
    /// How it sees that the names are ours.
    pub challenge: Challenge,
    /// PEM file of the CA certificates trusted for the directory; the system's, where nothing is said.
    pub ca: Option<Located<PathBuf>>,
    /// The account that it asks for.
    pub external_account: Option<ExternalAccount>,
    /// Where its state and the certificate are.
    pub files: PathBuf,
}

/// An account that a CA has made before.
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// Its name.
    pub key_id: String,
    /// Its key, decoded.
    pub key: Secret,
}

/// Where we listen, and what for.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The address.
    pub address: Located<Address>,
    /// What is served there, at least one thing.
    pub serves: Vec<Serve>,
    /// Name of one of [`Config::identities`]; none is plain HTTP, and then the address is local.
    pub identity: Option<Located<String>>,
    /// Further ones, for clients that ask for a name they cover.
    pub further_identities: Vec<Located<String>>,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
}

/// Who tells us of events.
#[derive(Debug, Clone)]
pub struct NotificationSource {
    /// Its name, unlike every other's.
    pub name: Located<String>,
    /// The format of its notifications.
    pub kind: Wanted,
    /// What it must show, all of it; nothing only if the operator insisted.
    pub credentials: Vec<Credential>,
    /// Where the secret of each is, in words.
    pub shows: Vec<(Shown, String)>,
    /// The registry it speaks for; ours, where nothing is said.
    pub registry: Option<String>,
    /// The repositories it may speak for.
    pub repositories: Patterns,
}

/// Who is told, and of what.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name, unlike every other's.
    pub name: Located<String>,
    /// Where events are posted. `http` only if the operator insisted.
    pub url: Located<Url>,
    /// The body and headers it expects; the preset's, if there is one.
    pub dialect: Dialect,
    /// What the operator wrote instead of a dialect.
    pub template: Option<Arc<Template>>,
    /// Completes the path of the URL; whoever connects there does that.
    pub preset: Option<Preset>,
    /// Which events it gets.
    pub when: Filter,
    /// Trust and identity towards it.
    pub tls: Tls,
    /// An HTTP proxy on the way there.
    pub proxy: Option<Proxy>,
    /// How attempts are signed, if they are.
    pub sign: Option<Sign>,
    /// What it calls the registry and its repositories.
    pub names: Names,
    /// How its answers are read.
    pub answers: Answers,
    /// Further headers of every attempt.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Attempts at the same time.
    pub concurrency: usize,
    /// Attempts in a time; as many as it takes, where nothing is said.
    pub rate: Option<Rate>,
    /// Whether a newer event of a tag takes the place of an older one that is not taken yet.
    pub latest_only: bool,
}

impl Listener {
    /// Every identity it serves with, the default first.
    pub fn all_identities(&self) -> impl Iterator<Item = &Located<String>> {
        self.identity.iter().chain(&self.further_identities)
    }
}

/// An HTTP proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where it is; no path.
    pub url: Located<Url>,
    /// Whom to trust to be it, where it speaks TLS.
    pub ca: Option<Located<PathBuf>>,
    /// User name and password, where it wants them.
    pub account: Option<Look>,
}

/// How a receiver knows that an attempt is ours. What its scheme has no use for is not there.
#[derive(Debug, Clone)]
pub struct Sign {
    /// The scheme.
    pub scheme: Scheme,
    /// Where it was said.
    pub place: Place,
    /// What is signed with, or shown; its own grammar is the scheme's to check.
    pub secret: Option<Located<Secret>>,
    /// The name that goes with a password.
    pub username: Option<String>,
    /// The digest, where the receiver leaves the choice.
    pub algorithm: Algorithm,
    /// The header, if not the scheme's own.
    pub header: Option<HeaderName>,
    /// The parameter of the query, if not the usual one.
    pub parameter: Option<String>,
    /// Where somebody keeps a token.
    pub token_file: Option<Located<PathBuf>>,
    /// Name of one of [`Config::identities`].
    pub identity: Option<Located<String>>,
}

/// How long, how many and how much at most; delivery guarantees, 8.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, over all listeners.
    pub connections: usize,
    /// TLS handshakes at the same time.
    pub handshakes: usize,
    /// For a handshake.
    pub handshake: Duration,
    /// For the head of a request, from its first byte on.
    pub request_head: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// Without progress in a body, either way.
    pub body_idle: Duration,
    /// For connecting to upstream.
    pub upstream_connect: Duration,
    /// For upstream's answer to a manifest.
    pub upstream_manifest: Duration,
    /// For upstream's answer to any other write.
    pub upstream_write: Duration,
    /// Bytes of one copy of a manifest.
    pub manifest_copy_bytes: usize,
    /// Bytes of all such copies.
    pub manifest_copies_bytes: usize,
    /// Bytes that clients of HTTP/2 may send ahead, together.
    pub memory_budget_bytes: usize,
    /// From the signal to stop to the end.
    pub drain: Duration,
}

/// How it is found out what became of a push whose answer nobody saw; delivery guarantees, 3.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// From the end of the exchange, or from the start, to the first look.
    pub first_look: Duration,
    /// When nobody will ever know.
    pub give_up: Duration,
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least that is logged.
    pub level: Level,
    /// How a line is written; nothing was said: text on a terminal, JSON elsewhere.
    pub format: Option<Format>,
}

impl Default for Settle {
    fn default() -> Self {
        Self { first_look: Duration::from_secs(2), give_up: Duration::from_secs(15 * 60) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshakes: 1000,
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_idle: Duration::from_secs(60),
            upstream_connect: Duration::from_secs(5),
            upstream_manifest: Duration::from_secs(120),
            upstream_write: Duration::from_secs(900),
            manifest_copy_bytes: 4 << 20,
            manifest_copies_bytes: 64 << 20,
            memory_budget_bytes: 512 << 20,
            drain: Duration::from_secs(25),
        }
    }
}

impl Config {
    /// Reads a file; the command line goes before it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file and the command line.
    pub fn load(
        path: &Path,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Self, Problems> {
        let bytes = read_file(&environment.directory.join(path), path)?;
        Self::parse(path, bytes, overrides, environment)
    }

    /// What the command line alone says, with a default for all else.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the command line.
    pub fn without_file(
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Self, Problems> {
        let file = FileConfig::default();
        check::check(file, &Origin::NoFile, overrides, environment, Problems::default())
    }

    /// The identity of that name.
    #[must_use]
    pub fn identity(&self, name: &str) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.name.value == name)
    }

    /// Whether we show the identity of that name to a server that asks who we are.
    #[must_use]
    pub fn shows_to_servers(&self, name: &str) -> bool {
        let ours = |tls: &Tls| tls.identity.as_ref().is_some_and(|shown| shown.value == name);
        ours(&self.registry.tls) || self.endpoints.iter().any(|endpoint| ours(&endpoint.tls))
    }

    fn parse(
        path: &Path,
        bytes: Vec<u8>,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Self, Problems> {
        let text = utf8(path, bytes)?;
        let mut problems = Problems::default();
        let file = match tree::parse(&text) {
            Ok(None) => FileConfig::default(),
            Ok(Some(node)) => {
                let source = Arc::new(Source::new(path, text, node.hidden()));
                let at = At::new(&node, String::new());
                let mut reader = Reader { source, problems: &mut problems };
                FileConfig::read(&at, &mut reader).unwrap_or_default()
            }
            Err(unreadable) => {
                let text = source::harmless_lines(&text);
                let source = Arc::new(Source::new(path, text, Vec::new()));
                let place = Place::in_file(&source, unreadable.mark, "");
                problems.add(Problem::new(place, unreadable.message, unreadable.remedy));
                return Err(problems);
            }
        };
        let directory = environment.directory.join(path);
        let directory = directory.parent().unwrap_or(&environment.directory).to_owned();
        let origin = Origin::File { path: path.to_owned(), directory };
        check::check(file, &origin, overrides, environment, problems)
    }
}

fn read_file(path: &Path, shown: &Path) -> Result<Vec<u8>, Problems> {
    let wrong = |message: String, remedy: &str| {
        let mut problems = Problems::default();
        problems.add(Problem::anywhere(message, remedy));
        problems
    };
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let message = format!("could not read the configuration file {}: {error}", shown.display());
        return Err(wrong(message, "name a file that can be read with `--config`"));
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("the configuration file {} is larger than 1 MiB", shown.display());
        return Err(wrong(message, "name the right file with `--config`"));
    }
    Ok(bytes)
}

fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String, Problems> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let valid = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let text = source::harmless_lines(&String::from_utf8_lossy(error.as_bytes()));
    let source = Arc::new(Source::new(path, text, Vec::new()));
    let place = Place::in_file(&source, Mark { line, column, width: 1 }, "");
    let mut problems = Problems::default();
    problems.add(Problem::new(place, "the file is not UTF-8 here", "save it as UTF-8"));
    Err(problems)
}
