//! Worlds of pushes and notifications in simulated time, over the very rules that run. What is simulated is
//! the registry, the way of its notifications, and a memory as the outbox has one.
//!
//! What must hold is a number: as many events as there were pushes, whatever came late, thrice or shuffled,
//! and whether it came through us or not.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::collections::HashSet;
use std::convert::Infallible;

use time::OffsetDateTime;

use crate::event::EventId;
use crate::event::IntentId;

use super::*;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

const RULES: Rules = Rules {
    skew: Duration::from_secs(30),
    hold: Duration::from_secs(10),
    memory: Duration::from_secs(24 * 60 * 60),
    working: Duration::from_secs(120),
    mode: Mode::Events,
};

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    None,
    /// What has the same key is the same push.
    KeyOnly,
    /// A notification that comes again is a new one.
    Forgetful,
    /// What an exchange was linked to is forgotten when the registry refuses it.
    Swallowing,
}

/// One push.
#[derive(Debug, Clone, Copy)]
struct Push {
    key: i64,
    began: i64,
    ended: i64,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through us.
    Us,
    /// Through us, and refused.
    Refused,
    /// By another road.
    Other,
}

/// How notifications travel.
#[derive(Debug, Clone, Copy)]
struct Post {
    /// The longest way.
    late: i64,
    /// How often each is sent.
    copies: u32,
    /// How far the registry's clock is ahead.
    ahead: i64,
    /// Whether the digest is in it.
    digest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Began(usize),
    Ended(usize),
    Arrives(usize),
    Over(usize),
}

struct Open {
    subject: Subject,
    began: i64,
    links: Vec<(usize, Report)>,
}

struct Event {
    subject: Subject,
    began: i64,
    ended: i64,
    /// What it was made of, if it was only told.
    hearsay: Option<Report>,
    seen: bool,
    link: Option<Report>,
}

#[derive(Default)]
struct World {
    intents: BTreeMap<IntentId, Open>,
    events: Vec<Event>,
    by_name: BTreeMap<i64, Vec<usize>>,
    held: Vec<(usize, Told)>,
    known: HashSet<EventId>,
}

const SOURCE: &str = "from-registry";

fn subject(key: i64, digest: bool) -> Subject {
    Subject { name: key, content: digest.then_some(key), exchange: key }
}

fn same(one: Subject, other: Subject) -> bool {
    one.name == other.name && !one.differs(other.content)
}

impl Memory for World {
    type Error = Infallible;

    fn knows(&mut self, told: &Told) -> Result<bool, Infallible> {
        Ok(!self.known.insert(told.id))
    }

    fn intents(&mut self, told: &Told) -> Result<Vec<Candidate>, Infallible> {
        let told = told.subject;
        let about = self.intents.iter().filter(|(_, open)| open.subject.exchange == told.exchange);
        Ok(about
            .filter(|_| told.content.is_some())
            .map(|(id, open)| Candidate {
                fact: Fact::Intent(*id),
                began: open.began,
                ended: open.began + millis(RULES.working),
                taken: open.links.first().map(|(_, report)| *report),
            })
            .collect())
    }

    fn events(&mut self, told: &Told, from: i64, to: i64) -> Result<Vec<Candidate>, Infallible> {
        let about = self.about(told.subject);
        Ok(about
            .filter(|(_, event)| event.ended >= from && event.began <= to)
            .map(|(sequence, event)| Candidate {
                fact: Fact::Event(sequence),
                began: event.began,
                ended: event.ended,
                taken: event.link,
            })
            .collect())
    }

    fn held(&mut self, observed: &Observed) -> Result<Vec<Held>, Infallible> {
        let about = self.held.iter().filter(|(_, told)| same(told.subject, observed.subject));
        Ok(about
            .map(|(_, told)| Held { source: SOURCE.to_owned(), report: told.report() })
            .collect())
    }

    fn hearsay(
        &mut self,
        observed: &Observed,
        from: i64,
        to: i64,
    ) -> Result<Vec<Hearsay>, Infallible> {
        let about = self.events.iter().zip(0..).filter(|(event, _)| {
            same(observed.subject, event.subject)
                && !event.seen
                && event.began >= from
                && event.began <= to
        });
        Ok(about
            .filter_map(|(event, sequence)| {
                Some(Hearsay { event: sequence, report: event.hearsay? })
            })
            .collect())
    }
}

impl Told {
    fn report(&self) -> Report {
        Report { id: self.id, at: self.at, received: self.received }
    }
}

impl World {
    fn about(&self, subject: Subject) -> impl Iterator<Item = (i64, &Event)> {
        let places = self.by_name.get(&subject.name).into_iter().flatten();
        places
            .map(|place| (i64::try_from(*place).unwrap(), &self.events[*place]))
            .filter(move |(_, event)| same(subject, event.subject))
    }

    fn add(&mut self, event: Event) {
        self.by_name.entry(event.subject.name).or_default().push(self.events.len());
        self.events.push(event);
    }

    fn link(&mut self, links: &[(Report, Fact)], notification: usize, held: &[Told]) {
        let name = held[notification].subject.name;
        for (report, fact) in links {
            for open in self.intents.values_mut() {
                open.links.retain(|(_, link)| link.id != report.id);
            }
            let linked: Vec<usize> = self.by_name.get(&name).cloned().unwrap_or_default();
            for place in linked {
                self.events[place].link.take_if(|link| link == report);
            }
            match fact {
                Fact::Intent(id) => {
                    let place = held.iter().position(|told| told.id == report.id);
                    let open = self.intents.get_mut(id).unwrap();
                    open.links.push((place.unwrap_or(notification), *report));
                }
                Fact::Event(sequence) => {
                    self.events[usize::try_from(*sequence).unwrap()].link = Some(*report);
                }
            }
        }
    }

    fn tell(&mut self, told: &Told) {
        self.add(Event {
            subject: told.subject,
            began: told.at,
            ended: told.at,
            hearsay: Some(told.report()),
            seen: false,
            link: Some(told.report()),
        });
    }
}

/// How many events these pushes become.
fn events(
    pushes: &[Push],
    post: Post,
    intents: bool,
    bend: Bend,
    random: &mut fastrand::Rng,
) -> usize {
    let mut queue = BinaryHeap::new();
    let mut told = Vec::new();
    for (number, push) in pushes.iter().enumerate() {
        if push.way != Way::Other {
            queue.push(Reverse((push.began, Happens::Began(number))));
            queue.push(Reverse((push.ended, Happens::Ended(number))));
        }
        if push.way == Way::Refused {
            continue;
        }
        // Distribution notifies before it answers.
        let sent = random.i64(push.began..=push.ended);
        let id = EventId::told(OffsetDateTime::UNIX_EPOCH, &[&number.to_string()]);
        for copy in 0..post.copies {
            let received = sent + random.i64(0..=post.late);
            queue.push(Reverse((received, Happens::Arrives(told.len()))));
            let again = copy > 0 && bend == Bend::Forgetful;
            let id = if again { EventId::of(IntentId::now(), None) } else { id };
            let subject = subject(push.key, post.digest);
            told.push(Told {
                source: SOURCE.to_owned(),
                id,
                subject,
                at: sent + post.ahead,
                received,
            });
        }
    }
    let mut ids = BTreeMap::new();
    let mut world = World::default();
    let mut keys = HashSet::new();
    while let Some(Reverse((now, happens))) = queue.pop() {
        let (number, patience) = match happens {
            Happens::Began(number) => {
                let id = IntentId::now();
                let push = pushes[number];
                ids.insert(number, id);
                if intents {
                    let subject = subject(push.key, true);
                    let open = Open { subject, began: push.began, links: Vec::new() };
                    world.intents.insert(id, open);
                }
                continue;
            }
            Happens::Ended(number) => {
                let push = pushes[number];
                let open = world.intents.remove(&ids[&number]);
                let links = open.map(|open| open.links).unwrap_or_default();
                if push.way == Way::Refused {
                    let swallowed = bend == Bend::Swallowing;
                    for (notification, _) in links.into_iter().filter(|_| !swallowed) {
                        world.held.push((notification, told[notification].clone()));
                        queue.push(Reverse((now, Happens::Over(notification))));
                    }
                    continue;
                }
                if bend == Bend::KeyOnly && !keys.insert(push.key) {
                    continue;
                }
                let subject = subject(push.key, true);
                let seen = Observed { subject, began: push.began, ended: push.ended };
                let linked: Vec<String> = links.iter().map(|_| SOURCE.to_owned()).collect();
                let Ok(met) = observed(&mut world, &RULES, &seen, &linked);
                match met {
                    Met::Same(event) => world.events[usize::try_from(event).unwrap()].seen = true,
                    Met::Event(held) => {
                        world.held.retain(|(_, told)| held.iter().all(|h| h.report.id != told.id));
                        let link = held.first().map(|held| held.report);
                        let link = link.or(links.first().map(|(_, report)| *report));
                        world.add(Event {
                            subject,
                            began: push.began,
                            ended: push.ended,
                            hearsay: None,
                            seen: true,
                            link,
                        });
                    }
                }
                continue;
            }
            Happens::Arrives(number) => (number, Patience::Fresh),
            Happens::Over(number) => {
                let before = world.held.len();
                world.held.retain(|(held, _)| *held != number);
                if world.held.len() == before {
                    continue;
                }
                (number, Patience::Over)
            }
        };
        let notification = told[number].clone();
        if bend == Bend::KeyOnly {
            if keys.insert(notification.subject.name) {
                world.tell(&notification);
            }
            continue;
        }
        let Ok(decision) = super::told(&mut world, &RULES, &notification, now, patience);
        match decision {
            Decision::Repeated | Decision::Drop => {}
            Decision::Link(links) => world.link(&links, number, &told),
            Decision::Hold { until } => {
                world.held.push((number, notification));
                queue.push(Reverse((until, Happens::Over(number))));
            }
            Decision::Append { late } => {
                assert!(!late);
                world.tell(&notification);
            }
        }
    }
    assert!(world.held.is_empty() && world.intents.is_empty());
    world.events.len()
}

/// Pushes through us, a third of them the same content under the same tag as one before, in clusters and apart.
fn pushes(count: i64, random: &mut fastrand::Rng) -> Vec<Push> {
    let mut began = 0;
    let mut pushes: Vec<Push> = Vec::new();
    for number in 0..count {
        began += random.i64(0..2 * SECOND);
        let again = number % 3 == 2;
        let back = if random.bool() { 5 } else { 1000 };
        let before = pushes.len().saturating_sub(random.usize(1..=back));
        let key = if again { pushes[before].key } else { number };
        pushes.push(Push { key, began, ended: began + random.i64(1..300), way: Way::Us });
    }
    pushes
}

const LATE: Post = Post { late: 10 * MINUTE, copies: 3, ahead: 0, digest: true };

#[test]
fn ten_thousand_pushes_are_ten_thousand_events() {
    let mut random = fastrand::Rng::with_seed(1);
    let pushes = pushes(10_000, &mut random);
    for ahead in [0, 20 * SECOND, -20 * SECOND] {
        let post = Post { ahead, ..LATE };
        assert_eq!(events(&pushes, post, true, Bend::None, &mut random), 10_000, "{ahead}");
    }
    let short = events(&pushes, LATE, true, Bend::KeyOnly, &mut random);
    assert!(short < 7_000, "by key alone, {short} events would be left of 10000 pushes");
    let many = events(&pushes, LATE, true, Bend::Forgetful, &mut random);
    assert!(many > 10_000, "{many}");
}

#[test]
fn without_intents_and_without_digests_it_holds_for_what_comes_in_time() {
    let mut random = fastrand::Rng::with_seed(2);
    let pushes = pushes(10_000, &mut random);
    for (digest, intents) in [(true, false), (false, true), (false, false)] {
        let post = Post { late: 2 * SECOND, digest, ..LATE };
        let events = events(&pushes, post, intents, Bend::None, &mut random);
        assert_eq!(events, 10_000, "digest {digest}, intents {intents}");
    }
}

/// A small world in which everything happens at once: few keys, every way, overlapping.
fn crowd(random: &mut fastrand::Rng) -> Vec<Push> {
    let ways = [Way::Us, Way::Us, Way::Us, Way::Refused, Way::Other];
    (0..random.usize(1..40))
        .map(|_| {
            let began = random.i64(0..2 * MINUTE);
            let key = random.i64(0..3);
            let way = ways[random.usize(0..ways.len())];
            Push { key, began, ended: began + random.i64(1..5 * SECOND), way }
        })
        .collect()
}

fn lives() -> u64 {
    let long = std::env::var_os("PUSHBELL_TEST_LONG").is_some_and(|value| value == "1");
    if long { 100_000 } else { 1_000 }
}

/// The first seed in which there are not as many events as pushes.
fn wrong(seeds: u64, bend: Bend) -> Option<(u64, usize, usize)> {
    (0..seeds).find_map(|seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let pushes = crowd(&mut random);
        let late = [0, SECOND, 10 * MINUTE][random.usize(0..3)];
        let ahead = random.i64(-20 * SECOND..=20 * SECOND);
        let post = Post { late, copies: random.u32(1..4), ahead, digest: true };
        let intents = random.u8(0..4) > 0;
        let happened = pushes.iter().filter(|push| push.way != Way::Refused).count();
        let events = events(&pushes, post, intents, bend, &mut random);
        (events != happened).then_some((seed, events, happened))
    })
}

#[test]
fn as_many_events_as_pushes_whichever_way_they_went() {
    let lives = lives();
    if let Some((seed, events, pushes)) = wrong(lives, Bend::None) {
        panic!("seed {seed}: {events} events of {pushes} pushes");
    }
    for bend in [Bend::KeyOnly, Bend::Forgetful, Bend::Swallowing] {
        assert!(wrong(lives, bend).is_some(), "{bend:?} goes unnoticed");
    }
}
