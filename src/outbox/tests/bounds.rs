use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;

use super::*;

fn bounded(directory: &Path, bounds: Bounds) -> Outbox {
    let config = Config { bounds, ..config(directory, &["a", "b"]) };
    Outbox::open(config, Metrics::default()).unwrap()
}

/// Each delivery to one endpoint: its event, its state and the reason.
fn deliveries(directory: &Path, endpoint: &str) -> Vec<(u64, String, Option<String>)> {
    let connection = Connection::open(directory.join("outbox/outbox.db")).unwrap();
    connection
        .prepare(
            "SELECT event, state, reason FROM deliveries
             WHERE endpoint = (SELECT id FROM endpoints WHERE name = ?1) ORDER BY event",
        )
        .unwrap()
        .query_map([endpoint], |row| {
            Ok((row.get::<_, i64>(0)?.try_into().unwrap(), row.get(1)?, row.get(2)?))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn states(directory: &Path, endpoint: &str) -> Vec<String> {
    deliveries(directory, endpoint).into_iter().map(|(_, state, _)| state).collect()
}

async fn until(what: &str, look: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !look() {
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn of_more_than_may_be_owed_the_oldest_are_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = bounded(directory.path(), Bounds { max_owed: 4, ..Bounds::default() });
    // Two lanes, so that the next of the first becomes the oldest in its turn.
    for n in 0..3 {
        append(&outbox, push("1", &n.to_string())).await;
    }
    let first = outbox.claim("a", now(), 1).await.unwrap().remove(0);
    for n in 0..4 {
        append(&outbox, push("2", &n.to_string())).await;
    }
    // What is in flight is nobody's to end, and what waits behind it waits.
    let expired = || (String::from("dead"), Some(String::from("expired")));
    let (_, state, reason) = deliveries(directory.path(), "a").remove(3);
    assert_eq!((state, reason), expired());
    assert_eq!(states(directory.path(), "a")[..3], ["ready", "waiting", "waiting"]);
    // The other endpoint has nothing in flight.
    assert_eq!(
        states(directory.path(), "b"),
        ["dead", "dead", "dead", "ready", "waiting", "waiting", "waiting"]
    );
    assert_eq!(sequences(&outbox.claim("b", now(), 9).await.unwrap()), [4]);
    ack(&outbox, &first).await;
    assert_eq!(sequences(&outbox.claim("a", now(), 1).await.unwrap()), [2]);
    outbox.close().await;
    let connection = Connection::open(directory.path().join("outbox/outbox.db")).unwrap();
    let owed: Vec<i64> = connection
        .prepare("SELECT owed FROM endpoints ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(owed, [3, 4]);
}

#[tokio::test]
async fn what_is_owed_for_too_long_is_a_dead_letter_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a", "b"]);
    for tag in ["1", "1", "2"] {
        append(&outbox, push(tag, "a")).await;
    }
    outbox.close().await;
    let database = directory.path().join("outbox/outbox.db");
    let week = 7 * 24 * 60 * 60 * 1000;
    let sql = "UPDATE events SET appended_at = appended_at - ?1 WHERE sequence < 3";
    assert_eq!(Connection::open(database).unwrap().execute(sql, [week]).unwrap(), 2);
    let outbox = open(directory.path(), &["a", "b"]);
    // To an endpoint that is not configured any more it is owed all the same.
    for endpoint in ["a", "b"] {
        until("the old to be dead", || {
            states(directory.path(), endpoint) == ["dead", "dead", "ready"]
        })
        .await;
    }
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [3]);
    outbox.close().await;
}

#[tokio::test]
async fn only_so_many_attempts_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = bounded(directory.path(), Bounds { keep_attempts: 3, ..Bounds::default() });
    append(&outbox, push("1", "a")).await;
    for _ in 0..5 {
        let claim = outbox.claim("a", now(), 1).await.unwrap().remove(0);
        outbox.record(outcome(&claim, Class::Endpoint, Next::Due(now()))).await.unwrap();
    }
    let connection = Connection::open(directory.path().join("outbox/outbox.db")).unwrap();
    let sql = "SELECT group_concat(number) FROM attempts";
    let kept: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "3,4,5");
    outbox.close().await;
}

/// Memory and the time of a start do not grow with what is owed (rule J9).
#[tokio::test]
async fn a_long_backlog_is_opened_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    let events = if std::env::var_os("PUSHBELL_TEST_LONG").is_some() { 1_000_000 } else { 20_000 };
    let sample = append(&outbox, push("1", "a")).await.event;
    let first = outbox.claim("a", now(), 1).await.unwrap().remove(0);
    ack(&outbox, &first).await;
    outbox.close().await;
    let envelope = crate::event::schema::Envelope::of(&sample).to_json();
    let connection = Connection::open(directory.path().join("outbox/outbox.db")).unwrap();
    connection
        .execute_batch(&format!(
            "BEGIN;
             WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < {events} + 9)
             INSERT INTO events SELECT i, CAST(printf('%016d', i) AS BLOB), x'00', 'k',
                 unixepoch() * 1000, json_set('{envelope}', '$.data.sequence', i) FROM n;
             INSERT INTO deliveries (event, endpoint, lane, state, due_at)
             SELECT sequence, 1, sequence, 'ready', 0 FROM events WHERE sequence > 9;
             UPDATE endpoints SET owed = {events} WHERE id = 1;
             COMMIT;"
        ))
        .unwrap();
    drop(connection);
    let before = resident();
    let began = Instant::now();
    let outbox = bounded(directory.path(), Bounds { max_owed: events - 5, ..Bounds::default() });
    let claims = outbox.claim("a", now(), 8).await.unwrap();
    let took = began.elapsed();
    assert_eq!(sequences(&claims), [10, 11, 12, 13, 14, 15, 16, 17]);
    assert!(took <= Duration::from_secs(2), "{events} events took {took:?}");
    // Beyond the bound the oldest that is not in flight goes, at no greater cost.
    append(&outbox, push("2", "a")).await;
    until("the oldest to go", || {
        let connection = Connection::open(directory.path().join("outbox/outbox.db")).unwrap();
        let sql =
            "SELECT group_concat(event) FROM (SELECT event FROM deliveries WHERE state = 'dead')";
        connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap().as_deref()
            == Some("18,19,20,21,22,23")
    })
    .await;
    let grown = resident().saturating_sub(before);
    println!("{events} events owed: opened in {took:?}, memory grew by {} KiB", grown >> 10);
    assert!(grown <= 100 << 20, "{grown} bytes");
    outbox.close().await;
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
