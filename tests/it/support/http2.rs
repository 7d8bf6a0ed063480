use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::Raw;
use super::sidecar::Sidecar;

/// An HTTP/2 connection frame by frame, for clients that do what no client should (RFC 9113).
pub(crate) struct Http2 {
    raw: Raw,
    host: String,
    next: u32,
    /// Frames that had come when somebody looked, and are not read yet.
    seen: Vec<Came>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Http2 {
    /// To the sidecar's registry listener, with the preface said and these settings.
    pub(crate) fn connect(sidecar: &Sidecar, settings: &[(u16, u32)]) -> Self {
        let mut http2 = Self::silent(sidecar);
        let mut first = PREFACE.to_vec();
        first.extend(frame(SETTINGS, 0, 0, &setting(settings)));
        http2.send(first);
        http2
    }

    /// The same without a word.
    pub(crate) fn silent(sidecar: &Sidecar) -> Self {
        let raw = Raw::speaking(sidecar, rustls::DEFAULT_VERSIONS, &[b"h2"])
            .waiting(Duration::from_secs(60));
        Self { raw, host: sidecar.host(), next: 1, seen: Vec::new() }
    }

    /// Waits so long for what is read.
    pub(crate) fn waiting(mut self, patience: Duration) -> Self {
        self.raw = self.raw.waiting(patience);
        self
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.raw.send(bytes);
    }

    /// Whether it could still be sent.
    pub(crate) fn sends(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.raw.sends(bytes)
    }

    /// Whether no stream has been opened yet.
    pub(crate) fn at_first(&self) -> bool {
        self.next == 1
    }

    /// Whether a frame of this kind is among those that have come by now. They stay to be read.
    pub(crate) fn has_heard(&mut self, kind: u8) -> bool {
        while self.raw.has_come(9) {
            match self.come() {
                Some(frame) => self.seen.push(frame),
                None => break,
            }
        }
        self.seen.iter().any(|frame| frame.kind == kind)
    }

    /// The number of the next stream.
    pub(crate) fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// The head of a request, compressed as little as possible (RFC 7541 §6.2.2).
    pub(crate) fn head(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let mut head = Vec::new();
        let fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", self.host.as_str()),
            (":path", path),
        ];
        for (name, value) in fields.iter().chain(more) {
            literal(&mut head, name, value);
        }
        head
    }

    /// A whole request without a body, ready to send.
    pub(crate) fn request(&mut self, method: &str, path: &str) -> (u32, Vec<u8>) {
        let stream = self.stream();
        let head = self.head(method, path, &[]);
        (stream, frame(HEADERS, END_HEADERS | END_STREAM, stream, &head))
    }

    /// Sends it, and yields its stream.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> u32 {
        let (stream, request) = self.request("GET", path);
        self.send(request);
        stream
    }

    /// The next frame; nothing once the connection is closed.
    pub(crate) fn frame(&mut self) -> Option<Came> {
        if self.seen.is_empty() { self.come() } else { Some(self.seen.remove(0)) }
    }

    fn come(&mut self) -> Option<Came> {
        let head = self.raw.read(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
        Some(Came { kind: head[3], flags: head[4], stream, payload: self.raw.read(length)? })
    }

    /// The next frame of this kind; nothing if the connection closes before.
    pub(crate) fn next(&mut self, kind: u8) -> Option<Came> {
        self.find(|frame| frame.kind == kind)
    }

    /// The next frame like this; nothing if the connection closes before.
    pub(crate) fn find(&mut self, wanted: impl Fn(&Came) -> bool) -> Option<Came> {
        std::iter::from_fn(|| self.frame()).find(wanted)
    }

    /// Reads to the close of the connection, and yields how many frames of each kind came and the reason of
    /// the last `GOAWAY`.
    pub(crate) fn end(&mut self) -> (BTreeMap<u8, usize>, Option<u32>) {
        let (mut kinds, mut reason) = (BTreeMap::new(), None);
        while let Some(came) = self.frame() {
            *kinds.entry(came.kind).or_default() += 1;
            if came.kind == GOAWAY {
                reason = Some(came.reason());
            }
        }
        (kinds, reason)
    }
}

impl Came {
    /// Why a `GOAWAY` was sent.
    pub(crate) fn reason(&self) -> u32 {
        u32::from_be_bytes(self.payload[4..8].try_into().unwrap())
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The payload of a `SETTINGS` frame.
pub(crate) fn setting(settings: &[(u16, u32)]) -> Vec<u8> {
    let bytes = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    settings.iter().flat_map(bytes).collect()
}

/// A literal field that is never indexed, without Huffman coding.
pub(crate) fn literal(head: &mut Vec<u8>, name: &str, value: &str) {
    head.push(0x10);
    for text in [name, value] {
        length(head, text.len());
        head.extend(text.as_bytes());
    }
}

/// RFC 7541 §5.1 with a prefix of seven bits.
fn length(head: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return head.push(u8::try_from(length).unwrap());
    }
    head.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        head.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    head.push(u8::try_from(rest).unwrap());
}
