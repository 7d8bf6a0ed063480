use crate::budget::Budget;
use crate::budget::Share;

/// How much clients may send over HTTP/2 before we have taken what they sent (RFC 9113 §5.2).
///
/// An upload moves no more than a window per round trip, so a window must be large where a client is far
/// away; but it is a promise of memory, kept whenever the registry takes less than the client sends. The
/// first connections get large windows, as long as their sum stays inside the budget; further ones get
/// smaller ones, until others have ended. hyper cannot change a connection's windows later.
#[derive(Debug, Clone)]
pub(super) struct Windows(Budget);

/// The windows of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Window {
    /// Bytes of one stream.
    pub(super) stream: u32,
    /// Bytes of all streams together; the promise is this.
    pub(super) connection: u32,
    _share: Share,
}

/// Stream and connection, the largest first; MiB.
const SIZES: [(u32, u32); 2] = [(16, 64), (4, 16)];
/// What every connection gets.
const LEAST: (u32, u32) = (1, 4);

impl Windows {
    /// Connections promise so much together, those apart that have the least.
    pub(super) fn new(memory: usize) -> Self {
        Self(Budget::new(memory))
    }

    /// For a new connection.
    pub(super) fn open(&self) -> Window {
        let mut share = self.0.share();
        let mut inside = |(_, connection): &(u32, u32)| share.grow((*connection as usize) << 20);
        let (stream, connection) = SIZES.into_iter().find(&mut inside).unwrap_or_else(|| {
            // Where even this is too much, it is too much for all: there is a limit to connections, too.
            inside(&LEAST);
            LEAST
        });
        Window { stream: stream << 20, connection: connection << 20, _share: share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_large_and_the_sum_stays_inside() {
        let windows = Windows::new(150 << 20);
        let open = |n: usize| (0..n).map(|_| windows.open()).collect::<Vec<_>>();
        let mib = |open: &[Window]| open.iter().map(|w| w.connection >> 20).collect::<Vec<_>>();
        let mut opened = open(6);
        assert_eq!(mib(&opened), [64, 64, 16, 4, 4, 4]);
        assert_eq!(opened.iter().map(|w| w.stream >> 20).collect::<Vec<_>>(), [16, 16, 4, 1, 1, 1]);
        // All but the last are inside: 64 + 64 + 16 + 4 of 150.
        opened.drain(..1);
        assert_eq!(mib(&open(3)), [64, 4, 4]);
        drop(opened);
        assert_eq!(mib(&open(3)), [64, 64, 16]);
    }

    #[test]
    fn without_a_budget_everybody_has_the_least() {
        let window = Windows::new(0).open();
        assert_eq!((window.stream, window.connection), (1 << 20, 4 << 20));
    }
}
