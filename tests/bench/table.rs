//! What comes out: samples, what is made of them, and the one table.

use std::fmt;

use crate::peers::KINDS;
use crate::peers::OURS;

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) better: Better,
    /// Digits behind the point.
    pub(crate) digits: usize,
    /// By column. A column that is not here was not measured.
    pub(crate) values: Vec<(&'static str, f64)>,
    pub(crate) target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

/// What the design asks for.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    None,
    /// At most so many times the best peer.
    TimesBest(f64),
    /// At most so many times direct.
    TimesDirect(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing, and there is nothing to compare it with either.
    Alone,
}

/// Everything that goes into the table.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) figures: Vec<Figure>,
    /// Columns that stay empty, and why.
    pub(crate) missing: Vec<(&'static str, String)>,
    /// What the reader has to know.
    pub(crate) notes: Vec<String>,
}

/// The column without any proxy.
pub(crate) const DIRECT: &str = "direct";

/// The middle one; of an even number the mean of both in the middle.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let sorted = sorted(samples);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + sorted.get(middle.checked_sub(1)?)?) / 2.0)
}

/// The one that so many per cent do not exceed.
pub(crate) fn percentile(samples: &[f64], percent: usize) -> Option<f64> {
    let sorted = sorted(samples);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

impl Figure {
    fn value(&self, column: &str) -> Option<f64> {
        self.values.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
    }

    /// The best of the others, and whose it is.
    fn best_peer(&self) -> Option<(&'static str, f64)> {
        let peers = self.values.iter().filter(|(name, _)| ![DIRECT, OURS].contains(name)).copied();
        match self.better {
            Better::Less => peers.min_by(|(_, a), (_, b)| a.total_cmp(b)),
            Better::More => peers.max_by(|(_, a), (_, b)| a.total_cmp(b)),
        }
    }

    fn cell(&self, column: &'static str, missing: &[(&'static str, String)]) -> String {
        match (self.value(column), missing.iter().any(|(name, _)| *name == column)) {
            (Some(value), _) => format!("{value:.*}", self.digits),
            (None, true) => "not installed".to_owned(),
            (None, false) => "–".to_owned(),
        }
    }

    /// Pushbell's value as a multiple of what it is compared with.
    fn ratio(&self) -> String {
        let against = match self.target {
            Target::None | Target::TimesBest(_) => self.best_peer(),
            Target::TimesDirect(_) => self.value(DIRECT).map(|value| (DIRECT, value)),
            Target::AtMost(limit) => Some(("target", limit)),
            Target::Alone => None,
        };
        match (self.value(OURS), against) {
            (Some(ours), Some((name, value))) if value > 0.0 => {
                format!("{:.2} × {name}", ours / value)
            }
            _ => "–".to_owned(),
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::None | Target::Alone => "–".to_owned(),
            Target::TimesBest(times) => format!("≤ {times} × best"),
            Target::TimesDirect(times) => format!("≤ {times} × direct"),
            Target::AtMost(value) => format!("≤ {value:.*}", self.digits),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&'static str> =
            std::iter::once(DIRECT).chain(KINDS.iter().map(|kind| kind.name)).collect();
        let mut rows = vec![];
        for figure in &self.figures {
            let mut row = vec![figure.name.clone()];
            row.extend(columns.iter().map(|column| figure.cell(column, &self.missing)));
            row.extend([figure.ratio(), figure.target()]);
            rows.push(row);
        }
        let mut head = vec!["figure"];
        head.extend(&columns);
        head.extend(["Pushbell is", "target"]);
        let head: Vec<String> = head.into_iter().map(str::to_owned).collect();
        let all = || std::iter::once(&head).chain(&rows);
        let widths: Vec<usize> = (0..head.len())
            .map(|at| all().filter_map(|row| row.get(at)).map(|c| c.chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect();
        for (n, row) in all().enumerate() {
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
        writeln!(f)?;
        for (name, reason) in &self.missing {
            writeln!(f, "- {name}: {reason}.")?;
        }
        for note in &self.notes {
            writeln!(f, "- {note}.")?;
        }
        Ok(())
    }
}
