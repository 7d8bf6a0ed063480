//! A push that the registry applied is told, whoever died before the client had its answer.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::support::Asks;
use crate::support::Curl;
use crate::support::Cut;
use crate::support::Image;
use crate::support::Pki;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::Relay;
use crate::support::Reply;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::has_points;
use crate::support::sha256;
use crate::support::until;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const ENDPOINT: &str = "dialect: native\nwhen: { actions: [push, delete], untagged: true }\n";
/// Nothing is settled before the test wants it.
const LATER: &str = "settle: { first_look: 10m }\n";
/// Everything is settled at once, and the registry is not given long.
const SOON: &str =
    "settle: { first_look: 50ms, give_up: 30s }\nlimits: { upstream_manifest: 500ms }\n";

/// A registry behind a wire that can be cut, and a sidecar that ends where it is told.
struct Scene {
    relay: Relay,
    registry: Registry,
    receiver: Receiver,
    yaml: String,
    config: Image,
    work: Workdir,
}

/// How a manifest is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Tag,
    Digest,
    Tags,
    Delete,
}

/// What became of one exchange: the client's status, and the events it made.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    events: Vec<(Option<String>, &'static str, &'static str)>,
}

impl Scene {
    fn open() -> Self {
        let work = Workdir::new();
        let registry = Registry::start(&work);
        let relay = Relay::to(&registry.host());
        let pki = Pki::new(&work, "receiver-pki");
        let receiver = Receiver::start(&pki, Asks::ClientCertificate);
        let yaml = Stage::file(&work, &registry, &pki, &receiver.url("/hook"), ENDPOINT);
        let yaml = yaml.replace(&registry.url(), &relay.url());
        let config = Image::new(&work, "the same in all");
        let direct = Curl::direct(&work, &registry.url());
        direct.blob("team/app", &config.config);
        direct.blob("team/app", &config.layer);
        Self { relay, registry, receiver, yaml, config, work }
    }

    fn start(&self, more: &str, point: &str) -> Sidecar {
        let file = self.work.write("pushbell.yaml", self.yaml.clone() + more);
        let flags = ["--config", file.to_str().unwrap()];
        Sidecar::with_flags(&self.work, &flags, &[("PUSHBELL_POINT", Path::new(point))])
    }

    fn direct(&self) -> Curl {
        Curl::direct(&self.work, &self.registry.url())
    }

    /// A manifest that no other row has.
    fn manifest(&self, row: &str) -> Vec<u8> {
        let mut manifest: Value = serde_json::from_slice(&self.config.manifest).unwrap();
        manifest["annotations"] = serde_json::json!({ "row": row });
        manifest.to_string().into_bytes()
    }

    /// What a row writes must be there before it can be deleted.
    fn prepare(&self, write: Write, row: &str) {
        if write == Write::Delete {
            let put = self.direct().put("team/app", row, IMAGE, &self.manifest(row));
            assert_eq!(put.status, 201, "{put:?}");
        }
    }

    fn write(&self, sidecar: &Sidecar, write: Write, row: &str) -> Reply {
        let curl = Curl::through(&self.work, sidecar);
        let manifest = self.manifest(row);
        let digest = sha256(&manifest);
        match write {
            Write::Tag => curl.put("team/app", row, IMAGE, &manifest),
            Write::Digest => curl.put("team/app", &digest, IMAGE, &manifest),
            Write::Tags => curl.put("team/app", &format!("{digest}?tag={row}"), IMAGE, &manifest),
            Write::Delete => {
                curl.call(&format!("/v2/team/app/manifests/{digest}"), &["--request", "DELETE"])
            }
        }
    }

    /// Runs every row, each with an end of its own, and then one sidecar that settles what they left.
    fn run(&self, write: Write) -> BTreeMap<&'static str, Told> {
        let mut statuses = BTreeMap::new();
        // Where it ends by itself: at a point of its own. Before P2 is synced the intent may be anything.
        for row in ["held", "intend", "intended", "answered", "append", "recorded"] {
            self.prepare(write, row);
            let mut sidecar = self.start(LATER, row);
            let reply = self.write(&sidecar, write, row);
            assert_eq!(sidecar.wait().code(), None, "{row}: {}", sidecar.printed());
            statuses.insert(row, reply.status);
        }
        for (row, cut) in [("half-out", Cut::Request), ("all-out", Cut::Answer)] {
            self.prepare(write, row);
            let mut sidecar = self.start(LATER, "");
            self.relay.cut(cut);
            let reply = std::thread::scope(|scope| {
                let client = scope.spawn(|| self.write(&sidecar, write, row));
                self.relay.wait();
                let pid = rustix::process::Pid::from_raw(sidecar.id().try_into().unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                client.join().unwrap()
            });
            sidecar.wait();
            statuses.insert(row, reply.status);
        }
        self.prepare(write, "relayed");
        let mut sidecar = self.start(LATER, "");
        statuses.insert("relayed", self.write(&sidecar, write, "relayed").status);
        sidecar.kill();

        let sidecar = self.start(SOON, "");
        let admin = Curl::direct(&self.work, &sidecar.admin(""));
        // These rows left an intent: intended, half-out, all-out, answered, append.
        until("every intent to be settled", || {
            let page = admin.get("/metrics").text();
            let settled = page.lines().filter(|l| l.starts_with("pushbell_proxy_settled_total"));
            let count: u32 =
                settled.map(|l| l.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum();
            (count >= 5).then_some(())
        });
        // A push behind all of them: when it is told, they are.
        let last = Write::Tag;
        assert_eq!(self.write(&sidecar, last, "last").status, 201);
        let events = until("the last event", || {
            let events: HashMap<String, Value> = self
                .receiver
                .requests()
                .iter()
                .map(|r| (r.header("webhook-id").unwrap().to_owned(), r.json()))
                .collect();
            events.values().any(|event| event["data"]["tag"] == "last").then_some(events)
        });
        let told = |row: &str| {
            let digest = sha256(&self.manifest(row));
            let of_row = events.values().filter(|event| event["data"]["digest"] == digest);
            of_row
                .map(|event| {
                    let data = &event["data"];
                    let tag = data["tag"].as_str().map(str::to_owned);
                    (tag, word(&data["outcome"]), word(&data["evidence"]))
                })
                .collect()
        };
        statuses
            .into_iter()
            .map(|(row, status)| (row, Told { status, events: told(row) }))
            .collect()
    }
}

fn word(value: &Value) -> &'static str {
    let words = ["confirmed", "unconfirmed", "response", "look", "none"];
    words.into_iter().find(|word| value == word).unwrap()
}

/// Every row of the table must have come out as it is written.
#[track_caller]
fn check(write: Write, success: u16) {
    let told = Scene::open().run(write);
    for (row, told) in &told {
        let tag = match write {
            Write::Tag => Some((*row).to_owned()),
            Write::Digest | Write::Tags | Write::Delete => None,
        };
        let by_look = match write {
            // Docker Distribution 2 makes no tag of `?tag=`, and a look cannot tell that from one that is
            // gone: the event says that nobody knows.
            Write::Tags => (Some((*row).to_owned()), "unconfirmed", "none"),
            _ => (tag.clone(), "confirmed", "look"),
        };
        let by_answer = (tag, "confirmed", "response");
        let expected = match *row {
            "held" | "intend" | "intended" | "half-out" => Told { status: 0, events: vec![] },
            "all-out" | "answered" | "append" => Told { status: 0, events: vec![by_look] },
            "recorded" => Told { status: 0, events: vec![by_answer] },
            "relayed" => Told { status: success, events: vec![by_answer] },
            row => panic!("{row}"),
        };
        assert_eq!(*told, expected, "{row}");
    }
    assert_eq!(told.len(), 9);
}

#[test]
fn a_push_by_tag_is_told_exactly_if_it_was_applied_wherever_we_die() {
    if !has_points() {
        return;
    }
    check(Write::Tag, 201);
}

#[test]
fn a_push_by_digest_is_told_exactly_if_it_was_applied_wherever_we_die() {
    if !has_points() {
        return;
    }
    check(Write::Digest, 201);
}

#[test]
fn a_push_that_asks_for_a_tag_is_told_exactly_if_it_was_applied_wherever_we_die() {
    if !has_points() {
        return;
    }
    check(Write::Tags, 201);
}

#[test]
fn a_delete_is_told_exactly_if_it_was_applied_wherever_we_die() {
    if !has_points() {
        return;
    }
    check(Write::Delete, 202);
}

#[test]
fn a_settling_that_is_cut_off_begins_again_and_makes_one_event() {
    if !has_points() {
        return;
    }
    let scene = Scene::open();
    for (more, point) in [(LATER, "answered"), (SOON, "looked"), (SOON, "append")] {
        let mut sidecar = scene.start(more, point);
        if point == "answered" {
            assert_eq!(scene.write(&sidecar, Write::Tag, "1.0").status, 0);
        }
        assert_eq!(sidecar.wait().code(), None, "{point}: {}", sidecar.printed());
    }
    let sidecar = scene.start(SOON, "");
    let first = scene.receiver.wait_for(1).remove(0);
    assert_eq!(first.json()["data"]["evidence"], "look");
    assert_eq!(scene.write(&sidecar, Write::Tag, "last").status, 201);
    let all = scene.receiver.wait_for(2);
    assert_eq!(all[1].json()["data"]["tag"], "last", "one event each");
}

#[test]
fn what_a_receiver_took_is_told_twice_at_most_and_as_the_same() {
    if !has_points() {
        return;
    }
    let scene = Scene::open();
    let mut sidecar = scene.start(LATER, "record");
    assert_eq!(scene.write(&sidecar, Write::Tag, "1.0").status, 201);
    assert_eq!(sidecar.wait().code(), None, "{}", sidecar.printed());
    let _sidecar = scene.start(LATER, "");
    let requests = scene.receiver.wait_for(2);
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].json(), requests[1].json());
}

/// A sidecar in front of a registry that does as the test says, with nobody to tell.
fn before(registry: &Scripted, more: &str) -> (Workdir, Sidecar) {
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), more);
    (work, sidecar)
}

/// Answers a write with 500, and a look as this says by the path it asks for.
fn failing(look: impl Fn(&str) -> String + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            if head.starts_with("HEAD ") {
                let answer = look(head.split(' ').nth(1).unwrap());
                conversation.say(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n"));
            } else {
                let put = head.starts_with("PUT ");
                conversation.body(if put { 2 } else { 0 });
                conversation.say("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
            }
        }
    })
}

fn ours() -> String {
    sha256(b"{}")
}

#[test]
fn a_failure_that_hides_a_push_is_looked_behind() {
    // Before the push nothing is there; afterwards the tag is.
    let registry = failing(|_| format!("200 OK\r\nDocker-Content-Digest: {}", ours()));
    let (work, sidecar) = before(&registry, "settle: { first_look: 50ms }\n");
    let reply = Curl::through(&work, &sidecar).put("team/app", "1.0", IMAGE, b"{}");
    assert_eq!(reply.status, 500, "the client gets the registry's own answer");
    let what = [
        ("message", "Event recorded"),
        ("tag", "1.0"),
        ("outcome", "confirmed"),
        ("evidence", "look"),
    ];
    sidecar.wait_for_log("the event", &what);
}

#[test]
fn what_the_registry_does_not_have_makes_no_event() {
    let registry = failing(|_| "404 Not Found".to_owned());
    let (work, sidecar) = before(&registry, SOON);
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.put("team/app", "1.0", IMAGE, b"{}").status, 500);
    sidecar.wait_for_log("the verdict", &[("repository", "team/app"), ("action", "push")]);
    until("the verdict", || sidecar.printed().contains("did not apply it").then_some(()));
    assert!(!sidecar.printed().contains("Event recorded"));
}

#[test]
fn a_tag_that_moved_on_leaves_an_event_that_says_what_it_names_now() {
    let other = sha256(b"another");
    let now = other.clone();
    let registry = failing(move |path| {
        let digest = if path.ends_with("/1.0") { now.clone() } else { ours() };
        format!("200 OK\r\nDocker-Content-Digest: {digest}")
    });
    let work = Workdir::new();
    let pki = Pki::new(&work, "receiver-pki");
    let receiver = Receiver::start(&pki, Asks::Nothing);
    let endpoint = format!(
        "endpoints: [{{ name: build, url: \"{}\", tls: {{ ca: {} }} }}]\n{SOON}",
        receiver.url("/hook"),
        pki.ca().display()
    );
    let sidecar = Sidecar::before(&work, &registry.url(), &endpoint);
    assert_eq!(Curl::through(&work, &sidecar).put("team/app", "1.0", IMAGE, b"{}").status, 500);
    let data = receiver.wait_for(1)[0].json()["data"].clone();
    assert_eq!(data["outcome"], "unconfirmed");
    assert_eq!(data["evidence"], "none");
    assert_eq!(data["current_digest"], other);
    assert_eq!(data["digest"], ours());
}

#[test]
fn looks_that_are_refused_to_strangers_end_at_once() {
    let registry = failing(|_| "401 Unauthorized".to_owned());
    let (work, sidecar) = before(&registry, "settle: { first_look: 50ms }\n");
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.put("team/app", "1.0", IMAGE, b"{}").status, 500);
    let delete = ["--request", "DELETE"];
    assert_eq!(curl.call("/v2/team/app/manifests/1.0", &delete).status, 500);
    for action in ["push", "delete"] {
        let what = [("message", "Event recorded"), ("action", action), ("outcome", "unconfirmed")];
        sidecar.wait_for_log("the event", &what);
    }
}

#[test]
fn looks_never_carry_what_a_client_lent_us() {
    let registry = failing(|_| "404 Not Found".to_owned());
    let (work, sidecar) = before(&registry, SOON);
    let curl = Curl::through(&work, &sidecar).with(&["--user", "ci-bot:secret"]);
    assert_eq!(curl.put("team/app", "1.0", IMAGE, b"{}").status, 500);
    until("a look", || sidecar.printed().contains("did not apply it").then_some(()));
    let heads = registry.heads();
    let looks: Vec<_> = heads.iter().filter(|head| head.starts_with("HEAD ")).collect();
    assert!(looks.len() >= 2, "{heads:?}");
    for look in looks {
        let look = look.to_ascii_lowercase();
        assert!(!look.contains("authorization"), "{look}");
        assert!(look.contains("(look)"), "{look}");
    }
    let kept = std::fs::read(work.join("state/outbox/outbox.db")).unwrap();
    let log = std::fs::read(work.join("state/outbox/outbox.db-wal")).unwrap_or_default();
    let secret = b"Y2ktYm90OnNlY3JldA";
    assert!(![kept, log].iter().any(|file| file.windows(secret.len()).any(|w| w == secret)));
}

#[test]
fn what_weakens_the_promise_is_said() {
    for (intent, parts) in [("sync", 0), ("async", 1), ("off", 1)] {
        let stage = Stage::with(
            "dialect: native\n",
            &format!("outbox: {{ intent: {intent} }}\n"),
            Registry::start,
        );
        let image = Image::new(&stage.work, "any");
        assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
        stage.receiver.wait_for(1);
        let ready = stage.admin().get("/readyz").json();
        let said = ready["degraded"].as_array().unwrap().iter().filter(|d| d["part"] == "intents");
        assert_eq!(said.count(), parts, "{intent}: {ready}");
        let unintended = format!("pushbell_proxy_unintended_total {}\n", u8::from(intent == "off"));
        let page = stage.admin().get("/metrics").text();
        assert!(page.contains(&unintended), "{intent}: {page}");
    }
}

/// The tests above prove something only if they fail where there are no intents.
#[test]
fn without_intents_nobody_hears_of_a_push_that_we_did_not_live_to_see_answered() {
    if !has_points() {
        return;
    }
    let scene = Scene::open();
    let off = format!("outbox: {{ intent: off }}\n{LATER}");
    let mut sidecar = scene.start(&off, "answered");
    assert_eq!(scene.write(&sidecar, Write::Tag, "1.0").status, 0);
    assert_eq!(sidecar.wait().code(), None, "{}", sidecar.printed());
    assert_eq!(scene.direct().manifest("team/app", "1.0").status, 200, "the registry has it");
    let sidecar = scene.start(SOON, "");
    assert_eq!(scene.write(&sidecar, Write::Tag, "last").status, 201);
    assert_eq!(scene.receiver.wait_for(1)[0].json()["data"]["tag"], "last");
}

#[test]
fn a_release_knows_no_points() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_pushbell")).unwrap();
    let name = b"PUSHBELL_POINT";
    let known = binary.windows(name.len()).any(|window| window == name);
    assert_eq!(known, cfg!(debug_assertions));
}
