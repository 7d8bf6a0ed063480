//! Nothing is told to a receiver that cannot show who it is.

use crate::support::Asks;
use crate::support::Image;
use crate::support::Pair;
use crate::support::Pki;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::until;

/// Pushes while the receiver shows a certificate we must not take, then gives it the right one.
#[track_caller]
fn wrong_certificate(make: impl FnOnce(&Workdir, &Pki) -> Pair, said: &str) {
    let stage = Stage::open();
    let wrong = make(&stage.work, &stage.pki);
    stage.receiver.present(&stage.pki, &wrong, Asks::ClientCertificate);
    let image = Image::new(&stage.work, "trust");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let line = [("repository", "team/app"), ("tag", "1.0"), ("endpoint", "build")];
    stage.sidecar.wait_for_log("the failed attempt", &[&line[..], &[("attempt", "1")]].concat());
    until(&format!("a log that says {said:?}"), || {
        let log = stage.sidecar.log();
        let mut about = log.iter().filter(|line| line.to_string().contains("\"build\""));
        about.any(|line| line.to_string().to_lowercase().contains(said)).then_some(())
    });
    assert!(stage.receiver.requests().is_empty(), "nothing was told to a stranger");
    until("the handshake to fail here, too", || (stage.receiver.refused() >= 1).then_some(()));

    let right = stage.pki.server("right", &["127.0.0.1"]);
    stage.receiver.present(&stage.pki, &right, Asks::ClientCertificate);
    assert_eq!(stage.receiver.wait_for(1)[0].json()["data"]["tag"], "1.0");
}

#[test]
fn a_receiver_of_an_unknown_authority_gets_nothing_until_it_is_right() {
    wrong_certificate(
        |work, _| Pki::new(work, "stranger").server("stranger", &["127.0.0.1"]),
        "issuer",
    );
}

#[test]
fn a_receiver_with_an_expired_certificate_gets_nothing_until_it_is_right() {
    wrong_certificate(|_, pki| pki.expired("expired", &["127.0.0.1"]), "expired");
}

#[test]
fn a_receiver_under_another_name_gets_nothing_until_it_is_right() {
    wrong_certificate(|_, pki| pki.server("other", &["other.example.com"]), "other.example.com");
}
