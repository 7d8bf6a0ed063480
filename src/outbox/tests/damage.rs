use std::fs;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::State;
use super::super::batch::Command;
use super::super::salvage;
use super::*;

async fn until(what: &str, look: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !look() {
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_no_database_is_kept_byte_for_byte_and_said_until_it_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), &[]).close().await;
    let database = directory.path().join("outbox/outbox.db");
    let kept = directory.path().join("outbox/outbox.db.damaged");
    let garbage = b"SQLite format 3, but no more";
    fs::write(&database, garbage).unwrap();
    let outbox = open(directory.path(), &["a"]);
    assert_eq!(fs::read(&kept).unwrap(), garbage);
    assert!(outbox.weaknesses()[0].1.contains("outbox.db.damaged"), "{:?}", outbox.weaknesses());
    append(&outbox, push("1", "a")).await;
    outbox.close().await;
    // A second damage does not take the place of the first.
    fs::write(&database, "x").unwrap();
    let outbox = open(directory.path(), &["a"]);
    assert_eq!(fs::read(&kept).unwrap(), garbage);
    fs::remove_file(&kept).unwrap();
    assert!(!outbox.weaknesses().is_empty());
    fs::remove_file(directory.path().join("outbox/outbox.db.damaged-2")).unwrap();
    until("the weakness to go", || outbox.weaknesses().is_empty()).await;
    outbox.close().await;
}

#[tokio::test]
async fn where_an_operator_is_waited_for_nothing_new_is_taken_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    outbox.close().await;
    let kept = directory.path().join("outbox/outbox.db.damaged");
    fs::write(&kept, "of an earlier run").unwrap();
    let config = Config { after_damage: AfterDamage::Wait, ..config(directory.path(), &["a"]) };
    let outbox = Outbox::open(config, Metrics::default()).unwrap();
    until("the outbox to wait", || matches!(outbox.state(), State::Failed(_))).await;
    let error = outbox.append(push("2", "a")).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    let claim = outbox.claim("a", now(), 1).await.unwrap().remove(0);
    ack(&outbox, &claim).await;
    assert!(matches!(outbox.state(), State::Failed(_)), "an outcome is no sign of health");
    fs::remove_file(kept).unwrap();
    until("the outbox to work", || outbox.state() == State::Working).await;
    append(&outbox, push("2", "a")).await;
    outbox.close().await;
}

/// A file with many events of which every tenth is taken, and one page of the events is noise.
async fn damaged(directory: &Path) -> u64 {
    let outbox = open(directory, &["a"]);
    for n in 0..300 {
        append(&outbox, push(&format!("t{}", n % 50), &n.to_string())).await;
    }
    outbox.close().await;
    let database = directory.join("outbox/outbox.db");
    let page: i64 = Connection::open(&database)
        .unwrap()
        .query_row(
            "SELECT pageno FROM dbstat WHERE name = 'events' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 20",
            [],
            |row| row.get(0),
        )
        .unwrap_or(40);
    let mut bytes = fs::read(&database).unwrap();
    let at = usize::try_from(page - 1).unwrap() * 4096;
    bytes[at..at + 4096].fill(0x5a);
    fs::write(&database, &bytes).unwrap();
    300
}

#[tokio::test]
async fn around_a_bad_page_everything_is_carried_over_and_nothing_is_numbered_twice() {
    let directory = tempfile::tempdir().unwrap();
    let events = damaged(directory.path()).await;
    let database = directory.path().join("outbox/outbox.db");
    let before = fs::read(&database).unwrap();
    let salvaged = salvage::salvage(&database, "a test").unwrap();
    assert_eq!(fs::read(&salvaged.kept).unwrap(), before, "the damaged file is as it was");
    let outbox = open(directory.path(), &["a"]);
    let number: u64 = Connection::open(&database)
        .unwrap()
        .query_row("SELECT count(*) FROM events", [], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap();
    println!("{number} of {events} events were carried over, {salvaged:?}");
    assert!(number >= events - 60, "{number} of {events}: {salvaged:?}");
    assert!(number < events || !salvaged.incomplete.is_empty(), "nothing was damaged");
    // Every lane that has anything left goes ahead.
    let claims = outbox.claim("a", now(), 99).await.unwrap();
    assert!(claims.len() >= 40, "{}", claims.len());
    let next = append(&outbox, push("new", "a")).await;
    assert!(next.event.sequence > Some(events), "{:?}", next.event.sequence);
    outbox.close().await;
}

#[tokio::test]
async fn damage_that_shows_while_we_run_is_mended_behind_the_back_of_whoever_appends() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    let first = outbox.claim("a", now(), 1).await.unwrap().remove(0);
    append(&outbox, push("1", "b")).await;
    let (done, wait) = oneshot::channel();
    let corrupt = |_: &Connection| {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Err(rusqlite::Error::SqliteFailure(error, None))
    };
    outbox.0.0.writes.put(Command::Test(corrupt, done)).await.unwrap();
    wait.await.unwrap();
    assert!(directory.path().join("outbox/outbox.db.damaged").exists());
    // What was claimed stays claimed, in the new file too.
    assert!(outbox.claim("a", now(), 9).await.unwrap().is_empty());
    assert!(append(&outbox, push("2", "a")).await.new);
    ack(&outbox, &first).await;
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [2, 3]);
    outbox.close().await;
}

#[tokio::test]
async fn a_salvage_that_was_cut_off_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    outbox.close().await;
    let at = |name: &str| directory.path().join("outbox").join(name);
    // Killed between the two renames: the log of the damaged file is still there.
    fs::rename(at("outbox.db"), at("outbox.db.salvaged")).unwrap();
    fs::write(at("outbox.db.damaged"), "damaged").unwrap();
    fs::write(at("outbox.db-wal"), "its log").unwrap();
    let outbox = open(directory.path(), &["a"]);
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [1]);
    outbox.close().await;
    // Killed before them: what was carried over may be half of it, and is thrown away.
    fs::write(at("outbox.db.salvaged"), "half of it").unwrap();
    let outbox = open(directory.path(), &["a"]);
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [1]);
    outbox.close().await;
}

#[tokio::test]
async fn the_reserve_goes_when_the_disk_is_full_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    let reserve = directory.path().join("outbox/outbox.reserve");
    until("the reserve", || fs::metadata(&reserve).is_ok_and(|file| file.len() == 16 << 20)).await;
    let (done, wait) = oneshot::channel();
    let full = |_: &Connection| {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        Err(rusqlite::Error::SqliteFailure(error, None))
    };
    outbox.0.0.writes.put(Command::Test(full, done)).await.unwrap();
    wait.await.unwrap();
    assert!(!reserve.exists());
    assert!(outbox.weaknesses()[0].1.contains("reserve"), "{:?}", outbox.weaknesses());
    append(&outbox, push("1", "a")).await;
    until("the reserve again", || reserve.exists() && outbox.weaknesses().is_empty()).await;
    outbox.close().await;
}
