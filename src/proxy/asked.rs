//! What a request asks for, as far as an event tells it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::Method;
use http::header;
use http::request::Parts;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::event::Action;
use crate::event::Actor;
use crate::event::IntentId;
use crate::event::Request;
use crate::registry::Digest;
use crate::registry::MediaType;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::registry::Route;
use crate::registry::Tag;
use crate::registry::percent_decoded;
use crate::telemetry::printable;

use super::Inner;
use super::Mounts;
use super::classify::Coding;
use super::classify::Exchange;
use super::classify::header_text;
use super::forward::Head;

/// How much of a client's own words an event keeps.
const WORDS: usize = 256;

impl Inner {
    /// The exchange a request is, if it may change what a tag names.
    pub(super) fn exchange_of(&self, parts: &Parts, head: &Head) -> Option<Exchange> {
        let action = match parts.method {
            Method::PUT => Action::Push,
            Method::DELETE => Action::Delete,
            _ => return None,
        };
        let (route, artifactory) = self.config.layout.route(parts.uri.path());
        let Route::Manifest { repository, reference } = route else {
            return None;
        };
        let (media_type, coding) = content_of(&head.headers);
        let tags = tags_of(parts.uri.query());
        let asked = self.asked(action, repository, reference, head);
        Some(Exchange { artifactory, tags, media_type, coding, ..asked })
    }

    /// The exchange a request is, if it asks for a blob of another repository and somebody wants to know.
    pub(super) fn mount_of(&self, parts: &Parts, head: &Head) -> Option<Exchange> {
        let path = parts.uri.path();
        if parts.method != Method::POST || self.config.mounts == Mounts::Untold {
            return None;
        }
        let (Route::Upload { repository }, artifactory) = self.config.layout.route(path) else {
            return None;
        };
        // What has an id of an upload behind it begins none.
        let path = percent_decoded(path)?;
        if !path.trim_end_matches('/').ends_with("/blobs/uploads") {
            return None;
        }
        let reference = Reference::Digest(mounted(parts.uri.query())?);
        let asked = self.asked(Action::Mount, repository, reference, head);
        Some(Exchange { artifactory, ..asked })
    }

    fn asked(
        &self,
        action: Action,
        repository: RepositoryName,
        reference: Reference,
        head: &Head,
    ) -> Exchange {
        Exchange {
            intent: IntentId::now(),
            action,
            registry: self.config.registry.clone(),
            repository,
            artifactory: None,
            reference,
            tags: Vec::new(),
            media_type: None,
            coding: Coding::Identity,
            actor: actor_of(&head.headers),
            request: Request {
                id: Some(Uuid::now_v7().to_string()),
                address: head.client.address.map(|address| address.to_string()),
                user_agent: user_agent_of(&head.headers),
            },
            started_at: OffsetDateTime::now_utc(),
        }
    }
}

/// The blob that is to be mounted, where the answer can be about nothing else: it is named once, and the
/// request does not bring one along, of which a 201 would tell as well.
fn mounted(query: Option<&str>) -> Option<Digest> {
    let mut mounts = values_of(query, "mount");
    let digest = mounts.next()?.as_deref()?.parse().ok()?;
    let one = mounts.next().is_none() && values_of(query, "digest").next().is_none();
    one.then_some(digest)
}

/// The values of a parameter, read as registries read them: escapes taken out once. One that cannot be read
/// is nothing.
fn values_of<'q>(
    query: Option<&'q str>,
    key: &'static str,
) -> impl Iterator<Item = Option<Cow<'q, str>>> {
    let pairs = query.unwrap_or_default().split('&');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(move |(name, _)| percent_decoded(name).as_deref() == Some(key))
        .map(|(_, value)| percent_decoded(value))
}

/// The tags a push asks for in its query, once each, read as registries read it: escapes taken out once.
pub(super) fn tags_of(query: Option<&str>) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    for value in values_of(query, "tag") {
        // A `+` would be a space, which no tag has: it need not be told from one.
        let tag = value.and_then(|tag| tag.parse().ok());
        if let Some(tag) = tag.filter(|tag| !tags.contains(tag)) {
            tags.push(tag);
        }
    }
    tags
}

/// Who a request says it is from: the user of Basic authentication (RFC 7617), or the subject of a bearer
/// token that is a JWT (RFC 7519 §4.1.2). Never the password or the token.
fn actor_of(headers: &HeaderMap) -> Actor {
    let name = header_text(headers, header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            Some(pair.split_once(':')?.0.to_owned())
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let payload = rest.trim().split('.').nth(1)?;
            let claims = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
            let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
            Some(claims.get("sub")?.as_str()?.to_owned())
        } else {
            None
        }
    });
    let name = name.map(|name| printable(&name, WORDS)).filter(|name| !name.is_empty());
    Actor { name }
}

/// The client's `User-Agent`, fit to be kept.
fn user_agent_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::USER_AGENT)?;
    Some(printable(&String::from_utf8_lossy(value.as_bytes()), WORDS))
}

/// The media type of the body, and whether it is coded.
fn content_of(headers: &HeaderMap) -> (Option<MediaType>, Coding) {
    let media_type = header_text(headers, header::CONTENT_TYPE.as_str());
    let coding = header_text(headers, header::CONTENT_ENCODING.as_str());
    let coding = match coding {
        None => Coding::Identity,
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Coding::Identity,
        Some(_) => Coding::Encoded,
    };
    (media_type.and_then(|m| m.parse().ok()), coding)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tags_are_asked_for_in_any_spelling() {
        let names = |query| -> Vec<String> {
            tags_of(query).iter().map(|tag: &Tag| tag.as_str().to_owned()).collect()
        };
        assert_eq!(names(Some("tag=a&tag=b&tag=a&x=c&tag")), ["a", "b"]);
        assert_eq!(names(Some("tag=%31.0&%74ag=b&tag=%zz&tag=a+b&tag=%2e")), ["1.0", "b"]);
        assert!(names(None).is_empty());
    }

    #[test]
    fn a_mount_names_one_blob_and_brings_none() {
        let digest = Digest::sha256(b"x");
        let hex = digest.as_str().trim_start_matches("sha256:");
        for query in [
            format!("mount=sha256:{hex}&from=team/base"),
            format!("from=a%2Fb&mount=sha256%3A{hex}"),
            format!("%6dount=sha256:{hex}"),
        ] {
            assert_eq!(mounted(Some(&query)), Some(digest.clone()), "{query}");
        }
        for query in [
            "from=a".to_owned(),
            "mount=&from=a".to_owned(),
            "mount=sha256:00&from=a".to_owned(),
            format!("mount=sha256:{hex}&mount=sha256:{hex}"),
            format!("mount=sha256:{hex}&digest=sha256:{hex}"),
            format!("mount=%zz&mount=sha256:{hex}"),
        ] {
            assert_eq!(mounted(Some(&query)), None, "{query}");
        }
        assert_eq!(mounted(None), None);
    }

    fn actor(value: &str) -> Actor {
        let value = HeaderValue::from_str(value).unwrap();
        actor_of(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    }

    #[test]
    fn the_actor_is_read_and_the_secret_left() {
        let basic = actor("Basic Y2ktYm90OnNlY3JldA==");
        assert_eq!(basic.name.as_deref(), Some("ci-bot"));
        let jwt = format!("Bearer e30.{}.x", URL_SAFE_NO_PAD.encode(r#"{"sub":"rob\u0007ot"}"#));
        assert_eq!(actor(&jwt).name.as_deref(), Some("robot"));
        for none in ["Bearer opaque", "Basic !!", "Basic", "Negotiate x y"] {
            assert_eq!(actor(none), Actor::default(), "{none}");
        }
    }
}
