//! Whole files, right and wrong.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use crate::registry::Kind;

use super::tree::Content;
use super::tree::Node;
use super::*;

const MINIMAL: &str = "registry: { upstream: \"http://127.0.0.1:5000\" }\n";

fn environment() -> Environment {
    Environment {
        variables: [("HOME", "/home/op"), ("SECRET", "whsec_x\n")]
            .into_iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        directory: PathBuf::from("/work-dir"),
        hostname: Some("build-host".to_owned()),
        is_root: false,
    }
}

fn parse_with(text: &str, overrides: &Overrides) -> Result<Config, Problems> {
    let path = Path::new("etc/pushbell.yaml");
    Config::parse(path, text.as_bytes().to_vec(), overrides, &environment())
}

fn parse(text: &str) -> Result<Config, Problems> {
    parse_with(text, &Overrides::default())
}

fn upstream() -> Overrides {
    Overrides { upstream: Some("http://127.0.0.1:5000".to_owned()), ..Overrides::default() }
}

/// Line, column, key and message of each problem.
fn found(problems: &Problems) -> Vec<(usize, usize, String, String)> {
    let one = |problem: &Problem| {
        let place = problem.place.as_ref();
        let line = place.and_then(Place::line).unwrap_or(0);
        let column = place.and_then(Place::column).unwrap_or(0);
        let key = place.map_or("", Place::key).to_owned();
        (line, column, key, format!("{} => {}", problem.message, problem.remedy))
    };
    problems.iter().map(one).collect()
}

/// The one problem of a text.
fn problem(text: &str) -> (usize, usize, String, String) {
    problem_with(text, &Overrides::default())
}

fn problem_with(text: &str, overrides: &Overrides) -> (usize, usize, String, String) {
    let problems = parse_with(text, overrides).expect_err(text);
    let mut found = found(&problems);
    assert_eq!(found.len(), 1, "{text}\n{problems}");
    found.remove(0)
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = "\
registry:
  name: https://registry.example.com
  upstraem: http://127.0.0.1:5000
  layout: plain
identities:
  client:
    files: { certificate: tls.crt }
listeners:
  - { address: \"0.0.0.0:5443\", serve: [registry], identity: registri }
endpoints:
  - name: one
    url: http://build.example.com/hook
    dialect: distributon
    timeout: 10
    sign: { secret_file: no-such-file }
  - name: one
    url: https://build.example.com/hook
    when:
      kinds: [images, index]
      repositories: [\"team/[\"]
      untagged: 'yes'
    concurrency: {}
    sekret: x
  - url: https://u:hunter2@build.example.com/hook
    rate: ${RATE}
outbox: [pass]
outbox: { on_failure: pass }
";
    let problems = parse(text).unwrap_err();
    let expected = [
        (2, 9, "registry.name", "leave the scheme out: `registry.example.com`"),
        (3, 3, "registry.upstraem", "did you mean `upstream`?"),
        (4, 3, "registry.layout", "part of the design, but not of this version yet"),
        (7, 12, "identities.client.files.key", "the key `key` is missing"),
        (9, 61, "listeners[0].identity", "there is no identity `registri`"),
        (12, 10, "endpoints[0].url", "`http://build.example.com/hook` is not encrypted"),
        (13, 14, "endpoints[0].dialect", "did you mean `distribution`?"),
        (14, 14, "endpoints[0].timeout", "say the unit: `10s`"),
        (15, 26, "endpoints[0].sign.secret_file", "/work-dir/etc/no-such-file"),
        (16, 11, "endpoints[1].name", "the endpoint on line 11 is called `one` already"),
        (19, 15, "endpoints[1].when.kinds[0]", "did you mean `image`?"),
        (20, 22, "endpoints[1].when.repositories[0]", "is not a pattern"),
        (21, 17, "endpoints[1].when.untagged", "in quotes is text"),
        (22, 18, "endpoints[1].concurrency", "this is a mapping => write a whole number"),
        (23, 5, "endpoints[1].sekret", "there is no key `sekret` here"),
        (24, 5, "endpoints[2].name", "the key `name` is missing"),
        (24, 10, "endpoints[2].url", "names a user"),
        (25, 11, "endpoints[2].rate", "nothing is put in for `${…}`"),
        (26, 9, "outbox", "this is not a mapping"),
        (27, 1, "outbox", "was given on line 26 already"),
    ];
    let found = found(&problems);
    for (found, (line, column, key, words)) in found.iter().zip(expected) {
        assert_eq!((found.0, found.1, found.2.as_str()), (line, column, key), "{}", found.3);
        assert!(found.3.contains(words), "{key}: {}", found.3);
    }
    assert_eq!(found.len(), expected.len(), "{problems}");
    let shown = problems.to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("20 problems in the configuration"));
    let caret = " --> etc/pushbell.yaml:19:15 (endpoints[1].when.kinds[0])\n   |\n\
                 19 |       kinds: [images, index]\n   |               ^^^^^^\n";
    assert!(shown.contains(caret), "{shown}");
}

#[test]
fn one_mistake_is_one_problem() {
    for (rest, line, column, key, words) in [
        ("acme: 1\n", 2, 1, "acme", "the keys are `registry`, `identities`,"),
        ("sources: []\n", 2, 1, "sources", "not of this version yet"),
        ("watch: []\n", 2, 1, "watch", "not of this version yet"),
        (
            "state: { postgres_url_file: x }\n",
            2,
            10,
            "state.postgres_url_file",
            "not of this version",
        ),
        ("outbox: { intent: sync }\n", 2, 11, "outbox.intent", "not of this version"),
        ("admin: { token_file: x }\n", 2, 10, "admin.token_file", "not of this version"),
        ("identities: { a: { acme: {} } }\n", 2, 20, "identities.a.acme", "not of this version"),
        ("identities: { a: {} }\n", 2, 18, "identities.a", "where the identity `a` comes from"),
        (
            "identities: { a/b: { local_ca: { names: [x] } } }\n",
            2,
            15,
            "identities.a/b",
            "no name for",
        ),
        (
            "identities: { ca: { local_ca: { names: [x] } } }\n",
            2,
            15,
            "identities.ca",
            "its files are",
        ),
        (
            "identities: { a: { local_ca: { names: [] } } }\n",
            2,
            39,
            "identities.a.local_ca.names",
            "[registry.example.com]",
        ),
        (
            "identities: { a: { local_ca: { names: [\"a:1\"] } } }\n",
            2,
            40,
            "identities.a.local_ca.names[0]",
            "not for ports => write `a`",
        ),
        (
            "identities: { a: { local_ca: { names: [a] }, files: { certificate: a, key: b } } }\n",
            2,
            53,
            "identities.a.files",
            "keep one",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [hooks] }]\n",
            2,
            47,
            "listeners[0].serve[0]",
            "not of this version",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [] }]\n",
            2,
            46,
            "listeners[0].serve",
            "nothing is served",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [admin] }]\n",
            2,
            12,
            "listeners",
            "no listener serves the registry",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [registry], proxy_protocol: true }]\n",
            2,
            58,
            "listeners[0].proxy_protocol",
            "not of this version",
        ),
        (
            "listeners: [{ address: \"192.0.2.1:1\", serve: [registry] }]\n",
            2,
            24,
            "listeners[0].address",
            "plain HTTP at `192.0.2.1:1`",
        ),
        (
            "listeners: [{ address: \"unix:/run/p.sock\", serve: [registry] }]\n",
            2,
            24,
            "listeners[0].address",
            "the registry needs a name",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [registry] }, { address: \"127.0.0.1:1\", serve: [admin] }]\n",
            2,
            71,
            "listeners[1].address",
            "listened on already, at etc/pushbell.yaml:2:24",
        ),
        (
            "listeners: [{ address: \"127.0.0.1:1\", serve: [registry], trusted_proxies: [10.0.0.1/8] }]\n",
            2,
            76,
            "listeners[0].trusted_proxies[0]",
            "`10.0.0.0/8`",
        ),
        (
            "log: { level: loud }\n",
            2,
            15,
            "log.level",
            "`error`, `warn`, `info`, `debug` and `trace`",
        ),
        ("log: { format }\n", 2, 8, "log.format", "there is no value => write `text` or `json`"),
        ("log: text\n", 2, 6, "log", "this is not a mapping"),
        ("log: !include x.yaml\n", 2, 15, "log", "the tag `!include` is not understood"),
        ("log: &log { level: info }\nadmin: { <<: *log }\n", 3, 10, "admin.<<", "merge keys"),
        ("? [a]\n: b\n", 2, 3, "", "a key must be one word"),
        ("endpoints: { name: a }\n", 2, 12, "endpoints", "this is not a list"),
        ("limits: { idle: 1.5s }\n", 2, 17, "limits.idle", "`1.5s` is no duration"),
        ("limits: { idle: 0s }\n", 2, 17, "limits.idle", "the duration is zero"),
        ("limits: { manifest_copy: 4MB }\n", 2, 26, "limits.manifest_copy", "write `4MiB`"),
        (
            "limits: { manifest_copy: 65MiB }\n",
            2,
            26,
            "limits.manifest_copy",
            "larger than all copies",
        ),
        ("limits: { connections: 0 }\n", 2, 24, "limits.connections", "write at least `1`"),
        ("limits: { connections: \"5\" }\n", 2, 24, "limits.connections", "in quotes is text"),
        ("limits: { handshake_timeout: 5s }\n", 2, 11, "limits.handshake_timeout", "the keys are"),
        ("log: { level: info, level: debug }\n", 2, 21, "log.level", "given on line 2 already"),
        ("state: { directory: ~/x }\n", 2, 21, "state.directory", "not expanded"),
    ] {
        let (l, c, k, message) = problem(&format!("{MINIMAL}{rest}"));
        assert_eq!((l, c, k.as_str()), (line, column, key), "{rest}{message}");
        assert!(message.contains(words), "{rest}{message}");
    }
}

#[test]
fn one_mistake_in_an_endpoint_is_one_problem() {
    for (rest, column, key, words) in [
        (
            "dialect: native, preset: build-service-docker",
            36,
            "dialect",
            "speaks `distribution`, not `native`",
        ),
        ("dialect: cloudevents", 36, "dialect", "not of this version"),
        ("preset: build-service", 35, "preset", "`build-service-docker`"),
        ("latest_only: true", 27, "latest_only", "not of this version"),
        ("when: { actions: [] }", 44, "when.actions", "no event is in an empty list"),
        ("when: { kinds: [] }", 42, "when.kinds", "no event is in an empty list"),
        ("when: { tags: [\"a\", \"!\"] }", 47, "when.tags[1]", "it is empty"),
        ("when: { actions: [pushed] }", 45, "when.actions[0]", "did you mean `push`?"),
        ("tls: { identity: nobody }", 44, "tls.identity", "there is no identity `nobody`"),
        ("tls: { ca_file: x }", 34, "tls.ca_file", "the keys are `ca` and `identity`"),
        ("sign: {}", 33, "sign.secret_file", "neither `secret_file` nor `secret_env`"),
        ("sign: { secret: x }", 35, "sign.secret", "would be a secret in the configuration"),
        ("sign: { secret_env: NOPE }", 47, "sign.secret_env", "`NOPE` is not set"),
        ("sign: { secret_env: SECRET, secret_file: x }", 47, "sign.secret_env", "both"),
        ("sign: { secret_env: SECRET, scheme: bearer }", 63, "sign.scheme", "not of this version"),
        ("sign: { secret_file: / }", 48, "sign.secret_file", "directory"),
        ("headers: { Authorization: Bearer x }", 38, "headers.Authorization", "would be a secret"),
        ("headers: { Content-Type: x }", 38, "headers.Content-Type", "set by us"),
        ("headers: { \"a b\": x }", 38, "headers.a b", "no name of a header"),
        ("headers: { a: x, A: y }", 44, "headers.A", "case makes no difference"),
        ("headers: { a: é }", 41, "headers.a", "visible ASCII"),
        ("timeout: 31m", 36, "timeout", "at most `30m`"),
        ("concurrency: 5000", 40, "concurrency", "at most `1024`"),
        ("rate: 50", 33, "rate", "`50/s`"),
        ("insecure_http: yes", 42, "insecure_http", "write `true`"),
        ("timeout: ", 27, "timeout", "there is no value"),
    ] {
        let text = format!("{MINIMAL}endpoints: [{{ name: a, url: \"https://h/\",\n  {rest} }}]\n");
        let (line, c, k, message) = problem(&text);
        // The column is that of a line which begins with the endpoint's other keys.
        let (column, key) = (column - 24, format!("endpoints[0].{key}"));
        assert_eq!((line, c, k.as_str()), (3, column, key.as_str()), "{rest}: {message}");
        assert!(message.contains(words), "{rest}: {message}");
    }
}

#[test]
fn one_mistake_in_the_registry_is_one_problem() {
    for (text, column, key, words) in [
        ("registry: { name: a.b }", 0, "registry.upstream", "is missing in etc/pushbell.yaml"),
        ("registri: { upstream: \"http://h\" }", 1, "registri", "did you mean `registry`?"),
        ("registry: 5", 11, "registry", "this is not a mapping"),
        ("registry: { upstream: 5000 }", 23, "registry.upstream", "has no scheme"),
        (
            "registry: { upstream: \"http://h\", upstream_tls: { ca: x } }",
            49,
            "registry.upstream_tls",
            "of no use",
        ),
        (
            "registry: { upstream: \"https://h\", look: { username: a } }",
            42,
            "registry.look.password_file",
            "neither",
        ),
        (
            "registry: { upstream: \"https://h\", look: { password_env: SECRET } }",
            42,
            "registry.look.username",
            "is missing",
        ),
        (
            "registry: { upstream: \"https://h\", look: { username: \"a:b\", password_env: SECRET } }",
            54,
            "registry.look.username",
            "cannot be sent",
        ),
    ] {
        let (_, c, k, message) = problem(text);
        assert_eq!((c, k.as_str()), (column, key), "{text}: {message}");
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn what_is_no_configuration_at_all_is_told_plainly() {
    let parse = |bytes: &[u8]| {
        let path = Path::new("p.yaml");
        let result = Config::parse(path, bytes.to_vec(), &Overrides::default(), &environment());
        let found = found(&result.unwrap_err());
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    };
    let (line, column, _, message) = parse(b"registry:\n  name: \xff\n");
    assert_eq!((line, column), (2, 9));
    assert!(message.contains("not UTF-8"), "{message}");
    assert!(parse(b"").3.contains("`registry.upstream` is missing"));
    assert!(parse(b"# nothing\n").3.contains("`registry.upstream` is missing"));
    assert!(parse(b"just text\n").3.contains("not a mapping"));
    assert!(parse(b"- a\n").3.contains("not a mapping"));
    assert!(parse(b"a: [\n").3.contains("not YAML"));
    assert!(parse(b"registry:\n\tname: x\n").3.contains("tabs"));
    assert!(parse(b"\0\0\0\0").3.len() > 10);
    let (line, column, ..) = parse(b"registry:\n  name: \"x\n");
    assert!(line >= 2 && column >= 1);
    let bom = [b"\xef\xbb\xbf".as_slice(), MINIMAL.as_bytes()].concat();
    assert!(Config::parse(Path::new("p"), bom, &Overrides::default(), &environment()).is_ok());
}

#[test]
fn a_broken_line_shows_no_secret() {
    let problems = parse("registry:\n  password: hunter2: [\n").unwrap_err();
    assert!(!problems.to_string().contains("hunter2"), "{problems}");
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment { directory: directory.path().to_owned(), ..environment() };
    fs::write(directory.path().join("big.yaml"), vec![b'#'; 10 << 20]).unwrap();
    for (name, words) in
        [("none.yaml", "No such file"), ("big.yaml", "larger than 1 MiB"), (".", "irectory")]
    {
        let problems =
            Config::load(Path::new(name), &Overrides::default(), &environment).unwrap_err();
        assert!(problems.to_string().contains(words), "{problems}");
    }
}

#[test]
fn paths_start_at_the_file() {
    let text = "registry: { upstream: \"unix:r.sock\", look: { username: a, password_env: SECRET } }\n\
                state: { directory: state }\n\
                identities: { a: { files: { certificate: a.crt, key: /a.key } } }\n";
    let config = parse(text).unwrap();
    let Upstream::Unix(path) = &config.registry.upstream.value else { panic!("{config:?}") };
    assert_eq!(path, Path::new("/work-dir/etc/r.sock"));
    assert_eq!(config.state_directory.value, Path::new("/work-dir/etc/state"));
    let IdentityOrigin::Files { certificate, key } = &config.identity("a").unwrap().origin else {
        panic!("{config:?}")
    };
    assert_eq!(certificate.value, Path::new("/work-dir/etc/a.crt"));
    assert_eq!(key.value, Path::new("/a.key"));
    assert_eq!((certificate.place.line(), certificate.place.column()), (Some(3), Some(42)));
    assert_eq!(config.registry.look.unwrap().password.expose(), b"whsec_x");
}

#[test]
fn without_a_file_everything_has_a_default() {
    let overrides = Overrides {
        webhooks: vec!["https://build.example.com/hook".to_owned(), "https://other/".to_owned()],
        ..upstream()
    };
    let config = Config::without_file(&overrides, &environment()).unwrap();
    assert_eq!(config.registry.name.to_string(), "localhost:5443");
    assert_eq!(config.state_directory.value, Path::new("/home/op/.local/state/pushbell"));
    let addresses: Vec<_> = config.listeners.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:5443", "127.0.0.1:9443"]);
    assert_eq!(config.listeners[0].identity.as_deref().map(String::as_str), Some("registry"));
    assert!(config.listeners[1].identity.is_none());
    let IdentityOrigin::LocalCa { names, directory } = &config.identities[0].origin else {
        panic!("{config:?}")
    };
    assert_eq!(names, &["localhost", "127.0.0.1", "::1"]);
    assert_eq!(directory.value, Path::new("/home/op/.local/state/pushbell/certs"));
    let names: Vec<_> = config.endpoints.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["webhook", "webhook-2"]);
    assert_eq!(config.endpoints[0].dialect, DialectName::Native);
    assert!(config.endpoints[0].sign.is_none());
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn without_a_file_the_name_follows_the_listener() {
    for (listen, name, covered) in [
        ("127.0.0.1:443", "localhost", "localhost"),
        ("127.0.0.1:0", "localhost:0", "localhost"),
        ("[::1]:5000", "localhost:5000", "localhost"),
        ("0.0.0.0:5443", "build-host:5443", "build-host"),
        ("[::]:0", "build-host:0", "build-host"),
        ("192.0.2.1:5443", "192.0.2.1:5443", "192.0.2.1"),
    ] {
        let overrides = Overrides { listen: Some(listen.to_owned()), ..upstream() };
        let config = Config::without_file(&overrides, &environment()).unwrap();
        assert_eq!(config.registry.name.to_string(), name, "{listen}");
        let IdentityOrigin::LocalCa { names, .. } = &config.identities[0].origin else {
            panic!("{config:?}")
        };
        assert!(names.iter().any(|name| name == covered), "{listen} {names:?}");
    }
}

#[test]
fn mistakes_of_the_command_line_name_the_option() {
    let some = |text: &str| Some(text.to_owned());
    let hook = || vec!["https://h/".to_owned()];
    for (overrides, key, words) in [
        (Overrides::default(), "", "give `--upstream"),
        (Overrides { upstream: some("127.0.0.1"), ..upstream() }, "--upstream", "no scheme"),
        (Overrides { listen: some("5443"), ..upstream() }, "--listen", "no address"),
        (Overrides { listen: some("unix:/s"), ..upstream() }, "--listen", "`--registry-name`"),
        (Overrides { admin: some("0.0.0.0:1"), ..upstream() }, "--admin", "plain HTTP"),
        (Overrides { registry_name: some("x"), ..upstream() }, "--registry-name", "Docker Hub"),
        (
            Overrides { webhooks: vec!["http://h/".to_owned()], ..upstream() },
            "--webhook",
            "--webhook-insecure-http",
        ),
        (Overrides { webhook_ca: Some("x".into()), ..upstream() }, "--webhook-ca", "of no use"),
        (
            Overrides { webhooks: hook(), webhook_secret_file: Some("x".into()), ..upstream() },
            "--webhook-secret-file",
            "/work-dir/x",
        ),
        (Overrides { log_level: some("x"), ..upstream() }, "--log-level", "log level"),
    ] {
        let problems = Config::without_file(&overrides, &environment()).unwrap_err();
        let found = found(&problems);
        assert_eq!(found.len(), 1, "{problems}");
        assert_eq!(found[0].2, key, "{problems}");
        assert!(found[0].3.contains(words), "{problems}");
    }
    let nowhere = Environment::default();
    let problems = Config::without_file(&upstream(), &nowhere).unwrap_err();
    assert!(problems.to_string().contains("no place for the state"), "{problems}");
}

#[test]
fn the_command_line_goes_before_the_file() {
    let text = "\
registry: { name: r.example.com, upstream: \"http://127.0.0.1:5000\" }
identities: { mine: { local_ca: { names: [r.example.com] } } }
listeners:
  - { address: \"0.0.0.0:5443\", serve: [registry], identity: mine }
  - { address: \"127.0.0.1:9443\", serve: [admin] }
state: { directory: /s }
endpoints: [{ name: webhook, url: \"https://old/\" }, { name: other, url: \"https://other/\" }]
log: { level: info }
";
    let some = |text: &str| Some(text.to_owned());
    let overrides = Overrides {
        upstream: some("https://127.0.0.1:6000"),
        registry_name: some("r.example.com:77"),
        listen: some("127.0.0.1:77"),
        admin: some("unix:admin.sock"),
        state_directory: Some("t".into()),
        webhooks: vec!["https://new/".to_owned()],
        log_level: some("debug"),
        log_format: some("json"),
        ..Overrides::default()
    };
    let config = parse_with(text, &overrides).unwrap();
    assert_eq!(config.registry.upstream.to_string(), "https://127.0.0.1:6000");
    assert_eq!(config.registry.name.to_string(), "r.example.com:77");
    let addresses: Vec<_> = config.listeners.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:77", "unix:/work-dir/admin.sock"]);
    assert_eq!(config.listeners[0].identity.as_deref().map(String::as_str), Some("mine"));
    assert_eq!(config.state_directory.value, Path::new("/work-dir/t"));
    let urls: Vec<_> = config.endpoints.iter().map(|e| e.url.to_string()).collect();
    assert_eq!(urls, ["https://new/", "https://other/"]);
    assert_eq!(config.log, Log { level: Level::Debug, format: Some(Format::Json) });
}

#[test]
fn clients_must_be_able_to_trust_what_they_type() {
    let text = "\
registry: { name: r.example.com, upstream: \"http://127.0.0.1:5000\" }
identities: { mine: { local_ca: { names: [localhost] } } }
listeners: [{ address: \"0.0.0.0:5443\", serve: [registry], identity: mine }]
";
    let (line, column, key, message) = problem(text);
    assert_eq!((line, column, key.as_str()), (2, 42, "identities.mine.local_ca.names"));
    assert!(message.contains("add `r.example.com`"), "{message}");
    assert!(parse(&text.replace("[localhost]", "[\"*.example.com\"]")).is_ok());
    let nameless = text.replace("name: r.example.com, ", "");
    let (line, column, _, message) = problem(&nameless);
    assert_eq!((line, column), (3, 24));
    assert!(message.contains("the registry needs a name"), "{message}");
}

#[test]
fn values_keep_the_text_they_were_written_as() {
    let text = format!(
        "{MINIMAL}endpoints: [{{ name: 1.20, url: \"https://h/\", preset: build-service-docker-hub, \
         when: {{ tags: [1.20, no, 0x1F], kinds: [sbom] }}, headers: {{ X-Build: 007 }}, rate: 600/m }}]\n"
    );
    let endpoint = parse(&text).unwrap().endpoints.remove(0);
    assert_eq!(endpoint.name.value, "1.20");
    assert_eq!(endpoint.dialect, DialectName::DockerHub);
    for (tag, expected) in [("1.20", true), ("no", true), ("0x1F", true), ("1.2", false)] {
        assert_eq!(endpoint.when.tags.allow(tag), expected, "{tag}");
    }
    assert_eq!(endpoint.when.kinds, Some(vec![Kind::Sbom]));
    assert_eq!(endpoint.headers[0].1, "007");
    assert_eq!(endpoint.rate.unwrap().interval(), Duration::from_millis(100));
}

#[test]
fn a_configuration_prints_no_secret() {
    let text = format!(
        "{MINIMAL}endpoints: [{{ name: a, url: \"https://h/services/T0/B0\", \
         sign: {{ secret_env: SECRET }}, headers: {{ X-Key: hunter2 }} }}]\n"
    );
    let printed = format!("{:?}", parse(&text).unwrap());
    for secret in ["whsec_x", "hunter2", "T0"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

/// The sample with what is switched off in it switched on.
fn everything(sample: &str) -> String {
    let on = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let (spaces, rest) = line.split_at(indent);
        match rest.strip_prefix('#') {
            Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase() || c == '-') => {
                format!("{spaces}{option}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    sample.lines().map(on).collect()
}

fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/pushbell.yaml");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_sample_loads_and_says_the_defaults() {
    let sample = sample();
    assert!(sample.starts_with("# yaml-language-server: $schema="));
    let config = parse(&sample).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.limits, Limits::default());
    let short = format!("{MINIMAL}endpoints: [{{ name: a, url: \"https://h/\" }}]\n");
    let default = parse(&short).unwrap();
    let (said, left) = (&config.endpoints[0], &default.endpoints[0]);
    assert_eq!((said.timeout, said.concurrency), (left.timeout, left.concurrency));
    assert_eq!(said.when.actions, left.when.actions);
    assert_eq!(config.on_failure, default.on_failure);
    assert_eq!(config.log.level, default.log.level);
}

/// Every key of a schema, `endpoints[].when.kinds`, and its default.
fn keys(schema: &Value, path: &str, found: &mut Vec<(String, Option<Value>)>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        assert!(inner["description"].as_str().is_some_and(|d| !d.is_empty()), "{path}: {inner}");
        found.push((path.clone(), inner.get("default").cloned()));
        keys(inner, &path, found);
    }
    if let Some(items) = schema.get("items") {
        keys(items, &format!("{path}[]"), found);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        keys(values, &format!("{path}.*"), found);
    }
}

/// Every key of a tree; the names an operator chooses come out as `*` as well.
fn written(node: &Node, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.trim_start_matches('.').to_owned());
    match &node.content {
        Content::Scalar { .. } => {}
        Content::List(items) => {
            items.iter().for_each(|item| written(item, &format!("{path}[]"), found));
        }
        Content::Mapping(entries) => {
            for (key, value) in entries {
                let Content::Scalar { text, .. } = &key.content else { panic!("{key:?}") };
                written(value, &format!("{path}.{text}"), found);
                written(value, &format!("{path}.*"), found);
            }
        }
    }
}

#[test]
fn the_sample_shows_every_key_of_the_schema() {
    let all = everything(&sample());
    let node = tree::parse(&all).unwrap().unwrap();
    let source = Arc::new(Source::new(Path::new("all"), all.clone(), Vec::new()));
    let mut problems = Problems::default();
    let at = At::new(&node, String::new());
    FileConfig::read(&at, &mut Reader { source, problems: &mut problems });
    assert!(problems.is_empty(), "{problems}");
    let mut shown = BTreeSet::new();
    written(&node, "", &mut shown);
    let mut known = Vec::new();
    keys(&schema(), "", &mut known);
    assert!(known.len() > 60, "{known:?}");
    for (key, default) in known {
        assert!(shown.contains(&key), "`{key}` is not in deploy/pushbell.yaml");
        let Some(default) = default else { continue };
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let default = default.replace('"', "");
        let name = key.rsplit('.').next().unwrap();
        let lines: Vec<&str> = all.lines().collect();
        let said = lines.windows(2).any(|pair| {
            pair[0].contains(&format!("Default: {default}."))
                && pair[1].trim_start().starts_with(name)
        });
        assert!(said, "deploy/pushbell.yaml does not say that `{key}` is {default} by default");
    }
}

#[test]
fn the_schema_and_we_agree() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = serde_json::json!({
        "registry": { "name": "r.example.com", "upstream": "http://127.0.0.1:5000" },
        "identities": { "a": { "local_ca": { "names": ["r.example.com"] } } },
        "listeners": [{ "address": "0.0.0.0:1", "serve": ["registry"], "identity": "a" }],
        "endpoints": [{
            "name": "e", "url": "https://h/", "timeout": "1m30s", "rate": "5/s", "concurrency": 2,
            "when": { "kinds": ["image"], "tags": ["*"] }, "headers": { "X-A": "b" }
        }],
        "limits": { "idle": "75s", "manifest_copy": "4MiB" },
        "admin": {}
    });
    assert!(validator.is_valid(&good), "{:?}", validator.iter_errors(&good).next());
    // JSON is YAML, so the same text goes both ways.
    parse(&good.to_string()).unwrap();
    for (pointer, bad) in [
        ("/registry/nmae", serde_json::json!("x")),
        ("/registry/name", Value::Null),
        ("/listeners/0/serve/0", serde_json::json!("hooks")),
        ("/endpoints/0/timeout", serde_json::json!(10)),
        ("/endpoints/0/timeout", serde_json::json!("10")),
        ("/endpoints/0/concurrency", serde_json::json!(0)),
        ("/endpoints/0/concurrency", serde_json::json!("2")),
        ("/endpoints/0/when/kinds/0", serde_json::json!("images")),
        ("/limits/manifest_copy", serde_json::json!("4MB")),
        ("/admin/token_file", serde_json::json!("x")),
    ] {
        let mut value = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match value.pointer_mut(parent).unwrap() {
            Value::Object(object) => drop(object.insert(name.to_owned(), bad)),
            Value::Array(list) => list[name.parse::<usize>().unwrap()] = bad,
            other => panic!("{other}"),
        }
        assert!(!validator.is_valid(&value), "{pointer} passes the schema");
        assert!(parse(&value.to_string()).is_err(), "{pointer} passes us");
    }
    let mut value = good;
    value["endpoints"][0].as_object_mut().unwrap().remove("url");
    assert!(!validator.is_valid(&value));
}
