//! `events` and `deliveries`: what happened and what became of it, from a running Pushbell; and all of it to a file.

use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;

use crate::admin::MOST_REPLAYED;
use crate::event::schema::time_of;
use crate::event::schema::time_text;

use super::Exit;
use super::Failure;
use super::Source;
use super::operator::Operator;
use super::print;
use super::run;
use super::transfer::Transfer;

/// What happened, from a running Pushbell; or all of it out of the state directory, and into another
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Events {
    #[command(subcommand)]
    command: EventCommand,
}

#[derive(Debug, Subcommand)]
enum EventCommand {
    /// The newest events; or notifications that could not be used
    List(Listed),
    /// One event, whom it was told to, and how each attempt went
    Show(Show),
    /// Tell an event again to everybody it was told to, with the same ids; or read a notification again
    Replay(Again),
    /// Write all events, and whom they are owed to, as lines of JSON, to a file or to standard output
    ///
    /// Pushbell may run meanwhile; what it tells and takes in after that is not in it. To go back a version, stop it
    /// first.
    #[command(
        after_help = "Example:\n  pushbell events export --config pushbell.yaml events.jsonl"
    )]
    Export(Transfer),
    /// Read them from a file or from standard input, into a state directory that has no events
    ///
    /// Pushbell must not run on it. Either all of it is taken in, or nothing.
    #[command(
        after_help = "Example:\n  pushbell events import --state-directory /var/lib/pushbell-before events.jsonl"
    )]
    Import(Transfer),
}

/// What became of events, from a running Pushbell
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Deliveries {
    #[command(subcommand)]
    command: DeliveryCommand,
}

#[derive(Debug, Subcommand)]
enum DeliveryCommand {
    /// The newest deliveries
    List(Chosen),
    /// One delivery, and how each attempt went
    Show(Show),
    /// Tell again, with the same ids: one delivery, or all that have ended since a time
    #[command(after_help = "Examples:\n  pushbell deliveries replay --since 2h --state dead\n  \
                            pushbell deliveries replay --since 2026-03-01T09:00:00Z --endpoint build-service")]
    Replay(Replay),
}

#[derive(Debug, Args)]
struct List {
    /// How many, up to 10000
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct Listed {
    /// The notifications in quarantine instead: authentic, kept, and of no use
    #[arg(long)]
    quarantined: bool,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
struct Again {
    /// The id of the event, as lists and the log have it
    #[arg(
        value_name = "ID",
        required_unless_present = "quarantined",
        conflicts_with = "quarantined"
    )]
    id: Option<String>,
    /// Read this notification in quarantine again, as the configuration is now; its headers were not kept
    #[arg(long, value_name = "NUMBER")]
    quarantined: Option<u64>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct Show {
    /// Its id, as lists and the log have it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct Chosen {
    /// Only to this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only in this state
    #[arg(long, value_name = "STATE", value_parser = ["waiting", "ready", "later", "acked", "replaced", "dead"])]
    state: Option<String>,
    /// Only of events since then: 2h, 30m, 7d, or a time such as 2026-03-01T09:15:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<OffsetDateTime>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
struct Replay {
    /// The id of one delivery
    #[arg(value_name = "ID", required_unless_present = "since", conflicts_with = "since")]
    id: Option<String>,
    /// All of events since then: 2h, 30m, 7d, or a time such as 2026-03-01T09:15:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<OffsetDateTime>,
    /// Only to this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only what ended so: acked or dead [default: both]
    #[arg(long, value_name = "STATE", value_parser = ["acked", "dead"])]
    state: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// How many rows are asked for at once.
const PAGE: u64 = 200;

pub(super) fn events(arguments: &Events) -> Result<(), Failure> {
    match &arguments.command {
        EventCommand::List(Listed { quarantined: true, list }) => {
            let rows = pages(&operator(&list.how)?, "quarantined", "", list.limit)?;
            show(&list.how, &json!({ "quarantined": rows }), &quarantined_table(&rows))
        }
        EventCommand::List(Listed { list, .. }) => {
            let rows = pages(&operator(&list.how)?, "events", "", list.limit)?;
            show(&list.how, &json!({ "events": rows }), &events_table(&rows))
        }
        EventCommand::Show(asked) => {
            let value = operator(&asked.how)?.get(&format!("events/{}", word(&asked.id)?))?;
            let mut text = pretty(&value["event"]);
            for delivery in items(&value["deliveries"]) {
                text.push_str(&delivery_text(delivery));
            }
            show(&asked.how, &value, &text)
        }
        EventCommand::Replay(Again { quarantined: Some(number), how, .. }) => {
            let asked = json!({ "number": number });
            let value = operator(how)?.post("quarantined/replay", &asked)?;
            let became: Vec<String> = items(&value["became"]).map(text).collect();
            let words = match became.as_slice() {
                [] => "nothing of interest".to_owned(),
                some => some.join(", "),
            };
            show(how, &value, &format!("it can be used now, and became: {words}\n"))
        }
        EventCommand::Replay(asked) => {
            let operator = operator(&asked.how)?;
            let id = asked.id.as_deref().unwrap_or_default();
            let value = operator.get(&format!("events/{}", word(id)?))?;
            let ids = items(&value["deliveries"]).map(|delivery| delivery["id"].clone()).collect();
            replayed(&asked.how, replay(&operator, ids)?)
        }
        EventCommand::Export(transfer) => transfer.export(),
        EventCommand::Import(transfer) => transfer.import(),
    }
}

pub(super) fn deliveries(arguments: &Deliveries) -> Result<(), Failure> {
    match &arguments.command {
        DeliveryCommand::List(chosen) => {
            let (endpoint, state) = (chosen.endpoint.as_deref(), chosen.state.as_deref());
            let query = query(endpoint, state, chosen.since)?;
            let how = &chosen.list.how;
            let rows = pages(&operator(how)?, "deliveries", &query, chosen.list.limit)?;
            show(how, &json!({ "deliveries": rows }), &deliveries_table(&rows))
        }
        DeliveryCommand::Show(asked) => {
            let value = operator(&asked.how)?.get(&format!("deliveries/{}", word(&asked.id)?))?;
            show(&asked.how, &value, &delivery_text(&value))
        }
        DeliveryCommand::Replay(asked) => {
            let operator = operator(&asked.how)?;
            let ids = match &asked.id {
                Some(id) => vec![json!(id)],
                None => {
                    let mut ids = Vec::new();
                    for state in ["dead", "acked"] {
                        if asked.state.as_deref().is_none_or(|wanted| wanted == state) {
                            let query = query(asked.endpoint.as_deref(), Some(state), asked.since)?;
                            let rows = pages(&operator, "deliveries", &query, u64::MAX)?;
                            ids.extend(rows.iter().map(|row| row["id"].clone()));
                        }
                    }
                    // The oldest first, as they happened.
                    ids.reverse();
                    ids
                }
            };
            replayed(&asked.how, replay(&operator, ids)?)
        }
    }
}

fn operator(how: &How) -> Result<Operator, Failure> {
    Operator::of(&run::load_anywhere(&how.source)?)
}

/// Rows of one page after the other, until there are so many or no more.
fn pages(operator: &Operator, what: &str, query: &str, most: u64) -> Result<Vec<Value>, Failure> {
    let mut rows: Vec<Value> = Vec::new();
    let mut before = String::new();
    loop {
        let missing = most.saturating_sub(rows.len() as u64).min(PAGE);
        if missing == 0 {
            return Ok(rows);
        }
        let mut page = operator.get(&format!("{what}?limit={missing}{query}{before}"))?;
        if let Some(Value::Array(found)) = page.get_mut(what).map(Value::take) {
            rows.extend(found);
        }
        before = match &page["next"] {
            Value::Null => return Ok(rows),
            Value::String(next) => format!("&before={next}"),
            next => format!("&before={next}"),
        };
    }
}

fn query(
    endpoint: Option<&str>,
    state: Option<&str>,
    since: Option<OffsetDateTime>,
) -> Result<String, Failure> {
    let mut query = String::new();
    if let Some(endpoint) = endpoint {
        query.push_str(&format!("&endpoint={}", word(endpoint)?));
    }
    if let Some(state) = state {
        query.push_str(&format!("&state={state}"));
    }
    if let Some(since) = since {
        query.push_str(&format!("&since={}", time_text(since)));
    }
    Ok(query)
}

/// What can stand in a URL as it is.
fn word(text: &str) -> Result<&str, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err(Failure::new(
            Exit::Usage,
            "pushbell: this is no id or name: letters, digits, `-`, `.` and `_`",
        ))
    }
}

/// Makes them owed again; those that are owed still stay as they are.
fn replay(operator: &Operator, ids: Vec<Value>) -> Result<Vec<Value>, Failure> {
    let mut replayed = Vec::new();
    for some in ids.chunks(MOST_REPLAYED) {
        let mut value = operator.post("deliveries/replay", &json!({ "deliveries": some }))?;
        if let Some(Value::Array(ids)) = value.get_mut("replayed").map(Value::take) {
            replayed.extend(ids);
        }
    }
    Ok(replayed)
}

fn replayed(how: &How, ids: Vec<Value>) -> Result<(), Failure> {
    let text = match ids.len() {
        0 => "nothing to replay: what was meant is not there, or owed still\n".to_owned(),
        1 => "1 delivery is owed again\n".to_owned(),
        n => format!("{n} deliveries are owed again\n"),
    };
    show(how, &json!({ "replayed": ids }), &text)
}

fn show(how: &How, value: &Value, text: &str) -> Result<(), Failure> {
    if how.json { print(format!("{value}\n").as_bytes()) } else { print(text.as_bytes()) }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn pretty(value: &Value) -> String {
    // A value that was just read: it can be written.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn events_table(rows: &[Value]) -> String {
    let cells = rows.iter().map(|row| {
        let event = &row["event"];
        [
            &row["sequence"],
            &event["time"],
            &event["data"]["action"],
            &event["subject"],
            &event["id"],
        ]
        .map(text)
    });
    table(["SEQUENCE", "TIME", "ACTION", "SUBJECT", "ID"], cells)
}

fn quarantined_table(rows: &[Value]) -> String {
    let cells = rows
        .iter()
        .map(|row| [&row["number"], &row["received_at"], &row["source"], &row["reason"]].map(text));
    table(["NUMBER", "RECEIVED", "SOURCE", "REASON"], cells)
}

fn deliveries_table(rows: &[Value]) -> String {
    let cells = rows.iter().map(|row| {
        let when = if row["due_at"].is_null() { &row["ended_at"] } else { &row["due_at"] };
        [&row["endpoint"], &row["state"], &row["attempts"], when, &row["subject"], &row["id"]]
            .map(text)
    });
    table(["ENDPOINT", "STATE", "ATTEMPTS", "DUE/ENDED", "SUBJECT", "ID"], cells)
}

fn delivery_text(delivery: &Value) -> String {
    let mut lines = format!(
        "\n{} to {}: {} after {} attempts\n",
        text(&delivery["id"]),
        text(&delivery["endpoint"]),
        text(&delivery["state"]),
        text(&delivery["attempts"])
    );
    for attempt in items(&delivery["history"]) {
        lines.push_str(&format!(
            "  {:>3}  {}  {:<8}  {}\n",
            text(&attempt["attempt"]),
            text(&attempt["started_at"]),
            text(&attempt["class"]),
            text(&attempt["detail"])
        ));
    }
    lines
}

/// Columns as wide as what is in them; the last one goes on.
fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut all = vec![heads.map(str::to_owned)];
    all.extend(rows);
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: [String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    all.into_iter().map(line).collect()
}

/// `2h` ago, or a time.
fn since(written: &str) -> Result<OffsetDateTime, String> {
    let wrong = || "write 30m, 2h, 7d, or a time such as 2026-03-01T09:15:00Z".to_owned();
    if let Some(time) = time_of(written) {
        return Ok(time);
    }
    let unit = written.chars().last().ok_or_else(wrong)?;
    let number: u64 = written.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let ago = Duration::from_secs(number.checked_mul(seconds).ok_or_else(wrong)?);
    OffsetDateTime::now_utc().checked_sub(ago.try_into().map_err(|_| wrong())?).ok_or_else(wrong)
}
