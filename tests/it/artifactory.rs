//! Artifactory says in several ways which of its repositories is meant; events keep key and image apart.
//!
//! The registry is Docker Distribution below the path that Artifactory's API has, so every push is a real
//! one; what Artifactory alone does is scripted.

use std::fs;

use serde_json::Value;
use serde_json::json;

use crate::support::Asks;
use crate::support::Curl;
use crate::support::Http;
use crate::support::Image;
use crate::support::Pki;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Skopeo;
use crate::support::Stage;
use crate::support::Workdir;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const API: &str = "/artifactory/api/docker/docker-local";
const BY_PATH: &str = "layout: artifactory";
const BY_PORT: &str =
    "layout: artifactory\n  artifactory: { method: port, repository_key: docker-local }";

/// A stage whose registry has these lines in its `http` section, and the sidecar this layout.
fn stage(layout: &str, lines: &str, endpoint: &str) -> Stage {
    let work = Workdir::new();
    let registry = Registry::with(&work, Http::Plain, lines);
    let pki = Pki::new(&work, "receiver-pki");
    let receiver = Receiver::start(&pki, Asks::ClientCertificate);
    let yaml = Stage::file(&work, &registry, &pki, &receiver.url("/hook"), endpoint);
    let yaml = yaml.replacen("registry:\n", &format!("registry:\n  {layout}\n"), 1);
    let sidecar = Sidecar::with_file(&work, &yaml);
    Stage { sidecar, receiver, registry, pki, work }
}

fn below_the_api(layout: &str, endpoint: &str) -> Stage {
    stage(layout, &format!("  prefix: {API}/\n"), endpoint)
}

/// curl that finds the registry's API below this path.
fn below(stage: &Stage, base: &str) -> Curl {
    let curl = Curl::direct(&stage.work, &stage.sidecar.url(base));
    curl.with(&["--cacert", stage.sidecar.ca().to_str().unwrap()])
}

fn named(event: &Value) -> Value {
    let data = &event["data"];
    json!([data["repository"], data["artifactory"]])
}

#[test]
fn a_port_or_a_subdomain_is_a_repository_of_its_own() {
    let stage = below_the_api(BY_PORT, "dialect: native\n");
    let (old, new) = (Image::new(&stage.work, "old"), Image::new(&stage.work, "new"));
    // One is there before us, so that what the tag was can only be known by looking at the right place.
    let direct = Curl::direct(&stage.work, &format!("{}{API}", stage.registry.url()));
    assert_eq!(direct.push("team/app", "1.0", &old).status, 201);
    for protocol in ["--http1.1", "--http2"] {
        let curl = stage.curl().with(&[protocol]);
        let pushed = curl.push("team/app", "1.0", &new);
        assert_eq!(pushed.status, 201, "{pushed:?}");
        assert_eq!(curl.manifest("team/app", "1.0").body, new.manifest);
        assert_eq!(curl.get("/v2/").status, 200);
        let escaped = curl.put("team/%61pp", "escaped", IMAGE, &new.manifest);
        assert_eq!(escaped.status, 201, "{escaped:?}");
    }
    assert_eq!(direct.manifest("team/app", "1.0").body, new.manifest);
    let events: Vec<Value> = stage.receiver.wait_for(4).iter().map(|r| r.json()).collect();
    let expected =
        json!(["team/app", {"repository_key": "docker-local", "image_name": "team/app"}]);
    assert!(events.iter().all(|event| named(event) == expected), "{events:?}");
    let first = events.iter().find(|event| event["data"]["change"] == "moved").unwrap();
    assert_eq!(first["data"]["previous_digest"], old.digest());
    let reference = first["data"]["reference"].as_str().unwrap();
    assert!(reference.starts_with("registry.example.com/team/app:1.0@"), "{reference}");
}

#[test]
fn skopeo_pushes_and_pulls_through_a_port_of_artifactory() {
    let stage = below_the_api(BY_PORT, "dialect: native\n");
    let image = Image::new(&stage.work, "skopeo");
    let layout = image.layout(&stage.work, "pushed");
    let trust = stage.sidecar.cert_dir(&stage.work);
    let name = format!("{}/team/app:1.0", stage.sidecar.host());
    Skopeo::push(&trust, &layout, &name, &[]).ok();
    let pulled = stage.work.join("pulled");
    Skopeo::pull(&trust, &name, &pulled).ok();
    let blob = image.digest().replace("sha256:", "blobs/sha256/");
    assert_eq!(fs::read(pulled.join(blob)).unwrap(), image.manifest);
    assert_eq!(stage.receiver.wait_for(1)[0].json()["subject"], "team/app:1.0");
}

#[test]
fn the_path_of_the_api_is_understood_with_every_method() {
    for (layout, repository) in [(BY_PATH, "docker-local/team/app"), (BY_PORT, "team/app")] {
        let stage = below_the_api(layout, "dialect: native\n");
        let image = Image::new(&stage.work, "direct");
        let curl = below(&stage, API);
        assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
        let location = curl.blob("team/app", b"more");
        assert!(location.starts_with(&stage.sidecar.url(API)), "{location}");
        let event = stage.receiver.wait_for(1)[0].json();
        let expected =
            json!([repository, {"repository_key": "docker-local", "image_name": "team/app"}]);
        assert_eq!(named(&event), expected, "{layout}");
    }
}

#[test]
fn a_name_that_begins_with_a_key_is_taken_apart() {
    let stage = stage(BY_PATH, "", "dialect: artifactory-plugin\n");
    let image = Image::new(&stage.work, "by path");
    assert_eq!(stage.curl().push("docker-local/team/app", "1.0", &image).status, 201);
    let webhook = stage.receiver.wait_for(1)[0].json();
    let data = &webhook["artifactory"]["webhook"]["data"];
    assert_eq!(data["docker"], json!({"tag": "1.0", "image": "team/app"}));
    assert_eq!(data["event"]["repoKey"], "docker-local");
    assert_eq!(data["event"]["relPath"], "team/app/1.0/manifest.json");
}

#[test]
fn without_the_layout_a_path_of_the_api_is_no_push() {
    let stage = below_the_api("layout: plain", "dialect: native\n");
    let image = Image::new(&stage.work, "control");
    assert_eq!(below(&stage, API).push("team/app", "1.0", &image).status, 201);
    assert_eq!(stage.sidecar.printed().matches("Event recorded").count(), 0);
}

/// Artifactory makes its locations of the base it is told.
#[test]
fn artifactory_learns_what_it_is_called() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            let told: Vec<&str> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .filter(|(name, _)| name.eq_ignore_ascii_case("x-jfrog-override-base-url"))
                .map(|(_, value)| value)
                .collect();
            let target = head.split(' ').nth(1).unwrap();
            conversation.say(format!(
                "HTTP/1.1 202 Accepted\r\nLocation: {}{target}5f1c?a=b%2Fc\r\n\
                 Content-Length: 0\r\n\r\n",
                told.join(" and ")
            ));
        }
    });
    let work = Workdir::new();
    let yaml = format!(
        "registry:\n  name: registry.example.com\n  upstream: {}\n  {BY_PORT}\n\
         identities: {{ registry: {{ local_ca: {{ names: [localhost, registry.example.com] }} }} }}\n\
         listeners:\n  - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n",
        registry.url()
    );
    let sidecar = Sidecar::with_file(&work, &yaml);
    let begin =
        ["--request", "POST", "--header", "X-JFrog-Override-Base-Url: https://evil.example"];
    for protocol in ["--http1.1", "--http2"] {
        let curl = Curl::through(&work, &sidecar).with(&[protocol]);
        let begun = curl.call("/v2/team/app/blobs/uploads/", &begin);
        let expected = sidecar.url(&format!("{API}/v2/team/app/blobs/uploads/5f1c?a=b%2Fc"));
        assert_eq!(begun.header("location"), Some(&*expected), "{begun:?}");
        // Whoever follows it is understood as it is.
        assert_eq!(curl.call(&expected, &["--request", "PATCH"]).status, 202);
        let last = registry.heads().pop().unwrap();
        assert!(last.starts_with(&format!("PATCH {API}/v2/team/app/blobs/uploads/5f1c?a=b%2Fc ")));
    }
}
