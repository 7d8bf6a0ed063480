//! Random operations, on the outbox and on a plain model of it in memory; every answer must be the same.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::Config as Runs;
use time::Duration;

use crate::event::Change;

use super::super::DeadReason;
use super::super::Known;
use super::*;

const ENDPOINTS: [&str; 3] = ["a", "b", "latest"];

/// The one that wants the latest event of a lane only.
const LATEST: usize = 2;

#[derive(Debug, Clone)]
enum Operation {
    Push { tag: u8, content: u8 },
    PushUntagged { content: u8 },
    DeleteTag { tag: u8 },
    DeleteDigest { content: u8 },
    Repeat { which: usize },
    Claim { endpoint: usize, limit: usize },
    Ack { which: usize },
    Die { which: usize },
    Later { which: usize, minutes: i64 },
    GiveBack { which: usize },
    Wait { minutes: i64 },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let which = 0..64_usize;
    prop_oneof![
        6 => (0..3_u8, 0..3_u8).prop_map(|(tag, content)| Operation::Push { tag, content }),
        1 => (0..3_u8).prop_map(|content| Operation::PushUntagged { content }),
        1 => (0..3_u8).prop_map(|tag| Operation::DeleteTag { tag }),
        1 => (0..3_u8).prop_map(|content| Operation::DeleteDigest { content }),
        1 => which.clone().prop_map(|which| Operation::Repeat { which }),
        5 => (0..3_usize, 0..4_usize).prop_map(|(endpoint, limit)| Operation::Claim { endpoint, limit }),
        4 => which.clone().prop_map(|which| Operation::Ack { which }),
        1 => which.clone().prop_map(|which| Operation::Die { which }),
        2 => (which.clone(), 0..5_i64).prop_map(|(which, minutes)| Operation::Later { which, minutes }),
        1 => which.prop_map(|which| Operation::GiveBack { which }),
        1 => (0..5_i64).prop_map(|minutes| Operation::Wait { minutes }),
        1 => Just(Operation::Reopen),
    ]
}

/// An event owed to one endpoint.
#[derive(Debug)]
struct Owed {
    sequence: u64,
    endpoint: usize,
    lane: String,
    due: Option<OffsetDateTime>,
    attempts: u32,
    ended: bool,
}

#[derive(Default)]
struct Model {
    tags: BTreeMap<String, Option<Digest>>,
    appends: Vec<(Append, Appended)>,
    owed: Vec<Owed>,
    claims: Vec<Claim>,
    claimed: BTreeSet<(usize, u64)>,
}

impl Model {
    fn append(&mut self, event: &Event) -> (Option<Change>, Option<Digest>) {
        let tag = event.tag.as_ref().map(ToString::to_string);
        let sequence = self.appends.len() as u64 + 1;
        for endpoint in 0..ENDPOINTS.len() {
            let lane = event.lane();
            let due = None;
            let claimed = |o: &Owed| self.claimed.contains(&(endpoint, o.sequence));
            let older = |o: &Owed| o.endpoint == endpoint && o.lane == lane && !claimed(o);
            if endpoint == LATEST {
                self.owed.iter_mut().filter(|o| older(o)).for_each(|o| o.ended = true);
            }
            self.owed.push(Owed { sequence, endpoint, lane, due, attempts: 0, ended: false });
        }
        match (event.action, tag) {
            (Action::Push, Some(tag)) => {
                let before = self.tags.insert(tag, event.digest.clone());
                match before {
                    None => (None, None),
                    Some(None) => (Some(Change::Created), None),
                    Some(was) if was == event.digest => (Some(Change::Unchanged), was),
                    Some(was) => (Some(Change::Moved), was),
                }
            }
            (Action::Delete, Some(tag)) => (None, self.tags.insert(tag, None).flatten()),
            (Action::Delete, None) => {
                for digest in self.tags.values_mut().filter(|digest| **digest == event.digest) {
                    *digest = None;
                }
                (None, None)
            }
            _ => (None, None),
        }
    }

    /// What a claim must give: of each lane its first, if it is due and not claimed. Those never
    /// attempted in the order of events; those attempted by when they became due.
    fn claimable(&self, endpoint: usize, now: OffsetDateTime, limit: usize) -> Vec<u64> {
        let mut lanes = BTreeSet::new();
        let mut first: Vec<&Owed> = Vec::new();
        for owed in self.owed.iter().filter(|o| o.endpoint == endpoint && !o.ended) {
            if lanes.insert(&owed.lane) && !self.claimed.contains(&(endpoint, owed.sequence)) {
                first.push(owed);
            }
        }
        let ready = first.iter().filter(|o| o.due.is_none()).map(|o| o.sequence).take(limit);
        let mut later: Vec<_> = first
            .iter()
            .filter_map(|o| o.due.filter(|due| *due <= now).map(|due| (due, o.sequence)))
            .collect();
        later.sort_unstable();
        let later = later.into_iter().map(|(_, sequence)| sequence).take(limit);
        let mut all: Vec<u64> = ready.chain(later).collect();
        all.sort_unstable();
        all.truncate(limit);
        all
    }

    fn has_newer(&self, lane: &str, sequence: u64) -> bool {
        let newer = |o: &Owed| o.endpoint == LATEST && o.lane == lane && o.sequence > sequence;
        self.owed.iter().any(|o| newer(o) && !o.ended)
    }

    fn end(&mut self, claim: &Claim, next: Next) {
        let endpoint = endpoint_of(claim);
        let sequence = claim.event.sequence.unwrap();
        self.claimed.remove(&(endpoint, sequence));
        let found = move |o: &&mut Owed| o.endpoint == endpoint && o.sequence == sequence;
        let owed = self.owed.iter_mut().find(found).unwrap();
        owed.attempts += 1;
        match next {
            Next::Due(due) => owed.due = Some(due),
            Next::Acked | Next::Dead(_) => owed.ended = true,
        }
        let lane = owed.lane.clone();
        if endpoint == LATEST && self.has_newer(&lane, sequence) {
            self.owed.iter_mut().find(found).unwrap().ended = true;
        }
    }
}

fn endpoint_of(claim: &Claim) -> usize {
    let is = |name: &&str| super::super::DeliveryId::of(claim.event.id, name) == claim.delivery;
    ENDPOINTS.iter().position(is).unwrap()
}

async fn run(operations: Vec<Operation>) {
    let directory = tempfile::tempdir().unwrap();
    let mut outbox = open(directory.path(), &ENDPOINTS);
    let mut model = Model::default();
    // Whole seconds, as far away from the clock of the machine as the outbox should not care.
    let mut clock = time::macros::datetime!(2026-03-01 09:15:02 UTC);
    let (tag, content) = (|n: u8| format!("t{n}"), |n: u8| format!("c{n}"));
    for operation in operations {
        let mut next_append = None;
        let end = |model: &mut Model, which: usize, next| {
            let number = model.claims.len();
            (number > 0).then(|| (model.claims.swap_remove(which % number), next))
        };
        let mut ended = None;
        match operation {
            Operation::Push { tag: t, content: c } => {
                next_append = Some(push(&tag(t), &content(c)))
            }
            Operation::PushUntagged { content: c } => {
                next_append = Some(with(push("x", &content(c)), |event| event.tag = None));
            }
            Operation::DeleteTag { tag: t } => next_append = Some(delete(Some(&tag(t)), None)),
            Operation::DeleteDigest { content: c } => {
                next_append = Some(delete(None, Some(&content(c))));
            }
            Operation::Repeat { which } => {
                let number = model.appends.len();
                if let Some((again, first)) =
                    model.appends.get(which.checked_rem(number).unwrap_or(0))
                {
                    let answer = append(&outbox, again.clone()).await;
                    assert_eq!(answer, Appended { new: false, ..first.clone() });
                }
            }
            Operation::Claim { endpoint, limit } => {
                let expected = model.claimable(endpoint, clock, limit);
                let claims = outbox.claim(ENDPOINTS[endpoint], clock, limit).await.unwrap();
                assert_eq!(sequences(&claims), expected);
                for claim in claims {
                    let sequence = claim.event.sequence.unwrap();
                    let (_, appended) = &model.appends[usize::try_from(sequence).unwrap() - 1];
                    assert_eq!(claim.event, appended.event);
                    let is = |o: &&Owed| o.endpoint == endpoint && o.sequence == sequence;
                    let owed = model.owed.iter().find(is).unwrap();
                    assert_eq!(claim.attempt, owed.attempts + 1);
                    model.claimed.insert((endpoint, sequence));
                    model.claims.push(claim);
                }
                let due = outbox.next_due(ENDPOINTS[endpoint]).await.unwrap();
                let left = model.claimable(endpoint, clock, 1);
                if limit > 0 && !left.is_empty() {
                    assert!(due.is_some());
                }
            }
            Operation::Ack { which } => ended = end(&mut model, which, Next::Acked),
            Operation::Die { which } => {
                ended = end(&mut model, which, Next::Dead(DeadReason::Refused));
            }
            Operation::Later { which, minutes } => {
                ended = end(&mut model, which, Next::Due(clock + Duration::minutes(minutes)));
            }
            Operation::GiveBack { which } => {
                if let Some((claim, _)) = end(&mut model, which, Next::Acked) {
                    outbox.give_back(&claim);
                    model.claimed.remove(&(endpoint_of(&claim), claim.event.sequence.unwrap()));
                }
            }
            Operation::Wait { minutes } => clock += Duration::minutes(minutes),
            Operation::Reopen => {
                outbox.close().await;
                outbox = open(directory.path(), &ENDPOINTS);
                model.claims.clear();
                model.claimed.clear();
            }
        }
        if let Some(new) = next_append {
            let appended = append(&outbox, new.clone()).await;
            let (change, previous) = model.append(&new.events[0]);
            assert_eq!(
                (appended.event.change, &appended.event.previous_digest),
                (change, &previous)
            );
            assert_eq!(appended.event.sequence, Some(model.appends.len() as u64 + 1));
            assert!(appended.new && appended.owed_to == ENDPOINTS);
            model.appends.push((new, appended));
        }
        if let Some((claim, next)) = ended {
            let class = if next == Next::Acked { Class::Taken } else { Class::Event };
            outbox.record(outcome(&claim, class, next)).await.unwrap();
            model.end(&claim, next);
        }
    }
    for (tag, digest) in &model.tags {
        let known = outbox.last_digest(&"team/app".parse().unwrap(), &tag.parse().unwrap()).await;
        let expected = digest.clone().map_or(Known::Absent, Known::Digest);
        assert_eq!(known.unwrap(), expected, "{tag}");
    }
    outbox.close().await;
    for (endpoint, name) in ENDPOINTS.iter().enumerate() {
        let owed = model.owed.iter().filter(|o| o.endpoint == endpoint && !o.ended).count();
        let connection =
            rusqlite::Connection::open(directory.path().join("outbox/outbox.db")).unwrap();
        let sql = "SELECT owed FROM endpoints WHERE name = ?1";
        let counted: i64 = connection.query_row(sql, [name], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(counted).unwrap(), owed, "{name}");
    }
}

proptest! {
    #![proptest_config(Runs { cases: 48, failure_persistence: None, ..Runs::default() })]

    #[test]
    fn the_outbox_does_what_a_plain_model_of_it_does(
        operations in proptest::collection::vec(operation(), 1..80)
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(operations));
    }
}
