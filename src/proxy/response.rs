//! The body of an answer on its way to the client.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;

use crate::body::BoxError;

use super::paced::Paced;
use super::upstream::Inflow;
use super::upstream::Lease;

/// The body of an answer to the client.
pub struct ResponseBody(Answer);

enum Answer {
    /// One of ours.
    Whole(Option<Bytes>),
    /// The registry's, passing by.
    Upstream(Paced<Inflow>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Answer::Upstream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Answer::Whole(bytes) => bytes.is_none(),
            Answer::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Answer::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Answer::Upstream(body) => body.size_hint(),
        }
    }
}

impl ResponseBody {
    /// One of ours.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Answer::Whole(Some(bytes.into())))
    }

    /// The registry's body; if there is none, its connection is free at once.
    pub(super) fn upstream(body: Incoming, idle: Duration, lease: Lease) -> Self {
        if body.is_end_stream() {
            lease.give_back();
            return Self(Answer::Whole(None));
        }
        Self(Answer::Upstream(Paced::new(Inflow::new(body, lease), idle)))
    }
}
