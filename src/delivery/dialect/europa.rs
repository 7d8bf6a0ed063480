//! The webhook of Puppet Container Registry, which was Distelli Europa.
//!
//! ```text
//! Content-Type: application/json
//! x-europa-event: DockerImagePush
//! x-europa-event-id: <26 digits of base 36>
//! {"event":"DockerImagePush","image":{"tags":["1.4.2"],"sha":"sha256:…","size":73400320,
//!  "pushed":"<RFC 3339, UTC, ms>"},"repository":{"name":"team/app","region":null,"provider":"EUROPA"}}
//! ```
//!
//! - The format tells **tags**: one that was pushed, and, by the same event with `sha` null, one that was deleted. Its
//!   readers take a push without a digest for a delete, so a push whose digest is unknown cannot be told.
//! - `tags` has one entry, `size` is that of the whole image where it is known, and every null is written.
//! - `pushed` is empty for a delete.
//! - There is no host in it. `provider` says where the image is: `DOCKERHUB` for Docker Hub, `GCR` for Google's old
//!   registry, `ECR` with its region for Amazon's, and `EUROPA`, the sender itself, for any other.
//! - The id of the event is new for each delivery in Europa; here it is made of the delivery's, so that each
//!   attempt has the same. Europa's is a UUID in two halves of 13 digits; ours is the first 16 bytes of the SHA-256
//!   of the delivery's id, written the same way. That the halves are filled with zeros is an assumption.
//! - The signature, `x-europa-signature`, is standard base64 of the HMAC-SHA256 of the body; it belongs to a signature
//!   scheme and not to the dialect.
//!
//! Sources: ramakrishnamukku/europa (a fork of the original, whose repositories are gone)
//! `src/main/java/com/distelli/europa/notifiers/`; puppetlabs/distelli-common `utils/…/CompactUUID.java`; Puppet
//! Container Registry's page *Webhooks*.

use serde::Serialize;

use crate::event::Action;
use crate::event::Event;
use crate::event::schema::time_text;
use crate::registry::Digest;

use super::Dialect;
use super::Payload;
use super::Unwritable;

const EVENT: &str = "DockerImagePush";

#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    image: Image<'a>,
    repository: Repository<'a>,
}

#[derive(Serialize)]
struct Image<'a> {
    tags: [&'a str; 1],
    sha: Option<&'a str>,
    size: Option<u64>,
    pushed: String,
}

#[derive(Serialize)]
struct Repository<'a> {
    name: &'a str,
    region: Option<&'a str>,
    provider: &'static str,
}

/// Writes the body.
pub(super) fn write(event: &Event, delivery_id: &str) -> Result<Payload, Unwritable> {
    let dialect = Dialect::Europa;
    let tag = match event.action {
        Action::Push | Action::Delete => dialect.tag(event)?,
        Action::Mount | Action::Pull => {
            return Err(dialect.no_word_for(event, "pushes and deletes of a tag"));
        }
    };
    let pushed = event.action == Action::Push;
    let sha = event.digest.as_ref().map(Digest::as_str).filter(|_| pushed);
    if pushed && sha.is_none() {
        return Err(Unwritable::NoDigest { dialect });
    }
    let (provider, region) = provider(&event.registry);
    let body = Body {
        event: EVENT,
        image: Image {
            tags: [tag.as_str()],
            sha,
            size: event.total_size.filter(|_| pushed),
            pushed: if pushed { time_text(event.time) } else { String::new() },
        },
        repository: Repository { name: event.repository.as_str(), region, provider },
    };
    let payload = Payload::json("application/json", &body);
    let payload = payload.with("x-europa-event", EVENT);
    Ok(payload.with("x-europa-event-id", compact_id(delivery_id)))
}

/// Where the image is, in Europa's words, and in which region.
fn provider(registry: &str) -> (&'static str, Option<&str>) {
    let host = registry.split(':').next().unwrap_or_default();
    if ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&host) {
        return ("DOCKERHUB", None);
    }
    if host == "gcr.io" || host.ends_with(".gcr.io") {
        return ("GCR", None);
    }
    // <account>.dkr.ecr.<region>.amazonaws.com
    let region = host.split_once(".dkr.ecr.").and_then(|(_, rest)| rest.split('.').next());
    match region {
        Some(region) if host.ends_with(".amazonaws.com") => ("ECR", Some(region)),
        _ => ("EUROPA", None),
    }
}

/// Two halves of 64 bits, each 13 digits of base 36.
fn compact_id(text: &str) -> String {
    let hash = Digest::sha256(text.as_bytes());
    let half = |at: usize| {
        let digits = hash.encoded().get(at..at + 16).unwrap_or_default();
        let mut number = u64::from_str_radix(digits, 16).unwrap_or_default();
        let mut digits = [b'0'; 13];
        for digit in digits.iter_mut().rev() {
            let value = u8::try_from(number % 36).unwrap_or_default();
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
            number /= 36;
        }
        digits.map(char::from)
    };
    half(0).into_iter().chain(half(16)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::header;
    use super::super::tests::pushed;
    use super::super::tests::untagged;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Europa, &pushed(), fixture!("europa-push"));
        golden(Dialect::Europa, &untagged(), fixture!("europa-delete"));
    }

    #[test]
    fn its_headers_name_event_and_delivery() {
        assert_eq!(header(Dialect::Europa, &pushed(), "x-europa-event"), "DockerImagePush");
        let id = header(Dialect::Europa, &pushed(), "x-europa-event-id");
        assert_eq!(id.len(), 26, "{id}");
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{id}");
        assert_ne!(id, compact_id("another"));
    }

    #[test]
    fn the_provider_follows_from_the_host() {
        for (registry, expected) in [
            ("docker.io", ("DOCKERHUB", None)),
            ("eu.gcr.io", ("GCR", None)),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", ("ECR", Some("eu-west-1"))),
            ("registry.example.com:5000", ("EUROPA", None)),
            ("notgcr.io", ("EUROPA", None)),
        ] {
            assert_eq!(provider(registry), expected, "{registry}");
        }
    }

    #[test]
    fn a_push_without_a_digest_would_read_as_a_delete() {
        let refused = write(&bare(), "d").unwrap_err();
        assert_eq!(refused, Unwritable::NoDigest { dialect: Dialect::Europa });
        let refused = write(&Event { tag: None, ..pushed() }, "d").unwrap_err();
        assert_eq!(refused, Unwritable::NoTag { dialect: Dialect::Europa });
        let refused = write(&Event { action: Action::Pull, ..pushed() }, "d").unwrap_err();
        assert!(matches!(refused, Unwritable::Action { .. }), "{refused}");
    }
}
