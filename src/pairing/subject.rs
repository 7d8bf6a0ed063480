use aws_lc_rs::digest;

use crate::event::Event;

/// What a report is about, in numbers that fit an index: 64 bits of SHA-256 each, so that two pushes of one
/// minute are taken for each other once in 2^64 times, and nobody can look for such a pair to any use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Action, registry, repository and tag; where there is no tag, the digest in its place.
    pub name: i64,
    /// The digest, where it is told.
    pub content: Option<i64>,
    /// Action, registry, repository and digest; where there is no digest, the tag in its place. An intent may
    /// be about tags that only the registry's answer names.
    pub exchange: i64,
}

impl Subject {
    /// What an event is about.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let whose = [event.action.as_str(), event.registry.as_str(), event.repository.as_str()];
        let tag = event.tag.as_ref().map(|tag| ("tag", tag.as_str()));
        let digest = event.digest.as_ref().map(|digest| ("digest", digest.as_str()));
        let what = |first: Option<(&str, &str)>, second| {
            let (sort, text) = first.or(second).unwrap_or_default();
            number(&[whose[0], whose[1], whose[2], sort, text])
        };
        Self {
            name: what(tag, digest),
            content: digest.map(|(_, text)| number(&[text])),
            exchange: what(digest, tag),
        }
    }

    /// Whether both tell a digest, and not the same.
    #[must_use]
    pub fn differs(self, content: Option<i64>) -> bool {
        matches!((self.content, content), (Some(one), Some(other)) if one != other)
    }
}

fn number(parts: &[&str]) -> i64 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(b"\n");
    }
    let hash = context.finish();
    i64::from_be_bytes(hash.as_ref().first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::event::Action;
    use crate::event::schema::tests::sample;
    use crate::registry::Digest;

    use super::*;

    #[test]
    fn a_subject_is_what_both_sides_know() {
        let event = sample();
        let subject = Subject::of(&event);
        let of = |change: fn(&mut Event)| {
            let mut other = event.clone();
            change(&mut other);
            Subject::of(&other)
        };
        assert_eq!(of(|e| e.actor.name = None), subject);
        let other = of(|e| e.digest = Some(Digest::sha256(b"other")));
        assert_eq!(other.name, subject.name);
        assert!(subject.differs(other.content) && other.exchange != subject.exchange);
        let untold = of(|e| e.digest = None);
        assert_eq!((untold.name, untold.content), (subject.name, None));
        assert!(!subject.differs(untold.content));
        let untagged = of(|e| e.tag = None);
        assert_eq!((untagged.content, untagged.exchange), (subject.content, subject.exchange));
        assert_ne!(untagged.name, subject.name);
        assert_eq!(untagged.name, untagged.exchange);
        for other in [
            of(|e| e.action = Action::Delete),
            of(|e| e.registry = "other.example.com".to_owned()),
            of(|e| e.repository = "team/other".parse().unwrap()),
            of(|e| e.tag = Some("other".parse().unwrap())),
        ] {
            assert_ne!(other.name, subject.name);
        }
    }
}
