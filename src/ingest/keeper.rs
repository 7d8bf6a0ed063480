//! What waits: notifications that fit nothing we saw are looked at in the registry, and become events when the look
//! says what they say, or when `match.hold` is over (rule M4). What an earlier run left waiting is among them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

use crate::event::Action;
use crate::event::Change;
use crate::event::Event;
use crate::event::EventId;
use crate::outbox::Appended;
use crate::outbox::Error;
use crate::outbox::Looked;
use crate::outbox::Noted;
use crate::outbox::Outbox;
use crate::outbox::Waiting;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::telemetry::chain;

use super::Metrics;
use super::hooks::became;

/// Looks at a registry: what is there under a reference.
pub type Look = Arc<
    dyn Fn(RepositoryName, Reference) -> Pin<Box<dyn Future<Output = Looked> + Send>> + Send + Sync,
>;

/// Who lets notifications go that waited.
pub struct Keeper {
    /// The registry that can be looked at, as events name it.
    pub registry: String,
    /// How it is looked at.
    pub look: Look,
    /// Where they wait.
    pub outbox: Outbox,
    /// What is counted.
    pub metrics: Metrics,
}

/// One that waits.
struct One {
    source: String,
    id: EventId,
    due: Instant,
    question: Option<Question>,
    looks: u32,
    /// What the last look found.
    found: Looked,
}

/// What a look has to find.
#[derive(Clone)]
struct Question {
    repository: RepositoryName,
    reference: Reference,
    answer: Answer,
}

#[derive(Clone, PartialEq, Eq)]
enum Answer {
    /// This.
    Digest(Digest),
    /// Anything: the notification does not tell the digest.
    Any,
    /// Nothing.
    Absent,
}

/// What has happened to one.
enum Turn {
    Looked(Box<One>, Looked),
    /// Let go, or to be let go again.
    Released(Option<Box<One>>),
}

/// How many are read at once, and how many are worked on at once.
const READ: usize = 512;
const AT_ONCE: usize = 256;
/// How many of these may be looks.
const LOOKS: usize = 4;
/// From the arrival to the first look: Distribution tells before the tag is there. The next ones come ever later.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(2);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);
/// How soon what the outbox did not take is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Keeper {
    /// Lets notifications go, for as long as we run.
    pub async fn run(self, stop: CancellationToken) {
        let mut holds = self.outbox.holds();
        let mut last = 0;
        let mut all: BTreeMap<(Instant, u64), Box<One>> = BTreeMap::new();
        let mut number = 0;
        let mut turns = FuturesUnordered::new();
        let mut looking = 0;
        loop {
            last = self.read(last, &mut all, &mut number).await;
            let now = Instant::now();
            while turns.len() < AT_ONCE
                && let Some(first) = all.first_entry()
                && first.key().0 <= now
            {
                let one = first.remove();
                if one.due > now && looking >= LOOKS {
                    number += 1;
                    all.insert((now + FIRST_LOOK, number), one);
                    continue;
                }
                looking += usize::from(one.due > now);
                turns.push(self.turn(one, now));
            }
            let waiting = all.len() + turns.len();
            self.metrics.held.set(i64::try_from(waiting).unwrap_or(i64::MAX));
            let next = all.first_key_value().map(|((at, _), _)| *at);
            let full = turns.len() >= AT_ONCE;
            tokio::select! {
                () = stop.cancelled() => return,
                Some(turn) = turns.next() => {
                    looking -= usize::from(matches!(turn, Turn::Looked(..)));
                    if let Some((at, one)) = after(turn) {
                        number += 1;
                        all.insert((at, number), one);
                    }
                }
                Ok(()) = holds.changed() => {}
                () = sleep_until(next.unwrap_or(now)), if next.is_some() && !full => {}
            }
        }
    }

    /// Takes up what has come to wait.
    async fn read(
        &self,
        mut last: i64,
        all: &mut BTreeMap<(Instant, u64), Box<One>>,
        number: &mut u64,
    ) -> i64 {
        loop {
            match self.outbox.held(last, READ).await {
                Ok(held) => {
                    let more = held.len() == READ;
                    for waiting in held {
                        last = last.max(waiting.number);
                        let one = self.one(waiting);
                        *number += 1;
                        all.insert((one.next(), *number), Box::new(one));
                    }
                    if !more {
                        return last;
                    }
                }
                Err(Error::Closed) => return last,
                Err(error) => {
                    warn!(error = chain(&error), "What waits to become an event cannot be read");
                    sleep(AGAIN).await;
                    return last;
                }
            }
        }
    }

    fn one(&self, waiting: Waiting) -> One {
        let left = waiting.due_at - OffsetDateTime::now_utc();
        let due = Instant::now() + Duration::try_from(left).unwrap_or_default();
        let question = waiting.event.and_then(|event| self.question(*event));
        let (source, id) = (waiting.source, waiting.id);
        One { source, id, due, question, looks: 0, found: Looked::Unknown }
    }

    /// What can be asked about an event.
    fn question(&self, event: Event) -> Option<Question> {
        if event.registry != self.registry {
            return None;
        }
        let answer = match (event.action, &event.digest) {
            (Action::Push, Some(digest)) => Answer::Digest(digest.clone()),
            (Action::Push, None) => Answer::Any,
            (Action::Delete, _) => Answer::Absent,
            (Action::Mount | Action::Pull, _) => return None,
        };
        let tag = event.tag.map(Reference::Tag);
        let reference = tag.or(event.digest.map(Reference::Digest))?;
        Some(Question { repository: event.repository, reference, answer })
    }

    async fn turn(&self, mut one: Box<One>, now: Instant) -> Turn {
        if one.due <= now {
            return Turn::Released(self.release(one).await);
        }
        let Some(question) = one.question.clone() else {
            return Turn::Looked(one, Looked::Unknown);
        };
        let look = (self.look)(question.repository, question.reference);
        let found = tokio::time::timeout(LOOK, look).await.unwrap_or(Looked::Unknown);
        one.looks += 1;
        Turn::Looked(one, found)
    }

    /// Lets it go; yields it where the outbox did not take that.
    async fn release(&self, mut one: Box<One>) -> Option<Box<One>> {
        match self.outbox.release(one.source.clone(), one.id, one.found.clone()).await {
            Ok(noted) => {
                if noted != Noted::Repeated {
                    self.metrics.reported(&one.source, became(&noted));
                }
                if let Noted::Appended(appended) = noted {
                    tell(&one.source, &appended);
                }
                None
            }
            Err(Error::Closed) => None,
            Err(error) => {
                warn!(error = chain(&error), event.id = %one.id, "A notification could not be made an event, it waits");
                one.due = Instant::now() + AGAIN;
                one.question = None;
                Some(one)
            }
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl One {
    /// When something is to be done with it next.
    fn next(&self) -> Instant {
        let pause = FIRST_LOOK.saturating_mul(4_u32.saturating_pow(self.looks)).min(LONGEST);
        match self.question {
            Some(_) => self.due.min(Instant::now() + pause),
            None => self.due,
        }
    }
}

/// When something is to be done again with one, and with which.
fn after(turn: Turn) -> Option<(Instant, Box<One>)> {
    match turn {
        Turn::Released(again) => again.map(|one| (one.due, one)),
        Turn::Looked(mut one, found) => {
            let right =
                one.question.as_ref().is_some_and(|question| match (&question.answer, &found) {
                    (Answer::Digest(told), Looked::Digest(there)) => told == there,
                    (Answer::Any, Looked::Digest(_)) | (Answer::Absent, Looked::Absent) => true,
                    _ => false,
                });
            if found != Looked::Unknown {
                one.found = found;
            }
            if right {
                one.due = Instant::now();
            }
            Some((one.next(), one))
        }
    }
}

/// One line per event that somebody told of.
pub(super) fn tell(source: &str, appended: &Appended) {
    let event = &appended.event;
    info!(
        event.id = %event.id,
        source,
        action = event.action.as_str(),
        repository = %event.repository,
        tag = event.tag.as_ref().map(tracing::field::display),
        digest = event.digest.as_ref().map(tracing::field::display),
        change = event.change.map(Change::as_str),
        kind = event.kind.map(Kind::as_str),
        late = event.late,
        sequence = event.sequence,
        owed_to = appended.owed_to.join(","),
        "Event recorded from a notification"
    );
}
