//! Dialects: one event in the words of one kind of receiver.
//!
//! A dialect is pure: an event in, a content type and bytes out, the same bytes on every attempt. Each
//! file explains its format byte by byte. Three rules hold for all of them, because somewhere a receiver
//! breaks on the opposite: numbers are plain integers, one body tells one tag, and a tag field never
//! holds a digest. What a dialect has no words for is [`Unwritable`]; nothing is bent to fit.

mod acr;
mod artifactory;
mod artifactory_plugin;
mod cdevents;
mod cloudevents_binary;
mod distribution;
mod docker_hub;
mod europa;
mod flat;
mod gcr;
mod github;
mod harbor;
mod keel;
mod native;
mod nexus;
mod quay;
mod slack;
mod spinnaker;
mod template;

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;
use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::registry::Tag;

pub use self::template::InvalidTemplate;
pub use self::template::Template;

/// What each dialect is called and what writes it. A new one is a file, its `mod`, and an entry here.
macro_rules! dialects {
    ($($(#[$doc:meta])+ $variant:ident = $word:literal, $write:expr;)+) => {
        /// The body and headers an endpoint expects.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Dialect {
            $($(#[$doc])+ $variant),+
        }

        impl Dialect {
            /// Every dialect, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in the configuration and on the command line.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// Writes an event. The same event and delivery give the same bytes.
            ///
            /// # Errors
            ///
            /// If the format cannot say what happened, see [`Unwritable`].
            pub fn write(self, event: &Event, delivery_id: &str) -> Result<Payload, Unwritable> {
                let write: Write = match self {
                    $(Self::$variant => $write),+
                };
                write(event, delivery_id)
            }
        }
    };
}

type Write = fn(&Event, &str) -> Result<Payload, Unwritable>;

dialects! {
    /// CloudEvents 1.0, structured JSON, around our own event: all we know.
    Native = "native", |event, _| Ok(native::write(event));
    /// The same in binary mode: attributes in headers, our event as the body.
    CloudEventsBinary = "cloudevents-binary", |event, _| Ok(cloudevents_binary::write(event));
    /// CDEvents 0.4, `artifact.published` and `artifact.deleted`.
    CdEvents04 = "cdevents", |event, _| cdevents::V0_4.write(event);
    /// CDEvents 0.5, the same.
    CdEvents05 = "cdevents-0.5", |event, _| cdevents::V0_5.write(event);
    /// One flat object with what most filters ask for.
    Flat = "flat", |event, _| Ok(flat::write(event));
    /// Docker Distribution's notification envelope, as the 2.x line posts it.
    Distribution = "distribution", distribution::write;
    /// The same, as the 3.x line posts it.
    DistributionV2 = "distribution-v2", distribution::write_v2;
    /// Docker Hub's webhook.
    DockerHub = "docker-hub", |event, _| docker_hub::write(event);
    /// The body of Artifactory's user plugin `webhook`, format `default`.
    ArtifactoryPlugin = "artifactory-plugin", |event, _| artifactory_plugin::write(event);
    /// Artifactory's own webhook, of the domain `docker`.
    Artifactory = "artifactory", |event, _| artifactory::write(event);
    /// Harbor's webhook, format `Default`.
    Harbor = "harbor", |event, _| harbor::write(event);
    /// Quay's webhook, event `repo_push`.
    Quay = "quay", |event, _| quay::write(event);
    /// Azure Container Registry's webhook.
    Acr = "acr", acr::write;
    /// GitHub's webhook, event `package`.
    GitHub = "github", |event, _| github::PACKAGE.write(event);
    /// GitHub's webhook, event `registry_package`.
    GitHubRegistry = "github-registry", |event, _| github::REGISTRY_PACKAGE.write(event);
    /// Nexus Repository's webhook, event `rm:repository:component`.
    Nexus = "nexus", |event, _| nexus::write(event);
    /// Google's notification, as Pub/Sub pushes it.
    Gcr = "gcr", |event, _| gcr::write(event);
    /// Keel's own webhook.
    Keel = "keel", |event, _| keel::write(event);
    /// A list of artifacts for Spinnaker.
    Spinnaker = "spinnaker", |event, _| spinnaker::write(event);
    /// The webhook of Puppet Container Registry, once Distelli Europa.
    Europa = "europa", europa::write;
    /// A sentence for a chat.
    Slack = "slack", |event, _| Ok(slack::write(event));
    /// No body: the request says it all.
    Empty = "empty", |_, _| Ok(Payload::empty());
    /// What the operator wrote; see [`Template`], which does it.
    Template = "template", |_, _| Err(Unwritable::Template { reason: "there is none".to_owned() });
}

/// What goes into the request, apart from what the endpoint's own settings add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The value of `Content-Type`; nothing where there is no body.
    pub content_type: Option<Cow<'static, str>>,
    /// Further headers that belong to the dialect. One that cannot be sent is left out.
    pub headers: Vec<(HeaderName, String)>,
    /// The exact bytes; what gets signed.
    pub body: Vec<u8>,
}

/// An event that a dialect has no words for. No attempt can change that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The format has no such event.
    #[error(
        "the `{dialect}` dialect has no word for a {}, only for {known}; `native` and `distribution` tell it",
        action.as_str()
    )]
    Action {
        /// Which dialect.
        dialect: Dialect,
        /// What happened.
        action: Action,
        /// What the format does tell.
        known: &'static str,
    },
    /// The format names manifests by tag, and a digest in a tag's place would mislead its readers.
    #[error(
        "the `{dialect}` dialect names manifests by tag only and this one has none; `native` and `distribution` name it by digest"
    )]
    NoTag {
        /// Which dialect.
        dialect: Dialect,
    },
    /// The format takes what has no digest for something else.
    #[error(
        "the `{dialect}` dialect says by a missing digest that a tag was deleted, and the digest of this push is unknown; `native` can tell it"
    )]
    NoDigest {
        /// Which dialect.
        dialect: Dialect,
    },
    /// The endpoint's URL has a place for what this event does not know.
    #[error("{}", url(placeholder))]
    Url {
        /// What stands between the braces; nothing, where the URL would become too long.
        placeholder: String,
    },
    /// The operator's template fails on it.
    #[error("the endpoint's template cannot tell it: {reason}")]
    Template {
        /// Where and why.
        reason: String,
    },
    /// What the endpoint's `names` make of the repository is no name.
    #[error(
        "the repository would be called `{name}` there, by the endpoint's `names`, and that is no name of one"
    )]
    Name {
        /// What it would be called.
        name: String,
    },
    /// Nobody knows which manifest it was.
    #[error(
        "the `{dialect}` dialect needs a tag or a digest to name the manifest by, and this event has neither; `native` can tell it"
    )]
    NoReference {
        /// Which dialect.
        dialect: Dialect,
    },
}

impl Dialect {
    /// The dialect a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        // What stands behind the word may move on one day; the number never does.
        let word = if word == "cdevents-0.4" { "cdevents" } else { word };
        Self::ALL.iter().copied().find(|dialect| dialect.as_str() == word)
    }

    /// The tag of a push, for formats that tell nothing else.
    fn pushed_tag(self, event: &Event) -> Result<&Tag, Unwritable> {
        if event.action != Action::Push {
            return Err(self.no_word_for(event, "pushes"));
        }
        self.tag(event)
    }

    fn tag(self, event: &Event) -> Result<&Tag, Unwritable> {
        event.tag.as_ref().ok_or(Unwritable::NoTag { dialect: self })
    }

    fn no_word_for(self, event: &Event, known: &'static str) -> Unwritable {
        Unwritable::Action { dialect: self, action: event.action, known }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn url(placeholder: &str) -> String {
    match placeholder {
        "" => "the endpoint's url would become too long for this event".to_owned(),
        name => format!("the endpoint's url asks for `{{{name}}}`, which this event has not"),
    }
}

impl Payload {
    fn json<T: Serialize>(content_type: &'static str, body: &T) -> Self {
        // Strings, integers and structures of them: nothing in it can fail to serialize.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { content_type: Some(content_type.into()), headers: Vec::new(), body }
    }

    fn empty() -> Self {
        Self { content_type: None, headers: Vec::new(), body: Vec::new() }
    }

    /// With one more header. The name is lower case.
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }
}

/// Seconds since 1970; 0 for a clock before that.
fn seconds(event: &Event) -> u64 {
    u64::try_from(event.time.unix_timestamp()).unwrap_or_default()
}

/// The first component of the repository and the rest, as registries say it that keep repositories in
/// projects or organizations. One of one component has no such thing, and the first is empty.
fn project(event: &Event) -> (&str, &str) {
    let path = event.repository.as_str();
    path.split_once('/').unwrap_or(("", path))
}

/// `registry/repository`, what a client would pull without tag and digest.
fn image(event: &Event) -> String {
    format!("{}/{}", event.registry, event.repository)
}

/// Text where only letters, digits, `-`, `.`, `_` and `~` (RFC 3986 §2.3) and those in `kept` stand for
/// themselves.
pub(super) fn percent_encoded(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::event::Actor;
    use crate::event::Request;
    use crate::event::schema::tests::sample;
    use crate::registry::Digest;
    use crate::registry::Kind;

    use super::*;

    /// A golden file.
    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/dialects/", $name, ".json"))
        };
    }
    pub(super) use fixture;

    /// The id that every golden delivery has.
    pub(super) const DELIVERY: &str = "dlv_0199f3c2a1b7";

    /// A push of an index, every field known and always the same.
    pub(super) fn pushed() -> Event {
        Event { id: "0199f3c2-a1b7-7c44-8a55-0123456789ab".parse().unwrap(), ..sample() }
    }

    /// What little a notification of the poorest kind tells.
    pub(super) fn bare() -> Event {
        Event {
            change: None,
            previous_digest: None,
            digest: None,
            kind: None,
            media_type: None,
            size: None,
            total_size: None,
            platforms: Vec::new(),
            actor: Actor::default(),
            request: Request::default(),
            digest_from: None,
            integrity: None,
            ..pushed()
        }
    }

    /// The delete of a tag, which names no digest.
    pub(super) fn untagged() -> Event {
        Event { action: Action::Delete, ..bare() }
    }

    /// The delete of a manifest by its digest.
    pub(super) fn deleted() -> Event {
        Event { action: Action::Delete, tag: None, digest: pushed().digest, ..bare() }
    }

    /// A repository without a folder, on another port.
    pub(super) fn short() -> Event {
        let repository = "app".parse().unwrap();
        Event { registry: "localhost:5443".to_owned(), repository, ..pushed() }
    }

    /// Reads the body that a dialect writes.
    #[track_caller]
    pub(super) fn read(dialect: Dialect, event: &Event) -> Value {
        serde_json::from_slice(&dialect.write(event, DELIVERY).unwrap().body).unwrap()
    }

    /// The value of one of the headers that a dialect adds.
    #[track_caller]
    pub(super) fn header(dialect: Dialect, event: &Event, name: &str) -> String {
        let headers = dialect.write(event, DELIVERY).unwrap().headers;
        headers.into_iter().find(|(header, _)| header == name).unwrap().1
    }

    /// The dialect tells pushes of a tag and nothing else.
    #[track_caller]
    pub(super) fn only_pushed_tags(dialect: Dialect) {
        for action in [Action::Delete, Action::Mount, Action::Pull] {
            let refused = dialect.write(&Event { action, ..pushed() }, DELIVERY).unwrap_err();
            assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
        }
        let refused = dialect.write(&Event { tag: None, ..pushed() }, DELIVERY).unwrap_err();
        assert_eq!(refused, Unwritable::NoTag { dialect });
    }

    /// Compares a body with its golden file, byte by byte, and checks its numbers.
    #[track_caller]
    pub(super) fn golden(dialect: Dialect, event: &Event, expected: &str) {
        let payload = dialect.write(event, DELIVERY).unwrap();
        let body = String::from_utf8(payload.body).unwrap();
        assert_eq!(body, expected.trim_end_matches('\n'), "{dialect}");
        assert_only_integers(&serde_json::from_str(&body).unwrap());
        assert_eq!(dialect.write(event, DELIVERY).unwrap().body, body.into_bytes());
    }

    /// No fraction, no exponent, nothing negative: what a strict reader takes as an integer.
    #[track_caller]
    fn assert_only_integers(value: &Value) {
        match value {
            Value::Number(number) => assert!(number.is_u64(), "{number}"),
            Value::Array(items) => items.iter().for_each(assert_only_integers),
            Value::Object(members) => members.values().for_each(assert_only_integers),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn words_stand_for_dialects_and_back() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::of(dialect.as_str()), Some(*dialect));
        }
        assert_eq!(Dialect::of("cdevents-0.4"), Some(Dialect::CdEvents04));
        assert_eq!(Dialect::of("Harbor"), None);
    }

    /// Those whose format has a place for a digest and asks for no tag.
    const WITHOUT_TAG: [Dialect; 13] = [
        Dialect::Native,
        Dialect::CloudEventsBinary,
        Dialect::CdEvents04,
        Dialect::CdEvents05,
        Dialect::Flat,
        Dialect::Distribution,
        Dialect::DistributionV2,
        Dialect::Acr,
        Dialect::Gcr,
        Dialect::Slack,
        Dialect::Empty,
        Dialect::GitHub,
        Dialect::GitHubRegistry,
    ];

    #[test]
    fn every_tag_shaped_dialect_refuses_what_has_no_tag() {
        let by_digest = Event { tag: None, ..pushed() };
        for dialect in Dialect::ALL.iter().filter(|d| **d != Dialect::Template) {
            let written = dialect.write(&by_digest, DELIVERY);
            if WITHOUT_TAG.contains(dialect) {
                assert!(written.is_ok(), "{dialect}");
            } else {
                assert_eq!(written.unwrap_err(), Unwritable::NoTag { dialect: *dialect });
            }
        }
    }

    /// Everything that stands in a member with a tag's name.
    fn tags<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| tags(item, found)),
            Value::Object(members) => {
                for (name, value) in members {
                    if ["tag", "tags", "updated_tags", "imageTag"].contains(&name.as_str()) {
                        found.push(value);
                    }
                    tags(value, found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn no_tag_field_ever_holds_a_digest() {
        let digest = Digest::sha256(b"child");
        let child =
            Event { tag: None, digest: Some(digest.clone()), kind: Some(Kind::Image), ..pushed() };
        for dialect in Dialect::ALL {
            let Ok(payload) = dialect.write(&child, DELIVERY) else {
                continue;
            };
            let Ok(value) = serde_json::from_slice(&payload.body) else {
                assert!(payload.body.is_empty(), "{dialect}");
                continue;
            };
            let mut found = Vec::new();
            tags(&value, &mut found);
            for tag in found {
                let text = tag.to_string();
                // GitHub has the digest beside the tag's name.
                let name = tag.get("name").map_or(text, Value::to_string);
                assert!(!name.contains("sha256"), "{dialect}: {value}");
            }
        }
    }

    #[test]
    fn what_a_dialect_adds_can_be_sent() {
        for dialect in Dialect::ALL.iter().filter(|d| **d != Dialect::Template) {
            let payload = dialect.write(&pushed(), DELIVERY).unwrap();
            assert_eq!(payload.content_type.is_none(), payload.body.is_empty(), "{dialect}");
            for (name, value) in payload.headers {
                assert!(http::HeaderValue::try_from(&value).is_ok(), "{dialect}: {name}: {value}");
                assert!(value.is_ascii(), "{dialect}: {name}: {value}");
            }
        }
    }

    #[test]
    fn what_cannot_be_said_says_who_can() {
        let deleted = untagged();
        let text = Dialect::DockerHub.write(&deleted, DELIVERY).unwrap_err().to_string();
        assert!(text.contains("`docker-hub`") && text.contains("delete"), "{text}");
        assert!(text.contains("pushes") && text.contains("`native`"), "{text}");
    }
}
