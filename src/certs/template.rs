//! What stands in the certificates that we make.

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyUsagePurpose;
use rcgen::SanType;
use rcgen::SerialNumber;
use time::Duration;
use time::OffsetDateTime;

use super::constraints::Constraints;
use super::constraints::Name;
use super::signer::Signer;

const CA_LIFE: Duration = Duration::days(3652);
const LEAF_LIFE: Duration = Duration::days(90);

/// How far back a new certificate begins, for clients whose clocks are late.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// A CA that may vouch for `names` and this machine.
pub(super) fn ca(names: &[Name], key: &Signer, now: OffsetDateTime) -> CertificateParams {
    let mut ca = CertificateParams::default();
    ca.not_before = now - CLOCK_SKEW;
    ca.not_after = now + CA_LIFE;
    ca.serial_number = Some(serial_number());
    // Two CAs of one name would be taken for each other; the key tells them apart.
    let id = ca.key_identifier(key);
    let id: String = id.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    ca.distinguished_name = DistinguishedName::new();
    ca.distinguished_name.push(DnType::CommonName, format!("Pushbell local CA {id}"));
    // No CA below this one.
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.name_constraints = Some(Constraints::for_names(names).to_extension());
    ca
}

/// A server's, and a client's, certificate that ends no later than its CA.
pub(super) fn leaf(
    identity: &str,
    names: &[Name],
    ca_end: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<CertificateParams, String> {
    let mut leaf = CertificateParams::default();
    leaf.not_before = now - CLOCK_SKEW;
    leaf.not_after = (now + LEAF_LIFE).min(ca_end);
    leaf.serial_number = Some(serial_number());
    // Not a host name on purpose: some verifiers hold a common name that looks like one against the
    // CA's constraints.
    leaf.distinguished_name = DistinguishedName::new();
    leaf.distinguished_name.push(DnType::CommonName, format!("Pushbell {identity:.50}"));
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    leaf.use_authority_key_identifier_extension = true;
    for name in names {
        leaf.subject_alt_names.push(match name {
            Name::Address(address) => SanType::IpAddress(*address),
            Name::Dns(name) => SanType::DnsName(
                name.clone().try_into().map_err(|error: rcgen::Error| error.to_string())?,
            ),
        });
    }
    Ok(leaf)
}

/// Sixteen bytes by chance: no two certificates of one issuer may share it.
fn serial_number() -> SerialNumber {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    // A number above zero that needs no byte more.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes.to_vec())
}
