//! Receivers that do what none should, all at once, beside one that works: it must not notice.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use time::OffsetDateTime;

use crate::support::Conversation;
use crate::support::Image;
use crate::support::Registry;
use crate::support::Scripted;
use crate::support::Stage;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const PIECE: usize = 64 << 10;

/// What one does with a request, and how much it could say.
type Does = fn(&mut Conversation) -> usize;

/// Reads one request, and then does this; counts what it could say.
fn receiver(does: Does) -> (Scripted, Arc<AtomicUsize>) {
    let said: Arc<AtomicUsize> = Arc::default();
    let most = Arc::clone(&said);
    let receiver = Scripted::start(move |mut conversation: Conversation| {
        if let Some(head) = conversation.head() {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            conversation.body(length.map_or(0, |length| length.parse().unwrap()));
            most.fetch_max(does(&mut conversation), Ordering::SeqCst);
        }
    });
    (receiver, said)
}

fn silent(conversation: &mut Conversation) -> usize {
    // Until the other side has had enough.
    conversation.body(1).len()
}

fn drips(conversation: &mut Conversation) -> usize {
    conversation.say("HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\n");
    let mut said = 0;
    while conversation.says("x") {
        said += 1;
        thread::sleep(Duration::from_millis(200));
    }
    said
}

fn drips_its_head(conversation: &mut Conversation) -> usize {
    let mut said = 0;
    while conversation.says("H") {
        said += 1;
        thread::sleep(Duration::from_millis(200));
    }
    said
}

fn gushes(conversation: &mut Conversation) -> usize {
    conversation.say("HTTP/1.1 500 Oops\r\nContent-Length: 10737418240\r\n\r\n");
    let (mut said, piece) = (0, vec![b'x'; PIECE]);
    while conversation.says(&piece) {
        said += PIECE;
    }
    said
}

fn never_ends_its_head(conversation: &mut Conversation) -> usize {
    conversation.say("HTTP/1.1 200 OK\r\n");
    let line = format!("X-Long: {}\r\n", "x".repeat(1000));
    let mut said = 0;
    while conversation.says(&line) {
        said += line.len();
    }
    said
}

fn redirects(conversation: &mut Conversation) -> usize {
    conversation.say(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest/meta-data/\r\n\
         Content-Length: 0\r\n\r\n",
    );
    0
}

fn talks_nonsense(conversation: &mut Conversation) -> usize {
    conversation.say("SSH-2.0-OpenSSH_9.2\r\n\0\0\0\x01");
    0
}

#[test]
fn bad_receivers_neither_delay_a_good_one_nor_fill_our_memory() {
    let bad: [(&str, Does); 7] = [
        ("silent", silent),
        ("drips", drips),
        ("drips-head", drips_its_head),
        ("gushes", gushes),
        ("endless-head", never_ends_its_head),
        ("redirects", redirects),
        ("nonsense", talks_nonsense),
    ];
    let receivers: Vec<_> = bad.iter().map(|(name, does)| (*name, receiver(*does))).collect();
    let mut more = String::new();
    for (name, (receiver, _)) in &receivers {
        let url = receiver.url();
        writeln!(
            more,
            "  - {{ name: {name}, url: \"{url}/hook\", insecure_http: true, timeout: 2s }}"
        )
        .unwrap();
    }
    let stage = Stage::with("dialect: native\n", &more, Registry::start);
    let image = Image::new(&stage.work, "whatever they do");
    let curl = stage.curl();
    assert_eq!(curl.push("team/app", "0", &image).status, 201);
    stage.receiver.wait_for(1);
    let (before, _) = stage.sidecar.memory();
    let mut answered = Vec::new();
    for n in 1..=40 {
        assert_eq!(curl.put("team/app", &n.to_string(), IMAGE, &image.manifest).status, 201);
        answered.push(OffsetDateTime::now_utc());
    }
    let told = stage.receiver.wait_for(41);
    let mut late: Vec<Duration> = told[1..]
        .iter()
        .zip(&answered)
        .map(|(request, answered)| Duration::try_from(request.at - *answered).unwrap_or_default())
        .collect();
    late.sort_unstable();
    println!("told after the 201: p50 {:?}, p99 {:?}", late[20], late[39]);
    assert!(late[39] < Duration::from_secs(2), "{late:?}");
    // Every one of them is seen to fail, with what it did.
    until("all of them to be failing", || {
        let said = stage.admin().get("/readyz").json()["degraded"].to_string();
        bad.iter().all(|(name, _)| said.contains(&format!("{name} is failing"))).then_some(())
    });
    let (_, peak) = stage.sidecar.memory();
    let grown = peak.saturating_sub(before);
    println!("memory grew by {} KiB", grown >> 10);
    assert!(grown <= 10 << 20, "{grown} bytes");
    for (name, (_, said)) in &receivers {
        let said = said.load(Ordering::SeqCst);
        // What the kernel takes on both sides is more than what we read, and far from what they would send.
        assert!(said <= 16 << 20, "{name} could say {said} bytes");
    }
    assert_eq!(stage.admin().get("/readyz").status, 200);
}
