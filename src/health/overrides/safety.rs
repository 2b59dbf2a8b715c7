//! What a service would lose by an operator's act.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::ledger::{Ledger, Share};
use crate::health::needs::burdened;
use crate::health::{Action, EndpointIdentity, Forced, Level};
use crate::model::{Address, EndpointId, Fleet, LastRecord, Model, Safety, Service};
use crate::name::Name;

/// A service that an act would leave with less than `[safety]` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The service, as a name with its zone.
    pub service: String,
    /// Number of regions that would be left.
    pub left: usize,
    /// Names of the regions that it would lose.
    pub regions: Vec<String>,
    /// The rule that forbids it.
    pub rule: Rule,
}

/// A rule of `[safety]` for operators' acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Too few regions would be left.
    MinRegions,
    /// Too little capacity would be left.
    MinCapacity {
        /// What would be left of it, in whole percent.
        percent: u64,
    },
    /// The last record of this type would be taken.
    LastRecord(&'static str),
}

impl Rule {
    /// Its key in `[safety]`.
    pub fn key(self) -> &'static str {
        match self {
            Self::MinRegions => "min_regions",
            Self::MinCapacity { .. } => "min_capacity",
            Self::LastRecord(_) => "last_record",
        }
    }
}

impl fmt::Display for Loss {
    /// What would happen, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, left, regions, rule } = self;
        match rule {
            Rule::MinRegions => {
                let regions = regions.join(", ");
                write!(f, "`{service}` would lose {regions} and be left with {left} regions")
            }
            Rule::MinCapacity { percent } => {
                write!(f, "`{service}` would be left with {percent} % of its capacity")
            }
            Rule::LastRecord(rtype) => write!(f, "`{service}` would lose its last {rtype} record"),
        }
    }
}

/// The keys of the rules that losses break, in backquotes.
pub fn rules(losses: &[Loss]) -> String {
    let keys: BTreeSet<&str> = losses.iter().map(|loss| loss.rule.key()).collect();
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(" and ")
}

/// The services that would break a rule of `[safety]` when `forced` is in force, judged on the
/// health of the moment, `level`, and on what depends on what.
///
/// An endpoint counts for a service while it is up or not judged yet. What is below a minimum
/// already and loses nothing is not counted: an operator must be able to act in an outage. Direct
/// names have one region by their nature and are left out.
pub fn losses(
    model: &Model,
    level: impl Fn(EndpointId) -> Level,
    forced: &[Option<Forced>],
) -> Vec<Loss> {
    let now = levels(&model.fleet, level);
    let then = overruled(&model.fleet, now.clone(), forced);
    compare((model, &now), (model, &then))
}

/// The services that would break a rule of `next` when it is served in the place of `served`,
/// whose endpoints are at these levels; `forced` are the overrides on the endpoints of `next`.
///
/// An endpoint that is new counts, as one that was not judged yet. A service that is in one of
/// them alone is none that loses something.
pub fn losses_of_reload(
    served: &Model,
    level: impl Fn(EndpointId) -> Level,
    next: &Model,
    forced: &[Option<Forced>],
) -> Vec<Loss> {
    let now = levels(&served.fleet, level);
    let identity = EndpointIdentity::of;
    let identities = served.fleet.endpoints.iter().map(|one| identity(&served.fleet, one));
    let known: HashMap<EndpointIdentity, Level> = identities.zip(now.iter().copied()).collect();
    let found = next.fleet.endpoints.iter().map(|one| {
        let level = known.get(&identity(&next.fleet, one));
        level.copied().unwrap_or(Level::Unknown)
    });
    let then = overruled(&next.fleet, found.collect(), forced);
    compare((served, &now), (next, &then))
}

fn levels(fleet: &Fleet, level: impl Fn(EndpointId) -> Level) -> Vec<Level> {
    (0..).map(EndpointId).zip(&fleet.endpoints).map(|(id, _)| level(id)).collect()
}

/// The levels with these overrides in force.
fn overruled(fleet: &Fleet, mut levels: Vec<Level>, forced: &[Option<Forced>]) -> Vec<Level> {
    let forced = |at: usize| forced.get(at).and_then(Option::as_ref);
    for (at, level) in levels.iter_mut().enumerate() {
        *level = match forced(at).map(|forced| forced.action) {
            Some(Action::Up) => Level::Up,
            Some(Action::Down) => Level::Down,
            Some(Action::Drain) => (*level).max(Level::Drained),
            None => *level,
        };
    }
    burdened(fleet, &mut levels, |at| forced(at).is_some());
    levels
}

/// A model and the levels of its endpoints.
type Side<'a> = (&'a Model, &'a [Level]);

fn compare(before: Side<'_>, after: Side<'_>) -> Vec<Loss> {
    let ((served, now), (next, then)) = (before, after);
    let (ledger, [shares_now, shares_then]) = Ledger::of(&served.fleet, &next.fleet);
    let known: HashMap<&Name, &Service> =
        services(served).map(|service| (&service.owner, service)).collect();
    let lost = |service: &Service| {
        let old = known.get(&service.owner)?;
        let rated = is_rated(&served.fleet, old) && is_rated(&next.fleet, service);
        let all = |_: EndpointId| true;
        let serves = |levels: &[Level], id: EndpointId| {
            levels.get(id.0 as usize).is_some_and(|level| level.serves())
        };
        let standing = |model, service, counts: &dyn Fn(EndpointId) -> bool, shares: &[Share]| {
            Standing::of(model, service, counts, |of| ledger.amount(shares, of, rated))
        };
        let whole = standing(served, old, &all, &shares_now).amount;
        let before = standing(served, old, &|id| serves(now, id), &shares_now);
        let after = standing(next, service, &|id| serves(then, id), &shares_then);
        Some(broken(service, &before, &after, whole, next.fleet.safety))
    };
    services(next).filter_map(lost).flatten().collect()
}

/// The services that answer by health.
fn services(model: &Model) -> impl Iterator<Item = &Service> {
    let all = model.zones.iter().flat_map(|zone| &zone.services);
    all.filter(|service| service.only.is_none())
}

/// The endpoints of a service.
fn members<'a>(fleet: &'a Fleet, service: &'a Service) -> impl Iterator<Item = EndpointId> + 'a {
    let pools = service.pools.iter().map(move |pool| fleet.pool(*pool));
    pools.flat_map(move |pool| fleet.endpoints_of(pool).map(|(id, _)| id))
}

/// Whether somebody has said what each region of a service can take.
fn is_rated(fleet: &Fleet, service: &Service) -> bool {
    members(fleet, service).all(|id| {
        let endpoint = fleet.endpoint(id);
        fleet.pool(endpoint.pool).capacity(endpoint.region).is_some()
    })
}

/// What serves of a service.
struct Standing<'a> {
    regions: BTreeSet<&'a str>,
    rtypes: BTreeSet<&'static str>,
    amount: f64,
}

impl<'a> Standing<'a> {
    /// What is left of a service when those endpoints count.
    fn of(
        model: &'a Model,
        service: &Service,
        counts: &dyn Fn(EndpointId) -> bool,
        amount: impl Fn(&[EndpointId]) -> f64,
    ) -> Self {
        let fleet = &model.fleet;
        let left: Vec<EndpointId> = members(fleet, service).filter(|id| counts(*id)).collect();
        let endpoints = || left.iter().map(|id| fleet.endpoint(*id));
        let regions = endpoints().map(|one| fleet.region(one.region).name.as_str()).collect();
        let rtypes = endpoints().map(|one| match &one.address {
            Address::Ip(ip) if ip.is_ipv4() => "A",
            Address::Ip(_) => "AAAA",
            Address::Host(_) => "CNAME",
        });
        Self { regions, rtypes: rtypes.collect(), amount: amount(&left) }
    }
}

/// The rules that are broken on the way from `before` to `after`, of a whole amount of `whole`.
fn broken(
    service: &Service,
    before: &Standing<'_>,
    after: &Standing<'_>,
    whole: f64,
    safety: Safety,
) -> Vec<Loss> {
    let left = after.regions.len();
    let gone = before.regions.difference(&after.regions);
    let regions: Vec<String> = gone.map(|region| (*region).to_owned()).collect();
    let loss =
        |rule| Loss { service: service.owner.to_string(), left, regions: regions.clone(), rule };
    let mut found = Vec::new();
    if left < usize::from(safety.min_regions) && left < before.regions.len() {
        found.push(loss(Rule::MinRegions));
        if left == 0 {
            // All else follows from it.
            return found;
        }
    }
    // Sums of shares are a little off.
    let share = if whole > 0.0 { after.amount / whole } else { 1.0 };
    if share + 1e-9 < safety.min_capacity && after.amount + 1e-9 * whole < before.amount {
        found.push(loss(Rule::MinCapacity { percent: (share * 100.0) as u64 }));
    }
    // What a hostname has nobody knows here: it may stand for either family.
    let is_vague = after.rtypes.contains("CNAME");
    if safety.last_record == LastRecord::Refuse && !is_vague {
        let gone = before.rtypes.difference(&after.rtypes);
        let gone = gone.filter(|rtype| **rtype != "CNAME" || after.rtypes.is_empty());
        found.extend(gone.map(|rtype| loss(Rule::LastRecord(rtype))));
    }
    found
}
