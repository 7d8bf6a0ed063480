//! Whom we forward to, and whom we tell.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use http::Uri;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use super::address::unix;
use super::host;
use super::read::Scalar;
use super::read::Wrong;
use super::read::quoted;
use super::schema::text_schema;
use super::source::shown_url;

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

/// An endpoint's URL, `https` or `http`. Such a URL can be a secret, so it prints in part only.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

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

text_schema! {
    Upstream: { "type": "string", "pattern": "^(https?://|unix:)" },
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
}
