//! A number of bytes that several together may take, and no more.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// How many bytes may still be taken.
#[derive(Debug, Clone)]
pub struct Budget(Arc<AtomicUsize>);

/// A part of the budget; it goes back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// So many bytes, none taken.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Nothing of it yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// What it has of the budget.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more of the budget, or nothing if there is not enough left.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        let had = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if had {
            self.bytes += bytes;
        }
        had
    }

    /// Gives so much of it back, or all that it has.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(10);
        let mut first = budget.share();
        let mut second = budget.share();
        assert!(first.grow(6));
        assert!(!second.grow(5));
        assert!(second.grow(4));
        drop(first);
        assert!(second.grow(6));
        assert!(!second.grow(1));
        second.shrink(3);
        assert_eq!(second.bytes(), 7);
        assert!(budget.share().grow(3));
    }
}
