//! What we say while running: one line per fact on standard error, as text for people or JSON for
//! programs; and a panic that is a line like any other.

use std::io::IsTerminal as _;
use std::panic;

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::UtcTime;

/// How log lines look, and which are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,pushbell::proxy=debug`.
    pub level: String,
    /// The look of a line.
    pub format: Format,
    /// Whether text may be coloured.
    pub colour: Colour,
}

/// The look of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, fields at the top level.
    Json,
}

/// Whether text may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Escape sequences are fine.
    Allowed,
    /// Nothing but text.
    Never,
}

/// The level is not one.
#[derive(Debug, thiserror::Error)]
#[error("`{level}` is no log level; say error, warn, info, debug or trace")]
pub struct InvalidLevel {
    level: String,
    source: tracing_subscriber::filter::ParseError,
}

impl Format {
    /// Text on a terminal, JSON elsewhere.
    #[must_use]
    pub fn suiting_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Starts writing log lines. Only the first call in a process has an effect.
///
/// # Errors
///
/// If the level cannot be read.
pub fn start(config: &Config) -> Result<(), InvalidLevel> {
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|source| InvalidLevel { level: config.level.clone(), source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(config.colour == Colour::Allowed)
        .with_timer(UtcTime::rfc_3339());
    // A second subscriber is refused; the first keeps working, which is what tests want.
    match config.format {
        Format::Text => lines.with_target(false).try_init().ok(),
        Format::Json => lines.json().flatten_event(true).with_span_list(false).try_init().ok(),
    };
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let why = panic
            .payload()
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no reason given");
        error!(
            place,
            why, "A task panicked, which is a bug; what it held is settled at the next start"
        );
    }));
    Ok(())
}

/// An error with everything behind it on one line: `what we were doing: why: why that`.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A peer's text made fit for a log line or an event: no control characters, at most `limit` characters,
/// `…` where it was cut.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let mut clean = text.chars().filter(|c| !c.is_control());
    let mut kept: String = clean.by_ref().take(limit).collect();
    if clean.next().is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_text_is_made_printable() {
        assert_eq!(printable("a\r\nb\u{1b}[0m", 10), "ab[0m");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }
}
