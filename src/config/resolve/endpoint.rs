//! The endpoints of a pool.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;

use super::fleet::FleetNames;
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{EndpointTable, Field, List, Table};
use crate::config::value::{Fault, address, name, probe as probe_address, whole_in};
use crate::model::{Address, Endpoint, Guard, PoolId, Probe, ProbeAddress};

/// Resolves the list. `probe` is the probing role that will reach out to these endpoints, if any.
pub(super) fn resolve(
    section: &mut Section<'_>,
    pool: PoolId,
    list: &List<Table<EndpointTable>>,
    names: &FleetNames,
    monitored: bool,
    probe: Option<&Probe>,
) -> Vec<Endpoint> {
    let empty = || Fault::new("the pool has no endpoints").hint("a service needs one to answer");
    let Some(items) = list else {
        section.lacks("endpoints", empty());
        return Vec::new();
    };
    section.not_empty(list, empty());
    let mut seen: HashMap<Address, Range<usize>> = HashMap::new();
    let mut endpoints = Vec::new();
    for (index, item) in items.get_ref().iter().enumerate() {
        if section.sheet.is_full() {
            break;
        }
        let mut section = section.item("endpoints", index, item.span());
        let table = &item.get_ref().0;
        let Some(endpoint) = endpoint(&mut section, pool, table, names) else { continue };
        let span = table.address.as_ref().map(Spanned::span).unwrap_or_default();
        if let Some(before) = seen.insert(endpoint.address.clone(), span.clone()) {
            let before = section.locate(before).line;
            let text = section.text(span.clone());
            let fault = Fault::new(format!("`{text}` is already an endpoint of this pool"));
            section.error(span, fault.hint(format!("first in line {before}")));
        }
        reachable(&mut section, table, &endpoint, monitored, probe);
        endpoints.push(endpoint);
    }
    endpoints
}

fn endpoint(
    section: &mut Section<'_>,
    pool: PoolId,
    table: &EndpointTable,
    names: &FleetNames,
) -> Option<Endpoint> {
    let region = section.required("region", table.region.as_ref(), |text| names.regions.find(text));
    let address = section.required("address", table.address.as_ref(), |text| address(text));
    let read = whole_in("weight", &d::WEIGHT_RANGE);
    let weight = section.value("weight", &table.weight, d::WEIGHT, read);
    let group = section.optional("group", table.group.as_ref(), |text| name(text));
    let probe = section.optional("probe", table.probe.as_ref(), |text| probe_address(text));
    let depends_on = section.list("depends_on", &table.depends_on, |text| names.pools.find(text));
    let (region, address) = (region??, address?);
    Some(Endpoint { pool, region, address, probe, weight, group, depends_on })
}

/// Says when an endpoint can never be probed: refusals that are known before the first probe.
fn reachable(
    section: &mut Section<'_>,
    table: &EndpointTable,
    endpoint: &Endpoint,
    monitored: bool,
    probe: Option<&Probe>,
) {
    if let Some(field) = table.probe.as_ref().filter(|_| !monitored) {
        let fault = Fault::new("`probe` has no effect, since the pool has no monitors");
        section.warn(field.span(), fault);
    }
    let Some(role) = probe else { return };
    let probed = match &endpoint.probe {
        Some(ProbeAddress { address, .. }) => address,
        None => &endpoint.address,
    };
    let Address::Ip(ip) = probed else { return };
    let written: &Field<String> = if table.probe.is_some() { &table.probe } else { &table.address };
    let Some(span) = written.as_ref().map(Spanned::span) else { return };
    if let Some(denied) = role.deny.iter().find(|prefix| prefix.contains(*ip)) {
        let fault = Fault::new(format!("`{ip}` is never probed by this node"));
        section.error(span, fault.hint(format!("`{denied}` is in `deny` of [probe]")));
        return;
    }
    let Some(why) = Guard::new(role).refusal(*ip) else { return };
    let fault = if why.contains("allow_private") {
        Fault::new(format!("`{ip}` is private and never probed by this node"))
            .hint("[probe] has `allow_private = false`")
    } else {
        Fault::new(format!("`{ip}` is never probed by this node")).hint(why)
    };
    section.error(span, fault);
}
