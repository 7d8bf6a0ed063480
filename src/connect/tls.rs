//! What went wrong with TLS, in words that say which side has to change what.

use std::error::Error as StdError;
use std::io;

use rustls::AlertDescription;
use rustls::CertificateError;
use rustls::InvalidMessage;
use rustls::PeerIncompatible;
use time::OffsetDateTime;

use crate::certs;

/// Why two sides did not agree on TLS. "The server" is the other side, we are its client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The server's certificate is over.
    #[error("the server's certificate expired on {on}")]
    Expired {
        /// When.
        on: String,
    },
    /// The server's certificate has not begun, or our clock is wrong.
    #[error("the server's certificate is not valid before {from}; is the clock right?")]
    NotYet {
        /// When it will be.
        from: String,
    },
    /// The server is somebody else.
    #[error("wrong name: we asked for {wanted}, the certificate is for {names}")]
    WrongName {
        /// What we asked for.
        wanted: String,
        /// What the certificate covers.
        names: String,
    },
    /// We trust nobody who vouches for the server.
    #[error(
        "unknown issuer: the certificate was issued by {issuer}, which is not among the trusted CAs"
    )]
    UnknownIssuer {
        /// Who issued the last certificate that the server sent.
        issuer: String,
    },
    /// A CA of the chain may not vouch for that name.
    #[error(
        "a CA of the chain is not allowed to issue certificates for {names} (name constraints)"
    )]
    OutsideConstraints {
        /// What the certificate covers.
        names: String,
    },
    /// The server serves a CA's certificate as its own.
    #[error("the server's certificate is a CA's (CA:TRUE); a server needs one with CA:FALSE")]
    CaAsServer,
    /// The certificate is for something else.
    #[error("the server's certificate is not for servers: its extended key usage lacks serverAuth")]
    NotForServers,
    /// The certificate was taken back.
    #[error("the server's certificate was revoked")]
    Revoked,
    /// Something about the certificate that cannot be repaired on our side.
    #[error("the server's certificate cannot be used: {detail}")]
    Unusable {
        /// What.
        detail: String,
    },
    /// The server wants to know who we are.
    #[error("the server asks for a client certificate and got none: give the endpoint an identity")]
    ClientCertificateMissing,
    /// The server knows who we are and does not like it.
    #[error("the server did not accept our client certificate ({alert}): does it trust its CA?")]
    ClientCertificateRefused {
        /// What it said.
        alert: String,
    },
    /// The server has nothing for the name we asked for.
    #[error("the server has no certificate for the name we asked for (unrecognized_name)")]
    UnknownName,
    /// No common version, cipher suite or key exchange.
    #[error("nothing in common: {detail}; we speak TLS 1.2 and 1.3")]
    NothingInCommon {
        /// What was missing.
        detail: String,
    },
    /// The other side speaks something else.
    #[error("the server does not speak TLS on this port")]
    NotTls,
    /// The server hung up.
    #[error("the server closed the connection during the handshake")]
    Closed,
    /// Another alert of the server.
    #[error("the server refused with the alert {alert}")]
    Alert {
        /// Its name.
        alert: String,
    },
    /// Anything else.
    #[error("{detail}")]
    Other {
        /// What the library says.
        detail: String,
    },
}

impl Problem {
    /// The TLS problem at the bottom of an error, if there is one: the error itself or a source of it.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(problem) = error.downcast_ref::<Self>() {
                return Some(problem.clone());
            }
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::from(error));
            }
            next = match error.downcast_ref::<io::Error>() {
                // An `io::Error` does not name what it wraps as its source.
                Some(io) => match io.get_ref() {
                    Some(inner) if inner.is::<rustls::Error>() || inner.is::<Self>() => Some(inner),
                    // tokio-rustls has no error of its own for this one.
                    _ if is_handshake_eof(io) => return Some(Self::Closed),
                    _ => error.source(),
                },
                None => error.source(),
            };
        }
        None
    }
}

fn is_handshake_eof(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof && error.to_string() == "tls handshake eof"
}

/// Puts a TLS problem in words; any other error passes.
pub(super) fn in_words(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => io::Error::new(error.kind(), Problem::from(inner)),
        None => error,
    }
}

impl From<&rustls::Error> for Problem {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => of_certificate(error),
            rustls::Error::AlertReceived(alert) => of_alert(*alert),
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            rustls::Error::PeerIncompatible(why) => of_incompatible(why),
            rustls::Error::NoApplicationProtocol => no_common_protocol(),
            other => Self::Other { detail: certs::printable(&other.to_string()) },
        }
    }
}

fn of_certificate(error: &CertificateError) -> Problem {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            Problem::Expired { on: date(*not_after) }
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            Problem::NotYet { from: date(*not_before) }
        }
        CertificateError::NotValidForNameContext { expected, presented } => Problem::WrongName {
            wanted: expected.to_str().into_owned(),
            names: certs::list_names(presented.iter().map(|name| bare(name))),
        },
        CertificateError::Other(other) => match other.0.downcast_ref::<certs::Untrusted>() {
            Some(certs::Untrusted::UnknownIssuer { issuer }) => {
                Problem::UnknownIssuer { issuer: issuer.clone() }
            }
            Some(certs::Untrusted::OutsideConstraints { names }) => {
                Problem::OutsideConstraints { names: names.clone() }
            }
            Some(certs::Untrusted::CaAsServer) => Problem::CaAsServer,
            None => Problem::Unusable { detail: certs::printable(&error.to_string()) },
        },
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Problem::NotForServers
        }
        CertificateError::Revoked => Problem::Revoked,
        other => Problem::Unusable { detail: certs::printable(&other.to_string()) },
    }
}

fn of_alert(alert: AlertDescription) -> Problem {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            Problem::ClientCertificateMissing
        }
        // A server says these of a certificate, and only we can have sent it one.
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            Problem::ClientCertificateRefused { alert: alert_name(alert) }
        }
        AlertDescription::UnrecognisedName => Problem::UnknownName,
        AlertDescription::ProtocolVersion => {
            Problem::NothingInCommon { detail: "no version (protocol_version)".to_owned() }
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            let detail = format!("no cipher suite or key exchange ({})", alert_name(alert));
            Problem::NothingInCommon { detail }
        }
        AlertDescription::NoApplicationProtocol => no_common_protocol(),
        other => Problem::Alert { alert: alert_name(other) },
    }
}

fn of_incompatible(why: &PeerIncompatible) -> Problem {
    let detail = match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => "no version".to_owned(),
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange".to_owned(),
        other => snake_case(&format!("{other:?}")).replace('_', " "),
    };
    Problem::NothingInCommon { detail }
}

fn no_common_protocol() -> Problem {
    Problem::NothingInCommon { detail: "no application protocol (ALPN)".to_owned() }
}

/// The names of RFC 8446 §6, which are what people search for.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown_ca".to_owned(),
        AlertDescription::UnrecognisedName => "unrecognized_name".to_owned(),
        AlertDescription::Unknown(number) => format!("number {number}"),
        other => snake_case(&format!("{other:?}")),
    }
}

fn snake_case(camel_case: &str) -> String {
    let mut text = String::with_capacity(camel_case.len() + 4);
    for c in camel_case.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

fn date(time: rustls::pki_types::UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_or_else(|_| "a day no calendar has".to_owned(), certs::date)
}

/// A name out of the library's way to print it, `DnsName("example.com")`.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(presented, |inner| inner.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use rustls::OtherError;
    use rustls::pki_types::ServerName;
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn every_problem_is_told_in_words() {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let expired =
            CertificateError::ExpiredContext { time: at(200), not_after: at(1_772_356_500) };
        let wrong_name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.example").unwrap(),
            presented: vec!["DnsName(\"b.example\")".into(), "IpAddress(127.0.0.1)".into()],
        };
        let unnamed = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.example").unwrap(),
            presented: Vec::new(),
        };
        let unknown = certs::Untrusted::UnknownIssuer { issuer: "CN=Nobody".to_owned() };
        let unknown = CertificateError::Other(OtherError(std::sync::Arc::new(unknown)));
        let table: [(rustls::Error, &str); 12] = [
            (expired.into(), "expired on 2026-03-01 09:15 UTC"),
            (
                wrong_name.into(),
                "wrong name: we asked for a.example, the certificate is for b.example, 127.0.0.1",
            ),
            (unnamed.into(), "the certificate is for no name at all"),
            (unknown.into(), "unknown issuer: the certificate was issued by CN=Nobody"),
            (CertificateError::InvalidPurpose.into(), "lacks serverAuth"),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "asks for a client certificate and got none",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::UnknownCA),
                "did not accept our client certificate (unknown_ca)",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
                "(handshake_failure)",
            ),
            (rustls::Error::AlertReceived(AlertDescription::InternalError), "alert internal_error"),
            (rustls::Error::AlertReceived(AlertDescription::Unknown(200)), "alert number 200"),
            (InvalidMessage::InvalidContentType.into(), "does not speak TLS"),
            (
                PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
                "no version; we speak TLS 1.2 and 1.3",
            ),
        ];
        for (error, words) in table {
            let told = Problem::from(&error).to_string();
            assert!(told.contains(words), "{told}");
            let wrapped = io::Error::new(io::ErrorKind::InvalidData, error);
            let told = in_words(wrapped);
            assert!(told.to_string().contains(words), "{told}");
            assert!(Problem::of(&told).is_some());
        }
        assert!(Problem::of(&io::Error::from(io::ErrorKind::ConnectionReset)).is_none());
    }
}
