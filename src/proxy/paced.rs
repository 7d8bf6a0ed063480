use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;

use crate::body::BoxError;
use crate::listener::Patience;

/// A body that fails when nothing moved for a while.
pub(super) struct Paced<B> {
    body: B,
    idle: Duration,
    patience: Patience,
}

/// Nothing of a body came for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {} s", idle.as_secs())]
pub(super) struct Stalled {
    idle: Duration,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, idle: Duration) -> Self {
        Self { body, idle, patience: Patience::default() }
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
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
                    self.patience.moved();
                    return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
                }
                Poll::Pending => break,
            }
        }
        let idle = self.idle;
        ready!(self.patience.poll_over(idle, cx));
        Poll::Ready(Some(Err(Stalled { idle }.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
