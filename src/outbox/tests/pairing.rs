//! Two reports of one push become one event, on a real file and over restarts.

use std::time::Duration;

use rusqlite::Connection;

use crate::event::Actor;
use crate::event::Evidence;
use crate::event::Origin;
use crate::event::Outcome;
use crate::pairing::Mode;
use crate::pairing::Rules;

use super::super::Durability;
use super::super::Intent;
use super::super::Looked;
use super::super::Noted;
use super::super::Notice;
use super::super::Quarantined;
use super::super::Reason;
use super::*;

const SOURCE: &str = "from-registry";

fn paired(directory: &Path, rules: Rules) -> Outbox {
    let config = Config { pairing: Some(rules), ..config(directory, &["all"]) };
    Outbox::open(config, Metrics::default()).unwrap()
}

/// A push through us that took a second and has just ended.
fn seen(tag: &str, content: &str) -> Append {
    with(push(tag, content), |event| {
        event.actor = Actor::default();
        event.started_at = Some(now() - time::Duration::SECOND);
        event.answered_at = Some(now());
    })
}

fn intent(append: &Append) -> Intent {
    Intent { id: append.intent, event: append.events[0].clone(), tags: Vec::new() }
}

/// What the registry tells of it, under an id of its own.
fn notice(append: &Append, id: &str) -> Notice {
    let event = append.events[0].clone();
    let time = event.started_at.unwrap() + time::Duration::milliseconds(500);
    let event = Event {
        id: EventId::told(time, &[id]),
        origin: Origin::Notification,
        evidence: Evidence::Notification,
        outcome: Outcome::Confirmed,
        seen_by: vec![SOURCE.to_owned()],
        actor: Actor { name: Some("ci-bot".to_owned()) },
        started_at: None,
        answered_at: None,
        time,
        ..event
    };
    Notice { source: SOURCE.to_owned(), event, received: now() }
}

async fn note(outbox: &Outbox, notice: &Notice) -> Noted {
    outbox.note(vec![notice.clone()]).await.unwrap().remove(0)
}

async fn release(outbox: &Outbox, notice: &Notice, looked: Looked) -> Noted {
    outbox.release(notice.source.clone(), notice.event.id, looked).await.unwrap()
}

fn count(directory: &Path, what: &str) -> i64 {
    let connection = Connection::open(directory.join("outbox/outbox.db")).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_notification_before_the_answer_is_linked_to_the_intent_and_then_to_the_event() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let push = seen("1.0", "a");
    outbox.intend(intent(&push), Durability::Synced).await.unwrap();
    let told = notice(&push, "1");
    assert_eq!(note(&outbox, &told).await, Noted::Linked);
    assert_eq!(outbox.witnesses(push.intent).await.unwrap(), [SOURCE]);
    assert_eq!(note(&outbox, &told).await, Noted::Repeated);
    let appended = append(&outbox, push).await;
    assert_eq!(appended.event.seen_by, ["proxy", SOURCE]);
    assert_eq!(appended.event.actor.name.as_deref(), Some("ci-bot"));
    assert_eq!((appended.event.origin, appended.event.sequence), (Origin::Proxy, Some(1)));
    assert_eq!(note(&outbox, &told).await, Noted::Repeated);
    outbox.close().await;
    for (what, rows) in [("events", 1), ("links WHERE event = 1", 1), ("notifications", 0)] {
        assert_eq!(count(directory.path(), what), rows, "{what}");
    }
}

#[tokio::test]
async fn a_notification_after_the_event_is_a_link_and_the_event_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let push = seen("1.0", "a");
    let before = append(&outbox, push.clone()).await;
    assert_eq!(note(&outbox, &notice(&push, "1")).await, Noted::Linked);
    // A second one of the same source speaks of something else; one of another source does not.
    assert_eq!(note(&outbox, &notice(&push, "2")).await, Noted::Held);
    let other = Notice { source: "other".to_owned(), ..notice(&push, "3") };
    assert_eq!(note(&outbox, &other).await, Noted::Linked);
    let claimed = outbox.claim("all", now(), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].event, before.event);
}

#[tokio::test]
async fn an_observation_takes_what_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let push = seen("1.0", "a");
    let told = notice(&push, "1");
    let holds = outbox.holds();
    assert_eq!(note(&outbox, &told).await, Noted::Held);
    assert!(holds.has_changed().unwrap());
    let waiting = outbox.held(0, 9).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].id), (1, told.event.id));
    assert_eq!(waiting[0].event.as_deref().map(Event::key), Some(told.event.key()));
    let appended = append(&outbox, push).await;
    assert_eq!((appended.event.seen_by, appended.new), (vec!["proxy".into(), SOURCE.into()], true));
    assert!(outbox.held(0, 9).await.unwrap().is_empty());
    assert_eq!(release(&outbox, &told, Looked::Unknown).await, Noted::Repeated);
}

#[tokio::test]
async fn what_nobody_saw_is_an_event_of_its_own_and_an_observation_that_comes_late_is_that_event() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let push = seen("1.0", "a");
    let told = notice(&push, "1");
    assert_eq!(note(&outbox, &told).await, Noted::Held);
    let looked = Looked::Digest(digest("later"));
    let Noted::Appended(appended) = release(&outbox, &told, looked).await else { panic!() };
    assert_eq!(appended.event.origin, Origin::Notification);
    assert_eq!(appended.event.current_digest, Some(digest("later")));
    assert_eq!((appended.owed_to, appended.event.late), (vec!["all".to_owned()], false));
    assert_eq!(note(&outbox, &told).await, Noted::Repeated);
    for _ in 0..2 {
        let same = append(&outbox, push.clone()).await;
        assert_eq!((same.event.id, same.new), (told.event.id, false));
    }
    // Another push of the same content is another event.
    assert!(append(&outbox, seen("1.0", "a")).await.new);
    outbox.close().await;
    assert_eq!(count(directory.path(), "events"), 2);
}

#[tokio::test]
async fn what_was_linked_to_a_push_that_was_refused_waits_again_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let (refused, cut) = (seen("1.0", "a"), seen("2.0", "b"));
    for push in [&refused, &cut] {
        outbox.intend(intent(push), Durability::Synced).await.unwrap();
    }
    let (first, second) = (notice(&refused, "1"), notice(&cut, "2"));
    assert_eq!(note(&outbox, &first).await, Noted::Linked);
    assert_eq!(note(&outbox, &second).await, Noted::Linked);
    outbox.close_intent(refused.intent, Reason::Refused).await.unwrap();
    let waiting = outbox.held(0, 9).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].id), (1, first.event.id));
    outbox.close().await;
    let outbox = paired(directory.path(), Rules::default());
    assert_eq!(outbox.held(0, 9).await.unwrap().len(), 1);
    assert_eq!(outbox.witnesses(cut.intent).await.unwrap(), [SOURCE]);
    assert!(matches!(release(&outbox, &first, Looked::Unknown).await, Noted::Appended(_)));
    outbox.close_intent(cut.intent, Reason::NotApplied).await.unwrap();
    assert_eq!(outbox.held(0, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn evidence_makes_no_event() {
    let directory = tempfile::tempdir().unwrap();
    let rules = Rules { mode: Mode::Evidence, ..Rules::default() };
    let outbox = paired(directory.path(), rules);
    let push = seen("1.0", "a");
    assert_eq!(note(&outbox, &notice(&push, "1")).await, Noted::Held);
    assert_eq!(release(&outbox, &notice(&push, "1"), Looked::Unknown).await, Noted::Dropped);
    append(&outbox, push.clone()).await;
    assert_eq!(note(&outbox, &notice(&push, "2")).await, Noted::Linked);
    outbox.close().await;
    assert_eq!(count(directory.path(), "events"), 1);
}

#[tokio::test]
async fn what_comes_a_day_late_says_so_and_is_no_news_of_its_tag() {
    let directory = tempfile::tempdir().unwrap();
    let rules = Rules { hold: Duration::ZERO, ..Rules::default() };
    let outbox = paired(directory.path(), rules);
    append(&outbox, seen("1.0", "new")).await;
    let old = |tag: &str, id: &str| {
        let mut notice = notice(&seen(tag, "old"), id);
        notice.event.time = now() - time::Duration::days(2);
        notice
    };
    for (tag, superseded) in [("1.0", true), ("2.0", false)] {
        let Noted::Appended(appended) = note(&outbox, &old(tag, tag)).await else { panic!() };
        let event = appended.event;
        assert_eq!((event.late, event.superseded, event.change), (true, superseded, None));
    }
    let moved = append(&outbox, seen("1.0", "newer")).await.event;
    assert_eq!(moved.previous_digest, Some(digest("new")));
}

#[tokio::test]
async fn a_notification_that_does_not_tell_the_digest_finds_its_push_or_what_a_look_found() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let push = seen("1.0", "a");
    append(&outbox, push.clone()).await;
    let mut told = notice(&push, "1");
    told.event.digest = None;
    assert_eq!(note(&outbox, &told).await, Noted::Linked);
    let mut alone = notice(&seen("2.0", "b"), "2");
    alone.event.digest = None;
    assert_eq!(note(&outbox, &alone).await, Noted::Held);
    let looked = Looked::Digest(digest("found"));
    let Noted::Appended(appended) = release(&outbox, &alone, looked).await else { panic!() };
    assert_eq!(appended.event.digest, Some(digest("found")));
    assert_eq!(appended.event.current_digest, None);
}

#[tokio::test]
async fn pulls_are_nobodys_unless_somebody_asks() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config { pairing: Some(Rules::default()), ..config(directory.path(), &[]) };
    let outbox = Outbox::open(config.clone(), Metrics::default()).unwrap();
    let mut pull = notice(&seen("1.0", "a"), "1");
    pull.event.action = Action::Pull;
    assert_eq!(note(&outbox, &pull).await, Noted::Dropped);
    outbox.close().await;
    let subscription =
        Subscription { endpoint: "all".to_owned(), filter: everything(), latest_only: false };
    config.subscriptions.push(subscription);
    let outbox = Outbox::open(config, Metrics::default()).unwrap();
    assert!(matches!(note(&outbox, &pull).await, Noted::Appended(_)));
    assert_eq!(note(&outbox, &pull).await, Noted::Repeated);
}

#[tokio::test]
async fn quarantine_has_room_for_a_thousand_and_can_be_left() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let mut all = Vec::new();
    for number in 0..1003_u32 {
        let bytes = vec![b'x'; 70_000 + usize::try_from(number).unwrap()];
        let reason = format!("the {number}th");
        let quarantined =
            Quarantined { number: 0, source: SOURCE.to_owned(), received: now(), reason, bytes };
        all.push(outbox.quarantine(quarantined.clone()));
    }
    let last = all.pop().unwrap();
    futures_util::future::try_join_all(all).await.unwrap();
    last.await.unwrap();
    let there = outbox.quarantined(None, 2000).await.unwrap();
    assert_eq!((there.len(), there[0].bytes.len()), (1000, 64 << 10));
    assert_eq!(there[0].reason, "the 1002th");
    let push = seen("1.0", "a");
    let noted = outbox.discharge(there[0].number, vec![notice(&push, "1")]).await.unwrap();
    assert_eq!(noted, [Noted::Held]);
    assert_eq!(outbox.quarantined(None, 2000).await.unwrap().len(), 999);
}

/// A third of the pushes repeat one before; each is told thrice, before and after its event, in any order.
#[tokio::test]
async fn however_notifications_come_there_are_as_many_events_as_pushes() {
    const PUSHES: usize = 300;
    let directory = tempfile::tempdir().unwrap();
    let outbox = paired(directory.path(), Rules::default());
    let mut random = fastrand::Rng::with_seed(3);
    let mut late = Vec::new();
    let mut pushes: Vec<Append> = Vec::new();
    for number in 0..PUSHES {
        let content = if number % 3 == 2 {
            pushes[random.usize(number.saturating_sub(9)..number)].events[0].tag.clone()
        } else {
            None
        };
        let content = content.map_or_else(|| number.to_string(), |tag| tag.to_string());
        let push = seen(&content, &content);
        outbox.intend(intent(&push), Durability::Synced).await.unwrap();
        let told = notice(&push, &number.to_string());
        for _ in 0..3 {
            if random.u8(0..4) == 0 {
                outbox.note(vec![told.clone()]).await.unwrap();
            } else {
                late.push(told.clone());
            }
        }
        assert!(append(&outbox, push.clone()).await.new);
        pushes.push(push);
    }
    random.shuffle(&mut late);
    for told in &late {
        let noted = note(&outbox, told).await;
        if noted == Noted::Held {
            release(&outbox, told, Looked::Unknown).await;
        }
    }
    outbox.close().await;
    let pushes = i64::try_from(PUSHES).unwrap();
    for what in ["events", "links", "sightings"] {
        assert_eq!(count(directory.path(), what), pushes, "{what}");
    }
    assert_eq!(count(directory.path(), "notifications"), 0);
}
