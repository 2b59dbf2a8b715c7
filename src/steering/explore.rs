//! Exploration: some answers go to the runner-up, so that its round trips stay known.

use super::eligible::eligible;
use super::ranking::rank;
use super::{Candidate, Class, Contest, FULL, Family, Grade, Local, Opinion, Presence, View};
use crate::model::{Fleet, Method};

/// So often as the region behind it is the runner-up explored.
const RUNNER_UP_WEIGHT: u64 = 3;

impl Contest {
    /// The share of answers that go to the runner-up, where there is one; 0: none.
    pub fn explored(&self, fleet: &Fleet) -> f64 {
        let own = self.methods.iter().find_map(|method| match method {
            Method::Latency { explore, .. } => Some(*explore),
            _ => None,
        });
        own.map_or(0.0, |own| own.unwrap_or(fleet.latency.explore))
    }

    /// The candidates of the region that would be answered if the best were not there, and with a
    /// third of their weight those of the next one: were it never asked, nobody would learn that
    /// it is nearer than it seemed. Empty where
    /// clients of a class do not go by round trips, and while any region is not whole: who has just
    /// lost a region needs no experiments. A region that load lets clients leave gets none either.
    ///
    /// It is a runner-up by round trip alone: what the methods before `latency` ranked behind is
    /// never explored.
    pub fn runner_up(&self, class: &Class, family: Family, view: &View<'_>) -> Vec<Candidate> {
        let at = self.methods.iter().position(|method| matches!(method, Method::Latency { .. }));
        let spoke = at.is_some_and(|at| matches!(class.opinions.get(at), Some(Opinion::Bands(_))));
        let Some(at) = at.filter(|_| spoke && self.explored(view.fleet) > 0.0) else {
            return Vec::new();
        };
        let whole = |region: Local| {
            self.presence(region, view) <= Presence::Here && view.share(region) == FULL
        };
        if self.is_direct() || !(0..self.regions().len() as Local).all(whole) {
            return Vec::new();
        }
        let found = eligible(self, family, view, |region| class.allows(region));
        let Some(found) = found.filter(|found| found.grade == Grade::Up) else {
            return Vec::new();
        };
        let (before, opinions) = (self.methods.get(..at), class.opinions.get(..at));
        let (before, opinions) = (before.unwrap_or_default(), opinions.unwrap_or_default());
        let tied = rank(before, opinions, &found.regions(), None).into_iter().next();
        let ranked = rank(&self.methods, &class.opinions, &tied.unwrap_or_default(), None);
        let place =
            |candidate: &Candidate| ranked.iter().position(|tier| tier.contains(&candidate.region));
        let mut candidates = found.candidates;
        let spread = view.spread.filter(|spread| spread.pool == found.pool);
        let is_crowded = |region: Local| {
            let of = spread.and_then(|spread| spread.crowded.get(usize::from(region)));
            of.copied().unwrap_or(false)
        };
        candidates.retain(|candidate| !is_crowded(candidate.region));
        candidates.retain_mut(|candidate| match place(candidate) {
            Some(1) => {
                candidate.weight *= RUNNER_UP_WEIGHT;
                true
            }
            place => place == Some(2),
        });
        // The order of the files must not matter to picks.
        candidates.sort();
        candidates
    }
}
