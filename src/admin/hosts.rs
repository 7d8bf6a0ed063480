//! Under which names the pages answer (delivery-guarantees 8.7).
//!
//! A page in an operator's browser may have a name of its own point to where we listen, and ask us as itself
//! then: no token and no network stops that, only that the request says what it was looking for. So a name
//! has to be one of ours. An address always is: who asks for one was brought here by no name.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::Uri;
use http::Version;
use http::header;
use http::uri::Authority;

use crate::certs::covers;

/// The names that are ours: `localhost`, and those it was made of; a first label may be `*`.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<[String]>);

impl Hosts {
    /// From names as certificates have them.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self(names.into())
    }

    /// Whether a request looks for us, in its target and in its `Host`. HTTP/1.0 needs neither, and no
    /// browser speaks it.
    pub(super) fn allow(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(header::HOST).iter();
        let (host, more) = (lines.next(), lines.next());
        if more.is_some() {
            return false;
        }
        let named = uri.authority().is_some() || host.is_some();
        let host = host.map(|host| Authority::try_from(host.as_bytes()).ok());
        let known = |authority: &Authority| self.include(authority.host());
        uri.authority().is_none_or(known)
            && host.is_none_or(|host| host.as_ref().is_some_and(known))
            && (named || version == Version::HTTP_10)
    }

    fn include(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        // A dot at its end makes a name no other (RFC 1034 §3.1).
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        bare.parse::<IpAddr>().is_ok() || name == "localhost" || covers(&self.0, &name)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn allowed(target: &str, host: Option<&str>) -> bool {
        let hosts = Hosts::new(vec!["admin.example.com".to_owned(), "*.svc".to_owned()]);
        let mut request = Request::builder().uri(target);
        if let Some(host) = host {
            request = request.header("Host", host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        hosts.allow(parts.version, &parts.uri, &parts.headers)
    }

    #[test]
    fn a_name_has_to_be_one_of_ours() {
        for host in [
            "localhost",
            "LOCALHOST:9443",
            "localhost.",
            "127.0.0.1:9443",
            "192.0.2.7",
            "[::1]:9443",
            "admin.example.com",
            "Admin.Example.Com:8443",
            "pushbell.svc",
        ] {
            assert!(allowed("/readyz", Some(host)), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9443",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "2130706433",
            "0x7f.1",
            "a.pushbell.svc",
            "example.com",
            "[::1",
            "local host",
        ] {
            assert!(!allowed("/readyz", Some(host)), "{host}");
        }
    }

    #[test]
    fn the_target_counts_as_well_and_a_browser_names_somebody() {
        assert!(allowed("http://localhost/readyz", Some("localhost")));
        assert!(allowed("https://admin.example.com/readyz", None));
        assert!(!allowed("http://evil.example/readyz", Some("localhost")));
        assert!(!allowed("http://localhost/readyz", Some("evil.example")));
        assert!(!allowed("/readyz", None));
        let (mut old, ()) = Request::builder().uri("/").body(()).unwrap().into_parts();
        old.version = Version::HTTP_10;
        assert!(Hosts::default().allow(old.version, &old.uri, &old.headers));
        old.headers.append("Host", "localhost".parse().unwrap());
        old.headers.append("Host", "localhost".parse().unwrap());
        assert!(!Hosts::default().allow(old.version, &old.uri, &old.headers));
    }
}
