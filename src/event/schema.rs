//! The stable JSON of an event: a CloudEvents 1.0 envelope around our normalized `data`.
//!
//! This is the native dialect's body, what the outbox stores, and what `pushbell schema event`
//! describes. Fields are only ever added. `null` means "known to be nothing, or unknown"; the
//! fields that say something unusual (`change`, `previous_digest`, `digest_from`, `integrity`,
//! `current_digest`, `concurrent`, `late`, `superseded`) are absent where there is nothing to say. Times are RFC 3339
//! in UTC with milliseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::registry::ArtifactoryName;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::Platform;

use super::Action;
use super::Actor;
use super::Change;
use super::DigestFrom;
use super::Event;
use super::Evidence;
use super::Integrity;
use super::Origin;
use super::Outcome;
use super::Request;

/// A CloudEvents 1.0 envelope with one event of a container registry in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// The version of CloudEvents.
    #[schemars(extend("const" = "1.0"))]
    pub specversion: String,
    /// The id of the event. With `source` it tells one event from all others, on every attempt.
    #[schemars(length(min = 1))]
    pub id: String,
    /// The registry, as a URL.
    #[schemars(extend("format" = "uri-reference"))]
    pub source: String,
    /// `dev.pushbell.image.<action>.v1`
    #[serde(rename = "type")]
    #[schemars(regex(pattern = r"^dev\.pushbell\.image\.(push|delete|mount|pull)\.v1$"))]
    pub kind: String,
    /// `repository:tag`, or `repository@digest` where there is no tag.
    pub subject: String,
    /// When it happened.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// The media type of `data`.
    #[schemars(extend("const" = "application/json"))]
    pub datacontenttype: String,
    /// The event itself.
    pub data: Data,
}

/// What happened to a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Data {
    /// What was done.
    #[schemars(extend("enum" = ["push", "delete", "mount", "pull"]))]
    pub action: String,
    /// What became of the tag; absent where nobody can know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["created", "moved", "unchanged"]))]
    pub change: Option<String>,
    /// The digest the tag had before; absent where it had none or it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_digest: Option<String>,
    /// The registry as clients name it, `host` or `host:port`.
    pub registry: String,
    /// The repository, without the registry.
    pub repository: String,
    /// What Artifactory calls it: key and image apart, however the request said it; absent for any other
    /// registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifactory: Option<ArtifactoryData>,
    /// The tag; null where the manifest was named by its digest.
    pub tag: Option<String>,
    /// The digest of the manifest, or of the blob that was mounted; null where the registry does not tell it.
    pub digest: Option<String>,
    /// `registry/repository:tag@digest`, as far as known.
    pub reference: String,
    /// What the manifest is: `image`, `index`, `chart`, `signature`, `attestation`, `sbom` or `artifact`; null where
    /// unknown.
    pub kind: Option<String>,
    /// The manifest's media type.
    pub media_type: Option<String>,
    /// The manifest's `artifactType`.
    pub artifact_type: Option<String>,
    /// Bytes of the manifest itself.
    pub size: Option<u64>,
    /// Bytes of manifest, config and layers; for an index, of itself and all that it lists.
    pub total_size: Option<u64>,
    /// What an index lists, in its order.
    #[serde(default)]
    pub platforms: Vec<PlatformData>,
    /// The manifest's annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The manifest that this one refers to.
    pub subject_digest: Option<String>,
    /// Who did it.
    pub actor: ActorData,
    /// The request it was done with.
    pub request: RequestData,
    /// How it became known.
    #[schemars(extend("enum" = ["proxy", "notification", "watch"]))]
    pub origin: String,
    /// Every witness: `proxy`, or the name of a notification source.
    pub seen_by: Vec<String>,
    /// Whether it surely happened.
    #[schemars(extend("enum" = ["confirmed", "unconfirmed"]))]
    pub outcome: String,
    /// What confirmed it.
    #[schemars(extend("enum" = ["response", "notification", "look", "none"]))]
    pub evidence: String,
    /// Whether the digest was computed from the bytes or told by the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["bytes", "response"]))]
    pub digest_from: Option<String>,
    /// Whether the registry's own digest agreed with the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["ok", "mismatch", "unknown"]))]
    pub integrity: Option<String>,
    /// The registry's own digest, where it did not agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_digest: Option<String>,
    /// What the tag named when we looked and it was not this; absent where we did not look or could not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_digest: Option<String>,
    /// True where it was told so late that it could not be paired with what we saw ourselves; else absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// True where something newer is known of the same tag, so that this is no news; else absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
    /// True where another push or delete of the tag was under way at the same time: the registry may have done either
    /// last, so look at the tag. Absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub concurrent: bool,
    /// Equal for all reports of one content under one tag.
    #[schemars(length(min = 1))]
    pub key: String,
    /// The event's place in the order of all events; null before it has one.
    pub sequence: Option<u64>,
    /// When the exchange began.
    #[schemars(extend("format" = "date-time"))]
    pub started_at: Option<String>,
    /// When the registry answered.
    #[schemars(extend("format" = "date-time"))]
    pub answered_at: Option<String>,
}

/// A repository and an image of Artifactory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactoryData {
    /// The key of the repository.
    pub repository_key: String,
    /// The image in that repository.
    pub image_name: String,
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformData {
    /// Operating system, or `unknown`.
    pub os: String,
    /// Architecture, or `unknown`.
    pub architecture: String,
    /// Variant of the architecture.
    pub variant: Option<String>,
    /// The digest of the manifest for this platform.
    pub digest: String,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActorData {
    /// The user's name, where the request carried one.
    pub name: Option<String>,
}

/// The request it was done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestData {
    /// An id of the request.
    pub id: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
}

/// A stored event that is not one.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The text is not JSON of this shape.
    #[error("could not read an event")]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// One field has a value it cannot have.
    #[error("the event's `{field}` is not one")]
    Field {
        /// Which.
        field: &'static str,
    },
}

/// RFC 3339 in UTC with milliseconds.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Writes a time as every event, log line and dialect does: RFC 3339, UTC, milliseconds.
#[must_use]
pub fn time_text(time: OffsetDateTime) -> String {
    // The format asks for nothing that a UTC time lacks, so there is nothing to report.
    time.to_offset(time::UtcOffset::UTC).format(TIME).unwrap_or_default()
}

/// Reads an RFC 3339 time, if it is one in UTC too.
#[must_use]
pub fn time_of(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(time::UtcOffset::UTC)
}

impl Envelope {
    /// The envelope of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: event.id.to_string(),
            source: format!("https://{}", event.registry),
            kind: format!("dev.pushbell.image.{}.v1", event.action.as_str()),
            subject: event.subject(),
            time: time_text(event.time),
            datacontenttype: "application/json".to_owned(),
            data: Data::of(event),
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with text keys: nothing in it can fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the JSON text back into the event it was made from.
    ///
    /// # Errors
    ///
    /// If the text is not an envelope, or a value in it is not what its field holds.
    pub fn read(json: &str) -> Result<Event, Unreadable> {
        let envelope: Self =
            serde_json::from_str(json).map_err(|source| Unreadable::Json { source })?;
        envelope.into_event()
    }

    /// Reads it back into the event it was made from.
    ///
    /// # Errors
    ///
    /// If a value in it is not what its field holds.
    pub fn into_event(self) -> Result<Event, Unreadable> {
        let d = self.data;
        let digest = |field, text: Option<String>| {
            text.map(|t| t.parse::<Digest>().map_err(|_| Unreadable::Field { field })).transpose()
        };
        let time = |field, text: Option<String>| {
            text.map(|t| time_of(&t).ok_or(Unreadable::Field { field })).transpose()
        };
        let media = |field, text: Option<String>| {
            text.map(|t| t.parse().map_err(|_| Unreadable::Field { field })).transpose()
        };
        let integrity = match d.integrity.as_deref() {
            None => None,
            Some("ok") => Some(Integrity::Ok),
            Some("unknown") => Some(Integrity::Unknown),
            Some("mismatch") => Some(Integrity::Mismatch(
                digest("registry_digest", d.registry_digest)?
                    .ok_or(Unreadable::Field { field: "registry_digest" })?,
            )),
            Some(_) => return Err(Unreadable::Field { field: "integrity" }),
        };
        Ok(Event {
            id: self.id.parse().map_err(|_| Unreadable::Field { field: "id" })?,
            action: word("action", &d.action, Action::of)?,
            change: d.change.map(|c| word("change", &c, Change::of)).transpose()?,
            previous_digest: digest("previous_digest", d.previous_digest)?,
            registry: d.registry,
            repository: d
                .repository
                .parse()
                .map_err(|_| Unreadable::Field { field: "repository" })?,
            artifactory: d.artifactory.map(artifactory).transpose()?,
            tag: d
                .tag
                .map(|t| t.parse().map_err(|_| Unreadable::Field { field: "tag" }))
                .transpose()?,
            digest: digest("digest", d.digest)?,
            kind: d.kind.map(|k| word("kind", &k, Kind::of)).transpose()?,
            media_type: media("media_type", d.media_type)?,
            artifact_type: media("artifact_type", d.artifact_type)?,
            size: d.size,
            total_size: d.total_size,
            platforms: d.platforms.into_iter().map(platform).collect::<Result<_, _>>()?,
            annotations: d.annotations,
            subject_digest: digest("subject_digest", d.subject_digest)?,
            actor: Actor { name: d.actor.name },
            request: Request {
                id: d.request.id,
                address: d.request.address,
                user_agent: d.request.user_agent,
            },
            origin: word("origin", &d.origin, Origin::of)?,
            seen_by: d.seen_by,
            outcome: word("outcome", &d.outcome, Outcome::of)?,
            evidence: word("evidence", &d.evidence, Evidence::of)?,
            digest_from: d
                .digest_from
                .map(|f| word("digest_from", &f, DigestFrom::of))
                .transpose()?,
            integrity,
            current_digest: digest("current_digest", d.current_digest)?,
            late: d.late,
            superseded: d.superseded,
            concurrent: d.concurrent,
            time: time_of(&self.time).ok_or(Unreadable::Field { field: "time" })?,
            started_at: time("started_at", d.started_at)?,
            answered_at: time("answered_at", d.answered_at)?,
            sequence: d.sequence,
        })
    }
}

fn word<T>(field: &'static str, text: &str, of: fn(&str) -> Option<T>) -> Result<T, Unreadable> {
    of(text).ok_or(Unreadable::Field { field })
}

fn artifactory(data: ArtifactoryData) -> Result<ArtifactoryName, Unreadable> {
    let wrong = Unreadable::Field { field: "artifactory" };
    let (Ok(repository_key), Ok(image_name)) =
        (data.repository_key.parse(), data.image_name.parse())
    else {
        return Err(wrong);
    };
    Ok(ArtifactoryName { repository_key, image_name })
}

fn platform(data: PlatformData) -> Result<Platform, Unreadable> {
    Ok(Platform {
        os: data.os,
        architecture: data.architecture,
        variant: data.variant,
        digest: data.digest.parse().map_err(|_| Unreadable::Field { field: "platforms" })?,
    })
}

impl Data {
    fn of(event: &Event) -> Self {
        let text = |value: Option<&Digest>| value.map(ToString::to_string);
        let (integrity, registry_digest) = match &event.integrity {
            None => (None, None),
            Some(Integrity::Ok) => (Some("ok"), None),
            Some(Integrity::Unknown) => (Some("unknown"), None),
            Some(Integrity::Mismatch(other)) => (Some("mismatch"), Some(other.to_string())),
        };
        Self {
            action: event.action.as_str().to_owned(),
            change: event.change.map(|c| c.as_str().to_owned()),
            previous_digest: text(event.previous_digest.as_ref()),
            registry: event.registry.clone(),
            repository: event.repository.to_string(),
            artifactory: event.artifactory.as_ref().map(|name| ArtifactoryData {
                repository_key: name.repository_key.to_string(),
                image_name: name.image_name.to_string(),
            }),
            tag: event.tag.as_ref().map(ToString::to_string),
            digest: text(event.digest.as_ref()),
            reference: event.reference(),
            kind: event.kind.map(|k| k.as_str().to_owned()),
            media_type: event.media_type.as_ref().map(ToString::to_string),
            artifact_type: event.artifact_type.as_ref().map(ToString::to_string),
            size: event.size,
            total_size: event.total_size,
            platforms: event.platforms.iter().map(PlatformData::of).collect(),
            annotations: event.annotations.clone(),
            subject_digest: text(event.subject_digest.as_ref()),
            actor: ActorData { name: event.actor.name.clone() },
            request: RequestData {
                id: event.request.id.clone(),
                address: event.request.address.clone(),
                user_agent: event.request.user_agent.clone(),
            },
            origin: event.origin.as_str().to_owned(),
            seen_by: event.seen_by.clone(),
            outcome: event.outcome.as_str().to_owned(),
            evidence: event.evidence.as_str().to_owned(),
            digest_from: event.digest_from.map(|f| f.as_str().to_owned()),
            integrity: integrity.map(str::to_owned),
            registry_digest,
            current_digest: text(event.current_digest.as_ref()),
            late: event.late,
            superseded: event.superseded,
            concurrent: event.concurrent,
            key: event.key().to_string(),
            sequence: event.sequence,
            started_at: event.started_at.map(time_text),
            answered_at: event.answered_at.map(time_text),
        }
    }
}

impl PlatformData {
    fn of(platform: &Platform) -> Self {
        Self {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            digest: platform.digest.to_string(),
        }
    }
}

#[cfg(test)]
#[allow(missing_docs)]
pub(crate) mod tests {
    use super::super::EventId;
    use super::super::IntentId;
    use super::*;

    /// An event with every usual field set.
    pub(crate) fn sample() -> Event {
        let digest = |of: &str| Digest::sha256(of.as_bytes());
        Event {
            id: EventId::of(IntentId::now(), None),
            action: Action::Push,
            change: Some(Change::Moved),
            previous_digest: Some(digest("before")),
            registry: "registry.example.com".to_owned(),
            repository: "team/app".parse().unwrap(),
            artifactory: None,
            tag: Some("1.4.2".parse().unwrap()),
            digest: Some(digest("after")),
            kind: Some(Kind::Index),
            media_type: Some("application/vnd.oci.image.index.v1+json".parse().unwrap()),
            artifact_type: None,
            size: Some(1609),
            total_size: Some(73_400_320),
            platforms: vec![Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                variant: None,
                digest: digest("amd64"),
            }],
            annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            subject_digest: None,
            actor: Actor { name: Some("ci-bot".to_owned()) },
            request: Request {
                id: Some("r1".to_owned()),
                address: Some("203.0.113.7".to_owned()),
                user_agent: Some("skopeo/1.9".to_owned()),
            },
            origin: Origin::Proxy,
            seen_by: vec!["proxy".to_owned()],
            outcome: Outcome::Confirmed,
            evidence: Evidence::Response,
            digest_from: Some(DigestFrom::Bytes),
            integrity: Some(Integrity::Mismatch(digest("other"))),
            current_digest: None,
            late: false,
            superseded: false,
            concurrent: false,
            time: time_of("2026-03-01T09:15:02.123Z").unwrap(),
            started_at: time_of("2026-03-01T09:15:01Z"),
            answered_at: time_of("2026-03-01T09:15:02.123Z"),
            sequence: Some(4211),
        }
    }

    #[test]
    fn an_event_survives_its_json() {
        let event = sample();
        let json = Envelope::of(&event).to_json();
        assert_eq!(Envelope::read(&json).unwrap(), event);
        assert!(json.contains(r#""time":"2026-03-01T09:15:02.123Z""#), "{json}");
        assert!(json.contains(r#""type":"dev.pushbell.image.push.v1""#), "{json}");
        assert!(json.contains(r#""subject":"team/app:1.4.2""#), "{json}");
        let moved_on = Event { current_digest: Some(Digest::sha256(b"later")), ..event };
        assert_eq!(Envelope::read(&Envelope::of(&moved_on).to_json()).unwrap(), moved_on);
    }

    #[test]
    fn the_json_fits_its_schema() {
        let schema = serde_json::to_value(schemars::schema_for!(Envelope)).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let bare = Event {
            change: None,
            previous_digest: None,
            integrity: None,
            digest_from: None,
            kind: None,
            sequence: None,
            ..sample()
        };
        let name = ArtifactoryName {
            repository_key: "docker-local".parse().unwrap(),
            image_name: "team/app".parse().unwrap(),
        };
        let kept_apart = Event { artifactory: Some(name), ..sample() };
        assert_eq!(Envelope::read(&Envelope::of(&kept_apart).to_json()).unwrap(), kept_apart);
        let moved_on = Event { current_digest: sample().digest, ..sample() };
        let stale = Event { late: true, superseded: true, ..sample() };
        assert_eq!(Envelope::read(&Envelope::of(&stale).to_json()).unwrap(), stale);
        let concurrent = Event { concurrent: true, ..sample() };
        assert_eq!(Envelope::read(&Envelope::of(&concurrent).to_json()).unwrap(), concurrent);
        assert!(!Envelope::of(&sample()).to_json().contains("concurrent"));
        for event in [sample(), bare, moved_on, kept_apart, concurrent, stale] {
            let value = serde_json::to_value(Envelope::of(&event)).unwrap();
            let wrong: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
            assert!(wrong.is_empty(), "{wrong:?}");
        }
        let mut value = serde_json::to_value(Envelope::of(&sample())).unwrap();
        value["data"]["action"] = "shove".into();
        assert!(!validator.is_valid(&value));
    }

    #[test]
    fn what_is_not_an_event_is_named() {
        let mut value = serde_json::to_value(Envelope::of(&sample())).unwrap();
        value["data"]["digest"] = "sha256:short".into();
        let error = Envelope::read(&value.to_string()).unwrap_err();
        assert_eq!(error.to_string(), "the event's `digest` is not one");
        assert!(matches!(Envelope::read("{}"), Err(Unreadable::Json { .. })));
    }
}
