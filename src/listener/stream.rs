//! One request of an HTTP/2 connection: its answer, piece by piece, as the client makes room for it.

use std::future::Future;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::SendStream;
use h2::server::SendResponse;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::header;
use http_body::Body;
use http_body_util::BodyExt as _;
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use tokio::time::timeout;
use tracing::debug;

use crate::body::BoxError;

/// Why an answer did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the client took nothing for {} s", stall.as_secs())]
    Stalled { stall: Duration },
    #[error("the client wants no more of it: {reason}")]
    Reset { reason: Reason },
    #[error("the answer broke off")]
    Answer { source: BoxError },
    #[error("the connection broke")]
    Connection { source: h2::Error },
}

/// The most that is asked for at once of a window that all streams share.
const PIECE: usize = 64 << 10;

/// Headers that HTTP/2 says otherwise (RFC 9113 §8.2.2).
const CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// RFC 9110 §5.6.7.
const DATE: StaticFormatDescription = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// Waits for the answer and sends it. Given up when the client resets the stream, or takes nothing of the
/// body for `stall`: then the stream is reset, and the connection goes on.
pub(super) async fn answer<B>(
    call: impl Future<Output = Result<Response<B>, BoxError>>,
    method: &Method,
    mut respond: SendResponse<Bytes>,
    stall: Duration,
) where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let answered = tokio::select! {
        biased;
        answered = call => answered.map_err(|source| Error::Answer { source }),
        reset = poll_fn(|cx| respond.poll_reset(cx)) => Err(of_reset(reset)),
    };
    let sent = match answered {
        Ok(response) => send(response, method, &mut respond, stall).await,
        Err(error) => Err(error),
    };
    let Err(error) = sent else {
        return;
    };
    debug!(%error, cause = ?std::error::Error::source(&error), "Stream ended early");
    respond.send_reset(match error {
        Error::Stalled { .. } | Error::Reset { .. } => Reason::CANCEL,
        Error::Answer { .. } | Error::Connection { .. } => Reason::INTERNAL_ERROR,
    });
}

async fn send<B>(
    response: Response<B>,
    method: &Method,
    respond: &mut SendResponse<Bytes>,
    stall: Duration,
) -> Result<(), Error>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (mut head, body) = response.into_parts();
    for name in CONNECTION {
        head.headers.remove(name);
    }
    if !head.headers.contains_key(header::DATE)
        && let Some(date) = now()
    {
        head.headers.insert(header::DATE, date);
    }
    let over = body.is_end_stream();
    if !over
        && !head.headers.contains_key(header::CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
    {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let over = over || method == Method::HEAD;
    let sending = respond.send_response(Response::from_parts(head, ()), over);
    let mut stream = sending.map_err(|source| Error::Connection { source })?;
    if over {
        return Ok(());
    }
    let mut body = pin!(body);
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame.transpose(),
            reset = poll_fn(|cx| stream.poll_reset(cx)) => return Err(of_reset(reset)),
        };
        let Some(frame) = frame.map_err(|error| Error::Answer { source: error.into() })? else {
            return end(&mut stream, None);
        };
        match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                pieces(&mut stream, data, last, stall).await?;
                if last {
                    return Ok(());
                }
            }
            Err(frame) => return end(&mut stream, frame.into_trailers().ok()),
        }
    }
}

/// Sends data as there is room for it, so that nothing lies about that the client has not asked for.
async fn pieces(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
    stall: Duration,
) -> Result<(), Error> {
    if data.is_empty() {
        return if last { end(stream, None) } else { Ok(()) };
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(PIECE));
        let room = match stream.capacity() {
            0 => timeout(stall, capacity(stream)).await.map_err(|_| Error::Stalled { stall })??,
            room => room,
        };
        let piece = data.split_to(room.min(data.len()));
        let sent = stream.send_data(piece, last && data.is_empty());
        sent.map_err(|source| Error::Connection { source })?;
    }
    Ok(())
}

async fn capacity(stream: &mut SendStream<Bytes>) -> Result<usize, Error> {
    poll_fn(|cx| {
        loop {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(Ok(room)) => return Poll::Ready(Ok(room)),
                Some(Err(source)) => return Poll::Ready(Err(Error::Connection { source })),
                None => return Poll::Ready(Err(Error::Reset { reason: Reason::CANCEL })),
            }
        }
    })
    .await
}

fn end(stream: &mut SendStream<Bytes>, trailers: Option<HeaderMap>) -> Result<(), Error> {
    let ended = match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    };
    ended.map_err(|source| Error::Connection { source })
}

fn of_reset(reset: Result<Reason, h2::Error>) -> Error {
    match reset {
        Ok(reason) => Error::Reset { reason },
        Err(source) => Error::Connection { source },
    }
}

fn now() -> Option<HeaderValue> {
    let date = OffsetDateTime::now_utc().format(DATE).ok()?;
    HeaderValue::try_from(date).ok()
}
