//! Which manifests are on their way to one tag at the same time (rule O3).
//!
//! The registry may link two such in either order, and its answers do not say in which. An exchange is under way
//! from the moment its last frame may go until its answer is here; where there is no answer that says how it ended,
//! until that is settled.

use std::collections::HashMap;
use std::collections::hash_map;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::outbox::Intent;
use crate::registry::RepositoryName;
use crate::registry::Tag;

/// All that are under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlaps(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tags: Mutex<HashMap<Key, Vec<Entry>>>,
    number: AtomicU64,
    /// Says that one was answered.
    answered: Notify,
}

type Key = (RepositoryName, Tag);

#[derive(Debug)]
struct Entry {
    number: u64,
    met: Arc<AtomicBool>,
    /// It has its answer, but how it ended is not known.
    answered: bool,
}

/// One of them; it is under way until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    overlaps: Overlaps,
    number: u64,
    tags: Vec<(Key, Arc<AtomicBool>)>,
}

impl Overlaps {
    /// From now on this one is under way, and whoever is already has met it.
    pub(super) fn enter(&self, intent: &Intent) -> UnderWay {
        self.enter_among(&mut self.lock(), keys(intent))
    }

    /// The same once no other is that waits for an answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, it never was under way.
    pub(super) async fn enter_alone(&self, intent: &Intent) -> UnderWay {
        let keys = keys(intent);
        loop {
            let mut answered = pin!(self.0.answered.notified());
            answered.as_mut().enable();
            {
                let mut tags = self.lock();
                let waits = |key: &Key| {
                    tags.get(key).is_some_and(|entries| entries.iter().any(|entry| !entry.answered))
                };
                if !keys.iter().any(waits) {
                    return self.enter_among(&mut tags, keys);
                }
            }
            answered.await;
        }
    }

    fn enter_among(&self, tags: &mut HashMap<Key, Vec<Entry>>, keys: Vec<Key>) -> UnderWay {
        let number = self.0.number.fetch_add(1, Ordering::Relaxed);
        let enter = |key: Key| {
            let entries = tags.entry(key.clone()).or_default();
            let met = Arc::new(AtomicBool::new(!entries.is_empty()));
            entries.iter().for_each(|entry| entry.met.store(true, Ordering::SeqCst));
            entries.push(Entry { number, met: Arc::clone(&met), answered: false });
            (key, met)
        };
        let tags = keys.into_iter().map(enter).collect();
        UnderWay { overlaps: self.clone(), number, tags }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Entry>>> {
        // A map is a map even if somebody panicked while holding it.
        self.0.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Its answer is here, and says how it ended: it is under way no more.
    pub(super) fn leave(&self) {
        let mut tags = self.overlaps.lock();
        for (key, _) in &self.tags {
            if let hash_map::Entry::Occupied(mut entries) = tags.entry(key.clone()) {
                entries.get_mut().retain(|entry| entry.number != self.number);
                if entries.get().is_empty() {
                    entries.remove();
                }
            }
        }
        drop(tags);
        self.overlaps.0.answered.notify_waiters();
    }

    /// It waits for no answer any more, and nobody knows yet how it ended.
    pub(super) fn answered(&self) {
        let mut tags = self.overlaps.lock();
        for (key, _) in &self.tags {
            let entries = tags.get_mut(key).into_iter().flatten();
            entries.filter(|entry| entry.number == self.number).for_each(|e| e.answered = true);
        }
        drop(tags);
        self.overlaps.0.answered.notify_waiters();
    }

    /// Whether another was under way to the tag at the same time.
    pub(super) fn has_met(&self, tag: Option<&Tag>) -> bool {
        self.tags.iter().any(|((_, key), met)| Some(key) == tag && met.load(Ordering::SeqCst))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The tags an exchange may move.
fn keys(intent: &Intent) -> Vec<Key> {
    let named = intent.event.tag.iter().chain(&intent.tags);
    let mut keys: Vec<Key> =
        named.map(|tag| (intent.event.repository.clone(), tag.clone())).collect();
    keys.sort_unstable_by(|a, b| a.1.as_str().cmp(b.1.as_str()));
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use crate::event::Event;
    use crate::event::EventId;
    use crate::event::IntentId;
    use crate::event::schema::tests::sample;

    use super::*;

    fn intent(tags: &[&str]) -> Intent {
        let id = IntentId::now();
        let event = Event { id: EventId::of(id, None), tag: None, ..sample() };
        Intent { id, event, tags: tags.iter().map(|tag| tag.parse().unwrap()).collect() }
    }

    fn tag(tag: &str) -> Tag {
        tag.parse().unwrap()
    }

    #[test]
    fn both_know_that_they_met_and_at_which_tag() {
        let overlaps = Overlaps::default();
        let first = overlaps.enter(&intent(&["a", "b"]));
        assert!(!first.has_met(Some(&tag("a"))));
        let second = overlaps.enter(&intent(&["b", "c"]));
        first.leave();
        let third = overlaps.enter(&intent(&["a", "c"]));
        for (one, met) in [(&first, "b"), (&second, "bc"), (&third, "c")] {
            for letter in ["a", "b", "c"] {
                assert_eq!(one.has_met(Some(&tag(letter))), met.contains(letter), "{letter} {met}");
            }
            assert!(!one.has_met(None));
        }
        drop((first, second, third));
        assert!(overlaps.lock().is_empty());
    }

    #[tokio::test]
    async fn who_wants_to_be_alone_waits_for_answers_but_not_for_what_is_settled_later() {
        let overlaps = Overlaps::default();
        let first = overlaps.enter(&intent(&["a"]));
        let alone = intent(&["a"]);
        let mut second = Box::pin(overlaps.enter_alone(&alone));
        assert!(futures_util::poll!(&mut second).is_pending());
        let elsewhere = intent(&["b"]);
        let mut other = Box::pin(overlaps.enter_alone(&elsewhere));
        assert!(futures_util::poll!(&mut other).is_ready());
        first.answered();
        let second = second.await;
        assert!(second.has_met(Some(&tag("a"))), "nobody knows how the first ended");
        drop(first);
        drop(second);
        assert!(!overlaps.enter_alone(&alone).await.has_met(Some(&tag("a"))));
    }
}
