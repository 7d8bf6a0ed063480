//! A webhook as people and programs look at it, and as they send it themselves.

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::delivery::Endpoint;

/// What stands in the place of a secret.
const HIDDEN: &str = "…";

/// Whether secrets are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    /// They are: somebody asked for it.
    Shown,
    /// They are not.
    Hidden,
}

impl Secrets {
    pub(super) fn of(shown: bool) -> Self {
        if shown { Self::Shown } else { Self::Hidden }
    }

    fn value(self, value: &HeaderValue) -> String {
        if self == Self::Hidden && value.is_sensitive() {
            HIDDEN.to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
    }
}

/// A request, whole but for its secrets.
pub(super) struct Shown<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) request: &'a Request<Bytes>,
    pub(super) secrets: Secrets,
}

impl Shown<'_> {
    /// Where it goes; without secrets, no more of it than logs show.
    fn url(&self) -> String {
        match self.secrets {
            Secrets::Shown => self.request.uri().to_string(),
            Secrets::Hidden => self.endpoint.shown_url(),
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        lines(self.request.headers(), self.secrets)
    }

    fn body(&self) -> String {
        String::from_utf8_lossy(self.request.body()).into_owned()
    }

    /// As it is sent, a line for each header.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.request.method(), self.url());
        for (name, value) in self.headers() {
            text.push_str(&format!("{name}: {value}\n"));
        }
        format!("{text}\n{}\n", self.body())
    }

    /// The command that sends the same.
    pub(super) fn curl(&self) -> String {
        let mut words = vec!["curl".to_owned(), "--request".to_owned(), "POST".to_owned()];
        for (name, value) in self.headers() {
            words.extend(["--header".to_owned(), quoted(&format!("{name}: {value}"))]);
        }
        words.extend(["--data-binary".to_owned(), quoted(&self.body()), quoted(&self.url())]);
        words.join(" ")
    }

    pub(super) fn json(&self) -> Value {
        let headers: Map<String, Value> =
            self.headers().into_iter().map(|(name, value)| (name, json!(value))).collect();
        json!({
            "method": self.request.method().as_str(), "url": self.url(), "headers": headers,
            "body": self.body(),
        })
    }
}

/// Headers, one after the other.
pub(super) fn lines(headers: &HeaderMap, secrets: Secrets) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), secrets.value(value))).collect()
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
