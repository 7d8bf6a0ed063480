use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Uri;
use time::macros::datetime;

use super::standard::SIGNATURE_LIST;
use super::verify::WHOLE_SECONDS;
use super::verify::Words;
use super::*;

/// The example of the Standard Webhooks libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const EXAMPLE_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const EXAMPLE_TIME: OffsetDateTime = datetime!(2021-02-25 15:02:10 UTC);
const EXAMPLE_BODY: &[u8] = br#"{"test": 2432232314}"#;
const EXAMPLE_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn signer(secret: &str) -> Result<Signer, InvalidSecret> {
    Signer::new(Scheme::StandardWebhooks, &Secret::new(secret.as_bytes().to_vec()))
}

fn map(headers: &[(&'static str, String)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    headers.iter().map(header).collect()
}

fn request(body: &'static [u8]) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "https://build.example.com/hook?a=b".parse().unwrap();
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    request
}

/// Id, time and signature, as they are sent.
fn headers(signer: &Signer) -> Vec<(&'static str, String)> {
    let mut request = request(EXAMPLE_BODY);
    signer.sign(&mut request, EXAMPLE_ID, EXAMPLE_TIME);
    let value = |name| request.headers()[name].to_str().unwrap().to_owned();
    [ID, TIMESTAMP, SIGNATURE].map(|name| (name, value(name))).to_vec()
}

fn example() -> Vec<(&'static str, String)> {
    headers(&signer(SECRET).unwrap())
}

fn read(
    signer: &Signer,
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<(), NotGenuine> {
    let received = Received { method: &Method::POST, target: None, headers, body };
    signer.verify(&received, now, TOLERANCE)
}

/// The example with one header replaced.
fn with(header: &'static str, value: &str) -> HeaderMap {
    let mut headers = map(&example());
    headers.insert(header, HeaderValue::from_str(value).unwrap());
    headers
}

fn check(headers: &HeaderMap) -> Result<(), NotGenuine> {
    read(&signer(SECRET).unwrap(), headers, EXAMPLE_BODY, EXAMPLE_TIME)
}

#[test]
fn the_libraries_example_is_signed_as_they_do() {
    let expected = [
        (ID, EXAMPLE_ID.to_owned()),
        (TIMESTAMP, "1614265330".to_owned()),
        (SIGNATURE, EXAMPLE_SIGNATURE.to_owned()),
    ];
    assert_eq!(example(), expected);
    assert_eq!(unsigned(EXAMPLE_ID, EXAMPLE_TIME), expected[..2]);
    assert_eq!(check(&map(&expected)), Ok(()));
}

#[test]
fn a_rotation_signs_with_both_and_takes_either() {
    let newer = format!("whsec_{}", BASE64.encode([7; 32]));
    let both = signer(&format!("{newer}\n{SECRET}\r\n\n")).unwrap();
    let headers = headers(&both);
    let (first, second) = headers[2].1.split_once(' ').unwrap();
    assert_eq!(second, EXAMPLE_SIGNATURE);
    assert_ne!(first, second);
    for secret in [SECRET, &newer] {
        let reader = signer(secret).unwrap();
        assert_eq!(read(&reader, &map(&headers), EXAMPLE_BODY, EXAMPLE_TIME), Ok(()));
    }
    assert_eq!(read(&both, &map(&example()), EXAMPLE_BODY, EXAMPLE_TIME), Ok(()));
    assert_eq!(signer(&format!("{SECRET}\n").repeat(9)).unwrap_err(), InvalidSecret::TooMany);
}

#[test]
fn secrets_are_whsec_and_24_to_64_bytes() {
    let of = |bytes: usize| format!("whsec_{}", BASE64.encode(vec![1; bytes]));
    let unpadded = of(32).trim_end_matches('=').to_owned();
    let bare = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
    for good in [of(24), of(64), format!("  {}\r\n", of(32)), unpadded, bare] {
        assert!(signer(&good).is_ok(), "{good}");
    }
    for (bad, expected) in [
        (String::new(), InvalidSecret::Empty),
        (" \n".to_owned(), InvalidSecret::Empty),
        ("correct horse battery staple".to_owned(), InvalidSecret::Prefix),
        ("c2hvcnQ=".to_owned(), InvalidSecret::Prefix),
        ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), InvalidSecret::Private),
        ("whsec_not base64!".to_owned(), InvalidSecret::Base64),
        ("whsec_-_-_".to_owned(), InvalidSecret::Base64),
        ("whsec_".to_owned(), InvalidSecret::Length { bytes: 0 }),
        (of(23), InvalidSecret::Length { bytes: 23 }),
        (of(65), InvalidSecret::Length { bytes: 65 }),
    ] {
        let error = signer(&bad).unwrap_err();
        assert_eq!(error, expected, "{bad}");
        assert!(error.to_string().contains("make one with `"), "{error}");
    }
    let mixed = Secret::new(vec![0xff; 40]);
    let error = Signer::new(Scheme::StandardWebhooks, &mixed).unwrap_err();
    assert_eq!(error, InvalidSecret::Prefix);
}

#[test]
fn a_secret_never_shows() {
    let shown = format!("{:?}", signer(SECRET).unwrap());
    assert_eq!(shown, "Signer(standard-webhooks, 1 secrets)");
    let error = signer("whsec_hunter2!").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

fn malformed(header: &str, expected: &str) -> NotGenuine {
    NotGenuine::Malformed { header: header.to_owned(), expected: expected.to_owned() }
}

#[test]
fn missing_and_malformed_headers_are_named() {
    for header in [ID, TIMESTAMP, SIGNATURE] {
        let mut headers = map(&example());
        headers.remove(header);
        assert_eq!(check(&headers), Err(NotGenuine::Missing { header: header.to_owned() }));
        let mut headers = map(&example());
        headers.append(header, HeaderValue::from_static("v1,AAAA"));
        let malformed = |e| matches!(e, NotGenuine::Malformed { header: h, .. } if h == header);
        assert!(check(&headers).is_err_and(malformed), "{header}");
        assert!(check(&with(header, "")).is_err_and(malformed), "{header}");
    }
    for bad in ["now", "1614265330.5", "-1", "+1614265330", "99999999999999999999"] {
        let error = check(&with(TIMESTAMP, bad)).unwrap_err();
        assert_eq!(error, malformed(TIMESTAMP, WHOLE_SECONDS), "{bad}");
    }
    for bad in ["v1", "v1,!", "v1a,AAAA", "AAAA", "v1,AAAA AAAA"] {
        let error = check(&with(SIGNATURE, bad)).unwrap_err();
        assert_eq!(error, malformed(SIGNATURE, SIGNATURE_LIST), "{bad}");
    }
    assert!(check(&with(SIGNATURE, &"v1,AAAA ".repeat(33))).is_err());
}

#[test]
fn any_listed_signature_will_do() {
    for list in [
        format!("v1,AAAA {EXAMPLE_SIGNATURE}"),
        format!("{EXAMPLE_SIGNATURE} v1,AAAA"),
        format!("v1a,xyz v2,??? {EXAMPLE_SIGNATURE}"),
        format!("{EXAMPLE_SIGNATURE}  v1,"),
    ] {
        assert_eq!(check(&with(SIGNATURE, &list)), Ok(()), "{list}");
    }
}

#[test]
fn what_was_altered_does_not_match() {
    let no_match = Err(NotGenuine::NoMatch { tried: 1 });
    assert_eq!(check(&with(ID, "msg_other")), no_match);
    assert_eq!(check(&with(TIMESTAMP, "1614265331")), no_match);
    assert_eq!(check(&with(SIGNATURE, "v1,AAAA")), no_match);
    let cut = EXAMPLE_SIGNATURE.replace("v1,g0hM", "v1,").replace('=', "");
    assert_eq!(check(&with(SIGNATURE, &cut)), no_match);
    let headers = map(&example());
    assert_eq!(read(&signer(SECRET).unwrap(), &headers, b"{}", EXAMPLE_TIME), no_match);
    let other = Secret::new(format!("whsec_{}", BASE64.encode([1; 32])).into_bytes());
    let scheme = Scheme::StandardWebhooks;
    let verdict = verify(scheme, &other, &headers, EXAMPLE_BODY, EXAMPLE_TIME, TOLERANCE);
    assert_eq!(verdict, no_match);
}

#[test]
fn time_out_of_tolerance_says_by_how_much() {
    let headers = map(&example());
    let at = |now| read(&signer(SECRET).unwrap(), &headers, EXAMPLE_BODY, now);
    let second = time::Duration::SECOND;
    assert_eq!(at(EXAMPLE_TIME + TOLERANCE), Ok(()));
    assert_eq!(at(EXAMPLE_TIME - TOLERANCE), Ok(()));
    let late = at(EXAMPLE_TIME + TOLERANCE + second).unwrap_err();
    assert!(late.to_string().contains("is 5 min 1 s old and 5 min are allowed"), "{late}");
    let early = at(EXAMPLE_TIME - TOLERANCE - second).unwrap_err();
    assert!(early.to_string().contains("is 5 min 1 s ahead and 5 min are allowed"), "{early}");
    let far = check(&with(TIMESTAMP, "9223372036854775807")).unwrap_err();
    assert!(matches!(far, NotGenuine::TooNew { .. }));
}

#[test]
fn lengths_of_time_are_said_as_people_do() {
    for (seconds, expected) in [
        (0, "0 s"),
        (300, "5 min"),
        (723, "12 min 3 s"),
        (7_500, "2 h 5 min"),
        (3_605, "1 h"),
        (262_800, "3 d 1 h"),
    ] {
        assert_eq!(Words(Duration::from_secs(seconds)).to_string(), expected);
    }
}

/// RFC 8037, A.1: the seed and the public key of its example.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

#[test]
fn an_ed25519_key_signs_and_its_public_one_checks() {
    let private = signer(&format!("whsk_{SEED}")).unwrap();
    assert_eq!(private.public_keys(), [format!("whpk_{PUBLIC}")]);
    let headers = map(&headers(&private));
    assert!(headers[SIGNATURE].to_str().unwrap().starts_with("v1a,"));
    let checking = |secret: &str| {
        Signer::checking(Scheme::StandardWebhooks, &Secret::new(secret.as_bytes().to_vec()))
    };
    let public = format!("whpk_{PUBLIC}");
    assert_eq!(read(&checking(&public).unwrap(), &headers, EXAMPLE_BODY, EXAMPLE_TIME), Ok(()));
    let altered = read(&checking(&public).unwrap(), &headers, b"{}", EXAMPLE_TIME);
    assert_eq!(altered, Err(NotGenuine::NoMatch { tried: 1 }));
    assert_eq!(signer(&public).unwrap_err(), InvalidSecret::Public, "it signs nothing");
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    assert_eq!(signer(pem).unwrap().public_keys(), std::slice::from_ref(&public));
    let both = [SEED.trim_end_matches('='), PUBLIC].map(|half| BASE64.decode(half).unwrap());
    let long = format!("whsk_{}", BASE64.encode(both.concat()));
    assert_eq!(signer(&long).unwrap().public_keys(), [public]);
    for wrong in
        ["whsk_", "whsk_c2hvcnQ=", "whsk_!", &pem.replace("MC4C", "MC4D"), "-----BEGIN X-----"]
    {
        assert_eq!(signer(wrong).unwrap_err(), InvalidSecret::Private, "{wrong}");
    }
}

#[test]
fn a_shared_secret_gives_way_to_a_pair_of_keys() {
    let both = signer(&format!("whsk_{SEED}\n{SECRET}")).unwrap();
    let headers = map(&headers(&both));
    let list = headers[SIGNATURE].to_str().unwrap();
    assert!(list.starts_with("v1a,") && list.ends_with(EXAMPLE_SIGNATURE), "{list}");
    assert_eq!(check(&headers), Ok(()), "who knows the old one alone goes on");
}

#[test]
fn the_published_set_has_the_thumbprint_of_the_rfc() {
    let signers = [signer(&format!("whsk_{SEED}\n{SECRET}")).unwrap(), signer(SECRET).unwrap()];
    let set: serde_json::Value = serde_json::from_str(&PublicKeys::of(&signers).json()).unwrap();
    let [key] = &set["keys"].as_array().unwrap()[..] else { panic!("{set}") };
    // RFC 8037, A.3.
    assert_eq!(key["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(key["webhook"], format!("whpk_{PUBLIC}"));
    assert!(!set.to_string().contains(SEED.get(..20).unwrap()));
}

/// What each scheme that needs no time adds to a request; from the receivers' own documentation and code.
#[test]
fn every_scheme_says_it_where_its_receivers_look() {
    let secret = Secret::new(b"It's a Secret to Everybody".to_vec());
    let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    // GitHub's own example of `X-Hub-Signature-256`, and the HMACs of the same by `openssl dgst -hmac`.
    for (scheme, header, value) in [
        (Scheme::GithubSha256, "x-hub-signature-256", format!("sha256={hex}")),
        (Scheme::FluxHmac, "x-signature", format!("sha256={hex}")),
        (Scheme::JfrogSigned, "x-jfrog-event-auth", hex.to_owned()),
        (
            Scheme::NexusSha1,
            "x-nexus-webhook-signature",
            "01dc10d0c83e72ed246219cdd91669667fe2ca59".to_owned(),
        ),
        (Scheme::JfrogToken, "x-jfrog-event-auth", "It's a Secret to Everybody".to_owned()),
        (Scheme::StaticAuthorization, "authorization", "It's a Secret to Everybody".to_owned()),
        (Scheme::Bearer, "authorization", "Bearer It's a Secret to Everybody".to_owned()),
        (
            Scheme::Basic,
            "authorization",
            "Basic Y2k6SXQncyBhIFNlY3JldCB0byBFdmVyeWJvZHk=".to_owned(),
        ),
        (Scheme::GitlabToken, "x-gitlab-token", "It's a Secret to Everybody".to_owned()),
        (Scheme::SharedHeader, "x-webhook-secret", "It's a Secret to Everybody".to_owned()),
    ] {
        let settings =
            Settings { username: Some("ci".to_owned()), ..Settings::of(scheme, &secret) };
        let signer = Signer::of(settings).unwrap();
        let mut request = request(b"Hello, World!");
        signer.sign(&mut request, EXAMPLE_ID, EXAMPLE_TIME);
        assert_eq!(request.headers()[header], value, "{}", scheme.as_str());
        assert_eq!(request.headers()[ID], EXAMPLE_ID);
        assert_eq!(request.uri().path(), "/hook");
        assert_eq!(request.headers()[header].is_sensitive(), !scheme.signs());
        let shown = format!("{signer:?} {:?}", request.headers());
        assert!(!shown.contains("Everybody") && !shown.contains("Y2k6"), "{shown}");
        let read = |headers: &HeaderMap, body| {
            let received = Received { method: &Method::POST, target: None, headers, body };
            signer.verify(&received, EXAMPLE_TIME, TOLERANCE)
        };
        assert_eq!(read(request.headers(), b"Hello, World!"), Ok(()));
        let altered = read(request.headers(), b"Hello, World?");
        assert_eq!(altered.is_ok(), !scheme.signs(), "{}", scheme.as_str());
        let mut headers = request.headers().clone();
        headers.insert(HeaderName::from_static(header), HeaderValue::from_static("sha256=00"));
        assert!(read(&headers, b"Hello, World!").is_err(), "{}", scheme.as_str());
        headers.remove(header);
        let missing = NotGenuine::Missing { header: header.to_owned() };
        assert_eq!(read(&headers, b"Hello, World!"), Err(missing));
    }
}

#[test]
fn a_secret_in_the_url_is_found_there() {
    let secret = Secret::new(b"a b/c".to_vec());
    for (scheme, expected) in [
        (Scheme::QuerySecret, "https://build.example.com/hook?a=b&secret=a%20b%2Fc"),
        (Scheme::PathSecret, "https://build.example.com/hook/a%20b/c?a=b"),
    ] {
        let signer = Signer::new(scheme, &secret).unwrap();
        let mut request = request(b"");
        signer.sign(&mut request, EXAMPLE_ID, EXAMPLE_TIME);
        assert_eq!(request.uri(), expected);
        let read = |target: &Uri| {
            let headers = request.headers();
            let received =
                Received { method: &Method::POST, target: Some(target), headers, body: b"" };
            signer.verify(&received, EXAMPLE_TIME, TOLERANCE)
        };
        assert_eq!(read(request.uri()), Ok(()));
        assert!(read(&"https://build.example.com/hook?secret=a".parse().unwrap()).is_err());
    }
}

#[test]
fn what_a_scheme_needs_is_asked_for() {
    let control = Secret::new(b"a\nb".to_vec());
    for scheme in [Scheme::Bearer, Scheme::GitlabToken, Scheme::SharedHeader] {
        assert_eq!(Signer::new(scheme, &control).unwrap_err(), InvalidSecret::Unsendable);
    }
    let plain = Secret::new(b"x".to_vec());
    for scheme in [Scheme::Basic, Scheme::Oidc, Scheme::HttpMessageSignatures] {
        let error = Signer::new(scheme, &plain).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{}` needs", scheme.as_str())), "{error}");
    }
    for scheme in Scheme::ALL {
        assert_eq!(Scheme::of(scheme.as_str()), Some(scheme));
    }
}
