use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep_until;

/// A wait that ends after a while in which nothing moved.
///
/// One timer serves many waits, because most are over long before it fires; the clock is read only when a
/// wait begins.
#[derive(Debug, Default)]
pub struct Patience {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Something moved: the next wait is a new one.
    pub fn moved(&mut self) {
        self.since = None;
    }

    /// Whether the wait, which begins with this call unless it has begun already, has taken `limit`.
    pub fn poll_over(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let due = *self.since.get_or_insert_with(Instant::now) + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            // It was set for an earlier wait.
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn every_wait_has_its_own_time() {
        let mut patience = Patience::default();
        let (short, long) = (Duration::from_millis(30), Duration::from_millis(90));
        for limit in [long, short, long] {
            let began = Instant::now();
            let half = timeout(limit / 2, poll_fn(|cx| patience.poll_over(limit, cx))).await;
            assert!(half.is_err());
            patience.moved();
            poll_fn(|cx| patience.poll_over(limit, cx)).await;
            assert!(began.elapsed() >= limit + limit / 2, "{:?}", began.elapsed());
            patience.moved();
        }
    }
}
