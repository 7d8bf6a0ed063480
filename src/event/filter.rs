//! Which events an endpoint asked for: its `when`.
//!
//! Rules of the defaults, so that one `docker push` of a multi-platform image is one webhook:
//! an untagged manifest needs `untagged: true`; a tag that names a digest (`sha256-<hex>`, with or
//! without `.sig` and the like) needs a pattern in `tags` that starts with `sha256-` or `sha512-`, or
//! its kind written in `kinds`; signatures, attestations and SBOMs need their kind written in `kinds`.

use globset::GlobBuilder;
use globset::GlobMatcher;

use crate::registry::Kind;
use crate::registry::Platform;
use crate::registry::Tag;

use super::Action;
use super::Change;
use super::Event;
use super::Origin;

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
    /// Patterns of media types; none means all. An event whose media type is unknown always passes.
    pub media_types: Patterns,
    /// Patterns of platforms, `linux/arm64` or `linux/arm/v7`; none means all. One platform of an index is
    /// enough, and an event of which none is known always passes.
    pub platforms: Patterns,
    /// How we may know; none means all.
    pub origins: Vec<Origin>,
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
    /// `when.media_types`
    MediaTypes,
    /// `when.platforms`
    Platforms,
    /// `when.origins`
    Origins,
}

/// What one rule says of an event, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which rule.
    pub rule: Rule,
    /// Whether it lets the event through.
    pub passes: bool,
    /// Why, in words; with the pattern that decided, if one did.
    pub why: String,
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
            media_types: Patterns::default(),
            platforms: Patterns::default(),
            origins: Vec::new(),
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
        Rule::ALL.into_iter().find(|rule| !self.passes(*rule, event)).map_or(Ok(()), Err)
    }

    /// What each rule says of an event, in the order they are asked.
    #[must_use]
    pub fn explain(&self, event: &Event) -> Vec<Said> {
        let said =
            |rule| Said { rule, passes: self.passes(rule, event), why: self.why(rule, event) };
        Rule::ALL.into_iter().map(said).collect()
    }

    fn passes(&self, rule: Rule, event: &Event) -> bool {
        match rule {
            Rule::Actions => self.actions.contains(&event.action),
            Rule::Repositories => self.repositories.allow(event.repository.as_str()),
            // What is mounted is a blob, and has no tag whatever is wanted of manifests.
            Rule::Untagged => self.untagged || event.tag.is_some() || event.action == Action::Mount,
            Rule::Tags => event.tag.as_ref().is_none_or(|tag| self.wants_tag(tag, event.kind)),
            Rule::Changes => {
                self.changes.is_empty() || event.change.is_none_or(|c| self.changes.contains(&c))
            }
            Rule::Kinds => event.kind.is_none_or(|kind| self.wants_kind(kind)),
            Rule::MediaTypes => {
                event.media_type.as_ref().is_none_or(|media| self.media_types.allow(media.as_str()))
            }
            Rule::Platforms => {
                // The usual case without making words of it.
                self.platforms.0.is_empty()
                    || event.platforms.is_empty()
                    || event.platforms.iter().any(|one| self.platforms.allow(&platform(one)))
            }
            Rule::Origins => self.origins.is_empty() || self.origins.contains(&event.origin),
        }
    }

    fn why(&self, rule: Rule, event: &Event) -> String {
        let listed = |word: &str, all: bool| {
            if all { format!("{word}, and all are wanted") } else { word.to_owned() }
        };
        match rule {
            Rule::Actions => event.action.as_str().to_owned(),
            Rule::Repositories => self.repositories.why(event.repository.as_str()),
            Rule::Untagged if event.tag.is_some() => "it has a tag".to_owned(),
            Rule::Untagged if event.action == Action::Mount => "it is of a blob".to_owned(),
            Rule::Untagged => "it has no tag".to_owned(),
            Rule::Tags => match &event.tag {
                None => "it has no tag".to_owned(),
                Some(tag) if self.tags.allow(tag.as_str()) && tag.names_a_digest() => {
                    format!("{tag} names a digest, which a pattern or a kind has to ask for")
                }
                Some(tag) => self.tags.why(tag.as_str()),
            },
            Rule::Changes => match event.change {
                None => "nobody knows, and that passes".to_owned(),
                Some(change) => listed(change.as_str(), self.changes.is_empty()),
            },
            Rule::Kinds => match (event.kind, &self.kinds) {
                (None, _) => "nobody knows, and that passes".to_owned(),
                (Some(kind), Some(_)) => kind.as_str().to_owned(),
                (Some(kind), None) => format!(
                    "{}; all but signatures, attestations and SBOMs are wanted",
                    kind.as_str()
                ),
            },
            Rule::MediaTypes => match &event.media_type {
                None => "nobody knows, and that passes".to_owned(),
                Some(media) => self.media_types.why(media.as_str()),
            },
            Rule::Platforms => {
                let of = |wanted| {
                    event.platforms.iter().map(platform).find(|p| self.platforms.allow(p) == wanted)
                };
                match of(true).or_else(|| of(false)) {
                    None => "none is known, and that passes".to_owned(),
                    Some(one) => self.platforms.why(&one),
                }
            }
            Rule::Origins => listed(event.origin.as_str(), self.origins.is_empty()),
        }
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
        self.deciding(text)
            .map_or_else(|| self.0.iter().all(|p| p.excludes), |pattern| !pattern.excludes)
    }

    fn deciding(&self, text: &str) -> Option<&Pattern> {
        self.0.iter().rev().find(|pattern| pattern.glob.is_match(text))
    }

    /// Why the text passes, or does not.
    fn why(&self, text: &str) -> String {
        match self.deciding(text) {
            None if self.0.is_empty() => format!("{text}, and all are wanted"),
            None if self.allow(text) => format!("no pattern excludes {text}"),
            None => format!("no pattern matches {text}"),
            Some(pattern) if pattern.excludes => format!("`{}` excludes {text}", pattern.text),
            Some(pattern) => format!("`{}` matches {text}", pattern.text),
        }
    }
}

/// As people write it: `linux/amd64`, `linux/arm/v7`.
fn platform(platform: &Platform) -> String {
    let Platform { os, architecture, variant, .. } = platform;
    match variant {
        None => format!("{os}/{architecture}"),
        Some(variant) => format!("{os}/{architecture}/{variant}"),
    }
}

impl Rule {
    /// Every rule, in the order they are asked.
    pub const ALL: [Self; 9] = [
        Self::Actions,
        Self::Repositories,
        Self::Untagged,
        Self::Tags,
        Self::Changes,
        Self::Kinds,
        Self::MediaTypes,
        Self::Platforms,
        Self::Origins,
    ];

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
            Self::MediaTypes => "media_types",
            Self::Platforms => "platforms",
            Self::Origins => "origins",
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

    #[test]
    fn media_types_platforms_and_origins() {
        let of = |os: &str, architecture: &str, variant: Option<&str>| Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
            digest: crate::registry::Digest::sha256(b"x"),
        };
        let index = Event {
            media_type: Some("application/vnd.oci.image.index.v1+json".parse().unwrap()),
            platforms: vec![of("linux", "amd64", None), of("linux", "arm", Some("v7"))],
            origin: Origin::Proxy,
            ..sample()
        };
        for (filter, expected) in [
            (
                Filter { media_types: patterns(&["application/vnd.oci.**"]), ..Filter::default() },
                Ok(()),
            ),
            (
                Filter { media_types: patterns(&["!application/vnd.oci.**"]), ..Filter::default() },
                Err(Rule::MediaTypes),
            ),
            (Filter { platforms: patterns(&["linux/arm/*"]), ..Filter::default() }, Ok(())),
            (
                Filter { platforms: patterns(&["linux/arm64"]), ..Filter::default() },
                Err(Rule::Platforms),
            ),
            (
                Filter { platforms: patterns(&["linux/*", "!linux/amd64"]), ..Filter::default() },
                Err(Rule::Platforms),
            ),
            (
                Filter { platforms: patterns(&["linux/**", "!linux/amd64"]), ..Filter::default() },
                Ok(()),
            ),
            (Filter { origins: vec![Origin::Proxy], ..Filter::default() }, Ok(())),
            (Filter { origins: vec![Origin::Watch], ..Filter::default() }, Err(Rule::Origins)),
        ] {
            assert_eq!(filter.wants(&index), expected, "{filter:?}");
        }
        let unknown = Event { media_type: None, platforms: Vec::new(), ..sample() };
        let picky = Filter {
            media_types: patterns(&["x/y"]),
            platforms: patterns(&["linux/arm64"]),
            ..Filter::default()
        };
        assert_eq!(picky.wants(&unknown), Ok(()), "what is not known passes");
    }

    #[test]
    fn an_explanation_says_what_the_filter_does_and_which_pattern_decided() {
        let event = Event { repository: "team/x/a".parse().unwrap(), ..sample() };
        let globs = patterns(&["team/**", "!team/x/**"]);
        let filter = Filter { repositories: globs, ..Filter::default() };
        let said = filter.explain(&event);
        assert_eq!(
            said.iter().find(|said| !said.passes).map(|said| said.rule),
            filter.wants(&event).err()
        );
        assert_eq!(said[1].why, "`!team/x/**` excludes team/x/a");
        let other = Filter { repositories: patterns(&["other/*"]), ..Filter::default() };
        assert_eq!(other.explain(&event)[1].why, "no pattern matches team/x/a");
        assert!(Filter::default().explain(&event).iter().all(|said| said.passes));
        assert_eq!(Filter::default().explain(&event)[1].why, "team/x/a, and all are wanted");
        let child = Event { tag: None, ..event };
        let said = Filter::default().explain(&child);
        assert!(
            said.iter().any(|s| s.rule == Rule::Untagged && !s.passes && s.why == "it has no tag")
        );
    }
}
