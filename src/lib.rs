//! Pushbell: a TLS-terminating sidecar in front of a container registry that turns every push into a
//! durable, signed webhook.
//!
//! This is the tour for whoever changes it; whoever runs it reads `README.md`.
//!
//! # The way of a push
//!
//! 1. [`listener`] accepts a connection and gives it to a worker: a thread with a runtime of its own, where
//!    the connection stays with all that is done for it. There it does the TLS handshake and speaks HTTP/1.1
//!    or HTTP/2. Everything that is not the way of a push runs beside the workers.
//! 2. [`proxy`] passes every request on, streaming both ways. A manifest's `PUT` or `DELETE` runs on a
//!    tracked task that outlives the client; the manifest is read along and its last frame held until an
//!    intent is durable. Whoever dies after that, the registry is looked at afterwards, and what it applied
//!    becomes an event all the same.
//! 3. When the registry says yes, what was seen becomes an [`event`], the one model for all ways in. Its
//!    nouns (names, tags, digests, manifests) are in [`registry`].
//! 4. [`outbox`] makes the event durable, and decides in the same transaction what became of the tag and
//!    which endpoints are owed. Only then does the client hear of the success.
//! 5. [`delivery`] tells each endpoint, one worker each: the event in the endpoint's dialect, signed, again
//!    until it is taken.
//!
//! Beside that way: [`ingest`] reads the notifications that registries send, and [`pairing`] decides which of
//! them speak of what we saw ourselves; [`certs`] has the identities
//! of listeners and the trust of [`connect`], which dials out for proxy and delivery alike, [`admin`] shows
//! how we stand, and [`config`] is what the operator wrote. [`app`] is the only module that knows every part.
//!
//! # What holds everywhere
//!
//! - A push goes through us unchanged, whatever state we are in; an event we have accepted is never lost.
//!   Where two rules pull apart, that sentence wins.
//! - Text is parsed once, at the edge; after that its type is the proof. A peer's bytes are never an
//!   invariant.
//! - Every read has a cap, every wait a deadline, every queue a length.
//! - A module uses modules of lower rank only; `tests/tidy.rs` holds the table. The modules below stand in
//!   the order of the ranks, lowest first.

// No knowledge of us.
pub mod body;
pub mod budget;
pub mod points;
pub mod registry;
pub mod secret;
pub mod socket;
pub mod tasks;
pub mod telemetry;

// The event, identities, and how we end.
pub mod certs;
pub mod event;
pub mod shutdown;

// Which reports belong together.
pub mod pairing;

// Bytes in, bytes out, and what stays.
pub mod connect;
pub mod listener;
pub mod outbox;

// The ways in, and the way out; they meet in the outbox only. And certificates from outside.
pub mod acme;
pub mod delivery;
pub mod ingest;
pub mod proxy;

// Show and operate.
pub mod admin;

// What the operator wrote.
pub mod config;

// Everything put together.
pub mod app;

// The command line.
pub mod cli;
