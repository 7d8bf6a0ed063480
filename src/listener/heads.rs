use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Buf as _;
use bytes::Bytes;
use http::StatusCode;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::io::ReadBuf;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Refusal;
use super::connection::LINGER;
use super::patience::Patience;

/// The bytes of an HTTP/1.1 connection whose client has so long for its next request, and so long for the
/// rest of a head that it has begun.
///
/// hyper refuses a head that it cannot read without a word of why. What it writes while no request is being
/// served can be nothing else, and is replaced by an answer in the words of whoever is served here.
///
/// The first bytes of a head that come together with the end of the request before count as nothing: such a
/// head has the time of an idle connection until its next byte.
#[derive(Debug)]
pub(super) struct Heads<Io> {
    io: Io,
    turn: Arc<Turn>,
    head: Duration,
    idle: Duration,
    /// A byte of the next head has come.
    begun: bool,
    line: Line,
    patience: Patience,
    late: Option<Late>,
    refusal: Refusal,
    /// What is left to write of a refusal.
    word: Option<Bytes>,
}

/// How much of the line that names the target has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At most the empty lines that may be before it (RFC 9112 §2.2).
    Before,
    Method,
    Target,
    Over,
}

/// What no target may have, in place of what none may have either.
const NO_TARGET: u8 = 0;

/// Whose turn it is on a connection; shared with its service.
#[derive(Debug, Default)]
pub(super) struct Turn {
    phase: AtomicU8,
    /// Bytes of bodies that hyper has taken over and not written.
    unsent: AtomicUsize,
    used: AtomicBool,
    first: Notify,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client's: it has no request under way.
    Theirs,
    /// Ours: a request is being served. Once it has come whole, what is read is of the next one.
    Ours,
    /// The answer has been given, but perhaps not sent.
    Said,
}

/// What did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
}

impl Turn {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Theirs,
            1 => Phase::Ours,
            _ => Phase::Said,
        }
    }

    pub(super) fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        self.set(Phase::Ours);
        if !self.used.swap(true, Ordering::Relaxed) {
            self.first.notify_one();
        }
    }

    /// hyper takes over so much of a body.
    pub(super) fn taken_over(&self, bytes: usize) {
        self.unsent.store(self.unsent() + bytes, Ordering::Relaxed);
    }

    /// How much of bodies waits for the socket.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    /// So much was written, be it of a body or of what is around it.
    fn written(&self, bytes: usize) {
        self.unsent.store(self.unsent().saturating_sub(bytes), Ordering::Relaxed);
    }

    /// Waits for the first request, which may be long ago.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if it is dropped and called again.
    pub(super) async fn used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.first.notified().await;
        }
    }
}

impl<Io> Heads<Io> {
    pub(super) fn new(
        io: Io,
        turn: Arc<Turn>,
        head: Duration,
        idle: Duration,
        refusal: Refusal,
    ) -> Self {
        let (patience, late) = (Patience::default(), None);
        let (begun, line) = (false, Line::Before);
        Self { io, turn, head, idle, begun, line, patience, late, refusal, word: None }
    }

    /// What ended the connection, if it was its time.
    pub(super) fn late(&self) -> Option<Late> {
        self.late
    }

    /// Has hyper refuse a target with a `#`, which it would cut off with what is behind it: nobody but us would
    /// take the rest for the target that was written (RFC 9112 §3.2, delivery-guarantees 8.2).
    ///
    /// A head that comes together with the request before is not seen here. Its target is cut off, for the
    /// registry and for the event alike.
    fn forbid_fragment(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            match (self.line, *byte) {
                (Line::Over, _) => return,
                (Line::Before, b'\r' | b'\n') => {}
                (_, b'\n') => self.line = Line::Over,
                (Line::Before | Line::Method, b' ') => self.line = Line::Target,
                (Line::Before, _) => self.line = Line::Method,
                (Line::Target, b'#') => {
                    *byte = NO_TARGET;
                    self.line = Line::Over;
                }
                _ => {}
            }
        }
    }

    /// Takes what would be said instead of `bytes`, which say it badly.
    fn refuse(&mut self, bytes: &[u8]) {
        if self.word.is_none() {
            let status = bytes.get(9..12).and_then(|code| StatusCode::from_bytes(code).ok());
            self.word = Some(written(self.refusal, status.unwrap_or(StatusCode::BAD_REQUEST)));
        }
    }
}

impl<Io: AsyncWrite + Unpin> Heads<Io> {
    /// Says that the head took too long, to whoever still listens.
    pub(super) async fn time_out(mut self) {
        let said = async {
            self.io.write_all(&written(self.refusal, StatusCode::REQUEST_TIMEOUT)).await?;
            self.io.shutdown().await
        };
        // Nobody listens, or nobody takes it: it makes no difference.
        timeout(2 * LINGER, said).await.ok();
    }

    fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(word) = self.word.as_mut().filter(|word| !word.is_empty()) {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, word))?;
            if n == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            word.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

/// A whole answer, after which the connection closes.
fn written(refusal: Refusal, status: StatusCode) -> Bytes {
    let words = refusal(status);
    let reason = status.canonical_reason().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        words.media,
        words.body.len()
    );
    [head.as_bytes(), &words.body].concat().into()
}

impl<Io: AsyncRead + Unpin> AsyncRead for Heads<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, out);
        if this.turn.phase() != Phase::Theirs {
            return polled;
        }
        if polled.is_ready() {
            if !this.begun && out.filled().len() > before {
                this.begun = true;
                this.patience.moved();
            }
            let come = out.filled_mut().get_mut(before..);
            this.forbid_fragment(come.unwrap_or_default());
            return polled;
        }
        let (limit, late) = match this.begun {
            true => (this.head, Late::Head),
            false => (this.idle, Late::Idle),
        };
        ready!(this.patience.poll_over(limit, cx));
        this.late = Some(late);
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Heads<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.turn.phase() == Phase::Theirs {
            this.refuse(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.turn.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.turn.phase() == Phase::Theirs {
            this.refuse(slices.first().map_or(&[], |slice| slice));
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, slices))?;
        this.turn.written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper comes here once it has nothing left to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_word(cx))?;
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        this.turn.written(usize::MAX);
        if this.turn.phase() == Phase::Said {
            this.turn.set(Phase::Theirs);
            this.begun = false;
            this.line = Line::Before;
            this.patience.moved();
            // hyper need not read before something has come, and yet the wait begins here. It cannot be
            // over already; this sees to it that its end wakes the task.
            let (Poll::Ready(()) | Poll::Pending) = this.patience.poll_over(this.idle, cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_word(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
