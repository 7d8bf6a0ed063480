//! The body of an answer on its way to the client.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use tokio::time::Sleep;
use tokio::time::sleep;

use crate::body::BoxError;

use super::linger::Linger;
use super::paced::Paced;
use super::upstream::Inflow;
use super::upstream::Lease;

/// The body of an answer to the client.
pub struct ResponseBody(Answer);

enum Answer {
    /// One of ours.
    Whole(Option<Bytes>),
    /// The registry's, passing by.
    Upstream(Paced<Inflow>),
    /// One that came early: its end waits.
    Early(Box<ResponseBody>, Option<Linger>),
    /// It broke off, which the client learns when it has what came before.
    Broken(Pin<Box<Sleep>>, Option<BoxError>),
}

/// How long the head and the bytes of an answer that breaks off have to leave before the failure does. It
/// takes the connection or the stream away and with it all that hyper has not written by then. Distribution
/// 2 answers a range it cannot serve with a length it does not keep: without this the client would see no
/// 416, but a connection that is closed for no reason.
const LAST_WORDS: Duration = Duration::from_millis(20);

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let answer = &mut self.0;
        match answer {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Answer::Upstream(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Err(error)) => {
                    *answer = Answer::Broken(Box::pin(sleep(LAST_WORDS)), Some(error));
                    self.poll_frame(cx)
                }
                frame => Poll::Ready(frame),
            },
            Answer::Early(body, linger) => {
                if let Some(frame) = ready!(Pin::new(body.as_mut()).poll_frame(cx)) {
                    return Poll::Ready(Some(frame));
                }
                if let Some(waiting) = linger {
                    ready!(Pin::new(waiting).poll(cx));
                    *linger = None;
                }
                Poll::Ready(None)
            }
            Answer::Broken(wait, error) => {
                ready!(wait.as_mut().poll(cx));
                Poll::Ready(error.take().map(Err))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Answer::Whole(bytes) => bytes.is_none(),
            Answer::Upstream(body) => body.is_end_stream(),
            Answer::Early(body, linger) => linger.is_none() && body.is_end_stream(),
            Answer::Broken(_, error) => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Answer::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Answer::Upstream(body) => body.size_hint(),
            Answer::Early(body, _) => body.size_hint(),
            Answer::Broken(..) => SizeHint::default(),
        }
    }
}

impl ResponseBody {
    /// One of ours.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Answer::Whole(Some(bytes.into())))
    }

    /// The same, for a client whose request is not over.
    pub(super) fn early(self) -> Self {
        Self(Answer::Early(Box::new(self), Some(Linger::default())))
    }

    /// The registry's body; if there is none, its connection is free at once.
    pub(super) fn upstream(body: Incoming, idle: Duration, lease: Lease) -> Self {
        if body.is_end_stream() {
            lease.give_back();
            return Self(Answer::Whole(None));
        }
        Self(Answer::Upstream(Paced::new(Inflow::new(body, lease), idle)))
    }
}
