use super::*;

#[test]
fn a_minted_leaf_is_found_again_and_a_client_trusts_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("certs");
    let wanted = names(&["Registry.Example.com", "localhost", "127.0.0.1", "::1"]);
    let (ca, opened) = LocalCa::open_or_create(&directory, &wanted, now()).unwrap();
    assert_eq!(opened, Opened::Created);
    let leaf = ca.leaf("registry", &wanted, now()).unwrap();
    assert_eq!(leaf.names(), ["localhost", "registry.example.com", "127.0.0.1", "::1"]);
    assert!(leaf.issuer().starts_with("CN=Pushbell local CA "), "{}", leaf.issuer());
    assert_eq!((leaf.not_after() - now() + Duration::minutes(1)).whole_days(), 90);
    assert_eq!((ca.not_after() - now() + Duration::minutes(1)).whole_days(), 3652);
    for (file, expected) in
        [("", 0o700), ("ca.key", 0o600), ("ca.pem", 0o644), ("registry.key", 0o600)]
    {
        assert_eq!(mode(&directory.join(file)), expected, "{file}");
    }

    let (again, opened) = LocalCa::open_or_create(&directory, &[], now()).unwrap();
    assert_eq!(opened, Opened::Existing);
    let same = again.leaf("registry", &wanted, now()).unwrap();
    assert_eq!(same.certified_key().cert, leaf.certified_key().cert);

    let trust = Trust::file(&ca.certificate_path()).unwrap();
    let client = trusting(&trust, &[b"h2"]);
    let server = server_config(&leaf).unwrap();
    for host in ["registry.example.com", "localhost", "127.0.0.1", "::1"] {
        shake_hands(Arc::clone(&server), Arc::clone(&client), host).unwrap();
    }
}

#[test]
fn a_leaf_is_made_anew_when_it_is_due_other_or_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &["a.example", "b.example"]);
    let start = now();
    let first = ca.leaf("x", &names(&["a.example"]), start).unwrap();
    let leaf = |names: &[String], now| ca.leaf("x", names, now).unwrap();
    let differs = |a: &Identity, b: &Identity| a.certified_key().cert != b.certified_key().cert;

    let early = leaf(&names(&["A.example."]), first.renew_at() - Duration::minutes(1));
    assert!(!differs(&first, &early));
    let due = leaf(&names(&["a.example"]), first.renew_at());
    assert!(differs(&first, &due));
    assert!(due.not_after() > first.not_after());

    let other = leaf(&names(&["a.example", "b.example"]), start);
    assert!(differs(&due, &other));
    let fewer = leaf(&names(&["b.example"]), start);
    assert_eq!(fewer.names(), ["b.example"]);

    for (file, bytes) in [("x.pem", &b"-----BEGIN CERT"[..]), ("x.key", b"")] {
        fs::write(folder.path().join(file), bytes).unwrap();
        let repaired = leaf(&names(&["b.example"]), start);
        assert!(differs(&fewer, &repaired), "{file}");
    }
    fs::remove_file(folder.path().join("x.key")).unwrap();
    leaf(&names(&["b.example"]), start);

    let forced = ca.renew_leaf("x", &names(&["b.example"]), start).unwrap();
    assert!(!differs(&forced, &leaf(&names(&["b.example"]), start)));

    let expired = leaf(&names(&["b.example"]), start + Duration::days(200));
    assert!(expired.not_after() > start + Duration::days(280));
    // A clock that went back finds a certificate of the future.
    assert!(leaf(&names(&["b.example"]), start).not_before() < start);
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &[]);
    let late = ca.not_after() - Duration::days(3);
    assert_eq!(ca.leaf("x", &names(&["localhost"]), late).unwrap().not_after(), ca.not_after());
    let over = ca.not_after() + Duration::days(1);
    let error = LocalCa::open_or_create(folder.path(), &[], over).unwrap_err().to_string();
    assert!(error.contains("expired on ") && error.contains("renew --ca"), "{error}");
}

#[test]
fn the_ca_key_is_needed_only_to_make_something() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = names(&["localhost"]);
    let first = ca(&folder, &[]).leaf("x", &wanted, now()).unwrap();
    fs::rename(folder.path().join("ca.key"), folder.path().join("elsewhere")).unwrap();
    let ca = ca(&folder, &[]);
    let due = first.renew_at() + Duration::days(1);
    let kept = ca.leaf("x", &wanted, due).unwrap();
    assert_eq!(kept.certified_key().cert, first.certified_key().cert);
    let error = ca.leaf("y", &wanted, now()).unwrap_err();
    assert!(matches!(&error, Error::Missing { path } if path.ends_with("ca.key")), "{error}");
    let error = ca.leaf("x", &wanted, first.not_after() + Duration::days(1)).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
}

#[test]
fn a_name_the_ca_was_not_made_for_is_refused_until_the_ca_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let old = ca(&folder, &["a.example"]);
    let old_trust = Trust::file(&old.certificate_path()).unwrap();
    let error = old.leaf("x", &names(&["a.example", "b.example"]), now()).unwrap_err().to_string();
    assert!(error.contains("localhost, a.example, 127.0.0.0/8, ::1 only, not for b.example"));
    assert!(error.contains("`pushbell certs renew --ca`"), "{error}");

    let both = names(&["a.example", "b.example"]);
    let kept = LocalCa::renew(folder.path(), &both, CaKey::Keep, now()).unwrap();
    kept.leaf("x", &both, now()).unwrap();
    let old_name = kept.leaf("y", &names(&["a.example"]), now()).unwrap();
    let client = trusting(&old_trust, &[]);
    shake_hands(server_config(&old_name).unwrap(), client, "a.example").unwrap();

    let replaced = LocalCa::renew(folder.path(), &both, CaKey::Replace, now()).unwrap();
    let anew = replaced.leaf("y", &names(&["a.example"]), now()).unwrap();
    assert_ne!(anew.issuer(), old_name.issuer());
    let client = trusting(&old_trust, &[]);
    let error = shake_hands(server_config(&anew).unwrap(), client, "a.example").unwrap_err();
    assert_eq!(untrusted(&error), Untrusted::UnknownIssuer { issuer: anew.issuer().to_owned() });
}

#[test]
fn while_one_ca_follows_another_both_are_trusted_and_the_new_one_issues() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = names(&["a.example"]);
    let first = ca(&folder, &["a.example"]);
    let old = first.leaf("old", &wanted, now()).unwrap();
    let renew = |now| LocalCa::renew(folder.path(), &wanted, CaKey::Replace, now).unwrap();
    let trusted = |identity: &Identity| {
        let trust = Trust::file(&first.certificate_path()).unwrap();
        let client = trusting(&trust, &[]);
        shake_hands(server_config(identity).unwrap(), client, "a.example").is_ok()
    };
    let second = renew(now());
    let new = second.leaf("new", &wanted, now()).unwrap();
    assert_ne!(new.issuer(), old.issuer());
    assert!(trusted(&old) && trusted(&new));
    // Whoever asks for the old name is made a new certificate, and a start changes nothing.
    let again = LocalCa::open_or_create(folder.path(), &wanted, now()).unwrap().0;
    assert_eq!(again.leaf("old", &wanted, now()).unwrap().issuer(), new.issuer());
    assert!(trusted(&old) && trusted(&new));

    // Two at most, and none that is over.
    let newest = renew(now()).leaf("newest", &wanted, now()).unwrap();
    assert!(!trusted(&old) && trusted(&new) && trusted(&newest));
    renew(now() + Duration::days(4000));
    assert!(!trusted(&newest));

    // A key that was taken away may have been seen.
    let seen = renew(now()).leaf("seen", &wanted, now()).unwrap();
    fs::remove_file(folder.path().join("ca.key")).unwrap();
    renew(now());
    assert!(!trusted(&seen));
}

#[test]
fn a_ca_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = ca(&folder, &[]).leaf("x", &names(&["localhost"]), now()).unwrap();
    let file = |name: &str| folder.path().join(name);
    let open = || LocalCa::open_or_create(folder.path(), &[], now());
    let ca_pem = fs::read(file("ca.pem")).unwrap();
    fs::copy(leaf.certificate_path(), file("ca.pem")).unwrap();
    assert!(matches!(open(), Err(Error::CaNotACa { .. })));
    fs::write(file("ca.pem"), &ca_pem).unwrap();

    fs::set_permissions(file("ca.key"), fs::Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(open(), Err(Error::KeyMode { mode: 0o604, .. })));
    fs::set_permissions(file("ca.key"), fs::Permissions::from_mode(0o600)).unwrap();

    fs::copy(leaf.key_path(), file("ca.key")).unwrap();
    let error = open().unwrap().0.leaf("z", &names(&["localhost"]), now()).unwrap_err();
    assert!(matches!(error, Error::NotMatching { .. }), "{error}");

    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    fs::write(file("ca.key"), ed25519.serialize_pem()).unwrap();
    assert!(matches!(open(), Err(Error::CaKey { .. })));

    for (name, names_of) in [("ca", &["localhost"][..]), ("../x", &["localhost"]), ("", &["a"])] {
        let ca = LocalCa::renew(folder.path(), &[], CaKey::Replace, now()).unwrap();
        let error = ca.leaf(name, &names(names_of), now()).unwrap_err();
        assert!(matches!(error, Error::IdentityName { .. }), "{error}");
        assert!(matches!(ca.leaf("x", &[], now()), Err(Error::NoNames { .. })));
        let error = ca.leaf("x", &names(&["no name"]), now()).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{error}");
    }
}

#[test]
fn of_two_that_find_no_ca_only_one_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = || LocalCa::open_or_create(folder.path(), &[], now()).unwrap().1;
    let opened = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(opened.iter().filter(|opened| **opened == Opened::Created).count(), 1);
}
