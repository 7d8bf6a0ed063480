/// Whether tests take the time they would like: `make test-long` says so.
pub(crate) fn long() -> bool {
    std::env::var_os("PUSHBELL_TEST_LONG").is_some_and(|value| value == "1")
}

/// Whether the sidecar has points at which it can be made to end. A release has none, and then this says so.
pub(crate) fn has_points() -> bool {
    let points = cfg!(debug_assertions);
    if !points {
        println!("SKIPPED: only a build with debug assertions ends where it is told");
    }
    points
}
