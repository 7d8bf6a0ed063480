use http::Response;
use http::StatusCode;
use serde::Serialize;

use super::Body;
use super::typed;

/// How we stand, and everything that is weaker than promised (rule D9).
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    /// Whether a push would pass.
    pub status: Standing,
    /// What is weaker than it should be; empty when all is well.
    pub degraded: Vec<Detail>,
}

/// Whether a push would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It would.
    Ready,
    /// We are finishing.
    Draining,
    /// Its event could not be kept, and the configuration says to refuse it then.
    OutboxFailed,
}

/// One thing that is weaker than it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Which part.
    pub part: &'static str,
    /// What is wrong with it, in words.
    pub what: String,
}

const JSON: &str = "application/json";

/// The process runs.
pub(super) fn live() -> Response<Body> {
    typed(StatusCode::OK, JSON, "{\"status\":\"live\"}\n")
}

/// 200 if a push would pass, else 503; details in the body.
pub(super) fn ready(readiness: &Readiness) -> Response<Body> {
    let status = match readiness.status {
        Standing::Ready => StatusCode::OK,
        Standing::Draining | Standing::OutboxFailed => StatusCode::SERVICE_UNAVAILABLE,
    };
    // Words and a list: it cannot fail to serialize.
    let mut body = serde_json::to_vec(readiness).unwrap_or_default();
    body.push(b'\n');
    typed(status, JSON, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_weaker_is_said_while_ready() {
        let detail = Detail { part: "outbox", what: "disk full".to_owned() };
        let ready_answer =
            ready(&Readiness { status: Standing::Ready, degraded: vec![detail.clone()] });
        assert_eq!(ready_answer.status(), StatusCode::OK);
        for standing in [Standing::Draining, Standing::OutboxFailed] {
            let answer = ready(&Readiness { status: standing, degraded: Vec::new() });
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{standing:?}");
        }
        let json = serde_json::to_string(&Readiness {
            status: Standing::OutboxFailed,
            degraded: vec![detail],
        });
        let expected =
            r#"{"status":"outbox-failed","degraded":[{"part":"outbox","what":"disk full"}]}"#;
        assert_eq!(json.unwrap(), expected);
    }
}
