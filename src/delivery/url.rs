//! Endpoints' URLs with places for what an event says: `https://portainer.example.com/api/webhooks/…?tag={tag}`.
//!
//! | placeholder | stands for |
//! |---|---|
//! | `{action}` | `push`, `delete` |
//! | `{registry}` | the registry as clients name it, `host` or `host:port` |
//! | `{repository}` | the repository, without the registry |
//! | `{tag}` | the tag |
//! | `{digest}` | the digest |
//! | `{secret}` | what the signature schemes of secrets in URLs put there; nothing here |
//!
//! They stand in the path and the query, never in the host: where we connect to is the operator's word alone. Each
//! value is percent-encoded whole, `/` and `:` included (RFC 3986 §2.3), so that a value can neither leave its segment
//! nor begin a parameter. A brace that is meant as one is written `%7B` or `%7D`.
//!
//! An event that does not know what its endpoint's URL asks for cannot be told there, and becomes a dead letter with
//! that reason.

use http::Uri;
use http::uri::PathAndQuery;

use crate::event::Event;
use crate::registry::Digest;
use crate::registry::Tag;

use super::Unwritable;

/// A URL with braces that stand for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlaceholder {
    /// Not one of ours.
    #[error("there is nothing to put in the place of `{{{name}}}`")]
    Unknown {
        /// What stands between the braces.
        name: String,
    },
    /// Open, closed, or neither.
    #[error("a brace in the URL has no other one")]
    Unpaired,
}

/// What may stand between braces.
const NAMES: [&str; 6] = ["action", "registry", "repository", "tag", "digest", "secret"];

/// What an operator may write in a URL, for messages.
pub const PLACEHOLDERS: &str =
    "`{action}`, `{registry}`, `{repository}`, `{tag}`, `{digest}` and `{secret}`";

/// A piece of a path or a query.
enum Piece<'t> {
    Text(&'t str),
    Placeholder(&'t str),
}

/// Checks every placeholder of a URL.
///
/// # Errors
///
/// The first that stands for nothing.
pub fn check(uri: &Uri) -> Result<(), InvalidPlaceholder> {
    for piece in pieces(path_and_query(uri))? {
        match piece {
            Piece::Placeholder(name) if !NAMES.contains(&name) => {
                return Err(InvalidPlaceholder::Unknown { name: name.to_owned() });
            }
            Piece::Placeholder(_) | Piece::Text(_) => {}
        }
    }
    Ok(())
}

/// The URL for an event: itself, where it has no placeholder.
///
/// # Errors
///
/// If the event does not know what the URL asks for, or it would become longer than a URL can be.
pub(super) fn fill(uri: &Uri, event: &Event) -> Result<Uri, Unwritable> {
    let whole = path_and_query(uri);
    if !whole.contains('{') {
        return Ok(uri.clone());
    }
    let mut filled = String::with_capacity(whole.len() + 128);
    // A URL that was not checked is sent as it is.
    for piece in pieces(whole).unwrap_or_default() {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            // The signer's.
            Piece::Placeholder("secret") => filled.push_str("{secret}"),
            Piece::Placeholder(name) => {
                let value = value(name, event);
                let value =
                    value.ok_or_else(|| Unwritable::Url { placeholder: name.to_owned() })?;
                filled.push_str(&super::dialect::percent_encoded(value, b""));
            }
        }
    }
    let mut parts = uri.clone().into_parts();
    let too_long = |_| Unwritable::Url { placeholder: String::new() };
    parts.path_and_query = Some(PathAndQuery::try_from(filled).map_err(too_long)?);
    Uri::from_parts(parts).map_err(|_| Unwritable::Url { placeholder: String::new() })
}

fn value<'e>(name: &str, event: &'e Event) -> Option<&'e str> {
    match name {
        "action" => Some(event.action.as_str()),
        "registry" => Some(&event.registry),
        "repository" => Some(event.repository.as_str()),
        "tag" => event.tag.as_ref().map(Tag::as_str),
        "digest" => event.digest.as_ref().map(Digest::as_str),
        _ => None,
    }
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", PathAndQuery::as_str)
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, InvalidPlaceholder> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').ok_or(InvalidPlaceholder::Unpaired)?;
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Placeholder(name));
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    let unpaired = |piece: &Piece<'_>| matches!(piece, Piece::Text(text) if text.contains('}'));
    if pieces.iter().any(unpaired) {
        return Err(InvalidPlaceholder::Unpaired);
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use crate::event::Action;
    use crate::event::schema::tests::sample;

    use super::*;

    fn filled(url: &str, event: &Event) -> String {
        fill(&url.parse().unwrap(), event).unwrap().to_string()
    }

    #[test]
    fn each_placeholder_is_what_the_event_says() {
        let event = Event { registry: "localhost:5443".to_owned(), ..sample() };
        let digest = event.digest.clone().unwrap();
        for (url, expected) in [
            ("https://h/a?tag={tag}", "https://h/a?tag=1.4.2".to_owned()),
            (
                "https://h/a?image={registry}/{repository}",
                "https://h/a?image=localhost%3A5443/team%2Fapp".to_owned(),
            ),
            (
                "https://h/{action}/{digest}",
                format!("https://h/push/sha256%3A{}", digest.encoded()),
            ),
            ("https://h/{secret}?t={tag}", "https://h/{secret}?t=1.4.2".to_owned()),
            ("https://h/%7Btag%7D", "https://h/%7Btag%7D".to_owned()),
            ("https://h:8443", "https://h:8443/".to_owned()),
        ] {
            assert!(check(&url.parse().unwrap()).is_ok(), "{url}");
            assert_eq!(filled(url, &event), expected);
        }
    }

    #[test]
    fn what_stands_for_nothing_is_found_at_start() {
        for (url, name) in [
            ("https://h/{repo}", "repo"),
            ("https://h/?a={}", ""),
            ("https://h/?a={Tag}", "Tag"),
            ("https://h/{tag{tag}", "tag{tag"),
        ] {
            let expected = InvalidPlaceholder::Unknown { name: name.to_owned() };
            assert_eq!(check(&url.parse().unwrap()), Err(expected), "{url}");
        }
        for url in ["https://h/{tag", "https://h/tag}", "https://h/{tag}}"] {
            assert_eq!(check(&url.parse().unwrap()), Err(InvalidPlaceholder::Unpaired), "{url}");
        }
    }

    #[test]
    fn what_the_event_does_not_know_cannot_be_told() {
        let untagged = Event { tag: None, ..sample() };
        let refused = fill(&"https://h/?tag={tag}".parse().unwrap(), &untagged).unwrap_err();
        assert_eq!(refused, Unwritable::Url { placeholder: "tag".to_owned() });
        assert!(refused.to_string().contains("`{tag}`"), "{refused}");
        let unknown = Event { action: Action::Delete, digest: None, ..sample() };
        assert!(fill(&"https://h/{digest}".parse().unwrap(), &unknown).is_err());
        assert!(fill(&"https://h/{registry}".parse().unwrap(), &unknown).is_ok());
    }
}
