//! One endpoint's loop: claim what is due and may start, attempt it, record what became of it.
//!
//! The loop itself only decides. An exchange runs on a task of its own, so that neither the outbox
//! nor another exchange holds it up; records are written beside the loop, so that an outbox that is
//! slow or failing holds up nothing but the claims it would have to answer anyway.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::Request;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing::error;
use tracing::info;
use tracing::info_span;

use crate::outbox;
use crate::outbox::AttemptOutcome;
use crate::outbox::Claim;
use crate::outbox::Class;
use crate::outbox::DeadReason;
use crate::outbox::Next;
use crate::outbox::Outbox;
use crate::tasks::Tasks;
use crate::telemetry::chain;

use super::Endpoint;
use super::answers::Meaning;
use super::attempt::Client;
use super::attempt::Ended;
use super::health::Health;
use super::rate::Rate;
use super::report::Report;
use super::retry;
use super::retry::Past;
use super::retry::Verdict;

/// One endpoint's worker.
pub(super) struct Worker {
    endpoint: Endpoint,
    client: Client,
    outbox: Outbox,
    tasks: Tasks,
    stop: CancellationToken,
    report: Report,
    health: Health,
    rate: Option<Rate>,
    /// Exchanges under way.
    attempts: FuturesUnordered<BoxFuture<'static, Attempted>>,
    /// Ends being written down; their claims are not released yet.
    records: FuturesUnordered<BoxFuture<'static, ()>>,
    /// What there is to claim, as far as we know.
    supply: Supply,
    /// Whether the last read of the outbox failed, so that this is said once.
    trouble: bool,
    /// The same for the last record; the records under way share it.
    record_trouble: Arc<AtomicBool>,
}

/// What the outbox has for us.
enum Supply {
    /// Something may be due.
    Some,
    /// Nothing is due before this.
    Until(Instant),
    /// Nothing is due before this, and then as if the clock said so, for it was set back.
    Ahead(OffsetDateTime),
    /// It cannot say; to be asked again then.
    Failed(Instant),
}

/// An exchange that ended.
struct Attempted {
    claim: Arc<Claim>,
    began: Instant,
    started_at: OffsetDateTime,
    ended: Ended,
}

/// How long the outbox is left alone after it failed.
const OUTBOX_PAUSE: Duration = Duration::from_secs(5);

/// Even when nothing wakes us we look: the wall clock may have been set forward.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How long until we look again where something is due and was not to be had; with attempts in
/// flight, their ends will wake us. Both keep us from spinning.
const LEAST_WAIT: Duration = Duration::from_millis(50);
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// The most ends that may wait to be written down before nothing more is claimed.
const MOST_RECORDS: usize = 256;

impl Worker {
    pub(super) fn new(
        endpoint: Endpoint,
        outbox: Outbox,
        tasks: Tasks,
        stop: CancellationToken,
        report: Report,
    ) -> Self {
        Self {
            client: Client::new(&endpoint),
            rate: endpoint.pace.map(|rate| Rate::new(rate, Instant::now())),
            endpoint,
            outbox,
            tasks,
            stop,
            report,
            health: Health::Healthy,
            attempts: FuturesUnordered::new(),
            records: FuturesUnordered::new(),
            supply: Supply::Some,
            trouble: false,
            record_trouble: Arc::default(),
        }
    }

    /// Works until told to stop; then finishes what is in flight and writes it down.
    pub(super) async fn run(mut self) {
        info!(
            endpoint = self.endpoint.name,
            url = self.endpoint.shown_url(),
            dialect = self.endpoint.dialect.as_str(),
            signed = self.endpoint.signer.is_some(),
            "Delivering"
        );
        let mut owed = self.outbox.owed(&self.endpoint.name);
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let wake = self.claim().await;
            tokio::select! {
                () = stop.cancelled() => {}
                Some(attempted) = self.attempts.next() => self.attempt_ended(attempted),
                // The next of its lane may have become due.
                Some(()) = self.records.next() => self.supply.may_have_grown(),
                () = changed(&mut owed) => self.supply.may_have_grown(),
                () = sleep_until(wake) => self.supply.look_again(),
            }
        }
        while let Some(attempted) = self.attempts.next().await {
            self.attempt_ended(attempted);
        }
        while self.records.next().await.is_some() {}
    }

    /// Claims and starts all that may start now. Returns when to try again if nothing happens before.
    async fn claim(&mut self) -> Instant {
        loop {
            let now = Instant::now();
            let idle = now + LOOK_AGAIN;
            let room = self.room(now);
            if room == 0 {
                return self.room_at().unwrap_or(idle);
            }
            let wall = OffsetDateTime::now_utc();
            let as_of = match self.supply {
                Supply::Some => wall,
                Supply::Ahead(due) => due.max(wall),
                Supply::Until(at) => return at.min(idle),
                Supply::Failed(at) => return at,
            };
            match self.outbox.claim(&self.endpoint.name, as_of, room).await {
                Ok(claims) if self.stop.is_cancelled() => {
                    claims.iter().for_each(|claim| self.outbox.give_back(claim));
                    return now;
                }
                Ok(claims) => {
                    self.works_again();
                    let (none, all) = (claims.is_empty(), claims.len() < room);
                    self.start(claims);
                    self.supply = match self.supply {
                        // What is ahead waits for something else, and that will wake us.
                        Supply::Ahead(_) if none => Supply::Until(idle),
                        _ if all => self.look_ahead().await,
                        _ => Supply::Some,
                    };
                }
                Err(error) => self.supply = self.failed(&error),
            }
        }
    }

    /// How many attempts may start now.
    fn room(&self, now: Instant) -> usize {
        if self.records.len() >= MOST_RECORDS {
            return 0;
        }
        let concurrency = self.endpoint.concurrency.max(1);
        let room = self.health.room(concurrency, self.attempts.len(), now);
        self.rate.map_or(room, |rate| room.min(rate.room(now)))
    }

    /// When there will be room without an attempt ending.
    fn room_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let probe = self.health.probe_at().filter(|at| *at > now);
        let pace = self.rate.map(|rate| rate.next_at()).filter(|at| *at > now);
        probe.max(pace)
    }

    /// When something will be due, now that nothing is.
    async fn look_ahead(&mut self) -> Supply {
        let now = Instant::now();
        match self.outbox.next_due(&self.endpoint.name).await {
            Ok(None) => Supply::Until(now + LOOK_AGAIN),
            Ok(Some(due)) => {
                let wait = Duration::try_from(due - OffsetDateTime::now_utc()).unwrap_or_default();
                if wait > retry::LONGEST_PAUSE {
                    return Supply::Ahead(due);
                }
                // It may be due by now, or wait for one of its lane that is in flight.
                let least = if self.attempts.is_empty() { LEAST_WAIT } else { BUSY_WAIT };
                Supply::Until(now + if wait.is_zero() { least } else { wait })
            }
            Err(error) => self.failed(&error),
        }
    }

    fn start(&mut self, claims: Vec<Claim>) {
        let mut started = 0;
        for claim in claims {
            let claim = Arc::new(claim);
            let started_at = OffsetDateTime::now_utc();
            let id = claim.delivery.to_string();
            match self.endpoint.request(&claim.event, &id, started_at) {
                Ok(request) => {
                    started += 1;
                    self.attempt(claim, request, started_at);
                }
                Err(unwritable) => {
                    self.report.unwritable();
                    self.unsent(&claim, unwritable.to_string(), started_at);
                }
            }
        }
        if let Some(rate) = &mut self.rate {
            rate.took(started, Instant::now());
        }
        self.report.show(&self.health, self.attempts.len());
    }

    fn attempt(
        &self,
        claim: Arc<Claim>,
        request: Request<bytes::Bytes>,
        started_at: OffsetDateTime,
    ) {
        let began = Instant::now();
        let client = self.client.clone();
        let answers = self.endpoint.answers;
        let span = info_span!(
            "attempt",
            endpoint = self.endpoint.name,
            event.id = %claim.event.id,
            attempt = claim.attempt
        );
        let exchange = async move {
            let answer = client.exchange(request).await;
            Ended::of(&answer, answers, OffsetDateTime::now_utc())
        };
        // On a task of its own: a claim that waits for the outbox must not hold it up.
        let task = self.tasks.spawn(exchange.instrument(span));
        let attempted = async move {
            let ended = task.await.unwrap_or_else(|panic| Ended {
                verdict: Verdict::Unavailable,
                meaning: Meaning::Transient,
                status: None,
                detail: format!("the attempt ended in a fault of ours: {panic}"),
                retry_after: None,
            });
            Attempted { claim, began, started_at, ended }
        };
        self.attempts.push(attempted.boxed());
    }

    /// Gives up a delivery without an attempt: none would ever tell it.
    fn unsent(&self, claim: &Claim, why: String, now: OffsetDateTime) {
        let reason = DeadReason::Refused;
        self.report.gave_up(reason);
        let end = AttemptOutcome {
            delivery: claim.delivery,
            attempt: claim.attempt,
            started_at: now,
            ended_at: now,
            class: Class::Event,
            status: None,
            detail: format!("nothing was sent: {why}"),
            next: Next::Dead(reason),
        };
        self.report.log(claim, &end, None);
        self.record(end);
    }

    /// Decides what an exchange's end means for the endpoint and for the delivery, and says so.
    fn attempt_ended(&mut self, attempted: Attempted) {
        let Attempted { claim, began, started_at, ended } = attempted;
        let now = Instant::now();
        let ended_at = OffsetDateTime::now_utc();
        let random = fastrand::f64();
        let Ended { verdict, meaning, status, detail, retry_after } = ended;
        let turn = match verdict {
            Verdict::Taken | Verdict::Refused | Verdict::Rejected => {
                self.health.answered(self.endpoint.concurrency)
            }
            Verdict::Gone => self.health.gone(),
            Verdict::Unavailable | Verdict::Misdirected => {
                let pause = |n| retry::endpoint_pause(verdict, n, retry_after, random);
                self.health.failed(began, now, pause)
            }
            Verdict::NoWay => {
                let pause = |n| retry::endpoint_pause(verdict, n, None, random);
                self.health.cut_off(began, now, pause)
            }
        };
        let left_alone = self.health.probe_at().map_or(Duration::ZERO, |at| at - now);
        let past = Past { attempts: claim.attempt, event_failures: claim.event_failures };
        let next = retry::next(verdict, past, left_alone, retry_after, ended_at, random);
        if verdict != Verdict::Taken {
            self.report.note(ended_at, &detail);
        }
        let end = AttemptOutcome {
            delivery: claim.delivery,
            attempt: claim.attempt,
            started_at,
            ended_at,
            class: verdict.class(),
            status: status.map(|status| status.as_u16()),
            detail,
            next,
        };
        self.report.count(&claim, &end, (verdict, meaning), now - began);
        self.report.log(&claim, &end, Some(meaning));
        self.report.log_turn(turn, verdict, &end.detail);
        self.record(end);
        self.report.show(&self.health, self.attempts.len());
    }

    /// Writes the end down, again and again if it must be; once we stop, one more time. What could not
    /// be written is attempted again after the next start, with the same id.
    fn record(&self, end: AttemptOutcome) {
        let outbox = self.outbox.clone();
        let stop = self.stop.clone();
        let trouble = Arc::clone(&self.record_trouble);
        let endpoint = self.endpoint.name.clone();
        let record = async move {
            loop {
                let last = stop.is_cancelled();
                let Err(error) = outbox.record(end.clone()).await else {
                    if trouble.swap(false, Ordering::Relaxed) {
                        info!(endpoint, "Attempts can be recorded again");
                    }
                    return;
                };
                let said = trouble.swap(true, Ordering::Relaxed);
                if last || !said {
                    let error = chain(&error);
                    error!(endpoint, error, delivery = %end.delivery, last, "Could not record an attempt");
                }
                if last {
                    return;
                }
                tokio::select! {
                    () = sleep(OUTBOX_PAUSE) => {}
                    () = stop.cancelled() => {}
                }
            }
        };
        self.records.push(record.boxed());
    }

    fn failed(&mut self, error: &outbox::Error) -> Supply {
        if !std::mem::replace(&mut self.trouble, true) {
            let endpoint = &self.endpoint.name;
            error!(endpoint, error = chain(error), "Could not read what is owed, trying again");
        }
        Supply::Failed(Instant::now() + OUTBOX_PAUSE)
    }

    fn works_again(&mut self) {
        if std::mem::take(&mut self.trouble) {
            info!(endpoint = self.endpoint.name, "The outbox works again");
        }
    }
}

impl Supply {
    /// Something new is owed, or a lane is free.
    fn may_have_grown(&mut self) {
        if !matches!(self, Self::Failed(_)) {
            *self = Self::Some;
        }
    }

    /// A timer rang.
    fn look_again(&mut self) {
        if !matches!(self, Self::Ahead(_)) {
            *self = Self::Some;
        }
    }
}

/// Waits for something new to be owed; for ever, if nothing can be any more.
async fn changed(owed: &mut watch::Receiver<u64>) {
    if owed.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
