//! Who tells us of events, and what of it is believed.

use std::path::Path;
use std::time::Duration;

use http::HeaderName;

use crate::config::Listener;
use crate::config::NotificationSource;
use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::file;
use crate::config::read::quoted;
use crate::config::units::FilePath;
use crate::config::words::IngestMode;
use crate::config::words::Serve;
use crate::event::Origin;
use crate::ingest::Kind;
use crate::ingest::Wanted;
use crate::ingest::auth::Credential;
use crate::ingest::auth::InvalidCredential;
use crate::ingest::auth::Keys;
use crate::ingest::auth::Scheme;
use crate::pairing::Mode;
use crate::pairing::Rules;
use crate::secret::Secret;

use super::Checker;
use super::NAME_REMEDY;
use super::is_name;

/// The longest that a notification may wait: its sender was told that it is taken.
const MAX_HOLD: Duration = Duration::from_secs(600);

/// The most secrets of one source; a change of them needs two.
const MAX_SECRETS: usize = 16;

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
        let credentials = match (value.auth, anonymous) {
            (Some(_), Some(anonymous)) => {
                let message = "a source that shows who it is is not anonymous";
                self.wrong(&anonymous.place, message, "remove one of the two");
                None
            }
            (Some(auth), None) => self.credentials(auth, kind.as_ref().map(|kind| kind.value)),
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
        let (credentials, places): (Vec<_>, Vec<_>) = credentials?.into_iter().unzip();
        let shows = credentials.iter().map(Credential::scheme).zip(places).collect();
        Some(NotificationSource {
            name: name?,
            kind,
            credentials,
            shows,
            registry: match (value.registry, kind) {
                (Some(registry), _) => Some(registry.value.to_string()),
                (None, Wanted::Kind(kind)) => kind.registry().map(str::to_owned),
                (None, Wanted::Auto) => None,
            },
            repositories,
        })
    }

    /// Everything that the source must show, and where the secret of each is, in words.
    fn credentials(
        &mut self,
        auth: Located<file::SourceAuth>,
        kind: Option<Wanted>,
    ) -> Option<Vec<(Credential, String)>> {
        let Located { value, place } = auth;
        let mut asked = Vec::new();
        let mut credentials = Vec::new();
        let header = self.header_name(value.header_name, kind);
        for (scheme, file, variable) in [
            (Scheme::Bearer, value.bearer_file, value.bearer_env),
            (Scheme::Header, value.header_file, value.header_env),
            (Scheme::Signature, value.signature_file, value.signature_env),
            (Scheme::PathToken, value.path_token_file, value.path_token_env),
            (Scheme::StandardWebhooks, value.standard_webhooks_file, value.standard_webhooks_env),
        ] {
            let given = [file.as_ref().map(|f| &f.place), variable.as_ref().map(|v| &v.place)];
            let Some(given) = given.into_iter().flatten().next().cloned() else { continue };
            asked.push((scheme, given));
            let shown = self.shown(file.as_ref(), variable.as_ref());
            let Some(secret) = self.secret(&place, scheme.as_str(), file, variable) else {
                continue;
            };
            let at = secret.place.clone();
            let secrets = self.several(secret);
            let credential = match (scheme, kind, &header) {
                (Scheme::Bearer, ..) => Credential::bearer(&secrets),
                (Scheme::Header, _, Some(Header { name, .. })) => {
                    Credential::header(name.clone(), &secrets)
                }
                (Scheme::Signature, Some(Wanted::Kind(kind)), _) if signs(kind) => {
                    Credential::signature(kind, &secrets)
                }
                (Scheme::PathToken, ..) => Credential::path_token(&secrets),
                (Scheme::StandardWebhooks, ..) => Credential::standard_webhooks(&secrets),
                _ => continue,
            };
            let remedy = match scheme {
                Scheme::PathToken => "make one with `openssl rand -hex 32`",
                Scheme::StandardWebhooks => {
                    "put the sender's own secret there, as it is in its `sign.secret_file`"
                }
                _ => "give it another secret",
            };
            credentials.extend(self.usable(credential, &at, remedy).map(|one| (one, shown)));
        }
        if let Some(basic) = value.basic {
            asked.push((Scheme::Basic, basic.place.clone()));
            credentials.extend(self.basic(basic));
        }
        if let Some(google) = value.google_token {
            asked.push((Scheme::GoogleToken, google.place.clone()));
            credentials.extend(self.google(google));
        }
        if let Some(kind) = kind {
            asked.iter().for_each(|(scheme, place)| self.can_show(kind, *scheme, place));
        }
        self.one_authorization(&asked, header.as_ref());
        if asked.is_empty() && !self.problems.touch(place.key()) {
            let message = "`auth` names nothing that the source would have to show";
            let schemes = kind.map_or_else(|| Scheme::ALL.to_vec(), Wanted::schemes);
            self.wrong(&place, message, format!("write {}", keys(&schemes)));
        }
        (!credentials.is_empty()).then_some(credentials)
    }

    /// The header that is to hold a plain secret; nothing where what is written is none.
    fn header_name(
        &mut self,
        written: Option<Located<String>>,
        kind: Option<Wanted>,
    ) -> Option<Header> {
        let Some(written) = written else {
            let name = kind.map_or("authorization", Wanted::secret_header);
            return Some(Header { name: HeaderName::from_static(name), place: None });
        };
        match HeaderName::from_bytes(written.as_bytes()) {
            Ok(name) => Some(Header { name, place: Some(written.place) }),
            Err(_) => {
                let message = format!("{} is no name of a header", quoted(&written));
                self.wrong(&written.place, message, "use letters, digits and `-`");
                None
            }
        }
    }

    fn can_show(&mut self, kind: Wanted, scheme: Scheme, place: &Place) {
        let schemes = kind.schemes();
        if schemes.contains(&scheme) {
            return;
        }
        let message = match kind {
            Wanted::Auto => "how a signature is made depends on the kind".to_owned(),
            Wanted::Kind(kind) => format!("a sender of the kind `{kind}` cannot show `{scheme}`"),
        };
        let remedy = match kind {
            Wanted::Auto => "write the `kind`; or another way to show who it is".to_owned(),
            Wanted::Kind(_) => format!("write {}", keys(&schemes)),
        };
        self.wrong(place, message, remedy);
    }

    /// A request has one `Authorization`, so that two of them could never be right at once.
    fn one_authorization(&mut self, asked: &[(Scheme, Place)], header: Option<&Header>) {
        let is_there = |scheme| match scheme {
            Scheme::Bearer | Scheme::Basic | Scheme::GoogleToken => true,
            Scheme::Header => header.is_some_and(|h| h.name == http::header::AUTHORIZATION),
            _ => false,
        };
        let mut there = asked.iter().filter(|(scheme, _)| is_there(*scheme));
        if let (Some((first, _)), Some((second, place))) = (there.next(), there.next()) {
            let message = format!(
                "`{first}` and `{second}` are both in `Authorization`, which is one header"
            );
            self.wrong(place, message, "keep one of the two, or write a `header_name`");
        }
        if let Some(place) = header.and_then(|header| header.place.as_ref())
            && !asked.iter().any(|(scheme, _)| *scheme == Scheme::Header)
        {
            let message = "`header_name` is of no use without what the header must say";
            self.wrong(place, message, "write `header_file` or `header_env` too, or remove it");
        }
    }

    /// Where a secret is, in words.
    fn shown(
        &self,
        file: Option<&Located<FilePath>>,
        variable: Option<&Located<String>>,
    ) -> String {
        let file = file.map(|file| self.resolve(Path::new(&file.value.0)).display().to_string());
        let variable = variable.map(|variable| format!("${}", variable.value));
        file.or(variable).unwrap_or_default()
    }

    /// The secrets of a text, one a line: the old one and the new one, while they are changed.
    fn several(&mut self, secret: Located<Secret>) -> Vec<Secret> {
        let lines = secret.expose().split(|byte| *byte == b'\n');
        let plain = |line: &'_ [u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        let lines = lines.map(plain).filter(|line| !line.is_empty());
        let secrets: Vec<Secret> = lines.take(MAX_SECRETS + 1).map(Secret::new).collect();
        if secrets.len() > MAX_SECRETS {
            let message = format!("these are more than {MAX_SECRETS} lines, each of them a secret");
            self.wrong(&secret.place, message, "keep those that are in use: the old and the new");
        }
        secrets
    }

    fn usable(
        &mut self,
        credential: Result<Credential, InvalidCredential>,
        place: &Place,
        remedy: &str,
    ) -> Option<Credential> {
        credential.map_err(|error| self.wrong(place, error.to_string(), remedy)).ok()
    }

    fn basic(&mut self, basic: Located<file::Basic>) -> Option<(Credential, String)> {
        let Located { value, place } = basic;
        let shown = self.shown(value.password_file.as_ref(), value.password_env.as_ref());
        let username = self.require(value.username, &place, "username", "`username: registry`");
        let password = self.secret(&place, "password", value.password_file, value.password_env);
        let username = username?;
        let passwords = self.several(password?);
        let credential = Credential::basic(&username, &passwords);
        Some((self.usable(credential, &username.place, "use another name")?, shown))
    }

    fn google(&mut self, google: Located<file::GoogleToken>) -> Option<(Credential, String)> {
        let Located { value, place } = google;
        let example = "`audience: pushbell`, as the subscription says";
        let audience = self.require(value.audience, &place, "audience", example);
        let example = "`email: pusher@project.iam.gserviceaccount.com`";
        let email = self.require(value.email, &place, "email", example);
        let example = "`keys_file: /etc/pushbell/google.json`";
        let keys = self.require(value.keys_file, &place, "keys_file", example)?;
        let file = self.path(keys);
        let bytes = self.secret_file(&file.value, &file.place)?;
        let keys = match Keys::read(bytes.expose()) {
            Ok(keys) => keys,
            Err(error) => {
                let remedy =
                    "fetch them again: `curl -fo … https://www.googleapis.com/oauth2/v3/certs`";
                self.wrong(&file.place, error.to_string(), remedy);
                return None;
            }
        };
        let shown = file.value.display().to_string();
        Some((Credential::google(&audience?, &email?, keys), shown))
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

/// A header that holds a secret, and where it is named.
struct Header {
    name: HeaderName,
    place: Option<Place>,
}

fn signs(kind: Kind) -> bool {
    kind.schemes().contains(&Scheme::Signature)
}

/// The keys of `auth` for these schemes, in words.
fn keys(schemes: &[Scheme]) -> String {
    let key = |scheme: &Scheme| match scheme {
        Scheme::Basic | Scheme::GoogleToken => format!("`{scheme}`"),
        _ => format!("`{scheme}_file`"),
    };
    let all: Vec<String> = schemes.iter().map(key).collect();
    match &all[..] {
        [] => String::new(),
        [one] => one.clone(),
        [several @ .., last] => format!("{} or {last}", several.join(", ")),
    }
}
