//! The few facts of a certificate that we decide by or tell (RFC 5280).

use std::net::IpAddr;

use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ExtendedKeyUsage;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::words::printable;

/// What a certificate says of itself.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// DNS names and addresses of the subject alternative name; nobody looks at the common name.
    pub(super) names: Vec<String>,
    pub(super) issuer: String,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    pub(super) is_ca: bool,
    /// Whether issuer and subject are the same.
    pub(super) is_self_issued: bool,
    pub(super) usage: Usage,
}

/// What the extended key usage allows (RFC 5280 §4.2.1.12); without one, everything.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    pub(super) servers: bool,
    pub(super) clients: bool,
    /// In words, by the names of RFC 5280.
    pub(super) words: String,
}

/// Reads the certificate in `der`, or says what is wrong with it.
pub(super) fn read(der: &[u8]) -> Result<Facts, String> {
    let certificate = parse(der)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| format!("its subject alternative name: {error}"))?
        .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default();
    let usage = certificate
        .extended_key_usage()
        .map_err(|error| format!("its extended key usage: {error}"))?
        .map_or_else(Usage::any, |extension| Usage::of(extension.value));
    let validity = certificate.validity();
    Ok(Facts {
        names,
        issuer: distinguished(certificate.issuer()),
        not_before: validity.not_before.to_datetime(),
        not_after: validity.not_after.to_datetime(),
        is_ca: certificate.is_ca(),
        is_self_issued: certificate.issuer().as_raw() == certificate.subject().as_raw(),
        usage,
    })
}

impl Usage {
    fn any() -> Self {
        Self { servers: true, clients: true, words: "everything".to_owned() }
    }

    fn of(usage: &ExtendedKeyUsage<'_>) -> Self {
        let all = [
            (usage.any, "anyExtendedKeyUsage"),
            (usage.server_auth, "serverAuth"),
            (usage.client_auth, "clientAuth"),
            (usage.code_signing, "codeSigning"),
            (usage.email_protection, "emailProtection"),
            (usage.time_stamping, "timeStamping"),
            (usage.ocsp_signing, "OCSPSigning"),
        ];
        let mut words: Vec<_> = all.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        if !usage.other.is_empty() {
            words.push("others");
        }
        Self {
            servers: usage.any || usage.server_auth,
            clients: usage.any || usage.client_auth,
            words: words.join(", "),
        }
    }
}

/// The certificate in `der`, all of it.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(format!("{} bytes behind its end", rest.len())),
        Err(_) => Err("not an X.509 certificate".to_owned()),
    }
}

/// The address in an `iPAddress` field.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(&name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

/// A distinguished name as text.
pub(super) fn distinguished(name: &X509Name<'_>) -> String {
    let text = printable(&name.to_string());
    if text.is_empty() { "nobody (an empty name)".to_owned() } else { text }
}
