//! The outcome of a contest for one class of clients, with the steps that led to it.

use std::time::Duration;

use super::eligible::{Target, candidates};
use super::{Candidate, Class, Contest, FULL, Family, Grade, Local, Spread, Step};
use crate::health::{EndpointHealth, HostAddresses, Level, Resolved};
use crate::model::{Address, AllDown, EndpointId, Fleet, PoolId};
use crate::name::Name;

/// The state of the world a decision is made in.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Regions, pools and endpoints.
    pub fleet: &'a Fleet,
    /// By endpoint id.
    pub health: &'a [EndpointHealth],
    /// Addresses of hostname endpoints.
    pub hosts: &'a HostAddresses,
    /// What the service answered from before everything went down.
    pub last_good: &'a [EndpointId],
    /// By region of the contest: its part in the answers while it comes back, of [`FULL`]; a region
    /// that is not in it plays its full part.
    pub shares: &'a [u8],
    /// Where the clients of each region go by load; `None`: nothing is known of it.
    pub spread: Option<&'a Spread>,
}

impl View<'_> {
    /// Whether an operator forces an endpoint up.
    pub fn is_forced_up(&self, id: EndpointId) -> bool {
        self.health.get(id.0 as usize).is_some_and(|health| health.is_forced_up)
    }

    /// The part of a region, of [`FULL`].
    pub fn share(&self, region: Local) -> u8 {
        self.shares.get(usize::from(region)).copied().unwrap_or(FULL)
    }

    /// The level of an endpoint; one without health is unknown.
    pub fn level(&self, id: EndpointId) -> Level {
        self.health.get(id.0 as usize).map_or(Level::Unknown, |health| health.level)
    }
}

/// What a class of clients is answered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Pool and grade of what is eligible; `None` while everything is down.
    pub eligible: Option<(PoolId, Grade)>,
    /// What each method made of the eligible regions.
    pub steps: Vec<Step>,
    /// What is answered.
    pub outcome: Outcome,
    /// Whether load decides about the regions, so that they are drawn by their part in `outcome`.
    pub is_spilled: bool,
    /// TTL of the answer, within the service's bounds.
    pub ttl: Duration,
    /// The endpoint whose health or hostname could change the answer first; `None`: none can
    /// before the TTL's upper bound.
    pub first_change: Option<EndpointId>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One or several of these, which tie.
    Tied(Vec<Candidate>),
    /// A CNAME, by the rule for all down.
    Cname(Name),
    /// No records.
    NoData(NoData),
    /// SERVFAIL.
    ServFail,
}

/// Why there are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// The service has no endpoint of the family.
    Family,
    /// A strict fence forbids every region.
    Fenced,
    /// The rule for all down says so.
    AllDown,
}

/// The decision while nothing is eligible.
pub(super) fn all_down(
    contest: &Contest,
    class: &Class,
    family: Family,
    view: &View<'_>,
) -> Decision {
    let mut outcome = last_resort(contest, class, family, view);
    let ttl = match &mut outcome {
        Outcome::NoData(NoData::Family | NoData::Fenced) => contest.ttl().max,
        Outcome::Tied(tied) => {
            tied.sort();
            contest.ttl().min
        }
        _ => contest.ttl().min,
    };
    let (steps, is_spilled) = (Vec::new(), false);
    Decision { eligible: None, steps, outcome, is_spilled, ttl, first_change: None }
}

/// The TTL: the shortest time in which an endpoint's health or hostname could change the answer,
/// within the service's bounds. Endpoints of regions ranked after the answered ones cannot.
pub(super) fn ttl(
    contest: &Contest,
    class: &Class,
    view: &View<'_>,
    pool: PoolId,
    best: &[Local],
) -> (Duration, Option<EndpointId>) {
    let answered = |tier: &Vec<Local>| tier.iter().any(|region| best.contains(region));
    let last = class.tiers.iter().rposition(answered).map_or(0, |at| at + 1);
    let ahead = || class.tiers.iter().take(last).flatten();
    let mut pools: Vec<PoolId> = contest.pools().take_while(|other| *other != pool).collect();
    pools.push(pool);
    let soonest = pools
        .into_iter()
        .flat_map(|pool| contest.members(pool))
        .filter(|(region, _)| ahead().any(|other| other == region))
        .filter_map(|(_, id)| Some((contest.earliest_change(*id, view)?, *id)))
        .min();
    let range = contest.ttl();
    match soonest {
        Some((time, endpoint)) if time < range.max => (time.max(range.min), Some(endpoint)),
        _ => (range.max, None),
    }
}

/// What the service's rule for all down answers.
fn last_resort(contest: &Contest, class: &Class, family: Family, view: &View<'_>) -> Outcome {
    let every = |keep: &dyn Fn(EndpointId) -> bool| -> Vec<Candidate> {
        contest
            .pools()
            .flat_map(|pool| contest.members(pool))
            .filter(|(region, id)| class.allows(*region) && keep(*id))
            .flat_map(|(region, id)| candidates(contest, *region, *id, family, view))
            .collect()
    };
    let all = every(&|_| true);
    if all.is_empty() && !matches!(contest.all_down(), AllDown::Address(_) | AllDown::Cname(_)) {
        return no_candidates(contest, class, view);
    }
    let tied = match contest.all_down() {
        AllDown::All => all,
        AllDown::First => first(class, all),
        AllDown::LastGood => {
            let last = every(&|id| view.last_good.contains(&id));
            if last.is_empty() { all } else { first(class, last) }
        }
        AllDown::NoData => return Outcome::NoData(NoData::AllDown),
        AllDown::ServFail => return Outcome::ServFail,
        AllDown::Cname(target) => return Outcome::Cname(target.clone()),
        AllDown::Address(addresses) => {
            let of_family = addresses.iter().filter(|ip| ip.is_ipv4() == (family == Family::V4));
            let fixed: Vec<Candidate> = of_family
                .map(|ip| Candidate {
                    region: Local::MAX,
                    target: Target::Ip(*ip),
                    endpoint: EndpointId(u32::MAX),
                    weight: super::eligible::WEIGHT_UNIT,
                    group: None,
                })
                .collect();
            if fixed.is_empty() {
                return Outcome::NoData(NoData::Family);
            }
            fixed
        }
    };
    Outcome::Tied(tied)
}

/// Why a service has no candidate in a family at all.
fn no_candidates(contest: &Contest, class: &Class, view: &View<'_>) -> Outcome {
    let members = || contest.pools().flat_map(|pool| contest.members(pool));
    if !members().any(|(region, _)| class.allows(*region)) {
        return Outcome::NoData(NoData::Fenced);
    }
    // A hostname that no look-up has told of may have addresses; to deny them would be cached.
    let unresolved = members().any(|(_, id)| match &view.fleet.endpoint(*id).address {
        Address::Host(name) => view.hosts.get(name).is_none_or(Resolved::is_unknown),
        Address::Ip(_) => false,
    });
    if unresolved { Outcome::ServFail } else { Outcome::NoData(NoData::Family) }
}

/// Those of `candidates` that would be answered if all of them were up.
fn first(class: &Class, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let present = |tier: &&Vec<Local>| candidates.iter().any(|c| tier.contains(&c.region));
    let best = class.tiers.iter().find(present).cloned().unwrap_or_default();
    candidates.retain(|candidate| best.contains(&candidate.region));
    candidates
}
