//! Which events an endpoint asked for: its `when`.
//!
//! Rules of the defaults, so that one `docker push` of a multi-platform image is one webhook:
//! an untagged manifest needs `untagged: true`; a tag that names a digest (`sha256-<hex>`, with or
//! without `.sig` and the like) needs a pattern in `tags` that starts with `sha256-` or `sha512-`, or
//! its kind written in `kinds`; signatures, attestations and SBOMs need their kind written in `kinds`.

use globset::GlobBuilder;
use globset::GlobMatcher;

use crate::registry::Kind;
use crate::registry::Tag;

use super::Action;
use super::Change;
use super::Event;

/// What an endpoint asked for. Every rule must let an event through.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The actions wanted.
    pub actions: Vec<Action>,
    /// Patterns of repository names; none means all.
    pub repositories: Patterns,
    /// Patterns of tags; none means all.
    pub tags: Patterns,
    /// The changes wanted; none means all. An event whose change is unknown always passes: dropping it
    /// could drop news.
    pub changes: Vec<Change>,
    /// The kinds wanted, if any were written; otherwise all but signatures, attestations and SBOMs.
    pub kinds: Option<Vec<Kind>>,
    /// Whether manifests without a tag are wanted, such as the children of an index.
    pub untagged: bool,
}

/// Globs, of which those that start with `!` exclude. The last one that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    excludes: bool,
    glob: GlobMatcher,
}

/// A glob that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a pattern: {reason}")]
pub struct InvalidPattern {
    /// What is wrong with it.
    pub reason: String,
}

/// The rule that kept an event from an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `when.actions`
    Actions,
    /// `when.repositories`
    Repositories,
    /// `when.tags`
    Tags,
    /// `when.changes`
    Changes,
    /// `when.kinds`
    Kinds,
    /// `when.untagged`
    Untagged,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            actions: vec![Action::Push],
            repositories: Patterns::default(),
            tags: Patterns::default(),
            changes: Vec::new(),
            kinds: None,
            untagged: false,
        }
    }
}

impl Filter {
    /// Whether the endpoint wants the event.
    ///
    /// # Errors
    ///
    /// The first rule that keeps it away.
    pub fn wants(&self, event: &Event) -> Result<(), Rule> {
        if !self.actions.contains(&event.action) {
            return Err(Rule::Actions);
        }
        if !self.repositories.allow(event.repository.as_str()) {
            return Err(Rule::Repositories);
        }
        match &event.tag {
            // What is mounted is a blob, and has no tag whatever is wanted of manifests.
            None if !self.untagged && event.action != Action::Mount => return Err(Rule::Untagged),
            None => {}
            Some(tag) if !self.wants_tag(tag, event.kind) => return Err(Rule::Tags),
            Some(_) => {}
        }
        if !self.changes.is_empty() && event.change.is_some_and(|c| !self.changes.contains(&c)) {
            return Err(Rule::Changes);
        }
        if event.kind.is_some_and(|kind| !self.wants_kind(kind)) {
            return Err(Rule::Kinds);
        }
        Ok(())
    }

    fn wants_tag(&self, tag: &Tag, kind: Option<Kind>) -> bool {
        let asked = || {
            self.tags
                .0
                .iter()
                .any(|p| p.text.starts_with("sha256-") || p.text.starts_with("sha512-"))
                || kind.is_some_and(|kind| kind.is_about_another() && self.wants_kind(kind))
        };
        self.tags.allow(tag.as_str()) && (!tag.names_a_digest() || asked())
    }

    fn wants_kind(&self, kind: Kind) -> bool {
        match &self.kinds {
            Some(kinds) => kinds.contains(&kind),
            None => !kind.is_about_another(),
        }
    }
}

impl Patterns {
    /// Reads globs in which `*` does not cross a `/` and `**` does.
    ///
    /// # Errors
    ///
    /// The place of the first text that is no glob, and what is wrong with it.
    pub fn read(texts: &[String]) -> Result<Self, (usize, InvalidPattern)> {
        let read = |(place, text): (usize, &String)| {
            let (excludes, glob) = match text.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, text.as_str()),
            };
            let empty = || (place, InvalidPattern { reason: "it is empty".to_owned() });
            if glob.is_empty() {
                return Err(empty());
            }
            let glob = GlobBuilder::new(glob)
                .literal_separator(true)
                .build()
                .map_err(|e| (place, InvalidPattern { reason: e.kind().to_string() }))?;
            Ok(Pattern { text: text.clone(), excludes, glob: glob.compile_matcher() })
        };
        texts.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the text passes: the last pattern that matches it decides. Where none does, it passes
    /// only if every pattern excludes.
    #[must_use]
    pub fn allow(&self, text: &str) -> bool {
        let last = self.0.iter().rev().find(|pattern| pattern.glob.is_match(text));
        last.map_or_else(|| self.0.iter().all(|p| p.excludes), |pattern| !pattern.excludes)
    }
}

impl Rule {
    /// The key of the configuration the rule comes from.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Actions => "actions",
            Self::Repositories => "repositories",
            Self::Tags => "tags",
            Self::Changes => "changes",
            Self::Kinds => "kinds",
            Self::Untagged => "untagged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::sample;
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
        Patterns::read(&texts).unwrap()
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        for (globs, text, expected) in [
            (&[][..], "a", true),
            (&["team/**"][..], "team/a/b", true),
            (&["team/*"], "team/a/b", false),
            (&["team/**", "!team/x/**"], "team/x/a", false),
            (&["!team/x/**", "team/**"], "team/x/a", true),
            (&["!*-dev"], "1.0", true),
            (&["!*-dev"], "1.0-dev", false),
            (&["1.[0-9]"], "1.4", true),
        ] {
            assert_eq!(patterns(globs).allow(text), expected, "{globs:?} {text}");
        }
        assert!(Patterns::read(&["[".to_owned()]).is_err());
        assert!(Patterns::read(&["!".to_owned()]).is_err());
    }

    #[test]
    fn the_default_takes_tagged_pushes_only() {
        let filter = Filter::default();
        let event = sample();
        assert_eq!(filter.wants(&event), Ok(()));
        assert_eq!(filter.wants(&Event { tag: None, ..event.clone() }), Err(Rule::Untagged));
        let deleted = Event { action: Action::Delete, ..event.clone() };
        assert_eq!(filter.wants(&deleted), Err(Rule::Actions));
        let signature = format!("sha256-{}.sig", "a".repeat(64)).parse().unwrap();
        let signature =
            Event { tag: Some(signature), kind: Some(Kind::Signature), ..event.clone() };
        assert_eq!(filter.wants(&signature), Err(Rule::Tags));
        let asking = Filter { kinds: Some(vec![Kind::Signature]), ..Filter::default() };
        assert_eq!(asking.wants(&signature), Ok(()));
        let mounted = Event { action: Action::Mount, tag: None, kind: None, ..event.clone() };
        assert_eq!(filter.wants(&mounted), Err(Rule::Actions));
        let asking = Filter { actions: vec![Action::Mount], ..Filter::default() };
        assert_eq!(asking.wants(&mounted), Ok(()));
        let sbom = Event { kind: Some(Kind::Sbom), ..event };
        assert_eq!(filter.wants(&sbom), Err(Rule::Kinds));
    }

    #[test]
    fn an_unknown_change_passes() {
        let filter = Filter { changes: vec![Change::Created], ..Filter::default() };
        assert_eq!(filter.wants(&Event { change: None, ..sample() }), Ok(()));
        let moved = Event { change: Some(Change::Moved), ..sample() };
        assert_eq!(filter.wants(&moved), Err(Rule::Changes));
    }
}
