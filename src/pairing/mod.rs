//! Two reports of one push: which of them belong together (delivery-guarantees 4, rules M1 to M8).
//!
//! There is no id that the registry's notification and our own observation have in common. What both know is
//! what it was about, and when: so reports are paired one to one, by their [`Subject`] and by time. Everything
//! here is a decision; whoever asks has the [`Memory`] and does what is decided, in one transaction. The
//! outbox does, and so does the simulation of ten thousand pushes.
//!
//! Two things sharpen the rules as written there, and neither bends them:
//! - A notification arrives after its exchange began, both by our own clock: one that was here before cannot
//!   speak of it, however well its stamp fits.
//! - Where a notification fits only what another notification of its source is linked to, and that one fits
//!   something else, that one moves. Without it the order of arrival would decide whether all find their place.
//!
//! Never: I/O, a clock, the content of a notification.

mod matching;
mod subject;

#[cfg(test)]
mod simulation;

use std::time::Duration;

use crate::event::EventId;
use crate::event::IntentId;

use self::matching::Place;

pub use self::subject::Subject;

/// What the operator chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How far a notification's stamp may be from the exchange: the clocks are two.
    pub skew: Duration,
    /// How long a notification that fits nothing waits before it becomes an event of its own.
    pub hold: Duration,
    /// How long exchanges are remembered; an older notification is late.
    pub memory: Duration,
    /// How long the registry may be at work on a push after it had all of it.
    pub working: Duration,
    /// What becomes of a notification that fits nothing.
    pub mode: Mode,
}

/// What becomes of a notification that fits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is an event.
    Events,
    /// Nothing: every push comes through us, and notifications are evidence only.
    Evidence,
}

/// One notification, as far as pairing goes. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who told it.
    pub source: String,
    /// Its id: the same for the same report, however often it comes.
    pub id: EventId,
    /// What it is about.
    pub subject: Subject,
    /// When it happened, by the teller's clock.
    pub at: i64,
    /// When it arrived, by ours.
    pub received: i64,
}

/// One exchange of our own that has just become an event. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What it is about.
    pub subject: Subject,
    /// When it began.
    pub began: i64,
    /// When the registry answered, or when that could last have been.
    pub ended: i64,
}

/// What a notification may speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// An exchange of ours whose end is not known yet.
    Intent(IntentId),
    /// An event, by its sequence.
    Event(i64),
}

/// A fact with the subject that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub fact: Fact,
    /// When it began.
    pub began: i64,
    /// When it ended; of an intent, when the registry surely has done with it.
    pub ended: i64,
    /// What the same source has told of it already.
    pub taken: Option<Report>,
}

/// A report, as far as time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub id: EventId,
    /// When it happened, by the teller's clock.
    pub at: i64,
    /// When it arrived, by ours.
    pub received: i64,
}

/// A notification that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who told it.
    pub source: String,
    /// What it says.
    pub report: Report,
}

/// An event that somebody told of and nobody here saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hearsay {
    /// Its sequence.
    pub event: i64,
    /// What it was made of.
    pub report: Report,
}

/// What is remembered. Every answer is about one subject, and bounded by whoever gives it.
pub trait Memory {
    /// What asking may fail with.
    type Error;

    /// Whether this report of this source is known, be it held, linked or an event.
    ///
    /// # Errors
    ///
    /// If the memory cannot be asked.
    fn knows(&mut self, told: &Told) -> Result<bool, Self::Error>;

    /// The open intents about the subject, its digest included.
    ///
    /// # Errors
    ///
    /// If the memory cannot be asked.
    fn intents(&mut self, told: &Told) -> Result<Vec<Candidate>, Self::Error>;

    /// The events about the subject that began or ended between the two times, whatever their origin.
    ///
    /// # Errors
    ///
    /// If the memory cannot be asked.
    fn events(&mut self, told: &Told, from: i64, to: i64) -> Result<Vec<Candidate>, Self::Error>;

    /// The notifications about the subject that wait.
    ///
    /// # Errors
    ///
    /// If the memory cannot be asked.
    fn held(&mut self, observed: &Observed) -> Result<Vec<Held>, Self::Error>;

    /// The events about the subject that somebody only told of between the two times, and that no exchange of
    /// ours is linked to.
    ///
    /// # Errors
    ///
    /// If the memory cannot be asked.
    fn hearsay(
        &mut self,
        observed: &Observed,
        from: i64,
        to: i64,
    ) -> Result<Vec<Hearsay>, Self::Error>;
}

/// Whether a notification may still wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It has just arrived.
    Fresh,
    /// It has waited long enough, or a look says what it says.
    Over,
}

/// What becomes of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// M1: it is known.
    Repeated,
    /// M2, M3: these links are made, in the place of those that the same reports had; the last is its own.
    Link(Vec<(Report, Fact)>),
    /// M4: it waits so long.
    Hold {
        /// Until when, by our clock.
        until: i64,
    },
    /// M4: it becomes an event.
    Append {
        /// Whether it is older than what is remembered.
        late: bool,
    },
    /// It fits nothing, and is evidence only.
    Drop,
}

/// What becomes of an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// M5: it is an event, and these notifications speak of it: one of a source at most.
    Event(Vec<Held>),
    /// M6: this event is it.
    Same(i64),
}

/// How much earlier than its exchange began a notification may have arrived: the clock may have been set.
const STEP: i64 = 1000;

/// How far candidates are asked for where none is free, in slacks: through so many exchanges of one subject,
/// one slack after the other, links may move.
const REACH: i64 = 120;

/// Decides about a notification.
///
/// # Errors
///
/// If the memory cannot be asked.
pub fn told<M: Memory>(
    memory: &mut M,
    rules: &Rules,
    told: &Told,
    now: i64,
    patience: Patience,
) -> Result<Decision, M::Error> {
    if patience == Patience::Fresh && memory.knows(told)? {
        return Ok(Decision::Repeated);
    }
    let slack = rules.slack(&told.subject);
    let report = Report { id: told.id, at: told.at, received: told.received };
    let intents = memory.intents(told)?;
    // Most find a free place nearby, and nobody has to move.
    for reach in [slack, slack.saturating_mul(REACH)] {
        let mut candidates = intents.clone();
        let (from, to) = (told.at.saturating_sub(reach), told.at.saturating_add(reach));
        candidates.extend(memory.events(told, from, to)?);
        if candidates.iter().all(|candidate| !candidate.fits(report, slack)) {
            break;
        }
        if let Some(links) = matching::place(&candidates, report, slack) {
            return Ok(Decision::Link(links));
        }
    }
    let until = told.received.saturating_add(millis(rules.hold));
    // A clock that was set back must not make anything wait longer than it would have.
    let waits = now < until && until.saturating_sub(now) <= millis(rules.hold);
    Ok(match (patience, rules.mode) {
        (Patience::Fresh, _) if waits => Decision::Hold { until },
        (_, Mode::Evidence) => Decision::Drop,
        (_, Mode::Events) => {
            Decision::Append { late: now.saturating_sub(told.at) > millis(rules.memory) }
        }
    })
}

/// Decides about an observation. `linked` has the sources that have told of its intent.
///
/// # Errors
///
/// If the memory cannot be asked.
pub fn observed<M: Memory>(
    memory: &mut M,
    rules: &Rules,
    observed: &Observed,
    linked: &[String],
) -> Result<Met, M::Error> {
    let slack = rules.slack(&observed.subject);
    let place = Place { began: observed.began, ended: observed.ended };
    let mut nearest: Vec<(i64, Held)> = Vec::new();
    for held in memory.held(observed)? {
        let Some(distance) = place.distance(held.report, slack) else {
            continue;
        };
        if linked.contains(&held.source) {
            continue;
        }
        match nearest.iter_mut().find(|(_, other)| other.source == held.source) {
            Some(other) if other.0 <= distance => {}
            Some(other) => *other = (distance, held),
            None => nearest.push((distance, held)),
        }
    }
    if nearest.is_empty() && linked.is_empty() {
        let (from, to) =
            (observed.began.saturating_sub(slack), observed.ended.saturating_add(slack));
        let hearsay = memory.hearsay(observed, from, to)?;
        let fitting = hearsay.iter().filter_map(|h| Some((place.distance(h.report, slack)?, h)));
        if let Some((_, same)) = fitting.min_by_key(|(distance, h)| (*distance, h.event)) {
            return Ok(Met::Same(same.event));
        }
    }
    Ok(Met::Event(nearest.into_iter().map(|(_, held)| held).collect()))
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            skew: Duration::from_secs(30),
            hold: Duration::from_secs(10),
            memory: Duration::from_secs(24 * 60 * 60),
            working: Duration::from_secs(120),
            mode: Mode::Events,
        }
    }
}

impl Rules {
    /// How far a stamp may be from its exchange. Who does not tell the digest mostly does not know the time
    /// either, and more may fit what it tells (M8).
    fn slack(&self, subject: &Subject) -> i64 {
        millis(if subject.content.is_some() { self.skew } else { self.hold })
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
