//! Signatures: how a receiver knows that a webhook is ours, unaltered and fresh.
//!
//! Pure: the time is an argument, secrets come in as [`Secret`] and never come out. The one scheme so far is
//! Standard Webhooks, symmetric. On the wire:
//!
//! ```text
//! webhook-id: <delivery id>              the same on every attempt; contains no `.`
//! webhook-timestamp: 1767225600          seconds since 1970, when this attempt was made
//! webhook-signature: v1,<base64> v1,<base64>    one for each secret, newest first
//! ```
//!
//! Each signature is the HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`, the body being the exact
//! bytes sent, in standard base64 with padding. Entries of other versions (`v1a`, …) are for other readers.
//!
//! A secret is `whsec_` and the base64 of 24 to 64 random bytes, which are the key; white space around it,
//! such as the last line feed of a file, does not count. **Anything else is refused**, because libraries
//! disagree about it: some decode a text without the prefix as base64, some take its bytes. Whoever has a plain
//! text of 24 to 64 bytes that a receiver uses as the key itself writes `whsec_` and the base64 of it:
//! `printf 'whsec_%s\n' "$(printf %s "$SECRET" | base64 -w0)"`.
//!
//! Source: standard-webhooks/standard-webhooks `spec/standard-webhooks.md`.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use http::HeaderMap;
use time::OffsetDateTime;

use crate::secret::Secret;

/// The header with the delivery's id.
pub const ID: &str = "webhook-id";
/// The header with the attempt's time.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a timestamp may be from the reader's clock, unless the reader says otherwise.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The most signatures of one header that are looked at; a rotation needs two.
const MAX_SIGNATURES: usize = 32;

const PREFIX: &[u8] = b"whsec_";
const SHORTEST: usize = 24;
const LONGEST: usize = 64;

/// Padding is written, and asked of nobody: tools that make secrets differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A way to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Standard Webhooks, symmetric (`v1`).
    StandardWebhooks,
}

/// Signs attempts, and checks signatures, with one secret or, while it is being changed, several.
#[derive(Clone)]
pub struct Signer {
    scheme: Scheme,
    /// Newest first; never empty.
    keys: Vec<hmac::Key>,
}

/// A secret that cannot be used. Says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// There is no text.
    #[error("the secret is empty; {MAKE_ONE}")]
    Empty,
    /// It does not say what it is.
    #[error(
        "a standard-webhooks secret starts with `whsec_` and this one does not; {MAKE_ONE}, or put `whsec_` before the base64 of the {SHORTEST} to {LONGEST} bytes that the receiver uses as its key"
    )]
    Prefix,
    /// What follows the prefix cannot be decoded.
    #[error("what follows `whsec_` is not standard base64; {MAKE_ONE}")]
    Base64,
    /// The key is too short to be safe, or too long to be one.
    #[error(
        "the secret holds {bytes} bytes, and a standard-webhooks secret holds {SHORTEST} to {LONGEST}; {MAKE_ONE}"
    )]
    Length {
        /// How many bytes it holds.
        bytes: usize,
    },
}

/// Advice for whoever has no secret yet.
const MAKE_ONE: &str = "make one with `printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\"` and give it to the receiver too";

/// Why a webhook cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    /// The secret to check with is none.
    #[error("could not read the secret")]
    Secret {
        /// What is wrong with it.
        #[from]
        source: InvalidSecret,
    },
    /// A header that every signed webhook has is not there.
    #[error(
        "the header `{header}` is missing: the webhook is not signed, or something on its way removed it"
    )]
    Missing {
        /// Which.
        header: &'static str,
    },
    /// A header is there and does not say what it should.
    #[error("the header `{header}` is malformed: it must be {expected}")]
    Malformed {
        /// Which.
        header: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// It was signed too long ago: a replay, or a clock that is wrong.
    #[error(
        "`{TIMESTAMP}` is {} old and {} are allowed: the webhook is a replay, or a clock is wrong",
        Words(*age), Words(*tolerance)
    )]
    TooOld {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        tolerance: Duration,
    },
    /// It was signed in the future: a clock is wrong.
    #[error(
        "`{TIMESTAMP}` is {} ahead and {} are allowed: a clock is wrong",
        Words(*ahead), Words(*tolerance)
    )]
    TooNew {
        /// How far ahead it is.
        ahead: Duration,
        /// How far ahead it may be.
        tolerance: Duration,
    },
    /// Headers and time are right, and no signature is.
    #[error(
        "none of the {tried} `v1` signatures matches: the secret is another one, or the body is not byte for byte the one that was signed"
    )]
    NoMatch {
        /// How many signatures of this scheme there were.
        tried: usize,
    },
}

impl Scheme {
    /// Every scheme, in the order of the documentation.
    pub const ALL: [Self; 1] = [Self::StandardWebhooks];

    /// The word for it in the configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
        }
    }

    /// The scheme a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }
}

/// The headers of an attempt that nothing signs: a receiver needs the id to tell a repetition.
#[must_use]
pub fn unsigned(id: &str, timestamp: OffsetDateTime) -> Vec<(&'static str, String)> {
    vec![(ID, id.to_owned()), (TIMESTAMP, timestamp.unix_timestamp().to_string())]
}

/// Checks a received webhook against one secret.
///
/// # Errors
///
/// If the secret is none, or the webhook cannot be trusted.
pub fn verify(
    scheme: Scheme,
    secret: &Secret,
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
    tolerance: Duration,
) -> Result<(), NotGenuine> {
    Signer::new(scheme, secret)?.verify(headers, body, now, tolerance)
}

impl Signer {
    /// Takes the secret to sign with.
    ///
    /// # Errors
    ///
    /// If it is not one of the scheme's.
    pub fn new(scheme: Scheme, secret: &Secret) -> Result<Self, InvalidSecret> {
        Ok(Self { scheme, keys: vec![key(secret)?] })
    }

    /// Signs with an older secret as well, for receivers that do not know the new one yet.
    ///
    /// # Errors
    ///
    /// If it is not one of the scheme's.
    pub fn and_older(mut self, secret: &Secret) -> Result<Self, InvalidSecret> {
        self.keys.push(key(secret)?);
        Ok(self)
    }

    /// The scheme it signs by.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The headers of one attempt: id, time and signatures of exactly these bytes.
    #[must_use]
    pub fn headers(
        &self,
        id: &str,
        timestamp: OffsetDateTime,
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        let seconds = timestamp.unix_timestamp().to_string();
        let sign = |key| format!("v1,{}", BASE64.encode(mac(key, id, &seconds, body)));
        let signatures: Vec<String> = self.keys.iter().map(sign).collect();
        let mut headers = unsigned(id, timestamp);
        headers.push((SIGNATURE, signatures.join(" ")));
        headers
    }

    /// Checks a received webhook: any of the listed signatures by any of the secrets will do, and all are
    /// compared, in constant time, so that the time taken says nothing.
    ///
    /// # Errors
    ///
    /// If a header is missing or malformed, the time is out of tolerance, or nothing matches.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: OffsetDateTime,
        tolerance: Duration,
    ) -> Result<(), NotGenuine> {
        let id = only(headers, ID, "one text of printable characters")?;
        let timestamp = only(headers, TIMESTAMP, WHOLE_SECONDS)?;
        let signatures = only(headers, SIGNATURE, SIGNATURE_LIST)?;
        check_time(timestamp, now, tolerance)?;
        let listed = listed(signatures)?;
        let mut genuine = false;
        for key in &self.keys {
            let expected = mac(key, id, timestamp, body);
            for signature in &listed {
                genuine |= equal(expected.as_ref(), signature);
            }
        }
        if genuine { Ok(()) } else { Err(NotGenuine::NoMatch { tried: listed.len() }) }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, keys } = self;
        write!(f, "Signer({}, {} secrets)", scheme.as_str(), keys.len())
    }
}

const WHOLE_SECONDS: &str = "one whole number, the seconds since 1970";
const SIGNATURE_LIST: &str = "one list of up to 32 entries such as `v1,<base64 of 32 bytes>`, separated by spaces, at least one of them `v1`";

fn key(secret: &Secret) -> Result<hmac::Key, InvalidSecret> {
    let text = secret.expose().trim_ascii();
    if text.is_empty() {
        return Err(InvalidSecret::Empty);
    }
    let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret::Prefix)?;
    // In a `Secret` at once, so that it is wiped whatever happens next.
    let key = Secret::new(BASE64.decode(encoded).map_err(|_| InvalidSecret::Base64)?);
    let bytes = key.expose().len();
    if !(SHORTEST..=LONGEST).contains(&bytes) {
        return Err(InvalidSecret::Length { bytes });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
}

fn mac(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign()
}

/// Lengths are no secret: that of a true signature is known to everyone.
fn equal(expected: &[u8], given: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(expected, given).is_ok()
}

/// The value of a header that must be there once: of two, nobody knows which one was signed.
fn only<'a>(
    headers: &'a HeaderMap,
    header: &'static str,
    expected: &'static str,
) -> Result<&'a str, NotGenuine> {
    let malformed = NotGenuine::Malformed { header, expected };
    let mut values = headers.get_all(header).iter();
    let value = values.next().ok_or(NotGenuine::Missing { header })?;
    let text = value.to_str().map_err(|_| malformed.clone())?.trim();
    if text.is_empty() || values.next().is_some() { Err(malformed) } else { Ok(text) }
}

fn check_time(timestamp: &str, now: OffsetDateTime, tolerance: Duration) -> Result<(), NotGenuine> {
    let malformed = NotGenuine::Malformed { header: TIMESTAMP, expected: WHOLE_SECONDS };
    if !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed);
    }
    let stamped: i64 = timestamp.parse().map_err(|_| malformed)?;
    let now = now.unix_timestamp();
    let apart = Duration::from_secs(now.abs_diff(stamped));
    if apart <= tolerance {
        Ok(())
    } else if stamped < now {
        Err(NotGenuine::TooOld { age: apart, tolerance })
    } else {
        Err(NotGenuine::TooNew { ahead: apart, tolerance })
    }
}

/// The `v1` signatures of a list, decoded.
fn listed(signatures: &str) -> Result<Vec<Vec<u8>>, NotGenuine> {
    let malformed = || NotGenuine::Malformed { header: SIGNATURE, expected: SIGNATURE_LIST };
    let mut listed = Vec::new();
    for (place, entry) in signatures.split_ascii_whitespace().enumerate() {
        let (version, encoded) = entry.split_once(',').ok_or_else(malformed)?;
        if place >= MAX_SIGNATURES {
            return Err(malformed());
        }
        if version == "v1" {
            listed.push(BASE64.decode(encoded).map_err(|_| malformed())?);
        }
    }
    if listed.is_empty() { Err(malformed()) } else { Ok(listed) }
}

/// A length of time as people say it: `5 min`, `12 min 3 s`, `2 h 5 min`, `3 d 1 h`.
struct Words(Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")];
        let mut said =
            parts.into_iter().skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0);
        let Some((n, unit)) = said.next() else {
            return f.write_str("0 s");
        };
        write!(f, "{n} {unit}")?;
        said.try_for_each(|(n, unit)| write!(f, " {n} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use http::HeaderValue;
    use time::macros::datetime;

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
        for good in [of(24), of(64), format!("  {}\r\n", of(32)), unpadded] {
            assert!(signer(&good).is_ok(), "{good}");
        }
        for (bad, expected) in [
            (String::new(), InvalidSecret::Empty),
            (" \n".to_owned(), InvalidSecret::Empty),
            ("correct horse battery staple".to_owned(), InvalidSecret::Prefix),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), InvalidSecret::Prefix),
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
}
