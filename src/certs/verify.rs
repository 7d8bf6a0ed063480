//! The usual verification of a server, with the facts that its errors leave out.

use std::sync::Arc;

use rustls::CertificateError;
use rustls::DigitallySignedStruct;
use rustls::OtherError;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;

use super::words::list_names;
use super::x509;

/// Why a server is not trusted, where the library's own error does not say enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Nobody we trust vouches for the server.
    #[error("issued by {issuer}, which is not trusted")]
    UnknownIssuer {
        /// Who issued the last certificate that the server sent.
        issuer: String,
    },
    /// A CA of the chain vouches for a name it must not vouch for (RFC 5280 §4.2.1.10).
    #[error("a CA of the chain may not issue certificates for {names}")]
    OutsideConstraints {
        /// What the server's certificate covers.
        names: String,
    },
    /// A CA's certificate where a server's should be.
    #[error("a CA's certificate used as a server's")]
    CaAsServer,
}

/// Decides as `inner` does, and never otherwise; only tells more.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Telling {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        verified.map_err(|error| match explain(&error, end_entity, intermediates) {
            Some(untrusted) => CertificateError::Other(OtherError(Arc::new(untrusted))).into(),
            None => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn explain(
    error: &rustls::Error,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Option<Untrusted> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let last = intermediates.last().unwrap_or(end_entity);
            let issuer = x509::read(last).ok()?.issuer;
            Some(Untrusted::UnknownIssuer { issuer })
        }
        // The verifier's own error type is not ours to name; its text is the variant's name.
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            match &*other.0.to_string() {
                "NameConstraintViolation" => {
                    let names = list_names(x509::read(end_entity).ok()?.names);
                    Some(Untrusted::OutsideConstraints { names })
                }
                "CaUsedAsEndEntity" => Some(Untrusted::CaAsServer),
                _ => None,
            }
        }
        _ => None,
    }
}
