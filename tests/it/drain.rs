//! Stopping in the middle of anything loses nothing.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::support::Answer;
use crate::support::Image;
use crate::support::Raw;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::sha256;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Waits until no connection is accepted any more.
fn closed(stage: &Stage) {
    let address = stage.sidecar.address("registry");
    until("the listener to close", || TcpStream::connect(address).err().map(drop));
}

/// Begins to upload a blob and stops halfway. Yields the connection and the other half.
fn half_an_upload(stage: &Stage) -> (Raw, Vec<u8>) {
    let blob = vec![b'x'; 1 << 20];
    let begun = stage.curl().call("/v2/team/app/blobs/uploads/", &["--request", "POST"]);
    let location = begun.header("location").unwrap();
    let target = location.trim_start_matches(stage.sidecar.url("").as_str());
    let mut raw = Raw::connect(&stage.sidecar);
    raw.send(format!(
        "PUT {target}&digest={} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        sha256(&blob),
        stage.sidecar.host(),
        blob.len()
    ));
    assert!(raw.head().starts_with("HTTP/1.1 100 "), "the request has begun");
    let (first, rest) = blob.split_at(blob.len() / 2);
    raw.send(first);
    (raw, rest.to_vec())
}

#[test]
fn an_upload_in_flight_is_finished_before_we_go() {
    let mut stage = Stage::open();
    let (mut raw, rest) = half_an_upload(&stage);
    stage.sidecar.terminate();
    closed(&stage);
    assert_eq!(
        stage.admin().get("/readyz").status,
        503,
        "not ready, and the admin listener is the last to go"
    );
    assert!(stage.sidecar.runs());
    raw.send(rest);
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert!(raw.closes(), "nothing more on this connection");
    assert_eq!(stage.sidecar.wait().code(), Some(0), "{}", stage.sidecar.printed());
}

#[test]
fn a_push_in_flight_is_finished_and_told() {
    let mut stage = Stage::open();
    let image = Image::new(&stage.work, "in flight");
    let curl = stage.curl();
    curl.blob("team/app", &image.config);
    curl.blob("team/app", &image.layer);
    let mut raw = Raw::connect(&stage.sidecar);
    raw.send(format!(
        "PUT /v2/team/app/manifests/1.0 HTTP/1.1\r\nHost: {}\r\nContent-Type: {IMAGE}\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        stage.sidecar.host(),
        image.manifest.len()
    ));
    assert!(raw.head().starts_with("HTTP/1.1 100 "), "the request has begun");
    let (first, rest) = image.manifest.split_at(100);
    raw.send(first);
    stage.sidecar.terminate();
    closed(&stage);
    raw.send(rest);
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert_eq!(stage.sidecar.wait().code(), Some(0), "{}", stage.sidecar.printed());

    stage.revive();
    let requests = stage.receiver.wait_for(1);
    assert_eq!(requests[0].json()["data"]["digest"], image.digest());
}

#[test]
fn an_attempt_in_flight_is_finished_and_not_repeated() {
    let mut stage = Stage::open();
    stage.receiver.answer(Answer::Held);
    let image = Image::new(&stage.work, "attempt");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    stage.receiver.wait_for(1);
    stage.sidecar.terminate();
    closed(&stage);
    stage.receiver.release();
    assert_eq!(stage.sidecar.wait().code(), Some(0), "{}", stage.sidecar.printed());

    stage.revive();
    assert_eq!(stage.curl().put("team/app", "fence", IMAGE, &image.manifest).status, 201);
    let requests = stage.receiver.wait_for(2);
    assert_eq!(requests[1].json()["data"]["tag"], "fence", "the first one was not told again");
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut stage = Stage::open();
    let (mut raw, _rest) = half_an_upload(&stage);
    stage.sidecar.terminate();
    closed(&stage);
    assert!(stage.sidecar.runs());
    stage.sidecar.terminate();
    let status = stage.sidecar.wait();
    assert_eq!(status.code(), Some(1), "work was left: {}", stage.sidecar.printed());
    assert!(raw.closes());
}

#[test]
fn an_idle_connection_does_not_hold_us_up() {
    let mut stage = Stage::open();
    let mut idle = Raw::connect(&stage.sidecar);
    idle.send(format!("GET /v2/ HTTP/1.1\r\nHost: {}\r\n\r\n", stage.sidecar.host()));
    assert!(idle.head().starts_with("HTTP/1.1 200 "));
    let _silent = TcpStream::connect(stage.sidecar.address("registry")).unwrap();
    let _greeted = Raw::connect(&stage.sidecar);
    stage.sidecar.stop();
    assert!(idle.closes());
}

#[test]
fn an_idle_http_2_connection_does_not_hold_us_up() {
    let mut stage = Stage::open();
    let mut idle = Raw::speaking(&stage.sidecar, rustls::DEFAULT_VERSIONS, &[b"h2"]);
    // The preface and empty settings, RFC 9113 §3.4; then nothing more, not even an answer to a ping.
    idle.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let _greeted = Raw::speaking(&stage.sidecar, rustls::DEFAULT_VERSIONS, &[b"h2"]);
    stage.sidecar.stop();
    assert!(idle.closes());
}

#[test]
fn an_operator_who_never_finishes_does_not_hold_us_up() {
    let mut stage = Stage::open();
    let mut operator = TcpStream::connect(stage.sidecar.address("admin")).unwrap();
    operator.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    // Answered means that the connection before it was accepted, too.
    assert_eq!(stage.admin().get("/healthz").status, 200);
    let began = Instant::now();
    stage.sidecar.stop();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Between the end of the outbox and our own there is a moment in which the registry may still answer.
#[test]
fn a_success_whose_event_comes_too_late_is_not_passed_on() {
    let (_registry, _work, said) = too_late("outbox: { intent: off }\n");
    assert!(!said.contains(" 201 "), "nobody keeps its event");
}

#[test]
fn a_success_whose_intent_is_kept_is_passed_on_and_told_after_the_next_start() {
    let settle = "settle: { first_look: 50ms }\n";
    let (registry, work, said) = too_late(settle);
    assert!(said.contains(" 201 "), "it is true, and its intent is on the disk");
    let sidecar = Sidecar::before(&work, &registry.url(), settle);
    let what = [("message", "Event recorded"), ("tag", "1.0"), ("evidence", "look")];
    sidecar.wait_for_log("the event", &what);
}

/// What a client is told whose push the registry accepts after the outbox has ended. From then on the registry
/// has it.
fn too_late(more: &str) -> (Scripted, Workdir, String) {
    let (answer, answers) = std::sync::mpsc::channel::<()>();
    let (answers, pushed) = (Mutex::new(answers), AtomicBool::new(false));
    let registry = Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            if head.starts_with("HEAD ") {
                let found = if pushed.load(Ordering::SeqCst) {
                    format!("200 OK\r\nDocker-Content-Digest: {}", sha256(b"{}"))
                } else {
                    "404 Not Found".to_owned()
                };
                conversation.say(format!("HTTP/1.1 {found}\r\nContent-Length: 0\r\n\r\n"));
                continue;
            }
            conversation.body(2);
            answers.lock().unwrap().recv().ok();
            pushed.store(true, Ordering::SeqCst);
            conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let work = Workdir::new();
    let mut sidecar = Sidecar::before(&work, &registry.url(), more);
    // Whoever is asked last keeps us a little longer.
    let mut operator = TcpStream::connect(sidecar.address("admin")).unwrap();
    operator.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let mut raw = Raw::connect(&sidecar);
    raw.send(format!(
        "PUT /v2/team/app/manifests/1.0 HTTP/1.1\r\nHost: {}\r\nContent-Type: {IMAGE}\r\n\
         Content-Length: 2\r\n\r\n{{}}",
        sidecar.host()
    ));
    until("the push at the registry", || {
        registry.heads().iter().any(|head| head.starts_with("PUT ")).then_some(())
    });
    sidecar.terminate();
    sidecar.wait_for_log("the drain", &[("signal", "SIGTERM")]);
    sidecar.terminate();
    let lock = File::open(work.join("state/outbox/outbox.lock")).unwrap();
    until("the outbox to be closed", || lock.try_lock().ok());
    answer.send(()).unwrap();
    let said = raw.says();
    assert_eq!(sidecar.wait().code(), Some(1), "{}", sidecar.printed());
    (registry, work, said)
}
