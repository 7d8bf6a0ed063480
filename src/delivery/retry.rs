//! What an attempt's end means, and when to try again. Pure: time and chance are arguments.
//!
//! | end | verdict | next |
//! |---|---|---|
//! | 2xx | taken | acked |
//! | 3xx, 408, 425, 429, 5xx, no answer | unavailable | 5 s, 30 s, 2 min, 5 min, then every 5 min |
//! | the proxy on the way failed | no way | the same, and held against nobody |
//! | 401, 403, 404, 405 | misdirected | the same, but at least 1 min |
//! | 410 | gone | after a restart: the endpoint is switched off |
//! | any other 4xx | refused | 5 attempts over about an hour, then dead |
//! | a known receiver that does not want it, see `answers` | rejected | dead |
//!
//! Each pause varies by 20 % up or down. `Retry-After` takes the place of the schedule, between one
//! second and one hour. What an endpoint failed is never held against the event; what is owed for too long
//! the outbox ends by itself.

use std::time::Duration;

use http::HeaderValue;
use http::StatusCode;
use time::Date;
use time::Month;
use time::OffsetDateTime;
use time::Time;

use crate::outbox::Class;
use crate::outbox::DeadReason;
use crate::outbox::Next;

/// No delivery is ever due later than this from now; one that is was recorded before the clock was
/// set back.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(75 * 60);

/// The pauses after an endpoint's first, second, … failure; the last one repeats.
const ENDPOINT_PAUSES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
];

/// The pauses after an event's first, second, … refusal; after one more it is dead.
const EVENT_PAUSES: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(4 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(40 * 60),
];

/// The least pause where our own settings are likely wrong: asking faster does not mend them.
const SLOW_PAUSE: Duration = Duration::from_secs(60);

const LEAST_RETRY_AFTER: Duration = Duration::from_secs(1);
const MOST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// How long after the endpoint's next probe the event that just failed is due itself. If another
/// one is owed, that one becomes the probe: a single event that makes its receiver fail cannot keep
/// the endpoint failing for ever.
const HAND_OVER: Duration = Duration::from_millis(100);

/// What the end of an attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Taken,
    /// The endpoint does not work now; the event is not to blame.
    Unavailable,
    /// The proxy between us and the endpoint does not work: nothing is known of the endpoint.
    NoWay,
    /// The endpoint does not know us or the address: likely our settings.
    Misdirected,
    /// The endpoint says it is no more.
    Gone,
    /// The receiver does not want this event.
    Refused,
    /// The same, and we know that it never will.
    Rejected,
}

/// What is known of a delivery when an attempt of it ends.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// How many attempts there were, with this one.
    pub attempts: u32,
    /// How many of those before this one ended in [`Class::Event`].
    pub event_failures: u32,
}

impl Verdict {
    /// The verdict of a status. A status that is none of HTTP's is an endpoint that does not work.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Taken,
            401 | 403 | 404 | 405 => Self::Misdirected,
            410 => Self::Gone,
            408 | 425 | 429 => Self::Unavailable,
            400..=499 => Self::Refused,
            _ => Self::Unavailable,
        }
    }

    /// The class that is recorded.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Taken => Class::Taken,
            // Recorded as not the event's; the words say whose it is.
            Self::Unavailable | Self::NoWay | Self::Misdirected | Self::Gone => Class::Endpoint,
            Self::Refused | Self::Rejected => Class::Event,
        }
    }

    /// The word for it in the metric of attempts.
    #[must_use]
    pub fn outcome(self) -> &'static str {
        match self {
            Self::NoWay => "proxy",
            other => other.class().as_str(),
        }
    }
}

/// How long an endpoint is left alone after its `failures`-th failure in a row, one being the first.
/// `random` is between 0 and 1.
#[must_use]
pub fn endpoint_pause(
    verdict: Verdict,
    failures: u32,
    retry_after: Option<Duration>,
    random: f64,
) -> Duration {
    let pause = match retry_after {
        // Never earlier than asked for.
        Some(asked) => asked.mul_f64(0.2f64.mul_add(random, 1.0)),
        None => vary(step(&ENDPOINT_PAUSES, failures), random),
    };
    if verdict == Verdict::Misdirected { pause.max(SLOW_PAUSE) } else { pause }
}

/// What becomes of a delivery whose attempt ended at `now`.
///
/// `endpoint_pause` is how long the endpoint is left alone from now on; the delivery is never due
/// before that. `random` is between 0 and 1.
#[must_use]
pub fn next(
    verdict: Verdict,
    past: Past,
    left_alone: Duration,
    retry_after: Option<Duration>,
    now: OffsetDateTime,
    random: f64,
) -> Next {
    let due = |pause: Duration| Next::Due(after(now, pause));
    match verdict {
        Verdict::Taken => Next::Acked,
        Verdict::Rejected => Next::Dead(DeadReason::Refused),
        Verdict::Refused => {
            let refusals = past.event_failures.saturating_add(1);
            if usize::try_from(refusals).is_ok_and(|n| n <= EVENT_PAUSES.len()) {
                let pause = vary(step(&EVENT_PAUSES, refusals), random);
                due(pause.max(retry_after.unwrap_or_default()))
            } else {
                Next::Dead(DeadReason::Refused)
            }
        }
        // Not by its own count: the proxy does not know one event from another.
        Verdict::NoWay => due(left_alone + HAND_OVER),
        // By its own count too: an event at which its receiver always fails comes back ever more
        // rarely, also while the endpoint takes the others.
        Verdict::Unavailable | Verdict::Misdirected | Verdict::Gone => {
            let failures = past.attempts.saturating_sub(past.event_failures);
            let own = endpoint_pause(verdict, failures, retry_after, random);
            due(own.max(left_alone) + HAND_OVER)
        }
    }
}

/// Reads `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3), cut to what we honour. What is
/// neither counts as not there.
#[must_use]
pub fn retry_after(value: &HeaderValue, now: OffsetDateTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let asked = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number holds is a long time, too.
        text.parse().map_or(MOST_RETRY_AFTER, Duration::from_secs)
    } else {
        Duration::try_from(http_date(text)? - now).unwrap_or_default()
    };
    Some(asked.clamp(LEAST_RETRY_AFTER, MOST_RETRY_AFTER))
}

/// Reads the three forms of a date that RFC 9110 §5.6.7 wants understood. They differ in order and
/// separators only, so the words are enough:
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
fn http_date(text: &str) -> Option<OffsetDateTime> {
    let words: Vec<&str> = text.split([' ', ',', '-', ':']).filter(|w| !w.is_empty()).collect();
    let (day, month, year, hour, minute, second) = match *words.as_slice() {
        [_, d, mon, y, h, m, s, "GMT"] => (d, mon, y, h, m, s),
        [_, mon, d, h, m, s, y] => (d, mon, y, h, m, s),
        _ => return None,
    };
    // Two digits mean this century: who asks to be left alone does not speak of the last one.
    let century = if year.len() == 2 { 2000 } else { 0 };
    let year = century + i32::from(year.parse::<u16>().ok()?);
    let date = Date::from_calendar_date(year, named_month(month)?, day.parse().ok()?).ok()?;
    // A leap second is the end of its minute.
    let second = second.parse::<u8>().ok()?.min(59);
    let time = Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, second).ok()?;
    Some(date.with_time(time).assume_utc())
}

fn named_month(name: &str) -> Option<Month> {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let place = NAMES.iter().position(|n| *n == name)?;
    Month::try_from(u8::try_from(place + 1).ok()?).ok()
}

/// `now` and a pause, in whole milliseconds: as the outbox keeps it, and never after a timer of the
/// same length has rung.
fn after(now: OffsetDateTime, pause: Duration) -> OffsetDateTime {
    let pause = time::Duration::try_from(pause).unwrap_or(time::Duration::MAX);
    let due = now.saturating_add(pause);
    due.replace_millisecond(due.millisecond()).unwrap_or(due)
}

/// The pause after the `nth` failure, one being the first; the last one repeats.
fn step(pauses: &[Duration], nth: u32) -> Duration {
    let place = usize::try_from(nth.saturating_sub(1)).unwrap_or(usize::MAX);
    pauses.get(place).or(pauses.last()).copied().unwrap_or_default()
}

/// 20 % up or down, so that what failed together does not come back together.
fn vary(pause: Duration, random: f64) -> Duration {
    pause.mul_f64(0.4f64.mul_add(random.clamp(0.0, 1.0), 0.8))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 09:15:02.123 UTC);

    fn past(attempts: u32, event_failures: u32) -> Past {
        Past { attempts, event_failures }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// How long from now a delivery is due, to the second.
    fn due_in(next: Next) -> u64 {
        match next {
            Next::Due(due) => (due - NOW).whole_seconds().try_into().unwrap(),
            other => panic!("not due: {other:?}"),
        }
    }

    #[test]
    fn a_status_has_one_verdict() {
        for (statuses, verdict) in [
            (&[200, 201, 202, 204, 299][..], Verdict::Taken),
            (&[300, 301, 302, 304, 307, 308], Verdict::Unavailable),
            (&[408, 425, 429, 500, 501, 502, 503, 504, 599, 101, 600, 999], Verdict::Unavailable),
            (&[401, 403, 404, 405], Verdict::Misdirected),
            (&[410], Verdict::Gone),
            (&[400, 402, 406, 409, 413, 415, 418, 421, 422, 451, 499], Verdict::Refused),
        ] {
            for status in statuses {
                let status = StatusCode::from_u16(*status).unwrap();
                assert_eq!(Verdict::of(status), verdict, "{status}");
            }
        }
    }

    #[test]
    fn an_endpoint_is_left_alone_for_longer_with_each_failure() {
        let pause = |failures| endpoint_pause(Verdict::Unavailable, failures, None, 0.5);
        let pauses: Vec<u64> = (0..=6).map(|n| pause(n).as_secs()).collect();
        assert_eq!(pauses, [5, 5, 30, 120, 300, 300, 300]);
        assert_eq!(pause(u32::MAX).as_secs(), 300);
        let at = |random| endpoint_pause(Verdict::Unavailable, 4, None, random).as_secs();
        assert_eq!((at(0.0), at(1.0)), (240, 360));
        let slow = |failures| endpoint_pause(Verdict::Misdirected, failures, None, 0.0).as_secs();
        assert_eq!((slow(1), slow(2), slow(3), slow(4)), (60, 60, 96, 240));
    }

    #[test]
    fn what_the_receiver_asks_for_takes_the_place_of_the_schedule() {
        let pause = |verdict, random| endpoint_pause(verdict, 9, Some(seconds(10)), random);
        assert_eq!(pause(Verdict::Unavailable, 0.0), seconds(10));
        assert_eq!(pause(Verdict::Unavailable, 1.0), seconds(12));
        assert_eq!(pause(Verdict::Misdirected, 0.0), seconds(60));
    }

    #[test]
    fn endpoint_failures_never_use_an_event_up() {
        for attempts in [1, 2, 50, 2000, u32::MAX] {
            for verdict in [Verdict::Unavailable, Verdict::Misdirected, Verdict::Gone] {
                let next = next(verdict, past(attempts, 0), seconds(0), None, NOW, 0.5);
                assert!(matches!(next, Next::Due(_)), "{attempts} {verdict:?} {next:?}");
            }
        }
    }

    #[test]
    fn a_delivery_waits_for_the_endpoint_and_by_its_own_count() {
        let due = |attempts, failures, alone| {
            due_in(next(
                Verdict::Unavailable,
                past(attempts, failures),
                seconds(alone),
                None,
                NOW,
                0.5,
            ))
        };
        assert_eq!(due(1, 0, 5), 5);
        assert_eq!(due(1, 0, 300), 300);
        assert_eq!(due(4, 0, 5), 300);
        assert_eq!(due(4, 3, 5), 5, "refusals are counted apart");
    }

    #[test]
    fn an_event_that_makes_its_receiver_fail_is_not_due_at_the_next_probe() {
        for (failures, asked) in [(1, None), (4, None), (1, Some(seconds(1)))] {
            for random in [0.0, 0.3, 1.0] {
                let pause = endpoint_pause(Verdict::Unavailable, failures, asked, random);
                let past = past(failures, 0);
                let next = next(Verdict::Unavailable, past, pause, asked, NOW, random);
                assert!(matches!(next, Next::Due(due) if due > NOW + pause), "{failures}");
            }
        }
    }

    #[test]
    fn the_fifth_refusal_is_the_last() {
        let refused = |failures, after| {
            next(Verdict::Refused, past(99, failures), seconds(0), after, NOW, 0.5)
        };
        let pauses: Vec<u64> = (0..4).map(|n| due_in(refused(n, None))).collect();
        assert_eq!(pauses, [60, 240, 900, 2400]);
        assert_eq!(due_in(refused(0, Some(seconds(600)))), 600);
        for failures in [4, 5, u32::MAX] {
            assert_eq!(refused(failures, None), Next::Dead(DeadReason::Refused));
        }
    }

    #[test]
    fn no_pause_is_longer_than_the_longest() {
        for verdict in [Verdict::Unavailable, Verdict::Misdirected, Verdict::Gone, Verdict::Refused]
        {
            let alone = endpoint_pause(verdict, 99, Some(MOST_RETRY_AFTER), 1.0);
            for failures in 0..4 {
                let next =
                    next(verdict, past(99, failures), alone, Some(MOST_RETRY_AFTER), NOW, 1.0);
                assert!(due_in(next) < LONGEST_PAUSE.as_secs());
            }
        }
    }

    #[test]
    fn a_due_time_has_whole_milliseconds() {
        let now = NOW + Duration::from_nanos(456_789);
        assert_eq!(after(now, seconds(5)), NOW + seconds(5));
        assert!(after(NOW, Duration::MAX) > NOW);
    }

    #[test]
    fn retry_after_is_seconds_or_one_of_three_dates() {
        for (text, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("3600", Some(3600)),
            ("86400", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sun, 01 Mar 2026 09:16:02 GMT", Some(59)),
            ("Sunday, 01-Mar-26 09:16:02 GMT", Some(59)),
            ("Sun Mar  1 09:16:02 2026", Some(59)),
            ("Sun, 01 Mar 2026 09:15:60 GMT", Some(56)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(1)),
            ("Tue, 01 Jan 2999 00:00:00 GMT", Some(3600)),
            ("Sun, 31 Feb 2026 09:16:02 GMT", None),
            ("Sun, 01 Mar 2026 09:16:02 CET", None),
            ("Sun, 01 Mär 2026 09:16:02 GMT", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let value = HeaderValue::from_str(text)
                .unwrap_or_else(|_| HeaderValue::from_bytes(text.as_bytes()).unwrap());
            let read = retry_after(&value, NOW).map(|d| d.as_secs());
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
