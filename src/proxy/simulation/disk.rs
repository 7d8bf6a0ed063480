use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::event::Event;
use crate::event::EventId;
use crate::event::IntentId;
use crate::outbox::Durability;
use crate::outbox::Intent;

/// What is written at once.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Intend(Box<Intent>, Durability),
    /// With when it happens.
    Append(IntentId, Vec<Event>, u64),
    Close(IntentId),
}

/// The outbox as its promises are: what was synced survives everything, what was written survives us.
#[derive(Debug, Default)]
pub(super) struct Disk {
    log: Vec<Write>,
    /// How much of the log is synced.
    synced: usize,
    /// What the log comes to.
    pub(super) intents: BTreeMap<IntentId, Intent>,
    pub(super) events: BTreeMap<EventId, (IntentId, Event, u64)>,
    pub(super) closed: BTreeSet<IntentId>,
}

impl Write {
    fn wants_sync(&self) -> bool {
        match self {
            Self::Append(..) => true,
            Self::Intend(_, durability) => *durability == Durability::Synced,
            Self::Close(_) => false,
        }
    }
}

impl Disk {
    pub(super) fn write(&mut self, write: Write) {
        let sync = write.wants_sync();
        self.apply(&write);
        self.log.push(write);
        if sync {
            self.sync();
        }
    }

    /// What an idle outbox does after 200 ms.
    pub(super) fn sync(&mut self) {
        self.synced = self.log.len();
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced == self.log.len()
    }

    /// Power is lost: of what is not synced, as much survives as chance wants.
    pub(super) fn lose_power(&mut self, chance: impl FnOnce(usize) -> usize) {
        let kept = self.synced + chance(self.log.len() - self.synced + 1);
        self.log.truncate(kept);
        self.sync();
        (self.intents, self.events, self.closed) = Default::default();
        for write in std::mem::take(&mut self.log) {
            self.apply(&write);
            self.log.push(write);
        }
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Intend(intent, _) => {
                self.intents.entry(intent.id).or_insert_with(|| intent.as_ref().clone());
            }
            Write::Append(intent, events, at) => {
                self.intents.remove(intent);
                for event in events {
                    self.events.entry(event.id).or_insert_with(|| (*intent, event.clone(), *at));
                }
            }
            Write::Close(intent) => {
                if self.intents.remove(intent).is_some() {
                    self.closed.insert(*intent);
                }
            }
        }
    }
}
