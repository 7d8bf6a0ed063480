use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// The connections of a worker that write.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathering(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// All of them.
    open: AtomicUsize,
    /// Those that put off what they have.
    putting_off: AtomicUsize,
}

/// A connection that writes a body in large pieces.
///
/// A body reaches us in the pieces its sender made of it, 32 KiB each where a Go program uploads, and hyper
/// offers to write whenever it has one of them. Each write wakes the registry. So an offer that belongs to
/// a body is put off until everybody else on this worker had a turn, and as long as it has grown by then:
/// what has arrived already is written at once, and nothing waits for what has not. In a crowd nobody puts
/// anything off: what is put off is held in memory, and where many send the registry is awake anyway.
#[derive(Debug)]
pub(super) struct Gathered<Io> {
    io: Io,
    /// How much was offered when it was last put off.
    offered: usize,
    gathering: Gathering,
}

/// An offer of this size is not put off.
const PIECE: usize = 256 << 10;
/// What is smaller is no piece of a body, or its end.
const STREAMS: usize = 16 << 10;
/// More than so many at once are a crowd.
const FEW: usize = 8;

impl<Io> Gathered<Io> {
    pub(super) fn new(io: Io, gathering: Gathering) -> Self {
        gathering.0.open.fetch_add(1, Ordering::Relaxed);
        Self { io, offered: 0, gathering }
    }

    /// Whether there are so many connections beside it that what each of them holds adds up.
    pub(super) fn is_in_a_crowd(&self) -> bool {
        self.gathering.0.open.load(Ordering::Relaxed) > FEW
    }

    /// Whether more may come before the next turn.
    fn puts_off(&mut self, cx: &Context<'_>, offer: usize) -> bool {
        let first = self.offered == 0;
        if (STREAMS..PIECE).contains(&offer)
            && offer > self.offered
            && !(first && self.gathering.is_crowd())
        {
            if first {
                self.gathering.0.putting_off.fetch_add(1, Ordering::Relaxed);
            }
            self.offered = offer;
            cx.waker().wake_by_ref();
            return true;
        }
        false
    }

    fn gathered(&mut self) {
        if std::mem::take(&mut self.offered) > 0 {
            self.gathering.0.putting_off.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<Io> Drop for Gathered<Io> {
    fn drop(&mut self) {
        self.gathered();
        self.gathering.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gathering {
    fn is_crowd(&self) -> bool {
        self.0.putting_off.load(Ordering::Relaxed) >= FEW
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
            this.gathered();
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
            let mut io = Gathered::new(Written::default(), Gathering::default());
            for offer in &offers {
                let offer = bytes.get(..*offer).unwrap();
                poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_write(cx, offer).is_ready())).await;
            }
            assert_eq!(io.io.0, written, "{offers:?}");
        }
    }

    #[tokio::test]
    async fn what_was_put_off_is_asked_for_again() {
        let mut io = Gathered::new(Written::default(), Gathering::default());
        let bytes = vec![0; 50_000];
        let written = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, &bytes)).await;
        assert_eq!(written.unwrap(), bytes.len());
    }

    #[tokio::test]
    async fn in_a_crowd_nothing_is_put_off() {
        let gathering = Gathering::default();
        let offer = vec![0; 50_000];
        let mut crowd: Vec<_> =
            (0..=FEW).map(|_| Gathered::new(Written::default(), gathering.clone())).collect();
        let mut written = Vec::new();
        for io in &mut crowd {
            written.push(
                poll_fn(|cx| Poll::Ready(Pin::new(&mut *io).poll_write(cx, &offer).is_ready()))
                    .await,
            );
        }
        assert_eq!(written.iter().filter(|written| **written).count(), 1);
        assert!(gathering.is_crowd());
        drop(crowd);
        assert_eq!(gathering.0.putting_off.load(Ordering::Relaxed), 0);
    }
}
