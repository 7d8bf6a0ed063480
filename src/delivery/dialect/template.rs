//! The operator's own body, content type and headers, as templates in the language of Jinja.
//!
//! ```yaml
//! dialect: template
//! template:
//!   body: '{"image": {{ reference }}, "who": {{ actor.name or "nobody" }}}'
//!   headers: { X-Tag: "{{ tag }}" }
//! ```
//!
//! - The names in a template are those of the native event: the members of its `data` (`action`, `registry`, `repository`,
//!   `tag`, `digest`, `reference`, `kind`, `actor.name`, `platforms`, …), and beside them `id`, `source`, `type`, `subject` and
//!   `time`. What is unknown is none, and so are the members that an event may lack (`change`, `previous_digest`, …); any
//!   other name is a mistake that is found at start.
//! - If the content type is JSON (`application/json`, the default, or `…+json`), each value comes as JSON, a text with its
//!   quotes: nobody's name can break out of it. What comes out has to be JSON. With any other type values come as they are,
//!   and a header's always do.
//! - At start the templates are tried on a sample, a push of which everything is known. An event on which one fails
//!   later (an operation on what is none) becomes a dead letter with the reason.
//! - A template has no access to files, environment, network or time; it may take 100,000 steps and write 1 MiB of body,
//!   which is what most receivers take, and 4 KiB of a header.
//!
//! Source: Jinja's *Template Designer Documentation*, as far as `minijinja` implements it.

use std::borrow::Cow;
use std::fmt;
use std::io;

use http::HeaderName;
use http::HeaderValue;
use minijinja::AutoEscape;
use minijinja::Environment;
use minijinja::UndefinedBehavior;
use minijinja::value::Serde;
use minijinja::value::Value;

use crate::event::Event;
use crate::event::schema::Envelope;

use super::Payload;
use super::Unwritable;

/// Steps that one template may take.
const FUEL: u64 = 100_000;

/// The most bytes of a body.
const BODY: usize = 1 << 20;

/// The most bytes of a header.
const HEADER: usize = 4096;

const JSON: &str = "application/json";

/// Members that an event may lack, and that are none then.
const MAY_LACK: [&str; 7] = [
    "change",
    "previous_digest",
    "artifactory",
    "digest_from",
    "integrity",
    "registry_digest",
    "current_digest",
];

/// A push of which everything is known.
const SAMPLE: &str = r#"{"specversion":"1.0","id":"0199f3c2-a1b7-7c44-8a55-0123456789ab",
"source":"https://registry.example.com","type":"dev.pushbell.image.push.v1","subject":"team/app:1.4.2",
"time":"2026-03-01T09:15:02.123Z","datacontenttype":"application/json","data":{"action":"push","change":"moved",
"previous_digest":"sha256:6db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb",
"registry":"registry.example.com","repository":"team/app","tag":"1.4.2",
"digest":"sha256:f39592393ef0859cb196a52693d2cea00fb2df784b3c04ae54aa7cadb8e562f8",
"reference":"registry.example.com/team/app:1.4.2","kind":"index","media_type":"application/vnd.oci.image.index.v1+json",
"artifact_type":null,"size":1609,"total_size":73400320,"platforms":[{"os":"linux","architecture":"amd64","variant":null,
"digest":"sha256:5861314d7fccb39c2192173240eab44fa35ca66426201ca2acd0630a6258dd51"}],
"annotations":{"org.opencontainers.image.revision":"1f2e3d"},"subject_digest":null,"actor":{"name":"ci"},
"request":{"id":"r1","address":"203.0.113.7","user_agent":"skopeo/1.9"},"origin":"proxy","seen_by":["proxy"],
"outcome":"confirmed","evidence":"response","digest_from":"bytes","integrity":"ok","key":"0","sequence":1,
"started_at":"2026-03-01T09:15:01.000Z","answered_at":"2026-03-01T09:15:02.123Z"}}"#;

/// An operator's own body, content type and headers.
pub struct Template {
    environment: Environment<'static>,
    content_type: String,
    json: bool,
    headers: Vec<HeaderName>,
}

/// A template that does not work, with the place in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {reason}", part, line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct InvalidTemplate {
    /// `the body`, or a header's name.
    pub part: String,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl Template {
    /// Reads the templates and tries them on the sample.
    ///
    /// # Errors
    ///
    /// If one is none, fails on the sample, or makes something of it that cannot be sent.
    pub fn new(
        body: String,
        content_type: Option<String>,
        headers: Vec<(HeaderName, String)>,
    ) -> Result<Self, InvalidTemplate> {
        let content_type = content_type.unwrap_or_else(|| JSON.to_owned());
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
        let json = essence == JSON || essence.ends_with("+json");
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(move |name| match name {
            BODY_NAME if json => AutoEscape::Json,
            _ => AutoEscape::None,
        });
        let names = headers.iter().map(|(name, _)| name.clone()).collect();
        let sources = headers.into_iter().map(|(name, source)| (name.to_string(), source));
        for (name, source) in std::iter::once((BODY_NAME.to_owned(), body)).chain(sources) {
            let added = environment.add_template_owned(name.clone(), source);
            added.map_err(|error| InvalidTemplate::of(&name, &error))?;
        }
        let template = Self { environment, content_type, json, headers: names };
        if let Ok(sample) = Envelope::read(SAMPLE) {
            template.fill(&sample)?;
        }
        Ok(template)
    }

    /// Writes an event. The same event gives the same bytes.
    ///
    /// # Errors
    ///
    /// If a template fails on it, or makes something of it that cannot be sent.
    pub fn write(&self, event: &Event) -> Result<Payload, Unwritable> {
        self.fill(event).map_err(|invalid| Unwritable::Template { reason: invalid.to_string() })
    }

    fn fill(&self, event: &Event) -> Result<Payload, InvalidTemplate> {
        let context = context(event);
        let body = self.render(BODY_NAME, &context, BODY)?;
        if self.json {
            let read = serde_json::from_slice::<serde::de::IgnoredAny>(&body);
            read.map_err(|error| InvalidTemplate {
                part: "the body".to_owned(),
                line: None,
                reason: format!(
                    "what comes out is not JSON: {error}; each value comes with its quotes, write `{{{{ tag }}}}` without any"
                ),
            })?;
        }
        let mut headers = Vec::new();
        for name in &self.headers {
            let value = self.render(name.as_str(), &context, HEADER)?;
            let text = String::from_utf8(value).unwrap_or_default();
            if HeaderValue::try_from(&text).is_err() {
                return Err(InvalidTemplate {
                    part: format!("the header `{name}`"),
                    line: None,
                    reason: "what comes out cannot stand in a header".to_owned(),
                });
            }
            headers.push((name.clone(), text));
        }
        let content_type = (!body.is_empty()).then(|| Cow::from(self.content_type.clone()));
        Ok(Payload { content_type, headers, body })
    }

    fn render(
        &self,
        name: &str,
        context: &Value,
        limit: usize,
    ) -> Result<Vec<u8>, InvalidTemplate> {
        let mut written = Capped { bytes: Vec::new(), limit };
        let template = self.environment.get_template(name);
        let rendered = template.and_then(|template| {
            template.render_captured_to(context.clone(), &mut written).map(drop)
        });
        match rendered {
            Ok(()) => Ok(written.bytes),
            Err(error) => Err(InvalidTemplate::of(name, &error)),
        }
    }
}

/// The body's name among the templates; none of a header.
const BODY_NAME: &str = "the body";

/// What a template sees.
fn context(event: &Event) -> Value {
    let envelope = Envelope::of(event);
    let mut members = serde_json::Map::new();
    for name in MAY_LACK {
        members.insert(name.to_owned(), serde_json::Value::Null);
    }
    // Strings, numbers and maps with text keys: it is an object.
    if let Ok(serde_json::Value::Object(data)) = serde_json::to_value(&envelope.data) {
        members.extend(data);
    }
    let Envelope { id, source, kind, subject, time, .. } = envelope;
    for (name, value) in
        [("id", id), ("source", source), ("type", kind), ("subject", subject), ("time", time)]
    {
        members.insert(name.to_owned(), value.into());
    }
    Value::from(Serde(members))
}

/// Takes so much and no more.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for &mut Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::Error::other(format!("more than {} bytes come out", self.limit)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl InvalidTemplate {
    fn of(name: &str, error: &minijinja::Error) -> Self {
        let mut reason = error.kind().to_string();
        if let Some(detail) = error.detail() {
            reason.push_str(": ");
            reason.push_str(detail);
        }
        if let Some(source) = std::error::Error::source(error) {
            reason.push_str(&format!(": {source}"));
        }
        let part = if name == BODY_NAME { name.to_owned() } else { format!("the header `{name}`") };
        Self { part, line: error.line(), reason }
    }
}

/// The text of a template is its operator's, and long.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({}, {:?})", self.content_type, self.headers)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::event::Actor;

    use super::super::tests::bare;
    use super::super::tests::pushed;
    use super::super::tests::untagged;
    use super::*;

    fn json(body: &str) -> Template {
        Template::new(body.to_owned(), None, Vec::new()).unwrap()
    }

    fn wrong(body: &str) -> InvalidTemplate {
        Template::new(body.to_owned(), None, Vec::new()).unwrap_err()
    }

    #[test]
    fn the_event_is_in_the_body_and_cannot_break_out_of_it() {
        let template = json(
            r#"{"image": {{ registry ~ "/" ~ repository ~ ":" ~ tag }}, "who": {{ actor.name or "nobody" }},
                "platforms": [{% for p in platforms %}{{ p.os }}{% if not loop.last %},{% endif %}{% endfor %}],
                "size": {{ size }}, "id": {{ id }}, "old": {{ previous_digest }}, "type": {{ type }}}"#,
        );
        let actor = Actor { name: Some("a\"}</script>\u{1}".to_owned()) };
        let payload = template.write(&Event { actor, ..pushed() }).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&payload.body).unwrap();
        assert_eq!(body["image"], "registry.example.com/team/app:1.4.2");
        assert_eq!(body["who"], "a\"}</script>\u{1}");
        assert_eq!(body["platforms"], json!(["linux"]));
        assert_eq!(body["size"], 1609);
        assert_eq!(body["type"], "dev.pushbell.image.push.v1");
        assert_eq!(payload.content_type.as_deref(), Some("application/json"));
        let body: serde_json::Value =
            serde_json::from_slice(&template.write(&bare()).unwrap().body).unwrap();
        assert_eq!(
            (&body["who"], &body["size"], &body["old"]),
            (&json!("nobody"), &json!(null), &json!(null))
        );
    }

    #[test]
    fn other_types_and_headers_take_values_as_they_are() {
        let headers = vec![(HeaderName::from_static("x-tag"), "{{ tag }}!".to_owned())];
        let body = "{{ action }} {{ reference }}\n".to_owned();
        let template = Template::new(body, Some("text/plain".to_owned()), headers).unwrap();
        let payload = template.write(&pushed()).unwrap();
        let text = String::from_utf8(payload.body).unwrap();
        assert!(text.starts_with("push registry.example.com/team/app:1.4.2@sha256:"), "{text}");
        assert_eq!(payload.content_type.as_deref(), Some("text/plain"));
        assert_eq!(payload.headers, [(HeaderName::from_static("x-tag"), "1.4.2!".to_owned())]);
    }

    #[test]
    fn what_does_not_work_is_found_at_start_with_its_place() {
        for (body, line, words) in [
            ("{\n{% if %}}", Some(2), "syntax error"),
            ("{\n\"a\":\n{{ repo }}}", Some(3), "undefined"),
            ("{{ tag.x.y }}", Some(1), "undefined"),
            ("{\"a\": \"{{ tag }}\"}", None, "not JSON"),
            ("{\"a\": {{ tag }}", None, "not JSON"),
            (
                "[{% for a in range(10000) %}{% for b in range(10000) %}0,{% endfor %}{% endfor %}0]",
                Some(1),
                "fuel",
            ),
            ("{% include '/etc/passwd' %}", Some(1), "not"),
        ] {
            let wrong = wrong(body);
            assert_eq!((wrong.part.as_str(), wrong.line), ("the body", line), "{body}: {wrong}");
            assert!(wrong.to_string().contains(words), "{body}: {wrong}");
        }
        let large = wrong("{{ \"x\" * 1048577 }}");
        assert!(!large.reason.is_empty(), "{large}");
        let headers = vec![(HeaderName::from_static("x-a"), "{{ \"a\\nb\" }}".to_owned())];
        let wrong = Template::new("1".to_owned(), None, headers).unwrap_err();
        assert!(wrong.to_string().contains("the header `x-a`"), "{wrong}");
    }

    #[test]
    fn an_event_on_which_it_fails_says_why() {
        let template = json("{\"length\": {{ digest | length }}}");
        let refused = template.write(&untagged()).unwrap_err();
        assert!(
            matches!(&refused, Unwritable::Template { reason } if !reason.is_empty()),
            "{refused}"
        );
    }
}
