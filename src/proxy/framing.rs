//! What a request may look like: nothing that two readers of it could take for different requests. Pure.
//!
//! hyper and h2 have parsed it already, and refuse most of what is broken. This refuses what they let pass;
//! the numbers are those of the framing table (delivery-guarantees 8.1).
//!
//! What they do not let us see passes, and reaches the registry as we have understood it: what follows a `#`
//! in a target of HTTP/2, or of a head that came in one piece with the request before it, is cut off; a bare
//! LF ends a line of HTTP/1.1 trailers, which go nowhere (H12). And h2 itself answers a head above 64 KiB:
//! 431 without a body, so not in the registry's error shape.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Uri;
use http::Version;
use http::header;
use http::request::Parts;
use http::uri::Authority;

use super::error::Refused;
use super::headers::is_protected;

/// What a registry serves; everything else is somebody else's protocol (H9, H15).
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::POST,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The most of a target, in bytes (delivery-guarantees 8.4).
const MAX_TARGET: usize = 8 << 10;
/// The most fields of a head; HTTP/1.1 ends there anyway.
const MAX_FIELDS: usize = 100;

/// Refuses what two readers could understand differently.
pub(super) fn check(parts: &Parts) -> Result<(), Refused> {
    if !METHODS.contains(&parts.method) {
        return Err(Refused::Method { method: parts.method.clone() });
    }
    if !is_target(&parts.method, &parts.uri) {
        return Err(Refused::Target);
    }
    // Path and query, as they go to the registry.
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        return Err(Refused::LongTarget);
    }
    if parts.headers.len() > MAX_FIELDS {
        return Err(Refused::Fields);
    }
    check_host(parts)?;
    check_connection(&parts.headers)?;
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let coded = codings.next().is_none_or(|c| c.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !coded || codings.next().is_some() {
        return Err(Refused::TransferEncoding);
    }
    let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    let counted = length.is_none_or(is_number) && lengths.all(|other| Some(other) == length);
    if !counted {
        return Err(Refused::ContentLength);
    }
    let expectations = parts.headers.get_all(header::EXPECT);
    if expectations.iter().any(|e| !e.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refused::Expectation);
    }
    Ok(())
}

/// Origin-form, absolute-form, or the asterisk where it means something (RFC 9112 §3.2).
fn is_target(method: &Method, uri: &Uri) -> bool {
    let scheme = uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"));
    scheme && (uri.path().starts_with('/') || (uri.path() == "*" && *method == Method::OPTIONS))
}

/// H6 and H7. HTTP/1.1 wants the header even beside a target that names the host (RFC 9112 §3.2), HTTP/2
/// has a field of its own for it and does without the header (RFC 9113 §8.3.1).
fn check_host(parts: &Parts) -> Result<(), Refused> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let authority = parts.uri.authority();
    let named = match parts.version {
        Version::HTTP_11 => host.is_some(),
        Version::HTTP_2 => host.is_some() || authority.is_some(),
        _ => true,
    };
    let sound = host.is_none_or(|host| is_host(host.as_bytes()))
        && authority.is_none_or(|authority| is_host(authority.as_str().as_bytes()));
    if more.is_some() || !named || !sound {
        return Err(Refused::Host);
    }
    if let (Some(host), Some(authority)) = (host, authority)
        && !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
    {
        return Err(Refused::Authority);
    }
    Ok(())
}

/// A name or an address with or without a port: no user, no path, nothing that starts something new in a
/// URL that a registry makes of it.
fn is_host(text: &[u8]) -> bool {
    let plain = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']')
    };
    text.iter().all(plain) && Authority::try_from(text).is_ok()
}

/// H8: every element is a header's name, and none that must reach the registry.
fn check_connection(headers: &HeaderMap) -> Result<(), Refused> {
    for line in headers.get_all(header::CONNECTION) {
        for element in line.as_bytes().split(|b| *b == b',') {
            let element = element.trim_ascii();
            if element.is_empty() {
                continue;
            }
            let header = HeaderName::from_bytes(element).map_err(|_| Refused::Unnamed)?;
            if is_protected(&header) {
                return Err(Refused::Connection { header });
            }
        }
    }
    Ok(())
}

fn is_number(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
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

    #[test]
    fn what_every_client_sends_passes() {
        for headers in [
            &[][..],
            &[("Connection", "keep-alive, x-own,")],
            &[("Expect", "100-Continue")],
            &[("Transfer-Encoding", "Chunked")],
            &[("Content-Length", "007")],
            &[("Content-Length", "7"), ("Content-Length", "7")],
        ] {
            assert!(check(&request(headers)).is_ok(), "{headers:?}");
        }
        for (target, host) in [
            ("http://A/", "a"),
            ("https://a:1/v2/", "a:1"),
            ("/v2/", "[::1]:5000"),
            ("/v2/", "my_registry"),
        ] {
            let named = parts(Request::builder().uri(target).header("Host", host));
            assert!(check(&named).is_ok(), "{target} {host}");
        }
        let asterisk = Request::builder().method("OPTIONS").uri("*").header("Host", "a");
        assert!(check(&parts(asterisk)).is_ok());
        let old = Request::builder().uri("/").version(Version::HTTP_10);
        assert!(check(&parts(old)).is_ok());
        let new = Request::builder().uri("https://a/").version(Version::HTTP_2);
        assert!(check(&parts(new)).is_ok());
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for (header, value, rule) in [
            ("Host", "r.example:5443", "host"),
            ("Transfer-Encoding", "gzip, chunked", "transfer-encoding"),
            ("Content-Length", "", "content-length"),
            ("Content-Length", "+7", "content-length"),
            ("Content-Length", "7, 7", "content-length"),
            ("Connection", "close, Host", "connection"),
            ("Connection", "close, a b", "connection"),
            ("Connection", "\"x-own\"", "connection"),
            ("Connection", "authorization", "connection"),
            ("Connection", "Content-Length", "connection"),
            ("Connection", "content-encoding", "connection"),
            ("Connection", "X-Forwarded-For", "connection"),
            ("Connection", "forwarded", "connection"),
            ("Expect", "y 100-continue", "expectation"),
            ("Expect", "", "expectation"),
        ] {
            let refused = check(&request(&[("Connection", "close"), (header, value)])).unwrap_err();
            assert_eq!(refused.rule(), rule, "{header}: {value}");
        }
        let twice = request(&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]);
        assert!(matches!(check(&twice), Err(Refused::TransferEncoding)));
        let differing = request(&[("Content-Length", "7"), ("Content-Length", "07")]);
        assert!(matches!(check(&differing), Err(Refused::ContentLength)));
    }

    #[test]
    fn a_target_without_a_path_and_a_host_that_is_none_are_refused() {
        for (method, target, host, rule) in [
            ("GET", "/", None, "host"),
            ("GET", "http://a/", None, "host"),
            ("GET", "/", Some(""), "host"),
            ("GET", "/", Some("a b"), "host"),
            ("GET", "/", Some("a/b"), "host"),
            ("GET", "/", Some("a@b"), "host"),
            ("GET", "/", Some("a,b"), "host"),
            ("GET", "/", Some("a:1:2"), "host"),
            ("GET", "http://a@b/", Some("a@b"), "host"),
            ("GET", "http://b/", Some("a"), "authority"),
            ("GET", "*", Some("a"), "target"),
            ("GET", "a:1", Some("a:1"), "target"),
            ("GET", "ftp://a/", Some("a"), "target"),
            ("CONNECT", "a:1", Some("a:1"), "method"),
            ("TRACE", "/", Some("a"), "method"),
            ("put", "/", Some("a"), "method"),
        ] {
            let mut request = Request::builder().method(method).uri(target);
            if let Some(host) = host {
                request = request.header("Host", host);
            }
            let refused = check(&parts(request)).unwrap_err();
            assert_eq!(refused.rule(), rule, "{method} {target} {host:?}");
        }
        let nameless = Request::builder().uri("/").version(Version::HTTP_2);
        assert!(matches!(check(&parts(nameless)), Err(Refused::Host)));
    }
}
