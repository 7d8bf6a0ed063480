//! A blob of any size takes the same memory.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Method;

use crate::support::Client;
use crate::support::Protocol;
use crate::support::Said;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::long;

const MIB: usize = 1 << 20;
/// All that we may ever hold.
const ALLOWED: u64 = 40 << 20;
/// What of it is there before anybody asks for anything; a build that is not optimized is larger by itself.
const AT_REST: u64 = 15 << 20;
/// What the second half of an upload may take beyond the first.
const FLAT: u64 = 4 << 20;
/// The largest window of a stream of HTTP/2.
const WINDOW: u64 = 16 << 20;

#[test]
fn a_blob_of_ten_gibibytes_takes_no_more_memory_than_a_small_one() {
    let (mebibytes, every) = if long() { (10 << 10, 250) } else { (96, 20) };
    let registry = Scripted::start(move |mut conversation| {
        while conversation.head().is_some() {
            let whole = conversation.swallow(mebibytes * MIB) == mebibytes * MIB;
            let status = if whole { "201 Created" } else { "400 Bad Request" };
            conversation.say(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let work = Workdir::new();
        let sidecar = Sidecar::before(&work, &registry.url(), "");
        let larger = sidecar.memory().0.saturating_sub(AT_REST);
        let allowed = ALLOWED + if cfg!(debug_assertions) { larger } else { 0 };
        let mut client = Client::through(&sidecar, protocol);
        let over = AtomicBool::new(false);
        let curve: Vec<u64> = thread::scope(|scope| {
            let sampling = scope.spawn(|| {
                let mut curve = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    curve.push(sidecar.memory().0);
                    // A sample every so often, not a wait for something.
                    thread::sleep(Duration::from_millis(every));
                }
                curve
            });
            let body = Said::again(Bytes::from(vec![b'x'; MIB]), mebibytes);
            let path = "/v2/team/app/blobs/uploads/1?digest=x";
            let answered = client.send(Method::PUT, path, &HeaderMap::new(), body);
            over.store(true, Ordering::SeqCst);
            assert_eq!(answered.unwrap().status, 201, "{protocol:?}");
            sampling.join().unwrap()
        });
        let shown: Vec<String> =
            curve.iter().map(|rss| format!("{:.1}", *rss as f64 / MIB as f64)).collect();
        println!("{protocol:?}, {mebibytes} MiB, RSS in MiB: {}", shown.join(" "));
        let (first, second) = curve.split_at(curve.len() / 2);
        let peak = |part: &[u64]| part.iter().copied().max().unwrap_or_default();
        assert!(sidecar.memory().1 <= allowed, "{protocol:?}: {} MiB", sidecar.memory().1 >> 20);
        // The window of a stream may grow at any time, but not beyond the largest.
        let more = if protocol == Protocol::Http2 { WINDOW } else { 0 };
        assert!(peak(second) <= peak(first) + FLAT + more, "{protocol:?}: {shown:?}");
    }
}
