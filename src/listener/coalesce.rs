use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::io::Read as _;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetUsize;
use socket2::SockRef;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep;

use super::pool::Buffer;
use super::pool::Pool;
use super::pool::SIZE;

/// A client's TCP connection that reads in large pieces once a body streams.
///
/// What costs most of an upload is neither the cipher nor the copy but being woken for every small piece,
/// and TLS above reads 4 KiB at a time. So, while bytes flow, they are read into a large buffer that is
/// borrowed only as long as there is something in it. Once [`FLOWS`] bytes came without a pause or an
/// answer, the kernel is asked to wake us for [`PIECE`] bytes rather than for each packet (`SO_RCVLOWAT`,
/// socket(7); the end of the stream and errors still wake at once), and a timer takes what is there after
/// [`WAIT`]. Nothing that is smaller ever waits: no head, no small body, no handshake. Only what comes within
/// [`WAIT`] of a flow cannot be told from the rest of it.
#[derive(Debug)]
pub(super) struct Coalesced {
    io: TcpStream,
    pool: Pool,
    /// Read, but not handed on yet. Never empty.
    held: Option<Held>,
    pace: Pace,
    /// Bytes that came since the last small read and the last write.
    flowed: usize,
    /// The last read went past tokio, and there may be more that epoll does not tell again.
    more: bool,
}

#[derive(Debug)]
struct Held {
    buffer: Buffer,
    from: usize,
    to: usize,
}

#[derive(Debug)]
enum Pace {
    /// Any byte wakes us.
    Eager,
    /// A piece wakes us, or the timer, which runs while `waiting`.
    Patient { timer: Pin<Box<Sleep>>, waiting: bool },
}

/// `SO_RCVLOWAT`.
#[derive(Debug, Clone, Copy)]
struct LowWater;

nix::setsockopt_impl!(LowWater, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize, SetUsize);

/// What the kernel collects before it wakes us. It doubles the receive buffer where it has to.
const PIECE: usize = SIZE;
/// How much must have come before we wait for more.
const FLOWS: usize = 64 << 10;
/// What a read brings at least while a body streams.
const STREAMS: usize = 16 << 10;
/// What we say in so few bytes is no answer that the client has waited for: HTTP/2 goes on making room for a
/// body that comes (RFC 9113 §6.9), in records of 35 to 60 bytes.
const ANSWER: usize = 128;
/// How long a byte may wait. The timer's own grain is another millisecond.
const WAIT: Duration = Duration::from_millis(1);

impl Coalesced {
    pub(super) fn new(io: TcpStream, pool: Pool) -> Self {
        Self { io, pool, held: None, pace: Pace::Eager, flowed: 0, more: false }
    }

    /// Reads what the socket has, or waits as patiently as the pace allows.
    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let room = out.remaining();
        if self.more
            && let Some(read) = self.read_now(out)
        {
            return Poll::Ready(read.inspect(|n| self.took(*n, room)));
        }
        let before = out.filled().len();
        if Pin::new(&mut self.io).poll_read(cx, out)?.is_ready() {
            let n = out.filled().len() - before;
            self.took(n, room);
            return Poll::Ready(Ok(n));
        }
        if self.flowed >= FLOWS {
            self.be_patient();
        }
        let Pace::Patient { timer, waiting } = &mut self.pace else {
            return Poll::Pending;
        };
        if !*waiting {
            timer.as_mut().reset(Instant::now() + WAIT);
            *waiting = true;
        }
        ready!(timer.as_mut().poll(cx));
        match self.read_now(out) {
            Some(read) => Poll::Ready(read.inspect(|n| self.took(*n, room))),
            None => {
                // What comes now wakes the task, which tokio knows already.
                self.flow_ends();
                Poll::Pending
            }
        }
    }

    /// Reads without asking tokio, which does not know of bytes that epoll has not reported.
    fn read_now(&mut self, out: &mut ReadBuf<'_>) -> Option<io::Result<usize>> {
        let room = out.remaining();
        let read = loop {
            match (&*SockRef::from(&self.io)).read(out.initialize_unfilled()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        // Less than there was room for: the rest will be reported when it comes.
        self.more = matches!(read, Ok(n) if n == room);
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
            Ok(n) => {
                out.advance(n);
                Some(Ok(n))
            }
        }
    }

    fn took(&mut self, n: usize, room: usize) {
        if let Pace::Patient { waiting, .. } = &mut self.pace {
            *waiting = false;
        }
        if n >= STREAMS || n == room {
            self.flowed = self.flowed.saturating_add(n);
        } else {
            self.flow_ends();
        }
    }

    fn be_patient(&mut self) {
        if matches!(self.pace, Pace::Eager) && setsockopt(&self.io, LowWater, &PIECE).is_ok() {
            self.pace = Pace::Patient { timer: Box::pin(sleep(WAIT)), waiting: false };
        }
    }

    /// What is there already is reported at once.
    fn be_eager(&mut self) {
        if matches!(self.pace, Pace::Patient { .. }) {
            // It was possible to raise it. Were it not possible to lower it, the timer would have to go on.
            if setsockopt(&self.io, LowWater, &1).is_ok() {
                self.pace = Pace::Eager;
            }
        }
    }

    /// We have so many bytes to say, and the client may wait for them before it goes on.
    fn speaks(&mut self, bytes: usize) {
        if bytes >= ANSWER {
            self.flow_ends();
        }
    }

    fn flow_ends(&mut self) {
        self.flowed = 0;
        self.be_eager();
    }

    fn hand_on(&mut self, out: &mut ReadBuf<'_>) {
        if let Some(held) = &mut self.held {
            let bytes = held.buffer.get(held.from..held.to).unwrap_or_default();
            let (now, later) = bytes.split_at(bytes.len().min(out.remaining()));
            out.put_slice(now);
            held.from += now.len();
            if later.is_empty() {
                self.held = None;
            }
        }
    }
}

impl AsyncRead for Coalesced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.held.is_some() {
            this.hand_on(out);
            return Poll::Ready(Ok(()));
        }
        // Without a flow there is no more than the caller asks for, and one who asks for much needs no help.
        let buffer = match this.flowed > 0 && out.remaining() < PIECE / 4 {
            true => this.pool.take(),
            false => None,
        };
        let Some(mut buffer) = buffer else {
            return this.poll_socket(cx, out).map_ok(drop);
        };
        let to = ready!(this.poll_socket(cx, &mut ReadBuf::new(&mut buffer)))?;
        if to > 0 {
            this.held = Some(Held { buffer, from: 0, to });
            this.hand_on(out);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Coalesced {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.speaks(bytes.len());
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.speaks(slices.iter().map(|slice| slice.len()).sum());
        Pin::new(&mut this.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.flow_ends();
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use crate::tasks::Tasks;

    use super::*;

    /// Far longer than anything here takes, and far shorter than waiting for ever.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// TLS reads so much at a time.
    const READ: usize = 4096;

    async fn pair(pool: &Pool) -> (TcpStream, Coalesced) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (io, _) = listener.accept().await.unwrap();
        (client, Coalesced::new(io, pool.clone()))
    }

    fn random(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        fastrand::fill(&mut bytes);
        bytes
    }

    async fn receive(io: &mut Coalesced, expected: &[u8], read: usize) {
        let mut at = 0;
        let mut piece = vec![0; read];
        while at < expected.len() {
            let n = timeout(PATIENCE, io.read(&mut piece)).await.unwrap().unwrap();
            assert!(n > 0, "the stream ended after {at} of {} bytes", expected.len());
            assert!(piece.get(..n) == expected.get(at..at + n), "wrong bytes at {at}");
            at += n;
        }
    }

    /// Sends enough for the connection to have become patient, and reads it.
    async fn become_patient(client: &mut TcpStream, io: &mut Coalesced) {
        let bytes = vec![7; 8 * PIECE];
        let sending = client.write_all(&bytes);
        let (sent, ()) = tokio::join!(sending, receive(io, &bytes, READ));
        sent.unwrap();
        // The first read that finds nothing begins to wait.
        let mut piece = [0; READ];
        poll_fn(|cx| {
            assert!(Pin::new(&mut *io).poll_read(cx, &mut ReadBuf::new(&mut piece)).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(matches!(io.pace, Pace::Patient { .. }), "{io:?}");
    }

    #[tokio::test]
    async fn every_byte_arrives_in_order_whatever_the_pieces() {
        let tasks = Tasks::new();
        for read in [1000, READ, 100_000, 600_000] {
            let (mut client, mut io) = pair(&Pool::default()).await;
            let bytes = random(24 << 20);
            let sent = bytes.clone();
            tasks.spawn(async move {
                let mut rest = sent.as_slice();
                while !rest.is_empty() {
                    let most = if fastrand::bool() { 400 } else { 400_000 };
                    let (now, later) = rest.split_at(fastrand::usize(1..=most).min(rest.len()));
                    client.write_all(now).await.unwrap();
                    rest = later;
                }
            });
            receive(&mut io, &bytes, read).await;
            assert_eq!(timeout(PATIENCE, io.read(&mut [0; READ])).await.unwrap().unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn what_is_less_than_a_piece_arrives_without_more_to_come() {
        let (mut client, mut io) = pair(&Pool::default()).await;
        for size in [1, 100, 20_000, PIECE - 1] {
            become_patient(&mut client, &mut io).await;
            let tail = random(size);
            client.write_all(&tail).await.unwrap();
            receive(&mut io, &tail, READ).await;
        }
    }

    #[tokio::test]
    async fn a_flow_that_ends_leaves_nothing_borrowed_and_nobody_waiting() {
        let pool = Pool::default();
        let (mut client, mut io) = pair(&pool).await;
        become_patient(&mut client, &mut io).await;
        // Nothing comes: the timer ends the wait, and only the next byte wakes the task.
        let mut piece = [0; READ];
        let mut reading = Box::pin(io.read(&mut piece));
        assert!(timeout(20 * WAIT, &mut reading).await.is_err());
        client.write_all(b"x").await.unwrap();
        assert_eq!(timeout(PATIENCE, reading).await.unwrap().unwrap(), 1);
        assert!(matches!(io.pace, Pace::Eager), "{io:?}");
        assert_eq!(pool.lent(), 0);
    }

    #[tokio::test]
    async fn an_answer_ends_the_patience() {
        let (mut client, mut io) = pair(&Pool::default()).await;
        become_patient(&mut client, &mut io).await;
        // Room for more of the body is none.
        io.write_all(&[0; ANSWER - 1]).await.unwrap();
        assert!(matches!(io.pace, Pace::Patient { .. }), "{io:?}");
        io.write_all(&[0; ANSWER]).await.unwrap();
        assert!(matches!(io.pace, Pace::Eager), "{io:?}");
        client.write_all(b"next").await.unwrap();
        receive(&mut io, b"next", READ).await;
        assert!(matches!(io.pace, Pace::Eager), "{io:?}");
    }

    #[tokio::test]
    async fn small_requests_never_wait() {
        let (mut client, mut io) = pair(&Pool::default()).await;
        for _ in 0..50 {
            let request = random(20_000);
            client.write_all(&request).await.unwrap();
            receive(&mut io, &request, READ).await;
            let mut piece = [0; READ];
            poll_fn(|cx| {
                let read = Pin::new(&mut io).poll_read(cx, &mut ReadBuf::new(&mut piece));
                assert!(read.is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(matches!(io.pace, Pace::Eager), "{io:?}");
            io.write_all(&[0; ANSWER]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_end_is_seen_while_waiting() {
        let (mut client, mut io) = pair(&Pool::default()).await;
        become_patient(&mut client, &mut io).await;
        client.write_all(b"last words").await.unwrap();
        client.shutdown().await.unwrap();
        receive(&mut io, b"last words", READ).await;
        assert_eq!(timeout(PATIENCE, io.read(&mut [0; READ])).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_reset_is_seen_while_waiting() {
        let (mut client, mut io) = pair(&Pool::default()).await;
        become_patient(&mut client, &mut io).await;
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let error = timeout(PATIENCE, io.read(&mut [0; READ])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn many_connections_share_the_buffers() {
        let (pool, tasks) = (Pool::default(), Tasks::new());
        let mut reading = Vec::new();
        for _ in 0..100 {
            let (mut client, mut io) = pair(&pool).await;
            let bytes = random(1 << 20);
            let sent = bytes.clone();
            tasks.spawn(async move { client.write_all(&sent).await.unwrap() });
            reading.push(tasks.spawn(async move {
                receive(&mut io, &bytes, READ).await;
                io
            }));
        }
        let mut open = Vec::new();
        for read in reading {
            open.push(timeout(PATIENCE, read).await.unwrap().unwrap());
        }
        assert_eq!(pool.lent(), 0, "idle connections hold no buffer");
    }
}
