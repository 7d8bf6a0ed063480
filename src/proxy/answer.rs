//! Answers of our own, in the registry's error shape (OCI distribution specification, "Error Codes"), so
//! that a client shows its user what happened.

use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;
use serde::Serialize;

use super::error::Error;
use super::error::Refused;
use super::response::ResponseBody;

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

fn error(status: StatusCode, code: &str, message: &str) -> Response<ResponseBody> {
    let document = Errors { errors: [One { code, message, detail: None }] };
    // Text in a fixed shape: it cannot fail to serialize.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(ResponseBody::whole(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
