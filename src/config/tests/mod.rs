//! Whole files, right and wrong.

mod accepted;
mod mistakes;
mod sample;
mod sources;
mod spellings;
mod unreadable;

use std::ffi::OsString;

use super::*;

const MINIMAL: &str = "registry: { upstream: \"http://127.0.0.1:5000\" }\n";

fn environment() -> Environment {
    Environment {
        variables: [("HOME", "/home/op"), ("SECRET", "whsec_x\n")]
            .into_iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        directory: PathBuf::from("/start"),
        hostname: Some("build-host".to_owned()),
        is_root: false,
    }
}

fn parse_with(text: &str, overrides: &Overrides) -> Result<Config, Problems> {
    let path = Path::new("etc/pushbell.yaml");
    Config::parse(path, text.as_bytes().to_vec(), overrides, &environment())
}

fn parse(text: &str) -> Result<Config, Problems> {
    parse_with(text, &Overrides::default())
}

fn upstream() -> Overrides {
    Overrides { upstream: Some("http://127.0.0.1:5000".to_owned()), ..Overrides::default() }
}

/// Line, column, key and message of each problem.
fn found(problems: &Problems) -> Vec<(usize, usize, String, String)> {
    let one = |problem: &Problem| {
        let place = problem.place.as_ref();
        let line = place.and_then(Place::line).unwrap_or(0);
        let column = place.and_then(Place::column).unwrap_or(0);
        let key = place.map_or("", Place::key).to_owned();
        (line, column, key, format!("{} => {}", problem.message, problem.remedy))
    };
    problems.iter().map(one).collect()
}

/// The one problem of a text.
fn problem(text: &str) -> (usize, usize, String, String) {
    problem_with(text, &Overrides::default())
}

fn problem_with(text: &str, overrides: &Overrides) -> (usize, usize, String, String) {
    let problems = parse_with(text, overrides).expect_err(text);
    let mut found = found(&problems);
    assert_eq!(found.len(), 1, "{text}\n{problems}");
    found.remove(0)
}
