use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// A TLS connection that fills the buffer it is given, as far as bytes have come.
///
/// TLS hands out one record at a time, 16 KiB at most, and each would travel through the proxy by itself.
#[derive(Debug)]
pub(super) struct Filled<Io> {
    io: Io,
    /// Came after bytes that had to be handed on first.
    error: Option<io::Error>,
}

impl<Io> Filled<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io, error: None }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Filled<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        let start = out.filled().len();
        while out.remaining() > 0 {
            let before = out.filled().len();
            let read = Pin::new(&mut this.io).poll_read(cx, out);
            let first = before == start;
            match read {
                Poll::Ready(Ok(())) if out.filled().len() > before => {}
                Poll::Ready(Err(error)) if !first => {
                    this.error = Some(error);
                    break;
                }
                Poll::Pending if !first => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Filled<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Hands out one of these at a time; none means that nothing has come yet.
    struct Pieces(Vec<Option<io::Result<&'static [u8]>>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match self.0.remove(0) {
                Some(piece) => Poll::Ready(piece.map(|piece| out.put_slice(piece))),
                None => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }
    }

    #[tokio::test]
    async fn a_read_takes_what_has_come_and_waits_for_no_more() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let pieces = vec![Some(Ok(b"ab".as_slice())), Some(Ok(b"cd")), None, Some(Ok(b"e"))];
        let pieces = pieces.into_iter().chain([Some(Err(reset))]).collect();
        let mut io = Filled::new(Pieces(pieces));
        let mut out = [0; 16];
        assert_eq!(io.read(&mut out).await.unwrap(), 4);
        assert_eq!(io.read(&mut out).await.unwrap(), 1);
        let error = io.read(&mut out).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(io.read(&mut out).await.unwrap(), 0);
    }
}
