//! What load means for the regions of a service.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::steering::{Contest, View};

/// A region under load.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct RegionLoad {
    /// Its name.
    region: String,
    /// Requests a second.
    requests: Option<f64>,
    capacity: Option<f64>,
    /// Requests a second of the clients whose region it is.
    demand: Option<f64>,
    /// Where those go, the largest share first; shares from 0 to 1.
    clients: Vec<(String, f64)>,
    /// Whether there is more load than all regions can take.
    is_full: bool,
}

/// The regions under the load of the moment.
pub(super) fn loads(contest: &Contest, view: &View<'_>) -> Vec<RegionLoad> {
    let Some(spread) = view.spread.filter(|_| contest.spill().is_some()) else {
        return Vec::new();
    };
    let name = |at: usize| {
        let region = contest.regions().get(at);
        region.map_or_else(String::new, |region| view.fleet.region(*region).name.clone())
    };
    let load = |(at, seen): (usize, &crate::steering::Seen)| {
        let shares = spread.shares.of.get(at).map_or(&[][..], Vec::as_slice);
        let shares = shares.iter().enumerate().filter(|(_, share)| **share > 0.0005);
        let mut clients: Vec<(String, f64)> = shares.map(|(to, s)| (name(to), *s)).collect();
        clients.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        RegionLoad {
            region: name(at),
            requests: seen.load,
            capacity: seen.capacity,
            demand: spread.demand.get(at).copied().flatten(),
            clients,
            is_full: spread.shares.is_full,
        }
    };
    spread.seen.iter().enumerate().map(load).collect()
}

impl fmt::Display for RegionLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, requests, capacity, demand, clients, is_full } = self;
        let rate = |rate: &Option<f64>| rate.map_or("?".to_owned(), |rate| format!("{rate:.0}"));
        write!(f, "{region} {} of {} requests/s", rate(requests), rate(capacity))?;
        if let Some(demand) = demand {
            write!(f, ", {demand:.0} of its own clients")?;
        }
        let parts = clients.iter().map(|(to, share)| format!("{to} {:.1} %", share * 100.0));
        let parts: Vec<String> = parts.collect();
        match clients.as_slice() {
            [] => {}
            [(only, _)] if only == region => f.write_str(", who stay")?,
            _ => write!(f, ", who go to {}", parts.join(", "))?,
        }
        if *is_full { f.write_str("; all regions are full") } else { Ok(()) }
    }
}
