//! A `Location` the client can follow. Pure.
//!
//! One that names the registry by an address of its own is given the scheme and host that the client
//! knows; path and query stay byte for byte, because they carry the registry's own signed state. Every
//! other one stays as it is: a path alone, and above all another host, such as the storage's.

use std::net::Ipv6Addr;

/// What the registry and we are called.
pub(super) struct Names<'a> {
    /// `host:port` of the registry as we reach it; nothing for a unix socket.
    pub(super) upstream: Option<&'a str>,
    /// The host the client asked for, with its port unless that is the scheme's own. It was handed on as
    /// `Host`, and a registry that overlooks `X-Forwarded-Proto` answers it with `http`.
    pub(super) asked: &'a str,
    /// The scheme the client speaks.
    pub(super) scheme: &'a str,
}

/// The ports that a URL need not name.
const DEFAULTS: [(&str, u16); 2] = [("http", 80), ("https", 443)];

impl Names<'_> {
    /// What the client is told instead, if it has to be.
    pub(super) fn usable(&self, location: &[u8]) -> Option<Vec<u8>> {
        let (scheme, after) = match location {
            [b'/', b'/', after @ ..] => (None, after),
            _ => {
                let at = location.windows(3).position(|window| window == b"://")?;
                let scheme = std::str::from_utf8(location.get(..at)?).ok()?;
                (Some(scheme), location.get(at + 3..)?)
            }
        };
        let end = after.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\'));
        let (authority, rest) = after.split_at(end.unwrap_or(after.len()));
        let authority = std::str::from_utf8(authority).ok()?;
        // What has no scheme takes the one it was asked by, which is the client's.
        let spoken = scheme.unwrap_or(self.scheme);
        let known = DEFAULTS.iter().any(|(known, _)| known.eq_ignore_ascii_case(spoken));
        if !known || !self.is_own(authority, spoken) {
            return None;
        }
        let kept = spoken.eq_ignore_ascii_case(self.scheme)
            && Host::of(authority, spoken) == Host::of(self.asked, self.scheme);
        if kept {
            return None;
        }
        let mut usable = match scheme {
            Some(_) => format!("{}://{}", self.scheme, self.asked),
            None => format!("//{}", self.asked),
        }
        .into_bytes();
        usable.extend_from_slice(rest);
        Some(usable)
    }

    fn is_own(&self, authority: &str, scheme: &str) -> bool {
        let named = Host::of(authority, scheme);
        let is_upstream = self.upstream.is_some_and(|upstream| {
            let upstream = Host::of(upstream, scheme);
            // A registry that does not know whether it is spoken to over TLS takes the wrong default.
            let either = !named.explicit && DEFAULTS.iter().any(|(_, port)| *port == upstream.port);
            named.host == upstream.host && (named.port == upstream.port || either)
        });
        is_upstream
            || authority.eq_ignore_ascii_case(self.asked)
            || named == Host::of(self.asked, self.scheme)
    }
}

/// An authority taken apart, so that all its spellings are one.
struct Host {
    host: String,
    port: u16,
    explicit: bool,
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

impl Host {
    fn of(authority: &str, scheme: &str) -> Self {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (authority, None),
        };
        let default = DEFAULTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme));
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match inner.and_then(|inner| inner.parse::<Ipv6Addr>().ok()) {
            Some(address) => address.to_string(),
            None => host.to_ascii_lowercase(),
        };
        Self {
            host,
            port: port.unwrap_or(default.map_or(0, |(_, port)| *port)),
            explicit: port.is_some(),
        }
    }
}

/// The port of an authority, named or not.
pub(super) fn port_of(authority: &str, scheme: &str) -> u16 {
    Host::of(authority, scheme).port
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a location, for a client that asked `https://r:5443`.
    fn usable(upstream: Option<&str>, location: &str) -> Option<String> {
        let names = Names { upstream, asked: "r:5443", scheme: "https" };
        names.usable(location.as_bytes()).map(|usable| String::from_utf8(usable).unwrap())
    }

    #[test]
    fn a_location_is_rewritten_only_when_it_is_the_registrys_own() {
        let upstream = Some("127.0.0.1:5000");
        for (location, expected) in [
            ("http://127.0.0.1:5000/v2/a?_state=a%2Fb", "https://r:5443/v2/a?_state=a%2Fb"),
            ("http://127.0.0.1:5000", "https://r:5443"),
            ("http://127.0.0.1:5000?a", "https://r:5443?a"),
            ("http://127.0.0.1:5000#a", "https://r:5443#a"),
            ("HTTP://127.0.0.1:5000/%2e%2E//x?a=<b> c", "https://r:5443/%2e%2E//x?a=<b> c"),
            ("https://127.0.0.1:5000/v2/a", "https://r:5443/v2/a"),
            ("http://r:5443/v2/a", "https://r:5443/v2/a"),
            ("http://R:5443/v2/a", "https://r:5443/v2/a"),
            ("//127.0.0.1:5000/v2/a", "//r:5443/v2/a"),
        ] {
            assert_eq!(usable(upstream, location).as_deref(), Some(expected), "{location}");
        }
        for location in [
            "/v2/a/blobs/uploads/1?_state=x",
            "v2/a",
            "?a",
            "",
            "..",
            "/v2/a?back=http://127.0.0.1:5000/",
            "https://r:5443/v2/a",
            "https://R:5443/v2/a",
            "//r:5443/v2/a",
            "https://storage.example/b?X-Amz=1",
            "http://127.0.0.1:5001/v2/",
            "http://127.0.0.1/v2/",
            "http://127.0.0.1.example:5000/v2/",
            "http://127.0.0.1:5000.example/v2/",
            "http://127.0.0.1:5000@evil.example/v2/",
            "http://user@127.0.0.1:5000/v2/",
            "ftp://127.0.0.1:5000/v2/",
            "http:/127.0.0.1:5000/",
            "http://",
            "//",
        ] {
            assert_eq!(usable(upstream, location), None, "{location}");
        }
    }

    #[test]
    fn every_spelling_of_the_registry_is_the_registry() {
        for (upstream, location) in [
            ("reg:80", "http://reg/v2/"),
            ("reg:80", "http://REG:80/v2/"),
            ("reg:80", "https://reg/v2/"),
            ("reg:443", "https://Reg/v2/"),
            ("reg:443", "http://reg/v2/"),
            ("reg:443", "http://reg:443/v2/"),
            ("[::1]:5000", "http://[::1]:5000/v2/"),
            ("[::1]:5000", "http://[0:0:0:0:0:0:0:1]:5000/v2/"),
            ("[2001:db8::A]:80", "http://[2001:DB8:0::a]/v2/"),
        ] {
            let found = usable(Some(upstream), location);
            assert_eq!(found.as_deref(), Some("https://r:5443/v2/"), "{upstream} {location}");
        }
        for (upstream, location) in [
            ("[::1]:5000", "http://[::2]:5000/v2/"),
            ("[::1]:5000", "http://[::1]/v2/"),
            ("reg:8080", "http://reg/v2/"),
            ("reg:80", "http://reg:443/v2/"),
        ] {
            assert_eq!(usable(Some(upstream), location), None, "{upstream} {location}");
        }
    }

    #[test]
    fn behind_a_socket_only_our_own_name_is_the_registry() {
        assert_eq!(usable(None, "http://r:5443/v2/").as_deref(), Some("https://r:5443/v2/"));
        assert_eq!(usable(None, "http://127.0.0.1:5000/v2/"), None);
    }

    #[test]
    fn a_default_port_may_be_named_or_not() {
        let names = Names { upstream: None, asked: "r.example", scheme: "https" };
        let usable = |location: &str| names.usable(location.as_bytes());
        assert_eq!(usable("https://r.example:443/v2/"), None);
        assert_eq!(usable("http://r.example/v2/"), Some(b"https://r.example/v2/".to_vec()));
        assert_eq!(usable("http://r.example:443/v2/"), Some(b"https://r.example/v2/".to_vec()));
        // Another server than ours, for all we know.
        assert_eq!(usable("http://r.example:80/v2/"), None);
        assert_eq!(port_of("r.example", "https"), 443);
        assert_eq!(port_of("[::1]", "http"), 80);
        assert_eq!(port_of("[::1]:7", "http"), 7);
    }

    #[test]
    fn bytes_that_are_no_text_pass_as_they_are() {
        let names = Names { upstream: Some("reg:5000"), asked: "r", scheme: "https" };
        let usable = names.usable(b"http://reg:5000/\xff\xfe?\x80");
        assert_eq!(usable, Some(b"https://r/\xff\xfe?\x80".to_vec()));
        assert_eq!(names.usable(b"http://\xff:5000/"), None);
    }
}
