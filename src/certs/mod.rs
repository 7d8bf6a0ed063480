//! Identities for listeners, trust for connectors, and the local CA that makes both out of nothing.
//!
//! What is read here is checked whole before it is used: a chain that parses, a key that belongs to
//! it and that only its owner can read, dates that include now. The time is always an argument. What
//! this part never does: fetch anything, wait, or give away a private key. The CA's key is read from
//! its file for the one signature it is needed for, and wiped.

mod challenge;
mod client;
mod constraints;
mod error;
mod identity;
mod metrics;
mod mint;
mod pem;
mod reload;
mod request;
mod roots;
mod server;
pub mod show;
mod signer;
mod standing;
mod store;
mod template;
pub mod trust;
mod verify;
mod words;
mod x509;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use self::challenge::Challenges;
pub use self::client::ClientIdentity;
pub use self::client::ClientTls;
pub use self::error::Error;
pub use self::error::Section;
pub use self::identity::Identity;
pub use self::identity::Lifetime;
pub use self::identity::Purpose;
pub use self::identity::covers;
pub use self::metrics::Metrics;
pub use self::mint::CaKey;
pub use self::mint::LocalCa;
pub use self::mint::Opened;
pub use self::reload::Asked;
pub use self::reload::Found;
pub use self::reload::Wanted;
pub use self::reload::Watched;
pub use self::reload::WatchedTrust;
pub use self::request::Request;
pub use self::roots::Trust;
pub use self::server::ServerIdentities;
pub use self::server::server_config;
pub use self::standing::Standing;
pub use self::store::Locked;
pub use self::store::Readers;
pub use self::verify::Untrusted;
pub use self::words::date;
pub use self::words::list_names;
pub use self::words::printable;

/// The one crypto provider: aws-lc-rs, with post-quantum key exchange first.
///
/// It is handed to every configuration explicitly, since rustls panics when it has to choose.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
