use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use time::Duration;
use time::OffsetDateTime;

use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn ca(folder: &TempDir, made_for: &[&str]) -> LocalCa {
    LocalCa::open_or_create(folder.path(), &names(made_for), now()).unwrap().0
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

/// What the client found wrong, or the certificate that it was content with.
fn shake_hands(
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    host: &str,
) -> Result<Vec<u8>, rustls::Error> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(client, name)?;
    let mut server = rustls::ServerConnection::new(server)?;
    while client.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(client.peer_certificates().unwrap()[0].to_vec())
}

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
    let client = client_config(&trust, None, &[b"h2"]).unwrap();
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
    let client = client_config(&old_trust, None, &[]).unwrap();
    shake_hands(server_config(&old_name).unwrap(), client, "a.example").unwrap();

    let replaced = LocalCa::renew(folder.path(), &both, CaKey::Replace, now()).unwrap();
    let anew = replaced.leaf("y", &names(&["a.example"]), now()).unwrap();
    assert_ne!(anew.issuer(), old_name.issuer());
    let client = client_config(&old_trust, None, &[]).unwrap();
    let error = shake_hands(server_config(&anew).unwrap(), client, "a.example").unwrap_err();
    assert_eq!(untrusted(&error), Untrusted::UnknownIssuer { issuer: anew.issuer().to_owned() });
}

fn untrusted(error: &rustls::Error) -> Untrusted {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        panic!("{error}");
    };
    other.0.downcast_ref::<Untrusted>().unwrap().clone()
}

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
    let (pem, key) = pair(&folder, &leaf.pem(), &key.serialize_pem());
    let identity = Identity::load("forged", &pem, &key, now()).unwrap();
    (folder, identity)
}

fn pair(folder: &TempDir, certificate: &str, key: &str) -> (PathBuf, PathBuf) {
    let paths = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    fs::write(&paths.0, certificate).unwrap();
    fs::write(&paths.1, key).unwrap();
    fs::set_permissions(&paths.1, fs::Permissions::from_mode(0o600)).unwrap();
    paths
}

#[test]
fn clients_hold_the_ca_to_its_name_constraints() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &["a.example"]);
    let trust = Trust::file(&ca.certificate_path()).unwrap();
    let client = client_config(&trust, None, &[]).unwrap();
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
fn every_form_of_a_private_key_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let certificate = |key: &rcgen::KeyPair| {
        let leaf = rcgen::CertificateParams::new(names(&["localhost"])).unwrap();
        leaf.self_signed(key).unwrap().pem()
    };
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    // The header that PKCS#8 puts before the PKCS#1 key has 26 bytes for RSA of 2048 bits.
    let pkcs1 = pem("RSA PRIVATE KEY", &rsa.serialized_der()[26..]);
    let ecdsa = rcgen::KeyPair::generate().unwrap();
    let sec1 = {
        use aws_lc_rs::encoding::AsDer as _;
        let signing = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(signing, ecdsa.serialized_der())
            .unwrap();
        let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> =
            pair.private_key().as_der().unwrap();
        // As `openssl ecparam -genkey` writes it.
        let parameters = pem("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
        parameters + &pem("EC PRIVATE KEY", der.as_ref())
    };
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    for (pair_of, text) in [
        (&rsa, rsa.serialize_pem()),
        (&rsa, pkcs1),
        (&ecdsa, ecdsa.serialize_pem()),
        (&ecdsa, sec1),
        (&ed25519, ed25519.serialize_pem()),
    ] {
        let (certificate, key) = pair(&folder, &certificate(pair_of), &text);
        Identity::load("x", &certificate, &key, now()).unwrap_or_else(|e| panic!("{e}: {text}"));
    }
}

#[test]
fn every_fault_is_told_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let good = ca(&folder, &[]).leaf("x", &names(&["localhost"]), now()).unwrap();
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let (leaf, key) = (text(good.certificate_path()), text(good.key_path()));
    let other = ca(&folder, &[]).leaf("y", &names(&["localhost"]), now()).unwrap();
    let other = text(other.certificate_path());
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let unknown_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_base64 = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    let long = " ".repeat(1024 * 1024 + 1);
    let day = Duration::days(1);
    let table = [
        (&*leaf, &*key, now() + day * 91, "tls.crt expired on 20"),
        (&leaf, &key, now() - day, "tls.crt is not valid before 20"),
        (&other, &key, now(), "tls.key do not belong together"),
        (&format!("{other}{leaf}"), &key, now(), "belongs to certificate 2, which must come first"),
        (&key, &key, now(), "tls.crt: it holds a private key"),
        (request, &key, now(), "tls.crt: it holds a certificate signing request"),
        ("", &key, now(), "tls.crt: it holds nothing"),
        ("\u{30}\u{1}", &key, now(), "tls.crt: it holds no PEM text"),
        (&leaf, &leaf, now(), "tls.key: it holds a certificate"),
        (&leaf, encrypted, now(), "tls.key: it holds a private key behind a password"),
        (&leaf, unknown_key, now(), "the private key in "),
        (nonsense, &key, now(), "tls.crt cannot be read: not an X.509 certificate"),
        (&format!("{leaf}{nonsense}"), &key, now(), "certificate 2 in "),
        (no_base64, &key, now(), "a section is not base64"),
        (&leaf[..leaf.len() - 30], &key, now(), "it ends in the middle of a section"),
        (&long, &key, now(), "tls.crt has more than 1048576 bytes"),
    ];
    let here = tempfile::tempdir().unwrap();
    for (certificate, key, now, told) in table {
        let (certificate, key) = pair(&here, certificate, key);
        let error = Identity::load("x", &certificate, &key, now).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
        assert!(error.contains(here.path().to_str().unwrap()), "{error}");
    }

    let (certificate, key) = pair(&here, &leaf, &key);
    Identity::load("x", &certificate, &key, now()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Identity::load("x", &certificate, &key, now()).unwrap_err().to_string();
    assert!(error.contains("tls.key can be read by others (mode 0644): run `chmod 600"), "{error}");
    fs::remove_file(&key).unwrap();
    let error = Identity::load("x", &certificate, &key, now()).unwrap_err();
    assert!(matches!(error, Error::Missing { path } if path == key));
    let error = Identity::load("x", here.path(), &key, now()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
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
fn a_server_certificate_is_no_root_of_trust_unless_it_issued_itself() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = ca(&folder, &[]).leaf("x", &names(&["localhost"]), now()).unwrap();
    let error = Trust::file(leaf.certificate_path()).unwrap_err().to_string();
    assert!(error.contains("is not a CA's: it is for localhost, issued by CN=Pushbell"), "{error}");

    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(names(&["localhost"])).unwrap();
    let (certificate, key) =
        pair(&folder, &own.self_signed(&key).unwrap().pem(), &key.serialize_pem());
    let identity = Identity::load("x", &certificate, &key, now()).unwrap();
    let client = client_config(&Trust::file(&certificate).unwrap(), None, &[]).unwrap();
    shake_hands(server_config(&identity).unwrap(), client, "localhost").unwrap();
}

#[test]
fn a_file_cut_at_any_byte_is_refused_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &[]);
    let good = ca.leaf("x", &names(&["localhost"]), now()).unwrap();
    let leaf = fs::read_to_string(good.certificate_path()).unwrap();
    let key = fs::read_to_string(good.key_path()).unwrap();
    let chain = leaf.clone() + &fs::read_to_string(ca.certificate_path()).unwrap();
    let here = tempfile::tempdir().unwrap();
    for cut in 0..=chain.len() {
        let (certificate, key) = pair(&here, &chain[..cut], &key);
        let loaded = Identity::load("x", &certificate, &key, now());
        // The last line end is no part of a section; behind the leaf's the chain is shorter, not cut.
        let whole = cut + 1 >= chain.len() || (leaf.len() - 1..=leaf.len() + 10).contains(&cut);
        let certificates = loaded.as_ref().map(|l| l.certified_key().cert.len());
        match certificates {
            Ok(1) => assert!(whole && cut < chain.len() - 1, "{cut}"),
            Ok(_) => assert!(whole, "{cut}"),
            Err(_) => assert!(cut + 1 < chain.len(), "{cut}"),
        }
        assert!(Trust::file(&certificate).is_err(), "{cut}");
    }
    for cut in 0..key.len() - 1 {
        let (certificate, key) = pair(&here, &leaf, &key[..cut]);
        assert!(Identity::load("x", &certificate, &key, now()).is_err(), "{cut}");
    }
}

#[test]
fn an_identity_covers_what_a_client_would_accept() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = names(&["registry.example", "*.apps.example", "127.0.0.1", "::1"]);
    let ca = LocalCa::open_or_create(folder.path(), &wanted, now()).unwrap().0;
    let identity = ca.leaf("x", &wanted, now()).unwrap();
    for (host, covered) in [
        ("registry.example", true),
        ("REGISTRY.example.", true),
        ("a.apps.example", true),
        ("a.b.apps.example", false),
        ("apps.example", false),
        ("other.example", false),
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("[::1]", true),
        ("0:0:0:0:0:0:0:1", true),
        ("", false),
    ] {
        assert_eq!(identity.covers(host), covered, "{host}");
    }
}

#[test]
fn a_life_is_late_at_a_third_left_and_ending_at_a_tenth() {
    let folder = tempfile::tempdir().unwrap();
    let identity = ca(&folder, &[]).leaf("x", &names(&["localhost"]), now()).unwrap();
    let life = identity.not_after() - identity.not_before();
    let second = Duration::seconds(1);
    for (left, lifetime) in [
        (life, Lifetime::Fresh),
        (life / 3 + second, Lifetime::Fresh),
        (life / 3, Lifetime::Late),
        (life / 10, Lifetime::Ending),
        (Duration::ZERO, Lifetime::Ending),
        (-second, Lifetime::Over),
    ] {
        assert_eq!(identity.lifetime(identity.not_after() - left), lifetime, "{left}");
    }
}

#[test]
fn a_server_is_who_the_client_asks_for_and_changes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &["a.example", "apps.example"]);
    let leaf = |name: &str, of: &[&str]| ca.leaf(name, &names(of), now()).unwrap();
    let default = leaf("default", &["localhost", "127.0.0.1"]);
    let a = leaf("a", &["a.example"]);
    let apps = leaf("apps", &["*.apps.example"]);
    let identities = ServerIdentities::new(&default, &[a.clone(), apps.clone()]);
    let server = identities.config().unwrap();
    let trust = Trust::file(&ca.certificate_path()).unwrap();
    let client = client_config(&trust, None, &[]).unwrap();
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
    identities.replace(&other, &[]);
    // Without a session to resume.
    let client = client_config(&trust, None, &[]).unwrap();
    let found = shake_hands(server, client, "a.example").unwrap();
    assert_eq!(found, is(&other));
}
