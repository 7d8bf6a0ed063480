//! The body of a request on its way to the registry: never collected, timed by idleness, without trailers.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use tokio::sync::oneshot;

use crate::body::BoxError;
use crate::listener::Incoming;

use super::observe::Observed;
use super::paced::Paced;

/// The body of a request to the registry.
pub(super) enum RequestBody {
    /// Nothing.
    Empty,
    /// The client's, passing by. Boxed, as the other: a connection has room for 32 requests that wait, bodies
    /// included.
    Streaming(Box<Streaming>),
    /// A manifest's: read along, and its last frame held.
    Observed(Box<Observed>),
}

/// A client's body, which says when it has been passed on to its end.
pub(super) struct Streaming {
    body: Paced<Incoming>,
    sent: Option<oneshot::Sender<()>>,
}

impl Streaming {
    /// The body, and what tells when all of it has been handed on.
    pub(super) fn new(body: Incoming, idle: Duration) -> (Self, oneshot::Receiver<()>) {
        let (sent, all_sent) = oneshot::channel();
        (Self { body: Paced::new(body, idle), sent: Some(sent) }, all_sent)
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
            Self::Streaming(streaming) => {
                let Streaming { body, sent } = streaming.as_mut();
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
