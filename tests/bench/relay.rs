use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use bytes::BytesMut;
use pushbell::tasks::Tasks;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

/// A long way: what goes in at one end comes out at the other after a while, unchanged and in order, and
/// as much as one likes may be under way. So nothing but the windows of the protocols limits the flow.
///
/// It stands in for the kernel's own delay, which not every kernel has and only root may set up.
pub(crate) struct Relay {
    pub(crate) port: u16,
    accepting: AbortHandle,
}

/// How much may be under way in one direction, in bytes: 20 ms of 3 GiB/s.
const UNDER_WAY: usize = 64 << 20;
/// How much is taken at a time.
const PIECE: usize = 256 << 10;

/// Some bytes, and when they may come out.
struct Parcel {
    due: Instant,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Relay {
    /// A way to this port that takes so long in each direction.
    pub(crate) async fn start(port: u16, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        let tasks = Tasks::new();
        let accepting = tasks.clone().spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else {
                    continue;
                };
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                    continue;
                };
                near.set_nodelay(true).ok();
                far.set_nodelay(true).ok();
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                for (from, to) in [(near_in, far_out), (far_in, near_out)] {
                    let (sender, receiver) = mpsc::channel(UNDER_WAY / PIECE * 16);
                    tasks.spawn(take_in(from, sender, delay));
                    tasks.spawn(give_out(receiver, to));
                }
            }
        });
        Ok(Self { port: own, accepting: accepting.abort_handle() })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Who breaks off is told to the other side by the end of the stream.
async fn take_in(mut from: OwnedReadHalf, to: mpsc::Sender<Parcel>, delay: Duration) -> Result<()> {
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        let size = from.read_buf(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        let due = Instant::now() + delay;
        let room = room.clone().acquire_many_owned(u32::try_from(size)?).await?;
        to.send(Parcel { due, bytes: buffer.split().freeze(), _room: room }).await?;
    }
}

async fn give_out(mut from: mpsc::Receiver<Parcel>, mut to: OwnedWriteHalf) -> Result<()> {
    while let Some(parcel) = from.recv().await {
        sleep_until(parcel.due.into()).await;
        to.write_all(&parcel.bytes).await?;
    }
    to.shutdown().await?;
    Ok(())
}
