//! A client that leaves in the middle of an upload: the registry sees it cut off, wherever that was, and
//! nothing happened.

use std::sync::Arc;
use std::sync::Mutex;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::header;

use crate::support::Client;
use crate::support::Conversation;
use crate::support::Protocol;
use crate::support::Said;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const LENGTH: usize = 100;

/// How a request ended at the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    CutOff,
}

/// A registry that reads every request to its end, says 201 if it had one, and keeps what it was.
fn keeping(ends: &Arc<Mutex<Vec<End>>>) -> Scripted {
    let ends = Arc::clone(ends);
    Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            let head = head.to_ascii_lowercase();
            if head.starts_with("head ") {
                conversation.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let end = if ended(&head, &mut conversation) { End::Whole } else { End::CutOff };
            ends.lock().unwrap().push(end);
            conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

/// Whether the body comes to its end.
fn ended(head: &str, conversation: &mut Conversation) -> bool {
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        let mut last = Vec::new();
        while !last.ends_with(b"\r\n0\r\n\r\n") && last != b"0\r\n\r\n" {
            match conversation.body(1)[..] {
                [byte] => last.push(byte),
                _ => return false,
            }
        }
        return true;
    }
    assert!(head.contains(&format!("\r\ncontent-length: {LENGTH}\r\n")), "{head}");
    conversation.body(LENGTH).len() == LENGTH
}

#[test]
fn an_upload_that_is_left_at_any_point_is_cut_off_at_the_registry() {
    let ends: Arc<Mutex<Vec<End>>> = Arc::default();
    let registry = keeping(&ends);
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(IMAGE));
    let requests = [
        (Method::PUT, "/v2/team/app/manifests/1.0"),
        (
            Method::PUT,
            "/v2/team/app/manifests/sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ),
        (Method::PATCH, "/v2/team/app/blobs/uploads/1"),
        (Method::PUT, "/v2/team/app/blobs/uploads/1?digest=x"),
        (Method::POST, "/v2/team/app/blobs/uploads/?digest=x"),
    ];
    // All of a stream but its end is not all of it.
    let announced = Some(100);
    let stages = [
        (0, announced),
        (1, announced),
        (50, announced),
        (99, announced),
        (0, None),
        (1, None),
        (100, None),
    ];
    let mut left = 0;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (method, path) in &requests {
            for (sent, length) in stages {
                let mut client = Client::through(&sidecar, protocol);
                let body = Said::beginning(vec![b'x'; sent], length);
                let arrived =
                    || registry.heads().iter().filter(|h| !h.starts_with("HEAD ")).count();
                client.begin_and_leave(method.clone(), path, &headers, body, || {
                    until("the head at the registry", || (arrived() > left).then_some(()));
                });
                left += 1;
                until("the end at the registry", || {
                    (ends.lock().unwrap().len() == left).then_some(())
                });
            }
        }
    }
    assert_eq!(left, 70);
    assert!(ends.lock().unwrap().iter().all(|end| *end == End::CutOff));
    assert_eq!(sidecar.printed().matches("Event recorded").count(), 0);

    // The same ones, if the client stays.
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut client = Client::through(&sidecar, protocol);
        for (method, path) in &requests {
            let whole = [Said::whole(vec![b'x'; LENGTH]), Said::streamed(vec![b'x'; LENGTH], 30)];
            for body in whole {
                let heard = client.send(method.clone(), path, &headers, body).unwrap();
                assert_eq!(heard.status, 201, "{method} {path}");
            }
        }
    }
    assert!(ends.lock().unwrap().iter().skip(left).all(|end| *end == End::Whole));
    assert_eq!(sidecar.printed().matches("Event recorded").count(), 8);
}
