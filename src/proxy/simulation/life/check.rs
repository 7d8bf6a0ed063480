use std::collections::BTreeSet;

use crate::event::Action;
use crate::event::Event;
use crate::event::Evidence;
use crate::event::Outcome;
use crate::outbox::Durability;

use super::Course;
use super::Life;

impl Life {
    /// Everything has come to its end: now every promise must have been kept.
    pub(super) fn check(&mut self) -> Result<(), String> {
        if !self.disk.intents.is_empty() {
            return Err(format!("{} intents are never settled", self.disk.intents.len()));
        }
        if !self.disk.closed.is_empty() {
            self.seen.insert("a closed intent");
        }
        let kept = self.rules.intent == Some(Durability::Synced)
            || (self.rules.intent == Some(Durability::Written) && !self.powerless);
        for (x, course) in self.exchanges.iter().enumerate() {
            let events: Vec<&Event> = self
                .disk
                .events
                .values()
                .filter(|(intent, ..)| *intent == course.intent.id)
                .map(|(_, event, _)| event)
                .collect();
            let told = format!("exchange {x} of {:?}", self.rules);
            if course.acknowledged && !course.weak && events.is_empty() && kept {
                return Err(format!("D1: {told} was acknowledged and has no event"));
            }
            if course.applied && !course.weak && events.is_empty() && kept {
                return Err(format!("D2: {told} was applied and has no event"));
            }
            let tags: BTreeSet<_> = events.iter().map(|event| &event.tag).collect();
            if tags.len() != events.len() {
                return Err(format!("D5: {told} is told twice: {events:?}"));
            }
            for event in events {
                self.seen.insert(match (event.outcome, event.evidence, event.action) {
                    (Outcome::Confirmed, Evidence::Response, _) => "an event by response",
                    (Outcome::Confirmed, _, Action::Delete) => "a settled delete",
                    (Outcome::Confirmed, ..) => "an event by look",
                    (Outcome::Unconfirmed, ..) => "an event that is unsure",
                });
                if !course.acknowledged && course.applied {
                    self.seen.insert("an applied push whose answer nobody saw");
                }
                let answered = matches!(course.answered, Some(200..=299));
                if event.evidence == Evidence::Response && !answered {
                    return Err(format!("D3: {told} has an event by an answer that never was"));
                }
                if event.outcome == Outcome::Confirmed && !self.happened(course, event) {
                    return Err(format!("D3: {told} has an event that nothing backs: {event:?}"));
                }
                if event.outcome == Outcome::Unconfirmed && self.is_sure(x) {
                    return Err(format!("{told} could have been confirmed: {event:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whether what a look confirmed was so: by this exchange, or by another of the same content, which no
    /// look can tell from it; that something is gone may always have been so before.
    fn happened(&self, course: &Course, event: &Event) -> bool {
        if event.evidence == Evidence::Response || event.action == Action::Delete {
            return true;
        }
        self.exchanges.iter().any(|other| {
            other.applied
                && other.digest == course.digest
                && other.intent.event.action == Action::Push
        })
    }

    /// Whether nobody else was near, the registry did all of it, and we could see it.
    fn is_sure(&self, x: usize) -> bool {
        let this = &self.exchanges[x];
        let touches = |other: &Course| {
            let tag = this.intent.event.tag.as_ref();
            let tags = other.intent.event.tag.iter().chain(&other.intent.tags);
            other.digest == this.digest || tags.into_iter().any(|touched| Some(touched) == tag)
        };
        let others = self.exchanges.iter().enumerate().filter(|(y, _)| *y != x);
        let alone = !others.map(|(_, other)| other).any(touches);
        let seen = self.unclear == 0 && !self.denied;
        let whole = this.plan.stores && this.plan.links && this.complete;
        let tags = this.intent.tags.is_empty();
        alone && seen && whole && tags
    }
}
