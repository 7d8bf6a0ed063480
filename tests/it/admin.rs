//! Who operates it can see how it is.

use std::net::TcpListener;

use crate::support::Curl;
use crate::support::Image;
use crate::support::Pki;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::command;
use crate::support::until;

#[test]
fn it_is_live_and_ready_without_a_token() {
    let stage = Stage::open();
    until("readiness", || (stage.admin().get("/readyz").status == 200).then_some(()));
    assert_eq!(stage.admin().get("/healthz").status, 200);
    assert_eq!(stage.admin().get("/metrics").status, 200);
    assert_eq!(stage.admin().get("/nothing/here").status, 404);
    let changed = stage.admin().call("/healthz", &["--request", "POST"]);
    assert_eq!(changed.status, 405, "{changed:?}");
}

#[test]
fn only_admin_is_on_the_admin_listener_and_only_the_registry_on_its_own() {
    let stage = Stage::open();
    assert_eq!(stage.admin().get("/v2/").status, 404);
    let direct = stage.direct();
    for path in ["/metrics", "/healthz", "/_pushbell/anything"] {
        let (ours, theirs) = (stage.curl().get(path), direct.get(path));
        assert_eq!((ours.status, ours.body), (theirs.status, theirs.body), "{path}");
    }
}

/// A page in the operator's browser can have its own name point to us; it cannot say that it is somebody else.
#[test]
fn only_who_knows_our_name_is_answered() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let sidecar = Sidecar::with_file(
        &work,
        &format!(
            "registry: {{ name: registry.example.com, upstream: {} }}\n\
             identities: {{ registry: {{ local_ca: {{ names: [registry.example.com, \"*.ours.example\", localhost] }} }} }}\n\
             listeners:\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [registry, admin], identity: registry }}\n\
             admin: {{ hosts: [pushbell.registry.svc] }}\n",
            registry.url()
        ),
    );
    let (shared, own) = (Curl::through(&work, &sidecar), Curl::direct(&work, &sidecar.admin("")));
    for (host, both) in [
        ("localhost", (200, 200)),
        ("127.0.0.1:1", (200, 200)),
        ("[::1]", (200, 200)),
        ("Pushbell.Registry.SVC:9443", (200, 200)),
        ("registry.example.com", (200, 421)),
        ("a.ours.example", (200, 421)),
        ("evil.example", (421, 421)),
        ("localhost.evil.example", (421, 421)),
        ("127.0.0.1.evil.example", (421, 421)),
    ] {
        let line = format!("Host: {host}");
        let asked = |curl: &Curl, path: &str| curl.call(path, &["--header", &line]);
        for page in ["/healthz", "/readyz", "/metrics", "/nothing"] {
            let found = |status| if page == "/nothing" && status == 200 { 404 } else { status };
            let path = format!("/_pushbell{page}");
            let answers = (asked(&shared, &path), asked(&own, page));
            let statuses = (answers.0.status, answers.1.status);
            assert_eq!(statuses, (found(both.0), found(both.1)), "{host} {page}");
            if both.1 == 421 {
                assert!(answers.1.text().contains("admin.hosts"), "{:?}", answers.1);
            }
        }
    }
    // What is the registry's is asked for by whatever name.
    assert_eq!(shared.call("/v2/", &["--header", "Host: evil.example"]).status, 200);
}

#[test]
fn metrics_count_pushes_and_deliveries_and_name_no_stranger() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "counted");
    let curl = stage.curl().with(&["--user", "secret-actor:x", "--user-agent", "secret-agent"]);
    assert_eq!(curl.push("secret/repository", "secret-tag", &image).status, 201);
    stage.receiver.wait_for(1);
    let page = until("a delivery that was counted", || {
        let reply = stage.admin().get("/metrics");
        let kind = reply.header("content-type").unwrap().to_owned();
        assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let page = reply.text();
        let counted = |line: &str| {
            line.contains("endpoint=\"build\"") && line.contains("_total") && line.ends_with(" 1")
        };
        page.lines().any(counted).then_some(page)
    });
    assert!(page.ends_with("# EOF\n"), "{page}");
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("pushbell_"), "{line}");
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(!page.contains("secret"), "{page}");
}

#[test]
fn the_log_has_a_line_for_the_event_and_one_for_the_delivery() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "logged");
    assert_eq!(stage.curl().push("team/app", "1.4.2", &image).status, 201);
    let digest = image.digest();
    let what = [("repository", "team/app"), ("tag", "1.4.2"), ("digest", &*digest)];
    stage.sidecar.wait_for_log("the event", &what);
    let delivery = [("endpoint", "build"), ("attempt", "1")];
    let line = stage.sidecar.wait_for_log("the delivery", &[&what[..], &delivery[..]].concat());
    assert_eq!(line["level"], "INFO", "{line}");
    assert!(!stage.sidecar.printed().contains('\u{1b}'), "no colour where there is no terminal");
}

#[test]
fn health_asks_the_one_that_runs() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let pki = Pki::new(&work, "receiver-pki");
    let yaml = Stage::file(&work, &registry, &pki, "https://127.0.0.1:1/", "dialect: native");
    // The command reads where to ask from the same file, so the port has to stand in it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let admin = format!("127.0.0.1:{port}");
    let yaml =
        yaml.replace("\"127.0.0.1:0\", serve: [admin]", &format!("\"{admin}\", serve: [admin]"));
    let mut sidecar = Sidecar::with_file(&work, &yaml);
    let file = work.join("pushbell.yaml");
    let health = ["health", "--config", file.to_str().unwrap()];
    until("health", || (command(&work, &health).code == 0).then_some(()));

    sidecar.stop();
    let gone = command(&work, &health);
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.err.contains(&admin), "{gone:?}");
}
