//! Pushbell: a TLS-terminating sidecar in front of a container registry that turns every push into a
//! durable, signed webhook.

pub mod body;
pub mod registry;
pub mod secret;
pub mod tasks;
pub mod telemetry;

pub mod certs;
pub mod event;
pub mod shutdown;

pub mod connect;
pub mod listener;
pub mod outbox;

pub mod delivery;
pub mod ingest;
pub mod proxy;

pub mod admin;

pub mod config;

pub mod app;

pub mod cli;
