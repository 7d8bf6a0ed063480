//! Flux's receivers, after `internal/server`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::call::Call;
use super::call::Outcome;
use super::call::acted;
use super::call::ensure;
use super::call::maybe;
use super::call::text;

/// The whole target is compared, query included.
fn at_hook(call: &Call, by_secret: bool) -> Result<(), String> {
    let last = if by_secret { call.secret.as_str() } else { "5f1e0c" };
    ensure(call.target == format!("/hook/{last}"), "404")?;
    ensure(call.body.len() <= 3 << 20, "413")
}

/// What `resourceFilter` sees: the body, for this one type alone; `req.image` has to be there.
fn filtered(call: &Call) -> Outcome {
    call.is_type("application/json")?;
    let body = call.json()?;
    acted(text(&body, "/image")?, maybe(&body, "/tag")?)
}

pub(super) fn generic(call: &Call) -> Outcome {
    at_hook(call, true)?;
    filtered(call)
}

pub(super) fn generic_hmac(call: &Call) -> Outcome {
    at_hook(call, false)?;
    let (algorithm, value) = call.header("x-signature").split_once('=').ok_or("400 X-Signature")?;
    let algorithm = match algorithm {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hmac::HMAC_SHA256,
        "sha512" => hmac::HMAC_SHA512,
        other => return Err(format!("400 {other}")),
    };
    ensure(value == call.mac(algorithm), "400 X-Signature")?;
    filtered(call)
}

/// Any body; what we hold it to is that it is Harbor's.
pub(super) fn harbor(call: &Call) -> Outcome {
    at_hook(call, false)?;
    call.authorized(&call.secret)?;
    let body = call.json()?;
    let resource = text(&body, "/event_data/resources/0/resource_url")?;
    acted(resource.rsplit_once(':').unwrap().0, text(&body, "/event_data/resources/0/tag")?)
}

/// What it logs.
pub(super) fn docker_hub(call: &Call) -> Outcome {
    at_hook(call, true)?;
    let body = call.json()?;
    let url = text(&body, "/repository/repo_url")?;
    acted(url.trim_start_matches("https://"), text(&body, "/push_data/tag")?)
}

pub(super) fn quay(call: &Call) -> Outcome {
    at_hook(call, true)?;
    let body = call.json()?;
    let tags = body["updated_tags"].as_array().ok_or("400 updated_tags")?;
    ensure(tags.iter().all(Value::is_string), "400 updated_tags")?;
    acted(text(&body, "/docker_url")?, text(&body, "/updated_tags/0")?)
}

pub(super) fn nexus(call: &Call) -> Outcome {
    at_hook(call, false)?;
    let signature = call.mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY);
    ensure(call.header("x-nexus-webhook-signature") == signature, "400 signature")?;
    let body = call.json()?;
    text(&body, "/action")?;
    let repository = text(&body, "/repositoryName")?;
    let name = text(&body, "/component/name")?;
    acted(format!("{repository}/{name}"), text(&body, "/component/version")?)
}

/// The token's own checks are Google's keys, `email` and `audience`; here it has only to be the one we were given.
pub(super) fn gcr(call: &Call) -> Outcome {
    at_hook(call, false)?;
    call.authorized(&format!("Bearer {}", call.secret))?;
    let data = text(&call.json()?, "/message/data")?;
    let data = STANDARD.decode(data).map_err(|error| format!("400 {error}"))?;
    let data: Value = serde_json::from_slice(&data).map_err(|error| format!("400 {error}"))?;
    text(&data, "/action")?;
    text(&data, "/digest")?;
    let tag = text(&data, "/tag")?;
    let (image, tag) = tag.rsplit_once(':').ok_or("a whole reference")?;
    acted(image, tag)
}

pub(super) fn cdevents(call: &Call) -> Outcome {
    at_hook(call, true)?;
    let body = call.json()?;
    let schema = include_str!("../../fixtures/schemas/cdevents-0.4.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    ensure(wrong.is_empty(), &format!("400 {wrong:?}"))?;
    let wanted = "dev.cdevents.artifact.published.0.2.0";
    ensure(call.header("ce-type") == wanted, "400 not one of spec.events")?;
    let (registry, repository) =
        (text(&body, "/customData/registry")?, text(&body, "/customData/repository")?);
    acted(format!("{registry}/{repository}"), text(&body, "/customData/tag")?)
}

pub(super) fn github(call: &Call) -> Outcome {
    at_hook(call, false)?;
    call.github_signed()?;
    call.is_type("application/json")?;
    ensure(call.header("x-github-event") == "package", "400 not one of spec.events")?;
    let body = call.json()?;
    let version = "/package/package_version";
    let url = text(&body, &format!("{version}/package_url"))?;
    let tag = text(&body, &format!("{version}/container_metadata/tag/name"))?;
    acted(url.rsplit_once(':').unwrap().0, tag)
}
