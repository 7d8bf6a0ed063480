/// Whether tests take the time they would like: `make test-long` says so.
pub(crate) fn long() -> bool {
    std::env::var_os("PUSHBELL_TEST_LONG").is_some_and(|value| value == "1")
}
