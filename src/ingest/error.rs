use std::fmt;

use super::Kind;

/// A notification that cannot be used. Nothing of it became an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is more of it than any registry sends.
    #[error("the notification has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// It lists more events than any registry sends.
    #[error("{at}: `{field}` lists {count} events; at most {limit} are read")]
    TooMany {
        /// Where the list begins.
        at: Position,
        /// The path of the list.
        field: String,
        /// How many it lists.
        count: usize,
        /// How many it may list.
        limit: usize,
    },
    /// It is not JSON.
    #[error("{at}: not JSON: {problem}")]
    Syntax {
        /// Where it stops being JSON.
        at: Position,
        /// What is wrong there.
        problem: Problem,
    },
    /// One field does not hold what it must.
    #[error("{at}: `{field}` is {found}; it must be {expected}")]
    Field {
        /// Where its value begins; where it is missing, where the object begins that should have it.
        at: Position,
        /// Its path: `events[3].target.digest`.
        field: String,
        /// What is there instead: `missing`, `an object`, or the beginning of a text.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The notification does not say which registry it is about, and nobody else did.
    #[error(
        "the notification does not name its registry ({reason}); name it in the configuration, `registry.name`, and give that with `--config`"
    )]
    Registry {
        /// Why it does not.
        reason: &'static str,
    },
    /// It is JSON, and no notification we know.
    #[error("{at}: this is no notification we know: {expected}")]
    Unknown {
        /// Where the document begins.
        at: Position,
        /// What each kind would have.
        expected: &'static str,
    },
    /// A header does not say what it must.
    #[error("the header `{header}` is {found}; it must be {expected}")]
    Header {
        /// Its name.
        header: &'static str,
        /// What is there instead: `missing`, or the beginning of its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// It comes as an HTML form, and not in the way registries send one.
    #[error(
        "the form holds no `payload` that can be decoded; let the registry send `application/json`, or the form as it is"
    )]
    Form,
    /// A text in it does not hold the document it must.
    #[error("{at}: `{field}` cannot be used: {source}")]
    Inside {
        /// Where the text begins.
        at: Position,
        /// Its path.
        field: String,
        /// What is wrong with what it holds; places count from the beginning of that.
        source: Box<Self>,
    },
    /// It is of a format that does not say enough.
    #[error("{at}: {kind} notifications in the format `{format}` cannot be used: {remedy}")]
    Format {
        /// Where what gives the format away is.
        at: Position,
        /// Whose.
        kind: Kind,
        /// Which format.
        format: &'static str,
        /// Why not, and what would be right.
        remedy: &'static str,
    },
}

/// A place in the notification, as editors count: both from one, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// What keeps bytes from being JSON that we read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A byte that begins no character.
    Utf8,
    /// Something else stands where the grammar has this.
    Expected(&'static str),
    /// An escape that there is not.
    Escape,
    /// Half of a character, `\ud83d` without its other half.
    Surrogate,
    /// A control character as it is.
    Control,
    /// More levels of objects and lists than are read.
    Depth(usize),
    /// A key that the object has already: readers differ in which of the two counts.
    Duplicate(String),
}

impl Position {
    /// The place of a byte of a text.
    pub(super) fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 => f.write_str("the bytes are not UTF-8"),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::Escape => f.write_str(
                "this escape does not exist; there are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits",
            ),
            Self::Surrogate => f.write_str(
                "this escape is half a character; both halves must be there, high before low",
            ),
            Self::Control => {
                f.write_str("a control character in a text must be written as an escape")
            }
            Self::Depth(limit) => write!(f, "it nests deeper than {limit} levels"),
            Self::Duplicate(key) => write!(f, "the key `{key}` is there twice"),
        }
    }
}

/// The beginning of a text, safe to show: control characters escaped, cut at 80 characters.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(80) {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}
