use std::io;

use super::Address;

/// A listener that could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, not ours, or needs rights we do not have.
    #[error("could not listen on {address}")]
    Bind {
        /// The address asked for.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
}
