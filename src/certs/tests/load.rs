use super::*;

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
        let (certificate, key) = pair(&folder, certificate(pair_of), &text);
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
    let cut = leaf.split_once("-----END").unwrap().0;
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
        (cut, &key, now(), "it ends in the middle of a section"),
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
fn a_file_cut_at_any_byte_is_refused_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(&folder, &[]);
    let good = ca.leaf("x", &names(&["localhost"]), now()).unwrap();
    let leaf = fs::read_to_string(good.certificate_path()).unwrap();
    let key = fs::read_to_string(good.key_path()).unwrap();
    let chain = leaf.clone() + &fs::read_to_string(ca.certificate_path()).unwrap();
    let here = tempfile::tempdir().unwrap();
    for cut in 0..=chain.len() {
        let (certificate, key) = pair(&here, &chain.as_bytes()[..cut], &key);
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
        let (certificate, key) = pair(&here, &leaf, &key.as_bytes()[..cut]);
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
