//! Notifications that come as an HTML form: `payload=<JSON, percent-encoded>`.
//!
//! GitHub, Gitea and Forgejo send it so where the hook's content type says `application/x-www-form-urlencoded`.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::MAX_BYTES;
use super::error::Error;

/// The JSON of a notification: the body, or the form's `payload`.
///
/// # Errors
///
/// If it is a form without one.
pub(super) fn payload<'b>(headers: &HeaderMap, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Error> {
    if !is_form(headers) {
        return Ok(Cow::Borrowed(bytes));
    }
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
    }
    let mut fields = bytes.split(|b| *b == b'&');
    let encoded = fields.find_map(|field| field.strip_prefix(b"payload="));
    encoded.and_then(decoded).map(Cow::Owned).ok_or(Error::Form)
}

/// Whether a notification comes as a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Takes out `+` and `%XX`, as the URL standard's "application/x-www-form-urlencoded parsing" says; an escape
/// that is none makes it none.
fn decoded(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => *other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::super::tests::headers;
    use super::*;

    #[test]
    fn a_form_is_taken_apart() {
        let form = headers(&[("content-type", "application/X-www-form-urlencoded; charset=utf-8")]);
        for (body, expected) in [
            ("payload=%7B%22a%22%3A+%22%C3%A9%2b%22%7D", Some("{\"a\": \"é+\"}")),
            ("x=1&payload=%7b%7d&y=2", Some("{}")),
            ("payload=", Some("")),
            ("payload=%7", None),
            ("payload=%zz", None),
            ("payloads={}", None),
            ("", None),
        ] {
            let found = payload(&form, body.as_bytes());
            let text = found.as_ref().ok().map(|p| std::str::from_utf8(p).unwrap());
            assert_eq!(text, expected, "{body}");
        }
        let json = headers(&[("content-type", "application/json")]);
        assert_eq!(&*payload(&json, b"payload=1").unwrap(), b"payload=1");
    }
}
