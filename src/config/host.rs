//! Hosts, and the name clients type.
//!
//! Delivery guarantees, V5: an IPv4 address has one spelling here. `0177.1`, `0x7f000001` and
//! `2130706433` are all 127.0.0.1 to some resolver and a name to another, so they are refused.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use crate::registry::RepositoryKey;

use super::read::Scalar;
use super::read::Wrong;
use super::read::quoted;
use super::schema::text_schema;

/// The registry as clients type it: `registry.example.com`, `localhost:5443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    host: String,
    port: Option<u16>,
}

/// A name or an address that a certificate is for; the first label can be `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered(pub(super) String);

text_schema! {
    RepositoryKey: { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
    Name: { "type": "string", "examples": ["registry.example.com", "localhost:5443"] },
    Covered: { "type": "string", "examples": ["registry.example.com", "127.0.0.1"] },
}

impl Name {
    pub(super) fn new(host: &str, port: Option<u16>) -> Self {
        Self { host: host.to_owned(), port: port.filter(|port| *port != 443) }
    }

    /// The host in lower case; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, unless it is the one of HTTPS. Zero stands for one that is known once the listener is
    /// bound: see [`Name::bound`].
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The name once a listener that asked for any port got one.
    #[must_use]
    pub fn bound(&self, port: u16) -> Self {
        match self.port {
            Some(0) => Self::new(&self.host, Some(port)),
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Scalar for Name {
    const EXPECTED: &'static str = "a name such as `registry.example.com` or `localhost:5443`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let what = || format!("{} is no name of a registry", quoted(text));
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split('/').next().unwrap_or_default();
            return Err(Wrong::new(what(), format!("leave the scheme out: {}", quoted(host))));
        }
        if let Some((host, _)) = text.split_once('/') {
            return Err(Wrong::new(what(), format!("leave the path out: {}", quoted(host))));
        }
        let (host, port) = split_port(text)
            .map_err(|wrong| Wrong::new(format!("{}: {}", what(), wrong.message), wrong.remedy))?;
        if port == Some(0) {
            return Err(Wrong::new(what(), "write the port that clients connect to"));
        }
        let host = check(host)?;
        if host.contains('_') {
            let remedy = "use a name of letters, digits, `-` and `.`";
            return Err(Wrong::new(format!("{}: clients take no `_` in it", what()), remedy));
        }
        // `docker pull team/app` and `docker pull registry/team/app` are both repositories of Docker
        // Hub: only a dot, a port or `localhost` makes the first component a host.
        if port.is_none() && !host.contains(['.', ':']) && host != "localhost" {
            let message = format!("clients would look for {} at Docker Hub", quoted(text));
            let remedy = format!("write the port, `{host}:5443`, or a name with a domain");
            return Err(Wrong::new(message, remedy));
        }
        Ok(Self::new(&host, port))
    }
}

impl Scalar for RepositoryKey {
    const EXPECTED: &'static str = "a repository key such as `docker-local`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let known = Some(text).filter(|text| text.len() <= 64 && text.bytes().all(plain));
        known.and_then(|text| text.parse().ok()).ok_or_else(|| {
            let message = format!("{} is no key of a repository", quoted(text));
            Wrong::new(
                message,
                "use up to 64 letters, digits, `.`, `_` and `-`, as Artifactory does",
            )
        })
    }
}

impl Scalar for Covered {
    const EXPECTED: &'static str = "a host name or an address such as `127.0.0.1`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        let (star, rest) = match text.strip_prefix("*.") {
            Some(rest) => ("*.", rest),
            None => ("", text),
        };
        if let Ok((host, Some(_))) = split_port(rest) {
            let message = format!("{}: certificates are not for ports", quoted(text));
            return Err(Wrong::new(message, format!("write `{star}{host}`")));
        }
        check(rest).map(|host| Self(format!("{star}{host}")))
    }
}

/// Takes `host:port` or `[address]:port` apart.
pub(super) fn split_port(text: &str) -> Result<(&str, Option<u16>), Wrong> {
    let end = match text.starts_with('[') {
        true => text.find(']').map_or(text.len(), |bracket| bracket + 1),
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    let Some(port) = rest.strip_prefix(':') else {
        return match rest {
            "" => Ok((host, None)),
            _ => Err(Wrong::new("something follows the address", "write `[::1]:5443`")),
        };
    };
    if port.contains(':') {
        let remedy = "put brackets around an IPv6 address: `[::1]:5443`";
        return Err(Wrong::new("there is more than one `:`", remedy));
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits => Ok((host, Some(port))),
        _ => {
            Err(Wrong::new(format!("{} is no port", quoted(port)), "write a number up to `65535`"))
        }
    }
}

/// A host in lower case, without brackets.
pub(super) fn check(host: &str) -> Result<String, Wrong> {
    let what = || format!("{} is no host", quoted(host));
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Result<Ipv6Addr, _> = inner.parse();
        let remedy = "write an IPv6 address such as `[::1]`, without a zone";
        return address.map(|a| a.to_string()).map_err(|_| Wrong::new(what(), remedy));
    }
    if !host.is_ascii() {
        let remedy = "write the form that DNS uses, which starts with `xn--`";
        return Err(Wrong::new(format!("{}: it has letters outside ASCII", what()), remedy));
    }
    let host = host.to_ascii_lowercase();
    if is_numeric(&host) {
        return match host.parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(Wrong::new(
                format!("{}: different programs read different addresses from it", what()),
                "write four decimal numbers without leading zeros, such as `127.0.0.1`",
            )),
        };
    }
    if host.len() > 253 || !host.split('.').all(is_label) {
        let remedy = "write a name such as `build.example.com`, or an address";
        return Err(Wrong::new(what(), remedy));
    }
    Ok(host)
}

/// Whether some program would read an IPv4 address: the last part is a number in any notation
/// (WHATWG URL, "ends in a number").
fn is_numeric(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").map(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hex.unwrap_or(!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

/// `_` is no letter of a host name, but Compose services are called so.
fn is_label(label: &str) -> bool {
    let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    letters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

/// Whether a certificate for these names would serve the host.
pub(super) fn covered(host: &str, names: &[String]) -> bool {
    let address = host.parse::<IpAddr>().ok();
    names.iter().any(|name| match (address, name.strip_prefix("*.")) {
        (Some(address), _) => name.parse::<IpAddr>().is_ok_and(|name| name == address),
        (None, Some(domain)) => {
            host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == domain)
        }
        (None, None) => name == host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for bad in [
            "2130706433",
            "0177.0.0.1",
            "127.1",
            "0x7f000001",
            "0x7f.0.0.1",
            "127.0.0.0x1",
            "0x",
            "127.0.0.1.",
            "1.2.3.4.5",
            "256.1.1.1",
            "127.0.0.01",
            "a.0x1",
            "1",
            "a.1",
        ] {
            let wrong = check(bad).unwrap_err();
            assert!(wrong.remedy.contains("127.0.0.1"), "{bad}: {wrong:?}");
        }
        for (good, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("[0:0::1]", "::1"),
            ("Build.Example.COM", "build.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("build_service", "build_service"),
            ("1a.b2", "1a.b2"),
        ] {
            assert_eq!(check(good).unwrap(), host);
        }
        for bad in
            ["", "a..b", "-a", "a-", "bücher.example", "a b", "a%2eb", "[::1", "[fe80::1%1]", "a."]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_registries() {
        for (text, host, port, shown) in [
            ("registry.example.com", "registry.example.com", None, "registry.example.com"),
            ("Registry.example.com:443", "registry.example.com", None, "registry.example.com"),
            ("localhost:5443", "localhost", Some(5443), "localhost:5443"),
            ("localhost", "localhost", None, "localhost"),
            ("registry:5000", "registry", Some(5000), "registry:5000"),
            ("[::1]:5000", "::1", Some(5000), "[::1]:5000"),
        ] {
            let name = Name::parse(text).unwrap();
            assert_eq!((name.host(), name.port()), (host, port), "{text}");
            assert_eq!(name.to_string(), shown);
        }
        for (text, remedy) in [
            ("https://r.example.com/v2/", "`r.example.com`"),
            ("r.example.com/team", "`r.example.com`"),
            ("registry", "`registry:5443`"),
            ("r.example.com:0", "clients connect to"),
            ("r.example.com:x", "65535"),
            ("r.example.com:65536", "65535"),
            ("r.example.com:+1", "65535"),
            ("::1", "brackets"),
            ("[::1]x", "`[::1]:5443`"),
            ("a_b.example.com", "letters"),
            ("127.1:5000", "`127.0.0.1`"),
        ] {
            let wrong = Name::parse(text).unwrap_err();
            assert!(wrong.remedy.contains(remedy), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn a_bound_port_replaces_zero_only() {
        assert_eq!(Name::new("localhost", Some(0)).bound(77).to_string(), "localhost:77");
        assert_eq!(Name::new("localhost", Some(1)).bound(77).to_string(), "localhost:1");
    }

    #[test]
    fn names_cover_hosts() {
        let names = ["a.example".to_owned(), "*.b.example".to_owned(), "::1".to_owned()];
        for (host, expected) in [
            ("a.example", true),
            ("x.b.example", true),
            ("b.example", false),
            ("x.y.b.example", false),
            ("::1", true),
            ("127.0.0.1", false),
        ] {
            assert_eq!(covered(host, &names), expected, "{host}");
        }
    }
}
