use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::sync::Notify;

use crate::points::Points;

use super::frames::Flood;
use super::frames::Frames;
use super::patience::Patience;

/// The bytes of an HTTP/2 connection, of which nothing more is read once its client has gone too far.
#[derive(Debug)]
pub(super) struct Guarded<Io> {
    io: Io,
    frames: Frames,
    verdict: Arc<Verdict>,
    /// How long a head may take from its first byte on.
    head: Duration,
    patience: Patience,
    points: Points,
}

/// What is said of a client, once.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    guilt: OnceLock<Guilt>,
    said: Notify,
}

/// How a client went too far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guilt {
    /// Too many frames of no use.
    Flood,
    /// A head that did not come to its end in time.
    SlowHead,
}

impl Verdict {
    /// Waits until there is one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if it is dropped and called again.
    pub(super) async fn guilty(&self) -> Guilt {
        loop {
            if let Some(guilt) = self.guilt.get() {
                return *guilt;
            }
            self.said.notified().await;
        }
    }

    fn say(&self, guilt: Guilt) {
        if self.guilt.set(guilt).is_ok() {
            self.said.notify_one();
        }
    }

    fn is_said(&self) -> bool {
        self.guilt.get().is_some()
    }
}

impl<Io> Guarded<Io> {
    pub(super) fn new(io: Io, head: Duration, verdict: Arc<Verdict>, points: Points) -> Self {
        let frames = Frames::new(Instant::now());
        Self { io, frames, verdict, head, patience: Patience::default(), points }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Guarded<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.verdict.is_said() {
            return Poll::Pending;
        }
        let before = out.filled().len();
        if Pin::new(&mut this.io).poll_read(cx, out)?.is_pending() {
            if this.frames.in_head() {
                ready!(this.patience.poll_over(this.head, cx));
                this.verdict.say(Guilt::SlowHead);
            }
            return Poll::Pending;
        }
        let read = out.filled().get(before..).unwrap_or_default();
        if this.frames.follow(read) == Err(Flood) && !this.points.bends("floods") {
            out.set_filled(before);
            this.verdict.say(Guilt::Flood);
            return Poll::Pending;
        }
        if !this.frames.in_head() {
            this.patience.moved();
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Guarded<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.frames.moved(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, slices))?;
        this.frames.moved(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
