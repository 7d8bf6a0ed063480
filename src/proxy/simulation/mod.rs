//! A hundred thousand lives of the protocol: crashes, delays, failing disks and lying answers in simulated
//! time, over the very rules that run ([`super::protocol`], [`super::settle::rules`], the events of
//! [`super::classify`]). What is simulated is the world: the registry, the disk, the clients, our death.
//!
//! A seed is a life; a failing one is named, and replays. Each rule that is bent must be noticed, or the
//! simulation proves nothing.

mod disk;
mod life;
mod registry;

use std::collections::BTreeSet;

use self::life::Life;

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    /// None.
    None,
    /// The client hears of the success before its event is durable, and there is no intent.
    RelayFirst,
    /// The last frame goes while the intent is still being written.
    LetGoFirst,
    /// A 5xx is taken for a refusal.
    FailureIsRefusal,
    /// A look tells that nothing was applied although the registry may still be at work.
    Hasty,
    /// What an earlier run left is not looked at.
    Forgetful,
    /// An answer that says nothing is taken for one that says no.
    Guessing,
    /// A refused push is told all the same.
    Inventing,
    /// Settling makes ids of its own.
    NewIds,
    /// A push that was deleted before anybody looked is taken for one that never was.
    Undone,
}

const BENDS: [Bend; 9] = [
    Bend::RelayFirst,
    Bend::LetGoFirst,
    Bend::FailureIsRefusal,
    Bend::Hasty,
    Bend::Forgetful,
    Bend::Guessing,
    Bend::Inventing,
    Bend::NewIds,
    Bend::Undone,
];

/// How many lives are lived; `make test-long` wants all of them.
fn lives() -> u64 {
    let long = std::env::var_os("PUSHBELL_TEST_LONG").is_some_and(|value| value == "1");
    if long { 100_000 } else { 2_000 }
}

/// How soon a bent rule must be noticed.
const NOTICED: u64 = 10_000;

#[test]
fn every_life_keeps_the_promises() {
    if let Some(seed) = std::env::var("PUSHBELL_SEED").ok().and_then(|seed| seed.parse().ok()) {
        let ended = Life::new(seed, Bend::None).telling().live();
        ended.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        return;
    }
    let mut seen = BTreeSet::new();
    for seed in 0..lives() {
        match Life::new(seed, Bend::None).live() {
            Ok(what) => seen.extend(what),
            Err(why) => panic!("{why}; again with PUSHBELL_SEED={seed}"),
        }
    }
    // A simulation in which nothing happens keeps every promise.
    let expected = [
        "a closed intent",
        "a disk that failed",
        "a kill",
        "a late application",
        "a loss of power",
        "a push that was undone",
        "a refusal by us",
        "a settled delete",
        "an applied push whose answer nobody saw",
        "an early answer",
        "an event by look",
        "an event by response",
        "an event that is unsure",
        "an event from memory",
    ];
    for what in expected {
        assert!(seen.contains(what), "there was never {what}: {seen:?}");
    }
}

#[test]
fn a_bent_rule_is_noticed() {
    for bend in BENDS {
        let noticed = (0..NOTICED).find(|seed| Life::new(*seed, bend).live().is_err());
        assert!(noticed.is_some(), "{bend:?} went unnoticed for {NOTICED} lives");
        eprintln!("{bend:?} is noticed in life {}", noticed.unwrap_or_default());
    }
}
