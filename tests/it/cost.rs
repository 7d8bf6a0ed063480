//! What passes through us without a trace: pulls and blobs cost no sync of the disk (rule D7).

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::support::Image;
use crate::support::Process;
use crate::support::Stage;
use crate::support::until;

#[test]
fn pulls_and_blobs_sync_nothing_and_a_manifest_does() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "for nothing");
    let curl = stage.curl();
    assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
    stage.receiver.wait_for(1);
    let trace = stage.work.join("syncs");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,sync,syncfs,sync_file_range,msync", "-o"])
        .arg(&trace)
        .args(["-p", &stage.sidecar.id().to_string()]);
    let mut tracing = Process::start(&mut strace);
    let attached = || {
        let status = fs::read_to_string(format!("/proc/{}/status", stage.sidecar.id())).unwrap();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
        tracer.trim() != "0"
    };
    let begun = until("the tracer to begin, or to say that it may not", || {
        let ended = tracing.ended().is_some();
        (ended || attached()).then_some(!ended)
    });
    if !begun {
        println!("SKIPPED: no process may be traced here: {}", tracing.lines().join(" "));
        return;
    }
    let syncs = || fs::read_to_string(&trace).unwrap_or_default().lines().count();
    // The ends of attempts, and whatever the start still had to do.
    let mut before = syncs();
    until("the disk to rest", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = syncs();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(curl.manifest("team/app", "1.0").status, 200);
        let blob =
            curl.get(&format!("/v2/team/app/blobs/{}", crate::support::sha256(&image.layer)));
        assert_eq!(blob.status, 200);
        curl.blob("team/app", b"nobody is told of this");
        assert_eq!(curl.get("/v2/team/app/tags/list").status, 200);
    }
    let fetched = syncs() - before;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    assert_eq!(curl.put("team/app", "2.0", kind, &image.manifest).status, 201);
    let pushed = syncs() - before - fetched;
    tracing.signal(Signal::INT);
    tracing.wait();
    assert_eq!(fetched, 0, "{}", fs::read_to_string(&trace).unwrap());
    // The control: what is promised to be durable is synced, twice.
    assert!(pushed >= 2, "{pushed} syncs for a manifest");
}
