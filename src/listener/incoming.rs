//! The body of a client's request, whichever HTTP brought it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use h2::Reason;
use h2::RecvStream;
use http::HeaderMap;
use http::HeaderValue;
use http::header;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;

use crate::body::BoxError;

use super::windows::Moving;

/// A client's body on its way in. What is read of it makes room for as much more.
pub struct Incoming(Kind);

enum Kind {
    Http1(hyper::body::Incoming),
    Http2(Stream),
}

struct Stream {
    frames: RecvStream,
    /// What is left of the announced length, where one was announced; HTTP/2 itself holds the client to it.
    left: Option<u64>,
    /// All data has come, only trailers may follow.
    over: bool,
    /// What has moved since then.
    moved: usize,
    since: Instant,
    /// How long of that time there was nothing, and since when there is nothing now.
    waited: Duration,
    waiting: Option<Instant>,
    moving: Arc<Moving>,
}

impl Incoming {
    pub(super) fn http1(body: hyper::body::Incoming) -> Self {
        Self(Kind::Http1(body))
    }

    pub(super) fn http2(frames: RecvStream, headers: &HeaderMap, moving: Arc<Moving>) -> Self {
        let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::to_str);
        let left = length.and_then(|length| length.ok()?.parse().ok());
        Self(Kind::Http2(Stream {
            frames,
            left,
            over: false,
            moved: 0,
            since: Instant::now(),
            waited: Duration::ZERO,
            waiting: None,
            moving,
        }))
    }
}

impl Stream {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.over {
            let Poll::Ready(data) = self.frames.poll_data(cx) else {
                self.waiting.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            if let Some(waiting) = self.waiting.take() {
                self.waited += waiting.elapsed();
            }
            match data {
                Some(Ok(bytes)) => {
                    // A stream that is closed by now has no window to open again.
                    self.frames.flow_control().release_capacity(bytes.len()).ok();
                    self.moved = self.moved.saturating_add(bytes.len());
                    if self.moving.moved(self.moved, self.since, self.waited) {
                        (self.moved, self.since) = (0, Instant::now());
                        self.waited = Duration::ZERO;
                    }
                    self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(failed(error)),
                None => self.over = true,
            }
        }
        match ready!(self.frames.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(failed(error)),
        }
    }
}

/// A reset that means no harm ends the body without failing it (RFC 9113 §8.1).
fn failed<T>(error: h2::Error) -> Option<Result<T, h2::Error>> {
    (error.reason() != Some(Reason::NO_ERROR)).then_some(Err(error))
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Http1(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|f| f.map_err(BoxError::from)))
            }
            Kind::Http2(stream) => {
                stream.poll_frame(cx).map(|frame| frame.map(|f| f.map_err(BoxError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Http1(body) => body.is_end_stream(),
            Kind::Http2(stream) => stream.frames.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Http1(body) => body.size_hint(),
            Kind::Http2(stream) => stream.left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
