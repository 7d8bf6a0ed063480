//! Where we listen, whom we forward to, whom we tell, and which networks are trusted.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::Uri;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use super::host;
use super::read::Scalar;
use super::read::Wrong;
use super::read::quoted;
use super::source::shown_url;
use super::units::text_schema;

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; port zero is any.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// The registry we stand in front of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// Without TLS.
    Http {
        /// The host, an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// With TLS.
    Https {
        /// The host, an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// Without TLS, through a socket in the file system.
    Unix(PathBuf),
}

/// The addresses that share so many leading bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// An endpoint's URL, `https` or `http`. Such a URL can be a secret, so it prints in part only.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

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

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Http { host, port } => ("http", host, port),
            Self::Https { host, port } => ("https", host, port),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl Url {
    /// The whole of it, for whoever sends there.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

/// Scheme, host and the first segment of the path (delivery guarantees, 8.9).
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_url(&self.0.to_string()))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Network {
    /// Whether the address is one of them; an IPv4 address inside an IPv6 one counts as itself.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let ((network, width), (address, other)) =
            (bits(self.address), bits(address.to_canonical()));
        let differing = (network ^ address).leading_zeros();
        width == other && differing >= u32::from(self.prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
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

impl Scalar for Upstream {
    const EXPECTED: &'static str =
        "`http://127.0.0.1:5000`, `https://registry.example.com` or `unix:/run/registry.sock`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path.strip_prefix("//").unwrap_or(path)).map(Self::Unix);
        }
        let url = Parts::of(text, Self::EXPECTED)?;
        if !matches!(url.rest, "" | "/") {
            let message = format!("{} has more than a host and a port", quoted(&shown_url(text)));
            let remedy = format!("requests go through with their own path: write `{}`", url.base());
            return Err(Wrong::new(message, remedy));
        }
        match url.https {
            true => Ok(Self::Https { host: url.host, port: url.port.unwrap_or(443) }),
            false => Ok(Self::Http { host: url.host, port: url.port.unwrap_or(80) }),
        }
    }
}

impl Scalar for Url {
    const EXPECTED: &'static str = "a URL such as `https://build.example.com/hook`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let parts = Parts::of(text, Self::EXPECTED)?;
        let rest = if parts.rest.starts_with('/') {
            parts.rest.to_owned()
        } else {
            format!("/{}", parts.rest)
        };
        let uri = format!("{}{rest}", parts.base()).parse();
        uri.map(Self).map_err(|_| {
            let message = format!("{} is no URL", quoted(&shown_url(text)));
            Wrong::new(message, "percent-encode what is no letter or digit in the path")
        })
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

fn unix(path: &str) -> Result<PathBuf, Wrong> {
    // `sun_path` holds 108 bytes, the final zero included.
    if path.is_empty() || path.len() > 107 {
        let message = format!("{} is no path of a socket", quoted(path));
        return Err(Wrong::new(message, "write 1 to 107 bytes: `unix:/run/pushbell.sock`"));
    }
    Ok(PathBuf::from(path))
}

text_schema! {
    Address: { "type": "string", "examples": ["0.0.0.0:5443", "[::1]:5443", "unix:/run/pushbell.sock"] },
    Upstream: { "type": "string", "pattern": "^(https?://|unix:)" },
    Network: { "type": "string", "examples": ["10.0.0.0/8"] },
    Url: { "type": "string", "pattern": "^https?://" },
}

/// A URL taken apart; `rest` is the path and the query.
struct Parts<'t> {
    https: bool,
    host: String,
    port: Option<u16>,
    rest: &'t str,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str, expected: &str) -> Result<Self, Wrong> {
        let shown = quoted(&shown_url(text));
        let wrong = |message: String, remedy: &str| Err(Wrong::new(message, remedy));
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            let message = format!("{shown} holds a space, a `\\` or a control character");
            return wrong(message, "percent-encode it");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong(format!("{shown} has no scheme"), &format!("write {expected}"));
        };
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => {
                return wrong(
                    format!("we do not speak {}", quoted(scheme)),
                    &format!("write {expected}"),
                );
            }
        };
        if rest.contains('#') {
            let message = format!("{shown} has a fragment, which is never sent");
            return wrong(message, "leave out the `#` and what follows");
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            let message = format!("{shown} names a user");
            return wrong(
                message,
                "leave out what stands before the `@`: a secret never stands in a URL",
            );
        }
        let inside = |wrong: Wrong| Wrong::new(format!("{shown}: {}", wrong.message), wrong.remedy);
        let (host, port) = host::split_port(authority).map_err(inside)?;
        if port == Some(0) {
            return wrong(format!("{shown} has port 0"), "write the port, or leave it out");
        }
        let host = host::check(host).map_err(inside)?;
        Ok(Self { https, host, port, rest })
    }

    fn base(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        self.port.map_or(format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
    }
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
    fn upstreams() {
        for (text, shown) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("HTTPS://R.example.com/", "https://r.example.com:443"),
            ("http://[::1]", "http://[::1]:80"),
            ("unix:/run/r.sock", "unix:/run/r.sock"),
            ("unix:///run/r.sock", "unix:/run/r.sock"),
        ] {
            assert_eq!(Upstream::parse(text).unwrap().to_string(), shown);
        }
        for (text, remedy) in [
            ("127.0.0.1:5000", "`http://127.0.0.1:5000`"),
            ("ftp://x", "`http://127.0.0.1:5000`"),
            ("http://h/v2/", "`http://h`"),
            ("http://h?x", "`http://h`"),
            ("http://u:hunter2@h", "before the `@`"),
            ("http://2130706433", "127.0.0.1"),
            ("http://", "build.example.com"),
            ("http://h:0", "port"),
            ("http://h#f", "fragment"),
            ("http://h x", "percent-encode"),
        ] {
            let wrong = Upstream::parse(text).unwrap_err();
            let all = format!("{wrong:?}");
            assert!(all.contains(remedy) && !all.contains("hunter2"), "{text}: {all}");
        }
    }

    #[test]
    fn urls_of_endpoints() {
        for (text, shown) in [
            ("https://Build.example.com", "https://build.example.com/"),
            ("https://h:8443/a/b?c=d%20e", "https://h:8443/a/b?c=d%20e"),
            ("https://h?c=d", "https://h/?c=d"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
        ] {
            assert_eq!(Url::parse(text).unwrap().0.to_string(), shown);
        }
        for bad in [
            "build.example.com/hook",
            "https:/h",
            "https://",
            "https://u@h/",
            "https://h/a b",
            "https://h/\\x",
            "https://127.1/x",
            "https://h/\u{7f}",
            "https://h/#x",
            "https://[::1/",
            "https://h/<x>",
            "javascript:alert(1)",
            "https://bücher/",
            "https://h:x/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
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
