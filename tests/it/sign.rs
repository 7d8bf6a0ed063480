//! Receivers know that a webhook is ours, each in its own way, and nobody else learns the secret.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;

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
use crate::support::Workdir;
use crate::support::command_with_input;
use crate::support::run;
use crate::support::until;

/// In every place a secret can be put, and nowhere else.
const MARKED: &str = "canary-3fa9/d1 7";
const OLDER: &str = "whsec_Y2FuYXJ5IG9mIHRoZSBvbGRlciBzZWNyZXQgaGVyZQ==";
/// RFC 8037, A.1.
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

/// Every scheme as an endpoint: its name, the lines of `sign`, and what the oracle has to know.
fn schemes(work: &Workdir) -> Vec<(&'static str, String, Value)> {
    let secret = work.write_secret("marked", format!("{MARKED}\n"));
    let standard = work.write_secret("standard", format!("{PRIVATE}\n{SECRET}\n{OLDER}\n"));
    let token = work.join("token");
    let by = |scheme: &str, more: &str| {
        format!("{{ scheme: {scheme}, secret_file: {}{more} }}", secret.display())
    };
    let mut all = vec![
        (
            "standard-webhooks",
            format!("{{ secret_file: {} }}", standard.display()),
            json!({"secret": SECRET}),
        ),
        ("oidc", format!("{{ scheme: oidc, token_file: {} }}", token.display()), json!({})),
        ("flux-hmac", by("flux-hmac", ", algorithm: sha512"), json!({})),
        ("basic", by("basic", ", username: ci"), json!({"username": "ci"})),
        ("query-secret", by("query-secret", ", parameter: token"), json!({"parameter": "token"})),
        ("path-secret", by("path-secret", ""), json!({"path": "/path-secret/SECRET"})),
    ];
    for scheme in [
        "github-sha256",
        "jfrog-signed",
        "nexus-sha1",
        "jfrog-token",
        "static-authorization",
        "bearer",
        "gitlab-token",
        "shared-header",
    ] {
        all.push((scheme, by(scheme, ""), json!({})));
    }
    for (identity, jose) in [("client", "ES256"), ("rsa", "PS512"), ("ed25519", "EdDSA")] {
        let sign = format!("{{ scheme: http-message-signatures, identity: {identity} }}");
        all.push((identity, sign, json!({"jose": jose})));
    }
    all
}

/// A registry, a receiver, and the sidecar between with one endpoint for each scheme.
struct Signing {
    sidecar: Sidecar,
    receiver: Receiver,
    _registry: Registry,
    pki: Pki,
    work: Workdir,
    issuer: Value,
    schemes: Vec<(&'static str, String, Value)>,
}

impl Signing {
    fn open() -> Self {
        let work = Workdir::new();
        let registry = Registry::start(&work);
        let pki = Pki::new(&work, "receiver-pki");
        let receiver = Receiver::start(&pki, Asks::Nothing);
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let claims = |exp: i64| {
            json!({
                "iss": "https://issuer.example.com", "aud": ["build", "x"], "exp": exp, "iat": now,
                "sub": "system:serviceaccount:ci:pushbell",
            })
        };
        let minted =
            Oracle::ask("mint.py", &json!([claims(now + 600), claims(now + 900), claims(now - 1)]));
        let issuer: Value = serde_json::from_str(&minted.ok().out).unwrap();
        work.write("token", issuer["tokens"][0].as_str().unwrap());
        let client = pki.client("client");
        let mut yaml = format!(
            "registry: {{ name: registry.example.com, upstream: \"{}\" }}\n\
             identities:\n  registry: {{ local_ca: {{ names: [registry.example.com, localhost] }} }}\n\
             \x20 client: {{ files: {{ certificate: {}, key: {} }} }}\n",
            registry.url(),
            client.certificate.display(),
            client.key.display(),
        );
        for (name, algorithm) in [("rsa", "RSA"), ("ed25519", "ed25519")] {
            let (certificate, key) =
                (work.join(&format!("{name}.pem")), work.write_secret(&format!("{name}.key"), ""));
            let mut openssl = Command::new("openssl");
            openssl.args([
                "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=x", "-newkey", algorithm,
            ]);
            run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate)).ok();
            let line = format!("certificate: {}, key: {}", certificate.display(), key.display());
            writeln!(yaml, "  {name}: {{ files: {{ {line} }} }}").unwrap();
        }
        yaml.push_str(
            "listeners:\n\
             \x20 - { address: \"127.0.0.1:0\", serve: [registry], identity: registry }\n\
             \x20 - { address: \"127.0.0.1:0\", serve: [admin] }\nendpoints:\n",
        );
        let schemes = schemes(&work);
        for (name, sign, _) in &schemes {
            let (url, ca) = (receiver.url(&format!("/{name}")), pki.ca());
            let ca = ca.display();
            writeln!(
                yaml,
                "  - {{ name: {name}, url: \"{url}\", tls: {{ ca: {ca} }}, sign: {sign} }}"
            )
            .unwrap();
        }
        let sidecar = Sidecar::with_file(&work, &yaml);
        Self { sidecar, receiver, _registry: registry, pki, work, issuer, schemes }
    }

    fn push(&self, tag: &str) {
        let image = Image::new(&self.work, tag);
        let curl = Curl::through(&self.work, &self.sidecar);
        assert_eq!(curl.push("team/app", tag, &image).status, 201);
    }

    /// The webhook that an endpoint got for a tag.
    fn of(&self, name: &str, tag: &str) -> Request {
        until(&format!("the webhook for {name}"), || {
            let wanted = |request: &Request| {
                let path = request.path.split(['?']).next().unwrap();
                path.split('/').nth(1) == Some(name) && request.json()["data"]["tag"] == tag
            };
            self.receiver.requests().into_iter().find(wanted)
        })
    }

    /// What an oracle has to know of a webhook.
    fn asked(&self, name: &str, request: &Request, more: &Value) -> Value {
        let headers: Value = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let admin = Curl::direct(&self.work, &self.sidecar.admin(""));
        let mut asked = json!({
            "scheme": name, "secret": MARKED, "url": self.receiver.url(&request.path),
            "headers": headers, "body": String::from_utf8(request.body.clone()).unwrap(),
            "keys": admin.get("/keys").json(),
        });
        for (key, value) in more.as_object().unwrap() {
            asked[key] = value.clone();
        }
        match name {
            "oidc" => {
                asked["keys"] = self.issuer["keys"].clone();
                asked["audience"] = json!("build");
                asked["issuer"] = json!("https://issuer.example.com");
            }
            "client" | "rsa" | "ed25519" => asked["scheme"] = json!("http-message-signatures"),
            _ => {}
        }
        if name == "client" {
            asked["ca"] = json!(fs::read_to_string(self.pki.ca()).unwrap());
        }
        asked
    }

    /// `pushbell verify` of a webhook.
    fn verify(&self, name: &str, request: &Request, body: &[u8]) -> crate::support::Done {
        let keys = self.work.write("issuer.json", self.issuer["keys"].to_string());
        let path = |name: &str| self.work.join(name).display().to_string();
        let (ca, scheme) = match name {
            "client" => (self.pki.ca().display().to_string(), "http-message-signatures"),
            _ => (String::new(), name),
        };
        let secret = if name == "standard-webhooks" { "standard" } else { "marked" };
        let mut words = vec!["verify".to_owned(), "--scheme".into(), scheme.into()];
        match name {
            "client" => words.extend(["--ca".into(), ca]),
            "oidc" => {
                words.extend(["--keys".into(), keys.display().to_string()]);
                words.extend(["--audience".into(), "build".into()]);
                words.extend(["--issuer".into(), "https://issuer.example.com".into()]);
            }
            _ => words.extend(["--secret-file".into(), path(secret)]),
        }
        match name {
            "basic" => words.extend(["--username".into(), "ci".into()]),
            "flux-hmac" => words.extend(["--algorithm".into(), "sha512".into()]),
            "query-secret" => words.extend(["--parameter".into(), "token".into()]),
            _ => {}
        }
        words.extend(["--url".into(), self.receiver.url(&request.path)]);
        for (name, value) in &request.headers {
            words.extend(["-H".into(), format!("{name}: {}", value.to_str().unwrap())]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        command_with_input(&self.work, &words, body)
    }
}

#[test]
fn every_scheme_is_believed_by_the_libraries_of_others_and_shows_nobody_its_secret() {
    let stage = Signing::open();
    stage.push("1.0");
    let mut asked = Vec::new();
    for (name, _, more) in &stage.schemes {
        let request = stage.of(name, "1.0");
        assert!(request.header("webhook-id").is_some(), "{name}");
        asked.push(stage.asked(name, &request, more));
        if *name == "standard-webhooks" {
            asked.push(stage.asked(name, &request, &json!({"secret": OLDER})));
            asked.push(stage.asked(name, &request, &json!({"scheme": "ed25519"})));
        }
    }
    Oracle::ask("sign.py", &json!(asked)).ok();

    // They do look: of every webhook something is wrong now.
    let altered = asked.iter().map(|asked| {
        let mut asked = asked.clone();
        for key in ["secret", "audience"] {
            asked[key] = json!("whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=");
        }
        asked["body"] = json!("{}");
        asked
    });
    let done = Oracle::ask("sign.py", &altered.collect());
    assert_eq!(done.out.lines().count(), asked.len(), "{}", done.out);

    let verified = |name: &&str| !matches!(*name, "rsa" | "ed25519");
    for name in stage.schemes.iter().map(|(name, ..)| *name).filter(verified) {
        let request = stage.of(name, "1.0");
        let genuine = stage.verify(name, &request, &request.body);
        assert_eq!(genuine.code, 0, "{name}: {genuine:?}");
        let mut forged = request.clone();
        for header in ["x-webhook-secret", "authorization", "x-gitlab-token", "x-jfrog-event-auth"]
        {
            if forged.headers.contains_key(header) {
                forged.headers.insert(header, "Bearer other.other.other".parse().unwrap());
            }
        }
        forged.path = format!("/{name}?token=other");
        let done = stage.verify(name, &forged, b"{}");
        assert_eq!(done.code, 1, "{name}: {done:?}");
        for said in [genuine, done] {
            assert!(!format!("{said:?}").contains(MARKED), "{said:?}");
        }
    }

    let admin = Curl::direct(&stage.work, &stage.sidecar.admin(""));
    let database = fs::read(stage.work.join("state/outbox/outbox.db")).unwrap();
    let wal = fs::read(stage.work.join("state/outbox/outbox.db-wal")).unwrap_or_default();
    let shown = [
        stage.sidecar.printed(),
        admin.get("/metrics").text(),
        admin.get("/readyz").text(),
        admin.get("/keys").text(),
        String::from_utf8_lossy(&database).into_owned(),
        String::from_utf8_lossy(&wal).into_owned(),
    ];
    let token = stage.issuer["tokens"][0].as_str().unwrap();
    for secret in [
        "canary-3fa9",
        "canary%2D3fa9",
        "Y2k6Y2FuYXJ5",
        token,
        "nWGxne/9WmC6hEr0",
        "bm90IGEgc2VjcmV0",
    ] {
        assert!(!shown.iter().any(|text| text.contains(secret)), "{secret} is shown");
    }
    assert!(stage.of("path-secret", "1.0").path.contains("canary-3fa9"), "the control");
}

#[test]
fn a_token_is_read_again_before_each_attempt_and_one_that_is_over_is_told() {
    let stage = Signing::open();
    let token = |n: usize| stage.issuer["tokens"][n].as_str().unwrap();
    stage.push("1.0");
    let authorization =
        |tag: &str| stage.of("oidc", tag).header("authorization").map(str::to_owned);
    assert_eq!(authorization("1.0"), Some(format!("Bearer {}", token(0))));
    stage.work.write("token.new", token(1));
    fs::rename(stage.work.join("token.new"), stage.work.join("token")).unwrap();
    stage.push("2.0");
    assert_eq!(authorization("2.0"), Some(format!("Bearer {}", token(1))));
    fs::write(stage.work.join("token"), token(2)).unwrap();
    stage.push("3.0");
    let line = stage.sidecar.wait_for_log(
        "that the token is over",
        &[("endpoint", "oidc"), ("tag", "3.0"), ("outcome", "retry")],
    );
    let text = line.to_string();
    assert!(text.contains("ended on") && text.contains("keeps it fresh"), "{text}");
    assert!(!text.contains(token(2)), "{text}");
    fs::write(stage.work.join("token"), token(1)).unwrap();
    assert_eq!(authorization("3.0"), Some(format!("Bearer {}", token(1))));
}

#[test]
fn a_receiver_by_others_runs_its_hook_for_who_knows_the_secret_alone() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let pki = Pki::new(&work, "receiver-pki");
    let pair = pki.server("webhook", &["127.0.0.1"]);
    let script =
        work.write("hook.sh", "#!/bin/sh\nprintf '%s' \"$2\" > \"$1.new\"\nmv \"$1.new\" \"$1\"\n");
    run(Command::new("chmod").arg("+x").arg(&script)).ok();
    let hook = |id: &str, secret: &str| {
        json!({
            "id": id, "execute-command": script, "command-working-directory": work.path(),
            "pass-arguments-to-command": [
                {"source": "string", "name": id}, {"source": "payload", "name": "data.digest"},
            ],
            "trigger-rule": {"match": {
                "type": "payload-hmac-sha256", "secret": secret,
                "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
            }},
        })
    };
    let hooks = json!([hook("ours", "sesame"), hook("theirs", "another")]);
    let hooks = work.write("hooks.json", hooks.to_string());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("webhook");
    command.args(["-verbose", "-secure", "-ip", "127.0.0.1", "-port", &port.to_string()]);
    command.arg("-cert").arg(&pair.certificate).arg("-key").arg(&pair.key);
    let webhook = Process::start(command.arg("-hooks").arg(&hooks));
    until("webhook to serve", || {
        webhook.lines().iter().any(|line| line.contains("serving hooks")).then_some(())
    });

    let (secret, ca) = (work.write_secret("secret", "sesame\n"), pki.ca());
    let (secret, ca) = (secret.display(), ca.display());
    let mut yaml = String::from("endpoints:\n");
    for name in ["ours", "theirs"] {
        let url = format!("https://127.0.0.1:{port}/hooks/{name}");
        let sign = format!("{{ scheme: github-sha256, secret_file: {secret} }}");
        writeln!(yaml, "  - {{ name: {name}, url: \"{url}\", tls: {{ ca: {ca} }}, sign: {sign} }}")
            .unwrap();
    }
    let sidecar = Sidecar::before(&work, &registry.url(), &yaml);
    let image = Image::new(&work, "by others");
    assert_eq!(Curl::through(&work, &sidecar).push("team/app", "1.0", &image).status, 201);
    let built = until("the hook's file", || fs::read_to_string(work.join("ours")).ok());
    assert_eq!(built, image.digest());
    sidecar.wait_for_log("the refusal", &[("endpoint", "theirs"), ("status", "500")]);
    assert!(!work.join("theirs").exists());
}
