//! No client can tell that we are there: whatever a registry is asked, it is heard to say the same through
//! us as it says directly, but for the headers of one hop.

mod large;
mod leaving;
mod recorded;
mod run;
mod script;

use std::collections::BTreeMap;
use std::thread;

use crate::support::Client;
use crate::support::Http;
use crate::support::Pki;
use crate::support::Protocol;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::htpasswd;
use crate::support::long;

use self::run::Part;
use self::run::Run;
use self::run::Seen;

/// How we reach the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Plain,
    MutualTls,
    Socket,
}

/// How a script reaches a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Through(Upstream, Protocol),
}

const BOTH: [Way; 2] = [
    Way::Through(Upstream::Plain, Protocol::Http1),
    Way::Through(Upstream::Plain, Protocol::Http2),
];

/// Runs the script on a registry of its own, with these lines at the end of the registry's file.
fn run(way: Way, script: &[Part], lines: &str) -> Vec<Seen> {
    let work = Workdir::new();
    let pki = Pki::new(&work, "upstream-pki");
    work.write("htpasswd", htpasswd());
    let lines = lines.replace("<work>", work.path().to_str().unwrap());
    let Way::Through(upstream, protocol) = way else {
        let registry = Registry::with(&work, Http::Plain, &lines);
        return Run::of(Client::direct(registry.host().parse().unwrap()), script);
    };
    let http = match upstream {
        Upstream::Plain => Http::Plain,
        Upstream::MutualTls => {
            Http::MutualTls { server: pki.server("registry", &["127.0.0.1"]), ca: pki.ca() }
        }
        Upstream::Socket => Http::Socket(work.join("registry.sock")),
    };
    let registry = Registry::with(&work, http, &lines);
    let (mut tls, mut identity) = (String::new(), String::new());
    if upstream == Upstream::MutualTls {
        let pair = pki.client("pushbell");
        let (certificate, key) = (pair.certificate.display(), pair.key.display());
        tls = format!(", upstream_tls: {{ ca: {}, identity: us }}", pki.ca().display());
        identity = format!("  us: {{ files: {{ certificate: {certificate}, key: {key} }} }}\n");
    }
    let sidecar = Sidecar::with_file(
        &work,
        &format!(
            "registry: {{ name: registry.example.com, upstream: \"{}\"{tls} }}\n\
             identities:\n  registry: {{ local_ca: {{ names: [localhost, registry.example.com] }} }}\n\
             {identity}listeners:\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n\
             \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n",
            registry.url()
        ),
    );
    Run::of(Client::through(&sidecar, protocol), script)
}

/// Runs the script each way and says how it differs from the direct one: per way a list of exchanges.
fn differences(ways: &[Way], script: &[Part], lines: &str) -> Vec<String> {
    let (direct, through) = thread::scope(|scope| {
        let direct = scope.spawn(|| run(Way::Direct, script, lines));
        let through: Vec<_> =
            ways.iter().map(|way| scope.spawn(|| run(*way, script, lines))).collect();
        let through: Vec<_> = through.into_iter().map(|run| run.join().unwrap()).collect();
        (direct.join().unwrap(), through)
    });
    let mut table: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (way, seen) in ways.iter().zip(&through) {
        wrong.extend(compared(&direct, seen).into_iter().map(|text| format!("{way:?}: {text}")));
        for (ground, _) in script {
            let count = seen.iter().filter(|exchange| exchange.ground == *ground).count();
            table.entry(ground).or_default().push(count);
        }
    }
    println!("{ways:?}");
    for (ground, counts) in table {
        println!("{ground:32}{counts:?}");
    }
    println!("{:32}{:?}\n", "", through.iter().map(Vec::len).collect::<Vec<_>>());
    wrong
}

/// Every exchange that differs, as the registry answered it directly and as it arrived.
fn compared(direct: &[Seen], through: &[Seen]) -> Vec<String> {
    assert!(!direct.is_empty());
    let mut wrong = Vec::new();
    if direct.len() != through.len() {
        wrong.push(format!("{} exchanges instead of {}", through.len(), direct.len()));
    }
    for (expected, seen) in direct.iter().zip(through) {
        if expected != seen {
            let Seen { ground, asked, heard } = expected;
            wrong.push(format!(
                "{ground}: {asked}\n--- directly\n{heard}\n--- through us, on {}\n{}\n",
                seen.asked, seen.heard
            ));
        }
    }
    wrong
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    let first: Vec<_> = wrong.iter().take(5).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), first.join("\n"));
}

#[test]
fn every_answer_is_the_registrys_own() {
    assert_none(&differences(&BOTH, script::SCRIPT, ""));
}

#[test]
fn every_answer_is_the_registrys_own_behind_tls_and_a_socket() {
    let ways = [
        Way::Through(Upstream::MutualTls, Protocol::Http1),
        Way::Through(Upstream::Socket, Protocol::Http2),
        Way::Through(Upstream::MutualTls, Protocol::Http2),
        Way::Through(Upstream::Socket, Protocol::Http1),
    ];
    let ways = if long() { &ways[..] } else { &ways[..2] };
    assert_none(&differences(ways, script::SCRIPT, ""));
}

#[test]
fn a_registry_that_knows_its_own_name_or_none_is_believed() {
    let named = format!("  host: {}\n", run::NAMED);
    for lines in [named.as_str(), "  relativeurls: true\n"] {
        assert_none(&differences(&BOTH, script::LOCATED, lines));
    }
}

#[test]
fn a_download_that_is_sent_elsewhere_goes_there() {
    let lines = "middleware: {storage: [{name: redirect, options: \
                 {baseurl: \"https://storage.example/a%20b\"}}]}\n";
    assert_none(&differences(&BOTH, script::REDIRECTED, lines));
}

#[test]
fn a_login_is_asked_for_in_the_registrys_own_words() {
    let token = "service: registry.example.com, issuer: test, \
                 rootcertbundle: <work>/upstream-pki/ca.crt";
    for auth in [
        "htpasswd: {realm: \"a test\", path: <work>/htpasswd}".to_owned(),
        format!("token: {{realm: \"https://auth.example/token?a=b%20c\", {token}}}"),
        // The realm is then made of the name that clients use.
        format!("token: {{realm: none, autoredirect: true, {token}}}"),
    ] {
        assert_none(&differences(&BOTH, script::LOGIN, &format!("auth: {{{auth}}}\n")));
    }
}

/// The control: what differs is seen, also where it is one header only.
#[test]
fn a_registry_that_answers_otherwise_is_told_apart() {
    let direct = run(Way::Direct, script::LOCATED, "");
    let other = run(BOTH[0], script::LOCATED, "  relativeurls: true\n");
    let with_location = direct.iter().filter(|seen| seen.heard.contains("\nlocation: ")).count();
    assert!(with_location > 20, "{with_location}");
    assert_eq!(compared(&direct, &other).len(), with_location);
    assert!(compared(&direct, &direct[1..]).len() > direct.len() / 2);
}
