//! What a source must show.

use super::*;

fn with(kind: &str, auth: &str) -> String {
    format!(
        "{MINIMAL}listeners:\n  - {{ address: \"127.0.0.1:1\", serve: [registry] }}\n  - {{ address: \"127.0.0.1:2\", serve: [hooks] }}\nsources:\n  - name: a\n    kind: {kind}\n    auth: {{ {auth} }}\n"
    )
}

fn secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let standard = "whsec_bm90IGEgc2VjcmV0OiBvbmx5IGZvciB0aGUgdGVzdHM=";
    for (name, text) in [
        ("plain", "0123456789abcdef0123456789abcdef\n".to_owned()),
        (
            "two",
            "0123456789abcdef0123456789abcdef\r\n\nfedcba9876543210fedcba9876543210\n".to_owned(),
        ),
        ("standard", format!("{standard}\n{standard}\n")),
        ("many", "one\n".repeat(17)),
        ("short", "whsec_x\n".to_owned()),
        ("blank", "\n\n\n".to_owned()),
        ("keys", r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#.to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn placed(auth: &str, folder: &tempfile::TempDir) -> String {
    auth.replace('@', &format!("{}/", folder.path().display()))
}

#[test]
fn every_kind_takes_what_it_can_show() {
    let folder = secrets();
    for (kind, auth, expected) in [
        ("distribution", "bearer_file: @two", &["bearer"][..]),
        ("distribution", "header_file: @two, header_name: X-Secret", &["header"]),
        (
            "distribution",
            "header_file: @two, header_name: X-Secret, bearer_file: @plain",
            &["bearer", "header"],
        ),
        ("harbor", "header_file: @plain, path_token_file: @two", &["header", "path_token"]),
        ("artifactory", "header_file: @plain", &["header"]),
        ("artifactory", "signature_file: @plain, bearer_file: @plain", &["bearer", "signature"]),
        ("github", "signature_file: @two", &["signature"]),
        ("gitea", "signature_file: @plain", &["signature"]),
        ("nexus", "signature_file: @plain", &["signature"]),
        ("europa", "signature_file: @plain", &["signature"]),
        ("artifactory-plugin", "basic: { username: a, password_file: @two }", &["basic"]),
        ("cloudevents", "standard_webhooks_file: @standard", &["standard_webhooks"]),
        (
            "cdevents",
            "standard_webhooks_file: @standard, path_token_file: @plain",
            &["path_token", "standard_webhooks"],
        ),
        (
            "gcr",
            "google_token: { audience: a, email: b@example.com, keys_file: @keys }",
            &["google_token"],
        ),
        ("docker-hub", "path_token_file: @plain", &["path_token"]),
        ("auto", "bearer_file: @plain, path_token_file: @plain", &["bearer", "path_token"]),
        ("auto", "standard_webhooks_file: @standard", &["standard_webhooks"]),
    ] {
        let text = placed(&with(kind, auth), &folder);
        let config = parse(&text).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
        let source = &config.sources[0];
        let found: Vec<&str> = source.credentials.iter().map(|c| c.scheme().as_str()).collect();
        assert_eq!(found, expected, "{text}");
        let shown: Vec<&str> = source.shows.iter().map(|(scheme, _)| scheme.as_str()).collect();
        assert_eq!(shown, expected, "{text}");
        assert_eq!(source.kind.as_str(), kind);
    }
}

#[test]
fn what_a_kind_cannot_show_is_refused() {
    let folder = secrets();
    for (kind, auth, key, expected) in [
        ("github", "bearer_file: @plain", "bearer_file", "`signature_file` or `path_token_file`"),
        ("docker-hub", "signature_file: @plain", "signature_file", "write `path_token_file`"),
        ("distribution", "signature_file: @plain", "signature_file", "cannot show `signature`"),
        ("harbor", "standard_webhooks_file: @standard", "standard_webhooks_file", "`header_file`"),
        ("quay", "basic: { username: a, password_file: @plain }", "basic", "cannot show `basic`"),
        (
            "auto",
            "signature_file: @plain",
            "signature_file",
            "depends on the kind => write the `kind`",
        ),
        (
            "distribution",
            "bearer_file: @plain, basic: { username: a, password_file: @plain }",
            "basic",
            "both in `Authorization`",
        ),
        (
            "harbor",
            "bearer_file: @plain, header_file: @plain",
            "header_file",
            "both in `Authorization`",
        ),
        ("distribution", "bearer_file: @plain, header_name: X-A", "header_name", "of no use"),
        (
            "distribution",
            "header_file: @plain, header_name: \"x y\"",
            "header_name",
            "no name of a header",
        ),
        ("distribution", "bearer_file: @many", "bearer_file", "more than 16 lines"),
        ("distribution", "bearer_file: @blank", "bearer_file", "there is no secret"),
        ("distribution", "bearer_file: @none", "bearer_file", "could not read"),
        ("distribution", "bearer_file: @plain, bearer_env: SECRET", "bearer_env", "both"),
        ("cloudevents", "standard_webhooks_file: @short", "standard_webhooks_file", "`whsec_`"),
        (
            "gcr",
            "google_token: { audience: a, email: b, keys_file: @plain }",
            "google_token.keys_file",
            "no JWK Set",
        ),
        (
            "gcr",
            "google_token: { audience: a, keys_file: @keys }",
            "google_token.email",
            "gserviceaccount",
        ),
        ("github", "signature: abc", "signature", "did you mean `signature_env`"),
    ] {
        let text = placed(&with(kind, auth), &folder);
        let (line, _, at, message) = problem(&text);
        assert_eq!((line, at), (8, format!("sources[0].auth.{key}")), "{text}\n{message}");
        assert!(message.contains(expected), "{text}\n{message}");
        assert!(!message.contains("0123456789abcdef"), "a secret shows: {message}");
    }
}
