//! Each dialect is complete, to the letter, for the receivers that read it.

use serde_json::Value;
use serde_json::json;

use crate::support::Image;
use crate::support::Index;
use crate::support::Oracle;
use crate::support::Request;
use crate::support::SECRET;
use crate::support::Stage;
use crate::tools::DIALECTS;

/// Pushes one image and yields the one webhook it becomes.
fn webhook(endpoint: &str) -> (Stage, Image, Request) {
    let stage = Stage::with_endpoint(endpoint);
    let image = Image::new(&stage.work, "dialect");
    let curl = stage.curl().with(&["--user-agent", "builder/7.1", "--user", "ci-bot:anything"]);
    assert_eq!(curl.push("team/app", "1.4.2", &image).status, 201);
    let request = stage.receiver.wait_for(1).remove(0);
    plain_integers(&request);
    (stage, image, request)
}

/// Strict receivers take no fraction and no exponent, and no number in quotes where they want one.
#[track_caller]
fn plain_integers(request: &Request) {
    fn check(value: &Value) {
        match value {
            Value::Number(number) => assert!(number.is_i64(), "{number} is no plain integer"),
            Value::Array(values) => values.iter().for_each(check),
            Value::Object(map) => map.values().for_each(check),
            _ => {}
        }
    }
    check(&request.json());
    assert!(request.body.len() < 1 << 20, "some receivers stop reading at 1 MiB");
}

#[track_caller]
fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no integer"))
}

fn below(preset: &str) -> String {
    format!("preset: {preset}\n")
}

#[test]
fn the_build_service_gets_docker_notifications() {
    let (_stage, image, request) = webhook(&below("build-service-docker"));
    assert_eq!(request.path, "/hook/v1/docker/notification");
    assert_eq!(
        request.header("content-type"),
        Some("application/vnd.docker.distribution.events.v1+json")
    );
    let events = request.json()["events"].as_array().unwrap().clone();
    let [event] = &events[..] else { panic!("one event to an envelope: {events:?}") };
    assert_eq!(event["action"], "push");
    for field in ["id", "timestamp"] {
        assert!(event[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    let target = &event["target"];
    assert_eq!(target["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(target["digest"], image.digest());
    assert_eq!(target["repository"], "team/app");
    assert_eq!(target["tag"], "1.4.2");
    assert_eq!(integer(&target["size"]), i64::try_from(image.manifest.len()).unwrap());
    assert_eq!(target["length"], target["size"]);
    let url = format!("https://registry.example.com/v2/team/app/manifests/{}", image.digest());
    assert_eq!(target["url"], url);
    let asked = &event["request"];
    assert_eq!(asked["host"], "registry.example.com");
    assert_eq!(asked["method"], "PUT");
    assert_eq!(asked["useragent"], "builder/7.1");
    assert!(asked["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(asked["addr"].as_str().is_some_and(|address| !address.is_empty()));
    assert_eq!(event["actor"]["name"], "ci-bot");
    assert!(event["source"].is_object());
}

#[test]
fn the_build_service_gets_docker_hub_webhooks() {
    let (_stage, _image, request) = webhook(&below("build-service-docker-hub"));
    assert_eq!(request.path, "/hook/v1/docker/webhook");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body = request.json();
    let pushed = &body["push_data"];
    assert_eq!(pushed["tag"], "1.4.2");
    assert_eq!(pushed["pusher"], "ci-bot");
    assert!(pushed["images"].is_array());
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    assert!((now - 600..=now + 1).contains(&integer(&pushed["pushed_at"])), "seconds");
    let repository = &body["repository"];
    assert_eq!(repository["name"], "app");
    assert_eq!(repository["namespace"], "team");
    assert_eq!(repository["owner"], "team");
    assert_eq!(repository["status"], "Active");
    let name = repository["repo_name"].as_str().unwrap();
    assert!(["team/app", "registry.example.com/team/app"].contains(&name), "{name}");
    assert!(repository["repo_url"].as_str().unwrap().starts_with("https://registry.example.com"));
    for field in ["star_count", "comment_count", "date_created"] {
        integer(&repository[field]);
    }
    for field in ["is_official", "is_private", "is_trusted"] {
        assert!(repository[field].is_boolean(), "{field}");
    }
    for field in ["description", "full_description", "dockerfile"] {
        assert!(repository[field].is_string(), "{field}");
    }
}

#[test]
fn the_build_service_gets_artifactory_webhooks() {
    let (_stage, image, request) = webhook(&below("build-service-artifactory"));
    assert_eq!(request.path, "/hook/v1/artifactory/webhook");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let webhook = request.json()["artifactory"]["webhook"].clone();
    assert_eq!(webhook["event"], "docker.tagCreated");
    assert_eq!(webhook["data"]["docker"], json!({"tag": "1.4.2", "image": "team/app"}));
    let item = &webhook["data"]["event"];
    assert_eq!(item["name"], "manifest.json");
    assert_eq!(item["relPath"], "team/app/1.4.2/manifest.json");
    assert_eq!(item["folder"], false);
    assert!(item["repoKey"].as_str().is_some_and(|key| !key.is_empty()));
    assert_eq!(item["createdBy"], "ci-bot");
    assert_eq!(item["modifiedBy"], "ci-bot");
    let now = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
    for field in ["created", "lastModified"] {
        let at = integer(&item[field]);
        assert!((now - 600_000..=now + 1000).contains(&at), "{field} {at}: milliseconds");
    }
    assert_eq!(integer(&item["size"]), i64::try_from(image.manifest.len()).unwrap());
}

#[test]
fn a_preset_completes_a_bare_host_and_keeps_a_whole_path() {
    for (path, expected) in [
        ("", "/v1/docker/notification"),
        ("/", "/v1/docker/notification"),
        ("/v1/docker/notification", "/v1/docker/notification"),
    ] {
        let work = crate::support::Workdir::new();
        let registry = crate::support::Registry::start(&work);
        let pki = crate::support::Pki::new(&work, "receiver-pki");
        let receiver = crate::support::Receiver::start(&pki, crate::support::Asks::Nothing);
        let url = receiver.url(path);
        let yaml = Stage::file(&work, &registry, &pki, &url, &below("build-service-docker"));
        let sidecar = crate::support::Sidecar::with_file(&work, &yaml);
        let image = Image::new(&work, "preset");
        let curl = crate::support::Curl::through(&work, &sidecar);
        assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
        assert_eq!(receiver.wait_for(1)[0].path, expected, "{path:?}");
    }
}

#[test]
fn url_and_headers_are_what_the_endpoint_says() {
    let work = crate::support::Workdir::new();
    let registry = crate::support::Registry::start(&work);
    let pki = crate::support::Pki::new(&work, "receiver-pki");
    let receiver = crate::support::Receiver::start(&pki, crate::support::Asks::Nothing);
    let url = receiver.url("/{action}/{digest}?tag={tag}&image={registry}/{repository}");
    let lines = "dialect: acr\nheaders: { User-Agent: Go-http-client/1.1, Content-Type: application/json; v=1 }";
    let yaml = Stage::file(&work, &registry, &pki, &format!("\"{url}\""), lines);
    let sidecar = crate::support::Sidecar::with_file(&work, &yaml);
    let image = Image::new(&work, "url");
    let curl = crate::support::Curl::through(&work, &sidecar);
    assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
    let request = receiver.wait_for(1).remove(0);
    let digest = image.digest().replace(':', "%3A");
    let expected = format!("/push/{digest}?tag=1.0&image=registry.example.com/team%2Fapp");
    assert_eq!(request.path, expected);
    assert_eq!(request.header("user-agent"), Some("Go-http-client/1.1"));
    assert_eq!(request.header("content-type"), Some("application/json; v=1"));
}

#[test]
fn a_template_is_the_operators_own_body_and_headers() {
    let body =
        r#"'{"image": {{ registry ~ "/" ~ repository ~ ":" ~ tag }}, "who": {{ actor.name }}}'"#;
    let headers = r#"{ X-Digest: "{{ digest }}" }"#;
    let lines = format!("template: {{ body: {body}, headers: {headers} }}\n");
    let (_stage, image, request) = webhook(&lines);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-digest"), Some(image.digest().as_str()));
    let expected = json!({"image": "registry.example.com/team/app:1.4.2", "who": "ci-bot"});
    assert_eq!(request.json(), expected);
    assert!(request.header("webhook-signature").is_some(), "signed as everything is");
}

/// One signed endpoint for each of these dialects, at a path of its name.
fn endpoints(dialects: &[&str]) -> Stage {
    let work = crate::support::Workdir::new();
    let registry = crate::support::Registry::start(&work);
    let pki = crate::support::Pki::new(&work, "receiver-pki");
    let receiver = crate::support::Receiver::start(&pki, crate::support::Asks::Nothing);
    let url = |dialect: &str| receiver.url(&format!("/{dialect}"));
    let first = format!("dialect: {}", dialects[0]);
    let mut yaml = Stage::file(&work, &registry, &pki, &url(dialects[0]), &first);
    for dialect in &dialects[1..] {
        yaml += &format!(
            "  - name: {dialect}\n    url: {}\n    dialect: {dialect}\n    tls: {{ ca: {} }}\n\
             \x20   sign: {{ secret_file: {} }}\n",
            url(dialect),
            pki.ca().display(),
            work.join("signing-secret").display(),
        );
    }
    let sidecar = crate::support::Sidecar::with_file(&work, &yaml);
    Stage { sidecar, receiver, registry, pki, work }
}

#[test]
fn every_dialect_tells_one_tag_in_one_post() {
    let stage = endpoints(&DIALECTS);
    let index = Index::new(&stage.work, "dialects");
    let curl = stage.curl();
    for tag in ["1.4.2", "latest"] {
        assert_eq!(curl.push_index("team/app", tag, &index).status, 201);
    }
    let requests = stage.receiver.wait_for(2 * DIALECTS.len());
    for dialect in DIALECTS {
        let path = format!("/{dialect}");
        let mine: Vec<_> = requests.iter().filter(|request| request.path == path).collect();
        assert_eq!(mine.len(), 2, "{dialect}: {mine:?}");
        if dialect == "empty" {
            assert!(mine.iter().all(|r| r.body.is_empty()), "{mine:?}");
            assert!(mine.iter().all(|r| r.header("content-type").is_none()), "{mine:?}");
            assert!(mine.iter().all(|r| r.header("content-length") == Some("0")), "{mine:?}");
            continue;
        }
        let bodies: Vec<_> =
            mine.iter().map(|r| String::from_utf8_lossy(&r.body).into_owned()).collect();
        mine.iter().for_each(|request| plain_integers(request));
        if dialect == "gcr" {
            continue;
        }
        for tag in ["1.4.2", "latest"] {
            let naming = bodies.iter().filter(|body| body.contains(tag)).count();
            assert_eq!(naming, 1, "{dialect}: {tag} in {bodies:?}");
        }
    }
}

#[test]
fn others_read_what_we_call_a_cloud_event() {
    let dialects = ["native", "cloudevents-binary", "cdevents", "cdevents-0.5"];
    let stage = endpoints(&dialects);
    let image = Image::new(&stage.work, "cloudevents");
    assert_eq!(stage.curl().push("team/app", "1.4.2", &image).status, 201);
    let requests = stage.receiver.wait_for(dialects.len());
    for request in &requests {
        let headers: serde_json::Map<_, _> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect();
        let body = String::from_utf8(request.body.clone()).unwrap();
        let asked = json!({"secret": SECRET, "headers": headers, "body": body});
        let read: Value =
            serde_json::from_str(&Oracle::ask("webhook.py", &asked).ok().out).unwrap();
        let attribute =
            |name: &str| read["attributes"][name].as_str().unwrap_or_default().to_owned();
        let data = read["data"].clone();
        assert_eq!(attribute("source"), "https://registry.example.com", "{request:?}");
        let Some(version) = request.path.strip_prefix("/cdevents") else {
            assert_eq!(attribute("type"), "dev.pushbell.image.push.v1");
            assert_eq!(attribute("subject"), "team/app:1.4.2");
            assert_eq!(data["digest"], image.digest());
            continue;
        };
        let version = if version.is_empty() { "0.4" } else { "0.5" };
        assert_eq!(attribute("type"), data["context"]["type"].as_str().unwrap());
        assert_eq!(attribute("id"), data["context"]["id"].as_str().unwrap());
        assert_eq!(attribute("subject"), data["subject"]["id"].as_str().unwrap(), "{request:?}");
        let schema = |version: &str| -> Value {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            let file = root.join(format!("tests/fixtures/schemas/cdevents-{version}.json"));
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
        };
        let ask = |version| json!({"schema": schema(version), "document": data});
        Oracle::ask("schema.py", &ask(version)).ok();
        // Flux knows 0.4 alone: the other version has to fail there.
        let other = if version == "0.4" { "0.5" } else { "0.4" };
        assert_eq!(Oracle::ask("schema.py", &ask(other)).code, 1, "{version} as {other}");
    }
}
