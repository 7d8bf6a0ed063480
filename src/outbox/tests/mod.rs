//! The outbox as its callers see it, on a real file.

mod behaviour;
mod bounds;
mod damage;
mod failures;
mod model;
mod transfer;

use std::path::Path;

use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Filter;
use crate::event::IntentId;
use crate::event::schema::tests::sample;
use crate::points::Points;
use crate::registry::Digest;
use crate::registry::Kind;

use super::AfterDamage;
use super::Append;
use super::Appended;
use super::AttemptOutcome;
use super::Before;
use super::Bounds;
use super::Claim;
use super::Class;
use super::Config;
use super::Error;
use super::Metrics;
use super::Next;
use super::Outbox;
use super::Subscription;

/// The digest of some content.
fn digest(of: &str) -> Digest {
    Digest::sha256(of.as_bytes())
}

/// A push of an image: nothing known yet that the outbox finds out.
fn push(tag: &str, content: &str) -> Append {
    let intent = IntentId::now();
    let tag = Some(tag.parse().unwrap());
    let event = Event {
        id: EventId::of(intent, tag.as_ref()),
        change: None,
        previous_digest: None,
        tag,
        digest: Some(digest(content)),
        kind: Some(Kind::Image),
        total_size: Some(1000),
        platforms: Vec::new(),
        sequence: None,
        time: OffsetDateTime::now_utc(),
        ..sample()
    };
    Append { intent, events: vec![event], before: Before::Unknown }
}

/// A delete, by tag or by digest.
fn delete(tag: Option<&str>, content: Option<&str>) -> Append {
    let mut append = push("x", "x");
    for event in &mut append.events {
        event.action = Action::Delete;
        event.tag = tag.map(|tag| tag.parse().unwrap());
        event.digest = content.map(digest);
        event.total_size = None;
        event.id = EventId::of(append.intent, event.tag.as_ref());
    }
    append
}

fn with(mut append: Append, change: impl Fn(&mut Event)) -> Append {
    append.events.iter_mut().for_each(change);
    append
}

fn everything() -> Filter {
    Filter {
        actions: Action::ALL.to_vec(),
        kinds: Some(vec![Kind::Image, Kind::Index]),
        untagged: true,
        ..Filter::default()
    }
}

fn config(directory: &Path, endpoints: &[&str]) -> Config {
    let subscription = |name: &&str| Subscription {
        endpoint: (*name).to_owned(),
        filter: everything(),
        latest_only: name.starts_with("latest"),
    };
    Config {
        directory: directory.join("outbox"),
        subscriptions: endpoints.iter().map(subscription).collect(),
        bounds: Bounds::default(),
        after_damage: AfterDamage::GoOn,
        points: Points::default(),
    }
}

fn open(directory: &Path, endpoints: &[&str]) -> Outbox {
    Outbox::open(config(directory, endpoints), Metrics::default()).unwrap()
}

/// Appends one event, and returns what became of it.
async fn append(outbox: &Outbox, append: Append) -> Appended {
    outbox.append(append).await.unwrap().remove(0)
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn outcome(claim: &Claim, class: Class, next: Next) -> AttemptOutcome {
    AttemptOutcome {
        delivery: claim.delivery,
        attempt: claim.attempt,
        started_at: now(),
        ended_at: now(),
        class,
        status: Some(200),
        detail: "ok".to_owned(),
        next,
    }
}

async fn ack(outbox: &Outbox, claim: &Claim) {
    outbox.record(outcome(claim, Class::Taken, Next::Acked)).await.unwrap();
}

fn sequences(claims: &[Claim]) -> Vec<u64> {
    claims.iter().map(|claim| claim.event.sequence.unwrap()).collect()
}
