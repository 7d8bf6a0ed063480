use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Sleep;
use tokio::time::sleep;

use super::patience::Patience;

/// A connection whose peer has to take what it is sent, and is let finish what it sends.
///
/// A body that nobody takes is not asked for its next piece, so no timer of the body's sees that its
/// reader has stopped; this one does, at the only place where it shows.
#[derive(Debug)]
pub struct Timed<Io> {
    io: Io,
    stall: Duration,
    patience: Patience,
    linger: Option<Duration>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<Io> Timed<Io> {
    /// Writing fails when the peer takes nothing for `stall`.
    pub fn new(io: Io, stall: Duration) -> Self {
        Self { io, stall, patience: Patience::default(), linger: None, lingering: None }
    }

    /// Once we have said our last word, what the peer still sends is read and thrown away until it closes
    /// or the time is over: closed with bytes unread, the kernel would take back our last word too.
    #[must_use]
    pub fn lingering(self, linger: Duration) -> Self {
        Self { linger: Some(linger), ..self }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.patience.moved();
            return polled;
        }
        ready!(self.patience.poll_over(self.stall, cx));
        let why = format!("the peer took nothing for {} s", self.stall.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Timed<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(cx, buf);
        this.watch(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_flush(cx);
        this.watch(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let polled = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.watch(cx, polled))?;
        }
        let Some(linger) = this.linger else {
            return Poll::Ready(Ok(()));
        };
        let timer = this.lingering.get_or_insert_with(|| Box::pin(sleep(linger)));
        let mut thrown_away = [0; 4096];
        while timer.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut thrown_away);
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = Timed::new(ours, Duration::from_millis(20));
        let mut taken = [0; 8];
        let (written, read) =
            tokio::join!(ours.write_all(b"12345678"), theirs.read_exact(&mut taken));
        assert!(written.is_ok() && read.is_ok());
        let error = ours.write_all(b"12345678").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_last_word_waits_for_the_peers() {
        let (ours, mut theirs) = duplex(4);
        let forever = Duration::from_secs(600);
        let mut ours = Timed::new(ours, forever).lingering(forever);
        let (ended, sent) = tokio::join!(ours.shutdown(), async {
            let sent = theirs.write_all(&[0; 100]).await;
            theirs.shutdown().await.unwrap();
            sent
        });
        assert!(ended.is_ok() && sent.is_ok());

        let (ours, _silent) = duplex(4);
        let mut ours = Timed::new(ours, forever).lingering(Duration::from_millis(20));
        assert!(ours.shutdown().await.is_ok());
    }
}
