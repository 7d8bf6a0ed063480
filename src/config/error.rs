//! Every problem at once, each with its place.
//!
//! Someone who starts us with ten mistakes learns of ten. Each problem says what is wrong, where, and
//! what would be right; the lines shown never contain a secret (see `source`).

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use super::source::Mark;
use super::source::Source;
use super::source::printable;

/// Where a value comes from: a line of the file, an option of the command line, or a default.
#[derive(Clone)]
pub struct Place {
    key: String,
    at: Option<(Arc<Source>, Mark)>,
}

/// A value, and where it comes from: what a problem found later is reported with.
#[derive(Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub place: Place,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Where; nothing where no single place is at fault.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

/// All that is wrong. Its `Display` is plain text; see [`Problems::show`] for colours.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    list: Vec<Problem>,
    /// Keys that are missing because of a problem reported already.
    excused: Vec<String>,
}

/// How text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Without colours: for a file, a log, a pipe.
    Plain,
    /// With the colours of a terminal.
    Colour,
}

impl Place {
    pub(super) fn in_file(source: &Arc<Source>, mark: Mark, key: &str) -> Self {
        Self { key: key.to_owned(), at: Some((Arc::clone(source), mark)) }
    }

    /// A value from the command line or from nowhere: the option, or the key that was left out.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self { key: key.to_owned(), at: None }
    }

    /// The key and the keys above it, `endpoints[1].when.kinds[0]`, or the option, `--listen`. Empty for
    /// the file as a whole.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The file it stands in, if it stands in one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.at.as_ref().map(|(source, _)| source.path())
    }

    /// Its line, counted from one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.at.as_ref().map(|(_, mark)| mark.line)
    }

    /// Its column, counted from one in characters.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.at.as_ref().map(|(_, mark)| mark.column)
    }

    /// The same spot, where a key below it was left out.
    #[must_use]
    pub(super) fn below(&self, name: &str) -> Self {
        Self { key: below(&self.key, name), at: self.at.clone() }
    }
}

/// The path of a key inside the mapping at another.
pub(super) fn below(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

impl<T> Located<T> {
    /// Puts a value and its place together.
    #[must_use]
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    /// Another value from the same place.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), place: self.place }
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Problem {
    /// Something wrong at one place.
    #[must_use]
    pub fn new(place: Place, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into(), remedy: remedy.into() }
    }

    /// Something wrong with the whole.
    #[must_use]
    pub fn anywhere(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), remedy: remedy.into() }
    }

    fn order(&self) -> (bool, usize, usize) {
        let line = self.place.as_ref().and_then(Place::line);
        let column = self.place.as_ref().and_then(Place::column);
        (line.is_none(), line.unwrap_or(0), column.unwrap_or(0))
    }
}

impl Problems {
    /// One more.
    pub fn add(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// Whether all is well.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Each of them, in the order of the file, those without a line last.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| problem.order());
        sorted.into_iter()
    }

    /// The value, if nothing is wrong.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn unless_any<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// All of them as text, each with its line and a caret below what is wrong.
    #[must_use]
    pub fn show(&self, paint: Paint) -> String {
        let pen = Pen(paint);
        let mut text: String = self.iter().map(|problem| pen.problem(problem)).collect();
        text.push_str(&match self.len() {
            1 => "1 problem in the configuration".to_owned(),
            n => format!("{n} problems in the configuration"),
        });
        text
    }

    /// A key whose absence needs no words of its own.
    pub(super) fn excuse(&mut self, key: String) {
        self.excused.push(key);
    }

    /// Whether something at this key, above or below it was reported, so that its absence from what
    /// was read tells nothing.
    pub(super) fn touch(&self, key: &str) -> bool {
        let inside = |inner: &str, outer: &str| {
            let rest = inner.strip_prefix(outer);
            outer.is_empty() || rest.is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']))
        };
        let places = self.list.iter().filter_map(|problem| problem.place.as_ref());
        let mut touched = places.map(Place::key).filter(|k| !k.starts_with("--"));
        touched.any(|k| inside(key, k) || inside(k, key))
            || self.excused.iter().any(|excused| inside(key, excused))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `pushbell.yaml:12:5`, or the option where it stands in no file.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some((source, mark)) => {
                let path = source.path().display();
                write!(f, "{path}:{}:{}", mark.line, mark.column)
            }
            None => f.write_str(&self.key),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show(Paint::Plain))
    }
}

impl std::error::Error for Problems {}

/// Writes problems the way compilers do, which people and editors both read.
struct Pen(Paint);

impl Pen {
    fn problem(&self, problem: &Problem) -> String {
        let head = format!("{}: {}\n", self.red("error"), self.bold(&one_line(&problem.message)));
        let mut text = head;
        let shown = problem.place.as_ref().and_then(|place| place.at.as_ref());
        let gutter = shown.map_or(1, |(_, mark)| mark.line.to_string().len());
        let pad = " ".repeat(gutter);
        if let Some(place) = &problem.place {
            let key = match (&place.at, place.key()) {
                (Some(_), key) if !key.is_empty() => format!(" ({})", one_line(key)),
                _ => String::new(),
            };
            text.push_str(&format!("{pad}{} {place}{key}\n", self.blue("-->")));
        }
        let line = shown.and_then(|(source, mark)| Some((mark.line, source.line(*mark)?)));
        if let Some((number, line)) = line {
            let bar = self.blue("|");
            let number = self.blue(&number.to_string());
            let before = " ".repeat(line.before);
            let carets = self.red(&"^".repeat(line.width));
            text.push_str(&format!("{pad} {bar}\n{number} {bar} {}\n", line.text));
            text.push_str(&format!("{pad} {bar} {before}{carets}\n"));
        }
        text.push_str(&format!("{pad} {} {}\n\n", self.blue("= help:"), one_line(&problem.remedy)));
        text
    }

    fn red(&self, text: &str) -> String {
        self.coloured("1;31", text)
    }

    fn blue(&self, text: &str) -> String {
        self.coloured("1;34", text)
    }

    fn bold(&self, text: &str) -> String {
        self.coloured("1", text)
    }

    fn coloured(&self, code: &str, text: &str) -> String {
        match self.0 {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems() -> Problems {
        let source =
            Arc::new(Source::new(Path::new("p.yaml"), "a: 1\nb: [x]\n".to_owned(), vec![]));
        let place = Place::in_file(&source, Mark { line: 2, column: 5, width: 1 }, "b[0]");
        let mut problems = Problems::default();
        problems.add(Problem::new(
            Place::of("--listen"),
            "`x` is no address",
            "write `127.0.0.1:1`",
        ));
        problems.add(Problem::new(place, "`x` is no number", "write `1`"));
        problems
    }

    #[test]
    fn a_problem_shows_its_line_and_a_caret() {
        let expected = "\
error: `x` is no number
 --> p.yaml:2:5 (b[0])
  |
2 | b: [x]
  |     ^
  = help: write `1`

error: `x` is no address
 --> --listen
  = help: write `127.0.0.1:1`

2 problems in the configuration";
        assert_eq!(problems().to_string(), expected);
        assert!(problems().show(Paint::Colour).contains("\u{1b}[1;31m^\u{1b}[0m"));
    }

    #[test]
    fn a_problem_touches_the_keys_above_and_below_it() {
        let mut problems = problems();
        for (key, expected) in
            [("b", true), ("b[0]", true), ("b[0].c", true), ("b[1]", false), ("bb", false)]
        {
            assert_eq!(problems.touch(key), expected, "{key}");
        }
        problems.excuse("a.x".to_owned());
        assert!(problems.touch("a.x") && !problems.touch("a"));
    }
}
