//! Every number of a run, for programs.
//!
//! One object: `notes`, an array of strings, and `figures`, an array of objects with `name`, `better`
//! (`less` or `more`), `target` in words or null, `met` or null, and `values`: for each name who was
//! measured, `value`, and `samples` in the order of time, null where one failed; empty for what is no median.

use serde_json::Value as Json;
use serde_json::json;

use crate::figure::Better;
use crate::figure::Figure;
use crate::table::Table;

/// The whole run.
pub(crate) fn of(table: &Table) -> Json {
    let missing = table.missing.iter().map(|(name, reason)| format!("{name}: {reason}"));
    let notes: Vec<String> = missing.chain(table.notes.iter().cloned()).collect();
    let figures: Vec<Json> = table.figures.iter().map(figure).collect();
    json!({ "notes": notes, "figures": figures })
}

fn figure(figure: &Figure) -> Json {
    let values: serde_json::Map<String, Json> = figure
        .values
        .iter()
        .map(|v| (v.name.to_owned(), json!({ "value": v.value, "samples": v.samples })))
        .collect();
    json!({
        "name": figure.name,
        "better": match figure.better {
            Better::Less => "less",
            Better::More => "more",
        },
        "target": figure.wanted(),
        "met": figure.met(),
        "values": values,
    })
}
