//! HTTP/2 used as a weapon costs its client the connection, and nobody else anything.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::Curl;
use crate::support::Http2;
use crate::support::Image;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::has_points;
use crate::support::http2;
use crate::support::http2::END_HEADERS;
use crate::support::http2::END_STREAM;
use crate::support::http2::ENHANCE_YOUR_CALM;
use crate::support::http2::HEADERS;
use crate::support::http2::frame;
use crate::support::long;

/// What an attack may take in memory beyond what we took before.
const MEMORY: u64 = 32 << 20;

/// The frames of one round of an attack, which may go on for ever.
type Round = fn(&mut Http2) -> Vec<u8>;

fn resets(client: &mut Http2) -> Vec<u8> {
    let (stream, mut request) = client.request("GET", "/v2/");
    request.extend(frame(http2::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    request
}

fn continuations(client: &mut Http2) -> Vec<u8> {
    let mut begun = Vec::new();
    if client.at_first() {
        let stream = client.stream();
        begun = frame(HEADERS, END_STREAM, stream, &client.head("GET", "/v2/", &[]));
    }
    begun.extend(frame(http2::CONTINUATION, 0, 1, b""));
    begun
}

fn settings(_: &mut Http2) -> Vec<u8> {
    frame(http2::SETTINGS, 0, 0, &http2::setting(&[(1, 4096), (http2::INITIAL_WINDOW_SIZE, 1000)]))
}

fn pings(_: &mut Http2) -> Vec<u8> {
    frame(http2::PING, 0, 0, &[7; 8])
}

fn priorities(_: &mut Http2) -> Vec<u8> {
    frame(http2::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])
}

fn empty_data(client: &mut Http2) -> Vec<u8> {
    let mut begun = Vec::new();
    if client.at_first() {
        let stream = client.stream();
        let head = client.head("PATCH", "/v2/a/blobs/uploads/1", &[]);
        begun = frame(HEADERS, END_HEADERS, stream, &head);
    }
    begun.extend(frame(http2::DATA, 0, 1, b""));
    begun
}

fn windows(_: &mut Http2) -> Vec<u8> {
    frame(http2::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
}

fn unknown(_: &mut Http2) -> Vec<u8> {
    frame(0xaa, 0, 0, &[7; 100])
}

/// A field of four octets that stands for 4,000, again and again.
fn bombs(client: &mut Http2) -> Vec<u8> {
    let mut head = client.head("GET", "/v2/", &[]);
    // Into the dynamic table, then by its index (RFC 7541 §6.2.1 and §6.1).
    head.push(0x40);
    let mut field = Vec::new();
    http2::literal(&mut field, "x", &"y".repeat(3900));
    head.extend(&field[1..]);
    head.extend([0xbe; 4000]);
    let stream = client.stream();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)
}

const ATTACKS: [(&str, Round); 9] = [
    ("resets", resets),
    ("continuations", continuations),
    ("settings", settings),
    ("pings", pings),
    ("priorities", priorities),
    ("empty data", empty_data),
    ("window updates", windows),
    ("unknown frames", unknown),
    ("header bombs", bombs),
];

/// Attacks on one connection until it is closed. Yields how many rounds went out and the reason given.
fn attack(sidecar: &Sidecar, round: Round, most: usize) -> (usize, Option<u32>) {
    let mut client = Http2::connect(sidecar, &[]);
    let (mut sent, batch) = (0, 100);
    while sent < most {
        let bytes: Vec<u8> = (0..batch).flat_map(|_| round(&mut client)).collect();
        sent += batch;
        // Once we have been told to go, nobody reads any more.
        if !client.sends(bytes) || client.has_heard(http2::GOAWAY) {
            break;
        }
    }
    let (_, reason) = client.end();
    (sent, reason)
}

fn quiet(work: &Workdir) -> (Registry, Sidecar) {
    let registry = Registry::start(work);
    let sidecar = Sidecar::before(work, &registry.url(), "");
    (registry, sidecar)
}

#[test]
fn a_flood_of_frames_ends_with_its_connection() {
    let work = Workdir::new();
    let (_registry, sidecar) = quiet(&work);
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.get("/v2/").status, 200);
    let (before, _) = sidecar.memory();
    thread::scope(|scope| {
        for (name, round) in ATTACKS {
            let sidecar = &sidecar;
            scope.spawn(move || {
                // What no client needs is far less than this.
                let most = 200_000;
                let (sent, reason) = attack(sidecar, round, most);
                println!("{name}: told to go after at most {sent}, {reason:?}");
                assert!(sent < most, "{name}: {sent} frames and nobody minds");
                assert_eq!(reason, Some(ENHANCE_YOUR_CALM), "{name}");
            });
        }
    });
    // One request at a time is reset once it is under way, which only a count of our own can tell.
    let mut client = Http2::connect(&sidecar, &[]);
    let mut reset = 0;
    let reason = loop {
        let stream = client.get("/v2/");
        let Some(came) = client.find(|f| matches!(f.kind, HEADERS | http2::GOAWAY)) else {
            panic!("closed without a word")
        };
        if came.kind == http2::GOAWAY {
            break came.reason();
        }
        reset += 1;
        assert!(reset < 20_000, "{reset} requests are reset and nobody minds");
        if !client.sends(frame(http2::RST_STREAM, 0, stream, &[0, 0, 0, 8])) {
            break client.end().1.expect("a reason");
        }
    };
    println!("resets of answered requests: told to go after {reset}");
    assert_eq!(reason, ENHANCE_YOUR_CALM);
    assert_eq!(curl.get("/v2/").status, 200);
    let (_, peak) = sidecar.memory();
    assert!(peak <= before + MEMORY, "{} KiB more", (peak - before) >> 10);
}

/// What we count ourselves: the implementation below has nothing against any of it.
const COUNTED: [(&str, Round); 5] = [
    ("settings", settings),
    ("pings", pings),
    ("priorities", priorities),
    ("window updates", windows),
    ("unknown frames", unknown),
];

/// Whether the client of so much is told to go instead of being answered.
fn is_minded(sidecar: &Sidecar, round: Round) -> bool {
    let mut client = Http2::connect(sidecar, &[]);
    for _ in 0..100 {
        let bytes: Vec<u8> = (0..100).flat_map(|_| round(&mut client)).collect();
        if !client.sends(bytes) || client.has_heard(http2::GOAWAY) {
            return true;
        }
    }
    let (_, request) = client.request("GET", "/v2/");
    let heard = |client: &mut Http2| client.find(|f| matches!(f.kind, HEADERS | http2::GOAWAY));
    !client.sends(request) || heard(&mut client).is_none_or(|came| came.kind != HEADERS)
}

/// The control: the same floods pass where nobody counts.
#[test]
fn without_our_count_a_flood_is_answered() {
    if !has_points() {
        return;
    }
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let (counting, other) = (Sidecar::before(&work, &registry.url(), ""), Workdir::new());
    let bent = Sidecar::bent(&other, &registry.url(), "floods");
    thread::scope(|scope| {
        for (name, round) in COUNTED {
            let (counting, bent) = (&counting, &bent);
            scope.spawn(move || {
                assert!(is_minded(counting, round), "{name}: with the rule");
                assert!(!is_minded(bent, round), "{name}: without the rule");
            });
        }
    });
}

/// A thousand answers that nobody takes: ten connections with all the streams there may be.
#[test]
fn streams_that_stand_still_hold_little() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let sidecar = Sidecar::before(&work, &registry.url(), "limits: { body_idle: 2s }\n");
    let curl = Curl::through(&work, &sidecar);
    let mut image = Image::new(&work, "large");
    image.layer = vec![7; 4 << 20];
    let digest = crate::support::sha256(&image.layer);
    curl.blob("team/app", &image.layer);
    let (before, _) = sidecar.memory();
    let mut clients: Vec<Http2> = Vec::new();
    for window in [0, 1].repeat(5) {
        let mut client = Http2::connect(&sidecar, &[(http2::INITIAL_WINDOW_SIZE, window)]);
        let requests: Vec<u8> = (0..100)
            .flat_map(|_| client.request("GET", &format!("/v2/team/app/blobs/{digest}")).1)
            .collect();
        client.send(requests);
        clients.push(client);
    }
    let mut given_up = vec![0; clients.len()];
    for (client, given_up) in clients.iter_mut().zip(&mut given_up) {
        let mut answered = 0;
        while answered < 100 {
            match client.frame().expect("an answer").kind {
                HEADERS => answered += 1,
                http2::RST_STREAM => *given_up += 1,
                _ => {}
            }
        }
    }
    let (now, _) = sidecar.memory();
    println!("{} KiB for 1,000 streams", now.saturating_sub(before) >> 10);
    // What is not optimized takes more.
    let allowed = if cfg!(debug_assertions) { MEMORY * 3 / 2 } else { MEMORY };
    assert!(now <= before + allowed, "{} KiB more", (now - before) >> 10);
    for (client, given_up) in clients.iter_mut().zip(given_up) {
        for _ in given_up..100 {
            assert!(client.next(http2::RST_STREAM).is_some(), "each is given up");
        }
    }
    assert_eq!(curl.get("/v2/").status, 200);
}

/// The long form: a million resets, and as much of everything else, while others go on as before.
#[test]
fn a_million_resets_cost_nobody_else_anything() {
    if !long() {
        return;
    }
    let work = Workdir::new();
    let (_registry, sidecar) = quiet(&work);
    let curl = Curl::through(&work, &sidecar);
    let p99 = |what: &str| {
        let mut took: Vec<Duration> = (0..300)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(curl.get("/v2/").status, 200);
                began.elapsed()
            })
            .collect();
        took.sort();
        println!("{what}: p50 {:?} p99 {:?}", took[150], took[297]);
        took[297]
    };
    let calm = p99("quiet");
    let (before, _) = sidecar.memory();
    for (name, round) in ATTACKS {
        let stressed = thread::scope(|scope| {
            let attacker = scope.spawn(|| {
                let (mut sent, mut connections) = (0, 0);
                while sent < 1_000_000 && connections < 2000 {
                    sent += attack(&sidecar, round, 1_000_000).0;
                    connections += 1;
                }
                println!("{name}: {sent} over {connections} connections");
            });
            let stressed = p99(name);
            attacker.join().unwrap();
            stressed
        });
        println!("{name}: {:.2} of quiet", stressed.as_secs_f64() / calm.as_secs_f64());
    }
    let (_, peak) = sidecar.memory();
    println!("memory: {} KiB more at most", (peak.saturating_sub(before)) >> 10);
    assert!(peak <= before + MEMORY, "{} KiB more", (peak - before) >> 10);
}
