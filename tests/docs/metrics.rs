//! A running server's metrics: in due form, documented one by one, and true of its clients.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use regex::Regex;

use crate::exposition::{self, Family};
use crate::markdown::{Document, codes, top};
use crate::support::geography::{Geography, client_sample, first_of};
use crate::support::meridian::{Meridian, http_get};
use crate::support::site::{Site, zone};
use crate::support::wire::Ask;
use crate::support::{free_address, free_beside, wait_for};

const A: u16 = 1;

/// Type and labels by name.
type Shapes = BTreeMap<String, (String, BTreeSet<String>)>;

/// The families that a server serves now.
fn served(site: &Site) -> BTreeMap<String, Family> {
    let (status, page) = http_get(site.admin, "/metrics").expect("an answer");
    assert_eq!(status, 200, "{page}");
    exposition::read(&page).unwrap_or_else(|wrong| panic!("{wrong:#?}\n{page}"))
}

fn shapes(families: &BTreeMap<String, Family>) -> Shapes {
    let shape = |(name, family): (&String, &Family)| {
        let labels = family.samples.iter().flat_map(|sample| sample.labels.keys().cloned());
        let labels = labels.filter(|label| label != "le").collect();
        (name.clone(), (family.kind.clone(), labels))
    };
    families.iter().map(shape).collect()
}

/// What docs/metrics.md documents.
fn documented() -> Shapes {
    let rows = Document::read("docs/metrics.md").rows();
    let rows: Vec<_> = rows.into_iter().filter(|row| row.table == "metric").collect();
    let shape = |cells: &Vec<String>| {
        assert_eq!(cells.len(), 4, "metric, type, labels, meaning: {cells:?}");
        let labels = codes(&cells[2]).into_iter().map(str::to_owned).collect();
        (codes(&cells[0])[0].to_owned(), (cells[1].clone(), labels))
    };
    let shapes: Shapes = rows.iter().map(|row| shape(&row.cells)).collect();
    assert_eq!(shapes.len(), rows.len(), "a metric is documented twice");
    shapes
}

/// A site with a service whose endpoint is there, one whose endpoint is not, and one that does not
/// ask where clients are.
fn site() -> (Site, TcpListener, SocketAddr) {
    let site = Site::new("eu");
    let open = TcpListener::bind(free_address(site.address(2).into())).expect("a listener");
    let (up, down) = (open.local_addr().expect("bound"), site.address(3));
    let port = up.port();
    let fleet = format!(
        "version = 1\n\
         [region.eu]\nlocation = \"aws:eu-central-1\"\n\
         [region.us]\nlocation = \"aws:us-east-1\"\n\
         [monitor.open]\nkind = \"tcp\"\nport = {port}\ninterval = \"100ms\"\ntimeout = \"90ms\"\n\
         [pool.web]\nmonitors = [\"open\"]\ncapacity = {{ eu = 1000 }}\nendpoints = [\
         {{ region = \"eu\", address = \"{}\" }}, {{ region = \"us\", address = \"{}\" }}]\n\
         [pool.dark]\nmonitors = [\"open\"]\n\
         endpoints = [{{ region = \"us\", address = \"{down}\" }}]\n",
        up.ip(),
        site.address(4),
    );
    // It accepts and says nothing.
    let fleet = fleet
        + &format!(
            "[[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\ncache = {{}}\n\
             compress = true\nhedge = {{}}\n\
             timeouts = {{ response = \"50ms\" }}\n"
        );
    let services = "version = 1\n\
                    [service.www]\npool = \"web\"\npolicy = [\"proximity\", \"spill\"]\n\
                    [service.dark]\npool = \"dark\"\n\
                    [service.any]\npool = \"web\"\n";
    let encrypted = site.encrypt("eu");
    let taken = [&encrypted[..], &[site.dns, site.admin]].concat();
    let proxy = free_beside(site.dns.ip(), &taken);
    let node = fs::read_to_string(site.path("config/node.toml")).expect("a file");
    let relay = free_beside(site.dns.ip(), &[&taken[..], &[proxy]].concat());
    let role = format!(
        "[proxy]\nhttp = [\"{proxy}\"]\nworkers = 1\n\
         tcp = [{{ listen = \"{relay}\", pool = \"web\" }}]\n\
         udp = [{{ listen = \"{relay}\", pool = \"web\" }}]\n\
         [proxy.acme]\ndirectory = \"https://{relay}/\"\nagree_terms = true\n\
         certificates = [{{ names = [\"www.example.com\"] }}]\n"
    );
    site.write("config/node.toml", &format!("{node}{role}"));
    site.write("config/fleet.toml", &fleet);
    site.write("zones/example.com.zone", &zone("example.com.", 1, ""));
    site.write("zones/example.com.toml", services);
    (site, open, proxy)
}

/// A counter's value, or the sum of several.
fn count(meridian: &Meridian, name: &str, labels: &[&str]) -> u64 {
    meridian.metric(name, labels) as u64
}

/// Waits until the open endpoint is up and the others are down.
fn wait_judged(meridian: &Meridian, up: &str) {
    wait_for("health", || {
        let halves = |label: &str| (2.0 * meridian.metric("meridian_endpoint_up", &[label])) as u64;
        (halves(&format!("endpoint=\"{up}\"")) == 2 && halves("pool=\"dark\"") == 0).then_some(())
    });
}

#[test]
fn the_metrics_of_a_server_keep_the_form_and_are_all_documented() {
    let (site, open, proxy) = site();
    let meridian = site.serve();
    wait_judged(&meridian, &site.address(2).to_string());
    let mut client = meridian.client();
    for name in ["www", "dark", "any", "ns1", "nothing"] {
        let ask = Ask::new(&format!("{name}.example.com"), A);
        client.ask(&ask);
        client.ask_tcp(&ask).expect("an answer");
    }
    // Too short for a header, a reply, and a query cut within its question.
    let garbage = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let reply = [0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for octets in [&[0, 1][..], &reply, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w']] {
        garbage.send_to(octets, site.dns).expect("sent");
    }
    wait_for("malformed queries", || {
        (count(&meridian, "meridian_dns_malformed_total", &[]) == 3).then_some(())
    });
    assert_eq!(count(&meridian, "meridian_dns_replies_total", &["\"FORMERR\""]), 1);
    let down = |service: &str| {
        let label = format!("service=\"{service}.example.com.\"");
        count(&meridian, "meridian_service_all_down_answers_total", &[&label])
    };
    assert_eq!([down("dark"), down("www"), down("any")], [2, 0, 0]);
    assert_eq!(http_get(proxy, "/").map(|(status, _)| status), Some(504));
    wait_for("a load", || served(&site).contains_key("meridian_spill_full").then_some(()));
    drop(open);
    wait_for("a flip", || {
        let labels = ["to=\"down\"", "pool=\"web\""];
        (count(&meridian, "meridian_endpoint_flips_total", &labels) >= 2).then_some(())
    });
    let families = served(&site);
    assert_eq!(documented(), shapes(&families), "documented, and served");
    let causes = &families["meridian_endpoint_up"].samples;
    assert!(causes.iter().all(|sample| sample.labels["cause"] == "refused"), "{causes:?}");
}

#[test]
fn every_metric_that_the_code_names_is_documented() {
    let name = Regex::new(r#""(meridian_[a-z_]+)""#).unwrap();
    let mut named = BTreeSet::new();
    let files = [
        "src/metrics.rs",
        "src/metrics/acme.rs",
        "src/metrics/events.rs",
        "src/metrics/latency.rs",
        "src/metrics/http3.rs",
        "src/metrics/protection.rs",
        "src/metrics/proxy.rs",
        "src/admin/load.rs",
        "src/admin/scrape.rs",
        "src/admin/votes.rs",
    ];
    for file in files {
        let text = fs::read_to_string(top().join(file)).unwrap();
        named.extend(name.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(documented, named);
    let page = fs::read_to_string(top().join("docs/metrics.md")).unwrap();
    let mentioned = Regex::new(r"meridian_[a-z]+_[a-z_]+[a-z]").unwrap();
    for found in mentioned.find_iter(&page) {
        assert!(documented.contains(found.as_str()), "{}", found.as_str());
    }
}

#[test]
fn the_match_rate_counts_the_clients_whom_the_database_locates() {
    let (site, _open, _) = site();
    let meridian = site.serve();
    wait_judged(&meridian, &site.address(2).to_string());
    let geography = Geography::load();
    let counted = || {
        ["located", "unlocated"].map(|result| {
            let label = format!("result=\"{result}\"");
            count(&meridian, "meridian_geo_lookups_total", &[&label])
        })
    };
    assert_eq!(counted(), [0, 0], "both are there before the first query");
    let sample = client_sample().into_iter().step_by(29);
    let nowhere = (0..40).map(|n| (IpAddr::V4(Ipv4Addr::new(10, n, 0, 0)), 16));
    let clients: Vec<(IpAddr, u8)> = sample.chain(nowhere).collect();
    let mut expected = [0, 0];
    let mut client = meridian.client();
    for (address, length) in &clients {
        let ask = Ask::new("www.example.com", A).with_subnet(*address, *length);
        client.ask(&ask);
        let place = geography.place(first_of(*address, *length));
        expected[usize::from(place.is_none())] += 1;
        // A service that does not ask, and a static name, count nothing.
        client.ask(&Ask::new("any.example.com", A).with_subnet(*address, *length));
        client.ask(&Ask::new("ns1.example.com", A).with_subnet(*address, *length));
    }
    assert!(expected[0] > 400 && expected[1] >= 40, "{expected:?}");
    assert_eq!(counted(), expected);
    // Without a client subnet the client is the resolver, here on loopback; TCP counts alike.
    client.ask(&Ask::new("www.example.com", A));
    client.ask_tcp(&Ask::new("www.example.com", A)).expect("an answer");
    assert_eq!(counted(), [expected[0], expected[1] + 2]);
}
