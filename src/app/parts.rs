use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::acme;
use crate::certs;
use crate::certs::CaKey;
use crate::certs::ClientIdentity;
use crate::certs::ClientTls;
use crate::certs::Identity;
use crate::certs::LocalCa;
use crate::certs::Opened;
use crate::certs::Purpose;
use crate::certs::Trust;
use crate::certs::show::Row;
use crate::config;
use crate::config::Config;
use crate::config::IdentityOrigin;
use crate::config::Located;
use crate::config::Problem;
use crate::config::Problems;
use crate::config::Upstream;
use crate::connect;
use crate::connect::Connector;
use crate::connect::Target;
use crate::connect::address::Policy;
use crate::delivery;
use crate::delivery::Signer;
use crate::delivery::sign::InvalidSecret;
use crate::delivery::sign::Settings;
use crate::points::Points;
use crate::secret::Secret;
use crate::telemetry::chain;

use super::error::directory_remedy;
use super::trusts::Trusting;

/// What the configuration names, loaded: everything that can be wrong before a socket is opened.
#[derive(Debug)]
pub struct Parts {
    /// Identities by their name. One of a local CA is missing while it has not been made yet.
    pub identities: BTreeMap<String, Identity>,
    /// Why one that a local CA issued is not among them, though its file is there: it is made anew.
    pub unusable: BTreeMap<String, String>,
    /// The local CAs by their directory.
    pub authorities: BTreeMap<PathBuf, Authority>,
    /// Identities that are shown to servers, exchangeable under their connections.
    pub clients: BTreeMap<String, ClientIdentity>,
    /// Who trusts which CAs.
    pub trusting: Trusting,
    /// Identities that a CA issues over the network, whether they are there or not.
    pub acme: Vec<acme::Config>,
    /// The way to the registry.
    pub upstream: Connector,
    /// Where the account of our looks may ask for tokens, and the way there.
    pub look_realms: Vec<(Uri, Connector)>,
    /// Who is told.
    pub endpoints: Vec<delivery::Endpoint>,
    /// Where a test ends us.
    pub points: Points,
}

/// A local CA.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its certificate: what clients have to trust.
    pub certificate: PathBuf,
    /// How it came to be there.
    pub state: AuthorityState,
    /// What is to be shown of it, once it is there.
    pub row: Option<Row>,
}

/// How a local CA came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityState {
    /// It was there.
    Existing,
    /// It has just been made: nobody trusts it yet.
    Made,
    /// It would be made at the first start.
    Pending,
}

/// Whether a local CA and its certificates may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    /// What is missing is made.
    Allowed,
    /// Nothing is written.
    Forbidden,
    /// What is missing is made, and every leaf is made anew.
    Leaves,
    /// The CAs' certificates are made anew, with their keys or with new ones, and every leaf too.
    Authorities(CaKey),
}

/// How long one attempt to connect to an endpoint may take; the whole attempt has its own deadline.
const ENDPOINT_CONNECT: Duration = Duration::from_secs(5);

const HTTP1: &[&[u8]] = &[b"http/1.1"];
const HTTP1_AND_2: &[&[u8]] = &[b"h2", b"http/1.1"];

impl Parts {
    /// Loads certificates, keys, CAs and secrets.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, each with its place in the configuration.
    pub fn load(config: &Config, making: Making) -> Result<Self, Problems> {
        let mut loader = Loader {
            config,
            now: OffsetDateTime::now_utc(),
            problems: Problems::default(),
            identities: BTreeMap::new(),
            unusable: BTreeMap::new(),
            clients: BTreeMap::new(),
            acme: Vec::new(),
            authorities: BTreeMap::new(),
            trusting: Trusting::default(),
            system: None,
        };
        loader.make_authorities(making);
        for identity in &config.identities {
            loader.load_identity(identity, making);
        }
        let upstream = loader.upstream();
        let look_realms = loader.look_realms();
        let endpoints = config.endpoints.iter().filter_map(|e| loader.endpoint(e)).collect();
        let Loader { problems, identities, unusable, clients, trusting, acme, authorities, .. } =
            loader;
        match upstream {
            Some(upstream) => problems.unless_any(Self {
                identities,
                unusable,
                authorities,
                clients,
                trusting,
                acme,
                upstream,
                look_realms,
                endpoints,
                points: Points::default(),
            }),
            None => Err(problems),
        }
    }
}

/// Loads one thing after the other and goes on after a failure, so that all of them are said.
struct Loader<'a> {
    config: &'a Config,
    now: OffsetDateTime,
    problems: Problems,
    identities: BTreeMap<String, Identity>,
    unusable: BTreeMap<String, String>,
    clients: BTreeMap<String, ClientIdentity>,
    acme: Vec<acme::Config>,
    authorities: BTreeMap<PathBuf, Authority>,
    trusting: Trusting,
    /// Why there are no system's roots, if they were looked for.
    system: Option<String>,
}

impl Loader<'_> {
    /// One CA per directory, for the names of all identities that live there.
    fn make_authorities(&mut self, making: Making) {
        let mut wanted: BTreeMap<&Path, (&Located<PathBuf>, Vec<String>)> = BTreeMap::new();
        for identity in &self.config.identities {
            if let IdentityOrigin::LocalCa { names, directory } = &identity.origin {
                let all = wanted.entry(&directory.value).or_insert((directory, Vec::new()));
                all.1.extend(names.iter().cloned());
            }
        }
        for (path, (directory, names)) in wanted {
            let certificate = path.join("ca.pem");
            // Only what is certainly not there would be made; what we may not look at is a problem.
            let absent = fs::symlink_metadata(&certificate)
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if making == Making::Forbidden && absent {
                let state = AuthorityState::Pending;
                let authority = Authority { certificate, state, row: None };
                self.authorities.insert(path.to_owned(), authority);
                continue;
            }
            let opened = if let Making::Authorities(key) = making {
                LocalCa::renew(path, &names, key, self.now).map(|ca| (ca, Opened::Created))
            } else {
                LocalCa::open_or_create(path, &names, self.now)
            };
            match opened {
                Ok((ca, opened)) => {
                    let state = match opened {
                        Opened::Created => AuthorityState::Made,
                        Opened::Existing => AuthorityState::Existing,
                    };
                    let used_by = vec![format!("clients, as {}", certificate.display())];
                    let row = Some(Row::of_ca(&ca, used_by));
                    self.authorities.insert(path.to_owned(), Authority { certificate, state, row });
                }
                Err(error) => self.wrong_file(directory, &error),
            }
        }
    }

    fn load_identity(&mut self, identity: &config::Identity, making: Making) {
        let name = &identity.name.value;
        let loaded = match &identity.origin {
            IdentityOrigin::Files { certificate, key } => {
                Identity::load(name, certificate, key, self.now)
                    .map_err(|error| (if concerns(&error, key) { key } else { certificate }, error))
            }
            IdentityOrigin::Acme(acme) => {
                self.load_issued(name, acme);
                return;
            }
            IdentityOrigin::LocalCa { names, directory } => {
                if !self.authorities.contains_key(&directory.value) {
                    return;
                }
                if making == Making::Forbidden {
                    self.look_at_leaf(name, names, directory);
                    return;
                }
                LocalCa::open_or_create(directory, names, self.now)
                    .and_then(|(ca, _)| match making {
                        Making::Leaves | Making::Authorities(_) => {
                            ca.renew_leaf(name, names, self.now)
                        }
                        Making::Allowed | Making::Forbidden => ca.leaf(name, names, self.now),
                    })
                    .map_err(|e| (directory, e))
            }
        };
        match loaded {
            Ok(identity) => {
                self.identities.insert(name.clone(), identity);
            }
            Err((at, error)) => self.wrong_file(at, &error),
        }
    }

    /// What a local CA issued, as it is: it may be over or for other names, and a start makes it anew, if it
    /// can.
    fn look_at_leaf(&mut self, name: &str, names: &[String], directory: &Located<PathBuf>) {
        let authority = self.authorities.get(&directory.value);
        if authority.is_some_and(|authority| authority.state == AuthorityState::Existing) {
            let may = LocalCa::open_or_create(directory, names, self.now)
                .and_then(|(ca, _)| ca.permits(name, names));
            if let Err(error) = may {
                self.wrong_file(directory, &error);
            }
        }
        let file = |end| directory.join(format!("{name}.{end}"));
        match Identity::load(name, &file("pem"), &file("key"), self.now) {
            Ok(there) => {
                self.identities.insert(name.to_owned(), there);
            }
            Err(certs::Error::Missing { .. }) => {}
            Err(error) if error.minting_cures() => {
                self.unusable.insert(name.to_owned(), chain(&error));
            }
            Err(error) => self.wrong_file(directory, &error),
        }
    }

    /// What a CA has issued, if it has, however old that is: it is ordered anew, and until then better than
    /// nothing (rule C4).
    fn load_issued(&mut self, name: &str, acme: &config::Acme) {
        let Some(tls) = self.tls(acme.ca.as_ref(), None, &acme.directory.place, HTTP1) else {
            return;
        };
        let path = acme::certificate_path(&acme.files, name);
        match Identity::load_of_any_age(name, &path, &path) {
            Ok(there) => {
                self.identities.insert(name.to_owned(), there);
            }
            Err(certs::Error::Missing { .. }) => {}
            Err(error) => {
                self.unusable.insert(name.to_owned(), chain(&error));
            }
        }
        self.acme.push(acme::Config {
            identity: name.to_owned(),
            names: acme.names.clone(),
            directory: acme.directory.uri().to_string(),
            contact: acme.contact.clone(),
            challenge: match acme.challenge {
                config::Challenge::Http01 => acme::Challenge::Http01,
                config::Challenge::TlsAlpn01 => acme::Challenge::TlsAlpn01,
            },
            external_account: acme.external_account.as_ref().map(|account| acme::ExternalAccount {
                key_id: account.key_id.clone(),
                key: account.key.clone(),
            }),
            tls,
            files: acme.files.clone(),
        });
    }

    fn upstream(&mut self) -> Option<Connector> {
        let registry = &self.config.registry;
        let tcp = |host: &String, port: &u16| Target::Tcp { host: host.clone(), port: *port };
        let (target, tls) = match &registry.upstream.value {
            Upstream::Http { host, port } => (tcp(host, port), None),
            Upstream::Unix(path) => (Target::Unix(path.clone()), None),
            Upstream::Https { host, port } => {
                let tls = self.client_tls(&registry.tls, &registry.upstream.place, HTTP1)?;
                (tcp(host, port), Some(tls))
            }
        };
        Some(Connector::new(connect::Config {
            target,
            tls,
            proxy: None,
            policy: Policy::for_upstream(),
            deadline: self.config.limits.upstream_connect,
        }))
    }

    /// Their CAs are those of the registry, where it has CAs of its own.
    fn look_realms(&mut self) -> Vec<(Uri, Connector)> {
        let registry = &self.config.registry;
        let mut realms = Vec::new();
        for realm in registry.look.iter().flat_map(|look| &look.realms) {
            let url = realm.uri();
            let https = url.scheme_str() == Some("https");
            let ca = registry.tls.ca.as_ref();
            let tls = if https { self.tls(ca, None, &realm.place, HTTP1) } else { None };
            let Some(host) = url.host().filter(|_| tls.is_some() || !https) else {
                continue;
            };
            let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
            let connector = Connector::new(connect::Config {
                target: Target::Tcp { host: host.to_owned(), port },
                tls,
                proxy: None,
                policy: Policy::for_endpoint(),
                deadline: self.config.limits.upstream_connect,
            });
            realms.push((url.clone(), connector));
        }
        realms
    }

    fn endpoint(&mut self, endpoint: &config::Endpoint) -> Option<delivery::Endpoint> {
        let uri = endpoint.url.uri();
        let url = endpoint.preset.map_or_else(|| uri.clone(), |p| p.complete(uri));
        let https = url.scheme_str() == Some("https");
        let tls = if https {
            Some(self.client_tls(&endpoint.tls, &endpoint.url.place, HTTP1_AND_2)?)
        } else {
            None
        };
        let signer = match &endpoint.sign {
            None => None,
            Some(sign) => Some(self.signer(sign)?),
        };
        let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
        let proxy = match &endpoint.proxy {
            Some(proxy) => Some(self.proxy(proxy)?),
            None => None,
        };
        let connector = Connector::new(connect::Config {
            target: Target::Tcp { host: url.host()?.to_owned(), port },
            tls,
            proxy,
            policy: Policy::for_endpoint(),
            deadline: ENDPOINT_CONNECT.min(endpoint.timeout),
        });
        Some(delivery::Endpoint {
            name: endpoint.name.value.clone(),
            url,
            connector,
            dialect: endpoint.dialect,
            template: endpoint.template.clone(),
            names: endpoint.names.clone(),
            answers: endpoint.answers,
            headers: endpoint.headers.clone(),
            signer,
            timeout: endpoint.timeout,
            concurrency: endpoint.concurrency,
            pace: endpoint.rate.map(config::Rate::interval),
        })
    }

    fn proxy(&mut self, proxy: &config::Proxy) -> Option<connect::Proxy> {
        let uri = proxy.url.uri();
        let https = uri.scheme_str() == Some("https");
        let tls = match https {
            true => Some(self.tls(proxy.ca.as_ref(), None, &proxy.url.place, HTTP1)?),
            false => None,
        };
        let basic = |account: &config::Look| {
            let pair = Zeroizing::new(
                [account.username.as_bytes(), b":", account.password.expose()].concat(),
            );
            Secret::new(format!("Basic {}", STANDARD.encode(&*pair)).into_bytes())
        };
        Some(connect::Proxy {
            host: uri.host()?.to_owned(),
            port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
            tls,
            authorization: proxy.account.as_ref().map(basic),
        })
    }

    /// What makes attempts ours.
    fn signer(&mut self, sign: &config::Sign) -> Option<Signer> {
        let identity = match &sign.identity {
            None => None,
            // It has its own problem, or has not been made yet.
            Some(name) => Some(self.client_identity(name)?),
        };
        let settings = Settings {
            scheme: sign.scheme,
            secret: sign.secret.as_ref().map(|secret| secret.value.clone()),
            username: sign.username.clone(),
            algorithm: sign.algorithm,
            header: sign.header.clone(),
            parameter: sign.parameter.clone(),
            token_file: sign.token_file.as_ref().map(|file| file.value.clone()),
            identity,
        };
        match Signer::of(settings) {
            Ok(signer) => Some(signer),
            Err(error) => {
                let said = sign.secret.as_ref().map(|secret| &secret.place);
                let at = said.or(sign.identity.as_ref().map(|name| &name.place));
                let remedy = match error {
                    InvalidSecret::Key => "name an identity with another key",
                    _ => "give it the secret that the receiver was given",
                };
                self.wrong(at.unwrap_or(&sign.place), error.to_string(), remedy);
                None
            }
        }
    }

    /// Trust and identity towards a server.
    fn client_tls(
        &mut self,
        tls: &config::Tls,
        at: &config::Place,
        alpn: &[&[u8]],
    ) -> Option<ClientTls> {
        let identity = tls.identity.as_ref().and_then(|name| self.client_identity(name));
        self.tls(tls.ca.as_ref(), identity, at, alpn)
    }

    /// Who we are to a server. One of files has to be good for it now; a CA may come to its senses.
    fn client_identity(&mut self, name: &Located<String>) -> Option<ClientIdentity> {
        let by_acme = self.acme.iter().any(|acme| acme.identity == name.value);
        let client = match self.identities.get(&name.value) {
            Some(identity) => {
                let client = ClientIdentity::new(identity);
                if let Err(error) = identity.check_purpose(Purpose::Clients)
                    && !by_acme
                {
                    let remedy =
                        "have it issued with clientAuth, or use an identity of a `local_ca`";
                    self.wrong(&name.place, chain(&error), remedy);
                }
                client
            }
            None if by_acme => ClientIdentity::awaited(name),
            // It has its own problem, or has not been made yet.
            None => return None,
        };
        Some(self.clients.entry(name.value.clone()).or_insert(client).clone())
    }

    fn tls(
        &mut self,
        ca: Option<&Located<PathBuf>>,
        identity: Option<ClientIdentity>,
        at: &config::Place,
        alpn: &[&[u8]],
    ) -> Option<ClientTls> {
        let trust = self.trust(ca, at)?;
        match ClientTls::new(&trust, identity, alpn) {
            Ok(tls) => {
                self.trusting.used_by(ca.map(|file| &file.value), &tls);
                Some(tls)
            }
            Err(error) => {
                self.wrong(at, chain(&error), "use another certificate");
                None
            }
        }
    }

    /// The CAs of a file, or the system's.
    fn trust(&mut self, ca: Option<&Located<PathBuf>>, at: &config::Place) -> Option<Trust> {
        let path = ca.map(|file| &file.value);
        if let Some(known) = self.trusting.known(path) {
            return Some(known);
        }
        let trust = match ca {
            Some(file) => Trust::file(file).map_err(|error| self.wrong_file(file, &error)).ok()?,
            None => self.system_trust(at)?,
        };
        self.trusting.learn(path, &trust);
        Some(trust)
    }

    fn system_trust(&mut self, at: &config::Place) -> Option<Trust> {
        let why = match &self.system {
            Some(why) => why.clone(),
            None => match Trust::system() {
                Ok(trust) => return Some(trust),
                Err(error) => self.system.insert(chain(&error)).clone(),
            },
        };
        self.wrong(at, why, "name the CA of this server in its `ca`");
        None
    }

    fn wrong_file(&mut self, at: &Located<PathBuf>, error: &certs::Error) {
        self.wrong(&at.place, chain(error), remedy(error));
    }

    fn wrong(&mut self, at: &config::Place, message: impl Into<String>, remedy: &str) {
        self.problems.add(Problem::new(at.clone(), message, remedy));
    }
}

/// Whether an error is about the key of a pair, rather than about its certificate.
fn concerns(error: &certs::Error, key: &Path) -> bool {
    use certs::Error;
    match error {
        Error::NotMatching { .. } | Error::NoKey { .. } | Error::UnsupportedKey { .. } => true,
        Error::Missing { path }
        | Error::Read { path, .. }
        | Error::TooLarge { path, .. }
        | Error::KeyMode { path, .. }
        | Error::Pem { path, .. } => path == key,
        _ => false,
    }
}

/// What would be right; some of these errors say it in their own words, and then only the way out is left.
fn remedy(error: &certs::Error) -> &'static str {
    use certs::Error;
    match error {
        Error::Missing { .. } => "put the file there, or correct the path",
        Error::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            "let the user we run as read it"
        }
        Error::Write { source, .. } => directory_remedy(source.kind()),
        Error::NotMatching { .. } => {
            "name the key that the certificate was made with: for a pair, `openssl x509 -noout -pubkey -in …` \
             and `openssl pkey -pubout -in …` print the same"
        }
        Error::Expired { .. } => "have it renewed by whoever issued it",
        Error::KeyMode { .. } | Error::DirectoryMode { .. } => {
            "do that, and make the key anew if somebody may have seen it"
        }
        Error::OutsideConstraints { .. }
        | Error::CaExpired { .. }
        | Error::CaNotACa { .. }
        | Error::CaKey { .. } => "do that, with the same `--config` or options as here",
        _ => "put a file there that can be used, or name another",
    }
}
