//! A node from its start to its end: probes of real servers, signals, state, files that change.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Counters and levels of health are exact.

#[path = "probe/certificates.rs"]
mod certificates;
#[path = "serve/files.rs"]
mod files;
#[path = "serve/life.rs"]
mod life;
#[path = "serve/state.rs"]
mod state;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use certificates::Authority;
use serde_json::Value;
use support::free_address;
use support::meridian::{Meridian, command};
use support::peers::Nginx;
use support::site::{Site, zone};
use support::wire::Ask;

const A: u16 = 1;

/// Two regions.
const REGIONS: &str = "version = 1\n\
    [region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
    [region.us]\nlocation = { lat = 38.95, lon = -77.45 }\n";

/// A pool without monitors in both.
const POOL: &str = "[pool.web]\nendpoints = [\n\
    { region = \"eu\", address = \"192.0.2.1\" },\n\
    { region = \"us\", address = \"192.0.2.2\" },\n]\n";

const SERVICES: &str = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"proximity\"]\n\
    answers = 1\nttl = { min = \"1s\", max = \"60s\" }\n";

/// A site that serves `serve.test`, with the rest of the fleet as given.
fn site(fleet: &str) -> Site {
    let site = Site::new("eu");
    site.write("config/fleet.toml", &format!("{REGIONS}{fleet}"));
    site.write("zones/serve.test.zone", &zone("serve.test.", 1, ""));
    site.write("zones/serve.test.toml", SERVICES);
    site
}

/// Adds to the site's `node.toml`.
fn add_to_node(site: &Site, text: &str) {
    site.write("config/node.toml", &format!("{}{text}", site.node("eu")));
}

/// The question of a client in Germany, whose nearest region is eu.
fn german() -> Ask {
    Ask::new("www.serve.test", A).with_subnet("141.20.0.0".parse().unwrap(), 24)
}

/// The one address a client in Germany is sent to.
fn answer(meridian: &Meridian) -> IpAddr {
    let reply = meridian.client().ask(&german());
    let [address] = reply.addresses()[..] else { panic!("{reply:?}") };
    address
}

/// A monitor named `ready`, with these lines in addition.
fn monitor(port: u16, lines: &str) -> String {
    format!(
        "[monitor.ready]\nkind = \"http\"\nport = {port}\npath = \"/health/ready\"\n\
         interval = \"1s\"\ntimeout = \"700ms\"\n{lines}\n"
    )
}

/// An nginx with a server for each address and certificate, and one name more on the first.
fn tls_nginx(site: &Site, authority: &Authority) -> (Nginx, u16) {
    let port = free_address(site.address(10).into()).port();
    let mut servers = String::new();
    for (number, name, days, reply) in [
        (10, "www.serve.test", 60, "return 200 '{\"status\":\"ok\"}';"),
        (10, "other.test", 60, "return 503;"),
        (11, "www.serve.test", 3, "return 200 '{\"status\":\"ok\"}';"),
        (12, "other.test", 60, "return 200 '{\"status\":\"ok\"}';"),
        (13, "www.serve.test", 60, "return 302 /elsewhere;"),
        (14, "www.serve.test", 60, "return 200 '{\"status\":\"no\"}';"),
    ] {
        let pair = authority.sign(name, -1, days);
        let file = |end: &str| site.path(&format!("{number}-{name}.{end}"));
        fs::write(file("pem"), pair.chain).unwrap();
        fs::write(file("key"), pair.key).unwrap();
        writeln!(
            servers,
            "server {{ listen {}:{port} ssl; server_name {name}; ssl_certificate {}; \
             ssl_certificate_key {}; location / {{ {reply} }} }}",
            site.address(number),
            file("pem").display(),
            file("key").display(),
        )
        .unwrap();
    }
    let plain = site.address(15);
    writeln!(servers, "server {{ listen {plain}:{port}; return 200 '\"ok\"'; }}").unwrap();
    let first = SocketAddr::new(site.address(10).into(), port);
    (Nginx::with_servers(&site.path(""), first, servers), port)
}

#[test]
fn https_endpoints_are_judged_and_each_flip_is_one_line_and_one_count() {
    let site = site("");
    let authority = Authority::new("ours");
    let (_nginx, port) = tls_nginx(&site, &authority);
    let monitor = monitor(
        port,
        "scheme = \"https\"\nhost = \"www.serve.test\"\nexpires_within = \"7d\"\n\
         expect_body = '\"status\":\"ok\"'",
    );
    let endpoint = |number| {
        let address = site.address(number);
        format!("{{ region = \"eu\", address = \"{address}\" }},\n")
    };
    let endpoints: Vec<String> = (10..=16).map(endpoint).collect();
    let endpoints = endpoints.concat();
    let pool = format!(
        "[pool.web]\nmonitors = [\"ready\"]\nendpoints = [\n{endpoints}\
         {{ region = \"us\", address = \"localhost\", probe = \"{}\" }},\n]\n",
        site.address(10),
    );
    site.write("config/fleet.toml", &format!("{REGIONS}{monitor}{pool}"));
    add_to_node(&site, "[log]\nformat = \"json\"\n");
    fs::write(site.path("ca.pem"), authority.pem()).unwrap();
    let mut own = command();
    own.env("SSL_CERT_FILE", site.path("ca.pem"));
    let folder = site.path("");
    let mut meridian =
        Meridian::start_with(&mut own, &site.path("config"), &folder, site.dns, site.admin);
    meridian.wait_ready();
    let up = |number: u8, cause: &str| {
        let endpoint = format!("endpoint=\"{}\"", site.address(number));
        let cause = format!("cause=\"{cause}\"");
        meridian.metric("meridian_endpoint_up", &[&endpoint, &cause, "vantage=\"eu\""])
    };
    assert_eq!(up(10, ""), 1.0, "server name and Host header choose the right server");
    let log = meridian.process.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (number, kind, words) in [
        (11, "expiry", "certificate expires in 3 days"),
        (12, "certificate", "certificate is not valid for name `www.serve.test`"),
        (13, "status", "status 302, expected 200-299"),
        (14, "body", "body does not match `\"status\":\"ok\"`"),
        (15, "tls", "tls handshake failed: "),
        (16, "refused", "connection refused"),
    ] {
        let page = support::meridian::http_get(site.admin, "/metrics").unwrap().1;
        let series = format!("cause=\"{kind}\",endpoint=\"{}\"", site.address(number));
        assert!(page.contains(&series), "{series} is not in\n{page}");
        assert_eq!(up(number, kind), 0.0);
        let address = site.address(number).to_string();
        let mut flips = lines.iter().filter(|line| line["endpoint"] == *address);
        let flip = flips.next().expect("a line");
        let cause = flip["cause"].as_str().unwrap();
        assert!(cause.starts_with(&format!("monitor ready: {words}")), "{cause}");
        let rest = ["level", "pool", "region", "from", "to"].map(|key| flip[key].as_str().unwrap());
        assert_eq!(rest, ["WARN", "web", "eu", "unknown", "down"]);
        assert!(flips.next().is_none(), "{address} flipped once:\n{log}");
    }
    let flips = |to: &str| meridian.metric("meridian_endpoint_flips_total", &[to]);
    assert_eq!((flips("to=\"down\""), flips("to=\"up\"")), (6.0, 2.0));
    let hostname = IpAddr::from([127, 0, 0, 1]);
    assert_eq!(answer(&meridian), hostname, "one of seven is too few for the near region");
}
