//! The rules of `src/` that the compiler cannot check.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. A module uses lower ranks only; equals do not know each other.
const RANKS: &[&[&str]] = &[
    &["body", "budget", "points", "secret", "socket", "tasks", "telemetry", "registry"],
    &["event", "certs", "shutdown"],
    &["pairing"],
    &["listener", "connect", "outbox"],
    &["proxy", "ingest", "watch", "delivery", "acme"],
    &["admin"],
    &["config"],
    &["app"],
    &["cli", "main", "lib"],
];

#[test]
fn the_source_tree_keeps_its_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap();
        let first = path.iter().next().unwrap().to_str().unwrap();
        let owner = first.trim_end_matches(".rs");
        let text = fs::read_to_string(&file).unwrap();
        for (n, line) in text.lines().enumerate() {
            let at = format!("{}:{}", path.display(), n + 1);
            if line.trim_start().starts_with("//") {
                continue;
            }
            for rest in line.split("crate::").skip(1) {
                let ends = |c: char| !c.is_alphanumeric() && c != '_';
                let used = rest.split(ends).next().unwrap();
                if used.is_empty() {
                    wrong.push(format!("{at}: one module per `use` line"));
                } else if used != owner && rank(used) >= rank(owner) {
                    wrong.push(format!("{at}: `{owner}` may not use `{used}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn rank(module: &str) -> usize {
    let found = RANKS.iter().position(|rank| rank.contains(&module));
    found.unwrap_or_else(|| panic!("give `{module}` a rank in tests/tidy.rs"))
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
