use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::Method;
use http::Uri;
use time::OffsetDateTime;

use crate::secret::Secret;

use super::InvalidSecret;
use super::Kind;
use super::Scheme;
use super::Signer;
use super::TIMESTAMP;
use super::place;

/// How far a timestamp may be from the reader's clock, unless the reader says otherwise.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A webhook as it came.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Where it went, whole, for schemes that look at it.
    pub target: Option<&'a Uri>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, byte for byte.
    pub body: &'a [u8],
}

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
        header: String,
    },
    /// A header is there and does not say what it should.
    #[error("the header `{header}` is malformed: it must be {expected}")]
    Malformed {
        /// Which.
        header: String,
        /// What would be right.
        expected: String,
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
        "none of the {tried} signatures matches: the secret is another one, or the body is not byte for byte the one that was signed"
    )]
    NoMatch {
        /// How many signatures of this scheme there were.
        tried: usize,
    },
    /// What is shown instead of a signature is another secret.
    #[error("the secret in {place} is another one")]
    OtherSecret {
        /// Where it was looked for.
        place: String,
    },
    /// The URL is needed and nobody told it.
    #[error("this scheme looks at the URL; say which one was called")]
    NoTarget,
    /// The body is not what its digest says.
    #[error("the body is not byte for byte the one that `content-digest` was made of")]
    OtherBody,
    /// A certificate that the CA does not vouch for.
    #[error("the certificate of the key is not trusted: {reason}")]
    Untrusted {
        /// Why not.
        reason: String,
    },
    /// The key set to check with is none.
    #[error("the key set cannot be used: {reason}")]
    Keys {
        /// Why not.
        reason: &'static str,
    },
    /// A token that is genuine and not good here.
    #[error("the token's `{claim}` is not what is asked for")]
    Claim {
        /// Which claim.
        claim: &'static str,
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
    let received = Received { method: &Method::POST, target: None, headers, body };
    Signer::checking(scheme, secret)?.verify(&received, now, tolerance)
}

impl Signer {
    /// Checks a received webhook as its receiver would.
    ///
    /// # Errors
    ///
    /// If what proves it is missing, malformed, out of tolerance, or does not match.
    pub fn verify(
        &self,
        received: &Received<'_>,
        now: OffsetDateTime,
        tolerance: Duration,
    ) -> Result<(), NotGenuine> {
        match &self.kind {
            Kind::Standard(keys) => keys.verify(received, now, tolerance),
            Kind::Mac(mac) => mac.verify(received),
            Kind::Header(name, expected) => {
                let given = received.only(name)?;
                let place = format!("the header `{name}`");
                same(expected.as_bytes(), given.as_bytes(), place)
            }
            Kind::Query(parameter, secret) => {
                let target = received.target.ok_or(NotGenuine::NoTarget)?;
                let given = target.query().unwrap_or_default().split('&').find_map(|pair| {
                    pair.split_once('=')
                        .filter(|(name, _)| name == parameter)
                        .map(|(_, value)| value)
                });
                let place = format!("the parameter `{parameter}`");
                same(secret.expose(), &place::decoded(given.unwrap_or_default()), place)
            }
            Kind::Path(secret) => {
                let target = received.target.ok_or(NotGenuine::NoTarget)?;
                let path = place::decoded(target.path());
                // Where in the path is the receiver's affair: it compares the whole.
                let among = path.windows(secret.expose().len());
                let mut found = false;
                among.for_each(|part| found |= equal(secret.expose(), part));
                let place = "the path".to_owned();
                if found { Ok(()) } else { Err(NotGenuine::OtherSecret { place }) }
            }
            Kind::Token(_) => {
                Err(NotGenuine::Keys { reason: "a token is checked with its issuer's" })
            }
            Kind::Message(_) => {
                let reason = "a message is checked with the CA of its certificate".to_owned();
                Err(NotGenuine::Untrusted { reason })
            }
        }
    }
}

fn same(expected: &[u8], given: &[u8], place: String) -> Result<(), NotGenuine> {
    if equal(expected, given) { Ok(()) } else { Err(NotGenuine::OtherSecret { place }) }
}

impl<'a> Received<'a> {
    /// The value of a header that must be there once.
    pub(super) fn only(&self, header: &HeaderName) -> Result<&'a str, NotGenuine> {
        self.only_named(header.as_str(), "one text of printable characters")
    }

    /// The same, with what would be right: of two, nobody knows which one was signed.
    pub(super) fn only_named(&self, header: &str, expected: &str) -> Result<&'a str, NotGenuine> {
        let malformed =
            || NotGenuine::Malformed { header: header.to_owned(), expected: expected.to_owned() };
        let mut values = self.headers.get_all(header).iter();
        let missing = || NotGenuine::Missing { header: header.to_owned() };
        let value = values.next().ok_or_else(missing)?;
        let text = value.to_str().map_err(|_| malformed())?.trim();
        if text.is_empty() || values.next().is_some() { Err(malformed()) } else { Ok(text) }
    }
}

pub(super) const WHOLE_SECONDS: &str = "one whole number, the seconds since 1970";

/// Lengths are no secret: that of a true signature is known to everyone, and that of a secret can be read off
/// the time to send it.
pub(super) fn equal(expected: &[u8], given: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(expected, given).is_ok()
}

pub(super) fn check_time(
    timestamp: &str,
    now: OffsetDateTime,
    tolerance: Duration,
) -> Result<(), NotGenuine> {
    let malformed = || NotGenuine::Malformed {
        header: TIMESTAMP.to_owned(),
        expected: WHOLE_SECONDS.to_owned(),
    };
    if !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let stamped: i64 = timestamp.parse().map_err(|_| malformed())?;
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
