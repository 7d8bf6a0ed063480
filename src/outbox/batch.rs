//! Commands that share a transaction: what they do in it, and what whoever gave them is told.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::TransactionBehavior;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tracing::info;
use tracing::warn;

use crate::event::EventId;
use crate::event::IntentId;

use super::Append;
use super::Appended;
use super::AttemptOutcome;
use super::DeliveryId;
use super::Error;
use super::append::Appending;
use super::append::Effects;
use super::append::Replaced;
use super::deliveries;
use super::deliveries::millis;
use super::endpoints::last_sequence;
use super::intents;
use super::intents::Durability;
use super::intents::Intent;
use super::intents::Reason;
use super::notices;
use super::notices::Looked;
use super::notices::Noted;
use super::notices::Notice;
use super::notices::Quarantined;
use super::shared::Shared;

/// What can be written.
pub(super) enum Command {
    Append(Append, oneshot::Sender<Result<Vec<Appended>, Error>>),
    Record(AttemptOutcome, oneshot::Sender<Result<(), Error>>),
    Intend(Box<Intent>, Durability, oneshot::Sender<Result<(), Error>>),
    Close(IntentId, Reason, oneshot::Sender<Result<(), Error>>),
    Replay(Vec<DeliveryId>, oneshot::Sender<Result<Vec<DeliveryId>, Error>>),
    Note(Vec<Notice>, oneshot::Sender<Result<Vec<Noted>, Error>>),
    Release(Box<Release>, oneshot::Sender<Result<Noted, Error>>),
    Quarantine(Box<Quarantined>, oneshot::Sender<Result<(), Error>>),
    /// Takes one out of quarantine and takes up what it turned out to say.
    Discharge(u64, Vec<Notice>, oneshot::Sender<Result<Vec<Noted>, Error>>),
    /// Something a test does to the connection.
    #[cfg(test)]
    Test(fn(&Connection) -> rusqlite::Result<()>, oneshot::Sender<()>),
}

/// A notification that may wait no longer.
pub(super) struct Release {
    pub(super) source: String,
    pub(super) id: EventId,
    pub(super) looked: Looked,
}

/// A committed transaction.
pub(super) struct Done {
    pub(super) replies: Vec<Reply>,
    pub(super) effects: Effects,
}

pub(super) enum Reply {
    Append(Result<Vec<Appended>, Error>),
    Record(Result<(), Error>),
    Replay(Vec<DeliveryId>),
    Noted(Vec<Noted>),
    Written,
    #[cfg(test)]
    Test,
}

impl Command {
    /// Whether it must be on the disk before its caller is answered. The end of an attempt need not be: lost,
    /// it costs one repeated delivery; nor that an intent makes no event: lost, it is settled again.
    pub(super) fn wants_sync(&self) -> bool {
        !matches!(
            self,
            Self::Record(..) | Self::Close(..) | Self::Intend(_, Durability::Written, _)
        )
    }

    /// Whether it brings something that must not be lost.
    pub(super) fn brings_events(&self) -> bool {
        match self {
            Self::Append(..) | Self::Intend(..) => true,
            Self::Note(..) | Self::Release(..) | Self::Quarantine(..) | Self::Discharge(..) => true,
            Self::Record(..) | Self::Close(..) | Self::Replay(..) => false,
            #[cfg(test)]
            Self::Test(..) => false,
        }
    }

    /// The point before its commit.
    fn point(&self) -> &'static str {
        match self {
            Self::Append(..) => "append",
            Self::Record(..) => "record",
            Self::Intend(..) => "intend",
            Self::Close(..) => "close",
            Self::Replay(..) => "replay",
            Self::Note(..) => "note",
            Self::Release(..) => "release",
            Self::Quarantine(..) | Self::Discharge(..) => "quarantine",
            #[cfg(test)]
            Self::Test(..) => "test",
        }
    }

    /// Tells who waits for it that nothing of it is durable.
    pub(super) fn refuse(self, shared: &Shared, error: &Arc<Error>) {
        let database = shared.database.clone();
        let error = Error::Failed { database, source: Arc::clone(error) };
        let _left = match self {
            Self::Append(_, to) => to.send(Err(error)).is_err(),
            Self::Record(_, to) => to.send(Err(error)).is_err(),
            Self::Replay(_, to) => to.send(Err(error)).is_err(),
            Self::Intend(_, _, to) | Self::Close(_, _, to) | Self::Quarantine(_, to) => {
                to.send(Err(error)).is_err()
            }
            Self::Note(_, to) | Self::Discharge(_, _, to) => to.send(Err(error)).is_err(),
            Self::Release(_, to) => to.send(Err(error)).is_err(),
            #[cfg(test)]
            Self::Test(_, to) => to.send(()).is_err(),
        };
    }
}

impl Done {
    /// Tells everybody what is committed now; whoever is answered finds all the rest told already.
    pub(super) fn answer(self, batch: Vec<Command>, shared: &Shared) {
        let Self { replies, effects } = self;
        if effects.held > 0 {
            shared.held.send_modify(|n| *n = n.wrapping_add(effects.held));
        }
        effects.tell(shared);
        for (command, reply) in batch.into_iter().zip(replies) {
            // Nobody listening is no fault: the event is durable, whoever asked has left.
            let _left = match (command, reply) {
                (Command::Append(_, to), Reply::Append(reply)) => to.send(reply).is_err(),
                (Command::Record(_, to), Reply::Record(reply)) => to.send(reply).is_err(),
                (Command::Replay(_, to), Reply::Replay(owed)) => to.send(Ok(owed)).is_err(),
                (
                    Command::Intend(_, _, to)
                    | Command::Close(_, _, to)
                    | Command::Quarantine(_, to),
                    Reply::Written,
                ) => to.send(Ok(())).is_err(),
                (Command::Note(_, to) | Command::Discharge(_, _, to), Reply::Noted(noted)) => {
                    to.send(Ok(noted)).is_err()
                }
                (Command::Release(_, to), Reply::Noted(mut noted)) => {
                    to.send(Ok(noted.pop().unwrap_or(Noted::Dropped))).is_err()
                }
                #[cfg(test)]
                (Command::Test(_, to), _) => to.send(()).is_err(),
                _ => false,
            };
        }
    }
}

impl Effects {
    /// Tells everybody what is committed now.
    pub(super) fn tell(self, shared: &Shared) {
        let metrics = &shared.metrics;
        shared.claims.release(self.released);
        metrics.appends.inc_by(u64::try_from(self.added.len()).unwrap_or_default());
        metrics.repeats.inc_by(self.repeats);
        metrics.outcomes.inc_by(self.outcomes);
        metrics.forgotten.inc_by(self.forgotten);
        metrics.given_up(&self.given_up);
        for replaced in &self.replaced {
            say_replaced(shared, replaced);
        }
        for (id, number) in self.dead_forgotten {
            if let Some(endpoint) = shared.endpoints.with_id(id) {
                metrics.dead_forgotten_at(&endpoint.name, number);
            }
        }
        for (id, number) in self.expired {
            if let Some(endpoint) = shared.endpoints.with_id(id) {
                metrics.expired_at(&endpoint.name, number);
                warn!(
                    endpoint = endpoint.name,
                    deliveries = number,
                    "The oldest deliveries were owed for too long, or were too many: they are dead letters now"
                );
            }
        }
        for (id, owed) in &self.owed {
            if let Some(endpoint) = shared.endpoints.with_id(*id) {
                metrics.owed_to(&endpoint.name, owed.outstanding);
                if owed.claimable > 0 {
                    endpoint.owed.send_modify(|n| *n = n.wrapping_add(owed.claimable));
                }
            }
        }
    }
}

/// No event goes away without a word.
fn say_replaced(shared: &Shared, replaced: &Replaced) {
    if let Some(endpoint) = shared.endpoints.with_id(replaced.endpoint) {
        shared.metrics.replaced_at(&endpoint.name);
        info!(
            endpoint = endpoint.name,
            sequence = replaced.event,
            by = replaced.by,
            "A newer event of the tag took the place of this one"
        );
    }
}

/// Does everything in one transaction and commits it.
pub(super) fn transact(
    connection: &mut Connection,
    shared: &Shared,
    batch: &[Command],
    earlier: &mut HashSet<EventId>,
    effects: &mut Effects,
) -> rusqlite::Result<Vec<Reply>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let now = millis(OffsetDateTime::now_utc());
    effects.sequence = last_sequence(&transaction)?;
    let mut replies = Vec::with_capacity(batch.len());
    for command in batch {
        replies.push(match command {
            Command::Append(append, _) => {
                let mut appending =
                    Appending { connection: &transaction, shared, now, earlier, effects };
                Reply::Append(appending.append(append)?)
            }
            Command::Record(outcome, _) => {
                Reply::Record(deliveries::record(&transaction, shared, outcome, effects)?)
            }
            Command::Replay(ids, _) => {
                Reply::Replay(deliveries::replay(&transaction, shared, ids, now, effects)?)
            }
            Command::Intend(intent, _, _) => {
                intents::open(&transaction, intent, now, shared.pairing.is_some())?;
                Reply::Written
            }
            Command::Close(intent, reason, _) => {
                intents::close(&transaction, *intent, *reason, now)?;
                if shared.pairing.is_some() {
                    effects.held += notices::give_back(&transaction, shared, *intent, now)?;
                }
                Reply::Written
            }
            Command::Note(all, _) => {
                let mut appending =
                    Appending { connection: &transaction, shared, now, earlier, effects };
                let noted = all.iter().map(|notice| notices::note(&mut appending, notice));
                Reply::Noted(noted.collect::<Result<_, _>>()?)
            }
            Command::Discharge(number, all, _) => {
                notices::discharge(&transaction, *number)?;
                let mut appending =
                    Appending { connection: &transaction, shared, now, earlier, effects };
                let noted = all.iter().map(|notice| notices::note(&mut appending, notice));
                Reply::Noted(noted.collect::<Result<_, _>>()?)
            }
            Command::Release(release, _) => {
                let Release { source, id, looked } = release.as_ref();
                let mut appending =
                    Appending { connection: &transaction, shared, now, earlier, effects };
                Reply::Noted(vec![notices::release(&mut appending, source, *id, looked)?])
            }
            Command::Quarantine(quarantined, _) => {
                notices::quarantine(&transaction, quarantined)?;
                Reply::Written
            }
            #[cfg(test)]
            Command::Test(test, _) => {
                test(&transaction)?;
                Reply::Test
            }
        });
    }
    effects.apply_owed(&transaction)?;
    effects.keep_bound(&transaction, shared, now)?;
    batch.iter().for_each(|command| shared.points.reach(command.point()));
    transaction.commit()?;
    Ok(replies)
}
