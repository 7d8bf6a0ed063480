//! Presets: what a known receiver needs, so that an operator names the receiver and not its details.
//!
//! A preset is data: a dialect, headers that belong to it, where below its base the receiver listens, by what it knows
//! who is calling, how its answers are read, and the page that explains all that to whoever sets it up. A new one is a
//! constant in a file and an entry in [`Preset::ALL`]; `pushbell presets NAME >deploy/receivers/NAME.md` writes its page.

mod argo_cd;
mod argo_events;
mod build_service;
mod concourse;
mod dokploy;
mod flux;
mod image_updater;
mod jenkins;
mod kargo;
mod keel;
mod knative;
mod page;
mod portainer;
mod spinnaker;
mod tekton;
mod watchtower;

use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;
use std::time::Duration;

use http::HeaderName;
use http::HeaderValue;
use http::Uri;
use http::header;
use http::uri::PathAndQuery;

use super::answers::Answers;
use super::dialect::Dialect;
use super::sign::Scheme;

/// A known receiver.
#[derive(Clone, Copy)]
pub struct Preset(&'static Facts);

/// What is known of it.
#[derive(Clone, Copy)]
struct Facts {
    /// The word for it in the configuration.
    word: &'static str,
    /// What it is, in a sentence.
    about: &'static str,
    /// What it reads.
    dialect: Dialect,
    /// Headers it looks at, beyond the dialect's; lower case.
    headers: &'static [(&'static str, &'static str)],
    /// The only `Content-Type` it opens a body for, where the dialect has another or that is worth holding on to.
    content_type: Option<&'static str>,
    /// Where it listens, below its base URL; empty where that is its owner's choice.
    path: &'static str,
    /// The query it wants; empty where it wants none.
    query: &'static str,
    /// By what it knows who is calling: the signature scheme that is meant where `sign` names none.
    scheme: Option<Scheme>,
    /// The parameter of that scheme, where it wants a certain one.
    parameter: Option<&'static str>,
    /// Whether it refuses whoever does not show that.
    must_sign: bool,
    /// How its answers are read.
    answers: Answers,
    /// How long an attempt may take, where nothing is said and the usual is not enough.
    timeout: Option<Duration>,
    /// A URL of it, for its page.
    url: &'static str,
    /// What stands in `sign` there; empty for a file with a secret.
    sign: &'static str,
    /// What else stands in an endpoint there, a key a line.
    more: &'static [&'static str],
    /// What to create there, for its page.
    create: &'static str,
    /// How to see that it works, for its page.
    see: &'static str,
}

impl Facts {
    /// Nothing is known yet.
    const NONE: Self = Self {
        word: "",
        about: "",
        dialect: Dialect::Native,
        headers: &[],
        content_type: None,
        path: "",
        query: "",
        scheme: None,
        parameter: None,
        must_sign: false,
        answers: Answers::Plain,
        timeout: None,
        url: "",
        sign: "",
        more: &[],
        create: "",
        see: "",
    };
}

impl Preset {
    /// Every preset, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self(&build_service::DOCKER),
        Self(&build_service::DOCKER_HUB),
        Self(&build_service::ARTIFACTORY),
        Self(&kargo::ARTIFACTORY),
        Self(&kargo::GITHUB),
        Self(&kargo::DOCKER_HUB),
        Self(&kargo::HARBOR),
        Self(&kargo::QUAY),
        Self(&kargo::AZURE),
        Self(&kargo::GENERIC),
        Self(&flux::GENERIC_HMAC),
        Self(&flux::GENERIC),
        Self(&flux::HARBOR),
        Self(&flux::DOCKER_HUB),
        Self(&flux::QUAY),
        Self(&flux::NEXUS),
        Self(&flux::GCR),
        Self(&flux::CDEVENTS),
        Self(&flux::GITHUB),
        Self(&argo_cd::HARBOR),
        Self(&image_updater::CLOUDEVENTS),
        Self(&image_updater::HARBOR),
        Self(&keel::KEEL),
        Self(&jenkins::REGISTRY),
        Self(&jenkins::GENERIC),
        Self(&tekton::TEKTON),
        Self(&argo_events::ARGO_EVENTS),
        Self(&spinnaker::SPINNAKER),
        Self(&knative::KNATIVE),
        Self(&dokploy::DOKPLOY),
        Self(&concourse::CONCOURSE),
        Self(&portainer::PORTAINER),
        Self(&watchtower::WATCHTOWER),
    ];

    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.word
    }

    /// The preset a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|preset| preset.as_str() == word)
    }

    /// The dialect the receiver reads.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        self.0.dialect
    }

    /// Headers it looks at, beyond the dialect's. An endpoint's own `headers` take their place.
    #[must_use]
    pub fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        let fixed = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let content_type = self.0.content_type.map(HeaderValue::from_static);
        let content_type = content_type.map(|value| (header::CONTENT_TYPE, value));
        self.0.headers.iter().map(fixed).chain(content_type).collect()
    }

    /// The signature scheme that is meant where none is named.
    #[must_use]
    pub fn scheme(self) -> Option<Scheme> {
        self.0.scheme
    }

    /// The parameter of the query that [`Preset::scheme`] is to use, where the receiver wants a certain one.
    #[must_use]
    pub fn parameter(self) -> Option<&'static str> {
        self.0.parameter
    }

    /// Whether the receiver refuses whoever does not show what [`Preset::scheme`] is.
    #[must_use]
    pub fn must_sign(self) -> bool {
        self.0.must_sign
    }

    /// How its answers are read.
    #[must_use]
    pub fn answers(self) -> Answers {
        self.0.answers
    }

    /// How long an attempt may take, where the usual is not enough for it.
    #[must_use]
    pub fn timeout(self) -> Option<Duration> {
        self.0.timeout
    }

    /// The URL to post to, from the receiver's base URL: its path is appended unless it is there already, where a
    /// placeholder stands for any segment, and its query unless there is one. A URL that would become too long for a
    /// request is kept as it is.
    #[must_use]
    pub fn complete(self, url: &Uri) -> Uri {
        let base = url.path().trim_end_matches('/');
        let added = if ends_with(base, self.0.path) { "" } else { self.0.path };
        let query = match (url.query(), self.0.query) {
            (Some(query), _) => format!("?{query}"),
            (None, "") => String::new(),
            (None, query) => format!("?{query}"),
        };
        let mut parts = url.clone().into_parts();
        let Ok(target) = PathAndQuery::try_from(format!("{base}{added}{query}")) else {
            return url.clone();
        };
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
    }
}

/// Whether the last segments of a path are these.
fn ends_with(path: &str, end: &str) -> bool {
    let mut segments = path.rsplit('/');
    end.trim_start_matches('/').rsplit('/').all(|wanted| match segments.next() {
        Some(segment) if wanted.starts_with('{') => !segment.is_empty(),
        segment => segment == Some(wanted),
    })
}

impl PartialEq for Preset {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Preset {}

impl Hash for Preset {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preset({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn preset(word: &str) -> Preset {
        Preset::of(word).unwrap()
    }

    #[test]
    fn words_stand_for_presets_and_back() {
        let words: HashSet<_> = Preset::ALL.iter().map(|preset| preset.as_str()).collect();
        assert_eq!(words.len(), Preset::ALL.len());
        for preset in Preset::ALL {
            assert_eq!(Preset::of(preset.as_str()), Some(*preset));
        }
        assert_eq!(Preset::of("build-service"), None);
    }

    #[test]
    fn every_preset_is_whole() {
        for preset in Preset::ALL {
            let facts = preset.0;
            let name = facts.word;
            let lower = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(!name.is_empty() && name.chars().all(lower), "{name}");
            for text in [facts.about, facts.create, facts.see] {
                assert!(text.ends_with('.') || text.ends_with(".)"), "{name}: {text}");
            }
            let url: Uri = facts.url.parse().unwrap();
            assert!(crate::delivery::url::check(&preset.complete(&url)).is_ok(), "{name}");
            assert!(facts.path.is_empty() || facts.path.starts_with('/'), "{name}");
            // The panic of a static header that is none happens here and nowhere else.
            assert!(preset.headers().iter().all(|(_, value)| !value.is_empty()), "{name}");
            assert!(!facts.must_sign || facts.scheme.is_some(), "{name}");
        }
    }

    #[test]
    fn a_base_url_is_completed_once() {
        let preset = preset("build-service-docker");
        for (base, expected) in [
            ("https://b.example.com", "https://b.example.com/v1/docker/notification"),
            ("https://b.example.com/", "https://b.example.com/v1/docker/notification"),
            ("https://b.example.com:8443/", "https://b.example.com:8443/v1/docker/notification"),
            ("https://b.example.com/build", "https://b.example.com/build/v1/docker/notification"),
            ("https://b.example.com/build/", "https://b.example.com/build/v1/docker/notification"),
            ("https://b.example.com/v1", "https://b.example.com/v1/v1/docker/notification"),
            ("https://b.example.com?a=1", "https://b.example.com/v1/docker/notification?a=1"),
            ("https://b.example.com/?a=/", "https://b.example.com/v1/docker/notification?a=/"),
            (
                "https://b.example.com/x/v1/docker/notification",
                "https://b.example.com/x/v1/docker/notification",
            ),
            (
                "https://b.example.com/v1/docker/notification/",
                "https://b.example.com/v1/docker/notification",
            ),
            (
                "https://b.example.com/v1/docker/notification?a=1",
                "https://b.example.com/v1/docker/notification?a=1",
            ),
            (
                "https://b.example.com/v1/docker/webhook",
                "https://b.example.com/v1/docker/webhook/v1/docker/notification",
            ),
        ] {
            let completed = preset.complete(&base.parse().unwrap());
            assert_eq!(completed.to_string(), expected, "{base}");
            assert_eq!(preset.complete(&completed), completed, "{base}");
        }
    }

    #[test]
    fn a_placeholder_stands_for_any_segment_and_a_query_for_itself() {
        for (word, base, expected) in [
            ("portainer", "https://p", "https://p/api/webhooks/{secret}?tag={tag}"),
            ("portainer", "https://p/api/webhooks/0a1b", "https://p/api/webhooks/0a1b?tag={tag}"),
            ("portainer", "https://p/x/api/webhooks/0a1b?", "https://p/x/api/webhooks/0a1b?"),
            (
                "portainer",
                "https://p/api/webhooks/",
                "https://p/api/webhooks/api/webhooks/{secret}?tag={tag}",
            ),
            (
                "jenkins-registry",
                "https://j/ci",
                "https://j/ci/dockerregistry-webhook/{secret}/notify",
            ),
            (
                "jenkins-registry",
                "https://j/dockerregistry-webhook/t0k3n/notify",
                "https://j/dockerregistry-webhook/t0k3n/notify",
            ),
            ("watchtower", "https://w", "https://w/v1/update?image={registry}/{repository}"),
            ("watchtower", "https://w/v1/update?", "https://w/v1/update?"),
            ("flux-generic", "https://f", "https://f/hook/{secret}"),
            ("flux-generic-hmac", "https://f/hook/5f1e", "https://f/hook/5f1e"),
            ("tekton", "https://t/", "https://t/"),
        ] {
            let completed = preset(word).complete(&base.parse().unwrap());
            assert_eq!(completed.to_string(), expected, "{base}");
            assert_eq!(preset(word).complete(&completed), completed, "{base}");
        }
    }

    #[test]
    fn each_build_service_preset_posts_its_dialect_to_its_path() {
        for (word, dialect, url) in [
            ("build-service-docker", Dialect::Distribution, "https://b/v1/docker/notification"),
            ("build-service-docker-hub", Dialect::DockerHub, "https://b/v1/docker/webhook"),
            (
                "build-service-artifactory",
                Dialect::ArtifactoryPlugin,
                "https://b/v1/artifactory/webhook",
            ),
        ] {
            assert_eq!(preset(word).dialect(), dialect);
            assert_eq!(preset(word).complete(&"https://b".parse().unwrap()).to_string(), url);
        }
    }
}
