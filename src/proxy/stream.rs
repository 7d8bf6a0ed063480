//! Bodies on their way through: never collected, timed by idleness, without trailers.

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
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep_until;

use crate::body::BoxError;

use super::observe::Observed;
use super::upstream::Lease;

/// The body of a request to the registry.
pub(super) enum RequestBody {
    /// Nothing.
    Empty,
    /// The client's, passing by.
    Streaming(Streaming),
    /// A manifest's: read along, and its last frame held.
    Observed(Box<Observed>),
}

/// A client's body, which says when it has been passed on to its end.
pub(super) struct Streaming {
    body: Paced<Incoming>,
    sent: Option<oneshot::Sender<()>>,
}

/// The body of an answer to the client.
pub struct ResponseBody(Answer);

enum Answer {
    /// One of ours.
    Whole(Option<Bytes>),
    /// The registry's, passing by. The connection it came on goes back when it has ended.
    Upstream(Paced<Incoming>, Option<Lease>),
}

/// A body that fails when nothing moved for a while.
///
/// One timer per body, which looks back when it fires: between once and twice `idle` may pass.
pub(super) struct Paced<B> {
    body: B,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

/// Nothing of a body came for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {} s", idle.as_secs())]
pub(super) struct Stalled {
    idle: Duration,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, idle: Duration) -> Self {
        Self { body, idle, timer: None, moved: false }
    }
}

impl Streaming {
    /// The body, and what tells when all of it has been handed on.
    pub(super) fn new(body: Incoming, idle: Duration) -> (Self, oneshot::Receiver<()>) {
        let (sent, all_sent) = oneshot::channel();
        (Self { body: Paced::new(body, idle), sent: Some(sent) }, all_sent)
    }
}

impl Body for Paced<Incoming> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                // Trailers are this hop's business (H12).
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {}
                Poll::Ready(frame) => {
                    self.moved = true;
                    return Poll::Ready(frame.map(|f| f.map_err(BoxError::from)));
                }
                Poll::Pending => break,
            }
        }
        let idle = self.idle;
        loop {
            let timer =
                self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
            ready!(timer.as_mut().poll(cx));
            if !std::mem::take(&mut self.moved) {
                return Poll::Ready(Some(Err(Stalled { idle }.into())));
            }
            self.timer = None;
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Observed(observed) => Pin::new(observed.as_mut()).poll_frame(cx),
            Self::Streaming(Streaming { body, sent }) => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                if (frame.is_none() || body.is_end_stream())
                    && let Some(sent) = sent.take()
                {
                    // Nobody listens any more if the registry answered early.
                    sent.send(()).ok();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(streaming) => streaming.body.is_end_stream(),
            Self::Observed(observed) => observed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(streaming) => streaming.body.size_hint(),
            Self::Observed(observed) => observed.size_hint(),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Answer::Upstream(body, lease) => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                if (frame.is_none() || (matches!(frame, Some(Ok(_))) && body.is_end_stream()))
                    && let Some(lease) = lease.take()
                {
                    lease.give_back();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Answer::Whole(bytes) => bytes.is_none(),
            Answer::Upstream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Answer::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Answer::Upstream(body, _) => body.size_hint(),
        }
    }
}

impl ResponseBody {
    /// One of ours.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Answer::Whole(Some(bytes.into())))
    }

    /// The registry's body; if there is none, its connection is free at once.
    pub(super) fn upstream(body: Incoming, idle: Duration, lease: Lease) -> Self {
        if body.is_end_stream() {
            lease.give_back();
            return Self(Answer::Whole(None));
        }
        Self(Answer::Upstream(Paced::new(body, idle), Some(lease)))
    }
}
