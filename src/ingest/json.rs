//! JSON as strangers send it, read without building a tree.
//!
//! One pass, in [`super::check`], checks the whole text: the grammar of RFC 8259, at most [`MAX_DEPTH`] levels, no key twice in
//! one object. After that a value is a piece of the text, and looking into it cannot fail; unknown
//! fields cost nothing, and memory does not grow with nesting. An own reader because no library tells a
//! duplicate key in an object it was not asked about, or where a value stands that is valid JSON and wrong.

use std::borrow::Cow;

use super::check::Check;
use super::check::Repaired;
use super::error::Error;
use super::error::Position;

/// How many levels of objects and lists are read.
pub(super) const MAX_DEPTH: usize = 64;

/// Whether an escape that JSON does not have is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// It is.
    Strict,
    /// Before a punctuation mark it means the mark: `\[` is `[`. Its place is noted.
    Lenient,
}

/// A text that was found to be JSON.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    root: usize,
    /// Where escapes were that JSON does not have.
    pub(super) repaired: Repaired,
    /// What points to it, where it came out of another document: `/message/data#`.
    pub(super) inside: &'static str,
}

/// One value of a document: the bytes from its first on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    text: &'a str,
    pub(super) start: usize,
    end: usize,
}

/// The six sorts of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl<'a> Document<'a> {
    /// Checks a text.
    pub(super) fn read(text: &'a str, escapes: Escapes) -> Result<Self, Error> {
        let mut check = Check::new(text, escapes);
        let root = check.whole().map_err(|problem| {
            let at = Position::of(text, check.at);
            Error::Syntax { at, problem }
        })?;
        Ok(Self { text, root, repaired: check.repaired, inside: "" })
    }

    pub(super) fn root(&self) -> Value<'a> {
        Value::at(self.text, self.root)
    }

    pub(super) fn position(&self, byte: usize) -> Position {
        Position::of(self.text, byte)
    }
}

impl<'a> Value<'a> {
    /// The value that begins at a byte; the text was checked.
    fn at(text: &'a str, start: usize) -> Self {
        Self { text, start, end: skip_value(text.as_bytes(), start) }
    }

    pub(super) fn raw(self) -> &'a str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn sort(self) -> Sort {
        match self.raw().as_bytes().first() {
            Some(b'{') => Sort::Object,
            Some(b'[') => Sort::List,
            Some(b'"') => Sort::Text,
            Some(b't' | b'f') => Sort::Bool,
            Some(b'n') | None => Sort::Null,
            Some(_) => Sort::Number,
        }
    }

    /// The text, if it is one.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.raw().strip_prefix('"')?.strip_suffix('"')?;
        Some(unescaped(inner))
    }

    /// The value of a key, if it is an object that has the key.
    pub(super) fn member(self, key: &str) -> Option<Self> {
        self.members().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Keys and values, if it is an object.
    pub(super) fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Self)> {
        let bytes = self.text.as_bytes();
        let mut at = self.start + 1;
        let is_object = self.sort() == Sort::Object;
        std::iter::from_fn(move || {
            if !is_object {
                return None;
            }
            let key_start = skip_any(bytes, at, b" \t\r\n,");
            if bytes.get(key_start) != Some(&b'"') {
                return None;
            }
            let key = Self::at(self.text, key_start);
            let value = Self::at(self.text, skip_any(bytes, key.end, b" \t\r\n:"));
            at = value.end;
            Some((key.text()?, value))
        })
    }

    /// The values of a list; none if it is something else.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let bytes = self.text.as_bytes();
        let mut at = self.start + 1;
        let is_list = self.sort() == Sort::List;
        std::iter::from_fn(move || {
            if !is_list {
                return None;
            }
            let start = skip_any(bytes, at, b" \t\r\n,");
            if matches!(bytes.get(start), None | Some(b']')) {
                return None;
            }
            let value = Self::at(self.text, start);
            at = value.end;
            Some(value)
        })
    }
}

/// Takes the escapes out of a text that was checked.
pub(super) fn unescaped(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let first = take_unit(&mut chars);
                let unit = match first {
                    0xd800..=0xdbff => {
                        // The other half follows as a second escape; the check saw it.
                        chars.nth(1);
                        let low = take_unit(&mut chars);
                        0x10000 + ((first & 0x3ff) << 10) + (low & 0x3ff)
                    }
                    other => other,
                };
                text.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(itself) => text.push(itself),
            None => {}
        }
        rest = chars.as_str();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

fn take_unit(chars: &mut std::str::Chars<'_>) -> u32 {
    chars.by_ref().take(4).filter_map(|c| c.to_digit(16)).fold(0, |unit, digit| unit << 4 | digit)
}

/// The first byte from `at` on that is none of `any`.
pub(super) fn skip_any(bytes: &[u8], at: usize, any: &[u8]) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| any.contains(b)).count()
}

/// The byte behind the value that begins at `start`; the text was checked.
fn skip_value(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = skip_text(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            _ => at = skip_word(bytes, at),
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The byte behind a number, `true`, `false` or `null`.
fn skip_word(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let length = rest.iter().take_while(|b| !b" \t\r\n,:]}\"[{".contains(b)).count();
    start + length.max(1)
}

/// The byte behind a text.
fn skip_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return at,
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::error::Problem;
    use super::*;

    fn read(text: &str) -> Result<Document<'_>, Error> {
        Document::read(text, Escapes::Strict)
    }

    /// The tree that a library makes of the same value.
    fn tree(value: Value<'_>) -> serde_json::Value {
        match value.sort() {
            Sort::Object => value.members().map(|(k, v)| (k.into_owned(), tree(v))).collect(),
            Sort::List => value.items().map(tree).collect(),
            Sort::Text => serde_json::Value::String(value.text().unwrap().into_owned()),
            _ => serde_json::from_str(value.raw()).unwrap(),
        }
    }

    #[test]
    fn wrong_json_is_shown_where_it_is() {
        use Problem::*;
        let deep = "[".repeat(65);
        for (text, line, column, problem) in [
            ("", 1, 1, Expected("a value")),
            ("{\"a\": 1,\n \"b\" 2}", 2, 6, Expected("`:` behind the key")),
            ("{\"a\": 1,\n \"ä\": 2, \"a\": 3}", 2, 10, Duplicate("a".to_owned())),
            (r#"{"a": 1, "\u0061": 3}"#, 1, 10, Duplicate("a".to_owned())),
            (r#"{"x": {"a": {}, "a": 1}}"#, 1, 17, Duplicate("a".to_owned())),
            ("{a: 1}", 1, 2, Expected("a key in double quotes")),
            ("{\"a\": 1,}", 1, 9, Expected("a key in double quotes")),
            ("[1,]", 1, 4, Expected("a value")),
            ("[1 2]", 1, 4, Expected("`,` or `]` behind the value")),
            ("{\"a\": 1 \"b\"}", 1, 9, Expected("`,` or `}` behind the value")),
            ("{} {}", 1, 4, Expected("the end, behind the one value")),
            ("nul", 1, 1, Expected("`true`, `false` or `null`")),
            ("01", 1, 2, Expected("the end, behind the one value")),
            ("1.", 1, 3, Expected("a digit")),
            ("1e", 1, 3, Expected("a digit")),
            ("-", 1, 2, Expected("a digit")),
            ("+1", 1, 1, Expected("a value")),
            ("\"a", 1, 3, Expected("`\"`, the end of the text")),
            ("\"a\nb\"", 1, 3, Control),
            (r#""\x""#, 1, 2, Escape),
            (r#""\u12""#, 1, 2, Escape),
            (r#""\u12é4""#, 1, 2, Escape),
            (r#""\ud83d""#, 1, 8, Surrogate),
            (r#""\ud83d\u0041""#, 1, 14, Surrogate),
            (r#""\udc00""#, 1, 8, Surrogate),
            (r#""\"#, 1, 2, Escape),
            (&deep, 1, 65, Depth(64)),
        ] {
            let at = Position { line, column };
            assert_eq!(read(text).unwrap_err(), Error::Syntax { at, problem }, "{text}");
        }
        let deepest = format!("{}{}", "[".repeat(64), "]".repeat(64));
        assert!(read(&deepest).is_ok());
    }

    #[test]
    fn escapes_are_taken_out() {
        let text = r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é""#;
        let document = read(text).unwrap();
        assert_eq!(document.root().text().unwrap(), "\"\\/\u{8}\u{c}\n\r\té😀 é");
    }

    #[test]
    fn illegal_escapes_can_be_forgiven() {
        let text = r#"{"a": "VOLUME [\/x\] \["}"#;
        assert!(read(text).is_err());
        let document = Document::read(text, Escapes::Lenient).unwrap();
        assert_eq!((&document.repaired.first[..], document.repaired.count), (&[18, 21][..], 2));
        assert_eq!(document.root().member("a").unwrap().text().unwrap(), "VOLUME [/x] [");
        assert!(Document::read(r#""\x""#, Escapes::Lenient).is_err());
    }

    #[test]
    fn members_are_found_behind_anything() {
        let text = r#" { "x" : "}\"{" , "y":[{"k":0},[ ]],"k" : { } ,"\u006b2": -1.5e+3 } "#;
        let root = read(text).unwrap().root();
        assert_eq!(root.member("k").unwrap().raw(), "{ }");
        assert_eq!(root.member("k2").unwrap().raw(), "-1.5e+3");
        assert_eq!(root.member("y").unwrap().items().count(), 2);
        assert!(root.member("z").is_none());
        assert!(root.member("x").unwrap().member("k").is_none());
        assert_eq!(root.items().count(), 0);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value as Json;
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(Json::from),
            any::<String>().prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_a_library_writes_is_read_alike(json in any_json(), pretty: bool) {
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let text = write(&json).unwrap();
            prop_assert_eq!(tree(read(&text).unwrap().root()), json);
        }

        #[test]
        fn what_is_accepted_is_what_a_library_accepts(
            text in r#"[\[\]{},:"0a1.e+\\u \n-]{0,24}|(true|null|"a":|\[|\]|\{|\}|,|1){0,16}"#,
        ) {
            let library = serde_json::from_str::<serde_json::Value>(&text);
            match (read(&text), library) {
                (Ok(document), Ok(json)) => prop_assert_eq!(tree(document.root()), json),
                (Err(Error::Syntax { problem: Problem::Duplicate(_), .. }), _) => {}
                (Err(_), Err(_)) => {}
                // A number no float can hold is valid JSON all the same.
                (Ok(_), Err(error)) if error.to_string().contains("out of range") => {}
                (ours, library) => prop_assert!(false, "{ours:?} but {library:?}"),
            }
        }
    }
}
