use std::fs::File;
use std::io;

/// A descriptor in hand, for the moment in which there is none left.
///
/// A connection that cannot be accepted stays in the kernel's queue, where its client waits for what never
/// comes. Given up for a moment, the spare one is enough to accept the connection and to close it.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

/// It opens everywhere, and does nothing.
const NOTHING: &str = "/dev/null";

impl Spare {
    pub(super) fn new() -> Self {
        Self(File::open(NOTHING).ok())
    }

    /// Whether this error means that the process, or the system, has no descriptor left.
    pub(super) fn is_wanted(error: &io::Error) -> bool {
        let code = error.raw_os_error();
        code == Some(nix::libc::EMFILE) || code == Some(nix::libc::ENFILE)
    }

    /// Gives it up. What is accepted next has to be closed before [`Spare::take`].
    pub(super) fn give(&mut self) {
        self.0 = None;
    }

    /// Takes one again, if there is one.
    pub(super) fn take(&mut self) {
        if self.0.is_none() {
            self.0 = File::open(NOTHING).ok();
        }
    }
}
