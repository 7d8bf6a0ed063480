//! Kargo's receivers, after `pkg/webhook/external`.

use aws_lc_rs::hmac;
use serde_json::Value;

use super::call::Call;
use super::call::Outcome;
use super::call::acted;
use super::call::ensure;
use super::call::maybe;
use super::call::text;

const LIMIT: usize = 2 << 20;

/// The receiver is looked up by the path alone; a body of up to 2 MiB.
fn body(call: &Call, kind: &str, by_secret: bool) -> Result<Value, String> {
    let last = if by_secret { call.secret.as_str() } else { "5f1e0c" };
    ensure(call.path() == format!("/{kind}/{last}"), "404")?;
    ensure(call.body.len() <= LIMIT, "413")?;
    call.json()
}

/// Lower case; what is Docker Hub's loses its host, a reference its tag.
fn normalized(image: &str) -> String {
    let image = image.to_lowercase();
    let image = image.split('@').next().unwrap();
    let image = match image.rsplit_once(':') {
        // Behind the last `/` it is a tag, before it a port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    let bare = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"]
        .iter()
        .find_map(|host| image.strip_prefix(host));
    bare.map_or(image, |bare| bare.strip_prefix("library/").unwrap_or(bare)).to_owned()
}

pub(super) fn docker_hub(call: &Call) -> Outcome {
    let body = body(call, "dockerhub", true)?;
    maybe(&body, "/push_data/media_type")?;
    let name = text(&body, "/repository/repo_name")?;
    acted(normalized(&name), text(&body, "/push_data/tag")?)
}

pub(super) fn quay(call: &Call) -> Outcome {
    let body = body(call, "quay", true)?;
    let tags = body["updated_tags"].as_array().ok_or("400 updated_tags")?;
    ensure(tags.len() == 1, "more than one tag in one body")?;
    acted(normalized(&text(&body, "/docker_url")?), text(&body, "/updated_tags/0")?)
}

pub(super) fn azure(call: &Call) -> Outcome {
    let agent = call.header("user-agent");
    ensure(agent.starts_with("AzureContainerRegistry"), "400 User-Agent")?;
    let body = body(call, "azure", true)?;
    ensure(text(&body, "/action")? == "push", "400 action")?;
    maybe(&body, "/target/mediaType")?;
    let (host, repository) = (text(&body, "/request/host")?, text(&body, "/target/repository")?);
    acted(normalized(&format!("{host}/{repository}")), text(&body, "/target/tag")?)
}

pub(super) fn harbor(call: &Call) -> Outcome {
    call.authorized(&call.secret)?;
    let body = body(call, "harbor", false)?;
    ensure(text(&body, "/type")? == "PUSH_ARTIFACT", "400 type")?;
    let resource = text(&body, "/event_data/resources/0/resource_url")?;
    acted(normalized(&resource), text(&body, "/event_data/resources/0/tag")?)
}

pub(super) fn artifactory(call: &Call) -> Outcome {
    // Bare: a prefix makes it another value.
    let signature = call.mac(hmac::HMAC_SHA256);
    ensure(call.header("x-jfrog-event-auth") == signature, "401 X-JFrog-Event-Auth")?;
    let body = body(call, "artifactory", false)?;
    ensure(maybe(&body, "/domain")? == "docker", "501 domain")?;
    ensure(maybe(&body, "/event_type")? == "pushed", "501 event type")?;
    let origin = text(&body, "/jpd_origin")?;
    let host = origin.strip_prefix("https://").ok_or("400 jpd_origin")?;
    let path = text(&body, "/data/path")?;
    let mut segments: Vec<_> = path.split('/').collect();
    segments.truncate(segments.len().saturating_sub(2));
    let key = text(&body, "/data/repo_key")?;
    segments.insert(0, &key);
    // `oci` would be taken for a Helm chart.
    ensure(text(&body, "/data/image_type")? == "docker", "501 image type")?;
    acted(normalized(&format!("{host}/{}", segments.join("/"))), text(&body, "/data/tag")?)
}

pub(super) fn github(call: &Call) -> Outcome {
    call.github_signed()?;
    let event = call.header("x-github-event");
    ensure(["package", "registry_package"].contains(&event), "400 X-GitHub-Event")?;
    let body = body(call, "github", false)?;
    let action = text(&body, "/action")?;
    ensure(["published", "updated"].contains(&&*action), "another action")?;
    let kind = text(&body, &format!("/{event}/package_type"))?.to_uppercase();
    ensure(["CONTAINER", "DOCKER"].contains(&&*kind), "package type")?;
    let version = format!("/{event}/package_version");
    let metadata = format!("{version}/container_metadata");
    text(&body, &format!("{metadata}/manifest/config/media_type"))?;
    let url = text(&body, &format!("{version}/package_url"))?;
    acted(normalized(url.trim_end_matches(':')), text(&body, &format!("{metadata}/tag/name"))?)
}

/// With the expression of the page: `normalizeImage(request.body.registry + '/' + request.body.repository)`.
pub(super) fn generic(call: &Call) -> Outcome {
    let body = body(call, "generic", true)?;
    let (registry, repository) = (text(&body, "/registry")?, text(&body, "/repository")?);
    acted(normalized(&format!("{registry}/{repository}")), maybe(&body, "/tag")?)
}
