use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use time::macros::datetime;

use super::verify::SIGNATURE_LIST;
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

fn example() -> Vec<(&'static str, String)> {
    signer(SECRET).unwrap().headers(EXAMPLE_ID, EXAMPLE_TIME, EXAMPLE_BODY)
}

/// The example with one header replaced.
fn with(header: &'static str, value: &str) -> HeaderMap {
    let mut headers = map(&example());
    headers.insert(header, HeaderValue::from_str(value).unwrap());
    headers
}

fn check(headers: &HeaderMap) -> Result<(), NotGenuine> {
    signer(SECRET).unwrap().verify(headers, EXAMPLE_BODY, EXAMPLE_TIME, TOLERANCE)
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
    let both = signer(&newer).unwrap();
    let both = both.and_older(&Secret::new(SECRET.as_bytes().to_vec())).unwrap();
    let headers = both.headers(EXAMPLE_ID, EXAMPLE_TIME, EXAMPLE_BODY);
    let (first, second) = headers[2].1.split_once(' ').unwrap();
    assert_eq!(second, EXAMPLE_SIGNATURE);
    assert_ne!(first, second);
    for secret in [SECRET, &newer] {
        let reader = signer(secret).unwrap();
        let verdict = reader.verify(&map(&headers), EXAMPLE_BODY, EXAMPLE_TIME, TOLERANCE);
        assert_eq!(verdict, Ok(()));
    }
    let old = map(&example());
    assert_eq!(both.verify(&old, EXAMPLE_BODY, EXAMPLE_TIME, TOLERANCE), Ok(()));
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
        ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), InvalidSecret::Prefix),
        ("whsec_not base64!".to_owned(), InvalidSecret::Base64),
        ("whsec_-_-_".to_owned(), InvalidSecret::Base64),
        ("whsec_".to_owned(), InvalidSecret::Length { bytes: 0 }),
        (of(23), InvalidSecret::Length { bytes: 23 }),
        (of(65), InvalidSecret::Length { bytes: 65 }),
    ] {
        let error = signer(&bad).unwrap_err();
        assert_eq!(error, expected, "{bad}");
        assert!(error.to_string().contains("openssl rand -base64 32"), "{error}");
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

#[test]
fn missing_and_malformed_headers_are_named() {
    for header in [ID, TIMESTAMP, SIGNATURE] {
        let mut headers = map(&example());
        headers.remove(header);
        assert_eq!(check(&headers), Err(NotGenuine::Missing { header }));
        let mut headers = map(&example());
        headers.append(header, HeaderValue::from_static("v1,AAAA"));
        let malformed = |e| matches!(e, NotGenuine::Malformed { header: h, .. } if h == header);
        assert!(check(&headers).is_err_and(malformed), "{header}");
        assert!(check(&with(header, "")).is_err_and(malformed), "{header}");
    }
    for bad in ["now", "1614265330.5", "-1", "+1614265330", "99999999999999999999"] {
        let error = check(&with(TIMESTAMP, bad)).unwrap_err();
        let expected = WHOLE_SECONDS;
        assert_eq!(error, NotGenuine::Malformed { header: TIMESTAMP, expected }, "{bad}");
    }
    for bad in ["v1", "v1,!", "v1a,AAAA", "AAAA", "v1,AAAA AAAA"] {
        let error = check(&with(SIGNATURE, bad)).unwrap_err();
        let expected = SIGNATURE_LIST;
        assert_eq!(error, NotGenuine::Malformed { header: SIGNATURE, expected }, "{bad}");
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
    let reader = signer(SECRET).unwrap();
    let verdict = reader.verify(&headers, b"{}", EXAMPLE_TIME, TOLERANCE);
    assert_eq!(verdict, no_match);
    let other = Secret::new(format!("whsec_{}", BASE64.encode([1; 32])).into_bytes());
    let scheme = Scheme::StandardWebhooks;
    let verdict = verify(scheme, &other, &headers, EXAMPLE_BODY, EXAMPLE_TIME, TOLERANCE);
    assert_eq!(verdict, no_match);
}

#[test]
fn time_out_of_tolerance_says_by_how_much() {
    let headers = map(&example());
    let at = |now| signer(SECRET).unwrap().verify(&headers, EXAMPLE_BODY, now, TOLERANCE);
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
