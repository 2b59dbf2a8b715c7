//! One service's contest: the regions and endpoints that compete, and the rules.

use std::time::Duration;

use super::eligible::{Eligible, eligible};
use super::failback::mixed;
use super::opinion::{Opinions, allowed};
use super::ranking::rank;
use super::relevance::relevant;
use super::{
    Candidate, Class, Decision, FULL, Family, Grade, Local, Opinion, Outcome, Pick, Presence, Step,
    View, decision,
};
use crate::health::{Level, region_level};
use crate::latency::Estimate;
use crate::model::TtlRange;
use crate::model::{
    Address, AllDown, Endpoint, EndpointId, Failback, Fence, Fleet, Method, NetworkId, PoolId,
    RegionId, Service, Spill,
};
use crate::place::Place;

/// What competes for a service's answers, and by which rules; independent of health and clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    regions: Vec<RegionId>,
    /// Per pool, its endpoints by region, then in the order of the file.
    pools: Vec<(PoolId, Vec<(Local, EndpointId)>)>,
    /// The methods that rank regions.
    pub(super) methods: Vec<Method>,
    pick: Pick,
    answers: u16,
    ttl: TtlRange,
    all_down: AllDown,
    failback: Failback,
    alias: bool,
    direct: bool,
    /// See [`Contest::circles`].
    circles: Vec<Vec<u16>>,
}

impl Contest {
    /// The contest of `service`. `lone` says that the owner name may be an alias: it is not the
    /// apex and has no static records.
    ///
    /// A service is answered with CNAMEs only when all of its endpoints are hostnames: a resolver
    /// that holds a CNAME uses it for every type, so that an answer of another endpoint's address
    /// for AAAA would never be asked for.
    pub fn new(service: &Service, fleet: &Fleet, lone: bool) -> Self {
        let competes =
            |endpoint: &Endpoint| service.only.is_none_or(|only| endpoint.region == only);
        let of = |pool: PoolId| {
            fleet.endpoints_of(fleet.pool(pool)).filter(move |(_, endpoint)| competes(endpoint))
        };
        let endpoints = || service.pools.iter().flat_map(|pool| of(*pool));
        let mut regions: Vec<RegionId> = endpoints().map(|(_, endpoint)| endpoint.region).collect();
        regions.sort_unstable();
        regions.dedup();
        let local = |region: RegionId| regions.binary_search(&region).unwrap_or(0) as Local;
        let members = |pool: PoolId| {
            let mut members: Vec<(Local, EndpointId)> =
                of(pool).map(|(id, endpoint)| (local(endpoint.region), id)).collect();
            members.sort_unstable();
            (pool, members)
        };
        let pick = service.policy.iter().find_map(Pick::of).unwrap_or(Pick::Weighted);
        let hosts_only = endpoints().all(|(_, e)| matches!(e.address, Address::Host(_)));
        let methods: Vec<Method> =
            service.policy.iter().take_while(|m| !m.picks()).cloned().collect();
        Self {
            pools: service.pools.iter().map(|pool| members(*pool)).collect(),
            circles: super::fence::circles(&methods, &regions, fleet),
            methods,
            pick,
            answers: service.answers.unwrap_or(super::PICKS_MAX as u16),
            ttl: service.ttl,
            all_down: service.all_down.clone(),
            failback: service.failback,
            direct: service.only.is_some(),
            alias: lone && hosts_only && service.answers == Some(1) && !regions.is_empty(),
            regions,
        }
    }

    /// The regions that compete, by local index.
    pub fn regions(&self) -> &[RegionId] {
        &self.regions
    }

    /// The service's pools, in order of preference.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> {
        self.pools.iter().map(|(pool, _)| *pool)
    }

    /// A pool's endpoints, by region.
    pub fn members(&self, pool: PoolId) -> &[(Local, EndpointId)] {
        let found = self.pools.iter().find(|(other, _)| *other == pool);
        found.map_or(&[], |(_, members)| members.as_slice())
    }

    /// Whether the service is answered with CNAMEs, for every query type.
    pub fn is_alias(&self) -> bool {
        self.alias
    }

    /// Whether it is of a direct name, which answers one region whatever its health.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// How one or several of the tied candidates are picked.
    pub fn pick(&self) -> Pick {
        self.pick
    }

    /// Most records in an answer.
    pub fn answers(&self) -> usize {
        usize::from(self.answers)
    }

    /// Bounds of the TTL.
    pub fn ttl(&self) -> TtlRange {
        self.ttl
    }

    /// The rule for when nothing is up.
    pub fn all_down(&self) -> &AllDown {
        &self.all_down
    }

    /// How a region that was gone comes back.
    pub fn failback(&self) -> Failback {
        self.failback
    }

    /// How much of a region is there: by weight, in the pool where most is.
    pub fn presence(&self, region: Local, view: &View<'_>) -> Presence {
        let pools = self.pools.iter().map(|(pool, members)| {
            let members = members.iter().filter(|(other, _)| *other == region);
            let states = members.map(|(_, id)| {
                let weight = view.fleet.endpoint(*id).weight;
                (view.level(*id), u64::from(weight), view.is_forced_up(*id))
            });
            presence(states, view.fleet.pool(*pool).min_up)
        });
        pools.min().unwrap_or(Presence::Gone)
    }

    /// What clients of a class get from the regions that are fully there, where some of `best` are
    /// on their way back: these take over from them bit by bit.
    pub fn rest(
        &self,
        class: &Class,
        family: Family,
        best: &[Local],
        view: &View<'_>,
    ) -> Vec<Candidate> {
        if best.iter().all(|region| view.share(*region) == FULL) {
            return Vec::new();
        }
        let whole = |region: Local| class.allows(region) && view.share(region) == FULL;
        let Some(found) = eligible(self, family, view, whole) else { return Vec::new() };
        if found.grade >= Grade::Returning {
            return Vec::new();
        }
        let (best, _) = self.best(class, &found, view);
        found.candidates.into_iter().filter(|c| best.contains(&c.region)).collect()
    }

    /// Whether any method asks where the client is.
    pub fn locates(&self) -> bool {
        let located = |method: &Method| match method {
            Method::Network
            | Method::Fence { .. }
            | Method::Proximity { .. }
            | Method::Latency { .. } => true,
            Method::Nearest { tolerance, .. } => *tolerance > 0.0,
            _ => false,
        };
        self.methods.iter().any(located)
    }

    /// Whether any method goes by what the geo databases say; lists of prefixes need none.
    pub fn asks_databases(&self, fleet: &Fleet) -> bool {
        let listed =
            || fleet.networks.iter().any(|n| !n.asns.is_empty() || !n.countries.is_empty());
        let asks = |method: &Method| match method {
            Method::Network | Method::Fence { by: Fence::Network(_), .. } => listed(),
            Method::Fence { .. } | Method::Proximity { .. } | Method::Latency { .. } => true,
            Method::Nearest { tolerance, .. } => *tolerance > 0.0,
            _ => false,
        };
        self.methods.iter().any(asks)
    }

    /// Whether any method goes by measured round trips.
    pub fn measures(&self) -> bool {
        self.methods.iter().any(|method| matches!(method, Method::Latency { .. }))
    }

    /// What a client's whereabouts say about the regions, and its round trips to all regions of the
    /// fleet, as far as anything was measured.
    pub fn opinions(
        &self,
        place: &Place,
        network: Option<NetworkId>,
        estimates: &[Estimate],
        fleet: &Fleet,
    ) -> Opinions {
        let listed = network.and_then(|id| fleet.networks.get(usize::from(id.0)));
        let opinion = |method: &Method| match method {
            Method::Network => super::network::opinion(listed, &self.regions),
            Method::Fence { by, strict } => {
                super::fence::opinion(*by, *strict, place, network, &self.regions, fleet)
            }
            Method::Proximity { bias, tolerance } => {
                super::proximity::opinion(place.point, bias, *tolerance, &self.regions, fleet)
            }
            Method::Latency { tolerance, .. } => {
                super::latency::opinion(estimates, *tolerance, &self.regions)
            }
            Method::Nearest { tolerance, .. } => {
                super::nearest::opinion(place.point, *tolerance, &self.regions, fleet)
            }
            Method::Order { regions } => super::order::opinion(regions, &self.regions),
            Method::Spill(_) | Method::Weighted | Method::Affinity { .. } | Method::Rotate => {
                Opinion::None
            }
        };
        self.methods.iter().map(opinion).collect()
    }

    /// The class of clients of whom the methods have these opinions, as far as they matter.
    pub fn class(&self, opinions: &[Opinion]) -> Class {
        let all = 0..self.regions.len() as Local;
        let regions: Vec<Local> = all.filter(|region| allowed(opinions, *region)).collect();
        let opinions = relevant(&self.methods, opinions, &regions, self.regions.len());
        let tiers = rank(&self.methods, &opinions, &regions, None);
        Class { opinions, tiers: if regions.is_empty() { Vec::new() } else { tiers } }
    }

    /// What may be answered to clients that are allowed these regions; `None`: all is down.
    pub fn eligible(
        &self,
        family: Family,
        view: &View<'_>,
        allowed: impl Fn(Local) -> bool,
    ) -> Option<Eligible> {
        eligible(self, family, view, allowed)
    }

    /// The shortest time in which an endpoint could change an answer: by its health, or by what its
    /// hostname resolves to, where that is answered. `None`: it cannot.
    pub fn earliest_change(&self, id: EndpointId, view: &View<'_>) -> Option<Duration> {
        let health = view.health.get(id.0 as usize).filter(|_| !self.direct);
        let health = health.and_then(|health| health.earliest_change);
        let resolved = match &view.fleet.endpoint(id).address {
            Address::Host(name) if !self.alias => view.hosts.get(name),
            _ => None,
        };
        health.into_iter().chain(resolved.and_then(|resolved| resolved.ttl)).min()
    }

    /// How clients leave regions that are full or gone; `None`: they do not, or all are answered.
    pub fn spill(&self) -> Option<&Spill> {
        let spill = self.methods.iter().find_map(|method| match method {
            Method::Spill(spill) => Some(spill),
            _ => None,
        });
        spill.filter(|_| self.pick != Pick::Rotate)
    }

    /// Circles of regions that clients leave for lack of room alone, the narrowest first: by
    /// region, the number of its circle. Those of fences.
    pub fn circles(&self) -> &[Vec<u16>] {
        &self.circles
    }

    /// The eligible regions in first place for a class, and the TTL of an answer from them.
    pub fn best(&self, class: &Class, found: &Eligible, view: &View<'_>) -> (Vec<Local>, Duration) {
        let best = super::spilled::regions(self, class, found, view).unwrap_or_else(|| {
            let tiers = rank(&self.methods, &class.opinions, &found.regions(), None);
            tiers.into_iter().next().unwrap_or_default()
        });
        let (ttl, _) = decision::ttl(self, class, view, found.pool, &best);
        (best, ttl)
    }

    /// The regions whose clients a class are where load decides where those go; else none.
    pub fn homes(&self, class: &Class, found: &Eligible, view: &View<'_>) -> Vec<Local> {
        super::spilled::homes(self, class, found, view)
    }

    /// Decides for a class of clients, with all steps.
    pub fn decide(&self, class: &Class, family: Family, view: &View<'_>) -> Decision {
        let found = eligible(self, family, view, |region| class.allows(region));
        let Some(found) = found else { return decision::all_down(self, class, family, view) };
        let mut steps = Vec::new();
        let tiers = rank(&self.methods, &class.opinions, &found.regions(), Some(&mut steps));
        let mut best = tiers.into_iter().next().unwrap_or_default();
        let eligible = Some((found.pool, found.grade));
        let spilled = super::spilled::spilled(self, class, family, &found, view);
        let is_spilled = spilled.is_some();
        let mut tied;
        if let Some(spilled) = spilled {
            tied = spilled.candidates;
            note(&mut steps, &spilled.regions);
            best = spilled.regions;
        } else {
            let rest = self.rest(class, family, &best, view);
            tied = found.candidates;
            tied.retain(|candidate| best.contains(&candidate.region));
            if !rest.is_empty() {
                tied = mixed(tied, &rest, |region| view.share(region));
            }
        }
        let (ttl, first_change) = decision::ttl(self, class, view, found.pool, &best);
        // The order of the files must not matter to picks.
        tied.sort();
        Decision { eligible, steps, outcome: Outcome::Tied(tied), is_spilled, ttl, first_change }
    }
}

/// Notes in the steps which regions load leaves the clients, whatever the methods after it say.
fn note(steps: &mut [Step], regions: &[Local]) {
    let spill = steps.iter_mut().skip_while(|step| step.method != Method::SPILL);
    for step in spill {
        step.spoke = step.method == Method::SPILL;
        for tier in &mut step.tiers {
            tier.retain(|region| !regions.contains(region));
        }
        step.tiers.retain(|tier| !tier.is_empty());
        step.tiers.insert(0, regions.to_vec());
    }
}

/// How much is there of the endpoints of one region and pool, given as level, weight, and whether
/// an operator forces it up.
fn presence(states: impl Iterator<Item = (Level, u64, bool)> + Clone, min_up: f64) -> Presence {
    if states.clone().any(|(_, _, is_forced)| is_forced) {
        return Presence::Forced;
    }
    match region_level(states.map(|(level, weight, _)| (level, weight)), min_up) {
        Level::Up => Presence::Here,
        Level::Unknown => Presence::Doubtful,
        Level::Drained | Level::Down => Presence::Gone,
    }
}
