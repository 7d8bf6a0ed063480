use std::fmt;
use std::net::IpAddr;

/// A range of addresses, `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Any address of the range.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Whether the address is in the range; an IPv4 address inside an IPv6 one counts as itself.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let ignored = u32::from(width - self.prefix.min(width));
        own.checked_shr(ignored) == other.checked_shr(ignored)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_their_prefix_says() {
        for (network, prefix, address, expected) in [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.0", false),
            ("0.0.0.0", 0, "8.8.8.8", true),
            ("::", 0, "2001:db8::1", true),
            ("192.0.2.1", 32, "192.0.2.1", true),
            ("fd00::", 8, "fd12::1", true),
            ("fd00::", 8, "fe80::1", false),
            ("10.0.0.0", 8, "::1", false),
        ] {
            let network = Network { address: network.parse().unwrap(), prefix };
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network:?} {address}"
            );
        }
    }
}
