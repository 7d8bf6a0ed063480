use std::thread;
use std::time::Duration;
use std::time::Instant;

/// How long a state may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until nothing is left, for as long as it becomes less.
#[track_caller]
pub(crate) fn until_none(what: &str, mut left: impl FnMut() -> i64) {
    let mut least = i64::MAX;
    loop {
        let now = until(&format!("{what}: less than {least}"), || {
            let now = left();
            (now < least).then_some(now)
        });
        if now == 0 {
            return;
        }
        least = now;
    }
}

/// Looks again and again until there is something to see, and says what it waited for if there never is.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(5));
    }
}
