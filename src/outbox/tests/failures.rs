use std::fs;

use tokio::sync::oneshot;

use crate::telemetry::chain;

use super::super::State;
use super::super::batch::Command;
use super::*;

/// Does something to the writer's connection, in a transaction of its own or with what else waits.
async fn meddle(outbox: &Outbox, test: fn(&rusqlite::Connection) -> rusqlite::Result<()>) {
    let (done, wait) = oneshot::channel();
    outbox.0.0.writes.put(Command::Test(test, done)).await.unwrap();
    wait.await.unwrap();
}

/// The writer's connection sees a full disk from here on, until it is opened again.
fn fill_the_disk(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))
}

fn large(tag: &str) -> Append {
    with(push(tag, "a"), |event| event.actor.name = Some("x".repeat(100_000)))
}

#[tokio::test]
async fn a_second_process_learns_who_holds_the_outbox() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let config = config(directory.path(), &[]);
    let error = Outbox::open(config.clone(), Metrics::default()).unwrap_err();
    let pid = std::process::id();
    assert!(matches!(&error, Error::Held { pid: Some(held), .. } if *held == pid), "{error}");
    outbox.close().await;
    Outbox::open(config, Metrics::default()).unwrap().close().await;
}

#[tokio::test]
async fn everything_is_there_after_a_drop_and_nothing_is_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    let first = append(&outbox, push("1", "a")).await;
    append(&outbox, push("1", "b")).await;
    append(&outbox, push("2", "b")).await;
    let claims = outbox.claim("a", now(), 9).await.unwrap();
    assert_eq!(sequences(&claims), [1, 3]);
    let later = now() + time::Duration::minutes(5);
    outbox.record(outcome(&claims[1], Class::Endpoint, Next::Due(later))).await.unwrap();
    let mut ended = outbox.0.0.ended.subscribe();
    drop(outbox);
    ended.wait_for(|ended| *ended).await.unwrap();
    let outbox = open(directory.path(), &["a", "b"]);
    let claims = outbox.claim("a", now(), 9).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].event, first.event);
    assert_eq!(sequences(&outbox.claim("a", later, 9).await.unwrap()), [3]);
    assert!(outbox.claim("b", now(), 9).await.unwrap().is_empty());
    assert_eq!(append(&outbox, push("3", "a")).await.owed_to, ["a", "b"]);
    outbox.close().await;
}

#[tokio::test]
async fn a_closed_outbox_has_kept_what_it_took_and_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let waiting = outbox.clone();
    let mut last = Box::pin(waiting.append(push("1", "a")));
    assert!(futures_util::poll!(&mut last).is_pending());
    outbox.close().await;
    assert!(last.await.unwrap()[0].new);
    assert!(matches!(waiting.append(push("1", "b")).await, Err(Error::Closed)));
    assert!(matches!(waiting.claim("a", now(), 1).await, Err(Error::Closed)));
    let log = directory.path().join("outbox/outbox.db-wal");
    assert_eq!(fs::metadata(log).map_or(0, |log| log.len()), 0);
}

#[tokio::test]
async fn a_failed_transaction_goes_in_on_a_new_connection() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    meddle(&outbox, fill_the_disk).await;
    let appended = append(&outbox, large("2")).await;
    assert!(appended.new);
    assert_eq!(appended.event.sequence, Some(2));
    assert_eq!(outbox.state(), State::Working);
    assert_eq!(outbox.0.0.metrics.failures.get(), 1);
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [1, 2]);
    outbox.close().await;
}

#[tokio::test]
async fn a_commit_that_was_reported_as_failed_but_is_on_disk_is_still_new() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    // Commits halfway through the transaction: the end of it fails, what came before is durable.
    let (reply, answer) = oneshot::channel();
    let (done, meddled) = oneshot::channel();
    let owed = outbox.owed("a");
    let commit = |connection: &rusqlite::Connection| {
        if connection.is_autocommit() || connection.total_changes() == 0 {
            return Ok(());
        }
        connection.execute_batch("COMMIT; nonsense")
    };
    // At once, so that they share a transaction.
    outbox
        .0
        .0
        .writes
        .put_all([Command::Append(push("1", "a"), reply), Command::Test(commit, done)]);
    let appended = answer.await.unwrap().unwrap().remove(0);
    meddled.await.unwrap();
    assert!(appended.new);
    assert_eq!(appended.owed_to, ["a"]);
    assert!(owed.has_changed().unwrap());
    assert_eq!(outbox.0.0.metrics.failures.get(), 1);
    assert_eq!(outbox.claim("a", now(), 9).await.unwrap().len(), 1);
    outbox.close().await;
}

#[tokio::test]
async fn an_outbox_that_failed_says_so_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
    meddle(&outbox, fill_the_disk).await;
    let (here, away) = (directory.path().join("outbox"), directory.path().join("away"));
    fs::rename(&here, &away).unwrap();
    let lost = large("2");
    let error = outbox.append(lost.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }) && error.is_temporary(), "{}", chain(&error));
    let State::Failed(reason) = outbox.state() else { panic!("it works") };
    assert!(reason.starts_with("could not open"), "{reason}");
    assert!(outbox.record(outcome(&claim, Class::Taken, Next::Acked)).await.is_err());
    assert!(!here.exists(), "a new outbox was made in the place of the old one");
    fs::rename(&away, &here).unwrap();
    assert!(outbox.append(lost).await.unwrap()[0].new);
    assert_eq!(outbox.state(), State::Working);
    // The claim survived: nobody else may attempt it while its outcome is not recorded.
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [2]);
    ack(&outbox, &claim).await;
    assert!(outbox.claim("a", now(), 9).await.unwrap().is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn a_stored_event_that_cannot_be_read_holds_up_its_lane_only() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    for tag in ["1", "1", "2"] {
        append(&outbox, push(tag, "a")).await;
    }
    meddle(&outbox, |connection| {
        connection.execute("UPDATE events SET envelope = '{}' WHERE sequence = 1", []).map(drop)
    })
    .await;
    assert_eq!(sequences(&outbox.claim("a", now(), 1).await.unwrap()), [3]);
    outbox.close().await;
}

#[tokio::test]
async fn a_row_with_nonsense_in_it_holds_up_its_lane_only() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    for tag in ["1", "1", "2", "3"] {
        append(&outbox, push(tag, "a")).await;
    }
    meddle(&outbox, |connection| {
        connection.execute_batch(
            "UPDATE events SET envelope = CAST(x'ff' AS TEXT) WHERE sequence = 1;
             UPDATE deliveries SET attempts = -1 WHERE event = 3;",
        )
    })
    .await;
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [4]);
    outbox.close().await;
}

#[tokio::test]
async fn a_claim_that_fails_half_way_leaves_nothing_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    for tag in ["1", "2", "3", "4"] {
        append(&outbox, push(tag, "a")).await;
    }
    // What is due can still be found, but not what it says.
    meddle(&outbox, |connection| connection.execute_batch("ALTER TABLE events RENAME TO away"))
        .await;
    let error = outbox.claim("a", now(), 9).await.unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{}", chain(&error));
    meddle(&outbox, |connection| connection.execute_batch("ALTER TABLE away RENAME TO events"))
        .await;
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [1, 2, 3, 4]);
    outbox.close().await;
}

#[tokio::test]
async fn an_outbox_that_opens_but_takes_nothing_has_failed_all_the_time() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    meddle(&outbox, |connection| {
        connection.execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(FAIL, 'full'); END",
        )
    })
    .await;
    let mut states = outbox.states();
    outbox.append(push("1", "a")).await.unwrap_err();
    assert!(matches!(*states.borrow_and_update(), State::Failed(_)));
    for tag in ["2", "3"] {
        outbox.append(push(tag, "a")).await.unwrap_err();
        assert!(!states.has_changed().unwrap(), "it said that it worked again");
    }
    meddle(&outbox, |connection| connection.execute_batch("DROP TRIGGER full")).await;
    assert!(append(&outbox, push("1", "a")).await.new);
    assert_eq!(outbox.state(), State::Working);
    outbox.close().await;
}
