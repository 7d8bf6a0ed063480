//! Webhooks are genuine, go to who they are for, and are tried until they are taken.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::Asks;
use crate::support::Curl;
use crate::support::Image;
use crate::support::Oracle;
use crate::support::Pki;
use crate::support::Process;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::Request;
use crate::support::SECRET;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::until;

/// Headers as a JSON object, as the libraries of others want them.
fn headers(request: &Request) -> Value {
    let pairs = request.headers.iter();
    pairs.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

fn timestamp(request: &Request) -> i64 {
    request.header("webhook-timestamp").expect("a time").parse().expect("seconds")
}

fn push(stage: &Stage, tag: &str) -> Image {
    let image = Image::new(&stage.work, tag);
    assert_eq!(stage.curl().push("team/app", tag, &image).status, 201);
    image
}

#[test]
fn a_webhook_is_genuine_and_an_event_by_the_libraries_of_others() {
    let stage = Stage::open();
    let image = push(&stage, "1.0");
    let request = stage.receiver.wait_for(1).remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    assert_eq!(request.peer.as_deref(), Some("pushbell"), "our certificate was asked for");
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    assert!((now - 60..=now).contains(&timestamp(&request)));
    assert!(!request.header("webhook-id").expect("an id").contains('.'));
    assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()));

    let body = String::from_utf8(request.body.clone()).unwrap();
    let asked = json!({"secret": SECRET, "headers": headers(&request), "body": body});
    let answer = Oracle::ask("webhook.py", &asked).ok();
    let read: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(read["attributes"]["type"], "dev.pushbell.image.push.v1");
    assert_eq!(read["data"]["digest"], image.digest());

    let altered = json!({
        "secret": SECRET, "headers": headers(&request), "body": body.replace("team/app", "team/axx"),
    });
    assert_ne!(Oracle::ask("webhook.py", &altered).code, 0, "and they notice a forgery");
}

/// Runs with these options besides the upstream and the receiver, pushes, and yields the webhook.
#[track_caller]
fn without_a_file(roots: impl FnOnce(&Pki, &Workdir) -> (Vec<String>, Option<PathBuf>)) -> Request {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let pki = Pki::new(&work, "receiver-pki");
    let receiver = Receiver::start(&pki, Asks::Nothing);
    let (options, roots) = roots(&pki, &work);
    let url = receiver.url("/anything?x=1");
    let registry = registry.url();
    let mut flags = vec!["--upstream", &registry, "--webhook", &url];
    flags.extend(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    flags.extend(options.iter().map(String::as_str));
    let roots: Vec<_> = roots.iter().map(|file| ("SSL_CERT_FILE", file.as_path())).collect();
    let sidecar = Sidecar::with_flags(&work, &flags, &roots);
    let ca = sidecar.ca();
    until("the way to trust us to be printed", || {
        sidecar.printed().contains(ca.to_str().unwrap()).then_some(())
    });
    let image = Image::new(&work, "five minutes");
    assert_eq!(Curl::through(&work, &sidecar).push("team/app", "1.0", &image).status, 201);
    let request = receiver.wait_for(1).remove(0);
    assert_eq!(request.path, "/anything?x=1");
    assert_eq!(request.json()["data"]["digest"], image.digest());
    assert!(request.header("webhook-id").is_some());
    assert!(request.header("webhook-timestamp").is_some());
    request
}

#[test]
fn with_no_file_at_all_it_works_and_trusts_the_systems_roots() {
    let request = without_a_file(|pki, _| (Vec::new(), Some(pki.ca())));
    assert_eq!(request.header("webhook-signature"), None, "there is no secret");
}

#[test]
fn with_no_file_it_signs_and_trusts_what_the_options_name() {
    let request = without_a_file(|pki, work| {
        let secret = work.write_secret("secret", SECRET).display().to_string();
        let ca = pki.ca().display().to_string();
        let flags = ["--webhook-ca", &ca, "--webhook-secret-file", &secret];
        (flags.map(str::to_owned).to_vec(), None)
    });
    assert!(request.header("webhook-signature").is_some_and(|s| s.starts_with("v1,")));
}

#[test]
fn a_receiver_by_others_runs_its_hook() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let pki = Pki::new(&work, "receiver-pki");
    let pair = pki.server("webhook", &["127.0.0.1"]);
    let script =
        work.write("hook.sh", "#!/bin/sh\nprintf '%s' \"$1 $2\" > built.new\nmv built.new built\n");
    Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    let hooks = json!([{
        "id": "build", "execute-command": script, "command-working-directory": work.path(),
        "pass-arguments-to-command": [
            {"source": "payload", "name": "data.repository"},
            {"source": "payload", "name": "data.digest"},
        ],
        "trigger-rule": {"match": {
            "type": "value", "value": "dev.pushbell.image.push.v1",
            "parameter": {"source": "payload", "name": "type"},
        }},
    }]);
    let hooks = work.write("hooks.json", hooks.to_string());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("webhook");
    command.args(["-verbose", "-secure", "-ip", "127.0.0.1", "-port", &port.to_string()]);
    command.arg("-cert").arg(&pair.certificate).arg("-key").arg(&pair.key);
    let webhook = Process::start(command.arg("-hooks").arg(&hooks));
    until("webhook to serve", || {
        webhook.lines().iter().any(|line| line.contains("serving hooks")).then_some(())
    });

    let url = format!("https://127.0.0.1:{port}/hooks/build");
    let yaml = Stage::file(&work, &registry, &pki, &url, "dialect: native");
    let sidecar = Sidecar::with_file(&work, &yaml);
    let image = Image::new(&work, "by others");
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.push("team/app", "1.0", &image).status, 201);
    let built = until("the hook's file", || fs::read_to_string(work.join("built")).ok());
    assert_eq!(built, format!("team/app {}", image.digest()));
}

#[test]
fn a_failed_attempt_is_repeated_with_its_id_and_a_new_time() {
    let stage = Stage::open();
    stage.receiver.answer(Answer::status(500));
    push(&stage, "1.0");
    let requests = stage.receiver.wait_for(2);
    let [first, second] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert!(timestamp(second) > timestamp(first));
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
    assert_eq!(first.body, second.body);

    let line = [("repository", "team/app"), ("tag", "1.0"), ("endpoint", "build")];
    stage.sidecar.wait_for_log("the first attempt", &[&line[..], &[("attempt", "1")]].concat());
    stage.sidecar.wait_for_log("the second attempt", &[&line[..], &[("attempt", "2")]].concat());
}

#[test]
fn a_retry_waits_as_long_as_the_receiver_asks() {
    let stage = Stage::open();
    stage.receiver.answer(Answer::Status(503, vec![("retry-after", "7".to_owned())]));
    push(&stage, "1.0");
    let requests = stage.receiver.wait_for(2);
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= Duration::from_secs(7), "{waited}");
    assert!(waited < Duration::from_secs(20), "{waited}");
}

#[test]
fn a_redirect_is_not_followed() {
    let stage = Stage::open();
    for status in [302, 307] {
        let elsewhere = stage.receiver.url("/elsewhere");
        stage.receiver.answer(Answer::Status(status, vec![("location", elsewhere)]));
    }
    push(&stage, "1.0");
    let requests = stage.receiver.wait_for(2);
    assert!(requests.iter().all(|r| r.method == "POST" && r.path == "/hook"), "{requests:?}");
}

#[test]
fn one_endpoint_never_waits_for_another() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let slow_pki = Pki::new(&work, "slow-pki");
    let slow = Receiver::start(&slow_pki, Asks::Nothing);
    slow.afterwards(Answer::Held);
    let pki = Pki::new(&work, "receiver-pki");
    let receiver = Receiver::start(&pki, Asks::ClientCertificate);
    let mut yaml = Stage::file(&work, &registry, &pki, &receiver.url("/hook"), "dialect: native");
    yaml += &format!(
        "  - name: slow\n    url: {}\n    dialect: native\n    tls: {{ ca: {} }}\n",
        slow.url("/"),
        slow.ca().display()
    );
    let sidecar = Sidecar::with_file(&work, &yaml);
    let image = Image::new(&work, "apart");
    let curl = Curl::through(&work, &sidecar);
    for tag in 0..20 {
        assert_eq!(curl.push("team/app", &format!("1.{tag}"), &image).status, 201);
    }
    receiver.wait_for(20);
    assert!(slow.requests().len() <= 8, "no more at once than `concurrency`");
    slow.release();
    slow.wait_for(20);
}

#[test]
fn one_tag_is_told_in_order() {
    const PUSHES: usize = 6;

    let stage = Stage::open();
    stage.receiver.answer(Answer::Held);
    let images: Vec<_> =
        (0..PUSHES).map(|n| Image::new(&stage.work, &format!("order {n}"))).collect();
    let curl = stage.curl();
    for image in &images {
        assert_eq!(curl.push("team/app", "latest", image).status, 201);
    }
    assert_eq!(stage.receiver.wait_for(1).len(), 1, "the next of a tag waits for the one before");
    stage.receiver.release();
    let requests = stage.receiver.wait_for(PUSHES);
    let told: Vec<_> = requests.iter().map(|r| r.json()["data"]["digest"].clone()).collect();
    let pushed: Vec<_> = images.iter().map(Image::digest).collect();
    assert_eq!(told, pushed);
}

#[test]
fn an_endpoint_gets_what_it_asked_for_with_its_headers() {
    let stage = Stage::with_endpoint(
        "dialect: native\n\
         when: { repositories: [\"team/**\", \"!team/private\"], tags: [\"1.*\"], changes: [created] }\n\
         headers: { X-Team: platform, Content-Type: application/json }\n",
    );
    let image = Image::new(&stage.work, "asked for");
    let curl = stage.curl();
    for (repository, tag) in [
        ("other/app", "1.0"),
        ("team/private", "1.0"),
        ("team/app", "2.0"),
        ("team/app", "1.0"),
        ("team/app", "1.0"),
        ("team/a/b/c", "1.1"),
    ] {
        assert_eq!(curl.push(repository, tag, &image).status, 201);
    }
    let requests = stage.receiver.wait_for(2);
    let mut told: Vec<_> = requests.iter().map(|r| r.json()["subject"].to_string()).collect();
    told.sort();
    assert_eq!(told, ["\"team/a/b/c:1.1\"", "\"team/app:1.0\""]);
    for request in &requests {
        assert_eq!(request.header("x-team"), Some("platform"));
        // Flux shows a body to its filters only if it is called this.
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}
