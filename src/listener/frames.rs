//! The frames of a client's HTTP/2 connection, followed beneath the implementation, and what they cost. Pure.
//!
//! The implementation has counters of its own for resets of requests it has not handed out, `CONTINUATION`
//! and small `DATA`. What it answers or forgets without complaint is counted here: `PING`, `SETTINGS`,
//! `PRIORITY`, empty `DATA`, `WINDOW_UPDATE`, frames it does not know, and resets of requests under way.
//!
//! A frame is nine octets of head, with the length of its payload in three, its type and its flags, and then
//! the payload (RFC 9113 §4.1). Before the first come the 24 octets of the preface (§3.4).

use std::time::Instant;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// What is still to come of the preface.
    preface: usize,
    head: [u8; HEAD],
    /// How much of `head` has come.
    have: usize,
    /// What is still to come of the payload.
    left: usize,
    kind: u8,
    /// A field block has begun and not ended.
    open: bool,
    credit: u32,
    /// Bytes of use that have not made a whole credit.
    use_left: usize,
    refilled: Instant,
}

/// More frames of no use than anybody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flood;

const HEAD: usize = 9;
const PREFACE: usize = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
/// On `DATA`.
const END_STREAM: u8 = 0x1;
/// On `HEADERS` and `CONTINUATION`.
const END_HEADERS: u8 = 0x4;

/// The frames of no use that may come at once.
const BURST: u32 = 1000;
/// How many more may come in each second.
const PER_SECOND: u32 = 50;
/// A credit for so many bytes of bodies, either way: who moves data updates windows.
const USE: usize = 512;
/// What a request brings: a client may update two windows and ask for a sign of life with each.
const REQUEST: u32 = 3;
/// What a reset costs: more than its request brought.
const RESET: u32 = REQUEST + 4;

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            preface: PREFACE,
            head: [0; HEAD],
            have: 0,
            left: 0,
            kind: DATA,
            open: false,
            credit: BURST,
            use_left: 0,
            refilled: now,
        }
    }

    /// Goes on by what was read.
    ///
    /// # Errors
    ///
    /// When it was too much of no use.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        bytes = bytes.get(skipped..).unwrap_or_default();
        while !bytes.is_empty() {
            if self.left > 0 {
                let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= payload.len();
                if self.kind == DATA {
                    self.moved(payload.len());
                }
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at((HEAD - self.have).min(bytes.len()));
            if let Some(place) = self.head.get_mut(self.have..self.have + head.len()) {
                place.copy_from_slice(head);
            }
            self.have += head.len();
            bytes = rest;
            if self.have == HEAD {
                self.have = 0;
                self.begin()?;
            }
        }
        Ok(())
    }

    /// Bytes of bodies went the other way.
    pub(super) fn moved(&mut self, bytes: usize) {
        let bytes = self.use_left + bytes;
        self.use_left = bytes % USE;
        let earned = u32::try_from(bytes / USE).unwrap_or(u32::MAX);
        self.credit = self.credit.saturating_add(earned).min(BURST);
    }

    /// Whether what has come ends within a request's head, or where one may begin.
    pub(super) fn in_head(&self) -> bool {
        let block = matches!(self.kind, HEADERS | CONTINUATION) && self.left > 0;
        self.open || block || self.have > 0
    }

    fn begin(&mut self) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.kind = kind;
        match kind {
            HEADERS | CONTINUATION => {
                self.open = flags & END_HEADERS == 0;
                if kind == HEADERS {
                    self.credit = (self.credit + REQUEST).min(BURST);
                }
                Ok(())
            }
            DATA if self.left > 0 || flags & END_STREAM != 0 => Ok(()),
            RST_STREAM => self.charge(RESET),
            _ => self.charge(1),
        }
    }

    fn charge(&mut self, cost: u32) -> Result<(), Flood> {
        if self.credit < cost {
            // The clock is asked only where it matters.
            let since = self.refilled.elapsed();
            let earned = since.as_millis() * u128::from(PER_SECOND) / 1000;
            if earned > 0 {
                self.refilled += since;
                let earned = u32::try_from(earned).unwrap_or(BURST);
                self.credit = self.credit.saturating_add(earned).min(BURST);
            }
        }
        self.credit = self.credit.checked_sub(cost).ok_or(Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn begun() -> Frames {
        let mut frames = Frames::new(Instant::now());
        frames.follow(&[b'P'; PREFACE]).unwrap();
        frames
    }

    /// How many of these come before it is a flood.
    fn tolerated(round: &[Vec<u8>]) -> Option<usize> {
        let (mut frames, round) = (begun(), round.concat());
        (0..20_000).find(|_| frames.follow(&round).is_err())
    }

    #[test]
    fn a_flood_is_one_whatever_its_frames() {
        for (kind, payload) in
            [(2, vec![0; 5]), (4, vec![]), (6, vec![0; 8]), (8, vec![0; 4]), (0xaa, vec![])]
        {
            let tolerated = tolerated(&[frame(kind, 0, &payload)]).unwrap();
            assert!((1000..1100).contains(&tolerated), "{kind}: {tolerated}");
        }
        let empty = tolerated(&[frame(DATA, 0, b"")]).unwrap();
        assert!((1000..1100).contains(&empty), "{empty}");
        let request = frame(HEADERS, END_HEADERS | END_STREAM, b"head");
        let resets = tolerated(&[request, frame(RST_STREAM, 0, &[0; 4])]).unwrap();
        assert!((240..300).contains(&resets), "{resets}");
    }

    #[test]
    fn who_works_may_speak() {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, b"head");
        let (window, ping) = (frame(8, 0, &[0; 4]), frame(6, 0, &[0; 8]));
        assert_eq!(tolerated(&[request, window.clone(), window.clone(), ping]), None);
        assert_eq!(tolerated(&[frame(DATA, 0, &[0; 1024]), window.clone(), window]), None);
        assert_eq!(tolerated(&[frame(DATA, END_STREAM, b"")]), None);
    }

    #[test]
    fn time_heals() {
        let mut frames = Frames::new(Instant::now() - Duration::from_secs(3600));
        frames.follow(&[b'P'; PREFACE]).unwrap();
        let ping = frame(6, 0, &[0; 8]);
        let sent = (0..20_000).find(|_| frames.follow(&ping).is_err()).unwrap();
        assert!((2000..2100).contains(&sent), "{sent}: no more is saved up than comes at once");
    }

    #[test]
    fn an_unfinished_head_is_known_wherever_it_breaks_off() {
        let begin = frame(HEADERS, END_STREAM, b"begin");
        let end = frame(CONTINUATION, END_HEADERS, b"end");
        let whole = [begin, end].concat();
        for cut in 0..=whole.len() {
            let mut frames = begun();
            for byte in &whole[..cut] {
                frames.follow(&[*byte]).unwrap();
            }
            assert_eq!(frames.in_head(), cut > 0 && cut < whole.len(), "{cut}");
        }
        let data = frame(DATA, 0, &[0; 100]);
        let mut frames = begun();
        frames.follow(&data[..50]).unwrap();
        assert!(!frames.in_head(), "half a body is timed elsewhere");
        frames.follow(&data[50..]).unwrap();
        assert!(!frames.in_head());
    }
}
