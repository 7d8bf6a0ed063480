use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use http::HeaderMap;
use time::OffsetDateTime;

use crate::secret::Secret;

use super::BASE64;
use super::ID;
use super::InvalidSecret;
use super::SIGNATURE;
use super::Scheme;
use super::Signer;
use super::TIMESTAMP;
use super::mac;

/// How far a timestamp may be from the reader's clock, unless the reader says otherwise.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The most signatures of one header that are looked at; a rotation needs two.
const MAX_SIGNATURES: usize = 32;

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

pub(super) const WHOLE_SECONDS: &str = "one whole number, the seconds since 1970";
pub(super) const SIGNATURE_LIST: &str = "one list of up to 32 entries such as `v1,<base64 of 32 bytes>`, separated by spaces, at least one of them `v1`";

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
pub(super) struct Words(pub(super) Duration);

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
