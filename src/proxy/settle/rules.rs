//! What looks say about an intent, and when to look: the tables and rules S1, S3 and S4 of
//! delivery-guarantees 3.5. Nothing here looks; it says what to look at and what that means.

use std::time::Duration;

use crate::event::Action;
use crate::event::Event;
use crate::event::Evidence;
use crate::event::Integrity;
use crate::event::Outcome;
use crate::outbox::Intent;
use crate::registry::Digest;
use crate::registry::Reference;
use crate::registry::Tag;

/// What a look at a tag or a digest found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) enum Found {
    /// A manifest of this digest.
    Digest(Digest),
    /// A manifest; the registry does not say which.
    Something,
    /// Nothing.
    Nothing,
    /// We may not look.
    Denied,
    /// The registry did not say.
    Unclear,
}

/// When to look, and when to stop.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct Schedule {
    /// From the end of the exchange to the first look.
    pub(in crate::proxy) first: Duration,
    /// How long the registry may still be at work.
    pub(in crate::proxy) working: Duration,
    /// When nobody will ever know.
    pub(in crate::proxy) give_up: Duration,
    /// Whether we look with an account of our own.
    pub(in crate::proxy) account: bool,
}

/// What is to be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) enum Question {
    /// What the registry has there.
    Look(Reference),
    /// Whether somebody did the opposite since the exchange began, or may have: then that there is no
    /// trace of it proves nothing.
    Undone,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) enum Learned {
    /// By a look.
    Found(Found),
    /// From our own record.
    Undone(bool),
}

/// What becomes of the intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) enum Conclusion {
    /// These events are appended, and the intent is closed with them.
    Append(Vec<Event>),
    /// Nothing was applied.
    Close,
    /// Nobody can say yet.
    Again,
}

/// One round of looks at everything an intent is about.
#[derive(Debug)]
pub(in crate::proxy) struct Round<'a> {
    intent: &'a Intent,
    /// Each tag, or none, and what was found out about it.
    about: Vec<(Option<Tag>, Option<Found>)>,
    /// What is at the digest, where that was asked.
    digest: Option<Found>,
    /// Whether it was undone, where that was asked.
    undone: Option<bool>,
}

/// What is known about one tag, or about the digest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Confirmed,
    /// There is no trace of it.
    NotApplied,
    /// There is a trace of it, and nobody can say what that means.
    Unconfirmed,
    Unknown,
}

/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_secs(60);

impl Schedule {
    /// How long to wait before the next look after so many, `jitter` between 0 and 1.
    pub(in crate::proxy) fn pause(&self, looks: u32, jitter: f64) -> Duration {
        let longer = 2_u32.saturating_pow(looks.saturating_sub(1));
        let pause = self.first.saturating_mul(longer).min(LONGEST);
        // The first look is what somebody waits for; the others must not all come at once.
        if looks == 0 { self.first } else { pause.mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0)) }
    }

    /// The same where so many wait that their looks would keep each other waiting: after the first, none before
    /// "not applied" may be concluded (rule S3). `age` is how long this one waits already.
    pub(in crate::proxy) fn pause_in_a_crowd(
        &self,
        looks: u32,
        jitter: f64,
        age: Duration,
    ) -> Duration {
        let pause = self.pause(looks, jitter);
        if looks == 0 { pause } else { pause.max(self.working.saturating_sub(age)) }
    }
}

impl<'a> Round<'a> {
    pub(in crate::proxy) fn new(intent: &'a Intent) -> Self {
        let tags = match &intent.event.tag {
            Some(tag) => vec![Some(tag.clone())],
            None if intent.tags.is_empty() => vec![None],
            None => intent.tags.iter().cloned().map(Some).collect(),
        };
        let about = tags.into_iter().map(|tag| (tag, None)).collect();
        Self { intent, about, digest: None, undone: None }
    }

    /// What has to be found out next, if anything.
    pub(in crate::proxy) fn question(&self) -> Option<Question> {
        let unseen = self.about.iter().find(|(tag, found)| tag.is_some() && found.is_none());
        if let Some((Some(tag), _)) = unseen {
            return Some(Question::Look(Reference::Tag(tag.clone())));
        }
        if let Some(digest) = self.intent.event.digest.as_ref().filter(|_| self.digest.is_none()) {
            let asks = |(tag, found): &(Option<Tag>, Option<Found>)| match found {
                None => tag.is_none(),
                Some(Found::Digest(there)) => there != digest,
                Some(Found::Something | Found::Nothing) => true,
                Some(Found::Denied | Found::Unclear) => false,
            };
            if self.about.iter().any(asks) {
                return Some(Question::Look(Reference::Digest(digest.clone())));
            }
        }
        let gone =
            |about: &(Option<Tag>, Option<Found>)| self.verdict(about) == Verdict::NotApplied;
        let asked = self.undone.is_none() && self.about.iter().any(gone);
        asked.then_some(Question::Undone)
    }

    /// Takes the answer to the last question.
    pub(in crate::proxy) fn learn(&mut self, learned: Learned) {
        let question = self.question();
        match (question, learned) {
            (Some(Question::Look(Reference::Digest(_))), Learned::Found(found)) => {
                self.digest = Some(found);
            }
            (Some(Question::Look(Reference::Tag(tag))), Learned::Found(found)) => {
                for about in self.about.iter_mut().filter(|about| about.0.as_ref() == Some(&tag)) {
                    about.1 = Some(found.clone());
                }
            }
            (Some(Question::Undone), Learned::Undone(undone)) => self.undone = Some(undone),
            _ => {}
        }
    }

    /// What the round means. `began` is how long after the registry had all of the request, or after our
    /// own start, the round began; `lasted` the same at its end.
    pub(in crate::proxy) fn conclusion(
        &self,
        schedule: &Schedule,
        began: Duration,
        lasted: Duration,
    ) -> Conclusion {
        let late = began >= schedule.working;
        let denied = |found: &Option<Found>| found == &Some(Found::Denied);
        let refused = denied(&self.digest) || self.about.iter().any(|about| denied(&about.1));
        let hopeless =
            lasted >= schedule.give_up.max(schedule.working) || (refused && !schedule.account);
        let mut events = Vec::new();
        for about in &self.about {
            let (tag, found) = about;
            let current = match found {
                Some(Found::Digest(there)) => Some(there.clone()),
                _ => None,
            };
            let verdict = match self.verdict(about) {
                Verdict::NotApplied | Verdict::Unconfirmed if !late => Verdict::Unknown,
                Verdict::NotApplied if self.undone == Some(true) => Verdict::Unconfirmed,
                verdict => verdict,
            };
            match verdict {
                Verdict::Confirmed => events.push(self.confirmed(tag.as_ref())),
                Verdict::NotApplied => {}
                Verdict::Unconfirmed => events.push(self.unconfirmed(tag.as_ref(), current)),
                Verdict::Unknown if hopeless => {
                    events.push(self.unconfirmed(tag.as_ref(), current));
                }
                // All of them in one transaction, or the intent would be closed too early.
                Verdict::Unknown => return Conclusion::Again,
            }
        }
        if events.is_empty() { Conclusion::Close } else { Conclusion::Append(events) }
    }

    fn verdict(&self, (tag, found): &(Option<Tag>, Option<Found>)) -> Verdict {
        let event = &self.intent.event;
        let there = |found: Option<&Found>| match found {
            Some(Found::Digest(_) | Found::Something) => Some(true),
            Some(Found::Nothing) => Some(false),
            Some(Found::Denied | Found::Unclear) | None => None,
        };
        let stored = there(self.digest.as_ref());
        if event.action == Action::Delete {
            let present = if tag.is_some() { there(found.as_ref()) } else { stored };
            return match present {
                Some(false) => Verdict::Confirmed,
                Some(true) => Verdict::NotApplied,
                None => Verdict::Unknown,
            };
        }
        let Some(found) = found.as_ref().filter(|_| tag.is_some()) else {
            return match stored {
                Some(true) => Verdict::Confirmed,
                Some(false) => Verdict::NotApplied,
                None => Verdict::Unknown,
            };
        };
        match (found, stored) {
            (Found::Digest(now), _) if Some(now) == event.digest.as_ref() => Verdict::Confirmed,
            (Found::Denied | Found::Unclear, _) => Verdict::Unknown,
            (_, Some(false)) => Verdict::NotApplied,
            (Found::Digest(_) | Found::Nothing, Some(true)) => Verdict::Unconfirmed,
            // A coded body keeps its digest to itself: whatever the tag names may be it.
            (_, None) if event.digest.is_none() => Verdict::Unconfirmed,
            // Whatever a registry keeps to itself may be ours.
            (Found::Digest(_) | Found::Something | Found::Nothing, _) => Verdict::Unknown,
        }
    }

    fn confirmed(&self, tag: Option<&Tag>) -> Event {
        let event = self.intent.event_for(tag);
        let integrity = event.integrity.as_ref().map(|_| Integrity::Ok);
        Event { outcome: Outcome::Confirmed, evidence: Evidence::Look, integrity, ..event }
    }

    fn unconfirmed(&self, tag: Option<&Tag>, current_digest: Option<Digest>) -> Event {
        let event = self.intent.event_for(tag);
        let (outcome, evidence) = (Outcome::Unconfirmed, Evidence::None);
        Event { outcome, evidence, current_digest, ..event }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use crate::event::EventId;
    use crate::event::IntentId;
    use crate::event::schema::tests::sample;

    use super::*;

    const SCHEDULE: Schedule = Schedule {
        first: Duration::from_secs(2),
        working: Duration::from_secs(120),
        give_up: Duration::from_secs(900),
        account: true,
    };
    const EARLY: Duration = Duration::from_secs(2);
    const LATE: Duration = Duration::from_secs(122);
    const LAST: Duration = Duration::from_secs(900);

    fn ours() -> Digest {
        Digest::sha256(b"ours")
    }

    fn other() -> Found {
        Found::Digest(Digest::sha256(b"other"))
    }

    fn intent(action: Action, tag: Option<&str>, digest: Option<Digest>, tags: &[&str]) -> Intent {
        let id = IntentId::now();
        let tag: Option<Tag> = tag.map(|tag| tag.parse().unwrap());
        let event = Event { id: EventId::of(id, tag.as_ref()), action, tag, digest, ..sample() };
        Intent { id, event, tags: tags.iter().map(|tag| tag.parse().unwrap()).collect() }
    }

    /// What becomes of an intent, if looks find this.
    fn settled(
        intent: &Intent,
        schedule: &Schedule,
        at: Duration,
        tag: &Found,
        digest: &Found,
        undone: bool,
    ) -> Conclusion {
        let mut round = Round::new(intent);
        while let Some(question) = round.question() {
            round.learn(match question {
                Question::Look(Reference::Tag(_)) => Learned::Found(tag.clone()),
                Question::Look(Reference::Digest(_)) => Learned::Found(digest.clone()),
                Question::Undone => Learned::Undone(undone),
            });
        }
        round.conclusion(schedule, at, at)
    }

    /// The same in a word: `confirmed`, `unconfirmed`, `closed` or `again`.
    fn word(conclusion: &Conclusion) -> &'static str {
        match conclusion {
            Conclusion::Close => "closed",
            Conclusion::Again => "again",
            Conclusion::Append(events) => {
                assert_eq!(events.len(), 1);
                events[0].outcome.as_str()
            }
        }
    }

    #[test]
    fn in_a_crowd_nobody_is_looked_at_in_between() {
        let schedule = Schedule {
            first: Duration::from_secs(2),
            working: Duration::from_secs(120),
            give_up: Duration::from_secs(900),
            account: true,
        };
        let pause =
            |looks, age| schedule.pause_in_a_crowd(looks, 0.5, Duration::from_secs(age)).as_secs();
        assert_eq!([pause(0, 0), pause(1, 3), pause(2, 121), pause(9, 200)], [2, 117, 4, 60]);
    }

    #[test]
    fn a_push_by_tag_is_what_the_table_says() {
        let there = Found::Digest(ours());
        let (nothing, denied, unclear) = (Found::Nothing, Found::Denied, Found::Unclear);
        let push = intent(Action::Push, Some("1.0"), Some(ours()), &[]);
        for (tag, digest, early, late, last) in [
            (&there, &unclear, "confirmed", "confirmed", "confirmed"),
            (&other(), &there, "again", "unconfirmed", "unconfirmed"),
            (&other(), &nothing, "again", "closed", "closed"),
            (&nothing, &nothing, "again", "closed", "closed"),
            (&nothing, &there, "again", "unconfirmed", "unconfirmed"),
            (&denied, &there, "again", "again", "unconfirmed"),
            (&unclear, &there, "again", "again", "unconfirmed"),
            (&other(), &unclear, "again", "again", "unconfirmed"),
            (&Found::Something, &there, "again", "again", "unconfirmed"),
            (&Found::Something, &nothing, "again", "closed", "closed"),
        ] {
            for (at, expected) in [(EARLY, early), (LATE, late), (LAST, last)] {
                let found = settled(&push, &SCHEDULE, at, tag, digest, false);
                assert_eq!(word(&found), expected, "{tag:?} {digest:?} after {at:?}");
            }
        }
        let Conclusion::Append(events) = settled(&push, &SCHEDULE, LATE, &other(), &there, false)
        else {
            panic!()
        };
        let (now, evidence) = (events[0].current_digest.clone(), events[0].evidence);
        assert_eq!((now.map(Found::Digest), evidence), (Some(other()), Evidence::None));
        assert_eq!(events[0].id, push.event.id);
    }

    #[test]
    fn a_push_by_digest_asks_for_nothing_else() {
        let push = intent(Action::Push, None, Some(ours()), &[]);
        assert_eq!(Round::new(&push).question(), Some(Question::Look(Reference::Digest(ours()))));
        let there = Found::Digest(ours());
        for (digest, early, late) in [
            (&there, "confirmed", "confirmed"),
            (&Found::Something, "confirmed", "confirmed"),
            (&Found::Nothing, "again", "closed"),
            (&Found::Unclear, "again", "again"),
        ] {
            for (at, expected) in [(EARLY, early), (LATE, late)] {
                let found = settled(&push, &SCHEDULE, at, &Found::Unclear, digest, false);
                assert_eq!(word(&found), expected, "{digest:?} after {at:?}");
            }
        }
    }

    #[test]
    fn each_of_several_tags_has_its_own_verdict_and_all_have_one_transaction() {
        let push = intent(Action::Push, None, Some(ours()), &["a", "b", "c"]);
        let mut round = Round::new(&push);
        let found = HashMap::from([
            (Reference::Tag("a".parse().unwrap()), Found::Digest(ours())),
            (Reference::Tag("b".parse().unwrap()), other()),
            (Reference::Tag("c".parse().unwrap()), Found::Nothing),
            (Reference::Digest(ours()), Found::Digest(ours())),
        ]);
        while let Some(Question::Look(reference)) = round.question() {
            round.learn(Learned::Found(found[&reference].clone()));
        }
        assert_eq!(round.conclusion(&SCHEDULE, EARLY, EARLY), Conclusion::Again);
        let Conclusion::Append(events) = round.conclusion(&SCHEDULE, LATE, LATE) else { panic!() };
        let said: Vec<_> = events
            .iter()
            .map(|event| (event.tag.as_ref().unwrap().as_str(), event.outcome.as_str()))
            .collect();
        assert_eq!(said, [("a", "confirmed"), ("b", "unconfirmed"), ("c", "unconfirmed")]);
    }

    #[test]
    fn a_delete_is_the_other_way_round() {
        let (there, nothing) = (Found::Digest(ours()), Found::Nothing);
        let by_digest = intent(Action::Delete, None, Some(ours()), &[]);
        let by_tag = intent(Action::Delete, Some("1.0"), None, &[]);
        for (found, undone, early, late) in [
            (&nothing, false, "confirmed", "confirmed"),
            (&there, false, "again", "closed"),
            (&there, true, "again", "unconfirmed"),
            (&Found::Unclear, false, "again", "again"),
        ] {
            for (at, expected) in [(EARLY, early), (LATE, late)] {
                let of_digest = settled(&by_digest, &SCHEDULE, at, &Found::Unclear, found, undone);
                assert_eq!(word(&of_digest), expected, "{found:?} after {at:?}");
                let of_tag = settled(&by_tag, &SCHEDULE, at, found, &Found::Unclear, undone);
                assert_eq!(word(&of_tag), expected, "{found:?} after {at:?}");
            }
        }
    }

    #[test]
    fn what_somebody_undid_since_left_no_trace_and_is_told_as_unsure() {
        let push = intent(Action::Push, Some("1.0"), Some(ours()), &[]);
        for at in [EARLY, LATE] {
            let found = settled(&push, &SCHEDULE, at, &Found::Nothing, &Found::Nothing, true);
            assert_eq!(word(&found), if at == LATE { "unconfirmed" } else { "again" });
        }
    }

    #[test]
    fn whoever_may_not_look_and_has_no_account_gives_up_at_once() {
        let push = intent(Action::Push, Some("1.0"), Some(ours()), &[]);
        let stranger = Schedule { account: false, ..SCHEDULE };
        let denied = |schedule| settled(&push, schedule, EARLY, &Found::Denied, &other(), false);
        assert_eq!(word(&denied(&stranger)), "unconfirmed");
        assert_eq!(word(&denied(&SCHEDULE)), "again");
    }

    #[test]
    fn nobody_gives_up_while_the_registry_may_be_at_work() {
        let push = intent(Action::Push, Some("1.0"), Some(ours()), &[]);
        let hasty = Schedule { give_up: Duration::from_secs(1), ..SCHEDULE };
        let found = settled(&push, &hasty, EARLY, &Found::Nothing, &Found::Nothing, false);
        assert_eq!(found, Conclusion::Again);
        let found = settled(&push, &hasty, LATE, &Found::Nothing, &Found::Nothing, false);
        assert_eq!(found, Conclusion::Close);
    }

    #[test]
    fn a_coded_body_keeps_its_digest_to_itself() {
        let push = intent(Action::Push, Some("1.0"), None, &[]);
        let found = settled(&push, &SCHEDULE, LATE, &other(), &Found::Unclear, false);
        assert_eq!(word(&found), "unconfirmed");
    }

    #[test]
    fn looks_come_ever_later_up_to_a_minute() {
        let pauses: Vec<u64> = (0..9).map(|n| SCHEDULE.pause(n, 0.5).as_secs()).collect();
        assert_eq!(pauses, [2, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(SCHEDULE.pause(6, 0.0) < SCHEDULE.pause(6, 1.0));
        assert!(SCHEDULE.pause(u32::MAX, 1.0) <= Duration::from_secs(66));
    }
}
