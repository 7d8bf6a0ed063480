//! A disk that is full, and a database that is damaged.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::Disk;
use crate::support::Image;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::run;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

fn degraded(stage: &Stage) -> String {
    stage.admin().get("/readyz").json()["degraded"].to_string()
}

fn tags_told(stage: &Stage) -> Vec<String> {
    let tag = |body: Value| body["data"]["tag"].as_str().unwrap().to_owned();
    stage.receiver.requests().iter().map(|request| tag(request.json())).collect()
}

#[test]
fn a_damaged_database_stops_neither_us_nor_a_push() {
    let mut stage = Stage::open();
    let image = Image::new(&stage.work, "damaged");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    stage.receiver.wait_for(1);
    stage.sidecar.stop();
    let database = stage.work.join("state/outbox/outbox.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[..64].fill(0x5a);
    fs::write(&database, &bytes).unwrap();
    stage.revive();
    let kept = stage.work.join("state/outbox/outbox.db.damaged");
    assert_eq!(fs::read(&kept).unwrap(), bytes);
    assert!(degraded(&stage).contains("outbox_damaged"), "{}", degraded(&stage));
    let page = stage.admin().get("/metrics").text();
    assert!(page.contains("pushbell_outbox_damaged 1\n"), "{page}");
    assert_eq!(stage.curl().put("team/app", "2.0", IMAGE, &image.manifest).status, 201);
    until("the push to be told", || tags_told(&stage).contains(&"2.0".to_owned()).then_some(()));
    // Whoever must not miss a push gets none until somebody has looked.
    stage.sidecar.stop();
    let yaml = fs::read_to_string(stage.work.join("pushbell.yaml")).unwrap();
    let yaml = yaml + "outbox: { on_failure: reject }\n";
    stage.sidecar = Sidecar::with_file(&stage.work, &yaml);
    until("it to be not ready", || (stage.admin().get("/readyz").status == 503).then_some(()));
    let refused = stage.curl().put("team/app", "3.0", IMAGE, &image.manifest);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    fs::rename(&kept, stage.work.join("looked-at")).unwrap();
    until("it to be ready", || (stage.admin().get("/readyz").status == 200).then_some(()));
    assert_eq!(stage.curl().put("team/app", "3.0", IMAGE, &image.manifest).status, 201);
    until("the push to be told", || tags_told(&stage).contains(&"3.0".to_owned()).then_some(()));
}

/// Rule J5: it is seen and said when the reserve goes, long before an event cannot be kept.
#[test]
fn a_full_disk_is_said_while_there_is_room_in_reserve() {
    let mut stage = Stage::open();
    stage.sidecar.stop();
    let state = stage.work.join("state");
    let Some(disk) = Disk::in_memory(&state, "48m") else {
        return;
    };
    let yaml = fs::read_to_string(stage.work.join("pushbell.yaml")).unwrap();
    stage.sidecar = Sidecar::with_file(&stage.work, &yaml);
    let reserve = state.join("outbox/outbox.reserve");
    until("the reserve", || reserve.exists().then_some(()));
    let image = Image::new(&stage.work, "no room");
    let curl = stage.curl();
    assert_eq!(curl.push("team/app", "0", &image).status, 201);
    let fills = run(Command::new("dd")
        .args(["if=/dev/zero", "bs=4096", "count=100000"])
        .arg(format!("of={}", state.join("somebody-elses").display())));
    assert_ne!(fills.code, 0, "the disk is not full");
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["annotations"] = serde_json::json!({ "fills.the.disk": "x".repeat(30_000) });
    let manifest = manifest.to_string();
    let mut pushed = 0;
    while reserve.exists() {
        pushed += 1;
        assert!(pushed < 200, "the disk is full, and nobody noticed");
        let reply = curl.put("team/app", &pushed.to_string(), IMAGE, manifest.as_bytes());
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    let said = degraded(&stage);
    assert!(said.contains("lives on its reserve"), "{said}");
    assert!(!said.contains("memory only"), "every event is on the disk: {said}");
    let page = stage.admin().get("/metrics").text();
    assert!(page.contains("pushbell_outbox_reserve 0\n"), "{page}");
    assert!(page.contains("pushbell_outbox_failed 0\n"), "{page}");
    for _ in 0..20 {
        pushed += 1;
        let reply = curl.put("team/app", &pushed.to_string(), IMAGE, manifest.as_bytes());
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    assert!(!degraded(&stage).contains("memory only"), "the reserve has room for them");
    stage.receiver.wait_for(pushed + 1);
    fs::remove_file(state.join("somebody-elses")).unwrap();
    until("the reserve to come back", || {
        (reserve.exists() && !degraded(&stage).contains("outbox")).then_some(())
    });
    stage.sidecar.stop();
    drop(disk);
}
