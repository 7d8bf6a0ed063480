//! Whoever wonders what became of a push, or will, is told: `explain` and `endpoint test`.

use std::fs;
use std::process::Command;

use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::Asks;
use crate::support::Image;
use crate::support::Pki;
use crate::support::Receiver;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::command;
use crate::support::command_with_input;
use crate::support::run;

/// A file with three endpoints of one receiver: one signs, one shows a token, one wants something else.
fn file(work: &Workdir, pki: &Pki, receiver: &Receiver) -> String {
    let secret = work.write_secret("hmac", "sesame\n");
    let token = work.write_secret("bearer", "canary-token\n");
    let ca = pki.ca();
    let (secret, token, ca) = (secret.display(), token.display(), ca.display());
    let yaml = format!(
        "registry: {{ name: registry.example.com, upstream: \"http://127.0.0.1:5000\" }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [registry.example.com] }} }} }}\n\
         listeners: [{{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}]\n\
         endpoints:\n\
         \x20 - {{ name: signed, url: \"{0}\", tls: {{ ca: {ca} }}, answers: kargo, sign: {{ scheme: github-sha256, secret_file: {secret} }} }}\n\
         \x20 - {{ name: shown, url: \"{0}/canary/path\", tls: {{ ca: {ca} }}, sign: {{ scheme: bearer, secret_file: {token} }} }}\n\
         \x20 - {{ name: other, url: \"{0}\", tls: {{ ca: {ca} }}, when: {{ repositories: [\"**\", \"!team/**\"] }} }}\n",
        receiver.url("/hook"),
    );
    work.write("pushbell.yaml", yaml).display().to_string()
}

#[test]
fn explain_says_which_rule_decided_and_prints_what_is_sent() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "explained");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let event = stage.receiver.wait_for(1).remove(0).body;
    let file = file(&stage.work, &stage.pki, &stage.receiver);
    let explain = |more: &[&str]| {
        let words = [&["explain", "--config", &file][..], more].concat();
        command_with_input(&stage.work, &words, &event)
    };
    let plain = explain(&[]).ok().out;
    assert!(plain.starts_with("push of team/app:1.0\n"), "{plain}");
    assert!(
        plain.contains("is not told, by `when.repositories`: `!team/**` excludes team/app"),
        "{plain}"
    );
    assert!(plain.contains("x-hub-signature-256: sha256="), "{plain}");
    assert!(plain.contains("authorization: …"), "{plain}");
    assert!(!plain.contains("canary-token") && !plain.contains("canary/path"), "{plain}");
    assert!(!plain.contains("sesame"), "{plain}");

    let json: Value = serde_json::from_str(&explain(&["--json"]).ok().out).unwrap();
    let decided: Vec<&Value> =
        json["endpoints"].as_array().unwrap().iter().map(|e| &e["decided_by"]).collect();
    assert_eq!(decided, [&Value::Null, &Value::Null, &json!("repositories")]);
    assert!(!json.to_string().contains("canary-token"));

    // The line does what it says: the receiver gets the same bytes, signature and token.
    let told = explain(&["--endpoint", "shown", "--endpoint", "signed", "--show-secrets"]).ok().out;
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 2, "{told}");
    for line in lines {
        let line =
            line.replace("curl ", &format!("curl --silent --cacert {} ", stage.pki.ca().display()));
        let client = stage.pki.client("curl");
        let line = format!(
            "{line} --cert {} --key {}",
            client.certificate.display(),
            client.key.display()
        );
        run(Command::new("sh").arg("-c").arg(line)).ok();
    }
    let requests = stage.receiver.wait_for(3);
    let find = |name: &str| requests[1..].iter().find(|r| r.header(name).is_some()).unwrap();
    assert_eq!(find("authorization").header("authorization"), Some("Bearer canary-token"));
    let signed = find("x-hub-signature-256");
    assert_eq!(signed.body, event);
    let body = stage.work.write("body", &signed.body);
    let secret = stage.work.join("hmac");
    let header = format!("x-hub-signature-256: {}", signed.header("x-hub-signature-256").unwrap());
    let words = [
        "verify",
        "--scheme",
        "github-sha256",
        "--secret-file",
        secret.to_str().unwrap(),
        "-H",
        &header,
    ];
    command(&stage.work, &[&words[..], &[body.to_str().unwrap()]].concat()).ok();

    let unknown = explain(&["--endpoint", "nobody"]);
    assert_eq!(unknown.code, 64, "{unknown:?}");
    assert!(unknown.err.contains("signed, shown, other"), "{unknown:?}");
    let garbage = command_with_input(&stage.work, &["explain", "--config", &file], b"{}");
    assert_eq!(garbage.code, 65, "{garbage:?}");
}

#[test]
fn an_endpoint_hears_the_names_that_it_knows() {
    let names = "{ registry: \"other.example.net:8443\", strip: team, prefix: mirror/eu }";
    let stage = Stage::with_endpoint(&format!(
        "dialect: native\nnames: {names}\nwhen: {{ repositories: [\"team/**\"] }}\n"
    ));
    let image = Image::new(&stage.work, "named");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let event = stage.receiver.wait_for(1)[0].json();
    assert_eq!(event["data"]["registry"], "other.example.net:8443");
    assert_eq!(event["data"]["repository"], "mirror/eu/app");
    assert_eq!(event["subject"], "mirror/eu/app:1.0");
    let reference = event["data"]["reference"].as_str().unwrap();
    assert!(reference.starts_with("other.example.net:8443/mirror/eu/app:1.0@"), "{reference}");
    stage.sidecar.wait_for_log("its own name", &[("outcome", "taken"), ("repository", "team/app")]);
}

#[test]
fn a_test_of_an_endpoint_shows_both_sides_and_says_what_it_means() {
    let work = Workdir::new();
    let pki = Pki::new(&work, "receiver-pki");
    let receiver = Receiver::start(&pki, Asks::Nothing);
    let file = file(&work, &pki, &receiver);
    command(&work, &["certs", "init", "--config", &file]).ok();
    let test = |words: &[&str]| {
        command(&work, &[&["endpoint", "test", "--config", &file][..], words].concat())
    };
    for (status, body, code, meaning) in [
        (
            200,
            r#"{"msg":"refreshed 1 warehouse(s)"}"#,
            0,
            "delivered: The receiver took the event.",
        ),
        (
            200,
            r#"{"msg":"refreshed 0 warehouse(s)"}"#,
            0,
            "nothing matched: The receiver understood",
        ),
        (200, "{}", 0, "ignored: "),
        (501, "", 1, "rejected: "),
        (401, "who are you", 1, "permanent: "),
        (500, "", 1, "transient: "),
    ] {
        receiver.answer(Answer::Said(status, body));
        let done = test(&["signed", "--repository", "team/app", "--tag", "9.9"]);
        assert_eq!(done.code, code, "{done:?}");
        assert!(done.out.contains(meaning), "{status} {body}: {done:?}");
        assert!(done.out.contains(body) && done.out.contains(&format!("\n{status} ")), "{done:?}");
        assert!(done.out.contains("x-hub-signature-256: sha256="), "{done:?}");
    }
    let request = receiver.requests().remove(0);
    assert_eq!(request.header("webhook-test"), Some("true"));
    let event = request.json();
    assert_eq!(event["data"]["outcome"], "unconfirmed", "nothing is invented");
    assert_eq!(event["data"]["annotations"]["dev.pushbell.test"], "true");
    assert_eq!(event["subject"], "team/app:9.9");

    let shown = test(&["shown", "--json"]).ok();
    assert!(!shown.out.contains("canary"), "{shown:?}");
    let answer: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((&answer["meaning"], &answer["taken"]), (&json!("delivered"), &json!(true)));
    let unknown = test(&["nobody"]);
    assert_eq!(unknown.code, 64, "{unknown:?}");
    drop(receiver);
    let nobody = test(&["signed"]);
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.out.contains("no answer:") && nobody.out.contains("transient: "), "{nobody:?}");
    assert!(fs::metadata(work.join("state/outbox")).is_err(), "it is in no history");
}
