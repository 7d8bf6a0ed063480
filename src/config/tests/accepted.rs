//! What comes of a right file, of the command line, and of neither.

use crate::delivery::Dialect;
use crate::registry::Kind;

use super::super::*;
use super::MINIMAL;
use super::environment;
use super::found;
use super::parse;
use super::parse_with;
use super::problem;
use super::upstream;

#[test]
fn paths_start_at_the_file() {
    let text = "registry: { upstream: \"unix:r.sock\", look: { username: a, password_env: SECRET } }\n\
                state: { directory: state }\n\
                identities: { a: { files: { certificate: a.crt, key: /a.key } } }\n";
    let config = parse(text).unwrap();
    let Upstream::Unix(path) = &config.registry.upstream.value else { panic!("{config:?}") };
    assert_eq!(path, Path::new("/start/etc/r.sock"));
    assert_eq!(config.state_directory.value, Path::new("/start/etc/state"));
    let IdentityOrigin::Files { certificate, key } = &config.identity("a").unwrap().origin else {
        panic!("{config:?}")
    };
    assert_eq!(certificate.value, Path::new("/start/etc/a.crt"));
    assert_eq!(key.value, Path::new("/a.key"));
    assert_eq!((certificate.place.line(), certificate.place.column()), (Some(3), Some(42)));
    assert_eq!(config.registry.look.unwrap().password.expose(), b"whsec_x");
}

#[test]
fn layouts() {
    let by_path = Layout::Artifactory { key: None };
    let by_host = Layout::Artifactory { key: Some("docker-local".parse().unwrap()) };
    for (keys, expected) in [
        ("", Layout::Plain),
        ("layout: plain", Layout::Plain),
        ("layout: artifactory", by_path.clone()),
        ("layout: artifactory, artifactory: { method: repository-path }", by_path.clone()),
        (
            "layout: artifactory, \
             artifactory: { method: repository-path, repository_key: docker-local }",
            by_path,
        ),
        (
            "layout: artifactory, artifactory: { method: subdomain, repository_key: docker-local }",
            by_host.clone(),
        ),
        (
            "layout: artifactory, artifactory: { method: port, repository_key: docker-local }",
            by_host,
        ),
    ] {
        let config = parse(&format!("registry: {{ upstream: \"http://h\", {keys} }}\n")).unwrap();
        assert_eq!(config.registry.layout, expected, "{keys}");
    }
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
    assert_eq!(config.endpoints[0].dialect, Dialect::Native);
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
            "/start/x",
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
    assert_eq!(addresses, ["127.0.0.1:77", "unix:/start/admin.sock"]);
    assert_eq!(config.listeners[0].identity.as_deref().map(String::as_str), Some("mine"));
    assert_eq!(config.state_directory.value, Path::new("/start/t"));
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
    let names = |text: &str| match parse(text).unwrap().identities.remove(0).origin {
        IdentityOrigin::LocalCa { names, .. } => names,
        _ => Vec::new(),
    };
    assert_eq!(names(text), ["localhost", "r.example.com"]);
    let covered = text.replace("[localhost]", "[\"*.example.com\"]");
    assert_eq!(names(&covered), ["*.example.com"]);
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
    assert_eq!(endpoint.dialect, Dialect::DockerHub);
    for (tag, expected) in [("1.20", true), ("no", true), ("0x1F", true), ("1.2", false)] {
        assert_eq!(endpoint.when.tags.allow(tag), expected, "{tag}");
    }
    assert_eq!(endpoint.when.kinds, Some(vec![Kind::Sbom]));
    assert_eq!(endpoint.headers[0].1, "007");
    assert_eq!(endpoint.rate.unwrap().interval(), Duration::from_millis(100));
}
