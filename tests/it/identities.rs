//! A certificate that nobody could accept is found before it is shown.

use crate::support::Pki;
use crate::support::Workdir;
use crate::support::command;

#[test]
fn check_refuses_a_listener_whose_certificate_no_client_could_accept() {
    let work = Workdir::new();
    let pki = Pki::new(&work, "pki");
    let pairs = [
        ("other", &["other.example.com"][..]),
        ("exact", &["registry.example.com"]),
        ("wildcard", &["*.example.com"]),
        ("address", &["192.0.2.7"]),
    ]
    .map(|(file, names)| (file, pki.server(file, names)));
    let for_clients = ("clients", pki.only_for_clients("clients", &["registry.example.com"]));
    let mut identities = String::new();
    for (name, pair) in pairs.iter().chain([&for_clients]) {
        let (certificate, key) = (pair.certificate.display(), pair.key.display());
        identities += &format!(
            "  {name}: {{ files: {{ certificate: \"{certificate}\", key: \"{key}\" }} }}\n"
        );
    }
    let check = |name: &str, listeners: &[String]| {
        let lines: String = listeners.iter().map(|l| format!("  - {{ {l} }}\n")).collect();
        let yaml = format!(
            "registry: {{ name: \"{name}\", upstream: \"http://127.0.0.1:1\" }}\n\
             identities:\n{identities}listeners:\n{lines}"
        );
        let file = work.write("names.yaml", yaml);
        command(&work, &["check", "--config", file.to_str().unwrap()])
    };
    let (one, two) = (
        "address: \"127.0.0.1:1\", serve: [registry]",
        "address: \"127.0.0.1:2\", serve: [registry]",
    );
    let name = "registry.example.com";
    let warned = "warning   clients that type";
    for (name, listeners, said) in [
        (
            name,
            vec![format!("{one}, identity: other")],
            Err(
                "clients that type registry.example.com refuse the identity other at 127.0.0.1:1: it is for other.example.com",
            ),
        ),
        (name, vec![format!("{one}, identity: exact")], Ok("")),
        (name, vec![format!("{one}, identity: wildcard")], Ok("")),
        (
            "a.registry.example.com",
            vec![format!("{one}, identity: wildcard")],
            Err("it is for *.example.com"),
        ),
        ("example.com", vec![format!("{one}, identity: wildcard")], Err("it is for *.example.com")),
        // Chosen by the name that is asked for; an address is not.
        (name, vec![format!("{one}, identity: [other, exact]")], Ok("")),
        ("192.0.2.7", vec![format!("{one}, identity: [address, other]")], Ok("")),
        (
            "192.0.2.7",
            vec![format!("{one}, identity: [other, address]")],
            Err("refuse the identity other"),
        ),
        ("192.0.2.8", vec![format!("{one}, identity: address")], Err("it is for 192.0.2.7")),
        // Something in front may end TLS; one that speaks the PROXY protocol passes it on.
        (
            name,
            vec![format!("{one}, identity: other, trusted_proxies: [192.0.2.0/24]")],
            Ok(warned),
        ),
        (
            name,
            vec![format!(
                "{one}, identity: other, trusted_proxies: [192.0.2.0/24], proxy_protocol: true"
            )],
            Err("refuse the identity other"),
        ),
        // One of two is enough; so is one without TLS, which is for something that ends it.
        (
            name,
            vec![format!("{one}, identity: other"), format!("{two}, identity: exact")],
            Ok(warned),
        ),
        (name, vec![format!("{one}, identity: other"), two.to_owned()], Ok(warned)),
        (
            name,
            vec![format!("{one}, identity: clients")],
            Err("is not for servers: its extended key usage has clientAuth, and lacks serverAuth"),
        ),
    ] {
        let done = check(name, &listeners);
        match said {
            Ok(said) => {
                let out = done.ok().out;
                assert_eq!(out.contains(warned), !said.is_empty(), "{listeners:?}: {out}");
            }
            Err(said) => {
                assert_eq!(done.code, 64, "{listeners:?}: {done:?}");
                let whole = done.err.replace("\n", " ");
                assert!(whole.contains("listeners[0].identity"), "the place: {whole}");
                assert!(whole.contains(said), "{said} in {whole}");
            }
        }
    }
    let said = check(name, &[format!("{one}, identity: other")]).err;
    assert!(said.contains("`trusted_proxies`"), "the remedy: {said}");
}

#[test]
fn a_client_certificate_that_is_for_servers_only_is_refused() {
    let work = Workdir::new();
    let pki = Pki::new(&work, "pki");
    let pair = pki.only_for_servers("ours", &["us.example.com"]);
    let yaml = format!(
        "registry: {{ name: localhost, upstream: \"http://127.0.0.1:1\" }}\n\
         identities:\n  ours: {{ files: {{ certificate: \"{}\", key: \"{}\" }} }}\n\
         endpoints: [{{ name: build, url: \"https://localhost:1\", tls: {{ ca: \"{}\", identity: ours }} }}]\n",
        pair.certificate.display(),
        pair.key.display(),
        pki.ca().display(),
    );
    let file = work.write("pushbell.yaml", yaml);
    for how in ["check", "run"] {
        let done = command(&work, &[how, "--config", file.to_str().unwrap()]);
        assert_eq!(done.code, 64, "{done:?}");
        let whole = done.err.replace('\n', " ");
        for word in ["endpoints[0].tls.identity", "is not for clients", "lacks clientAuth"] {
            assert!(whole.contains(word), "{word} in {whole}");
        }
    }
}
