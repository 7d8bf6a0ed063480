use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::mem::take;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::registry::RepositoryName;
use crate::registry::Tag;

/// Tags of which the outbox surely remembers something, because we have put it there since we started.
///
/// A push that moves such a tag needs neither to ask the outbox nor to look. What is missing here may be
/// known all the same; what is here by the accident of equal hashes, one in 2^48 with a key nobody knows,
/// costs an event its `change`.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownTags(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    key: RandomState,
    tags: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

/// Tags of one generation. Those that were pushed longest ago are forgotten with theirs.
const GENERATION: usize = 1 << 15;

impl KnownTags {
    pub(super) fn contain(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        let hash = self.hash(repository, tag);
        let tags = self.lock();
        tags.young.contains(&hash) || tags.old.contains(&hash)
    }

    pub(super) fn add(&self, repository: &RepositoryName, tag: &Tag) {
        let hash = self.hash(repository, tag);
        let mut tags = self.lock();
        if tags.young.len() == GENERATION {
            tags.old = take(&mut tags.young);
        }
        tags.young.insert(hash);
    }

    pub(super) fn remove(&self, repository: &RepositoryName, tag: &Tag) {
        let hash = self.hash(repository, tag);
        let mut tags = self.lock();
        tags.young.remove(&hash);
        tags.old.remove(&hash);
    }

    fn hash(&self, repository: &RepositoryName, tag: &Tag) -> u64 {
        self.0.key.hash_one((repository.as_str(), tag.as_str()))
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Whoever panicked while holding it left two sets, which are fine as they are.
        self.0.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_until_two_generations_came_after_it() {
        let known = KnownTags::default();
        let repository: RepositoryName = "team/app".parse().unwrap();
        let tag = |n: usize| -> Tag { format!("v{n}").parse().unwrap() };
        assert!(!known.contain(&repository, &tag(0)));
        for n in 0..2 * GENERATION {
            known.add(&repository, &tag(n));
        }
        assert!(known.contain(&repository, &tag(0)));
        assert!(!known.contain(&"team/other".parse().unwrap(), &tag(0)));
        known.add(&repository, &tag(2 * GENERATION));
        assert!(!known.contain(&repository, &tag(0)));
        assert!(known.contain(&repository, &tag(GENERATION)));
        known.remove(&repository, &tag(GENERATION));
        assert!(!known.contain(&repository, &tag(GENERATION)));
    }
}
