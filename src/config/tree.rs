//! YAML into a tree in which every node knows its place.
//!
//! Scalars stay the text they were written as: `1.20` is a tag as well as a number, and only who asks for
//! the value knows which. The parser's own limits stay on; ours are the size of the text, the depth, and
//! the size after aliases were followed, so that no file can make us work long.

use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::Event;
use serde_saphyr::granit_parser::Marker;
use serde_saphyr::granit_parser::Parser;
use serde_saphyr::granit_parser::ScalarStyle;
use serde_saphyr::granit_parser::Span;
use serde_saphyr::granit_parser::Tag;
use serde_saphyr::granit_parser::options;

use super::read::nearest;
use super::source::Hidden;
use super::source::Mark;
use super::source::shown_url;

/// Levels of lists and mappings inside each other.
const MAX_DEPTH: usize = 32;

/// Nodes, those behind an alias counted at each use.
const MAX_NODES: usize = 100_000;

/// Parts of the names that secrets are given; the misspelt ones count too.
const SECRETS: &[&str] = &["pass", "password", "secret", "token", "credential", "authorization"];

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    /// `!name`, if one was written.
    pub(super) tag: Option<String>,
    pub(super) content: Content,
    bytes: std::ops::Range<usize>,
    height: usize,
    nodes: usize,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Content {
    /// Text, and whether it was quoted or in a block.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Rc<Node>>),
    /// Keys and values as written, doubles included.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

/// Text that is no YAML, or more of it than we take.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) mark: Mark,
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

impl Node {
    /// A scalar that says nothing: left empty, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar { text, quoted: false } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// A scalar of no characters; the parser makes a null of it.
    pub(super) fn is_absent(&self) -> bool {
        self.is_null() && self.bytes.is_empty()
    }

    /// What of the tree must not be shown.
    pub(super) fn hidden(&self) -> Vec<Hidden> {
        let mut found = Vec::new();
        self.hide(Whole::Url, &mut found);
        found
    }

    fn hide(&self, whole: Whole, found: &mut Vec<Hidden>) {
        match &self.content {
            Content::Scalar { text, .. } => {
                let shown = match whole {
                    Whole::Secret => "…".to_owned(),
                    _ if is_secret(text) => "…".to_owned(),
                    Whole::Path if !text.contains("://") => shown_url(text),
                    _ if text.contains("://") => shown_url(text),
                    _ => return,
                };
                if shown != *text {
                    found.push(Hidden { range: self.bytes.clone(), shown });
                }
            }
            Content::List(items) => items.iter().for_each(|item| item.hide(whole, found)),
            Content::Mapping(entries) => {
                for (key, value) in entries {
                    let inside = match &key.content {
                        Content::Scalar { text, .. } if whole != Whole::Secret => {
                            Whole::below(text)
                        }
                        _ => whole,
                    };
                    value.hide(inside, found);
                }
            }
        }
    }
}

/// Whether a text can be nothing but a secret, wherever it stands.
pub(super) fn is_secret(text: &str) -> bool {
    ["whsec_", "whsk_", "-----BEGIN "].iter().any(|start| text.starts_with(start))
}

/// What of a scalar is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// All of it.
    Secret,
    /// What follows the host and the first segment, whether or not it looks like a URL.
    Path,
    /// The same, of URLs only.
    Url,
}

impl Whole {
    fn below(key: &str) -> Self {
        let key = key.to_ascii_lowercase();
        let elsewhere = ["_file", "_env"].iter().any(|end| key.ends_with(end));
        let named = SECRETS.iter().any(|name| key.contains(name));
        let names_one = named || nearest(&key, SECRETS).is_some();
        if key == "headers" || names_one && !elsewhere {
            Self::Secret
        } else if key == "url" {
            Self::Path
        } else {
            Self::Url
        }
    }
}

/// Reads the one document of a text; nothing where there is none.
pub(super) fn parse(text: &str) -> Result<Option<Rc<Node>>, Unreadable> {
    let options = options! {
        emit_comments: false,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| syntax(text, &error))?;
        builder.take(event, &span)?;
    }
    Ok(builder.root)
}

fn syntax(text: &str, error: &serde_saphyr::granit_parser::ScanError) -> Unreadable {
    let mark = Mark { line: error.marker().line(), column: error.marker().col() + 1, width: 1 };
    let line = text.lines().nth(mark.line.saturating_sub(1)).unwrap_or_default();
    let indent: &str = line.split(|c: char| !c.is_whitespace()).next().unwrap_or_default();
    let remedy = if indent.contains('\t') {
        "indent with spaces: YAML takes no tabs there"
    } else {
        "look at the indentation, and quote text that holds `: `, ` #`, or starts with one of `*&!@%{[|>`"
    };
    Unreadable { mark, message: format!("not YAML: {}", error.info()), remedy }
}

/// A list or mapping whose end was not seen yet.
struct Open {
    span: Mark,
    start: usize,
    tag: Option<String>,
    anchor: usize,
    height: usize,
    nodes: usize,
    content: Content,
    key: Option<Rc<Node>>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Unreadable> {
        let mark = mark(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain;
                let content = Content::Scalar { text: text.into_owned(), quoted };
                let node = Node {
                    mark,
                    tag: tag.as_deref().map(Tag::original),
                    content,
                    bytes: offset(&span.start)..offset(&span.end),
                    height: 0,
                    nodes: 1,
                };
                self.put(Rc::new(node), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.start(mark, span, anchor, tag.as_deref(), Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.start(mark, span, anchor, tag.as_deref(), Content::Mapping(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.put(node, 0),
                None => Err(Unreadable {
                    mark,
                    message: "the alias stands inside what it stands for".to_owned(),
                    remedy: "write the value out",
                }),
            },
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents == 1 {
                    return Ok(());
                }
                Err(Unreadable {
                    mark,
                    message: "a second document starts here".to_owned(),
                    remedy: "keep one document in the file: remove the `---`",
                })
            }
            _ => Ok(()),
        }
    }

    fn start(
        &mut self,
        mark: Mark,
        span: &Span,
        anchor: usize,
        tag: Option<&Tag>,
        content: Content,
    ) -> Result<(), Unreadable> {
        let tag = tag.map(Tag::original);
        let start = offset(&span.start);
        let open = Open { span: mark, start, tag, anchor, height: 0, nodes: 1, content, key: None };
        self.open.push(open);
        self.check(mark, 0, 0)
    }

    fn end(&mut self, span: &Span) -> Result<(), Unreadable> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let node = Node {
            mark: open.span,
            tag: open.tag,
            content: open.content,
            bytes: open.start..offset(&span.end),
            height: open.height + 1,
            nodes: open.nodes,
        };
        self.put(Rc::new(node), open.anchor)
    }

    fn put(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), Unreadable> {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.check(node.mark, node.height, node.nodes)?;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.height = open.height.max(node.height);
        open.nodes += node.nodes;
        match (&mut open.content, open.key.take()) {
            (Content::Mapping(entries), Some(key)) => entries.push((key, node)),
            (Content::Mapping(_), None) => open.key = Some(node),
            (Content::List(items), _) => items.push(node),
            (Content::Scalar { .. }, _) => {}
        }
        Ok(())
    }

    fn check(&self, mark: Mark, height: usize, nodes: usize) -> Result<(), Unreadable> {
        if self.open.len() + height > MAX_DEPTH {
            let message =
                format!("lists and mappings stand more than {MAX_DEPTH} deep in each other");
            return Err(Unreadable {
                mark,
                message,
                remedy: "no key of ours needs a third of that",
            });
        }
        if nodes + self.open.iter().map(|open| open.nodes).sum::<usize>() > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, with each alias written out");
            return Err(Unreadable {
                mark,
                message,
                remedy: "use fewer aliases, or fewer entries",
            });
        }
        Ok(())
    }
}

fn mark(span: &Span) -> Mark {
    let width = match span.end.line() == span.start.line() {
        true => span.end.col().saturating_sub(span.start.col()),
        false => 1,
    };
    Mark { line: span.start.line(), column: span.start.col() + 1, width: width.max(1) }
}

/// The byte a marker stands at; known for every text that is in memory.
fn offset(marker: &Marker) -> usize {
    marker.byte_offset().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (usize, usize, String) {
        let error = parse(text).unwrap_err();
        (error.mark.line, error.mark.column, error.message)
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        let root = parse("tags: [1.20, 'no',\n  *a]\n".replace("*a", "0x1F").as_str());
        let root = root.unwrap().unwrap();
        let Content::Mapping(entries) = &root.content else { panic!("{root:?}") };
        let Content::List(items) = &entries[0].1.content else { panic!("{root:?}") };
        let seen: Vec<_> = items
            .iter()
            .map(|item| match &item.content {
                Content::Scalar { text, quoted } => {
                    (text.as_str(), *quoted, item.mark.line, item.mark.column, item.mark.width)
                }
                _ => panic!("{item:?}"),
            })
            .collect();
        let expected = [("1.20", false, 1, 8, 4), ("no", true, 1, 14, 4), ("0x1F", false, 2, 3, 4)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_alias_is_the_value_of_its_anchor() {
        let root = parse("a: &x {k: v}\nb: *x\n").unwrap().unwrap();
        let Content::Mapping(entries) = &root.content else { panic!("{root:?}") };
        assert!(Rc::ptr_eq(&entries[0].1, &entries[1].1));
    }

    #[test]
    fn what_is_no_yaml_names_its_place() {
        assert!(parse("").unwrap().is_none());
        assert!(parse("# nothing\n").unwrap().is_none());
        for (text, line) in [
            ("a: [1, 2\nb: 3\n", 2),
            ("a: 'x\n", 1),
            ("a: b: c\n", 1),
            ("a: *nowhere\n", 1),
            ("a: 1\n---\nb: 2\n", 2),
            ("a: &x [*x]\n", 1),
            ("a: \"\\q\"\n", 1),
        ] {
            let (at, column, message) = refused(text);
            assert!(column > 0 && message.len() > 10, "{text:?}: {message}");
            assert!(at >= line, "{text:?} {at}: {message}");
        }
        let error = parse("a:\n\tb: 1\n").unwrap_err();
        assert!(error.remedy.contains("tabs"), "{error:?}");
    }

    #[test]
    fn no_text_makes_us_work_long() {
        let (.., message) = refused(&"[".repeat(10_000));
        assert!(message.contains("deep") || message.contains("nest") || message.contains("limit"));
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{},", n - 1).repeat(10);
            laughs.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        assert!(refused(&laughs).2.contains("more than 100000 values"));
        let mut deep = "a0: &a0 [x]\n".to_owned();
        for n in 1..1000 {
            deep.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
        }
        assert!(refused(&deep).2.contains("deep"));
    }

    #[test]
    fn what_looks_secret_is_hidden() {
        let text = "url: h/a/b\nupstream: http://u:p@h\nsign: {secret: s, secret_file: f}\n\
                    headers: {A: b}\ntoken: [t]\npasswrod: p\nsecret_env: whsec_x\n";
        let root = parse(text).unwrap().unwrap();
        let hidden: Vec<_> =
            root.hidden().into_iter().map(|h| (text.get(h.range).unwrap(), h.shown)).collect();
        let expected = [
            ("h/a/b", "h/a…"),
            ("http://u:p@h", "http://…@h"),
            ("s", "…"),
            ("b", "…"),
            ("t", "…"),
            ("p", "…"),
            ("whsec_x", "…"),
        ];
        let expected = expected.map(|(secret, shown)| (secret, shown.to_owned()));
        assert_eq!(hidden, expected);
    }
}
