//! The registry's own notifications: a second witness, and never a second event.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;

use crate::support::Asks;
use crate::support::Curl;
use crate::support::Http;
use crate::support::Image;
use crate::support::Pki;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::command;
use crate::support::free_port;
use crate::support::until;

const TOKEN: &str = "a-token-of-the-registry-alone";
const PATH_TOKEN: &str = "0123456789abcdefABCDEF0123456789";

/// A sidecar with sources, a registry behind it, and a receiver.
struct Scene {
    sidecar: Sidecar,
    receiver: Receiver,
    registry: Registry,
    work: Workdir,
    yaml: String,
    port: u16,
}

impl Scene {
    /// `told` is what the registry is told of us, from our port; `more` stands at the end of the file.
    fn open(more: &str, told: impl Fn(u16) -> String) -> Self {
        Self::asked("push, delete", more, told)
    }

    /// The same with an endpoint that asks for these actions.
    fn asked(actions: &str, more: &str, told: impl Fn(u16) -> String) -> Self {
        let work = Workdir::new();
        let port = free_port();
        let registry = Registry::with(&work, Http::Plain, &told(port));
        let pki = Pki::new(&work, "receiver-pki");
        let receiver = Receiver::start(&pki, Asks::Nothing);
        let endpoint = format!("when: {{ actions: [{actions}], untagged: true }}\n");
        let token = work.write_secret("token", TOKEN);
        let path_token = work.write_secret("path-token", PATH_TOKEN);
        let yaml = Stage::file(&work, &registry, &pki, &receiver.url("/hook"), &endpoint);
        let yaml = yaml.replace(
            "state:",
            &format!("  - {{ address: \"127.0.0.1:{port}\", serve: [hooks] }}\nstate:"),
        ) + &format!(
            "sources:\n\
             \x20 - {{ name: from-registry, kind: distribution, auth: {{ bearer_file: {} }} }}\n\
             \x20 - {{ name: by-path, kind: distribution, auth: {{ path_token_file: {} }}, repositories: [\"team/**\"] }}\n\
             {more}",
            token.display(),
            path_token.display(),
        );
        let sidecar = Sidecar::with_file(&work, &yaml);
        Self { sidecar, receiver, registry, work, yaml, port }
    }

    fn told(more: &str) -> Self {
        Self::open(more, notifications)
    }

    fn curl(&self) -> Curl {
        Curl::through(&self.work, &self.sidecar)
    }

    /// The status and body of the answer to this body.
    fn post(&self, path: &str, headers: &[&str], body: &[u8]) -> (u16, String) {
        post(self.port, path, headers, body)
    }

    fn tell(&self, body: &Value) -> u16 {
        let bearer = format!("Authorization: Bearer {TOKEN}");
        self.post("from-registry", &[&bearer], body.to_string().as_bytes()).0
    }

    fn metric(&self, name: &str) -> u64 {
        let page = Curl::direct(&self.work, &self.sidecar.admin("")).get("/metrics").text();
        let value =
            |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
        page.lines().filter(|line| line.starts_with(name)).filter_map(value).sum()
    }
}

fn notifications(port: u16) -> String {
    format!(
        "notifications:\n  endpoints:\n    - name: pushbell\n      \
         url: http://127.0.0.1:{port}/_pushbell/hooks/from-registry\n      \
         headers: {{ Authorization: [Bearer {TOKEN}] }}\n      \
         timeout: 5s\n      threshold: 3\n      backoff: 1s\n"
    )
}

fn post(port: u16, path: &str, headers: &[&str], body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST /_pushbell/hooks/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Whoever is refused early need not read all of it.
    stream.write_all(body).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn envelope(id: &str, repository: &str, tag: &str, digest: &str) -> Value {
    let now = time::OffsetDateTime::now_utc();
    let stamp = now.format(&time::format_description::well_known::Rfc3339).unwrap();
    json!({ "events": [{
        "id": id, "timestamp": stamp, "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 100,
            "digest": digest, "repository": repository, "tag": tag,
        },
        "request": { "id": "r", "addr": "203.0.113.7", "host": "evil.example.com", "method": "PUT", "useragent": "docker" },
        "actor": { "name": "somebody" },
    }]})
}

fn digest(of: &str) -> String {
    crate::support::sha256(of.as_bytes())
}

#[test]
fn a_push_that_the_registry_tells_of_too_is_one_event() {
    let scene = Scene::told("");
    let curl = scene.curl();
    let images: Vec<Image> =
        (0..20).map(|n| Image::new(&scene.work, &format!("image {n}"))).collect();
    let mut pushed = 0;
    for (number, image) in images.iter().enumerate() {
        for _ in 0..1 + number % 2 {
            assert_eq!(curl.push("team/app", &format!("t{number}"), image).status, 201);
            pushed += 1;
        }
    }
    let linked =
        || scene.metric("pushbell_ingest_reports_total{source=\"from-registry\",became=\"linked\"");
    until("every notification to be linked", || (linked() >= pushed).then_some(()));
    assert_eq!(linked(), pushed);
    let requests = scene.receiver.wait_for(usize::try_from(pushed).unwrap());
    let seen_twice = requests
        .iter()
        .filter(|request| request.json()["data"]["seen_by"] == json!(["proxy", "from-registry"]))
        .count();
    assert!(seen_twice > 0, "most notifications come before the answer");
    assert!(requests.iter().all(|request| request.json()["data"]["origin"] == "proxy"));
    let ids: BTreeSet<String> =
        requests.iter().map(|r| r.json()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), requests.len());
    assert_eq!(scene.metric("pushbell_outbox_appends_total"), pushed);
    assert_eq!(scene.metric("pushbell_ingest_held"), 0);
}

#[test]
fn a_push_that_bypassed_us_is_one_event_as_soon_as_a_look_sees_it() {
    let scene = Scene::told("match: { hold: 10m }\n");
    let image = Image::new(&scene.work, "past us");
    let direct = Curl::direct(&scene.work, &scene.registry.url());
    let started = Instant::now();
    assert_eq!(direct.push("team/app", "1.0", &image).status, 201);
    let event = scene.receiver.wait_for(1)[0].json();
    assert!(started.elapsed() < Duration::from_secs(60), "long before the hold is over");
    let data = &event["data"];
    for (field, expected) in [
        ("origin", json!("notification")),
        ("seen_by", json!(["from-registry"])),
        ("evidence", json!("notification")),
        ("outcome", json!("confirmed")),
        ("registry", json!("registry.example.com")),
        ("repository", json!("team/app")),
        ("tag", json!("1.0")),
        ("digest", json!(image.digest())),
    ] {
        assert_eq!(data[field], expected, "{field}");
    }
    // Our look at it was reported, too, and is no event.
    assert_eq!(scene.metric("pushbell_outbox_appends_total"), 1);
    // The same content through us is another push.
    assert_eq!(scene.curl().push("team/app", "1.0", &image).status, 201);
    assert_eq!(scene.receiver.wait_for(2)[1].json()["data"]["change"], "unchanged");
}

#[test]
fn a_mount_that_the_registry_tells_of_too_is_one_event() {
    let scene = Scene::asked("mount", "match: { hold: 2s }\n", notifications);
    let curl = scene.curl();
    curl.blob("team/base", b"a layer that others take over");
    let blob = digest("a layer that others take over");
    let mount = |curl: &Curl, repository: &str| {
        let path = format!("/v2/{repository}/blobs/uploads/?mount={blob}&from=team/base");
        assert_eq!(curl.call(&path, &["--request", "POST"]).status, 201);
    };
    let mounted = 10;
    for number in 0..mounted {
        // Some are the same again.
        mount(&curl, &format!("team/app{}", number / 2));
    }
    let linked =
        || scene.metric("pushbell_ingest_reports_total{source=\"from-registry\",became=\"linked\"");
    // One that came before its exchange was recorded waited for it.
    let held =
        || scene.metric("pushbell_ingest_reports_total{source=\"from-registry\",became=\"held\"");
    until("every mount to be told twice", || (linked() + held() >= mounted).then_some(()));
    until("nothing to wait", || (scene.metric("pushbell_ingest_held") == 0).then_some(()));
    let requests = scene.receiver.wait_for(usize::try_from(mounted).unwrap());
    assert!(requests.iter().all(|request| request.json()["data"]["origin"] == "proxy"));
    assert_eq!(scene.metric("pushbell_outbox_appends_total"), mounted);
    // One that bypassed us is an event when it has waited.
    let mut past = envelope("past", "team/past", "1.0", &blob);
    past["events"][0]["action"] = json!("mount");
    past["events"][0]["target"] = json!({
        "mediaType": "application/octet-stream", "size": 29, "digest": blob,
        "repository": "team/past", "fromRepository": "team/base",
    });
    assert_eq!(scene.tell(&past), 200);
    let told = scene.receiver.wait_for(usize::try_from(mounted + 1).unwrap()).pop().unwrap();
    let data = &told.json()["data"];
    assert_eq!((&data["origin"], &data["action"]), (&json!("notification"), &json!("mount")));
    assert_eq!((&data["repository"], &data["digest"]), (&json!("team/past"), &json!(blob)));
    assert_eq!(scene.metric("pushbell_outbox_appends_total"), mounted + 1);
}

#[test]
fn who_sends_slowly_keeps_nobody_out() {
    let scene = Scene::told("match: { hold: 10m }\n");
    let begin = |sent: usize| {
        let mut stream = TcpStream::connect(("127.0.0.1", scene.port)).unwrap();
        let head = format!(
            "POST /_pushbell/hooks/from-registry HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Length: 1000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; sent]).unwrap();
        stream
    };
    // More than there is room for large bodies: of some a byte has come, of others more than most have.
    let slow: Vec<TcpStream> =
        (0..160).map(|n| begin(if n % 2 == 0 { 1 } else { 70_000 })).collect();
    let started = Instant::now();
    assert_eq!(scene.tell(&envelope("1", "team/app", "1.0", &digest("nowhere"))), 200);
    assert!(started.elapsed() < Duration::from_secs(20), "long before the slow ones are given up");
    drop(slow);
}

#[test]
fn what_could_not_be_used_is_listed_and_read_again() {
    let mut scene = Scene::told("match: { hold: 100ms }\n");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(scene.post("from-registry", &[&bearer], b"not JSON").0, 200);
    let other = envelope("1", "other/app", "1.0", &digest("x")).to_string();
    assert_eq!(scene.post(&format!("by-path/{PATH_TOKEN}"), &[], other.as_bytes()).0, 200);
    let ask = |scene: &Scene, words: &[&str]| {
        let admin = scene.sidecar.address("admin").to_string();
        command(&scene.work, &[&["events"], words, &["--admin", &admin]].concat())
    };
    let list = |scene: &Scene| {
        let listed = ask(scene, &["list", "--quarantined", "--json"]).ok().out;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["quarantined"].as_array().unwrap().clone()
    };
    let rows = list(&scene);
    let sources: Vec<&Value> = rows.iter().map(|row| &row["source"]).collect();
    assert_eq!(sources, ["by-path", "from-registry"], "the latest first");
    assert_eq!((&rows[0]["body"], &rows[1]["body"]), (&json!(other), &json!("not JSON")));
    let numbers: Vec<String> = rows.iter().map(|row| row["number"].to_string()).collect();
    let table = ask(&scene, &["list", "--quarantined"]).ok().out;
    assert!(table.starts_with("NUMBER") && table.contains("may not speak for"), "{table}");
    for number in &numbers {
        let refused = ask(&scene, &["replay", "--quarantined", number]);
        assert!(refused.code == 1 && refused.err.contains("and stays"), "{refused:?}");
    }
    assert!(ask(&scene, &["replay", "--quarantined", "999"]).err.contains("no such"));
    assert_eq!(list(&scene).len(), 2);
    // It may speak for others, too, from now on.
    scene.sidecar.stop();
    let yaml = scene.yaml.replace("[\"team/**\"]", "[\"**\"]");
    scene.sidecar = Sidecar::with_file(&scene.work, &yaml);
    let replayed = ask(&scene, &["replay", "--quarantined", &numbers[0]]).ok().out;
    // Whether its hold is over by now nobody knows.
    assert!(["held\n", "event\n"].iter().any(|end| replayed.ends_with(end)), "{replayed}");
    assert_eq!(scene.receiver.wait_for(1)[0].json()["data"]["repository"], "other/app");
    assert_eq!(list(&scene).len(), 1);
}

#[test]
fn what_the_registry_does_not_have_waits_to_the_end_also_over_a_restart() {
    let mut scene = Scene::told("match: { hold: 3s }\n");
    let told = envelope("1", "team/app", "1.0", &digest("nowhere"));
    for _ in 0..3 {
        assert_eq!(scene.tell(&told), 200);
    }
    scene.sidecar.kill();
    scene.sidecar = Sidecar::with_file(&scene.work, &scene.yaml);
    let event = scene.receiver.wait_for(1)[0].json();
    assert_eq!(event["data"]["digest"], digest("nowhere"));
    assert_eq!(event["data"]["registry"], "registry.example.com", "never what a stranger says");
    assert_eq!(scene.tell(&told), 200);
    assert_eq!(
        scene.metric("pushbell_ingest_reports_total{source=\"from-registry\",became=\"repeated\""),
        1
    );
    scene.sidecar.stop();
    assert_eq!(scene.receiver.requests().len(), 1);
}

#[test]
fn evidence_never_makes_an_event() {
    let scene = Scene::told("match: { hold: 200ms }\ningest: { mode: evidence }\n");
    assert_eq!(scene.tell(&envelope("1", "team/app", "1.0", &digest("nowhere"))), 200);
    let dropped = "pushbell_ingest_reports_total{source=\"from-registry\",became=\"dropped\"";
    until("it to be dropped", || (scene.metric(dropped) == 1).then_some(()));
    let image = Image::new(&scene.work, "seen");
    assert_eq!(scene.curl().push("team/app", "1.0", &image).status, 201);
    assert_eq!(scene.receiver.wait_for(1)[0].json()["data"]["origin"], "proxy");
    assert_eq!(scene.metric("pushbell_outbox_appends_total"), 1);
}

#[test]
fn each_stranger_gets_the_answer_it_needs() {
    let scene = Scene::told("match: { hold: 100ms }\n");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let good = envelope("1", "team/app", "1.0", &digest("x")).to_string();
    let other = envelope("2", "other/app", "1.0", &digest("x")).to_string();
    let by_path = format!("by-path/{PATH_TOKEN}");
    let wrong_path = format!("by-path/{PATH_TOKEN}x");
    let large = vec![b' '; (1 << 20) + 1];
    let many = json!({ "events": vec![json!({}); 1001] }).to_string();
    for (path, headers, body, expected) in [
        ("from-registry", &[bearer.as_str()][..], good.as_bytes(), 200),
        ("from-registry", &[bearer.as_str()], good.as_bytes(), 200),
        ("from-registry", &[], good.as_bytes(), 401),
        ("from-registry", &["Authorization: Bearer wrong"], good.as_bytes(), 401),
        ("from-registry", &[bearer.as_str(), "Authorization: Bearer wrong"], good.as_bytes(), 401),
        (&by_path, &[], good.as_bytes(), 200),
        (&wrong_path, &[], good.as_bytes(), 401),
        ("by-path", &[], good.as_bytes(), 401),
        ("nobody", &[bearer.as_str()], good.as_bytes(), 404),
        ("", &[], good.as_bytes(), 404),
        ("from-registry", &[bearer.as_str(), "Content-Encoding: gzip"], good.as_bytes(), 415),
        ("from-registry", &[bearer.as_str()], &large, 413),
        // Authentic, and of no use: kept, or the registry would repeat it for ever.
        ("from-registry", &[bearer.as_str()], b"not JSON", 200),
        ("from-registry", &[bearer.as_str()], b"{\"events\": [], \"events\": []}", 200),
        ("from-registry", &[bearer.as_str()], many.as_bytes(), 200),
        (&by_path, &[], other.as_bytes(), 200),
    ] {
        let (status, answer) = scene.post(path, headers, body);
        assert_eq!(status, expected, "{path} {headers:?}: {answer}");
        assert!(!answer.contains(TOKEN) && !answer.contains(PATH_TOKEN));
    }
    let counted = |source: &str, answer: &str| {
        scene.metric(&format!(
            "pushbell_ingest_notifications_total{{source=\"{source}\",answer=\"{answer}\"}}"
        ))
    };
    assert_eq!(counted("from-registry", "quarantined"), 3);
    assert_eq!(counted("by-path", "quarantined"), 1);
    assert_eq!(counted("from-registry", "unauthorized"), 3);
    // Two sources told of one push: it is one event.
    let event = scene.receiver.wait_for(1)[0].json();
    assert_eq!(event["data"]["repository"], "team/app");
    let ready = Curl::direct(&scene.work, &scene.sidecar.admin("")).get("/readyz").text();
    assert!(ready.contains("kept in quarantine") && ready.contains("refused"), "{ready}");
    let printed = scene.sidecar.printed();
    assert!(!printed.contains(TOKEN) && !printed.contains(PATH_TOKEN));
}

#[test]
fn a_registry_and_hooks_share_a_listener_and_only_our_paths_are_ours() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let yaml = format!(
        "registry: {{ name: registry.example.com, upstream: \"{}\" }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [localhost] }} }} }}\n\
         listeners: [{{ address: \"127.0.0.1:0\", serve: [registry, hooks], identity: registry }}]\n\
         sources: [{{ name: any, kind: distribution, insecure_anonymous: true }}]\n",
        registry.url()
    );
    let sidecar = Sidecar::with_file(&work, &yaml);
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.get("/v2/").status, 200);
    assert_eq!(curl.get("/_pushbell/hooks/any").status, 405);
    assert_eq!(curl.get("/_pushbell/healthz").status, 404);
    assert_eq!(curl.get("/_pushbellx").status, 404);
}

/// Rule S5: the registry broke off, its looks say nothing, and its notification says that it was applied.
#[test]
fn a_notification_confirms_a_push_whose_answer_nobody_saw() {
    let work = Workdir::new();
    let upstream = Scripted::start(|mut client| {
        while let Some(head) = client.head() {
            if head.starts_with("PUT") {
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                });
                client.body(length.unwrap());
                return client.reset();
            }
            client.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let more = "settle: { first_look: 1s }\n\
        sources: [{ name: any, kind: distribution, insecure_anonymous: true }]\n";
    let port = free_port();
    let hooks = format!("  - {{ address: \"127.0.0.1:{port}\", serve: [hooks] }}\n{more}");
    let sidecar = Sidecar::before(&work, &upstream.url(), &hooks);
    let image = Image::new(&work, "unanswered");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.put("team/app", "1.0", kind, &image.manifest).status, 502);
    let told = envelope("1", "team/app", "1.0", &image.digest());
    assert_eq!(post(port, "any", &[], told.to_string().as_bytes()).0, 200);
    sidecar.wait_for_log(
        "what the notification proves",
        &[("message", "Event recorded"), ("evidence", "notification"), ("outcome", "confirmed")],
    );
}

/// What `check` prints is what a registry needs, over TLS with our own CA.
#[test]
fn a_registry_configured_as_check_says_is_heard() {
    let work = Workdir::new();
    let token = work.write_secret("token", TOKEN);
    let port = free_port();
    // The registry's address has to be known before it runs: it is started twice.
    let mut registry = Registry::start(&work);
    let yaml = format!(
        "registry: {{ name: registry.example.com, upstream: \"{}\" }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [localhost, 127.0.0.1] }} }} }}\n\
         listeners:\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n\
         \x20 - {{ address: \"127.0.0.1:{port}\", serve: [hooks], identity: registry }}\n\
         sources: [{{ name: from-registry, kind: distribution, auth: {{ bearer_file: {} }} }}]\n",
        registry.url(),
        token.display()
    );
    let sidecar = Sidecar::with_file(&work, &yaml);
    let file = work.join("pushbell.yaml");
    let words = ["check", "--print-registry-config", "distribution", "--config"];
    let done = command(&work, &[&words[..], &[file.to_str().unwrap()]].concat()).ok();
    assert!(done.out.contains("Bearer ") && !done.out.contains(TOKEN), "{}", done.out);
    let block =
        done.out.replace("<the token in ", "").replace(&format!("{}>", token.display()), TOKEN);
    assert!(block.contains(TOKEN), "{block}");
    registry.reconfigure(&block, &sidecar.ca());
    let image = Image::new(&work, "told over TLS");
    assert_eq!(Curl::through(&work, &sidecar).push("team/app", "1.0", &image).status, 201);
    sidecar.wait_for_log("the event", &[("message", "Event recorded"), ("repository", "team/app")]);
    let direct = Image::new(&work, "past us");
    assert_eq!(Curl::direct(&work, &registry.url()).push("team/app", "2.0", &direct).status, 201);
    sidecar.wait_for_log(
        "the event that was only told",
        &[("message", "Event recorded from a notification"), ("tag", "2.0")],
    );
}

/// Pushes by four clients at once, a third of them repeats. Who stands between the registry and us passes its
/// notifications on late, thrice and shuffled.
#[test]
fn as_many_events_as_pushes_however_the_notifications_come() {
    const CLIENTS: usize = 4;
    let pushes = if crate::support::long() { 200 } else { 30 };
    let kept: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let into = Arc::clone(&kept);
    let between = Scripted::start(move |mut registry| {
        while let Some(head) = registry.head() {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let body = registry.body(length.unwrap().parse().unwrap());
            into.lock().unwrap().push(body);
            registry.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let scene = Scene::open("match: { hold: 2s }\n", |_| {
        format!(
            "notifications:\n  endpoints:\n    - {{ name: between, url: \"{}\", timeout: 5s, threshold: 3, backoff: 1s }}\n",
            between.url()
        )
    });
    // Each client has images of its own. Docker Distribution 2.8.2 on a file system writes its repository's link to a
    // blob anew with every upload, and whoever puts a manifest meanwhile gets 400 DIGEST_INVALID and
    // MANIFEST_BLOB_UNKNOWN. That is without us: of 400 pushes that four clients sent straight to it, with three images
    // in one repository, it refused 13; with a repository for each client, none.
    let images: Vec<Vec<Image>> = (0..CLIENTS)
        .map(|c| (0..3).map(|n| Image::new(&scene.work, &format!("image {c} {n}"))).collect())
        .collect();
    thread::scope(|scope| {
        for (client, images) in images.iter().enumerate() {
            let curl = scene.curl();
            scope.spawn(move || {
                for number in 0..pushes {
                    // Every third is the same content under the same tag as the one before.
                    let same = number - usize::from(number % 3 == 2);
                    let reply =
                        curl.push("team/app", &format!("c{client}-t{same}"), &images[same % 3]);
                    assert_eq!(reply.status, 201, "{}", reply.text());
                }
            });
        }
    });
    let all = CLIENTS * pushes;
    let about_manifests = |body: &&Vec<u8>| {
        let body: Value = serde_json::from_slice(body).unwrap();
        let event = &body["events"][0];
        event["action"] == "push" && event["target"]["tag"].is_string()
    };
    let told = until("every notification", || {
        let told: Vec<_> = kept.lock().unwrap().iter().filter(about_manifests).cloned().collect();
        (told.len() == all).then_some(told)
    });
    let mut told: Vec<Vec<u8>> = [&told[..], &told[..], &told[..]].concat();
    fastrand::Rng::with_seed(7).shuffle(&mut told);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for body in &told {
        assert_eq!(scene.post("from-registry", &[&bearer], body).0, 200);
    }
    let became = |what: &str| {
        scene.metric(&format!(
            "pushbell_ingest_reports_total{{source=\"from-registry\",became=\"{what}\"}}"
        ))
    };
    let all = u64::try_from(all).unwrap();
    until("nothing to wait", || (scene.metric("pushbell_ingest_held") == 0).then_some(()));
    assert_eq!((became("linked"), became("repeated"), became("event")), (all, 2 * all, 0));
    assert_eq!(scene.metric("pushbell_outbox_appends_total"), all);
}

#[test]
fn receivers_find_our_public_keys_beside_the_hooks_and_no_page_of_operators() {
    let scene = Scene::open("", |_| String::new());
    let curl = Curl::direct(&scene.work, &format!("http://127.0.0.1:{}", scene.port));
    let reply = curl.get("/_pushbell/keys");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json(), json!({ "keys": [] }), "nothing here is signed with a key pair");
    for page in ["/_pushbell/readyz", "/_pushbell/metrics", "/_pushbell/api/v1/events"] {
        assert_eq!(curl.get(page).status, 404, "{page}");
    }
}
