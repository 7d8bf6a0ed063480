//! Which fact a report is linked to: the nearest that is free, or one that another report can leave.

use std::collections::VecDeque;

use super::Candidate;
use super::Fact;
use super::Report;
use super::STEP;

/// An exchange in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) began: i64,
    pub(super) ended: i64,
}

impl Place {
    /// How far the report's stamp is from it, if not too far, and if it could know of it at all.
    pub(super) fn distance(self, report: Report, slack: i64) -> Option<i64> {
        let early = self.began.saturating_sub(report.at);
        let late = report.at.saturating_sub(self.ended);
        let distance = early.max(late).max(0);
        let knows = report.received.saturating_add(STEP) >= self.began;
        (knows && distance <= slack).then_some(distance)
    }
}

impl Candidate {
    /// Whether the report may speak of it.
    pub(super) fn fits(&self, report: Report, slack: i64) -> bool {
        self.distance(report, slack).is_some()
    }

    fn distance(&self, report: Report, slack: i64) -> Option<i64> {
        Place { began: self.began, ended: self.ended }.distance(report, slack)
    }
}

/// The links that give the report a place: its own, and before it those of the reports that move for it.
pub(super) fn place(
    candidates: &[Candidate],
    report: Report,
    slack: i64,
) -> Option<Vec<(Report, Fact)>> {
    // Breadth first, so that as few as can be move. Each step is a report, where it comes from, and the
    // step that wants its place.
    let mut steps: Vec<(Report, Option<Fact>, Option<usize>)> = vec![(report, None, None)];
    let mut wanting = VecDeque::from([0]);
    let mut seen = vec![false; candidates.len()];
    while let Some(step) = wanting.pop_front() {
        let &(report, from, _) = steps.get(step)?;
        // What was linked to an event has nothing left that an intent could give back.
        let bound = matches!(from, Some(Fact::Event(_)));
        let mut fitting: Vec<(i64, usize, &Candidate)> = candidates
            .iter()
            .enumerate()
            .filter(|(_, c)| !(bound && matches!(c.fact, Fact::Intent(_))))
            .filter_map(|(index, c)| Some((c.distance(report, slack)?, index, c)))
            .collect();
        fitting.sort_by_key(|(distance, _, c)| (*distance, c.began, c.fact));
        if let Some((_, _, free)) = fitting.iter().find(|(_, _, c)| c.taken.is_none()) {
            return Some(path(&steps, step, free.fact));
        }
        for (_, index, candidate) in fitting {
            if let (Some(seen), Some(taken)) = (seen.get_mut(index), candidate.taken)
                && !std::mem::replace(seen, true)
            {
                steps.push((taken, Some(candidate.fact), Some(step)));
                wanting.push_back(steps.len() - 1);
            }
        }
    }
    None
}

/// From the free fact back to the report it all began with.
fn path(
    steps: &[(Report, Option<Fact>, Option<usize>)],
    last: usize,
    free: Fact,
) -> Vec<(Report, Fact)> {
    let (mut links, mut to, mut at) = (Vec::new(), Some(free), Some(last));
    while let (Some(fact), Some((report, from, wanted_by))) =
        (to, at.and_then(|step| steps.get(step)))
    {
        links.push((*report, fact));
        (to, at) = (*from, *wanted_by);
    }
    links
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use crate::event::EventId;
    use crate::event::IntentId;

    use super::*;

    fn report(at: i64) -> Report {
        let id = EventId::told(OffsetDateTime::UNIX_EPOCH, &[&at.to_string()]);
        Report { id, at, received: i64::MAX }
    }

    fn event(sequence: i64, began: i64, taken: Option<Report>) -> Candidate {
        Candidate { fact: Fact::Event(sequence), began, ended: began + 10, taken }
    }

    #[test]
    fn the_nearest_free_one_is_taken() {
        let candidates = [event(1, 0, None), event(2, 100, None), event(3, 200, Some(report(205)))];
        let placed = |at| place(&candidates, report(at), 50).map(|links| links[0].1);
        assert_eq!(placed(40), Some(Fact::Event(1)));
        assert_eq!(placed(70), Some(Fact::Event(2)));
        assert_eq!(placed(160), Some(Fact::Event(2)));
        assert_eq!(placed(161), None);
        assert_eq!(placed(-51), None);
    }

    #[test]
    fn one_moves_so_that_all_have_a_place() {
        let (early, late) = (report(30), report(60));
        let candidates = [event(1, 0, None), event(2, 40, Some(early))];
        let links = place(&candidates, late, 30).unwrap();
        assert_eq!(links, [(early, Fact::Event(1)), (late, Fact::Event(2))]);
        // Nowhere to go.
        assert_eq!(place(&candidates[1..], late, 30), None);
        let taken = [event(1, 0, Some(report(0))), event(2, 40, Some(early))];
        assert_eq!(place(&taken, late, 30), None);
    }

    #[test]
    fn what_left_its_words_behind_does_not_go_to_an_intent() {
        let intent = Fact::Intent(IntentId::now());
        let open = Candidate { fact: intent, began: 0, ended: 10, taken: None };
        let moving = report(30);
        let candidates = [open.clone(), event(2, 40, Some(moving))];
        assert_eq!(place(&candidates, report(60), 30), None);
        let taken = Candidate { taken: Some(moving), ..open };
        let candidates = [taken, event(2, 40, None)];
        let links = place(&candidates, report(-20), 30).unwrap();
        assert_eq!(links, [(moving, Fact::Event(2)), (report(-20), intent)]);
    }

    #[test]
    fn nobody_tells_of_what_has_not_begun() {
        let soon = Report { received: 5000, ..report(6001) };
        assert_eq!(place(&[event(1, 6001, None)], soon, 50), None);
        assert!(place(&[event(1, 6000, None)], soon, 50).is_some());
    }
}
