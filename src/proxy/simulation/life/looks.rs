use std::time::Duration;

use time::OffsetDateTime;

use crate::event::EventId;
use crate::event::IntentId;
use crate::outbox::Intent;
use crate::registry::Reference;

use super::super::super::settle::rules::Conclusion;
use super::super::super::settle::rules::Found;
use super::super::super::settle::rules::Learned;
use super::super::super::settle::rules::Question;
use super::super::super::settle::rules::Round;
use super::super::Bend;
use super::super::disk::Write;
use super::Happening;
use super::Life;
use super::Settling;
use super::Then;

impl Life {
    pub(super) fn settle(&mut self, x: usize, kept: bool) {
        let settling = Settling { since: self.now, looks: 0, kept, began: 0, learned: vec![] };
        self.settling.insert(x, settling);
        self.look_later(x);
    }

    fn look_later(&mut self, x: usize) {
        let Some(settling) = self.settling.get(&x) else {
            return;
        };
        let pause = self.schedule.pause(settling.looks, self.random.f64());
        let (at, epoch) = (self.now + pause.as_millis() as u64, self.epoch);
        self.at(at, Happening::Look(x, epoch));
    }

    pub(super) fn look_again(&mut self, x: usize) {
        if let Some(settling) = self.settling.get_mut(&x) {
            settling.looks += 1;
        }
        self.look_later(x);
    }

    pub(super) fn look(&mut self, x: usize, epoch: u32) {
        let (now, id) = (self.now, self.exchanges[x].intent.id);
        if epoch != self.epoch || !self.alive {
            return;
        }
        let open = self.disk.intents.contains_key(&id);
        let Some(settling) = self.settling.get_mut(&x) else {
            return;
        };
        if !settling.kept && !open {
            self.settling.remove(&x);
            return;
        }
        (settling.began, settling.learned) = (now, vec![]);
        self.learn(x, epoch);
    }

    pub(super) fn learn(&mut self, x: usize, epoch: u32) {
        if epoch != self.epoch || !self.alive {
            return;
        }
        let intent = self.exchanges[x].intent.clone();
        let Some(settling) = self.settling.get(&x) else {
            return;
        };
        let mut round = Round::new(&intent);
        settling.learned.iter().for_each(|learned| round.learn(learned.clone()));
        let since = |at: u64| Duration::from_millis(at - settling.since);
        let (began, lasted) = (since(settling.began), since(self.now));
        if let Some(question) = round.question() {
            let learned = match question {
                Question::Look(reference) => Learned::Found(self.found(&reference)),
                Question::Undone => Learned::Undone(self.undone(&intent)),
            };
            if let Some(settling) = self.settling.get_mut(&x) {
                settling.learned.push(learned);
            }
            self.within(30, Happening::Learn(x, epoch));
            return;
        }
        let conclusion = round.conclusion(&self.schedule, began, lasted);
        if self.telling {
            eprintln!("         exchange {x}: {conclusion:?}");
        }
        match conclusion {
            Conclusion::Again => self.look_again(x),
            Conclusion::Close => self.write(Write::Close(intent.id), Then::Settled(x)),
            Conclusion::Append(mut events) => {
                if self.bend == Bend::NewIds {
                    events.iter_mut().for_each(|e| e.id = EventId::of(IntentId::now(), None));
                }
                self.write(Write::Append(intent.id, events, self.now), Then::Settled(x));
            }
        }
    }

    fn found(&mut self, reference: &Reference) -> Found {
        let found = if self.denied {
            Found::Denied
        } else if self.random.u8(..16) < self.unclear {
            Found::Unclear
        } else {
            self.registry.look(reference)
        };
        match found {
            Found::Denied | Found::Unclear if self.bend == Bend::Guessing => Found::Nothing,
            found => found,
        }
    }

    fn undone(&mut self, intent: &Intent) -> bool {
        let at = |at: u64| OffsetDateTime::UNIX_EPOCH + Duration::from_millis(at);
        let working = self.schedule.working;
        let mut told = self.disk.events.values();
        let undone = told.any(|(_, event, then)| intent.is_undone_by(event, at(*then), working))
            || self.disk.intents.values().any(|o| intent.is_opposed_by(&o.event, &o.tags));
        if undone {
            self.seen.insert("a push that was undone");
        }
        undone && self.bend != Bend::Undone
    }
}
