use http::Response;
use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::Body;
use super::text;
use super::typed;

/// `OpenMetrics` 1.0, which Prometheus reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn page(registry: &Registry) -> Response<Body> {
    let mut page = String::new();
    match encode(&mut page, registry) {
        Ok(()) => typed(StatusCode::OK, OPEN_METRICS, page),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
