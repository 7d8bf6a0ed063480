use std::collections::BTreeMap;

use clap::Args;
use clap::Subcommand;
use http::HeaderName;
use http::HeaderValue;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use tokio::runtime::Builder;

use crate::app::Making;
use crate::app::Parts;
use crate::delivery::Endpoint;
use crate::delivery::Error;
use crate::delivery::attempt::Answer;
use crate::delivery::attempt::Client;
use crate::delivery::attempt::Ended;
use crate::delivery::attempt::escaped;
use crate::delivery::retry::Verdict;
use crate::event::Action;
use crate::event::Actor;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Evidence;
use crate::event::IntentId;
use crate::event::Origin;
use crate::event::Outcome;
use crate::event::Request;
use crate::outbox::DeliveryId;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use super::Exit;
use super::Failure;
use super::Source;
use super::print;
use super::run;
use super::shown::Secrets;
use super::shown::Shown;
use super::shown::lines;

/// Try an endpoint
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a marked test event now, and say what the answer means
    ///
    /// The event is a push of `pushbell/test:test`, or of what you say, that nobody made: it says `outcome:
    /// unconfirmed`, has the annotation `dev.pushbell.test`, and comes with the header `webhook-test: true`. It is
    /// sent from here and once, whatever the endpoint's `when` says, and is in no history. Exits with 0 if the
    /// receiver took it, else with 1.
    Test(Test),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pushbell endpoint test build-service --config pushbell.yaml\n  \
                        pushbell endpoint test kargo --config pushbell.yaml --repository team/app --tag 1.4.2"
)]
struct Test {
    /// Its name in the configuration
    #[arg(value_name = "NAME")]
    name: String,
    /// The repository that the event is about
    #[arg(long, value_name = "NAME", default_value = "pushbell/test")]
    repository: RepositoryName,
    /// The tag that the event is about
    #[arg(long, value_name = "TAG", default_value = "test")]
    tag: Tag,
    /// Print tokens, passwords and whole URLs
    #[arg(long)]
    show_secrets: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// Tells a receiver, whatever the dialect, that the event is a test.
const MARK: HeaderName = HeaderName::from_static("webhook-test");

/// The same inside of the event, for dialects that have annotations.
const ANNOTATION: &str = "dev.pushbell.test";

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Test(test) = &arguments.command;
    let config = run::load_anywhere(&test.source)?;
    let names: Vec<&str> = config.endpoints.iter().map(|e| e.name.value.as_str()).collect();
    if !names.contains(&test.name.as_str()) {
        return Err(unknown(&test.name, &names));
    }
    let parts = Parts::load(&config, Making::Forbidden)?;
    let Some(endpoint) = parts.endpoints.iter().find(|endpoint| endpoint.name == test.name) else {
        let message = format!("pushbell: the identity of {} has not been made yet", test.name);
        let help = "`pushbell certs init` makes it".to_owned();
        return Err(Failure::new(Exit::Failed, message).with_help(Some(help)));
    };
    let registry = config.registry.name.value.to_string();
    let event = event(registry, test, OffsetDateTime::now_utc());
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Exit::Failed, format!("pushbell: could not start: {error}"))
    })?;
    let tried = runtime.block_on(Tried::of(endpoint, &event, Secrets::of(test.show_secrets)))?;
    let text = if test.json { format!("{}\n", tried.json()) } else { tried.text() };
    print(text.as_bytes())?;
    if tried.ended.verdict == Verdict::Taken {
        Ok(())
    } else {
        let message = format!("pushbell: {} did not take it: {}", test.name, tried.ended.detail);
        Err(Failure::new(Exit::Failed, message))
    }
}

/// Who is meant is not there.
pub(super) fn unknown(name: &str, names: &[&str]) -> Failure {
    let help = match names {
        [] => "the configuration has no `endpoints`; name one with `--config` that has".to_owned(),
        names => format!("the endpoints are {}", names.join(", ")),
    };
    Failure::new(Exit::Usage, format!("pushbell: there is no endpoint `{name}`"))
        .with_help(Some(help))
}

/// A push that nobody made, and that says so.
fn event(registry: String, test: &Test, now: OffsetDateTime) -> Event {
    Event {
        id: EventId::of(IntentId::now(), Some(&test.tag)),
        action: Action::Push,
        change: None,
        previous_digest: None,
        registry,
        repository: test.repository.clone(),
        artifactory: None,
        tag: Some(test.tag.clone()),
        digest: Some(Digest::sha256(b"a test of Pushbell")),
        kind: Some(Kind::Image),
        media_type: "application/vnd.oci.image.manifest.v1+json".parse().ok(),
        artifact_type: None,
        size: None,
        total_size: None,
        platforms: Vec::new(),
        annotations: BTreeMap::from([(ANNOTATION.to_owned(), "true".to_owned())]),
        subject_digest: None,
        actor: Actor { name: Some("pushbell endpoint test".to_owned()) },
        request: Request::default(),
        origin: Origin::Proxy,
        seen_by: Vec::new(),
        outcome: Outcome::Unconfirmed,
        evidence: Evidence::None,
        digest_from: None,
        integrity: None,
        current_digest: None,
        concurrent: false,
        late: false,
        superseded: false,
        time: now,
        started_at: None,
        answered_at: None,
        sequence: None,
    }
}

/// One exchange, and what came of it.
struct Tried {
    text: String,
    request: Value,
    answer: Result<Answer, Error>,
    ended: Ended,
}

impl Tried {
    async fn of(endpoint: &Endpoint, event: &Event, secrets: Secrets) -> Result<Self, Failure> {
        let failed = |why: String| {
            Failure::new(Exit::Failed, format!("pushbell: nothing can be sent: {why}"))
        };
        let id = DeliveryId::of(event.id, &endpoint.name).to_string();
        let mut request = endpoint
            .request(event, &id, OffsetDateTime::now_utc())
            .map_err(|unwritable| failed(unwritable.to_string()))?;
        request.headers_mut().insert(MARK, HeaderValue::from_static("true"));
        let client = Client::new(endpoint);
        let request = client.authorized(request).await.map_err(|error| failed(error.words()))?;
        let shown = Shown { endpoint, request: &request, secrets };
        let (text, json) = (shown.text(), shown.json());
        let answer = client.exchange(request).await;
        let ended = Ended::of(&answer, endpoint.answers, OffsetDateTime::now_utc());
        Ok(Self { text, request: json, answer, ended })
    }

    fn text(&self) -> String {
        let mut text = self.text.clone();
        match &self.answer {
            Err(error) => text.push_str(&format!("\nno answer: {}\n", error.words())),
            Ok(answer) => {
                let reason = answer.status.canonical_reason().unwrap_or_default();
                text.push_str(&format!("\n{} {reason}\n", answer.status.as_u16()));
                for (name, value) in lines(&answer.headers, Secrets::Shown) {
                    text.push_str(&format!("{name}: {}\n", harmless(&value)));
                }
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                text.push_str(&format!("\n{}\n", harmless(&body)));
            }
        }
        let meaning = self.ended.meaning;
        let word = meaning.as_str().replace('-', " ");
        format!("{text}\n{word}: {}\n  {}\n", meaning.words(), self.ended.detail)
    }

    fn json(&self) -> Value {
        let meaning = self.ended.meaning;
        let answer = self.answer.as_ref().ok().map(|answer| {
            let headers: serde_json::Map<String, Value> = lines(&answer.headers, Secrets::Shown)
                .into_iter()
                .map(|(name, value)| (name, json!(value)))
                .collect();
            json!({
                "status": answer.status.as_u16(), "headers": headers,
                "body": String::from_utf8_lossy(&answer.body),
            })
        });
        json!({
            "request": self.request, "answer": answer, "meaning": meaning.as_str(),
            "words": meaning.words(), "detail": self.ended.detail,
            "taken": self.ended.verdict == Verdict::Taken,
        })
    }
}

/// The most of one line of a receiver that is shown; what is kept of an answer fits.
const SHOWN: usize = 64 * 1024;

/// What a receiver wrote, for a terminal: lines stay, what could move a cursor does not.
fn harmless(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| escaped(line.as_bytes(), SHOWN)).collect();
    lines.join("\n")
}
