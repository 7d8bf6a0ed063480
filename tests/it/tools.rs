//! The commands that need no sidecar: `translate`, `verify`, `schema`, `certs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use serde_json::json;

use crate::support::Done;
use crate::support::Image;
use crate::support::Oracle;
use crate::support::SECRET;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::command;
use crate::support::command_with_input;
use crate::support::run;

const KINDS: [&str; 3] = ["distribution", "docker-hub", "artifactory-plugin"];
/// Every dialect there is.
pub(crate) const DIALECTS: [&str; 22] = [
    "native",
    "cloudevents-binary",
    "cdevents",
    "cdevents-0.5",
    "flat",
    "distribution",
    "distribution-v2",
    "docker-hub",
    "artifactory-plugin",
    "artifactory",
    "harbor",
    "quay",
    "acr",
    "github",
    "github-registry",
    "nexus",
    "gcr",
    "keel",
    "spinnaker",
    "europa",
    "slack",
    "empty",
];
const DIGEST: &str = "sha256:9f2c0b54a9cb1b7d6a9f6f9d0b0f8d4f5f0a5d1e4b1f0c9d8e7f6a5b4c3d2e1f";

/// What each kind of registry says of one push of `team/app:1.4.2`.
fn notification(kind: &str) -> String {
    let body = match kind {
        "distribution" => json!({"events": [{
            "id": "019a3c1e-7f00-7abc-8def-0123456789ab",
            "timestamp": "2026-03-01T09:15:02.123456789Z", "action": "push",
            "target": {
                "mediaType": "application/vnd.oci.image.index.v1+json", "digest": DIGEST,
                "size": 1609, "length": 1609, "repository": "team/app", "tag": "1.4.2",
                "url": format!("https://registry.example.com/v2/team/app/manifests/{DIGEST}"),
            },
            "request": {
                "id": "6b1f5a4e", "addr": "203.0.113.7", "host": "registry.example.com",
                "method": "PUT", "useragent": "docker/27.1",
            },
            "actor": {"name": "ci-bot"}, "source": {"addr": "reg-0:5000", "instanceID": "0d5e"},
        }]}),
        "docker-hub" => json!({
            "callback_url": "https://registry.hub.docker.com/u/team/app/hook/1/",
            "push_data": {"pushed_at": 1_767_225_600, "images": [], "tag": "1.4.2", "pusher": "ci-bot"},
            "repository": {
                "status": "Active", "description": "", "is_trusted": false, "full_description": "",
                "repo_url": "https://hub.docker.com/r/team/app", "owner": "team", "is_official": false,
                "is_private": true, "name": "app", "namespace": "team", "star_count": 0,
                "comment_count": 0, "date_created": 1_417_494_799, "repo_name": "team/app",
            },
        }),
        _ => json!({"artifactory": {"webhook": {"event": "docker.tagCreated", "data": {
            "docker": {"tag": "1.4.2", "image": "team/app"},
            "event": {
                "repoKey": "docker-local", "relPath": "team/app/1.4.2/manifest.json",
                "repoPath": {"repoKey": "docker-local", "path": "team/app/1.4.2/manifest.json"},
                "name": "manifest.json", "folder": false, "created": 1_767_225_600_000_u64,
                "createdBy": "ci-bot", "lastModified": 1_767_225_600_000_u64,
                "modifiedBy": "ci-bot", "size": 1582,
            },
        }}}}),
    };
    body.to_string()
}

fn translate(work: &Workdir, from: &str, to: &str, input: &str) -> Done {
    command_with_input(work, &["translate", "--from", from, "--to", to], input.as_bytes())
}

/// Where a dialect says the repository and the tag, and whether it has a place for the actor.
fn told(dialect: &str, body: &Value) -> Option<(Value, Value, bool)> {
    let at = |repository: &str, tag: &str, actor| {
        let found = |pointer: &str| body.pointer(pointer).cloned().unwrap_or_default();
        Some((found(repository), found(tag), actor))
    };
    match dialect {
        "native" => at("/data/repository", "/data/tag", true),
        "cloudevents-binary" | "flat" => at("/repository", "/tag", true),
        "cdevents" | "cdevents-0.5" => at("/customData/repository", "/customData/tag", true),
        "distribution" | "distribution-v2" => {
            assert_eq!(body["events"].as_array().unwrap().len(), 1);
            at("/events/0/target/repository", "/events/0/target/tag", true)
        }
        "docker-hub" => at("/repository/repo_name", "/push_data/tag", true),
        "artifactory-plugin" => {
            let docker = "/artifactory/webhook/data/docker";
            at(&format!("{docker}/image"), &format!("{docker}/tag"), true)
        }
        "harbor" => {
            at("/event_data/repository/repo_full_name", "/event_data/resources/0/tag", true)
        }
        "quay" => at("/repository", "/updated_tags/0", false),
        "acr" => at("/target/repository", "/target/tag", false),
        "github" => at(
            "/repository/full_name",
            "/package/package_version/container_metadata/tag/name",
            true,
        ),
        "github-registry" => at(
            "/repository/full_name",
            "/registry_package/package_version/container_metadata/tag/name",
            true,
        ),
        "nexus" => at("/component/name", "/component/version", true),
        "keel" => at("/name", "/tag", false),
        "spinnaker" => at("/artifacts/0/name", "/artifacts/0/version", false),
        "europa" => at("/repository/name", "/image/tags/0", false),
        // Two members that make one path, a reference in base64, a sentence.
        _ => None,
    }
}

#[test]
fn every_kind_is_translated_into_every_dialect() {
    let work = Workdir::new();
    let help = command(&work, &["translate", "--help"]).ok().out;
    for dialect in DIALECTS {
        assert!(help.contains(dialect), "{dialect} in {help}");
    }
    for kind in KINDS {
        for dialect in DIALECTS {
            let done = translate(&work, kind, dialect, &notification(kind));
            if dialect == "europa" && kind != "distribution" {
                // A push without a digest would read as a delete there.
                assert_eq!(done.code, 65, "{kind} to {dialect}: {done:?}");
                assert!(done.err.contains("digest"), "{done:?}");
                continue;
            }
            assert_eq!(done.code, 0, "{kind} to {dialect}: {done:?}");
            if dialect == "empty" {
                assert_eq!(done.out, "\n", "{kind} to {dialect}");
                continue;
            }
            let body: Value = serde_json::from_str(&done.out).expect("a body of JSON");
            let Some((repository, tag, actor)) = told(dialect, &body) else {
                continue;
            };
            let repository = repository.as_str().unwrap();
            assert!(repository.ends_with("team/app"), "{kind} to {dialect}: {body}");
            assert_eq!(tag, "1.4.2", "{kind} to {dialect}: {body}");
            let said = done.out.contains("ci-bot");
            assert_eq!(said, actor, "{kind} to {dialect}: the actor: {body}");
        }
    }
}

#[test]
fn every_registry_is_recognised_and_each_field_shown_with_its_place() {
    let work = Workdir::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/notifications");
    for (name, kind, shown) in [
        ("acr-push", "acr", "tag: \"1.4.2\", from /target/tag"),
        ("alibaba-push", "alibaba", "tag: \"latest\", from /push_data/tag"),
        ("artifactory-pushed", "artifactory", "registry: \"acme.jfrog.io\", from /jpd_origin"),
        (
            "artifactory-plugin-created",
            "artifactory-plugin",
            "from /artifactory/webhook/data/docker/tag",
        ),
        ("cdevents-published", "cdevents", "registry: \"reg.example.test\", from /subject/id"),
        ("distribution-2-push", "distribution", "size: 1582, from /events/0/target/size"),
        ("docker-hub-documented", "docker-hub", "tag: \"latest\", from /push_data/tag"),
        ("ecr-push", "ecr", "kind: \"index\", from /detail/manifest-media-type"),
        ("gcr-insert", "gcr", "tag: \"1.4.2\", from /message/data#/tag"),
        ("gitea-created", "gitea", "registry: \"git.example.test\", from /package/html_url"),
        ("github-package", "github", "actor: \"octo-ci\", from /sender/login"),
        ("harbor-push", "harbor", "actor: \"robot$library+ci\", from /operator"),
        ("quay-push", "quay", "time of arrival"),
    ] {
        let file = fixtures.join(format!("{name}.json"));
        let words = ["translate", "--to", "native", "-v", file.to_str().unwrap(), "--from"];
        let by_name = command(&work, &[&words[..], &[kind]].concat()).ok();
        let by_looks = command(&work, &[&words[..], &["auto"]].concat()).ok();
        assert!(by_looks.err.contains(&format!("kind: {kind}, by ")), "{}", by_looks.err);
        assert!(by_name.err.contains(shown), "{name}: {shown} in {}", by_name.err);
        let event = |done: &Done| -> Value { serde_json::from_str(&done.out).expect("an event") };
        assert_eq!(event(&by_name)["data"]["origin"], "notification");
        assert_eq!(event(&by_name)["subject"], event(&by_looks)["subject"], "{name}");
    }
}

#[test]
fn a_header_says_what_a_body_does_not() {
    let work = Workdir::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/notifications");
    let file = fixtures.join("zot-updated.json");
    let config = work.write(
        "pushbell.yaml",
        "registry: { name: zot.example.com, upstream: \"http://127.0.0.1:5000\" }\n",
    );
    let config = config.to_str().unwrap();
    let words = ["translate", "--to", "native", "-v", "-c", config, file.to_str().unwrap()];
    let headers = [
        "-Hce-specversion: 1.0",
        "-Hce-id: 1fcc4e71-3d43-4d9b-9b5e-6b4d2f3c9a10",
        "-Hce-source: zotregistry.dev",
        "-Hce-type: zotregistry.image.updated",
        "-Hce-time: 2026-03-01T09:15:02.5Z",
    ];
    let done = command(&work, &[&words[..], &headers, &["--from", "auto"]].concat()).ok();
    assert!(done.err.contains("kind: zot, by the header `ce-type`"), "{}", done.err);
    assert!(done.err.contains("action: \"push\", from header ce-type"), "{}", done.err);
    assert!(
        done.err.contains("registry: \"zot.example.com\", from our configuration"),
        "{}",
        done.err
    );
    let event: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        event["data"]["reference"].as_str().unwrap().split('@').next(),
        Some("zot.example.com/team/app:1.4.2")
    );
    let done = command(&work, &[&words[..], &["--from", "zot"]].concat());
    assert_eq!(done.code, 65, "{done:?}");
    assert!(done.err.contains("the header `ce-type` is missing"), "{done:?}");
    let done = command(&work, &[&words[..], &["--from", "zot", "-H", "nonsense"]].concat());
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.err.contains("`name: value`"), "{done:?}");
}

#[test]
fn a_template_is_tried_before_anything_is_read() {
    let work = Workdir::new();
    let body = "{\"image\": {{ registry ~ \"/\" ~ repository }}, \"tag\": {{ tag }}}";
    let good = work.write("good.jinja", body);
    let words = ["translate", "--from", "distribution", "--to", "template"];
    let with = |file: &Path| {
        let words = [&words[..], &["--template", file.to_str().unwrap()]].concat();
        command_with_input(&work, &words, notification("distribution").as_bytes())
    };
    let done = with(&good).ok();
    assert_eq!(done.out, "{\"image\": \"registry.example.com/team/app\", \"tag\": \"1.4.2\"}\n");
    let done = with(&work.write("bad.jinja", "{\n\"a\": {{ repo }}}"));
    assert_eq!((done.code, done.out.as_str()), (64, ""), "{done:?}");
    assert!(done.err.contains("line 2") && done.err.contains("bad.jinja"), "{done:?}");
    let done = command(&work, &words);
    assert!(done.code == 64 && done.err.contains("--template"), "{done:?}");
}

#[test]
fn a_translation_keeps_what_was_known_and_invents_nothing() {
    let work = Workdir::new();
    let done = translate(&work, "distribution", "native", &notification("distribution")).ok();
    let event: Value = serde_json::from_str(&done.out).unwrap();
    let data = &event["data"];
    assert_eq!(data["digest"], DIGEST);
    assert_eq!(data["registry"], "registry.example.com", "the payload's own name");
    assert_eq!(data["kind"], "index");
    assert_eq!(data["size"], 1609);
    assert_eq!(data["origin"], "notification");
    assert_eq!(data["request"]["address"], "203.0.113.7");
    assert_eq!(event["time"], "2026-03-01T09:15:02.123Z");

    let done = translate(&work, "docker-hub", "native", &notification("docker-hub")).ok();
    let event: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(event["data"]["digest"], Value::Null, "Docker Hub does not tell it");
    assert_eq!(event["data"].get("change"), None);
    assert_eq!(event["time"], "2026-01-01T00:00:00.000Z");
}

#[test]
fn a_translation_reads_a_file_and_shows_its_headers_on_demand() {
    let work = Workdir::new();
    let file = work.write("notification.json", notification("distribution"));
    let words = ["translate", "--from", "distribution", "--to", "distribution"];
    let quiet = command(&work, &[&words[..], &[file.to_str().unwrap()]].concat()).ok();
    let loud = command(&work, &[&words[..], &["-v", file.to_str().unwrap()]].concat()).ok();
    assert_eq!(quiet.out, loud.out, "the body alone is on standard output");
    let headers = loud.err.to_lowercase();
    assert!(
        headers.contains("content-type: application/vnd.docker.distribution.events.v1+json"),
        "{headers}"
    );
}

#[test]
fn a_translation_of_garbage_says_where_and_exits_65() {
    let work = Workdir::new();
    let wrong_digest = notification("distribution").replace(DIGEST, "sha256:short");
    let no_tag = notification("docker-hub").replace("\"1.4.2\"", "\"not a tag\"");
    for (kind, input, said) in [
        ("distribution", "", "line 1"),
        ("distribution", "{\"events\":[\n{\"id\": }]}", "line 2"),
        ("distribution", "{}", "events"),
        ("distribution", &wrong_digest, "digest"),
        ("docker-hub", "{\"push_data\":{}}", "repository"),
        ("docker-hub", &no_tag, "tag"),
        ("artifactory-plugin", "[]", "line 1"),
        ("artifactory-plugin", "{\"artifactory\":{}}", "webhook"),
        (
            "harbor",
            "{\"type\": \"PUSH_ARTIFACT\",\n \"event_data\": 7}",
            "line 2, column 16: `event_data`",
        ),
        ("gcr", "{\"message\": {\"data\": \"e30K\"}}", "line 1, column 22: `message.data`"),
        ("nexus", "{\"action\": \"CREATED\"}", "`asset` is missing"),
        ("auto", "{\"a\": 1}", "no notification we know"),
    ] {
        let done = translate(&work, kind, "native", input);
        assert_eq!(done.code, 65, "{kind} {input}: {done:?}");
        assert_eq!(done.out, "", "{kind} {input}");
        assert!(done.err.contains(said), "{kind} {input}: {said} in {}", done.err);
        assert!(!done.err.contains("panicked"), "{done:?}");
    }
}

#[test]
fn verify_tells_genuine_from_forged() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "verify");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let request = stage.receiver.wait_for(1).remove(0);
    let secret = stage.work.write_secret("secret", SECRET);
    let other =
        stage.work.write_secret("other", "whsec_YW5vdGhlciBzZWNyZXQgb2YgMzIgYnl0ZXMgaGVyZQ==");
    let verify = |secret: &Path, skip: &str, body: &[u8]| {
        let mut words = vec!["verify".to_owned(), "--scheme".into(), "standard-webhooks".into()];
        words.extend(["--secret-file".to_owned(), secret.display().to_string()]);
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            if name != skip {
                let value = request.header(name).unwrap();
                words.extend(["--header".to_owned(), format!("{name}: {value}")]);
            }
        }
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        command_with_input(&stage.work, &words, body)
    };
    let genuine = verify(&secret, "", &request.body);
    assert_eq!(genuine.code, 0, "{genuine:?}");
    let mut altered = request.body.clone();
    altered.push(b' ');
    for done in [
        verify(&secret, "", &altered),
        verify(&other, "", &request.body),
        verify(&secret, "webhook-id", &request.body),
        verify(&secret, "webhook-signature", &request.body),
    ] {
        assert_eq!(done.code, 1, "{done:?}");
        assert!(!done.err.trim().is_empty(), "it says why");
        assert!(!done.err.contains("whsec_"), "{done:?}");
    }
    let absent = verify(&stage.work.join("absent"), "", &request.body);
    assert_eq!(absent.code, 64, "{absent:?}");
    assert!(absent.err.contains("absent"), "{absent:?}");
}

fn schema(work: &Workdir, of: &str) -> Value {
    serde_json::from_str(&command(work, &["schema", of]).ok().out).expect("a schema of JSON")
}

#[test]
fn a_real_event_follows_the_schema_of_events() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "schema");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let event = stage.receiver.wait_for(1)[0].json();
    let schema = schema(&stage.work, "event");
    Oracle::ask("schema.py", &json!({"schema": schema, "document": event})).ok();
    for (pointer, wrong) in [
        ("/specversion", json!("0.3")),
        ("/data/action", json!("shove")),
        ("/data/digest", json!(7)),
        ("/data/platforms", json!("none")),
    ] {
        let mut event = event.clone();
        *event.pointer_mut(pointer).unwrap() = wrong;
        let done = Oracle::ask("schema.py", &json!({"schema": schema, "document": event}));
        assert_eq!(done.code, 1, "{pointer}: {done:?}");
    }
}

#[test]
fn the_schema_of_the_configuration_takes_ours_and_refuses_mistakes() {
    let work = Workdir::new();
    let schema = schema(&work, "config");
    let good = json!({
        "registry": {"name": "registry.example.com", "upstream": "http://127.0.0.1:5000"},
        "endpoints": [{
            "name": "build", "url": "https://build.example.com/hook", "dialect": "native",
            "when": {"actions": ["push"], "kinds": ["image", "index"]}, "timeout": "10s",
        }],
    });
    Oracle::ask("schema.py", &json!({"schema": schema, "document": good})).ok();
    for (pointer, wrong) in [
        ("/registry/upstream", json!(5000)),
        ("/endpoints/0/dialect", json!("klingon")),
        ("/endpoints/0/when/actions", json!(["shove"])),
        ("/endpoints/0/timeout", json!("soon")),
        ("/endpoints", json!({})),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = wrong;
        let done = Oracle::ask("schema.py", &json!({"schema": schema, "document": document}));
        assert_eq!(done.code, 1, "{pointer}: {done:?}");
    }
}

#[test]
fn certs_init_makes_what_openssl_takes_and_show_and_trust_explain_it() {
    let work = Workdir::new();
    let yaml = format!(
        "registry: {{ name: registry.example.com, upstream: \"http://127.0.0.1:5000\" }}\n\
         identities:\n  registry: {{ local_ca: {{ names: [registry.example.com, 127.0.0.1] }} }}\n\
         listeners:\n  - {{ address: \"127.0.0.1:5443\", serve: [registry], identity: registry }}\n\
         state: {{ directory: {} }}\n\
         endpoints:\n  - {{ name: build, url: \"https://build.example.com/\", dialect: native }}\n",
        work.join("state").display()
    );
    let file = work.write("pushbell.yaml", yaml);
    let certs =
        |verb: &str| command(&work, &["certs", verb, "--config", file.to_str().unwrap()]).ok();
    certs("init");
    let directory = work.join("state/certs");
    let (ca, leaf) = (directory.join("ca.pem"), directory.join("registry.pem"));
    for name in ["ca.key", "registry.key"] {
        let mode = fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-purpose", "sslserver"]);
    openssl.args(["-verify_hostname", "registry.example.com", "-CAfile"]);
    run(openssl.arg(&ca).arg(&leaf)).ok();

    let before = (fs::read(&ca).unwrap(), fs::read(&leaf).unwrap());
    certs("init");
    assert_eq!((fs::read(&ca).unwrap(), fs::read(&leaf).unwrap()), before, "what is good stays");

    let shown = certs("show").out;
    for word in ["registry", "registry.example.com", "127.0.0.1"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    let trust = certs("trust").out;
    for word in [
        "/etc/docker/certs.d/registry.example.com",
        "/etc/containers/certs.d",
        "containerd",
        ca.to_str().unwrap(),
    ] {
        assert!(trust.contains(word), "{word} in {trust}");
    }
}

#[test]
fn certificates_are_shown_for_what_they_are_wherever_they_are() {
    let work = Workdir::new();
    let certs = |words: &[&str]| {
        command(&work, &[&["certs"], words, &["--directory", "elsewhere"]].concat())
    };
    certs(&["init"]).ok();
    let shown = certs(&["show"]).ok().out;
    for word in ["registry ", "ca ", "elsewhere/ca.pem"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    assert!(certs(&["trust"]).ok().out.contains("elsewhere/ca.pem"));

    fs::write(work.join("elsewhere/registry.pem"), "noise").unwrap();
    let damaged = certs(&["show"]).ok();
    assert!(damaged.err.contains("elsewhere/registry.pem"), "{damaged:?}");
    assert!(!damaged.err.contains("has not been made"), "{damaged:?}");
    certs(&["init"]).ok();
    assert!(certs(&["show"]).ok().out.contains("registry "), "made anew");

    let beyond = certs(&["show", "--registry-name", "registry.example.com"]);
    assert_eq!(beyond.code, 64, "{beyond:?}");
    assert!(beyond.err.contains("certs renew --ca"), "{beyond:?}");
}
