//! What becomes of several pushes to one tag: which of them a receiver hears of, and what it is told of their order.

use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::Answer;
use crate::support::Conversation;
use crate::support::Curl;
use crate::support::Image;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::long;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a registry is doing: how many manifests it has, and how many of them it has answered.
#[derive(Default)]
struct Work {
    arrived: usize,
    answered: usize,
    /// The most it had at once without an answer.
    at_once: usize,
}

/// A registry that answers a manifest when it may.
fn registry(
    may: impl Fn(&Work) -> bool + Send + Sync + 'static,
) -> (Scripted, Arc<(Mutex<Work>, Condvar)>) {
    let work: Arc<(Mutex<Work>, Condvar)> = Arc::default();
    let seen = Arc::clone(&work);
    let registry = Scripted::start(move |mut conversation: Conversation| {
        while let Some(head) = conversation.head() {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            conversation.body(length.map_or(0, |length| length.parse().unwrap()));
            if !head.starts_with("PUT ") {
                conversation.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let (state, changed) = &*seen;
            let mut state = state.lock().unwrap();
            state.arrived += 1;
            state.at_once = state.at_once.max(state.arrived - state.answered);
            changed.notify_all();
            let patience = Duration::from_secs(50);
            let (mut state, _) =
                changed.wait_timeout_while(state, patience, |state| !may(state)).unwrap();
            state.answered += 1;
            changed.notify_all();
            drop(state);
            conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (registry, work)
}

/// Pushes so many manifests to one tag at once.
fn push_at_once(work: &Workdir, sidecar: &Sidecar, number: usize) {
    thread::scope(|scope| {
        for n in 0..number {
            let curl = Curl::through(work, sidecar);
            scope.spawn(move || {
                let manifest =
                    format!("{{\"schemaVersion\": 2, \"annotations\": {{\"n\": \"{n}\"}}}}");
                let reply = curl.put("team/app", "1.0", IMAGE, manifest.as_bytes());
                assert_eq!(reply.status, 201, "{reply:?}");
            });
        }
    });
}

/// Of each recorded event, whether it says `concurrent`.
fn concurrent(sidecar: &Sidecar, events: usize) -> Vec<bool> {
    until("the events to be recorded", || {
        let recorded: Vec<bool> = sidecar
            .log()
            .iter()
            .filter_map(|line| line.get("concurrent").or_else(|| line["fields"].get("concurrent")))
            .filter_map(Value::as_bool)
            .collect();
        (recorded.len() >= events).then_some(recorded)
    })
}

#[test]
fn pushes_to_one_tag_that_overlap_say_so() {
    let work = Workdir::new();
    // Each of the first two waits for the other; the third is alone.
    let (registry, _) = registry(|work| work.arrived >= 2);
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    push_at_once(&work, &sidecar, 2);
    push_at_once(&work, &sidecar, 1);
    assert_eq!(concurrent(&sidecar, 3), [true, true, false]);
    let page = Curl::direct(&work, &sidecar.admin("")).get("/metrics").text();
    assert!(page.contains("pushbell_proxy_concurrent_total 2\n"), "{page}");
}

#[test]
fn pushes_to_one_tag_are_let_through_one_after_the_other_if_that_is_wanted() {
    let work = Workdir::new();
    let (registry, seen) = registry(|_| true);
    let yaml = "registry: { name: registry.example.com, serialize_tag: true, upstream: UPSTREAM }\n\
         identities: { registry: { local_ca: { names: [localhost, registry.example.com] } } }\n\
         listeners:\n\
         \x20 - { address: \"127.0.0.1:0\", serve: [registry], identity: registry }\n\
         \x20 - { address: \"127.0.0.1:0\", serve: [admin] }\n";
    let sidecar = Sidecar::with_file(&work, &yaml.replace("UPSTREAM", &registry.url()));
    push_at_once(&work, &sidecar, 6);
    assert_eq!(seen.0.lock().unwrap().at_once, 1);
    assert_eq!(concurrent(&sidecar, 6), [false; 6]);
}

/// Nobody waits longer than ten seconds for a registry that does not answer somebody else.
#[test]
fn a_push_that_waited_too_long_for_another_goes_ahead_and_says_that_they_overlapped() {
    if !long() {
        return;
    }
    let work = Workdir::new();
    let (registry, seen) = registry(|work| work.arrived >= 2);
    let yaml = format!(
        "registry: {{ name: registry.example.com, serialize_tag: true, upstream: \"{}\" }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [localhost, registry.example.com] }} }} }}\n\
         listeners: [{{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}]\n",
        registry.url()
    );
    let sidecar = Sidecar::with_file(&work, &yaml);
    push_at_once(&work, &sidecar, 2);
    assert_eq!(seen.0.lock().unwrap().at_once, 2);
    assert_eq!(concurrent(&sidecar, 2), [true; 2]);
    sidecar.wait_for_log("that it did not wait any longer", &[("waited", "10s")]);
}

#[test]
fn an_endpoint_that_wants_the_latest_only_is_told_of_the_first_and_the_last() {
    let stage = Stage::with_endpoint("dialect: native\nlatest_only: true\n");
    stage.receiver.answer(Answer::Held);
    let image = Image::new(&stage.work, "moving");
    let curl = stage.curl();
    assert_eq!(curl.push("team/app", "latest", &image).status, 201);
    stage.receiver.wait_for(1);
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    for n in 0..5 {
        manifest["annotations"] = serde_json::json!({ "n": n.to_string() });
        let manifest = manifest.to_string();
        assert_eq!(curl.put("team/app", "latest", IMAGE, manifest.as_bytes()).status, 201);
    }
    stage.receiver.release();
    let requests = stage.receiver.wait_for(2);
    assert_eq!(requests[1].json()["data"]["annotations"]["n"], "4");
    assert_eq!(curl.put("team/app", "other", IMAGE, &image.manifest).status, 201);
    let requests = stage.receiver.wait_for(3);
    assert_eq!(requests.len(), 3, "nothing else of the tag is told");
    let page = stage.admin().get("/metrics").text();
    assert!(page.contains("pushbell_outbox_replaced_total{endpoint=\"build\"} 4\n"), "{page}");
    stage.sidecar.wait_for_log("what took whose place", &[("sequence", "2"), ("by", "3")]);
}
