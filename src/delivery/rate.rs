//! At most so many attempts per second; pure.

use std::time::Duration;

use tokio::time::Instant;

/// How far attempts may run ahead of an even pace. Timers ring once a millisecond at best, so a
/// pace faster than that has to start several at once.
const AHEAD: Duration = Duration::from_millis(10);

/// An even pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    every: Duration,
    /// When the next start is due if all of them keep the pace.
    next: Instant,
}

impl Rate {
    /// One in so long.
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self { every, next: now }
    }

    /// How many attempts may start now.
    pub(super) fn room(&self, now: Instant) -> usize {
        let Some(ahead) = (now + self.slack()).checked_duration_since(self.next.max(now)) else {
            return 0;
        };
        let more = ahead.as_nanos() / self.every.as_nanos().max(1);
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// When at least one may start.
    pub(super) fn next_at(&self) -> Instant {
        self.next - self.slack()
    }

    /// Counts attempts that start now.
    pub(super) fn took(&mut self, attempts: usize, now: Instant) {
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        self.next = self.next.max(now) + self.every.saturating_mul(attempts);
    }

    fn slack(&self) -> Duration {
        AHEAD.saturating_sub(self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_over_any_second() {
        for per_second in [1, 3, 50, 999, 20_000] {
            let start = Instant::now();
            let mut rate = Rate::new(Duration::from_secs(1) / per_second, start);
            let mut started: usize = 0;
            for millisecond in 0..3000 {
                let now = start + Duration::from_millis(millisecond);
                let room = rate.room(now);
                rate.took(room, now);
                started += room;
            }
            let most = per_second as usize * 3 + per_second as usize / 100 + 1;
            assert!(started <= most, "{per_second}: {started}");
            assert!(started >= per_second as usize * 29 / 10, "{per_second}: {started}");
        }
    }

    #[test]
    fn after_a_rest_nothing_is_made_up_for() {
        let start = Instant::now();
        let mut rate = Rate::new(Duration::from_millis(100), start);
        assert_eq!(rate.room(start + Duration::from_secs(60)), 1);
        rate.took(1, start);
        assert_eq!(rate.room(start), 0);
        assert_eq!(rate.next_at(), start + Duration::from_millis(100));
        assert_eq!(rate.room(rate.next_at()), 1);
    }
}
