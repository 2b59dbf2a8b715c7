//! The slow oracle: which regions come first for a client, whatever regions are up.
//!
//! It works straight from the geo database and the lists of networks, without the server's code.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::clients::{embedded, listed, shares};
use crate::support::geography::{Degrees, Geography, distance_km};
use crate::world::{ListedNetwork, NETWORKS, REGIONS};

/// What a client must share with the regions inside its fence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fence {
    /// The country.
    Country,
    /// The continent.
    Continent,
    /// Being in, or preferred by, this network.
    Network(&'static str),
}

/// A method of a policy; regions by their index in [`REGIONS`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    /// By the preferences of the client's network.
    Network,
    /// Inside before outside; or never outside.
    Fence { by: Fence, strict: bool },
    /// By distance, shortened or lengthened by so many percent.
    Proximity { bias: &'static [(usize, f64)], tolerance: f64 },
    /// In this order.
    Order(&'static [usize]),
    /// So many, and those hardly farther.
    Nearest(usize, f64),
}

/// A service as the oracle knows it.
pub(crate) struct Rules {
    /// The regions in which it has endpoints.
    pub(crate) regions: &'static [usize],
    /// What ranks regions.
    pub(crate) methods: &'static [Method],
    /// Bits of the client's address by which endpoints are picked.
    pub(crate) affinity: Option<(u8, u8)>,
}

/// What is known of a client: country and network.
#[derive(PartialEq, Eq)]
struct Known {
    country: Option<String>,
    network: Option<usize>,
}

/// A client as the methods see it.
struct Client<'a> {
    country: Option<&'a str>,
    continent: Option<&'a str>,
    point: Option<Degrees>,
    network: Option<usize>,
}

/// For every set of regions that may be up, the regions that come first after each method, as bits:
/// all that an answer, or the explanation of it, can depend on.
pub(crate) type Outcomes = Vec<Vec<u8>>;

/// Looks up clients and remembers what came of them.
pub(crate) struct Oracle {
    geography: Geography,
    prefixes: Vec<(IpAddr, u8, usize)>,
    /// What is known of each address that was asked about, as an index into `known`.
    addresses: HashMap<IpAddr, usize>,
    /// What is known of clients, each with one of their addresses.
    known: Vec<(Known, IpAddr)>,
    /// By service and index into `known`.
    outcomes: HashMap<(usize, usize), Outcomes>,
}

impl Oracle {
    pub(crate) fn new() -> Self {
        let mut oracle = Self {
            geography: Geography::load(),
            prefixes: listed().collect(),
            addresses: HashMap::new(),
            known: Vec::new(),
            outcomes: HashMap::new(),
        };
        for (first, ..) in listed() {
            oracle.know(first);
        }
        oracle
    }

    /// How many sorts of clients are known; one of each network at least.
    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }

    /// The number of what is known of the client at an address.
    pub(crate) fn know(&mut self, address: IpAddr) -> usize {
        let address = embedded(address).map_or(address, |(inner, _)| IpAddr::V4(inner));
        if let Some(known) = self.addresses.get(&address) {
            return *known;
        }
        let known = self.look_up(address);
        let at = self.known.iter().position(|(other, _)| *other == known);
        let at = at.unwrap_or_else(|| {
            self.known.push((known, address));
            self.known.len() - 1
        });
        self.addresses.insert(address, at);
        at
    }

    fn look_up(&self, address: IpAddr) -> Known {
        // No client has an address below `::1:0:0`; databases keep IPv4 there.
        if matches!(address, IpAddr::V6(v6) if u128::from(v6) >> 32 == 0) {
            return Known { country: None, network: None };
        }
        // Codes that stand for no country, which the database has too, place nobody.
        let placed = self.geography.place(address).is_some();
        let country = placed.then(|| self.geography.country(address)).flatten();
        let holding =
            self.prefixes.iter().filter(|(first, length, _)| shares(*first, address, *length));
        let by_prefix = holding.max_by_key(|(_, length, _)| *length).map(|(.., id)| *id);
        let listed = |network: &ListedNetwork| {
            country.as_deref().is_some_and(|country| network.2.contains(&country))
        };
        let network = by_prefix.or_else(|| NETWORKS.iter().position(listed));
        Known { country, network }
    }

    /// What a client is answered in every state of health; `service` numbers the rules.
    pub(crate) fn outcomes(&mut self, service: usize, rules: &Rules, known: usize) -> &Outcomes {
        let (knowledge, address) = &self.known[known];
        let geography = &self.geography;
        self.outcomes.entry((service, known)).or_insert_with(|| {
            let place = geography.place(*address).filter(|_| knowledge.country.is_some());
            let client = Client {
                country: knowledge.country.as_deref(),
                continent: place.map(|(_, continent)| continent),
                point: place.map(|(point, _)| point),
                network: knowledge.network,
            };
            let regions: u8 = rules.regions.iter().fold(0, |all, at| all | 1 << at);
            let sets = (0..1u8 << REGIONS.len()).filter(|set| set & !regions == 0);
            sets.map(|set| first(rules, &client, set)).collect()
        })
    }
}

/// The regions that come first among those in `up` after each method; all are sets of bits.
fn first(rules: &Rules, client: &Client<'_>, up: u8) -> Vec<u8> {
    let allowed = |region: &usize| {
        rules.methods.iter().all(|method| match method {
            Method::Fence { by, strict: true } => inside(*by, client, *region).unwrap_or(true),
            _ => true,
        })
    };
    let up: Vec<usize> =
        (0..REGIONS.len()).filter(|at| up >> at & 1 == 1).filter(allowed).collect();
    let mut tiers = vec![up];
    let mut first = Vec::new();
    for method in rules.methods {
        if let (Method::Nearest(_, tolerance @ 0.01..), Some(point)) = (method, client.point) {
            // What it would keep beside any one region.
            let all = tiers.concat();
            first.push(bits(bands(all, *tolerance, |at| distance(point, at, &[])).first()));
        }
        tiers = match method {
            Method::Nearest(count, tolerance) => nearest(tiers, *count, *tolerance, client),
            method => tiers.into_iter().flat_map(|tier| split(method, tier, client)).collect(),
        };
        first.push(bits(tiers.first()));
    }
    first
}

/// A set of regions as bits.
fn bits(regions: Option<&Vec<usize>>) -> u8 {
    regions.into_iter().flatten().fold(0, |set, at| set | 1 << at)
}

/// Whether a region is in the client's fence; `None`: the client has none.
fn inside(by: Fence, client: &Client<'_>, region: usize) -> Option<bool> {
    let (_, _, country, continent) = REGIONS[region];
    match by {
        Fence::Country => client.country.map(|own| own == country),
        Fence::Continent => client.continent.map(|own| own == continent),
        Fence::Network(name) => {
            let (own, _, _, preferred) = NETWORKS[client.network?];
            (own == name).then(|| preferred.contains(&region))
        }
    }
}

/// Distance to a region, changed by its bias.
fn distance(client: Degrees, region: usize, bias: &[(usize, f64)]) -> f64 {
    let distance = distance_km(client, REGIONS[region].1);
    match bias.iter().find(|(other, _)| *other == region) {
        Some((_, percent)) if *percent > 0.0 => distance * (1.0 - percent / 100.0),
        Some((_, percent)) => distance / (1.0 + percent / 100.0),
        None => distance,
    }
}

/// Splits a tier by one method.
fn split(method: &Method, tier: Vec<usize>, client: &Client<'_>) -> Vec<Vec<usize>> {
    let by_rank = |rank: &dyn Fn(usize) -> usize| -> Vec<Vec<usize>> {
        let of_rank = |wanted| tier.iter().copied().filter(|at| rank(*at) == wanted).collect();
        let all = (0..=REGIONS.len()).map(of_rank);
        all.filter(|tier: &Vec<usize>| !tier.is_empty()).collect()
    };
    let ordered = |order: &[usize]| {
        by_rank(&|at| order.iter().position(|other| *other == at).unwrap_or(order.len()))
    };
    match method {
        Method::Network => match client.network {
            Some(id) => ordered(NETWORKS[id].3),
            None => vec![tier],
        },
        Method::Order(order) => ordered(order),
        Method::Fence { by, .. } => {
            by_rank(&|at| usize::from(!inside(*by, client, at).unwrap_or(true)))
        }
        Method::Proximity { bias, tolerance } => match client.point {
            Some(point) => bands(tier, *tolerance, |at| distance(point, at, bias)),
            None => vec![tier],
        },
        Method::Nearest(..) => vec![tier],
    }
}

/// The nearest with all that are hardly farther, then the same of the rest.
fn bands(mut tier: Vec<usize>, tolerance: f64, far: impl Fn(usize) -> f64) -> Vec<Vec<usize>> {
    let mut bands = Vec::new();
    while !tier.is_empty() {
        let least = tier.iter().map(|at| far(*at)).fold(f64::INFINITY, f64::min);
        let near = |at: &mut usize| far(*at) <= least * (1.0 + tolerance);
        bands.push(tier.extract_if(.., near).collect());
    }
    bands
}

/// Ties the first tiers until there are enough, and what is hardly farther than the last of them.
fn nearest(
    tiers: Vec<Vec<usize>>,
    count: usize,
    tolerance: f64,
    client: &Client<'_>,
) -> Vec<Vec<usize>> {
    let mut kept: Vec<usize> = Vec::new();
    let mut rest = Vec::new();
    for tier in tiers {
        if kept.len() < count { kept.extend(tier) } else { rest.push(tier) }
    }
    if let Some(point) = client.point.filter(|_| tolerance > 0.0) {
        let far = |at: usize| distance(point, at, &[]);
        let last = kept.iter().map(|at| far(*at)).fold(0.0, f64::max);
        for tier in &mut rest {
            kept.extend(tier.extract_if(.., |at| far(*at) <= last * (1.0 + tolerance)));
        }
    }
    [vec![kept], rest].concat()
}
