//! How a receiver knows that a webhook is ours: a signature, or a secret it was told.
//!
//! Pure, but for the token that [`TokenFile`] reads: the time is an argument, secrets come in as [`Secret`] and
//! never come out but in the request. Each scheme's file says what is on the wire; [`Scheme`] lists them:
//!
//! | signs | what | file |
//! |---|---|---|
//! | `standard-webhooks` | id, time and body, by HMAC or Ed25519 | `standard` |
//! | `http-message-signatures` | URL, headers and body, by the key of a certificate | `message` |
//! | `github-sha256`, `flux-hmac`, `jfrog-signed`, `nexus-sha1` | the body, by HMAC | `mac` |
//! | `jfrog-token`, `static-authorization`, `bearer`, `basic`, `gitlab-token`, `shared-header` | nothing: a secret in a header | here |
//! | `query-secret`, `path-secret` | nothing: a secret in the URL | `place` |
//! | `oidc` | nothing: somebody else's token in a header | `token` |
//!
//! Whatever the scheme, every attempt has `webhook-id` and `webhook-timestamp`: a receiver needs the id to
//! tell a repetition.

mod jwt;
mod keys;
mod mac;
mod message;
mod place;
mod received;
mod scheme;
mod secret;
mod standard;
#[cfg(test)]
mod tests;
mod token;
mod verify;

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
use time::OffsetDateTime;

use crate::certs::ClientIdentity;
use crate::secret::Secret;

pub use self::jwt::Wanted;
pub use self::keys::PublicKeys;
pub use self::mac::Algorithm;
pub use self::place::PARAMETER;
pub use self::place::PLACEHOLDER;
pub use self::received::verify_message;
pub use self::scheme::Means;
pub use self::scheme::Scheme;
pub use self::secret::InvalidSecret;
pub use self::token::NoToken;
pub use self::token::TokenFile;
pub use self::verify::NotGenuine;
pub use self::verify::Received;
pub use self::verify::TOLERANCE;
pub use self::verify::verify;

use self::mac::Mac;
use self::message::Messages;
use self::standard::Keys;

/// The header with the delivery's id.
pub const ID: &str = "webhook-id";
/// The header with the attempt's time.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// What an operator says of how an endpoint's attempts are signed. What a scheme does not look at may be
/// anything.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The scheme.
    pub scheme: Scheme,
    /// What it signs with, or shows.
    pub secret: Option<Secret>,
    /// The name that goes with a password.
    pub username: Option<String>,
    /// The digest, where the receiver leaves the choice.
    pub algorithm: Algorithm,
    /// The header, where the receiver leaves the choice.
    pub header: Option<HeaderName>,
    /// The parameter of the query; `secret`, where nothing is said.
    pub parameter: Option<String>,
    /// Where somebody keeps a token.
    pub token_file: Option<PathBuf>,
    /// Whose certificate and key sign.
    pub identity: Option<ClientIdentity>,
}

/// Makes attempts such that their receiver knows whom they are from, and checks those of others.
#[derive(Clone)]
pub struct Signer {
    scheme: Scheme,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Standard(Keys),
    Mac(Mac),
    Header(HeaderName, HeaderValue),
    Query(String, Secret),
    Path(Secret),
    Token(TokenFile),
    Message(Messages),
}

/// Why a request could not be signed; it must not be sent. The endpoint's failure, not the event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsigned(pub(super) &'static str);

impl Settings {
    /// Of a scheme that works with a secret, all else as it is where nothing is said.
    #[must_use]
    pub fn of(scheme: Scheme, secret: &Secret) -> Self {
        Self {
            scheme,
            secret: Some(secret.clone()),
            username: None,
            algorithm: Algorithm::default(),
            header: None,
            parameter: None,
            token_file: None,
            identity: None,
        }
    }
}

impl Signer {
    /// Takes the secret to sign with, for a scheme that needs no more.
    ///
    /// # Errors
    ///
    /// If it is not one of the scheme's.
    pub fn new(scheme: Scheme, secret: &Secret) -> Result<Self, InvalidSecret> {
        Self::of(Settings::of(scheme, secret))
    }

    /// Takes all that a scheme may need.
    ///
    /// # Errors
    ///
    /// If something it needs is missing or cannot be used.
    pub fn of(settings: Settings) -> Result<Self, InvalidSecret> {
        let signer = Self::read(settings)?;
        match &signer.kind {
            Kind::Standard(keys) if !keys.sign() => Err(InvalidSecret::Public),
            _ => Ok(signer),
        }
    }

    /// Takes what is enough to check a webhook: public keys too.
    ///
    /// # Errors
    ///
    /// As [`Signer::of`].
    pub fn checking(scheme: Scheme, secret: &Secret) -> Result<Self, InvalidSecret> {
        Self::read(Settings::of(scheme, secret))
    }

    /// The same, with all that a scheme may need.
    ///
    /// # Errors
    ///
    /// As [`Signer::of`].
    pub fn read(settings: Settings) -> Result<Self, InvalidSecret> {
        let Settings { scheme, secret, username, algorithm, header, parameter, .. } = settings;
        let incomplete = |what| InvalidSecret::Incomplete { scheme: scheme.as_str(), what };
        let secret = || match &secret {
            None => Err(incomplete("a secret")),
            Some(secret) if secret.expose().is_empty() => Err(InvalidSecret::Empty),
            Some(secret) => Ok(secret),
        };
        let chosen = header.filter(|_| scheme.header_may_be_chosen());
        let header = || chosen.or(scheme.header()).ok_or(incomplete("a header"));
        let kind = match scheme {
            Scheme::StandardWebhooks => Kind::Standard(Keys::new(secret()?)?),
            Scheme::GithubSha256 | Scheme::FluxHmac | Scheme::JfrogSigned | Scheme::NexusSha1 => {
                let mac = Mac::new(scheme, algorithm, header()?, secret()?);
                Kind::Mac(mac.ok_or(incomplete("an algorithm"))?)
            }
            Scheme::JfrogToken
            | Scheme::StaticAuthorization
            | Scheme::GitlabToken
            | Scheme::SharedHeader => Kind::Header(header()?, value(b"", secret()?.expose())?),
            Scheme::Bearer => Kind::Header(header()?, value(b"Bearer ", secret()?.expose())?),
            Scheme::Basic => {
                let username = username.ok_or(incomplete("a username"))?;
                let account = Secret::new([username.as_bytes(), b":", secret()?.expose()].concat());
                let encoded = Secret::new(BASE64.encode(account.expose()).into_bytes());
                Kind::Header(header()?, value(b"Basic ", encoded.expose())?)
            }
            Scheme::QuerySecret => {
                let parameter = parameter.unwrap_or_else(|| PARAMETER.to_owned());
                Kind::Query(parameter, secret()?.clone())
            }
            Scheme::PathSecret => Kind::Path(secret()?.clone()),
            Scheme::Oidc => {
                let path = settings.token_file.ok_or(incomplete("a token file"))?;
                Kind::Token(TokenFile::new(path))
            }
            Scheme::HttpMessageSignatures => {
                let identity = settings.identity.ok_or(incomplete("an identity"))?;
                Kind::Message(Messages::new(identity)?)
            }
        };
        Ok(Self { scheme, kind })
    }

    /// The scheme it signs by.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The file with the token that an attempt needs at the last moment, if it needs one.
    #[must_use]
    pub fn token_file(&self) -> Option<&TokenFile> {
        match &self.kind {
            Kind::Token(file) => Some(file),
            _ => None,
        }
    }

    /// Whether the secret goes into the URL.
    #[must_use]
    pub fn changes_url(&self) -> bool {
        matches!(self.kind, Kind::Query(..) | Kind::Path(_))
    }

    /// Makes a request that has everything else ours: id, time, and what proves it. A token is not put in here,
    /// see [`Signer::token_file`].
    pub(super) fn sign(&self, request: &mut Request<Bytes>, id: &str, timestamp: OffsetDateTime) {
        identify(request, id, timestamp);
        let body = request.body().clone();
        let header = match &self.kind {
            Kind::Standard(keys) => keys.header(id, timestamp, &body),
            Kind::Mac(mac) => mac.header(&body),
            Kind::Header(name, value) => Some((name.clone(), value.clone())),
            Kind::Query(parameter, secret) => {
                let uri = place::in_query(request.uri(), parameter, secret);
                return put(request, uri);
            }
            Kind::Path(secret) => {
                let uri = place::in_path(request.uri(), secret);
                return put(request, uri);
            }
            Kind::Token(_) => return,
            Kind::Message(messages) => {
                if let Err(reason) = messages.sign(request, timestamp) {
                    request.extensions_mut().insert(Unsigned(reason));
                }
                return;
            }
        };
        match header {
            Some((name, value)) => drop(request.headers_mut().insert(name, value)),
            None => drop(request.extensions_mut().insert(Unsigned("no signature could be made"))),
        }
    }
}

/// Gives an attempt its id and its time.
pub(super) fn identify(request: &mut Request<Bytes>, id: &str, timestamp: OffsetDateTime) {
    for (name, text) in unsigned(id, timestamp) {
        if let Ok(value) = HeaderValue::try_from(text) {
            request.headers_mut().insert(name, value);
        }
    }
}

fn put(request: &mut Request<Bytes>, uri: Option<http::Uri>) {
    match uri {
        Some(uri) => *request.uri_mut() = uri,
        None => {
            request.extensions_mut().insert(Unsigned("the URL is too long with the secret in it"));
        }
    }
}

/// The headers of an attempt that nothing signs.
#[must_use]
pub fn unsigned(id: &str, timestamp: OffsetDateTime) -> Vec<(&'static str, String)> {
    vec![(ID, id.to_owned()), (TIMESTAMP, timestamp.unix_timestamp().to_string())]
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Standard(keys) => {
                write!(f, "Signer({}, {} secrets)", self.scheme.as_str(), keys.len())
            }
            _ => write!(f, "Signer({})", self.scheme.as_str()),
        }
    }
}

fn value(prefix: &[u8], secret: &[u8]) -> Result<HeaderValue, InvalidSecret> {
    let whole = Secret::new([prefix, secret].concat());
    let visible = whole.expose().iter().all(|byte| (b' '..=b'~').contains(byte));
    let padded = secret.first() == Some(&b' ') || secret.last() == Some(&b' ');
    let value = HeaderValue::from_bytes(whole.expose());
    match value {
        Ok(mut value) if visible && !padded => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err(InvalidSecret::Unsendable),
    }
}

/// Padding is written, and asked of nobody: tools that make secrets differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
