//! A secret in the URL: for receivers that look nowhere else.
//!
//! It is put into the request alone. What logs, history and metrics show comes from the endpoint's own URL,
//! in which it never stands.

use std::fmt::Write as _;

use http::Uri;
use http::uri::PathAndQuery;

use crate::secret::Secret;

/// Where in the URL's path or query the secret goes; without it, at the end.
pub const PLACEHOLDER: &str = "{secret}";

/// The parameter's name, unless said.
pub const PARAMETER: &str = "secret";

/// Puts the secret in as a parameter of the query.
pub(super) fn in_query(uri: &Uri, parameter: &str, secret: &Secret) -> Option<Uri> {
    let encoded = encoded(secret, false);
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let whole = if whole.contains(PLACEHOLDER) {
        whole.replace(PLACEHOLDER, &encoded)
    } else {
        let joint = match uri.query() {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        format!("{whole}{joint}{parameter}={encoded}")
    };
    with(uri, &whole)
}

/// Puts the secret in as a segment of the path, or several if there is a `/` in it.
pub(super) fn in_path(uri: &Uri, secret: &Secret) -> Option<Uri> {
    let encoded = encoded(secret, true);
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let whole = if whole.contains(PLACEHOLDER) {
        whole.replace(PLACEHOLDER, &encoded)
    } else {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = uri.path().trim_end_matches('/');
        format!("{path}/{}{query}", encoded.trim_start_matches('/'))
    };
    with(uri, &whole)
}

fn with(uri: &Uri, whole: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(whole).ok()?);
    Uri::from_parts(parts).ok()
}

/// Percent-encoded but for what is never reserved (RFC 3986 §2.3), and `/` in a path.
fn encoded(secret: &Secret, in_path: bool) -> String {
    let mut text = String::new();
    for byte in secret.expose() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if plain || in_path && *byte == b'/' {
            text.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            write!(text, "%{byte:02X}").ok();
        }
    }
    text
}

/// The bytes behind percent-encoding; what is none stays as it is.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| str::from_utf8(hex).ok());
        let escape =
            hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new(b"a/b c&d".to_vec())
    }

    #[test]
    fn a_secret_goes_where_the_url_says() {
        for (url, query, path) in [
            ("https://h", "https://h/?token=a%2Fb%20c%26d", "https://h/a/b%20c%26d"),
            ("https://h/", "https://h/?token=a%2Fb%20c%26d", "https://h/a/b%20c%26d"),
            ("https://h/x", "https://h/x?token=a%2Fb%20c%26d", "https://h/x/a/b%20c%26d"),
            ("https://h/x?", "https://h/x?token=a%2Fb%20c%26d", "https://h/x/a/b%20c%26d?"),
            (
                "https://h/x?y=z",
                "https://h/x?y=z&token=a%2Fb%20c%26d",
                "https://h/x/a/b%20c%26d?y=z",
            ),
            (
                "https://h/x/{secret}/notify?y=z",
                "https://h/x/a%2Fb%20c%26d/notify?y=z",
                "https://h/x/a/b%20c%26d/notify?y=z",
            ),
        ] {
            let uri: Uri = url.parse().unwrap();
            assert_eq!(in_query(&uri, "token", &secret()).unwrap().to_string(), query, "{url}");
            assert_eq!(in_path(&uri, &secret()).unwrap().to_string(), path, "{url}");
            assert!(decoded(query).windows(7).any(|part| part == b"a/b c&d"), "{query}");
        }
    }
}
