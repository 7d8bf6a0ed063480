//! Answers of our own, in the registry's error shape (OCI distribution specification, "Error Codes"), so
//! that a client shows its user what happened.

use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;
use serde::Serialize;

use crate::listener::Words;

use super::error::Error;
use super::error::Refused;
use super::response::ResponseBody;

const JSON: &str = "application/json";

#[derive(Serialize)]
struct Errors<'a> {
    errors: [One<'a>; 1],
}

#[derive(Serialize)]
struct One<'a> {
    code: &'a str,
    message: &'a str,
    detail: Option<&'a str>,
}

/// How long a client should wait before it tries a push again that could not be kept.
const RETRY_AFTER: &str = "5";

/// The answer to a request we do not pass on. Its connection closes: what follows on it may be the body
/// that we have not read (H17).
pub(super) fn refused(refused: &Refused) -> Response<ResponseBody> {
    let mut response = error(refused.status(), refused.code(), &refused.to_string());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Refused::Method { .. } = refused {
        let served = HeaderValue::from_static("GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS");
        response.headers_mut().insert(header::ALLOW, served);
    }
    response
}

/// The answer to a request that the registry did not answer.
pub(super) fn failed(failed: &Error) -> Response<ResponseBody> {
    let mut response = error(failed.status(), "UNAVAILABLE", &failed.to_string());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Error::Outbox | Error::Stopping = failed {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    response
}

/// The words for a request whose head could not be read.
pub(super) fn unreadable(status: StatusCode) -> Words {
    let message = match status {
        StatusCode::REQUEST_TIMEOUT => "the head of the request did not come in time",
        StatusCode::URI_TOO_LONG => "the target of the request is longer than 8 KiB",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "the head of the request is larger than 64 KiB, or has more than 100 fields"
        }
        _ => "the head of the request is not HTTP/1.1",
    };
    Words { media: JSON, body: document("UNSUPPORTED", message).into() }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(document(code, message)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

fn document(code: &str, message: &str) -> Vec<u8> {
    let document = Errors { errors: [One { code, message, detail: None }] };
    // Text in a fixed shape: it cannot fail to serialize.
    serde_json::to_vec(&document).unwrap_or_default()
}
