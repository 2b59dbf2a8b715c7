//! A service: from what is written to [`Service`].

use std::collections::BTreeSet;
use std::time::Duration;

use toml::Spanned;

use super::fleet::{FleetDraft, FleetNames};
use super::{failback, https, method};
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{
    AllDownTable, DurationText, ServiceTable, TextOr, TrustedTable, TtlTable,
};
use crate::config::value::{Fault, duration_in, hostname, ip, prefix, whole_in, word, written};
use crate::diagnostic::Location;
use crate::model::{
    Address, AllDown, ClientSubnet, Fence, Method, Pool, PoolId, RegionId, Service, TtlRange,
};
use crate::name::Name;
use crate::place::Continent;

/// Who a service is and where it stands.
pub(super) struct Identity {
    /// The name in the configuration.
    pub name: String,
    /// The owner name.
    pub owner: Name,
    /// The apex of its zone.
    pub origin: Name,
    /// Where its table starts.
    pub at: Location,
}

/// Resolves one table.
pub(super) fn resolve(
    section: &mut Section<'_>,
    identity: Identity,
    table: &ServiceTable,
    names: &FleetNames,
    fleet: &FleetDraft,
) -> Service {
    let pools = pools(section, table, names);
    own_endpoint(section, table, &identity, &pools, fleet);
    let policy = policy(section, table, names);
    for (item, method) in &policy {
        strict(section, (item, method), &pools, fleet);
    }
    spill(section, &policy, &pools, fleet);
    let policy: Vec<Method> = policy.into_iter().map(|(_, method)| method).collect();
    let rotates = policy.iter().find(|method| method.picks()) == Some(&Method::Rotate);
    let read = whole_in("answers", &d::ANSWERS_RANGE);
    let answers = if rotates {
        if table.answers.is_none() {
            section.default("answers", d::ANSWERS_ROTATE);
        }
        section.optional("answers", table.answers.as_ref(), read)
    } else {
        Some(section.value("answers", &table.answers, d::ANSWERS, read))
    };
    let ttl = ttl(section, table, &pools, fleet);
    let all_down = all_down(section, table, &identity);
    let client_subnet = client_subnet(section, table);
    let failback = failback::resolve(section, table.failback.as_ref());
    let https = https::resolve(section, table.https.as_ref());
    let Identity { name, owner, origin, at } = identity;
    let service = Service {
        name,
        owner,
        at,
        pools,
        policy,
        answers,
        ttl,
        all_down,
        failback,
        client_subnet,
        https,
        only: None,
    };
    https::idle(section, table.https.as_ref(), &service, &origin, fleet);
    service
}

/// `pool = "web"` or `pools = ["web", "dr"]`.
fn pools(section: &mut Section<'_>, table: &ServiceTable, names: &FleetNames) -> Vec<PoolId> {
    match (&table.pool, &table.pools) {
        (Some(_), Some(both)) => {
            let fault = Fault::new("`pool` and `pools` are both there");
            section.error(both.span(), fault.hint("keep one of them"));
        }
        (None, None) => {
            let fault = Fault::new("`pool` is missing");
            section.lacks(
                "pool",
                fault.hint("the pool of fleet.toml that this name is answered from"),
            );
        }
        _ => {}
    }
    section.not_empty(&table.pools, Fault::new("`pools` is empty").hint("a service needs a pool"));
    let one = section.optional("pool", table.pool.as_ref(), |text| names.pools.find(text));
    let many = section.list("pools", &table.pools, |text| names.pools.find(text));
    one.flatten().into_iter().chain(many).collect()
}

/// Refuses an endpoint that is the service itself: its addresses would be its own answers.
fn own_endpoint(
    section: &mut Section<'_>,
    table: &ServiceTable,
    identity: &Identity,
    pools: &[PoolId],
    fleet: &FleetDraft,
) {
    let known = pools.iter().filter_map(|id| fleet.pools.get(usize::from(id.0))?.as_ref());
    let itself = Address::Host(identity.owner.clone());
    for pool in known {
        if fleet.endpoints_of(pool).iter().any(|endpoint| endpoint.address == itself) {
            let at = table.pool.as_ref().map(Spanned::span);
            let at = at.or(table.pools.as_ref().map(Spanned::span)).unwrap_or_default();
            let (pool, owner) = (&pool.name, &identity.owner);
            let fault = Fault::new(format!("pool `{pool}` has the endpoint `{owner}`"));
            section.error(at, fault.hint("that is this service itself; name its servers there"));
        }
    }
}

/// The methods, each with its place.
fn policy(
    section: &mut Section<'_>,
    table: &ServiceTable,
    names: &FleetNames,
) -> Vec<(std::ops::Range<usize>, Method)> {
    let Some(field) = &table.policy else {
        section.default("policy", d::POLICY);
        return vec![(section.header(), Method::Weighted)];
    };
    let mut policy: Vec<(std::ops::Range<usize>, Method)> = Vec::new();
    for (index, item) in field.get_ref().iter().enumerate() {
        let mut inside = section.item("policy", index, item.span());
        let Some(method) = method::resolve(&mut inside, item, names) else { continue };
        idle(section, item.span(), &method, &policy, names);
        policy.push((item.span(), method));
    }
    policy
}

/// Warns of a method that never decides anything.
fn idle(
    section: &mut Section<'_>,
    at: std::ops::Range<usize>,
    method: &Method,
    before: &[(std::ops::Range<usize>, Method)],
    names: &FleetNames,
) {
    let name = method.name();
    let fault = Fault::new(format!("method `{name}` never decides anything here"));
    let ranks = |method: &Method| !method.picks() && !matches!(method, Method::Nearest { .. });
    if let Some((_, picks)) = before.iter().find(|(_, method)| method.picks()) {
        let hint = format!("`{}` before it leaves nothing tied", picks.name());
        section.warn(at, fault.hint(hint));
    } else if before.iter().any(|(_, other)| other == method) {
        section.warn(at, fault.hint("the same method stands before it"));
    } else if *method == Method::Network && names.networks.count() == 0 && names.networks.complete()
    {
        section.warn(at, fault.hint("fleet.toml defines no [network.*]"));
    } else if matches!(method, Method::Nearest { .. }) && !before.iter().any(|(_, m)| ranks(m)) {
        let hint = "no method before it ranks the regions; put `proximity` there";
        section.warn(at, fault.hint(hint));
    }
}

/// Warns of `spill` without anything to go by, or to do.
fn spill(
    section: &mut Section<'_>,
    policy: &[(std::ops::Range<usize>, Method)],
    pools: &[PoolId],
    fleet: &FleetDraft,
) {
    let spills = policy.iter().find(|(_, method)| matches!(method, Method::Spill(_)));
    let Some((at, method)) = spills else { return };
    let known: Vec<_> =
        pools.iter().filter_map(|id| fleet.pools.get(usize::from(id.0))?.as_ref()).collect();
    let picks = policy.iter().find(|(_, method)| method.picks());
    let fault = Fault::new(format!("method `{}` never decides anything here", method.name()));
    if picks.is_some_and(|(_, method)| *method == Method::Rotate) {
        section.warn(at.clone(), fault.hint("`rotate` answers all that remain, full or not"));
    } else if !known.is_empty() && !known.iter().any(|pool| tells_capacity(pool, fleet)) {
        let pool = known.first().map(|pool| pool.name.as_str()).unwrap_or_default();
        let hint = format!("give `capacity` to pool `{pool}`, or `learn_capacity = true`");
        section.warn(at.clone(), fault.hint(hint));
    }
}

/// Whether anybody says what a pool can take: its configuration, or proxies that learn it of the
/// pool or of one that it depends on.
fn tells_capacity(pool: &Pool, fleet: &FleetDraft) -> bool {
    let range = pool.endpoints.start as usize..pool.endpoints.end as usize;
    let behind = fleet.endpoints.get(range).into_iter().flatten();
    let mut behind = behind
        .flat_map(|endpoint| &endpoint.depends_on)
        .filter_map(|id| fleet.pools.get(usize::from(id.0))?.as_ref());
    !pool.capacity.is_empty() || pool.learn_capacity || behind.any(|pool| pool.learn_capacity)
}

/// Continents with clients; Antarctica's are few enough to be left out.
const CONTINENTS: [Continent; 6] = [
    Continent::Africa,
    Continent::Asia,
    Continent::Europe,
    Continent::NorthAmerica,
    Continent::Oceania,
    Continent::SouthAmerica,
];

/// Warns of clients that a strict fence leaves without any region.
fn strict(
    section: &mut Section<'_>,
    (item, method): (&std::ops::Range<usize>, &Method),
    pools: &[PoolId],
    fleet: &FleetDraft,
) {
    let Method::Fence { by, strict: true } = method else { return };
    let pools: Option<Vec<_>> = pools
        .iter()
        .map(|id| fleet.pools.get(usize::from(id.0)).and_then(Option::as_ref))
        .collect();
    let Some(pools) = pools else { return };
    let served: BTreeSet<RegionId> =
        pools.into_iter().flat_map(|pool| fleet.regions_of(pool)).collect();
    let unserved = match by {
        Fence::Country => Some("clients in a country without a region of this service".to_owned()),
        Fence::Continent => {
            let regions = served
                .iter()
                .filter_map(|id| fleet.regions.get(usize::from(id.0)).and_then(Option::as_ref));
            let here: BTreeSet<Continent> = regions.filter_map(|region| region.continent).collect();
            let gaps: Vec<&str> = CONTINENTS
                .iter()
                .filter(|continent| !here.contains(continent))
                .map(|continent| continent.code())
                .collect();
            (!gaps.is_empty()).then(|| format!("clients in {}", gaps.join(", ")))
        }
        Fence::Network(id) => {
            let network = fleet.networks.get(usize::from(id.0));
            network
                .filter(|network| !network.regions.iter().any(|region| served.contains(region)))
                .map(|network| format!("clients in network `{}`", network.name))
        }
    };
    if let Some(who) = unserved {
        let fault = Fault::new(format!("{who} get no region, and there is no default"));
        section
            .warn(item.clone(), fault.hint("write `strict = false` to let them leave the fence"));
    }
}

fn ttl(
    section: &mut Section<'_>,
    table: &ServiceTable,
    pools: &[PoolId],
    fleet: &FleetDraft,
) -> TtlRange {
    let empty = TtlTable::default();
    let header = table.ttl.as_ref().map_or_else(|| section.header(), Spanned::span);
    let bounds = table.ttl.as_ref().map_or(&empty, |table| &table.get_ref().0);
    let mut section = section.inside("ttl", header);
    let before = section.sheet.mistakes;
    let min = section.value("min", &bounds.min, d::TTL_MIN, seconds("min"));
    let max = section.value("max", &bounds.max, d::TTL_MAX, seconds("max"));
    if section.sheet.mistakes != before {
        return TtlRange { min, max };
    }
    if min > max {
        let at = bounds.min.as_ref().or(bounds.max.as_ref()).map(Spanned::span);
        let which = |field: &Option<_>| if field.is_some() { "" } else { " (the default)" };
        let (least, most) = (which(&bounds.min), which(&bounds.max));
        let (min, max) = (written(min), written(max));
        let fault = Fault::new(format!("`min` {min}{least} is above `max` {max}{most}"));
        section.error(at.unwrap_or_default(), fault);
        return TtlRange { min: d::TTL_MIN.value, max: d::TTL_MAX.value };
    }
    let late = match (&bounds.min, &bounds.max) {
        (_, Some(field)) => Some((max, "max", field.span())),
        (Some(field), None) => Some((min, "min", field.span())),
        (None, None) => None,
    };
    if let (Some((ttl, key, at)), Some((detection, monitor))) = (late, detection(pools, fleet))
        && ttl > detection
    {
        let (ttl, detection) = (written(ttl), written(detection));
        let what = format!("`{key}` {ttl} is above the {detection} in which a failure is found");
        let hint =
            format!("monitor `{monitor}`: fall × interval; answers may outlive what they point to");
        section.warn(at, Fault::new(what).hint(hint));
    }
    TtlRange { min, max }
}

/// Reads a TTL: a duration of whole seconds (RFC 2181 section 8).
fn seconds(key: &str) -> impl Fn(&DurationText) -> Result<Duration, Fault> {
    let read = duration_in(key, &d::TTL_RANGE);
    move |text| {
        let ttl = read(text)?;
        if ttl.subsec_millis() == 0 {
            return Ok(ttl);
        }
        let what = format!("`{}` is not a whole number of seconds", text.0);
        Err(Fault::new(what).hint("TTLs count seconds"))
    }
}

/// The longest time in which a monitor of these pools finds a failure, and that monitor.
fn detection<'f>(pools: &[PoolId], fleet: &'f FleetDraft) -> Option<(Duration, &'f str)> {
    let pools = pools.iter().filter_map(|id| fleet.pools.get(usize::from(id.0))?.as_ref());
    let monitors = pools.flat_map(|pool| &pool.monitors);
    let monitors = monitors.filter_map(|id| fleet.monitors.get(usize::from(id.0))?.as_ref());
    monitors.map(|monitor| (monitor.interval * monitor.fall, monitor.name.as_str())).max()
}

/// `"on"`, `"off"` or `{ trusted = [...] }`: whose client subnets count here.
fn client_subnet(section: &mut Section<'_>, table: &ServiceTable) -> ClientSubnet {
    let Some(field) = &table.client_subnet else {
        section.default("client_subnet", d::CLIENT_SUBNET);
        return ClientSubnet::On;
    };
    let read = match field.get_ref() {
        TextOr::Text(text) => {
            let words = [("on", ClientSubnet::On), ("off", ClientSubnet::Off)];
            word("client_subnet", &words)(text)
        }
        TextOr::Table(TrustedTable { trusted }) => {
            let mut inside = section.inside("client_subnet", field.span());
            let fault = Fault::new("`trusted` is empty").hint("or write \"off\"");
            if trusted.is_none() {
                inside.lacks("trusted", fault.clone());
            }
            inside.not_empty(trusted, fault);
            return ClientSubnet::Trusted(
                inside.list("trusted", trusted, |text| prefix(text).map(Some)),
            );
        }
    };
    section.read("client_subnet", field.span(), read).unwrap_or(ClientSubnet::On)
}

fn all_down(section: &mut Section<'_>, table: &ServiceTable, identity: &Identity) -> AllDown {
    let words = [
        ("all", AllDown::All),
        ("first", AllDown::First),
        ("last-good", AllDown::LastGood),
        ("nodata", AllDown::NoData),
        ("servfail", AllDown::ServFail),
    ];
    let Some(field) = &table.all_down else {
        section.default("all_down", d::ALL_DOWN.written);
        return d::ALL_DOWN.value;
    };
    let read = match field.get_ref() {
        TextOr::Text(text) => word("all_down", &words)(text),
        TextOr::Table(AllDownTable { address: Some(list), cname: None }) => {
            let mut inside = section.inside("all_down", field.span());
            let some = Some(list.clone());
            inside.not_empty(&some, Fault::new("`address` is empty").hint("or write \"nodata\""));
            let addresses = inside.list("address", &some, |text| ip(text).map(Some));
            return AllDown::Address(addresses);
        }
        TextOr::Table(AllDownTable { address: None, cname: Some(target) }) => {
            let read = cname(target.get_ref(), identity).map(AllDown::Cname);
            let mut inside = section.inside("all_down", field.span());
            return inside.read("cname", target.span(), read).unwrap_or(d::ALL_DOWN.value);
        }
        TextOr::Table(_) => {
            let fault = Fault::new("`all_down` needs either `address` or `cname`")
                .hint("{ address = [\"192.0.2.99\"] } or { cname = \"status.example.net.\" }");
            section.inside("all_down", field.span()).lacks("address", fault);
            return d::ALL_DOWN.value;
        }
    };
    section.read("all_down", field.span(), read).unwrap_or(d::ALL_DOWN.value)
}

/// The target of a CNAME in place of the service.
fn cname(text: &str, identity: &Identity) -> Result<Name, Fault> {
    let target = hostname(text)?;
    if identity.owner == identity.origin {
        // RFC 1034 section 3.6.2: a CNAME stands alone, and the apex has SOA and NS.
        return Err(Fault::new("a CNAME cannot stand at the apex of a zone")
            .hint("write { address = [\"…\"] }"));
    }
    if target == identity.owner {
        return Err(Fault::new(format!("`{text}` is the service itself")));
    }
    Ok(target)
}
