//! Whether a drill may run: nothing is in its way, and what is left can carry it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Tick;
use crate::diagnostic::nearest;
use crate::health::overrides::{Draft, OverrideSet, Scope, Target, losses, resolve};
use crate::health::{Action, Level, Mode};
use crate::model::{Address, EndpointId, How, PoolId, RegionId, Service};
use crate::name::Name;
use crate::snapshot::State;

/// Findings of one sort that are told; of more only the number is.
const TOLD_MAX: usize = 5;
/// Load that a survivor may have where the drill does not say: all of its capacity.
const LOAD_MAX: f64 = 1.0;

/// What somebody means to do.
#[derive(Clone, Debug, Default)]
pub struct Intent {
    /// What the drill is called.
    pub name: String,
    /// What is taken out, as overrides write their targets.
    pub fail: Vec<String>,
    /// How.
    pub how: How,
    /// The services that are looked at.
    pub services: Vec<String>,
    /// Regions whose loss ends it early, as `region:NAME`.
    pub guarded: Vec<String>,
    /// Highest share of their capacity that survivors may have as load; `None`: all of it.
    pub load_max: Option<f64>,
}

/// What a pool has to do in a region, and could do, in requests a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burden {
    /// The pool.
    pub pool: PoolId,
    /// The region.
    pub region: RegionId,
    /// Requests a second now.
    pub load: f64,
    /// Requests a second that it can take.
    pub capacity: f64,
}

/// What is known at the moment.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Fleet, zones and health.
    pub state: &'a State,
    /// What operators have decided.
    pub overrides: &'a OverrideSet,
    /// What pools have to do; `None`: nobody measures it.
    pub burdens: Option<&'a [Burden]>,
    /// The time.
    pub now: Tick,
}

/// Why a drill may not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The value of the drill that is wrong, such as `fail[0]`; empty: none is.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    fn new(key: impl Into<String>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), hint: hint.into() }
    }
}

/// A region that remains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Survivor {
    /// Name of the region.
    pub region: String,
    /// Endpoints of the services that serve there.
    pub endpoints: usize,
    /// Share of its capacity that it would have as load; null: not known.
    pub load: Option<f64>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Preflight {
    /// Why it may not run; empty: it may.
    pub refusals: Vec<Finding>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// The addresses that answers are to lose.
    pub lost: Vec<IpAddr>,
    /// What remains.
    pub survivors: Vec<Survivor>,
}

/// Judges a drill before it runs.
pub fn preflight(intent: &Intent, world: &World<'_>) -> Preflight {
    let mut found = Preflight::default();
    let taken = targets(intent, world, &mut found.refusals);
    let services = services(intent, world, &mut found.refusals);
    guarded(intent, world, &mut found.refusals);
    if !found.refusals.is_empty() {
        // What is wrong in itself makes all else guesswork.
        return found;
    }
    let inquiry = Inquiry { world, taken: &taken, services: &services };
    found.refusals.extend(overlap(world));
    found.refusals.extend(inquiry.unfit());
    found.refusals.extend(inquiry.losses(intent));
    found.refusals.extend(inquiry.overload(intent.load_max.unwrap_or(LOAD_MAX)));
    if world.burdens.is_none() {
        let note = "no load is measured, so nobody knows whether the survivors can carry it";
        found.notes.push(note.to_owned());
    }
    found.lost = inquiry.lost();
    found.survivors = inquiry.survivors();
    found
}

/// The endpoints that are to be taken out.
fn targets(
    intent: &Intent,
    world: &World<'_>,
    refusals: &mut Vec<Finding>,
) -> BTreeSet<EndpointId> {
    let mut all = BTreeSet::new();
    for (at, text) in intent.fail.iter().enumerate() {
        let met = text.parse::<Target>();
        let met = met.and_then(|target| target.endpoints(&world.state.loaded.model.fleet));
        match met {
            Ok(met) => all.extend(met),
            Err(error) => {
                refusals.push(Finding::new(format!("fail[{at}]"), error.what, error.hint));
            }
        }
    }
    if intent.fail.is_empty() {
        refusals.push(Finding::new("fail", "nothing is to fail", "name a region"));
    }
    all
}

/// The services by their names.
fn services<'a>(
    intent: &Intent,
    world: &World<'a>,
    refusals: &mut Vec<Finding>,
) -> Vec<&'a Service> {
    let all = || world.state.loaded.model.zones.iter().flat_map(|zone| &zone.services);
    let mut found = Vec::new();
    for (at, text) in intent.services.iter().enumerate() {
        let name = Name::parse(text, &Name::root()).ok();
        if let Some(service) = all().find(|service| Some(&service.owner) == name.as_ref()) {
            found.push(service);
            continue;
        }
        let known: Vec<String> = all().map(|service| service.owner.to_string()).collect();
        let dotted = format!("{}.", text.trim_end_matches('.'));
        let hint = match nearest(&dotted, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{}`?", near.trim_end_matches('.')),
            None => "name one of zones/NAME.toml in full".to_owned(),
        };
        let what = format!("no service `{text}`");
        refusals.push(Finding::new(format!("services[{at}]"), what, hint));
    }
    if intent.services.is_empty() {
        let hint = "name those whose answers are to be looked at";
        refusals.push(Finding::new("services", "no service is named", hint));
    }
    found
}

/// The regions whose loss would end it.
fn guarded(intent: &Intent, world: &World<'_>, refusals: &mut Vec<Finding>) {
    let fleet = &world.state.loaded.model.fleet;
    for (at, text) in intent.guarded.iter().enumerate() {
        let met = text.parse::<Target>().and_then(|target| target.endpoints(fleet));
        if let Err(error) = met {
            refusals.push(Finding::new(format!("down[{at}]"), error.what, error.hint));
        }
    }
}

/// Two drills at a time prove nothing, and may take more than either was meant to.
fn overlap(world: &World<'_>) -> Option<Finding> {
    let other = world.overrides.overrides().find(|one| one.drill.is_some())?;
    let name = other.drill.as_deref().unwrap_or_default();
    let what = format!("the drill `{name}` of {} is under way", other.author);
    let hint = format!("wait for its end, or `meridian force clear {}`", other.id);
    Some(Finding::new("", what, hint))
}

/// A drill that is meant for a fleet.
struct Inquiry<'a> {
    world: &'a World<'a>,
    taken: &'a BTreeSet<EndpointId>,
    services: &'a [&'a Service],
}

impl Inquiry<'_> {
    fn level(&self, id: EndpointId) -> Level {
        let health = self.world.state.health.get(id.0 as usize);
        health.map_or(Level::Unknown, |health| health.level)
    }

    /// The pools of the services.
    fn pools(&self) -> BTreeSet<PoolId> {
        self.services.iter().flat_map(|service| service.pools.iter().copied()).collect()
    }

    /// The endpoints behind the services.
    fn members(&self) -> Vec<EndpointId> {
        let fleet = &self.world.state.loaded.model.fleet;
        let pools = self.pools();
        let members = pools.iter().flat_map(|pool| fleet.endpoints_of(fleet.pool(*pool)));
        members.map(|(id, _)| id).collect()
    }

    /// What is amiss already: a drill shows what a failure does to a fleet that is well.
    fn unfit(&self) -> Vec<Finding> {
        let state = self.world.state;
        let fleet = &state.loaded.model.fleet;
        let mut found = Vec::new();
        if matches!(state.council.mode, Mode::Degraded | Mode::Isolated) {
            let mode = state.council.mode.as_str();
            let what = format!("this node is {mode}: not every probing region is heard");
            found.push(Finding::new("", what, "wait until `meridian status` shows all peers"));
        }
        if state.council.suspect {
            let what = "most of the fleet seems to fail at once to this node";
            found.push(Finding::new("", what, "look at its network first"));
        }
        let members = self.members();
        let unwell = members.iter().filter(|id| self.level(**id) != Level::Up);
        let unwell: Vec<String> = unwell
            .map(|id| {
                let endpoint = fleet.endpoint(*id);
                let region = &fleet.region(endpoint.region).name;
                let level = self.level(*id).as_str();
                format!("{} in {region} is {level}", endpoint.address)
            })
            .collect();
        if !unwell.is_empty() {
            let mut told: Vec<&str> = unwell.iter().take(TOLD_MAX).map(String::as_str).collect();
            let more = format!("and {} more", unwell.len().saturating_sub(TOLD_MAX));
            if unwell.len() > TOLD_MAX {
                told.push(&more);
            }
            let what = format!("the fleet is not healthy: {}", told.join(", "));
            found.push(Finding::new("", what, "drills are for a fleet that is well"));
        }
        if !members.iter().any(|id| self.taken.contains(id)) {
            let what = "nothing that is to fail is behind these services";
            found.push(Finding::new("fail", what, "name a region that they are answered from"));
        }
        found
    }

    /// What the rules for operators' acts say of it, and whether a service would have no region.
    fn losses(&self, intent: &Intent) -> Vec<Finding> {
        let model = &self.world.state.loaded.model;
        let mut after = self.world.overrides.clone();
        let action = if intent.how == How::Drain { Action::Drain } else { Action::Down };
        for (at, target) in intent.fail.iter().enumerate() {
            let Ok(target) = target.parse::<Target>() else { continue };
            let draft = Draft {
                action,
                target,
                reason: intent.name.clone(),
                author: String::new(),
                lasts: Some(Duration::from_secs(1)),
                scope: Scope::Fleet,
                anyway: false,
                drill: Some(intent.name.clone()),
            };
            if let Err(mistake) = after.set(draft, format!("drill-{at}"), self.world.now, 0) {
                return vec![Finding::new(format!("fail[{at}]"), mistake.what, mistake.hint)];
            }
        }
        let forced = resolve(after.overrides(), &model.fleet);
        let lost = losses(model, |id| self.level(id), &forced);
        let mut found: Vec<Finding> = lost
            .iter()
            .take(TOLD_MAX)
            .map(|loss| {
                let hint = format!("`{}` of [safety] forbids it; fail less", loss.rule.key());
                Finding::new("fail", loss.to_string(), hint)
            })
            .collect();
        for service in self.services {
            let endpoints = |pool: &PoolId| model.fleet.endpoints_of(model.fleet.pool(*pool));
            let mut left = service.pools.iter().flat_map(endpoints);
            if !left.any(|(id, _)| !self.taken.contains(&id)) && found.is_empty() {
                let what = format!("`{}` would lose its last region", service.owner);
                found.push(Finding::new("fail", what, "fail less, or add another region"));
            }
        }
        found
    }

    /// The load of survivors: what is lost goes to them by their capacity, pool by pool.
    fn loads(&self) -> BTreeMap<RegionId, (f64, f64)> {
        let fleet = &self.world.state.loaded.model.fleet;
        let mut loads: BTreeMap<RegionId, (f64, f64)> = BTreeMap::new();
        for pool in self.pools() {
            let burdens = self.world.burdens.unwrap_or_default();
            let of_pool: Vec<&Burden> = burdens.iter().filter(|b| b.pool == pool).collect();
            // Of a region that is taken out in part, that part of its load is lost.
            let weight = |region: RegionId, taken: bool| -> f64 {
                let there = fleet.endpoints_of(fleet.pool(pool));
                let there = there.filter(|(id, endpoint)| {
                    endpoint.region == region && (!taken || self.taken.contains(id))
                });
                there.map(|(_, endpoint)| f64::from(endpoint.weight.max(1))).sum()
            };
            let share = |b: &Burden| {
                let whole = weight(b.region, false);
                if whole > 0.0 { weight(b.region, true) / whole } else { 0.0 }
            };
            let lost: f64 = of_pool.iter().map(|b| b.load * share(b)).sum();
            let left: f64 = of_pool.iter().map(|b| b.capacity * (1.0 - share(b))).sum();
            for burden in of_pool.iter().filter(|b| share(b) < 1.0) {
                let capacity = burden.capacity * (1.0 - share(burden));
                let more = if left > 0.0 { lost * capacity / left } else { lost };
                let (load, whole) = loads.entry(burden.region).or_default();
                *load += burden.load * (1.0 - share(burden)) + more;
                *whole += capacity;
            }
        }
        loads
    }

    /// Survivors that could not carry it.
    fn overload(&self, most: f64) -> Vec<Finding> {
        let fleet = &self.world.state.loaded.model.fleet;
        let over = self.loads().into_iter().filter(|(_, (load, capacity))| *load > most * capacity);
        over.map(|(region, (load, capacity))| {
            let name = &fleet.region(region).name;
            let percent = if capacity > 0.0 { 100.0 * load / capacity } else { f64::INFINITY };
            let what = format!(
                "`{name}` would have {load:.0} requests a second, {percent:.0} % of its capacity"
            );
            let hint = format!("{:.0} % is allowed; wait for less traffic", 100.0 * most);
            Finding::new("", what, hint)
        })
        .collect()
    }

    /// The addresses that answers would lose, but for those that other endpoints have, too.
    fn lost(&self) -> Vec<IpAddr> {
        let state = self.world.state;
        let addresses = |id: EndpointId| -> Vec<IpAddr> {
            match &state.loaded.model.fleet.endpoint(id).address {
                Address::Ip(address) => vec![*address],
                Address::Host(name) => {
                    state.hosts.get(name).map_or_else(Vec::new, |r| r.addresses().collect())
                }
            }
        };
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.members().into_iter().partition(|id| self.taken.contains(id));
        let kept: BTreeSet<IpAddr> = kept.into_iter().flat_map(addresses).collect();
        let gone: BTreeSet<IpAddr> = gone.into_iter().flat_map(addresses).collect();
        gone.difference(&kept).copied().collect()
    }

    fn survivors(&self) -> Vec<Survivor> {
        let fleet = &self.world.state.loaded.model.fleet;
        let mut left: BTreeMap<RegionId, usize> = BTreeMap::new();
        for id in self.members().into_iter().filter(|id| !self.taken.contains(id)) {
            *left.entry(fleet.endpoint(id).region).or_default() += 1;
        }
        let loads = self.loads();
        left.into_iter()
            .map(|(region, endpoints)| Survivor {
                region: fleet.region(region).name.clone(),
                endpoints,
                load: loads
                    .get(&region)
                    .filter(|(_, capacity)| *capacity > 0.0)
                    .map(|(load, capacity)| load / capacity),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
