//! Be told: the notifications of registries, each in its own format, read into events.
//!
//! The parsers are pure: bytes in, events out, the same ones for the same bytes. A notification is a
//! stranger's document. It is capped at [`MAX_BYTES`] and [`MAX_EVENTS`], nests at most 64 levels and may not
//! have a key twice; names, tags, digests and media types are parsed or the notification is refused
//! **whole**, with the place and what would be right; free text is cut and cleaned; fields that nobody asked
//! for are not looked at. No URL in a notification is ever fetched or copied into an event.

mod acr;
mod alibaba;
mod artifactory;
mod artifactory_plugin;
pub mod auth;
mod cdevents;
mod check;
mod cloudevents;
mod detect;
mod distribution;
mod docker_hub;
mod ecr;
mod envelope;
mod error;
mod europa;
mod form;
mod gcr;
mod gitea;
mod github;
mod harbor;
mod hooks;
mod json;
mod keeper;
mod kind;
mod metrics;
mod nexus;
mod node;
mod parsed;
mod quay;
mod told;
mod zot;

use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use http::HeaderMap;
use time::OffsetDateTime;

use crate::registry::Layout;

pub use self::detect::Detected;
pub use self::detect::Wanted;
pub use self::error::Error;
pub use self::error::Position;
pub use self::error::Problem;
pub use self::hooks::Body;
pub use self::hooks::Config;
pub use self::hooks::Hooks;
pub use self::hooks::PATH;
pub use self::hooks::Replayed;
pub use self::hooks::Source;
pub use self::keeper::Keeper;
pub use self::keeper::Look;
pub use self::kind::Kind;
pub use self::metrics::Metrics;
pub use self::parsed::Callback;
pub use self::parsed::Notified;
pub use self::parsed::Parsed;
pub use self::parsed::Place;

use self::json::Document;
use self::json::Sort;
use self::node::Node;
use self::told::Reading;

/// Padding is asked of nobody: senders differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The most bytes of one notification.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most events of one notification.
pub const MAX_EVENTS: usize = 1000;

/// How many places with an illegal escape are named one by one.
const MAX_REPAIRS_NAMED: usize = 8;

/// What we know of a notification's source beside the notification.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The name of the source in the configuration; the events are `seen_by` it, and their ids are apart
    /// from those of all other sources. Without one it is the word of the kind.
    pub source: Option<&'a str>,
    /// The name clients know the registry by; without it, the name is what the notification says.
    pub registry: Option<&'a str>,
    /// How the registry's paths name things: what the parts of an Artifactory are called.
    pub layout: &'a Layout,
    /// When it arrived, which stands in where the notification does not say when it happened.
    pub received: OffsetDateTime,
}

impl Context<'_> {
    /// Of a notification that nothing else is known of.
    #[must_use]
    pub fn at(received: OffsetDateTime) -> Self {
        Self { source: None, registry: None, layout: &Layout::Plain, received }
    }
}

/// Reads a notification.
///
/// `headers` are those of the request it came in; some kinds say there what their body does not.
/// An event's id follows from the notification's own id and time, where there are such, and else from its
/// bytes, so that reading it again gives the same events.
///
/// # Errors
///
/// If any part of it that is needed cannot be used; then nothing of it can.
pub fn read(
    kind: Kind,
    headers: &HeaderMap,
    bytes: &[u8],
    context: &Context<'_>,
) -> Result<Parsed, Error> {
    let payload = form::payload(headers, bytes)?;
    let text = text_of(&payload)?;
    let document = Document::read(text, kind.escapes())?;
    let root = Node::root(&document);
    if root.sort() != Sort::Object {
        return Err(root.wrong(node::OBJECT));
    }
    let mut reading = Reading::new(kind, &payload, context);
    warn_of_repairs(&document, text, &mut reading);
    match kind {
        Kind::Distribution => distribution::read(&root, &mut reading)?,
        Kind::ArtifactoryPlugin => artifactory_plugin::read(&root, &mut reading)?,
        Kind::Artifactory => artifactory::read(&root, &mut reading)?,
        Kind::DockerHub => docker_hub::read(&root, &mut reading)?,
        Kind::Harbor => harbor::read(&root, &mut reading)?,
        Kind::Quay => quay::read(&root, &mut reading)?,
        Kind::Github => github::read(&root, headers, &mut reading)?,
        Kind::Gitea => gitea::read(&root, headers, &mut reading)?,
        Kind::Acr => acr::read(&root, &mut reading)?,
        Kind::Gcr => gcr::read(&root, headers, &mut reading)?,
        Kind::Ecr => ecr::read(&root, headers, &mut reading)?,
        Kind::Nexus => nexus::read(&root, &mut reading)?,
        Kind::Zot => zot::read(&root, headers, &mut reading)?,
        Kind::Europa => europa::read(&root, headers, &mut reading)?,
        Kind::Alibaba => alibaba::read(&root, &mut reading)?,
        Kind::CloudEvents => cloudevents::read(&root, headers, &mut reading)?,
        Kind::CdEvents => cdevents::read(&root, headers, &mut reading)?,
    }
    Ok(reading.parsed)
}

fn text_of(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let at = Position::of(&good, good.len());
        Error::Syntax { at, problem: Problem::Utf8 }
    })
}

fn warn_of_repairs(document: &Document<'_>, text: &str, reading: &mut Reading<'_>) {
    for byte in &document.repaired.first {
        let at = document.position(*byte);
        let mark = text.get(byte + 1..byte + 2).unwrap_or_default();
        reading.warn(format!("{at}: `\\{mark}` is not an escape of JSON, read as `{mark}`"));
    }
    let more = document.repaired.count - document.repaired.first.len();
    if more > 0 {
        reading.warn(format!("{more} more escapes that are not JSON's, read the same way"));
    }
}

#[cfg(test)]
mod tests;
