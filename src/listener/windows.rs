//! How much clients may send over HTTP/2 before we have taken what they sent (RFC 9113 §5.2).
//!
//! An upload moves no more than a window per round trip, so a window must be large where a client is far
//! away; but it is a promise of memory, kept whenever the registry takes less than the client sends. So
//! every connection begins with little, and gets more when a body has moved a whole window and kept us
//! waiting, as long as the sum of all promises stays inside the budget (delivery-guarantees 8.4). Where the
//! registry is the slower one, or we are, a larger window would only be filled. What was promised cannot be
//! taken back before the connection ends.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;

use crate::budget::Budget;
use crate::budget::Share;

/// What all connections may promise together.
#[derive(Debug, Clone)]
pub(super) struct Windows(Budget);

/// The windows of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Window {
    /// Which of [`SIZES`].
    size: usize,
    share: Share,
    moving: Arc<Moving>,
}

/// Tells a connection that one of its bodies moves.
#[derive(Debug)]
pub(super) struct Moving {
    /// So much of one body makes it worth to ask for more.
    enough: AtomicUsize,
    asked: Notify,
}

/// Bytes of one stream, and of all streams of a connection together: what is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) stream: u32,
    pub(super) connection: u32,
}

/// Bytes per second at which no window is too small.
const FAST: f64 = 256.0 * 1024.0 * 1024.0;

/// What everybody gets at first, and what comes then.
const SIZES: [Size; 3] = [
    Size { stream: 1 << 20, connection: 4 << 20 },
    Size { stream: 4 << 20, connection: 16 << 20 },
    Size { stream: 16 << 20, connection: 64 << 20 },
];

impl Windows {
    /// Connections promise so many bytes together, and to those for whom nothing is left what everybody gets
    /// at first.
    pub(super) fn new(memory: usize) -> Self {
        Self(Budget::new(memory))
    }

    /// For a new connection.
    pub(super) fn open(&self) -> Window {
        let mut share = self.0.share();
        let [least, ..] = SIZES;
        // It gets this anyhow; the number of connections has its own limit.
        share.grow(least.connection as usize);
        let moving = Moving { enough: AtomicUsize::default(), asked: Notify::new() };
        let window = Window { size: 0, share, moving: Arc::new(moving) };
        window.watch();
        window
    }
}

impl Window {
    pub(super) fn size(&self) -> Size {
        let [least, ..] = SIZES;
        SIZES.get(self.size).copied().unwrap_or(least)
    }

    /// Makes it larger, if there is a larger one, the budget allows it, and it can be `promised` now.
    pub(super) fn grow(&mut self, promised: impl FnOnce(Size) -> bool) {
        let Some(larger) = SIZES.get(self.size + 1).copied() else {
            return;
        };
        let more = (larger.connection as usize).saturating_sub(self.share.bytes());
        if !self.share.grow(more) {
            return;
        }
        if promised(larger) {
            self.size += 1;
            self.watch();
        } else {
            self.share.shrink(more);
        }
    }

    /// For the bodies of the connection.
    pub(super) fn moving(&self) -> &Arc<Moving> {
        &self.moving
    }

    fn watch(&self) {
        let last = self.size + 1 == SIZES.len();
        let enough = if last { usize::MAX } else { self.size().stream as usize };
        self.moving.enough.store(enough, Ordering::Relaxed);
    }
}

impl Moving {
    /// A body has moved so much since then, and so long of that time there was nothing to move. Whether it
    /// was enough to begin anew.
    pub(super) fn moved(&self, bytes: usize, since: Instant, waited: Duration) -> bool {
        let enough = bytes >= self.enough.load(Ordering::Relaxed);
        if enough {
            let took = since.elapsed();
            if waited >= took / 2 && took.as_secs_f64() * FAST >= bytes as f64 {
                self.asked.notify_one();
            }
        }
        enough
    }

    /// Waits until a body has moved enough.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if it is dropped and called again.
    pub(super) async fn enough(&self) {
        self.asked.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn grown(window: &mut Window) -> (u32, u32) {
        window.grow(|_| true);
        (window.size().stream >> 20, window.size().connection >> 20)
    }

    #[test]
    fn windows_grow_while_their_sum_stays_inside_the_budget() {
        let windows = Windows::new(100 << 20);
        let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| windows.open());
        assert_eq!(grown(&mut a), (4, 16));
        assert_eq!(grown(&mut a), (16, 64));
        assert_eq!(grown(&mut a), (16, 64), "there is no larger one");
        // 64 + 16 + 16 + 4 are 100.
        assert_eq!(grown(&mut b), (4, 16));
        assert_eq!(grown(&mut b), (4, 16));
        assert_eq!(grown(&mut c), (4, 16));
        assert_eq!(grown(&mut d), (1, 4));
        // What one leaves, others may have.
        drop(a);
        assert_eq!(grown(&mut d), (4, 16));
        assert_eq!(grown(&mut d), (16, 64));
    }

    #[test]
    fn what_could_not_be_promised_takes_nothing_of_the_budget() {
        let windows = Windows::new(20 << 20);
        let (mut a, mut b) = (windows.open(), windows.open());
        a.grow(|_| false);
        assert_eq!(grown(&mut b), (4, 16));
        assert_eq!(grown(&mut a), (1, 4));
    }

    #[test]
    fn without_a_budget_everybody_has_the_least() {
        assert_eq!(grown(&mut Windows::new(0).open()), (1, 4));
    }

    #[test]
    fn a_body_that_keeps_us_waiting_for_a_window_asks_for_more() {
        let mut window = Windows::new(64 << 20).open();
        let moving = window.moving().clone();
        let now = Instant::now();
        let long_ago = now.checked_sub(Duration::from_secs(1)).unwrap();
        let (waited, at_once) = (Duration::from_secs(1), Duration::ZERO);
        let asked = || moving.enough().now_or_never().is_some();
        assert!(!moving.moved((1 << 20) - 1, long_ago, waited) && !asked());
        assert!(moving.moved(1 << 20, long_ago, waited) && asked());
        // In far less than a second: it is fast.
        assert!(moving.moved(1 << 30, Instant::now(), waited) && !asked());
        // Others were slow.
        assert!(moving.moved(1 << 20, long_ago, at_once) && !asked());
        grown(&mut window);
        assert!(!moving.moved(2 << 20, long_ago, waited) && !asked());
        grown(&mut window);
        assert!(!moving.moved(100 << 20, long_ago, waited) && !asked(), "it has the largest");
    }
}
