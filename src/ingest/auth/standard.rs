//! Standard Webhooks, symmetric, as another Pushbell or any sender of that scheme signs.
//!
//! `webhook-signature` lists `v1,<base64>` entries, each the HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>`
//! by one secret; entries of other versions do not count. It is the one scheme that signs a time, so what was
//! captured is worth nothing after five minutes (rule I5).
//!
//! Source: standard-webhooks/standard-webhooks `spec/standard-webhooks.md`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;

use crate::secret::Secret;

use super::super::BASE64;
use super::Presented;
use super::Refused;
use super::only;

/// How far the time may be from our clock, in seconds.
const TOLERANCE: u64 = 5 * 60;
/// The most signatures that are looked at; a rotation needs two.
const MAX_SIGNATURES: usize = 32;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

#[derive(Clone)]
pub(super) struct Standard(Vec<hmac::Key>);

impl Standard {
    /// The keys that secrets hold; none if one of them holds none.
    pub(super) fn of(secrets: &[&[u8]]) -> Option<Self> {
        let key = |text: &&[u8]| {
            let encoded = text.strip_prefix(b"whsec_").unwrap_or(text);
            let key = Secret::new(BASE64.decode(encoded).ok()?);
            let fits = (24..=64).contains(&key.expose().len());
            fits.then(|| hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
        };
        secrets.iter().map(key).collect::<Option<_>>().map(Self)
    }

    /// Compares each listed signature with the code by each secret.
    pub(super) fn verify(&self, presented: &Presented<'_>) -> Result<(), Refused> {
        let id = only(presented.headers, ID, ID)?;
        let timestamp = only(presented.headers, TIMESTAMP, TIMESTAMP)?;
        let listed = listed(only(presented.headers, SIGNATURE, SIGNATURE)?)?;
        let seconds = "whole seconds since 1970";
        let stamped: i64 = Some(timestamp)
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(Refused::Malformed { what: TIMESTAMP, expected: seconds })?;
        let mut is_one = false;
        for key in &self.0 {
            let mut context = hmac::Context::with_key(key);
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", presented.body] {
                context.update(part);
            }
            let code = context.sign();
            for given in &listed {
                is_one |= verify_slices_are_equal(code.as_ref(), given).is_ok();
            }
        }
        if !is_one {
            let remedy = "the sender has another secret, or something on the way changed the body";
            return Err(Refused::Wrong { what: SIGNATURE, remedy });
        }
        if presented.now.unix_timestamp().abs_diff(stamped) > TOLERANCE {
            let remedy = "it is more than five minutes off: a replay, or a clock is wrong";
            return Err(Refused::Wrong { what: TIMESTAMP, remedy });
        }
        Ok(())
    }
}

fn listed(text: &str) -> Result<Vec<Vec<u8>>, Refused> {
    let expected = "a list of at most 32 entries `v1,<base64 of 32 bytes>`";
    let malformed = || Refused::Malformed { what: SIGNATURE, expected };
    let mut listed = Vec::new();
    for (place, entry) in text.split_ascii_whitespace().enumerate() {
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

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::OffsetDateTime;

    use super::super::super::tests::headers;
    use super::super::Credential;
    use super::*;

    /// The test vector of the scheme's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const LINES: [(&str, &str); 3] = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];

    fn verdict(
        secrets: &[&str],
        lines: &[(&str, &str)],
        body: &[u8],
        late: i64,
    ) -> Result<(), Refused> {
        let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(s.as_bytes().to_vec())).collect();
        let credential = Credential::standard_webhooks(&secrets).unwrap();
        let now = OffsetDateTime::from_unix_timestamp(1_614_265_330).unwrap();
        let now = now + Duration::seconds(late);
        let headers = headers(lines);
        credential.verify(&Presented { headers: &headers, path_token: None, body, now })
    }

    #[test]
    fn the_reference_is_genuine() {
        let other = "whsec_YW5vdGhlciBzZWNyZXQgb2YgMzIgYnl0ZXMgaGVyZQ==";
        for late in [0, 300, -300] {
            assert_eq!(verdict(&[SECRET], &LINES, BODY, late), Ok(()));
            assert_eq!(verdict(&[other, SECRET], &LINES, BODY, late), Ok(()));
        }
        assert!(verdict(&[other], &LINES, BODY, 0).is_err());
        assert!(verdict(&[SECRET], &LINES, b"{}", 0).is_err());
    }

    #[test]
    fn a_replay_is_refused() {
        for late in [301, -301, 100_000] {
            let verdict = verdict(&[SECRET], &LINES, BODY, late);
            assert!(matches!(verdict, Err(Refused::Wrong { what: TIMESTAMP, .. })), "{verdict:?}");
        }
    }

    #[test]
    fn headers_must_be_there_and_right() {
        for (at, value) in [
            (0, "msg_other"),
            (1, "1614265331"),
            (1, "+1614265330"),
            (1, "now"),
            (1, ""),
            (2, ""),
            (2, "v1"),
            (2, "v1,***"),
            (2, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            (2, "v1,g0hM9SsE"),
        ] {
            let mut lines = LINES;
            lines[at].1 = value;
            assert!(verdict(&[SECRET], &lines, BODY, 0).is_err(), "{at} {value}");
            let rest: Vec<_> = LINES.into_iter().filter(|(name, _)| *name != LINES[at].0).collect();
            let verdict = verdict(&[SECRET], &rest, BODY, 0);
            assert_eq!(verdict, Err(Refused::Missing { what: LINES[at].0 }));
        }
        let many = format!("{} {}", "v1,AAAA ".repeat(31), LINES[2].1);
        let lines = [LINES[0], LINES[1], ("webhook-signature", many.as_str())];
        assert_eq!(verdict(&[SECRET], &lines, BODY, 0), Ok(()));
        let more = format!("v1,AAAA {many}");
        let lines = [LINES[0], LINES[1], ("webhook-signature", more.as_str())];
        assert!(verdict(&[SECRET], &lines, BODY, 0).is_err());
    }

    #[test]
    fn secrets_of_the_wrong_length_are_none() {
        for bad in ["whsec_", "whsec_YWJj", "hunter2", "whsec_***"] {
            assert!(Standard::of(&[bad.as_bytes()]).is_none(), "{bad}");
        }
    }
}
