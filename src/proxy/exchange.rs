//! The exchange that may change what a tag names: a manifest's `PUT` or `DELETE`, step by step as in
//! delivery-guarantees 3.2.
//!
//! P1 streams and reads along with the last frame held, P2 makes the intent durable, P3 lets the frame go,
//! P4 waits for the answer, P5 makes the events durable, P6 relays. From P2 on the exchange owes an event
//! or the proof that there is none, whatever becomes of the client, so all of it runs on a tracked task.
//! What follows on what is decided in [`super::protocol`]; here is only the doing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use http::Response;
use http::StatusCode;
use hyper::body::Incoming;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::time::timeout;
use tracing::debug;
use tracing::warn;

use crate::event::Action;
use crate::event::Event;
use crate::listener;
use crate::outbox;
use crate::outbox::Append;
use crate::outbox::Before;
use crate::outbox::Intent;
use crate::outbox::Known;
use crate::outbox::Reason;
use crate::outbox::State;
use crate::telemetry::chain;

use super::Inner;
use super::classify::Exchange;
use super::error::Error;
use super::forward::Head;
use super::observe::Gate;
use super::observe::Observed;
use super::observe::Reader;
use super::overlap::UnderWay;
use super::protocol::Answer;
use super::protocol::End;
use super::protocol::Had;
use super::protocol::Input;
use super::protocol::Machine;
use super::protocol::OnFailure;
use super::protocol::Promise;
use super::protocol::Step;
use super::request::RequestBody;
use super::response::ResponseBody;
use super::upstream::Failed;
use super::upstream::Lease;
use super::upstream::Session;
use super::upstream::Share;

type Sent = Result<(Response<Incoming>, Lease), Failed>;

impl Inner {
    /// Runs the exchange on a task of its own and waits for its answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped when the client leaves; the exchange goes on and records what the registry did.
    pub(super) async fn observed(
        self: Arc<Self>,
        exchange: Exchange,
        head: Head,
        body: Option<listener::Incoming>,
        session: Session,
    ) -> Result<Response<ResponseBody>, Error> {
        self.begin(exchange, head, body, session).await.unwrap_or(Err(Error::Incomplete))
    }

    /// No `async fn`: whoever awaits the answer shall not hold the room that the exchange takes in its own task.
    fn begin(
        self: Arc<Self>,
        exchange: Exchange,
        head: Head,
        body: Option<listener::Incoming>,
        session: Session,
    ) -> oneshot::Receiver<Result<Response<ResponseBody>, Error>> {
        let (answer, answered) = oneshot::channel();
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            let response = self.exchange(&exchange, &head, body, &session).await;
            // The client may have left; what it was owed is recorded all the same.
            answer.send(response).ok();
        });
        answered
    }

    async fn exchange(
        &self,
        exchange: &Exchange,
        head: &Head,
        body: Option<listener::Incoming>,
        session: &Session,
    ) -> Result<Response<ResponseBody>, Error> {
        let before = self.look_before(exchange);
        let cap = self.config.limits.manifest_copy;
        let reader = Reader::new(exchange.reference.digest(), cap, self.copies.share());
        let (body, mut gate, seen) = match body {
            Some(body) => {
                let (observed, Gate { seen, release }) = Observed::new(body, self.idle(), reader);
                (RequestBody::Observed(Box::new(observed)), Some(release), Ok(seen))
            }
            None => (RequestBody::Empty, None, Err(reader.finish())),
        };
        // Not polled before the last frame may go where the head is all there is.
        let mut sending = pin!(self.upstream.send(session, Share::Own, head.request(body)));
        // From here to the return the gate is kept: dropped, it breaks the request off, and an early answer
        // with it. `biased`, so that an answer which follows at once on the last frame is not early.
        let seen = match seen {
            Err(nothing) => nothing,
            Ok(seen) => tokio::select! {
                biased;
                Ok(seen) = seen => seen,
                sent = &mut sending => return self.early(sent, head).await,
            },
        };
        let intent = exchange.intent(Some(&seen));
        drop(seen);
        let mut preparing = pin!(self.prepare(&intent, before));
        let mut before = Before::Unknown;
        let mut early = None;
        let mut answer = Err(Error::Incomplete);
        let mut unkept = None;
        let mut under_way = None;
        let mut machine = Machine::new(self.config.rules());
        let mut step = machine.on(Input::Held);
        loop {
            let input = match step {
                Step::Intend(_) => tokio::select! {
                    biased;
                    (intended, was, entered) = &mut preparing => {
                        before = was;
                        under_way = Some(entered);
                        self.points.reach("intended");
                        intended
                    }
                    sent = &mut sending, if gate.is_some() => {
                        early = Some(sent);
                        Input::Early
                    }
                },
                Step::LetGo => {
                    if let Some(release) = gate.take() {
                        // If the body is gone the exchange is too, and `sending` says so.
                        release.send(()).ok();
                    }
                    answer = self.answer(&mut sending).await;
                    self.points.reach("answered");
                    let meaning = self.meaning(exchange, &answer);
                    if let Some(under_way) = &under_way {
                        match meaning {
                            Input::Answered(Answer::Unknown) | Input::Unanswered(Had::Perhaps) => {
                                under_way.answered();
                            }
                            _ => under_way.leave(),
                        }
                    }
                    meaning
                }
                Step::Append => {
                    let headers = answer.as_ref().map(|(response, _)| response.headers().clone());
                    let answered_at = OffsetDateTime::now_utc();
                    let mut events =
                        exchange.events(&intent, &headers.unwrap_or_default(), answered_at);
                    for event in &mut events {
                        event.concurrent = met(&under_way, event);
                    }
                    let append = Append { intent: intent.id, events, before: before.clone() };
                    match self.append(append.clone()).await {
                        Ok(()) => {
                            self.points.reach("recorded");
                            Input::Recorded
                        }
                        Err(error) => {
                            let sealed = matches!(error, outbox::Error::Closed);
                            unkept = Some((append, error));
                            if sealed { Input::Sealed } else { Input::NotRecorded }
                        }
                    }
                }
                Step::Keep(promise) => {
                    if let Some((append, error)) = unkept.take()
                        && !self.unrecorded.keep(append, promise, &error)
                    {
                        self.settler.settle(intent.id, under_way.take());
                    }
                    Input::Done
                }
                Step::Lose => {
                    if let Some((append, error)) = unkept.take() {
                        self.unrecorded.lose(&append, &error);
                    }
                    Input::Done
                }
                Step::Close(reason) => {
                    self.close_intent(&intent, reason).await;
                    Input::Done
                }
                Step::Settle(promise) => {
                    self.unsettled(exchange, &answer);
                    match promise {
                        Promise::Intent => self.settler.settle(intent.id, under_way.take()),
                        Promise::Nothing | Promise::Perhaps => {
                            self.settler.settle_kept(intent.clone(), under_way.take());
                        }
                    }
                    Input::Done
                }
                Step::End(End::Early) => {
                    return match early {
                        Some(sent) => self.early(sent, head).await,
                        None => Err(Error::Incomplete),
                    };
                }
                Step::End(End::Relay | End::NoAnswer) => {
                    return answer.map(|(response, lease)| self.relay(response, lease, head));
                }
                Step::End(End::Refuse) => return Err(Error::Outbox),
                Step::End(End::Stopping) => return Err(Error::Stopping),
            };
            step = machine.on(input);
        }
    }

    /// What came while the last frame was held: nobody has the whole request.
    async fn early(&self, sent: Sent, head: &Head) -> Result<Response<ResponseBody>, Error> {
        match sent {
            Ok((response, _)) if response.status().is_success() => Err(Error::Premature),
            // The connection closes with the request that was never whole.
            Ok((response, mut closed)) => {
                self.upstream.go_on(&mut closed);
                self.relay_early(response, head).await
            }
            Err(failed) => Err(failed.after_discarding().await),
        }
    }

    /// P2: the intent on the disk, and meanwhile what the tag names now; and then, where that is asked for, the
    /// answer to whoever is under way to the same tag (rule O3).
    async fn prepare(
        &self,
        intent: &Intent,
        before: impl Future<Output = Before>,
    ) -> (Input, Before, UnderWay) {
        self.points.reach("held");
        let limit = self.config.limits.look;
        let before = async { timeout(limit, before).await.unwrap_or(Before::Unknown) };
        let (input, before) = tokio::join!(self.intend(intent), before);
        (input, before, self.turn(intent).await)
    }

    async fn turn(&self, intent: &Intent) -> UnderWay {
        if self.config.serialize_tag {
            match timeout(TURN, self.overlaps.enter_alone(intent)).await {
                Ok(under_way) => return under_way,
                Err(_) => {
                    self.metrics.not_serialized.inc();
                    warn!(
                        repository = %intent.event.repository,
                        tag = intent.event.tag.as_ref().map(tracing::field::display),
                        waited = ?TURN,
                        "Another push of the tag has no answer yet, this one does not wait any longer"
                    );
                }
            }
        }
        self.overlaps.enter(intent)
    }

    async fn intend(&self, intent: &Intent) -> Input {
        let Some(durability) = self.config.intent else {
            self.metrics.unintended.inc();
            return Input::Intended;
        };
        // One that has failed says so at once: a push that may pass does not wait for a broken disk.
        let failed = matches!(self.outbox.state(), State::Failed(_));
        let started = Instant::now();
        if !failed && self.outbox.intend(intent.clone(), durability).await.is_ok() {
            self.metrics.intended.observe(started.elapsed().as_secs_f64());
            return Input::Intended;
        }
        if self.config.on_failure == OnFailure::Pass {
            self.metrics.unintended.inc();
        }
        Input::NotIntended
    }

    /// P4: waits for the head of the answer, as long as a manifest may take. From here on the registry may
    /// have all of the request.
    async fn answer(
        &self,
        sending: impl Future<Output = Sent>,
    ) -> Result<(Response<Incoming>, Lease), Error> {
        match timeout(self.config.limits.manifest_answer, sending).await {
            Ok(Ok(sent)) => Ok(sent),
            Ok(Err(failed)) => Err(failed.error),
            Err(_) => Err(Error::Deadline),
        }
    }

    fn meaning(
        &self,
        exchange: &Exchange,
        answer: &Result<(Response<Incoming>, Lease), Error>,
    ) -> Input {
        match answer {
            Ok((response, _)) => {
                let status = response.status();
                let usual = match exchange.action {
                    Action::Push => status == StatusCode::CREATED,
                    _ => status == StatusCode::ACCEPTED,
                };
                if status.is_success() && !usual && !self.odd.swap(true, Ordering::Relaxed) {
                    warn!(
                        action = exchange.action.as_str(),
                        status = status.as_u16(),
                        "The registry's success has an unusual status, it counts all the same"
                    );
                }
                Input::Answered(Answer::of(status))
            }
            Err(error) if error.may_have_applied() => Input::Unanswered(Had::Perhaps),
            Err(_) => Input::Unanswered(Had::Nothing),
        }
    }

    /// P5: the events on the disk, and their intent gone with the same transaction.
    pub(super) async fn append(&self, append: Append) -> Result<(), outbox::Error> {
        let started = Instant::now();
        if self.points.bends("relay-first") {
            let bent = self.clone();
            self.tasks.spawn(async move {
                sleep(BENT).await;
                let appended = bent.outbox.append(append).await.unwrap_or_default();
                appended.iter().for_each(|appended| bent.tell(appended));
            });
            return Ok(());
        }
        // What waits in memory is older.
        self.append_unrecorded().await;
        let appended = self.outbox.append(append).await;
        self.metrics.added.observe(started.elapsed().as_secs_f64());
        appended?.iter().for_each(|appended| self.tell(appended));
        Ok(())
    }

    async fn close_intent(&self, intent: &Intent, reason: Reason) {
        self.metrics.closed(reason.as_str());
        if let State::Failed(_) = self.outbox.state() {
            // If it is there at all, the next start finds out that it came to nothing.
            return;
        }
        if let Err(error) = self.outbox.close_intent(intent.id, reason).await {
            // It is settled at the next start, and found to be nothing then.
            debug!(error = chain(&error), intent = %intent.id, "Could not close an intent");
        }
    }

    /// Appends what waits in memory, as far as the outbox takes it.
    pub(super) async fn append_unrecorded(&self) {
        self.unrecorded.append_all(|appended| self.tell(appended)).await;
    }

    fn unsettled(&self, exchange: &Exchange, answer: &Result<(Response<Incoming>, Lease), Error>) {
        self.metrics.unsettled.inc();
        let answer = match answer {
            Ok((response, _)) => response.status().to_string(),
            Err(error) => error.to_string(),
        };
        warn!(
            action = exchange.action.as_str(),
            repository = %exchange.repository,
            reference = %exchange.reference,
            answer,
            "Nobody knows yet whether the registry applied this; we look"
        );
    }

    /// Starts to find out what the tag names now, while the client's bytes are still arriving. Our own table is
    /// asked first, and the registry only about a tag of which the table has never heard.
    fn look_before(&self, exchange: &Exchange) -> impl Future<Output = Before> + use<> {
        let tag = exchange.reference.tag().filter(|t| !self.known.contain(&exchange.repository, t));
        let finding_out = tag.cloned().map(|tag| {
            let (outbox, look) = (self.outbox.clone(), self.look.clone());
            let (registry, repository) = (exchange.registry.clone(), exchange.repository.clone());
            let artifactory = exchange.artifactory.clone();
            let (found, finding_out) = oneshot::channel();
            // Told, and not joined: a task that is over keeps its room for as long as somebody may join it.
            self.tasks.spawn(async move {
                if let Ok(Known::Never) = outbox.last_digest_at(&registry, &repository, &tag).await
                {
                    let look = look.at_tag(&repository, artifactory.as_ref(), &tag);
                    found.send(timeout(LOOK, look).await.unwrap_or(Before::Unknown)).ok();
                }
            });
            finding_out
        });
        async move {
            match finding_out {
                Some(found_out) => found_out.await.unwrap_or(Before::Unknown),
                None => Before::Unknown,
            }
        }
    }
}

/// Whether another exchange with the event's tag was under way at the same time.
fn met(under_way: &Option<UnderWay>, event: &Event) -> bool {
    under_way.as_ref().is_some_and(|under_way| under_way.has_met(event.tag.as_ref()))
}

/// How long a push waits for the answer to another of its tag (rule O3).
const TURN: Duration = Duration::from_secs(10);
/// How long a look may go on by itself; the push waits for it much less.
const LOOK: Duration = Duration::from_secs(5);
/// How late the event comes where a test wants it to come too late.
const BENT: Duration = Duration::from_millis(200);
