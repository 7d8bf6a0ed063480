//! A manifest on its way to the registry: passed on frame by frame, read along, and its last frame held
//! until what we owe is done (step P1 of the exchange).

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use bytes::BytesMut;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use tokio::sync::oneshot;

use crate::body::BoxError;
use crate::budget::Share;
use crate::listener::Incoming;
use crate::registry::Algorithm;
use crate::registry::Digest;
use crate::registry::Digester;

use super::paced::Paced;

/// What was seen of a manifest that has arrived to its last byte.
#[derive(Debug)]
pub(super) struct Observation {
    /// SHA-256 of the bytes.
    pub(super) digest: Digest,
    /// The digest by the algorithm the reference names, where that is another one.
    pub(super) named: Option<Digest>,
    /// How many bytes.
    pub(super) size: u64,
    /// The bytes, unless they were more than the cap or the budget of all copies allows.
    pub(super) copy: Option<Bytes>,
    /// What the copy takes of that budget.
    _share: Share,
}

/// The body that does it.
pub(super) struct Observed {
    body: Paced<Incoming>,
    reader: Option<Reader>,
    /// The announced length, if there is one: it tells which frame is the last.
    length: Option<u64>,
    /// Bytes given on so far.
    given: u64,
    held: Option<Bytes>,
    state: State,
    seen: Option<oneshot::Sender<Observation>>,
    release: oneshot::Receiver<()>,
}

/// What the exchange holds of an [`Observed`] body.
pub(super) struct Gate {
    /// Comes when the last frame is held.
    pub(super) seen: oneshot::Receiver<Observation>,
    /// Lets the last frame go. Dropped, the request breaks off and the registry keeps nothing.
    pub(super) release: oneshot::Sender<()>,
}

/// Reads along.
pub(super) struct Reader {
    sha256: Digester,
    named: Option<Digester>,
    size: u64,
    copy: Option<BytesMut>,
    cap: usize,
    share: Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Flowing,
    Held,
    Over,
}

/// The exchange gave up before the last frame went out.
#[derive(Debug, thiserror::Error)]
#[error("the exchange was given up")]
struct GivenUp;

impl Reader {
    /// Starts reading; `named` is the digest of the reference, `cap` how much is copied at most, `share`
    /// where that is taken from.
    pub(super) fn new(named: Option<&Digest>, cap: usize, share: Share) -> Self {
        let other = named.and_then(Algorithm::of).filter(|a| *a != Algorithm::Sha256);
        Self {
            sha256: Digester::new(Algorithm::Sha256),
            named: other.map(Digester::new),
            size: 0,
            copy: Some(BytesMut::new()),
            cap,
            share,
        }
    }

    /// Takes the next piece.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(named) = &mut self.named {
            named.update(bytes);
        }
        self.size += bytes.len() as u64;
        let Some(copy) = &mut self.copy else {
            return;
        };
        if copy.len() + bytes.len() <= self.cap && self.share.grow(bytes.len()) {
            copy.extend_from_slice(bytes);
        } else {
            self.copy = None;
        }
    }

    /// What was seen.
    pub(super) fn finish(self) -> Observation {
        Observation {
            digest: self.sha256.finish(),
            named: self.named.map(Digester::finish),
            size: self.size,
            copy: self.copy.map(BytesMut::freeze),
            _share: self.share,
        }
    }
}

impl Observed {
    /// Wraps a client's body that is not empty.
    pub(super) fn new(body: Incoming, idle: std::time::Duration, reader: Reader) -> (Self, Gate) {
        let (seen, was_seen) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let observed = Self {
            length: body.size_hint().exact(),
            body: Paced::new(body, idle),
            reader: Some(reader),
            given: 0,
            held: None,
            state: State::Flowing,
            seen: Some(seen),
            release: released,
        };
        (observed, Gate { seen: was_seen, release })
    }

    fn hold(&mut self) {
        self.state = State::Held;
        if let (Some(reader), Some(seen)) = (self.reader.take(), self.seen.take()) {
            // If the exchange is gone, so is `release`, and the next poll finds that out.
            seen.send(reader.finish()).ok();
        }
    }
}

impl Body for Observed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            match this.state {
                State::Flowing => {
                    let data = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                        None => {
                            this.hold();
                            continue;
                        }
                        Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                        Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                    };
                    let Some(reader) = &mut this.reader else {
                        return Poll::Ready(Some(Err(GivenUp.into())));
                    };
                    reader.update(&data);
                    let last = this.length.is_some_and(|length| reader.size >= length);
                    let before = this.held.replace(data);
                    if last {
                        this.hold();
                    }
                    if let Some(before) = before.filter(|b| !b.is_empty()) {
                        this.given += before.len() as u64;
                        return Poll::Ready(Some(Ok(Frame::data(before))));
                    }
                }
                State::Held => {
                    let released = ready!(Pin::new(&mut this.release).poll(cx));
                    this.state = State::Over;
                    if released.is_err() {
                        return Poll::Ready(Some(Err(GivenUp.into())));
                    }
                    if let Some(last) = this.held.take().filter(|l| !l.is_empty()) {
                        this.given += last.len() as u64;
                        return Poll::Ready(Some(Ok(Frame::data(last))));
                    }
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Over
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length.saturating_sub(self.given))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn share() -> Share {
        Budget::new(1 << 10).share()
    }

    #[test]
    fn what_passes_is_read_along() {
        let mut reader = Reader::new(None, 8, share());
        reader.update(b"1234");
        reader.update(b"5678");
        let seen = reader.finish();
        assert_eq!(seen.digest, Digest::sha256(b"12345678"));
        assert_eq!((seen.size, seen.copy), (8, Some(Bytes::from("12345678"))));
        assert_eq!(seen.named, None);
    }

    #[test]
    fn above_the_cap_only_the_copy_is_given_up() {
        let mut reader = Reader::new(None, 7, share());
        reader.update(b"1234");
        reader.update(b"5678");
        let seen = reader.finish();
        assert_eq!(seen.digest, Digest::sha256(b"12345678"));
        assert_eq!((seen.size, seen.copy), (8, None));
    }

    #[test]
    fn a_reference_by_another_algorithm_is_computed_too() {
        let named: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        let mut reader = Reader::new(Some(&named), 7, share());
        reader.update(b"x");
        assert_eq!(reader.finish().named.unwrap().algorithm(), "sha512");
    }
}
