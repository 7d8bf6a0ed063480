//! The text of the configuration file, and how a line of it may be shown.
//!
//! A secret has no place in the file, but people put it there, and a receiver's URL often is one. So a
//! line never leaves here without a look at what of it must stay hidden.

use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

/// Columns of a line that are shown; a longer one is cut around what is wrong.
const MAX_SHOWN: usize = 120;

/// Where a value stands. Lines and columns count from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
    /// Characters on that line, at least one.
    pub(super) width: usize,
}

/// A part of the text that is shown as something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Bytes of the text.
    pub(super) range: Range<usize>,
    pub(super) shown: String,
}

/// The file as it was read.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
    /// In the order of the text.
    hidden: Vec<Hidden>,
}

/// A line as it may be shown, and where on it the mark is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// Characters before the mark.
    pub(super) before: usize,
    pub(super) width: usize,
}

impl Source {
    pub(super) fn new(path: &Path, text: String, mut hidden: Vec<Hidden>) -> Self {
        hidden.sort_by_key(|hidden| hidden.range.start);
        Self { path: path.to_owned(), text, hidden }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The marked line without what must stay hidden; nothing where the text has no such line.
    pub(super) fn line(&self, mark: Mark) -> Option<Line> {
        let mut start = 0;
        let mut lines = self.text.split_inclusive('\n');
        for _ in 1..mark.line {
            start += lines.next()?.len();
        }
        let line = lines.next()?.trim_end_matches(['\n', '\r']);
        let mut shown: Vec<char> = Vec::new();
        let mut places = Vec::new();
        let mut written = None;
        for (offset, c) in line.char_indices() {
            places.push(shown.len());
            match self.hidden_at(start + offset) {
                Some((number, _)) if written == Some(number) => {}
                Some((number, hidden)) => {
                    written = Some(number);
                    shown.extend(hidden.shown.chars().map(printable));
                }
                None => shown.push(printable(c)),
            }
        }
        places.push(shown.len());
        let end = shown.len();
        let place = |index: usize| places.get(index).copied().unwrap_or(end);
        let first = place(mark.column.saturating_sub(1));
        let last = place(mark.column.saturating_sub(1) + mark.width);
        Some(cut(&shown, first, last.saturating_sub(first).max(1)))
    }

    fn hidden_at(&self, offset: usize) -> Option<(usize, &Hidden)> {
        let after = self.hidden.partition_point(|hidden| hidden.range.start <= offset);
        let number = after.checked_sub(1)?;
        let hidden = self.hidden.get(number)?;
        hidden.range.contains(&offset).then_some((number, hidden))
    }
}

/// At most [`MAX_SHOWN`] characters of a line, with the mark among them.
fn cut(line: &[char], before: usize, width: usize) -> Line {
    if line.len() <= MAX_SHOWN {
        return Line { text: line.iter().collect(), before, width };
    }
    let start = before.saturating_sub(MAX_SHOWN / 2);
    let end = line.len().min(start + MAX_SHOWN);
    let mut text = String::new();
    if start > 0 {
        text.push('…');
    }
    text.extend(line.get(start..end).unwrap_or_default());
    if end < line.len() {
        text.push('…');
    }
    let before = before - start + usize::from(start > 0);
    Line { text, before, width: width.min(end.saturating_sub(start)) }
}

/// A terminal obeys control characters and those that turn the direction of writing, whoever wrote them.
pub(super) fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// The text with each line blanked that may hold a secret: for text of which nobody knows what is what.
pub(super) fn harmless_lines(text: &str) -> String {
    const SUSPICIOUS: [&str; 7] =
        ["://", "password", "passwd", "secret", "token", "credential", "authorization"];
    let blank = |line: &str| {
        let lower = line.to_ascii_lowercase();
        match SUSPICIOUS.iter().any(|word| lower.contains(word)) {
            true => "…\n".to_owned(),
            false => line.to_owned(),
        }
    };
    text.split_inclusive('\n').map(blank).collect()
}

/// As much of a URL as may be shown: scheme, host and the first segment of the path.
pub(super) fn shown_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let user = if host.len() < authority.len() { "…@" } else { "" };
    let mut shown = format!("{scheme}{user}{host}");
    let Some(path) = path.strip_prefix('/') else {
        return if path.is_empty() { shown } else { shown + "…" };
    };
    let end = path.find(['/', '?', '#', '\\']).unwrap_or(path.len());
    let (first, others) = path.split_at(end);
    shown.push('/');
    shown.push_str(first);
    if !others.is_empty() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(line: usize, column: usize, width: usize) -> Mark {
        Mark { line, column, width }
    }

    #[test]
    fn of_a_url_only_scheme_host_and_first_segment_are_shown() {
        for (url, shown) in [
            ("https://h", "https://h"),
            ("https://h/", "https://h/"),
            ("https://h:1/a", "https://h:1/a"),
            ("https://h/services/T0/B0", "https://h/services…"),
            ("https://u:p@h/a", "https://…@h/a"),
            ("https://u:p@x@h", "https://…@h"),
            ("https://h?token=t", "https://h…"),
            ("https://h/a?token=t", "https://h/a…"),
            ("h/a/b", "h/a…"),
            ("u:p@h", "…@h"),
            ("", ""),
        ] {
            assert_eq!(shown_url(url), shown, "{url}");
        }
    }

    #[test]
    fn what_is_hidden_moves_the_mark() {
        let text = "a: 1\nb: { url: x-secret, kind: y }\n".to_owned();
        let range = text.find("x-secret").map(|at| at..at + 8).unwrap();
        let source =
            Source::new(Path::new("f"), text, vec![Hidden { range, shown: "x…".to_owned() }]);
        let line = source.line(mark(2, 27, 1)).unwrap();
        assert_eq!(line.text, "b: { url: x…, kind: y }");
        assert_eq!((line.before, line.width), (20, 1));
        let line = source.line(mark(2, 11, 8)).unwrap();
        assert_eq!((line.before, line.width), (10, 2));
        assert_eq!(source.line(mark(9, 1, 1)), None);
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let source = Source::new(Path::new("f"), text, Vec::new());
        let line = source.line(mark(1, 501, 1)).unwrap();
        assert_eq!(line.text.chars().nth(line.before), Some('X'));
        assert!(line.text.chars().count() <= MAX_SHOWN + 2);
    }

    #[test]
    fn control_characters_are_not_shown() {
        let source = Source::new(Path::new("f"), "a\u{1b}[31m\tb".to_owned(), Vec::new());
        assert_eq!(source.line(mark(1, 1, 1)).unwrap().text, "a\u{fffd}[31m b");
    }
}
