//! What `depends_on` must not say: loops, and pools that are not where the endpoint is.

use toml::Spanned;

use super::fleet::FleetDraft;
use super::loops::{loops, words};
use crate::config::sheet::Sheet;
use crate::config::spec::FleetFile;
use crate::config::value::Fault;
use crate::model::{Endpoint, Pool, PoolId};

/// Reports what could never be up.
pub(super) fn check(sheet: &mut Sheet, spec: &FleetFile, draft: &FleetDraft) {
    let pool = |at: usize| draft.pools.get(at).and_then(Option::as_ref);
    let below = |at: usize| {
        let endpoints = pool(at).map(|pool| draft.endpoints_of(pool)).unwrap_or_default();
        let mut ids: Vec<usize> =
            endpoints.iter().flat_map(|one| &one.depends_on).map(|id| usize::from(id.0)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let name = |at: usize| spec.pool.keys().nth(at).map(|name| name.get_ref().as_str());
    for way in loops(spec.pool.len(), below) {
        let Some(first) = way.first().and_then(|at| spec.pool.keys().nth(*at)) else { continue };
        let fault = Fault::new(format!("pool `{}` depends on itself", first.get_ref()));
        sheet.error(first.span(), fault.hint(words(&way, name)));
    }
    for (at, table) in spec.pool.values().enumerate() {
        let (Some(pool), Some(items)) = (pool(at), &table.get_ref().0.endpoints) else { continue };
        let endpoints = draft.endpoints_of(pool);
        if endpoints.len() != items.get_ref().len() {
            continue; // Some are wrong in other ways, which is told already.
        }
        for (endpoint, item) in endpoints.iter().zip(items.get_ref()) {
            let Some(list) = &item.get_ref().0.depends_on else { continue };
            if endpoint.depends_on.len() != list.get_ref().len() {
                continue;
            }
            for (id, written) in endpoint.depends_on.iter().zip(list.get_ref()) {
                absent(sheet, draft, endpoint, (*id, written));
            }
        }
    }
}

/// Reports a pool that has no endpoint in the region of one that depends on it.
fn absent(
    sheet: &mut Sheet,
    draft: &FleetDraft,
    endpoint: &Endpoint,
    (id, written): (PoolId, &Spanned<String>),
) {
    let needed = draft.pools.get(usize::from(id.0)).and_then(Option::as_ref);
    let is_there = |pool: &Pool| draft.regions_of(pool).contains(&endpoint.region);
    if needed.is_none_or(is_there) {
        return;
    }
    let region = draft.regions.get(usize::from(endpoint.region.0)).and_then(Option::as_ref);
    let region = region.map_or("its region", |region| region.name.as_str());
    let what = format!("pool `{}` has no endpoint in `{region}`", written.get_ref());
    sheet.error(written.span(), Fault::new(what).hint("so this endpoint could never be up"));
}
