use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Sleep;
use tokio::time::sleep;

/// Holds the end of an answer back that came before the request was over.
///
/// Over HTTP/2 a server that is done closes such a stream with `RST_STREAM(NO_ERROR)` right behind the
/// answer (RFC 9113 §8.1). curl 7.88, which Debian 12 has, finds its upload broken then and throws the
/// answer away if it has not read it by that time. Given a moment it reads the answer, stops sending, and
/// closes the stream itself. Every client that is told the length of the answer has all of it meanwhile.
#[derive(Debug, Default)]
pub(super) struct Linger(Option<Pin<Box<Sleep>>>);

/// Marks an answer that came before the request was over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Early;

/// A round trip to most clients, and little to wait for one that needs the end.
const MOMENT: Duration = Duration::from_millis(250);

impl Future for Linger {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.get_mut().0.get_or_insert_with(|| Box::pin(sleep(MOMENT)));
        timer.as_mut().poll(cx)
    }
}
