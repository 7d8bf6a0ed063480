//! The one event model: what happened to a manifest, whoever told us.
//!
//! The proxy's observations, the registries' notifications and our own looks all become an [`Event`];
//! the outbox keeps it, and each dialect writes it in its receiver's words. An event never changes
//! once appended. Its stable JSON form is in [`schema`], which endpoints want it is in [`filter`].
//!
//! Nothing here does I/O or knows how an event is stored or sent.

pub mod filter;
mod key;
pub mod schema;

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::registry::ArtifactoryName;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::MediaType;
use crate::registry::Platform;
use crate::registry::RepositoryName;
use crate::registry::Tag;

pub use self::filter::Filter;
pub use self::key::EventId;
pub use self::key::IntentId;
pub use self::key::Key;

/// One normalized fact about one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who it is; derived from the exchange it came from, so the same fact gets the same id twice.
    pub id: EventId,
    /// What was done.
    pub action: Action,
    /// What became of the tag; nothing where nobody can know, or where there is no tag.
    pub change: Option<Change>,
    /// The digest the tag had before, if it had one and we know it.
    pub previous_digest: Option<Digest>,
    /// The registry as clients name it, `host` or `host:port`: from our configuration, never from a peer.
    pub registry: String,
    /// The repository, without host.
    pub repository: RepositoryName,
    /// What Artifactory calls it, where it is one.
    pub artifactory: Option<ArtifactoryName>,
    /// The tag, where the manifest was pushed or deleted by one.
    pub tag: Option<Tag>,
    /// The digest of the manifest, or of the blob that was mounted; unknown for the delete of a tag, and to
    /// sources that do not tell it.
    pub digest: Option<Digest>,
    /// What the manifest is.
    pub kind: Option<Kind>,
    /// The manifest's media type.
    pub media_type: Option<MediaType>,
    /// `artifactType` of the manifest.
    pub artifact_type: Option<MediaType>,
    /// Bytes of the manifest itself.
    pub size: Option<u64>,
    /// Bytes of the manifest, its config and its layers; of an index, of itself and all that it lists, where
    /// each of them is known. A layer that two platforms share counts for each.
    pub total_size: Option<u64>,
    /// What an index lists.
    pub platforms: Vec<Platform>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The manifest this one refers to.
    pub subject_digest: Option<Digest>,
    /// Who did it.
    pub actor: Actor,
    /// The request it was done with.
    pub request: Request,
    /// How we know.
    pub origin: Origin,
    /// Every witness, ours as `proxy`, a notification source by its name.
    pub seen_by: Vec<String>,
    /// Whether it surely happened.
    pub outcome: Outcome,
    /// What makes us sure.
    pub evidence: Evidence,
    /// Whether the digest was computed from the bytes or told by the registry.
    pub digest_from: Option<DigestFrom>,
    /// Whether the registry's digest agreed with the bytes.
    pub integrity: Option<Integrity>,
    /// What the tag named when we looked and it was not ours.
    pub current_digest: Option<Digest>,
    /// Whether it was told so late that nobody remembers what it would have been paired with.
    pub late: bool,
    /// Whether something newer is known of the same tag: it is no news.
    pub superseded: bool,
    /// Whether another exchange with the same tag was under way at the same time, so that nobody knows which of the
    /// two the tag names now (rule O3).
    pub concurrent: bool,
    /// When it happened: the registry's answer, or the notification's own time.
    pub time: OffsetDateTime,
    /// When the exchange began, by our clock.
    pub started_at: Option<OffsetDateTime>,
    /// When the registry answered, by our clock.
    pub answered_at: Option<OffsetDateTime>,
    /// Its place in the outbox's order; nothing until it is appended.
    pub sequence: Option<u64>,
}

/// What was done to a manifest; spelled as in Docker Distribution's notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// A manifest was stored, under a tag or by its digest.
    Push,
    /// A manifest or a tag was removed.
    Delete,
    /// A blob was mounted from another repository.
    Mount,
    /// A manifest was fetched.
    Pull,
}

/// What a push made of its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The tag did not exist.
    Created,
    /// The tag pointed to another digest.
    Moved,
    /// The tag pointed to this digest already.
    Unchanged,
}

/// Who did it, as far as the request tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// User name of Basic authentication, or the subject of a bearer token. Not verified by us: the
    /// registry's success is what vouches for it.
    pub name: Option<String>,
}

/// The request it was done with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Our id for the request, or the notification's.
    pub id: Option<String>,
    /// The client's address, without port.
    pub address: Option<String>,
    /// The client's `User-Agent`, cut to a printable line.
    pub user_agent: Option<String>,
}

/// How we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// It passed through us.
    Proxy,
    /// The registry told us.
    Notification,
    /// We looked.
    Watch,
}

/// Whether it surely happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The registry said so, by answer, notification or look.
    Confirmed,
    /// Nobody can say.
    Unconfirmed,
}

/// What confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The registry's answer to the request.
    Response,
    /// The registry's notification.
    Notification,
    /// A look of ours.
    Look,
    /// Nothing.
    None,
}

/// Where the digest of an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestFrom {
    /// We computed it from the bytes that passed.
    Bytes,
    /// The registry's answer said it.
    Response,
}

/// Whether the registry's digest agrees with ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// It does.
    Ok,
    /// The registry answered with another one, which is here.
    Mismatch(Digest),
    /// The registry named none that can be compared.
    Unknown,
}

impl Event {
    /// What all reports of this content under this tag share.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of(
            self.action,
            &self.registry,
            &self.repository,
            self.tag.as_ref(),
            self.digest.as_ref(),
        )
    }

    /// `registry/repository:tag@digest`, as far as it is known: what a client would pull.
    #[must_use]
    pub fn reference(&self) -> String {
        let mut text = format!("{}/{}", self.registry, self.repository);
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag.as_str());
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }

    /// `repository:tag`, or `repository@digest` where there is no tag.
    #[must_use]
    pub fn subject(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{}:{tag}", self.repository),
            (None, Some(digest)) => format!("{}@{digest}", self.repository),
            (None, None) => self.repository.to_string(),
        }
    }

    /// What orders deliveries: events of one lane reach an endpoint one after another (rule O2).
    #[must_use]
    pub fn lane(&self) -> String {
        self.subject()
    }
}

/// The words of an enumeration, in events, the configuration and metrics alike.
macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+) => {
        impl $type {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in events, in the configuration and in metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The value a word stands for.
            #[must_use]
            pub fn of(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words!(Action: Push = "push", Delete = "delete", Mount = "mount", Pull = "pull");
words!(Change: Created = "created", Moved = "moved", Unchanged = "unchanged");
words!(Origin: Proxy = "proxy", Notification = "notification", Watch = "watch");
words!(Outcome: Confirmed = "confirmed", Unconfirmed = "unconfirmed");
words!(Evidence: Response = "response", Notification = "notification", Look = "look", None = "none");
words!(DigestFrom: Bytes = "bytes", Response = "response");
