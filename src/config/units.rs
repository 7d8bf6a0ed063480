//! Durations, sizes, rates, counts, paths and plain text, as written.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use super::read::Scalar;
use super::read::Wrong;
use super::read::quoted;
use super::schema::text_schema;
use super::tree::is_secret;

/// The longest duration taken, so that no sum of two can overflow.
const MAX_PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// `1h30m`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period(pub(super) Duration);

/// `4MiB`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// So many in so long: `50/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least one.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// A number of things, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u32);

/// A path, not yet resolved against a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePath(pub(super) String);

impl Rate {
    /// The time from one to the next when they come evenly.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per / self.count.max(1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            60 => "m",
            3600 => "h",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// A number and the unit after it.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

impl Scalar for Period {
    const EXPECTED: &'static str = "a duration such as `10s`, `500ms` or `1h30m`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        const UNITS: [(&str, u64); 5] =
            [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
        let wrong = |remedy: String| Wrong::new(format!("{} is no duration", quoted(text)), remedy);
        let expected = || format!("write {}", Self::EXPECTED);
        let mut rest = text;
        let mut largest = u64::MAX;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (digits, after) = split(rest);
            if let Ok(number) = digits.parse::<u64>()
                && after.is_empty()
            {
                let remedy = format!("say the unit: `{number}s`, `{number}ms`, `{number}m`");
                return Err(wrong(remedy));
            }
            let unit = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at(unit);
            let known = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
            let (Ok(number), Some(millis)) = (digits.parse::<u64>(), known) else {
                return Err(wrong(expected()));
            };
            if millis >= largest {
                return Err(wrong("write each unit once, the largest first: `1h30m`".to_owned()));
            }
            largest = millis;
            total = total.saturating_add(number.saturating_mul(millis));
            rest = after;
        }
        let period = Duration::from_millis(total);
        if text.is_empty() {
            Err(wrong(expected()))
        } else if period.is_zero() {
            Err(Wrong::new("the duration is zero", "write at least `1ms`"))
        } else if period > MAX_PERIOD {
            Err(Wrong::new("the duration is longer than a year", "write at most `366d`"))
        } else {
            Ok(Self(period))
        }
    }
}

impl Scalar for Size {
    const EXPECTED: &'static str = "a size such as `64KiB`, `4MiB` or `1GiB`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let (digits, unit) = split(text);
        let wrong = |remedy: String| Wrong::new(format!("{} is no size", quoted(text)), remedy);
        let Ok(number) = digits.parse::<u64>() else {
            return Err(wrong(format!("write {}", Self::EXPECTED)));
        };
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "" => {
                return Err(wrong(format!(
                    "say the unit: `{number}B`, `{number}KiB`, `{number}MiB`"
                )));
            }
            other => {
                let meant = match other.to_ascii_lowercase().bytes().next() {
                    Some(b'k') => "KiB",
                    Some(b'm') => "MiB",
                    Some(b'g') => "GiB",
                    _ => return Err(wrong(format!("write {}", Self::EXPECTED))),
                };
                let remedy = format!("units are powers of 1024: write `{number}{meant}`");
                return Err(wrong(remedy));
            }
        };
        match number.checked_mul(1 << shift) {
            Some(0) => Err(Wrong::new("the size is zero", "write at least `1B`")),
            Some(bytes) if bytes <= 1 << 40 => Ok(Self(bytes)),
            _ => Err(Wrong::new("the size is larger than any memory", "write at most `1024GiB`")),
        }
    }
}

impl Scalar for Rate {
    const EXPECTED: &'static str = "a rate such as `50/s` or `600/m`";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |remedy: String| Wrong::new(format!("{} is no rate", quoted(text)), remedy);
        let (digits, unit) = split(text);
        let count = digits.parse::<u32>().ok();
        let per = match unit {
            "/s" => 1,
            "/m" => 60,
            "/h" => 3600,
            "" if count.is_some() => return Err(wrong(format!("say in what time: `{digits}/s`"))),
            _ => return Err(wrong(format!("write {}", Self::EXPECTED))),
        };
        match count {
            Some(0) => {
                Err(Wrong::new("a rate of zero would deliver nothing", "write at least `1/h`"))
            }
            Some(count) => Ok(Self { count, per: Duration::from_secs(per) }),
            None => Err(wrong(format!("write {}", Self::EXPECTED))),
        }
    }
}

impl Scalar for Count {
    const EXPECTED: &'static str = "a whole number such as `8`";
    const IS_TEXT: bool = false;

    fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong =
            |remedy: &str| Wrong::new(format!("{} is no number of ours", quoted(text)), remedy);
        match text.parse::<u32>() {
            Ok(0) => Err(wrong("write at least `1`")),
            // A sign and leading zeros mean other things to other readers of YAML.
            Ok(number) if number.to_string() == text => Ok(Self(number)),
            _ => Err(wrong("write a whole number in plain digits, such as `1000`")),
        }
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "`true` or `false`";
    const IS_TEXT: Self = false;

    fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |remedy: &str| {
            Err(Wrong::new(format!("{} is neither `true` nor `false`", quoted(text)), remedy))
        };
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "1" | "true" => wrong("write `true`"),
                "no" | "off" | "n" | "0" | "false" => wrong("write `false`"),
                _ => wrong("write `true` or `false`"),
            },
        }
    }
}

impl Scalar for String {
    const EXPECTED: &'static str = "a text";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.is_empty() {
            return Err(Wrong::new("the text is empty", "write one, or remove the key"));
        }
        if text.chars().any(char::is_control) {
            return Err(Wrong::new("the text holds a control character", "write it on one line"));
        }
        Ok(text.to_owned())
    }
}

impl Scalar for FilePath {
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "~" || text.starts_with("~/") {
            let message = format!("`~` in {} is not expanded", quoted(text));
            return Err(Wrong::new(message, "write the home directory out"));
        }
        if is_secret(text) {
            let remedy = "write the secret into a file, and the file's path here";
            return Err(Wrong::new("this is a secret itself, not a path", remedy));
        }
        if text.starts_with("file://") {
            let message = format!("{} is a URL", quoted(text));
            return Err(Wrong::new(message, "write the path alone"));
        }
        String::parse(text).map(Self)
    }
}

text_schema! {
    Period: { "type": "string", "pattern": "^([0-9]+(d|h|m|s|ms))+$" },
    Size: { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" },
    Rate: { "type": "string", "pattern": "^[0-9]+/(s|m|h)$" },
    Count: { "type": "integer", "minimum": 1, "maximum": 4294967295u32 },
    FilePath: { "type": "string", "minLength": 1 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1s500ms", 1500),
            ("0h1s", 1000),
        ] {
            assert_eq!(Period::parse(text), Ok(Period(Duration::from_millis(millis))), "{text}");
        }
        for (text, remedy) in [
            ("10", "`10s`"),
            ("1h30", "`30s`"),
            ("", "a duration such as"),
            ("s", "a duration such as"),
            ("1.5s", "a duration such as"),
            ("-1s", "a duration such as"),
            ("10 s", "a duration such as"),
            ("10sec", "a duration such as"),
            ("30m1h", "the largest first"),
            ("1s1s", "each unit once"),
            ("0s", "at least `1ms`"),
            ("1000d", "at most `366d`"),
            ("99999999999999999999d", "a duration such as"),
            ("18446744073709551615d", "at most `366d`"),
            ("1é", "a duration such as"),
        ] {
            let wrong = Period::parse(text).unwrap_err();
            assert!(wrong.remedy.contains(remedy), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("1B", 1), ("64KiB", 65_536), ("4MiB", 4 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        }
        for (text, remedy) in [
            ("4194304", "`4194304KiB`"),
            ("4MB", "`4MiB`"),
            ("4m", "`4MiB`"),
            ("4kB", "`4KiB`"),
            ("4Gi", "`4GiB`"),
            ("", "a size such as"),
            ("4 MiB", "a size such as"),
            ("-4MiB", "a size such as"),
            ("0KiB", "at least `1B`"),
            ("99999999999999GiB", "at most"),
            ("4é", "a size such as"),
        ] {
            let wrong = Size::parse(text).unwrap_err();
            assert!(wrong.remedy.contains(remedy), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn rates() {
        let rate = Rate::parse("50/s").unwrap();
        assert_eq!((rate.count, rate.interval()), (50, Duration::from_millis(20)));
        let rate = Rate::parse("30/m").unwrap();
        assert_eq!(
            (rate.interval(), rate.to_string()),
            (Duration::from_secs(2), "30/m".to_owned())
        );
        for (text, remedy) in [
            ("50", "`50/s`"),
            ("0/s", "at least"),
            ("50/d", "a rate such as"),
            ("1.5/s", "a rate such as"),
            ("", "a rate such as"),
            ("99999999999/s", "a rate such as"),
        ] {
            let wrong = Rate::parse(text).unwrap_err();
            assert!(wrong.remedy.contains(remedy), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn numbers_flags_texts_and_paths() {
        assert_eq!(Count::parse("8"), Ok(Count(8)));
        for bad in ["0", "-1", "+8", "08", "8.0", "1e3", "10_000", "4294967296", "", "x"] {
            assert!(Count::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(bool::parse("true"), Ok(true));
        for (bad, remedy) in [("yes", "`true`"), ("Off", "`false`"), ("2", "`true` or `false`")] {
            assert!(bool::parse(bad).unwrap_err().remedy.contains(remedy), "{bad}");
        }
        assert!(String::parse("").is_err() && String::parse("a\nb").is_err());
        for bad in ["~", "~/x", "file:///x", "whsec_x", ""] {
            assert!(FilePath::parse(bad).is_err(), "{bad}");
        }
        assert!(FilePath::parse("a~/b").is_ok());
    }
}
