//! What was written becomes what is accepted: defaults, references, combinations, files.
//!
//! Everything goes on after a mistake. A value that is `None` where one is required was either left out,
//! which is reported here, or could not be read, which was reported there; `Problems::touch` tells which.

mod acme;
mod endpoints;
mod identities;
mod listeners;
mod preset;
mod secrets;
mod sign;
mod template;

use std::path::Path;
use std::path::PathBuf;

use crate::outbox::Bounds;
use crate::registry::Layout;
use crate::secret::Secret;

use super::Config;
use super::Identity;
use super::Limits;
use super::Log;
use super::Look;
use super::Registry;
use super::Settle;
use super::Tls;
use super::env::Environment;
use super::env::Overrides;
use super::error::Located;
use super::error::Place;
use super::error::Problem;
use super::error::Problems;
use super::file;
use super::file::FileConfig;
use super::host::Name;
use super::read::Scalar;
use super::read::list;
use super::read::nearest;
use super::read::quoted;
use super::units::Count;
use super::units::FilePath;
use super::units::Period;
use super::units::Size;
use super::url::Upstream;
use super::words::IntentMode;
use super::words::LayoutName;
use super::words::Level;
use super::words::MethodName;
use super::words::OnFailure;

use self::listeners::Draft;

/// Whether there is a file, and where.
pub(super) enum Origin {
    /// There is; relative paths in it start at the directory.
    File { path: PathBuf, directory: PathBuf },
    /// The command line is all there is.
    NoFile,
}

/// The least that the outbox may be given of the disk.
const LEAST_DISK: u64 = 256 << 20;

/// Checks a whole configuration.
pub(super) fn check(
    file: FileConfig,
    origin: &Origin,
    overrides: &Overrides,
    environment: &Environment,
    problems: Problems,
) -> Result<Config, Problems> {
    let mut checker = Checker { origin, overrides, environment, problems };
    let state_directory = checker.state_directory(file.state);
    let identities = checker.identities(file.identities, state_directory.as_ref());
    let drafts = checker.listeners(file.listeners);
    let registry = file.registry.map(|registry| registry.value).unwrap_or_default();
    let name = checker.registry_name(registry.name.clone(), &drafts);
    let mut identities =
        checker.default_identity(identities, &drafts, &name, state_directory.as_ref());
    let listeners = checker.identified(drafts, &mut identities, name.as_ref());
    let registry = checker.registry(registry, name, &identities);
    let admin_token = file.admin.and_then(|admin| checker.admin_token(admin));
    let endpoints = checker.endpoints(file.endpoints, &identities);
    let shown: Vec<&str> = registry
        .iter()
        .map(|registry| &registry.tls)
        .chain(endpoints.iter().map(|endpoint| &endpoint.tls))
        .filter_map(|tls| tls.identity.as_ref().map(|identity| identity.value.as_str()))
        .collect();
    checker.reachable(&identities, &listeners, &shown);
    let limits = checker.limits(file.limits.map(|limits| limits.value).unwrap_or_default());
    let log = checker.log(file.log.map(|log| log.value).unwrap_or_default());
    let outbox = file.outbox.map(|outbox| outbox.value).unwrap_or_default();
    let bounds = checker.bounds(&outbox);
    let (on_failure, intent) = checker.outbox(outbox);
    let settle = checker.settle(file.settle.map(|settle| settle.value).unwrap_or_default());
    let (Some(registry), Some(state_directory)) = (registry, state_directory) else {
        return Err(checker.problems);
    };
    checker.problems.unless_any(Config {
        registry,
        identities,
        listeners,
        state_directory,
        on_failure,
        intent,
        bounds,
        settle,
        endpoints,
        admin_token,
        limits,
        log,
    })
}

struct Checker<'a> {
    origin: &'a Origin,
    overrides: &'a Overrides,
    environment: &'a Environment,
    problems: Problems,
}

impl Checker<'_> {
    fn wrong(&mut self, place: &Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.add(Problem::new(place.clone(), message, remedy));
    }

    /// Reports a key that must be there, unless the reason it is not was reported already.
    fn require<T>(
        &mut self,
        value: Option<T>,
        parent: &Place,
        name: &str,
        example: &str,
    ) -> Option<T> {
        let place = parent.below(name);
        if value.is_none() && !self.problems.touch(place.key()) {
            self.wrong(&place, format!("the key `{name}` is missing"), format!("write {example}"));
        }
        value
    }

    /// An option of the command line, read as the file's value would be.
    fn option<T: Scalar>(
        &mut self,
        option: &str,
        key: &str,
        text: Option<&str>,
    ) -> Option<Located<T>> {
        let place = Place::of(option);
        match T::parse(text?) {
            Ok(value) => Some(Located::new(value, place)),
            Err(wrong) => {
                self.problems.excuse(key.to_owned());
                self.wrong(&place, wrong.message, wrong.remedy);
                None
            }
        }
    }

    /// A path of the file starts where the file is.
    fn resolve(&self, path: &Path) -> PathBuf {
        match self.origin {
            Origin::File { directory, .. } => directory.join(path),
            Origin::NoFile => self.environment.directory.join(path),
        }
    }

    fn path(&self, path: Located<FilePath>) -> Located<PathBuf> {
        path.map(|path| self.resolve(Path::new(&path.0)))
    }

    /// A path of the command line starts where we were started.
    fn typed_path(&self, option: &str, path: &Path) -> Located<PathBuf> {
        Located::new(self.environment.directory.join(path), Place::of(option))
    }

    fn state_directory(&mut self, state: Option<Located<file::State>>) -> Option<Located<PathBuf>> {
        if let Some(path) = &self.overrides.state_directory {
            return Some(self.typed_path("--state-directory", path));
        }
        if let Some(path) = state.and_then(|state| state.value.directory) {
            return Some(self.path(path));
        }
        let place = Place::of("state.directory");
        let default = self.environment.state_directory();
        if default.is_none() && !self.problems.touch(place.key()) {
            let message = "there is no place for the state: neither `$STATE_DIRECTORY`, `$XDG_STATE_HOME` nor `$HOME` is set";
            let remedy =
                "write `state: { directory: /var/lib/pushbell }`, or give `--state-directory`";
            self.wrong(&place, message, remedy);
        }
        Some(Located::new(self.environment.directory.join(default?), place))
    }

    /// What clients type: what was said, or else the first address they can reach the registry at.
    fn registry_name(
        &mut self,
        written: Option<Located<Name>>,
        drafts: &[Draft],
    ) -> Option<Located<Name>> {
        let key = "registry.name";
        let typed = self.option("--registry-name", key, self.overrides.registry_name.as_deref());
        if typed.is_some() || written.is_some() {
            return typed.or(written);
        }
        if self.problems.touch(key) {
            return None;
        }
        let draft = drafts.iter().find(|draft| draft.serves_registry())?;
        let name = match (draft.default_name(), self.origin, &self.environment.hostname) {
            (Some(name), ..) => Some(name),
            (None, Origin::NoFile, Some(hostname)) => draft
                .port()
                .and_then(|port| Name::parse(&format!("{hostname}:{}", port.max(1))).ok())
                .map(|name| Name::new(name.host(), draft.port())),
            (None, ..) => None,
        };
        if name.is_none() {
            let address = quoted(&draft.address.to_string());
            let message = format!("clients cannot type {address}, so the registry needs a name");
            let remedy = match self.origin {
                Origin::File { .. } => {
                    "write `registry: { name: registry.example.com }`, what clients type"
                }
                Origin::NoFile => "give `--registry-name`, what clients type",
            };
            self.wrong(&draft.address.place, message, remedy);
        }
        Some(Located::new(name?, draft.address.place.clone()))
    }

    fn registry(
        &mut self,
        written: file::Registry,
        name: Option<Located<Name>>,
        identities: &[Identity],
    ) -> Option<Registry> {
        let key = "registry.upstream";
        let typed = self.option("--upstream", key, self.overrides.upstream.as_deref());
        let upstream: Option<Located<Upstream>> = typed.or(written.upstream);
        if upstream.is_none() && !self.problems.touch(key) {
            let message = "nothing says where the registry is";
            let problem = match self.origin {
                Origin::File { path, .. } => Problem::new(
                    Place::of(key),
                    format!("{message}: `{key}` is missing in {}", path.display()),
                    "write `registry: { upstream: http://127.0.0.1:5000 }`, or give `--upstream`",
                ),
                Origin::NoFile => Problem::anywhere(
                    message,
                    "give `--upstream http://127.0.0.1:5000`, or a file with `--config`",
                ),
            };
            self.problems.add(problem);
        }
        let plain = upstream.as_ref().is_some_and(|u| !matches!(u.value, Upstream::Https { .. }));
        if let Some(tls) = written.upstream_tls.as_ref().filter(|_| plain) {
            let message = "`upstream_tls` is of no use: the upstream is not an `https://` URL";
            self.wrong(&tls.place, message, "write the upstream as `https://…`, or remove the key");
        }
        let upstream = upstream.map(|upstream| {
            upstream.map(|upstream| match upstream {
                Upstream::Unix(path) => Upstream::Unix(self.resolve(&path)),
                other => other,
            })
        });
        let tls = self.tls(written.upstream_tls, identities);
        let look = written.look.and_then(|look| self.look(look));
        let layout = self.layout(written.layout, written.artifactory);
        let serialize_tag = written.serialize_tag.is_some_and(|wanted| wanted.value);
        Some(Registry {
            name: name?,
            upstream: upstream?,
            tls,
            look,
            layout: layout?,
            serialize_tag,
        })
    }

    fn layout(
        &mut self,
        layout: Option<Located<LayoutName>>,
        written: Option<Located<file::Artifactory>>,
    ) -> Option<Layout> {
        if layout.is_none() && self.problems.touch("registry.layout") {
            return None;
        }
        if layout.is_none_or(|layout| layout.value == LayoutName::Plain) {
            if let Some(written) = written {
                let message = "`artifactory` is of no use: the layout is `plain`";
                let remedy = "write `layout: artifactory`, or remove the key";
                self.wrong(&written.place, message, remedy);
            }
            return Some(Layout::Plain);
        }
        let Some(Located { value, place }) = written else {
            return Some(Layout::Artifactory { key: None });
        };
        let method = value.method.map_or(MethodName::RepositoryPath, |method| method.value);
        let key = match method {
            MethodName::RepositoryPath => None,
            MethodName::Subdomain | MethodName::Port => {
                let example =
                    "`repository_key: docker-local`, the one that this host or port is for";
                Some(self.require(value.repository_key, &place, "repository_key", example)?.value)
            }
        };
        Some(Layout::Artifactory { key })
    }

    fn look(&mut self, look: Located<file::Look>) -> Option<Look> {
        let Located { value, place } = look;
        let username = self.require(value.username, &place, "username", "`username: reader`");
        if let Some(name) = username.as_ref().filter(|name| name.contains(':')) {
            let message = "a user name with a `:` cannot be sent";
            self.wrong(&name.place, message, "use an account without one");
        }
        let password = self.secret(&place, "password", value.password_file, value.password_env);
        let realms = value.realms.unwrap_or_default();
        for realm in &realms {
            let local = matches!(realm.uri().host(), Some("localhost" | "127.0.0.1" | "[::1]"));
            if !realm.is_https() && !local {
                let message = "a password would be sent there without encryption";
                self.wrong(&realm.place, message, "write an `https://` URL");
            }
        }
        Some(Look { username: username?.value, password: password?.value, realms })
    }

    /// The token that was said; where nothing is, one is made at the first start.
    fn admin_token(&mut self, admin: Located<file::Admin>) -> Option<Located<Secret>> {
        let Located { value, place } = admin;
        if value.token_file.is_none() && value.token_env.is_none() {
            return None;
        }
        let token = self.secret(&place, "token", value.token_file, value.token_env)?;
        if token.expose().len() < 16 || !token.expose().iter().all(u8::is_ascii_graphic) {
            let message =
                "the token is shorter than 16 characters, or has one that no header can carry";
            self.wrong(&token.place, message, "make one with `openssl rand -hex 32`");
        }
        Some(token)
    }

    fn tls(&mut self, tls: Option<Located<file::Tls>>, identities: &[Identity]) -> Tls {
        let Some(tls) = tls else {
            return Tls::default();
        };
        let ca = tls.value.ca.map(|path| self.path(path));
        let identity = tls.value.identity;
        if let Some(identity) = &identity {
            self.known_identity(identity, identities);
        }
        Tls { ca, identity }
    }

    /// Reports a name that no identity has.
    fn known_identity(&mut self, name: &Located<String>, identities: &[Identity]) {
        let names: Vec<&str> = identities.iter().map(|identity| identity.name.as_str()).collect();
        let reported = self.problems.touch(&format!("identities.{}", name.value));
        if names.contains(&name.as_str()) || reported {
            return;
        }
        let remedy = match (nearest(name, &names), &names[..]) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, []) => format!(
                "write `identities: {{ {}: {{ local_ca: {{ names: [localhost] }} }} }}`",
                name.value
            ),
            (None, names) => format!("the identities are {}", list(names)),
        };
        self.wrong(&name.place, format!("there is no identity {}", quoted(name)), remedy);
    }

    fn limits(&mut self, written: file::Limits) -> Limits {
        let default = Limits::default();
        let count =
            |value: Option<Located<Count>>, default| value.map_or(default, |v| v.0 as usize);
        let period = |value: Option<Located<Period>>, default| value.map_or(default, |v| v.0);
        let size = |value: &Option<Located<Size>>, default| {
            value.as_ref().map_or(default, |v| usize::try_from(v.0).unwrap_or(usize::MAX))
        };
        let limits = Limits {
            connections: count(written.connections, default.connections),
            handshakes: count(written.handshakes, default.handshakes),
            handshake: period(written.handshake, default.handshake),
            request_head: period(written.request_head, default.request_head),
            idle: period(written.idle, default.idle),
            body_idle: period(written.body_idle, default.body_idle),
            upstream_connect: period(written.upstream_connect, default.upstream_connect),
            upstream_manifest: period(written.upstream_manifest, default.upstream_manifest),
            upstream_write: period(written.upstream_write, default.upstream_write),
            manifest_copy_bytes: size(&written.manifest_copy, default.manifest_copy_bytes),
            manifest_copies_bytes: size(&written.manifest_copies, default.manifest_copies_bytes),
            memory_budget_bytes: size(&written.memory_budget, default.memory_budget_bytes),
            drain: period(written.drain, default.drain),
        };
        let place = written.manifest_copies.or(written.manifest_copy).map(|size| size.place);
        if let Some(place) = place
            && limits.manifest_copy_bytes > limits.manifest_copies_bytes
        {
            let message = "one copy of a manifest may be larger than all copies together";
            let remedy = "write a `manifest_copies` of at least `manifest_copy`";
            self.wrong(&place, message, remedy);
        }
        limits
    }

    fn outbox(&mut self, written: file::Outbox) -> (OnFailure, IntentMode) {
        let on_failure = written.on_failure.map_or(OnFailure::Pass, |word| word.value);
        let intent = written.intent.as_ref().map_or(IntentMode::Sync, |word| word.value);
        if let Some(Located { value: IntentMode::Off, place }) = written.intent
            && on_failure == OnFailure::Reject
        {
            let message =
                "nothing can be refused in time where nothing is kept before the registry has it";
            self.wrong(&place, message, "write `sync`, or `on_failure: pass`");
        }
        (on_failure, intent)
    }

    fn bounds(&mut self, written: &file::Outbox) -> Bounds {
        let default = Bounds::default();
        let period = |value: &Option<Located<Period>>, default| {
            value.as_ref().map_or(default, |v| v.value.0)
        };
        let count =
            |value: &Option<Located<Count>>, default| value.as_ref().map_or(default, |v| v.value.0);
        if let Some(disk) = written.max_disk.as_ref().filter(|disk| disk.value.0 < LEAST_DISK) {
            let message = "its log, its reserve and a few thousand events need more room than that";
            self.wrong(&disk.place, message, "write at least `256MiB`");
        }
        Bounds {
            max_owed: written.max_owed.as_ref().map_or(default.max_owed, |v| u64::from(v.value.0)),
            max_age: period(&written.max_age, default.max_age),
            keep_history: period(&written.keep_history, default.keep_history),
            keep_dead: period(&written.keep_dead, default.keep_dead),
            keep_attempts: count(&written.keep_attempts, default.keep_attempts),
            max_disk_bytes: written.max_disk.as_ref().map_or(default.max_disk_bytes, |v| v.value.0),
        }
    }

    fn settle(&mut self, written: file::Settle) -> Settle {
        let default = Settle::default();
        let period = |value: Option<Located<Period>>, default| value.map_or(default, |v| v.0);
        let first_look = written.first_look.as_ref().map_or(default.first_look, |v| v.value.0);
        let give_up = period(written.give_up, default.give_up);
        if let Some(Located { place, .. }) = written.first_look
            && first_look > give_up
        {
            let message = "it would be given up before the first look";
            self.wrong(
                &place,
                message,
                "write less than `settle.give_up`, which is 15m by default",
            );
        }
        Settle { first_look, give_up }
    }

    fn log(&mut self, written: file::Log) -> Log {
        let level = self.option("--log-level", "log.level", self.overrides.log_level.as_deref());
        let format =
            self.option("--log-format", "log.format", self.overrides.log_format.as_deref());
        Log {
            level: level.or(written.level).map_or(Level::Info, |level| level.value),
            format: format.or(written.format).map(|format| format.value),
        }
    }
}

/// Names of endpoints and identities end up in file names, metrics and addresses.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && text.len() <= 64 && text.bytes().all(plain)
}

/// What [`is_name`] asks for, in words.
const NAME_REMEDY: &str = "use up to 64 letters, digits, `.`, `_` and `-`, a letter or digit first";
