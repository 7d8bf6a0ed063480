use super::*;

/// A certificate with the CA's signature that the CA would never make.
fn forge(ca: &Path, change: impl FnOnce(&mut rcgen::CertificateParams)) -> (TempDir, Identity) {
    let key = rcgen::KeyPair::from_pem(&fs::read_to_string(ca.join("ca.key")).unwrap()).unwrap();
    let certificate = fs::read_to_string(ca.join("ca.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&certificate, key).unwrap();
    let mut leaf = rcgen::CertificateParams::new(names(&["localhost"])).unwrap();
    change(&mut leaf);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (pem, key) = pair(&folder, leaf.pem(), key.serialize_pem());
    let identity = Identity::load("forged", &pem, &key, now()).unwrap();
    (folder, identity)
}

#[test]
fn clients_hold_the_ca_to_its_name_constraints() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &["a.example"]);
    let trust = Trust::file(&ca.certificate_path()).unwrap();
    let client = trusting(&trust, &[]);
    let sans = |leaf: &mut rcgen::CertificateParams, hosts: &[&str]| {
        leaf.subject_alt_names =
            rcgen::CertificateParams::new(names(hosts)).unwrap().subject_alt_names;
    };
    let try_it = |hosts: &[&str], host: &str| {
        let (_folder, identity) = forge(folder.path(), |leaf| sans(leaf, hosts));
        shake_hands(server_config(&identity).unwrap(), Arc::clone(&client), host)
    };
    try_it(&["a.example", "127.7.7.7"], "a.example").unwrap();
    for hosts in [&["bank.example"][..], &["a.example", "bank.example"], &["10.0.0.1"]] {
        let error = try_it(hosts, hosts[0]).unwrap_err();
        let names = list_names(hosts);
        assert_eq!(untrusted(&error), Untrusted::OutsideConstraints { names });
    }
    let (_folder, ca_as_server) = forge(folder.path(), |leaf| {
        leaf.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let error =
        shake_hands(server_config(&ca_as_server).unwrap(), client, "localhost").unwrap_err();
    assert_eq!(untrusted(&error), Untrusted::CaAsServer);
}

#[test]
fn a_certificate_for_clients_is_no_servers() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &[]);
    let trust = Trust::file(&ca.certificate_path()).unwrap();
    let client = trusting(&trust, &[]);
    for (usage, fits) in [
        (rcgen::ExtendedKeyUsagePurpose::ClientAuth, false),
        (rcgen::ExtendedKeyUsagePurpose::CodeSigning, false),
        (rcgen::ExtendedKeyUsagePurpose::ServerAuth, true),
    ] {
        let (_folder, identity) =
            forge(folder.path(), |leaf| leaf.extended_key_usages = vec![usage.clone()]);
        let server = server_config(&identity).unwrap();
        let shaken = shake_hands(server, Arc::clone(&client), "localhost");
        assert_eq!(shaken.is_ok(), fits, "{usage:?}: {shaken:?}");
        if let Err(error) = shaken {
            assert!(format!("{error:?}").contains("InvalidPurpose"), "{error:?}");
        }
    }
}

#[test]
fn whom_we_trust_is_exchanged_and_no_session_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (ca_in(&folder, "old", &[]), ca_in(&folder, "new", &[]));
    let server = |ca: &LocalCa| {
        server_config(&ca.leaf("x", &names(&["localhost"]), now()).unwrap()).unwrap()
    };
    let (old_server, new_server) = (server(&old), server(&new));
    let trust = |ca: &LocalCa| Trust::file(&ca.certificate_path()).unwrap();
    let tls = ClientTls::new(&trust(&old), None, &[]).unwrap();
    let try_it = |server: &Arc<rustls::ServerConfig>| {
        shake_hands(Arc::clone(server), tls.current().unwrap(), "localhost")
    };
    try_it(&old_server).unwrap();
    let again = converse(Arc::clone(&old_server), tls.current().unwrap(), "localhost").unwrap();
    assert_eq!(again.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "nobody looks then");
    assert!(matches!(
        untrusted(&try_it(&new_server).unwrap_err()),
        Untrusted::UnknownIssuer { .. }
    ));
    tls.exchange(&trust(&new)).unwrap();
    assert!(matches!(
        untrusted(&try_it(&old_server).unwrap_err()),
        Untrusted::UnknownIssuer { .. }
    ));
    try_it(&new_server).unwrap();
}

#[test]
fn nobody_to_be_is_told_before_a_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let local = ca(&folder, &[]);
    let trust = Trust::file(&local.certificate_path()).unwrap();
    let client = ClientIdentity::awaited("public");
    let tls = ClientTls::new(&trust, Some(client.clone()), &[]).unwrap();
    let told = || tls.current().map(drop).map_err(|error| error.to_string());
    assert_eq!(
        told().unwrap_err(),
        "the identity public has no certificate yet: its CA has not issued one"
    );
    let (_folder, for_servers) = forge(folder.path(), |leaf| {
        leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    client.replace(&for_servers).unwrap_err();
    assert!(
        told().unwrap_err().contains("is not for clients: its extended key usage has serverAuth")
    );
    client.replace(&local.leaf("x", &names(&["localhost"]), now()).unwrap()).unwrap();
    told().unwrap();
    client.replace(&for_servers).unwrap_err();
    told().expect("one that is for clients stays");
}

#[test]
fn a_server_certificate_is_no_root_of_trust_unless_it_issued_itself() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = ca(&folder, &[]).leaf("x", &names(&["localhost"]), now()).unwrap();
    let error = Trust::file(leaf.certificate_path()).unwrap_err().to_string();
    assert!(error.contains("is not a CA's: it is for localhost, issued by CN=Pushbell"), "{error}");

    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(names(&["localhost"])).unwrap();
    let (certificate, key) =
        pair(&folder, own.self_signed(&key).unwrap().pem(), key.serialize_pem());
    let identity = Identity::load("x", &certificate, &key, now()).unwrap();
    let client = trusting(&Trust::file(&certificate).unwrap(), &[]);
    shake_hands(server_config(&identity).unwrap(), client, "localhost").unwrap();
}

#[test]
fn a_server_is_who_the_client_asks_for_and_changes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &["a.example", "apps.example"]);
    let leaf = |name: &str, of: &[&str]| ca.leaf(name, &names(of), now()).unwrap();
    let default = leaf("default", &["localhost", "127.0.0.1"]);
    let a = leaf("a", &["a.example"]);
    let apps = leaf("apps", &["*.apps.example"]);
    let identities = ServerIdentities::new(Some(&default), &[a.clone(), apps.clone()]);
    let server = identities.config().unwrap();
    let trust = Trust::file(&ca.certificate_path()).unwrap();
    let client = trusting(&trust, &[]);
    let ask = |host: &str| shake_hands(Arc::clone(&server), Arc::clone(&client), host);
    let is = |identity: &Identity| identity.certified_key().cert[0].to_vec();
    for (host, identity) in [
        ("localhost", &default),
        ("127.0.0.1", &default),
        ("a.example", &a),
        ("A.Example", &a),
        ("x.apps.example", &apps),
    ] {
        assert_eq!(ask(host).unwrap(), is(identity), "{host}");
    }
    assert!(ask("other.example").is_err());

    let other = leaf("other", &["localhost", "a.example"]);
    identities.replace(Some(&other), &[]);
    // Without a session to resume.
    let client = trusting(&trust, &[]);
    let found = shake_hands(server, client, "a.example").unwrap();
    assert_eq!(found, is(&other));
}
