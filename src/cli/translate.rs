use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use time::OffsetDateTime;

use crate::delivery::dialect::Dialect;
use crate::delivery::dialect::Template;
use crate::delivery::sign::unsigned;
use crate::event::Event;
use crate::event::schema::Envelope;
use crate::ingest;
use crate::ingest::Context;
use crate::ingest::Notified;
use crate::ingest::Place;
use crate::ingest::Wanted;
use crate::telemetry::chain;

use super::Exit;
use super::Failure;
use super::Source;
use super::print;
use super::read_input;
use super::run;
use super::say;

/// Turn a registry's notification into the webhook a build service would get
///
/// Reads one notification, writes the body of each webhook on standard output, a line each. Nothing is
/// sent, nothing is kept.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pushbell translate --from docker-hub --to distribution push.json\n  \
                  pushbell translate --from distribution --to native --verbose <envelope.json\n  \
                  pushbell translate --from auto --to native -H 'ce-type: zotregistry.image.updated' … zot.json"
)]
pub(super) struct Arguments {
    /// What the notification is
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    from: Wanted,
    /// What the build service reads
    #[arg(long, value_name = "DIALECT", value_parser = dialects())]
    to: Dialect,
    /// For `--to template`: the file with the body, in the language of Jinja
    #[arg(long, value_name = "FILE", required_if_eq("to", "template"))]
    template: Option<PathBuf>,
    /// Take the registry's name from this configuration, not from the notification
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A header of the notification, `name: value`; some kinds say there what their body does not
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// Also write each field and where it comes from, the headers, and what was skipped and why, on standard error
    #[arg(long, short)]
    verbose: bool,
    /// The notification [default: standard input]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// One byte more than is accepted, so that the parser's own limit is the one that speaks.
const LIMIT: usize = 16 << 20;

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.config.as_ref().map(|file| {
        let source = Source { config: Some(file.clone()), ..Source::default() };
        run::load(&source)
    });
    let config = config.transpose()?;
    let registry = config.as_ref().map(|config| config.registry.name.value.to_string());
    let layout = config.map(|config| config.registry.layout).unwrap_or_default();
    let template = template(arguments)?;
    let bytes = read_input(arguments.file.as_deref(), LIMIT)?;
    let name = arguments.file.as_ref().map_or("standard input".into(), |f| f.display().to_string());
    let now = OffsetDateTime::now_utc();
    let unusable = |error: ingest::Error| {
        Failure::new(Exit::Data, format!("pushbell: {name}: {}", chain(&error)))
    };
    let headers = headers(&arguments.headers)?;
    let detected = arguments.from.find(&headers, &bytes).map_err(unusable)?;
    if arguments.from == Wanted::Auto {
        say(&format!("kind: {}, by {}", detected.kind, detected.by));
    }
    let context = Context { registry: registry.as_deref(), layout: &layout, ..Context::at(now) };
    let parsed = ingest::read(detected.kind, &headers, &bytes, &context).map_err(unusable)?;
    for warning in &parsed.warnings {
        say(&format!("warning: {warning}"));
    }
    if arguments.verbose {
        parsed.skipped.iter().for_each(|skipped| say(&format!("skipped: {skipped}")));
    }
    let mut written = 0;
    let mut unwritable = Vec::new();
    for Notified { event, origins, .. } in &parsed.events {
        if arguments.verbose {
            origins.iter().for_each(|(field, place)| say(&field_line(event, field, place)));
        }
        match body(arguments, template.as_ref(), event) {
            Ok(mut body) => {
                body.push(b'\n');
                print(&body)?;
                written += 1;
            }
            Err(why) => unwritable.push(format!("{}: {why}", event.subject())),
        }
    }
    if written > 0 {
        unwritable.iter().for_each(|why| say(&format!("skipped: {why}")));
        return Ok(());
    }
    unwritable.extend(parsed.skipped);
    let why =
        if unwritable.is_empty() { "it holds no event".to_owned() } else { unwritable.join("; ") };
    Err(Failure::new(Exit::Data, format!("pushbell: {name}: nothing to send: {why}")))
}

fn headers(lines: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let wrong = || {
            let message = format!("pushbell: --header {line:?}: it must be `name: value`");
            Failure::new(Exit::Usage, message)
        };
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
    }
    Ok(headers)
}

/// One field of an event, its value, and where it comes from.
fn field_line(event: &Event, field: &str, place: &Place) -> String {
    let data = serde_json::to_value(Envelope::of(event)).unwrap_or_default();
    let pointer = match field {
        "time" => "/time".to_owned(),
        "actor" => "/data/actor/name".to_owned(),
        other => format!("/data/{}", other.replace('.', "/")),
    };
    let value = data.pointer(&pointer).map(ToString::to_string).unwrap_or_default();
    format!("{field}: {value}, from {place}")
}

/// The template that was asked for, if one was.
fn template(arguments: &Arguments) -> Result<Option<Template>, Failure> {
    let Some(file) = arguments.template.as_deref().filter(|_| arguments.to == Dialect::Template)
    else {
        return Ok(None);
    };
    let wrong =
        |why: String| Failure::new(Exit::Usage, format!("pushbell: {}: {why}", file.display()));
    let body = String::from_utf8(read_input(Some(file), LIMIT)?);
    let body = body.map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    Template::new(body, None, Vec::new()).map(Some).map_err(|error| wrong(error.to_string()))
}

fn body(
    arguments: &Arguments,
    template: Option<&Template>,
    event: &Event,
) -> Result<Vec<u8>, String> {
    let id = event.id.to_string();
    let written = match template {
        Some(template) => template.write(event),
        None => arguments.to.write(event, &id),
    };
    let payload = written.map_err(|error| chain(&error))?;
    if arguments.verbose {
        if let Some(content_type) = &payload.content_type {
            say(&format!("content-type: {content_type}"));
        }
        for (name, value) in &payload.headers {
            say(&format!("{name}: {value}"));
        }
        for (name, value) in unsigned(&id, OffsetDateTime::now_utc()) {
            say(&format!("{name}: {value}"));
        }
    }
    Ok(payload.body)
}

fn kinds() -> impl TypedValueParser<Value = Wanted> {
    PossibleValuesParser::new(Wanted::ALL.into_iter().map(Wanted::as_str))
        .try_map(|word| Wanted::of(&word).ok_or("no such kind"))
}

fn dialects() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(Dialect::ALL.iter().map(|dialect| dialect.as_str()))
        .try_map(|word| Dialect::of(&word).ok_or("no such dialect"))
}
