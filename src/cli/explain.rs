use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

use crate::app::Making;
use crate::app::Parts;
use crate::config;
use crate::config::Config;
use crate::delivery::Endpoint;
use crate::delivery::attempt::Client;
use crate::event::Event;
use crate::event::EventId;
use crate::event::filter::Said;
use crate::event::schema::Envelope;
use crate::outbox::DeliveryId;
use crate::telemetry::chain;

use super::Exit;
use super::Failure;
use super::Source;
use super::operator::Operator;
use super::print;
use super::read_input;
use super::run;
use super::shown::Secrets;
use super::shown::Shown;

/// Say who is told of an event and why, and what exactly each is sent
///
/// Takes the id of an event that a running Pushbell knows, or reads one in our own form (the body of a `native`
/// webhook, or what `translate --to native` prints). For each endpoint it says which rule decided, and prints the request with its signature and a curl
/// line that sends the same. Nothing is sent, nothing is kept.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pushbell explain --config pushbell.yaml 0199f3c2-a1b7-7c44-8a55-0123456789ab\n  \
                        pushbell explain --config pushbell.yaml event.json\n  \
                        pushbell translate --from docker-hub --to native push.json | \\\n    \
                        pushbell explain --config pushbell.yaml --endpoint build --show-secrets"
)]
pub(super) struct Arguments {
    /// Only about this endpoint; may be given several times
    #[arg(long = "endpoint", value_name = "NAME")]
    endpoints: Vec<String>,
    /// Print tokens, passwords and whole URLs, so that the curl line works
    #[arg(long)]
    show_secrets: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
    /// The event: its id, as `events list` and the log have it, or a file [default: standard input]
    #[arg(value_name = "EVENT|FILE")]
    event: Option<PathBuf>,
}

/// More than any event has.
const LIMIT: usize = 4 << 20;

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let config = run::load_anywhere(&arguments.source)?;
    let parts = Parts::load(&config, Making::Forbidden)?;
    let names: Vec<&str> = config.endpoints.iter().map(|e| e.name.value.as_str()).collect();
    if let Some(unknown) = arguments.endpoints.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(super::endpoint::unknown(unknown, &names));
    }
    let event = match known(arguments) {
        Some(id) => {
            let value = Operator::of(&config)?.get(&format!("events/{id}"))?;
            understood(&value["event"].to_string())?
        }
        None => read(arguments)?,
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::Failed, format!("pushbell: could not start: {error}"))
    })?;
    let secrets = Secrets::of(arguments.show_secrets);
    let asked = |name: &str| {
        arguments.endpoints.is_empty() || arguments.endpoints.iter().any(|asked| asked == name)
    };
    let told: Vec<Told> = config
        .endpoints
        .iter()
        .filter(|endpoint| asked(&endpoint.name.value))
        .map(|endpoint| Told::of(endpoint, &parts, &event, secrets, &runtime))
        .collect();
    if arguments.json {
        let endpoints: Vec<Value> = told.iter().map(Told::json).collect();
        let whole = json!({ "subject": event.subject(), "endpoints": endpoints });
        return print(format!("{whole}\n").as_bytes());
    }
    let mut text = heading(&config, &event);
    for told in &told {
        text.push_str(&told.text());
    }
    print(text.as_bytes())
}

fn heading(config: &Config, event: &Event) -> String {
    let of = format!("{} of {}", event.action.as_str(), event.subject());
    if config.endpoints.is_empty() {
        format!("{of}: no endpoint is configured, so nobody is told\n")
    } else {
        format!("{of}\n")
    }
}

/// The id of an event, unless a file is called so.
fn known(arguments: &Arguments) -> Option<EventId> {
    let path = arguments.event.as_deref().filter(|path| !path.exists())?;
    path.to_str()?.parse().ok()
}

fn read(arguments: &Arguments) -> Result<Event, Failure> {
    let bytes = read_input(arguments.event.as_deref(), LIMIT)?;
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8"))?;
    understood(&text)
}

fn understood(text: &str) -> Result<Event, Failure> {
    Envelope::read(text).map_err(|error| unusable(&chain(&error)))
}

fn unusable(why: &str) -> Failure {
    let help = "give the id of an event, the body of a `native` webhook, or the output of `pushbell translate --to native`";
    Failure::new(Exit::Data, format!("pushbell: this is no event: {why}"))
        .with_help(Some(help.to_owned()))
}

/// What one endpoint is told, if it is.
struct Told {
    name: String,
    url: String,
    said: Vec<Said>,
    /// The request in every form; or why there is none.
    request: Result<Forms, String>,
}

struct Forms {
    text: String,
    curl: String,
    json: Value,
}

impl Told {
    fn of(
        endpoint: &config::Endpoint,
        parts: &Parts,
        event: &Event,
        secrets: Secrets,
        runtime: &Runtime,
    ) -> Self {
        let name = endpoint.name.value.clone();
        let said = endpoint.when.explain(event);
        let Some(loaded) = parts.endpoints.iter().find(|loaded| loaded.name == name) else {
            let why =
                "its identity has not been made yet; `pushbell certs init` does that".to_owned();
            return Self { name, url: endpoint.url.to_string(), said, request: Err(why) };
        };
        let request = runtime.block_on(written(loaded, event, secrets));
        Self { name, url: loaded.shown_url(), said, request }
    }

    /// The rule that keeps the event away, if one does.
    fn against(&self) -> Option<&Said> {
        self.said.iter().find(|said| !said.passes)
    }

    fn text(&self) -> String {
        let Self { name, url, .. } = self;
        if let Some(Said { rule, why, .. }) = self.against() {
            return format!("\n{name} ({url}) is not told, by `when.{}`: {why}\n", rule.as_str());
        }
        let mut text =
            format!("\n{name} ({url}) is told; every rule of its `when` lets it through:\n");
        for Said { rule, why, .. } in &self.said {
            text.push_str(&format!("  {:<13} {why}\n", rule.as_str()));
        }
        match &self.request {
            Ok(forms) => text.push_str(&format!("\n{}\n{}\n", forms.text, forms.curl)),
            Err(why) => text.push_str(&format!("  but nothing can be sent: {why}\n")),
        }
        text
    }

    fn json(&self) -> Value {
        let rules: Vec<Value> = self
            .said
            .iter()
            .map(|said| json!({ "rule": said.rule.as_str(), "passes": said.passes, "why": said.why }))
            .collect();
        let mut value = json!({
            "endpoint": self.name, "url": self.url, "told": self.against().is_none(),
            "decided_by": self.against().map(|said| said.rule.as_str()), "rules": rules,
        });
        match &self.request {
            Ok(forms) => {
                value["request"] = forms.json.clone();
                value["curl"] = json!(forms.curl);
            }
            Err(why) => value["unsendable"] = json!(why),
        }
        value
    }
}

async fn written(endpoint: &Endpoint, event: &Event, secrets: Secrets) -> Result<Forms, String> {
    let id = DeliveryId::of(event.id, &endpoint.name).to_string();
    let request = endpoint.request(event, &id, OffsetDateTime::now_utc());
    let request = request.map_err(|unwritable| unwritable.to_string())?;
    let request = Client::new(endpoint).authorized(request).await.map_err(|e| e.words())?;
    let shown = Shown { endpoint, request: &request, secrets };
    Ok(Forms { text: shown.text(), curl: shown.curl(), json: shown.json() })
}
