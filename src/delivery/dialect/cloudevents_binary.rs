//! CloudEvents 1.0 in binary mode: the attributes in headers, our normalized event as the body.
//!
//! ```text
//! Content-Type: application/json
//! ce-specversion: 1.0
//! ce-id: <event id>
//! ce-source: https://<registry>
//! ce-type: dev.pushbell.image.<action>.v1
//! ce-subject: <repository>:<tag>
//! ce-time: <RFC 3339, UTC, ms>
//! {…}                                         what the native dialect has in `data`
//! ```
//!
//! The same event as the native dialect tells, for receivers that read attributes from headers (Knative, Tekton) or
//! open a body only if its type is `application/json`. Image Updater reads structured mode alone.
//!
//! Header values follow the binding: a space, `"`, `%` and everything beyond printable ASCII is percent-encoded.
//!
//! Sources: CloudEvents 1.0 `spec.md` and `bindings/http-protocol-binding.md` §3.1.3.2; knative/eventing
//! `pkg/broker/ingress/ingress_handler.go` as a reader.

use crate::event::Event;
use crate::event::schema::Envelope;

use super::Payload;

/// Writes headers and body.
pub(super) fn write(event: &Event) -> Payload {
    let envelope = Envelope::of(event);
    with_attributes(
        Payload::json("application/json", &envelope.data),
        &envelope.id,
        &envelope.source,
        &envelope.kind,
        &envelope.subject,
        &envelope.time,
    )
}

/// Adds the attributes of an event, whatever its body is.
pub(super) fn with_attributes(
    payload: Payload,
    id: &str,
    source: &str,
    kind: &str,
    subject: &str,
    time: &str,
) -> Payload {
    payload
        .with("ce-specversion", "1.0")
        .with("ce-id", value(id))
        .with("ce-source", value(source))
        .with("ce-type", value(kind))
        .with("ce-subject", value(subject))
        .with("ce-time", value(time))
}

/// The text as the binding wants it in a header.
fn value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' | 0..=0x20 | 0x7f.. => value.push_str(&format!("%{byte:02X}")),
            _ => value.push(char::from(byte)),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::header;
    use super::super::tests::pushed;
    use super::*;

    #[test]
    fn golden_bodies() {
        let dialect = Dialect::CloudEventsBinary;
        golden(dialect, &pushed(), fixture!("cloudevents-binary-push"));
        golden(dialect, &bare(), fixture!("cloudevents-binary-bare"));
    }

    #[test]
    fn the_attributes_are_those_of_the_native_event() {
        for (name, expected) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "0199f3c2-a1b7-7c44-8a55-0123456789ab"),
            ("ce-source", "https://registry.example.com"),
            ("ce-type", "dev.pushbell.image.push.v1"),
            ("ce-subject", "team/app:1.4.2"),
            ("ce-time", "2026-03-01T09:15:02.123Z"),
        ] {
            assert_eq!(header(Dialect::CloudEventsBinary, &pushed(), name), expected);
        }
    }

    #[test]
    fn what_a_header_cannot_hold_is_encoded() {
        assert_eq!(value("a b\"c%d\u{e9}\n"), "a%20b%22c%25d%C3%A9%0A");
        assert_eq!(value("team/app:1.4.2"), "team/app:1.4.2");
    }
}
