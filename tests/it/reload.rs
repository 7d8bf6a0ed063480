//! Certificates change under traffic, and only for the better.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::support::Asks;
use crate::support::Curl;
use crate::support::Image;
use crate::support::Pair;
use crate::support::Pki;
use crate::support::Raw;
use crate::support::Registry;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::command;
use crate::support::long;
use crate::support::until;

/// A volume as Kubernetes fills it: the files are links through `..data`, which turns at once.
struct Volume<'a> {
    work: &'a Workdir,
    versions: usize,
}

impl<'a> Volume<'a> {
    fn new(work: &'a Workdir, pair: &Pair) -> Self {
        work.directory("volume");
        let mut volume = Self { work, versions: 0 };
        volume.turn(pair);
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), volume.path(file)).unwrap();
        }
        volume
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.work.join("volume").join(name)
    }

    fn turn(&mut self, pair: &Pair) {
        self.versions += 1;
        let version = format!("..{}", self.versions);
        fs::create_dir(self.path(&version)).unwrap();
        // Copies keep the mode.
        fs::copy(&pair.certificate, self.path(&version).join("tls.crt")).unwrap();
        fs::copy(&pair.key, self.path(&version).join("tls.key")).unwrap();
        symlink(&version, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if let Some(before) = self.versions.checked_sub(2).filter(|before| *before > 0) {
            fs::remove_dir_all(self.path(&format!("..{before}"))).unwrap();
        }
    }
}

const NAMES: &[&str] = &["localhost", "registry.example.com"];

fn yaml(upstream: &str, certificate: &Path, key: &Path) -> String {
    format!(
        "registry: {{ name: registry.example.com, upstream: \"{upstream}\" }}\n\
         identities: {{ registry: {{ files: {{ certificate: \"{}\", key: \"{}\" }} }} }}\n\
         listeners:\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n",
        certificate.display(),
        key.display(),
    )
}

fn count(log: &Sidecar, message: &str) -> usize {
    log.log().iter().filter(|line| line.to_string().contains(message)).count()
}

fn metric(work: &Workdir, sidecar: &Sidecar, line: &str) -> Option<f64> {
    let page = Curl::direct(work, &sidecar.admin("")).get("/metrics").text();
    page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn a_volume_that_turns_while_pushes_go_on_fails_none_of_them() {
    let work = Workdir::new();
    let pki = Pki::new(&work, "pki");
    let registry = Registry::start(&work);
    let mut volume = Volume::new(&work, &pki.server("first", NAMES));
    let yaml = yaml(&registry.url(), &volume.path("tls.crt"), &volume.path("tls.key"));
    let sidecar = Sidecar::with_file(&work, &yaml);
    let image = Image::new(&work, "volume");
    let curl =
        Curl::direct(&work, &sidecar.url("")).with(&["--cacert", pki.ca().to_str().unwrap()]);
    let mut pushes = 0;
    for (n, name) in ["second", "third"].into_iter().enumerate() {
        volume.turn(&pki.server(name, NAMES));
        until("the new certificate", || {
            pushes += 1;
            assert_eq!(curl.push("team/app", &pushes.to_string(), &image).status, 201);
            (Raw::trusting(&sidecar, &pki.ca(), "localhost").common_name() == name).then_some(())
        });
        let reloads = "pushbell_certificate_reloads_total{identity=\"registry\"}";
        assert_eq!(metric(&work, &sidecar, reloads), Some((n + 1) as f64));
    }
    assert_eq!(count(&sidecar, "Changed certificate not taken"), 0);
    let expiry = "pushbell_certificate_expiry_seconds{identity=\"registry\"}";
    let left = metric(&work, &sidecar, expiry).unwrap();
    assert!((80_000.0..=86_400.0).contains(&left), "a day, less this test: {left}");
}

#[test]
fn files_that_are_wrong_are_told_once_counted_and_never_shown() {
    let work = Workdir::new();
    let pki = Pki::new(&work, "pki");
    let upstream = Scripted::start(|_| {});
    let (old, new) = (pki.server("old", NAMES), pki.server("new", NAMES));
    let (certificate, key) = (work.join("tls.crt"), work.join("tls.key"));
    fs::copy(&old.certificate, &certificate).unwrap();
    fs::copy(&old.key, &key).unwrap();
    let sidecar = Sidecar::with_file(&work, &yaml(&upstream.url(), &certificate, &key));
    let shown = || Raw::trusting(&sidecar, &pki.ca(), "localhost").common_name();
    let failed = || {
        metric(&work, &sidecar, "pushbell_certificate_reload_failed_total{identity=\"registry\"}")
    };
    assert_eq!(failed(), Some(0.0));

    let whole = fs::read(&new.certificate).unwrap();
    let step = if long() { 1 } else { 149 };
    let cuts: Vec<usize> = (0..whole.len() - 1).step_by(step).collect();
    for (n, cut) in cuts.iter().enumerate() {
        fs::write(&certificate, &whole[..*cut]).unwrap();
        sidecar.reload();
        let so_many = Some((n + 1) as f64);
        until("the failure to be counted", || (failed() == so_many).then_some(()));
        assert_eq!(shown(), "old", "cut at {cut}");
    }
    let ready = Curl::direct(&work, &sidecar.admin("")).get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("registry: its files were not taken: "), "{}", ready.text());

    // Whole, but of another key.
    fs::write(&certificate, &whole).unwrap();
    sidecar.reload();
    sidecar.wait_for_log(
        "not a pair",
        &[("message", "Changed certificate not taken; the one in use stays")],
    );
    until("the last failure", || (failed() == Some((cuts.len() + 1) as f64)).then_some(()));
    assert_eq!(shown(), "old");
    fs::copy(&new.key, &key).unwrap();
    until("the new one, without being asked", || (shown() == "new").then_some(()));
    assert_eq!(failed(), Some((cuts.len() + 1) as f64));
    assert_eq!(count(&sidecar, "Changed certificate not taken"), cuts.len() + 1);
    let ready = Curl::direct(&work, &sidecar.admin("")).get("/readyz").text();
    assert!(!ready.contains("its files"), "{ready}");
}

#[test]
fn a_life_that_ends_is_told_and_a_new_one_ends_that() {
    let work = Workdir::new();
    let pki = Pki::new(&work, "pki");
    let upstream = Scripted::start(|_| {});
    for (days, level, told) in [
        (34, "INFO", None),
        (33, "WARN", Some("A third of the certificate's life is left")),
        (9, "ERROR", Some("A tenth of the certificate's life is left")),
    ] {
        let pair = pki.ending("ending", NAMES, time::Duration::days(days));
        let yaml = yaml(&upstream.url(), &pair.certificate, &pair.key);
        let sidecar = Sidecar::with_file(&work, &yaml);
        let ready = || Curl::direct(&work, &sidecar.admin("")).get("/readyz").text();
        if let Some(told) = told {
            sidecar.wait_for_log("it", &[("message", told), ("level", level)]);
            assert!(ready().contains("\"part\":\"certificate\""), "{}", ready());
        }
        let fresh = pki.server("fresh", NAMES);
        fs::copy(&fresh.key, &pair.key).unwrap();
        fs::copy(&fresh.certificate, &pair.certificate).unwrap();
        sidecar.reload();
        until("nothing to be told", || (!ready().contains("\"certificate\"")).then_some(()));
        assert_eq!(count(&sidecar, "certificate's life"), usize::from(told.is_some()), "once");
    }
}

#[test]
fn a_receiver_sees_the_new_client_certificate() {
    let mut stage = Stage::open();
    let image = Image::new(&stage.work, "client");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    assert_eq!(stage.receiver.wait_for(1)[0].peer.as_deref(), Some("pushbell"));
    let next = stage.pki.client("next");
    let in_use = stage.pki.ca().with_file_name("pushbell.pem");
    fs::copy(&next.key, in_use.with_extension("key")).unwrap();
    fs::copy(&next.certificate, &in_use).unwrap();
    stage.sidecar.reload();
    stage.sidecar.wait_for_log(
        "the reload",
        &[("message", "Certificate reloaded; new connections get it"), ("identity", "client")],
    );
    // Connections that are open go on as who they are.
    stage.receiver.down();
    stage.receiver.up();
    assert_eq!(stage.curl().push("team/app", "2.0", &image).status, 201);
    assert_eq!(stage.receiver.wait_for(2)[1].peer.as_deref(), Some("next"));
}

#[test]
fn a_receivers_new_ca_is_trusted_without_a_restart_and_open_connections_stay() {
    let mut stage = Stage::open();
    let image = Image::new(&stage.work, "trust");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    stage.receiver.wait_for(1);
    let trusted = stage.pki.ca();
    let file = trusted.to_str().unwrap().to_owned();
    let failed = |stage: &Stage| {
        let line = format!("pushbell_trust_reload_failed_total{{file=\"{file}\"}}");
        metric(&stage.work, &stage.sidecar, &line)
    };
    let taken = |stage: &Stage| {
        let line = format!("pushbell_trust_reloads_total{{file=\"{file}\"}}");
        metric(&stage.work, &stage.sidecar, &line)
    };
    assert_eq!((taken(&stage), failed(&stage)), (Some(0.0), Some(0.0)));
    let (old, next) = (fs::read(&trusted).unwrap(), Pki::new(&stage.work, "next"));
    let new = fs::read(next.ca()).unwrap();

    // Cut off: what is trusted stays, and it is said once.
    fs::write(&trusted, &new[..new.len() / 2]).unwrap();
    stage.sidecar.reload();
    until("the failure to be counted", || (failed(&stage) == Some(1.0)).then_some(()));
    let ready = stage.admin().get("/readyz").text();
    assert!(ready.contains(&format!("the CAs of {file} were not taken: ")), "{ready}");
    assert_eq!(stage.curl().push("team/app", "2.0", &image).status, 201);
    stage.receiver.wait_for(2);

    // Of the new one alone: the connection that is open is as good as it was.
    fs::write(&trusted, &new).unwrap();
    until("the new CA, without being asked", || (taken(&stage) == Some(1.0)).then_some(()));
    assert_eq!(count(&stage.sidecar, "Changed CAs not taken"), 1);
    let ready = stage.admin().get("/readyz").text();
    assert!(!ready.contains("were not taken"), "{ready}");
    assert_eq!(stage.curl().push("team/app", "3.0", &image).status, 201);
    stage.receiver.wait_for(3);
    assert_eq!(stage.receiver.refused(), 0);

    // A new connection is made by the new trust: to the old server not at all, and to the new one.
    stage.receiver.down();
    stage.receiver.up();
    assert_eq!(stage.curl().push("team/app", "4.0", &image).status, 201);
    until("a handshake to fail", || (stage.receiver.refused() >= 1).then_some(()));
    assert_eq!(stage.receiver.requests().len(), 3);
    let pair = next.server("receiver", &["127.0.0.1"]);
    let issuer = stage.work.write("old-ca.pem", &old);
    stage.receiver.present(&next, &pair, Asks::CertificateOf(issuer));
    assert_eq!(stage.receiver.wait_for(4)[3].json()["data"]["tag"], "4.0");
}

#[test]
fn a_listener_shows_each_client_who_it_asks_for() {
    let work = Workdir::new();
    let pki = Pki::new(&work, "pki");
    let upstream = Scripted::start(|_| {});
    let first = pki.server("first", &["registry.example.com", "localhost"]);
    let second = pki.server("second", &["*.apps.example.com", "localhost"]);
    let yaml = yaml(&upstream.url(), &first.certificate, &first.key)
        .replace("identity: registry", "identity: [registry, apps]")
        .replace(
            "identities: { ",
            &format!(
                "identities: {{ apps: {{ files: {{ certificate: \"{}\", key: \"{}\" }} }}, ",
                second.certificate.display(),
                second.key.display()
            ),
        );
    let sidecar = Sidecar::with_file(&work, &yaml);
    let ask = |name: &str| Raw::trusting(&sidecar, &pki.ca(), name).common_name();
    for (name, shown) in [
        ("registry.example.com", "first"),
        ("x.apps.example.com", "second"),
        ("localhost", "first"),
    ] {
        assert_eq!(ask(name), shown, "{name}");
    }
    let third = pki.server("third", &["*.apps.example.com"]);
    fs::copy(&third.key, &second.key).unwrap();
    fs::copy(&third.certificate, &second.certificate).unwrap();
    sidecar.reload();
    until("the third", || (ask("x.apps.example.com") == "third").then_some(()));
    assert_eq!(ask("localhost"), "first");
}

#[test]
fn a_new_local_ca_takes_over_while_we_run_and_the_old_one_is_still_trusted() {
    let work = Workdir::new();
    let upstream = Scripted::start(|_| {});
    let sidecar = Sidecar::before(&work, &upstream.url(), "");
    let config = work.join("pushbell.yaml");
    let old = work.write("old-ca.pem", fs::read(sidecar.ca()).unwrap());
    let shown = |ca: &Path| Raw::trusting(&sidecar, ca, "localhost").certificate();
    let before = shown(&old);
    let config = config.to_str().unwrap();
    command(&work, &["certs", "renew", "--ca", "--new-key", "--config", config]).ok();
    let both = fs::read_to_string(sidecar.ca()).unwrap();
    assert!(both.ends_with(&fs::read_to_string(&old).unwrap()), "{both}");
    assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
    until("the new authority's certificate", || {
        let curl = Curl::through(&work, &sidecar).get("/v2/");
        assert!(!curl.error.contains("certificate"), "whoever has both is content: {curl:?}");
        let new = Curl::direct(&work, &sidecar.url(""))
            .with(&["--cacert", old.to_str().unwrap()])
            .get("/v2/");
        new.error.contains("certificate").then_some(())
    });
    let new = work
        .write("new-ca.pem", both.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap());
    assert_ne!(shown(&new), before);
    let table = command(&work, &["certs", "show", "--config", config]).ok().out;
    assert!(table.contains("registry") && table.contains("ca "), "{table}");
}

/// The figure of the delivery guarantees, 10: 1,000 swaps at 200 connections a second, none of which fails.
#[test]
fn no_handshake_fails_while_certificates_are_swapped() {
    let (swaps, pace) = if long() { (1000, 200) } else { (40, 200) };
    let work = Workdir::new();
    let pki = Pki::new(&work, "pki");
    let upstream = Scripted::start(|mut conversation| {
        while conversation.head().is_some() {
            conversation.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let pairs = [pki.server("even", NAMES), pki.server("odd", NAMES)];
    let mut volume = Volume::new(&work, &pairs[0]);
    let yaml = yaml(&upstream.url(), &volume.path("tls.crt"), &volume.path("tls.key"));
    let sidecar = Sidecar::with_file(&work, &yaml);
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let begun = Instant::now();
    thread::scope(|scope| {
        const CLIENTS: usize = 8;
        for client in 0..CLIENTS {
            let (stop, made, sidecar, pki) = (&stop, &made, &sidecar, &pki);
            scope.spawn(move || {
                let mut due = begun + Duration::from_secs(1) * client as u32 / pace;
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    due += Duration::from_secs(1) * CLIENTS as u32 / pace;
                    let mut raw = Raw::trusting(sidecar, &pki.ca(), "localhost");
                    raw.send("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
                    assert!(raw.head().starts_with("HTTP/1.1 200 "));
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for swap in 1..=swaps {
            volume.turn(&pairs[swap % 2]);
            sidecar.reload();
            let name = ["even", "odd"][swap % 2];
            until("the swap", || {
                (Raw::trusting(&sidecar, &pki.ca(), "localhost").common_name() == name)
                    .then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (made, seconds) = (made.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
    // Not one of them failed, or its thread and we with it would have ended.
    println!("{swaps} swaps, {made} connections in {seconds:.1} s: 0 failed");
    assert!(made > swaps / 4, "{made} connections are no traffic");
    let reloads = "pushbell_certificate_reloads_total{identity=\"registry\"}";
    assert_eq!(metric(&work, &sidecar, reloads), Some(swaps as f64));
}
