//! fleet.toml: regions and pools, and the other tables through their files.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::{capacity, endpoint, latency, monitor, needs, network, route};
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::names::Names;
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{
    CoordinatesTable, FleetFile, PlanTable, PoolTable, RegionTable, SafetyTable, Table, TextOr,
};
use crate::config::value::{Fault, share, whole_in, word};
use crate::model::{
    Check, Endpoint, Fleet, LastRecord, Latency, Monitor, MonitorId, Network, NetworkId, PlanMark,
    PlanNumber, Pool, PoolId, Probe, Region, RegionId, Route, Safety,
};
use crate::place::gazetteer::{self, Spot};
use crate::place::{Country, Point};

/// All names that other tables and files refer to.
pub(in crate::config) struct FleetNames {
    /// `[region.*]`
    pub regions: Names<RegionId>,
    /// `[monitor.*]`
    pub monitors: Names<MonitorId>,
    /// `[pool.*]`
    pub pools: Names<PoolId>,
    /// `[network.*]`
    pub networks: Names<NetworkId>,
}

impl FleetNames {
    /// Collects the names, and says which are no names.
    pub(in crate::config) fn of(spec: &FleetFile, sheet: &mut Sheet) -> Self {
        // Without any region every reference dangles; saying so once is enough.
        let regions = Names::of("region", &spec.region, sheet, RegionId);
        Self {
            regions: if spec.region.is_empty() { regions.lenient() } else { regions },
            monitors: Names::of("monitor", &spec.monitor, sheet, MonitorId),
            pools: Names::of("pool", &spec.pool, sheet, PoolId),
            networks: Names::of("network", &spec.network, sheet, NetworkId),
        }
    }
}

/// The fleet with gaps where something is wrong; the places are those of the ids.
#[derive(Default)]
pub(in crate::config) struct FleetDraft {
    /// Regions by id.
    pub regions: Vec<Option<Region>>,
    /// Monitors by id.
    pub monitors: Vec<Option<Monitor>>,
    /// Pools by id.
    pub pools: Vec<Option<Pool>>,
    /// Endpoints of all pools.
    pub endpoints: Vec<Endpoint>,
    /// Networks by id.
    pub networks: Vec<Network>,
    /// The proxy's routes.
    pub routes: Vec<Arc<Route>>,
    /// `[safety]`
    pub safety: Safety,
    /// `[latency]`
    pub latency: Latency,
    /// `[plan]`
    pub plan: Option<PlanMark>,
}

impl FleetDraft {
    /// The fleet, when there are no gaps.
    pub(in crate::config) fn finish(self) -> Option<Fleet> {
        Some(Fleet {
            regions: self.regions.into_iter().collect::<Option<_>>()?,
            monitors: self.monitors.into_iter().collect::<Option<_>>()?,
            pools: self.pools.into_iter().collect::<Option<_>>()?,
            endpoints: self.endpoints,
            networks: self.networks,
            routes: self.routes,
            safety: self.safety,
            latency: self.latency,
            plan: self.plan,
        })
    }

    /// The regions in which a pool has endpoints.
    pub(in crate::config) fn regions_of(&self, pool: &Pool) -> BTreeSet<RegionId> {
        self.endpoints_of(pool).iter().map(|endpoint| endpoint.region).collect()
    }

    /// The endpoints of a pool.
    pub(in crate::config) fn endpoints_of(&self, pool: &Pool) -> &[Endpoint] {
        let range = pool.endpoints.start as usize..pool.endpoints.end as usize;
        self.endpoints.get(range).unwrap_or_default()
    }
}

/// Resolves the file; `folder` is where it is, `probe` the node's probing role, and `shares`
/// whether the node hears the verdicts of others.
pub(in crate::config) fn resolve(
    spec: &FleetFile,
    sheet: &mut Sheet,
    names: &FleetNames,
    (probe, shares): (Option<&Probe>, bool),
    folder: &Place,
    files: &mut Files,
) -> FleetDraft {
    let mut top = sheet.top();
    super::version(&mut top, &spec.version);
    if spec.region.is_empty() {
        let fault = Fault::new("no region is defined");
        top.lacks("region", fault.hint("add a `[region.NAME]` with its `location`"));
    }
    let mut draft = FleetDraft::default();
    for (name, table) in &spec.region {
        let mut section = top.named("region", name.get_ref(), table.span());
        draft.regions.push(region(&mut section, name.get_ref(), &table.get_ref().0));
    }
    for (name, table) in &spec.monitor {
        let mut section = top.named("monitor", name.get_ref(), table.span());
        let unshared = !shares && names.regions.count() > 1;
        let around = monitor::Around { unshared, monitors: &names.monitors, folder };
        let resolved = monitor::resolve(&mut section, name.get_ref(), &table.get_ref().0, around);
        draft.monitors.push(resolved);
    }
    monitor::loops(top.sheet, &spec.monitor, &draft.monitors);
    let mut used = BTreeSet::new();
    for (index, (name, table)) in spec.pool.iter().enumerate() {
        let mut section = top.named("pool", name.get_ref(), table.span());
        let id = PoolId(index as u16);
        let pool = pool(&mut section, (id, name.get_ref()), table, names, probe, &mut draft);
        used.extend(pool.iter().flat_map(|pool| pool.monitors.clone()));
        draft.pools.push(pool);
    }
    needs::check(top.sheet, spec, &draft);
    draft.routes = route::resolve(&mut top, spec, &names.pools, folder, files);
    draft.plan = spec.plan.as_ref().and_then(|table| plan(&mut top, table));
    let known = (&names.regions, draft.regions.as_slice());
    draft.latency = latency::resolve(&mut top, spec.latency.as_ref(), known, folder, files);
    draft.networks = network::resolve(&mut top, &spec.network, &names.regions, folder, files);
    for id in used.clone() {
        members(id, &draft.monitors, &mut used);
    }
    draft.safety = safety(&mut top, spec);
    if !top.sheet.findings.has_errors() {
        for (index, (name, _)) in spec.monitor.iter().enumerate() {
            if !used.contains(&MonitorId(index as u16)) {
                let fault = Fault::new(format!("monitor `{}` is used by no pool", name.get_ref()));
                top.warn(name.span(), fault);
            }
        }
    }
    draft
}

fn safety(top: &mut Section<'_>, spec: &FleetFile) -> Safety {
    let (header, table) = match &spec.safety {
        Some(field) => (field.span(), field.get_ref().0.clone()),
        None => (0..0, SafetyTable::default()),
    };
    let mut section = top.inside("safety", header);
    let max_removed =
        section.value("max_removed", &table.max_removed, d::MAX_REMOVED, share("max_removed"));
    let read = whole_in("min_regions", &d::MIN_REGIONS_RANGE);
    let min_regions = section.value("min_regions", &table.min_regions, d::MIN_REGIONS, read);
    let read = share("min_capacity");
    let min_capacity = section.value("min_capacity", &table.min_capacity, d::MIN_CAPACITY, read);
    let words = [("refuse", LastRecord::Refuse), ("allow", LastRecord::Allow)];
    let read = word("last_record", &words);
    let last_record = section.value("last_record", &table.last_record, d::LAST_RECORD, read);
    Safety { max_removed, min_regions, min_capacity, last_record }
}

/// `[plan]`
fn plan(top: &mut Section<'_>, table: &Spanned<Table<PlanTable>>) -> Option<PlanMark> {
    let mut section = top.inside("plan", table.span());
    let table = &table.get_ref().0;
    let epoch = section.value("epoch", &table.epoch, d::EPOCH, whole_in("epoch", &d::PLAN_RANGE));
    let read = whole_in("version", &d::PLAN_RANGE);
    let version = section.required("version", table.version.as_ref(), read)?;
    let shrink = section.value("shrink", &table.shrink, d::SHRINK, |flag| Ok(*flag));
    Some(PlanMark { number: PlanNumber { epoch, version }, shrink })
}

/// Adds the monitors that one is calculated from.
fn members(id: MonitorId, monitors: &[Option<Monitor>], used: &mut BTreeSet<MonitorId>) {
    let monitor = monitors.get(usize::from(id.0)).and_then(Option::as_ref);
    if let Some(Check::Calculated(calculated)) = monitor.map(|monitor| &monitor.check) {
        for (below, _) in &calculated.of {
            if used.insert(*below) {
                members(*below, monitors, used);
            }
        }
    }
}

fn region(section: &mut Section<'_>, name: &str, table: &RegionTable) -> Option<Region> {
    let spot = match &table.location {
        None => {
            section.missing("location");
            None
        }
        Some(field) => match field.get_ref() {
            TextOr::Text(text) => section.read("location", field.span(), spot(text)),
            TextOr::Table(table) => coordinates(section, table, field.span()),
        },
    };
    let country = section.optional("country", table.country.as_ref(), |text| country(text));
    let spot = spot?;
    let known = country.or(spot.country);
    let continent = known
        .and_then(gazetteer::country)
        .map(|country| country.continent)
        .or(spot.continent)
        .or_else(|| Some(gazetteer::nearest_country(spot.point).1));
    Some(Region { name: name.to_owned(), point: spot.point, country: known, continent })
}

/// The place of a preset, country or city.
fn spot(text: &str) -> Result<Spot, Fault> {
    gazetteer::locate(text).ok_or_else(|| {
        let fault = Fault::new(format!("unknown location `{text}`"));
        match gazetteer::suggest(text) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None => fault.hint(
                "a preset such as `aws:eu-central-1`, a city, a country, or { lat = …, lon = … }",
            ),
        }
    })
}

/// A country code that the gazetteer knows.
pub(super) fn country(text: &str) -> Result<Country, Fault> {
    let known = Country::parse(text).filter(|code| gazetteer::country(*code).is_some());
    known.ok_or_else(|| {
        let hint = match gazetteer::locate(text).and_then(|spot| spot.country) {
            Some(code) => format!("write `{code}`"),
            None => "two letters of ISO 3166-1, such as `DE`".to_owned(),
        };
        Fault::new(format!("unknown country `{text}`")).hint(hint)
    })
}

/// `{ lat = …, lon = … }`
fn coordinates(
    section: &mut Section<'_>,
    table: &CoordinatesTable,
    header: Range<usize>,
) -> Option<Spot> {
    let mut section = section.inside("location", header);
    let degrees = |key: &'static str, most: f64| {
        move |number: &f64| {
            if number.abs() <= most {
                return Ok(*number);
            }
            let what = format!("`{key}` must be from -{most} to {most}, found `{number}`");
            Err(Fault::new(what))
        }
    };
    let lat = section.required("lat", table.lat.as_ref(), degrees("lat", 90.0));
    let lon = section.required("lon", table.lon.as_ref(), degrees("lon", 180.0));
    let point = Point::new(lat?, lon?)?;
    Some(Spot { point, country: None, continent: None })
}

fn pool(
    section: &mut Section<'_>,
    (id, name): (PoolId, &str),
    table: &Spanned<Table<PoolTable>>,
    names: &FleetNames,
    probe: Option<&Probe>,
    draft: &mut FleetDraft,
) -> Option<Pool> {
    let table = &table.get_ref().0;
    if table.monitors.is_none() {
        section.default("monitors", "[]");
    }
    let monitors = section.list("monitors", &table.monitors, |text| names.monitors.find(text));
    let min_up = section.value("min_up", &table.min_up, d::MIN_UP, share("min_up"));
    let first = draft.endpoints.len();
    let monitored = table.monitors.as_ref().is_some_and(|field| !field.get_ref().is_empty());
    let probe = probe.filter(|_| monitored);
    let found = endpoint::resolve(section, id, &table.endpoints, names, monitored, probe);
    let capacity = capacity::resolve(section, table, names, &found);
    draft.endpoints.extend(found);
    let range = u32::try_from(first).ok()?..u32::try_from(draft.endpoints.len()).ok()?;
    Some(Pool { name: name.to_owned(), monitors, min_up, capacity, endpoints: range })
}
