//! The bounded queue in front of a thread: callers wait without blocking theirs, the thread takes
//! everything that is there at once.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Error;

/// A queue of commands.
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Condvar,
    /// One permit for each place; a full queue makes its callers wait.
    places: Semaphore,
}

struct Waiting<T> {
    commands: Vec<T>,
    closed: bool,
}

/// What a thread finds.
pub(super) enum Taken<T> {
    /// All that was there, up to the limit, in the order it came.
    Commands(Vec<T>),
    /// Nothing for as long as it was willing to wait.
    Idle,
    /// Nothing, and there will never be anything.
    Closed,
}

impl<T> Queue<T> {
    /// A queue that holds so many commands; the next caller waits.
    pub(super) fn new(places: usize) -> Self {
        let waiting = Mutex::new(Waiting { commands: Vec::new(), closed: false });
        Self { waiting, arrived: Condvar::new(), places: Semaphore::new(places) }
    }

    /// Puts a command in, waiting for a place.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the command was not put in.
    pub(super) async fn put(&self, command: T) -> Result<(), Error> {
        let place = self.places.acquire().await.map_err(|_| Error::Closed)?;
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Error::Closed);
        }
        place.forget();
        waiting.commands.push(command);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts several commands in at once, beyond the length of the queue if need be.
    #[cfg(test)]
    pub(super) fn put_all(&self, commands: impl IntoIterator<Item = T>) {
        self.lock().commands.extend(commands);
        self.arrived.notify_one();
    }

    /// Takes everything that is there, at most `limit`; waits at most `patience` for the first.
    pub(super) fn take(&self, limit: usize, patience: Duration) -> Taken<T> {
        let waiting = self.lock();
        let nothing = |waiting: &mut Waiting<T>| waiting.commands.is_empty() && !waiting.closed;
        let (mut waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, patience, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let number = waiting.commands.len().min(limit);
        if number == 0 {
            return if waiting.closed { Taken::Closed } else { Taken::Idle };
        }
        let rest = waiting.commands.split_off(number);
        let taken = std::mem::replace(&mut waiting.commands, rest);
        drop(waiting);
        self.places.add_permits(number);
        Taken::Commands(taken)
    }

    /// Takes nothing new from now on; what is in it will still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.places.close();
        self.arrived.notify_all();
    }

    /// Drops what is in it, so that whoever waits for an answer learns that there will be none.
    pub(super) fn clear(&self) {
        let commands = std::mem::take(&mut self.lock().commands);
        drop(commands);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        // Nothing in here panics between two states that do not fit each other.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn everything_waiting_is_taken_at_once_and_a_full_queue_waits() {
        let queue = Arc::new(Queue::new(3));
        for n in 0..3 {
            queue.put(n).await.unwrap();
        }
        let mut fourth = Box::pin(queue.put(3));
        assert!(futures_util::poll!(&mut fourth).is_pending());
        let Taken::Commands(taken) = queue.take(2, Duration::ZERO) else { panic!() };
        assert_eq!(taken, [0, 1]);
        fourth.await.unwrap();
        queue.close();
        assert!(matches!(queue.put(4).await, Err(Error::Closed)));
        let Taken::Commands(taken) = queue.take(9, Duration::ZERO) else { panic!() };
        assert_eq!(taken, [2, 3]);
        assert!(matches!(queue.take(9, Duration::ZERO), Taken::Closed));
    }
}
