//! Amazon ECR's events, brought by EventBridge to an API destination.
//!
//! ```text
//! {"version": "0", "id": "<UUID>", "detail-type": "ECR Image Action", "source": "aws.ecr",
//!  "account": "123456789012", "time": "2026-03-01T09:15:02Z", "region": "eu-west-1", "resources": [],
//!  "detail": {"result": "SUCCESS", "repository-name": "team/app", "image-digest": "sha256:…",
//!             "action-type": "PUSH", "image-tag": "1.4.2", "manifest-media-type": "…"}}
//! ```
//!
//! - Other `detail-type`s (scans, replication, pull through cache) are skipped, and so is a `result` that is not
//!   `SUCCESS`: nothing happened to an image.
//! - `image-tag` is empty for an image pushed by digest.
//! - The registry's name follows from account and region: `<account>.dkr.ecr.<region>.amazonaws.com`, in China
//!   (`cn-…`, unproven) with `.cn` behind it.
//! - An input transformer may make a CloudEvent of it, of a type such as `com.amazon.ecr.image.push`, with
//!   `data.{repositoryName,imageTag,imageDigest}` and a `source` that is the repository's ARN. That is read as
//!   well, as an independent reader has it; the type's words are unproven.
//! - EventBridge delivers by best effort, and may deliver twice: with the same `id`.
//!
//! Source: the ECR user guide, "Amazon ECR events and EventBridge"; argoproj-labs/argocd-image-updater
//! `pkg/webhook/cloudevents.go`.

use http::HeaderMap;

use crate::event::Action;
use crate::registry::Kind as ManifestKind;

use super::envelope::Envelope;
use super::envelope::is_cloud_event;
use super::error::Error;
use super::error::excerpt;
use super::node::DIGEST;
use super::node::MEDIA_TYPE;
use super::node::Node;
use super::node::REPOSITORY;
use super::node::TEXT;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split;

const NO_HOST: &str = "account and region do not make one";

/// Reads the notification.
pub(super) fn read(
    root: &Node<'_>,
    headers: &HeaderMap,
    reading: &mut Reading<'_>,
) -> Result<(), Error> {
    if is_cloud_event(root, headers) {
        return transformed(&Envelope::read(root, headers, reading)?, reading);
    }
    let sort = root.text("detail-type")?.ok_or_else(|| root.missing("detail-type", TEXT))?;
    if sort != "ECR Image Action" {
        let sort = excerpt(&sort);
        reading
            .skip(format!("`{sort}` is not about pushes; events are made of `ECR Image Action`"));
        return Ok(());
    }
    let detail = root.object("detail")?;
    let result = detail.text("result")?.unwrap_or_default();
    if result != "SUCCESS" {
        let result = excerpt(&result);
        reading.skip(format!("the result is `{result}`, not `SUCCESS`: nothing happened"));
        return Ok(());
    }
    let word = detail.text("action-type")?.unwrap_or_default();
    let action = match &*word {
        "PUSH" => Action::Push,
        "DELETE" => Action::Delete,
        "" => return Err(detail.missing("action-type", "`PUSH` or `DELETE`")),
        other => {
            let other = excerpt(other);
            reading.skip(format!("the action `{other}` is none of PUSH, DELETE"));
            return Ok(());
        }
    };
    let host = match (root.text("account")?, root.text("region")?) {
        (Some(account), Some(region)) => host(&account, &region),
        _ => None,
    };
    let registry = reading.registry(host.as_deref(), NO_HOST)?;
    let repository = detail.parse("repository-name", REPOSITORY)?;
    let identity = root.free_text("id")?.map_or(Identity::Arrival, Identity::Own);
    let mut told = Told::new(identity, action, registry, repository);
    let (tag, tag_digest) = split(detail.reference("image-tag")?);
    told.tag = tag;
    told.digest = detail.parse_if_any("image-digest", DIGEST)?.or(tag_digest);
    if told.tag.is_none() && told.digest.is_none() {
        return Err(detail.missing("image-digest", DIGEST));
    }
    told.media_type = detail.parse_if_any("manifest-media-type", MEDIA_TYPE)?;
    told.artifact_type = reading.lenient(detail.parse_if_any("artifact-media-type", MEDIA_TYPE));
    told.time = root.time("time")?;
    if told.media_type.as_ref().is_some_and(|media_type| media_type.is_index()) {
        told.kind = Some(ManifestKind::Index);
    }
    reading.found_in(root, &[("registry", "account"), ("time", "time")]);
    reading.found_in(
        &detail,
        &[
            ("action", "action-type"),
            ("repository", "repository-name"),
            ("tag", "image-tag"),
            ("digest", "image-digest"),
            ("digest", "image-tag"),
            ("media_type", "manifest-media-type"),
            ("kind", "manifest-media-type"),
            ("artifact_type", "artifact-media-type"),
        ],
    );
    reading.push(0, told);
    Ok(())
}

/// The CloudEvent that an input transformer makes.
fn transformed(event: &Envelope<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let word = event.sort.to_ascii_lowercase();
    let action = if word.contains("push") {
        Action::Push
    } else if word.contains("delete") {
        Action::Delete
    } else {
        event.skip("a push or a delete", reading);
        return Ok(());
    };
    let data = event.data()?;
    // `urn:aws:ecr:<region>:<account>:repository/<name>`, or `arn:` in the first place.
    let parts: Vec<&str> = event.source.split(':').collect();
    let host = match &parts[..] {
        ["urn" | "arn", "aws" | "aws-cn", "ecr", region, account, ..] => host(account, region),
        _ => None,
    };
    let registry = reading.registry(host.as_deref(), "`source` is no ARN of ECR")?;
    let repository = data.parse("repositoryName", REPOSITORY)?;
    let mut told = Told::new(Identity::Own(event.id.clone()), action, registry, repository);
    (told.tag, told.digest) = split(data.reference("imageTag")?);
    let digest = data.parse_if_any("imageDigest", DIGEST)?;
    told.digest = digest.or(told.digest);
    if told.tag.is_none() && told.digest.is_none() {
        return Err(data.missing("imageDigest", DIGEST));
    }
    told.time = event.time;
    event.trace(reading, &[("action", "type"), ("registry", "source"), ("time", "time")]);
    let fields = [
        ("repository", "repositoryName"),
        ("tag", "imageTag"),
        ("digest", "imageDigest"),
        ("digest", "imageTag"),
    ];
    reading.found_in(data, &fields);
    reading.push(0, told);
    Ok(())
}

/// The name of an account's registry in a region.
fn host(account: &str, region: &str) -> Option<String> {
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_region = !region.is_empty() && region.len() <= 40 && region.bytes().all(word);
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    (is_account && is_region).then(|| format!("{account}.dkr.ecr.{region}.amazonaws.com{china}"))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use crate::registry::Digest;

    use super::super::Kind;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn a_push_is_an_event() {
        let told = only(parse(Kind::Ecr, fixture("ecr-push"), None).unwrap());
        let event = &told.event;
        assert_eq!(event.registry, "123456789012.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!(event.subject(), "team/app:1.4.2");
        assert_eq!(event.digest, Some(Digest::sha256(b"index")));
        assert_eq!(event.kind, Some(ManifestKind::Index));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02 UTC)));
        let id = "13cde686-328b-6117-af20-0e5566167482";
        assert_eq!(told.source_event_id.as_deref(), Some(id));
    }

    #[test]
    fn an_image_may_have_no_tag_and_may_be_gone() {
        let text = fixture("ecr-push");
        let event = only(parse(Kind::Ecr, &text.replace("1.4.2", ""), None).unwrap()).event;
        assert_eq!((event.tag, event.digest), (None, Some(Digest::sha256(b"index"))));
        let event = only(parse(Kind::Ecr, &text.replace("PUSH", "DELETE"), None).unwrap()).event;
        assert_eq!((event.action, event.subject()), (Action::Delete, "team/app:1.4.2".to_owned()));
        let china = text.replace("eu-west-1", "cn-north-1");
        let event = only(parse(Kind::Ecr, &china, None).unwrap()).event;
        assert_eq!(event.registry, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn the_transformed_event_is_read() {
        let told = only(parse(Kind::Ecr, fixture("ecr-cloudevent"), None).unwrap());
        let event = &told.event;
        assert_eq!(event.registry, "123456789012.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!(event.subject(), "team/app:1.4.2");
        assert_eq!(event.digest, Some(Digest::sha256(b"index")));
        assert_eq!(told.source_event_id.as_deref(), Some("13cde686-328b-6117-af20-0e5566167482"));
        let scan = fixture("ecr-cloudevent").replace("image.push", "image.scan");
        let parsed = parse(Kind::Ecr, &scan, None).unwrap();
        assert!(parsed.events.is_empty() && parsed.skipped[0].contains("image.scan"), "{parsed:?}");
    }

    #[test]
    fn what_is_no_push_or_delete_is_skipped() {
        let text = fixture("ecr-push");
        for (from, to) in [
            ("ECR Image Action", "ECR Image Scan"),
            ("ECR Image Action", "ECR Pull Through Cache Action"),
            ("SUCCESS", "FAILURE"),
            ("PUSH", "TOUCH"),
        ] {
            let parsed = parse(Kind::Ecr, &text.replace(from, to), None).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped[0].contains(to), "{parsed:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("ecr-push");
        for (from, to, expected) in [
            ("\"detail-type\"", "\"d\"", "`detail-type` is missing"),
            ("\"detail\":", "\"d\":", "`detail` is missing; it must be an object"),
            ("\"action-type\"", "\"a\"", "`detail.action-type` is missing; it must be `PUSH`"),
            ("\"repository-name\"", "\"r\"", "`detail.repository-name` is missing"),
            ("123456789012", "12", "account and region do not make one"),
            ("eu-west-1", "eu/west", "account and region do not make one"),
            ("2026-03-01T", "x", "`time` is `x09:15:02Z`; it must be an RFC 3339"),
        ] {
            let error = parse(Kind::Ecr, &text.replace(from, to), None).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}, not {expected}");
        }
    }
}
