//! A blob that a registry takes over from another of its repositories is an event for whoever asks for it
//! (delivery-guarantees 3.7).

use serde_json::Value;
use serde_json::json;

use crate::support::Curl;
use crate::support::Image;
use crate::support::Stage;
use crate::support::sha256;

const MOUNTS: &str = "dialect: native\nwhen: { actions: [push, mount] }\n";

/// Asks for a blob of `team/base` in another repository.
fn mount(curl: &Curl, repository: &str, query: &str) -> u16 {
    let path = format!("/v2/{repository}/blobs/uploads/?{query}");
    curl.call(&path, &["--request", "POST", "--user-agent", "builder/7.1"]).status
}

/// Uploads a blob, and says what it is called.
fn upload(curl: &Curl, bytes: &[u8]) -> String {
    curl.blob("team/base", bytes);
    sha256(bytes)
}

#[test]
fn a_mount_is_told_and_an_upload_is_not() {
    let stage = Stage::with_endpoint(MOUNTS);
    let (curl, image) = (stage.curl(), Image::new(&stage.work, "afterwards"));
    let blob = upload(&curl, b"a layer that two images have");
    let missing = format!("sha256:{}", "0".repeat(64));
    for (query, status) in [
        (format!("mount={missing}&from=team/base"), 202),
        (format!("mount={blob}&from=team/none"), 202),
        (format!("mount={blob}&mount={missing}&from=team/none"), 202),
        (String::new(), 202),
        (format!("mount={blob}&from=team/base"), 201),
        (format!("from=team%2Fbase&mount={}", blob.replace(':', "%3A")), 201),
    ] {
        assert_eq!(mount(&curl, "team/app", &query), status, "{query}");
    }
    assert_eq!(curl.push("team/other", "1.0", &image).status, 201);
    let told: Vec<Value> = stage.receiver.wait_for(3).iter().map(|r| r.json()).collect();
    let actions: Vec<&Value> = told.iter().map(|event| &event["data"]["action"]).collect();
    assert_eq!(actions, ["mount", "mount", "push"]);
    assert_ne!(told[0]["id"], told[1]["id"], "two mounts happened");
    assert_eq!(told[0]["type"], "dev.pushbell.image.mount.v1");
    assert_eq!(told[0]["subject"], format!("team/app@{blob}"));
    let data = &told[0]["data"];
    for (field, expected) in [
        ("repository", json!("team/app")),
        ("tag", Value::Null),
        ("digest", json!(blob)),
        ("reference", json!(format!("registry.example.com/team/app@{blob}"))),
        ("change", Value::Null),
        ("kind", Value::Null),
        ("media_type", Value::Null),
        ("size", Value::Null),
        ("origin", json!("proxy")),
        ("outcome", json!("confirmed")),
        ("evidence", json!("response")),
        ("integrity", json!("ok")),
    ] {
        assert_eq!(data[field], expected, "{field}");
    }
    assert_eq!(data["request"]["user_agent"], "builder/7.1");
    assert_eq!(data["key"], told[1]["data"]["key"]);
}

#[test]
fn a_mount_is_durable_before_its_client_hears_of_it() {
    let mut stage = Stage::with_endpoint(MOUNTS);
    let curl = stage.curl();
    let blob = upload(&curl, b"a layer that survives");
    stage.receiver.down();
    assert_eq!(mount(&curl, "team/app", &format!("mount={blob}&from=team/base")), 201);
    stage.revive();
    stage.receiver.up();
    let told = stage.receiver.wait_for(1).remove(0).json();
    assert_eq!(told["subject"], format!("team/app@{blob}"));
}

#[test]
fn nobody_is_told_of_a_mount_who_did_not_ask() {
    let mut stage = Stage::with_endpoint("dialect: native\nwhen: { untagged: true }\n");
    let (curl, image) = (stage.curl(), Image::new(&stage.work, "afterwards"));
    let blob = upload(&curl, b"a layer");
    assert_eq!(mount(&curl, "team/app", &format!("mount={blob}&from=team/base")), 201);
    assert_eq!(curl.push("team/other", "1.0", &image).status, 201);
    stage.receiver.wait_for(1);
    stage.sidecar.stop();
    let recorded =
        stage.sidecar.log().into_iter().filter(|line| line["message"] == "Event recorded");
    assert_eq!(recorded.map(|line| line["action"].clone()).collect::<Vec<_>>(), ["push"]);
}
