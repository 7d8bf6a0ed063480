//! One HTTP/1.1 connection: its requests, one after the other, and its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context as Task;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http::Request;
use http::Response;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::rt::Read;
use hyper::rt::Write;
use hyper::server::conn::http1::Builder;
use hyper::server::conn::http1::Connection;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout_at;
use tracing::debug;

use crate::body::BoxError;

use super::Context;
use super::Incoming;
use super::Limits;
use super::Refusal;
use super::Serve;
use super::connection::BEGINNING;
use super::connection::HEAD;
use super::heads::Heads;
use super::heads::Late;
use super::heads::Phase;
use super::heads::Turn;

/// What is read of a body at once; every connection that moves one has so much.
const READ: usize = 64 << 10;
/// How much of an answer may wait for the socket before more of it is taken.
const UNSENT: usize = 64 << 10;

/// A service that says whose turn it is.
struct Turning<S> {
    service: S,
    turn: Arc<Turn>,
}

/// Its answer.
struct Answer<F> {
    answered: F,
    turn: Arc<Turn>,
}

/// The body of its answer.
struct Answered<B> {
    body: B,
    turn: Arc<Turn>,
}

/// Serves a connection until its end. When the listener stops, the request it has is finished.
pub(super) async fn serve<Io, S>(
    io: Io,
    service: S::Connection,
    refusal: Refusal,
    limits: &Limits,
    context: &Context,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let turn = Arc::new(Turn::default());
    let io = Heads::new(io, turn.clone(), limits.request_head, limits.idle, refusal);
    let mut connection = Builder::new()
        .preserve_header_case(true)
        .max_header_size(HEAD as usize)
        .max_buf_size(READ)
        .serve_connection(TokioIo::new(io), Turning { service, turn: turn.clone() });
    // `biased`, so that a request which is here already is one of those that are finished.
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = context.stop.cancelled() => finish(&mut connection, &turn).await,
    };
    let Err(error) = ended else {
        return;
    };
    debug!(%error, "Connection ended early");
    let io = connection.into_parts().io.into_inner();
    match io.late() {
        Some(Late::Head) => {
            context.metrics.closed("request_head");
            io.time_out().await;
        }
        Some(Late::Idle) => context.metrics.closed("idle"),
        None => {}
    }
}

/// Finishes the request that a connection has, or is about to have: who has only just come has not asked yet.
async fn finish<Io, S, B>(
    connection: &mut Connection<Io, Turning<S>>,
    turn: &Turn,
) -> hyper::Result<()>
where
    Io: Read + Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = BoxError, Future: Unpin>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static,
{
    let deadline = Instant::now() + BEGINNING;
    tokio::select! {
        biased;
        ended = &mut *connection => return ended,
        () = turn.used() => {}
        () = sleep_until(deadline) => {}
    }
    Pin::new(&mut *connection).graceful_shutdown();
    match timeout_at(deadline, &mut *connection).await {
        Ok(ended) => ended,
        Err(_) if turn.phase() == Phase::Theirs => Ok(()),
        Err(_) => connection.await,
    }
}

impl<S, B> Service<Request<hyper::body::Incoming>> for Turning<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = BoxError, Future: Unpin>,
{
    type Response = Response<Answered<B>>;
    type Error = BoxError;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        self.turn.begin();
        let answered = self.service.call(request.map(Incoming::http1));
        Answer { answered, turn: self.turn.clone() }
    }
}

impl<F, B> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, BoxError>> + Unpin,
{
    type Output = Result<Response<Answered<B>>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.answered).poll(cx));
        let turn = self.turn.clone();
        Poll::Ready(answered.map(|response| response.map(|body| Answered { body, turn })))
    }
}

impl<B> Drop for Answered<B> {
    /// hyper lets go of a body once all of it has been taken over.
    fn drop(&mut self) {
        self.turn.set(Phase::Said);
    }
}

impl<B> Body for Answered<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // hyper would take over twice as much for a client that reads nothing. It flushes whenever there is no
        // more to take, and comes back once that has moved something.
        if self.turn.unsent() >= UNSENT {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            self.turn.taken_over(data.map_or(0, Bytes::len));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
