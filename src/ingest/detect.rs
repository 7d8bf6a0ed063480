//! Which kind a notification is, for a source that may be several: `kind: auto`.
//!
//! Headers first, because they say it outright; Forgejo and Gitea before GitHub, because they send GitHub's
//! header, too. Then the keys of the body, the most telling first. A kind picked this way says what it was
//! picked by. It decides which reader reads, never whether the sender is believed.

use std::fmt;

use http::HeaderMap;

use super::Kind;
use super::auth::Scheme;
use super::error::Error;
use super::form;
use super::json::Document;
use super::json::Escapes;
use super::json::Sort;
use super::node::Node;
use super::text_of;

/// A kind, and what gave it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    /// The kind.
    pub kind: Kind,
    /// What was found: a header, or the keys of the body.
    pub by: &'static str,
}

/// What an operator says that a source's notifications are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Whatever each of them looks like.
    Auto,
    /// All of this kind.
    Kind(Kind),
}

impl Wanted {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 18] = {
        let mut all = [Self::Auto; 18];
        let mut at = 0;
        while at < Kind::ALL.len() {
            all[at + 1] = Self::Kind(Kind::ALL[at]);
            at += 1;
        }
        all
    };

    /// The word for it in the configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kind(kind) => kind.as_str(),
        }
    }

    /// What a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wanted| wanted.as_str() == word)
    }

    /// What a source of it can show, the strongest first. How a signature is made depends on the kind, so it
    /// takes one.
    #[must_use]
    pub fn schemes(self) -> Vec<Scheme> {
        match self {
            Self::Auto => Scheme::ALL.into_iter().filter(|s| *s != Scheme::Signature).collect(),
            Self::Kind(kind) => kind.schemes().to_vec(),
        }
    }

    /// The header in which a source of it has a plain secret, unless the configuration says another.
    #[must_use]
    pub fn secret_header(self) -> &'static str {
        match self {
            Self::Auto => "authorization",
            Self::Kind(kind) => kind.secret_header(),
        }
    }

    /// The kind of one notification.
    ///
    /// # Errors
    ///
    /// If it has to be found out, and looks like none.
    pub fn find(self, headers: &HeaderMap, bytes: &[u8]) -> Result<Detected, Error> {
        match self {
            Self::Auto => Kind::detect(headers, bytes),
            Self::Kind(kind) => Ok(Detected { kind, by: "the word of the operator" }),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const KEYS: &str = "Docker Distribution's has a list `events`, Docker Hub's `push_data`, that of Artifactory's plugin `artifactory`, Harbor's `type` and `event_data`, another Pushbell's `specversion` and `type`";

impl Kind {
    /// Finds out the kind of a notification, by its headers, or else by the keys of its body.
    ///
    /// # Errors
    ///
    /// If it is too large, no JSON, or looks like none.
    pub fn detect(headers: &HeaderMap, bytes: &[u8]) -> Result<Detected, Error> {
        if let Some(detected) = by_header(headers) {
            return Ok(detected);
        }
        let payload = form::payload(headers, bytes)?;
        let text = text_of(&payload)?;
        let document = Document::read(text, Escapes::Lenient)?;
        let root = Node::root(&document);
        if headers.contains_key("ce-specversion") {
            let kind = headers.get("ce-type").and_then(|value| value.to_str().ok());
            if let Some(kind) = kind.and_then(by_type) {
                return Ok(Detected { kind, by: "the header `ce-type`" });
            }
        }
        by_body(&root).ok_or_else(|| root.unknown(KEYS))
    }
}

/// What a header says outright.
fn by_header(headers: &HeaderMap) -> Option<Detected> {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let is_envelope = content_type.is_some_and(|content_type| {
        let prefix = "application/vnd.docker.distribution.events.";
        content_type.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    if is_envelope {
        return Some(Detected { kind: Kind::Distribution, by: "the header `content-type`" });
    }
    let known = [
        ("x-forgejo-event", Kind::Gitea, "the header `x-forgejo-event`"),
        ("x-gitea-event", Kind::Gitea, "the header `x-gitea-event`"),
        ("x-github-event", Kind::Github, "the header `x-github-event`"),
        ("x-jfrog-event-auth", Kind::Artifactory, "the header `x-jfrog-event-auth`"),
        ("x-nexus-webhook-id", Kind::Nexus, "the header `x-nexus-webhook-id`"),
        ("x-europa-event", Kind::Europa, "the header `x-europa-event`"),
    ];
    let found = known.into_iter().find(|(header, ..)| headers.contains_key(*header));
    found.map(|(_, kind, by)| Detected { kind, by })
}

/// Whose a CloudEvents type is.
fn by_type(word: &str) -> Option<Kind> {
    let known = [
        ("dev.pushbell.", Kind::CloudEvents),
        ("zotregistry.", Kind::Zot),
        ("harbor.", Kind::Harbor),
        ("dev.cdevents.", Kind::CdEvents),
        ("com.amazon.ecr.", Kind::Ecr),
    ];
    known.into_iter().find(|(prefix, _)| word.starts_with(prefix)).map(|(_, kind)| kind)
}

fn by_body(root: &Node<'_>) -> Option<Detected> {
    let sort = |key| root.member(key).map(|node| node.sort());
    let has = |key| sort(key).is_some();
    let all = |keys: [&'static str; 2]| keys.into_iter().all(has);
    let is = |key, wanted| sort(key) == Some(wanted);
    let inside = |key, inner| root.member(key).is_some_and(|node| node.member(inner).is_some());
    let word = |key| root.text(key).ok().flatten().unwrap_or_default();
    let found = |kind, by| Some(Detected { kind, by });
    if has("specversion") && has("type") {
        let kind = by_type(&word("type"))?;
        return found(kind, "the CloudEvents `type`");
    }
    if all(["domain", "event_type"]) {
        return found(Kind::Artifactory, "the keys `domain` and `event_type`");
    }
    if has("artifactory") {
        return found(Kind::ArtifactoryPlugin, "the key `artifactory`");
    }
    if is("events", Sort::List) {
        return found(Kind::Distribution, "the list `events`");
    }
    if has("push_data") {
        // Docker Hub has `repo_name` where Alibaba has `repo_full_name`.
        return if !has("callback_url") && inside("repository", "repo_full_name") {
            found(Kind::Alibaba, "the keys `push_data` and `repository.repo_full_name`")
        } else {
            found(Kind::DockerHub, "the key `push_data`")
        };
    }
    if all(["type", "event_data"]) {
        return found(Kind::Harbor, "the keys `type` and `event_data`");
    }
    if all(["docker_url", "updated_tags"]) {
        return found(Kind::Quay, "the keys `docker_url` and `updated_tags`");
    }
    if has("action") && is("target", Sort::Object) {
        return found(Kind::Acr, "the keys `action` and `target`");
    }
    if has("subscription") && inside("message", "data") {
        return found(Kind::Gcr, "the keys `message.data` and `subscription`");
    }
    if has("detail-type") && word("source") == "aws.ecr" {
        return found(Kind::Ecr, "`\"source\": \"aws.ecr\"`");
    }
    by_body_alone(root)
}

/// Where a header would say it, and somebody kept the body alone.
fn by_body_alone(root: &Node<'_>) -> Option<Detected> {
    let sort = |key| root.member(key).map(|node| node.sort());
    let has = |key| sort(key).is_some();
    let all = |keys: [&'static str; 2]| keys.into_iter().all(has);
    let is = |key, wanted| sort(key) == Some(wanted);
    let inside = |key, inner| root.member(key).is_some_and(|node| node.member(inner).is_some());
    let found = |kind, by| Some(Detected { kind, by });
    if has("registry_package") || inside("package", "package_type") {
        return found(Kind::Github, "the keys of a package of GitHub's");
    }
    if all(["zen", "hook_id"]) {
        return found(Kind::Github, "the keys `zen` and `hook_id`");
    }
    if has("action") && inside("package", "version") && inside("package", "type") {
        return found(Kind::Gitea, "the keys `package.type` and `package.version`");
    }
    if all(["repositoryName", "action"]) {
        return found(Kind::Nexus, "the keys `repositoryName` and `action`");
    }
    if has("event") && is("image", Sort::Object) && is("repository", Sort::Object) {
        return found(Kind::Europa, "the keys `event`, `image` and `repository`");
    }
    if is("context", Sort::Object) && is("subject", Sort::Object) {
        return found(Kind::CdEvents, "the keys `context` and `subject`");
    }
    if all(["repo_key", "image_name"]) {
        return found(Kind::Artifactory, "the keys `repo_key` and `image_name`");
    }
    if all(["name", "reference"]) && has("digest") {
        return found(Kind::Zot, "the keys `name`, `reference` and `digest`");
    }
    if is("artifacts", Sort::List) || all(["name", "tag"]) {
        return found(Kind::ArtifactoryPlugin, "the keys of a format of the plugin");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::FIXTURES;
    use super::super::tests::headers;
    use super::*;

    #[test]
    fn a_kind_shows_by_its_headers_before_its_body() {
        let ping = br#"{"zen": "x", "hook_id": 1}"#;
        let envelope = "application/vnd.docker.distribution.events.v2+json";
        for (lines, kind) in [
            (&[("content-type", envelope)][..], Kind::Distribution),
            (
                &[("content-type", "Application/Vnd.docker.distribution.events.v1+json")],
                Kind::Distribution,
            ),
            (&[("x-github-event", "package")], Kind::Github),
            (&[("x-github-event", "package"), ("x-gitea-event", "package")], Kind::Gitea),
            (
                &[("x-github-event", "p"), ("x-gitea-event", "p"), ("x-forgejo-event", "p")],
                Kind::Gitea,
            ),
            (&[("x-jfrog-event-auth", "s3cret")], Kind::Artifactory),
            (&[("X-Nexus-Webhook-ID", "rm:repository:component")], Kind::Nexus),
            (&[("x-europa-event", "DockerImagePush")], Kind::Europa),
            (&[("ce-specversion", "1.0"), ("ce-type", "zotregistry.image.updated")], Kind::Zot),
            (
                &[("ce-specversion", "1.0"), ("ce-type", "dev.pushbell.image.push.v1")],
                Kind::CloudEvents,
            ),
            (
                &[("ce-specversion", "1.0"), ("ce-type", "dev.cdevents.artifact.published.0.3.0")],
                Kind::CdEvents,
            ),
            (&[("ce-specversion", "1.0"), ("ce-type", "com.example.odd")], Kind::Github),
            (&[("content-type", "application/json")], Kind::Github),
        ] {
            let detected = Kind::detect(&headers(lines), ping).unwrap();
            assert_eq!(detected.kind, kind, "{lines:?}: {detected:?}");
        }
    }

    #[test]
    fn an_operator_may_leave_it_to_us() {
        for wanted in Wanted::ALL.into_iter() {
            assert_eq!(Wanted::of(wanted.as_str()), Some(wanted));
        }
        let headers = HeaderMap::new();
        let said = Wanted::Kind(Kind::Zot).find(&headers, b"{}").unwrap();
        assert_eq!(said.kind, Kind::Zot, "what it looks like does not matter");
        assert!(Wanted::Auto.find(&headers, b"{}").is_err());
        assert_eq!(Wanted::of("nonsense"), None);
    }

    #[test]
    fn a_kind_shows_by_its_keys() {
        for fixture in FIXTURES {
            let detected = Kind::detect(&HeaderMap::new(), fixture.text.as_bytes()).unwrap();
            assert_eq!(detected.kind, fixture.kind, "{}: {detected:?}", fixture.name);
        }
        let keel = br#"{"name": "r.example.com/app", "tag": "1"}"#;
        let detected = Kind::detect(&HeaderMap::new(), keel).unwrap();
        assert_eq!(detected.kind, Kind::ArtifactoryPlugin);
        for unknown in [
            "{}",
            "[]",
            "1",
            r#"{"events": {}}"#,
            r#"{"push_data": null}"#,
            r#"{"specversion": "1.0", "type": "com.example.odd", "name": "a", "tag": "b"}"#,
            r#"{"detail-type": "ECR Image Action", "source": "aws.s3"}"#,
        ] {
            let error = Kind::detect(&HeaderMap::new(), unknown.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Unknown { .. }), "{unknown}: {error}");
        }
    }
}
