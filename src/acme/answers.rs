use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;
use http::Method;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;

use crate::certs::Challenges;

/// What CAs that come to validate find: shared with the listeners that they come to.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// At a TLS port.
    pub challenges: Challenges,
    /// At an HTTP port.
    pub tokens: Tokens,
}

/// The files that a CA fetches (RFC 8555 §8.3), by token.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Arc<Mutex<HashMap<String, String>>>);

const DIRECTORY: &str = "/.well-known/acme-challenge/";

impl Answers {
    /// Answers nobody any more.
    pub(super) fn withdraw(&self) {
        self.challenges.withdraw();
        self.tokens.lock().clear();
    }
}

impl Tokens {
    pub(super) fn answer(&self, token: &str, key_authorization: &str) {
        self.lock().insert(token.to_owned(), key_authorization.to_owned());
    }

    /// The file at a path; 404 for all that no CA has asked us to put there.
    #[must_use]
    pub fn get(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let found = path.strip_prefix(DIRECTORY).and_then(|token| self.lock().get(token).cloned());
        let mut response = match found {
            _ if !matches!(*method, Method::GET | Method::HEAD) => {
                let mut response = Response::new(Full::from("only GET and HEAD\n"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                response
            }
            Some(key_authorization) => Response::new(Full::from(key_authorization)),
            None => {
                let mut response =
                    Response::new(Full::from("nothing but answers for a CA is served here\n"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        let kind = header::HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        // Each change is one insertion, so what a panic left behind is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
