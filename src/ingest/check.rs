//! The one pass over a whole notification: RFC 8259, with a limit to nesting and no key twice.

use std::collections::HashSet;
use std::hash::Hash;
use std::hash::Hasher;

use super::MAX_REPAIRS_NAMED;
use super::error::Problem;
use super::error::excerpt;
use super::json::Escapes;
use super::json::MAX_DEPTH;
use super::json::skip_any;
use super::json::unescaped;

/// The pass. On an error `at` is where it is.
pub(super) struct Check<'a> {
    text: &'a str,
    pub(super) at: usize,
    escapes: Escapes,
    pub(super) repaired: Repaired,
}

/// Where escapes are that JSON does not have.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    /// The first of them; a text of nothing else must not need more memory than it is long.
    pub(super) first: Vec<usize>,
    /// All of them.
    pub(super) count: usize,
}

/// A key as it is written, the same as every other way to write it. Sixteen bytes for each key: what a set of
/// them may need is a multiple of what the document is long.
struct Key<'a>(&'a str);

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || unescaped(self.0) == unescaped(other.0)
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        unescaped(self.0).hash(state);
    }
}

impl<'a> Check<'a> {
    pub(super) fn new(text: &'a str, escapes: Escapes) -> Self {
        Self { text, at: 0, escapes, repaired: Repaired::default() }
    }

    /// Checks everything; where the value begins.
    pub(super) fn whole(&mut self) -> Result<usize, Problem> {
        self.space();
        let root = self.at;
        self.value(0)?;
        self.space();
        if self.peek().is_some() {
            return Err(Problem::Expected("the end, behind the one value"));
        }
        Ok(root)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        self.at = skip_any(self.text.as_bytes(), self.at, b" \t\r\n");
    }

    fn value(&mut self, depth: usize) -> Result<(), Problem> {
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(Problem::Depth(MAX_DEPTH)),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(Problem::Expected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Problem> {
        let mut keys = HashSet::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(Problem::Expected("a key in double quotes"));
            }
            self.string()?;
            let inner = self.text.get(start + 1..self.at - 1).unwrap_or_default();
            if !keys.insert(Key(inner)) {
                self.at = start;
                return Err(Problem::Duplicate(excerpt(&unescaped(inner))));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(Problem::Expected("`:` behind the key"));
            }
            self.at += 1;
            self.space();
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Problem::Expected("`,` or `}` behind the value")),
            }
            self.space();
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Problem> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Problem::Expected("`,` or `]` behind the value")),
            }
            self.space();
        }
    }

    fn string(&mut self) -> Result<(), Problem> {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(Problem::Expected("`\"`, the end of the text")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err(Problem::Control),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Problem> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let first = self.unit()?;
                match first {
                    0xd800..=0xdbff => match self.unit() {
                        Ok(0xdc00..=0xdfff) => {}
                        _ => return Err(Problem::Surrogate),
                    },
                    0xdc00..=0xdfff => return Err(Problem::Surrogate),
                    _ => {}
                }
            }
            Some(mark) if self.escapes == Escapes::Lenient && mark.is_ascii_punctuation() => {
                self.repaired.count += 1;
                if self.repaired.first.len() < MAX_REPAIRS_NAMED {
                    self.repaired.first.push(self.at);
                }
                self.at += 2;
            }
            _ => return Err(Problem::Escape),
        }
        Ok(())
    }

    /// One `\uXXXX`.
    fn unit(&mut self) -> Result<u32, Problem> {
        let digits = self.rest().strip_prefix("\\u").and_then(|rest| rest.get(..4));
        let hex = |digits: &&str| digits.bytes().all(|b| b.is_ascii_hexdigit());
        let digits = digits.filter(hex).ok_or(Problem::Escape)?;
        let unit = u32::from_str_radix(digits, 16).map_err(|_| Problem::Escape)?;
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Problem> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Problem> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        if digits == 0 { Err(Problem::Expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Problem> {
        if !self.rest().starts_with(word) {
            return Err(Problem::Expected("`true`, `false` or `null`"));
        }
        self.at += word.len();
        Ok(())
    }
}
