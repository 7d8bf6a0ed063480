use std::convert::Infallible;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// What is sent here: something small, or as many bytes as one likes out of one piece of memory.
pub(crate) struct Body {
    piece: Bytes,
    left: u64,
    length: Length,
    /// When it ends, whatever is left.
    until: Option<Instant>,
}

/// Whether the receiver learns the length from the head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// It does.
    Told,
    /// It does not, as with an upload by docker or skopeo.
    Untold,
}

/// How much is handed over at a time.
const PIECE: usize = 64 << 10;

impl Body {
    pub(crate) fn empty() -> Self {
        Self::of(Bytes::new())
    }

    /// These bytes.
    pub(crate) fn of(bytes: impl Into<Bytes>) -> Self {
        let piece = bytes.into();
        Self { left: piece.len() as u64, piece, length: Length::Told, until: None }
    }

    /// That many bytes that nobody wrote.
    pub(crate) fn filler(size: u64, length: Length) -> Self {
        static FILLER: [u8; PIECE] = [0xa5; PIECE];
        Self { piece: Bytes::from_static(&FILLER), left: size, length, until: None }
    }

    /// As many bytes as somebody takes in this time.
    pub(crate) fn lasting(time: Duration) -> Self {
        let until = Some(Instant::now() + time);
        Self { until, ..Self::filler(u64::MAX, Length::Untold) }
    }

    fn has_ended(&self) -> bool {
        self.left == 0 || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.has_ended() {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.piece.len());
        self.left -= size as u64;
        Poll::Ready(Some(Ok(Frame::data(self.piece.slice(..size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Length::Told => SizeHint::with_exact(self.left),
            Length::Untold => SizeHint::default(),
        }
    }
}

/// Reads a body to its end, keeps nothing, and says how much it was.
pub(crate) async fn swallow(mut body: Incoming) -> Result<u64> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(size)
}
