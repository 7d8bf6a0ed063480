//! Notifications that others make, and those that nobody should.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use serde_json::json;

use crate::support::Oracle;
use crate::support::Workdir;
use crate::support::command;
use crate::support::run;

const DIGEST: &str = "sha256:9f2c0b54a9cb1b7d6a9f6f9d0b0f8d4f5f0a5d1e4b1f0c9d8e7f6a5b4c3d2e1f";

/// What the library `cloudevents` sends of an event.
fn made(mode: &str, kind: &str, source: &str, data: &Value) -> (Vec<String>, String) {
    let attributes = json!({
        "id": "0199f3c2-a1b7-7c44-8a55-0123456789ab", "source": source, "type": kind,
        "specversion": "1.0", "datacontenttype": "application/json",
        "time": "2026-03-01T09:15:02.123Z",
    });
    let asked = json!({"mode": mode, "attributes": attributes, "data": data});
    let said = Oracle::ask("cloudevent.py", &asked).ok();
    let said: Value = serde_json::from_str(&said.out).expect("an answer of JSON");
    let headers = said["headers"].as_object().unwrap().iter();
    let headers = headers.map(|(name, value)| format!("-H{name}: {}", value.as_str().unwrap()));
    (headers.collect(), said["body"].as_str().unwrap().to_owned())
}

#[test]
fn cloud_events_are_read_as_a_library_sends_them() {
    let work = Workdir::new();
    let config = work.write(
        "pushbell.yaml",
        "registry: { name: r.example.com, upstream: \"http://127.0.0.1:5000\" }\n",
    );
    let harbor = json!({
        "resources": [{
            "digest": DIGEST, "tag": "1.4.2", "resource_url": "harbor.example.test/team/app:1.4.2",
        }],
        "repository": {"repo_full_name": "team/app", "name": "app", "namespace": "team"},
    });
    let zot = json!({"name": "team/app", "reference": "1.4.2", "digest": DIGEST});
    let ecr = json!({"repositoryName": "team/app", "imageTag": "1.4.2", "imageDigest": DIGEST});
    let arn = "urn:aws:ecr:eu-west-1:123456789012:repository/team/app";
    for (kind, sort, source, data, modes) in [
        ("harbor", "harbor.artifact.pushed", "/projects/1", &harbor, &["structured"][..]),
        ("zot", "zotregistry.image.updated", "zotregistry.dev", &zot, &["binary", "structured"]),
        ("ecr", "com.amazon.ecr.image.push", arn, &ecr, &["binary", "structured"]),
    ] {
        for mode in modes {
            let (headers, body) = made(mode, sort, source, data);
            let file = work.write("body.json", body);
            let mut words = vec!["translate", "--from", "auto", "--to", "native", "--config"];
            words.extend([config.to_str().unwrap(), file.to_str().unwrap()]);
            words.extend(headers.iter().map(String::as_str));
            let done = command(&work, &words).ok();
            assert!(done.err.contains(&format!("kind: {kind}, ")), "{kind} {mode}: {}", done.err);
            let event: Value = serde_json::from_str(&done.out).unwrap();
            let expected = format!("r.example.com/team/app:1.4.2@{DIGEST}");
            assert_eq!(event["data"]["reference"], expected, "{kind} {mode}");
            assert_eq!(event["time"], "2026-03-01T09:15:02.123Z", "{kind} {mode}");
        }
    }
}

#[test]
fn what_one_pushbell_tells_another_reads_in_both_modes() {
    let work = Workdir::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let native = fixtures.join("dialects/native-push.json");
    let text = std::fs::read_to_string(native).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    for mode in ["binary", "structured"] {
        let (headers, body) =
            made(mode, "dev.pushbell.image.push.v1", "https://registry.example.com", &told["data"]);
        let file = work.write("body.json", body);
        let mut words = vec!["translate", "--from", "auto", "--to", "native"];
        words.push(file.to_str().unwrap());
        words.extend(headers.iter().map(String::as_str));
        let done = command(&work, &words).ok();
        let again: Value = serde_json::from_str(&done.out).unwrap();
        let (told, mut read) = (&told["data"], again["data"].clone());
        assert_eq!(read["origin"], "notification", "{mode}");
        assert_eq!(read["seen_by"], json!(["cloudevents", "cloudevents/proxy"]), "{mode}");
        // What is another's own: how it knew, who saw it there, and its order.
        for own in ["origin", "seen_by", "sequence"] {
            read[own] = told[own].clone();
        }
        assert_eq!(read, *told, "{mode}: nothing else is lost or altered");
    }
}

/// Whether a translation gets by with this much memory, in KiB.
fn gets_by(work: &Workdir, kind: &str, file: &Path, kib: usize) -> bool {
    let limited = format!("ulimit -v {kib} && exec \"$0\" \"$@\"");
    let binary = env!("CARGO_BIN_EXE_pushbell");
    let mut shell = Command::new("sh");
    shell.args(["-c", &limited, binary, "translate", "--to", "native", "--from", kind]);
    let done = run(shell.arg(file).current_dir(work.path()));
    matches!(done.code, 0 | 65)
}

/// Notifications of a size are read with at most ten times their size of memory: the worst of each sort, of
/// 1 MiB, may need 10 MiB more than the smallest of all.
#[test]
fn a_notification_needs_no_more_than_ten_times_its_memory() {
    const SIZE: usize = 1 << 20;
    let work = Workdir::new();
    let smallest = work.write("smallest", "{}");
    // How much a translation of nothing needs: between what is never and what is always enough.
    let (mut less, mut enough) = (1 << 10, 1 << 21);
    while enough - less > 128 {
        let middle = (less + enough) / 2;
        if gets_by(&work, "distribution", &smallest, middle) {
            enough = middle;
        } else {
            less = middle;
        }
    }
    let filled = |before: &str, piece: &dyn Fn(usize) -> String, after: &str| {
        let mut text = before.to_owned();
        let mut count = 0;
        loop {
            let next = piece(count);
            if text.len() + next.len() + after.len() > SIZE {
                return text + after;
            }
            write!(text, "{next}").unwrap();
            count += 1;
        }
    };
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let key = |n: usize, escape: &str| {
        let letter = |place: usize| char::from(letters[n >> (6 * place) & 63]);
        format!(",\"{escape}{}{}{}\":0", letter(0), letter(1), letter(2))
    };
    let event = "{\"action\":\"push\",\"target\":{\"repository\":\"a\",\"tag\":\"";
    for (name, kind, text) in [
        ("keys", "distribution", filled("{\"a\":0", &|n| key(n, ""), "}")),
        ("escaped keys", "distribution", filled("{\"a\":0", &|n| key(n, "\\n"), "}")),
        ("lists", "distribution", filled("{\"a\":[0", &|_| ",[[[]]]".to_owned(), "]}")),
        ("wrong escapes", "docker-hub", filled("{\"a\":\"", &|_| "\\[".to_owned(), "\"}")),
        ("texts", "harbor", filled("{\"type\":\"", &|_| "x".to_owned(), "\"}")),
        ("base64", "gcr", filled("{\"message\":{\"data\":\"", &|_| "e30K".to_owned(), "\"}}")),
        (
            "events",
            "distribution",
            filled("{\"events\":[", &|n| format!("{event}{n}\"}}}},"), "0]}"),
        ),
    ] {
        let file = work.write("notification", &text);
        assert!(text.len() > SIZE - 200, "{name}");
        let limit = enough + 10 * SIZE / 1024;
        assert!(gets_by(&work, kind, &file, limit), "{name}: more than {limit} KiB");
    }
    // The limit is one: what is read at all does not fit into a tenth of it.
    let file = work.write("notification", filled("{\"a\":0", &|n| key(n, ""), "}"));
    assert!(!gets_by(&work, "distribution", &file, enough + SIZE / 1024));
}
