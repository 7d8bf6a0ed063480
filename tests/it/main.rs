//! Pushbell from outside: the real binary, a real registry, real clients and a real receiver.
//!
//! `make test` installs what these tests need. Each file is one behaviour, each test one sentence that
//! must be true. Nothing here knows what is inside the binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

mod abuse;
mod acme;
mod admin;
mod answers;
mod artifactory;
mod bad;
mod clients;
mod clock;
mod connections;
mod cost;
mod damage;
mod deliver;
mod dialects;
mod drain;
mod egress;
mod events;
mod exhaustion;
mod explain;
mod framing;
mod history;
mod identities;
mod kill;
mod lanes;
mod lies;
mod limits;
mod looks;
mod models;
mod mounts;
mod notify;
mod options;
mod paths;
mod power;
mod proxied;
mod push;
mod rebinding;
mod receivers;
mod recover;
mod reload;
mod settle;
mod sign;
mod slow;
mod sources;
mod stops;
mod tools;
mod translate;
mod transparent;
mod trust;
mod upstream;
