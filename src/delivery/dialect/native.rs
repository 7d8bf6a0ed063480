//! The native dialect: the event itself, all of it.
//!
//! One JSON object without line breaks: a CloudEvents 1.0 envelope in structured mode, exactly the bytes
//! that the outbox stores. [`crate::event::schema`] names each field, `pushbell schema event` prints
//! its JSON Schema.
//!
//! ```text
//! Content-Type: application/cloudevents+json
//! {"specversion":"1.0","id":"<event id>","source":"https://<registry>",
//!  "type":"dev.pushbell.image.<action>.v1","subject":"<repository>:<tag>","time":"<RFC 3339, UTC, ms>",
//!  "datacontenttype":"application/json","data":{…}}
//! ```
//!
//! `source` and `id` together tell one event from all others and stay the same on every attempt, which
//! is what CloudEvents brokers drop duplicates by. `registry`, `repository`, `tag` and `digest` are at
//! the top of `data`, and the type contains `image`: that is what Argo CD Image Updater's CloudEvents
//! reader looks for, so it needs no adapter.
//!
//! Sources: CloudEvents 1.0 `spec.md`, `formats/json-format.md` and `bindings/http-protocol-binding.md`
//! (structured content mode); argocd-image-updater `pkg/webhook/cloudevents.go`.

use crate::event::Event;
use crate::event::schema::Envelope;

use super::Payload;

/// Writes the envelope.
pub(super) fn write(event: &Event) -> Payload {
    Payload {
        content_type: Some("application/cloudevents+json".into()),
        headers: Vec::new(),
        body: Envelope::of(event).to_json().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::Dialect;
    use super::super::tests::DELIVERY;
    use super::super::tests::bare;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::*;

    #[test]
    fn the_body_is_the_stored_envelope() {
        let stored = Envelope::of(&pushed()).to_json();
        let read = Envelope::read(&stored).unwrap();
        let payload = Dialect::Native.write(&read, DELIVERY).unwrap();
        assert_eq!(String::from_utf8(payload.body).unwrap(), stored);
        assert_eq!(payload.content_type.as_deref(), Some("application/cloudevents+json"));
    }

    #[test]
    fn golden_bodies() {
        let fixture = include_str!("../../../tests/fixtures/dialects/native-push.json");
        golden(Dialect::Native, &pushed(), fixture);
        let fixture = include_str!("../../../tests/fixtures/dialects/native-bare.json");
        golden(Dialect::Native, &bare(), fixture);
    }

    #[test]
    fn image_updater_finds_what_it_reads() {
        let body = write(&pushed()).body;
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert!(value["type"].as_str().unwrap().contains("image"));
        for field in ["registry", "repository", "tag", "digest"] {
            assert!(value["data"][field].is_string(), "{field}");
        }
    }
}
