//! Rules V3 to V5: how an address can be spelled, and what becomes of each spelling.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::connect::address::Class;
use crate::connect::address::Host;
use crate::connect::address::Policy;

/// What becomes of a host in an endpoint's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Refused where it is written.
    Refused,
    /// This address is dialled, and no other.
    Dialled(IpAddr),
    /// DNS is asked for this name, and each answer is checked.
    Asked(String),
}

fn verdict(host: &str) -> Verdict {
    let text = format!("{MINIMAL}endpoints: [{{ name: a, url: 'https://{host}/hook' }}]\n");
    let Ok(config) = parse(&text) else {
        return Verdict::Refused;
    };
    let host = config.endpoints[0].url.uri().host().unwrap();
    match host.parse::<Host>().unwrap() {
        Host::Address(address) => {
            Policy::for_endpoint().check(address).unwrap();
            Verdict::Dialled(address)
        }
        Host::Name(name) => Verdict::Asked(name.into()),
    }
}

fn dialled(address: &str) -> Verdict {
    Verdict::Dialled(address.parse().unwrap())
}

fn asked(name: &str) -> Verdict {
    Verdict::Asked(name.to_owned())
}

#[test]
fn every_spelling_of_an_address_has_its_verdict() {
    let refused = || Verdict::Refused;
    let table = [
        // The usual ones.
        ("93.184.215.14", dialled("93.184.215.14")),
        ("127.0.0.1", dialled("127.0.0.1")),
        ("10.1.2.3", dialled("10.1.2.3")),
        ("100.64.0.1", dialled("100.64.0.1")),
        ("[::1]", dialled("::1")),
        ("[0:0:0:0:0:0:0:1]", dialled("::1")),
        ("[FD12::1]", dialled("fd12::1")),
        ("[2606:4700::1111]", dialled("2606:4700::1111")),
        ("build.example.com", asked("build.example.com")),
        ("BUILD.Example.COM", asked("build.example.com")),
        ("my_service", asked("my_service")),
        ("xn--mnchen-3ya.de", asked("xn--mnchen-3ya.de")),
        ("127.0.0.1.nip.io", asked("127.0.0.1.nip.io")),
        ("0x7f000001.example", asked("0x7f000001.example")),
        // One address in the forms that C libraries read.
        ("2130706433", refused()),
        ("2852039166", refused()),
        ("017700000001", refused()),
        ("0177.0.0.1", refused()),
        ("0177.0.0.01", refused()),
        ("00000177.0.0.1", refused()),
        ("127.0.0.01", refused()),
        ("127.0.0.001", refused()),
        ("0x7f000001", refused()),
        ("0X7F000001", refused()),
        ("0x7f.0.0.1", refused()),
        ("0x7f.0x0.0x0.0x1", refused()),
        ("0x7f.1", refused()),
        ("127.0x1", refused()),
        ("127.1", refused()),
        ("127.0.1", refused()),
        ("127.0.256", refused()),
        ("0xa9fea9fe", refused()),
        ("0251.0376.0251.0376", refused()),
        ("169.16689662", refused()),
        ("127.0.0.1.", refused()),
        ("0", refused()),
        ("0x", refused()),
        ("1", refused()),
        ("4294967296", refused()),
        ("127.0.0.256", refused()),
        ("127.0.0.1.1", refused()),
        ("127.0.0", refused()),
        ("a.1", refused()),
        // Other alphabets and encodings.
        ("１２７.0.0.1", refused()),
        ("127。0。0。1", refused()),
        ("①②⑦.0.0.1", refused()),
        ("ⓔxample.com", refused()),
        ("münchen.de", refused()),
        ("127%2e0.0.1", refused()),
        ("%31%32%37.0.0.1", refused()),
        ("localhost%00.example.com", refused()),
        ("a\\@169.254.169.254", refused()),
        ("user@169.254.169.254", refused()),
        ("169.254.169.254#.example.com", refused()),
        ("a b", refused()),
        ("a\tb", refused()),
        // IPv6 around IPv4, and what is not an address at all.
        ("[::ffff:127.0.0.1]", dialled("127.0.0.1")),
        ("[::ffff:7f00:1]", dialled("127.0.0.1")),
        ("[0:0:0:0:0:FFFF:7F00:0001]", dialled("127.0.0.1")),
        ("[::ffff:169.254.169.254]", refused()),
        ("[::ffff:a9fe:a9fe]", refused()),
        ("[::127.0.0.1]", refused()),
        ("[::7f00:1]", refused()),
        ("[::ffff:0:127.0.0.1]", refused()),
        ("[64:ff9b::7f00:1]", refused()),
        ("[64:ff9b:1::1]", refused()),
        ("[2002:7f00:1::]", refused()),
        ("[2001:0:4136:e378::1]", refused()),
        ("[127.0.0.1]", refused()),
        ("[fe80::1%25eth0]", refused()),
        ("[fe80::1%eth0]", refused()),
        ("[::1", refused()),
        ("::1", refused()),
        ("[v1.fe80]", refused()),
        ("[]", refused()),
        // Places that no webhook lives at.
        ("169.254.169.254", refused()),
        ("169.254.0.1", refused()),
        ("100.100.100.200", refused()),
        ("168.63.129.16", refused()),
        ("192.0.0.192", refused()),
        ("0.0.0.0", refused()),
        ("0.1.2.3", refused()),
        ("224.0.0.1", refused()),
        ("240.0.0.1", refused()),
        ("255.255.255.255", refused()),
        ("192.0.2.1", refused()),
        ("198.51.100.1", refused()),
        ("203.0.113.1", refused()),
        ("198.18.0.1", refused()),
        ("[::]", refused()),
        ("[fe80::1]", refused()),
        ("[fd00:ec2::254]", refused()),
        ("[ff02::1]", refused()),
        ("[2001:db8::1]", refused()),
        // Names that are none.
        ("", refused()),
        (".", refused()),
        ("a..b", refused()),
        (".a", refused()),
        ("-a.example", refused()),
    ];
    assert!(table.len() >= 60, "{}", table.len());
    for (spelling, expected) in table {
        assert_eq!(verdict(spelling), expected, "{spelling}");
    }
}

/// What the C library reads as an IPv4 address: one to four numbers, each decimal, octal or hex, the last one
/// filling what is left.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &str| {
        let lower = part.to_ascii_lowercase();
        match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
            (Some(""), _) => Some(0),
            (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
            (None, Some("")) => Some(0),
            (None, Some(octal)) => u64::from_str_radix(octal, 8).ok(),
            (None, None) => lower.parse().ok(),
        }
    };
    let numbers: Option<Vec<u64>> = parts.iter().map(|part| number(part)).collect();
    let (last, first) = numbers.as_deref()?.split_last()?;
    let room = 1u64 << (8 * 4usize.checked_sub(first.len())?);
    if first.len() > 3 || first.iter().any(|n| *n > 255) || *last >= room {
        return None;
    }
    let head = first.iter().enumerate().map(|(n, part)| part << (24 - 8 * n)).sum::<u64>();
    Some(Ipv4Addr::from(u32::try_from(head + last).ok()?))
}

/// The addresses of rule V3, as that rule writes them.
const REFUSED: &[(&str, u8)] = &[
    ("169.254.0.0", 16),
    ("fe80::", 10),
    ("fd00:ec2::254", 128),
    ("100.100.100.200", 32),
    ("168.63.129.16", 32),
    ("192.0.0.192", 32),
    ("0.0.0.0", 8),
    ("224.0.0.0", 4),
    ("ff00::", 8),
    ("240.0.0.0", 4),
    ("64:ff9b::", 96),
    ("64:ff9b:1::", 48),
    ("2002::", 16),
    ("2001::", 32),
    ("::ffff:0:0:0", 96),
    ("192.0.2.0", 24),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("198.18.0.0", 15),
    ("2001:db8::", 32),
    ("2001:2::", 48),
    ("3fff::", 20),
];

fn is_within(address: IpAddr, network: &str, length: u8) -> bool {
    match (address, network.parse().unwrap()) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            (a.to_bits() ^ n.to_bits()).checked_shr(32 - u32::from(length)) == Some(0)
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            (a.to_bits() ^ n.to_bits()).checked_shr(128 - u32::from(length)) == Some(0)
        }
        _ => false,
    }
}

fn is_refused(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let compatible = match address {
        IpAddr::V6(v6) => v6.to_bits() >> 32 == 0 && v6 != Ipv6Addr::LOCALHOST,
        IpAddr::V4(_) => false,
    };
    compatible || REFUSED.iter().any(|(network, length)| is_within(address, network, *length))
}

/// Addresses in the odd corners, and all others.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(bits.into()));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()));
    let near = (0..REFUSED.len(), any::<u128>(), 0u32..=128).prop_map(|(n, noise, shift)| {
        let noise = noise.checked_shr(shift).unwrap_or(0);
        match REFUSED[n].0.parse().unwrap() {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() ^ (noise as u32)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() ^ noise).into()),
        }
    });
    prop_oneof![v4, v6, near]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_policy_is_the_rule(address in addresses()) {
        let allowed = Policy::for_endpoint().check(address).is_ok();
        prop_assert_eq!(allowed, !is_refused(address), "{} is {}", address, Class::of(address));
    }

    #[test]
    fn ipv4_inside_ipv6_gains_nothing(bits in any::<u32>()) {
        let inner = Ipv4Addr::from(bits);
        let [a, b] = [bits >> 16, bits & 0xffff];
        let policy = Policy::for_endpoint();
        for mapped in [format!("::ffff:{inner}"), format!("::ffff:{a:x}:{b:x}")] {
            let mapped: IpAddr = mapped.parse().unwrap();
            prop_assert_eq!(Class::of(mapped), Class::of(inner.into()));
        }
        for wrapped in [
            format!("::{}", Ipv4Addr::from(bits | 0x0100_0000)),
            format!("::ffff:0:{inner}"),
            format!("64:ff9b::{inner}"),
            format!("64:ff9b:1::{inner}"),
            format!("2002:{a:x}:{b:x}::1"),
        ] {
            prop_assert!(policy.check(wrapped.parse().unwrap()).is_err(), "{}", wrapped);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_odd_spelling_of_an_address_is_taken(bits in any::<u32>(), forms in any::<[u8; 4]>(), parts in 1usize..=4) {
        let canonical = Ipv4Addr::from(bits).to_string();
        // The last part has all that the parts before it leave.
        let left = 32 - 8 * (parts - 1);
        let mut numbers: Vec<u32> = (0..parts - 1).map(|n| bits >> (24 - 8 * n) & 0xff).collect();
        numbers.push(if left == 32 { bits } else { bits & ((1 << left) - 1) });
        let written: Vec<String> = numbers.iter().zip(forms).map(|(number, form)| match form % 4 {
            0 => number.to_string(),
            1 => format!("{number:#x}"),
            2 => format!("0{number:o}"),
            _ => format!("0X{number:08X}"),
        }).collect();
        let spelling = written.join(".");
        prop_assert_eq!(inet_aton(&spelling), Some(Ipv4Addr::from(bits)), "{}", spelling);
        if spelling != canonical {
            prop_assert_eq!(verdict(&spelling), Verdict::Refused, "{}", spelling);
        }
    }

    #[test]
    fn what_is_taken_for_a_name_is_no_address_to_anybody(text in "[0-9a-fx.]{1,12}|[a-z0-9._-]{1,20}|0[xX][0-9a-fA-F.]{0,10}") {
        if let Verdict::Asked(name) = verdict(&text) {
            prop_assert_eq!(inet_aton(&name), None, "{}", text);
        }
        if let Verdict::Dialled(address) = verdict(&text) {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}
