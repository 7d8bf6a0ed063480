use http::HeaderName;
use http::Method;
use http::StatusCode;

use crate::connect;
use crate::registry::Ambiguous;

/// A request we do not pass on, because two readers could understand it differently.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Rule H15.
    #[error("the method {method} is not one a registry serves")]
    Method {
        /// The method asked for.
        method: Method,
    },
    /// Neither a path nor a whole `http` URL (RFC 9112 §3.2).
    #[error("the target of the request must be a path or an http URL")]
    Target,
    /// Rules of paths, 8.2.
    #[error("{why}")]
    Path {
        /// What is ambiguous about it.
        why: Ambiguous,
    },
    /// Longer than any limit of 8.4 allows.
    #[error("the target of the request is longer than 8 KiB")]
    LongTarget,
    /// More than any limit of 8.4 allows.
    #[error("the head of the request has more than 100 fields")]
    Fields,
    /// Rule H2.
    #[error("the only Transfer-Encoding understood is chunked, named once")]
    TransferEncoding,
    /// Rule H3, which HTTP/2 leaves to us.
    #[error("the Content-Length is not one number")]
    ContentLength,
    /// Rule H6.
    #[error("the request must name exactly one Host, and nothing but a host and a port in it")]
    Host,
    /// Rule H7.
    #[error("the Host header and the target name different hosts")]
    Authority,
    /// Rule H8.
    #[error("the Connection header may not name {header}")]
    Connection {
        /// The header that must reach the registry.
        header: HeaderName,
    },
    /// Rule H8: what it names is for us to take away, so we have to understand all of it.
    #[error("the Connection header has an element that is not the name of a header")]
    Unnamed,
    /// Rule H10.
    #[error("the only expectation served is 100-continue")]
    Expectation,
    /// Rule H13.
    #[error("a {method} request must not have a body")]
    Body {
        /// The method of the request.
        method: Method,
    },
}

/// An exchange with the registry that brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection: the registry has seen nothing.
    #[error("could not reach the registry")]
    Connect {
        /// Why.
        source: connect::Error,
    },
    /// The connection broke before a byte of the request was written: the registry has seen nothing.
    #[error("the registry closed the connection before the request")]
    Unsent {
        /// Why.
        source: hyper::Error,
    },
    /// The registry accepted a manifest whose last piece we still held, so it cannot have what it says.
    #[error("the registry accepted a manifest before it had all of it")]
    Premature,
    /// The connection broke, or what came back is not HTTP. The registry may have acted.
    #[error("the registry gave no usable answer")]
    Exchange {
        /// Why.
        source: hyper::Error,
    },
    /// The head of the answer did not come in time. The registry may still be acting.
    #[error("the registry did not answer in time")]
    Deadline,
    /// An answer of 101: nothing here is ever upgraded.
    #[error("the registry wanted to switch protocols")]
    Upgrade,
    /// The client went away, or its body broke off or is no chunks (H11, H16), before the registry had the
    /// whole request.
    #[error("the body of the request broke off, or is not framed as HTTP has it")]
    Incomplete,
    /// The event cannot be kept and `outbox.on_failure` is `reject`.
    #[error("the event of this push could not be kept, so the push is not accepted")]
    Outbox,
    /// The registry said yes, but the outbox is sealed already: nobody may be told of a success whose
    /// event is nowhere (rule D1).
    #[error("we stopped before the event of this push could be kept; push again")]
    Stopping,
}

impl Refused {
    /// The status to refuse with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The code in the registry's error shape (OCI distribution specification, "Error Codes").
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Path { .. } => "NAME_INVALID",
            _ => "UNSUPPORTED",
        }
    }

    /// The rule, for the counter.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Method { .. } => "method",
            Self::Target => "target",
            Self::Path { .. } => "path",
            Self::LongTarget => "target-length",
            Self::Fields => "fields",
            Self::TransferEncoding => "transfer-encoding",
            Self::ContentLength => "content-length",
            Self::Host => "host",
            Self::Authority => "authority",
            Self::Connection { .. } | Self::Unnamed => "connection",
            Self::Expectation => "expectation",
            Self::Body { .. } => "body",
        }
    }
}

impl Error {
    /// The status the client gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect { .. }
            | Self::Unsent { .. }
            | Self::Premature
            | Self::Exchange { .. }
            | Self::Upgrade => StatusCode::BAD_GATEWAY,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::Outbox | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether it is told while the client may still be sending its request.
    #[must_use]
    pub fn is_early(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Unsent { .. } | Self::Premature)
    }

    /// The word for the counter.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Unsent { .. } => "unsent",
            Self::Premature => "premature",
            Self::Exchange { .. } => "exchange",
            Self::Deadline => "deadline",
            Self::Upgrade => "upgrade",
            Self::Incomplete => "incomplete",
            Self::Outbox => "outbox",
            Self::Stopping => "stopping",
        }
    }

    /// Whether the registry may have acted on a request that it had to the end, although nobody saw its
    /// answer.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        matches!(self, Self::Exchange { .. } | Self::Deadline | Self::Upgrade)
    }
}
