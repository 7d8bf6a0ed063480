use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// A connection to the registry that fails only when the registry has been heard out.
///
/// A registry that refuses an upload may close while we still send it: our next write fails, although its
/// answer has arrived and waits to be read. So a write to a connection that the other side has closed
/// does not fail before the last byte it sent has been read. Whoever writes has to read as well.
#[derive(Debug)]
pub(super) struct HeardOut<Io> {
    io: Io,
    failed: Option<ErrorKind>,
    /// Nothing more is to be read.
    over: bool,
    waiting: Option<Waker>,
}

impl<Io> HeardOut<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io, failed: None, over: false, waiting: None }
    }
}

impl<Io: AsyncWrite + Unpin> HeardOut<Io> {
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Io>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let kind = match self.failed {
            Some(kind) => kind,
            None => match ready!(write(Pin::new(&mut self.io), cx)) {
                Err(error) if is_closed(&error) => error.kind(),
                other => return Poll::Ready(other),
            },
        };
        self.failed = Some(kind);
        if self.over {
            return Poll::Ready(Err(kind.into()));
        }
        self.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::BrokenPipe;
    use ErrorKind::ConnectionAborted;
    use ErrorKind::ConnectionReset;
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl<Io: AsyncRead + Unpin> AsyncRead for HeardOut<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let read = ready!(Pin::new(&mut this.io).poll_read(cx, out));
        if read.is_err() || (out.filled().len() == before && out.remaining() > 0) {
            this.over = true;
            if let Some(waiting) = this.waiting.take() {
                waiting.wake();
            }
        }
        Poll::Ready(read)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for HeardOut<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(cx, |io, cx| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn a_write_fails_when_the_last_word_has_been_read() {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"no").await.unwrap();
        drop(theirs);
        let (mut reading, mut writing) = tokio::io::split(HeardOut::new(ours));
        let reads = async {
            let mut said = Vec::new();
            reading.read_to_end(&mut said).await.unwrap();
            said
        };
        let (said, written) = tokio::join!(reads, writing.write_all(b"body"));
        assert_eq!(said, b"no");
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(writing.write_all(b"more").await.is_err());
    }
}
