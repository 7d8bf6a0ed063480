//! The webhook of Alibaba Cloud's Container Registry.
//!
//! ```text
//! {"push_data": {"digest": "sha256:…", "pushed_at": "2016-11-29 12:25:46", "tag": "latest"},
//!  "repository": {"name": "app", "namespace": "ns", "region": "cn-hangzhou", "repo_full_name": "ns/app",
//!                 "repo_type": "PUBLIC", …}}
//! ```
//!
//! - It tells pushes only.
//! - `pushed_at` has no zone, so nobody can say when that was: the event has the time of the arrival. It still
//!   tells two pushes apart.
//! - No host is named. The public one follows from `region`, `registry.<region>.aliyuncs.com`; enterprise and
//!   private ones differ, and must be named in the configuration.
//! - Nothing is signed: a secret in the path is all there is.
//!
//! Source: argoproj-labs/argocd-image-updater `pkg/webhook/aliyun_acr.go` and its test, which quotes Alibaba's
//! documentation. Unproven: everything else.

use crate::event::Action;

use super::error::Error;
use super::node::DIGEST;
use super::node::Node;
use super::node::REPOSITORY;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split;

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let push = root.object("push_data")?;
    let named = root.object("repository")?;
    let repository = named.parse("repo_full_name", REPOSITORY)?;
    let host = named.text("region")?.map(|region| format!("registry.{region}.aliyuncs.com"));
    let registry = reading.registry(host.as_deref(), "`repository.region` is not there")?;
    let (tag, tag_digest) = split(push.reference("tag")?);
    let digest = push.parse_if_any("digest", DIGEST)?.or(tag_digest);
    if tag.is_none() && digest.is_none() {
        return Err(push.missing("digest", DIGEST));
    }
    let is_dated = push.text("pushed_at")?.is_some();
    let identity = if is_dated { Identity::Bytes } else { Identity::Arrival };
    let mut told = Told::new(identity, Action::Push, registry, repository);
    told.tag = tag;
    told.digest = digest;
    reading.found_in(&push, &[("tag", "tag"), ("digest", "digest"), ("digest", "tag")]);
    reading.found_in(&named, &[("repository", "repo_full_name"), ("registry", "region")]);
    reading.push(0, told);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::registry::Digest;

    use super::super::Kind;
    use super::super::tests::RECEIVED;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn a_push_is_an_event() {
        let text = fixture("alibaba-push");
        let told = only(parse(Kind::Alibaba, text, None).unwrap());
        let event = &told.event;
        assert_eq!(event.registry, "registry.cn-hangzhou.aliyuncs.com");
        assert_eq!(event.subject(), "ns/app:latest");
        assert_eq!(event.digest, Some(Digest::sha256(b"manifest")));
        assert_eq!((told.stamp, event.time), (None, RECEIVED), "without a zone it is no time");
        let later = text.replace("12:25:46", "12:25:47");
        assert_ne!(only(parse(Kind::Alibaba, &later, None).unwrap()).event.id, event.id);
        assert!(told.source_event_id.is_some());
    }

    #[test]
    fn other_hosts_must_be_configured() {
        let text = fixture("alibaba-push");
        let named = parse(Kind::Alibaba, text, Some("acme.cr.example.com")).unwrap();
        assert_eq!(only(named).event.registry, "acme.cr.example.com");
        for region in ["\"\"", "null", "\"a/b\""] {
            let text = text.replace("\"cn-hangzhou\"", region);
            let error = parse(Kind::Alibaba, &text, None).unwrap_err();
            assert!(matches!(error, Error::Registry { .. }), "{region}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("alibaba-push");
        for (from, to, expected) in [
            ("\"push_data\"", "\"push\"", "`push_data` is missing"),
            ("repo_full_name", "repo_name", "`repository.repo_full_name` is missing"),
            ("sha256:", "sha256-", "`push_data.digest` is `sha256-"),
            ("\"latest\"", "\"-x\"", "`push_data.tag` is `-x`; it must be a tag"),
            ("\"2016-11-29 12:25:46\"", "7", "`push_data.pushed_at` is `7`; it must be a text"),
        ] {
            let error = parse(Kind::Alibaba, &text.replace(from, to), None).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}, not {expected}");
        }
    }
}
