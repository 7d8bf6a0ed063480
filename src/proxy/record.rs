use tracing::info;
use tracing::warn;

use crate::event::Change;
use crate::event::Integrity;
use crate::event::Outcome;
use crate::outbox::Appended;
use crate::registry::Kind;

use super::Inner;

impl Inner {
    /// One line per event: what happened, and who will be told.
    pub(super) fn tell(&self, appended: &Appended) {
        let event = &appended.event;
        self.metrics.event(event.action);
        match (&event.tag, event.outcome) {
            (Some(tag), Outcome::Confirmed) => self.known.add(&event.repository, tag),
            // The outbox has forgotten what the tag was.
            (Some(tag), Outcome::Unconfirmed) => self.known.remove(&event.repository, tag),
            (None, _) => {}
        }
        if event.concurrent {
            self.metrics.concurrent.inc();
        }
        if let Some(Integrity::Mismatch(told)) = &event.integrity {
            self.metrics.mismatches.inc();
            warn!(
                event.id = %event.id,
                repository = %event.repository,
                digest = event.digest.as_ref().map(tracing::field::display),
                registry_digest = %told,
                "The registry names another digest than the bytes have"
            );
        }
        info!(
            event.id = %event.id,
            action = event.action.as_str(),
            repository = %event.repository,
            tag = event.tag.as_ref().map(tracing::field::display),
            digest = event.digest.as_ref().map(tracing::field::display),
            change = event.change.map(Change::as_str),
            kind = event.kind.map(Kind::as_str),
            outcome = event.outcome.as_str(),
            evidence = event.evidence.as_str(),
            concurrent = event.concurrent,
            sequence = event.sequence,
            actor = event.actor.name.as_deref(),
            owed_to = appended.owed_to.join(","),
            "Event recorded"
        );
    }
}
