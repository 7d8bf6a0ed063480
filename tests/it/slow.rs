//! Clients that take all the time in the world get their share of it, and pushes go on beside them.

use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::Curl;
use crate::support::Dialer;
use crate::support::Image;
use crate::support::Raw;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::long;
use crate::support::run;
use crate::support::sha256;
use crate::support::until;

/// What one of them may take of our memory (delivery-guarantees 10).
const EACH: u64 = 64 << 10;
const PUSHERS: usize = 4;

/// What is slow about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slow {
    Handshake,
    Head,
    Body,
    Read,
}

/// So many of them, opened one after the other, and when each began to be slow.
fn crowd(slow: Slow, many: usize, dialer: &Dialer, host: &str, blob: &str) -> Vec<(Raw, Instant)> {
    let one = |n: usize| {
        let mut raw = match slow {
            Slow::Handshake => dialer.connect(),
            Slow::Read => dialer.with_little_room().dial(),
            Slow::Head | Slow::Body => dialer.dial(),
        };
        let began = Instant::now();
        match slow {
            Slow::Handshake => {}
            Slow::Head => raw.send(format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nX-Slow: ")),
            Slow::Body => raw.send(format!(
                "PUT /v2/team/app/manifests/slow-{n} HTTP/1.1\r\nHost: {host}\r\n\
                 Content-Type: application/vnd.oci.image.manifest.v1+json\r\n\
                 Content-Length: 1000\r\n\r\n{{"
            )),
            Slow::Read => {
                raw.send(format!("GET /v2/team/app/blobs/{blob} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            }
        }
        (raw.waiting(Duration::from_secs(120)), began)
    };
    (0..many).map(one).collect()
}

/// However the test ends, whoever pushes is told.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pushes until it is enough, at least so often. Yields how long each took.
fn push(curl: &Curl, name: &str, least: usize, over: &AtomicBool) -> Vec<Duration> {
    let (work, mut took) = (Workdir::new(), Vec::new());
    while took.len() < least || !over.load(Ordering::Relaxed) {
        let image = Image::new(&work, &format!("{name} {}", took.len()));
        let began = Instant::now();
        let pushed = curl.push(name, "1.0", &image);
        assert_eq!(pushed.status, 201, "{name}: {pushed:?}");
        took.push(began.elapsed());
    }
    took
}

fn pushers(work: &Workdir, sidecar: &Sidecar, least: usize, over: &AtomicBool) -> Vec<Duration> {
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let pushing: Vec<_> = (0..PUSHERS)
            .map(|n| {
                let curl = Curl::through(work, sidecar);
                scope.spawn(move || push(&curl, &format!("team/app-{n}"), least, over))
            })
            .collect();
        pushing.into_iter().flat_map(|pushing| pushing.join().unwrap()).collect()
    });
    took.sort();
    took
}

fn shown(took: &[Duration]) -> (Duration, Duration) {
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// Connections open now, as the metrics page says.
fn open(admin: &Curl) -> usize {
    let page = admin.get("/metrics").text();
    let line = page.lines().find(|l| l.starts_with("pushbell_listener_connections ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn slow_clients_are_let_go_and_pushes_go_on() {
    // As many as there may be with the descriptors of both ends, or as many as are quick to make.
    let (many, limit, least) = if long() { (2400, 60, 100) } else { (60, 4, 3) };
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let limits =
        format!("limits: {{ handshake: {limit}s, request_head: {limit}s, body_idle: {limit}s }}\n");
    let sidecar = Sidecar::before(&work, &registry.url(), &limits);
    let (curl, admin) = (Curl::through(&work, &sidecar), Curl::direct(&work, &sidecar.admin("")));
    let large = vec![7; 8 << 20];
    let blob = sha256(&large);
    curl.blob("team/app", &large);
    let quiet = pushers(&work, &sidecar, least, &AtomicBool::new(true));
    let (before, _) = sidecar.memory();
    let limit = Duration::from_secs(limit);

    let (dialer, host, over) = (Dialer::new(&sidecar), sidecar.host(), AtomicBool::new(false));
    thread::scope(|scope| {
        let pushing = scope.spawn(|| pushers(&work, &sidecar, least, &over));
        let end = Over(&over);
        let mut crowds = Vec::new();
        for slow in [Slow::Handshake, Slow::Head, Slow::Body, Slow::Read] {
            let began = sidecar.memory().0;
            let crowd = crowd(slow, many, &dialer, &host, &blob);
            let each = sidecar.memory().0.saturating_sub(began) / many as u64;
            println!("{slow:?}: {} KiB each", each >> 10);
            // What each of a few takes says little, and what is not optimized takes more.
            let allowed = if cfg!(debug_assertions) { 4 * EACH } else { EACH };
            assert!(each <= allowed, "{slow:?}: {} KiB each", each >> 10);
            crowds.push((slow, crowd));
        }
        let all = Instant::now();
        println!("{} open, {} KiB more", open(&admin), (sidecar.memory().0 - before) >> 10);
        for (slow, crowd) in crowds {
            // It does not read, so it cannot see.
            if slow == Slow::Read {
                until("those who do not read to be let go", || {
                    (open(&admin) <= 2 * PUSHERS).then_some(())
                });
                // Its time begins when every buffer on the way is full.
                assert!(all.elapsed() <= limit + Duration::from_secs(6), "{:?}", all.elapsed());
                println!("Read: the last is let go after {:?}", all.elapsed());
                continue;
            }
            let mut longest = Duration::ZERO;
            for (mut raw, began) in crowd {
                // Who has not begun its handshake shall not begin it now: this only listens.
                while raw.read(1).is_some() {}
                let took = began.elapsed();
                assert!(took + Duration::from_millis(100) >= limit, "{slow:?}: {took:?}");
                longest = longest.max(took);
            }
            println!("{slow:?}: the last is let go after {longest:?}");
            assert!(longest <= limit + Duration::from_secs(2), "{slow:?}: {longest:?}");
        }
        drop(end);
        let (quiet, stressed) = (shown(&quiet), shown(&pushing.join().unwrap()));
        println!("a push, p50 and p99: {quiet:?} in quiet, {stressed:?} among them");
    });
}

/// What `slowhttptest` finds: how it ended, and whether the service answered its probe to the last.
fn slowhttptest(many: usize, seconds: u64, mode: &[&str]) -> (String, String) {
    let (rate, many, seconds) = (many.min(100).to_string(), many.to_string(), seconds.to_string());
    let mut tool = Command::new("slowhttptest");
    tool.args(["-c", &many, "-r", &rate, "-l", &seconds, "-p", "5"]).args(mode);
    let done = run(&mut tool);
    let said = done.out.clone() + &done.err;
    let after = |what: &str| {
        let found = said.lines().rev().find_map(|line| line.split_once(what));
        let (_, rest) = found.unwrap_or_else(|| panic!("no `{what}` in {said}"));
        // In colours: an escape ends with the first `m`.
        let mut plain = rest.split('\u{1b}');
        let first = plain.next().unwrap_or_default().to_owned();
        plain.filter_map(|piece| piece.split_once('m')).fold(first, |all, (_, text)| all + text)
    };
    (after("Exit status:").trim().to_owned(), after("service available:").trim().to_owned())
}

#[test]
fn slowhttptest_finds_us_available_while_pushes_go_on() {
    let (many, seconds, limit, least) = if long() { (300, 30, 10, 50) } else { (20, 2, 1, 1) };
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let limits = format!("limits: {{ request_head: {limit}s, body_idle: {limit}s }}\n");
    let sidecar = Sidecar::before(&work, &registry.url(), &limits);
    let large = vec![7; 8 << 20];
    Curl::through(&work, &sidecar).blob("team/app", &large);
    let blob = sidecar.url(&format!("/v2/team/app/blobs/{}", sha256(&large)));
    let (any, manifest) = (sidecar.url("/v2/"), sidecar.url("/v2/team/app/manifests/slow"));
    // Each pauses for longer than it may, but for the head, which may be as lively as it likes. The tool ends
    // when all are let go; a reader that does not look does not notice, so it alone takes all its time.
    let pause = (2 * limit).to_string();
    let modes: [(&str, u64, &[&str]); 3] = [
        ("slow headers", 45, &["-H", "-i", "1", "-u", &any]),
        ("slow body", 45, &["-B", "-i", &pause, "-t", "PUT", "-s", "8192", "-u", &manifest]),
        (
            "slow read",
            seconds,
            &["-X", "-n", &pause, "-w", "16", "-y", "32", "-z", "8", "-u", &blob],
        ),
    ];
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let pushing = scope.spawn(|| pushers(&work, &sidecar, least, &over));
        let end = Over(&over);
        let tools = modes.map(|(name, seconds, mode)| {
            scope.spawn(move || (name, slowhttptest(many, seconds, mode)))
        });
        for tool in tools {
            let (name, (ended, available)) = tool.join().unwrap();
            println!("{name}: {ended}; service available: {available}");
            assert_eq!(available, "YES", "{name}");
            assert!(name == "slow read" || ended == "No open connections left", "{name}: {ended}");
        }
        drop(end);
        let took = pushing.join().unwrap();
        println!("{} pushes among them, p50 and p99: {:?}", took.len(), shown(&took));
    });
}
