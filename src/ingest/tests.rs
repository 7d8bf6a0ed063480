use base64::Engine as _;
use http::HeaderName;
use http::HeaderValue;
use proptest::prelude::*;
use time::macros::datetime;

use crate::event::Action;
use crate::registry::Digest;

use super::*;

/// When every notification of the tests arrives.
pub(super) const RECEIVED: OffsetDateTime = datetime!(2026-03-01 10:00:00 UTC);

/// One notification as a registry sends it.
pub(super) struct Fixture {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

const fn of(kind: Kind, name: &'static str, text: &'static str) -> Fixture {
    Fixture { kind, name, text }
}

pub(super) const FIXTURES: [Fixture; 42] = [
    of(Kind::Acr, "acr-chart", include_str!("../../tests/fixtures/notifications/acr-chart.json")),
    of(Kind::Acr, "acr-delete", include_str!("../../tests/fixtures/notifications/acr-delete.json")),
    of(Kind::Acr, "acr-push", include_str!("../../tests/fixtures/notifications/acr-push.json")),
    of(
        Kind::Alibaba,
        "alibaba-push",
        include_str!("../../tests/fixtures/notifications/alibaba-push.json"),
    ),
    of(
        Kind::Artifactory,
        "artifactory-deleted",
        include_str!("../../tests/fixtures/notifications/artifactory-deleted.json"),
    ),
    of(
        Kind::Artifactory,
        "artifactory-deployed",
        include_str!("../../tests/fixtures/notifications/artifactory-deployed.json"),
    ),
    of(
        Kind::Artifactory,
        "artifactory-flat",
        include_str!("../../tests/fixtures/notifications/artifactory-flat.json"),
    ),
    of(
        Kind::ArtifactoryPlugin,
        "artifactory-plugin-child",
        include_str!("../../tests/fixtures/notifications/artifactory-plugin-child.json"),
    ),
    of(
        Kind::ArtifactoryPlugin,
        "artifactory-plugin-created",
        include_str!("../../tests/fixtures/notifications/artifactory-plugin-created.json"),
    ),
    of(
        Kind::ArtifactoryPlugin,
        "artifactory-plugin-deleted",
        include_str!("../../tests/fixtures/notifications/artifactory-plugin-deleted.json"),
    ),
    of(
        Kind::ArtifactoryPlugin,
        "artifactory-plugin-keel",
        include_str!("../../tests/fixtures/notifications/artifactory-plugin-keel.json"),
    ),
    of(
        Kind::ArtifactoryPlugin,
        "artifactory-plugin-ping",
        include_str!("../../tests/fixtures/notifications/artifactory-plugin-ping.json"),
    ),
    of(
        Kind::ArtifactoryPlugin,
        "artifactory-plugin-spinnaker",
        include_str!("../../tests/fixtures/notifications/artifactory-plugin-spinnaker.json"),
    ),
    of(
        Kind::Artifactory,
        "artifactory-pushed",
        include_str!("../../tests/fixtures/notifications/artifactory-pushed.json"),
    ),
    of(
        Kind::CdEvents,
        "cdevents-published",
        include_str!("../../tests/fixtures/notifications/cdevents-published.json"),
    ),
    of(
        Kind::Distribution,
        "distribution-2-push",
        include_str!("../../tests/fixtures/notifications/distribution-2-push.json"),
    ),
    of(
        Kind::Distribution,
        "distribution-3-envelope",
        include_str!("../../tests/fixtures/notifications/distribution-3-envelope.json"),
    ),
    of(
        Kind::DockerHub,
        "docker-hub-documented-older",
        include_str!("../../tests/fixtures/notifications/docker-hub-documented-older.json"),
    ),
    of(
        Kind::DockerHub,
        "docker-hub-documented",
        include_str!("../../tests/fixtures/notifications/docker-hub-documented.json"),
    ),
    of(
        Kind::DockerHub,
        "docker-hub-legacy",
        include_str!("../../tests/fixtures/notifications/docker-hub-legacy.json"),
    ),
    of(
        Kind::DockerHub,
        "docker-hub-today",
        include_str!("../../tests/fixtures/notifications/docker-hub-today.json"),
    ),
    of(
        Kind::Ecr,
        "ecr-cloudevent",
        include_str!("../../tests/fixtures/notifications/ecr-cloudevent.json"),
    ),
    of(Kind::Ecr, "ecr-push", include_str!("../../tests/fixtures/notifications/ecr-push.json")),
    of(
        Kind::Europa,
        "europa-delete",
        include_str!("../../tests/fixtures/notifications/europa-delete.json"),
    ),
    of(
        Kind::Europa,
        "europa-push",
        include_str!("../../tests/fixtures/notifications/europa-push.json"),
    ),
    of(
        Kind::Europa,
        "europa-test",
        include_str!("../../tests/fixtures/notifications/europa-test.json"),
    ),
    of(Kind::Gcr, "gcr-insert", include_str!("../../tests/fixtures/notifications/gcr-insert.json")),
    of(
        Kind::Gitea,
        "gitea-created",
        include_str!("../../tests/fixtures/notifications/gitea-created.json"),
    ),
    of(
        Kind::Gitea,
        "gitea-deleted",
        include_str!("../../tests/fixtures/notifications/gitea-deleted.json"),
    ),
    of(
        Kind::Github,
        "github-package",
        include_str!("../../tests/fixtures/notifications/github-package.json"),
    ),
    of(
        Kind::Github,
        "github-untagged",
        include_str!("../../tests/fixtures/notifications/github-untagged.json"),
    ),
    of(
        Kind::Harbor,
        "harbor-child",
        include_str!("../../tests/fixtures/notifications/harbor-child.json"),
    ),
    of(
        Kind::Harbor,
        "harbor-cloudevent",
        include_str!("../../tests/fixtures/notifications/harbor-cloudevent.json"),
    ),
    of(
        Kind::Harbor,
        "harbor-delete",
        include_str!("../../tests/fixtures/notifications/harbor-delete.json"),
    ),
    of(
        Kind::Harbor,
        "harbor-push",
        include_str!("../../tests/fixtures/notifications/harbor-push.json"),
    ),
    of(
        Kind::Nexus,
        "nexus-asset",
        include_str!("../../tests/fixtures/notifications/nexus-asset.json"),
    ),
    of(
        Kind::Nexus,
        "nexus-component",
        include_str!("../../tests/fixtures/notifications/nexus-component.json"),
    ),
    of(Kind::Quay, "quay-push", include_str!("../../tests/fixtures/notifications/quay-push.json")),
    of(
        Kind::Zot,
        "zot-deleted",
        include_str!("../../tests/fixtures/notifications/zot-deleted.json"),
    ),
    of(
        Kind::Zot,
        "zot-updated",
        include_str!("../../tests/fixtures/notifications/zot-updated.json"),
    ),
    of(
        Kind::CloudEvents,
        "native-push",
        include_str!("../../tests/fixtures/dialects/native-push.json"),
    ),
    of(
        Kind::CloudEvents,
        "native-bare",
        include_str!("../../tests/fixtures/dialects/native-bare.json"),
    ),
];

/// The text of one.
pub(super) fn fixture(name: &str) -> &'static str {
    let found = FIXTURES.iter().find(|fixture| fixture.name == name);
    found.unwrap_or_else(|| panic!("no fixture {name}")).text
}

impl Fixture {
    /// What it comes with: of zot's the half is in the headers.
    fn headers(&self) -> HeaderMap {
        match self.kind {
            Kind::Zot => {
                let done = if self.name.ends_with("deleted") { "deleted" } else { "updated" };
                headers(&[
                    ("ce-specversion", "1.0"),
                    ("ce-id", "1"),
                    ("ce-source", "zotregistry.dev"),
                    ("ce-type", &format!("zotregistry.image.{done}")),
                    ("ce-time", "2026-03-01T09:15:02.5Z"),
                ])
            }
            _ => HeaderMap::new(),
        }
    }

    fn read(&self, bytes: &[u8], registry: Option<&str>) -> Result<Parsed, Error> {
        let context = Context { registry, ..Context::at(RECEIVED) };
        read(self.kind, &self.headers(), bytes, &context)
    }
}

pub(super) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    lines.iter().map(pair).collect()
}

pub(super) fn parse(kind: Kind, text: &str, registry: Option<&str>) -> Result<Parsed, Error> {
    parse_with(kind, &[], text, registry)
}

pub(super) fn parse_with(
    kind: Kind,
    lines: &[(&str, &str)],
    text: &str,
    registry: Option<&str>,
) -> Result<Parsed, Error> {
    let context = Context { registry, ..Context::at(RECEIVED) };
    read(kind, &headers(lines), text.as_bytes(), &context)
}

/// The one event of a notification.
pub(super) fn only(mut parsed: Parsed) -> Notified {
    assert_eq!(parsed.events.len(), 1, "{parsed:?}");
    parsed.events.remove(0)
}

const NAMED: Option<&str> = Some("r.example.com");

#[test]
fn words_stand_for_kinds_and_back() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of(kind.as_str()), Some(kind));
        assert!(FIXTURES.iter().any(|fixture| fixture.kind == kind), "{kind} has a fixture");
    }
    assert_eq!(Kind::of("auto"), None, "which is a wish, not a kind");
}

#[test]
fn every_fixture_is_read_and_says_something() {
    for fixture in &FIXTURES {
        let parsed = fixture.read(fixture.text.as_bytes(), NAMED).unwrap();
        let says = !parsed.events.is_empty() || parsed.is_test;
        assert!(says, "{}: {parsed:?}", fixture.name);
        for told in &parsed.events {
            assert_eq!(told.event.registry, "r.example.com", "{}", fixture.name);
            assert_eq!(told.event.seen_by[0], fixture.kind.as_str(), "{}", fixture.name);
        }
    }
}

#[test]
fn reading_twice_gives_the_same_events() {
    for fixture in &FIXTURES {
        let bytes = fixture.text.as_bytes();
        let at = |received| {
            let context = Context { registry: NAMED, ..Context::at(received) };
            read(fixture.kind, &fixture.headers(), bytes, &context).unwrap().events
        };
        let (once, later) = (at(RECEIVED), at(RECEIVED + time::Duration::HOUR));
        assert_eq!(once, at(RECEIVED), "{}", fixture.name);
        for (once, later) in once.iter().zip(&later) {
            let is_same = once.event.id == later.event.id;
            assert_eq!(is_same, once.source_event_id.is_some(), "{}", fixture.name);
            assert_eq!(once.source_event_id, later.source_event_id, "{}", fixture.name);
        }
    }
}

#[test]
fn a_source_has_ids_of_its_own() {
    for fixture in FIXTURES.iter().filter(|fixture| fixture.kind != Kind::CloudEvents) {
        let by = |source| {
            let context = Context { source, registry: NAMED, ..Context::at(RECEIVED) };
            read(fixture.kind, &fixture.headers(), fixture.text.as_bytes(), &context).unwrap()
        };
        for (one, other) in by(Some("one")).events.iter().zip(&by(Some("other")).events) {
            assert_ne!(one.event.id, other.event.id, "{}", fixture.name);
            assert_eq!(one.event.seen_by, ["one"]);
        }
    }
}

/// Each field that an event has is where the trace says.
#[test]
fn every_field_is_traced_to_where_it_stands() {
    for fixture in &FIXTURES {
        let parsed = fixture.read(fixture.text.as_bytes(), None);
        // Those that never name a registry.
        let parsed = parsed.or_else(|_| fixture.read(fixture.text.as_bytes(), NAMED)).unwrap();
        let document = serde_json::from_str(fixture.text).unwrap_or(serde_json::Value::Null);
        for told in &parsed.events {
            for (field, place) in &told.origins {
                let about = format!("{}: {field} from {place}", fixture.name);
                let Place::Pointer(pointer) = place else {
                    continue;
                };
                let (outer, inner) = pointer.split_once('#').unwrap_or((pointer, ""));
                let Some(value) = document.pointer(outer) else {
                    // Docker's samples are no JSON.
                    assert!(document.is_null(), "{about}");
                    continue;
                };
                let decoded = || {
                    let bytes = BASE64.decode(value.as_str().unwrap()).unwrap();
                    serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
                };
                let value = if pointer.contains('#') {
                    decoded().pointer(inner).cloned()
                } else {
                    Some(value.clone())
                };
                let text = value.expect(&about).to_string().to_ascii_lowercase();
                let event = &told.event;
                let expected = match *field {
                    "repository" => event.repository.base().to_owned(),
                    "tag" => event.tag.as_ref().unwrap().to_string(),
                    "digest" => event.digest.as_ref().unwrap().encoded().to_owned(),
                    "size" if fixture.kind != Kind::Zot => event.size.unwrap().to_string(),
                    "actor" => event.actor.name.clone().unwrap(),
                    "media_type" => event.media_type.as_ref().unwrap().to_string(),
                    _ => continue,
                };
                assert!(text.contains(&expected.to_ascii_lowercase()), "{about}: {text}");
            }
            let fields: Vec<&str> = told.origins.iter().map(|(field, _)| *field).collect();
            for field in ["action", "registry", "repository", "time"] {
                assert!(fields.contains(&field), "{}: {field}", fixture.name);
            }
            let odd = |(field, place): &&(&str, Place)| {
                *place == Place::Format && !matches!(*field, "action" | "kind" | "registry")
            };
            let odd: Vec<_> = told.origins.iter().filter(odd).collect();
            assert!(odd.is_empty(), "{}: from nowhere: {odd:?}", fixture.name);
        }
    }
}

/// The golden bodies of our own dialects are notifications, too: what one end writes the other end
/// reads back, as far as the format can say it.
#[test]
fn our_own_dialects_are_read_back() {
    macro_rules! golden {
        ($name:literal) => {
            include_str!(concat!("../../tests/fixtures/dialects/", $name, ".json"))
        };
    }
    let digest = Digest::sha256(b"after");
    let named = Some("registry.example.com");
    for (kind, text, action, has_digest) in [
        (Kind::Distribution, golden!("distribution-push"), Action::Push, true),
        (Kind::Distribution, golden!("distribution-bare"), Action::Push, false),
        (Kind::Distribution, golden!("distribution-delete-tag"), Action::Delete, false),
        (Kind::Distribution, golden!("distribution-v2-push"), Action::Push, true),
        (Kind::Distribution, golden!("distribution-v2-delete-tag"), Action::Delete, false),
        (Kind::DockerHub, golden!("docker-hub-push"), Action::Push, false),
        (Kind::DockerHub, golden!("docker-hub-bare"), Action::Push, false),
        (Kind::ArtifactoryPlugin, golden!("artifactory-plugin-push"), Action::Push, false),
        (Kind::ArtifactoryPlugin, golden!("artifactory-plugin-bare"), Action::Push, false),
        (Kind::ArtifactoryPlugin, golden!("artifactory-plugin-delete"), Action::Delete, false),
        (Kind::ArtifactoryPlugin, golden!("keel-push"), Action::Push, false),
        (Kind::Artifactory, golden!("artifactory-push"), Action::Push, true),
        (Kind::Harbor, golden!("harbor-push"), Action::Push, true),
        (Kind::Quay, golden!("quay-push"), Action::Push, false),
        (Kind::Acr, golden!("acr-push"), Action::Push, true),
        (Kind::Github, golden!("github-push"), Action::Push, true),
        (Kind::Github, golden!("github-registry-push"), Action::Push, true),
        (Kind::Nexus, golden!("nexus-push"), Action::Push, false),
        (Kind::Gcr, golden!("gcr-push"), Action::Push, true),
        (Kind::Europa, golden!("europa-push"), Action::Push, true),
        (Kind::Europa, golden!("europa-delete"), Action::Delete, false),
        (Kind::CdEvents, golden!("cdevents-0.4-push"), Action::Push, true),
        (Kind::CdEvents, golden!("cdevents-0.5-push"), Action::Push, true),
        (Kind::CloudEvents, golden!("native-push"), Action::Push, true),
    ] {
        let detected = Kind::detect(&HeaderMap::new(), text.as_bytes()).unwrap();
        assert_eq!(detected.kind, kind);
        let nameless = matches!(kind, Kind::Nexus | Kind::Europa);
        let event = only(parse(kind, text, named.filter(|_| nameless)).unwrap()).event;
        assert_eq!(event.action, action, "{kind}");
        assert_eq!(event.registry, "registry.example.com", "{kind}");
        assert_eq!(event.subject(), "team/app:1.4.2", "{kind}");
        assert_eq!(event.digest, has_digest.then(|| digest.clone()), "{kind}");
        if matches!(kind, Kind::Distribution | Kind::Acr | Kind::CloudEvents) && has_digest {
            let index = "application/vnd.oci.image.index.v1+json";
            assert_eq!(event.media_type.as_ref().map(|m| m.as_str()), Some(index), "{kind}");
            assert_eq!(event.size, Some(1609), "{kind}");
        }
    }
}

#[test]
fn limits_are_said() {
    let large = vec![b' '; MAX_BYTES + 1];
    let context = Context::at(RECEIVED);
    for kind in Kind::ALL {
        let read = |bytes: &[u8]| read(kind, &HeaderMap::new(), bytes, &context).unwrap_err();
        assert_eq!(read(&large), Error::TooLarge { bytes: MAX_BYTES + 1, limit: MAX_BYTES });
        let said = read(b"{\"a\":\n \"\xff\"}").to_string();
        assert_eq!(said, "line 2, column 3: not JSON: the bytes are not UTF-8");
        let said = read(b" [1]").to_string();
        let expected = "line 1, column 2: `the notification` is a list; it must be an object";
        assert_eq!(said, expected);
        let said = read(b"{\"a\": 1, \"a\": 2}").to_string();
        assert_eq!(said, "line 1, column 10: not JSON: the key `a` is there twice");
        let deep = format!("{{\"a\": {}", "[".repeat(64));
        assert!(read(deep.as_bytes()).to_string().contains("deeper than 64 levels"));
    }
}

/// Cut off anywhere, a notification is an error that says where, or it is whole but for white space.
#[test]
fn a_notification_cut_anywhere_is_a_clear_error() {
    for fixture in &FIXTURES {
        let bytes = fixture.text.as_bytes();
        let whole = fixture.read(bytes, NAMED).unwrap();
        for end in 0..bytes.len() {
            match fixture.read(&bytes[..end], NAMED) {
                Ok(parsed) => {
                    assert!(bytes[end..].trim_ascii().is_empty(), "{} at {end}", fixture.name);
                    let facts = |parsed: &Parsed| {
                        parsed.events.iter().map(|t| t.event.key()).collect::<Vec<_>>()
                    };
                    assert_eq!(facts(&parsed), facts(&whole), "{} at {end}", fixture.name);
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.starts_with("line "), "{} at {end}: {said}", fixture.name);
                }
            }
        }
    }
}

/// No address that a stranger wrote gets into an event.
#[test]
fn no_url_is_copied_into_an_event() {
    for fixture in &FIXTURES {
        for told in fixture.read(fixture.text.as_bytes(), NAMED).unwrap().events {
            let Some(event) = Some(told.event).filter(|_| fixture.kind != Kind::CloudEvents) else {
                continue;
            };
            let json = crate::event::schema::Envelope::of(&event).to_json();
            let foreign = json.replace("https://r.example.com", "");
            assert!(!foreign.contains("://"), "{}: {json}", fixture.name);
        }
    }
}

/// Pieces of real notifications, put together at random: gets further than random bytes do.
fn almost() -> impl Strategy<Value = (usize, Vec<(usize, Vec<u8>)>)> {
    let edits =
        prop::collection::vec((any::<usize>(), prop::collection::vec(any::<u8>(), 0..4)), 0..6);
    (0..FIXTURES.len(), edits)
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes: Vec<u8>) {
        for fixture in &FIXTURES {
            let _ignored = fixture.read(&bytes, None).is_ok();
        }
        let _ignored = Kind::detect(&HeaderMap::new(), &bytes).is_ok();
    }

    #[test]
    fn no_altered_notification_makes_a_parser_panic((which, edits) in almost()) {
        let fixture = &FIXTURES[which];
        let mut bytes = fixture.text.as_bytes().to_vec();
        for (place, put) in edits {
            let start = place % bytes.len();
            let end = (start + put.len()).min(bytes.len());
            bytes.splice(start..end, put);
        }
        let _ignored = Kind::detect(&fixture.headers(), &bytes).is_ok();
        if let Err(error) = fixture.read(&bytes, None) {
            let text = error.to_string();
            prop_assert!(text.len() < 2000 && !text.contains(char::is_control), "{text}");
        }
    }
}
