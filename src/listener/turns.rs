//! Whose turn it is to do a TLS handshake.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::AcquireError;
use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::sleep_until;

/// So many handshakes at once; the others wait, each for whoever comes to an end first.
///
/// A handshake is milliseconds of work and one or two ways to the client and back. Were a turn kept until the
/// handshake's deadline, a thousand clients that begin and say no more would shut out everybody else for so long.
/// So where somebody waits, the one who has had its turn longest has to go once it had it for [`ENOUGH`].
#[derive(Debug)]
pub(super) struct Turns {
    room: Semaphore,
    /// By number, so the first has had its turn longest.
    taken: Mutex<BTreeMap<u64, Taken>>,
    next: AtomicU64,
    enough: Duration,
}

#[derive(Debug)]
struct Taken {
    since: Instant,
    over: Arc<Notify>,
}

/// The turn of one handshake, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
    over: Arc<Notify>,
    _room: SemaphorePermit<'a>,
}

/// For how long a turn is nobody else's. Whoever needs more, over a bad line, has it where nobody waits.
const ENOUGH: Duration = Duration::from_secs(1);

impl Turns {
    pub(super) fn new(room: usize) -> Self {
        let room = Semaphore::new(room.min(Semaphore::MAX_PERMITS));
        Self { room, taken: Mutex::default(), next: AtomicU64::new(0), enough: ENOUGH }
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nobody has it; somebody else may have lost his for it.
    pub(super) async fn take(&self) -> Result<Turn<'_>, AcquireError> {
        let room = tokio::select! {
            biased;
            room = self.room.acquire() => room?,
            never = self.ask() => match never {},
        };
        let over = Arc::new(Notify::new());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let taken = Taken { since: Instant::now(), over: Arc::clone(&over) };
        self.lock().insert(number, taken);
        Ok(Turn { turns: self, number, over, _room: room })
    }

    /// Has one go as soon as one has had enough, and then another from time to time: it is not for who asked that
    /// the first makes room, but for who waits longest.
    async fn ask(&self) -> Infallible {
        loop {
            let first = self.lock().first_key_value().map(|(number, taken)| (*number, taken.since));
            if let Some((number, since)) = first {
                sleep_until(since + self.enough).await;
                // Somebody else may have asked that one meanwhile.
                let Some(taken) = self.lock().remove(&number) else {
                    continue;
                };
                taken.over.notify_one();
            }
            sleep(self.enough).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Taken>> {
        // A map is a map even if somebody panicked while holding it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Somebody waits, and this one has had enough.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    impl Turn<'_> {
        fn began(&self) -> Instant {
            self.turns.lock()[&self.number].since
        }
    }

    #[tokio::test]
    async fn who_has_had_enough_goes_where_somebody_waits() {
        let turns = Turns { enough: Duration::from_millis(20), ..Turns::new(2) };
        let (first, second) = (turns.take().await.unwrap(), turns.take().await.unwrap());
        sleep(turns.enough * 2).await;
        assert!(first.over().now_or_never().is_none(), "nobody waits");
        let third = tokio::join!(turns.take(), async {
            first.over().await;
            drop(first);
        });
        assert!(second.over().now_or_never().is_none(), "one goes for one");
        // Two who wait have two go.
        let third = third.0.unwrap();
        let began = third.began();
        let (fourth, fifth, ()) = tokio::join!(turns.take(), turns.take(), async {
            second.over().await;
            drop(second);
            third.over().await;
            assert!(began.elapsed() >= turns.enough, "it had less than enough");
            drop(third);
        });
        // More wait than there are.
        let leave = async |turn: Turn<'_>| turn.over().await;
        let pass = async || leave(turns.take().await.unwrap()).await;
        let all = async {
            tokio::join!(pass(), pass(), pass(), leave(fourth.unwrap()), leave(fifth.unwrap()))
        };
        let others = async {
            loop {
                drop(tokio::join!(turns.take(), turns.take()));
            }
        };
        tokio::select! {
            _ = all => {}
            () = others => {}
        }
        assert!(turns.lock().is_empty());
        assert_eq!(turns.room.available_permits(), 2);
    }

    #[tokio::test]
    async fn who_ends_in_time_is_not_asked() {
        let turns = Turns { enough: Duration::from_secs(60), ..Turns::new(1) };
        let first = turns.take().await.unwrap();
        let mut second = Box::pin(turns.take());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.unwrap().over().now_or_never().is_none());
    }
}
