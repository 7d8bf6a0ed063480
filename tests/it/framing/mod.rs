//! Where a request begins and ends, and what it asks for, has one reading: ours, and the same in whatever
//! stands behind us (delivery-guarantees 8.1, part 10 "framing corpus").

mod corpus;
mod frames;
mod judge;
mod naive;
mod parsers;
mod recorder;
mod streams;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use http_desync_guardian::RequestSafetyTier;

use crate::support::Dialer;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::sha256;

use self::corpus::Case;
use self::corpus::END;
use self::corpus::Expected;
use self::corpus::INDEX;
use self::corpus::Seen;
use self::naive::Naive;
use self::parsers::Kind;
use self::parsers::Parser;
use self::parsers::Understood;
use self::recorder::Recorder;

/// What became of an input.
#[derive(Debug, Default, Clone)]
struct Outcome {
    /// Everything the client was told.
    told: String,
    /// What the upstream understood, in its order.
    understood: Vec<Understood>,
    /// Action, tag and digest of each event.
    events: Vec<(String, String, String)>,
}

/// The repository of a case, as long as its place in the inputs.
fn repository(number: usize) -> String {
    format!("c{number:03}")
}

fn filled(text: &str, number: usize) -> String {
    text.replace("@@@@", &repository(number))
}

/// The bytes of an input, with the last request behind it.
fn bytes(case: &Case, number: usize) -> Vec<u8> {
    let end = match case.expected {
        Expected::Cut => String::new(),
        _ => format!("GET {END} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n"),
    };
    let text = filled(&format!("{}{end}", case.input), number);
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// Sends every case, several at a time.
fn send_all(cases: &[Case], threads: usize, send: impl Fn(usize, &Case) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(case) = cases.get(number)
                {
                    send(number, case);
                }
            });
        }
    });
}

/// Which case a path belongs to.
fn number_of(path: &str) -> Option<usize> {
    let at = path.find("/v2/c")? + "/v2/c".len();
    path.get(at..at + 3)?.parse().ok()
}

/// Sorts what was understood by case; what belongs to none stands at the end.
fn by_case(understood: Vec<Understood>, cases: usize) -> Vec<Vec<Understood>> {
    let mut sorted = vec![Vec::new(); cases + 1];
    // Our own look at a tag is not the client's request.
    for understood in understood.into_iter().filter(|u| u.method != "HEAD") {
        let number = number_of(&understood.path).filter(|n| *n < cases).unwrap_or(cases);
        sorted[number].push(understood);
    }
    sorted
}

/// The corpus and what became of it.
struct Run {
    cases: Vec<Case>,
    outcomes: Vec<Outcome>,
    /// What the upstream understood that belongs to no case.
    strays: Vec<Understood>,
    /// The heads as the upstream got them, where nothing stands between.
    heads: Vec<Vec<u8>>,
}

/// The whole corpus through us to such an upstream.
fn through_us(kind: Kind) -> Run {
    let work = Workdir::new();
    let cases = corpus::cases();
    let mut parser = Parser::start(&work, kind);
    let url = format!("http://{}", parser.address());
    let mut sidecar = Sidecar::before(&work, &url, "");
    let dialer = Dialer::new(&sidecar);
    let told = Mutex::new(BTreeMap::new());
    send_all(&cases, 4, |number, case| {
        let mut raw = dialer.dial();
        raw.offer(&bytes(case, number));
        if matches!(case.expected, Expected::Cut) {
            raw.end();
        }
        let heard = raw.says();
        told.lock().unwrap().insert(number, heard);
    });
    sidecar.stop();
    let mut understood = by_case(parser.understood(&work), cases.len());
    let strays = understood.pop().unwrap();
    let mut told = told.into_inner().unwrap();
    let mut outcomes: Vec<_> = understood
        .into_iter()
        .enumerate()
        .map(|(number, understood)| Outcome {
            told: told.remove(&number).unwrap(),
            understood,
            events: Vec::new(),
        })
        .collect();
    for line in sidecar.log() {
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        if field("message") == "Event recorded" {
            let number = number_of(&format!("/v2/{}", field("repository"))).expect("a case");
            outcomes[number].events.push((field("action"), field("tag"), field("digest")));
        }
    }
    let requests = parser.recorder().map(Recorder::requests).unwrap_or_default();
    let heads = requests.into_iter().map(|request| request.head).collect();
    Run { cases, outcomes, strays, heads }
}

/// What the upstream has to have understood, and the events that have to be there.
fn expected_of(case: &Case, number: usize) -> Vec<Seen> {
    let mut seen = match &case.expected {
        Expected::Refused(_) | Expected::Dropped | Expected::Cut => Vec::new(),
        Expected::Passes(seen) => {
            let end = Seen { method: "GET".into(), path: END.into(), body: String::new() };
            seen.iter().cloned().chain([end]).collect()
        }
        Expected::Closes(seen) => seen.clone(),
    };
    for seen in &mut seen {
        seen.path = filled(&seen.path, number);
        seen.body = filled(&seen.body, number);
    }
    seen
}

/// Everything that is wrong with the outcome of a case.
fn wrong(kind: Kind, case: &Case, number: usize, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = expected_of(case, number);
    let understood: Vec<_> =
        outcome.understood.iter().filter(|u| u.taken || !expected.is_empty()).collect();
    let same = expected.len() == understood.len()
        && expected.iter().zip(&understood).all(|(expected, understood)| {
            expected.method == understood.method
                && expected.path == understood.path
                && understood.body.as_ref().is_none_or(|b| *b == sha256(expected.body.as_bytes()))
        });
    if !same {
        let lines = |seen: &mut dyn Iterator<Item = (&str, &str)>| {
            seen.map(|(method, path)| format!("{method} {path}")).collect::<Vec<_>>().join(", ")
        };
        wrong.push(format!(
            "understood [{}] instead of [{}], or another body",
            lines(&mut understood.iter().map(|u| (&*u.method, &*u.path))),
            lines(&mut expected.iter().map(|e| (&*e.method, &*e.path))),
        ));
    }
    let events: Vec<_> = expected.iter().filter_map(|seen| event_of(kind, seen)).collect();
    if events != outcome.events {
        wrong.push(format!("events {:?} instead of {events:?}", outcome.events));
    }
    // An answer to HTTP/1.0 is one of HTTP/1.0.
    let status = outcome.told.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    let well = match &case.expected {
        Expected::Refused(expected) => status == Some(&expected.to_string()),
        Expected::Dropped => status.is_none(),
        // Whether a client that left half-way hears of it is its own affair.
        Expected::Cut => status.is_none_or(|status| status == "400"),
        _ => status.is_some_and(|status| status != "502"),
    };
    if !well {
        wrong.push(format!("told {:?}", outcome.told.lines().next()));
    }
    wrong
}

/// The event of a request that the upstream took; a registry takes no manifest that is none.
fn event_of(kind: Kind, seen: &Seen) -> Option<(String, String, String)> {
    let (_, tag) = seen.path.split('?').next()?.split_once("/manifests/")?;
    let registry = kind == Kind::DockerRegistry;
    match seen.method.as_str() {
        "PUT" if !registry || seen.body == INDEX => {
            Some(("push".to_owned(), tag.to_owned(), sha256(seen.body.as_bytes())))
        }
        "DELETE" if !registry => Some(("delete".to_owned(), tag.to_owned(), String::new())),
        _ => None,
    }
}

#[track_caller]
fn reads_what_we_read(kind: Kind) -> Run {
    let run = through_us(kind);
    let Run { cases, outcomes, strays, .. } = &run;
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let mut found: Vec<String> = strays.iter().map(|stray| format!("stray {stray:?}")).collect();
    for (number, (case, outcome)) in cases.iter().zip(outcomes).enumerate() {
        for wrong in wrong(kind, case, number, outcome) {
            found.push(format!("{}: {wrong}", case.name));
        }
    }
    assert!(found.is_empty(), "{} of {}\n{}", found.len(), cases.len(), found.join("\n"));
    run
}

#[test]
fn a_registry_reads_what_we_read() {
    reads_what_we_read(Kind::DockerRegistry);
}

#[test]
fn nginx_reads_what_we_read() {
    reads_what_we_read(Kind::Nginx);
}

#[test]
fn apache_reads_what_we_read() {
    reads_what_we_read(Kind::Apache);
}

#[test]
fn haproxy_reads_what_we_read() {
    reads_what_we_read(Kind::Haproxy);
}

#[test]
fn what_goes_out_can_be_read_in_one_way_only() {
    let Run { cases, heads, .. } = reads_what_we_read(Kind::None);
    let looks = |head: &Vec<u8>| head.starts_with(b"HEAD ");
    let mut found = Vec::new();
    for head in heads.iter().filter(|head| !looks(head)) {
        let path = String::from_utf8_lossy(head.split(|b| *b == b' ').nth(1).unwrap()).into_owned();
        let case = number_of(&path).and_then(|number| cases.get(number)).expect("a case");
        let own = !case.input.to_ascii_lowercase().contains("connection: x-own");
        found.extend(judge::unclean(head, own).into_iter().map(|w| format!("{}: {w}", case.name)));
    }
    assert!(found.is_empty(), "{} in {} heads\n{}", found.len(), heads.len(), found.join("\n"));

    // The control: the judge does tell apart.
    let tiers = cases.iter().enumerate().map(|(number, case)| judge::tier(&bytes(case, number)).0);
    let severe = tiers.filter(|tier| *tier == RequestSafetyTier::Severe).count();
    eprintln!("{severe} of {} inputs are severe, of {} heads none", cases.len(), heads.len());
    assert!(severe >= 60, "only {severe} inputs are severe");
}

/// The control: what does not read as we do is fooled by the same inputs.
#[test]
fn a_plain_forwarder_is_fooled() {
    for kind in [Kind::DockerRegistry, Kind::Nginx, Kind::Apache, Kind::Haproxy] {
        let work = Workdir::new();
        let cases = corpus::cases();
        let mut parser = Parser::start(&work, kind);
        let naive = Naive::before(&parser.address());
        send_all(&cases, 32, |number, case| naive.exchange(&bytes(case, number)));
        let theirs = by_case(parser.understood(&work), cases.len());
        let ours = by_case(naive.understood(), cases.len());
        let fooled = |(ours, theirs): (&Vec<Understood>, &Vec<Understood>)| {
            let same = ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(a, b)| {
                    (&a.method, &a.path) == (&b.method, &b.path)
                        && (b.body.is_none() || a.body == b.body)
                });
            !same
        };
        let differing = ours.iter().zip(&theirs).filter(|pair| fooled(*pair)).count();
        let smuggled = theirs.iter().flatten().filter(|u| u.path.ends_with("/smuggled")).count();
        eprintln!("{kind:?}: {differing} of {} differ, {smuggled} smuggled", cases.len());
        assert!(
            differing >= 100 && smuggled >= 1,
            "{kind:?}: {differing} differ, {smuggled} smuggled"
        );
    }
}
