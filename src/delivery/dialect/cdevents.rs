//! CDEvents: `artifact.published` and `artifact.deleted`, versions 0.4 and 0.5, as CloudEvents in binary mode.
//!
//! ```text
//! Content-Type: application/json
//! ce-specversion: 1.0      ce-id, ce-source, ce-type, ce-time as in `context`, ce-subject as `subject.id`
//! {"context":{"version":"0.4.1","id":"<event id>","source":"https://<registry>",
//!   "type":"dev.cdevents.artifact.published.0.2.0","timestamp":"<RFC 3339, UTC, ms>"},
//!  "subject":{"id":"pkg:oci/app@sha256%3A…?repository_url=<registry>%2Fteam%2Fapp&tag=1.4.2",
//!   "source":"https://<registry>","type":"artifact","content":{"user":"ci"}},
//!  "customData":{…},"customDataContentType":"application/json"}
//! ```
//!
//! | | 0.4 | 0.5 |
//! |---|---|---|
//! | `context` says its version in | `version`: `0.4.1` | `specversion`: `0.5.0` |
//! | pushes | `dev.cdevents.artifact.published.0.2.0` | `dev.cdevents.artifact.published.0.3.0` |
//! | deletes | `dev.cdevents.artifact.deleted.0.1.0` | `dev.cdevents.artifact.deleted.0.2.0` |
//! | `subject.type` | `artifact` | not there |
//!
//! - A push is `published`. A delete is `deleted` only **by digest**: to take a tag from an artifact is not to delete
//!   it, and CDEvents has no word for that. Nor has it one for mounts; pulls are not told either.
//! - `subject.id` is a package URL of the type `oci`: the last component of the repository in lower case, the digest, and
//!   where it can be had; what is unknown is not in it. Every character that could have a meaning is encoded.
//! - `subject.content` allows nothing but `user` (left out where unknown) and `sbom`. All that we know stands in
//!   `customData`, in the shape of the native `data`: `req.customData.repository` in a filter of Flux.
//! - **Flux's receiver type `cdevents` takes 0.4 only**: its schema refuses the renamed `specversion`. It compares
//!   `ce-type` with `spec.events`.
//! - In a header a `%` is written `%25`, so the `subject.id` reads `…sha256%253A…` there.
//!
//! Sources: cdevents/spec `spec.md`, `continuous-integration.md`, `cloudevents-binding.md`, `conformance/*.json` at
//! v0.4.1 and v0.5.0; package-url/purl-spec, type `oci`; fluxcd/notification-controller as a reader.

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::event::schema::Data;
use crate::event::schema::Envelope;

use super::Dialect;
use super::Payload;
use super::Unwritable;
use super::cloudevents_binary::with_attributes;
use super::image;
use super::percent_encoded;

/// One version of the specification.
pub(super) struct Version {
    dialect: Dialect,
    number: &'static str,
    published: &'static str,
    deleted: &'static str,
    /// Members that only the older ones have.
    subject_type: Option<&'static str>,
}

pub(super) const V0_4: Version = Version {
    dialect: Dialect::CdEvents04,
    number: "0.4.1",
    published: "dev.cdevents.artifact.published.0.2.0",
    deleted: "dev.cdevents.artifact.deleted.0.1.0",
    subject_type: Some("artifact"),
};

pub(super) const V0_5: Version = Version {
    dialect: Dialect::CdEvents05,
    number: "0.5.0",
    published: "dev.cdevents.artifact.published.0.3.0",
    deleted: "dev.cdevents.artifact.deleted.0.2.0",
    subject_type: None,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    context: Context<'a>,
    subject: Subject<'a>,
    custom_data: &'a Data,
    custom_data_content_type: &'static str,
}

#[derive(Serialize)]
struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    specversion: Option<&'static str>,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: &'a str,
}

#[derive(Serialize)]
struct Subject<'a> {
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    content: Content<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

impl Version {
    /// Writes headers and body.
    pub(super) fn write(&self, event: &Event) -> Result<Payload, Unwritable> {
        let kind = match (event.action, &event.tag) {
            (Action::Push, _) => self.published,
            (Action::Delete, None) => self.deleted,
            (Action::Delete | Action::Mount | Action::Pull, _) => {
                let known = "pushes and deletes by digest";
                return Err(self.dialect.no_word_for(event, known));
            }
        };
        if event.tag.is_none() && event.digest.is_none() {
            return Err(Unwritable::NoReference { dialect: self.dialect });
        }
        let envelope = Envelope::of(event);
        let older = self.subject_type.is_some();
        let subject = package_url(event);
        let body = Body {
            context: Context {
                version: older.then_some(self.number),
                specversion: (!older).then_some(self.number),
                id: &envelope.id,
                source: &envelope.source,
                kind,
                timestamp: &envelope.time,
            },
            subject: Subject {
                id: &subject,
                source: &envelope.source,
                kind: self.subject_type,
                content: Content { user: event.actor.name.as_deref() },
            },
            custom_data: &envelope.data,
            custom_data_content_type: "application/json",
        };
        let payload = Payload::json("application/json", &body);
        let (id, source, time) = (&envelope.id, &envelope.source, &envelope.time);
        Ok(with_attributes(payload, id, source, kind, &subject, time))
    }
}

/// The package URL. Qualifiers are in the order of their names, as the specification has it.
fn package_url(event: &Event) -> String {
    let encoded = |text: &str| percent_encoded(text, b"");
    let mut url = format!("pkg:oci/{}", encoded(&event.repository.base().to_lowercase()));
    if let Some(digest) = &event.digest {
        url.push_str(&format!("@{}", encoded(digest.as_str())));
    }
    url.push_str(&format!("?repository_url={}", encoded(&image(event))));
    if let Some(tag) = &event.tag {
        url.push_str(&format!("&tag={}", encoded(tag.as_str())));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::super::tests::deleted;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::header;
    use super::super::tests::pushed;
    use super::super::tests::read;
    use super::super::tests::short;
    use super::super::tests::untagged;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::CdEvents04, &pushed(), fixture!("cdevents-0.4-push"));
        golden(Dialect::CdEvents04, &bare(), fixture!("cdevents-0.4-bare"));
        golden(Dialect::CdEvents04, &deleted(), fixture!("cdevents-0.4-delete"));
        golden(Dialect::CdEvents05, &pushed(), fixture!("cdevents-0.5-push"));
        golden(Dialect::CdEvents05, &deleted(), fixture!("cdevents-0.5-delete"));
    }

    #[test]
    fn each_version_follows_its_own_schema_and_no_other() {
        let validator =
            |text: &str| jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap();
        let v0_4 = validator(include_str!("../../../tests/fixtures/schemas/cdevents-0.4.json"));
        let v0_5 = validator(include_str!("../../../tests/fixtures/schemas/cdevents-0.5.json"));
        for event in [pushed(), bare(), deleted(), short()] {
            for (dialect, own, other) in
                [(Dialect::CdEvents04, &v0_4, &v0_5), (Dialect::CdEvents05, &v0_5, &v0_4)]
            {
                let body = read(dialect, &event);
                let wrong: Vec<_> = own.iter_errors(&body).map(|e| e.to_string()).collect();
                assert!(wrong.is_empty(), "{dialect}: {wrong:?}");
                assert!(!other.is_valid(&body), "{dialect}");
            }
        }
    }

    #[test]
    fn the_headers_say_what_the_context_says() {
        for dialect in [Dialect::CdEvents04, Dialect::CdEvents05] {
            let body = read(dialect, &pushed());
            for (name, member) in [
                ("ce-id", "id"),
                ("ce-source", "source"),
                ("ce-type", "type"),
                ("ce-time", "timestamp"),
            ] {
                assert_eq!(header(dialect, &pushed(), name), body["context"][member]);
            }
            let subject = header(dialect, &pushed(), "ce-subject");
            assert!(subject.contains("@sha256%253A"), "{subject}");
            assert_eq!(subject.replace("%25", "%"), body["subject"]["id"]);
        }
    }

    #[test]
    fn a_package_url_holds_what_is_known() {
        let digest = pushed().digest.unwrap();
        for (event, expected) in [
            (
                pushed(),
                format!(
                    "pkg:oci/app@sha256%3A{}?repository_url=registry.example.com%2Fteam%2Fapp&tag=1.4.2",
                    digest.encoded()
                ),
            ),
            (
                bare(),
                "pkg:oci/app?repository_url=registry.example.com%2Fteam%2Fapp&tag=1.4.2".to_owned(),
            ),
            (
                Event { digest: None, ..short() },
                "pkg:oci/app?repository_url=localhost%3A5443%2Fapp&tag=1.4.2".to_owned(),
            ),
        ] {
            assert_eq!(package_url(&event), expected);
        }
    }

    #[test]
    fn a_tag_is_not_an_artifact_to_delete() {
        for dialect in [Dialect::CdEvents04, Dialect::CdEvents05] {
            let refused = dialect.write(&untagged(), "d").unwrap_err();
            assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
            let refused = dialect.write(&Event { tag: None, ..bare() }, "d").unwrap_err();
            assert_eq!(refused, Unwritable::NoReference { dialect });
        }
    }
}
