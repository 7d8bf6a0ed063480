//! A blob that the registry takes over from another of its repositories: 201 where it does, 202 where the
//! client has to upload it (OCI distribution specification, "Mounting a blob from another repository").
//!
//! No tag changes, so there is no intent: a mount that nobody heard the answer of is no event
//! (delivery-guarantees 3.7). One that was answered is an event before its client hears of it.

use std::sync::Arc;

use http::HeaderMap;
use http::Response;
use http::StatusCode;
use time::OffsetDateTime;

use crate::listener::Incoming;
use crate::outbox;
use crate::outbox::Append;
use crate::outbox::Before;

use super::Inner;
use super::classify::Exchange;
use super::error::Error;
use super::forward::Head;
use super::protocol::Promise;
use super::response::ResponseBody;
use super::upstream::Session;

impl Inner {
    /// Passes on a request for a mount, and records it where it was one.
    pub(super) async fn mount(
        self: Arc<Self>,
        exchange: Exchange,
        head: &Head,
        body: Option<Incoming>,
        session: &Session,
    ) -> Result<Response<ResponseBody>, Error> {
        let response = self.forward(head, body, session).await?;
        if response.status() != StatusCode::CREATED {
            return Ok(response);
        }
        let answer = response.headers().clone();
        // The client may leave; what it was owed is recorded all the same.
        let recording =
            self.tasks.clone().spawn(async move { self.record(exchange, answer).await });
        recording.await.unwrap_or(Err(Error::Incomplete))?;
        Ok(response)
    }

    async fn record(&self, exchange: Exchange, answer: HeaderMap) -> Result<(), Error> {
        let intent = exchange.intent(None);
        let events = exchange.events(&intent, &answer, OffsetDateTime::now_utc());
        let append = Append { intent: intent.id, events, before: Before::Unknown };
        match self.append(append.clone()).await {
            Ok(()) => Ok(()),
            Err(error @ outbox::Error::Closed) => {
                self.unrecorded.lose(&append, &error);
                Err(Error::Stopping)
            }
            // The registry has done it, so its answer is passed on, whatever is to happen to pushes.
            Err(error) => {
                self.unrecorded.keep(append, Promise::Nothing, &error);
                Ok(())
            }
        }
    }
}
