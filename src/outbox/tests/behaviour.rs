use std::task::Poll;

use time::Duration;

use crate::event::Change;
use crate::event::Origin;
use crate::event::Outcome;
use crate::event::schema::Envelope;
use crate::registry::Platform;

use super::super::DeadReason;
use super::super::DeliveryId;
use super::super::Durability;
use super::super::Intent;
use super::super::Known;
use super::super::Reason;
use super::super::deliveries::millis;
use super::*;

#[tokio::test]
async fn an_event_says_what_it_changed() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let looked = |before| Append { before, ..push("1", "a") };
    let (a, b) = (digest("a"), digest("b"));
    for (append_this, change, previous) in [
        (push("unlooked", "a"), None, None),
        (push("unlooked", "b"), Some(Change::Moved), Some(&a)),
        (looked(Before::Absent), Some(Change::Created), None),
        (push("1", "a"), Some(Change::Unchanged), Some(&a)),
        (Append { before: Before::Absent, ..push("1", "b") }, Some(Change::Moved), Some(&a)),
        (delete(Some("1"), None), None, Some(&b)),
        (push("1", "b"), Some(Change::Created), None),
        (push("2", "b"), None, None),
        (delete(None, Some("b")), None, None),
        (push("1", "a"), Some(Change::Created), None),
        (push("2", "a"), Some(Change::Created), None),
        (
            Append { before: Before::Was(b.clone()), ..push("3", "a") },
            Some(Change::Moved),
            Some(&b),
        ),
        (
            Append { before: Before::Was(a.clone()), ..push("4", "a") },
            Some(Change::Unchanged),
            Some(&a),
        ),
    ] {
        let words = format!("{:?}", append_this.events[0].subject());
        let appended = append(&outbox, append_this).await;
        assert_eq!(appended.event.change, change, "{words}");
        assert_eq!(appended.event.previous_digest.as_ref(), previous, "{words}");
    }
    outbox.close().await;
}

#[tokio::test]
async fn one_append_of_several_tags_is_several_events_and_no_look_speaks_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    append(&outbox, push("b", "a")).await;
    let mut both = push("a", "a");
    both.events.extend(push("b", "a").events);
    both.before = Before::Absent;
    let appended = outbox.append(both).await.unwrap();
    let changes: Vec<_> = appended.iter().map(|a| a.event.change).collect();
    assert_eq!(changes, [None, Some(Change::Unchanged)]);
    outbox.close().await;
}

#[tokio::test]
async fn what_nobody_confirmed_and_what_comes_late_changes_nothing_we_know_for_sure() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let (repository, tag) = ("team/app".parse().unwrap(), "1".parse().unwrap());
    append(&outbox, push("1", "a")).await;
    assert_eq!(outbox.last_digest(&repository, &tag).await.unwrap(), Known::Digest(digest("a")));
    let unconfirmed = with(push("1", "b"), |event| event.outcome = Outcome::Unconfirmed);
    assert_eq!(append(&outbox, unconfirmed).await.event.change, None);
    assert_eq!(outbox.last_digest(&repository, &tag).await.unwrap(), Known::Never);
    append(&outbox, push("1", "a")).await;
    let unseen = append(&outbox, with(push("1", "b"), |event| event.digest = None)).await.event;
    assert_eq!((unseen.change, unseen.previous_digest), (None, Some(digest("a"))));
    assert_eq!(outbox.last_digest(&repository, &tag).await.unwrap(), Known::Never);
    append(&outbox, push("1", "a")).await;
    let late = with(push("1", "b"), |event| {
        event.origin = Origin::Notification;
        event.time = now() - Duration::hours(1);
    });
    assert_eq!(append(&outbox, late).await.event.change, None);
    assert_eq!(outbox.last_digest(&repository, &tag).await.unwrap(), Known::Never);
    outbox.close().await;
}

#[tokio::test]
async fn two_registries_do_not_share_a_tag() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let (repository, tag) = ("team/app".parse().unwrap(), "1".parse().unwrap());
    assert_eq!(outbox.last_digest(&repository, &tag).await.unwrap(), Known::Never);
    append(&outbox, push("1", "a")).await;
    append(&outbox, delete(Some("1"), None)).await;
    assert_eq!(outbox.last_digest(&repository, &tag).await.unwrap(), Known::Absent);
    let elsewhere = with(push("1", "b"), |event| event.registry = "docker.io".to_owned());
    assert_eq!(append(&outbox, elsewhere).await.event.change, None);
    assert_eq!(outbox.last_digest(&repository, &tag).await.unwrap(), Known::Never);
    let there = outbox.last_digest_at("docker.io", &repository, &tag).await.unwrap();
    assert_eq!(there, Known::Digest(digest("b")));
    outbox.close().await;
}

#[tokio::test]
async fn an_index_is_as_large_as_all_it_lists() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let child = |content: &'static str, size| {
        with(push("x", content), move |event| (event.tag, event.total_size) = (None, size))
    };
    let platform = |content: &str| Platform {
        os: "linux".to_owned(),
        architecture: content.to_owned(),
        variant: None,
        digest: digest(content),
    };
    let index = |contents: &[&str]| {
        let platforms: Vec<_> = contents.iter().map(|c| platform(c)).collect();
        with(push("1", "index"), move |event| {
            event.kind = Some(Kind::Index);
            (event.size, event.total_size) = (Some(9), None);
            event.platforms.clone_from(&platforms);
        })
    };
    append(&outbox, child("amd64", Some(70))).await;
    append(&outbox, child("arm64", Some(30))).await;
    append(&outbox, child("huge", Some(u64::MAX))).await;
    for (listed, expected) in [
        (&["amd64", "arm64"][..], Some(109)),
        (&["amd64", "amd64"], Some(149)),
        (&["amd64", "unknown"], None),
        (&["amd64", "huge"], None),
        (&[], None),
    ] {
        let appended = append(&outbox, index(listed)).await;
        assert_eq!(appended.event.total_size, expected, "{listed:?}");
    }
    outbox.close().await;
}

#[tokio::test]
async fn an_event_that_is_there_is_answered_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a", "b"]);
    let mut once = push("1", "a");
    once.events.push(once.events[0].clone());
    let first = outbox.append(once.clone()).await.unwrap();
    assert_eq!((first[0].new, first[1].new), (true, false));
    assert_eq!(first[0].event, first[1].event);
    assert_eq!(first[0].owed_to, ["a", "b"]);
    let mut changed = once;
    changed.events.truncate(1);
    changed.events[0].actor.name = Some("somebody else".to_owned());
    let again = append(&outbox, changed).await;
    assert_eq!(again, first[1]);
    assert_eq!(append(&outbox, push("1", "a")).await.event.sequence, Some(2));
    outbox.close().await;
}

#[tokio::test]
async fn the_stored_text_is_the_final_event() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    let appended = append(&outbox, push("1", "b")).await;
    let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
    ack(&outbox, &claim).await;
    let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
    assert_eq!(claim.event, appended.event);
    assert_eq!(claim.envelope, Envelope::of(&appended.event).to_json());
    assert_eq!(claim.event.change, Some(Change::Moved));
    assert_eq!(claim.delivery, DeliveryId::of(claim.event.id, "a"));
    assert!(claim.owed_since <= now() && claim.owed_since > now() - Duration::minutes(10));
    outbox.close().await;
}

#[tokio::test]
async fn each_endpoint_is_owed_what_it_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), &["all"]);
    let created = Filter { changes: vec![Change::Created], ..Filter::default() };
    let deletes = Filter { actions: vec![Action::Delete], ..Filter::default() };
    for filter in [created, deletes] {
        config.subscriptions.push(Subscription {
            endpoint: "some".to_owned(),
            filter,
            latest_only: false,
        });
    }
    let outbox = Outbox::open(config, Metrics::default()).unwrap();
    let owed = outbox.owed("some");
    append(&outbox, Append { before: Before::Absent, ..push("1", "a") }).await;
    assert!(owed.has_changed().unwrap());
    assert_eq!(append(&outbox, push("1", "b")).await.owed_to, ["all"]);
    assert_eq!(append(&outbox, delete(Some("1"), None)).await.owed_to, ["all", "some"]);
    assert!(!outbox.owed("nobody").has_changed().unwrap());
    assert!(outbox.claim("nobody", now(), 9).await.unwrap().is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn a_lane_goes_one_by_one_and_lanes_do_not_wait_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a", "b"]);
    for tag in ["1", "1", "2", "1", "2"] {
        append(&outbox, push(tag, "a")).await;
    }
    let first = outbox.claim("a", now(), 9).await.unwrap();
    assert_eq!(sequences(&first), [1, 3]);
    assert!(outbox.claim("a", now(), 9).await.unwrap().is_empty());
    assert_eq!(outbox.next_due("a").await.unwrap(), None);
    // The other endpoint has a lane of its own.
    assert_eq!(sequences(&outbox.claim("b", now(), 1).await.unwrap()), [1]);
    ack(&outbox, &first[0]).await;
    let second = outbox.claim("a", now(), 9).await.unwrap();
    assert_eq!(sequences(&second), [2]);
    let dead = Next::Dead(DeadReason::Refused);
    outbox.record(outcome(&second[0], Class::Event, dead)).await.unwrap();
    let later = now() + Duration::minutes(5);
    outbox.record(outcome(&first[1], Class::Endpoint, Next::Due(later))).await.unwrap();
    let third = outbox.claim("a", now(), 9).await.unwrap();
    assert_eq!(sequences(&third), [4]);
    assert_eq!(
        outbox.next_due("a").await.unwrap().unwrap().unix_timestamp(),
        later.unix_timestamp()
    );
    let fourth = outbox.claim("a", later, 9).await.unwrap();
    assert_eq!(sequences(&fourth), [3]);
    assert_eq!((fourth[0].attempt, fourth[0].event_failures), (2, 0));
    outbox.close().await;
}

#[tokio::test]
async fn a_newer_event_takes_the_place_of_an_older_one_and_that_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["all", "latest"]);
    append(&outbox, push("1.0", "a")).await;
    // In flight: what becomes of it, its own outcome says.
    let first = outbox.claim("latest", now(), 9).await.unwrap().remove(0);
    for content in ["b", "c", "d"] {
        append(&outbox, push("1.0", content)).await;
    }
    append(&outbox, push("2.0", "a")).await;
    assert_eq!(sequences(&outbox.claim("latest", now(), 9).await.unwrap()), [5]);
    outbox.record(outcome(&first, Class::Endpoint, Next::Due(now()))).await.unwrap();
    assert_eq!(sequences(&outbox.claim("latest", now(), 9).await.unwrap()), [4]);
    assert_eq!(sequences(&outbox.claim("all", now(), 9).await.unwrap()), [1, 5]);
    outbox.close().await;
    let connection = rusqlite::Connection::open(directory.path().join("outbox/outbox.db")).unwrap();
    let rows: Vec<(i64, String, Option<String>)> = connection
        .prepare(
            "SELECT event, state, reason FROM deliveries
             WHERE endpoint = (SELECT id FROM endpoints WHERE name = 'latest') ORDER BY event",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let replaced = |event, by: &str| (event, "replaced".to_owned(), Some(format!("by {by}")));
    assert_eq!(rows[..3], [replaced(1, "4"), replaced(2, "3"), replaced(3, "4")]);
    assert!(rows[3..].iter().all(|(_, state, reason)| state == "ready" && reason.is_none()));
}

#[tokio::test]
async fn a_tag_of_another_registry_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["latest"]);
    append(&outbox, push("1.0", "a")).await;
    append(&outbox, with(push("1.0", "b"), |event| event.registry = "other".to_owned())).await;
    let first = outbox.claim("latest", now(), 9).await.unwrap();
    assert_eq!(sequences(&first), [1], "they share a lane all the same");
    ack(&outbox, &first[0]).await;
    assert_eq!(sequences(&outbox.claim("latest", now(), 9).await.unwrap()), [2]);
}

#[tokio::test]
async fn what_was_never_attempted_is_due_whatever_the_clock_says() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    let past = now() - Duration::days(3650);
    let claim = outbox.claim("a", past, 9).await.unwrap().remove(0);
    // The clock was ten years ahead when this was recorded.
    let due = Next::Due(now() + Duration::minutes(5));
    outbox.record(outcome(&claim, Class::Endpoint, due)).await.unwrap();
    assert_eq!(outbox.claim("a", now(), 9).await.unwrap().len(), 0);
    assert_eq!(outbox.claim("a", past, 9).await.unwrap().len(), 1);
    outbox.close().await;
}

#[tokio::test]
async fn the_next_of_a_lane_is_announced() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    append(&outbox, push("1", "b")).await;
    let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
    let mut owed = outbox.owed("a");
    owed.mark_unchanged();
    ack(&outbox, &claim).await;
    owed.changed().await.unwrap();
    outbox.close().await;
}

#[tokio::test]
async fn a_claim_given_back_or_never_received_is_due_again() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
    outbox.give_back(&claim);
    // Asked and left before the answer; where the answer was quicker, once more.
    loop {
        let mut left = Box::pin(outbox.claim("a", now(), 9));
        match futures_util::poll!(&mut left) {
            Poll::Pending => break,
            Poll::Ready(claims) => {
                claims.unwrap().iter().for_each(|claim| outbox.give_back(claim));
            }
        }
    }
    let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
    assert_eq!(claim.attempt, 1);
    outbox.close().await;
}

#[tokio::test]
async fn an_outcome_counts_once_and_the_last_twenty_attempts_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &["a"]);
    append(&outbox, push("1", "a")).await;
    for n in 1..=25 {
        let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
        assert_eq!((claim.attempt, claim.event_failures), (n, n / 2));
        let class = if n % 2 == 0 { Class::Endpoint } else { Class::Event };
        let class = if n == 25 { Class::Taken } else { class };
        let next = if n == 25 { Next::Acked } else { Next::Due(now() - Duration::seconds(1)) };
        let mut ended = outcome(&claim, class, next);
        ended.detail = "ä".repeat(10_000);
        outbox.record(ended.clone()).await.unwrap();
        outbox.record(ended).await.unwrap();
    }
    assert!(outbox.claim("a", now(), 9).await.unwrap().is_empty());
    let stranger = DeliveryId::of(EventId::of(IntentId::now(), None), "a");
    let claim_id = outbox.append(push("1", "b")).await.unwrap().remove(0).event.id;
    let claim = outbox.claim("a", now(), 9).await.unwrap().remove(0);
    assert_eq!(claim.event.id, claim_id);
    let unknown =
        AttemptOutcome { delivery: stranger, ..outcome(&claim, Class::Taken, Next::Acked) };
    assert!(matches!(outbox.record(unknown).await, Err(Error::UnknownDelivery { .. })));
    outbox.close().await;
    let database = directory.path().join("outbox/outbox.db");
    let connection = rusqlite::Connection::open(database).unwrap();
    let row = |sql: &str| connection.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    let (first, kept): (i64, i64) = row("SELECT min(number), count(*) FROM attempts");
    assert_eq!((first, kept), (6, 20));
    let (longest, owed): (i64, i64) =
        row("SELECT max(length(CAST(detail AS BLOB))), (SELECT owed FROM endpoints) FROM attempts");
    assert_eq!((longest, owed), (4096, 1));
}

fn intent_of(append: &Append) -> Intent {
    Intent { id: append.intent, event: append.events[0].clone(), tags: Vec::new() }
}

#[tokio::test]
async fn an_intent_stays_until_its_events_or_its_end_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let appends = [push("1", "a"), push("2", "b"), push("3", "c")];
    let durabilities = [Durability::Synced, Durability::Written, Durability::Synced];
    for (append, durability) in appends.iter().zip(durabilities) {
        outbox.intend(intent_of(append), durability).await.unwrap();
        // Said twice, it is there once.
        outbox.intend(intent_of(append), durability).await.unwrap();
    }
    let [first, second, third] = appends;
    assert_eq!(outbox.intent(first.intent).await.unwrap().unwrap().id, first.intent);
    assert!(append(&outbox, first.clone()).await.new);
    outbox.close_intent(second.intent, Reason::Refused).await.unwrap();
    // Closed by whoever knows nothing of its events, they stay.
    outbox.close_intent(first.intent, Reason::NotApplied).await.unwrap();
    for gone in [first.intent, second.intent] {
        assert_eq!(outbox.intent(gone).await.unwrap(), None);
    }
    outbox.close().await;
    let outbox = open(directory.path(), &[]);
    assert_eq!(outbox.leftovers(), [third.intent]);
    assert!(!append(&outbox, first).await.new);
    assert!(append(&outbox, third).await.new);
    let rows = |table: &str| -> i64 {
        let file = directory.path().join("outbox/outbox.db");
        let sql = format!("SELECT count(*) FROM {table}");
        rusqlite::Connection::open(file).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows("intents"), rows("closed"), rows("events")), (0, 1, 2));
    outbox.close().await;
}

#[tokio::test]
async fn what_was_done_since_is_found_among_events_and_among_intents() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = open(directory.path(), &[]);
    let began = |append: Append| with(append, |event| event.started_at = Some(now()));
    append(&outbox, delete(None, Some("a"))).await;
    // What is stored knows no more than milliseconds.
    let before = millis(now());
    while millis(now()) == before {
        tokio::task::yield_now().await;
    }
    let pushed = intent_of(&began(push("1", "a")));
    let undone = |intent: &Intent| outbox.undone(intent.clone(), std::time::Duration::ZERO);
    assert!(!undone(&pushed).await.unwrap(), "that was before");
    append(&outbox, delete(Some("2"), None)).await;
    append(&outbox, delete(None, Some("b"))).await;
    append(&outbox, push("1", "b")).await;
    assert!(!undone(&pushed).await.unwrap(), "none of them is about it");
    let open = delete(None, Some("a"));
    outbox.intend(intent_of(&open), Durability::Synced).await.unwrap();
    assert!(undone(&pushed).await.unwrap(), "it may be deleted at this moment");
    append(&outbox, open).await;
    assert!(undone(&pushed).await.unwrap());
    let deleted = intent_of(&began(delete(Some("3"), None)));
    assert!(!undone(&deleted).await.unwrap());
    append(&outbox, push("3", "c")).await;
    assert!(undone(&deleted).await.unwrap());
    outbox.close().await;
}
