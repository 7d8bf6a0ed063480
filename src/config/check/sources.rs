//! Who tells us of events, and what of it is believed.

use std::path::Path;
use std::time::Duration;

use crate::config::Listener;
use crate::config::NotificationSource;
use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::file;
use crate::config::read::quoted;
use crate::config::words::IngestMode;
use crate::config::words::Serve;
use crate::event::Origin;
use crate::ingest;
use crate::ingest::auth::Credential;
use crate::ingest::auth::Scheme;
use crate::pairing::Mode;
use crate::pairing::Rules;
use crate::secret::Secret;

use super::Checker;
use super::NAME_REMEDY;
use super::is_name;

/// The longest that a notification may wait: its sender was told that it is taken.
const MAX_HOLD: Duration = Duration::from_secs(600);

/// The registry that Docker Hub's notifications are about.
const DOCKER_HUB: &str = "docker.io";

impl Checker<'_> {
    pub(super) fn sources(
        &mut self,
        written: Option<Located<Vec<Located<file::Source>>>>,
        listeners: &[Listener],
    ) -> Vec<NotificationSource> {
        let place = written.as_ref().map(|sources| sources.place.clone());
        let written = written.map(|sources| sources.value).unwrap_or_default();
        let mut names: Vec<Located<String>> = Vec::new();
        let mut sources = Vec::new();
        let any = !written.is_empty();
        for source in written {
            if let Some(name) = &source.value.name {
                self.source_name(name, &names);
                names.push(name.clone());
            }
            sources.extend(self.source(source));
        }
        let hooks = listeners.iter().find(|listener| listener.serves.contains(&Serve::Hooks));
        if self.problems.touch("listeners") || self.problems.touch("sources") {
            return sources;
        }
        match (hooks, place) {
            (None, Some(place)) if any => {
                let message = "no listener serves `hooks`, so nothing could arrive";
                let remedy = "write `- { address: \"127.0.0.1:8443\", serve: [hooks] }` among the listeners; with an `identity` it may listen anywhere";
                self.wrong(&place, message, remedy);
            }
            (Some(listener), _) if !any => {
                let message = "`hooks` is served, and there is no source that could speak there";
                let remedy = "write `sources: [{ name: from-registry, kind: distribution, auth: { bearer_file: … } }]`";
                self.wrong(&listener.address.place, message, remedy);
            }
            _ => {}
        }
        sources
    }

    pub(super) fn pairing(
        &mut self,
        written: file::Match,
        ingest: &file::Ingest,
        working: Duration,
    ) -> Rules {
        let default = Rules::default();
        let hold = written.hold.as_ref().map_or(default.hold, |hold| hold.value.0);
        if let Some(Located { place, .. }) = written.hold.filter(|_| hold > MAX_HOLD) {
            let message = "a notification that waits so long is no news any more";
            self.wrong(&place, message, "write at most `10m`");
        }
        Rules {
            skew: written.skew.map_or(default.skew, |skew| skew.value.0),
            hold,
            memory: written.memory.map_or(default.memory, |memory| memory.value.0),
            working,
            mode: match ingest.mode.as_ref().map(|mode| mode.value) {
                Some(IngestMode::Evidence) => Mode::Evidence,
                Some(IngestMode::Events) | None => Mode::Events,
            },
        }
    }

    fn source_name(&mut self, name: &Located<String>, before: &[Located<String>]) {
        let shown = quoted(name);
        if !is_name(name) {
            self.wrong(&name.place, format!("{shown} is no name for a source"), NAME_REMEDY);
        } else if Origin::of(name).is_some() {
            let message = format!("{shown} is what events call a witness of our own");
            self.wrong(&name.place, message, "write another name, such as `from-registry`");
        } else if let Some(first) = before.iter().find(|first| first.value == name.value) {
            let line = first.place.line().unwrap_or_default();
            let message = format!("the source on line {line} is called {shown} already");
            self.wrong(&name.place, message, "give each source a name of its own");
        }
    }

    fn source(&mut self, source: Located<file::Source>) -> Option<NotificationSource> {
        let Located { value, place } = source;
        let name = self.require(value.name, &place, "name", "`name: from-registry`");
        let kind = self.require(value.kind, &place, "kind", "`kind: distribution`");
        let anonymous = value.insecure_anonymous.filter(|allowed| allowed.value);
        let shows = value.auth.as_ref().map(|auth| self.shows(&auth.value)).unwrap_or_default();
        let credentials = match (value.auth, anonymous) {
            (Some(_), Some(anonymous)) => {
                let message = "a source that shows who it is is not anonymous";
                self.wrong(&anonymous.place, message, "remove one of the two");
                None
            }
            (Some(auth), None) => self.credentials(auth),
            (None, Some(_)) => Some(Vec::new()),
            (None, None) if self.problems.touch(place.below("auth").key()) => None,
            (None, None) => {
                let message = "anybody could speak for this source";
                let remedy = "write `auth: { bearer_file: … }`; or `insecure_anonymous: true`, and everybody who reaches the listener is believed";
                self.wrong(&place.below("auth"), message, remedy);
                None
            }
        };
        let repositories = self.patterns(value.repositories);
        let kind = kind?.value;
        Some(NotificationSource {
            name: name?,
            kind,
            credentials: credentials?,
            shows,
            registry: match (value.registry, kind) {
                (Some(registry), _) => Some(registry.value.to_string()),
                (None, ingest::Kind::DockerHub) => Some(DOCKER_HUB.to_owned()),
                (None, _) => None,
            },
            repositories,
        })
    }

    /// Where its secrets are, in words.
    fn shows(&self, auth: &file::SourceAuth) -> Vec<(Scheme, String)> {
        let basic = auth.basic.as_ref().map(|basic| &basic.value);
        let mut shows = Vec::new();
        for (scheme, file, variable) in [
            (Scheme::Bearer, auth.bearer_file.as_ref(), auth.bearer_env.as_ref()),
            (Scheme::PathToken, auth.path_token_file.as_ref(), auth.path_token_env.as_ref()),
            (
                Scheme::Basic,
                basic.and_then(|basic| basic.password_file.as_ref()),
                basic.and_then(|basic| basic.password_env.as_ref()),
            ),
        ] {
            if let Some(file) = file {
                let path = self.resolve(Path::new(&file.value.0));
                shows.push((scheme, path.display().to_string()));
            } else if let Some(variable) = variable {
                shows.push((scheme, format!("${}", variable.value)));
            }
        }
        shows
    }

    /// Everything that the source must show.
    fn credentials(&mut self, auth: Located<file::SourceAuth>) -> Option<Vec<Credential>> {
        let Located { value, place } = auth;
        let mut credentials = Vec::new();
        let mut asked = false;
        if value.bearer_file.is_some() || value.bearer_env.is_some() {
            asked = true;
            let secret = self.secret(&place, "bearer", value.bearer_file, value.bearer_env);
            credentials.extend(secret.and_then(|secret| self.bearer(secret)));
        }
        if value.path_token_file.is_some() || value.path_token_env.is_some() {
            asked = true;
            let (file, variable) = (value.path_token_file, value.path_token_env);
            if let Some(secret) = self.secret(&place, "path_token", file, variable) {
                let at = secret.place.clone();
                match Credential::path_token(&one(secret)) {
                    Ok(credential) => credentials.push(credential),
                    Err(error) => {
                        let remedy = "make one with `openssl rand -hex 32`";
                        self.wrong(&at, error.to_string(), remedy);
                    }
                }
            }
        }
        if let Some(basic) = value.basic {
            asked = true;
            credentials.extend(self.basic(basic));
        }
        if !asked && !self.problems.touch(place.key()) {
            let message = "`auth` names nothing that the source would have to show";
            let remedy = "write `bearer_file`, `path_token_file` or `basic`";
            self.wrong(&place, message, remedy);
        }
        (!credentials.is_empty()).then_some(credentials)
    }

    fn bearer(&mut self, secret: Located<Secret>) -> Option<Credential> {
        let at = secret.place.clone();
        match Credential::bearer(&one(secret)) {
            Ok(credential) => Some(credential),
            Err(error) => {
                self.wrong(&at, error.to_string(), "give it another secret");
                None
            }
        }
    }

    fn basic(&mut self, basic: Located<file::Basic>) -> Option<Credential> {
        let Located { value, place } = basic;
        let username = self.require(value.username, &place, "username", "`username: registry`");
        let password = self.secret(&place, "password", value.password_file, value.password_env);
        let username = username?;
        match Credential::basic(&username, &one(password?)) {
            Ok(credential) => Some(credential),
            Err(error) => {
                self.wrong(&username.place, error.to_string(), "use another name");
                None
            }
        }
    }

    /// That notifications are paired makes sense only where there are any.
    pub(super) fn of_no_use(
        &mut self,
        key: &str,
        place: Option<Place>,
        sources: &[NotificationSource],
    ) {
        if let Some(place) = place.filter(|_| sources.is_empty())
            && !self.problems.touch("sources")
        {
            let message = format!("`{key}` is of no use: there are no sources");
            self.wrong(&place, message, "write `sources: […]`, or remove the key");
        }
    }
}

fn one(secret: Located<Secret>) -> [Secret; 1] {
    [secret.value]
}
