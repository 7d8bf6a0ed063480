//! What is measured: one file per scene.

pub(crate) mod handshakes;
pub(crate) mod manifests;
pub(crate) mod memory;
pub(crate) mod push;
pub(crate) mod requests;
pub(crate) mod start;
pub(crate) mod transfer;
