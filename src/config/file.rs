//! The file as it is written: every key there is, and what it means.
//!
//! The comments of the fields are the descriptions of the JSON Schema that `pushbell schema config`
//! prints. What is not written stays `None`; defaults, references and files are the checker's.

use schemars::JsonSchema;

use crate::delivery::Answers;
use crate::delivery::Dialect;
use crate::delivery::Preset;
use crate::delivery::sign::Algorithm;
use crate::delivery::sign::Scheme;
use crate::event::Action;
use crate::event::Change;
use crate::event::Origin;
use crate::ingest::Wanted as IngestKind;
use crate::listener::Network;
use crate::registry::Kind;
use crate::registry::RepositoryKey;

use super::address::Address;
use super::error::Located;
use super::host::Covered;
use super::host::Name;
use super::read::At;
use super::read::Named;
use super::read::OneOrMore;
use super::read::Read;
use super::read::Reader;
use super::read::mapping;
use super::units::Count;
use super::units::FilePath;
use super::units::Period;
use super::units::Rate;
use super::units::Size;
use super::url::Upstream;
use super::url::Url;
use super::words::Challenge;
use super::words::Format;
use super::words::IngestMode;
use super::words::IntentMode;
use super::words::LayoutName;
use super::words::Level;
use super::words::MethodName;
use super::words::OnFailure;
use super::words::Serve;

/// The configuration of Pushbell.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, title = "pushbell.yaml")]
pub(super) struct FileConfig {
    /// The registry we stand in front of.
    pub(super) registry: Option<Located<Registry>>,
    /// Certificates by name, for listeners and for us as a client.
    pub(super) identities: Option<Named<Located<Identity>>>,
    /// Where we listen. Left out: the registry at 127.0.0.1:5443 with the identity `registry`, and admin
    /// at 127.0.0.1:9443.
    pub(super) listeners: Option<Located<Vec<Located<Listener>>>>,
    /// Where events are kept until they are delivered.
    pub(super) state: Option<Located<State>>,
    /// What is kept of a push, and what happens when the disk refuses it.
    pub(super) outbox: Option<Located<Outbox>>,
    /// How it is found out what became of a push whose answer nobody saw.
    pub(super) settle: Option<Located<Settle>>,
    /// Who tells us of events: the notifications of registries.
    pub(super) sources: Option<Located<Vec<Located<Source>>>>,
    /// What becomes of notifications.
    pub(super) ingest: Option<Located<Ingest>>,
    /// How notifications are paired with the pushes that pass through us.
    pub(super) r#match: Option<Located<Match>>,
    /// Who is told, and of what.
    pub(super) endpoints: Option<Located<Vec<Located<Endpoint>>>>,
    /// How long, how many and how much at most.
    pub(super) limits: Option<Located<Limits>>,
    /// The pages for operators; served where a listener says `serve: [admin]`.
    pub(super) admin: Option<Located<Admin>>,
    /// What is logged.
    pub(super) log: Option<Located<Log>>,
}

mapping!(FileConfig {
    registry, identities, listeners, state, outbox, settle, sources, ingest, r#match, endpoints, limits, admin,
    log,
} later { "watch" });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Registry {
    /// What clients type, with the port unless it is 443: the only source of the host in events. Left
    /// out: the address of the first listener that serves the registry, `localhost` for loopback.
    pub(super) name: Option<Located<Name>>,
    /// Where the registry is: `http://host:port`, `https://host:port` or `unix:/path`.
    pub(super) upstream: Option<Located<Upstream>>,
    /// Trust and identity towards an `https://` upstream.
    pub(super) upstream_tls: Option<Located<Tls>>,
    /// An account for our own read-only looks at tags. Left out: they are anonymous.
    pub(super) look: Option<Located<Look>>,
    /// How its paths name repositories: `plain` is `/v2/<name>/…`.
    #[schemars(extend("default" = "plain"))]
    pub(super) layout: Option<Located<LayoutName>>,
    /// For the layout `artifactory` only.
    pub(super) artifactory: Option<Located<Artifactory>>,
    /// Whether a push waits, at most 10 s, until another of the same tag has its answer, so that it is known which
    /// was last. Otherwise both events say `concurrent: true`.
    #[schemars(extend("default" = false))]
    pub(super) serialize_tag: Option<Located<bool>>,
}

mapping!(Registry { name, upstream, upstream_tls, look, layout, artifactory, serialize_tag });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Artifactory {
    /// What says which of Artifactory's repositories a client means: the first component of the name, the
    /// host's name, or the port. The path of its API, `/artifactory/api/docker/<key>/v2/`, is understood
    /// with each.
    #[schemars(extend("default" = "repository-path"))]
    pub(super) method: Option<Located<MethodName>>,
    /// The key of the repository that this host or port is for; its requests go to the path of the API.
    /// With `repository-path` each name has its own.
    pub(super) repository_key: Option<Located<RepositoryKey>>,
}

mapping!(Artifactory { method, repository_key });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Tls {
    /// PEM file of the CA certificates that are trusted instead of the system's.
    pub(super) ca: Option<Located<FilePath>>,
    /// The identity shown to a server that asks for a client certificate.
    pub(super) identity: Option<Located<String>>,
}

mapping!(Tls { ca, identity });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Look {
    /// The account's name.
    #[schemars(required)]
    pub(super) username: Option<Located<String>>,
    /// File that holds the password; one newline at its end is dropped.
    pub(super) password_file: Option<Located<FilePath>>,
    /// Environment variable that holds the password.
    pub(super) password_env: Option<Located<String>>,
    /// Where the account may ask for tokens when the registry says so: URLs of realms. The registry's own host always
    /// may; no other gets the password. Default: none.
    pub(super) realms: Option<Vec<Located<Url>>>,
}

mapping!(Look { username, password_file, password_env, realms });

/// One of `local_ca`, `acme` and `files`.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Identity {
    /// A certificate of a CA that we make ourselves.
    pub(super) local_ca: Option<Located<LocalCa>>,
    /// A certificate that a CA issues over the network, got and renewed by itself (RFC 8555).
    pub(super) acme: Option<Located<Acme>>,
    /// A certificate and key that somebody else puts in place.
    pub(super) files: Option<Located<Files>>,
}

mapping!(Identity { local_ca, acme, files });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Acme {
    /// The CA's directory. To name it is to agree to the CA's terms of service.
    #[schemars(required)]
    pub(super) directory: Option<Located<Url>>,
    /// Host names the certificate is for.
    #[schemars(required)]
    pub(super) names: Option<Located<Vec<Located<Covered>>>>,
    /// Mail address that the CA may write to. Left out: none.
    pub(super) contact: Option<Located<String>>,
    /// How the CA sees that the names are ours: `tls-alpn-01` at port 443 of each, `http-01` at port 80.
    #[schemars(extend("default" = "tls-alpn-01"))]
    pub(super) challenge: Option<Located<Challenge>>,
    /// PEM file of the CA certificates trusted for the directory instead of the system's.
    pub(super) ca: Option<Located<FilePath>>,
    /// The account that the CA asks for, where it has made one already.
    pub(super) external_account: Option<Located<ExternalAccount>>,
}

mapping!(Acme { directory, names, contact, challenge, ca, external_account });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ExternalAccount {
    /// The account's name, as the CA gave it.
    #[schemars(required)]
    pub(super) key_id: Option<Located<String>>,
    /// File that holds the account's key, in base64 as the CA gave it; one newline at its end is dropped.
    pub(super) key_file: Option<Located<FilePath>>,
    /// Environment variable that holds the key.
    pub(super) key_env: Option<Located<String>>,
}

mapping!(ExternalAccount { key_id, key_file, key_env });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct LocalCa {
    /// Host names and addresses the certificate is for. Where a listener serves the registry with it, the
    /// host of `registry.name` is always one of them.
    #[schemars(required)]
    pub(super) names: Option<Located<Vec<Located<Covered>>>>,
    /// Where the CA and its certificates are. Default: `certs` in the state directory.
    pub(super) directory: Option<Located<FilePath>>,
}

mapping!(LocalCa { names, directory });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Files {
    /// PEM file of the certificate and the chain behind it.
    #[schemars(required)]
    pub(super) certificate: Option<Located<FilePath>>,
    /// PEM file of the key; nobody else may be able to read it.
    #[schemars(required)]
    pub(super) key: Option<Located<FilePath>>,
}

mapping!(Files { certificate, key });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Listener {
    /// `address:port` or `unix:/path`; `0.0.0.0` and `[::]` are all addresses of the machine.
    #[schemars(required)]
    pub(super) address: Option<Located<Address>>,
    /// What is served there.
    #[schemars(required)]
    pub(super) serve: Option<Located<Vec<Located<Serve>>>>,
    /// The identity it serves with, or a list: each is shown to clients that ask for a name it covers,
    /// the first to all others. Left out: plain HTTP, on loopback or a unix socket only.
    pub(super) identity: Option<OneOrMore<Located<String>>>,
    /// Networks whose `Forwarded` and `X-Forwarded-*` headers are believed. Default: none.
    pub(super) trusted_proxies: Option<Vec<Located<Network>>>,
    /// Whether a load balancer in front begins each connection with a PROXY header of version 1 or 2, which
    /// tells the client's address. Then only `trusted_proxies` may connect, where that list is given.
    #[schemars(extend("default" = false))]
    pub(super) proxy_protocol: Option<Located<bool>>,
}

mapping!(Listener { address, serve, identity, trusted_proxies, proxy_protocol });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct State {
    /// The directory. Default: `$STATE_DIRECTORY`, else `/var/lib/pushbell` for root, else
    /// `$XDG_STATE_HOME/pushbell`, else `~/.local/state/pushbell`.
    pub(super) directory: Option<Located<FilePath>>,
}

mapping!(State { directory } later { "postgres_url_file" });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Outbox {
    /// `pass`: a push goes through though its event may be lost; `reject`: it is refused with 503.
    #[schemars(extend("default" = "pass"))]
    pub(super) on_failure: Option<Located<OnFailure>>,
    /// What is kept of a push before the registry has all of it, so that it is told even if we do not live to
    /// see the answer. `sync`: an intent on the disk; `async`: one that a loss of power may take away;
    /// `off`: nothing.
    #[schemars(extend("default" = "sync"))]
    pub(super) intent: Option<Located<IntentMode>>,
    /// The most deliveries owed to one endpoint; beyond it the oldest become dead letters.
    #[schemars(extend("default" = 1_000_000))]
    pub(super) max_owed: Option<Located<Count>>,
    /// How long a delivery is owed; then it becomes a dead letter.
    #[schemars(extend("default" = "7d"))]
    pub(super) max_age: Option<Located<Period>>,
    /// How long an event is kept after all who wanted it have taken it.
    #[schemars(extend("default" = "30d"))]
    pub(super) keep_history: Option<Located<Period>>,
    /// How long a dead letter is kept to be sent again; then it is a number.
    #[schemars(extend("default" = "30d"))]
    pub(super) keep_dead: Option<Located<Period>>,
    /// How many attempts of a delivery are kept; older ones are counted only.
    #[schemars(extend("default" = 20))]
    pub(super) keep_attempts: Option<Located<Count>>,
    /// How much of the disk it takes, at least `256MiB`. Beyond it the oldest history goes, then the oldest dead
    /// letters, then what was owed for longest; new events always go in.
    #[schemars(extend("default" = "2GiB"))]
    pub(super) max_disk: Option<Located<Size>>,
}

mapping!(Outbox {
    on_failure,
    intent,
    max_owed,
    max_age,
    keep_history,
    keep_dead,
    keep_attempts,
    max_disk,
});

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Settle {
    /// How long after a push without an answer, or after the start, the registry is first looked at.
    #[schemars(extend("default" = "2s"))]
    pub(super) first_look: Option<Located<Period>>,
    /// When it is looked at no more; then the event says `outcome: unconfirmed`. Never before
    /// `limits.upstream_manifest` is over.
    #[schemars(extend("default" = "15m"))]
    pub(super) give_up: Option<Located<Period>>,
}

mapping!(Settle { first_look, give_up });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Source {
    /// Its name in events, logs and metrics, and in its path, `/_pushbell/hooks/<name>`: up to 64 letters, digits,
    /// `.`, `_` and `-`.
    #[schemars(required)]
    pub(super) name: Option<Located<String>>,
    /// The format of its notifications; `auto`: whatever each of them looks like.
    #[schemars(required)]
    pub(super) kind: Option<Located<IngestKind>>,
    /// What it must show, all of what is written here. A file of secrets may hold several while they are changed, one a
    /// line: each of them is right.
    pub(super) auth: Option<Located<SourceAuth>>,
    /// The registry it speaks for, as events name it. Default: `registry.name`; for `docker-hub`, `docker.io`.
    pub(super) registry: Option<Located<Name>>,
    /// Globs of the repositories it may speak for: `*` stays within a `/`, `**` does not, `!` excludes, the last
    /// match decides. Default: all.
    pub(super) repositories: Option<Located<Vec<Located<String>>>>,
    /// Believes everybody who reaches the listener, in the place of `auth`.
    #[schemars(extend("default" = false))]
    pub(super) insecure_anonymous: Option<Located<bool>>,
}

mapping!(Source {
    name, kind, auth, registry, repositories, insecure_anonymous,
} later { "callback" });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct SourceAuth {
    /// File that holds the token of `Authorization: Bearer`.
    pub(super) bearer_file: Option<Located<FilePath>>,
    /// Environment variable that holds that token.
    pub(super) bearer_env: Option<Located<String>>,
    /// File that holds the secret at the end of the path, `/_pushbell/hooks/<name>/<secret>`: 22 characters or more.
    pub(super) path_token_file: Option<Located<FilePath>>,
    /// Environment variable that holds that secret.
    pub(super) path_token_env: Option<Located<String>>,
    /// A user and a password.
    pub(super) basic: Option<Located<Basic>>,
    /// File that holds what a header must say, all of it.
    pub(super) header_file: Option<Located<FilePath>>,
    /// Environment variable that holds that.
    pub(super) header_env: Option<Located<String>>,
    /// That header. Default: `Authorization`; for `artifactory`, `X-JFrog-Event-Auth`.
    pub(super) header_name: Option<Located<String>>,
    /// File that holds the secret which the sender signs with, in the way of its kind: `github`, `gitea`,
    /// `artifactory`, `nexus` or `europa`.
    pub(super) signature_file: Option<Located<FilePath>>,
    /// Environment variable that holds that secret.
    pub(super) signature_env: Option<Located<String>>,
    /// File that holds the secret of Standard Webhooks, `whsec_…`, which another Pushbell signs with.
    pub(super) standard_webhooks_file: Option<Located<FilePath>>,
    /// Environment variable that holds that secret.
    pub(super) standard_webhooks_env: Option<Located<String>>,
    /// A token that Google signed, as Pub/Sub sends it.
    pub(super) google_token: Option<Located<GoogleToken>>,
}

mapping!(SourceAuth {
    bearer_file,
    bearer_env,
    path_token_file,
    path_token_env,
    basic,
    header_file,
    header_env,
    header_name,
    signature_file,
    signature_env,
    standard_webhooks_file,
    standard_webhooks_env,
    google_token,
});

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct GoogleToken {
    /// The audience that the subscription's authentication names.
    #[schemars(required)]
    pub(super) audience: Option<Located<String>>,
    /// The service account that the subscription authenticates as.
    #[schemars(required)]
    pub(super) email: Option<Located<String>>,
    /// File with Google's public keys, a JWK Set, from `https://www.googleapis.com/oauth2/v3/certs`; read once, at the
    /// start.
    #[schemars(required)]
    pub(super) keys_file: Option<Located<FilePath>>,
}

mapping!(GoogleToken { audience, email, keys_file });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Basic {
    /// The user's name.
    #[schemars(required)]
    pub(super) username: Option<Located<String>>,
    /// File that holds the password; one newline at its end is dropped.
    pub(super) password_file: Option<Located<FilePath>>,
    /// Environment variable that holds the password.
    pub(super) password_env: Option<Located<String>>,
}

mapping!(Basic { username, password_file, password_env });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Ingest {
    /// `events`: a notification that speaks of nothing we saw becomes an event; `evidence`: it does not, right where
    /// every push goes through us.
    #[schemars(extend("default" = "events"))]
    pub(super) mode: Option<Located<IngestMode>>,
}

mapping!(Ingest { mode });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Match {
    /// How far a notification's time may be from the push it speaks of: the registry's clock is not ours.
    #[schemars(extend("default" = "30s"))]
    pub(super) skew: Option<Located<Period>>,
    /// How long a notification that speaks of nothing we saw waits before it becomes an event, up to `10m`; less
    /// where a look at the registry says the same.
    #[schemars(extend("default" = "10s"))]
    pub(super) hold: Option<Located<Period>>,
    /// How long pushes are remembered; the event of an older notification says `late: true`.
    #[schemars(extend("default" = "24h"))]
    pub(super) memory: Option<Located<Period>>,
}

mapping!(Match { skew, hold, memory });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Endpoint {
    /// Its name in logs, metrics and commands: up to 64 letters, digits, `.`, `_` and `-`.
    #[schemars(required)]
    pub(super) name: Option<Located<String>>,
    /// Where events are posted. In path and query, `{action}`, `{registry}`, `{repository}`, `{tag}` and `{digest}`
    /// stand for what the event says, percent-encoded.
    #[schemars(required)]
    pub(super) url: Option<Located<Url>>,
    /// The body and headers it expects. Default: the preset's, else `native`.
    pub(super) dialect: Option<Located<Dialect>>,
    /// For the dialect `template`: your own body, content type and headers.
    pub(super) template: Option<Located<Template>>,
    /// A receiver whose dialect and path are known; the path is added to `url`.
    pub(super) preset: Option<Located<Preset>>,
    /// Which events it gets. Every rule must let an event through.
    pub(super) when: Option<Located<When>>,
    /// Trust and identity towards it.
    pub(super) tls: Option<Located<Tls>>,
    /// An HTTP proxy on the way there. Left out: none, whatever the environment says.
    pub(super) proxy: Option<Located<Proxy>>,
    /// How attempts are signed. Left out: they are not.
    pub(super) sign: Option<Located<Sign>>,
    /// What it calls the registry and its repositories, where that is not what clients type.
    pub(super) names: Option<Located<Names>>,
    /// How its answers are read: the word for a known receiver. Default: the preset's, else `plain`, by the
    /// status alone.
    pub(super) answers: Option<Located<Answers>>,
    /// Further headers of every attempt. No secrets: those are for `sign`.
    pub(super) headers: Option<Named<Located<String>>>,
    /// How long one attempt may take, up to `30m`.
    #[schemars(extend("default" = "10s"))]
    pub(super) timeout: Option<Located<Period>>,
    /// Attempts at the same time, up to 1024.
    #[schemars(extend("default" = 8))]
    pub(super) concurrency: Option<Located<Count>>,
    /// Attempts in a time: `50/s`, `600/m`. Default: as many as it takes.
    pub(super) rate: Option<Located<Rate>>,
    /// Whether a newer event of a tag takes the place of an older one that the receiver has not taken yet: for
    /// receivers that only want to know what the tag names now.
    #[schemars(extend("default" = false))]
    pub(super) latest_only: Option<Located<bool>>,
    /// Allows an `http://` URL: everyone on the way can read and change what is sent.
    #[schemars(extend("default" = false))]
    pub(super) insecure_http: Option<Located<bool>>,
}

mapping!(Endpoint {
    name,
    url,
    dialect,
    template,
    preset,
    when,
    tls,
    proxy,
    sign,
    names,
    answers,
    headers,
    timeout,
    concurrency,
    rate,
    latest_only,
    insecure_http,
});

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Template {
    /// The body, in the language of Jinja: `{{ reference }}`. The names are those of the native event's `data`, and
    /// `id`, `source`, `type`, `subject` and `time`. With a JSON type each value comes with its quotes.
    pub(super) body: Option<Located<String>>,
    /// Or: the file it is in, of up to 256 KiB.
    pub(super) body_file: Option<Located<FilePath>>,
    /// The value of `Content-Type`.
    #[schemars(extend("default" = "application/json"))]
    pub(super) content_type: Option<Located<String>>,
    /// Headers, each a template too.
    pub(super) headers: Option<Named<Located<String>>>,
}

mapping!(Template { body, body_file, content_type, headers });

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Proxy {
    /// Where the proxy is: `http://host:port`, or `https://host:port` if it speaks TLS itself. It is asked for a
    /// tunnel (`CONNECT`); which hosts may be reached through it is its own to decide.
    #[schemars(required)]
    pub(super) url: Option<Located<Url>>,
    /// PEM file of the CA certificates trusted for an `https://` proxy. Default: the system's.
    pub(super) ca: Option<Located<FilePath>>,
    /// Who we are to it.
    pub(super) username: Option<Located<String>>,
    /// File that holds the password; one newline at its end is dropped.
    pub(super) password_file: Option<Located<FilePath>>,
    /// Environment variable that holds the password.
    pub(super) password_env: Option<Located<String>>,
    /// Allows a password to an `http://` proxy: everyone on the way to it can read it.
    #[schemars(extend("default" = false))]
    pub(super) insecure_http: Option<Located<bool>>,
}

mapping!(Proxy { url, ca, username, password_file, password_env, insecure_http });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Names {
    /// The registry, with the port unless it is 443. Default: `registry.name`.
    pub(super) registry: Option<Located<Name>>,
    /// What is taken off the front of a repository's name, where it begins with it; whole components.
    pub(super) strip: Option<Located<String>>,
    /// What is put before it, after that.
    pub(super) prefix: Option<Located<String>>,
    /// The repository of Artifactory, such as a virtual one, that stands for the one that was pushed to.
    pub(super) repository_key: Option<Located<RepositoryKey>>,
}

mapping!(Names { registry, strip, prefix, repository_key });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct When {
    /// The actions wanted.
    #[schemars(extend("default" = ["push"]))]
    pub(super) actions: Option<Located<Vec<Located<Action>>>>,
    /// Globs of repositories: `*` stays within a `/`, `**` does not, `!` excludes, the last match
    /// decides. Default: all.
    pub(super) repositories: Option<Located<Vec<Located<String>>>>,
    /// Globs of tags, of the same kind. Default: all.
    pub(super) tags: Option<Located<Vec<Located<String>>>>,
    /// The changes wanted; an unknown change always passes. Default: all.
    pub(super) changes: Option<Located<Vec<Located<Change>>>>,
    /// The kinds wanted. Default: all but signatures, attestations and SBOMs.
    pub(super) kinds: Option<Located<Vec<Located<Kind>>>>,
    /// Whether manifests without a tag are wanted, such as the children of an index.
    #[schemars(extend("default" = false))]
    pub(super) untagged: Option<Located<bool>>,
    /// Globs of media types, of the same kind; an unknown one always passes. Default: all.
    pub(super) media_types: Option<Located<Vec<Located<String>>>>,
    /// Globs of platforms such as `linux/arm64` and `linux/arm/v7`: one of an index is enough, unknown ones
    /// always pass. Default: all.
    pub(super) platforms: Option<Located<Vec<Located<String>>>>,
    /// How we may know. Default: all.
    pub(super) origins: Option<Located<Vec<Located<Origin>>>>,
}

mapping!(When {
    actions,
    repositories,
    tags,
    changes,
    kinds,
    untagged,
    media_types,
    platforms,
    origins,
});

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Sign {
    /// How a receiver knows that an attempt is ours.
    #[schemars(extend("default" = "standard-webhooks"))]
    pub(super) scheme: Option<Located<Scheme>>,
    /// File that holds the secret or the private key; one newline at its end is dropped. For
    /// `standard-webhooks` several, one in a line, the newest first: attempts are signed with each.
    pub(super) secret_file: Option<Located<FilePath>>,
    /// Environment variable that holds the secret.
    pub(super) secret_env: Option<Located<String>>,
    /// For `basic`: the account's name; the secret is its password.
    pub(super) username: Option<Located<String>>,
    /// For `flux-hmac`: the digest.
    #[schemars(extend("default" = "sha256"))]
    pub(super) algorithm: Option<Located<Algorithm>>,
    /// For `shared-header` and `github-sha256`: the header, if not `X-Webhook-Secret` and `X-Hub-Signature-256`.
    pub(super) header: Option<Located<String>>,
    /// For `query-secret`: the parameter of the query.
    #[schemars(extend("default" = "secret"))]
    pub(super) parameter: Option<Located<String>>,
    /// For `oidc`: file that holds a token and that somebody keeps fresh; read before each attempt.
    pub(super) token_file: Option<Located<FilePath>>,
    /// For `http-message-signatures`: the identity whose key signs. Default: that of `tls`.
    pub(super) identity: Option<Located<String>>,
}

mapping!(Sign {
    scheme,
    secret_file,
    secret_env,
    username,
    algorithm,
    header,
    parameter,
    token_file,
    identity,
});

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Limits {
    /// Connections at the same time, over all listeners that serve the registry; further ones wait.
    #[schemars(extend("default" = 10_000))]
    pub(super) connections: Option<Located<Count>>,
    /// TLS handshakes at the same time, from the client's first message on; more wait, and one that takes
    /// longer than a second makes room for who waits.
    #[schemars(extend("default" = 1000))]
    pub(super) handshakes: Option<Located<Count>>,
    /// How long a handshake may take; then the connection is closed.
    #[schemars(extend("default" = "10s"))]
    pub(super) handshake: Option<Located<Period>>,
    /// How long the head of a request may take from its first byte on; then the client gets 408 and the
    /// connection is closed.
    #[schemars(extend("default" = "10s"))]
    pub(super) request_head: Option<Located<Period>>,
    /// How long a connection may wait for its next request; then it is closed.
    #[schemars(extend("default" = "75s"))]
    pub(super) idle: Option<Located<Period>>,
    /// How long a body may rest, either way; then the request is given up.
    #[schemars(extend("default" = "60s"))]
    pub(super) body_idle: Option<Located<Period>>,
    /// How long connecting to the registry may take; then the client gets 502.
    #[schemars(extend("default" = "5s"))]
    pub(super) upstream_connect: Option<Located<Period>>,
    /// How long the registry may think about a manifest; then the client gets 504.
    #[schemars(extend("default" = "120s"))]
    pub(super) upstream_manifest: Option<Located<Period>>,
    /// How long the registry may think about any other write; then the client gets 504.
    #[schemars(extend("default" = "900s"))]
    pub(super) upstream_write: Option<Located<Period>>,
    /// The largest manifest of which a copy is kept to read; a larger one passes unread.
    #[schemars(extend("default" = "4MiB"))]
    pub(super) manifest_copy: Option<Located<Size>>,
    /// All such copies together; beyond it manifests pass unread.
    #[schemars(extend("default" = "64MiB"))]
    pub(super) manifest_copies: Option<Located<Size>>,
    /// How much clients that speak HTTP/2 may send ahead of what the registry takes, together. The window of
    /// a connection that moves a body grows from 4MiB to 64MiB while there is room for it.
    #[schemars(extend("default" = "512MiB"))]
    pub(super) memory_budget: Option<Located<Size>>,
    /// How long requests and attempts may take to finish after SIGTERM; then they are cut off.
    #[schemars(extend("default" = "25s"))]
    pub(super) drain: Option<Located<Period>>,
}

mapping!(Limits {
    connections,
    handshakes,
    handshake,
    request_head,
    idle,
    body_idle,
    upstream_connect,
    upstream_manifest,
    upstream_write,
    manifest_copy,
    manifest_copies,
    memory_budget,
    drain,
});

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Admin {
    /// File that holds the token that operators have to know; one newline at its end is dropped. Default:
    /// `admin.token` in the state directory, made at the first start.
    pub(super) token_file: Option<Located<FilePath>>,
    /// Environment variable that holds the token.
    pub(super) token_env: Option<Located<String>>,
    /// Names under which the pages answer, beside `localhost`, every address, and the names of the
    /// listener's identities; the first label can be `*`. Default: none.
    pub(super) hosts: Option<Located<Vec<Located<Covered>>>>,
}

mapping!(Admin { token_file, token_env, hosts });

#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Log {
    /// The least that is logged.
    #[schemars(extend("default" = "info"))]
    pub(super) level: Option<Located<Level>>,
    /// How a line is written. Default: `text` on a terminal, `json` elsewhere.
    pub(super) format: Option<Located<Format>>,
}

mapping!(Log { level, format });
