//! Balancing: one of the endpoints that are eligible for a request.
//!
//! Everything here is pure and allocates nothing while it chooses. Health, ejection, locality and
//! what a request has tried already are the caller's: it hands in the candidates that are left.

mod ewma;
mod hash;
mod least;
mod maglev;
mod ramp;
mod ring;
mod rotation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use ewma::PeakEwma;
pub use hash::Key;
pub use ramp::ramp;

use self::maglev::Maglev;
use self::ring::Ring;
use self::rotation::{Rotation, Turns};
use crate::model::Balance;

/// An endpoint that a request may go to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// What names it for as long as it is configured; equal on all nodes for hashes to agree.
    pub id: u64,
    /// Its weight now: the configured one, smaller while it starts slowly. 0: last resort.
    pub weight: f64,
    /// Requests that it has not answered yet.
    pub in_flight: u32,
    /// How long it takes to answer, see [`PeakEwma::read`]. 0: not known.
    pub latency_ewma_ms: f32,
}

/// An endpoint of the configuration, whatever its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// As in [`Candidate::id`].
    pub id: u64,
    /// The configured weight.
    pub weight: f64,
}

/// Chooses among candidates, and remembers whose turn it is.
///
/// A copy shares the tables of hashes and keeps turns of its own, so that each thread has one.
#[derive(Clone, Debug)]
pub struct Balancer {
    kind: Balance,
    members: Arc<[Member]>,
    state: State,
}

/// What each kind needs between requests.
#[derive(Clone, Debug)]
enum State {
    None,
    Rotation(Rotation),
    Turns(Turns),
    Ring(Arc<Ring>),
    Maglev(Arc<Maglev>),
}

impl Balancer {
    /// A balancer over all endpoints that may ever be candidates. `seed` is random, so that the
    /// turns of many threads and nodes do not begin with the same endpoint.
    pub fn new(kind: Balance, members: &[Member], seed: u64) -> Self {
        let members: Arc<[Member]> = members.into();
        let state = match kind {
            Balance::RoundRobin => State::Rotation(Rotation::new(seed)),
            Balance::WeightedRoundRobin => State::Turns(Turns::new(&members, seed)),
            Balance::RingHash => State::Ring(Arc::new(Ring::new(&members))),
            Balance::Maglev => State::Maglev(Arc::new(Maglev::new(&members))),
            Balance::LeastConnections
            | Balance::LeastResponseTime
            | Balance::RandomTwo
            | Balance::IpHash => State::None,
        };
        Self { kind, members, state }
    }

    /// The same kind over other endpoints; tables are made anew only if these differ.
    #[must_use]
    pub fn over(&self, members: &[Member], seed: u64) -> Self {
        if *self.members == *members { self.clone() } else { Self::new(self.kind, members, seed) }
    }

    /// How it chooses.
    pub fn kind(&self) -> Balance {
        self.kind
    }

    /// Chooses one of the candidates, by index; `None`: there is none. `key` matters to hashes
    /// alone, and `random` to the others.
    pub fn pick(&mut self, candidates: &[Candidate], key: Key, random: u64) -> Option<usize> {
        let field = Field::new(candidates);
        if let [_] | [] = candidates {
            return field.only();
        }
        match (self.kind, &mut self.state) {
            (Balance::LeastConnections, _) => least::connections(&field, random),
            (Balance::LeastResponseTime, _) => least::response_time(&field, random),
            (Balance::RandomTwo, _) => least::of_two(&field, random),
            (_, State::Rotation(rotation)) => rotation.pick(&field, &self.members),
            (_, State::Turns(turns)) => turns.pick(&field, &self.members),
            (_, State::Ring(ring)) => ring.pick(&field, &self.members, key),
            (_, State::Maglev(maglev)) => maglev.pick(&field, &self.members, key),
            (_, State::None) => hash::rendezvous(&field, key),
        }
    }
}

/// The candidates of one request. While any has a weight, those without take no part; where none
/// has, all share alike.
#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    candidates: &'a [Candidate],
    weighted: bool,
}

impl<'a> Field<'a> {
    fn new(candidates: &'a [Candidate]) -> Self {
        Self { candidates, weighted: candidates.iter().any(|candidate| candidate.weight > 0.0) }
    }

    /// The weight of a candidate, above 0 for those that take part.
    fn weight(&self, candidate: &Candidate) -> f64 {
        match self.weighted {
            // What is no number is no weight either.
            true if candidate.weight > 0.0 => candidate.weight.min(f64::from(u32::MAX)),
            true => 0.0,
            false => 1.0,
        }
    }

    /// Those that take part: index, weight and candidate.
    fn entrants(self) -> impl Iterator<Item = (usize, f64, &'a Candidate)> + Clone {
        let weighed =
            move |(at, candidate): (usize, &'a Candidate)| (at, self.weight(candidate), candidate);
        self.candidates.iter().enumerate().map(weighed).filter(|(_, weight, _)| *weight > 0.0)
    }

    fn total(self) -> f64 {
        self.entrants().map(|(_, weight, _)| weight).sum()
    }

    /// The first that takes part.
    fn only(self) -> Option<usize> {
        self.entrants().map(|(at, ..)| at).next()
    }

    /// One at random by weight, but not the one at `except`.
    fn draw(self, random: u64, except: Option<usize>) -> Option<usize> {
        let others = self.entrants().filter(|(at, ..)| Some(*at) != except);
        let total: f64 = others.clone().map(|(_, weight, _)| weight).sum();
        let mut left = hash::unit(random) * total;
        let mut last = None;
        for (at, weight, _) in others {
            last = Some(at);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// Where the endpoint is among those that take part. Candidates mostly stand in the order of
    /// the members, so that is looked at first.
    fn find(self, id: u64, hint: usize) -> Option<usize> {
        let is_it = |at: usize| self.candidates.get(at).is_some_and(|found| found.id == id);
        let at = if is_it(hint) {
            hint
        } else {
            self.candidates.iter().position(|candidate| candidate.id == id)?
        };
        self.candidates.get(at).filter(|found| self.weight(found) > 0.0).map(|_| at)
    }
}

/// Where a candidate's endpoint is among the members; `None`: it is none of them.
fn member_of(members: &[Member], id: u64, hint: usize) -> Option<usize> {
    if members.get(hint).is_some_and(|member| member.id == id) {
        return Some(hint);
    }
    members.iter().position(|member| member.id == id)
}
