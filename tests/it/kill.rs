//! Killed at any instant, under pushing clients, in front of a real registry: what was acknowledged is
//! delivered, what was applied is told, and nothing else is.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use serde_json::Value;

use crate::support::Image;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::has_points;
use crate::support::long;
use crate::support::until;
use crate::support::until_none;

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Looks come soon, and the registry is believed to be done with a push after this long.
pub(crate) const SOON: &str = "settle: { first_look: 50ms }\nlimits: { upstream_manifest: 4s }\n";

/// What the clients of one run know.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) acknowledged: BTreeSet<String>,
    /// Pushes that were under way when the sidecar was killed.
    pub(crate) open: BTreeSet<String>,
}

/// What there was when everything had settled.
struct Ended {
    known: Known,
    applied: BTreeSet<String>,
    /// By tag, how each event of it is known.
    told: HashMap<String, Vec<String>>,
    slowest: Duration,
}

/// A stage in which only the sidecar is mortal, with the blobs of an image in the registry.
fn stage(more: &str) -> (Stage, Image) {
    let stage = Stage::with("dialect: native\nconcurrency: 64\n", more, Registry::start);
    let image = Image::new(&stage.work, "under fire");
    assert_eq!(stage.direct().push("team/app", "before", &image).status, 201);
    (stage, image)
}

/// A manifest that no other push has.
pub(crate) fn manifest(image: &Image, tag: &str) -> Vec<u8> {
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["annotations"] = serde_json::json!({ "tag": tag });
    manifest.to_string().into_bytes()
}

/// Clients push one tag after the other until the sidecar dies in their midst, at another moment in each round.
pub(crate) fn push_until(
    stage: &mut Stage,
    image: &Image,
    round: usize,
    known: &mut Known,
    die: impl FnOnce(&mut Sidecar),
) {
    const CLIENTS: usize = 8;
    let killed = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let curls: Vec<_> = (0..CLIENTS).map(|_| stage.curl()).collect();
    let killer = &mut stage.sidecar;
    // After another number of answers in each round, and then at any moment of what comes next.
    let (answers, after) = (round % 7 + 1, Duration::from_micros((round as u64 * 7_919) % 30_000));
    let pushed = thread::scope(|scope| {
        let clients: Vec<_> = curls
            .iter()
            .enumerate()
            .map(|(client, curl)| {
                let (killed, answered) = (&killed, &answered);
                scope.spawn(move || {
                    let mut pushed = Vec::new();
                    for n in 0.. {
                        let tag = format!("{round}-{client}-{n}");
                        let reply = curl.put("team/app", &tag, IMAGE, &manifest(image, &tag));
                        pushed.push((tag, reply.status == 201));
                        answered.fetch_add(1, Ordering::SeqCst);
                        if killed.load(Ordering::SeqCst) {
                            break;
                        }
                    }
                    pushed
                })
            })
            .collect();
        until("some answers", || (answered.load(Ordering::SeqCst) >= answers).then_some(()));
        thread::sleep(after);
        killed.store(true, Ordering::SeqCst);
        die(killer);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    for (tag, acknowledged) in pushed {
        if acknowledged {
            known.acknowledged.insert(tag);
        } else {
            known.open.insert(tag);
        }
    }
}

/// So many kills, and then a life in which everything settles.
fn run(kills: usize, more: &str) -> Ended {
    let (mut stage, image) = stage(more);
    let mut known = Known::default();
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        // Every other round the receiver is away, so that both ends of a delivery are cut off.
        let away = round % 2 == 1;
        if away {
            stage.receiver.down();
        }
        push_until(&mut stage, &image, round, &mut known, Sidecar::kill);
        if away {
            stage.receiver.up();
        }
        let began = Instant::now();
        stage.revive();
        until("it to be ready", || (stage.admin().get("/readyz").status == 200).then_some(()));
        slowest = slowest.max(began.elapsed());
    }
    settle(&stage);
    let applied = applied(&stage);
    let told = told(&stage);
    Ended { known, applied, told, slowest }
}

/// Waits until nothing is unknown and nothing is owed, as long as it takes while it becomes less.
pub(crate) fn settle(stage: &Stage) {
    let database = stage.work.join("state/outbox/outbox.db");
    let count = |sql: &str| -> i64 {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&database, flags).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let open = "SELECT count(*) FROM intents";
    let owed = "SELECT count(*) FROM deliveries WHERE state NOT IN ('acked', 'dead')";
    until_none("everything to be settled and told", || count(open) + count(owed));
}

/// The tags that the registry has.
pub(crate) fn applied(stage: &Stage) -> BTreeSet<String> {
    let tags = stage.direct().get("/v2/team/app/tags/list").json();
    let tags = tags["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned());
    tags.filter(|tag| tag != "before").collect()
}

/// By tag, how each event of it is known that the receiver heard of.
pub(crate) fn told(stage: &Stage) -> HashMap<String, Vec<String>> {
    let events: BTreeMap<String, Value> = stage
        .receiver
        .requests()
        .iter()
        .map(|request| (request.header("webhook-id").unwrap().to_owned(), request.json()))
        .collect();
    let mut told: HashMap<String, Vec<String>> = HashMap::new();
    for event in events.values() {
        let data = &event["data"];
        let tag = data["tag"].as_str().unwrap().to_owned();
        told.entry(tag).or_default().push(data["evidence"].as_str().unwrap().to_owned());
    }
    told
}

#[test]
fn what_was_acknowledged_or_applied_before_any_kill_is_delivered_and_nothing_else() {
    let kills = if long() { 1_000 } else { 10 };
    let Ended { known, applied, told, slowest } = run(kills, SOON);
    let untold = |tags: &BTreeSet<String>| -> Vec<String> {
        tags.iter().filter(|tag| !told.contains_key(*tag)).cloned().collect()
    };
    let without = untold(&known.acknowledged);
    assert!(without.is_empty(), "acknowledged, and nobody heard of them: {without:?}");
    let without = untold(&applied);
    assert!(without.is_empty(), "applied, and nobody heard of them: {without:?}");
    let extra: usize =
        told.iter().map(|(tag, events)| events.len() - usize::from(applied.contains(tag))).sum();
    assert!(extra <= known.open.len(), "{extra} events that nothing backs");
    let died = |what: &str| {
        let of = |tag: &&String| told.get(*tag).is_some_and(|events| events[0] == what);
        known.open.iter().filter(of).count()
    };
    let silent = known.open.iter().filter(|tag| !told.contains_key(*tag)).count();
    println!(
        "{kills} kills, {} pushes acknowledged, {} open when we died: {silent} not applied and not told, \
         {} told by a look, {} told by the answer, {} told as unsure; {extra} extra events; ready again after \
         {slowest:?} at most",
        known.acknowledged.len(),
        known.open.len(),
        died("look"),
        died("response"),
        died("none"),
    );
    assert!(known.acknowledged.len() > kills, "too few were acknowledged to prove anything");
    assert!(!known.open.is_empty(), "nothing was under way at any kill");
    // A debug build on a machine that runs other tests is not what operators wait for.
    assert!(!long() || slowest <= Duration::from_secs(1), "ready again after {slowest:?}");
}

/// The test above proves something only if it fails where a client is told before the event is durable.
#[test]
fn a_success_that_is_passed_on_before_its_event_is_durable_is_lost() {
    if !has_points() {
        return;
    }
    let (mut stage, image) = stage("outbox: { intent: off }\n");
    stage.sidecar.stop();
    let file = stage.work.join("pushbell.yaml");
    let flags = ["--config", file.to_str().unwrap()];
    let bent = [("PUSHBELL_BEND", Path::new("relay-first"))];
    stage.sidecar = Sidecar::with_flags(&stage.work, &flags, &bent);
    let mut known = Known::default();
    push_until(&mut stage, &image, 0, &mut known, Sidecar::kill);
    while known.acknowledged.is_empty() {
        stage.sidecar = Sidecar::with_flags(&stage.work, &flags, &bent);
        let round = known.open.len();
        push_until(&mut stage, &image, round, &mut known, Sidecar::kill);
    }
    stage.revive();
    assert_eq!(stage.curl().put("team/app", "last", IMAGE, &manifest(&image, "last")).status, 201);
    let requests = until("the last push to be told", || {
        let requests = stage.receiver.requests();
        requests.iter().any(|r| r.json()["data"]["tag"] == "last").then_some(requests)
    });
    let told: BTreeSet<String> = requests
        .iter()
        .map(|request| request.json()["data"]["tag"].as_str().unwrap().to_owned())
        .collect();
    assert!(!known.acknowledged.is_subset(&told), "nothing was lost: {:?}", known.acknowledged);
}
