use time::OffsetDateTime;
use time::UtcOffset;

/// The most characters of a peer's text that are shown.
const MAX_SHOWN: usize = 256;

/// The most names of a certificate that are shown.
const MAX_NAMES: usize = 8;

/// A moment as people write it: `2026-03-01 09:15 UTC`.
#[must_use]
pub fn date(moment: OffsetDateTime) -> String {
    let moment = moment.to_offset(UtcOffset::UTC);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute) = (moment.hour(), moment.minute());
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02} UTC", u8::from(month))
}

/// Names behind commas, not all of them where there are many, and cleaned as [`printable`] does.
#[must_use]
pub fn list_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<_> = names.by_ref().take(MAX_NAMES).map(|n| printable(n.as_ref())).collect();
    match (shown.is_empty(), names.count()) {
        (true, _) => "no name at all".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A stranger's text, cut and without characters that a terminal or a log would act on.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == MAX_SHOWN {
            shown.push('…');
            break;
        }
        if is_harmless(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

/// Neither a control character nor one that turns the direction of the text around it.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_date_is_told_in_utc_to_the_minute() {
        assert_eq!(date(datetime!(2026-03-01 10:15:59 +1)), "2026-03-01 09:15 UTC");
    }

    #[test]
    fn names_are_listed_but_not_endlessly() {
        assert_eq!(list_names(["a", "b"]), "a, b");
        assert_eq!(list_names(Vec::<String>::new()), "no name at all");
        let many = (0..20).map(|n| n.to_string());
        assert_eq!(list_names(many), "0, 1, 2, 3, 4, 5, 6, 7 and 12 more");
    }

    #[test]
    fn a_strangers_text_cannot_act_on_a_terminal() {
        assert_eq!(printable("CN=a\u{1b}[31m\n\u{202e}b"), "CN=a\\u{1b}[31m\\n\\u{202e}b");
        assert_eq!(printable(&"x".repeat(300)).chars().count(), 257);
    }
}
