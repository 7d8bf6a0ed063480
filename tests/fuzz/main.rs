//! What strangers write, and what they might: paths, names, manifests and notifications, mutated from seeds
//! that are kept in `seeds/` and in `tests/fixtures/notifications`.
//!
//! A reader must not panic, must not take long, and must mean what it says: each target checks that what
//! was read is what was written. `make test` runs every seed and 20,000 mutations of them per target, with
//! `PUSHBELL_TEST_LONG=1` it is 10,000,000. A failure prints its input: keep it as a seed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod engine;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use pushbell::ingest;
use pushbell::ingest::Context;
use pushbell::ingest::Kind;
use pushbell::ingest::auth::Credential;
use pushbell::ingest::auth::Keys;
use pushbell::ingest::auth::Presented;
use pushbell::registry::Ambiguous;
use pushbell::registry::Digest;
use pushbell::registry::Layout;
use pushbell::registry::Manifest;
use pushbell::registry::MediaType;
use pushbell::registry::RepositoryName;
use pushbell::registry::Route;
use pushbell::registry::Tag;
use pushbell::registry::percent_decoded;
use pushbell::secret::Secret;
use time::OffsetDateTime;

use self::engine::Target;

#[test]
fn a_path_is_read_as_it_is_written() {
    let words = [
        "/v2/",
        "/manifests/",
        "/blobs/",
        "/uploads/",
        "%2f",
        "%2e",
        "..",
        "%",
        "%25",
        ";",
        "\\",
        "//",
        "sha256:",
        "%00",
        "\u{e4}",
        "?",
        "#",
        "A",
        "__",
        "tags/list",
    ];
    Target::new("path", &words).run(|bytes| {
        let Ok(path) = std::str::from_utf8(bytes) else {
            return;
        };
        let decoded = percent_decoded(path);
        let route = Route::of(path);
        let checked = Ambiguous::check(path);
        let could_push = Layout::Plain.could_push(path);
        let begins = |start: String| assert!(decoded.as_deref().unwrap().starts_with(&start));
        match &route {
            Route::Manifest { repository, reference } => {
                assert!(could_push);
                // There is no other way to read it.
                let written = format!("/v2/{repository}/manifests/{reference}");
                assert_eq!(decoded.as_deref(), Some(&*written));
                assert_eq!(Ambiguous::check_push(path), Ok(()));
            }
            Route::Blob { repository, digest } => {
                begins(format!("/v2/{repository}/blobs/{digest}"))
            }
            Route::Upload { repository } => {
                assert!(could_push);
                begins(format!("/v2/{repository}/blobs/uploads"));
            }
            Route::Other => {}
        }
        if checked.is_ok() && !path.contains("uploads") && path.starts_with('/') {
            // However it is spelled, it is the same.
            let plain = decoded.expect("a sound path can be decoded");
            assert_eq!(Route::of(&plain), route);
            let escaped: String = plain
                .bytes()
                .map(|b| if b == b'/' { "/".to_owned() } else { format!("%{b:02X}") })
                .collect();
            assert_eq!(Route::of(&escaped), route);
            assert_eq!(Ambiguous::check(&escaped), Ok(()));
            assert!(!plain.contains("//") && !plain.contains("/../") && !plain.contains('\\'));
        }
    });
}

#[test]
fn a_name_is_what_was_written() {
    let words =
        ["sha256:", "sha512:", ":", "/", "..", "__", "-", "application/", "+json", "A", "\u{e4}"];
    Target::new("path", &words).run(|bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        // The seeds are paths, whose pieces are names.
        for text in text.split('/').chain([text, text.get(4..).unwrap_or_default()]) {
            if let Ok(name) = text.parse::<RepositoryName>() {
                assert_eq!(name.as_str(), text);
                assert!(!text.contains("//") && !text.split('/').any(|c| c == "." || c == ".."));
            }
            if let Ok(tag) = text.parse::<Tag>() {
                assert_eq!(tag.as_str(), text);
                assert!(text.is_ascii() && text.len() <= 128 && !text.contains([':', '/', '%']));
            }
            if let Ok(digest) = text.parse::<Digest>() {
                assert_eq!(digest.as_str(), text);
                assert!(text.parse::<Tag>().is_err(), "{text} is two things");
            }
            if let Ok(media_type) = text.parse::<MediaType>() {
                assert!(!media_type.as_str().is_empty());
            }
        }
    });
}

#[test]
fn a_manifest_of_any_bytes_is_read_or_refused() {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "1e999",
        "-1",
        "18446744073709551616",
        "\"size\"",
        "\"layers\"",
        "\"manifests\"",
        "\"config\"",
        "\"subject\"",
        "\"annotations\"",
        "\"platform\"",
        "\"mediaType\"",
        "\\u0000",
        "\\ud800",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ];
    Target::new("manifest", &words).run(|bytes| {
        if let Ok(manifest) = Manifest::read(bytes) {
            assert!(manifest.platforms.len() <= bytes.len());
            let annotations: usize =
                manifest.annotations.iter().map(|(k, v)| k.len() + v.len()).sum();
            assert!(annotations <= bytes.len(), "more than was written");
            assert!(manifest.kind(None, None).as_str().is_ascii());
        }
    });
}

#[test]
fn a_notification_of_any_bytes_is_read_or_refused() {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "7",
        "1.5e3",
        "\"events\"",
        "\"target\"",
        "\"repository\"",
        "\"digest\"",
        "\"tag\"",
        "\"push_data\"",
        "\"action\"",
        "\"push\"",
        "\"timestamp\"",
        "\\u0000",
        "\\ud800",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "9999-12-31T23:59:59-23:59",
    ];
    // Of zot's the half is in the headers.
    let lines = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "zotregistry.dev"),
        ("ce-type", "zotregistry.image.updated"),
    ];
    let zot =
        lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let zot = HeaderMap::from_iter(zot);
    Target::new("../../fixtures/notifications", &words).run(|bytes| {
        let context =
            Context { registry: Some("r.example"), ..Context::at(OffsetDateTime::UNIX_EPOCH) };
        if let Ok(detected) = Kind::detect(&HeaderMap::new(), bytes) {
            assert!(!detected.by.is_empty());
        }
        for kind in Kind::ALL {
            let headers = if kind == Kind::Zot { zot.clone() } else { HeaderMap::new() };
            let read = || ingest::read(kind, &headers, bytes, &context);
            match read() {
                Ok(parsed) => {
                    assert!(parsed.events.len() <= ingest::MAX_EVENTS);
                    assert_eq!(read().unwrap(), parsed, "the same for the same bytes");
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    });
}

#[test]
fn nothing_that_anybody_presents_is_believed() {
    let words = [
        "sha256=",
        "Bearer ",
        "Basic ",
        "v1,",
        "v1a,",
        ".",
        "eyJhbGciOiJSUzI1NiJ9",
        "eyJhbGciOiJub25lIn0",
        "{\"alg\":\"RS256\"}",
        "1614265330",
        "=",
        "\"",
        "%",
    ];
    let secret = [Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec())];
    let jwks = br#"{"keys": [{"kty": "RSA", "kid": "a", "n": "AQABAQAB", "e": "AQAB"}]}"#;
    let mut credentials: Vec<Credential> = Kind::ALL
        .into_iter()
        .filter_map(|kind| Credential::signature(kind, &secret).ok())
        .collect();
    credentials.extend([
        Credential::bearer(&secret).unwrap(),
        Credential::basic("ci", &secret).unwrap(),
        Credential::header(AUTHORIZATION, &secret).unwrap(),
        Credential::standard_webhooks(&secret).unwrap(),
        Credential::google("audience", "email", Keys::read(jwks).unwrap()),
    ]);
    let names = [
        "authorization",
        "x-hub-signature-256",
        "x-gitea-signature",
        "x-jfrog-event-auth",
        "x-nexus-webhook-signature",
        "x-europa-signature",
        "webhook-signature",
    ];
    Target::new("credential", &words).run(|bytes| {
        let Ok(value) = HeaderValue::from_bytes(bytes) else {
            return;
        };
        let mut headers = HeaderMap::new();
        for name in names {
            headers.insert(name, value.clone());
        }
        headers.insert("webhook-id", HeaderValue::from_static("1"));
        headers.insert("webhook-timestamp", HeaderValue::from_static("0"));
        let now = OffsetDateTime::UNIX_EPOCH;
        let presented = Presented { headers: &headers, path_token: None, body: b"{}", now };
        for credential in &credentials {
            let refused = credential.verify(&presented).expect_err("nobody knows the secret");
            let said = refused.to_string();
            assert!(!said.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{said}");
        }
        if let Err(error) = Keys::read(bytes) {
            assert!(!error.to_string().is_empty());
        }
    });
}
