//! Which headers pass, which are ours to set, and which a client may not choose. Pure.
//!
//! Rule numbers are those of the framing table: H8, H10 and H14 for what is dropped; RFC 9110 §7.6 for what
//! belongs to one hop only.

use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use http::request::Parts;

use crate::listener::Network;
use crate::listener::Peer;
use crate::listener::Transport;

use super::forwarded::Reached;
use super::forwarded::Told;
use super::forwarded::X_FORWARDED_FOR;
use super::forwarded::X_FORWARDED_HOST;
use super::forwarded::X_FORWARDED_PORT;
use super::forwarded::X_FORWARDED_PROTO;
use super::location;
use super::location::Names;

/// Headers by which a proxy in front would speak; from anybody else they are lies.
const FORWARDING: [&str; 9] = [
    "forwarded",
    "x-real-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-jfrog-override-base-url",
    "x-artifactory-override-base-url",
];

/// The base of every URL that Artifactory 7 makes.
const X_JFROG_OVERRIDE_BASE_URL: HeaderName = HeaderName::from_static("x-jfrog-override-base-url");

/// Headers that `Connection` may not take away from the registry (CVE-2022-31813, CVE-2021-33197).
const PROTECTED: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    // Without it the registry would take the coded bytes for the manifest.
    header::CONTENT_ENCODING,
    header::RANGE,
    header::CONTENT_RANGE,
];

/// Who is on the other side, and whether its word about the client counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    /// The client's address, behind trusted proxies if there are any.
    pub(super) address: Option<IpAddr>,
    /// The peer's own address.
    pub(super) peer: Option<IpAddr>,
    pub(super) trust: Trust,
    pub(super) transport: Transport,
    /// How a trusted proxy in front says that the client reached it.
    pub(super) reached: Reached,
}

/// Whether the peer is one of `trusted_proxies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Stranger,
    Proxy,
}

impl Client {
    /// Reads who the client is from the connection and, behind a trusted proxy, from its header.
    pub(super) fn of(peer: &Peer, trusted: &[Network], headers: &HeaderMap) -> Self {
        let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let trust = match peer.address {
            Some(address) if trusts(address) => Trust::Proxy,
            _ => Trust::Stranger,
        };
        let reached = match trust {
            Trust::Proxy => Reached::read(headers),
            Trust::Stranger => Reached::default(),
        };
        // Each proxy appends the peer it saw: from the right, the first that is no proxy of ours is the
        // client, and everything to the left of it is the client's own invention.
        let client = reached.hops.iter().rev().find(|hop| !trusts(**hop));
        let address = client.or(reached.hops.first()).copied().or(peer.address);
        Self { address, peer: peer.address, trust, transport: peer.transport, reached }
    }

    /// The host the client asked for, of us or of the proxy in front of us.
    fn host<'a>(&'a self, asked: &'a HeaderValue) -> &'a str {
        self.reached.host.as_deref().or(asked.to_str().ok()).unwrap_or_default()
    }

    /// The scheme the client speaks, to us or to the proxy in front of us.
    fn scheme(&self) -> &'static str {
        self.reached.scheme.unwrap_or(match self.transport {
            Transport::Plain => "http",
            Transport::Tls => "https",
        })
    }
}

/// The host the client asked for: what the registry should believe itself to be called.
pub(super) fn authority(parts: &Parts, registry: &str) -> HeaderValue {
    let text = |text: &str| HeaderValue::from_str(text).ok();
    let named = match parts.uri.authority() {
        Some(authority) => text(authority.as_str()),
        None => parts.headers.get(header::HOST).filter(|host| host.to_str().is_ok()).cloned(),
    };
    // A name that no header can have was never one.
    named.or_else(|| text(registry)).unwrap_or(HeaderValue::from_static("localhost"))
}

/// Makes a client's headers those of the request we make of it, and says how many were left out for their
/// names (H14). `peer` is the line that tells the client's address.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    client: &Client,
    authority: &HeaderValue,
    peer: Option<&HeaderValue>,
) -> u64 {
    let named = connection_names(headers);
    let passes = |name: &HeaderName| {
        !is_ambiguous(name)
            && !is_hop_by_hop(name)
            && !named.contains(name)
            && !matches!(*name, header::EXPECT | header::CONTENT_LENGTH)
            && !may_not_choose(name, client.trust)
            // Another dialect than the one that counts.
            && (*name != header::FORWARDED || client.reached.told != Told::Separately)
    };
    let mut dropped = 0;
    // Most have nothing to lose, and taking one out of a map moves others.
    if !headers.keys().all(passes) {
        dropped = headers.iter().filter(|(name, _)| is_ambiguous(name)).count() as u64;
        let mut rest = HeaderMap::with_capacity(headers.len() + 4);
        let passing = headers.iter().filter(|(name, _)| passes(name));
        passing.for_each(|(name, value)| {
            rest.append(name, value.clone());
        });
        *headers = rest;
    }
    join_cookies(headers);
    headers.insert(header::HOST, authority.clone());
    forward(headers, client, authority, peer);
    dropped
}

/// Says how the client reached us, or the proxies in front of us, in the words that registries read:
/// Distribution, Harbor and Gitea build URLs of scheme and host, Artifactory also of the port. None reads
/// `Forwarded` alone, and Distribution would prefer it to the others, so we write none of our own.
fn forward(
    headers: &mut HeaderMap,
    client: &Client,
    authority: &HeaderValue,
    peer: Option<&HeaderValue>,
) {
    let port = location::port_of(client.host(authority), client.scheme());
    let told = client.reached.host.as_deref();
    for (name, value) in [
        (X_FORWARDED_HOST, told.map_or(Some(authority.clone()), |h| HeaderValue::from_str(h).ok())),
        (X_FORWARDED_PROTO, Some(HeaderValue::from_static(client.scheme()))),
        (X_FORWARDED_PORT, Some(HeaderValue::from(port))),
    ] {
        // A stranger's were left out, so what is there is a trusted proxy's.
        if let Some(value) = value.filter(|_| !headers.contains_key(&name)) {
            headers.insert(name, value);
        }
    }
    let told = match client.reached.told {
        Told::Together => client.reached.hops.as_slice(),
        _ => &[],
    };
    for hop in told {
        if let Ok(hop) = HeaderValue::from_str(&hop.to_string()) {
            headers.append(X_FORWARDED_FOR, hop);
        }
    }
    if let Some(peer) = peer {
        headers.append(X_FORWARDED_FOR, peer.clone());
    }
}

/// Tells Artifactory the base of the URLs it makes, as its own reverse proxies do.
pub(super) fn name_base_url(headers: &mut HeaderMap, client: &Client, authority: &HeaderValue) {
    let base = format!("{}://{}", client.scheme(), client.host(authority));
    let base = HeaderValue::try_from(base).ok();
    if let Some(base) = base.filter(|_| !headers.contains_key(&X_JFROG_OVERRIDE_BASE_URL)) {
        headers.insert(X_JFROG_OVERRIDE_BASE_URL, base);
    }
}

/// HTTP/2 may cut a cookie header into pieces, HTTP/1.1 may not have it twice (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() < 2 {
        return;
    }
    if let Ok(mut whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        whole.set_sensitive(true);
        headers.insert(header::COOKIE, whole);
    }
}

/// Makes the registry's headers fit for the client: this hop's are dropped, and a `Location` that names
/// the registry by the address we reach it at becomes one the client can reach.
pub(super) fn to_client(
    headers: &mut HeaderMap,
    upstream: Option<&str>,
    asked: &HeaderValue,
    client: &Client,
) {
    frame_once(headers);
    for name in connection_names(headers) {
        if !PROTECTED.contains(&name) {
            headers.remove(name);
        }
    }
    if headers.keys().any(is_hop_by_hop) {
        let named: Vec<HeaderName> = headers.keys().filter(|n| is_hop_by_hop(n)).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
    let Some(location) = headers.get(header::LOCATION) else {
        return;
    };
    let names = Names { upstream, asked: client.host(asked), scheme: client.scheme() };
    let usable = names.usable(location.as_bytes());
    if let Some(value) = usable.and_then(|l| HeaderValue::from_maybe_shared(Bytes::from(l)).ok()) {
        headers.insert(header::LOCATION, value);
    }
}

/// The body is what the chunks were, whatever a length beside them says; equal lengths are one (RFC 9112
/// §6.3). hyper has read the body by these rules, and leaves the lines as they were.
fn frame_once(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
        return;
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return;
    };
    let element = length.as_bytes().split(|b| *b == b',').next().unwrap_or_default().trim_ascii();
    if lengths.next().is_none() && element.len() == length.len() {
        return;
    }
    if let Ok(element) = HeaderValue::from_bytes(element) {
        headers.insert(header::CONTENT_LENGTH, element);
    }
}

/// Whether `Connection` may not take this header away from the registry (H8).
pub(super) fn is_protected(name: &HeaderName) -> bool {
    PROTECTED.contains(name) || is_forwarding(name.as_str())
}

fn may_not_choose(name: &HeaderName, trust: Trust) -> bool {
    let name = name.as_str();
    // `Proxy` became an environment variable in CGI (CVE-2016-5385).
    if name == "proxy" || name.starts_with("proxy-") {
        return true;
    }
    trust == Trust::Stranger && is_forwarding(name)
}

fn is_forwarding(name: &str) -> bool {
    FORWARDING.contains(&name) || name.starts_with("x-forwarded-")
}

/// Some servers read `X_Forwarded_For` as `X-Forwarded-For` (H14).
fn is_ambiguous(name: &HeaderName) -> bool {
    name.as_str().contains('_')
}

/// Headers that belong to one hop (RFC 9110 §7.6.1), whether `Connection` names them or not.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// The headers that all `Connection` lines together name.
pub(super) fn connection_names(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/v2/").header("Host", "r.example:5443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        parts(request)
    }

    fn rewritten(parts: &Parts, client: &Client, authority: &'static str) -> (HeaderMap, u64) {
        let mut headers = parts.headers.clone();
        let peer = client.peer.map(|peer| HeaderValue::from_str(&peer.to_string()).unwrap());
        let authority = HeaderValue::from_static(authority);
        let dropped = to_upstream(&mut headers, client, &authority, peer.as_ref());
        (headers, dropped)
    }

    fn stranger() -> Client {
        let address = Some("192.0.2.9".parse().unwrap());
        let transport = Transport::Tls;
        let reached = Reached::default();
        Client { address, peer: address, trust: Trust::Stranger, transport, reached }
    }

    #[test]
    fn this_hops_headers_and_lies_do_not_reach_the_registry() {
        let request = request(&[
            ("Connection", "keep-alive, x-own"),
            ("X-Own", "1"),
            ("Keep-Alive", "5"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Forwarded-Host", "evil.example"),
            ("X_Forwarded_For", "10.0.0.1"),
            ("X-HTTP-Method-Override", "PUT"),
            ("Proxy-Authorization", "x"),
            ("Accept", "a"),
            ("Authorization", "Basic x"),
        ]);
        let (headers, dropped) = rewritten(&request, &stranger(), "r.example:5443");
        assert_eq!(dropped, 1);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "authorization",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
        ];
        assert_eq!(names, expected);
        assert_eq!(headers[X_FORWARDED_FOR], "192.0.2.9");
        assert_eq!(headers[X_FORWARDED_HOST], "r.example:5443");
        assert_eq!(headers[X_FORWARDED_PORT], "5443");
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
    }

    #[test]
    fn behind_a_trusted_proxy_its_word_counts() {
        let trusted = [Network { address: "10.0.0.0".parse().unwrap(), prefix: 8 }];
        let peer = Peer { address: Some("10.1.1.1".parse().unwrap()), transport: Transport::Tls };
        let headers = request(&[
            ("X-Forwarded-For", "1.1.1.1, 203.0.113.7"),
            ("X-Forwarded-For", "10.2.2.2"),
        ]);
        let client = Client::of(&peer, &trusted, &headers.headers);
        assert_eq!(client.address, Some("203.0.113.7".parse().unwrap()));
        let (sent, _) = rewritten(&headers, &client, "r");
        let lines: Vec<_> = sent.get_all(X_FORWARDED_FOR).iter().collect();
        assert_eq!(lines, ["1.1.1.1, 203.0.113.7", "10.2.2.2", "10.1.1.1"]);
        let far = Peer { address: Some("11.1.1.1".parse().unwrap()), transport: Transport::Tls };
        let client = Client::of(&far, &trusted, &headers.headers);
        assert_eq!((client.address, client.trust), (far.address, Trust::Stranger));
    }

    #[test]
    fn what_a_proxy_says_in_one_header_is_said_in_the_others_too() {
        let trusted = [Network { address: "10.0.0.0".parse().unwrap(), prefix: 8 }];
        let peer = Peer { address: Some("10.1.1.1".parse().unwrap()), transport: Transport::Plain };
        let line = "for=203.0.113.7;proto=https;host=\"r.example:8443\", for=10.2.2.2";
        let given = request(&[("Forwarded", line)]);
        let client = Client::of(&peer, &trusted, &given.headers);
        assert_eq!(client.address, Some("203.0.113.7".parse().unwrap()));
        let (sent, _) = rewritten(&given, &client, "r.example:5443");
        assert_eq!(sent[header::FORWARDED], line);
        assert_eq!(sent[X_FORWARDED_HOST], "r.example:8443");
        assert_eq!(sent[X_FORWARDED_PROTO], "https");
        assert_eq!(sent[X_FORWARDED_PORT], "8443");
        let lines: Vec<_> = sent.get_all(X_FORWARDED_FOR).iter().collect();
        assert_eq!(lines, ["203.0.113.7", "10.2.2.2", "10.1.1.1"]);

        // What is beside the proxy's own words is its client's.
        let given = request(&[("Forwarded", "host=evil.example"), ("X-Forwarded-Proto", "https")]);
        let client = Client::of(&peer, &trusted, &given.headers);
        let (sent, _) = rewritten(&given, &client, "r.example:5443");
        assert!(!sent.contains_key(header::FORWARDED), "{sent:?}");
        assert_eq!(sent[X_FORWARDED_HOST], "r.example:5443");
    }

    #[test]
    fn artifactory_is_told_the_base_of_its_urls() {
        let (mut headers, _) = rewritten(&request(&[]), &stranger(), "r.example:5443");
        let asked = HeaderValue::from_static("r.example:5443");
        name_base_url(&mut headers, &stranger(), &asked);
        assert_eq!(headers[X_JFROG_OVERRIDE_BASE_URL], "https://r.example:5443");
    }

    #[test]
    fn a_location_is_usable_behind_a_proxy_that_ends_tls_for_us() {
        let trusted = [Network { address: "127.0.0.0".parse().unwrap(), prefix: 8 }];
        let address = Some("127.0.0.1".parse().unwrap());
        let peer = Peer { address, transport: Transport::Plain };
        for (given, location, expected) in [
            (&[][..], "http://127.0.0.1:5000/v2/a", "http://r:80/v2/a"),
            (&[("X-Forwarded-Proto", "https")], "https://r:80/v2/a", "https://r:80/v2/a"),
            (&[("X-Forwarded-Proto", "HTTPS, http")], "http://r:80/v2/a", "https://r:80/v2/a"),
            (&[("X-Forwarded-Proto", "gopher")], "http://r:80/v2/a", "http://r:80/v2/a"),
            (
                &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "r.example")],
                "http://127.0.0.1:5000/v2/a",
                "https://r.example/v2/a",
            ),
        ] {
            let client = Client::of(&peer, &trusted, &request(given).headers);
            let mut headers = request(&[("Location", location)]).headers;
            let asked = HeaderValue::from_static("r:80");
            to_client(&mut headers, Some("127.0.0.1:5000"), &asked, &client);
            assert_eq!(headers[header::LOCATION], expected, "{given:?} {location}");
        }
    }

    #[test]
    fn cookies_that_http_2_cut_are_whole_again() {
        let request = request(&[("Cookie", "a=1"), ("Accept", "x"), ("Cookie", "b=2")]);
        let (headers, _) = rewritten(&request, &stranger(), "r");
        let lines: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(lines, ["a=1; b=2"]);
    }
}
