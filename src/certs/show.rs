//! Certificates as a table for people: plain text, columns aligned, nothing coloured.

use time::OffsetDateTime;

use super::identity::Identity;
use super::mint::LocalCa;
use super::words::date;
use super::words::list_names;

/// One certificate.
#[derive(Debug, Clone)]
pub struct Row {
    /// What the configuration calls it.
    pub name: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// Until when it is valid.
    pub not_after: OffsetDateTime,
    /// The listeners and endpoints that use it.
    pub used_by: Vec<String>,
}

impl Row {
    /// The row of an identity.
    #[must_use]
    pub fn of(identity: &Identity, used_by: Vec<String>) -> Self {
        Self {
            name: identity.name().to_owned(),
            names: identity.names().to_vec(),
            issuer: identity.issuer().to_owned(),
            not_after: identity.not_after(),
            used_by,
        }
    }

    /// The row of a local CA, with what it may issue certificates for.
    #[must_use]
    pub fn of_ca(ca: &LocalCa, used_by: Vec<String>) -> Self {
        Self {
            name: "ca".to_owned(),
            names: ca.permitted(),
            issuer: ca.issuer().to_owned(),
            not_after: ca.not_after(),
            used_by,
        }
    }
}

const HEAD: [&str; 6] = ["NAME", "COVERS", "ISSUER", "EXPIRES", "DAYS LEFT", "USED BY"];

/// The table, a line for each row below one with the columns' names, each line ended.
#[must_use]
pub fn table(rows: &[Row], now: OffsetDateTime) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row, now)));
    let widths: [usize; HEAD.len()] = std::array::from_fn(|column| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    });
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row, now: OffsetDateTime) -> [String; HEAD.len()] {
    let left = row.not_after - now;
    let days =
        if left.is_negative() { "expired".to_owned() } else { left.whole_days().to_string() };
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let covers = if row.names.is_empty() { "-".to_owned() } else { list_names(&row.names) };
    [
        row.name.clone(),
        covers,
        or_dash(row.issuer.clone()),
        date(row.not_after),
        days,
        or_dash(row.used_by.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_table_is_aligned_and_tells_what_is_over() {
        let row = |name: &str, names: &[&str], not_after, used_by: &[&str]| Row {
            name: name.to_owned(),
            names: names.iter().map(ToString::to_string).collect(),
            issuer: "CN=Prüfstelle".to_owned(),
            not_after,
            used_by: used_by.iter().map(ToString::to_string).collect(),
        };
        let rows = [
            row(
                "registry",
                &["registry.example.com", "127.0.0.1"],
                datetime!(2026-05-30 08:15 UTC),
                &["0.0.0.0:5443", "[::]:5443"],
            ),
            row("client", &[], datetime!(2026-02-28 00:00 UTC), &[]),
        ];
        let expected = "\
NAME      COVERS                           ISSUER         EXPIRES               DAYS LEFT  USED BY
registry  registry.example.com, 127.0.0.1  CN=Prüfstelle  2026-05-30 08:15 UTC  89         0.0.0.0:5443, [::]:5443
client    -                                CN=Prüfstelle  2026-02-28 00:00 UTC  expired    -
";
        assert_eq!(table(&rows, datetime!(2026-03-01 09:15 UTC)), expected);
        assert_eq!(table(&[], datetime!(2026-03-01 09:15 UTC)).lines().count(), 1);
    }
}
