//! A request as a receiver's handler sees it, and what it makes of it.

use aws_lc_rs::hmac;
use serde_json::Value;

use crate::support::Request;

/// A request, and the secret that the receiver was given.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: String,
    /// Path and query, byte for byte.
    pub(super) target: String,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) secret: String,
}

/// What a receiver acts on, as far as it looks at that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Acted {
    pub(super) image: String,
    pub(super) tag: String,
}

/// What it answers otherwise, or why it does the wrong thing.
pub(super) type Outcome = Result<Acted, String>;

impl Call {
    /// Of a request to `/<name>…`, where each receiver thinks that its own paths begin at the root.
    pub(super) fn of(name: &str, request: &Request, secret: &str) -> Self {
        let target = request.path.strip_prefix(&format!("/{name}")).unwrap();
        Self {
            method: request.method.clone(),
            target: target.to_owned(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            secret: secret.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// A parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let value = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='))?;
        let mut bytes = Vec::new();
        let mut rest = value.as_bytes();
        while let [first, after @ ..] = rest {
            if *first == b'%' {
                let hex = std::str::from_utf8(&after[..2]).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        String::from_utf8(bytes).ok()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
        if values.next().is_some() { "" } else { first }
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, value.parse().unwrap());
    }

    /// The body, which has to be a JSON object.
    pub(super) fn json(&self) -> Result<Value, String> {
        let value: Value =
            serde_json::from_slice(&self.body).map_err(|error| format!("400 {error}"))?;
        if value.is_object() { Ok(value) } else { Err("400 not an object".to_owned()) }
    }

    /// The media type is exactly this one, parameters allowed.
    pub(super) fn is_type(&self, wanted: &str) -> Result<(), String> {
        let is = self.header("content-type").split(';').next().unwrap().trim();
        ensure(is == wanted, &format!("the type is {is:?}"))
    }

    /// `Authorization` is this and nothing else.
    pub(super) fn authorized(&self, value: &str) -> Result<(), String> {
        ensure(self.header("authorization") == value, "401 Authorization")
    }

    /// The HMAC of the body by the receiver's secret, in lower case hex.
    pub(super) fn mac(&self, algorithm: hmac::Algorithm) -> String {
        let key = hmac::Key::new(algorithm, self.secret.as_bytes());
        hmac::sign(&key, &self.body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn github_signed(&self) -> Result<(), String> {
        let expected = format!("sha256={}", self.mac(hmac::HMAC_SHA256));
        ensure(self.header("x-hub-signature-256") == expected, "401 X-Hub-Signature-256")
    }
}

pub(super) fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// A text that is there and not empty.
pub(super) fn text(value: &Value, pointer: &str) -> Result<String, String> {
    match value.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        other => Err(format!("400 {pointer} is {other:?}")),
    }
}

/// As Go decodes into a `string` that may be missing.
pub(super) fn maybe(value: &Value, pointer: &str) -> Result<String, String> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(format!("400 {pointer} is {other:?}")),
    }
}

/// As Go decodes into an `int` that may be missing: no fraction, no exponent, no quotes.
pub(super) fn integer(value: &Value, pointer: &str) -> Result<(), String> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Number(number)) if number.is_i64() => Ok(()),
        other => Err(format!("400 {pointer} is {other:?}")),
    }
}

/// Never a digest where a tag belongs.
pub(super) fn acted(image: impl Into<String>, tag: impl Into<String>) -> Outcome {
    let acted = Acted { image: image.into(), tag: tag.into() };
    ensure(!acted.tag.contains("sha256"), "a digest for a tag")?;
    Ok(acted)
}
