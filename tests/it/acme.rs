//! Certificates come from a CA over the network, and are renewed under the connections that use them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Asks;
use crate::support::BLOCKED;
use crate::support::Curl;
use crate::support::Image;
use crate::support::KEY;
use crate::support::KEY_ID;
use crate::support::Pebble;
use crate::support::Pki;
use crate::support::Raw;
use crate::support::Receiver;
use crate::support::Registry;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Temper;
use crate::support::Workdir;
use crate::support::command;
use crate::support::free_port;
use crate::support::until;

const NAME: &str = "registry.example.com";

fn yaml(pebble: &Pebble, upstream: &str, port: u16, acme: &str, listeners: &str) -> String {
    format!(
        "registry: {{ name: \"{NAME}:{port}\", upstream: \"{upstream}\" }}\n\
         identities: {{ public: {{ acme: {{ directory: \"{}\", ca: \"{}\", contact: ops@example.com, {acme} }} }} }}\n\
         listeners:\n\
         \x20 - {{ address: \"127.0.0.1:{port}\", serve: [registry], identity: public }}\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n{listeners}",
        pebble.directory(),
        pebble.directory_ca().display(),
    )
}

fn issued(sidecar: &Sidecar) -> usize {
    sidecar.printed().matches("\"Certificate issued\"").count()
}

fn state(work: &Workdir) -> Value {
    let bytes = fs::read(work.join("state/acme/public.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// A handshake under the name, and who issued what was shown.
fn shown(sidecar: &Sidecar, root: &Path) -> Vec<u8> {
    Raw::trusting(sidecar, root, NAME).certificate()
}

#[test]
fn a_certificate_is_issued_and_renewed_under_pushes_though_nonces_are_refused() {
    let work = Workdir::new();
    let port = free_port();
    let temper =
        Temper { tls_port: port, life_seconds: 15, refused_nonces: 50, ..Temper::default() };
    let pebble = Pebble::start(&work, &temper);
    let registry = Registry::start(&work);
    let acme = format!("names: [{NAME}]");
    let sidecar = Sidecar::with_file(&work, &yaml(&pebble, &registry.url(), port, &acme, ""));
    let root = pebble.root(&work);
    until("the first certificate", || (issued(&sidecar) >= 1).then_some(()));
    sidecar.wait_for_log("it", &[("message", "Certificate reloaded; new connections get it")]);
    let first = shown(&sidecar, &root);

    let curl = Curl::direct(&work, &format!("https://{NAME}:{port}")).with(&[
        "--cacert",
        root.to_str().unwrap(),
        "--resolve",
        &format!("{NAME}:{port}:127.0.0.1"),
    ]);
    let image = Image::new(&work, "acme");
    let (mut pushes, mut handshakes) = (0, 0);
    until("the renewed certificate", || {
        pushes += 1;
        let pushed = curl.push("team/app", &pushes.to_string(), &image);
        assert_eq!(pushed.status, 201, "{pushed:?}");
        handshakes += 1;
        (shown(&sidecar, &root) != first).then_some(())
    });
    println!("{pushes} pushes and {handshakes} handshakes across a renewal: 0 failed");
    assert!(pushes >= 3, "{pushes} pushes are no traffic");
    let page = Curl::direct(&work, &sidecar.admin("")).get("/metrics").text();
    assert!(
        page.contains("pushbell_certificate_renewal_failed_total{identity=\"public\"} 0"),
        "{page}"
    );
    let account = fs::read_dir(work.join("state/acme")).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("account-")
    });
    assert_eq!(account.count(), 1);
}

#[test]
fn a_certificate_of_a_ca_is_shown_to_a_receiver_once_it_is_there() {
    let work = Workdir::new();
    let (port, http_port) = (free_port(), free_port());
    let pebble = Pebble::start(&work, &Temper { http_port, sleep_seconds: 3, ..Temper::default() });
    let registry = Registry::start(&work);
    let pki = Pki::new(&work, "receiver-pki");
    let own = pki.server("receiver", &["127.0.0.1"]);
    let receiver = Receiver::start(&pki, Asks::Nothing);
    receiver.present(&pki, &own, Asks::CertificateOf(pebble.root(&work)));
    // Nobody is shown this identity but the receiver, so the CA has to come to a port of its own.
    let acme = format!("names: [{NAME}], challenge: http-01");
    let listener = format!(
        "  - {{ address: \"127.0.0.1:{http_port}\", serve: [acme] }}\n\
         endpoints: [{{ name: build, url: \"{}\", tls: {{ ca: \"{}\", identity: public }} }}]\n",
        receiver.url("/hook"),
        pki.ca().display(),
    );
    let yaml = yaml(&pebble, &registry.url(), port, &acme, &listener)
        .replace("serve: [registry], identity: public", "serve: [registry]");
    let file = work.write("before.yaml", &yaml);
    let shown = command(&work, &["certs", "show", "--config", file.to_str().unwrap()]).ok();
    assert!(shown.err.contains("public has not been issued yet; `pushbell run` orders it"));
    let sidecar = Sidecar::with_file(&work, &yaml);
    let curl = Curl::direct(&work, &format!("http://127.0.0.1:{port}"));
    assert_eq!(curl.push("team/app", "1.0", &Image::new(&work, "client")).status, 201);
    until("an attempt without a certificate to be told", || {
        let told = "the identity public has no certificate yet: its CA has not issued one";
        sidecar.printed().contains(told).then_some(())
    });
    assert_eq!(receiver.refused(), 0, "no handshake is begun");
    assert_eq!(receiver.wait_for(1)[0].json()["data"]["tag"], "1.0");
}

#[test]
fn a_ca_may_ask_for_an_account_and_come_to_a_port_of_its_own() {
    let work = Workdir::new();
    let (port, http_port) = (free_port(), free_port());
    let temper = Temper { http_port, external_accounts: true, ..Temper::default() };
    let pebble = Pebble::start(&work, &temper);
    let upstream = Scripted::start(|_| {});
    let key = work.write_secret("eab.key", format!("{KEY}\n"));
    let acme = format!(
        "names: [{NAME}, other.example.com], challenge: http-01, external_account: {{ key_id: {KEY_ID}, key_file: \"{}\" }}",
        key.display()
    );
    let listener = format!("  - {{ address: \"127.0.0.1:{http_port}\", serve: [acme] }}\n");
    let yaml = yaml(&pebble, &upstream.url(), port, &acme, &listener);
    let sidecar = Sidecar::with_file(&work, &yaml);
    sidecar.wait_for_log("it", &[("message", "Certificate reloaded; new connections get it")]);
    let root = pebble.root(&work);
    shown(&sidecar, &root);
    Raw::trusting(&sidecar, &root, "other.example.com");
    let http = Curl::direct(&work, &format!("http://127.0.0.1:{http_port}"));
    for path in ["/", "/v2/", "/.well-known/acme-challenge/nothing", "/_pushbell/metrics"] {
        assert_eq!(http.get(path).status, 404, "{path}");
    }
    assert!(upstream.heads().is_empty());
}

#[test]
fn a_ca_that_refuses_is_not_asked_again_before_an_hour_even_by_a_restart() {
    let work = Workdir::new();
    let port = free_port();
    // Nobody is where it comes to validate.
    let pebble = Pebble::start(&work, &Temper { tls_port: free_port(), ..Temper::default() });
    let upstream = Scripted::start(|_| {});
    for (name, told) in [(NAME, "could not see that the names are ours"), (BLOCKED, "refused")] {
        let yaml = yaml(&pebble, &upstream.url(), port, &format!("names: [{name}]"), "");
        let mut sidecar = Sidecar::with_file(&work, &yaml);
        let failed = &[("message", "Certificate not issued; what is in use stays")];
        let line = sidecar.wait_for_log("the failure", failed).to_string();
        assert!(line.contains(told), "{line}");
        until("the failure on disk", || state(&work)["why"].as_str().map(drop));
        let (wait, now) = (&state(&work)["not_before"], time::OffsetDateTime::now_utc());
        let wait = wait.as_i64().unwrap() - now.unix_timestamp();
        assert!((3590..=3600).contains(&wait), "{wait}");
        sidecar.stop();

        let orders = pebble.said("order-plz");
        let sidecar = Sidecar::with_file(&work, &yaml);
        let ready = Curl::direct(&work, &sidecar.admin("")).get("/readyz");
        assert_eq!(ready.status, 200);
        assert!(
            ready.text().contains(told) && ready.text().contains("no certificate yet"),
            "{ready:?}"
        );
        assert!(!sidecar.printed().contains("Ordering a certificate"), "{}", sidecar.printed());

        // Whoever has mended it need not wait.
        fs::remove_file(work.join("state/acme/public.json")).unwrap();
        sidecar.reload();
        sidecar.wait_for_log("another attempt", &[("message", "Ordering a certificate")]);
        sidecar.wait_for_log("its failure", failed);
        assert!(pebble.said("order-plz") > orders);
        drop(sidecar);
        fs::remove_file(work.join("state/acme/public.json")).unwrap();
    }
}

#[test]
fn an_order_goes_on_after_a_kill() {
    let work = Workdir::new();
    let port = free_port();
    // It may come while nobody is there, and that would be another order's story.
    let temper = Temper { tls_port: port, sleep_seconds: 3, believes: true, ..Temper::default() };
    let pebble = Pebble::start(&work, &temper);
    let upstream = Scripted::start(|_| {});
    let yaml = yaml(&pebble, &upstream.url(), port, &format!("names: [{NAME}]"), "");
    let mut sidecar = Sidecar::with_file(&work, &yaml);
    let order = until("an order", || Some(state(&work)["order"].as_str()?.to_owned()));
    sidecar.kill();
    assert!(!work.join("state/acme/public.pem").exists());
    let sidecar = Sidecar::with_file(&work, &yaml);
    sidecar.wait_for_log("it", &[("message", "Certificate issued")]);
    let orders = pebble.said("There are now 2 orders");
    assert_eq!(orders, 0, "the order {order} went on");
    sidecar.wait_for_log("it", &[("message", "Certificate reloaded; new connections get it")]);
    shown(&sidecar, &pebble.root(&work));
}
