use std::io::Read;

use crate::support::Raw;

/// One request over HTTP/2, frame by frame, with what no library would send.
#[derive(Default)]
pub(super) struct Stream {
    frames: Vec<u8>,
    given_up: bool,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With an answer of this status.
    Answer(u16),
    /// It was reset, for this reason (RFC 9113 §7).
    Reset(u32),
    /// The whole connection was, for this reason.
    GoAway(u32),
    /// Without a word.
    Closed,
}

const CANCEL: u32 = 8;
const STREAM: u32 = 1;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Stream {
    /// A block of fields; with `last` nothing follows.
    pub(super) fn fields(mut self, fields: &[(String, String)], last: bool) -> Self {
        let mut block = Vec::new();
        for (name, value) in fields {
            // A literal that is not indexed, its name new (RFC 7541 §6.2.2).
            block.push(0);
            for text in [name, value] {
                string(&mut block, text);
            }
        }
        self.frame(HEADERS, END_HEADERS | if last { END_STREAM } else { 0 }, &block);
        self
    }

    pub(super) fn data(mut self, text: &str, last: bool) -> Self {
        self.frame(DATA, if last { END_STREAM } else { 0 }, text.as_bytes());
        self
    }

    /// Gives the request up.
    pub(super) fn reset(mut self) -> Self {
        self.frame(RST_STREAM, 0, &CANCEL.to_be_bytes());
        self.given_up = true;
        self
    }

    fn frame(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        self.frames.extend(frame(kind, flags, STREAM, payload));
    }

    /// Sends it over a connection of its own and waits for its end.
    pub(super) fn exchange(self, raw: &mut Raw) -> End {
        raw.offer(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.offer(&frame(SETTINGS, 0, 0, &[]));
        raw.offer(&self.frames);
        if self.given_up {
            // Nobody answers that; the end of the connection is as far as it goes.
            raw.end();
        }
        loop {
            let mut head = [0; 9];
            if raw.read_exact(&mut head).is_err() {
                return End::Closed;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if raw.read_exact(&mut payload).is_err() {
                return End::Closed;
            }
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match head[3] {
                HEADERS => return End::Answer(status(&payload)),
                RST_STREAM => return End::Reset(number(0)),
                GOAWAY => return End::GoAway(number(4)),
                SETTINGS if head[4] == 0 => raw.offer(&frame(SETTINGS, 1, 0, &[])),
                _ => {}
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A string as it is (RFC 7541 §5.2); a character below U+0100 is the byte of its number.
fn string(block: &mut Vec<u8>, text: &str) {
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let mut length = bytes.len();
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).unwrap());
    }
    block.extend(bytes);
}

/// The status, which is the first field: one of the static table, or a literal in Huffman's code.
fn status(block: &[u8]) -> u16 {
    match block {
        [indexed @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]
        }
        [0x08 | 0x48, length, rest @ ..] if length & 0x80 != 0 => {
            let bits: String = rest.iter().map(|b| format!("{b:08b}")).collect();
            let mut rest = bits.as_str();
            let mut status = 0;
            for _ in 0..3 {
                // 0 to 2 take five bits, the other digits six.
                let (five, six) = (rest.split_at(5), rest.split_at(6));
                let digit = match u16::from_str_radix(five.0, 2).unwrap() {
                    digit @ 0..=2 => {
                        rest = five.1;
                        digit
                    }
                    _ => {
                        rest = six.1;
                        u16::from_str_radix(six.0, 2).unwrap() - 0b011_001 + 3
                    }
                };
                status = status * 10 + digit;
            }
            status
        }
        [0x08 | 0x48, 3, rest @ ..] => std::str::from_utf8(&rest[..3]).unwrap().parse().unwrap(),
        _ => panic!("no status in {block:?}"),
    }
}
