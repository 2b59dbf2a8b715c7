//! Every state that a fleet of two to five regions can get into, one step after another.

use std::collections::{HashSet, VecDeque};

use super::*;
use crate::health::{Situation, mode};
use Verdict::{Down, Unknown, Up};

const RULES: [Vantage; 5] =
    [Vantage::Any, Vantage::Majority, Vantage::All, Vantage::AtLeast(2), Vantage::AtLeast(3)];

/// How another region is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Heard {
    Live,
    Impaired,
    Dead,
}

/// All there is to one endpoint as a node of the first region knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// What each region says, and how it is heard.
    regions: Vec<(Verdict, Heard)>,
    link: bool,
    losses: bool,
    merged: Merged,
}

impl State {
    fn first(regions: usize) -> Self {
        let merged = Merged { settled: Unknown, shown: Unknown };
        let regions = vec![(Unknown, Heard::Live); regions];
        Self { regions, link: true, losses: false, merged }
    }

    /// The own region is never dead to itself.
    fn quorum(&self) -> Quorum {
        let count = |wanted: &[Heard]| {
            self.regions.iter().filter(|(_, heard)| wanted.contains(heard)).count()
        };
        let situation = Situation {
            link: self.link,
            others: self.regions.len() - 1,
            known: self.regions.len(),
            fresh: count(&[Heard::Live, Heard::Impaired]),
            voting: count(&[Heard::Live]),
            losses: self.losses,
        };
        mode(situation).1
    }

    fn voters(&self) -> impl Iterator<Item = Verdict> {
        let live = self.regions.iter().filter(|(_, heard)| *heard == Heard::Live);
        live.map(|(verdict, _)| *verdict)
    }

    fn judge(mut self, rule: Vantage) -> Self {
        let poll = Poll::of(self.voters(), self.regions[0].0);
        self.merged = merged(rule, poll, self.quorum(), self.merged.settled);
        self
    }

    /// Each state that differs in one thing, judged.
    fn next(&self, rule: Vantage) -> Vec<Self> {
        let mut next = Vec::new();
        for at in 0..self.regions.len() {
            // Of many regions none is unaware or impaired: those do not vote, as the dead do not.
            let few = self.regions.len() < 4;
            for verdict in [Unknown, Up, Down].into_iter().filter(|v| few || *v != Unknown) {
                let mut state = self.clone();
                state.regions[at].0 = verdict;
                next.push(state);
            }
            for heard in [Heard::Live, Heard::Impaired, Heard::Dead] {
                if !few && heard == Heard::Impaired {
                    continue;
                }
                let mut state = self.clone();
                state.regions[at].1 = heard;
                if at > 0 || heard != Heard::Dead {
                    next.push(state);
                }
            }
        }
        next.push(Self { link: !self.link, ..self.clone() });
        next.push(Self { losses: !self.losses, ..self.clone() });
        next.into_iter().map(|state| state.judge(rule)).collect()
    }
}

/// Walks through all states, and hands each step to `check`.
fn explore(regions: usize, rule: Vantage, check: impl Fn(&State, &State)) -> HashSet<State> {
    let first = State::first(regions).judge(rule);
    let mut seen = HashSet::from([first.clone()]);
    let mut waiting = VecDeque::from([first]);
    while let Some(state) = waiting.pop_front() {
        for next in state.next(rule) {
            check(&state, &next);
            if !seen.contains(&next) {
                seen.insert(next.clone());
                waiting.push_back(next);
            }
        }
    }
    seen
}

fn worlds() -> impl Iterator<Item = (usize, Vantage)> {
    (2..=5).flat_map(|regions| RULES.map(|rule| (regions, rule)))
}

#[test]
fn no_prober_no_region_no_liar_and_no_cut_takes_an_endpoint_down() {
    for (regions, rule) in worlds() {
        let states = explore(regions, rule, |before, after| {
            // What was frozen as down is down again when the own region no longer doubts it.
            if after.merged.shown != Down || before.merged.settled == Down {
                return;
            }
            let voting = after.voters().filter(|verdict| *verdict == Down).count();
            assert!(voting >= 2, "{regions} regions, {rule:?}\n{before:?}\n{after:?}");
            assert_eq!(after.quorum(), Quorum::Full, "{rule:?}\n{before:?}\n{after:?}");
        });
        assert!(states.len() > 100, "{}", states.len());
    }
}

#[test]
fn after_everything_heals_the_truth_holds_within_one_step_from_every_state() {
    for (regions, rule) in worlds() {
        let states = explore(regions, rule, |_, _| {});
        let merged: HashSet<Merged> = states.iter().map(|state| state.merged).collect();
        assert!(merged.len() > 4, "{merged:?}");
        for merged in merged {
            for truth in [Up, Down] {
                let healed = State {
                    regions: vec![(truth, Heard::Live); regions],
                    merged,
                    ..State::first(regions)
                };
                assert_eq!(healed.judge(rule).merged.shown, truth, "{rule:?} after {merged:?}");
            }
        }
    }
}

/// A pool with an endpoint in each region, all up, and then the fleet falls apart in two: neither
/// side is left without an endpoint, on any node, at any moment.
#[test]
fn no_cut_leaves_a_side_without_endpoints() {
    for regions in 2..=5_usize {
        for side in 1..(1_u32 << regions) - 1 {
            for rule in RULES {
                for own in 0..regions {
                    let of = |region: usize| side >> region & 1 == side >> own & 1;
                    let left = (0..regions).filter(|target| {
                        let shown = cut(regions, rule, own, *target, &of);
                        shown.iter().all(|shown| *shown != Down)
                    });
                    assert!(left.count() > 0, "{regions} regions, {side:b} seen by {own}");
                }
            }
        }
    }
}

/// What a node in `own` holds of the endpoint in `target` while the ways between two sides are cut:
/// first the others' last words count, then they are dead.
fn cut(
    regions: usize,
    rule: Vantage,
    own: usize,
    target: usize,
    of: &impl Fn(usize) -> bool,
) -> Vec<Verdict> {
    // The node's own region comes first.
    let order: Vec<usize> = [own].into_iter().chain((0..regions).filter(|r| *r != own)).collect();
    let whole = State { regions: vec![(Up, Heard::Live); regions], ..State::first(regions) };
    let mut state = whole.judge(rule);
    let mut shown = vec![state.merged.shown];
    for heard in [Heard::Live, Heard::Dead] {
        for (at, region) in order.iter().enumerate() {
            state.regions[at] = if of(*region) {
                (if of(target) { Up } else { Down }, Heard::Live)
            } else {
                (Up, heard)
            };
            state = state.judge(rule);
            shown.push(state.merged.shown);
        }
    }
    shown
}
