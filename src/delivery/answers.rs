//! What an answer means, in the words of who gives it.
//!
//! HTTP says little of whether an event was of use: Kargo answers 200 with "refreshed 0 warehouse(s)" where
//! nothing subscribes to it, the Image Updater 400 to what it ignores on purpose, Dokploy 301 to what it does
//! not want. Each known receiver has its rules here; whoever is not known is read by the status alone
//! (delivery guarantees, 6.2). Pure: status and the first of the body in, a meaning out.
//!
//! | receiver | delivered | ignored | nothing matched | rejected | suspended |
//! |---|---|---|---|---|---|
//! | `kargo` | 2xx | 2xx `{}` | 2xx `refreshed 0 warehouse(s)` | 501 | |
//! | `flux` | 2xx | | | | 503 |
//! | `argo-cd` | 2xx | | | | 503 |
//! | `image-updater` | 2xx | 400 `ignoring action` | | | |
//! | `jenkins` | 2xx, 302 | | | | |
//! | `generic-webhook-trigger` | 2xx | 2xx that triggered no job | 404 no job for the token | | |
//! | `spinnaker` | 2xx | 2xx `eventProcessed: false` | | | |
//! | `dokploy` | 2xx | | | 301 | |
//! | `keel`, `tekton`, `argo-events`, `knative`, `concourse`, `portainer`, `watchtower`, `plain` | 2xx | | | | |
//!
//! Everything else is permanent or transient as its status says. What is ignored or matches nothing was taken:
//! it is not told again.

use http::StatusCode;
use serde_json::Value;

use super::retry::Verdict;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Answers {
    /// Whoever: the status says it all.
    #[default]
    Plain,
    /// Kargo's external webhooks server.
    Kargo,
    /// Flux' notification controller.
    Flux,
    /// Argo CD's API server.
    ArgoCd,
    /// Argo CD Image Updater.
    ImageUpdater,
    /// Keel.
    Keel,
    /// Jenkins with its plugin for Docker Hub's and registries' notifications.
    Jenkins,
    /// Jenkins with its generic webhook trigger.
    GenericWebhookTrigger,
    /// Tekton's event listener.
    Tekton,
    /// Argo Events' webhook source.
    ArgoEvents,
    /// Spinnaker's echo.
    Spinnaker,
    /// A broker of Knative.
    Knative,
    /// Dokploy.
    Dokploy,
    /// Concourse.
    Concourse,
    /// Portainer.
    Portainer,
    /// Watchtower.
    Watchtower,
}

/// What became of an event at its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// It was taken, and as far as we can know it is of use.
    Delivered,
    /// It was understood, and left alone on purpose.
    Ignored,
    /// It was understood, and nothing there is waiting for such an event.
    NothingMatched,
    /// This event is not wanted, now or later.
    Rejected,
    /// It will not be taken until somebody mends something.
    Permanent,
    /// It may be taken later.
    Transient,
    /// The receiver is switched off, or not ready, for the time being.
    Suspended,
}

/// A meaning, and what there is to say about it beyond the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What it means.
    pub meaning: Meaning,
    /// What to do next.
    pub verdict: Verdict,
    /// Why, for people; empty where the status says it.
    pub why: &'static str,
}

impl Answers {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Plain,
        Self::Kargo,
        Self::Flux,
        Self::ArgoCd,
        Self::ImageUpdater,
        Self::Keel,
        Self::Jenkins,
        Self::GenericWebhookTrigger,
        Self::Tekton,
        Self::ArgoEvents,
        Self::Spinnaker,
        Self::Knative,
        Self::Dokploy,
        Self::Concourse,
        Self::Portainer,
        Self::Watchtower,
    ];

    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Kargo => "kargo",
            Self::Flux => "flux",
            Self::ArgoCd => "argo-cd",
            Self::ImageUpdater => "image-updater",
            Self::Keel => "keel",
            Self::Jenkins => "jenkins",
            Self::GenericWebhookTrigger => "generic-webhook-trigger",
            Self::Tekton => "tekton",
            Self::ArgoEvents => "argo-events",
            Self::Spinnaker => "spinnaker",
            Self::Knative => "knative",
            Self::Dokploy => "dokploy",
            Self::Concourse => "concourse",
            Self::Portainer => "portainer",
            Self::Watchtower => "watchtower",
        }
    }

    /// The one a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answers| answers.as_str() == word)
    }

    /// Reads an answer. The body may be cut.
    #[must_use]
    pub fn read(self, status: StatusCode, body: &[u8]) -> Reading {
        self.known(status, body).unwrap_or_else(|| plain(status))
    }

    /// What is said otherwise than the status says it.
    fn known(self, status: StatusCode, body: &[u8]) -> Option<Reading> {
        let code = status.as_u16();
        let says = |words: &str| contains(body, words);
        match (self, code) {
            (Self::Kargo, 200..=299) if says("refreshed 0 warehouse(s)") => {
                Some(matched_nothing("no Warehouse subscribes to this repository and tag"))
            }
            (Self::Kargo, 200..=299) if body.trim_ascii() == b"{}" => {
                Some(ignored("the receiver has no use for such an event"))
            }
            (Self::Kargo, 501) => {
                Some(rejected("the receiver's type has no use for such an event"))
            }
            (Self::Flux, 503) => {
                Some(suspended("the Receiver is suspended, or has not been made ready"))
            }
            (Self::Flux, 400) => Some(Reading {
                meaning: Meaning::Permanent,
                verdict: Verdict::Refused,
                why: "it says so to a wrong signature as well; its log says which",
            }),
            (Self::ArgoCd, 503) => Some(suspended("its queue of webhooks is full")),
            (Self::ImageUpdater, 400) if says("ignoring action") => {
                Some(ignored("it leaves such an action alone"))
            }
            (Self::Jenkins, 302) => Some(Reading {
                meaning: Meaning::Delivered,
                verdict: Verdict::Taken,
                why: "this is how it says that a job was triggered",
            }),
            (Self::GenericWebhookTrigger, 200..=299) if !triggered(body)? => {
                Some(ignored("no job's filter lets it through"))
            }
            (Self::GenericWebhookTrigger, 404) => Some(Reading {
                meaning: Meaning::NothingMatched,
                verdict: Verdict::Misdirected,
                why: "no job has this token",
            }),
            (Self::Spinnaker, 200..=299)
                if member(body, "eventProcessed")? == Value::Bool(false) =>
            {
                Some(ignored("it was not processed"))
            }
            (Self::Dokploy, 301) => {
                Some(rejected("the application is of another image, tag or branch"))
            }
            _ => None,
        }
    }
}

/// By the status alone.
fn plain(status: StatusCode) -> Reading {
    let verdict = Verdict::of(status);
    let meaning = match verdict {
        Verdict::Taken => Meaning::Delivered,
        Verdict::Unavailable if !status.is_redirection() => Meaning::Transient,
        Verdict::NoWay => Meaning::Transient,
        Verdict::Unavailable | Verdict::Misdirected | Verdict::Gone | Verdict::Refused => {
            Meaning::Permanent
        }
        Verdict::Rejected => Meaning::Rejected,
    };
    let why = match status.as_u16() {
        300..=399 => "redirects are never followed, the endpoint's url must be the final one",
        401 | 403 => "it does not accept our credentials or signature",
        404 | 405 => "the path of the endpoint's url is likely wrong",
        410 => "the endpoint is switched off until the next start",
        _ => "",
    };
    Reading { meaning, verdict, why }
}

fn ignored(why: &'static str) -> Reading {
    Reading { meaning: Meaning::Ignored, verdict: Verdict::Taken, why }
}

fn matched_nothing(why: &'static str) -> Reading {
    Reading { meaning: Meaning::NothingMatched, verdict: Verdict::Taken, why }
}

fn rejected(why: &'static str) -> Reading {
    Reading { meaning: Meaning::Rejected, verdict: Verdict::Rejected, why }
}

fn suspended(why: &'static str) -> Reading {
    Reading { meaning: Meaning::Suspended, verdict: Verdict::Unavailable, why }
}

fn contains(body: &[u8], words: &str) -> bool {
    body.windows(words.len()).any(|part| part.eq_ignore_ascii_case(words.as_bytes()))
}

fn member(body: &[u8], name: &str) -> Option<Value> {
    serde_json::from_slice::<Value>(body).ok()?.get_mut(name).map(Value::take)
}

/// Whether a generic webhook trigger says that any job was. It lists each with `triggered`.
fn triggered(body: &[u8]) -> Option<bool> {
    let jobs = member(body, "jobs")?;
    let jobs = jobs.as_object()?;
    Some(jobs.values().any(|job| job["triggered"] != Value::Bool(false)))
}

impl Meaning {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Ignored,
        Self::NothingMatched,
        Self::Rejected,
        Self::Permanent,
        Self::Transient,
        Self::Suspended,
    ];

    /// The word for it in logs, history and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Ignored => "ignored",
            Self::NothingMatched => "nothing-matched",
            Self::Rejected => "rejected",
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Suspended => "suspended",
        }
    }

    /// What it says, in a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Delivered => "The receiver took the event.",
            Self::Ignored => "The receiver understood the event and leaves it alone on purpose.",
            Self::NothingMatched => {
                "The receiver understood the event, and nothing there waits for such a one."
            }
            Self::Rejected => "The receiver does not want this event; it is not told again.",
            Self::Permanent => {
                "The receiver will not take the event until somebody mends something."
            }
            Self::Transient => "The receiver could not take the event now; it is told again later.",
            Self::Suspended => {
                "The receiver is switched off or not ready for now; the event is told again later."
            }
        }
    }

    /// Whether the status alone says it.
    #[must_use]
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Delivered | Self::Permanent | Self::Transient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(answers: &str, status: u16, body: &str, meaning: Meaning, verdict: Verdict) {
        let answers = Answers::of(answers).unwrap();
        let reading = answers.read(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        assert_eq!(
            (reading.meaning, reading.verdict),
            (meaning, verdict),
            "{answers:?} {status} {body}"
        );
    }

    /// A row of the table of response codes each, bodies as their receivers write them.
    #[test]
    fn known_receivers_are_read_by_their_own_rules() {
        use Meaning as M;
        use Verdict as V;
        for (answers, status, body, meaning, verdict) in [
            ("kargo", 200, r#"{"msg":"refreshed 2 warehouse(s)"}"#, M::Delivered, V::Taken),
            ("kargo", 200, r#"{"msg":"refreshed 10 warehouse(s)"}"#, M::Delivered, V::Taken),
            ("kargo", 200, r#"{"msg":"refreshed 0 warehouse(s)"}"#, M::NothingMatched, V::Taken),
            ("kargo", 200, "{}\n", M::Ignored, V::Taken),
            ("kargo", 400, "", M::Permanent, V::Refused),
            ("kargo", 401, "", M::Permanent, V::Misdirected),
            ("kargo", 404, "", M::Permanent, V::Misdirected),
            ("kargo", 413, "", M::Permanent, V::Refused),
            ("kargo", 501, "", M::Rejected, V::Rejected),
            ("kargo", 500, "", M::Transient, V::Unavailable),
            ("flux", 200, "", M::Delivered, V::Taken),
            ("flux", 503, "", M::Suspended, V::Unavailable),
            ("flux", 400, "", M::Permanent, V::Refused),
            ("flux", 500, "", M::Transient, V::Unavailable),
            ("argo-cd", 503, "Queue is full", M::Suspended, V::Unavailable),
            ("argo-cd", 400, "Unknown webhook event", M::Permanent, V::Refused),
            ("image-updater", 200, "Webhook received and processing", M::Delivered, V::Taken),
            ("image-updater", 400, "ignoring action: delete", M::Ignored, V::Taken),
            ("image-updater", 400, "invalid payload", M::Permanent, V::Refused),
            ("keel", 400, "", M::Permanent, V::Refused),
            ("jenkins", 302, "", M::Delivered, V::Taken),
            ("jenkins", 403, "", M::Permanent, V::Misdirected),
            (
                "generic-webhook-trigger",
                200,
                r#"{"jobs":{"a":{"triggered":false},"b":{"triggered":true}},"message":"Triggered jobs."}"#,
                M::Delivered,
                V::Taken,
            ),
            (
                "generic-webhook-trigger",
                200,
                r#"{"jobs":{"a":{"triggered":false}},"message":"Triggered jobs."}"#,
                M::Ignored,
                V::Taken,
            ),
            ("generic-webhook-trigger", 200, "cut {", M::Delivered, V::Taken),
            ("generic-webhook-trigger", 404, "", M::NothingMatched, V::Misdirected),
            ("tekton", 202, "", M::Delivered, V::Taken),
            ("spinnaker", 200, r#"{"eventProcessed":true}"#, M::Delivered, V::Taken),
            ("spinnaker", 200, r#"{"eventProcessed":false}"#, M::Ignored, V::Taken),
            ("dokploy", 301, r#"{"message":"Branch Not Match"}"#, M::Rejected, V::Rejected),
            ("dokploy", 200, "", M::Delivered, V::Taken),
            ("plain", 301, "", M::Permanent, V::Unavailable),
            ("plain", 302, "", M::Permanent, V::Unavailable),
            ("plain", 200, r#"{"msg":"refreshed 0 warehouse(s)"}"#, M::Delivered, V::Taken),
            ("plain", 400, "ignoring action", M::Permanent, V::Refused),
            ("plain", 503, "", M::Transient, V::Unavailable),
            ("plain", 410, "", M::Permanent, V::Gone),
        ] {
            reads(answers, status, body, meaning, verdict);
        }
    }

    #[test]
    fn whoever_has_no_rule_is_read_by_the_status() {
        for answers in Answers::ALL {
            assert_eq!(Answers::of(answers.as_str()), Some(answers));
            for status in [200, 201, 202, 204, 401, 403, 405, 408, 410, 425, 429, 502, 504] {
                let status = StatusCode::from_u16(status).unwrap();
                assert_eq!(answers.read(status, b""), plain(status), "{answers:?} {status}");
                assert_eq!(plain(status).verdict, Verdict::of(status));
            }
        }
    }
}
