//! What `latency` learns on real round trips: those between the regions of a large cloud, seen by
//! clients who live near them.

use std::collections::HashMap;
use std::time::Duration;

use super::{healthy, service};
use crate::clock::Tick;
use crate::geo::{Databases, Ground};
use crate::health::{EndpointHealth, HostAddresses, Level};
use crate::latency::{Chart, Client, Estimates, LatencyMap, Measured, Reporter, Rtt};
use crate::model::{Address, Endpoint, Fleet, Method, Pool, PoolId, Region, RegionId};
use crate::place::Point;
use crate::prefix::Prefix;
use crate::steering::{Candidate, Contest, Family, Local, View};

const MATRIX: &str = include_str!("../../../tests/data/latency/azure_rtt_ms.csv");
const PLACES: &str = include_str!("../../../tests/data/latency/azure_regions.json");
const CLIENTS: &str = include_str!("../../../tests/data/client_sample.csv");

/// Connections of a client prefix in an hour.
const CONNECTIONS: usize = 60;
/// Hours before anything is judged, and after.
const LEARNING: u64 = 72;
const JUDGED: u64 = 24;
const HOUR: Duration = Duration::from_secs(3_600);

/// A cloud region: where it is, and its round trips to the others.
struct Site {
    point: Point,
    ms: HashMap<String, f64>,
}

fn sites() -> Vec<(String, Site)> {
    let places: serde_json::Value = serde_json::from_str(PLACES).unwrap();
    let point = |name: &str| {
        let mut all = places.as_object().unwrap().values();
        let found = all.find(|place| place["displayName"] == name)?;
        Point::new(found["lat"].as_f64()?, found["lon"].as_f64()?)
    };
    let mut lines = MATRIX.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').skip(1).collect();
    let site = |line: &str| {
        let (name, cells) = line.split_once(',').unwrap();
        let known = cells.split(',').zip(&names);
        let ms = known.filter_map(|(ms, to)| Some(((*to).to_owned(), ms.parse().ok()?))).collect();
        Some((name.to_owned(), Site { point: point(name)?, ms }))
    };
    lines.filter_map(site).collect()
}

/// A client prefix, and how far it is in truth.
struct Household {
    client: Client,
    prefix: Prefix,
    weight: f64,
    /// By region: as the matrix has it, and as it is now.
    usual: Vec<f64>,
    now: Vec<f64>,
    point: Point,
    chosen: Option<Local>,
}

/// A fleet in some of the cloud's regions, and its clients.
struct World {
    fleet: Fleet,
    contest: Contest,
    health: Vec<EndpointHealth>,
    households: Vec<Household>,
    random: fastrand::Rng,
    /// Of the proxy in each region, and of the node that answers.
    proxies: Vec<LatencyMap>,
    map: LatencyMap,
}

/// What clients lose against the best region.
#[derive(Debug, Default)]
struct Loss {
    weighted: Vec<(f64, f64)>,
    moves: f64,
}

impl Loss {
    fn share_within(&self, ms: f64) -> f64 {
        let all: f64 = self.weighted.iter().map(|(_, weight)| weight).sum();
        let good = self.weighted.iter().filter(|(loss, _)| *loss <= ms).map(|(_, weight)| weight);
        good.sum::<f64>() / all
    }

    fn mean(&self) -> f64 {
        let all: f64 = self.weighted.iter().map(|(_, weight)| weight).sum();
        self.weighted.iter().map(|(loss, weight)| loss * weight).sum::<f64>() / all
    }

    fn percentile(&mut self, share: f64) -> f64 {
        self.weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut left = share * self.weighted.iter().map(|(_, weight)| weight).sum::<f64>();
        let found = self.weighted.iter().find(|(_, weight)| {
            left -= weight;
            left <= 0.0
        });
        found.map_or(0.0, |(loss, _)| *loss)
    }
}

impl World {
    /// A world whose fleet is in these regions; none: in so many by chance.
    fn new((named, count): (&[&str], usize), households: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let all = sites();
        let mut order: Vec<usize> = (0..all.len()).collect();
        random.shuffle(&mut order);
        let serving: Vec<&(String, Site)> = match named {
            [] => order[..count].iter().map(|at| &all[*at]).collect(),
            named => all.iter().filter(|(name, _)| named.contains(&name.as_str())).collect(),
        };
        let fleet = fleet(&serving);
        let contest = Contest::new(&service(1, POLICY.to_vec()), &fleet, true);
        let mut rows: Vec<&str> = CLIENTS.lines().skip(1).filter(|l| !l.contains("::")).collect();
        random.shuffle(&mut rows);
        let mut found = Vec::new();
        for row in rows {
            let fields: Vec<&str> = row.split(',').collect();
            let number = |back: usize| fields[fields.len() - back].parse::<f64>().unwrap();
            let point = Point::new(number(3), number(2)).unwrap();
            let prefix: Prefix = fields[0].parse().unwrap();
            let Ok(client) = Client::of(prefix) else { continue };
            let near = |site: &&(String, Site)| site.1.point.distance_km(point);
            let home = all.iter().min_by(|a, b| near(a).total_cmp(&near(b))).unwrap();
            let access = 3.0 + 22.0 * random.f64();
            let way = |site: &&(String, Site)| {
                let same = if site.0 == home.0 { Some(1.0) } else { None };
                let known = home.1.ms.get(&site.0).or_else(|| site.1.ms.get(&home.0)).copied();
                Some(known.or(same)? + access)
            };
            let Some(usual) = serving.iter().map(way).collect::<Option<Vec<f64>>>() else {
                continue;
            };
            let (now, weight, chosen) = (usual.clone(), number(1), None);
            found.push(Household { client, prefix, weight, usual, now, point, chosen });
            if found.len() == households {
                break;
            }
        }
        let health = vec![healthy(Level::Up, None); count];
        let node = |at: usize, node: &str| {
            let region = fleet.regions[at].name.clone();
            LatencyMap::new(Reporter { region, node: node.to_owned() }, seed)
        };
        let proxies = (0..count).map(|at| node(at, "proxy")).collect();
        let mut map = node(0, "dns");
        for (from, site) in serving.iter().enumerate() {
            let ways: Vec<crate::latency::Way> = serving
                .iter()
                .enumerate()
                .filter_map(|(to, other)| {
                    let ms = if from == to { 0.5 } else { *site.1.ms.get(&other.0)? };
                    let (to, settled) = (fleet.regions[to].name.clone(), Rtt::from_ms(ms));
                    Some(crate::latency::Way { to, settled, samples: 64 })
                })
                .collect();
            let region = fleet.regions[from].name.clone();
            map.hear_ways(&Reporter { region, node: "probe".to_owned() }, &ways, Tick(1 << 40));
        }
        Self { fleet, contest, health, households: found, random, proxies, map }
    }

    /// A round trip of a connection: noise, which only adds, and now and then a lost packet.
    fn sample(random: &mut fastrand::Rng, ms: f64) -> f64 {
        let noise = 1.0 - 0.1 * random.f64().max(1e-9).ln();
        let lost = if random.u8(0..20) == 0 { 200.0 } else { 0.0 };
        ms * noise + lost
    }

    /// A tenth of the prefixes get other ways to one of the regions.
    fn drift(&mut self) {
        let Self { households, random, .. } = self;
        for household in households {
            if random.u8(0..10) == 0 {
                let at = random.usize(0..household.now.len());
                household.now[at] = household.usual[at] * (0.9 + 0.25 * random.f64());
            }
        }
    }

    /// An hour of connections, to where clients are sent, and what was lost in it.
    fn hour(
        &mut self,
        ground: &Ground,
        before: &Estimates,
        now: Tick,
        loss: &mut Loss,
    ) -> Estimates {
        for proxy in &self.proxies {
            let measured: Vec<Measured> = proxy.own(now).collect();
            self.map.hear(proxy.me().unwrap(), &measured, now);
        }
        let estimates = Estimates::new(&self.map, &self.fleet, ground, before, now);
        let chart = Chart::new(&estimates, &self.fleet);
        let view = View {
            fleet: &self.fleet,
            health: &self.health,
            hosts: &HostAddresses::default(),
            last_good: &[],
            shares: &[],
            spread: None,
        };
        let ids = self.contest.regions().to_vec();
        for household in &mut self.households {
            let place = ground.client(household.prefix.address()).place;
            let known = chart.of(&chart.prior(place), household.client);
            let opinions = self.contest.opinions(place, None, &known, &self.fleet);
            let class = self.contest.class(&opinions);
            let best = class.tiers[0][0];
            let moved = household.chosen.replace(best).is_some_and(|before| before != best);
            loss.moves += household.weight * f64::from(u8::from(moved));
            let truth = |local: Local| household.now[usize::from(ids[usize::from(local)].0)];
            let least = household.now.iter().copied().fold(f64::INFINITY, f64::min);
            loss.weighted.push((truth(best) - least, household.weight));
            let second = self.contest.runner_up(&class, Family::V4, &view);
            for _ in 0..CONNECTIONS {
                let explores = self.random.f64() < self.fleet.latency.explore;
                let to = if explores { drawn(&second, &mut self.random) } else { None };
                let to = to.unwrap_or(best);
                let ms = Self::sample(&mut self.random, truth(to));
                let proxy = &mut self.proxies[usize::from(ids[usize::from(to)].0)];
                let time = Duration::from_secs_f64(ms / 1e3);
                proxy.sample(household.prefix, time, now).unwrap();
            }
        }
        estimates
    }

    /// The share of clients for whom the nearest region is the best one or within 10 ms of it.
    fn by_proximity(&self) -> f64 {
        let mut loss = Loss::default();
        for household in &self.households {
            let distance = |at: usize| self.fleet.regions[at].point.distance_km(household.point);
            let near = (0..household.usual.len())
                .min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
                .unwrap();
            let least = household.usual.iter().copied().fold(f64::INFINITY, f64::min);
            loss.weighted.push((household.usual[near] - least, household.weight));
        }
        loss.share_within(10.0)
    }
}

/// The region of a candidate drawn by weight.
fn drawn(candidates: &[Candidate], random: &mut fastrand::Rng) -> Option<Local> {
    let total: u64 = candidates.iter().map(|candidate| candidate.weight).sum();
    let mut left = random.u64(0..total.max(1));
    let found = candidates.iter().find(|candidate| {
        let hit = left < candidate.weight;
        left = left.saturating_sub(candidate.weight);
        hit
    });
    found.map(|candidate| candidate.region)
}

const POLICY: [Method; 2] =
    [Method::Latency { tolerance: 0.0 }, Method::Proximity { bias: Vec::new(), tolerance: 0.0 }];

fn fleet(serving: &[&(String, Site)]) -> Fleet {
    let region = |(at, site): (usize, &&(String, Site))| Region {
        name: format!("r{at}"),
        point: site.1.point,
        country: None,
        continent: None,
    };
    let endpoint = |at: usize| Endpoint {
        pool: PoolId(0),
        region: RegionId(at as u16),
        address: Address::Ip([192, 0, 2, at as u8].into()),
        probe: None,
        weight: 100,
        group: None,
        depends_on: Vec::new(),
    };
    Fleet {
        regions: serving.iter().enumerate().map(region).collect(),
        pools: vec![Pool {
            name: "web".to_owned(),
            monitors: Vec::new(),
            min_up: 0.5,
            capacity: Vec::default(),
            endpoints: 0..serving.len() as u32,
        }],
        endpoints: (0..serving.len()).map(endpoint).collect(),
        ..Fleet::default()
    }
}

#[test]
fn clients_end_up_at_the_best_region_and_stay_there() {
    let ground = Ground::new(&Databases::load(&[]).unwrap(), &[]);
    let mut missed = Vec::new();
    let three: &[&str] = &["UK South", "West US", "Southeast Asia"];
    for (named, count, seed) in [(three, 3, 1), (&[], 6, 2), (&[], 10, 3)] {
        let mut world = World::new((named, count), 400, seed);
        let proximity = world.by_proximity();
        let mut estimates = Estimates::default();
        let (mut loss, mut now) = (Loss::default(), Tick(1 << 40));
        for hour in 0..LEARNING + JUDGED {
            if hour == LEARNING {
                loss = Loss::default();
            }
            world.drift();
            estimates = world.hour(&ground, &estimates, now, &mut loss);
            now = now + HOUR;
        }
        let weight: f64 = world.households.iter().map(|household| household.weight).sum();
        let (good, mean, p99) = (loss.share_within(10.0), loss.mean(), loss.percentile(0.99));
        let moves = loss.moves / weight;
        let found = format!(
            "{count} regions: {good:.3} within 10 ms (proximity {proximity:.3}), mean loss \
             {mean:.2} ms, 99 % within {p99:.1} ms, {moves:.2} moves a day"
        );
        println!("{found}");
        let holds = good >= 0.97 && mean <= 1.0 && p99 <= 25.0 && moves <= 1.0;
        if !holds || good <= proximity {
            missed.push(found);
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
