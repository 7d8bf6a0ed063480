//! How an endpoint is, and how many attempts it may therefore be given; pure.
//!
//! ```text
//!            failure                     answer                 window reaches the concurrency
//! healthy ───────────► failing(1) ─────────────► recovering(1) ─────────────────► healthy
//!                       │    ▲                     │   │  ▲
//!                       └────┘                     │   └──┘ answer: the window doubles
//!              the probe failed: failing(n + 1) ◄──┘ failure
//!
//! any ── the proxy on the way failed ──► cut_off(n): as failing(n), but nothing is held against the endpoint
//! any ── 410 ──► off, until the process starts again
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// How an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Healthy,
    /// It does not; one event at a time is tried as a probe, the others wait.
    Failing {
        /// How many failures in a row.
        failures: u32,
        /// When the next probe may start.
        probe_at: Instant,
    },
    /// The proxy on the way to it does not work, so nothing is known of it; one event at a time is tried as a
    /// probe of the proxy, the others wait.
    CutOff {
        /// How many failures in a row.
        failures: u32,
        /// When the next probe may start.
        probe_at: Instant,
    },
    /// It answers again, and is given more with each answer.
    Recovering {
        /// How many attempts may be in flight.
        window: usize,
    },
    /// It said it is no more. Nothing is sent to it until the process starts again.
    Off,
}

/// What an attempt's end changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing worth a word.
    None,
    /// It worked and now it does not.
    Failing,
    /// The proxy on the way to it worked, and now it does not.
    CutOff,
    /// It did not work and now it answers.
    Answers,
    /// It has switched itself off.
    Off,
}

impl Health {
    /// Every word for a state, in the order of the documentation.
    pub const WORDS: [&'static str; 5] = ["healthy", "failing", "cut_off", "recovering", "off"];

    /// The word for it, in metrics and readiness.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing { .. } => "failing",
            Self::CutOff { .. } => "cut_off",
            Self::Recovering { .. } => "recovering",
            Self::Off => "off",
        }
    }

    /// How many attempts may start now.
    #[must_use]
    pub fn room(&self, concurrency: usize, in_flight: usize, now: Instant) -> usize {
        let allowed = match self {
            Self::Healthy => concurrency,
            Self::Recovering { window } => concurrency.min(*window),
            Self::Failing { probe_at, .. } | Self::CutOff { probe_at, .. } if now >= *probe_at => 1,
            Self::Failing { .. } | Self::CutOff { .. } | Self::Off => 0,
        };
        allowed.saturating_sub(in_flight)
    }

    /// When the next probe may start, if one is being waited for.
    #[must_use]
    pub fn probe_at(&self) -> Option<Instant> {
        match self {
            Self::Failing { probe_at, .. } | Self::CutOff { probe_at, .. } => Some(*probe_at),
            Self::Healthy | Self::Recovering { .. } | Self::Off => None,
        }
    }

    /// The endpoint answered, whatever it said of the event.
    pub fn answered(&mut self, concurrency: usize) -> Turn {
        match *self {
            Self::Healthy | Self::Off => Turn::None,
            Self::Failing { .. } | Self::CutOff { .. } => {
                *self = Self::Recovering { window: 1 };
                Turn::Answers
            }
            Self::Recovering { window } => {
                let window = window.saturating_mul(2);
                *self =
                    if window >= concurrency { Self::Healthy } else { Self::Recovering { window } };
                Turn::None
            }
        }
    }

    /// An attempt that started at `began` failed at `now`, and not because of its event. `pause` says
    /// how long to wait after the n-th failure in a row.
    pub fn failed(
        &mut self,
        began: Instant,
        now: Instant,
        pause: impl FnOnce(u32) -> Duration,
    ) -> Turn {
        let (failures, turn) = match *self {
            Self::Off => return Turn::None,
            // It was in flight when the endpoint turned failing: the same news again.
            Self::Failing { probe_at, .. } | Self::CutOff { probe_at, .. } if began < probe_at => {
                return Turn::None;
            }
            Self::Failing { failures, .. } => (failures.saturating_add(1), Turn::None),
            Self::Healthy | Self::CutOff { .. } | Self::Recovering { .. } => (1, Turn::Failing),
        };
        *self = Self::Failing { failures, probe_at: now + pause(failures) };
        turn
    }

    /// An attempt that started at `began` ended at `now` without reaching the endpoint: the proxy on the way
    /// failed. `pause` is as in [`Health::failed`].
    pub fn cut_off(
        &mut self,
        began: Instant,
        now: Instant,
        pause: impl FnOnce(u32) -> Duration,
    ) -> Turn {
        let (failures, turn) = match *self {
            Self::Off => return Turn::None,
            Self::Failing { probe_at, .. } | Self::CutOff { probe_at, .. } if began < probe_at => {
                return Turn::None;
            }
            Self::CutOff { failures, .. } => (failures.saturating_add(1), Turn::None),
            Self::Healthy | Self::Failing { .. } | Self::Recovering { .. } => (1, Turn::CutOff),
        };
        *self = Self::CutOff { failures, probe_at: now + pause(failures) };
        turn
    }

    /// The endpoint said that it is no more.
    pub fn gone(&mut self) -> Turn {
        if *self == Self::Off {
            return Turn::None;
        }
        *self = Self::Off;
        Turn::Off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    #[test]
    fn a_failing_endpoint_gets_one_probe_at_a_time() {
        let start = Instant::now();
        let mut health = Health::Healthy;
        assert_eq!(health.room(8, 3, start), 5);
        assert_eq!(health.room(8, 9, start), 0);
        assert_eq!(health.failed(start, start, |n| PAUSE * n), Turn::Failing);
        assert_eq!(health.room(8, 0, start + PAUSE / 2), 0);
        assert_eq!(health.room(8, 0, start + PAUSE), 1);
        assert_eq!(health.room(8, 1, start + PAUSE), 0, "one is in flight");
        let probe = health.probe_at().unwrap();
        assert_eq!(health.failed(probe, probe, |n| PAUSE * n), Turn::None);
        assert_eq!(health, Health::Failing { failures: 2, probe_at: probe + PAUSE * 2 });
    }

    #[test]
    fn attempts_that_fail_together_are_one_failure() {
        let start = Instant::now();
        let mut health = Health::Healthy;
        for n in 0..8 {
            health.failed(start, start + Duration::from_millis(n), |_| PAUSE);
        }
        assert_eq!(health, Health::Failing { failures: 1, probe_at: start + PAUSE });
    }

    #[test]
    fn a_proxy_that_fails_is_no_failure_of_the_endpoint() {
        let start = Instant::now();
        let mut health = Health::Healthy;
        assert_eq!(health.cut_off(start, start, |n| PAUSE * n), Turn::CutOff);
        assert_eq!((health.as_str(), health.room(8, 0, start)), ("cut_off", 0));
        let probe = health.probe_at().unwrap();
        assert_eq!(health.room(8, 0, probe), 1);
        assert_eq!(health.cut_off(start, start, |_| PAUSE), Turn::None, "it was in flight");
        assert_eq!(health.cut_off(probe, probe, |n| PAUSE * n), Turn::None);
        assert_eq!(health, Health::CutOff { failures: 2, probe_at: probe + PAUSE * 2 });
        let probe = health.probe_at().unwrap();
        let mut fails = health;
        assert_eq!(fails.failed(probe, probe, |n| PAUSE * n), Turn::Failing);
        assert_eq!(fails, Health::Failing { failures: 1, probe_at: probe + PAUSE });
        assert_eq!(health.answered(8), Turn::Answers);
        assert_eq!(health, Health::Recovering { window: 1 });
    }

    #[test]
    fn each_answer_doubles_what_a_recovering_endpoint_gets() {
        let start = Instant::now();
        for (concurrency, windows) in
            [(8, &[1, 2, 4][..]), (5, &[1, 2, 4]), (1, &[1]), (2, &[1]), (3, &[1, 2])]
        {
            let mut health = Health::Failing { failures: 9, probe_at: start };
            assert_eq!(health.answered(concurrency), Turn::Answers);
            for window in windows {
                assert_eq!(health, Health::Recovering { window: *window });
                assert_eq!(health.room(concurrency, 0, start), *window);
                assert_eq!(health.answered(concurrency), Turn::None);
            }
            assert_eq!(health, Health::Healthy, "{concurrency}");
        }
    }

    #[test]
    fn a_recovering_endpoint_that_fails_starts_over() {
        let start = Instant::now();
        let mut health = Health::Recovering { window: 4 };
        assert_eq!(health.failed(start, start, |n| PAUSE * n), Turn::Failing);
        assert_eq!(health, Health::Failing { failures: 1, probe_at: start + PAUSE });
    }

    #[test]
    fn an_endpoint_that_is_gone_stays_off() {
        let start = Instant::now();
        let mut health = Health::Healthy;
        assert_eq!(health.gone(), Turn::Off);
        assert_eq!(health.gone(), Turn::None);
        assert_eq!(health.answered(8), Turn::None);
        assert_eq!(health.failed(start, start, |_| PAUSE), Turn::None);
        assert_eq!((health, health.room(8, 0, start)), (Health::Off, 0));
    }
}
