//! `capacity` of a pool, and whether the rest of it is learnt.

use std::collections::BTreeSet;

use super::fleet::FleetNames;
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::PoolTable;
use crate::config::value::{Fault, whole_in};
use crate::model::{Endpoint, RegionId};

/// Resolves both; `endpoints` are those of the pool.
pub(super) fn resolve(
    section: &mut Section<'_>,
    table: &PoolTable,
    names: &FleetNames,
    endpoints: &[Endpoint],
) -> (Vec<(RegionId, u32)>, bool) {
    let served: BTreeSet<RegionId> = endpoints.iter().map(|endpoint| endpoint.region).collect();
    let capacity = configured(section, table, names, &served);
    let field = &table.learn_capacity;
    let learns = section.value("learn_capacity", field, d::LEARN_CAPACITY, |flag| Ok(*flag));
    let known = |region: &RegionId| capacity.iter().any(|(id, _)| id == region);
    if let Some(field) = field.as_ref().filter(|_| learns && served.iter().all(known)) {
        let fault =
            Fault::new("`learn_capacity` has no effect, since `capacity` names all regions");
        section.warn(field.span(), fault.hint("take out those to be learnt"));
    }
    (capacity, learns)
}

/// Resolves `{ REGION = requests a second }`; `served` are the regions of the pool.
fn configured(
    section: &mut Section<'_>,
    table: &PoolTable,
    names: &FleetNames,
    served: &BTreeSet<RegionId>,
) -> Vec<(RegionId, u32)> {
    let Some(field) = &table.capacity else { return Vec::new() };
    section.written("capacity", field.span());
    let read = whole_in("capacity", &d::CAPACITY_RANGE);
    let mut all = Vec::new();
    let mistakes = section.sheet.mistakes;
    for (region, capacity) in field.get_ref() {
        match (names.regions.find(region.get_ref()), read(capacity.get_ref())) {
            (Ok(Some(id)), Ok(capacity)) => {
                if !served.contains(&id) {
                    let what = format!("the pool has no endpoint in `{}`", region.get_ref());
                    section.warn(region.span(), Fault::new(what));
                }
                all.push((id, capacity));
            }
            (Ok(None), Ok(_)) => {}
            (Err(fault), _) => section.error(region.span(), fault),
            (_, Err(fault)) => section.error(capacity.span(), fault),
        }
    }
    if section.sheet.mistakes == mistakes {
        survivors(section, field.span(), &all, served, names);
    }
    all
}

/// Warns of a region that the others could not stand in for, were they idle before.
fn survivors(
    section: &mut Section<'_>,
    at: std::ops::Range<usize>,
    capacity: &[(RegionId, u32)],
    served: &BTreeSet<RegionId>,
    names: &FleetNames,
) {
    let total: u64 = capacity.iter().map(|(_, capacity)| u64::from(*capacity)).sum();
    let known = served.iter().all(|region| capacity.iter().any(|(id, _)| id == region));
    // A region of which nobody knows what it takes may take all; alone none has survivors.
    if !known || capacity.len() < 2 {
        return;
    }
    let share = |capacity: u32| f64::from(capacity) * d::SPILL_TARGET.value;
    let heavy = capacity.iter().find(|(_, own)| share(*own) > (total - u64::from(*own)) as f64);
    if let Some((region, own)) = heavy {
        let name = names.regions.name(*region).unwrap_or_default();
        let what = format!("the other regions could not carry the load of `{name}`");
        let (load, rest) = (share(*own), total - u64::from(*own));
        let hint = format!(
            "{load} requests/s at its target share, {rest} elsewhere; \
             `meridian simulate --fail {name}` shows what would happen"
        );
        section.warn(at, Fault::new(what).hint(hint));
    }
}
