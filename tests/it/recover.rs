//! What a client was told is delivered, whatever becomes of us in between.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Pid;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::prlimit;
use serde_json::Value;

use crate::support::Answer;
use crate::support::Image;
use crate::support::Request;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn an_acknowledged_push_survives_kill_while_the_receiver_is_away() {
    let mut stage = Stage::open();
    stage.receiver.down();
    let image = Image::new(&stage.work, "owed");
    let tags = ["1.0", "1.1", "1.2"];
    for tag in tags {
        assert_eq!(stage.curl().push("team/app", tag, &image).status, 201);
        // At once after the answer: what is not on disk by now is lost.
        stage.revive();
    }
    assert!(stage.receiver.requests().is_empty());
    stage.receiver.up();
    let requests = stage.receiver.wait_for(tags.len());
    let mut delivered: Vec<_> = requests.iter().map(tag_of).collect();
    delivered.sort();
    assert_eq!(delivered, tags);
    assert!(requests.iter().all(|r| r.json()["data"]["digest"] == image.digest()));
}

#[test]
fn an_attempt_cut_off_by_kill_is_repeated_under_its_id() {
    let mut stage = Stage::open();
    stage.receiver.answer(Answer::Held);
    let image = Image::new(&stage.work, "repeated");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    stage.receiver.wait_for(1);
    stage.revive();
    let requests = stage.receiver.wait_for(2);
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].json()["id"], requests[1].json()["id"]);
}

#[test]
fn what_was_delivered_is_not_told_again_after_a_restart() {
    let mut stage = Stage::open();
    let image = Image::new(&stage.work, "told once");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    stage.receiver.wait_for(1);
    stage.sidecar.stop();
    stage.revive();
    assert_eq!(stage.curl().put("team/app", "2.0", IMAGE, &image.manifest).status, 201);
    let requests = stage.receiver.wait_for(2);
    let tags: Vec<_> = requests.iter().map(|r| r.json()["data"]["tag"].clone()).collect();
    assert_eq!(tags, ["1.0", "2.0"]);
}

#[test]
fn what_we_knew_of_a_tag_is_known_after_a_kill() {
    let mut stage = Stage::open();
    let (one, two) = (Image::new(&stage.work, "one"), Image::new(&stage.work, "two"));
    assert_eq!(stage.curl().push("team/app", "1.0", &one).status, 201);
    stage.revive();
    assert_eq!(stage.curl().push("team/app", "1.0", &two).status, 201);
    let event = until("the second event", || {
        let requests = stage.receiver.requests();
        requests.iter().map(|r| r.json()).find(|e| e["data"]["digest"] == two.digest())
    });
    assert_eq!(event["data"]["change"], "moved");
    assert_eq!(event["data"]["previous_digest"], one.digest());
}

#[test]
fn a_second_process_on_one_state_directory_says_who_holds_it() {
    let stage = Stage::open();
    let file = stage.work.join("pushbell.yaml");
    let flags = ["--config", file.to_str().unwrap()];
    let mut second = Sidecar::starting(&stage.work, &flags, &[]);
    let status = second.wait();
    assert_eq!(status.code(), Some(1), "{}", second.printed());
    let printed = second.printed();
    assert!(printed.contains(&stage.sidecar.id().to_string()), "{printed}");
    let state = stage.work.join("state");
    assert!(printed.contains(state.to_str().unwrap()), "{printed}");

    assert_eq!(stage.curl().get("/v2/").status, 200, "the first one does not mind");
}

#[test]
fn the_state_is_nobody_elses() {
    let stage = Stage::open();
    let mut looked = 0;
    let mut directories = vec![stage.work.join("state")];
    while let Some(directory) = directories.pop() {
        let mode = fs::metadata(&directory).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", directory.display());
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "pem") {
                // Certificates are for everybody; whether one can reach them is the directory's affair.
                assert_eq!(mode & 0o133, 0, "{} is {mode:o}", path.display());
            } else {
                assert_eq!(mode, 0o600, "{}", path.display());
                looked += 1;
            }
        }
    }
    assert!(looked >= 3, "a database, a key and a token");
}

#[test]
fn a_full_disk_stops_no_push_and_loses_none() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "one too many");
    let curl = stage.curl();
    assert_eq!(curl.push("team/app", "0", &image).status, 201);
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["annotations"] = serde_json::json!({ "fills.the.disk": "x".repeat(30_000) });
    let manifest = manifest.to_string();
    let mut pushed = 0;
    let mut push = || {
        pushed += 1;
        let reply = curl.put("team/app", &pushed.to_string(), IMAGE, manifest.as_bytes());
        assert_eq!(reply.status, 201, "{reply:?}");
    };
    limit_files(&stage, Some(256 << 10));
    let says = |degraded: bool| {
        let parts = stage.admin().get("/readyz").json()["degraded"].to_string();
        parts.contains("\"outbox\"") == degraded
    };
    for _ in 0..100 {
        push();
        if says(true) {
            break;
        }
    }
    assert!(says(true), "the disk is not full after a hundred pushes");
    push();
    limit_files(&stage, None);
    until("the outbox to work again", || says(false).then_some(()));
    until("every push to be told", || {
        let told: HashSet<String> = stage.receiver.requests().iter().map(tag_of).collect();
        (0..=pushed).all(|tag| told.contains(&tag.to_string())).then_some(())
    });
    let page = stage.admin().get("/metrics").text();
    let gap =
        page.lines().find_map(|line| line.strip_prefix("pushbell_proxy_outbox_gap_seconds_total "));
    assert!(gap.unwrap().parse::<f64>().unwrap() > 0.0, "the gap is said");
}

/// Forbids the sidecar to write behind this byte of any file: a full disk that needs no mount.
fn limit_files(stage: &Stage, bytes: Option<u64>) {
    let pid = Pid::from_raw(stage.sidecar.id().try_into().unwrap());
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

fn tag_of(request: &Request) -> String {
    request.json()["data"]["tag"].as_str().unwrap().to_owned()
}
