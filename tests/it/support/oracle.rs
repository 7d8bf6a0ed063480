use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::process::Done;
use super::process::run_with_input;

/// Programs by others that know the formats we write: `standardwebhooks`, `cloudevents` and
/// `jsonschema` from PyPI, asked by the scripts in `tests/it/oracle`.
pub(crate) struct Oracle;

impl Oracle {
    /// Runs a script with this on its standard input. Its answer is its exit code.
    #[track_caller]
    pub(crate) fn ask(script: &str, input: &serde_json::Value) -> Done {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python: PathBuf = root.join("target/oracle/bin/python3");
        assert!(python.exists(), "{} is not there; `make prepare` makes it", python.display());
        let script = root.join("tests/it/oracle").join(script);
        run_with_input(Command::new(python).arg(script), input.to_string().as_bytes())
    }
}
