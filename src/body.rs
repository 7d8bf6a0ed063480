//! Body aliases, and the capped collect: the only way a body ever becomes one piece of memory.

use std::pin::pin;

use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;

/// What any part of a body may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of any making.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is all there.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body with nothing in it.
#[must_use]
pub fn empty() -> Body {
    full(Bytes::new())
}

/// Reads a body and keeps nothing of it, to its end or to `limit` bytes: a client that still sends may
/// overlook an answer that comes before it has finished. Says whether that was all of it.
pub async fn discard<B>(body: B, limit: usize) -> bool
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut left = limit;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(read) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// How much of a body was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// All of it.
    Whole(Bytes),
    /// As much as was allowed; the rest was not read.
    Cut(Bytes),
}

impl Collected {
    /// The bytes, whole or not.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) | Self::Cut(bytes) => bytes,
        }
    }
}

/// Reads a body to its end or to `limit` bytes, whichever comes first. It has no deadline of its own.
///
/// # Errors
///
/// What the body failed with.
pub async fn collect_capped<B>(body: B, limit: usize) -> Result<Collected, B::Error>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = limit - read.len();
        if data.len() > room {
            read.extend_from_slice(data.get(..room).unwrap_or_default());
            return Ok(Collected::Cut(read.freeze()));
        }
        read.extend_from_slice(&data);
    }
    Ok(Collected::Whole(read.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_to_its_end_or_to_the_limit() {
        let whole = collect_capped(full("12345"), 5).await.unwrap();
        assert_eq!(whole, Collected::Whole(Bytes::from("12345")));
        let cut = collect_capped(full("123456"), 5).await.unwrap();
        assert_eq!(cut, Collected::Cut(Bytes::from("12345")));
    }
}
