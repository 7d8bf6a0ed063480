use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// Something that is worth a word, but not each time.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

/// How long it stays unsaid.
const SILENCE: Duration = Duration::from_secs(10);

impl Seldom {
    /// Whether it is time for a word; if so, how often nothing was said since the last.
    pub(super) fn due(&self) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match said.as_mut().filter(|said| said.at.elapsed() < SILENCE) {
            Some(said) => {
                said.unsaid += 1;
                None
            }
            None => {
                let unsaid = said.as_ref().map_or(0, |said| said.unsaid);
                *said = Some(Said { at: Instant::now(), unsaid: 0 });
                Some(unsaid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_thing_is_one_line() {
        let seldom = Seldom::default();
        assert_eq!(seldom.due(), Some(0));
        assert!((0..1000).all(|_| seldom.due().is_none()));
    }
}
