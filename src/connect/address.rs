//! Hosts into addresses, addresses into classes, and which of them may be dialled.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A host as it may stand in a URL: a name that DNS can answer, or one address in its usual form.
///
/// An IPv4 address in decimal (`2130706433`), octal (`0177.0.0.1`), hex (`0x7f000001`) or short
/// (`127.1`) form is refused: resolvers take those for addresses while people and allow lists do not.
/// Names are ASCII, as IDNA writes them (`xn--…`), so that a comparison compares what DNS is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case, without the dot that ends a fully qualified one.
    Name(Box<str>),
    /// An address; IPv4 mapped into IPv6 is unwrapped.
    Address(IpAddr),
}

/// Text that is not a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// Nothing there.
    #[error("no host: give a name or an address")]
    Empty,
    /// Letters outside ASCII.
    #[error("host with letters outside ASCII: write it as IDNA does, `xn--…`")]
    NotAscii,
    /// A number that some programs read as an IPv4 address and others do not.
    #[error(
        "not an IPv4 address: write it as four decimal numbers without leading zeros, `192.0.2.7`"
    )]
    Number,
    /// Something between brackets, or with a colon, that is not an IPv6 address.
    #[error("not an IPv6 address: write it as `[2001:db8::7]`, without a zone")]
    Colon,
    /// Not what DNS allows in a name.
    #[error(
        "not a host name: at most 253 characters, labels of 1 to 63 letters, digits, `-` and `_`, joined by dots"
    )]
    Name,
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(s: &str) -> Result<Self, InvalidHost> {
        if s.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if !s.is_ascii() {
            return Err(InvalidHost::NotAscii);
        }
        let bracketed = s.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
        if bracketed.is_some() || s.contains([':', '[', ']']) {
            let address: Ipv6Addr =
                bracketed.unwrap_or(s).parse().map_err(|_| InvalidHost::Colon)?;
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = s.strip_suffix('.').unwrap_or(s);
        if ends_in_a_number(name) {
            let address: Ipv4Addr = s.parse().map_err(|_| InvalidHost::Number)?;
            return Ok(Self::Address(address.into()));
        }
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(InvalidHost::Name);
        }
        Ok(Self::Name(name.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// What the URL standard calls a host that ends in a number: no top-level domain looks like it, so
/// whoever writes it means an address.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// What kind of place an address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// An address of the public internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918, RFC 4193), or the shared space of a provider (RFC 6598).
    Private,
    /// No particular host; a connect to it reaches this machine by accident.
    Unspecified,
    /// The link itself: where machines in clouds find their metadata service.
    LinkLocal,
    /// A metadata service at an address of its own.
    Metadata,
    /// A group of hosts.
    Multicast,
    /// Every host of a network.
    Broadcast,
    /// Set aside for a use nobody has made yet.
    Reserved,
    /// For examples and benchmarks; nobody answers there.
    Documentation,
    /// An IPv4 address inside an IPv6 one: which host it reaches is decided elsewhere.
    Wrapped,
}

impl Class {
    /// The class of an address. IPv4 mapped into IPv6 (`::ffff:0:0/96`) is unwrapped first.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            // Alibaba's and Oracle's, and Azure's wire server; the others are link-local.
            [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Self::Metadata,
            [0, ..] => Self::Unspecified,
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18 | 19, ..] => {
                Self::Documentation
            }
            [255, 255, 255, 255] => Self::Broadcast,
            [224..=239, ..] => Self::Multicast,
            [240..=255, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Unspecified,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // Amazon's, inside the unique local range.
            [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Self::Metadata,
            // IPv4-compatible, -translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380),
            // 6to4 (RFC 3056).
            [0, 0, 0, 0, 0, 0, _, _]
            | [0, 0, 0, 0, 0xffff, 0, _, _]
            | [0x0064, 0xff9b, 0, 0, 0, 0, _, _]
            | [0x0064, 0xff9b, 1, ..]
            | [0x2001, 0, ..]
            | [0x2002, ..] => Self::Wrapped,
            [0x2001, 0x0db8, ..] | [0x2001, 0x0002, 0, ..] | [0x3fff, 0..=0x0fff, ..] => {
                Self::Documentation
            }
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            // Site-local was given up (RFC 3879) but never given to anybody else.
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            [0xff00..=0xffff, ..] => Self::Multicast,
            _ => Self::Public,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address, where metadata services live",
            Self::Metadata => "the address of a metadata service",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Reserved => "a reserved address",
            Self::Documentation => "an address for documentation or benchmarks",
            Self::Wrapped => "an IPv4 address wrapped in an IPv6 one",
        })
    }
}

/// Which addresses may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upstream,
    Endpoint,
}

impl Policy {
    /// For the registry we stand in front of: the operator chose it and nobody else can change it, so
    /// only what cannot be a host is refused.
    #[must_use]
    pub fn for_upstream() -> Self {
        Self(Kind::Upstream)
    }

    /// For a receiver in the configuration. It may be a neighbour, so loopback and private addresses
    /// are allowed; nothing that is a webhook lives at the others, and a name that suddenly resolves
    /// to a metadata service is an attack.
    #[must_use]
    pub fn for_endpoint() -> Self {
        Self(Kind::Endpoint)
    }

    /// Whether `address` may be dialled.
    ///
    /// # Errors
    ///
    /// The class for which it may not.
    pub fn check(self, address: IpAddr) -> Result<(), Class> {
        let class = Class::of(address);
        let allowed = match self.0 {
            Kind::Upstream => {
                !matches!(class, Class::Unspecified | Class::Multicast | Class::Broadcast)
            }
            Kind::Endpoint => matches!(class, Class::Public | Class::Loopback | Class::Private),
        };
        if allowed { Ok(()) } else { Err(class) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_has_its_class() {
        let table = [
            ("93.184.215.14", Class::Public),
            ("8.8.8.8", Class::Public),
            ("172.15.255.255", Class::Public),
            ("172.32.0.0", Class::Public),
            ("100.63.255.255", Class::Public),
            ("100.128.0.0", Class::Public),
            ("169.253.255.255", Class::Public),
            ("169.255.0.0", Class::Public),
            ("198.17.255.255", Class::Public),
            ("198.20.0.0", Class::Public),
            ("168.63.129.17", Class::Public),
            ("223.255.255.255", Class::Public),
            ("127.0.0.1", Class::Loopback),
            ("127.255.255.254", Class::Loopback),
            ("10.0.0.1", Class::Private),
            ("10.255.255.255", Class::Private),
            ("172.16.0.1", Class::Private),
            ("172.31.255.255", Class::Private),
            ("192.168.1.1", Class::Private),
            ("100.64.0.1", Class::Private),
            ("100.127.255.255", Class::Private),
            ("0.0.0.0", Class::Unspecified),
            ("0.1.2.3", Class::Unspecified),
            ("169.254.169.254", Class::LinkLocal),
            ("169.254.170.2", Class::LinkLocal),
            ("100.100.100.200", Class::Metadata),
            ("168.63.129.16", Class::Metadata),
            ("192.0.0.192", Class::Metadata),
            ("224.0.0.1", Class::Multicast),
            ("239.255.255.255", Class::Multicast),
            ("240.0.0.1", Class::Reserved),
            ("255.255.255.254", Class::Reserved),
            ("255.255.255.255", Class::Broadcast),
            ("192.0.2.1", Class::Documentation),
            ("198.51.100.1", Class::Documentation),
            ("203.0.113.1", Class::Documentation),
            ("198.18.0.1", Class::Documentation),
            ("198.19.255.255", Class::Documentation),
            ("2606:4700::1111", Class::Public),
            ("2001:1::1", Class::Public),
            ("2001:4860:4860::8888", Class::Public),
            ("::1", Class::Loopback),
            ("::", Class::Unspecified),
            ("::2", Class::Wrapped),
            ("::127.0.0.1", Class::Wrapped),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("::ffff:169.254.169.254", Class::LinkLocal),
            ("::ffff:8.8.8.8", Class::Public),
            ("::ffff:0:0", Class::Unspecified),
            ("::ffff:0:169.254.169.254", Class::Wrapped),
            ("64:ff9b::a9fe:a9fe", Class::Wrapped),
            ("64:ff9b:1::1", Class::Wrapped),
            ("64:ff9b:1:ffff::1", Class::Wrapped),
            ("2002:7f00:1::", Class::Wrapped),
            ("2001:0:4136:e378::1", Class::Wrapped),
            ("fe80::1", Class::LinkLocal),
            ("febf::1", Class::LinkLocal),
            ("fec0::1", Class::Private),
            ("fc00::1", Class::Private),
            ("fd12:3456::1", Class::Private),
            ("fd00:ec2::254", Class::Metadata),
            ("fd00:ec2::253", Class::Private),
            ("ff02::1", Class::Multicast),
            ("2001:db8::1", Class::Documentation),
            ("2001:2::1", Class::Documentation),
            ("3fff::1", Class::Documentation),
            ("3fff:1000::1", Class::Public),
        ];
        for (text, class) in table {
            assert_eq!(Class::of(text.parse().unwrap()), class, "{text}");
        }
    }

    #[test]
    fn an_endpoint_may_be_a_neighbour_but_no_metadata_service() {
        let table = [
            ("8.8.8.8", true, true),
            ("127.0.0.1", true, true),
            ("::1", true, true),
            ("192.168.1.1", true, true),
            ("100.64.0.1", true, true),
            ("fd12::1", true, true),
            ("169.254.169.254", true, false),
            ("::ffff:169.254.169.254", true, false),
            ("fe80::1", true, false),
            ("100.100.100.200", true, false),
            ("203.0.113.1", true, false),
            ("64:ff9b::1", true, false),
            ("240.0.0.1", true, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
            ("255.255.255.255", false, false),
        ];
        for (text, upstream, endpoint) in table {
            let address = text.parse().unwrap();
            assert_eq!(Policy::for_upstream().check(address).is_ok(), upstream, "{text}");
            assert_eq!(Policy::for_endpoint().check(address).is_ok(), endpoint, "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_in_its_usual_form() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a"; 128].join(".");
        let table: &[(&str, Result<&str, InvalidHost>)] = &[
            ("example.com", Ok("example.com")),
            ("Example.COM.", Ok("example.com")),
            ("localhost", Ok("localhost")),
            ("my_service", Ok("my_service")),
            ("xn--mnchen-3ya.de", Ok("xn--mnchen-3ya.de")),
            ("1.example", Ok("1.example")),
            ("0xfeed.example", Ok("0xfeed.example")),
            ("127.0.0.1", Ok("127.0.0.1")),
            ("[::1]", Ok("::1")),
            ("::1", Ok("::1")),
            ("[::ffff:127.0.0.1]", Ok("127.0.0.1")),
            ("", Err(InvalidHost::Empty)),
            ("münchen.de", Err(InvalidHost::NotAscii)),
            ("１２７.0.0.1", Err(InvalidHost::NotAscii)),
            ("2130706433", Err(InvalidHost::Number)),
            ("017700000001", Err(InvalidHost::Number)),
            ("0177.0.0.1", Err(InvalidHost::Number)),
            ("127.0.0.01", Err(InvalidHost::Number)),
            ("0x7f000001", Err(InvalidHost::Number)),
            ("0x7f.0.0.0x1", Err(InvalidHost::Number)),
            ("0X", Err(InvalidHost::Number)),
            ("127.1", Err(InvalidHost::Number)),
            ("127.0.1", Err(InvalidHost::Number)),
            ("127.0.0.1.", Err(InvalidHost::Number)),
            ("127.0.0.256", Err(InvalidHost::Number)),
            ("127.0.0.1.5", Err(InvalidHost::Number)),
            ("a.5", Err(InvalidHost::Number)),
            ("[127.0.0.1]", Err(InvalidHost::Colon)),
            ("[fe80::1%eth0]", Err(InvalidHost::Colon)),
            ("fe80::1%1", Err(InvalidHost::Colon)),
            ("example.com:443", Err(InvalidHost::Colon)),
            ("[::1", Err(InvalidHost::Colon)),
            (".", Err(InvalidHost::Name)),
            ("a..b", Err(InvalidHost::Name)),
            (".a", Err(InvalidHost::Name)),
            ("-a", Err(InvalidHost::Name)),
            ("a-.b", Err(InvalidHost::Name)),
            ("a b", Err(InvalidHost::Name)),
            ("a@b", Err(InvalidHost::Name)),
            ("a/b", Err(InvalidHost::Name)),
            ("a%00b", Err(InvalidHost::Name)),
            (&long_label, Err(InvalidHost::Name)),
            (&long_name, Err(InvalidHost::Name)),
        ];
        for (text, expected) in table {
            let host = text.parse::<Host>().map(|host| host.to_string());
            assert_eq!(host.as_deref(), expected.as_ref().copied(), "{text}");
        }
    }
}
