//! The exchange as a machine: told what happened, it says what is to be done next. It is all of
//! delivery-guarantees 3.2, 3.3 and 3.6 that is a decision, and does nothing itself, so that the exchange
//! and the simulation of a hundred thousand crashes run the same rules.

use http::StatusCode;

use crate::outbox::Durability;
use crate::outbox::Reason;

/// What to do with a push whose event cannot be kept (delivery-guarantees 3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Let it pass, and say so.
    Pass,
    /// Refuse it with 503 before the registry has it.
    Reject,
}

/// What the operator chose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How an intent is written before the last frame goes; not at all, if nothing is said.
    pub(super) intent: Option<Durability>,
    /// What happens where it cannot be.
    pub(super) on_failure: OnFailure,
}

/// What the registry's answer means (delivery-guarantees 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It happened.
    Applied,
    /// It did not.
    NotApplied(Reason),
    /// It may have: Distribution stores a manifest before it links the tag.
    Unknown,
}

/// How much of a request the registry may have that gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Had {
    /// Not a byte.
    Nothing,
    /// Perhaps all of it.
    Perhaps,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// The request is here to its last frame, which is held.
    Held,
    /// The registry answered, or broke off, or the client did, while the last frame was held.
    Early,
    /// The intent is written, if there is to be one.
    Intended,
    /// It is not, as far as anybody knows.
    NotIntended,
    /// The head of the answer is here.
    Answered(Answer),
    /// There will be none.
    Unanswered(Had),
    /// The events are durable.
    Recorded,
    /// They are not, as far as anybody knows.
    NotRecorded,
    /// The outbox takes nothing any more: we end.
    Sealed,
    /// What was to be done besides is done, or was tried.
    Done,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// P2: write the intent, if there is to be one.
    Intend(Option<Durability>),
    /// P3 and P4: let the last frame go, and wait for the answer.
    LetGo,
    /// P5: make the events durable, and take the intent away.
    Append,
    /// Take the intent away: there is no event.
    Close(Reason),
    /// Keep the events in memory until the outbox takes them.
    Keep(Promise),
    /// Write down that the events are lost.
    Lose,
    /// Find out later what became of it.
    Settle(Promise),
    /// P6, and nothing after it.
    End(End),
}

/// What is on disk of an exchange that has no event yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Nothing.
    Nothing,
    /// Perhaps an intent.
    Perhaps,
    /// An intent.
    Intent,
}

/// What the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The registry's answer.
    Relay,
    /// What came while the last frame was held.
    Early,
    /// That there was no answer.
    NoAnswer,
    /// 503: the intent cannot be kept, and the registry gets nothing.
    Refuse,
    /// 503: we end, and nobody may be told of a success whose event is nowhere (rule D1).
    Stopping,
}

/// One exchange.
#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    promise: Promise,
    /// What follows when what is being done is done.
    end: End,
}

impl Answer {
    pub(super) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Applied,
            300..=399 => Self::NotApplied(Reason::Redirected),
            500..=599 => Self::Unknown,
            _ => Self::NotApplied(Reason::Refused),
        }
    }
}

impl Machine {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, promise: Promise::Nothing, end: End::NoAnswer }
    }

    pub(super) fn on(&mut self, input: Input) -> Step {
        match input {
            Input::Held => {
                if self.rules.intent.is_some() {
                    self.promise = Promise::Perhaps;
                }
                Step::Intend(self.rules.intent)
            }
            Input::Early => self.close(Reason::NotSent, End::Early),
            Input::Intended => {
                if self.rules.intent.is_some() {
                    self.promise = Promise::Intent;
                }
                Step::LetGo
            }
            Input::NotIntended => match self.rules.on_failure {
                OnFailure::Pass => Step::LetGo,
                // A commit that was reported as failed may be on the disk all the same.
                OnFailure::Reject => self.close(Reason::NotSent, End::Refuse),
            },
            Input::Answered(answer) => match answer {
                Answer::Applied => {
                    self.end = End::Relay;
                    Step::Append
                }
                Answer::NotApplied(reason) => self.close(reason, End::Relay),
                Answer::Unknown => self.settle(End::Relay),
            },
            Input::Unanswered(Had::Nothing) => self.close(Reason::NotSent, End::NoAnswer),
            Input::Unanswered(Had::Perhaps) => self.settle(End::NoAnswer),
            Input::NotRecorded => Step::Keep(self.promise),
            // With an intent on disk the success is true, and its event follows at the next start.
            Input::Sealed if self.promise == Promise::Intent => Step::End(self.end),
            Input::Sealed => {
                self.end = End::Stopping;
                Step::Lose
            }
            Input::Recorded | Input::Done => Step::End(self.end),
        }
    }

    fn close(&mut self, reason: Reason, end: End) -> Step {
        self.end = end;
        match self.promise {
            Promise::Nothing => Step::End(end),
            Promise::Perhaps | Promise::Intent => Step::Close(reason),
        }
    }

    fn settle(&mut self, end: End) -> Step {
        self.end = end;
        Step::Settle(self.promise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Rules = Rules { intent: Some(Durability::Synced), on_failure: OnFailure::Pass };

    /// Everything the machine asks for, told these things one after the other.
    fn steps(rules: Rules, inputs: &[Input]) -> Vec<Step> {
        let mut machine = Machine::new(rules);
        inputs.iter().map(|input| machine.on(*input)).collect()
    }

    #[test]
    fn every_answer_means_what_the_table_says() {
        for (status, meaning) in [
            (200, Answer::Applied),
            (201, Answer::Applied),
            (202, Answer::Applied),
            (301, Answer::NotApplied(Reason::Redirected)),
            (307, Answer::NotApplied(Reason::Redirected)),
            (401, Answer::NotApplied(Reason::Refused)),
            (413, Answer::NotApplied(Reason::Refused)),
            (500, Answer::Unknown),
            (503, Answer::Unknown),
        ] {
            assert_eq!(Answer::of(StatusCode::from_u16(status).unwrap()), meaning, "{status}");
        }
        use Input::*;
        let intend = Step::Intend(Some(Durability::Synced));
        let refused = Answer::NotApplied(Reason::Refused);
        let (relay, none) = (Step::End(End::Relay), Step::End(End::NoAnswer));
        let settle = Step::Settle(Promise::Intent);
        for (answer, then) in [
            (vec![Answered(Answer::Applied), Recorded], vec![Step::Append, relay]),
            (vec![Answered(refused), Done], vec![Step::Close(Reason::Refused), relay]),
            (vec![Answered(Answer::Unknown), Done], vec![settle, relay]),
            (vec![Unanswered(Had::Nothing), Done], vec![Step::Close(Reason::NotSent), none]),
            (vec![Unanswered(Had::Perhaps), Done], vec![settle, none]),
        ] {
            let inputs = [vec![Held, Intended], answer].concat();
            assert_eq!(steps(SYNC, &inputs), [vec![intend, Step::LetGo], then].concat());
        }
    }

    #[test]
    fn what_the_registry_never_had_makes_no_event() {
        use Input::*;
        let early = Step::End(End::Early);
        assert_eq!(steps(SYNC, &[Early]), [early]);
        let intend = Step::Intend(Some(Durability::Synced));
        let closed = [intend, Step::Close(Reason::NotSent), early];
        assert_eq!(steps(SYNC, &[Held, Early, Done]), closed);
    }

    #[test]
    fn an_outbox_that_fails_lets_pass_or_refuses() {
        use Input::*;
        let reject = Rules { on_failure: OnFailure::Reject, ..SYNC };
        let intend = Step::Intend(Some(Durability::Synced));
        let refused = [intend, Step::Close(Reason::NotSent), Step::End(End::Refuse)];
        assert_eq!(steps(reject, &[Held, NotIntended, Done]), refused);
        let applied = Answered(Answer::Applied);
        let relay = Step::End(End::Relay);
        for (inputs, kept) in
            [(vec![Held, NotIntended], Promise::Perhaps), (vec![Held, Intended], Promise::Intent)]
        {
            let all = [inputs, vec![applied, NotRecorded, Done]].concat();
            let expected = [intend, Step::LetGo, Step::Append, Step::Keep(kept), relay];
            assert_eq!(steps(SYNC, &all), expected);
        }
        let off = Rules { intent: None, ..SYNC };
        let lost = [Step::Append, Step::Lose, Step::End(End::Stopping)];
        let stopping = steps(off, &[Held, Intended, applied, Sealed, Done]);
        assert_eq!(stopping, [vec![Step::Intend(None), Step::LetGo], lost.to_vec()].concat());
        let kept = steps(SYNC, &[Held, Intended, applied, Sealed]);
        assert_eq!(kept.last(), Some(&relay), "its event follows at the next start");
    }
}
