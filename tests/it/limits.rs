//! A client has its time and its share, and no more; everybody else does not notice.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use crate::support::Curl;
use crate::support::Dialer;
use crate::support::Http2;
use crate::support::Raw;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::http2;
use crate::support::http2::END_HEADERS;
use crate::support::http2::END_STREAM;
use crate::support::http2::HEADERS;
use crate::support::http2::frame;

/// Short ones, far enough from each other to be told apart, and far from every default.
const LIMITS: &str = "limits: { handshake: 1s, request_head: 2s, idle: 4s, body_idle: 6s }\n";
/// What a close may take beyond its limit.
const SLACK: Duration = Duration::from_secs(1);

fn obliging() -> Scripted {
    Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if head.starts_with("PATCH ") {
                conversation.body(9);
            }
            conversation.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

#[track_caller]
fn took(began: Instant, limit: u64) {
    let (took, limit) = (began.elapsed(), Duration::from_secs(limit));
    assert!(took + Duration::from_millis(50) >= limit, "closed after {took:?}, before {limit:?}");
    assert!(took <= limit + SLACK, "closed after {took:?}, which is long after {limit:?}");
}

/// Only who waits for it has anything of a turn that somebody else does not use.
#[test]
fn handshakes_that_do_not_go_on_keep_nobody_out() {
    let registry = obliging();
    let work = Workdir::new();
    let limits = "limits: { handshakes: 4, handshake: 55s }\n";
    let sidecar = Sidecar::before(&work, &registry.url(), limits);
    let (dialer, curl) = (Dialer::new(&sidecar), Curl::through(&work, &sidecar));
    let silent: Vec<Raw> = (0..40).map(|_| dialer.connect()).collect();
    let began = Instant::now();
    assert_eq!(curl.get("/v2/").status, 200, "those who say nothing take no turn");
    // Each who only greets has to go where somebody waits, and four are there at any time.
    let greeted: Vec<Raw> = (0..12).map(|_| dialer.greet()).collect();
    assert_eq!(curl.get("/v2/").status, 200);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let page = Curl::direct(&work, &sidecar.admin("")).get("/metrics").text();
    let refused = |reason: &str| {
        let line = format!("pushbell_listener_connections_refused_total{{reason=\"{reason}\"}} ");
        let found = page.lines().find_map(|l| l.strip_prefix(&line).map(str::to_owned));
        found.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    assert!((9..=12).contains(&refused("handshakes")), "{page}");
    assert_eq!(refused("handshake_deadline"), 0);
    drop((silent, greeted));
}

#[test]
fn who_is_too_slow_is_told_so_and_let_go() {
    let registry = obliging();
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), LIMITS);
    let host = sidecar.host();
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let half = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nX-Half:");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut silent = TcpStream::connect(sidecar.address("registry")).unwrap();
            let began = Instant::now();
            assert_eq!(silent.read(&mut [0]).unwrap_or_default(), 0);
            took(began, 1);
        });
        scope.spawn(|| {
            let mut raw = Raw::connect(&sidecar);
            let began = Instant::now();
            raw.send(&half);
            let head = raw.head();
            assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
            assert!(raw.says().contains("\"errors\":[{\"code\":\"UNSUPPORTED\""));
            took(began, 2);
        });
        scope.spawn(|| {
            // Byte after byte, the head is still one head.
            let mut raw = Raw::connect(&sidecar);
            let began = Instant::now();
            while raw.sends("x") && began.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(50));
            }
            assert!(began.elapsed() < Duration::from_secs(2) + 2 * SLACK);
        });
        scope.spawn(|| {
            let mut raw = Raw::connect(&sidecar);
            let began = Instant::now();
            assert_eq!(raw.says(), "", "nothing was asked, so nothing is said");
            took(began, 4);
        });
        scope.spawn(|| {
            let mut raw = Raw::connect(&sidecar);
            raw.send(&request);
            raw.head();
            raw.body(2);
            std::thread::sleep(Duration::from_secs(1));
            raw.send(&request);
            raw.head();
            raw.body(2);
            let began = Instant::now();
            raw.send("\r\n");
            raw.send(&half);
            assert!(raw.head().starts_with("HTTP/1.1 408 "), "the second head is timed as well");
            took(began, 2);
        });
        scope.spawn(|| {
            let mut raw = Raw::connect(&sidecar);
            raw.send(&request);
            raw.head();
            raw.body(2);
            let began = Instant::now();
            assert!(raw.closes());
            took(began, 4);
        });
        scope.spawn(|| {
            let mut raw = Raw::connect(&sidecar);
            let began = Instant::now();
            raw.send(format!(
                "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nhalf"
            ));
            raw.says();
            took(began, 6);
        });
    });
}

/// The control: with every limit far away, each of them is still there when it would have been let go.
#[test]
fn without_the_limits_who_is_slow_stays() {
    let registry = obliging();
    let work = Workdir::new();
    let far = "limits: { handshake: 300s, request_head: 300s, idle: 300s, body_idle: 300s }\n";
    let sidecar = Sidecar::before(&work, &registry.url(), far);
    let host = sidecar.host();
    let half = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nX-Half:");
    let body = format!(
        "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nhalf"
    );
    // What LIMITS give each, and what a close may take.
    let after = |limit: u64| Duration::from_secs(limit) + SLACK;
    let stays = |raw: Raw, limit: u64| assert!(!raw.waiting(after(limit)).closes(), "{limit} s");
    let stays_2 = |client: Http2, limit: u64| {
        let (mut client, began) = (client.waiting(after(limit)), Instant::now());
        let (_, reason) = client.end();
        assert_eq!(reason, None);
        assert!(began.elapsed() >= after(limit), "closed after {:?}", began.elapsed());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| stays(Dialer::new(&sidecar).connect(), 1));
        for (said, limit) in [(&*half, 2), ("", 4), (&*body, 6)] {
            let (sidecar, stays) = (&sidecar, &stays);
            scope.spawn(move || {
                let mut raw = Raw::connect(sidecar);
                raw.send(said);
                stays(raw, limit);
            });
        }
        scope.spawn(|| stays_2(Http2::silent(&sidecar), 2));
        scope.spawn(|| {
            let mut slow = Http2::connect(&sidecar, &[]);
            let head = slow.head("GET", "/v2/", &[]);
            slow.send(frame(HEADERS, END_STREAM, 1, &head));
            stays_2(slow, 2);
        });
        scope.spawn(|| {
            let mut idle = Http2::connect(&sidecar, &[]);
            idle.get("/v2/");
            assert!(idle.next(http2::DATA).is_some());
            stays_2(idle, 4);
        });
        scope.spawn(|| {
            let still = Http2::connect(&sidecar, &[(http2::INITIAL_WINDOW_SIZE, 0)]);
            let mut still = still.waiting(after(1));
            still.get("/v2/");
            assert!(still.next(http2::RST_STREAM).is_none(), "it takes nothing, and may");
        });
    });
}

#[test]
fn an_http_2_client_has_the_same_time() {
    let registry = obliging();
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), LIMITS);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut silent = Http2::silent(&sidecar);
            let began = Instant::now();
            silent.end();
            took(began, 2);
        });
        for whole in [false, true] {
            let sidecar = &sidecar;
            scope.spawn(move || {
                let mut slow = Http2::connect(sidecar, &[]);
                let head = slow.head("GET", "/v2/", &[]);
                let began = Instant::now();
                // Half a frame, or a whole one that another should follow.
                let first = frame(HEADERS, END_STREAM, 1, &head);
                slow.send(if whole { &first[..] } else { &first[..first.len() - 5] });
                let (_, reason) = slow.end();
                took(began, 2);
                assert_eq!(reason, Some(http2::NO_ERROR));
            });
        }
        scope.spawn(|| {
            // It has had an answer, and from then on only says that it is there.
            let mut idle = Http2::connect(&sidecar, &[]);
            idle.get("/v2/");
            assert!(idle.next(http2::DATA).is_some());
            let began = Instant::now();
            let mut pongs = 0;
            let reason = loop {
                idle.send(frame(http2::PING, 0, 0, &[0; 8]));
                match idle.find(|frame| matches!(frame.kind, http2::PING | http2::GOAWAY)) {
                    Some(frame) if frame.kind == http2::PING => pongs += 1,
                    Some(frame) => break frame.reason(),
                    None => panic!("closed without a word"),
                }
                std::thread::sleep(Duration::from_millis(300));
            };
            took(began, 4);
            assert!(pongs > 3 && reason == http2::NO_ERROR, "{pongs} {reason}");
            idle.end();
            took(began, 4);
        });
    });
}

#[test]
fn a_stream_that_stands_still_is_reset_and_the_others_go_on() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if !head.starts_with("GET ") {
                conversation.body(10);
            }
            let size = if head.starts_with("GET /large ") { 1 << 20 } else { 2 };
            conversation.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
            conversation.say(vec![b'x'; size]);
        }
    });
    let work = Workdir::new();
    let limits = "limits: { idle: 20s, body_idle: 1s }\n";
    let sidecar = Sidecar::before(&work, &registry.url(), limits);
    for window in [0, 1, 1000] {
        let mut client = Http2::connect(&sidecar, &[(http2::INITIAL_WINDOW_SIZE, window)]);
        let began = Instant::now();
        let large = client.get("/large");
        let reset = client.next(http2::RST_STREAM).expect("a reset");
        took(began, 1);
        assert_eq!(reset.stream, large);
        // The connection is as good as before for who takes what it asks for.
        client.send(frame(http2::SETTINGS, 0, 0, &http2::setting(&[(4, 65_535)])));
        let small = client.get("/small");
        let data = client.next(http2::DATA).expect("an answer");
        assert_eq!((data.stream, data.payload.as_slice()), (small, &b"xx"[..]));
    }
    for method in ["PUT", "PATCH"] {
        let mut client = Http2::connect(&sidecar, &[]);
        let stream = client.stream();
        let head = client.head(method, "/v2/a/blobs/uploads/1", &[("content-length", "10")]);
        let began = Instant::now();
        client.send(frame(HEADERS, END_HEADERS, stream, &head));
        client.send(frame(http2::DATA, 0, stream, b"half"));
        let answer = client.next(HEADERS).expect("an answer");
        took(began, 1);
        assert_eq!(answer.stream, stream);
        assert!(client.get("/small") > stream && client.next(http2::DATA).is_some());
    }
}

#[test]
fn a_head_that_is_too_large_is_refused_in_the_registrys_words() {
    let registry = obliging();
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    let curl = Curl::through(&work, &sidecar);
    let long = |n: usize| format!("/v2/{}", "a".repeat(n));
    let many: Vec<String> = (0..101).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().flat_map(|field| ["--header", field]).collect();
    for protocol in ["--http1.1", "--http2"] {
        for (path, options, status) in [
            (long(8 << 10), &[][..], 414),
            (long((8 << 10) - 4), &[], 200),
            ("/v2/".to_owned(), &many[..], 431),
            ("/v2/".to_owned(), &many[..180], 200),
        ] {
            let options = [&[protocol], options].concat();
            let reply = curl.call(&path, &options);
            assert_eq!(reply.status, status, "{protocol} {reply:?}");
            if status != 200 {
                assert_eq!(reply.json()["errors"][0]["code"], "UNSUPPORTED", "{reply:?}");
                assert_eq!(reply.header("content-type"), Some("application/json"));
            }
        }
    }
    let large = "x".repeat(65 << 10);
    let reply = curl.call("/v2/", &["--http1.1", "--header", &format!("X-Large: {large}")]);
    assert_eq!(reply.status, 431, "{reply:?}");
    assert_eq!(reply.json()["errors"][0]["code"], "UNSUPPORTED", "{reply:?}");
    let mut client = Http2::connect(&sidecar, &[]);
    let stream = client.stream();
    let head = client.head("GET", "/v2/", &[("x-large", &large)]);
    let (first, rest) = head.split_at(60 << 10);
    client.send(frame(HEADERS, END_STREAM, stream, first));
    client.send(frame(http2::CONTINUATION, END_HEADERS, stream, rest));
    let answer = client.next(HEADERS).expect("an answer");
    assert_eq!((answer.stream, answer.flags & END_STREAM), (stream, END_STREAM));
    client.get("/v2/");
    assert!(client.next(http2::DATA).is_some(), "the connection is as good as before");

    let mut raw = Raw::connect(&sidecar);
    raw.send("G=T /v2/ HTTP/9.1\r\n\r\n");
    let said = raw.says();
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    assert!(said.contains("\"errors\":[{\"code\":\"UNSUPPORTED\""), "{said}");
}
