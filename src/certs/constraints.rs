//! What a certificate is for, and what a CA may issue certificates for (RFC 5280 §4.2.1.10).

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use rcgen::CidrSubnet;
use rcgen::GeneralSubtree;
use rcgen::NameConstraints;
use rustls::pki_types::DnsName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::x509;

/// What a certificate can be made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// A host name in lower case, or `*.` and one.
    Dns(String),
    /// An address; IPv4 mapped into IPv6 is unwrapped.
    Address(IpAddr),
}

impl Name {
    /// The name in `text`, if it is one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        DnsName::try_from(parent(&name)).ok()?;
        Some(Self::Dns(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// What stands behind the `*.` of a wildcard, or the name itself.
fn parent(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

/// What a CA may vouch for.
///
/// Ours is allowed the names it was made for and this machine, `localhost`, `127.0.0.0/8` and `::1`,
/// and nothing else. A CA that every node and build service trusts could otherwise make a certificate
/// for any site in the world, and its key lies on the disk of a sidecar. The names themselves are
/// permitted, with everything below them, as the standard has it, and not their parent domain: who
/// asks for `registry.example.com` does not mean to vouch for `bank.example.com`. The price is a
/// renewed CA when a name is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Constraints {
    /// Host names; none means that any is permitted, in a CA that is not ours.
    dns: Vec<String>,
    /// Networks and their masks; none means that any address is permitted.
    networks: Vec<Network>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    mask: IpAddr,
}

impl Constraints {
    /// Those of a CA made for `names`.
    pub(super) fn for_names(names: &[Name]) -> Self {
        let mut dns = vec!["localhost".to_owned()];
        let mut networks = vec![
            Network {
                address: Ipv4Addr::new(127, 0, 0, 0).into(),
                mask: Ipv4Addr::new(255, 0, 0, 0).into(),
            },
            Network::host(Ipv6Addr::LOCALHOST.into()),
        ];
        for name in names {
            match name {
                Name::Dns(name) if !permits_dns(&dns, name) => dns.push(parent(name).to_owned()),
                Name::Address(address) if !networks.iter().any(|n| n.contains(*address)) => {
                    networks.push(Network::host(*address));
                }
                Name::Dns(_) | Name::Address(_) => {}
            }
        }
        Self { dns, networks }
    }

    /// Those that a CA's certificate states. A form we cannot read permits nothing of its kind here,
    /// and whoever verifies it decides for himself.
    pub(super) fn of(ca: &X509Certificate<'_>) -> Result<Self, String> {
        let mut constraints = Self { dns: Vec::new(), networks: Vec::new() };
        let stated = ca.name_constraints().map_err(|error| error.to_string())?;
        let permitted = stated.and_then(|stated| stated.value.permitted_subtrees.as_ref());
        for subtree in permitted.into_iter().flatten() {
            match &subtree.base {
                GeneralName::DNSName(name) => constraints.dns.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => {
                    let (address, mask) = bytes.split_at(bytes.len() / 2);
                    let network = x509::address(address)
                        .zip(x509::address(mask))
                        .map(|(address, mask)| Network { address, mask });
                    constraints.networks.push(network.ok_or("a network of no known length")?);
                }
                _ => {}
            }
        }
        Ok(constraints)
    }

    /// Whether the CA may issue a certificate for `name`.
    pub(super) fn permit(&self, name: &Name) -> bool {
        match name {
            Name::Dns(name) => self.dns.is_empty() || permits_dns(&self.dns, name),
            Name::Address(address) => {
                self.networks.is_empty() || self.networks.iter().any(|n| n.contains(*address))
            }
        }
    }

    /// The names and networks that are permitted; none where everything is.
    pub(super) fn list(&self) -> Vec<String> {
        let dns = self.dns.iter().map(ToString::to_string);
        dns.chain(self.networks.iter().map(ToString::to_string)).collect()
    }

    /// As the extension of a certificate.
    pub(super) fn to_extension(&self) -> NameConstraints {
        let dns = self.dns.iter().cloned().map(GeneralSubtree::DnsName);
        let networks = self.networks.iter().map(|n| GeneralSubtree::IpAddress(n.to_subnet()));
        NameConstraints {
            permitted_subtrees: dns.chain(networks).collect(),
            excluded_subtrees: Vec::new(),
        }
    }
}

/// Whether one of `bases` is the name, or what it ends in behind a dot. A wildcard needs its parent.
fn permits_dns(bases: &[String], name: &str) -> bool {
    let name = parent(name);
    bases.iter().any(|base| {
        name.strip_suffix(base.trim_start_matches('.'))
            .is_some_and(|rest| rest.is_empty() && !base.starts_with('.') || rest.ends_with('.'))
    })
}

impl Network {
    fn host(address: IpAddr) -> Self {
        let mask: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::BROADCAST.into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX).into(),
        };
        Self { address, mask }
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, self.mask, address) {
            (IpAddr::V4(base), IpAddr::V4(mask), IpAddr::V4(address)) => {
                (base & mask) == (address & mask)
            }
            (IpAddr::V6(base), IpAddr::V6(mask), IpAddr::V6(address)) => {
                (base & mask) == (address & mask)
            }
            _ => false,
        }
    }

    fn prefix(self) -> u8 {
        let ones = match self.mask {
            IpAddr::V4(mask) => mask.to_bits().count_ones(),
            IpAddr::V6(mask) => mask.to_bits().count_ones(),
        };
        u8::try_from(ones).unwrap_or(u8::MAX)
    }

    fn to_subnet(self) -> CidrSubnet {
        CidrSubnet::from_addr_prefix(self.address, self.prefix())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix()) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => self.address.fmt(f),
            (address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_name_is_a_host_a_wildcard_or_an_address() {
        let table = [
            ("Registry.Example.COM.", Some("registry.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("localhost", Some("localhost")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("", None),
            ("*", None),
            ("*.", None),
            ("a.*.b", None),
            ("*.*.b", None),
            ("a b", None),
            ("müller.example", None),
            ("127.1", None),
            ("registry:5000", None),
            ("https://registry", None),
        ];
        for (text, name) in table {
            let parsed = Name::parse(text).map(|name| name.to_string());
            assert_eq!(parsed.as_deref(), name, "{text}");
        }
    }

    #[test]
    fn a_ca_vouches_for_its_names_and_this_machine_only() {
        let made_for = ["registry.example.com", "*.apps.example", "10.1.2.3", "fd00::7"];
        let constraints = Constraints::for_names(&names(&made_for));
        let table = [
            ("registry.example.com", true),
            ("mirror.registry.example.com", true),
            ("*.registry.example.com", true),
            ("example.com", false),
            ("*.example.com", false),
            ("notregistry.example.com", false),
            ("bank.example.com", false),
            ("a.apps.example", true),
            ("*.apps.example", true),
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("10.1.2.3", true),
            ("10.1.2.4", false),
            ("fd00::7", true),
            ("fd00::8", false),
            ("128.0.0.1", false),
        ];
        for (text, permitted) in table {
            let name = Name::parse(text).unwrap();
            assert_eq!(constraints.permit(&name), permitted, "{text}");
        }
        assert_eq!(
            constraints.list().join(", "),
            "localhost, registry.example.com, apps.example, 127.0.0.0/8, ::1, 10.1.2.3, fd00::7"
        );
    }

    #[test]
    fn a_constraint_that_begins_with_a_dot_leaves_the_domain_itself_out() {
        let bases = [".example.com".to_owned()];
        assert!(permits_dns(&bases, "a.example.com"));
        assert!(!permits_dns(&bases, "example.com"));
    }
}
