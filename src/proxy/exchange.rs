//! The exchange that may change what a tag names: a manifest's `PUT` or `DELETE`, step by step as in
//! delivery-guarantees 3.2.
//!
//! P1 streams and reads along with the last frame held, P3 lets it go, P4 waits for the answer, P5 makes
//! the events durable, P6 relays. From P3 on the exchange owes an event whatever becomes of the client,
//! so all of it runs on a tracked task. P2, the durable intent, has its place where the gate is released.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use http::HeaderMap;
use http::Response;
use hyper::body::Incoming;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::info;
use tracing::warn;

use crate::event::Integrity;
use crate::outbox;
use crate::outbox::Append;
use crate::outbox::Appended;
use crate::outbox::Before;
use crate::outbox::Known;
use crate::outbox::State;

use super::Inner;
use super::OnFailure;
use super::classify::Exchange;
use super::classify::Verdict;
use super::error::Error;
use super::forward::Head;
use super::observe::Gate;
use super::observe::Observation;
use super::observe::Observed;
use super::observe::Reader;
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
        body: Option<Incoming>,
        session: Session,
    ) -> Result<Response<ResponseBody>, Error> {
        let (answer, answered) = oneshot::channel();
        let inner = self.clone();
        self.tasks.spawn(async move {
            let response = inner.exchange(&exchange, &head, body, &session).await;
            // The client may have left; what it was owed is recorded all the same.
            answer.send(response).ok();
        });
        answered.await.unwrap_or(Err(Error::Incomplete))
    }

    async fn exchange(
        &self,
        exchange: &Exchange,
        head: &Head,
        body: Option<Incoming>,
        session: &Session,
    ) -> Result<Response<ResponseBody>, Error> {
        let before = self.look_before(exchange);
        let cap = self.config.limits.manifest_copy;
        let reader = Reader::new(exchange.reference.digest(), cap, self.copies.share());
        let Some(body) = body else {
            let before = self.let_go(before).await?;
            let request = head.request(RequestBody::Empty);
            let sending = self.upstream.send(session, Share::Own, request);
            let sent = self.answer(exchange, sending).await?;
            return self.conclude(exchange, head, Some(reader.finish()), before, sent).await;
        };
        let (observed, gate) = Observed::new(body, self.idle(), reader);
        let request = head.request(RequestBody::Observed(Box::new(observed)));
        let mut sending = pin!(self.upstream.send(session, Share::Own, request));
        let Gate { seen, release } = gate;
        let holding = async {
            let Ok(seen) = seen.await else {
                // The body is gone, and `sending` is about to say why.
                return pending().await;
            };
            let before = self.let_go(before).await?;
            // If the body is gone the exchange is too, and `sending` says so.
            release.send(()).ok();
            Ok((seen, before))
        };
        let mut holding = pin!(holding);
        // Dropping `holding` drops the gate: the last frame never goes out. Dropping `sending` closes the
        // connection. `biased`, so that an answer which follows at once on the last frame is not early.
        let (seen, before) = tokio::select! {
            biased;
            held = &mut holding => held?,
            early = &mut sending => {
                return match early {
                    Ok((response, _)) if response.status().is_success() => Err(Error::Premature),
                    Ok((response, _closed)) => self.relay_early(response, head).await,
                    Err(failed) => Err(failed.after_discarding().await),
                };
            }
        };
        let sent = self.answer(exchange, sending).await?;
        self.conclude(exchange, head, Some(seen), before, sent).await
    }

    /// P4: waits for the head of the answer, as long as a manifest may take. From here on the registry may
    /// have all of the request.
    async fn answer(
        &self,
        exchange: &Exchange,
        sending: impl Future<Output = Sent>,
    ) -> Result<(Response<Incoming>, Lease), Error> {
        let error = match timeout(self.config.limits.manifest_answer, sending).await {
            Ok(Ok(sent)) => return Ok(sent),
            Ok(Err(failed)) => failed.error,
            Err(_) => Error::Deadline,
        };
        if error.may_have_applied() {
            self.unsettled(exchange, &error.to_string());
        }
        Err(error)
    }

    /// What must be known or done before the last frame may go: the look at the tag, and that the outbox
    /// takes events where a push must not pass without one.
    async fn let_go(&self, before: impl Future<Output = Before>) -> Result<Before, Error> {
        if self.config.on_failure == OnFailure::Reject
            && let State::Failed(_) = self.outbox.state()
        {
            return Err(Error::Outbox);
        }
        Ok(timeout(self.config.limits.look, before).await.unwrap_or(Before::Unknown))
    }

    /// Starts to find out what the tag names now, while the client's bytes are still arriving. Nothing is
    /// to be found out about a tag that our own table knows. Where it has to be asked, the look does not
    /// wait for its answer, and counts only where the table has never heard of the tag.
    fn look_before(&self, exchange: &Exchange) -> impl Future<Output = Before> + use<> {
        let tag = exchange.reference.tag().filter(|t| !self.known.contain(&exchange.repository, t));
        let finding_out = tag.cloned().map(|tag| {
            let (outbox, look) = (self.outbox.clone(), self.look.clone());
            let (registry, repository) = (exchange.registry.clone(), exchange.repository.clone());
            let looked = (repository.clone(), tag.clone());
            let looking = self.tasks.spawn(async move {
                let look = look.at_tag(&looked.0, &looked.1);
                timeout(LOOK, look).await.unwrap_or(Before::Unknown)
            });
            self.tasks.spawn(async move {
                match outbox.last_digest_at(&registry, &repository, &tag).await {
                    Ok(Known::Never) => looking.await.unwrap_or(Before::Unknown),
                    _ => Before::Unknown,
                }
            })
        });
        async move {
            match finding_out {
                Some(found_out) => found_out.await.unwrap_or(Before::Unknown),
                None => Before::Unknown,
            }
        }
    }

    /// P5 and P6: what the answer means, made durable, and only then the answer itself.
    async fn conclude(
        &self,
        exchange: &Exchange,
        head: &Head,
        seen: Option<Observation>,
        before: Before,
        (response, lease): (Response<Incoming>, Lease),
    ) -> Result<Response<ResponseBody>, Error> {
        match Verdict::of(response.status()) {
            Verdict::Applied => {
                self.record(exchange, seen.as_ref(), response.headers(), before).await?;
            }
            Verdict::NotApplied => {}
            Verdict::Unknown => self.unsettled(exchange, response.status().as_str()),
        }
        Ok(self.relay(response, lease, head))
    }

    async fn record(
        &self,
        exchange: &Exchange,
        seen: Option<&Observation>,
        answer: &HeaderMap,
        before: Before,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let events = exchange.events(seen, answer, OffsetDateTime::now_utc());
        let append = Append { intent: exchange.intent, events, before };
        // What waits in memory is older.
        self.append_unrecorded().await;
        match self.outbox.append(append.clone()).await {
            Ok(appended) => appended.iter().for_each(|appended| self.recorded(appended)),
            Err(error @ outbox::Error::Closed) => {
                self.unrecorded.lose(&append, &error);
                return Err(Error::Stopping);
            }
            Err(error) => self.unrecorded.keep(append, &error),
        }
        self.metrics.added.observe(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Appends what waits in memory, as far as the outbox takes it.
    pub(super) async fn append_unrecorded(&self) {
        self.unrecorded.append_all(|appended| self.recorded(appended)).await;
    }

    /// One line per event: what happened, and who will be told.
    fn recorded(&self, appended: &Appended) {
        let event = &appended.event;
        self.metrics.event(event.action);
        if let Some(tag) = &event.tag {
            self.known.add(&event.repository, tag);
        }
        if let Some(Integrity::Mismatch(told)) = &event.integrity {
            self.metrics.mismatches.inc();
            warn!(
                event.id = %event.id,
                repository = %event.repository,
                digest = event.digest.as_ref().map(tracing::field::display),
                registry_digest = %told,
                "The registry names another digest than the bytes have"
            );
        }
        info!(
            event.id = %event.id,
            action = event.action.as_str(),
            repository = %event.repository,
            tag = event.tag.as_ref().map(tracing::field::display),
            digest = event.digest.as_ref().map(tracing::field::display),
            change = event.change.map(crate::event::Change::as_str),
            kind = event.kind.map(crate::registry::Kind::as_str),
            sequence = event.sequence,
            actor = event.actor.name.as_deref(),
            owed_to = appended.owed_to.join(","),
            "Event recorded"
        );
    }

    fn unsettled(&self, exchange: &Exchange, answer: &str) {
        self.metrics.unsettled.inc();
        warn!(
            action = exchange.action.as_str(),
            repository = %exchange.repository,
            reference = %exchange.reference,
            answer,
            "Nobody knows whether the registry applied this; there is no event for it"
        );
    }
}

/// How long a look may go on by itself; the push waits for it much less.
const LOOK: Duration = Duration::from_secs(5);
