//! Pools that endpoints cannot do without in their region.

use std::sync::Arc;
use std::time::Duration;

use super::{CauseKind, EndpointHealth, Level};
use crate::clock::Tick;
use crate::model::{Endpoint, Fleet, PoolId, RegionId};

/// The best level that at least `min_up` of the weight of a pool's endpoints in a region is at or
/// above, given each one's level and weight.
///
/// Endpoints of weight 0 count where there are no others, and one of them is enough.
pub fn region_level(members: impl Iterator<Item = (Level, u64)> + Clone, min_up: f64) -> Level {
    let weight = |worst: Level| -> u64 {
        members.clone().filter(|(level, _)| *level <= worst).map(|(_, weight)| weight).sum()
    };
    let total = weight(Level::Down);
    if total == 0 {
        return members.map(|(level, _)| level).min().unwrap_or(Level::Down);
    }
    let enough = |part: u64| part > 0 && part as f64 + 1e-6 >= min_up * total as f64;
    let levels = [Level::Up, Level::Unknown, Level::Drained];
    levels.into_iter().find(|level| enough(weight(*level))).unwrap_or(Level::Down)
}

/// One pool in one region on which endpoints depend.
#[derive(Clone, Debug)]
struct Need {
    pool: PoolId,
    region: RegionId,
    name: Arc<str>,
    min_up: f64,
    /// Places of the endpoints that it is made of, with their weights.
    members: Vec<(usize, u64)>,
    /// Places of the endpoints that depend on it.
    dependents: Vec<usize>,
    /// How it is; kept, so that dependents are judged only when it changes.
    footing: Footing,
}

/// How a pool is in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Footing {
    level: Level,
    /// Why it is no better than that: the first endpoint at this level or below.
    cause: Arc<str>,
    kind: Option<CauseKind>,
    since: Tick,
    earliest_change: Option<Duration>,
}

/// The needs of a fleet.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    list: Vec<Need>,
    /// For each endpoint, what it needs; empty: nothing. So are the others.
    needed: Vec<Vec<usize>>,
    /// For each endpoint, what it is a part of.
    supported: Vec<Vec<usize>>,
    /// The endpoints that need something, each after all that it needs.
    pub(super) order: Vec<usize>,
}

impl Needs {
    /// The needs of a fleet without loops.
    pub(super) fn of(fleet: &Fleet) -> Self {
        let mut needs = Self {
            needed: vec![Vec::new(); fleet.endpoints.len()],
            supported: vec![Vec::new(); fleet.endpoints.len()],
            ..Self::default()
        };
        for (at, endpoint) in fleet.endpoints.iter().enumerate() {
            for pool in &endpoint.depends_on {
                let nth = needs.need(fleet, *pool, endpoint.region);
                needs.list.get_mut(nth).into_iter().for_each(|need| need.dependents.push(at));
                needs.needed.get_mut(at).into_iter().for_each(|list| list.push(nth));
            }
        }
        let mut depths = vec![None; fleet.pools.len()];
        let dependents = (0..).zip(&fleet.endpoints).filter(|(_, one)| !one.depends_on.is_empty());
        let mut order: Vec<(usize, usize)> =
            dependents.map(|(at, one)| (depth(fleet, one.pool, &mut depths), at)).collect();
        order.sort_unstable();
        needs.order = order.into_iter().map(|(_, at)| at).collect();
        needs
    }

    /// The place of a need, which is made when it is first asked for.
    fn need(&mut self, fleet: &Fleet, pool: PoolId, region: RegionId) -> usize {
        let known = |need: &Need| (need.pool, need.region) == (pool, region);
        if let Some(nth) = self.list.iter().position(known) {
            return nth;
        }
        let found = fleet.pool(pool);
        let here = fleet.endpoints_of(found).filter(|(_, endpoint)| endpoint.region == region);
        let member = |(id, endpoint): (_, &Endpoint)| {
            let crate::model::EndpointId(at) = id;
            (at as usize, u64::from(endpoint.weight))
        };
        let members: Vec<_> = here.map(member).collect();
        for (at, _) in &members {
            self.supported.get_mut(*at).into_iter().for_each(|list| list.push(self.list.len()));
        }
        let name = found.name.as_str().into();
        let (dependents, footing) = (Vec::new(), Footing::unknown());
        let min_up = found.min_up;
        self.list.push(Need { pool, region, name, min_up, members, dependents, footing });
        self.list.len() - 1
    }

    /// What an endpoint needs.
    fn needed(&self, at: usize) -> impl Iterator<Item = &Need> {
        self.needed.get(at).into_iter().flatten().filter_map(|nth| self.list.get(*nth))
    }

    /// Looks anew at what an endpoint needs.
    pub(super) fn settle(&mut self, at: usize, health: &[EndpointHealth]) {
        for nth in self.needed.get(at).into_iter().flatten() {
            if let Some(need) = self.list.get_mut(*nth) {
                need.footing = need.stand(health);
            }
        }
    }

    /// Looks anew at what an endpoint is a part of, and gives the endpoints that depend on what is
    /// no longer as it was.
    pub(super) fn shaken(&mut self, at: usize, health: &[EndpointHealth]) -> Vec<usize> {
        let mut dependents = Vec::new();
        for nth in self.supported.get(at).into_iter().flatten() {
            let Some(need) = self.list.get_mut(*nth) else { continue };
            let footing = need.stand(health);
            if need.footing != footing {
                need.footing = footing;
                dependents.extend(&need.dependents);
            }
        }
        dependents
    }

    /// Whether something that an endpoint needs is down.
    pub(super) fn is_lacking(&self, at: usize) -> bool {
        self.needed(at).any(|need| need.footing.level == Level::Down)
    }

    /// What an endpoint's own health comes to beside all that it needs: the worst of them.
    pub(super) fn burden(&self, at: usize, own: EndpointHealth) -> EndpointHealth {
        self.needed(at).fold(own, |mut health, need| {
            let footing = &need.footing;
            if footing.level > health.level {
                let words = match footing.level {
                    Level::Unknown => "not known to be up",
                    level => level.as_str(),
                };
                health.cause =
                    format!("pool {} is {words} here: {}", need.name, footing.cause).into();
                (health.level, health.kind) = (footing.level, footing.kind);
                health.is_down_by_traffic = false;
                (health.since, health.earliest_change) = (footing.since, footing.earliest_change);
            } else if footing.level == health.level {
                let times = health.earliest_change.into_iter().chain(footing.earliest_change);
                health.earliest_change = times.min();
            }
            health
        })
    }
}

/// Makes no endpoint better than what it depends on, where `levels` are those of all endpoints by
/// themselves; those that `is_forced` says are left as they are.
pub(crate) fn burdened(fleet: &Fleet, levels: &mut [Level], is_forced: impl Fn(usize) -> bool) {
    let needs = Needs::of(fleet);
    for at in needs.order.iter().copied().filter(|at| !is_forced(*at)) {
        let known = |(member, weight): &(usize, u64)| Some((*levels.get(*member)?, *weight));
        let needed = needs.needed(at);
        let worst =
            needed.map(|n| region_level(n.members.iter().filter_map(known), n.min_up)).max();
        if let (Some(worst), Some(level)) = (worst, levels.get_mut(at)) {
            *level = worst.max(*level);
        }
    }
}

impl Need {
    /// How it is, by the health of all endpoints.
    fn stand(&self, health: &[EndpointHealth]) -> Footing {
        let members = || {
            let known = self.members.iter();
            known.filter_map(|(at, weight)| Some((health.get(*at)?, *weight)))
        };
        let level = region_level(members().map(|(one, weight)| (one.level, weight)), self.min_up);
        let at_level = || members().map(|(one, _)| one).filter(|one| one.level >= level);
        let first = at_level().next();
        Footing {
            level,
            cause: first.map_or_else(|| "it has no endpoint".into(), |one| one.cause.clone()),
            kind: at_level().find_map(|one| one.kind).filter(|_| level == Level::Down),
            since: at_level().map(|one| one.since).max().unwrap_or_default(),
            earliest_change: members().filter_map(|(one, _)| one.earliest_change).min(),
        }
    }
}

impl Footing {
    fn unknown() -> Self {
        let (level, cause) = (Level::Unknown, "not judged yet".into());
        Self { level, cause, kind: None, since: Tick::START, earliest_change: None }
    }
}

/// How many pools stand below this one; the model has no loops.
fn depth(fleet: &Fleet, pool: PoolId, known: &mut Vec<Option<usize>>) -> usize {
    if let Some(depth) = known.get(usize::from(pool.0)).copied().flatten() {
        return depth;
    }
    let mut below: Vec<PoolId> =
        fleet.endpoints_of(fleet.pool(pool)).flat_map(|(_, one)| one.depends_on.clone()).collect();
    below.sort_unstable();
    below.dedup();
    let depth = below.iter().map(|id| depth(fleet, *id, known) + 1).max().unwrap_or(0);
    known.get_mut(usize::from(pool.0)).into_iter().for_each(|entry| *entry = Some(depth));
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Down, Drained, Unknown, Up};

    /// A name, the endpoints, `min_up`, and the level that follows.
    type Case<'a> = (&'a str, &'a [(Level, u64)], f64, Level);

    #[test]
    fn enough_of_the_weight_makes_the_level() {
        let cases: [Case<'_>; 12] = [
            ("nothing", &[], 0.5, Down),
            ("one up", &[(Up, 1)], 0.5, Up),
            ("half up is enough", &[(Up, 1), (Down, 1)], 0.5, Up),
            ("half up is not", &[(Up, 1), (Down, 1)], 0.6, Down),
            ("the heavy one counts", &[(Up, 3), (Down, 1)], 0.7, Up),
            ("unknown may be enough", &[(Up, 1), (Unknown, 1), (Down, 1)], 0.6, Unknown),
            ("drained may be enough", &[(Up, 1), (Drained, 1), (Down, 1)], 0.6, Drained),
            ("all drained", &[(Drained, 1)], 0.5, Drained),
            ("all down", &[(Down, 1), (Down, 1)], 0.0, Down),
            ("any part will do", &[(Up, 1), (Down, 99)], 0.0, Up),
            ("of weight 0 one is enough", &[(Up, 0), (Down, 0)], 1.0, Up),
            ("beside others weight 0 says nothing", &[(Up, 0), (Down, 1)], 0.5, Down),
        ];
        for (case, members, min_up, expected) in cases {
            assert_eq!(region_level(members.iter().copied(), min_up), expected, "{case}");
        }
    }
}
