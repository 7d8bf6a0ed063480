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
    large: Vec<Box<[u8]>>,
    small: Vec<Box<[u8]>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    pool: Pool,
}

/// Bytes of one buffer, while few are lent.
pub(super) const SIZE: usize = 256 << 10;
/// Bytes of one buffer in a crowd: there the sum counts, and who waits for its turn needs no more.
const SMALL: usize = 64 << 10;
/// So many large ones may be lent at once.
const LARGE: usize = 8;
/// The most that are lent at once. Whoever gets none does without.
const LENT: usize = 64;
/// The most of each size that are kept for later.
const KEPT: usize = 4;

impl Pool {
    pub(super) fn take(&self) -> Option<Buffer> {
        let mut shelf = self.lock();
        if shelf.lent == LENT {
            return None;
        }
        shelf.lent += 1;
        let (bytes, size) = match shelf.lent <= LARGE {
            true => (shelf.large.pop(), SIZE),
            false => (shelf.small.pop(), SMALL),
        };
        drop(shelf);
        let bytes = bytes.unwrap_or_else(|| vec![0; size].into_boxed_slice());
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
        let bytes = std::mem::take(&mut self.bytes);
        let free = if bytes.len() == SIZE { &mut shelf.large } else { &mut shelf.small };
        if free.len() < KEPT {
            free.push(bytes);
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
        let (large, small) = lent.split_at(LARGE);
        assert!(large.iter().all(|buffer| buffer.len() == SIZE));
        assert!(small.iter().all(|buffer| buffer.len() == SMALL));
        drop(lent);
        assert_eq!(pool.lent(), 0);
        let shelf = pool.lock();
        assert_eq!((shelf.large.len(), shelf.small.len()), (KEPT, KEPT));
        drop(shelf);
        assert!(pool.take().is_some());
    }
}
