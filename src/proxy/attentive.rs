use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// A connection that is still listened to when it takes nothing more.
///
/// A registry that has heard enough of an upload answers and closes; what it had not read makes a reset of
/// that (Tomcat does so, and with it Artifactory). Its answer lies in our receive buffer all the same, but
/// hyper gives a connection up at the first write that fails. Here such writes go nowhere, and what reading
/// brings decides: the answer, or that there is none.
#[derive(Debug)]
pub(super) struct Attentive<Io> {
    io: Io,
    deaf: bool,
}

impl<Io> Attentive<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io, deaf: false }
    }

    /// What a write comes to; `length` is what it was to write.
    fn written(&mut self, written: io::Result<usize>, length: usize) -> io::Result<usize> {
        match written {
            Err(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                self.deaf = true;
                Ok(length)
            }
            written => written,
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Attentive<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Attentive<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes).map(|n| self.written(n, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(length));
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, slices).map(|n| self.written(n, length))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_flush(cx).map(|n| self.written(n.map(|()| 0), 0).map(drop))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn what_was_said_before_a_reset_is_heard() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut registry, _) = listener.accept().await.unwrap();
        ours.write_all(b"never read").await.unwrap();
        registry.readable().await.unwrap();
        registry.write_all(b"401").await.unwrap();
        // With something unread, this is a reset.
        drop(registry);
        let mut ours = Attentive::new(ours);
        for _ in 0..3 {
            ours.write_all(b"more").await.unwrap();
            ours.flush().await.unwrap();
        }
        let mut heard = [0; 3];
        ours.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"401");
        assert!(ours.read_exact(&mut heard).await.is_err());
    }
}
