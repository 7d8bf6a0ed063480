//! Reads the tree into the structs of `file`, and goes on after each mistake.

use std::rc::Rc;
use std::sync::Arc;

use super::error::Located;
use super::error::Place;
use super::error::Problem;
use super::error::Problems;
use super::error::below;
use super::source::Mark;
use super::source::Source;
use super::source::printable;
use super::tree::Content;
use super::tree::Node;

/// Characters of a value that a message repeats.
const MAX_QUOTED: usize = 60;

/// A type that a node can be read as. Nothing comes back where problems were reported instead.
pub(super) trait Read: Sized {
    fn read(at: &At, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A type that is written as one piece of text.
pub(super) trait Scalar: Sized {
    /// What is written, with an example: "a duration such as `10s`".
    const EXPECTED: &'static str;
    /// Whether quotes change nothing; they make text of what would be a number.
    const IS_TEXT: bool = true;

    /// Reads the text; the only place with the grammar.
    fn parse(text: &str) -> Result<Self, Wrong>;
}

/// Text that does not follow its grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong with it.
    pub(super) message: String,
    /// What would be right.
    pub(super) remedy: String,
}

/// A node, and the key it stands at.
pub(super) struct At {
    node: Rc<Node>,
    key: String,
    mark: Mark,
}

/// Where places and problems come together.
pub(super) struct Reader<'p> {
    pub(super) source: Arc<Source>,
    pub(super) problems: &'p mut Problems,
}

/// One value, or a list of them.
#[derive(Debug)]
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

/// A mapping from names of the operator's choice, in the order written.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(Located<String>, T)>);

/// The entries of a mapping that have not been asked for yet.
pub(super) struct Entries(Vec<(&'static str, At)>);

impl At {
    pub(super) fn new(node: &Rc<Node>, key: String) -> Self {
        Self { node: Rc::clone(node), key, mark: node.mark }
    }

    /// The value of a key; one that was left out is shown by its key.
    fn value(node: &Rc<Node>, key: String, name: &Node) -> Self {
        let mark = if node.is_absent() { name.mark } else { node.mark };
        Self { node: Rc::clone(node), key, mark }
    }
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}

impl<T: Scalar> Read for T {
    fn read(at: &At, reader: &mut Reader<'_>) -> Option<Self> {
        let wrong = match &at.node.content {
            _ if at.node.is_null() => {
                Wrong::new("there is no value", format!("write {}, or remove the key", T::EXPECTED))
            }
            Content::Scalar { text, .. } if text.contains("${") && text.contains('}') => {
                Wrong::new(
                    "nothing is put in for `${…}`: the text would be taken as it stands",
                    "write the value itself; a secret goes in a `…_file`, or its variable's name in `…_env`",
                )
            }
            Content::Scalar { text, quoted: true } if !T::IS_TEXT => Wrong::new(
                format!("{} in quotes is text", quoted(text)),
                format!("write {}, without quotes", T::EXPECTED),
            ),
            Content::Scalar { text, .. } => match T::parse(text) {
                Ok(value) => return Some(value),
                Err(wrong) => wrong,
            },
            Content::List(_) => Wrong::new("this is a list", format!("write {}", T::EXPECTED)),
            Content::Mapping(_) => {
                Wrong::new("this is a mapping", format!("write {}", T::EXPECTED))
            }
        };
        reader.wrong(at, wrong.message, wrong.remedy);
        None
    }
}

impl<T: Read> Read for Located<T> {
    fn read(at: &At, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.has_tag(at) {
            return None;
        }
        T::read(at, reader).map(|value| Self::new(value, reader.place(at)))
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(at: &At, reader: &mut Reader<'_>) -> Option<Self> {
        let items = match &at.node.content {
            _ if at.node.is_null() => return Some(Self::new()),
            Content::List(items) => items,
            _ => {
                reader.wrong(
                    at,
                    "this is not a list",
                    "put it in brackets, `[…]`, or after a `- `",
                );
                return None;
            }
        };
        let place = |(index, item)| At::new(item, format!("{}[{index}]", at.key));
        Some(items.iter().enumerate().map(place).filter_map(|at| T::read(&at, reader)).collect())
    }
}

impl<T: Read> Read for OneOrMore<T> {
    fn read(at: &At, reader: &mut Reader<'_>) -> Option<Self> {
        match &at.node.content {
            Content::List(items) => {
                let all = Vec::<T>::read(at, reader)?;
                if items.is_empty() {
                    reader.wrong(
                        at,
                        "this list is empty",
                        "write at least one name, or remove the key",
                    );
                }
                Some(Self(all))
            }
            _ => T::read(at, reader).map(|one| Self(vec![one])),
        }
    }
}

impl<T: Read> Read for Named<T> {
    fn read(at: &At, reader: &mut Reader<'_>) -> Option<Self> {
        let mut named = Vec::new();
        for (name, at) in reader.unique(at, "names, each with its value")? {
            if let Some(value) = T::read(&at, reader) {
                named.push((name, value));
            }
        }
        Some(Self(named))
    }
}

impl Entries {
    /// The value of a key, if it was written and can be read.
    pub(super) fn take<T: Read>(&mut self, name: &str, reader: &mut Reader<'_>) -> Option<T> {
        let place = self.0.iter().position(|(known, _)| *known == name)?;
        T::read(&self.0.swap_remove(place).1, reader)
    }
}

impl Reader<'_> {
    pub(super) fn place(&self, at: &At) -> Place {
        Place::in_file(&self.source, at.mark, &at.key)
    }

    pub(super) fn wrong(&mut self, at: &At, message: impl Into<String>, remedy: impl Into<String>) {
        let place = self.place(at);
        self.problems.add(Problem::new(place, message, remedy));
    }

    /// A mapping whose keys are ours. Keys of the design that come with a later version are told from
    /// keys that nobody knows.
    pub(super) fn entries(
        &mut self,
        at: &At,
        known: &[&'static str],
        later: &[&str],
    ) -> Option<Entries> {
        let mut entries = Vec::new();
        for (name, value) in self.unique(at, &format!("keys of {}", list(known)))? {
            match known.iter().find(|known| **known == name.value) {
                Some(known) => entries.push((*known, value)),
                None => self.unknown(&at.key, &name, known, later),
            }
        }
        Some(Entries(entries))
    }

    fn unknown(&mut self, parent: &str, name: &Located<String>, known: &[&str], later: &[&str]) {
        let shown = quoted(name);
        let problem = if later.contains(&name.as_str()) {
            let message = format!("{shown} is part of the design, but not of this version yet");
            Problem::new(
                name.place.clone(),
                message,
                "remove the key; a later version will know it",
            )
        } else if let Some(meant) = nearest(name, known) {
            self.problems.excuse(below(parent, meant));
            let message = format!("there is no key {shown} here");
            Problem::new(name.place.clone(), message, format!("did you mean `{meant}`?"))
        } else if let Some(stem) = known.iter().find_map(|key| {
            let stem = key.strip_suffix("_file").or_else(|| key.strip_suffix("_env"))?;
            (stem == name.as_str()).then_some(stem)
        }) {
            let message = format!("{shown} would be a secret in the configuration");
            let remedy = format!(
                "name the file it is in with `{stem}_file`, or its variable with `{stem}_env`"
            );
            Problem::new(name.place.clone(), message, remedy)
        } else {
            let message = format!("there is no key {shown} here");
            Problem::new(name.place.clone(), message, format!("the keys are {}", list(known)))
        };
        self.problems.add(problem);
    }

    /// The entries of a mapping, without doubles.
    fn unique(&mut self, at: &At, expected: &str) -> Option<Vec<(Located<String>, At)>> {
        if self.has_tag(at) {
            return None;
        }
        let entries = match &at.node.content {
            _ if at.node.is_null() => return Some(Vec::new()),
            Content::Mapping(entries) => entries,
            _ => {
                self.wrong(at, "this is not a mapping", format!("write {expected}"));
                return None;
            }
        };
        let mut unique: Vec<(Located<String>, At)> = Vec::new();
        for (key, value) in entries {
            let Content::Scalar { text, quoted: is_quoted } = &key.content else {
                let key = At::new(key, at.key.clone());
                self.wrong(&key, "a key must be one word", format!("write {expected}"));
                continue;
            };
            let path = below(&at.key, &one_line(text));
            let place = Place::in_file(&self.source, key.mark, &path);
            if text == "<<" && !is_quoted {
                let remedy = "write the keys out, or use an alias for the whole value";
                self.problems.add(Problem::new(place, "merge keys are not understood", remedy));
            } else if let Some((first, _)) = unique.iter().find(|(name, _)| name.value == *text) {
                let line = first.place.line().unwrap_or_default();
                let message = format!("the key {} was given on line {line} already", quoted(text));
                self.problems.add(Problem::new(place, message, "keep one of the two"));
            } else {
                let value = At::value(value, path, key);
                unique.push((Located::new(text.clone(), place), value));
            }
        }
        Some(unique)
    }

    /// Whether the node carries a tag that would change what it is; reported.
    fn has_tag(&mut self, at: &At) -> bool {
        match at.node.tag.as_deref() {
            None | Some("!!str" | "!!map" | "!!seq" | "!!int" | "!!bool" | "!") => false,
            Some(tag) => {
                let message = format!("the tag {} is not understood", quoted(tag));
                self.wrong(at, message, "write the value itself");
                true
            }
        }
    }
}

/// Reads a mapping into a struct, key by field; keys of the design that are not here yet come after `later`.
macro_rules! mapping {
    ($type:ident { $($field:ident),* $(,)? } $(later { $($later:literal),* $(,)? })?) => {
        impl Read for $type {
            fn read(at: &At, reader: &mut Reader<'_>) -> Option<Self> {
                #[allow(unused_mut, unused_variables, reason = "a mapping may have no keys")]
                let mut entries =
                    reader.entries(at, &[$(stringify!($field)),*], &[$($($later),*)?])?;
                Some(Self { $($field: entries.take(stringify!($field), reader)),* })
            }
        }
    };
}

pub(super) use mapping;

/// Text in backticks on one line, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("`{}…`", one_line(text.get(..end).unwrap_or_default())),
        None => format!("`{}`", one_line(text)),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// "`a`, `b` and `c`".
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "none".to_owned(),
    }
}

/// The word somebody probably meant: one that differs in a few letters, in case, or in `-` and `_`.
pub(super) fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let written = plain(written);
    if written.len() > 64 {
        return None;
    }
    let allowed = (written.len() / 3).clamp(1, 3);
    let length = written.chars().count();
    let near = words
        .iter()
        .map(|word| (plain(word), *word))
        // As many letters at least were added or dropped, and this is asked of every key of a file.
        .filter(|(plain, _)| plain.chars().count().abs_diff(length) <= allowed)
        .map(|(plain, word)| (distance(&written, &plain), word));
    near.filter(|(distance, _)| *distance <= allowed).min().map(|(_, word)| word)
}

/// Letters to add, drop, change or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut cost =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_is_recognized() {
        let words = ["upstream", "upstream_tls", "look", "name", "distribution", "url"];
        for (written, meant) in [
            ("upstraem", Some("upstream")),
            ("Upstream", Some("upstream")),
            ("upstream-tls", Some("upstream_tls")),
            ("distributon", Some("distribution")),
            ("nmae", Some("name")),
            ("uri", Some("url")),
            ("webhook", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, &words), meant, "{written}");
        }
    }

    #[test]
    fn words_are_listed_and_quoted() {
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(list(&["a"]), "`a`");
        assert_eq!(quoted("a\nb"), "`a\u{fffd}b`");
        assert_eq!(quoted(&"é".repeat(100)).chars().count(), MAX_QUOTED + 3);
    }
}
