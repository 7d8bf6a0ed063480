//! What the writer does about a full disk and a damaged file, between a transaction that failed and the next one.

use std::fs;
use std::sync::Arc;

use tracing::error;
use tracing::info;

use super::Error;
use super::State;
use super::batch::Command;
use super::error::means_full;
use super::salvage;
use super::salvage::Salvaged;
use super::shared::Shared;
use super::shared::Weakness;
use super::writer::Writer;

/// What is done about events after damage was found (rule J3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDamage {
    /// They go into the new file, and everybody is told that some may be missing.
    GoOn,
    /// None is taken until an operator has taken the damaged file away.
    Wait,
}

impl Writer {
    /// Does what can be done about a failure, and says whether another try is worth it.
    pub(super) fn mend(&mut self, error: &Error) -> bool {
        match error {
            Error::Damaged { detail, .. } => self.salvage(&detail.clone()),
            error if means_full(error) => self.reserve.let_go(&self.shared),
            _ => false,
        }
    }

    /// The reading thread may see damage where the writer does not go.
    pub(super) fn look_for_damage(&mut self) {
        if let Some(detail) = self.shared.damage_seen() {
            self.connection = None;
            if self.salvage(&detail) {
                self.open_again();
            }
        }
        self.wait_for_an_operator();
    }

    fn salvage(&mut self, why: &str) -> bool {
        self.connection = None;
        match salvage::salvage(&self.shared.database, why) {
            Ok(salvaged) => {
                self.shared.renew_readers();
                say_salvaged(&self.shared, &salvaged);
                self.wait_for_an_operator();
                true
            }
            Err(error) => {
                drop(self.fail(error));
                false
            }
        }
    }

    /// Where that is wanted, takes no events until the damaged file is gone.
    pub(super) fn wait_for_an_operator(&mut self) {
        // Where nothing was ever damaged the file system is not asked.
        if !self.shared.is_weak(Weakness::Damaged) {
            return;
        }
        let database = &self.shared.database;
        let Some(kept) = salvage::kept(database) else {
            if self.waits.take().is_some() {
                self.succeed();
            }
            if self.shared.mend(Weakness::Damaged) {
                self.shared.metrics.damaged(false);
                info!("The damaged file was taken away");
            }
            return;
        };
        if self.waits.is_none() && self.shared.after_damage == AfterDamage::Wait {
            let detail = format!(
                "what could be read was carried over; events may be missing; move {} away to go on",
                kept.display()
            );
            let error = Arc::new(Error::Damaged { database: database.clone(), detail });
            self.become_state(State::Failed(error.to_string()));
            self.shared.metrics.failed.set(1);
            self.waits = Some(error);
        }
    }

    /// While an operator is waited for, ends of attempts are written all the same.
    pub(super) fn refuse_events(&self, batch: Vec<Command>) -> Vec<Command> {
        let Some(error) = &self.waits else {
            return batch;
        };
        let (rest, events): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|command| !command.brings_events());
        events.into_iter().for_each(|command| command.refuse(&self.shared, error));
        rest
    }
}

/// Says what became of a damaged file.
pub(super) fn say_salvaged(shared: &Shared, salvaged: &Salvaged) {
    let incomplete = salvaged.incomplete.join(",");
    error!(
        kept = %salvaged.kept.display(),
        rows = salvaged.rows,
        incomplete,
        "The outbox was damaged, and what could be read is in a new file; events and deliveries may be missing"
    );
    note_damage(shared);
}

/// Says that there is a damaged file, until somebody takes it away.
pub(super) fn note_damage(shared: &Shared) {
    let Some(kept) = salvage::kept(&shared.database) else {
        return;
    };
    shared.metrics.damaged(true);
    let bytes = fs::metadata(&kept).map_or(0, |file| file.len());
    shared.weaken(
        Weakness::Damaged,
        format!(
            "outbox_damaged: events may be missing; the damaged file is kept as {} ({bytes} bytes): look at it, then \
             move it away",
            kept.display()
        ),
    );
}
