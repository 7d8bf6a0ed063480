//! Who is told, and of what.

use std::time::Duration;

use http::HeaderName;
use http::HeaderValue;

use crate::config::Endpoint;
use crate::config::Identity;
use crate::config::Sign;
use crate::config::Tls;
use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::file;
use crate::config::read::Named;
use crate::config::read::quoted;
use crate::config::units::Count;
use crate::config::units::Period;
use crate::config::url::Url;
use crate::connect::address::Host;
use crate::connect::address::Policy;
use crate::delivery;
use crate::delivery::Answers;
use crate::delivery::Dialect;
use crate::delivery::Names;
use crate::delivery::Preset;
use crate::delivery::may_be_set;
use crate::delivery::sign::Scheme;
use crate::delivery::url::PLACEHOLDERS;
use crate::event::Filter;
use crate::event::filter::Patterns;
use crate::registry::RepositoryName;

use super::Checker;
use super::NAME_REMEDY;
use super::is_name;
use super::preset::with_presets;

/// How long an attempt may take, where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long an attempt may ever take.
const MAX_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Attempts at the same time, where nothing is said (delivery guarantees, 6.2).
const CONCURRENCY: usize = 8;

/// How many attempts there may ever be at the same time.
const MAX_CONCURRENCY: usize = 1024;

/// Headers whose value is a secret.
const SECRET: &[&str] = &["authorization", "cookie", "proxy-authorization"];

impl Checker<'_> {
    pub(super) fn endpoints(
        &mut self,
        written: Option<Located<Vec<Located<file::Endpoint>>>>,
        identities: &[Identity],
    ) -> Vec<Endpoint> {
        let written = written.map(|endpoints| endpoints.value).unwrap_or_default();
        let mut names: Vec<Located<String>> = Vec::new();
        let mut endpoints = Vec::new();
        for endpoint in written {
            if let Some(name) = &endpoint.value.name {
                self.endpoint_name(name, &names);
                names.push(name.clone());
            }
            endpoints.extend(self.endpoint(endpoint, identities));
        }
        for webhook in self.webhooks() {
            let same = |endpoint: &Endpoint| endpoint.name.value == webhook.name.value;
            match endpoints.iter_mut().find(|endpoint| same(endpoint)) {
                Some(endpoint) => *endpoint = webhook,
                None => endpoints.push(webhook),
            }
        }
        endpoints
    }

    fn endpoint_name(&mut self, name: &Located<String>, before: &[Located<String>]) {
        let shown = quoted(name);
        if !is_name(name) {
            self.wrong(&name.place, format!("{shown} is no name for an endpoint"), NAME_REMEDY);
        } else if let Some(first) = before.iter().find(|first| first.value == name.value) {
            let line = first.place.line().unwrap_or_default();
            let message = format!("the endpoint on line {line} is called {shown} already");
            self.wrong(&name.place, message, "give each endpoint a name of its own");
        }
    }

    fn endpoint(
        &mut self,
        endpoint: Located<file::Endpoint>,
        identities: &[Identity],
    ) -> Option<Endpoint> {
        let Located { value, place } = endpoint;
        let name = self.require(value.name, &place, "name", "`name: build-service`");
        let url = self.require(value.url, &place, "url", "`url: https://build.example.com/hook`");
        let allowed = value.insecure_http.is_some_and(|allowed| allowed.value);
        if let Some(url) = &url {
            self.secure(url, allowed, "`insecure_http: true`");
            self.dialled(url);
            self.placeholders(url);
        }
        let plain = url.as_ref().is_some_and(|url| !url.is_https());
        if let Some(tls) = value.tls.as_ref().filter(|_| plain && allowed) {
            let message = "`tls` is of no use: the endpoint is not an `https://` URL";
            self.wrong(&tls.place, message, "write the URL as `https://…`, or remove the key");
        }
        let said = value.dialect.as_ref().map(|dialect| dialect.place.clone());
        let dialect = match (&value.template, &value.dialect, &value.preset) {
            // Nobody who writes one means another dialect.
            (Some(_), None, None) => Dialect::Template,
            _ => self.dialect(value.dialect, value.preset.as_ref()),
        };
        let template = self.template(dialect, value.template, said.as_ref().unwrap_or(&place));
        let when = self.when(value.when.map(|when| when.value).unwrap_or_default());
        let tls = self.tls(value.tls, identities);
        let proxy = value.proxy.map(|proxy| self.proxy(proxy));
        let preset = value.preset.as_ref();
        let sign = value.sign.map(|sign| {
            let sign = self.presumed(sign, preset);
            self.sign(sign, &tls, identities)
        });
        // One that could not be read has its own problem.
        if !matches!(sign, Some(None)) {
            self.known(preset, url.as_ref(), sign.as_ref().and_then(Option::as_ref));
        }
        let headers = with_presets(preset, self.headers(value.headers));
        let usual = preset.and_then(|preset| preset.timeout()).unwrap_or(TIMEOUT);
        let timeout = self.timeout(value.timeout, usual);
        let usual = preset.map_or(Answers::Plain, |preset| preset.answers());
        let answers = value.answers.map_or(usual, |answers| answers.value);
        let names = self.names(value.names.map(|names| names.value).unwrap_or_default());
        let concurrency = self.concurrency(value.concurrency);
        Some(Endpoint {
            name: name?,
            url: url?,
            dialect,
            template,
            preset: value.preset.map(|preset| preset.value),
            when,
            tls,
            proxy: match proxy {
                Some(proxy) => Some(proxy?),
                None => None,
            },
            sign: match sign {
                Some(sign) => Some(sign?),
                None => None,
            },
            names,
            answers,
            headers,
            timeout,
            concurrency,
            rate: value.rate.map(|rate| rate.value),
            latest_only: value.latest_only.is_some_and(|wanted| wanted.value),
        })
    }

    fn names(&mut self, names: file::Names) -> Names {
        Names {
            registry: names.registry.map(|name| name.value.to_string()),
            strip: names.strip.and_then(|path| self.repository_path(&path)),
            prefix: names.prefix.and_then(|path| self.repository_path(&path)),
            repository_key: names.repository_key.map(|key| key.value),
        }
    }

    fn repository_path(&mut self, path: &Located<String>) -> Option<RepositoryName> {
        let parsed = path.trim_end_matches('/').parse();
        if parsed.is_err() {
            let message = format!("{} is no part of a repository's name", quoted(path));
            self.wrong(&path.place, message, "write components such as `team` or `mirror/eu`");
        }
        parsed.ok()
    }

    fn placeholders(&mut self, url: &Located<Url>) {
        if let Err(invalid) = delivery::url::check(url.uri()) {
            let remedy = format!("there are {PLACEHOLDERS}; a brace itself is `%7B` or `%7D`");
            self.wrong(&url.place, invalid.to_string(), remedy);
        }
    }

    /// Rule V1.
    fn secure(&mut self, url: &Located<Url>, allowed: bool, how: &str) {
        if url.is_https() || allowed {
            return;
        }
        let message = format!("{} is not encrypted", quoted(&url.to_string()));
        let remedy = format!(
            "write an `https://` URL; or {how}, and everyone on the way can read and change what is sent"
        );
        self.wrong(&url.place, message, remedy);
    }

    /// Rule V3, for an address; what a name resolves to is checked at each attempt.
    pub(super) fn dialled(&mut self, url: &Located<Url>) {
        let host = url.uri().host().map(str::parse::<Host>);
        if let Some(Ok(Host::Address(address))) = host
            && let Err(class) = Policy::for_endpoint().check(address)
        {
            let message = format!("{address} is {class}, and never dialled");
            self.wrong(&url.place, message, "write the name or the address of the receiver itself");
        }
    }

    fn dialect(
        &mut self,
        dialect: Option<Located<Dialect>>,
        preset: Option<&Located<Preset>>,
    ) -> Dialect {
        let Some(preset) = preset else {
            return dialect.map_or(Dialect::Native, |dialect| dialect.value);
        };
        let its = preset.dialect();
        if let Some(dialect) = dialect.filter(|dialect| dialect.value != its) {
            let message = format!(
                "the preset `{}` speaks `{}`, not `{}`",
                preset.as_str(),
                its.as_str(),
                dialect.as_str()
            );
            self.wrong(&dialect.place, message, "remove the dialect, or the preset");
        }
        its
    }

    fn when(&mut self, when: file::When) -> Filter {
        let default = Filter::default();
        Filter {
            actions: self.some_of(when.actions).unwrap_or(default.actions),
            repositories: self.patterns(when.repositories),
            tags: self.patterns(when.tags),
            changes: self.some_of(when.changes).unwrap_or(default.changes),
            kinds: self.some_of(when.kinds),
            untagged: when.untagged.map_or(default.untagged, |untagged| untagged.value),
            media_types: self.patterns(when.media_types),
            platforms: self.patterns(when.platforms),
            origins: self.some_of(when.origins).unwrap_or(default.origins),
        }
    }

    /// The values of a list; an empty one would match nothing, ever.
    fn some_of<T>(&mut self, list: Option<Located<Vec<Located<T>>>>) -> Option<Vec<T>> {
        let Located { value, place } = list?;
        if value.is_empty() && !self.problems.touch(place.key()) {
            let message = "no event is in an empty list";
            self.wrong(&place, message, "write what is wanted, or remove the key for the default");
        }
        Some(value.into_iter().map(|item| item.value).collect())
    }

    pub(super) fn patterns(&mut self, list: Option<Located<Vec<Located<String>>>>) -> Patterns {
        let places: Vec<Place> =
            list.iter().flat_map(|list| &list.value).map(|item| item.place.clone()).collect();
        let texts = self.some_of(list).unwrap_or_default();
        for (text, place) in texts.iter().zip(&places) {
            if let Err((_, invalid)) = Patterns::read(std::slice::from_ref(text)) {
                let message = format!("{} is {invalid}", quoted(text));
                let remedy = "write a glob: `team/*`, `team/**`, `1.[0-9]`, `!*-dev`, `{a,b}`";
                self.wrong(place, message, remedy);
            }
        }
        Patterns::read(&texts).unwrap_or_default()
    }

    pub(super) fn headers(
        &mut self,
        written: Option<Named<Located<String>>>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in written.map(|named| named.0).unwrap_or_default() {
            let shown = quoted(&name);
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                let message = format!("{shown} is no name of a header");
                self.wrong(&name.place, message, "use letters, digits and `-`");
                continue;
            };
            if SECRET.contains(&header.as_str()) {
                let message = format!("the header {shown} would be a secret in the configuration");
                self.wrong(
                    &name.place,
                    message,
                    "remove it; `sign` puts it there: `sign: { scheme: bearer, secret_file: … }`",
                );
            } else if !may_be_set(&header) {
                let message = format!("the header {shown} is set by us");
                self.wrong(
                    &name.place,
                    message,
                    "remove it; the dialect and the signature decide it",
                );
            } else if headers.iter().any(|(other, _)| *other == header) {
                let message =
                    format!("the header {shown} is there already: case makes no difference");
                self.wrong(&name.place, message, "keep one of the two");
            }
            let visible = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            match HeaderValue::from_str(&value) {
                Ok(mut text) if visible => {
                    text.set_sensitive(true);
                    headers.push((header, text));
                }
                _ => {
                    let message = format!("the value of the header {shown} cannot be sent");
                    self.wrong(&value.place, message, "use visible ASCII characters and spaces");
                }
            }
        }
        headers
    }

    fn timeout(&mut self, timeout: Option<Located<Period>>, usual: Duration) -> Duration {
        if let Some(timeout) = timeout.as_ref().filter(|timeout| timeout.0 > MAX_TIMEOUT) {
            self.wrong(&timeout.place, "no attempt may take so long", "write at most `30m`");
        }
        timeout.map_or(usual, |timeout| timeout.0)
    }

    fn concurrency(&mut self, concurrency: Option<Located<Count>>) -> usize {
        let Some(Located { value: Count(count), place }) = concurrency else {
            return CONCURRENCY;
        };
        let count = count as usize;
        if count > MAX_CONCURRENCY {
            let message = "so many attempts at the same time would look like an attack";
            self.wrong(&place, message, format!("write at most `{MAX_CONCURRENCY}`"));
        }
        count
    }

    /// The endpoints of the command line: our own dialect, and all defaults.
    fn webhooks(&mut self) -> Vec<Endpoint> {
        let overrides = self.overrides;
        let secret = overrides.webhook_secret_file.as_deref().map(|path| {
            let path = self.typed_path("--webhook-secret-file", path);
            self.secret_file(&path.value, &path.place)
        });
        let ca = overrides.webhook_ca.as_deref().map(|path| self.typed_path("--webhook-ca", path));
        if overrides.webhooks.is_empty() {
            let unused = [
                ("--webhook-secret-file", overrides.webhook_secret_file.is_some()),
                ("--webhook-ca", ca.is_some()),
                ("--webhook-insecure-http", overrides.webhook_insecure_http),
            ];
            for (option, _) in unused.iter().filter(|(_, given)| *given) {
                let message = format!("`{option}` is of no use without `--webhook`");
                self.wrong(
                    &Place::of(option),
                    message,
                    "give `--webhook` as well, or write it in the file",
                );
            }
        }
        let sign = secret.flatten().map(|secret| Sign::of(Scheme::StandardWebhooks, secret));
        let mut endpoints = Vec::new();
        for (index, text) in overrides.webhooks.iter().enumerate() {
            let option = self.option::<Url>("--webhook", "endpoints", Some(text));
            let Some(url) = option else {
                continue;
            };
            self.secure(&url, overrides.webhook_insecure_http, "give `--webhook-insecure-http`");
            self.dialled(&url);
            let name = match index {
                0 => "webhook".to_owned(),
                index => format!("webhook-{}", index + 1),
            };
            endpoints.push(Endpoint {
                name: Located::new(name, url.place.clone()),
                url,
                dialect: Dialect::Native,
                template: None,
                preset: None,
                when: Filter::default(),
                tls: Tls { ca: ca.clone(), identity: None },
                proxy: None,
                sign: sign.clone(),
                names: Names::default(),
                answers: Answers::Plain,
                headers: Vec::new(),
                timeout: TIMEOUT,
                concurrency: CONCURRENCY,
                rate: None,
                latest_only: false,
            });
        }
        endpoints
    }
}
