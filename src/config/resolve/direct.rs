//! `direct` of a service: names below it that answer the endpoints of one region each.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;

use super::fleet::FleetDraft;
use crate::config::sheet::Section;
use crate::config::spec::ServiceTable;
use crate::config::value::Fault;
use crate::model::{AllDown, Failback, Method, PoolId, RegionId, Service};
use crate::name::{LABEL_MAX, Name};

/// The label of a service's direct names, and where it is written.
pub(super) struct Direct {
    label: String,
    at: Range<usize>,
}

impl Direct {
    /// Where it is written.
    pub(super) fn place(&self) -> Range<usize> {
        self.at.clone()
    }
}

/// Reads `direct`.
pub(super) fn read(
    section: &mut Section<'_>,
    table: &ServiceTable,
    service: &Service,
) -> Option<Direct> {
    let field = table.direct.as_ref();
    let label = section.optional("direct", field, |text| label(text, service))?;
    Some(Direct { label, at: field.map(Spanned::span).unwrap_or_default() })
}

/// The direct names of a service: `REGION.LABEL.NAME` for each region that its pools have endpoints
/// in. `owners` are the services that are written, with their places; no direct name may be one.
pub(super) fn names(
    top: &mut Section<'_>,
    Direct { label, at }: &Direct,
    service: &Service,
    owners: &HashMap<Name, Range<usize>>,
    fleet: &FleetDraft,
) -> Vec<Service> {
    let mut direct = Vec::new();
    for (id, pool) in regions(service, fleet) {
        let region = fleet.regions.get(usize::from(id.0)).and_then(Option::as_ref);
        let Some(region) = region else { continue };
        let name = format!("{}.{label}", region.name);
        let owner = match Name::parse(&name, &service.owner) {
            Ok(owner) => owner,
            Err(error) => {
                let what = format!("`{name}` cannot stand below `{}`: {error}", service.owner);
                top.error(at.clone(), Fault::new(what));
                continue;
            }
        };
        if let Some(other) = owners.get(&owner) {
            let line = top.locate(other.clone()).line;
            let fault = Fault::new(format!("the direct name `{owner}` is a service already"));
            top.error(at.clone(), fault.hint(format!("in line {line}; write another label")));
            continue;
        }
        direct.push(Service {
            name: format!("{name}.{}", service.name),
            owner,
            pools: vec![pool],
            policy: vec![Method::Rotate],
            answers: None,
            all_down: AllDown::All,
            failback: Failback::Auto,
            only: Some(id),
            ..service.clone()
        });
    }
    direct
}

/// The regions of a service, each with the first pool that has endpoints there.
fn regions(service: &Service, fleet: &FleetDraft) -> Vec<(RegionId, PoolId)> {
    let mut found: Vec<(RegionId, PoolId)> = Vec::new();
    for id in &service.pools {
        let pool = fleet.pools.get(usize::from(id.0)).and_then(Option::as_ref);
        for region in pool.map(|pool| fleet.regions_of(pool)).unwrap_or_default() {
            if found.iter().all(|(other, _)| *other != region) {
                found.push((region, *id));
            }
        }
    }
    found
}

/// The label between region and service.
fn label(text: &str, service: &Service) -> Result<String, Fault> {
    // RFC 4592 section 2.2.1: what is below the owner of a wildcard is not what it stands for.
    if service.owner.as_wire().starts_with(b"\x01*") {
        return Err(Fault::new(format!("`direct` of the wildcard `{}`", service.name))
            .hint("names below a wildcard are not below the names it stands for; take it out"));
    }
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    if (1..=LABEL_MAX).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Fault::new(format!("`{text}` is not a label"))
        .hint(format!("1 to {LABEL_MAX} letters, digits, `-` and `_`, such as \"_region\"")))
}
