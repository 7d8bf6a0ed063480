//! Which deliveries are somebody's at the moment: a worker's that attempts them, or the writer's that is about
//! to end them. Whoever has taken one, nobody else touches it until it is let go.
//!
//! Both sides look at the database from snapshots of different age, so a delivery is taken here first and looked
//! at again afterwards: what somebody ended meanwhile is then seen as ended, because it is let go only after
//! that was committed.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// By endpoint, the events taken.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<i64, HashSet<i64>>>);

impl Claims {
    /// Takes one, unless it is taken.
    pub(super) fn take(&self, endpoint: i64, event: i64) -> bool {
        self.lock().entry(endpoint).or_default().insert(event)
    }

    /// Lets go of these. Only after what ended them is committed.
    pub(super) fn release(&self, claims: impl IntoIterator<Item = (i64, i64)>) {
        let mut taken = self.lock();
        for (endpoint, event) in claims {
            if let Some(events) = taken.get_mut(&endpoint) {
                events.remove(&event);
            }
        }
    }

    /// Those of one endpoint at this moment.
    pub(super) fn of(&self, endpoint: i64) -> HashSet<i64> {
        self.lock().get(&endpoint).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, HashSet<i64>>> {
        // A set is a set even if somebody panicked while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
