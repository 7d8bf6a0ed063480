//! When to do what; pure. Moments are of the wall clock, because they outlive the process.

use std::time::Duration;

use time::OffsetDateTime;

use crate::certs::Identity;

use super::error::Error;
use super::state::Saved;

pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// After a failure that is nobody's fault for long.
const MINUTE: Duration = Duration::from_secs(60);

/// From the beginning of an attempt in which we died to the next, which goes on with its order.
const AFTER_DEATH: Duration = Duration::from_secs(10);

/// When the next certificate has to be ordered.
pub(super) fn due(
    saved: &Saved,
    current: Option<&Identity>,
    now: OffsetDateTime,
) -> OffsetDateTime {
    let wanted = match current {
        None => now,
        Some(current) => moment(saved.renew_at).unwrap_or_else(|| current.renew_at()),
    };
    // A clock that went back must not lock us out for longer than the longest wait.
    let not_before = moment(saved.not_before).map(|at| at.min(now + DAY));
    not_before.map_or(wanted, |at| at.max(wanted))
}

/// When the CA is asked next for when it wants us to renew.
pub(super) fn ask(saved: &Saved, now: OffsetDateTime) -> OffsetDateTime {
    moment(saved.ask_at).map_or(now, |at| at.min(now + DAY))
}

/// When to ask again where the CA says how long its answer holds.
pub(super) fn ask_again(now: OffsetDateTime, said: Duration) -> OffsetDateTime {
    now + said.clamp(HOUR, DAY)
}

/// The earliest moment of another attempt, while one is under way.
pub(super) fn after_attempt(now: OffsetDateTime) -> OffsetDateTime {
    now + AFTER_DEATH
}

/// How long to wait after so many failures in a row, this one included.
pub(super) fn pause(why: &Error, failures: u32) -> Duration {
    let doubled = |first: Duration, most: Duration| {
        let times = 2_u32.saturating_pow(failures.saturating_sub(1));
        first.saturating_mul(times).min(most)
    };
    match why {
        Error::Unreachable { .. }
        | Error::Unable { .. }
        | Error::Unfinished
        | Error::Keep { .. } => doubled(MINUTE, HOUR),
        Error::Limited { wait, .. } => doubled(HOUR, DAY).max(wait.unwrap_or_default().min(DAY)),
        Error::Refused { .. }
        | Error::NotValidated { .. }
        | Error::NoChallenge { .. }
        | Error::Foreign { .. }
        | Error::Unusable { .. } => doubled(HOUR, DAY),
    }
}

/// A moment in the window that a CA suggests: `chance` is from 0 to 1 (RFC 9773 §4.2).
pub(super) fn within(start: OffsetDateTime, end: OffsetDateTime, chance: f64) -> OffsetDateTime {
    let length = (end - start).max(time::Duration::ZERO);
    start + length * chance.clamp(0.0, 1.0)
}

/// The last moment to renew that leaves time for failures, whatever a CA suggests.
pub(super) fn latest(current: &Identity) -> OffsetDateTime {
    current.not_after() - (current.not_after() - current.not_before()) / 10
}

fn moment(seconds: Option<i64>) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds?).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn hours(pauses: impl Iterator<Item = Duration>) -> Vec<f64> {
        pauses.map(|pause| pause.as_secs_f64() / 3600.0).collect()
    }

    #[test]
    fn a_failed_validation_waits_an_hour_and_doubles_to_a_day() {
        let why = Error::NotValidated { detail: String::new() };
        let pauses = hours((1..9).map(|failures| pause(&why, failures)));
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 24.0, 24.0]);
        assert_eq!(pause(&why, u32::MAX), DAY);
        let why = Error::Unreachable { detail: String::new() };
        let pauses: Vec<u64> =
            (1..9).map(|failures| pause(&why, failures).as_secs() / 60).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        let limited = |seconds| Error::Limited {
            detail: String::new(),
            wait: Some(Duration::from_secs(seconds)),
        };
        assert_eq!(pause(&limited(7200), 1), 2 * HOUR);
        assert_eq!(pause(&limited(10), 1), HOUR);
        assert_eq!(pause(&limited(u64::MAX), 1), DAY);
    }

    #[test]
    fn a_failure_that_was_saved_holds_and_a_clock_that_went_back_does_not() {
        let now = datetime!(2026-03-01 09:00 UTC);
        let at = |at: OffsetDateTime| Saved {
            not_before: Some(at.unix_timestamp()),
            ..Saved::default()
        };
        assert_eq!(due(&Saved::default(), None, now), now);
        assert_eq!(due(&at(now + HOUR), None, now), now + HOUR);
        assert_eq!(due(&at(now - HOUR), None, now), now);
        assert_eq!(due(&at(now + 1000 * DAY), None, now), now + DAY);
    }

    #[test]
    fn a_suggested_window_is_used_from_end_to_end() {
        let (start, end) = (datetime!(2026-03-01 00:00 UTC), datetime!(2026-03-03 00:00 UTC));
        for (chance, expected) in
            [(0.0, start), (0.5, datetime!(2026-03-02 00:00 UTC)), (1.0, end), (f64::INFINITY, end)]
        {
            assert_eq!(within(start, end, chance), expected, "{chance}");
        }
        assert_eq!(within(end, start, 0.5), end, "a window that ends before it starts");
        let now = start;
        assert_eq!(ask_again(now, Duration::ZERO), now + HOUR);
        assert_eq!(ask_again(now, 30 * DAY), now + DAY);
    }
}
