//! Where we listen, and which networks are trusted.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use crate::listener::Network;

use super::read::Scalar;
use super::read::Wrong;
use super::read::quoted;
use super::schema::text_schema;

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; port zero is any.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Scalar for Address {
    const EXPECTED: &'static str =
        "an address such as `0.0.0.0:5443`, `[::1]:5443` or `unix:/run/pushbell.sock`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map(Self::Unix);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let what = format!("{} is no address to listen on", quoted(text));
        let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let remedy = match text.rsplit_once(':') {
            Some(("", port)) if digits(port) => {
                format!("write `127.0.0.1:{port}` for this machine only, `[::]:{port}` for all")
            }
            Some(("localhost", port)) if digits(port) => {
                format!("write the address itself: `127.0.0.1:{port}` or `[::1]:{port}`")
            }
            Some((host, port)) if digits(port) && host.parse::<Ipv6Addr>().is_ok() => {
                format!("put brackets around the address: `[{host}]:{port}`")
            }
            None if text.parse::<IpAddr>().is_ok() => "write the port as well: `…:5443`".to_owned(),
            _ => format!("write {}", Self::EXPECTED),
        };
        Err(Wrong::new(what, remedy))
    }
}

impl Scalar for Network {
    const EXPECTED: &'static str = "a network such as `10.0.0.0/8`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let what = || format!("{} is no network", quoted(text));
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(Wrong::new(what(), format!("write {}", Self::EXPECTED)));
        };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix.map(str::parse::<u8>) {
            None => width,
            Some(Ok(prefix)) if prefix <= width => prefix,
            Some(_) => return Err(Wrong::new(what(), format!("write at most `/{width}`"))),
        };
        let network = Self { address, prefix };
        let first = network.first();
        if first != address {
            let message = format!("{}: the address has bits behind the prefix", what());
            return Err(Wrong::new(message, format!("write `{first}/{prefix}`")));
        }
        Ok(network)
    }
}

impl Network {
    fn first(&self) -> IpAddr {
        let zeros = |width: u32| width - u32::from(self.prefix);
        match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(zeros(32)).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(zeros(128)).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        }
    }
}

text_schema! {
    Address: { "type": "string", "examples": ["0.0.0.0:5443", "[::1]:5443", "unix:/run/pushbell.sock"] },
    Network: { "type": "string", "examples": ["10.0.0.0/8"] },
}

/// The path of a socket.
pub(super) fn unix(path: &str) -> Result<PathBuf, Wrong> {
    // `sun_path` holds 108 bytes, the final zero included.
    if path.is_empty() || path.len() > 107 {
        let message = format!("{} is no path of a socket", quoted(path));
        return Err(Wrong::new(message, "write 1 to 107 bytes: `unix:/run/pushbell.sock`"));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, local) in [
            ("127.0.0.1:5443", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:5443", false),
            ("[::]:5443", false),
            ("unix:/run/x.sock", true),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.is_local(), local, "{text}");
            assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
        for (text, remedy) in [
            (":5443", "`[::]:5443`"),
            ("localhost:5443", "`127.0.0.1:5443`"),
            ("::1:5443", "brackets"),
            ("127.0.0.1", "port"),
            ("5443", "an address such as"),
            ("127.0.0.1:99999", "an address such as"),
            ("unix:", "bytes"),
            ("", "an address such as"),
        ] {
            let wrong = Address::parse(text).unwrap_err();
            assert!(wrong.remedy.contains(remedy), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn networks() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("fd00::/8", "fd12::1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
        for (bad, remedy) in [
            ("10.0.0.1/8", "`10.0.0.0/8`"),
            ("10.0.0.0/33", "`/32`"),
            ("10.0.0.0/x", "`/32`"),
            ("::1/64", "`::/64`"),
            ("x", "`10.0.0.0/8`"),
        ] {
            assert!(Network::parse(bad).unwrap_err().remedy.contains(remedy), "{bad}");
        }
    }
}
