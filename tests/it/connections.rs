//! A client may use its connection in every way HTTP allows, and the registry hears just what it said.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::Duration;

use rustls::CipherSuite;

use crate::support::Curl;
use crate::support::Http2;
use crate::support::Image;
use crate::support::Raw;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::http2::DATA;
use crate::support::http2::END_HEADERS;
use crate::support::http2::END_STREAM;
use crate::support::http2::HEADERS;
use crate::support::http2::INITIAL_WINDOW_SIZE;
use crate::support::http2::SETTINGS;
use crate::support::http2::WINDOW_UPDATE;
use crate::support::http2::frame;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry that answers every head at once, with the answer the path asks for.
fn obliging() -> Scripted {
    Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            let answer = match head.split(' ').nth(1).unwrap_or_default() {
                "/v2/none" => "204 No Content\r\n\r\n",
                "/v2/same" => "304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n",
                "/v2/away" => {
                    "307 Temporary Redirect\r\nLocation: https://storage.example/b?X-Sig=a%2Fb\r\n\
                     Content-Length: 0\r\n\r\n"
                }
                _ if head.starts_with("HEAD ") => "200 OK\r\nContent-Length: 12345\r\n\r\n",
                _ => "200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            conversation.say(format!("HTTP/1.1 {answer}"));
        }
    })
}

fn before(registry: &Scripted) -> (Workdir, Sidecar) {
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    (work, sidecar)
}

#[test]
fn answers_without_a_body_keep_their_headers_and_their_connection() {
    let registry = obliging();
    let (work, sidecar) = before(&registry);
    for protocol in ["--http1.1", "--http2"] {
        let curl = Curl::through(&work, &sidecar).with(&[protocol]);
        for _ in 0..3 {
            assert_eq!(curl.get("/v2/none").status, 204);
            let same = curl.get("/v2/same");
            assert_eq!((same.status, same.header("etag")), (304, Some("\"x\"")));
            let away = curl.get("/v2/away");
            let to = Some("https://storage.example/b?X-Sig=a%2Fb");
            assert_eq!((away.status, away.header("location")), (307, to));
            let head = curl.call("/v2/x", &["--head"]);
            assert_eq!((head.status, head.header("content-length")), (200, Some("12345")));
            assert_eq!(curl.get("/v2/x").body, b"ok");
        }
    }
}

#[test]
fn many_requests_on_one_connection_are_answered_in_order() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "many requests");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let mut raw = Raw::connect(&stage.sidecar);
    let host = stage.sidecar.host();
    for round in 0..100 {
        let (request, status) = match round % 4 {
            0 => ("HEAD /v2/team/app/manifests/1.0", "200"),
            1 => ("GET /v2/", "200"),
            2 => ("POST /v2/team/app/blobs/uploads/", "202"),
            _ => ("HEAD /v2/team/app/manifests/absent", "404"),
        };
        raw.send(format!(
            "{request} HTTP/1.1\r\nHost: {host}\r\nAccept: {IMAGE}\r\nContent-Length: 0\r\n\r\n"
        ));
        let head = raw.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{round}: {head}");
        if round % 4 == 1 {
            raw.body(2);
        }
    }
}

#[test]
fn a_body_reaches_the_registry_while_the_client_still_sends() {
    let (heard, hears) = mpsc::channel();
    let heard = Mutex::new(heard);
    let registry = Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            assert!(head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked\r\n"));
            assert!(!head.to_ascii_lowercase().contains("\r\ncontent-length:"));
            assert_eq!(conversation.body(10), b"5\r\nfirst\r\n");
            heard.lock().unwrap().send(()).unwrap();
            assert_eq!(conversation.body(11), b"6\r\nsecond\r\n"[..11]);
            assert_eq!(conversation.body(5), b"0\r\n\r\n");
            conversation.say("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (_work, sidecar) = before(&registry);
    let mut raw = Raw::connect(&sidecar);
    for _ in 0..3 {
        raw.send(format!(
            "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nfirst\r\n",
            sidecar.host()
        ));
        hears.recv().unwrap();
        raw.send("6\r\nsecond\r\n0\r\n\r\n");
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
    }
}

#[test]
fn an_upload_that_breaks_off_reaches_the_registry_broken_off() {
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let registry = Scripted::start(move |mut conversation| {
        while conversation.head().is_some() {
            let body = conversation.body(usize::MAX);
            kept.lock().unwrap().push(body);
        }
    });
    let (_work, sidecar) = before(&registry);
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut raw = Raw::connect(&sidecar);
        raw.send(format!(
            "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n4\r\nhalf\r\n",
            sidecar.host()
        ));
        until("the head at the registry", || {
            registry
                .heads()
                .last()
                .is_some_and(|h| h.to_lowercase().contains(&framing.to_lowercase()))
                .then_some(())
        });
        drop(raw);
    }
    until("both to break off", || (seen.lock().unwrap().len() == 2).then_some(()));
    for body in seen.lock().unwrap().iter() {
        assert!(body.len() < 100 && !body.ends_with(b"0\r\n\r\n"), "{body:?}");
    }
}

#[test]
fn who_asks_first_is_told_to_go_on_or_why_not() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "expects");
    let curl = stage.curl();
    curl.blob("team/app", &image.config);
    curl.blob("team/app", &image.layer);
    let put = |name: &str| {
        format!(
            "PUT /v2/{name}/manifests/1.0 HTTP/1.1\r\nHost: {}\r\nContent-Type: {IMAGE}\r\n\
             Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            stage.sidecar.host(),
            image.manifest.len()
        )
    };
    let mut raw = Raw::connect(&stage.sidecar);
    raw.send(put("team/app"));
    assert!(raw.head().starts_with("HTTP/1.1 100 "));
    raw.send(&image.manifest);
    assert!(raw.head().starts_with("HTTP/1.1 201 "));
    assert_eq!(stage.receiver.wait_for(1)[0].json()["subject"], "team/app:1.0");

    let mut raw = Raw::connect(&stage.sidecar);
    raw.send(put("team%2Fapp"));
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 400 "), "no 100 for what nobody wants: {head}");
    assert!(raw.closes());
}

#[test]
fn an_empty_body_is_none_where_none_may_be() {
    let registry = obliging();
    let (_work, sidecar) = before(&registry);
    let mut raw = Raw::connect(&sidecar);
    for method in ["GET", "DELETE"] {
        raw.send(format!(
            "{method} /v2/x HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            sidecar.host()
        ));
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{method}: {head}");
        raw.body(2);
    }
    raw.send(format!(
        "DELETE /v2/x HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        sidecar.host()
    ));
    assert!(raw.head().starts_with("HTTP/1.1 400 "));
    let heads = registry.heads().join("").to_ascii_lowercase();
    assert!(!heads.contains("transfer-encoding") && !heads.contains("content-length"), "{heads}");
}

#[test]
fn one_request_is_one_request_however_it_is_framed() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
                conversation.body(20);
            }
            conversation.say("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (_work, sidecar) = before(&registry);
    for (headers, body) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 30\r\n", "a\r\n0123456789\r\n0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"),
        ("Content-Length: +1\r\n", "x"),
        ("Content-Length: 0\r\nConnection: content-length\r\n", ""),
    ] {
        let mut raw = Raw::connect(&sidecar);
        raw.send(format!(
            "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: {}\r\n{headers}\r\n{body}\
             GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
            sidecar.host()
        ));
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 202 ") || head.starts_with("HTTP/1.1 400 "), "{head}");
        raw.closes();
    }
    for head in registry.heads().iter().map(|head| head.to_ascii_lowercase()) {
        let both = head.contains("content-length:") && head.contains("transfer-encoding:");
        assert!(!both && !head.contains("smuggled"), "{head}");
    }
}

/// An upload that respects the windows of HTTP/2. Yields the last of one stream that was promised, in MiB.
fn upload(client: &mut Http2, size: usize) -> u32 {
    const FIRST: i64 = 65_535;
    const PIECE: usize = 16_384;
    let stream = client.stream();
    let length = size.to_string();
    let head = client.head("PATCH", "/v2/a/blobs/uploads/1", &[("content-length", &length)]);
    client.send(frame(HEADERS, END_HEADERS, stream, &head));
    let (mut window, mut of_stream, mut of_all) = (FIRST, FIRST, FIRST);
    let mut left = size;
    loop {
        if left > 0 && of_stream.min(of_all) >= PIECE as i64 {
            let now = left.min(PIECE);
            left -= now;
            if left % (1 << 20) < PIECE {
                // As if it were far away: a near client gets no larger windows.
                sleep(Duration::from_millis(30));
            }
            of_stream -= now as i64;
            of_all -= now as i64;
            let end = if left == 0 { END_STREAM } else { 0 };
            client.send(frame(DATA, end, stream, &vec![0; now]));
            continue;
        }
        let came = client.frame().expect("a connection that goes on");
        let number =
            |at: usize| i64::from(u32::from_be_bytes(came.payload[at..at + 4].try_into().unwrap()));
        match came.kind {
            SETTINGS if came.flags == 0 => {
                let mut all = (0..came.payload.len()).step_by(6);
                let name = INITIAL_WINDOW_SIZE.to_be_bytes();
                if let Some(at) = all.find(|at| came.payload[*at..at + 2] == name) {
                    of_stream += number(at + 2) - window;
                    window = number(at + 2);
                }
                client.send(frame(SETTINGS, 1, 0, &[]));
            }
            WINDOW_UPDATE if came.stream == 0 => of_all += number(0),
            WINDOW_UPDATE => of_stream += number(0),
            HEADERS => return u32::try_from(window >> 20).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn windows_grow_for_bodies_that_move_while_the_memory_budget_lasts() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length = length.split_once('\r').unwrap().0.parse().unwrap();
            assert_eq!(conversation.body(length).len(), length);
            conversation.say("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let work = Workdir::new();
    let limits = "limits: { memory_budget: 80MiB }\n";
    let sidecar = Sidecar::before(&work, &registry.url(), limits);
    let mut first = Http2::connect(&sidecar, &[]);
    assert_eq!(upload(&mut first, 500_000), 1);
    let mut second = Http2::connect(&sidecar, &[]);
    assert_eq!(upload(&mut second, 12 << 20), 16);
    // 4 and 64 of 80 are promised: 16 instead of 4 would be as much as there is, and 64 is too much.
    let mut third = Http2::connect(&sidecar, &[]);
    assert_eq!(upload(&mut third, 12 << 20), 1);
    drop(second);
    until("the budget is free again", || {
        (upload(&mut Http2::connect(&sidecar, &[]), 12 << 20) == 16).then_some(())
    });
}

#[test]
fn the_cipher_is_for_us_to_choose() {
    let registry = obliging();
    let (_work, sidecar) = before(&registry);
    for (version, cipher) in [
        (&rustls::version::TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (&rustls::version::TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ] {
        // The client would have AES-256 first.
        let raw = Raw::speaking(&sidecar, &[version], &[b"http/1.1"]);
        assert_eq!(raw.cipher(), Some(cipher));
    }
}
