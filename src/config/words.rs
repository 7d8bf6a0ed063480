//! The words an option can take.

use std::borrow::Cow;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use crate::delivery::Answers;
use crate::delivery::Dialect;
use crate::delivery::Preset;
use crate::delivery::sign::Algorithm;
use crate::delivery::sign::Scheme;
use crate::event::Action;
use crate::event::Change;
use crate::event::Origin;
use crate::ingest;
use crate::registry::Kind;

use super::read::Scalar;
use super::read::Wrong;
use super::read::list;
use super::read::nearest;
use super::read::quoted;

/// What is wrong with a word that is none of ours.
fn wrong(what: &str, text: &str, words: &[&str], later: &[&str]) -> Wrong {
    let known = list(words);
    if later.contains(&text) {
        let message =
            format!("{} is part of the design, but not of this version yet", quoted(text));
        return Wrong::new(message, format!("use one of {known}"));
    }
    let remedy = match nearest(text, words) {
        Some(meant) => format!("did you mean `{meant}`? There are {known}"),
        None => format!("use one of {known}"),
    };
    Wrong::new(format!("there is no {what} {}", quoted(text)), remedy)
}

macro_rules! words {
    ($(
        $(#[$doc:meta])*
        $type:ident, $what:literal, $expected:literal {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)?
        }
        $(later { $($later:literal),+ $(,)? })?;
    )+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $($(#[$variant_doc])* $variant),+
        }

        impl $type {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in the configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl Scalar for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Result<Self, Wrong> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(wrong($what, text, &[$($word),+], &[$($($later),+)?])),
                }
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    )+};
}

words! {
    /// What becomes of a push whose event the outbox cannot take.
    OnFailure, "way to fail", "`pass` or `reject`" {
        /// The push goes through.
        Pass = "pass",
        /// The push is refused with 503.
        Reject = "reject",
    };

    /// How a CA sees that a name is ours.
    Challenge, "challenge", "`tls-alpn-01` or `http-01`" {
        /// It shakes hands at port 443.
        TlsAlpn01 = "tls-alpn-01",
        /// It fetches a file from port 80.
        Http01 = "http-01",
    };

    /// How a registry's paths name repositories.
    LayoutName, "layout", "`plain` or `artifactory`" {
        /// As the OCI distribution specification has it.
        Plain = "plain",
        /// As Artifactory has it.
        Artifactory = "artifactory",
    };

    /// What says which of Artifactory's repositories a client means.
    MethodName, "method", "`repository-path`, `subdomain` or `port`" {
        /// The first component of the name.
        RepositoryPath = "repository-path",
        /// The host's name.
        Subdomain = "subdomain",
        /// The port.
        Port = "port",
    };

    /// How it is written down that a push is about to become complete for the registry.
    IntentMode, "way to keep intents", "`sync`, `async` or `off`" {
        /// On the disk before the registry has all of it.
        Sync = "sync",
        /// Given to the kernel before the registry has all of it.
        Async = "async",
        /// Not at all.
        Off = "off",
    };

    /// What becomes of a notification that speaks of nothing we saw.
    IngestMode, "mode", "`events` or `evidence`" {
        /// An event.
        Events = "events",
        /// Nothing.
        Evidence = "evidence",
    };

    /// What a listener serves.
    Serve, "thing to serve", "`registry`, `hooks`, `admin` or `acme`" {
        /// The registry behind us.
        Registry = "registry",
        /// Where registries send their notifications.
        Hooks = "hooks",
        /// Health, metrics, history.
        Admin = "admin",
        /// Answers for the CA of an `acme` identity that validates by `http-01`.
        Acme = "acme",
    };

    /// The least that is logged.
    Level, "log level", "a log level such as `info`" {
        /// Someone must act.
        Error = "error",
        /// Unexpected, nothing lost.
        Warn = "warn",
        /// Once per start, stop, event and delivery.
        Info = "info",
        /// Once per request.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    };

    /// How a log line is written.
    Format, "log format", "`text` or `json`" {
        /// For people.
        Text = "text",
        /// For programs.
        Json = "json",
    };
}

/// Words that lower parts own already. An event of one that comes `later` is never made in this version, and
/// whoever asked for it would wait in vain.
macro_rules! words_of_parts {
    ($($type:ty, $what:literal, $expected:literal, later $later:expr;)+) => {$(
        impl Scalar for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Result<Self, Wrong> {
                let words = now(Self::ALL.iter().map(|value| value.as_str()), $later);
                let known = Self::of(text).filter(|_| !$later.contains(&text));
                known.ok_or_else(|| wrong($what, text, &words, $later))
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let words = now(Self::ALL.iter().map(|value| value.as_str()), $later);
                json_schema!({ "type": "string", "enum": words })
            }
        }
    )+};
}

words_of_parts! {
    Dialect, "dialect", "a dialect such as `native`", later &[];
    Preset, "preset", "a preset such as `build-service-docker`", later &[];
    Action, "action", "an action such as `push`", later &["pull"];
    Change, "change", "a change such as `moved`", later &[];
    Origin, "origin", "an origin such as `proxy`", later &[];
    Kind, "kind", "a kind such as `image`", later &[];
    ingest::Wanted, "kind", "a kind such as `distribution`", later &[];
    Answers, "kind of receiver", "a kind of receiver such as `kargo`", later &[];
    Scheme, "signature scheme", "a signature scheme such as `standard-webhooks`", later &[];
    Algorithm, "digest", "`sha256` or `sha512`", later &[];
}

/// The words that mean something already.
fn now(all: impl Iterator<Item = &'static str>, later: &[&str]) -> Vec<&'static str> {
    all.filter(|word| !later.contains(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_as_itself() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::parse(dialect.as_str()), Ok(*dialect));
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Ok(kind));
        }
    }

    #[test]
    fn another_word_lists_the_right_ones() {
        for (wrong, expected) in [
            (Dialect::parse("distributon"), "did you mean `distribution`?"),
            (Dialect::parse("xml"), "`native`, `cloudevents-binary`,"),
            (Dialect::parse("Native"), "did you mean `native`?"),
        ] {
            assert!(wrong.clone().unwrap_err().remedy.contains(expected), "{wrong:?}");
        }
        let later = Action::parse("pull").unwrap_err();
        assert!(later.message.contains("not of this version yet"), "{later:?}");
        assert_eq!(Action::parse("delete"), Ok(Action::Delete));
        assert_eq!(Action::parse("mount"), Ok(Action::Mount));
        assert!(Action::parse("pushed").unwrap_err().remedy.contains("`push`"));
    }
}
