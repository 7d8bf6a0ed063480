use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use fastrand::Rng;

use crate::support::Registry;
use crate::support::Workdir;
use crate::support::long;
use crate::support::sha256;

use super::INDEX;
use super::Pusher;
use super::plain;
use super::recorded;

/// Clients at once, each with repositories of its own.
const CLIENTS: usize = 4;
const SEED: u64 = 0x70_61_74_68;

/// What one client found.
#[derive(Default)]
struct Found {
    /// The repository of every push that was applied, in the registry's words, and how its path was spelled.
    applied: Vec<(String, String)>,
    refused: usize,
    /// Answered by 500: Distribution stores the manifest before it finds out that it knows no such digest.
    doubtful: usize,
    elsewhere: usize,
}

#[test]
fn no_generated_path_pushes_unseen() {
    let paths = if long() { 1_000_000 } else { 4_000 };
    let work = Workdir::new();
    let registry = Registry::in_memory(&work);
    let (mut sidecar, address) = plain(&work, &registry.url());
    let started = Instant::now();
    let found: Vec<Found> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || push_all(number, paths / CLIENTS, &mut Pusher::new(address)))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let elapsed = started.elapsed();
    sidecar.stop();

    let (mut told, mut unconfirmed) = (BTreeMap::<String, Vec<String>>::new(), 0);
    for ((repository, reference), confirmed) in recorded(&sidecar) {
        // Of a push that was answered by 500 nobody may ever know whether its tags were meant to be.
        unconfirmed += usize::from(!confirmed);
        if confirmed {
            told.entry(repository).or_default().push(reference);
        }
    }
    let events = told.values().map(Vec::len).sum::<usize>() + unconfirmed;
    let mut applied: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (repository, path) in found.iter().flat_map(|found| &found.applied) {
        applied.entry(repository).or_default().push(path);
    }
    let mut wrong = Vec::new();
    // What was in doubt may have been found out by now.
    let mut settled = unconfirmed;
    let mut direct = Pusher::new(registry.host().parse().unwrap());
    for (repository, paths) in &applied {
        let told = told.remove(*repository).unwrap_or_default();
        if told.len() < paths.len() {
            wrong.push(format!("{repository}: {told:?} of {paths:?}"));
        }
        wrong.extend(same_references(&mut direct, repository, &told).err());
        settled += told.len().saturating_sub(paths.len());
    }
    let digest = sha256(INDEX.as_bytes());
    let elsewhere = told.len();
    for (repository, told) in told {
        if !told.iter().all(|reference| *reference == digest) {
            wrong.push(format!("events of nothing: {repository} {told:?}"));
        }
        settled += told.len();
    }
    let doubtful: usize = found.iter().map(|found| found.doubtful).sum();
    // The control: who matches the bytes as they are.
    let missed = |(repository, path): &&(String, String)| !is_raw_push(path, repository);
    let unseen_raw = found.iter().flat_map(|found| &found.applied).filter(missed).count();
    let sum = |count: fn(&Found) -> usize| found.iter().map(count).sum::<usize>();
    let (applied, refused) = (sum(|f| f.applied.len()), sum(|f| f.refused));
    eprintln!(
        "{paths} paths in {elapsed:.1?}: {applied} applied, {refused} refused, {doubtful} in doubt, {} answered otherwise; \
         {events} events, {unconfirmed} of them unconfirmed, {elsewhere} repositories only in doubt, {} wrong; \
         a raw match misses {unseen_raw}",
        sum(|f| f.elsewhere),
        wrong.len()
    );
    assert!(wrong.is_empty(), "seed {SEED}:\n{}", wrong.join("\n"));
    assert!(settled <= doubtful, "{settled} events more than pushes, {doubtful} in doubt");
    assert!(applied >= paths / 10 && refused >= paths / 10, "{applied} applied, {refused} refused");
    assert!(unseen_raw >= paths / 100, "the control misses only {unseen_raw}");
}

/// Whether the tags the registry has now are those that events told of.
fn same_references(direct: &mut Pusher, repository: &str, told: &[String]) -> Result<(), String> {
    let digest = sha256(INDEX.as_bytes());
    let tags: BTreeSet<&str> = told.iter().map(String::as_str).filter(|t| *t != digest).collect();
    let answer = direct.ask("GET", &format!("/v2/{repository}/tags/list"), "");
    let mut listed = BTreeSet::new();
    if answer.status == 200 {
        let list: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let list = list["tags"].as_array().cloned().unwrap_or_default();
        listed.extend(list.iter().filter_map(|tag| tag.as_str().map(str::to_owned)));
    } else if answer.status == 404 && tags.contains("tags") {
        // What Distribution keeps in memory it finds by name: the tag in place of the tags around it, which
        // it does not list any more.
        listed.extend(
            tags.iter().filter(|tag| is_there(direct, repository, tag)).map(|t| (*t).to_owned()),
        );
    } else if answer.status != 404 || !tags.is_empty() {
        // Who was only pushed to by digest has no list at all.
        return Err(format!("{repository}: told of {tags:?}, but {answer:?}"));
    }
    if tags == listed.iter().map(String::as_str).collect() {
        Ok(())
    } else {
        Err(format!("{repository}: told of {tags:?}, but there are {listed:?}"))
    }
}

fn is_there(direct: &mut Pusher, repository: &str, tag: &str) -> bool {
    let accept = "Accept: application/vnd.oci.image.index.v1+json\r\n";
    direct.ask("HEAD", &format!("/v2/{repository}/manifests/{tag}"), accept).status == 200
}

#[test]
fn a_tag_that_the_registry_has_not_is_noticed_even_where_it_lists_none() {
    let work = Workdir::new();
    let registry = Registry::in_memory(&work);
    let mut direct = Pusher::new(registry.host().parse().unwrap());
    let mut same = |tags: &[&str]| {
        let told: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        same_references(&mut direct, "client0/v2/manifests", &told)
    };
    assert_eq!(same(&[]), Ok(()));
    let mut client = Pusher::new(registry.host().parse().unwrap());
    for (tag, pushed) in [("a", &["a"][..]), ("tags", &["a", "tags"])] {
        let path = format!("/v2/client0/v2/manifests/manifests/{tag}");
        assert_eq!(client.put(&path).status, 201);
        assert_eq!(same(pushed), Ok(()));
        assert!(same(&[pushed, &["b"]].concat()).is_err(), "an event of nothing was overlooked");
    }
}

fn client(number: usize) -> String {
    format!("client{number}")
}

fn push_all(number: usize, paths: usize, pusher: &mut Pusher) -> Found {
    let mut rng = Rng::with_seed(SEED + u64::try_from(number).unwrap());
    let mut found = Found::default();
    for _ in 0..paths {
        let path = path(&mut rng, &client(number));
        let answer = pusher.put(&path);
        match (answer.status, answer.location) {
            (201, Some(location)) => {
                let (_, path_of) = location.split_once("/v2/").unwrap();
                let (repository, _) = path_of.rsplit_once("/manifests/").unwrap();
                found.applied.push((repository.to_owned(), path));
            }
            (400, _) if answer.body.is_empty() || answer.body.contains("\"detail\":null") => {
                found.refused += 1;
            }
            (500, _) => found.doubtful += 1,
            (status, _) => {
                assert!(status < 500 && status != 201, "{path:?}: {status} {}", answer.body);
                found.elsewhere += 1;
            }
        }
    }
    found
}

/// Whether these bytes are a push without any decoding.
fn is_raw_push(path: &str, repository: &str) -> bool {
    path.strip_prefix(&format!("/v2/{repository}/manifests/"))
        .is_some_and(|reference| !reference.contains(['%', '/', '?', '#']))
}

/// A path that may be a push, spelled as badly as anybody could. A character below U+0100 is the byte of
/// its number.
fn path(rng: &mut Rng, client: &str) -> String {
    let mut segments = vec!["v2".to_owned(), client.to_owned()];
    for _ in 0..rng.usize(0..3) {
        segments.push(
            one(rng, &["app", "a.b", "x__y", "manifests", "blobs", "uploads", "tags", "v2"])
                .to_owned(),
        );
    }
    segments.push("manifests".to_owned());
    let digest = sha256(INDEX.as_bytes());
    segments.push(one(rng, &["a", "1.0", "latest", "A_b-c", "manifests", &digest]).to_owned());
    for _ in 0..rng.usize(0..3) {
        mutate_segments(rng, &mut segments);
    }
    let mut path = format!("/{}", segments.join("/"));
    for _ in 0..[0, 0, 1, 1, 1, 2, 3][rng.usize(0..7)] {
        mutate_text(rng, &mut path);
    }
    match rng.u8(0..20) {
        0 => format!("http://evil.example{path}"),
        1 => format!("https://EVIL.example{path}"),
        2 => path + one(rng, &["?", "?tag=b", "?x=%2f..", "?#", "?a=b;c"]),
        _ => path,
    }
}

fn mutate_segments(rng: &mut Rng, segments: &mut Vec<String>) {
    let at = rng.usize(0..segments.len());
    match rng.u8(0..13) {
        0 => {
            segments
                .insert(at, one(rng, &["", ".", "..", "%2e", "%2E%2e", "...", ".%2e"]).to_owned());
        }
        1 => {
            let word =
                one(rng, &["manifests", "blobs", "uploads", "tags", "list", "v2", "_catalog"]);
            segments.insert(at, word.to_owned());
        }
        2 if segments.len() > 3 => {
            segments.remove(at);
        }
        3 => segments.swap(at, 0),
        4 => {
            let again = segments[at].clone();
            segments.insert(at, again);
        }
        5 => segments[at] = segments[at].to_ascii_uppercase(),
        6 => segments.push(String::new()),
        // A way in from beside the registry.
        7 => {
            let api = one(rng, &["api", "v2.0", "..", "v2", "x%2fy", "..;x"]);
            let out = one(rng, &["..", "%2e%2e", "..%2f..", "%5c..", "..;x", "%252e%252e"]);
            segments.splice(0..0, [api.to_owned(), out.to_owned()]);
        }
        8 => segments[at] = segments[at].replace(':', one(rng, &["%3a", "%3A", "%253a"])),
        // All of one segment in escapes.
        _ => {
            let lower = rng.bool();
            segments[at] = segments[at].bytes().map(|b| escape(b, lower)).collect();
        }
    }
}

fn mutate_text(rng: &mut Rng, path: &mut String) {
    // The client's own name stays, so that it is known whose push it was; most of its spellings do not.
    let mut chars: Vec<char> = path.chars().collect();
    let at = rng.usize(1..chars.len());
    match rng.u8(0..8) {
        0..=3 => {
            let byte = u8::try_from(u32::from(chars[at])).unwrap();
            let escaped = match rng.u8(0..8) {
                0 => escape(byte, true).replace('%', "%25"),
                lower => escape(byte, lower % 2 == 0),
            };
            chars.splice(at..=at, escaped.chars());
        }
        4 | 5 => {
            let odd = one(
                rng,
                &[
                    "/",
                    "\\",
                    ";",
                    ";x=1",
                    ".",
                    "..",
                    "%",
                    "%zz",
                    "%4",
                    ":",
                    "@",
                    "~",
                    "!",
                    "$",
                    "&",
                    "'",
                    "(",
                    "*",
                    "+",
                    ",",
                    "=",
                    "-",
                    "_",
                    "\"",
                    "<",
                    "^",
                    "`",
                    "{",
                    "|",
                    "\u{7f}",
                    "\u{1}",
                    "\u{a0}",
                    "\u{ff}",
                    "\u{c5}\u{bf}",
                    "\u{ef}\u{bc}\u{8f}",
                    "%00",
                    "%0a",
                    "%c0%af",
                    "%u002f",
                    "%e2%85%bf",
                    "#",
                    "#x",
                ],
            );
            chars.splice(at..at, odd.chars());
        }
        6 => {
            chars[at] = if chars[at].is_ascii_lowercase() {
                chars[at].to_ascii_uppercase()
            } else {
                chars[at].to_ascii_lowercase()
            };
        }
        _ => {
            chars.remove(at);
        }
    }
    *path = chars.into_iter().collect();
}

fn escape(byte: u8, lower: bool) -> String {
    if lower { format!("%{byte:02x}") } else { format!("%{byte:02X}") }
}

fn one<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(0..of.len())]
}
