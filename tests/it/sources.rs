//! Each kind of source with what it can show: who is believed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;

use crate::support::Asks;
use crate::support::Curl;
use crate::support::Image;
use crate::support::Oracle;
use crate::support::Pki;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::free_port;

const OLD: &str = "fedcba9876543210fedcba9876543210";
const NEW: &str = "0123456789abcdef0123456789ABCDEF";
const OTHER: &str = "an-other-secret-that-nobody-knows";

/// How a sender shows who it is.
#[derive(Clone, Copy)]
enum By {
    Bearer,
    Basic,
    Header(&'static str),
    /// The header of the code, what stands before it, and how it is written.
    Signature(&'static str, &'static str, Code),
    Path,
    Google,
}

#[derive(Clone, Copy)]
enum Code {
    Hex256,
    Hex1,
    Base64,
}

/// A source: its kind, how it shows who it is, further headers, a sample, and the repository, the tag and whether
/// there is a digest in the event of it.
type Case =
    (&'static str, By, &'static [&'static str], &'static str, &'static str, &'static str, bool);

const CE: &[&str] = &[
    "ce-specversion: 1.0",
    "ce-id: 1",
    "ce-source: zotregistry.dev",
    "ce-type: zotregistry.image.updated",
    "ce-time: 2026-03-01T09:15:02.5Z",
];

const CASES: [Case; 17] = [
    ("distribution", By::Bearer, &[], "distribution-2-push", "team/app", "1.4.2", true),
    (
        "artifactory-plugin",
        By::Basic,
        &[],
        "artifactory-plugin-created",
        "team/app",
        "1.4.2",
        false,
    ),
    (
        "artifactory",
        By::Signature("X-JFrog-Event-Auth", "", Code::Hex256),
        &[],
        "artifactory-pushed",
        "docker-local/team/app",
        "1.4.2",
        true,
    ),
    ("docker-hub", By::Path, &[], "docker-hub-today", "acme/app", "1.4.2", false),
    ("harbor", By::Header("Authorization"), &[], "harbor-push", "library/app", "1.4.2", true),
    ("quay", By::Path, &[], "quay-push", "acme/app", "1.4.2", false),
    (
        "github",
        By::Signature("X-Hub-Signature-256", "sha256=", Code::Hex256),
        &["X-GitHub-Event: package"],
        "github-package",
        "acme/app",
        "1.4.2",
        true,
    ),
    (
        "gitea",
        By::Signature("X-Gitea-Signature", "", Code::Hex256),
        &["X-Gitea-Event: package"],
        "gitea-created",
        "acme/team/app",
        "1.4.2",
        false,
    ),
    ("acr", By::Header("X-Secret"), &[], "acr-push", "team/app", "1.4.2", true),
    ("gcr", By::Google, &[], "gcr-insert", "acme/apps/app", "1.4.2", true),
    ("ecr", By::Header("X-Secret"), &[], "ecr-push", "team/app", "1.4.2", true),
    (
        "nexus",
        By::Signature("X-Nexus-Webhook-Signature", "", Code::Hex1),
        &["X-Nexus-Webhook-Id: rm:repository:component"],
        "nexus-component",
        "team/app",
        "1.4.2",
        false,
    ),
    ("zot", By::Basic, CE, "zot-updated", "team/app", "1.4.2", true),
    (
        "europa",
        By::Signature("x-europa-signature", "", Code::Base64),
        &["x-europa-event: DockerImagePush"],
        "europa-push",
        "team/app",
        "1.4.2",
        true,
    ),
    ("alibaba", By::Path, &[], "alibaba-push", "ns/app", "latest", true),
    ("cdevents", By::Bearer, &[], "cdevents-published", "team/app", "1.4.2", true),
    ("auto", By::Bearer, &[], "docker-hub-today", "acme/app", "1.4.2", false),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

impl By {
    /// The lines of `auth`.
    fn auth(self, secrets: &str, keys: &str) -> String {
        match self {
            Self::Bearer => format!("bearer_file: {secrets}"),
            Self::Basic => format!("basic: {{ username: ci, password_file: {secrets} }}"),
            Self::Header(name) => format!("header_file: {secrets}, header_name: {name}"),
            Self::Signature(..) => format!("signature_file: {secrets}"),
            Self::Path => format!("path_token_file: {secrets}"),
            Self::Google => format!(
                "google_token: {{ audience: pushbell, email: ci@example.com, keys_file: {keys} }}"
            ),
        }
    }

    /// What it adds to the path, and the header.
    fn shown(self, secret: &str, token: &str, body: &[u8]) -> (String, Option<String>) {
        let mac = |algorithm| {
            let key = hmac::Key::new(algorithm, secret.as_bytes());
            hmac::sign(&key, body).as_ref().to_vec()
        };
        let header = match self {
            Self::Path => return (format!("/{secret}"), None),
            Self::Bearer => format!("Authorization: Bearer {secret}"),
            Self::Basic => {
                format!("Authorization: Basic {}", STANDARD.encode(format!("ci:{secret}")))
            }
            Self::Header(name) => format!("{name}: {secret}"),
            Self::Google => format!("Authorization: Bearer {token}"),
            Self::Signature(name, before, code) => {
                let code = match code {
                    Code::Hex256 => hex(&mac(hmac::HMAC_SHA256)),
                    Code::Hex1 => hex(&mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)),
                    Code::Base64 => STANDARD.encode(mac(hmac::HMAC_SHA256)),
                };
                format!("{name}: {before}{code}")
            }
        };
        (String::new(), Some(header))
    }
}

fn post(port: u16, path: &str, headers: &[&str], body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST /_pushbell/hooks/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// A sidecar with these sources, and the receiver of their events.
fn open(work: &Workdir, sources: &str) -> (Sidecar, Receiver, Registry, u16) {
    let port = free_port();
    let registry = Registry::start(work);
    let pki = Pki::new(work, "receiver-pki");
    let receiver = Receiver::start(&pki, Asks::Nothing);
    let yaml = Stage::file(work, &registry, &pki, &receiver.url("/hook"), "");
    let hooks = format!("  - {{ address: \"127.0.0.1:{port}\", serve: [hooks] }}\nstate:");
    let yaml = yaml.replace("state:", &hooks) + "match: { hold: 1s }\nsources:\n" + sources;
    (Sidecar::with_file(work, &yaml), receiver, registry, port)
}

#[test]
fn each_kind_is_believed_by_what_it_shows_and_by_nothing_else() {
    let work = Workdir::new();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let claims = |email: &str| {
        json!({
            "iss": "https://accounts.google.com", "aud": "pushbell", "email": email,
            "email_verified": true, "iat": now, "exp": now + 600,
        })
    };
    let asked = json!([claims("ci@example.com"), claims("mallory@example.com")]);
    let minted: Value = serde_json::from_str(&Oracle::ask("mint.py", &asked).ok().out).unwrap();
    let tokens = &minted["tokens"];
    let keys = work.write("keys.json", minted["keys"].to_string());
    let secrets = work.write_secret("secrets", format!("{OLD}\n{NEW}\n"));
    let mut sources = String::new();
    for (kind, by, ..) in CASES {
        let auth = by.auth(secrets.to_str().unwrap(), keys.to_str().unwrap());
        let registry = match kind {
            "auto" | "docker-hub" => String::new(),
            _ => format!(", registry: {kind}.example.com"),
        };
        writeln!(
            sources,
            "  - {{ name: from-{kind}, kind: {kind}, auth: {{ {auth} }}{registry} }}"
        )
        .unwrap();
    }
    let (sidecar, _receiver, _registry, port) = open(&work, &sources);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/notifications");
    let send = |case: &Case, secret: &str, token: &Value| {
        let (kind, by, more, sample, ..) = case;
        let body = std::fs::read(folder.join(format!("{sample}.json"))).unwrap();
        let (path, header) = by.shown(secret, token.as_str().unwrap(), &body);
        let mut headers = more.to_vec();
        headers.extend(header.as_deref());
        post(port, &format!("from-{kind}{path}"), &headers, &body)
    };
    for case in &CASES {
        assert_eq!(send(case, OTHER, &tokens[1]), 401, "{}", case.0);
        let body = std::fs::read(folder.join(format!("{}.json", case.3))).unwrap();
        assert_eq!(post(port, &format!("from-{}", case.0), case.2, &body), 401, "{}", case.0);
    }
    // The old secret and the new one, while they are changed; the second time it is no news.
    for secret in [OLD, NEW] {
        for case in &CASES {
            assert_eq!(send(case, secret, &tokens[0]), 200, "{}", case.0);
        }
    }
    let said = "A notification of this source was found to be of a kind";
    sidecar.wait_for_log(said, &[("source", "from-auto"), ("kind", "docker-hub")]);
    let log = sidecar.log();
    let lines = log.iter().filter(|line| line.to_string().contains(said)).count();
    assert_eq!(lines, 1, "it is said once");
}

#[test]
fn one_pushbell_tells_another_of_every_push_once() {
    const SHARED: &str = "whsec_YSBzZWNyZXQgb2YgdHdvLCBmb3IgdGhlIHRlc3RzIQ==";
    let work = Workdir::new();
    let shared = work.write_secret("shared", format!("{SHARED}\n"));
    let source = format!(
        "  - {{ name: other, kind: cloudevents, auth: {{ standard_webhooks_file: {} }} }}\n",
        shared.display()
    );
    let (_second, receiver, _registry, port) = open(&work, &source);
    let first_work = Workdir::new();
    let registry = Registry::start(&first_work);
    let wrong =
        first_work.write_secret("wrong", "whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhlIHR3byBoZXJlIQ==\n");
    let endpoint = |name: &str, secret: &Path| {
        format!(
            "  - {{ name: {name}, url: \"http://127.0.0.1:{port}/_pushbell/hooks/other\", insecure_http: true, sign: {{ scheme: standard-webhooks, secret_file: {} }} }}\n",
            secret.display()
        )
    };
    let yaml = format!(
        "registry: {{ name: first.example.com, upstream: \"{}\" }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [first.example.com, localhost, 127.0.0.1] }} }} }}\n\
         listeners:\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n\
         state: {{ directory: {} }}\n\
         endpoints:\n{}{}",
        registry.url(),
        first_work.join("state").display(),
        endpoint("second", &shared),
        endpoint("stranger", &wrong),
    );
    let first = Sidecar::with_file(&first_work, &yaml);
    let curl = Curl::through(&first_work, &first);
    let mut digests = BTreeMap::new();
    for number in 0..10 {
        let image = Image::new(&first_work, &format!("image {number}"));
        let tag = format!("t{number}");
        assert_eq!(curl.push("team/app", &tag, &image).status, 201);
        digests.insert(tag, image.digest().to_owned());
    }
    let requests = receiver.wait_for(digests.len());
    assert_eq!(requests.len(), digests.len());
    for request in requests {
        let data = request.json()["data"].clone();
        let tag = data["tag"].as_str().unwrap();
        assert_eq!(data["digest"].as_str(), digests.remove(tag).as_deref(), "{tag}");
        assert_eq!(data["repository"], "team/app");
        assert_eq!(data["origin"], "notification");
        assert_eq!(data["seen_by"], json!(["other", "other/proxy"]));
    }
    assert!(digests.is_empty(), "never told: {digests:?}");
}
