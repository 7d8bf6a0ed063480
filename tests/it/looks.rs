//! Our own looks at registries that hand out tokens: where our credentials go, and where they do not.

use std::sync::Arc;
use std::sync::OnceLock;

use crate::support::Conversation;
use crate::support::Curl;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::sha256;

/// `reader:secret`
const BASIC: &str = "authorization: basic cmvhzgvyonnly3jlda==";
const MANIFEST: &str = "{\"schemaVersion\": 2}";

/// Hands out a token to whoever shows the account.
fn hand_out(conversation: &mut Conversation, head: &str) {
    if !head.contains(BASIC) {
        conversation.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let body = "{\"token\": \"good-one\", \"expires_in\": 300}";
    conversation.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
}

/// A registry that shows a tag only to who has a token, which is had at the realm; its own host, if none is given.
fn registry(realm: Option<String>) -> Scripted {
    let own: Arc<OnceLock<String>> = Arc::default();
    let realm_of = Arc::clone(&own);
    let registry = Scripted::start(move |mut conversation: Conversation| {
        while let Some(head) = conversation.head() {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            conversation.body(length.map_or(0, |length| length.parse().unwrap()));
            if lower.starts_with("get /token?") {
                hand_out(&mut conversation, &lower);
            } else if lower.starts_with("put ") {
                conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            } else if lower.contains("authorization: bearer good-one\r\n") {
                let digest = sha256(MANIFEST.as_bytes());
                conversation
                    .say(format!("HTTP/1.1 200 OK\r\nDocker-Content-Digest: {digest}\r\n\r\n"));
            } else {
                let own = realm_of.get().cloned().unwrap_or_default();
                let realm = realm.clone().unwrap_or(own);
                conversation.say(format!(
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{realm}/token\",service=\"reg\",\
                     scope=\"repository:team/app:pull,push\"\r\nContent-Length: 0\r\n\r\n"
                ));
            }
        }
    });
    own.set(registry.url()).unwrap();
    registry
}

fn sidecar(work: &Workdir, registry: &Scripted, realms: &str) -> Sidecar {
    let secret = work.write_secret("look-password", "secret\n");
    let yaml = format!(
        "registry:\n  name: registry.example.com\n  upstream: \"{}\"\n\
         \x20 look: {{ username: reader, password_file: \"{}\"{realms} }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [localhost, registry.example.com] }} }} }}\n\
         listeners: [{{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}]\n",
        registry.url(),
        secret.display()
    );
    Sidecar::with_file(work, &yaml)
}

fn push(work: &Workdir, sidecar: &Sidecar) {
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let put = Curl::through(work, sidecar).put("team/app", "1.0", kind, MANIFEST.as_bytes());
    assert_eq!(put.status, 201, "{put:?}");
}

#[test]
fn a_token_of_the_registry_s_own_host_lets_us_look() {
    let work = Workdir::new();
    let registry = registry(None);
    let sidecar = sidecar(&work, &registry, "");
    push(&work, &sidecar);
    // Only a look can know that the tag named this before.
    sidecar.wait_for_log("what the push changed", &[("change", "unchanged")]);
    let heads = registry.heads();
    let asked = heads.iter().find(|head| head.starts_with("GET /token?")).unwrap();
    assert!(
        asked.starts_with("GET /token?service=reg&scope=repository:team/app:pull HTTP/1.1"),
        "{asked}"
    );
}

#[test]
fn our_credentials_go_to_realms_on_the_list_and_to_no_other() {
    let realm = || {
        Scripted::start(|mut conversation: Conversation| {
            while let Some(head) = conversation.head() {
                hand_out(&mut conversation, &head.to_ascii_lowercase());
            }
        })
    };
    let (listed, work) = (realm(), Workdir::new());
    let registry_of_listed = registry(Some(listed.url()));
    let realms = format!(", realms: [\"{}/token\"]", listed.url());
    let knows = sidecar(&work, &registry_of_listed, &realms);
    push(&work, &knows);
    knows.wait_for_log("what the push changed", &[("change", "unchanged")]);

    let (stranger, work) = (realm(), Workdir::new());
    let registry_of_stranger = registry(Some(stranger.url()));
    let asks = sidecar(&work, &registry_of_stranger, &realms);
    push(&work, &asks);
    let said = "The registry sends our looks to a realm that is not on the list, which gets nothing: name it in \
                registry.look.realms";
    asks.wait_for_log("that it is not on the list", &[("message", said)]);
    assert!(stranger.heads().is_empty(), "{:?}", stranger.heads());
}
