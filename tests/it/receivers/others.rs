//! All others, each after the source that its preset names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::call::Call;
use super::call::Outcome;
use super::call::acted;
use super::call::ensure;
use super::call::integer;
use super::call::maybe;
use super::call::text;

/// Distribution's envelope, complete: the receiver is closed, so its sender's own format is the contract.
pub(super) fn build_service_docker(call: &Call) -> Outcome {
    ensure(call.path() == "/v1/docker/notification", "404")?;
    call.is_type("application/vnd.docker.distribution.events.v1+json")?;
    distribution(&call.json()?)
}

pub(super) fn build_service_docker_hub(call: &Call) -> Outcome {
    ensure(call.path() == "/v1/docker/webhook", "404")?;
    call.is_type("application/json")?;
    let body = call.json()?;
    for number in [
        "/push_data/pushed_at",
        "/repository/date_created",
        "/repository/star_count",
        "/repository/comment_count",
    ] {
        ensure(body.pointer(number).is_some(), number)?;
        integer(&body, number)?;
    }
    ensure(body["push_data"]["images"].is_array(), "images")?;
    ensure(body["callback_url"].is_string(), "callback_url")?;
    acted(text(&body, "/repository/repo_name")?, text(&body, "/push_data/tag")?)
}

pub(super) fn build_service_artifactory(call: &Call) -> Outcome {
    ensure(call.path() == "/v1/artifactory/webhook", "404")?;
    call.is_type("application/json")?;
    let body = call.json()?;
    let hook = "/artifactory/webhook";
    ensure(text(&body, &format!("{hook}/event"))? == "docker.tagCreated", "another event")?;
    let item = format!("{hook}/data/event");
    for number in ["created", "lastModified", "size"] {
        integer(&body, &format!("{item}/{number}"))?;
    }
    let tag = text(&body, &format!("{hook}/data/docker/tag"))?;
    let image = text(&body, &format!("{hook}/data/docker/image"))?;
    let path = text(&body, &format!("{item}/relPath"))?;
    ensure(path == format!("{image}/{tag}/manifest.json"), "relPath")?;
    acted(format!("{}/{image}", text(&body, &format!("{item}/repoKey"))?), tag)
}

/// One event, and all that any reader of the envelope wants.
fn distribution(body: &Value) -> Outcome {
    let events = body["events"].as_array().ok_or("400 events")?;
    ensure(events.len() == 1, "one event to an envelope")?;
    let event = &events[0];
    ensure(text(event, "/action")? == "push", "another action")?;
    let timestamp = text(event, "/timestamp")?;
    let rfc3339 = time::format_description::well_known::Rfc3339;
    ensure(time::OffsetDateTime::parse(&timestamp, &rfc3339).is_ok(), "timestamp")?;
    integer(event, "/target/size")?;
    integer(event, "/target/length")?;
    let url = text(event, "/target/url")?;
    let segments: Vec<_> = url.split('/').collect();
    ensure(segments.len() > 4 && segments[segments.len() - 2] == "manifests", "no manifest")?;
    ensure(event["request"].is_object(), "no request")?;
    ensure(segments[2] == text(event, "/request/host")?, "two hosts")?;
    let repository = text(event, "/target/repository")?;
    acted(format!("{}/{repository}", segments[2]), text(event, "/target/tag")?)
}

/// Harbor's body, as Go structures with `int64` take it.
fn harbor(body: &Value) -> Outcome {
    integer(body, "/occur_at")?;
    integer(body, "/event_data/repository/date_created")?;
    ensure(text(body, "/type")? == "PUSH_ARTIFACT", "400 type")?;
    let resource = "/event_data/resources/0";
    let tag = text(body, &format!("{resource}/tag"))?;
    let url = text(body, &format!("{resource}/resource_url"))?;
    maybe(body, &format!("{resource}/digest"))?;
    let host = url.split('/').next().unwrap();
    let full = maybe(body, "/event_data/repository/repo_full_name")?;
    let repository = if full.is_empty() {
        let part = |name| text(body, &format!("/event_data/repository/{name}"));
        format!("{}/{}", part("namespace")?, part("name")?)
    } else {
        full
    };
    acted(format!("{host}/{repository}"), tag)
}

pub(super) fn argo_cd(call: &Call) -> Outcome {
    ensure(call.method == "POST" && call.path() == "/api/webhook", "405")?;
    let git =
        ["x-github-event", "x-gitlab-event", "x-gogs-event", "x-event-key", "x-vss-activityid"];
    ensure(!git.iter().any(|name| call.headers.contains_key(*name)), "a git parser takes it")?;
    // No other way to know it.
    call.authorized(&call.secret)?;
    harbor(&call.json()?)
}

fn at_updater(call: &Call, kind: &str) -> Result<(), String> {
    ensure(call.method == "POST" && call.path() == "/webhook", "405")?;
    ensure(call.parameter("type").as_deref() == Some(kind), "400 type")?;
    ensure(call.body.len() <= 1 << 20, "413")
}

pub(super) fn updater_harbor(call: &Call) -> Outcome {
    at_updater(call, "harbor")?;
    call.authorized(&call.secret)?;
    ensure(call.header("content-type").contains("application/json"), "400 Content-Type")?;
    harbor(&call.json()?)
}

pub(super) fn updater_cloudevents(call: &Call) -> Outcome {
    at_updater(call, "cloudevents")?;
    ensure(call.header("x-webhook-secret") == call.secret, "400 secret")?;
    let content_type = call.header("content-type");
    let known = ["application/json", "application/cloudevents+json"];
    ensure(known.iter().any(|known| content_type.contains(known)), "400 Content-Type")?;
    let body = call.json()?;
    text(&body, "/specversion")?;
    let kind = text(&body, "/type")?;
    ensure(kind.contains("image") || kind.contains("container"), "400 type")?;
    let first = |names: [&str; 2]| text(&body, names[0]).or_else(|_| text(&body, names[1]));
    let repository = first(["/data/repositoryName", "/data/repository"])?;
    let tag = first(["/data/imageTag", "/data/tag"])?;
    let registry = first(["/data/registryUrl", "/data/registry"])?;
    acted(format!("{registry}/{repository}"), tag)
}

pub(super) fn keel(call: &Call) -> Outcome {
    ensure(call.method == "POST" && call.path() == "/v1/webhooks/native", "404")?;
    let account = STANDARD.encode(format!("keel:{}", call.secret));
    call.authorized(&format!("Basic {account}"))?;
    let body = call.json()?;
    maybe(&body, "/digest")?;
    acted(text(&body, "/name")?, text(&body, "/tag")?)
}

pub(super) fn jenkins_registry(call: &Call) -> Outcome {
    let path = format!("/dockerregistry-webhook/{}/notify", call.secret);
    ensure(call.path() == path, "403")?;
    distribution(&call.json()?)
}

pub(super) fn jenkins_generic(call: &Call) -> Outcome {
    ensure(call.path() == "/generic-webhook-trigger/invoke", "404")?;
    call.authorized(&format!("Bearer {}", call.secret))?;
    let body = call.json()?;
    // `$.image`, `$.repository`, `$.tag`, as its page says.
    text(&body, "/repository")?;
    flat(&body)
}

fn flat(body: &Value) -> Outcome {
    let (image, tag) = (text(body, "/image")?, text(body, "/tag")?);
    let image = image.strip_suffix(&format!(":{tag}")).ok_or("image and tag")?.to_owned();
    acted(image, tag)
}

pub(super) fn tekton(call: &Call) -> Outcome {
    ensure(call.header("content-type") != "application/x-www-form-urlencoded", "form")?;
    call.github_signed()?;
    ensure(call.header("x-github-event") == "pushbell", "not one of eventTypes")?;
    flat(&call.json()?)
}

pub(super) fn argo_events(call: &Call) -> Outcome {
    ensure(call.method == "POST" && call.path() == "/push", "404")?;
    call.authorized(&format!("Bearer {}", call.secret))?;
    ensure(call.body.len() <= 1 << 20, "400 too large")?;
    flat(&call.json()?)
}

pub(super) fn spinnaker(call: &Call) -> Outcome {
    ensure(call.method == "POST" && call.path() == "/webhooks/webhook/pushbell", "404")?;
    let body = call.json()?;
    ensure(text(&body, "/artifacts/0/type")? == "docker/image", "no artifact")?;
    let (name, version) = (text(&body, "/artifacts/0/name")?, text(&body, "/artifacts/0/version")?);
    let reference = text(&body, "/artifacts/0/reference")?;
    ensure(reference == format!("{name}:{version}"), "reference")?;
    acted(name, version)
}

pub(super) fn knative(call: &Call) -> Outcome {
    ensure(call.method == "POST" && call.path() == "/default/default", "404")?;
    call.authorized(&format!("Bearer {}", call.secret))?;
    let body = call.json()?;
    if call.is_type("application/cloudevents+json").is_err() {
        for name in ["ce-id", "ce-source", "ce-type"] {
            ensure(!call.header(name).is_empty(), &format!("400 {name}"))?;
        }
        ensure(call.header("ce-specversion") == "1.0", "400 ce-specversion")?;
        return acted("", "");
    }
    for name in ["/id", "/source", "/type"] {
        text(&body, name)?;
    }
    ensure(text(&body, "/specversion")? == "1.0", "400 specversion")?;
    acted("", "")
}

pub(super) fn dokploy(call: &Call) -> Outcome {
    ensure(call.path() == format!("/api/deploy/{}", call.secret), "404")?;
    let agent = call.header("user-agent");
    ensure(agent.contains("Go-http-client"), "200, and deploys whatever the tag")?;
    let body = call.json()?;
    let name = text(&body, "/repository/repo_name").map_err(|_| "301 image")?;
    let tag = text(&body, "/push_data/tag").map_err(|_| "301 tag")?;
    ensure(name.contains('.'), "301 an image without its host")?;
    acted(name, tag)
}

pub(super) fn concourse(call: &Call) -> Outcome {
    let path = "/api/v1/teams/main/pipelines/app/resources/image/check/webhook";
    ensure(call.method == "POST" && call.path() == path, "404")?;
    let token = call.parameter("webhook_token").ok_or("400 no token")?;
    ensure(token == call.secret, "401")?;
    ensure(call.body.is_empty(), "a body that nobody reads")?;
    acted("", "")
}

pub(super) fn portainer(call: &Call) -> Outcome {
    ensure(call.method == "POST", "405")?;
    ensure(call.path() == format!("/api/webhooks/{}", call.secret), "404")?;
    ensure(call.body.is_empty(), "a body that nobody reads")?;
    acted("", call.parameter("tag").ok_or("no tag")?)
}

pub(super) fn watchtower(call: &Call) -> Outcome {
    ensure(call.method == "POST" && call.path() == "/v1/update", "404")?;
    call.authorized(&format!("Bearer {}", call.secret))?;
    ensure(call.body.is_empty(), "a body that goes to the log")?;
    acted(call.parameter("image").ok_or("all containers")?, "")
}
