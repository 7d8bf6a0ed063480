use time::OffsetDateTime;

use crate::budget::Budget;
use crate::event::Action;
use crate::event::Actor;
use crate::event::IntentId;
use crate::event::Request;
use crate::registry::Digest;
use crate::registry::Reference;

use super::super::super::classify::Coding;
use super::super::super::classify::Exchange;
use super::super::super::observe::Reader;
use super::super::super::protocol::Machine;
use super::super::registry::Plan;
use super::Course;
use super::Happening;
use super::Life;
use super::WORKING;

impl Life {
    /// What will happen whatever we do: pushes, failures of the disk, our deaths.
    pub(super) fn write_its_story(&mut self) {
        let disk_fails = self.random.u8(..4) == 0;
        let apart = self.random.u8(..4) == 0;
        let span = if self.random.bool() { 200 } else { 20_000 };
        let mut starts = Vec::new();
        for x in 0..self.random.usize(1..7) {
            let start = self.random.u64(..span);
            starts.push(start);
            // What passed an outbox that failed is not in it: who undid what cannot be known then.
            let course = self.course(if apart { x } else { 0 }, apart, !disk_fails && !apart);
            self.exchanges.push(course);
            self.at(start, Happening::Start(x));
        }
        if disk_fails {
            let from = self.random.u64(..span);
            self.at(from, Happening::Fails(true));
            let to = from + self.random.u64(10..30_000);
            self.at(to, Happening::Fails(false));
        }
        let mut from = 0;
        for _ in 0..self.random.u8(..4) {
            // Where it hurts: in the midst of an exchange, or of the looks afterwards.
            let after = match self.random.u8(..4) {
                0 => self.random.u64(..130_000),
                _ => self.random.u64(..200),
            };
            let start = starts[self.random.usize(..starts.len())];
            let at = (start + after).max(from);
            let power = self.random.bool();
            self.at(at, Happening::Die { power });
            from = at + self.random.u64(100..1_000);
            self.at(from, Happening::Begin);
            from += 1;
        }
    }

    fn course(&mut self, own: usize, apart: bool, deletes: bool) -> Course {
        let name = |kind: &str, n: u8| {
            if apart { format!("{kind}{own}") } else { format!("{kind}{n}") }
        };
        let bytes = name("content", self.random.u8(..2)).into_bytes();
        let tag = name("tag", self.random.u8(..2)).parse().unwrap();
        let digest = Digest::sha256(&bytes);
        let (action, reference, tags) = match self.random.u8(..12) {
            0..=5 => (Action::Push, Reference::Tag(tag), vec![]),
            6 | 7 => (Action::Push, Reference::Digest(digest.clone()), vec![]),
            8 => (Action::Push, Reference::Digest(digest.clone()), vec![tag]),
            _ if !deletes => (Action::Push, Reference::Tag(tag), vec![]),
            9 => (Action::Delete, Reference::Tag(tag), vec![]),
            _ => (Action::Delete, Reference::Digest(digest.clone()), vec![]),
        };
        let exchange = Exchange {
            intent: IntentId::now(),
            action,
            registry: "r.example".to_owned(),
            repository: "team/app".parse().unwrap(),
            artifactory: None,
            reference: reference.clone(),
            tags,
            media_type: None,
            coding: Coding::Identity,
            actor: Actor::default(),
            request: Request::default(),
            started_at: OffsetDateTime::UNIX_EPOCH,
        };
        let mut reader = Reader::new(reference.digest(), 64, Budget::new(64).share());
        if action == Action::Push {
            reader.update(&bytes);
        }
        let intent = exchange.intent(Some(&reader.finish()));
        Course {
            intent,
            exchange,
            digest,
            plan: Plan::new(&mut self.random, WORKING),
            machine: Machine::new(self.rules),
            epoch: 0,
            turn: 0,
            let_go: false,
            waits_at: u32::MAX,
            complete: false,
            answered: None,
            applied: false,
            ended: true,
            acknowledged: false,
            weak: false,
            kept: false,
        }
    }
}
