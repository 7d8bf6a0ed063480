use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// A connection that writes a body in large pieces.
///
/// A body reaches us in the pieces its sender made of it, 32 KiB each where a Go program uploads, and hyper
/// offers to write whenever it has one of them. Each write wakes the registry. So an offer that belongs to
/// a body is put off until everybody else on this worker had a turn, and as long as it has grown by then:
/// what has arrived already is written at once, and nothing waits for what has not.
#[derive(Debug)]
pub(super) struct Gathered<Io> {
    io: Io,
    /// How much was offered when it was last put off.
    offered: usize,
}

/// An offer of this size is not put off.
const PIECE: usize = 256 << 10;
/// What is smaller is no piece of a body, or its end.
const STREAMS: usize = 16 << 10;

impl<Io> Gathered<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io, offered: 0 }
    }

    /// Whether more may come before the next turn.
    fn puts_off(&mut self, cx: &Context<'_>, offer: usize) -> bool {
        if (STREAMS..PIECE).contains(&offer) && offer > self.offered {
            self.offered = offer;
            cx.waker().wake_by_ref();
            return true;
        }
        false
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Gathered<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Gathered<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.puts_off(cx, slices.iter().map(|slice| slice.len()).sum()) {
            return Poll::Pending;
        }
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        if written.is_ready() {
            this.offered = 0;
        }
        written
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
    use std::future::poll_fn;

    use super::*;

    /// Takes all it is given, and keeps the sizes.
    #[derive(Default)]
    struct Written(Vec<usize>);

    impl AsyncWrite for Written {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_offer_waits_while_it_grows_and_no_longer() {
        let bytes = vec![0; 2 * PIECE];
        for (offers, written) in [
            (vec![100], vec![100]),
            (vec![STREAMS - 1], vec![STREAMS - 1]),
            (vec![PIECE], vec![PIECE]),
            (vec![20_000, 40_000, 40_000], vec![40_000]),
            (vec![20_000, 20_000, 20_000, 20_000], vec![20_000, 20_000]),
            (vec![200_000, 300_000, 20_000, 20_005, 20_005], vec![300_000, 20_005]),
        ] {
            let mut io = Gathered::new(Written::default());
            for offer in &offers {
                let offer = bytes.get(..*offer).unwrap();
                poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_write(cx, offer).is_ready())).await;
            }
            assert_eq!(io.io.0, written, "{offers:?}");
        }
    }

    #[tokio::test]
    async fn what_was_put_off_is_asked_for_again() {
        let mut io = Gathered::new(Written::default());
        let bytes = vec![0; 50_000];
        let written = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, &bytes)).await;
        assert_eq!(written.unwrap(), bytes.len());
    }
}
