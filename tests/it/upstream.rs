//! Whatever a registry does, the client hears the truth, no event is invented and nothing hangs.

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::support::Conversation;
use crate::support::Curl;
use crate::support::Raw;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const PATH: &str = "/v2/team/app/manifests/1.0";

/// A sidecar in front of it, with these lines at the end of its file.
fn before(registry: &Scripted, more: &str) -> (Workdir, Sidecar) {
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), more);
    (work, sidecar)
}

/// Answers what is no push: our own look finds nothing.
fn is_look(head: &str, conversation: &mut Conversation) -> bool {
    let look = head.starts_with("HEAD ");
    if look {
        conversation.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    look
}

fn events(sidecar: &Sidecar) -> usize {
    sidecar.printed().matches("Event recorded").count()
}

/// Begins to push a manifest of 100 bytes and sends half of it.
fn half_a_push(sidecar: &Sidecar) -> Raw {
    let mut raw = Raw::connect(sidecar);
    raw.send(format!(
        "PUT {PATH} HTTP/1.1\r\nHost: {}\r\nContent-Type: {IMAGE}\r\nContent-Length: 100\r\n\r\n{}",
        sidecar.host(),
        "x".repeat(50)
    ));
    raw
}

#[test]
fn a_tag_is_looked_at_when_it_is_new_and_not_when_it_moves() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if !is_look(&head, &mut conversation) {
                conversation.body(2);
                conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let (work, sidecar) = before(&registry, "");
    let curl = Curl::through(&work, &sidecar);
    for tag in ["1.0", "1.0", "2.0", "1.0"] {
        assert_eq!(curl.put("team/app", tag, IMAGE, b"{}").status, 201);
    }
    assert_eq!(sidecar.wait_for_log("the first", &[("sequence", "1")])["change"], "created");
    let heads = registry.heads();
    let looks: Vec<&str> = heads
        .iter()
        .filter(|head| head.starts_with("HEAD "))
        .filter_map(|head| head.split(' ').nth(1))
        .collect();
    assert_eq!(looks, [PATH, "/v2/team/app/manifests/2.0"]);
}

#[test]
fn a_success_before_the_manifest_is_whole_is_none() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if !is_look(&head, &mut conversation) {
                conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let (_work, sidecar) = before(&registry, "");
    let mut raw = half_a_push(&sidecar);
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(events(&sidecar), 0);
}

#[test]
fn a_refusal_before_the_manifest_is_whole_arrives() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if !is_look(&head, &mut conversation) {
                conversation.say(
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                     Content-Length: 2\r\nConnection: close\r\n\r\n{}",
                );
                // It leaves the rest of the request unread, as one that has heard enough.
                conversation.hear_no_more();
            }
        }
    });
    let (work, sidecar) = before(&registry, "");
    for _ in 0..20 {
        let mut raw = half_a_push(&sidecar);
        let head = raw.head().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 401 "), "{head}");
        assert!(head.contains("www-authenticate: basic realm=\"x\""), "{head}");
    }
    for protocol in ["--http1.1", "--http2"].repeat(4) {
        let curl = Curl::through(&work, &sidecar).with(&[protocol, "--header", "Expect:"]);
        let refused = curl.put("team/app", "1.0", IMAGE, &vec![b'x'; 3 << 20]);
        assert_eq!((refused.status, &refused.body[..]), (401, &b"{}"[..]), "{refused:?}");
        let file = work.write("blob", vec![b'x'; 8 << 20]);
        let upload = ["--request", "PATCH", "--upload-file", file.to_str().unwrap()];
        let refused = curl.call("/v2/team/app/blobs/uploads/1", &upload);
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    assert_eq!(events(&sidecar), 0);
}

/// It says what it has to say and is gone; what it has not read makes a reset of its end.
#[test]
fn a_refusal_that_ends_in_a_reset_arrives() {
    let registry = Scripted::start(|mut conversation| {
        if let Some(head) = conversation.head()
            && !is_look(&head, &mut conversation)
        {
            conversation.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    let (work, sidecar) = before(&registry, "");
    let file = work.write("blob", vec![b'x'; 8 << 20]);
    let upload = ["--request", "PATCH", "--upload-file", file.to_str().unwrap()];
    for protocol in ["--http1.1", "--http2"].repeat(5) {
        let curl = Curl::through(&work, &sidecar).with(&[protocol, "--header", "Expect:"]);
        let refused = curl.put("team/app", "1.0", IMAGE, &vec![b'x'; 3 << 20]);
        assert_eq!((refused.status, &refused.body[..]), (413, &b"{}"[..]), "{refused:?}");
        let refused = curl.call("/v2/team/app/blobs/uploads/1", &upload);
        assert_eq!(refused.status, 413, "{protocol}: {refused:?}");
    }
    assert_eq!(events(&sidecar), 0);
}

#[test]
fn a_registry_that_breaks_off_a_push_makes_502_and_no_event() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if !is_look(&head, &mut conversation) {
                // All of a whole one is read, nothing of half a one.
                let whole = head.to_ascii_lowercase().contains("\r\ncontent-length: 2\r\n");
                conversation.body(if whole { 2 } else { 0 });
                return;
            }
        }
    });
    let (work, sidecar) = before(&registry, "");
    for _ in 0..10 {
        let mut raw = half_a_push(&sidecar);
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    assert!(!sidecar.printed().contains("Nobody knows"), "it cannot have applied half a manifest");
    let whole = Curl::through(&work, &sidecar).put("team/app", "1.0", IMAGE, b"{}");
    assert_eq!(whole.status, 502, "{whole:?}");
    sidecar.wait_for_log("the doubt", &[("reference", "1.0"), ("action", "push")]);
    assert_eq!(events(&sidecar), 0);
}

#[test]
fn an_answer_that_is_cut_off_arrives_cut_off() {
    let registry = Scripted::start(|mut conversation| {
        if let Some(head) = conversation.head() {
            let framing = if head.contains("/chunked") {
                "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
            } else {
                "Content-Length: 100\r\n\r\nhalf"
            };
            conversation.say(format!("HTTP/1.1 200 OK\r\n{framing}"));
        }
    });
    let (work, sidecar) = before(&registry, "");
    for protocol in ["--http1.1", "--http2"] {
        let curl = Curl::through(&work, &sidecar).with(&[protocol]);
        for path in ["/v2/length", "/v2/chunked"] {
            let reply = curl.get(path);
            assert!(!reply.error.is_empty(), "{protocol} {path}: {reply:?}");
        }
    }
}

#[test]
fn connections_that_the_registry_has_left_cost_no_read() {
    const IDLE: usize = 4;
    let together = Arc::new(Barrier::new(IDLE));
    let first = Arc::clone(&together);
    let opened = AtomicUsize::new(0);
    let registry = Scripted::start(move |mut conversation| {
        conversation.head();
        if opened.fetch_add(1, Ordering::SeqCst) < IDLE {
            first.wait();
        }
        conversation.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        // It leaves when it is asked again, as one does that times out just then.
        conversation.head();
    });
    let (work, sidecar) = before(&registry, "");
    std::thread::scope(|scope| {
        for _ in 0..IDLE {
            let curl = Curl::through(&work, &sidecar);
            scope.spawn(move || assert_eq!(curl.get("/v2/").status, 200));
        }
    });
    let curl = Curl::through(&work, &sidecar);
    for _ in 0..5 {
        let reply = curl.get("/v2/");
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

#[test]
fn interim_answers_are_skipped_and_protocols_never_switched() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if head.contains("/switch") {
                conversation.say(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
                );
            } else {
                conversation.say(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n\
                     HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                );
            }
        }
    });
    let (work, sidecar) = before(&registry, "");
    let curl = Curl::through(&work, &sidecar).with(&["--http1.1"]);
    let reply = curl.get("/v2/interim");
    assert_eq!((reply.status, reply.body), (200, b"ok".to_vec()));
    let asked = ["--header", "Upgrade: x", "--header", "Connection: upgrade"];
    assert_eq!(curl.call("/v2/switch", &asked).status, 502);
    assert!(registry.heads().iter().all(|head| !head.to_ascii_lowercase().contains("upgrade")));
}

#[test]
fn a_registry_that_never_answers_makes_504() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if !is_look(&head, &mut conversation) {
                conversation.body(usize::MAX);
            }
        }
    });
    let limits = "limits: { upstream_manifest: 1s, upstream_write: 1s }\n";
    let (work, mut sidecar) = before(&registry, limits);
    let curl = Curl::through(&work, &sidecar);
    let pushed = curl.put("team/app", "1.0", IMAGE, b"{}");
    assert_eq!(pushed.status, 504, "{pushed:?}");
    sidecar.wait_for_log("the doubt", &[("reference", "1.0"), ("action", "push")]);
    assert_eq!(curl.get("/v2/").status, 504);
    let upload = ["--request", "PATCH", "--data-binary", "piece"];
    assert_eq!(curl.call("/v2/team/app/blobs/uploads/1", &upload).status, 504);
    assert_eq!(events(&sidecar), 0);
    sidecar.stop();
}

#[test]
fn a_registry_that_stops_reading_does_not_hold_an_upload_for_ever() {
    let registry = Scripted::start(|mut conversation| {
        conversation.head();
        // It lives, and reads nothing.
        std::thread::park();
    });
    let (work, sidecar) = before(&registry, "limits: { body_idle: 1s }\n");
    let file = work.write("blob", vec![b'x'; 32 << 20]);
    let curl = Curl::through(&work, &sidecar).with(&["--http1.1", "--header", "Expect:"]);
    let upload = ["--request", "PATCH", "--upload-file", file.to_str().unwrap()];
    let reply = curl.call("/v2/team/app/blobs/uploads/1", &upload);
    assert_eq!(reply.status, 502, "{reply:?}");
}

/// A registry that sends without end, and whether its connection was closed.
fn endless() -> (Scripted, Arc<AtomicBool>) {
    let closed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&closed);
    let registry = Scripted::start(move |mut conversation| {
        conversation.head();
        conversation.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        while conversation.says(vec![b'x'; 1 << 16]) {}
        seen.store(true, Ordering::SeqCst);
    });
    (registry, closed)
}

#[test]
fn a_client_that_stops_reading_does_not_hold_an_answer_for_ever() {
    let (registry, closed) = endless();
    let (_work, sidecar) = before(&registry, "limits: { body_idle: 1s }\n");
    let mut raw = Raw::connect(&sidecar);
    raw.send(format!("GET /v2/endless HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.host()));
    assert!(raw.head().starts_with("HTTP/1.1 200 "));
    until("the registry's connection to be closed", || closed.load(Ordering::SeqCst).then_some(()));
}

#[test]
fn a_client_that_leaves_in_an_answer_ends_it_at_the_registry() {
    let (registry, closed) = endless();
    let (_work, mut sidecar) = before(&registry, "");
    let mut raw = Raw::connect(&sidecar);
    raw.send(format!("GET /v2/endless HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.host()));
    assert!(raw.head().starts_with("HTTP/1.1 200 "));
    drop(raw);
    until("the registry's connection to be closed", || closed.load(Ordering::SeqCst).then_some(()));
    sidecar.stop();
}

#[test]
fn a_push_whose_client_left_before_the_answer_is_an_event() {
    let left = Arc::new(Barrier::new(2));
    let gone = Arc::clone(&left);
    let registry = Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            if !is_look(&head, &mut conversation) {
                conversation.body(100);
                gone.wait();
                gone.wait();
                conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let (_work, sidecar) = before(&registry, "");
    let mut raw = half_a_push(&sidecar);
    raw.send("y".repeat(50));
    left.wait();
    drop(raw);
    left.wait();
    let what = [("repository", "team/app"), ("tag", "1.0"), ("message", "Event recorded")];
    sidecar.wait_for_log("the event", &what);
}
