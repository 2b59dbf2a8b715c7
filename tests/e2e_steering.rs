//! Real answers to real clients: every client of the sample is sent where an independent oracle
//! says, and an endpoint that dies leaves the answers in time.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use support::dns::{Client, dig, kdig};
use support::free_address;
use support::geography::{
    Degrees, Geography, client_sample, distance_km, first_of, last_of, next, preset,
};
use support::meridian::Meridian;
use support::peers::Nginx;
use support::site::{Site, zone};
use support::wire::{Ask, Reply};

const A: u16 = 1;
const AAAA: u16 = 28;
/// What `ttl` says in the zone's services below.
const TTLS: RangeInclusive<u32> = 1..=30;
/// A region whose distance differs by less than this is as near as the nearest.
const TIE_KM: f64 = 0.001;
/// The time between two probes, and how many in a row change the state.
const INTERVAL: Duration = Duration::from_secs(1);
const FALL: u32 = 2;
const RISE: u32 = 2;
/// What `interval` may be stretched by, so that probes do not march in step.
const JITTER: f64 = 0.1;
/// Time from the deciding probe to the changed answer.
const SLACK: Duration = Duration::from_millis(500);

/// A region: name, location as configured, continent.
const REGIONS: [(&str, &str, &str); 6] = [
    ("eu-central", "\"aws:eu-central-1\"", "EU"),
    ("us-east", "{ lat = 38.95, lon = -77.45 }", "NA"),
    ("us-west", "{ lat = 37.35, lon = -121.95 }", "NA"),
    ("ap-south", "\"gcp:asia-south1\"", "AS"),
    ("sa-east", "{ lat = -23.55, lon = -46.63 }", "SA"),
    ("au-east", "{ lat = -33.87, lon = 151.21 }", "OC"),
];

const SERVICES: &str = r#"version = 1
[service.www]
pool    = "web"
policy  = ["proximity"]
answers = 1
ttl     = { min = "1s", max = "30s" }
[service.fenced]
pool    = "web"
policy  = [{ method = "fence", by = "continent", strict = false }, { method = "proximity" }]
answers = 1
ttl     = { min = "1s", max = "30s" }
[service.ordered]
pool    = "web"
policy  = [{ method = "order", regions = ["sa-east", "us-east"] }, "weighted"]
answers = 1
ttl     = { min = "1s", max = "30s" }
[service.office]
pool    = "web"
policy  = ["network", "proximity"]
answers = 1
ttl     = { min = "1s", max = "30s" }
[service.split]
pool    = "pair"
policy  = [{ method = "order", regions = ["eu-central"] }, { method = "weighted" }]
answers = 1
ttl     = { min = "1s", max = "30s" }
[service.dual]
pool    = "both"
policy  = ["proximity"]
answers = 1
ttl     = { min = "1s", max = "30s" }
"#;

/// A site of six regions with an nginx in each, and a second one in the first region.
struct World {
    endpoints: Vec<Ipv4Addr>,
    second: Ipv4Addr,
    nginx: Vec<Nginx>,
    meridian: Meridian,
    geography: Geography,
    places: Vec<Degrees>,
    /// Last, so that the folder is there until all processes have ended.
    site: Site,
}

impl World {
    fn new() -> Self {
        let site = Site::new("eu-central");
        let endpoints: Vec<Ipv4Addr> = (10..16).map(|number| site.address(number)).collect();
        let second = site.address(20);
        let port = free_address(IpAddr::V4(endpoints[0])).port();
        let nginx = endpoints
            .iter()
            .chain([&second])
            .map(|ip| Nginx::start(&site.path(""), SocketAddr::new(IpAddr::V4(*ip), port)))
            .collect();
        site.write("config/fleet.toml", &fleet(&site, port, &endpoints, second));
        site.write("zones/gslb.test.zone", &zone("gslb.test.", 1, ""));
        site.write("zones/gslb.test.toml", SERVICES);
        let meridian = site.serve();
        let places = REGIONS.iter().map(|(_, location, _)| degrees(location)).collect();
        let geography = Geography::load();
        Self { endpoints, second, nginx, meridian, geography, places, site }
    }

    /// The regions that may be answered to a client: the nearest of those in `fence`.
    fn nearest(&self, client: IpAddr, fence: bool) -> BTreeSet<usize> {
        let Some((at, continent)) = self.geography.place(client) else {
            return (0..REGIONS.len()).collect();
        };
        let inside = |region: &usize| REGIONS[*region].2 == continent;
        let fence = fence && (0..REGIONS.len()).any(|region| inside(&region));
        let eligible = (0..REGIONS.len()).filter(|region| !fence || inside(region));
        let by_distance: Vec<(usize, f64)> =
            eligible.map(|region| (region, distance_km(at, self.places[region]))).collect();
        let least = by_distance.iter().map(|(_, km)| *km).fold(f64::MAX, f64::min);
        let near = by_distance.into_iter().filter(|(_, km)| *km <= least + TIE_KM);
        near.map(|(region, _)| region).collect()
    }

    /// The region of the one address in a reply.
    fn region(&self, reply: &Reply) -> Option<usize> {
        let [IpAddr::V4(address)] = reply.addresses()[..] else { return None };
        self.endpoints.iter().position(|endpoint| *endpoint == address)
    }
}

fn degrees(location: &str) -> Degrees {
    if let Some(name) = location.strip_prefix('"') {
        return preset(name.trim_end_matches('"'));
    }
    let numbers: Vec<f64> =
        location.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

fn fleet(site: &Site, port: u16, endpoints: &[Ipv4Addr], second: Ipv4Addr) -> String {
    let mut text = String::from("version = 1\n");
    for (name, location, _) in REGIONS {
        writeln!(text, "[region.{name}]\nlocation = {location}").unwrap();
    }
    write!(
        text,
        "[monitor.ready]\nkind = \"http\"\nscheme = \"http\"\nport = {port}\n\
         path = \"/health/ready\"\nhost = \"www.gslb.test\"\n\
         expect_body = '\"status\":\"ok\"'\ninterval = \"1s\"\ntimeout = \"500ms\"\n\
         fall = {FALL}\nrise = {RISE}\nvantage = \"any\"\nhold_down = \"0s\"\n\
         [pool.web]\nmonitors = [\"ready\"]\nendpoints = [\n"
    )
    .unwrap();
    for ((name, _, _), address) in REGIONS.iter().zip(endpoints) {
        writeln!(text, "  {{ region = \"{name}\", address = \"{address}\" }},").unwrap();
    }
    let first = endpoints[0];
    write!(
        text,
        "]\n[pool.pair]\nmonitors = [\"ready\"]\nendpoints = [\n\
         {{ region = \"eu-central\", address = \"{first}\", weight = 75 }},\n\
         {{ region = \"eu-central\", address = \"{second}\", weight = 25 }},\n]\n\
         [pool.both]\nendpoints = [\n"
    )
    .unwrap();
    for ((name, _, _), number) in REGIONS.iter().zip(1..) {
        writeln!(text, "  {{ region = \"{name}\", address = \"192.0.2.{number}\" }},").unwrap();
        writeln!(text, "  {{ region = \"{name}\", address = \"2001:db8::{number}\" }},").unwrap();
    }
    let office = site.address(77);
    write!(text, "]\n[network.office]\nprefixes = [\"{office}/32\"]\nregions = [\"au-east\"]\n")
        .unwrap();
    text
}

/// One answer of one address, authoritative, with a TTL in range.
fn check_form(reply: &Reply, ask: &Ask) {
    assert_eq!((reply.rcode, reply.aa, reply.tc), (0, true, false), "{ask:?}: {reply:?}");
    assert_eq!(reply.answer.len(), 1, "{ask:?}: {reply:?}");
    assert!(TTLS.contains(&reply.answer[0].ttl), "{ask:?}: TTL {}", reply.answer[0].ttl);
}

#[test]
fn every_client_of_the_sample_is_sent_where_the_oracle_says() {
    let world = World::new();
    let mut client = world.meridian.client();
    let sample = client_sample();
    assert_eq!(sample.len(), 14_793);
    let mut scopes: BTreeMap<(IpAddr, u8), usize> = BTreeMap::new();
    let mut reached = BTreeSet::new();
    for (address, length) in &sample {
        for (name, fence) in [("www.gslb.test", false), ("fenced.gslb.test", true)] {
            let ask = Ask::new(name, A).with_subnet(*address, *length);
            let reply = client.ask(&ask);
            check_form(&reply, &ask);
            let region = world.region(&reply).expect("an endpoint of the pool");
            let expected = world.nearest(*address, fence);
            assert!(expected.contains(&region), "{ask:?}: {region} instead of {expected:?}");
            let (source, scope) = reply.scope.expect("a client subnet in the reply");
            assert_eq!(source, *length, "{ask:?}");
            reached.insert(region);
            if !fence {
                scopes.insert((first_of(*address, scope), scope), region);
            }
        }
    }
    assert_eq!(reached.len(), REGIONS.len(), "the sample has clients near every region");
    scopes_are_right(&world, &scopes);
    well_known_clients_agree(&world, &sample);
}

/// Every client inside a returned scope is sent to the same region, and the other half of the
/// prefix one bit shorter holds a client who is not, or who is somewhere else at least.
fn scopes_are_right(world: &World, scopes: &BTreeMap<(IpAddr, u8), usize>) {
    let networks = |first: IpAddr, last: IpAddr| {
        std::iter::successors(Some(first), move |at| {
            next(world.geography.network_end(*at)).filter(|at| *at <= last)
        })
    };
    for ((first, scope), region) in scopes {
        let last = last_of(*first, *scope);
        let stray = networks(*first, last).find(|at| !world.nearest(*at, false).contains(region));
        assert_eq!(stray, None, "{first}/{scope} is too wide: {stray:?} is elsewhere");
        if *scope == 0 {
            continue;
        }
        let wider = (first_of(*first, scope - 1), last_of(*first, scope - 1));
        let country = world.geography.country(*first);
        let differs = networks(wider.0, wider.1).any(|at| world.geography.country(at) != country);
        assert!(differs, "{first}/{scope} is too narrow: all of {country:?}, and so its sibling");
    }
}

/// What other people's clients ask gets the same answers.
fn well_known_clients_agree(world: &World, sample: &[(IpAddr, u8)]) {
    for (address, length) in sample.iter().step_by(300) {
        let subnet = format!("+subnet={address}/{length}");
        let expected: Vec<String> = world
            .nearest(*address, false)
            .into_iter()
            .map(|region| world.endpoints[region].to_string())
            .collect();
        for answer in [
            kdig(world.site.dns, &["www.gslb.test", "A", &subnet]),
            dig(world.site.dns, &["www.gslb.test", "A", &subnet]),
        ] {
            assert!(answer.len() == 1 && expected.contains(&answer[0]), "{subnet}: {answer:?}");
        }
    }
}

#[test]
fn policies_hold_for_clients_with_and_without_a_subnet() {
    let world = World::new();
    let mut client = world.meridian.client();
    let ordered = Ask::new("ordered.gslb.test", A);
    for ask in [ordered.clone(), ordered.with_subnet("203.0.113.0".parse().unwrap(), 24)] {
        let reply = client.ask(&ask);
        check_form(&reply, &ask);
        assert_eq!(world.region(&reply), Some(4), "{ask:?}");
        let scope = reply.scope.map(|(_, scope)| scope);
        assert_eq!(scope, ask.subnet.map(|_| 0), "location plays no part");
    }
    let office = Ask::new("office.gslb.test", A);
    let mut inside = Client::from_address(IpAddr::V4(world.site.address(77)), world.site.dns);
    assert_eq!(world.region(&inside.ask(&office)), Some(5), "the operator's list beats the rest");
    let berlin = office.clone().with_subnet("141.20.0.0".parse().unwrap(), 24);
    assert_eq!(world.region(&inside.ask(&berlin)), Some(0), "a client subnet beats the address");
    let nobody = office.with_subnet("0.0.0.0".parse().unwrap(), 0);
    assert_eq!(inside.ask(&nobody).scope, Some((0, 0)), "nothing was told, nothing is relied on");
    shares_follow_the_weights(&world, &mut client);
    families_land_in_one_region(&world, &mut client);
    let missing = Ask::new("www.gslb.test", AAAA).with_subnet("141.20.0.0".parse().unwrap(), 24);
    let reply = client.ask(&missing);
    assert_eq!((reply.rcode, reply.aa, reply.answer.len()), (0, true, 0), "no AAAA: NODATA");
    assert_eq!(reply.authority.iter().map(|rr| rr.rtype).collect::<Vec<_>>(), [6]);
    assert_eq!(reply.scope.map(|(source, _)| source), Some(24));
}

fn shares_follow_the_weights(world: &World, client: &mut Client) {
    let asked = 4000;
    let ask = Ask::new("split.gslb.test", A);
    let answers = (0..asked).map(|_| client.ask(&ask).addresses());
    let second = answers.filter(|answer| *answer == [IpAddr::V4(world.second)]).count();
    // Five standard deviations of a fair draw.
    let share = second as f64 / f64::from(asked);
    let deviation = (0.25 * 0.75 / f64::from(asked)).sqrt();
    assert!((share - 0.25).abs() < 5.0 * deviation, "a weight of 25 in 100 got {share}");
}

fn families_land_in_one_region(world: &World, client: &mut Client) {
    for (address, length) in client_sample().into_iter().step_by(50) {
        let ask = |rtype| Ask::new("dual.gslb.test", rtype).with_subnet(address, length);
        let (v4, v6) = (client.ask(&ask(A)).addresses(), client.ask(&ask(AAAA)).addresses());
        let region = |addresses: &[IpAddr]| match addresses {
            [IpAddr::V4(v4)] => u16::from(v4.octets()[3]),
            [IpAddr::V6(v6)] => v6.segments()[7],
            other => panic!("{address}: {other:?}"),
        };
        assert_eq!(region(&v4), region(&v6), "{address}");
        let located = world.geography.place(address).is_some();
        let nearest = world.nearest(address, false);
        assert!(!located || nearest.contains(&(usize::from(region(&v4)) - 1)), "{address}");
    }
}

#[test]
fn a_dead_endpoint_leaves_the_answers_in_time_and_comes_back() {
    let mut world = World::new();
    let mut client = world.meridian.client();
    // A client in Germany, whose nearest region is the first.
    let ask = Ask::new("www.gslb.test", A).with_subnet("141.20.0.0".parse().unwrap(), 24);
    let every = Duration::from_millis(5);
    assert_eq!(world.region(&client.ask(&ask)), Some(0));
    for round in 0..3 {
        world.nginx[0].stop();
        let stopped = Instant::now();
        let limit = INTERVAL * FALL + SLACK;
        let mut last = Duration::ZERO;
        // Watched for twice as long, since an answer must not come back either.
        while stopped.elapsed() < limit * 2 {
            let reply = client.ask(&ask);
            check_form(&reply, &ask);
            match world.region(&reply) {
                Some(0) => last = stopped.elapsed(),
                other => assert!(other.is_some(), "an empty or foreign answer: {reply:?}"),
            }
            std::thread::sleep(every);
        }
        assert!(last <= limit, "round {round}: still answered {last:?} after it died");
        world.nginx[0].start_again();
        let started = Instant::now();
        let limit = (INTERVAL * RISE).mul_f64(1.0 + JITTER) + SLACK;
        let back = support::poll(support::PATIENCE, every, || {
            (world.region(&client.ask(&ask)) == Some(0)).then(|| started.elapsed())
        });
        let back = back.expect("the endpoint comes back");
        println!("round {round}: gone after {last:?}, back after {back:?}");
        assert!(back <= limit, "round {round}: back only after {back:?}");
    }
}
