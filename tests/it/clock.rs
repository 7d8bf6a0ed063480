//! A clock that is set an hour or ten years ahead or back while we run.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::OpenFlags;

use crate::support::Image;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Where Debian has it, on every architecture.
fn library() -> Option<std::path::PathBuf> {
    let directories = std::fs::read_dir("/usr/lib").ok()?.flatten();
    directories
        .map(|directory| directory.path().join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_wakes_no_crowd() {
    let library = library().expect("the package `faketime` is missing; `make prepare` installs it");
    let mut stage = Stage::open();
    stage.sidecar.stop();
    let clock = stage.work.write("clock", "+0\n");
    let file = stage.work.join("pushbell.yaml");
    let flags = ["--config", file.to_str().unwrap()];
    let environment = [
        ("LD_PRELOAD", library.as_path()),
        ("FAKETIME_TIMESTAMP_FILE", clock.as_path()),
        ("FAKETIME_NO_CACHE", Path::new("1")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
    ];
    stage.sidecar = Sidecar::with_flags(&stage.work, &flags, &environment);
    let image = Image::new(&stage.work, "any time");
    // Certificates are for their time only; what a client thinks of ours is not the question here.
    let curl = stage.curl().with(&["--insecure"]);
    assert_eq!(curl.push("team/app", "now", &image).status, 201);
    stage.receiver.wait_for(1);
    let mut pushed = vec!["now".to_owned()];
    for jump in ["+1h", "-1h", "+10y", "-10y"] {
        std::fs::write(&clock, format!("{jump}\n")).unwrap();
        for n in 0..5 {
            let tag = format!("at{}-{n}", jump.replace('+', "p").replace('-', "m"));
            assert_eq!(curl.put("team/app", &tag, IMAGE, &image.manifest).status, 201);
            pushed.push(tag);
        }
        let years = jump.ends_with('y');
        if !years {
            // The receiver's certificate is good for these, and so they are told at once.
            stage.receiver.wait_for(pushed.len());
        }
    }
    std::fs::write(&clock, "+0\n").unwrap();
    // One more, in a lane of its own: an endpoint that was failing is tried again all the same.
    assert_eq!(curl.put("team/app", "back", IMAGE, &image.manifest).status, 201);
    pushed.push("back".to_owned());
    until("every push to be told", || {
        let told: HashSet<String> = stage
            .receiver
            .requests()
            .iter()
            .map(|request| request.json()["data"]["tag"].as_str().unwrap().to_owned())
            .collect();
        pushed.iter().all(|tag| told.contains(tag)).then_some(())
    });
    let database = stage.work.join("state/outbox/outbox.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).unwrap();
    let sql = "SELECT count(*) FROM deliveries WHERE state = 'dead'";
    let dead: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(dead, 0);
    let sql = "SELECT count(*) FROM attempts";
    let attempts: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    // What failed was probed one at a time: not every event each time the clock made it due.
    let attempts = usize::try_from(attempts).unwrap();
    assert!(attempts <= 3 * pushed.len(), "{attempts} attempts for {} events", pushed.len());
}
