//! What comes out: the figures beside the targets, everybody's values, and what the reader has to know.

use std::fmt;

use crate::figure::Figure;
use crate::peers::OTHER;
use crate::peers::OURS;

/// Everything that was found.
#[derive(Default)]
pub(crate) struct Table {
    /// Who may have been measured, in order.
    pub(crate) columns: Vec<&'static str>,
    pub(crate) figures: Vec<Figure>,
    /// Columns that stay empty, and why.
    pub(crate) missing: Vec<(&'static str, String)>,
    /// What the reader has to know.
    pub(crate) notes: Vec<String>,
}

/// A cell with nothing in it.
const NOTHING: &str = "–";

impl Table {
    /// Ours, the best of the others, and the target.
    fn targets(&self) -> Vec<Vec<String>> {
        let mut rows = vec![words(&["figure", OURS, "best peer", "Pushbell is", "target", "met"])];
        // Beside nothing but another build most have nothing to be held against.
        let without_peers = self.columns.contains(&OTHER);
        for figure in self.figures.iter().filter(|f| !without_peers || f.ratio().is_some()) {
            let met = figure.met().map(|met| if met { "yes" } else { "no" });
            rows.push(vec![
                figure.name.clone(),
                or_nothing(figure.value(OURS).map(|value| figure.shown(value))),
                or_nothing(
                    figure.best_peer().map(|best| format!("{} {}", best.name, figure.shown(best))),
                ),
                or_nothing(
                    figure.ratio().map(|ratio| format!("{:.2} × {}", ratio.times, ratio.whom)),
                ),
                or_nothing(figure.wanted()),
                or_nothing(met.map(str::to_owned)),
            ]);
        }
        rows
    }

    /// Ours beside the other build.
    fn changes(&self) -> Vec<Vec<String>> {
        let head = ["figure", OTHER, OURS, "Pushbell / other", "middle half", "better in"];
        let mut rows = vec![words(&head)];
        for figure in &self.figures {
            let Some(change) = figure.change() else {
                continue;
            };
            let shown = |name| or_nothing(figure.value(name).map(|value| figure.shown(value)));
            let half = change.half.map(|(low, high)| format!("{low:.3} to {high:.3}"));
            let won = change.won.map(|(won, of)| format!("{won} of {of}"));
            rows.push(vec![
                figure.name.clone(),
                shown(OTHER),
                shown(OURS),
                format!("{:.3}", change.ratio),
                or_nothing(half),
                or_nothing(won),
            ]);
        }
        rows
    }

    /// Everybody.
    fn values(&self) -> Vec<Vec<String>> {
        let measured =
            |name: &&'static str| self.figures.iter().any(|figure| figure.value(name).is_some());
        let columns: Vec<&'static str> = self.columns.iter().copied().filter(measured).collect();
        let mut rows = vec![words(&[&["everybody's"], columns.as_slice()].concat())];
        for figure in &self.figures {
            let cell = |name: &&'static str| {
                or_nothing(figure.value(name).map(|value| figure.shown(value)))
            };
            let name = std::iter::once(figure.name.clone());
            rows.push(name.chain(columns.iter().map(cell)).collect());
        }
        rows
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn or_nothing(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| NOTHING.to_owned())
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.columns.contains(&OTHER) {
            write(f, &self.changes())?;
        }
        write(f, &self.targets())?;
        write(f, &self.values())?;
        for (name, reason) in &self.missing {
            writeln!(f, "- {name}: {reason}.")?;
        }
        for note in &self.notes {
            writeln!(f, "- {note}.")?;
        }
        Ok(())
    }
}

/// One table in Markdown; the first row is its head.
fn write(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    if rows.len() < 2 {
        return Ok(());
    }
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len))
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|c| c.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    for (n, row) in rows.iter().enumerate() {
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match at {
                0 => write!(f, "| {cell:<width$} |")?,
                _ => write!(f, " {cell:>width$} |")?,
            }
        }
        writeln!(f)?;
        if n == 0 {
            for (at, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                if at == 0 { write!(f, "|{dashes}-|")? } else { write!(f, "{dashes}:|")? }
            }
            writeln!(f)?;
        }
    }
    writeln!(f)
}
