//! An operator sees what was told to whom, and tells it again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::Done;
use crate::support::Image;
use crate::support::Stage;
use crate::support::command;
use crate::support::until;

fn ask(stage: &Stage, words: &[&str]) -> Done {
    let admin = stage.sidecar.address("admin").to_string();
    command(&stage.work, &[words, &["--admin", &admin]].concat())
}

fn read(stage: &Stage, words: &[&str]) -> Value {
    serde_json::from_str(&ask(stage, &[words, &["--json"]].concat()).ok().out).expect("JSON")
}

fn push(stage: &Stage, tag: &str) {
    let image = Image::new(&stage.work, tag);
    assert_eq!(stage.curl().push("team/app", tag, &image).status, 201);
}

#[test]
fn a_dead_letter_is_seen_with_its_reason_and_told_again_with_its_id() {
    let stage = Stage::with_endpoint("dialect: native\nanswers: dokploy\n");
    stage.receiver.answer(Answer::Said(301, "not this image"));
    push(&stage, "1.0");
    stage.sidecar.wait_for_log("the rejection", &[("outcome", "dead")]);
    push(&stage, "2.0");
    stage.sidecar.wait_for_log("the other", &[("outcome", "taken"), ("tag", "2.0")]);

    let dead = until("the dead letter", || {
        let dead = read(&stage, &["deliveries", "list", "--state", "dead"]);
        Some(dead["deliveries"].as_array().unwrap().clone()).filter(|rows| !rows.is_empty())
    });
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0]["subject"], &dead[0]["reason"]),
        (&json!("team/app:1.0"), &json!("refused"))
    );
    let id = dead[0]["id"].as_str().unwrap();
    let first = stage.receiver.requests().remove(0);
    assert_eq!(first.header("webhook-id"), Some(id));
    let shown = ask(&stage, &["deliveries", "show", id]).ok().out;
    assert!(shown.contains("rejected: ") && shown.contains("not this image"), "{shown}");
    let table = ask(&stage, &["deliveries", "list"]).ok().out;
    assert!(table.starts_with("ENDPOINT  STATE") && table.lines().count() == 3, "{table}");
    assert!(table.lines().nth(1).unwrap().contains("team/app:2.0"), "the newest first: {table}");

    let replayed =
        ask(&stage, &["deliveries", "replay", "--since", "1h", "--state", "dead"]).ok().out;
    assert_eq!(replayed, "1 delivery is owed again\n");
    let requests = stage.receiver.wait_for(3);
    assert_eq!(requests[2].header("webhook-id"), Some(id));
    assert_eq!(requests[2].body, first.body);
    stage.sidecar.wait_for_log(
        "that it is taken",
        &[("outcome", "taken"), ("delivery", id), ("attempt", "2")],
    );
    until("what became of it", || {
        let shown = read(&stage, &["deliveries", "show", id]);
        (shown["state"] == "acked" && shown["history"].as_array()?.len() == 2).then_some(())
    });
    let none = read(&stage, &["deliveries", "replay", "--since", "1h", "--state", "dead"]);
    assert_eq!(none["replayed"], json!([]));

    let events = read(&stage, &["events", "list"]);
    let subjects: Vec<&Value> =
        events["events"].as_array().unwrap().iter().map(|row| &row["event"]["subject"]).collect();
    assert_eq!(subjects, ["team/app:2.0", "team/app:1.0"]);
    let event = events["events"][0]["event"]["id"].as_str().unwrap();
    let explained = ask(&stage, &["explain", event]).ok().out;
    assert!(explained.starts_with("push of team/app:2.0"), "{explained}");
    let (none, _) = event.rsplit_once('-').unwrap();
    let unknown = ask(&stage, &["explain", &format!("{none}-000000000000")]);
    assert!(unknown.code == 1 && unknown.err.contains("there is no such event"), "{unknown:?}");
    ask(&stage, &["events", "replay", event]).ok();
    let requests = stage.receiver.wait_for(4);
    assert_eq!(requests[3].json()["subject"], "team/app:2.0");
    let shown = ask(&stage, &["events", "show", event]).ok().out;
    assert!(
        shown.contains("\"subject\": \"team/app:2.0\"") && shown.contains("to build: "),
        "{shown}"
    );

    let unknown = ask(
        &stage,
        &["deliveries", "show", "00000000-0000-7000-8000-000000000000-0000000000000000"],
    );
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert_eq!(ask(&stage, &["events", "show", "x"]).code, 64);
}

#[test]
fn pages_are_bounded_and_none_is_missed() {
    let stage = Stage::with_endpoint("dialect: native\n");
    for n in 0..7 {
        push(&stage, &format!("{n}"));
    }
    stage.receiver.wait_for(7);
    let token = fs::read_to_string(stage.work.join("state/admin.token")).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    for what in ["events", "deliveries"] {
        let (mut seen, mut before) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/{what}?limit=3{before}");
            let page = stage.admin().call(&path, &["--header", &bearer]).json();
            let rows = page[what].as_array().unwrap().clone();
            assert!(rows.len() <= 3);
            seen.extend(rows.iter().map(|row| {
                row["subject"].as_str().or(row["event"]["subject"].as_str()).unwrap().to_owned()
            }));
            match &page["next"] {
                Value::Null => break,
                next => before = format!("&before={}", next.to_string().trim_matches('"')),
            }
        }
        let expected: Vec<String> = (0..7).rev().map(|n| format!("team/app:{n}")).collect();
        assert_eq!(seen, expected, "{what}");
    }
}

#[test]
fn nobody_without_the_token_sees_or_changes_anything() {
    let stage = Stage::with_endpoint("dialect: native\n");
    push(&stage, "1.0");
    let id = stage.receiver.wait_for(1)[0].header("webhook-id").unwrap().to_owned();
    let file = stage.work.join("state/admin.token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(token.len(), 64, "256 bits of randomness");
    let good = format!("Authorization: Bearer {token}");
    let mut short = good.clone();
    short.pop();
    let replay = format!("{{\"deliveries\":[\"{id}\"]}}");
    let call = |path: &str, options: &[&str]| stage.admin().call(path, options);
    for wrong in ["X-Nothing: x", "Authorization: Bearer ", "Authorization: Basic eDp4", &short] {
        for path in ["/api/v1/events", "/_pushbell/api/v1/deliveries", "/api/v1/nothing"] {
            let reply = call(path, &["--header", wrong]);
            assert_eq!(reply.status, 401, "{wrong} {path}");
            assert!(!reply.text().contains("team/app"));
        }
        let post = ["--header", wrong, "--json", &replay];
        assert_eq!(call("/api/v1/deliveries/replay", &post).status, 401);
    }
    let good = ["--header", &good];
    let reply = call("/api/v1/events", &good);
    assert_eq!(reply.status, 200);
    assert!(reply.header("access-control-allow-origin").is_none());
    assert!(reply.header("set-cookie").is_none());
    assert_eq!(call("/api/v1/deliveries/replay", &good).status, 400, "a GET changes nothing");
    let form = [&good[..], &["--data", &replay]].concat();
    assert_eq!(call("/api/v1/deliveries/replay", &form).status, 415, "a form of another site");
    for (body, status) in [("{}", 400), ("[", 400), ("{\"deliveries\":[1]}", 400), (&*replay, 200)]
    {
        let post = [&good[..], &["--json", body]].concat();
        assert_eq!(call("/api/v1/deliveries/replay", &post).status, status, "{body}");
    }
    stage.receiver.wait_for(2);
    assert!(!stage.sidecar.printed().contains(&token));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = ask(&stage, &["events", "list"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("chmod 600"), "{refused:?}");
}
