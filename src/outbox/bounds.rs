//! How much is kept, and for how long (delivery guarantees, 6.3).

use std::time::Duration;

/// What happens at each of them is in `retention`, `expiry` and `room`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most deliveries owed to one endpoint; beyond it the oldest become dead letters.
    pub max_owed: u64,
    /// How long a delivery is owed; then it becomes a dead letter.
    pub max_age: Duration,
    /// How long an event is kept after the last of its deliveries was taken or replaced.
    pub keep_history: Duration,
    /// How long a dead letter is kept; then it is a number.
    pub keep_dead: Duration,
    /// How many attempts of a delivery are kept; older ones are counted only.
    pub keep_attempts: u32,
    /// How much of the disk all of it takes, the log and the reserve included.
    pub max_disk_bytes: u64,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_owed: 1_000_000,
            max_age: DAY * 7,
            keep_history: DAY * 30,
            keep_dead: DAY * 30,
            keep_attempts: 20,
            max_disk_bytes: 2 << 30,
        }
    }
}
