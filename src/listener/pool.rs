use std::ops::Deref;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Buffers that all connections share: a connection has one only while there is something in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    lent: usize,
    free: Vec<Box<[u8]>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    pool: Pool,
}

/// Bytes of one buffer.
pub(super) const SIZE: usize = 256 << 10;
/// The most that are lent at once. Whoever gets none does without.
const LENT: usize = 64;
/// The most that are kept for later.
const KEPT: usize = 4;

impl Pool {
    pub(super) fn take(&self) -> Option<Buffer> {
        let mut shelf = self.lock();
        if shelf.lent == LENT {
            return None;
        }
        shelf.lent += 1;
        let bytes = shelf.free.pop();
        drop(shelf);
        let bytes = bytes.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
        Some(Buffer { bytes, pool: self.clone() })
    }

    #[cfg(test)]
    pub(super) fn lent(&self) -> usize {
        self.lock().lent
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Nothing that is done while it is held can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut shelf = self.pool.lock();
        shelf.lent -= 1;
        if shelf.free.len() < KEPT {
            let bytes = std::mem::take(&mut self.bytes);
            shelf.free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_lent_than_there_may_be_and_little_is_kept() {
        let pool = Pool::default();
        let lent: Vec<Buffer> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(lent.len(), LENT);
        assert!(lent.iter().all(|buffer| buffer.len() == SIZE));
        drop(lent);
        assert_eq!(pool.lent(), 0);
        assert_eq!(pool.lock().free.len(), KEPT);
        assert!(pool.take().is_some());
    }
}
