//! `deploy/pushbell.yaml`, the schema and the code say the same.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::super::tree::Content;
use super::super::tree::Node;
use super::super::*;
use super::MINIMAL;
use super::parse;

/// The sample with what is switched off in it switched on.
pub(super) fn everything(sample: &str) -> String {
    let on = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let (spaces, rest) = line.split_at(indent);
        match rest.strip_prefix('#') {
            Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase() || c == '-') => {
                format!("{spaces}{option}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    sample.lines().map(on).collect()
}

pub(super) fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/pushbell.yaml");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_sample_loads_and_says_the_defaults() {
    let sample = sample();
    assert!(sample.starts_with("# yaml-language-server: $schema="));
    let config = parse(&sample).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.limits, Limits::default());
    let short = format!("{MINIMAL}endpoints: [{{ name: a, url: \"https://h/\" }}]\n");
    let default = parse(&short).unwrap();
    let (said, left) = (&config.endpoints[0], &default.endpoints[0]);
    assert_eq!((said.timeout, said.concurrency), (left.timeout, left.concurrency));
    assert_eq!(said.when.actions, left.when.actions);
    assert_eq!(config.on_failure, default.on_failure);
    assert_eq!(config.intent, default.intent);
    assert_eq!(config.bounds, default.bounds);
    assert_eq!(config.settle, default.settle);
    assert_eq!(config.log.level, default.log.level);
}

/// Every key of a schema, `endpoints[].when.kinds`, and its default.
fn keys(schema: &Value, path: &str, found: &mut Vec<(String, Option<Value>)>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        assert!(inner["description"].as_str().is_some_and(|d| !d.is_empty()), "{path}: {inner}");
        found.push((path.clone(), inner.get("default").cloned()));
        keys(inner, &path, found);
    }
    if let Some(items) = schema.get("items") {
        keys(items, &format!("{path}[]"), found);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        keys(values, &format!("{path}.*"), found);
    }
}

/// Every key of a tree; the names an operator chooses come out as `*` as well.
fn written(node: &Node, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.trim_start_matches('.').to_owned());
    match &node.content {
        Content::Scalar { .. } => {}
        Content::List(items) => {
            items.iter().for_each(|item| written(item, &format!("{path}[]"), found));
        }
        Content::Mapping(entries) => {
            for (key, value) in entries {
                let Content::Scalar { text, .. } = &key.content else { panic!("{key:?}") };
                written(value, &format!("{path}.{text}"), found);
                written(value, &format!("{path}.*"), found);
            }
        }
    }
}

#[test]
fn the_sample_shows_every_key_of_the_schema() {
    let all = everything(&sample());
    let node = tree::parse(&all).unwrap().unwrap();
    let source = Arc::new(Source::new(Path::new("all"), all.clone(), Vec::new()));
    let mut problems = Problems::default();
    let at = At::new(&node, String::new());
    FileConfig::read(&at, &mut Reader { source, problems: &mut problems });
    assert!(problems.is_empty(), "{problems}");
    let mut shown = BTreeSet::new();
    written(&node, "", &mut shown);
    let mut known = Vec::new();
    keys(&schema(), "", &mut known);
    assert!(known.len() > 60, "{known:?}");
    for (key, default) in known {
        assert!(shown.contains(&key), "`{key}` is not in deploy/pushbell.yaml");
        let Some(default) = default else { continue };
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let default = default.replace('"', "");
        let name = key.rsplit('.').next().unwrap();
        let lines: Vec<&str> = all.lines().collect();
        let said = lines.windows(2).any(|pair| {
            pair[0].contains(&format!("Default: {default}."))
                && pair[1].trim_start().starts_with(name)
        });
        assert!(said, "deploy/pushbell.yaml does not say that `{key}` is {default} by default");
    }
}

#[test]
fn the_schema_and_we_agree() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = serde_json::json!({
        "registry": { "name": "r.example.com", "upstream": "http://127.0.0.1:5000" },
        "identities": { "a": { "local_ca": { "names": ["r.example.com"] } } },
        "listeners": [{ "address": "0.0.0.0:1", "serve": ["registry"], "identity": "a" }],
        "endpoints": [{
            "name": "e", "url": "https://h/", "timeout": "1m30s", "rate": "5/s", "concurrency": 2,
            "when": { "kinds": ["image"], "tags": ["*"] }, "headers": { "X-A": "b" }
        }],
        "limits": { "idle": "75s", "manifest_copy": "4MiB" },
        "admin": {}
    });
    assert!(validator.is_valid(&good), "{:?}", validator.iter_errors(&good).next());
    // JSON is YAML, so the same text goes both ways.
    parse(&good.to_string()).unwrap();
    for (pointer, bad) in [
        ("/registry/nmae", serde_json::json!("x")),
        ("/registry/name", Value::Null),
        ("/listeners/0/serve/0", serde_json::json!("hook")),
        ("/endpoints/0/timeout", serde_json::json!(10)),
        ("/endpoints/0/timeout", serde_json::json!("10")),
        ("/endpoints/0/concurrency", serde_json::json!(0)),
        ("/endpoints/0/concurrency", serde_json::json!("2")),
        ("/endpoints/0/when/kinds/0", serde_json::json!("images")),
        ("/limits/manifest_copy", serde_json::json!("4MB")),
        ("/admin/token", serde_json::json!("x")),
    ] {
        let mut value = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match value.pointer_mut(parent).unwrap() {
            Value::Object(object) => drop(object.insert(name.to_owned(), bad)),
            Value::Array(list) => list[name.parse::<usize>().unwrap()] = bad,
            other => panic!("{other}"),
        }
        assert!(!validator.is_valid(&value), "{pointer} passes the schema");
        assert!(parse(&value.to_string()).is_err(), "{pointer} passes us");
    }
    let mut value = good;
    value["endpoints"][0].as_object_mut().unwrap().remove("url");
    assert!(!validator.is_valid(&value));
}
