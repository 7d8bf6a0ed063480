//! Every option, right and wrong.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::Asks;
use crate::support::Curl;
use crate::support::Image;
use crate::support::Pair;
use crate::support::Pki;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::SECRET;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::command;
use crate::support::run;
use crate::support::until;

#[test]
fn check_says_what_would_happen() {
    let stage = Stage::open();
    let file = stage.work.join("pushbell.yaml");
    let done = command(&stage.work, &["check", "--config", file.to_str().unwrap()]).ok();
    let said = done.out + &done.err;
    for word in ["registry.example.com", &stage.registry.url(), "build", "127.0.0.1"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(!said.contains("whsec_"), "{said}");
}

/// Ten mistakes, each marked by where it is: the line, the column of its key or value, and a word that
/// the message has to have.
const TEN_MISTAKES: &str = "\
registry: { upstream: ftp://127.0.0.1:5000, layuot: plain }
identities:
  registry: { local_ca: { names: [localhost] } }
listeners:
  - { address: nowhere, serve: [registry], identity: registry }
  - { address: \"0.0.0.0:9443\", serve: [admin] }
endpoints:
  - name: build
    url: http://build.example.com/hook
    dialect: klingon
    timeout: soon
    when: { actions: [shove] }
  - name: build
    url: https://build.example.com/hook
    tls: { identity: nobody }
    concurrency: many
";

/// Line of the mistake, and what the message about it names.
const WHERE: [(usize, &str); 10] = [
    (1, "upstream"),
    (1, "layuot"),
    (5, "address"),
    (6, "admin"),
    (9, "insecure_http"),
    (10, "dialect"),
    (11, "timeout"),
    (12, "actions"),
    (15, "nobody"),
    (16, "concurrency"),
];

#[test]
fn ten_mistakes_are_ten_messages_each_with_its_place() {
    let work = Workdir::new();
    let file = work.write("wrong.yaml", TEN_MISTAKES);
    for verb in ["check", "run"] {
        let done = command(&work, &[verb, "--config", file.to_str().unwrap()]);
        assert_eq!(done.code, 64, "{done:?}");
        let messages: Vec<_> = done.err.split("error: ").skip(1).collect();
        for (line, word) in WHERE {
            let place = format!("wrong.yaml:{line}:");
            let said = messages.iter().any(|message| {
                let after = message.split(&place).nth(1).and_then(|rest| rest.chars().next());
                after.is_some_and(|column| column.is_ascii_digit()) && message.contains(word)
            });
            assert!(said, "no message for line {line} that names {word} in\n{}", done.err);
        }
        assert!(messages.len() > WHERE.len(), "the second `build` is one too many: {}", done.err);
    }
    assert!(!work.join("state").exists(), "nothing was begun");
}

#[test]
fn a_file_that_is_no_yaml_or_not_there_is_said_so() {
    let work = Workdir::new();
    let file = work.write("wrong.yaml", "registry: { upstream: [\n");
    let broken = command(&work, &["check", "--config", file.to_str().unwrap()]);
    assert_eq!(broken.code, 64, "{broken:?}");
    assert!(broken.err.contains("wrong.yaml:"), "{broken:?}");
    let absent = command(&work, &["run", "--config", "absent.yaml"]);
    assert_eq!(absent.code, 64, "{absent:?}");
    assert!(absent.err.contains("absent.yaml"), "{absent:?}");
}

/// Starts with a certificate and key for the registry listener that must be refused, by a message that
/// names one of the two files and says why.
#[track_caller]
fn refused(make: impl FnOnce(&Workdir, &Pki) -> Pair, named: fn(&Pair) -> &Path, why: &[&str]) {
    let work = Workdir::new();
    let pair = make(&work, &Pki::new(&work, "pki"));
    let yaml = format!(
        "registry: {{ name: localhost, upstream: \"http://127.0.0.1:1\" }}\n\
         identities:\n  own: {{ files: {{ certificate: {}, key: {} }} }}\n\
         listeners:\n  - {{ address: \"127.0.0.1:0\", serve: [registry], identity: own }}\n\
         state: {{ directory: {} }}\n\
         endpoints:\n  - {{ name: build, url: \"https://localhost:1/\", dialect: native }}\n",
        pair.certificate.display(),
        pair.key.display(),
        work.join("state").display(),
    );
    let file = work.write("pushbell.yaml", yaml);
    for verb in ["check", "run"] {
        let done = command(&work, &[verb, "--config", file.to_str().unwrap()]);
        assert_eq!(done.code, 64, "{verb}: {done:?}");
        let name = named(&pair).to_str().unwrap();
        assert!(done.err.contains(name), "{verb}: {name} in {}", done.err);
        let said = done.err.to_lowercase();
        assert!(why.iter().any(|word| said.contains(word)), "{verb}: {why:?} in {}", done.err);
    }
}

fn certificate(pair: &Pair) -> &Path {
    &pair.certificate
}

fn key(pair: &Pair) -> &Path {
    &pair.key
}

#[test]
fn a_certificate_that_is_not_there_is_refused() {
    let make = |work: &Workdir, pki: &Pki| {
        let pair = pki.server("own", &["localhost"]);
        Pair { certificate: work.join("absent.pem"), ..pair }
    };
    refused(make, certificate, &["there is no file", "no such file"]);
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let make = |work: &Workdir, pki: &Pki| {
        let pair = pki.server("own", &["localhost"]);
        Pair { certificate: work.write("noise.pem", "noise"), ..pair }
    };
    refused(make, certificate, &["pem", "no certificate"]);
}

#[test]
fn a_key_that_cannot_be_read_is_refused() {
    let make = |work: &Workdir, pki: &Pki| {
        let pair = pki.server("own", &["localhost"]);
        // Whoever runs as root may read every file; no one can read a directory as one.
        Pair { key: work.directory("directory.key"), ..pair }
    };
    refused(make, key, &["directory", "read"]);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_its_mode() {
    let make = |_: &Workdir, pki: &Pki| {
        let pair = pki.server("own", &["localhost"]);
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o644)).unwrap();
        pair
    };
    refused(make, key, &["644"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    refused(|_, pki| pki.expired("own", &["localhost"]), certificate, &["expired"]);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let make = |_: &Workdir, pki: &Pki| {
        let other = pki.server("other", &["localhost"]);
        Pair { key: other.key, ..pki.server("own", &["localhost"]) }
    };
    refused(make, key, &["match", "belong"]);
}

#[test]
fn an_option_of_the_command_line_overrides_the_file() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let pki = Pki::new(&work, "receiver-pki");
    let receiver = Receiver::start(&pki, Asks::ClientCertificate);
    let yaml = Stage::file(&work, &registry, &pki, &receiver.url("/hook"), "dialect: native");
    let yaml = yaml.replace(&registry.url(), "http://127.0.0.1:1");
    let file = work.write("pushbell.yaml", yaml);
    let flags = ["--config", file.to_str().unwrap(), "--upstream", &registry.url()];
    let sidecar = Sidecar::with_flags(&work, &flags, &[]);
    let image = Image::new(&work, "override");
    assert_eq!(Curl::through(&work, &sidecar).push("team/app", "1.0", &image).status, 201);
    assert_eq!(receiver.wait_for(1)[0].path, "/hook");
}

#[test]
fn a_command_that_cannot_be_understood_is_exit_code_64() {
    let work = Workdir::new();
    for words in [
        &["nonsense"][..],
        &["run", "--nonsense"],
        &["run"],
        &["run", "--upstream", "nonsense", "--webhook", "https://build.example.com/"],
        &["run", "--upstream", "http://127.0.0.1:1", "--webhook", "http://build.example.com/"],
        &["run", "--upstream", "http://127.0.0.1:1", "--webhook", "https://u:p@example.com/"],
        &["translate", "--from", "nonsense", "--to", "native"],
        &["schema", "nonsense"],
    ] {
        let done = command(&work, words);
        assert_eq!(done.code, 64, "{words:?}: {done:?}");
        assert!(!done.err.trim().is_empty() && done.out.is_empty(), "{words:?}: {done:?}");
        assert!(!done.err.contains("panicked"), "{done:?}");
    }
}

#[test]
fn every_command_teaches_itself() {
    let work = Workdir::new();
    for words in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["certs", "--help"],
        &["certs", "init", "--help"],
        &["certs", "renew", "--help"],
        &["certs", "show", "--help"],
        &["certs", "trust", "--help"],
        &["presets", "--help"],
        &["translate", "--help"],
        &["verify", "--help"],
        &["schema", "--help"],
        &["health", "--help"],
    ] {
        let done = command(&work, words);
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        assert!(done.out.contains("Usage: pushbell"), "{words:?}: {done:?}");
        assert!(!done.out.contains('\u{1b}'), "no colour where there is no terminal");
        assert!(done.out.contains("\n  pushbell "), "an example of {words:?}: {}", done.out);
    }
    let translate = command(&work, &["translate", "--help"]).ok().out;
    for word in
        ["[possible values: auto, distribution,", "[possible values: native, cloudevents-binary"]
    {
        assert!(translate.contains(word), "{word} in {translate}");
    }
    let health = command(&work, &["health", "--help"]).ok().out;
    assert!(health.contains("--admin") && !health.contains("--webhook"), "{health}");
    let version = command(&work, &["--version"]).ok();
    assert_eq!(version.out.trim(), concat!("pushbell ", env!("CARGO_PKG_VERSION")));
}

const ANYWHERE: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

#[test]
fn a_first_start_says_how_clients_come_to_trust_the_port_that_was_bound() {
    let work = Workdir::new();
    let start = |format: &str| {
        let flags = ["--upstream", "http://127.0.0.1:1", "--log-format", format];
        Sidecar::starting(&work, &[&flags[..], &ANYWHERE].concat(), &[])
    };
    let listens = |sidecar: &Sidecar| {
        until("the listener for admin", || sidecar.printed().contains("\"admin\"").then_some(()));
        sidecar.printed()
    };
    let mut first = start("text");
    let said = listens(&first);
    let line = said.lines().find(|line| line.contains("/etc/docker/certs.d/localhost:"));
    let (_, port) = line.expect("a line for docker").split_once("localhost:").unwrap();
    let port = port.split('/').next().unwrap();
    assert!(said.contains(&format!("address=127.0.0.1:{port}")), "the port {port} in {said}");
    assert!(said.contains(first.ca().to_str().unwrap()), "where the CA is: {said}");
    assert!(said.lines().count() < 16, "short enough to be read: {said}");
    let told = said.lines().find_map(|line| line.trim().strip_prefix("pushbell certs trust "));
    let words: Vec<_> = ["certs", "trust"].into_iter().chain(told.unwrap().split(' ')).collect();
    let trust = command(&work, &words).ok().out;
    assert!(trust.contains(&format!("certs.d/localhost:{port}/ca.crt")), "{trust}");
    first.stop();

    let mut second = start("text");
    let said = listens(&second);
    assert!(said.contains("pushbell certs trust ") && !said.contains("certs.d"), "{said}");
    second.stop();
    let mut third = start("json");
    let said = listens(&third);
    assert!(said.lines().all(|line| line.starts_with('{')), "programs read JSON alone: {said}");
    third.wait_for_log("where the CA is", &[("ca", third.ca().to_str().unwrap())]);
    third.stop();
}

#[test]
fn an_address_that_is_taken_is_said_with_what_would_be_right_and_nothing_else() {
    let work = Workdir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flags = ["run", "--upstream", "http://127.0.0.1:1", "--admin", "127.0.0.1:0"];
    let done = command(&work, &[&flags[..], &["--listen", &address]].concat());
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains(&address) && done.err.contains("= help: "), "{done:?}");
    assert!(done.out.is_empty() && !done.err.contains("certs.d"), "{done:?}");
}

#[test]
fn a_state_directory_that_cannot_be_made_is_said_with_its_option() {
    let work = Workdir::new();
    let file = work.write("file", "in the way");
    let flags = ["run", "--upstream", "http://127.0.0.1:1", "--state-directory"];
    let done = command(&work, &[&flags[..], &[file.to_str().unwrap()], &ANYWHERE].concat());
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.err.contains("--> --state-directory"), "{done:?}");
    assert!(done.err.contains("there is a file in the way"), "{done:?}");
}

#[test]
fn at_debug_the_libraries_below_us_stay_quiet() {
    let work = Workdir::new();
    let flags = ["--upstream", "http://127.0.0.1:1", "--log-level", "debug"];
    let sidecar = Sidecar::with_flags(&work, &[&flags[..], &ANYWHERE].concat(), &[]);
    assert_eq!(Curl::through(&work, &sidecar).with(&["--http2"]).get("/v2/").status, 502);
    sidecar.wait_for_log("the answer", &[("message", "Request answered"), ("status", "502")]);
    for line in sidecar.log() {
        assert!(line["target"].as_str().unwrap().starts_with("pushbell"), "{line}");
    }
}

#[test]
fn a_mistake_in_the_environment_is_said_before_anything_is_begun() {
    let work = Workdir::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushbell"));
    command.args(["run", "--upstream", "http://127.0.0.1:1", "--state-directory"]);
    let done = run(command.arg(work.join("state")).env("PUSHBELL_LOG", "loud"));
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.err.contains("`loud` in $PUSHBELL_LOG"), "{done:?}");
    assert!(!work.join("state").exists(), "nothing was begun");
}

#[test]
fn health_asks_without_being_told_where_the_registry_is() {
    let work = Workdir::new();
    let flags = ["--upstream", "http://127.0.0.1:1"];
    let sidecar = Sidecar::with_flags(&work, &[&flags[..], &ANYWHERE].concat(), &[]);
    let admin = sidecar.address("admin").to_string();
    let done = command(&work, &["health", "--admin", &admin]).ok();
    assert!(done.out.contains("upstream"), "what is degraded: {done:?}");
    let nobody = command(&work, &["health", "--admin", "127.0.0.1:1"]);
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.err.contains("--admin"), "{nobody:?}");
}

#[test]
fn check_shows_where_a_preset_posts_and_what_clients_will_refuse() {
    let work = Workdir::new();
    let pair = Pki::new(&work, "pki").server("own", &["other.example.com"]);
    let front = "trusted_proxies: [192.0.2.7]";
    let yaml = format!(
        "registry: {{ name: registry.example.com, upstream: \"http://127.0.0.1:1\" }}\n\
         identities:\n  own: {{ files: {{ certificate: {}, key: {} }} }}\n\
         listeners:\n  - {{ address: \"127.0.0.1:0\", serve: [registry], identity: own, {front} }}\n\
         endpoints:\n  - {{ name: build, url: \"https://localhost:1\", preset: build-service-docker }}\n",
        pair.certificate.display(),
        pair.key.display(),
    );
    let file = work.write("pushbell.yaml", yaml);
    let said = command(&work, &["check", "--config", file.to_str().unwrap()]).ok().out;
    for word in [
        "https://localhost:1/v1/docker/notification",
        "warning   clients that type registry.example.com refuse",
    ] {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
fn the_configuration_in_the_readme_is_good() {
    let work = Workdir::new();
    let readme = include_str!("../../README.md");
    let blocks: Vec<&str> =
        readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let pki = Pki::new(&work, "pki");
    let client = pki.server("client", &["client"]);
    let pair = pki.server("registry", &["registry.example.com"]);
    let certificates: Vec<&&str> =
        blocks.iter().filter(|block| block.starts_with("identities:")).collect();
    assert_eq!(certificates.len(), 3, "our own CA, files, ACME");
    for block in certificates {
        let block = block
            .replace("/tls/tls.crt", pair.certificate.to_str().unwrap())
            .replace("/tls/tls.key", pair.key.to_str().unwrap());
        let yaml = format!(
            "registry: {{ name: registry.example.com, upstream: \"http://127.0.0.1:5000\" }}\n{block}"
        );
        let file = work.write("block.yaml", yaml);
        command(&work, &["check", "--config", file.to_str().unwrap()]).ok();
    }
    let yaml = blocks[0]
        .replace("client.pem", client.certificate.to_str().unwrap())
        .replace("client.key", client.key.to_str().unwrap())
        .replace("build-ca.pem", pki.ca().to_str().unwrap())
        .replace("/run/secrets/build-service", "secret");
    work.write_secret("secret", SECRET);
    let file = work.write("pushbell.yaml", yaml);
    command(&work, &["check", "--config", file.to_str().unwrap()]).ok();
}
