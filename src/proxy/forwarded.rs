//! What a proxy in front of us says of the client: in `X-Forwarded-*`, or in `Forwarded` (RFC 7239). Pure.
//!
//! A proxy speaks one of the two. Most know only `X-Forwarded-*` and hand a `Forwarded` that the client
//! made up on as any other header, so beside an `X-Forwarded-*` it counts for nothing and goes no further:
//! Distribution prefers it to the others.

use std::borrow::Cow;
use std::net::IpAddr;
use std::net::SocketAddr;

use http::HeaderMap;
use http::HeaderName;
use http::header;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The scheme and host a client typed, and the way it came, as far as a trusted proxy tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) scheme: Option<&'static str>,
    pub(super) host: Option<String>,
    /// The client, then each proxy but the last, which is our peer. What stands left of something that is no
    /// address is left out.
    pub(super) hops: Vec<IpAddr>,
    pub(super) told: Told,
}

/// In which headers it was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Told {
    /// In none.
    #[default]
    Nothing,
    /// In `X-Forwarded-*`.
    Separately,
    /// In `Forwarded`.
    Together,
}

impl Reached {
    /// What the headers of a trusted proxy say.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let told = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];
        if told.iter().any(|name| headers.contains_key(name)) {
            Self::separately(headers)
        } else if headers.contains_key(header::FORWARDED) {
            Self::together(headers)
        } else {
            Self::default()
        }
    }

    /// The first of a list is what the outermost proxy saw.
    fn separately(headers: &HeaderMap) -> Self {
        let first = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            value.split(',').next().map(str::trim).filter(|first| !first.is_empty())
        };
        let lines = headers.get_all(X_FORWARDED_FOR).into_iter();
        let hops = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        Self {
            scheme: first(X_FORWARDED_PROTO).and_then(scheme),
            host: first(X_FORWARDED_HOST).map(str::to_owned),
            hops: trailing(hops.map(node)),
            told: Told::Separately,
        }
    }

    fn together(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::FORWARDED).into_iter();
        let elements: Vec<Element<'_>> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| split(line, b','))
            .map(Element::read)
            .collect();
        let first = elements.first();
        Self {
            scheme: first.and_then(|first| scheme(first.proto.as_deref()?)),
            host: first.and_then(|first| first.host.as_deref()).map(str::to_owned),
            hops: trailing(elements.iter().map(|element| node(element.node.as_deref()?))),
            told: Told::Together,
        }
    }
}

/// One proxy's word in a `Forwarded` header.
#[derive(Default)]
struct Element<'a> {
    node: Option<Cow<'a, str>>,
    proto: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
}

impl<'a> Element<'a> {
    fn read(text: &'a str) -> Self {
        let mut element = Self::default();
        for pair in split(text, b';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = unquoted(value.trim());
            match name.trim() {
                name if name.eq_ignore_ascii_case("for") => element.node = Some(value),
                name if name.eq_ignore_ascii_case("proto") => element.proto = Some(value),
                name if name.eq_ignore_ascii_case("host") => element.host = Some(value),
                _ => {}
            }
        }
        element
    }
}

/// The pieces of a list, whose quoted strings may hold the separator (RFC 9110 §5.6.4).
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let ends = !quoted && c == char::from(separator);
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        ends
    })
}

fn unquoted(value: &str) -> Cow<'_, str> {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(value);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    Cow::Owned(text)
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(text))
}

/// An address, with or without a port; `unknown` and names that proxies make up are none.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|at| at.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Everything behind the last that is none.
fn trailing(hops: impl Iterator<Item = Option<IpAddr>>) -> Vec<IpAddr> {
    hops.fold(Vec::new(), |mut trailing, hop| {
        match hop {
            Some(address) => trailing.push(address),
            None => trailing.clear(),
        }
        trailing
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[(&'static str, &str)]) -> Reached {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        Reached::read(&lines.iter().map(line).collect())
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        for (line, scheme, host, hops) in [
            ("for=192.0.2.43", None, None, &["192.0.2.43"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", None, None, &["2001:db8:cafe::17"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", Some("http"), None, &["192.0.2.60"]),
            ("for=192.0.2.43, for=198.51.100.17", None, None, &["192.0.2.43", "198.51.100.17"]),
            ("for=_gazonk, for=198.51.100.17:80", None, None, &["198.51.100.17"]),
            ("for=unknown", None, None, &[]),
            (
                "host=\"r.example:8443\" ; Proto=HTTPS;for=192.0.2.1, proto=http;host=inner",
                Some("https"),
                Some("r.example:8443"),
                &[],
            ),
            ("host=\"a,b;c\\\"d\";proto=https", Some("https"), Some("a,b;c\"d"), &[]),
            ("proto=gopher;host", None, None, &[]),
            ("", None, None, &[]),
        ] {
            let reached = read(&[("forwarded", line)]);
            assert_eq!(reached.scheme, scheme, "{line}");
            assert_eq!(reached.host.as_deref(), host, "{line}");
            assert_eq!(reached.hops, addresses(hops), "{line}");
            assert_eq!(reached.told, Told::Together);
        }
    }

    #[test]
    fn one_dialect_counts() {
        let reached = read(&[
            ("forwarded", "for=198.51.100.1;host=evil.example;proto=http"),
            ("x-forwarded-for", "192.0.2.1:5555, 192.0.2.2"),
            ("x-forwarded-for", "[2001:db8::1]:80"),
            ("x-forwarded-proto", "https"),
        ]);
        assert_eq!((reached.scheme, reached.host), (Some("https"), None));
        assert_eq!(reached.hops, addresses(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]));
        assert_eq!(reached.told, Told::Separately);
        assert_eq!(read(&[("x-forwarded-port", "1")]), Reached::default());
    }
}
