mod check;
mod looks;
mod story;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Event;
use crate::outbox::Durability;
use crate::outbox::Intent;
use crate::outbox::Reason;
use crate::registry::Digest;

use super::super::classify::Exchange;
use super::super::protocol::Answer;
use super::super::protocol::End;
use super::super::protocol::Had;
use super::super::protocol::Input;
use super::super::protocol::Machine;
use super::super::protocol::OnFailure;
use super::super::protocol::Promise;
use super::super::protocol::Rules;
use super::super::protocol::Step;
use super::super::settle::rules::Learned;
use super::super::settle::rules::Schedule;
use super::Bend;
use super::disk::Disk;
use super::disk::Write;
use super::registry::Plan;
use super::registry::Registry;
use super::registry::status;

/// How long the registry may be at work, in milliseconds.
const WORKING: u64 = 120_000;

/// One run of the world from the first push to the last look.
pub(super) struct Life {
    bend: Bend,
    random: Rng,
    telling: bool,
    rules: Rules,
    schedule: Schedule,
    /// How often a look gets no answer, of sixteen.
    unclear: u8,
    denied: bool,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    number: u64,
    /// How often we have died. What an earlier life of ours began does not reach this one.
    epoch: u32,
    alive: bool,
    disk: Disk,
    failing: bool,
    written_until: u64,
    registry: Registry,
    exchanges: Vec<Course>,
    settling: BTreeMap<usize, Settling>,
    /// Events that wait in memory, with their exchange.
    memory: Vec<(usize, Vec<Event>)>,
    /// Whether the first of them is on its way to the disk.
    remembering: bool,
    powerless: bool,
    seen: BTreeSet<&'static str>,
    broken: Option<String>,
}

/// One exchange, as the world sees it.
struct Course {
    exchange: Exchange,
    intent: Intent,
    digest: Digest,
    plan: Plan,
    machine: Machine,
    epoch: u32,
    /// Goes up with each input: what was scheduled for an earlier state is of no use.
    turn: u32,
    let_go: bool,
    /// The turn in which it waits for the answer.
    waits_at: u32,
    complete: bool,
    answered: Option<u16>,
    applied: bool,
    ended: bool,
    acknowledged: bool,
    /// Nothing was promised for it: its intent could not be kept, and that was said.
    weak: bool,
    kept: bool,
}

struct Settling {
    since: u64,
    looks: u32,
    kept: bool,
    began: u64,
    learned: Vec<Learned>,
}

#[derive(Debug)]
enum Happening {
    Start(usize),
    Input(usize, u32, Input),
    Early(usize, u32),
    Complete(usize, u32),
    Store(usize),
    Link(usize),
    Answer(usize),
    Commit(u32, Write, Then),
    Done(u32, Then, bool),
    Idle(u32),
    Fails(bool),
    Die { power: bool },
    Begin,
    Look(usize, u32),
    Learn(usize, u32),
    Remember(u32),
}

/// What follows on a write.
#[derive(Debug, Clone)]
enum Then {
    Nothing,
    Input(usize, u32, Input, Input),
    Settled(usize),
    Remembered,
}

impl Life {
    pub(super) fn new(seed: u64, bend: Bend) -> Self {
        let mut random = Rng::with_seed(seed);
        let on_failure = if random.bool() { OnFailure::Pass } else { OnFailure::Reject };
        let intent = match random.u8(..8) {
            0 => Some(Durability::Written),
            1 if on_failure == OnFailure::Pass => None,
            _ => Some(Durability::Synced),
        };
        let working = if bend == Bend::Hasty { 0 } else { WORKING };
        let schedule = Schedule {
            first: Duration::from_secs(2),
            working: Duration::from_millis(working),
            give_up: Duration::from_secs(900),
            account: random.bool(),
        };
        let unclear = if random.bool() { 0 } else { 5 };
        let denied = random.u8(..16) == 0;
        let mut registry = Registry::default();
        registry.makes_tags = random.bool();
        let mut life = Self {
            bend,
            telling: false,
            rules: Rules { intent, on_failure },
            schedule,
            unclear,
            denied,
            now: 0,
            queue: BTreeMap::new(),
            number: 0,
            epoch: 0,
            alive: true,
            disk: Disk::default(),
            failing: false,
            written_until: 0,
            registry,
            exchanges: Vec::new(),
            settling: BTreeMap::new(),
            memory: Vec::new(),
            remembering: false,
            powerless: false,
            seen: BTreeSet::new(),
            broken: None,
            random,
        };
        life.write_its_story();
        life
    }

    /// Prints what happens.
    pub(super) fn telling(mut self) -> Self {
        self.telling = true;
        self
    }

    /// Lives it, and says what there was to see, or which promise was broken.
    pub(super) fn live(mut self) -> Result<BTreeSet<&'static str>, String> {
        self.go_on()?;
        // What a failed disk left open is found at the next start, whenever that is.
        self.at(self.now, Happening::Die { power: false });
        self.at(self.now + 100, Happening::Begin);
        self.go_on()?;
        self.check()?;
        Ok(self.seen)
    }

    fn go_on(&mut self) -> Result<(), String> {
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            self.now = at;
            if self.telling {
                eprintln!("{at:>8} {happening:?}");
            }
            self.happen(happening);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        Ok(())
    }

    fn at(&mut self, at: u64, happening: Happening) {
        self.number += 1;
        self.queue.insert((at, self.number), happening);
    }

    fn within(&mut self, most: u64, happening: Happening) {
        let at = self.now + self.random.u64(..=most);
        self.at(at, happening);
    }

    fn time(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_millis(self.now)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(x) => self.start(x),
            Happening::Input(x, turn, input) => {
                let course = &self.exchanges[x];
                if course.turn == turn && course.epoch == self.epoch && !course.ended {
                    self.input(x, input);
                }
            }
            Happening::Early(x, epoch) => {
                let course = &mut self.exchanges[x];
                if epoch != self.epoch || course.ended {
                    return;
                }
                if course.let_go && course.turn != course.waits_at {
                    return;
                }
                course.answered = course.plan.status;
                if course.let_go {
                    self.input(x, Input::Answered(Answer::NotApplied(Reason::Refused)));
                } else {
                    self.seen.insert("an early answer");
                    self.input(x, Input::Early);
                }
            }
            Happening::Complete(x, epoch) => {
                // Who dies with a part of the request on the way takes all of it along.
                if epoch == self.epoch && !self.exchanges[x].plan.early {
                    self.complete(x);
                }
            }
            Happening::Store(x) => {
                let course = &mut self.exchanges[x];
                if self.registry.store(&course.intent, &course.digest) {
                    course.applied = true;
                    if course.ended {
                        self.seen.insert("a late application");
                    }
                }
            }
            Happening::Link(x) => {
                let course = &self.exchanges[x];
                self.registry.link(&course.intent, &course.digest);
            }
            Happening::Answer(x) => self.answer(x),
            Happening::Commit(epoch, write, then) => {
                if epoch == self.epoch && self.alive {
                    self.commit(write, then);
                }
            }
            Happening::Done(epoch, then, well) => {
                if epoch == self.epoch && self.alive {
                    self.then(then, well);
                }
            }
            Happening::Idle(epoch) => {
                if epoch == self.epoch && self.alive {
                    self.disk.sync();
                }
            }
            Happening::Fails(failing) => self.failing = failing,
            Happening::Die { power } => self.die(power),
            Happening::Begin => self.begin(),
            Happening::Look(x, epoch) => self.look(x, epoch),
            Happening::Learn(x, epoch) => self.learn(x, epoch),
            Happening::Remember(epoch) => {
                if epoch == self.epoch && self.alive {
                    self.remember();
                }
            }
        }
    }

    fn start(&mut self, x: usize) {
        if !self.alive {
            return;
        }
        let (time, epoch) = (self.time(), self.epoch);
        let course = &mut self.exchanges[x];
        (course.epoch, course.ended) = (epoch, false);
        course.intent.event.started_at = Some(time);
        if course.plan.early {
            self.within(40, Happening::Early(x, epoch));
        }
        // Some clients leave before the registry could have had all of it.
        if self.random.u8(..16) != 0 {
            self.within(20, Happening::Input(x, 0, Input::Held));
        }
    }

    fn complete(&mut self, x: usize) {
        let course = &mut self.exchanges[x];
        course.complete = true;
        if course.intent.event.action == Action::Delete
            && course.plan.stores
            && !self.registry.has(&course.intent, &course.digest)
        {
            let plan = course.plan.clone();
            course.plan = Plan { stores: false, links: false, status: Some(404), ..plan };
        }
        let plan = course.plan.clone();
        if plan.stores {
            self.at(self.now + plan.store_at, Happening::Store(x));
        }
        if plan.links {
            self.at(self.now + plan.link_at, Happening::Link(x));
        }
        self.at(self.now + plan.answer_at, Happening::Answer(x));
    }

    fn answer(&mut self, x: usize) {
        let course = &mut self.exchanges[x];
        let waits = course.epoch == self.epoch && !course.ended && course.turn == course.waits_at;
        if !waits {
            return;
        }
        course.answered = course.plan.status;
        let input = match course.plan.status {
            None => Input::Unanswered(Had::Perhaps),
            Some(code) => Input::Answered(match (Answer::of(status(code)), self.bend) {
                (Answer::Unknown, Bend::FailureIsRefusal) => Answer::NotApplied(Reason::Refused),
                (Answer::NotApplied(_), Bend::Inventing) => Answer::Applied,
                (answer, _) => answer,
            }),
        };
        self.input(x, input);
    }

    fn input(&mut self, x: usize, input: Input) {
        if input == Input::NotIntended {
            self.exchanges[x].weak = true;
        }
        let course = &mut self.exchanges[x];
        course.turn += 1;
        let step = course.machine.on(input);
        if self.telling {
            eprintln!("         exchange {x}: {input:?} so {step:?}");
        }
        self.step(x, step);
    }

    fn soon(&mut self, x: usize, most: u64, input: Input) {
        let turn = self.exchanges[x].turn;
        self.within(most, Happening::Input(x, turn, input));
    }

    fn step(&mut self, x: usize, step: Step) {
        let turn = self.exchanges[x].turn;
        match step {
            Step::Intend(None) => {
                self.exchanges[x].weak = true;
                self.soon(x, 5, Input::Intended);
            }
            Step::Intend(Some(durability)) => {
                let write = Write::Intend(Box::new(self.exchanges[x].intent.clone()), durability);
                if self.bend == Bend::LetGoFirst {
                    self.write(write, Then::Nothing);
                    self.soon(x, 0, Input::Intended);
                } else {
                    self.write(write, Then::Input(x, turn, Input::Intended, Input::NotIntended));
                }
            }
            Step::LetGo => {
                let course = &mut self.exchanges[x];
                (course.let_go, course.waits_at) = (true, turn);
                if self.random.u8(..24) == 0 {
                    self.soon(x, 5, Input::Unanswered(Had::Nothing));
                } else {
                    let epoch = self.epoch;
                    self.within(5, Happening::Complete(x, epoch));
                    let late = Happening::Input(x, turn, Input::Unanswered(Had::Perhaps));
                    self.at(self.now + WORKING, late);
                }
            }
            Step::Append => {
                let course = &self.exchanges[x];
                let headers = self.registry.headers(&course.intent, &course.digest);
                let events = course.exchange.events(&course.intent, &headers, self.time());
                let write = Write::Append(course.intent.id, events, self.now);
                let then = Then::Input(x, turn, Input::Recorded, Input::NotRecorded);
                if self.bend == Bend::RelayFirst {
                    self.write(write, Then::Nothing);
                    self.soon(x, 0, Input::Recorded);
                } else {
                    self.write(write, then);
                }
            }
            Step::Keep(promise) => {
                let course = &mut self.exchanges[x];
                course.kept = true;
                course.weak |= promise != Promise::Intent;
                let headers = self.registry.headers(&course.intent, &course.digest);
                let time = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(self.now);
                let events = course.exchange.events(&course.intent, &headers, time);
                self.memory.push((x, events));
                let epoch = self.epoch;
                self.at(self.now + 5_000, Happening::Remember(epoch));
                self.soon(x, 0, Input::Done);
            }
            Step::Lose => self.broken = Some("nobody sealed the outbox".to_owned()),
            Step::Close(_) => {
                let id = self.exchanges[x].intent.id;
                self.write(Write::Close(id), Then::Input(x, turn, Input::Done, Input::Done));
            }
            Step::Settle(promise) => {
                self.settle(x, promise != Promise::Intent);
                self.soon(x, 0, Input::Done);
            }
            Step::End(end) => self.end(x, end),
        }
    }

    fn end(&mut self, x: usize, end: End) {
        let course = &mut self.exchanges[x];
        course.ended = true;
        let success = matches!(course.answered, Some(200..=299));
        match end {
            End::Relay if success => {
                course.acknowledged = true;
                let id = course.intent.id;
                // Rule D1, before the first byte.
                let durable = self.disk.events.values().any(|(intent, ..)| *intent == id);
                if !durable && !course.kept {
                    self.broken =
                        Some(format!("D1: exchange {x} is told of before its event is durable"));
                }
            }
            End::Early | End::Refuse if course.complete => {
                self.broken =
                    Some(format!("the registry has all of exchange {x}, which we gave up"));
            }
            End::Refuse => {
                self.seen.insert("a refusal by us");
            }
            End::Relay | End::Early | End::NoAnswer | End::Stopping => {}
        }
    }

    fn write(&mut self, write: Write, then: Then) {
        // One after the other, as the one writer does.
        self.written_until = self.written_until.max(self.now) + self.random.u64(..8);
        let (at, epoch) = (self.written_until, self.epoch);
        self.at(at, Happening::Commit(epoch, write, then));
    }

    fn commit(&mut self, write: Write, then: Then) {
        let epoch = self.epoch;
        let well = !self.failing;
        // A commit that is reported as failed may be on the disk all the same.
        if well || self.random.u8(..8) == 0 {
            self.disk.write(write);
        }
        if !well {
            self.seen.insert("a disk that failed");
        }
        if !self.disk.is_synced() {
            self.at(self.now + 200, Happening::Idle(epoch));
        }
        self.within(2, Happening::Done(epoch, then, well));
    }

    fn then(&mut self, then: Then, well: bool) {
        match then {
            Then::Nothing => {}
            Then::Input(x, turn, done, failed) => {
                let input = if well { done } else { failed };
                self.happen(Happening::Input(x, turn, input));
            }
            Then::Settled(x) if well => {
                self.settling.remove(&x);
            }
            Then::Settled(x) => self.look_again(x),
            Then::Remembered if well => {
                self.remembering = false;
                self.seen.insert("an event from memory");
                self.memory.remove(0);
                let epoch = self.epoch;
                self.happen(Happening::Remember(epoch));
            }
            Then::Remembered => {
                self.remembering = false;
                let epoch = self.epoch;
                self.at(self.now + 5_000, Happening::Remember(epoch));
            }
        }
    }

    fn remember(&mut self) {
        let Some((x, events)) = self.memory.first().cloned().filter(|_| !self.remembering) else {
            return;
        };
        self.remembering = true;
        let id = self.exchanges[x].intent.id;
        self.write(Write::Append(id, events, self.now), Then::Remembered);
    }

    fn die(&mut self, power: bool) {
        if !self.alive {
            return;
        }
        self.seen.insert(if power { "a loss of power" } else { "a kill" });
        // What is being committed may be on the disk although nobody heard of it.
        let next = self.queue.values().find_map(|happening| match happening {
            Happening::Commit(epoch, write, _) if *epoch == self.epoch => Some(write.clone()),
            _ => None,
        });
        if let Some(write) = next.filter(|_| !self.failing && self.random.u8(..4) == 0) {
            self.disk.write(write);
        }
        if power {
            self.powerless = true;
            let random = &mut self.random;
            self.disk.lose_power(|most| random.usize(..most));
        }
        self.alive = false;
        self.epoch += 1;
        self.memory.clear();
        self.remembering = false;
        self.settling.clear();
        self.exchanges.iter_mut().for_each(|course| course.ended = true);
    }

    fn begin(&mut self) {
        if self.alive {
            return;
        }
        self.alive = true;
        self.written_until = self.now;
        if self.bend == Bend::Forgetful {
            return;
        }
        for id in self.disk.intents.keys().copied().collect::<Vec<_>>() {
            let x = self.exchanges.iter().position(|course| course.intent.id == id);
            self.settle(x.unwrap(), false);
        }
    }
}
