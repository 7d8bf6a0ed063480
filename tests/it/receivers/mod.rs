//! Each preset against a model of its receiver's parser, written from what that is documented to do.
//!
//! The endpoints are the examples that `pushbell presets` prints, pointed at one receiver of the tests; what arrives
//! there is what the model sees. What it would reject fails the test, and each model has controls: another dialect,
//! another secret, and the mistakes that its receiver is known to stumble over.

mod call;
mod flux;
mod kargo;
mod others;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::json;

use crate::support::Asks;
use crate::support::Curl;
use crate::support::Image;
use crate::support::Pki;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::Request;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::command;
use crate::tools::DIALECTS;

use self::call::Acted;
use self::call::Call;
use self::call::Outcome;

/// How a signature comes to another body.
#[derive(Clone, Copy)]
enum Signed {
    /// It has none: a secret in a header or the URL.
    Not,
    GitHub,
    FluxHmac,
    JFrog,
    Nexus,
}

/// A preset, its receiver, and what that has to make of a push.
struct Case {
    preset: &'static str,
    model: fn(&Call) -> Outcome,
    image: &'static str,
    tag: &'static str,
    signed: Signed,
    /// Every dialect whose body and headers this receiver takes as well.
    reads: &'static [&'static str],
}

const IMAGE: &str = "registry.example.com/team/app";
const TAGGED: &str = "registry.example.com/team/app:1.4.2";
const TAG: &str = "1.4.2";

const fn case(
    preset: &'static str,
    model: fn(&Call) -> Outcome,
    image: &'static str,
    tag: &'static str,
    signed: Signed,
    reads: &'static [&'static str],
) -> Case {
    Case { preset, model, image, tag, signed, reads }
}

const CASES: &[Case] = &[
    case(
        "build-service-docker",
        others::build_service_docker,
        IMAGE,
        TAG,
        Signed::Not,
        &["distribution"],
    ),
    case(
        "build-service-docker-hub",
        others::build_service_docker_hub,
        IMAGE,
        TAG,
        Signed::Not,
        &["docker-hub"],
    ),
    case(
        "build-service-artifactory",
        others::build_service_artifactory,
        IMAGE,
        TAG,
        Signed::Not,
        &["artifactory-plugin"],
    ),
    case("kargo-artifactory", kargo::artifactory, IMAGE, TAG, Signed::JFrog, &["artifactory"]),
    case("kargo-github", kargo::github, IMAGE, TAG, Signed::GitHub, &["github", "github-registry"]),
    case("kargo-docker-hub", kargo::docker_hub, IMAGE, TAG, Signed::Not, &["docker-hub"]),
    case("kargo-harbor", kargo::harbor, IMAGE, TAG, Signed::Not, &["harbor"]),
    case("kargo-quay", kargo::quay, IMAGE, TAG, Signed::Not, &["quay"]),
    case("kargo-azure", kargo::azure, IMAGE, TAG, Signed::Not, &["acr"]),
    case(
        "kargo-generic",
        kargo::generic,
        IMAGE,
        TAG,
        Signed::Not,
        &["flat", "cloudevents-binary", "spinnaker"],
    ),
    case("flux-generic-hmac", flux::generic_hmac, TAGGED, TAG, Signed::FluxHmac, &["flat"]),
    case("flux-generic", flux::generic, TAGGED, TAG, Signed::Not, &["flat"]),
    case("flux-harbor", flux::harbor, IMAGE, TAG, Signed::Not, &["harbor"]),
    case("flux-docker-hub", flux::docker_hub, IMAGE, TAG, Signed::Not, &["docker-hub"]),
    case("flux-quay", flux::quay, IMAGE, TAG, Signed::Not, &["quay"]),
    case("flux-nexus", flux::nexus, IMAGE, TAG, Signed::Nexus, &["nexus"]),
    case("flux-gcr", flux::gcr, IMAGE, TAG, Signed::Not, &["gcr"]),
    case("flux-cdevents", flux::cdevents, IMAGE, TAG, Signed::Not, &["cdevents"]),
    case("flux-github", flux::github, IMAGE, TAG, Signed::GitHub, &["github"]),
    case("argocd-harbor", others::argo_cd, IMAGE, TAG, Signed::Not, &["harbor"]),
    case(
        "image-updater-cloudevents",
        others::updater_cloudevents,
        IMAGE,
        TAG,
        Signed::Not,
        &["native"],
    ),
    case("image-updater-harbor", others::updater_harbor, IMAGE, TAG, Signed::Not, &["harbor"]),
    case("keel", others::keel, IMAGE, TAG, Signed::Not, &["keel"]),
    case(
        "jenkins-registry",
        others::jenkins_registry,
        IMAGE,
        TAG,
        Signed::Not,
        &["distribution", "distribution-v2"],
    ),
    case(
        "jenkins-generic-webhook-trigger",
        others::jenkins_generic,
        IMAGE,
        TAG,
        Signed::Not,
        &["flat"],
    ),
    case("tekton", others::tekton, IMAGE, TAG, Signed::GitHub, &["flat"]),
    case("argo-events", others::argo_events, IMAGE, TAG, Signed::Not, &["flat"]),
    case("spinnaker", others::spinnaker, IMAGE, TAG, Signed::Not, &["spinnaker"]),
    case(
        "knative",
        others::knative,
        "",
        "",
        Signed::Not,
        &["native", "cloudevents-binary", "cdevents", "cdevents-0.5"],
    ),
    case("dokploy", others::dokploy, IMAGE, TAG, Signed::Not, &["docker-hub"]),
    case("concourse", others::concourse, "", "", Signed::Not, &["empty"]),
    case("portainer", others::portainer, "", TAG, Signed::Not, &["empty"]),
    case("watchtower", others::watchtower, IMAGE, "", Signed::Not, &["empty"]),
];

/// What one push became at every preset and in every dialect.
struct Seen {
    presets: BTreeMap<&'static str, Call>,
    dialects: BTreeMap<&'static str, Request>,
}

/// A token that has the looks of one.
fn token() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"sub": "pushbell", "aud": "receiver", "exp": 4_102_444_800_u64});
    format!("{}.{}.c2ln", part(json!({"alg": "none"})), part(claims))
}

/// The printed examples with these files for their secrets, and nothing else changed.
fn examples(work: &Workdir) -> (String, BTreeMap<String, String>) {
    let printed = command(work, &["presets"]).ok().out;
    let mut secrets = BTreeMap::new();
    let mut yaml = String::new();
    for line in printed.lines() {
        let mut line = line.to_owned();
        if let Some((before, rest)) = line.clone().split_once("/run/secrets/") {
            let name = rest.trim_end_matches([' ', '}']).to_owned();
            let secret =
                if before.ends_with("token_file: ") { token() } else { format!("s3cr3t-{name}") };
            let file = work.write_secret(&format!("secrets/{name}"), &secret);
            line = format!("{before}{} }}", file.display());
            secrets.insert(name, secret);
        }
        yaml += &line;
        yaml.push('\n');
    }
    (yaml, secrets)
}

/// One sidecar with all of it, and one push: started once for all tests.
fn seen() -> &'static Seen {
    static SEEN: OnceLock<Seen> = OnceLock::new();
    SEEN.get_or_init(|| {
        let work = Workdir::new();
        let registry = Registry::start(&work);
        let pki = Pki::new(&work, "receiver-pki");
        let receiver = Receiver::start(&pki, Asks::Nothing);
        let (printed, secrets) = examples(&work);
        let mut yaml = Stage::file(&work, &registry, &pki, &receiver.url("/first"), "");
        let tls = format!("    tls: {{ ca: {} }}\n", pki.ca().display());
        let mut name = String::new();
        for line in printed.lines().skip(1) {
            if let Some(word) = line.strip_prefix("  - name: ") {
                name = word.to_owned();
            }
            match line.split_once("url: https://") {
                // Which repositories it is for is the operator's choice.
                None if line.contains(" when: ") => {}
                None => yaml += &format!("{line}\n"),
                Some((before, url)) => {
                    let path = url.split_once('/').map(|(_, path)| format!("/{path}"));
                    let url = receiver.url(&format!("/{name}{}", path.unwrap_or_default()));
                    yaml += &format!("{before}url: {url}\n{tls}");
                }
            }
        }
        for dialect in DIALECTS {
            let url = receiver.url(&format!("/dialect/{dialect}"));
            yaml +=
                &format!("  - name: d-{dialect}\n    url: {url}\n    dialect: {dialect}\n{tls}");
        }
        let sidecar = Sidecar::with_file(&work, &yaml);
        let image = Image::new(&work, "receivers");
        let curl = Curl::through(&work, &sidecar).with(&["--user", "ci-bot:anything"]);
        assert_eq!(curl.push("team/app", TAG, &image).status, 201);
        let requests = receiver.wait_for(1 + CASES.len() + DIALECTS.len());
        let find = |path: String| {
            let of = |r: &&Request| {
                r.path.strip_prefix(&path).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('/') || rest.starts_with('?')
                })
            };
            let found: Vec<_> = requests.iter().filter(of).collect();
            assert_eq!(found.len(), 1, "{path}: {found:?}");
            found[0].clone()
        };
        let call = |preset: &'static str| {
            let secret = secrets.get(preset).cloned().unwrap_or_default();
            (preset, Call::of(preset, &find(format!("/{preset}")), &secret))
        };
        Seen {
            presets: CASES.iter().map(|case| call(case.preset)).collect(),
            dialects: DIALECTS.map(|d| (d, find(format!("/dialect/{d}")))).into(),
        }
    })
}

impl Case {
    fn call(&self) -> Call {
        seen().presets[self.preset].clone()
    }

    /// Signs as its preset does, after the body was changed.
    fn sign(&self, call: &mut Call) {
        let sha256 = call.mac(hmac::HMAC_SHA256);
        match self.signed {
            Signed::Not => {}
            Signed::GitHub => call.set("x-hub-signature-256", &format!("sha256={sha256}")),
            Signed::FluxHmac => call.set("x-signature", &format!("sha256={sha256}")),
            Signed::JFrog => call.set("x-jfrog-event-auth", &sha256),
            Signed::Nexus => {
                let sha1 = call.mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY);
                call.set("x-nexus-webhook-signature", &sha1);
            }
        }
    }

    fn with_body(&self, body: &Value) -> Call {
        let mut call = self.call();
        call.body = body.to_string().into_bytes();
        self.sign(&mut call);
        call
    }
}

fn of(preset: &str) -> &'static Case {
    CASES.iter().find(|case| case.preset == preset).unwrap()
}

#[test]
fn every_receiver_takes_what_its_preset_sends() {
    let work = Workdir::new();
    let printed = command(&work, &["presets"]).ok().out;
    let words = printed.lines().filter_map(|line| line.trim().strip_prefix("preset: "));
    let known: Vec<_> = CASES.iter().map(|case| case.preset).collect();
    assert_eq!(words.collect::<Vec<_>>(), known, "a model for each preset");
    for case in CASES {
        let call = case.call();
        let expected = Acted { image: case.image.to_owned(), tag: case.tag.to_owned() };
        assert_eq!((case.model)(&call), Ok(expected), "{}: {call:?}", case.preset);
    }
}

#[test]
fn no_receiver_takes_another_dialect() {
    for case in CASES {
        for (dialect, request) in &seen().dialects {
            // The dialect's own headers and body, and of the preset where it goes, who we are, and its fixed headers.
            let own = case.call();
            let mut call = Call {
                body: request.body.clone(),
                headers: request.headers.clone(),
                ..own.clone()
            };
            let kept = ["authorization", "x-webhook-secret"];
            let fixed: &[&str] = match case.preset {
                "tekton" => &["x-github-event"],
                "dokploy" => &["user-agent"],
                "flux-generic"
                | "flux-generic-hmac"
                | "jenkins-generic-webhook-trigger"
                | "argo-events"
                | "image-updater-harbor" => &["content-type"],
                _ => &[],
            };
            for name in kept.iter().chain(fixed) {
                if let Some(value) = own.headers.get(*name) {
                    call.headers.insert(*name, value.clone());
                }
            }
            case.sign(&mut call);
            let outcome = (case.model)(&call);
            let reads = case.reads.contains(dialect);
            assert_eq!(outcome.is_ok(), reads, "{} and {dialect}: {outcome:?}", case.preset);
        }
    }
}

#[test]
fn no_receiver_takes_another_secret_or_path() {
    for case in CASES {
        let mut call = case.call();
        if !call.secret.is_empty() {
            call.secret.push('x');
            assert!((case.model)(&call).is_err(), "{}: another secret", case.preset);
        }
        if case.preset != "tekton" {
            let mut call = case.call();
            call.target = format!("/elsewhere{}", call.target);
            assert!((case.model)(&call).is_err(), "{}: another path", case.preset);
        }
        if !matches!(case.signed, Signed::Not) {
            let mut call = case.call();
            call.body.push(b' ');
            assert!((case.model)(&call).is_err(), "{}: other bytes", case.preset);
        }
    }
}

#[test]
fn each_model_stumbles_where_its_receiver_does() {
    let missing = || Value::Null;
    for (preset, pointer, wrong) in [
        ("build-service-docker-hub", "/push_data/pushed_at", json!(1.417_566_161e9)),
        ("build-service-docker-hub", "/repository/comment_count", json!("0")),
        ("build-service-docker", "/events/0/target/size", json!(1609.5)),
        ("argocd-harbor", "/occur_at", json!(1.7e9)),
        ("argocd-harbor", "/occur_at", json!("1772356502")),
        ("argocd-harbor", "/event_data/resources/0/tag", json!("")),
        ("image-updater-harbor", "/occur_at", json!(1.5)),
        ("image-updater-harbor", "/type", json!("PULL_ARTIFACT")),
        ("image-updater-cloudevents", "/type", json!("zotregistry.repository.created")),
        ("image-updater-cloudevents", "/data/tag", missing()),
        ("kargo-artifactory", "/jpd_origin", json!("")),
        ("kargo-artifactory", "/event_type", json!("deployed")),
        ("kargo-artifactory", "/data/image_type", json!("oci")),
        ("kargo-harbor", "/type", json!("DELETE_ARTIFACT")),
        ("kargo-azure", "/action", json!("delete")),
        ("kargo-github", "/action", json!("deleted")),
        ("kargo-github", "/package/package_type", json!("npm")),
        ("kargo-quay", "/updated_tags", json!(["1.4.2", "latest"])),
        ("kargo-docker-hub", "/push_data/tag", json!("sha256:0a")),
        ("flux-quay", "/updated_tags", json!("1.4.2")),
        ("flux-cdevents", "/context/version", missing()),
        ("flux-cdevents", "/subject/content/tag", json!("1.4.2")),
        ("flux-gcr", "/message/data", json!("{}")),
        ("jenkins-registry", "/events/0/target/url", missing()),
        ("jenkins-registry", "/events/0/request", missing()),
        ("jenkins-registry", "/events/0/target/url", json!("https://r/v2/a/blobs/sha256:0")),
        ("spinnaker", "/artifacts/0/type", json!("helm/chart")),
        ("knative", "/specversion", json!("0.3")),
        ("keel", "/tag", json!("")),
        ("dokploy", "/repository/repo_name", json!("team/app")),
        ("tekton", "/image", missing()),
    ] {
        let case = of(preset);
        let mut body: Value = serde_json::from_slice(&case.call().body).unwrap();
        assert!((case.model)(&case.with_body(&body)).is_ok(), "{preset}: unchanged");
        match body.pointer_mut(pointer) {
            Some(place) => *place = wrong,
            None => body["subject"]["content"]["tag"] = wrong,
        }
        let outcome = (case.model)(&case.with_body(&body));
        assert!(outcome.is_err(), "{preset} {pointer}: {outcome:?}");
    }
    for (preset, name, wrong) in [
        ("flux-generic-hmac", "content-type", "application/cloudevents+json"),
        ("flux-github", "x-github-event", "push"),
        ("flux-cdevents", "ce-type", "dev.cdevents.artifact.published.0.3.0"),
        ("kargo-azure", "user-agent", "pushbell/0.1"),
        ("dokploy", "user-agent", "pushbell/0.1"),
        ("argocd-harbor", "x-github-event", "push"),
        ("tekton", "x-github-event", "push"),
        ("image-updater-harbor", "content-type", "application/cloudevents+json"),
    ] {
        let mut call = of(preset).call();
        call.set(name, wrong);
        let outcome = (of(preset).model)(&call);
        assert!(outcome.is_err(), "{preset} {name}: {outcome:?}");
    }
    for (preset, added) in [("flux-generic", "?tag=1"), ("kargo-artifactory", "/x")] {
        let mut call = of(preset).call();
        call.target += added;
        assert!((of(preset).model)(&call).is_err(), "{preset}{added}");
    }
    let mut prefixed = of("kargo-artifactory").call();
    let bare = prefixed.header("x-jfrog-event-auth").to_owned();
    prefixed.set("x-jfrog-event-auth", &format!("sha256={bare}"));
    assert!(kargo::artifactory(&prefixed).is_err(), "bare, without a prefix");
    let mut bare = of("flux-generic-hmac").call();
    let value = bare.header("x-signature").trim_start_matches("sha256=").to_owned();
    bare.set("x-signature", &value);
    assert!(flux::generic_hmac(&bare).is_err(), "with its algorithm before it");
}

const ABOVE: &str =
    "registry: { name: registry.example.com, upstream: \"http://127.0.0.1:5000\" }\n";

#[test]
fn every_printed_example_passes_the_check() {
    let work = Workdir::new();
    let (yaml, _) = examples(&work);
    let file = work.write("pushbell.yaml", format!("{ABOVE}{yaml}"));
    let shown = command(&work, &["check", "--config", file.to_str().unwrap()]).ok().out;
    for case in CASES {
        assert!(shown.contains(&format!("{} at https://", case.preset)), "{shown}");
    }
}

#[test]
fn every_preset_has_its_page() {
    let work = Workdir::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/receivers");
    for case in CASES {
        let page = command(&work, &["presets", case.preset]).ok().out;
        let file = folder.join(format!("{}.md", case.preset));
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        let name = case.preset;
        assert_eq!(kept, page, "`pushbell presets {name} >deploy/receivers/{name}.md` writes it");
    }
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let linked = |name: &str| index.contains(&format!("[`{name}`]({name}.md)"));
    assert!(CASES.iter().all(|case| linked(case.preset)), "{index}");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, CASES.len() + 1, "a page without a preset");
}

#[test]
fn what_a_receiver_would_refuse_is_found_by_the_check() {
    let work = Workdir::new();
    let secret = work.write_secret("secret", "s3cr3t");
    let file = secret.display();
    for (rest, said) in [
        (
            "preset: kargo-artifactory".to_owned(),
            "refuses whoever it does not know by `jfrog-signed`",
        ),
        ("preset: flux-gcr".to_owned(), "token_file"),
        (
            format!("preset: argocd-harbor, sign: {{ scheme: bearer, secret_file: {file} }}"),
            "knows us by `static-authorization`, not by `bearer`",
        ),
        ("preset: portainer".to_owned(), "nothing puts one there"),
        (
            "dialect: empty, headers: { A: b }, preset: keel".to_owned(),
            "speaks `keel`, not `empty`",
        ),
    ] {
        let yaml = format!("{ABOVE}endpoints: [{{ name: a, url: \"https://h\", {rest} }}]\n");
        let yaml = work.write("pushbell.yaml", yaml);
        let done = command(&work, &["check", "--config", yaml.to_str().unwrap()]);
        assert_eq!(done.code, 64, "{rest}: {done:?}");
        assert!(done.err.contains(said), "{rest}: {}", done.err);
    }
}
