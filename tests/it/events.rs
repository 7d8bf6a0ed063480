//! What the registry accepted becomes one event that says all that can be known, and nothing else does.

use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::Image;
use crate::support::Index;
use crate::support::PASSWORD;
use crate::support::Registry;
use crate::support::Stage;
use crate::support::USER;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const EVERYTHING: &str = "dialect: native\nwhen: { actions: [push, delete], untagged: true }\n";

fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().expect("a time"), &Rfc3339).unwrap()
}

#[test]
fn an_event_says_all_that_can_be_known() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "all there is");
    let before = OffsetDateTime::now_utc() - time::Duration::MILLISECOND;
    let curl = stage.curl().with(&["--user-agent", "builder/7.1"]);
    assert_eq!(curl.push("team/app", "1.4.2", &image).status, 201);
    let request = stage.receiver.wait_for(1).remove(0);
    let event = request.json();
    let digest = image.digest();

    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["source"], "https://registry.example.com");
    assert_eq!(event["type"], "dev.pushbell.image.push.v1");
    assert_eq!(event["subject"], "team/app:1.4.2");
    assert_eq!(event["datacontenttype"], "application/json");
    assert!(event["id"].as_str().is_some_and(|id| id.len() >= 32), "{event}");

    let data = &event["data"];
    for (field, expected) in [
        ("action", json!("push")),
        ("change", json!("created")),
        ("previous_digest", Value::Null),
        ("registry", json!("registry.example.com")),
        ("repository", json!("team/app")),
        ("tag", json!("1.4.2")),
        ("digest", json!(digest)),
        ("reference", json!(format!("registry.example.com/team/app:1.4.2@{digest}"))),
        ("kind", json!("image")),
        ("media_type", json!(IMAGE)),
        ("artifact_type", Value::Null),
        ("size", json!(image.manifest.len())),
        ("total_size", json!(image.total_size())),
        ("platforms", json!([])),
        ("annotations", json!({"org.opencontainers.image.revision": "all there is"})),
        ("subject_digest", Value::Null),
        ("actor", json!({"name": null})),
        ("origin", json!("proxy")),
        ("seen_by", json!(["proxy"])),
        ("outcome", json!("confirmed")),
        ("evidence", json!("response")),
        ("integrity", json!("ok")),
    ] {
        assert_eq!(data[field], expected, "{field}");
    }
    assert!(["127.0.0.1", "::1"].contains(&data["request"]["address"].as_str().unwrap()));
    assert_eq!(data["request"]["user_agent"], "builder/7.1");
    assert!(data["request"]["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(data["key"].as_str().is_some_and(|key| !key.is_empty()));
    assert!(data["sequence"].as_u64().is_some());

    let (started, answered) = (time(&data["started_at"]), time(&data["answered_at"]));
    assert!(before <= started && started <= answered && answered <= request.at, "{data}");
    assert!(time(&event["time"]) <= request.at && time(&event["time"]) >= started);
}

#[test]
fn a_tag_known_from_before_a_restart_costs_the_registry_no_question() {
    let mut stage = Stage::with("dialect: native\n", "", Registry::with_access_log);
    let (one, two) = (Image::new(&stage.work, "one"), Image::new(&stage.work, "two"));
    assert_eq!(stage.curl().push("team/app", "1.0", &one).status, 201);
    stage.receiver.wait_for(1);
    stage.revive();
    assert_eq!(stage.curl().push("team/app", "1.0", &two).status, 201);
    // What was told before may be told again, since nobody wrote down yet that it was.
    let second = until("the second push", || {
        let told = stage.receiver.requests().into_iter().map(|request| request.json());
        told.into_iter().find(|event| event["data"]["digest"] == two.digest())
    });
    assert_eq!(second["data"]["change"], "moved");
    assert_eq!(second["data"]["previous_digest"], one.digest());
    // The first push asked: that is what this would see.
    let looks = |line: &String| line.contains("HEAD /v2/team/app/manifests/1.0");
    assert_eq!(stage.registry.lines().into_iter().filter(looks).count(), 1);
}

#[test]
fn three_pushes_of_a_tag_are_created_moved_unchanged() {
    let stage = Stage::open();
    let (one, two) = (Image::new(&stage.work, "one"), Image::new(&stage.work, "two"));
    let curl = stage.curl();
    for image in [&one, &two, &two] {
        assert_eq!(curl.push("team/app", "1.0", image).status, 201);
    }
    let events: Vec<_> = stage.receiver.wait_for(3).iter().map(|r| r.json()).collect();
    let said =
        |field: &str| -> Vec<_> { events.iter().map(|e| e["data"][field].clone()).collect() };
    assert_eq!(said("change"), ["created", "moved", "unchanged"]);
    assert_eq!(said("digest"), [one.digest(), two.digest(), two.digest()]);
    assert_eq!(said("previous_digest")[1], one.digest());
    let sequence: Vec<_> = said("sequence").iter().map(|n| n.as_u64().unwrap()).collect();
    assert!(sequence.is_sorted() && sequence[0] < sequence[1] && sequence[1] < sequence[2]);
    assert_eq!(said("key")[1], said("key")[2], "the same content under the same tag");
    assert_ne!(said("key")[0], said("key")[1]);
    assert_ne!(events[1]["id"], events[2]["id"], "two pushes are two events");
}

#[test]
fn a_tag_that_was_there_before_us_is_moved_not_created() {
    let stage = Stage::open();
    let (old, new) = (Image::new(&stage.work, "old"), Image::new(&stage.work, "new"));
    assert_eq!(stage.direct().push("team/app", "1.0", &old).status, 201);
    assert_eq!(stage.curl().push("team/app", "1.0", &new).status, 201);
    let data = &stage.receiver.wait_for(1)[0].json()["data"];
    assert_eq!(data["change"], "moved");
    assert_eq!(data["previous_digest"], old.digest());
}

#[test]
fn an_index_names_its_platforms_and_its_size() {
    let stage = Stage::with_endpoint(EVERYTHING);
    let index = Index::new(&stage.work, "index");
    assert_eq!(stage.curl().push_index("team/app", "1.0", &index).status, 201);
    let requests = stage.receiver.wait_for(4);
    assert_eq!(requests.len(), 4);
    let events: Vec<_> = requests.iter().map(|r| r.json()).collect();
    for image in &index.images {
        let child = events.iter().find(|event| event["data"]["digest"] == image.digest()).unwrap();
        assert_eq!(child["data"]["tag"], Value::Null);
        assert_eq!(child["data"].get("change"), None, "there is no tag that could have changed");
        assert_eq!(child["subject"], format!("team/app@{}", image.digest()));
    }
    let data = &events.iter().find(|event| event["data"]["tag"] == "1.0").unwrap()["data"];
    assert_eq!(data["kind"], "index");
    assert_eq!(data["annotations"], json!({"org.opencontainers.image.revision": "index"}));
    let expected: Vec<_> = ["amd64", "arm64", "s390x"]
        .iter()
        .zip(&index.images)
        .map(|(architecture, image)| {
            let variant = (*architecture == "arm64").then_some("v8");
            json!({"os": "linux", "architecture": architecture, "variant": variant,
                   "digest": image.digest()})
        })
        .collect();
    assert_eq!(data["platforms"], json!(expected));
    assert_eq!(data["total_size"], index.total_size());
}

#[test]
fn blobs_uploads_reads_and_refused_requests_make_no_event() {
    let stage = Stage::with_endpoint(EVERYTHING);
    let image = Image::new(&stage.work, "silent");
    let curl = stage.curl();
    curl.blob("team/app", &image.config);
    curl.blob("team/app", &image.layer);
    let uploading = curl.call("/v2/team/app/blobs/uploads/", &["--request", "POST"]);
    let upload = uploading.header("location").unwrap().to_owned();
    assert_eq!(curl.call(&upload, &["--request", "DELETE"]).status, 204);
    let other = format!("sha256:{}", "0".repeat(64));
    let unknown = format!("/v2/team/app/manifests/{}", image.digest());
    for (reply, status) in [
        (curl.get("/v2/team/app/tags/list"), 404),
        (curl.get("/v2/team/app/manifests/absent"), 404),
        (curl.put("team/app", "1.0", IMAGE, b"{"), 400),
        (curl.put("team/app", "1.0", "text/plain", b"nothing"), 400),
        (curl.put("team/app", &other, IMAGE, &image.manifest), 400),
        (curl.call(&unknown, &["--request", "DELETE"]), 404),
    ] {
        assert_eq!(reply.status, status, "{reply:?}");
    }
    assert_eq!(curl.put("team/app", "fence", IMAGE, &image.manifest).status, 201);
    let requests = stage.receiver.wait_for(1);
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].json()["data"]["tag"], "fence");
}

#[test]
fn a_delete_is_an_event() {
    let stage = Stage::with_endpoint(EVERYTHING);
    let image = Image::new(&stage.work, "deleted");
    let curl = stage.curl();
    assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
    let path = format!("/v2/team/app/manifests/{}", image.digest());
    assert_eq!(curl.call(&path, &["--request", "DELETE"]).status, 202);
    let requests = stage.receiver.wait_for(2);
    let event = requests.iter().map(|r| r.json()).find(|e| e["data"]["action"] == "delete");
    let event = event.expect("an event of the delete");
    assert_eq!(event["type"], "dev.pushbell.image.delete.v1");
    assert_eq!(event["subject"], format!("team/app@{}", image.digest()));
    assert_eq!(event["data"]["digest"], image.digest());
    assert_eq!(event["data"]["tag"], Value::Null);
    assert_eq!(event["data"]["outcome"], "confirmed");
}

#[test]
fn the_actor_is_who_the_registry_let_in() {
    let stage = Stage::with("dialect: native\n", "", Registry::with_login);
    let image = Image::new(&stage.work, "actor");
    let stranger = stage.curl().put("team/app", "1.0", IMAGE, &image.manifest);
    assert_eq!(stranger.status, 401);
    let challenge = stranger.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Basic realm="), "{challenge}");

    let curl = stage.curl().with(&["--user", &format!("{USER}:{PASSWORD}")]);
    assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
    assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
    let requests = stage.receiver.wait_for(2);
    assert_eq!(requests.len(), 2, "nothing of the refused one");
    let first = &requests[0].json()["data"];
    assert_eq!(first["actor"], json!({"name": USER}));
    assert_eq!(first.get("change"), None, "nobody let us look, so nobody can know");
    assert_eq!(requests[1].json()["data"]["change"], "unchanged");
    for request in &requests {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(!body.contains(PASSWORD), "{body}");
    }
    assert!(!stage.sidecar.printed().contains(PASSWORD));
}

#[test]
fn a_push_by_another_spelling_is_the_same_push() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "spelling");
    let curl = stage.curl().with(&["--path-as-is"]);
    assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
    let file = stage.work.write("manifest", &image.manifest);
    let data = format!("@{}", file.display());
    let kind = format!("Content-Type: {IMAGE}");
    let options = ["--request", "PUT", "--header", &kind, "--data-binary", &data];
    for path in ["/v2/team/app/%6danifests/1.0", "/%762/team/app/manifests/%31.0"] {
        assert_eq!(curl.call(path, &options).status, 201, "{path}");
    }
    for path in [
        "/v2/team%2Fapp/manifests/1.0",
        "/v2/x/../team/app/manifests/1.0",
        "/v2/x/%2e%2e/team/app/manifests/1.0",
        "/v2//team/app/manifests/1.0",
    ] {
        let refused = curl.call(path, &options);
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
        assert_eq!(refused.json()["errors"][0]["code"], "NAME_INVALID", "{path}");
    }
    let requests = stage.receiver.wait_for(3);
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.json()["subject"] == "team/app:1.0"));
}

#[test]
fn no_client_chooses_the_registrys_name_or_its_own_address() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "spoof");
    let curl = stage.curl().with(&[
        "--header",
        "X-Forwarded-Host: evil.example",
        "--header",
        "X-Forwarded-For: 203.0.113.66",
        "--header",
        "X-Forwarded-Proto: gopher",
        "--header",
        "Forwarded: host=evil.example;for=203.0.113.66",
    ]);
    let pushed = curl.push("team/app", "1.0", &image);
    assert_eq!(pushed.status, 201);
    assert!(!pushed.header("location").unwrap().contains("evil"), "{pushed:?}");
    let body = stage.receiver.wait_for(1)[0].json().to_string();
    assert!(!body.contains("evil") && !body.contains("203.0.113.66"), "{body}");
}
