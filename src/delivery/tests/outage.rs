//! A receiver that is away for a day, in simulated time: the real rules of when to try, over a real outbox.

use std::collections::HashMap;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Filter;
use crate::event::IntentId;
use crate::event::schema::tests::sample;
use crate::outbox;
use crate::outbox::Append;
use crate::outbox::AttemptOutcome;
use crate::outbox::Before;
use crate::outbox::Claim;
use crate::outbox::Next;
use crate::outbox::Outbox;
use crate::outbox::Subscription;
use crate::points::Points;

use super::super::health::Health;
use super::super::retry;
use super::super::retry::Past;
use super::super::retry::Verdict;
use super::*;

const CONCURRENCY: usize = 8;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a receiver that is away keeps us waiting, and one that is there.
const AWAY: Duration = Duration::from_secs(10);
const THERE: Duration = Duration::from_millis(5);

/// One endpoint in simulated time: what its worker decides, without its sockets.
struct Simulated {
    outbox: Outbox,
    health: Health,
    began: Instant,
    clock: Duration,
    wall: OffsetDateTime,
    attempts: usize,
    random: fastrand::Rng,
}

impl Simulated {
    fn now(&self) -> (Instant, OffsetDateTime) {
        (self.began + self.clock, self.wall + self.clock)
    }

    /// Makes the attempts that may start now, all at once, and returns what they were of; or goes on to when one may.
    async fn round(&mut self, verdict: Verdict) -> Vec<Claim> {
        let (now, wall) = self.now();
        let room = self.health.room(CONCURRENCY, 0, now);
        if room == 0 {
            let at = self.health.probe_at().expect("it is failing");
            self.clock += at - now;
            return Vec::new();
        }
        let claims = self.outbox.claim("build", wall, room).await.unwrap();
        if claims.is_empty() {
            if let Some(due) = self.outbox.next_due("build").await.unwrap() {
                self.clock += Duration::try_from(due - wall).unwrap_or_default();
            }
            self.clock += Duration::from_millis(1);
            return claims;
        }
        let took = if verdict == Verdict::Taken { THERE } else { AWAY };
        self.clock += took;
        for claim in &claims {
            self.attempts += 1;
            self.end(claim, verdict, now, wall).await;
        }
        claims
    }

    async fn end(
        &mut self,
        claim: &Claim,
        verdict: Verdict,
        began: Instant,
        started_at: OffsetDateTime,
    ) {
        let (now, ended_at) = self.now();
        let random = self.random.f64();
        match verdict {
            Verdict::Taken => self.health.answered(CONCURRENCY),
            _ => {
                let pause = |n| retry::endpoint_pause(verdict, n, None, random);
                self.health.failed(began, now, pause)
            }
        };
        let left_alone = self.health.probe_at().map_or(Duration::ZERO, |at| at - now);
        let past = Past { attempts: claim.attempt, event_failures: claim.event_failures };
        let next = retry::next(verdict, past, left_alone, None, ended_at, random);
        assert!(!matches!(next, Next::Dead(_)), "an outage wears no event out");
        let outcome = AttemptOutcome {
            delivery: claim.delivery,
            attempt: claim.attempt,
            started_at,
            ended_at,
            class: verdict.class(),
            status: None,
            detail: String::new(),
            next,
        };
        self.outbox.record(outcome).await.unwrap();
    }
}

async fn append(outbox: &Outbox, n: usize, lanes: usize) {
    let intent = IntentId::now();
    let tag = Some(format!("v{}", n % lanes).parse().unwrap());
    let event = Event { id: EventId::of(intent, tag.as_ref()), tag, sequence: None, ..sample() };
    let append = Append { intent, events: vec![event], before: Before::Unknown };
    outbox.append(append).await.unwrap();
}

#[tokio::test]
async fn a_day_without_a_receiver_costs_a_few_hundred_attempts_and_no_event() {
    let long = std::env::var_os("PUSHBELL_TEST_LONG").is_some_and(|value| value == "1");
    let (events, lanes) = if long { (100_000, 20_000) } else { (3_000, 600) };
    let directory = tempfile::tempdir().unwrap();
    let config = outbox::Config {
        directory: directory.path().join("outbox"),
        subscriptions: vec![Subscription {
            endpoint: "build".to_owned(),
            filter: Filter::default(),
            latest_only: false,
        }],
        bounds: outbox::Bounds::default(),
        after_damage: outbox::AfterDamage::GoOn,
        points: Points::default(),
    };
    let outbox = Outbox::open(config, outbox::Metrics::default()).unwrap();
    for first in (0..events).step_by(500) {
        join_all((first..first + 500).map(|n| append(&outbox, n, lanes))).await;
    }
    let mut simulated = Simulated {
        outbox: outbox.clone(),
        health: Health::Healthy,
        began: Instant::now(),
        clock: Duration::ZERO,
        wall: OffsetDateTime::now_utc(),
        attempts: 0,
        random: fastrand::Rng::with_seed(7),
    };
    while simulated.clock < DAY {
        simulated.round(Verdict::Unavailable).await;
    }
    let during = simulated.attempts;
    assert!((200..=400).contains(&during), "{during} attempts in a day");
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut taken = 0;
    let back = simulated.clock;
    while taken < events {
        for claim in simulated.round(Verdict::Taken).await {
            taken += 1;
            let sequence = claim.event.sequence.unwrap();
            let before = last.insert(claim.event.lane(), sequence);
            assert!(before < Some(sequence), "{before:?} and then {sequence}");
        }
    }
    println!(
        "{events} events: {during} attempts in a day away, drained {:?} (simulated) after it was back",
        simulated.clock - back
    );
    assert_eq!(simulated.attempts, during + events, "each is told once");
    assert_eq!(simulated.health, Health::Healthy);
    assert!(outbox.next_due("build").await.unwrap().is_none());
    outbox.close().await;
}
