use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use http::HeaderName;

use crate::secret::Secret;

use super::super::BASE64;
use super::super::Kind;
use super::Presented;
use super::Refused;
use super::Scheme;
use super::google::Google;
use super::google::Keys;
use super::only;
use super::signature::Signature;
use super::standard::Standard;

/// The fewest characters of a secret path: of base64url's 64, 22 hold 128 bits (rule I1).
const SHORTEST_TOKEN: usize = 22;
const LONGEST_TOKEN: usize = 512;

const REMEDY: &str = "the sender has another secret than the configuration";

/// One thing that a source must show.
#[derive(Clone)]
pub struct Credential(Form);

#[derive(Clone)]
enum Form {
    Bearer(Digests),
    Basic(Digests),
    Header(HeaderName, Digests),
    PathToken(Digests),
    Signature(Signature),
    StandardWebhooks(Standard),
    Google(Google),
}

/// A secret that cannot be used. Says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    /// There is none.
    #[error("there is no secret")]
    None,
    /// There is one without text.
    #[error("the secret is empty")]
    Empty,
    /// No header can hold it.
    #[error("the secret holds control characters or what is not ASCII, which no header can")]
    Characters,
    /// A path of it could be guessed, or is no path.
    #[error(
        "a secret path must be 22 to 512 of the characters `A-Z a-z 0-9 - _ . ~`, as of 128 random bits or more; make one with `openssl rand -hex 32`"
    )]
    PathToken,
    /// A user's name cannot be told from the password behind it.
    #[error("the user name must not hold a `:`")]
    Username,
    /// It is none of Standard Webhooks'.
    #[error("a Standard Webhooks secret is `whsec_` and the base64 of 24 to 64 bytes")]
    StandardWebhooks,
    /// Its sender cannot sign.
    #[error("{kind} does not sign; it can show: {}", words(*kind))]
    NoSignature {
        /// Which.
        kind: Kind,
    },
}

/// The SHA-256 of each secret: of one length, and no secrets any more that a reader of memory could use.
#[derive(Clone)]
struct Digests(Vec<digest::Digest>);

impl Digests {
    fn of(
        texts: impl Iterator<Item = Result<Vec<u8>, InvalidCredential>>,
    ) -> Result<Self, InvalidCredential> {
        let digest = |text: Vec<u8>| digest::digest(&digest::SHA256, Secret::new(text).expose());
        let digests = texts.map(|text| text.map(digest)).collect::<Result<Vec<_>, _>>()?;
        if digests.is_empty() { Err(InvalidCredential::None) } else { Ok(Self(digests)) }
    }

    /// Compares with all of them.
    fn verify(&self, presented: &[u8], what: &'static str) -> Result<(), Refused> {
        let presented = digest::digest(&digest::SHA256, presented);
        let mut is_one = false;
        for known in &self.0 {
            is_one |= verify_slices_are_equal(known.as_ref(), presented.as_ref()).is_ok();
        }
        if is_one { Ok(()) } else { Err(Refused::Wrong { what, remedy: REMEDY }) }
    }
}

impl Credential {
    /// A bearer token.
    ///
    /// # Errors
    ///
    /// If one of the secrets is none.
    pub fn bearer(secrets: &[Secret]) -> Result<Self, InvalidCredential> {
        Ok(Self(Form::Bearer(Digests::of(secrets.iter().map(header_text))?)))
    }

    /// A user with one of several passwords.
    ///
    /// # Errors
    ///
    /// If one of the secrets is none, or the name cannot be a user's.
    pub fn basic(username: &str, passwords: &[Secret]) -> Result<Self, InvalidCredential> {
        if username.contains(':') {
            return Err(InvalidCredential::Username);
        }
        let pair = |password| {
            let text = text(password)?;
            Ok([username.as_bytes(), b":", text].concat())
        };
        Ok(Self(Form::Basic(Digests::of(passwords.iter().map(pair))?)))
    }

    /// A header that is the secret, all of it.
    ///
    /// # Errors
    ///
    /// If one of the secrets is none.
    pub fn header(name: HeaderName, secrets: &[Secret]) -> Result<Self, InvalidCredential> {
        Ok(Self(Form::Header(name, Digests::of(secrets.iter().map(header_text))?)))
    }

    /// A secret at the end of the path.
    ///
    /// # Errors
    ///
    /// If one of the secrets is too short, or cannot stand in a path as it is.
    pub fn path_token(secrets: &[Secret]) -> Result<Self, InvalidCredential> {
        let token = |secret| {
            let text = text(secret)?;
            let is_plain =
                |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
            let fits = (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&text.len());
            if fits && text.iter().all(is_plain) {
                Ok(text.to_vec())
            } else {
                Err(InvalidCredential::PathToken)
            }
        };
        Ok(Self(Form::PathToken(Digests::of(secrets.iter().map(token))?)))
    }

    /// A signature in the way of a kind.
    ///
    /// # Errors
    ///
    /// If one of the secrets is none, or the kind does not sign.
    pub fn signature(kind: Kind, secrets: &[Secret]) -> Result<Self, InvalidCredential> {
        let texts = secrets.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        if texts.is_empty() {
            return Err(InvalidCredential::None);
        }
        let signature = Signature::of(kind, &texts);
        signature.map(Form::Signature).map(Self).ok_or(InvalidCredential::NoSignature { kind })
    }

    /// A signature as of Standard Webhooks, not older than five minutes.
    ///
    /// # Errors
    ///
    /// If one of the secrets is none of that scheme's.
    pub fn standard_webhooks(secrets: &[Secret]) -> Result<Self, InvalidCredential> {
        let texts = secrets.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        if texts.is_empty() {
            return Err(InvalidCredential::None);
        }
        let standard = Standard::of(&texts).ok_or(InvalidCredential::StandardWebhooks)?;
        Ok(Self(Form::StandardWebhooks(standard)))
    }

    /// A token that Google signed for an audience and a service account.
    #[must_use]
    pub fn google(audience: &str, email: &str, keys: Keys) -> Self {
        Self(Form::Google(Google::of(audience, email, keys)))
    }

    /// Which way to show who one is.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match &self.0 {
            Form::Bearer(_) => Scheme::Bearer,
            Form::Basic(_) => Scheme::Basic,
            Form::Header(..) => Scheme::Header,
            Form::PathToken(_) => Scheme::PathToken,
            Form::Signature(_) => Scheme::Signature,
            Form::StandardWebhooks(_) => Scheme::StandardWebhooks,
            Form::Google(_) => Scheme::GoogleToken,
        }
    }

    /// The header that is the secret, where it is one.
    #[must_use]
    pub fn header_name(&self) -> Option<&HeaderName> {
        match &self.0 {
            Form::Header(name, _) => Some(name),
            _ => None,
        }
    }

    /// Whether a request shows this one.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn verify(&self, presented: &Presented<'_>) -> Result<(), Refused> {
        match &self.0 {
            Form::Bearer(digests) => {
                let token = authorization(presented, "Bearer", BEARER)?;
                digests.verify(token.as_bytes(), BEARER)
            }
            Form::Basic(digests) => {
                let pair = authorization(presented, "Basic", BASIC)?;
                let expected = "the base64 of `user:password`";
                let malformed = Refused::Malformed { what: BASIC, expected };
                let pair = BASE64.decode(pair).map_err(|_| malformed)?;
                digests.verify(&pair, BASIC)
            }
            Form::Header(name, digests) => {
                let value = only(presented.headers, name.as_str(), HEADER)?;
                digests.verify(value.as_bytes(), HEADER)
            }
            Form::PathToken(digests) => {
                let missing = Refused::Missing { what: PATH };
                digests.verify(presented.path_token.ok_or(missing)?.as_bytes(), PATH)
            }
            Form::Signature(signature) => signature.verify(presented),
            Form::StandardWebhooks(standard) => standard.verify(presented),
            Form::Google(google) => google.verify(presented),
        }
    }
}

const BEARER: &str = "bearer token";
const BASIC: &str = "user and password";
const HEADER: &str = "header with the secret";
const PATH: &str = "secret path";

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.scheme())
    }
}

/// What follows the scheme in `Authorization`.
pub(super) fn authorization<'a>(
    presented: &Presented<'a>,
    scheme: &str,
    what: &'static str,
) -> Result<&'a str, Refused> {
    let value = only(presented.headers, "authorization", what)?;
    let (word, rest) = value.split_once(' ').ok_or(Refused::Missing { what })?;
    // The scheme's word is case-insensitive (RFC 9110 §11.1).
    if word.eq_ignore_ascii_case(scheme) { Ok(rest.trim()) } else { Err(Refused::Missing { what }) }
}

/// A secret without the white space around it, such as the last line feed of its file.
fn text(secret: &Secret) -> Result<&[u8], InvalidCredential> {
    let text = secret.expose().trim_ascii();
    if text.is_empty() { Err(InvalidCredential::Empty) } else { Ok(text) }
}

fn header_text(secret: &Secret) -> Result<Vec<u8>, InvalidCredential> {
    let text = text(secret)?;
    let is_printable = text.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if is_printable { Ok(text.to_vec()) } else { Err(InvalidCredential::Characters) }
}

fn words(kind: Kind) -> String {
    kind.schemes().iter().map(|scheme| scheme.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::AUTHORIZATION;
    use time::OffsetDateTime;

    use super::super::super::tests::headers;
    use super::super::verify;
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    pub(in super::super) fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new(text.as_bytes().to_vec())).collect()
    }

    fn shows(credential: &Credential, headers: &HeaderMap, path_token: Option<&str>) -> bool {
        let now = OffsetDateTime::UNIX_EPOCH;
        credential.verify(&Presented { headers, path_token, body: b"", now }).is_ok()
    }

    #[test]
    fn each_secret_is_as_good_as_the_other() {
        let bearer = Credential::bearer(&secrets(&["old\n", "new"])).unwrap();
        for (value, is_right) in [
            ("Bearer old", true),
            ("bearer  new", true),
            ("Bearer neww", false),
            ("Bearer ne", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic old", false),
            ("old", false),
        ] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(shows(&bearer, &headers, None), is_right, "{value}");
        }
        assert!(!shows(&bearer, &HeaderMap::new(), None));
        let mut twice = headers(&[("authorization", "Bearer old")]);
        twice.append(AUTHORIZATION, "Bearer new".parse().unwrap());
        assert!(!shows(&bearer, &twice, None), "of two nobody knows which one counts");
    }

    #[test]
    fn a_user_has_a_password() {
        let basic = Credential::basic("ci", &secrets(&["s3:cret", "new"])).unwrap();
        for (value, is_right) in [
            ("Basic Y2k6czM6Y3JldA==", true),
            ("Basic Y2k6czM6Y3JldA", true),
            ("basic Y2k6bmV3", true),
            ("Basic Y2k6bmV4", false),
            ("Basic eGk6bmV3", false),
            ("Basic ***", false),
            ("Bearer Y2k6bmV3", false),
        ] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(shows(&basic, &headers, None), is_right, "{value}");
        }
        let error = Credential::basic("a:b", &secrets(&["c"])).unwrap_err();
        assert_eq!(error, InvalidCredential::Username);
    }

    #[test]
    fn a_header_may_be_the_secret() {
        let name = HeaderName::from_static("x-jfrog-event-auth");
        let header = Credential::header(name, &secrets(&["s3cret"])).unwrap();
        assert!(shows(&header, &headers(&[("X-JFrog-Event-Auth", "s3cret")]), None));
        assert!(!shows(&header, &headers(&[("x-jfrog-event-auth", "S3cret")]), None));
        assert!(!shows(&header, &headers(&[("authorization", "s3cret")]), None));
        // Harbor's value has no scheme.
        let raw = Credential::header(AUTHORIZATION, &secrets(&["raw value"])).unwrap();
        assert!(shows(&raw, &headers(&[("authorization", "raw value")]), None));
    }

    #[test]
    fn a_path_must_be_beyond_guessing() {
        let path = Credential::path_token(&secrets(&[TOKEN])).unwrap();
        assert!(shows(&path, &HeaderMap::new(), Some(TOKEN)));
        assert!(!shows(&path, &HeaderMap::new(), TOKEN.get(1..)));
        assert!(!shows(&path, &HeaderMap::new(), Some("")));
        assert!(!shows(&path, &HeaderMap::new(), None));
        for bad in [
            "short",
            "0123456789abcdef01234",
            "0123456789abcdef/0123456789abcdef",
            "é0123456789abcdef0123456789",
        ] {
            let error = Credential::path_token(&secrets(&[bad])).unwrap_err();
            assert_eq!(error, InvalidCredential::PathToken, "{bad}");
        }
        assert!(Credential::path_token(&secrets(&["0123456789abcdef012345"])).is_ok());
    }

    #[test]
    fn no_secret_is_no_credential() {
        for made in [
            Credential::bearer(&[]),
            Credential::basic("a", &[]),
            Credential::header(AUTHORIZATION, &[]),
            Credential::path_token(&[]),
            Credential::signature(Kind::Github, &[]),
            Credential::standard_webhooks(&[]),
        ] {
            assert_eq!(made.unwrap_err(), InvalidCredential::None);
        }
        for made in [
            Credential::bearer(&secrets(&["a", " \n"])),
            Credential::basic("a", &secrets(&[""])),
            Credential::path_token(&secrets(&[""])),
            Credential::signature(Kind::Github, &secrets(&[""])),
        ] {
            assert_eq!(made.unwrap_err(), InvalidCredential::Empty);
        }
        let error = Credential::bearer(&secrets(&["a\nb"])).unwrap_err();
        assert_eq!(error, InvalidCredential::Characters);
        let error = Credential::signature(Kind::DockerHub, &secrets(&["a"])).unwrap_err();
        assert_eq!(error.to_string(), "docker-hub does not sign; it can show: path_token");
    }

    #[test]
    fn all_credentials_of_a_source_are_asked_for() {
        let both = [
            Credential::path_token(&secrets(&[TOKEN])).unwrap(),
            Credential::bearer(&secrets(&["s3cret"])).unwrap(),
        ];
        let good = headers(&[("authorization", "Bearer s3cret")]);
        let bad = headers(&[("authorization", "Bearer other")]);
        let now = OffsetDateTime::UNIX_EPOCH;
        for (headers, path_token, is_right) in [
            (&good, Some(TOKEN), true),
            (&bad, Some(TOKEN), false),
            (&good, None, false),
            (&good, Some("x"), false),
        ] {
            let presented = Presented { headers, path_token, body: b"", now };
            assert_eq!(verify(&both, &presented).is_ok(), is_right);
        }
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let bearer = Credential::bearer(&secrets(&["hunter2"])).unwrap();
        assert_eq!(format!("{bearer:?}"), "Credential(bearer)");
        let headers = headers(&[("authorization", "Bearer wrong-guess")]);
        let now = OffsetDateTime::UNIX_EPOCH;
        let presented = Presented { headers: &headers, path_token: None, body: b"", now };
        let said = bearer.verify(&presented).unwrap_err().to_string();
        assert!(!said.contains("hunter2") && !said.contains("wrong-guess"), "{said}");
    }

    #[test]
    fn every_kind_can_show_something() {
        for kind in Kind::ALL {
            assert_eq!(kind.schemes().last(), Some(&Scheme::PathToken), "{kind}");
            let signs = Credential::signature(kind, &secrets(&["s3cret"])).is_ok();
            assert_eq!(kind.schemes().contains(&Scheme::Signature), signs, "{kind}");
        }
    }
}
