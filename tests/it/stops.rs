//! Stopped at any moment, we finish what has begun, and nothing that we said yes to is lost.

use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::Curl;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::long;
use crate::support::sha256;

/// What clients of one round saw.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// Uploads that were finished.
    finished: usize,
    /// Uploads whose body had begun to flow, and which were cut off.
    cut: usize,
    /// Clients that had a connection and no answer.
    turned_away: usize,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.finished += other.finished;
        self.cut += other.cut;
        self.turned_away += other.turned_away;
    }
}

/// What ends a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Drain,
    Kill,
}

const CLIENTS: usize = 4;
const DEADLINE: Duration = Duration::from_secs(25);

/// Uploads one blob after the other, slowly enough to be in the middle of one, until nobody is there.
fn upload(curl: &Curl, name: &str, protocol: &str, blob: &Path, digest: &str) -> Seen {
    let mut seen = Seen::default();
    loop {
        let begun = curl.call(
            &format!("/v2/{name}/blobs/uploads/"),
            &[protocol, "--request", "POST", "--retry", "0"],
        );
        let Some(location) = begun.header("location").filter(|_| begun.status == 202) else {
            seen.turned_away += usize::from(!begun.error.contains("(7)"));
            return seen;
        };
        let to = format!("{location}&digest={digest}");
        let kind = "Content-Type: application/octet-stream";
        let options = [
            protocol,
            "--header",
            kind,
            "--limit-rate",
            "20M",
            "--upload-file",
            blob.to_str().unwrap(),
        ];
        let put = curl.call(&to, &options);
        if put.status == 201 {
            seen.finished += 1;
            continue;
        }
        match put.uploaded {
            // Not a byte of the body went out: the client never was in the middle.
            0 => {}
            uploaded => {
                println!("{protocol}: cut after {uploaded} bytes: {put:?}");
                seen.cut += 1;
            }
        }
        // The kernel refuses a connection once nobody listens; everything else was a client of ours.
        seen.turned_away += usize::from(!put.error.contains("(7)"));
        return seen;
    }
}

/// One life of the sidecar, ended at a random instant. Yields what its clients saw and how long it took to go.
fn round(
    work: &Workdir,
    registry: &Registry,
    blob: &Path,
    digest: &str,
    end: End,
) -> (Seen, Duration) {
    let mut sidecar = Sidecar::before(work, &registry.url(), "");
    let (seen, began) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let curl = Curl::through(work, &sidecar);
                let protocol = if n % 2 == 0 { "--http1.1" } else { "--http2" };
                scope.spawn(move || upload(&curl, &format!("team/app-{n}"), protocol, blob, digest))
            })
            .collect();
        thread::sleep(Duration::from_millis(fastrand::u64(100..600)));
        let began = Instant::now();
        match end {
            End::Drain => sidecar.terminate(),
            End::Kill => sidecar.cut(),
        }
        let mut seen = Seen::default();
        clients.into_iter().for_each(|client| seen += client.join().unwrap());
        (seen, began)
    });
    let status = sidecar.wait();
    if end == End::Drain {
        assert_eq!(status.code(), Some(0), "{}", sidecar.printed());
    }
    (seen, began.elapsed())
}

#[test]
fn an_upload_that_has_begun_is_finished_at_any_stop() {
    let rounds = if long() { 500 } else { 4 };
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let mut bytes = vec![0; 4 << 20];
    fastrand::fill(&mut bytes);
    let (blob, digest) = (work.write("blob", &bytes), sha256(&bytes));
    let (mut all, mut longest) = (Seen::default(), Duration::ZERO);
    for n in 0..rounds {
        let (seen, took) = round(&work, &registry, &blob, &digest, End::Drain);
        assert_eq!(seen.cut, 0, "round {n}: what had begun was cut off");
        all += seen;
        longest = longest.max(took);
    }
    println!("{rounds} stops: {all:?}, gone after {longest:?} at most");
    assert!(all.finished >= rounds, "hardly any upload was under way");
    assert!(longest <= DEADLINE + Duration::from_secs(1), "{longest:?}");
    // The control: without a drain some are cut off, or the test would prove nothing.
    let cut = (0..rounds.min(20)).map(|_| round(&work, &registry, &blob, &digest, End::Kill).0.cut);
    let cut: usize = cut.sum();
    println!("control: {cut} uploads cut off by kills");
    assert!(cut > 0, "a kill cut nothing off");
}
