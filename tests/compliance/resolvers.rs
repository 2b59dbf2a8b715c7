//! Resolvers of others in front of the server: Unbound with its cache of client subnets, BIND, and
//! the validating tool delv.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::support::dns::{Client, dig};
use super::support::geography::client_sample;
use super::support::meridian::Meridian;
use super::support::process::{Process, output};
use super::support::site::{Site, zone};
use super::support::wire::{Ask, Reply};
use super::support::{free_address, seeded, wait_for};

const A: u16 = 1;
/// Clients asked for, and how often each asks.
const CLIENTS: usize = 400;
const ROUNDS: usize = 3;

const FLEET: &str = r#"version = 1
[region.eu]
location = "aws:eu-central-1"
[region.us]
location = "aws:us-east-1"
[region.asia]
location = "gcp:asia-south1"
[region.au]
location = "aws:ap-southeast-2"
[network.office]
prefixes = ["203.0.113.0/28", "203.0.113.128/25"]
regions = ["au"]
[pool.web]
endpoints = [
  { region = "eu", address = "192.0.2.1" }, { region = "us", address = "192.0.2.2" },
  { region = "asia", address = "192.0.2.3" }, { region = "au", address = "192.0.2.4" },
]
"#;

const SERVICES: &str = r#"version = 1
[service.www]
pool = "web"
policy = ["network", "proximity", { method = "order", regions = ["us", "eu"] }]
ttl = { min = "300s", max = "300s" }
[service.fenced]
pool = "web"
policy = ["network", { method = "fence", by = "continent" }, "proximity",
  { method = "order", regions = ["asia", "au"] }]
ttl = { min = "300s", max = "300s" }
"#;

/// Services that go by some client subnets alone.
const CAUTIOUS: &str = r#"
[service.blind]
pool = "web"
policy = ["network", { method = "order", regions = ["us"] }]
client_subnet = "off"
[service.picky]
pool = "web"
policy = ["network", { method = "order", regions = ["us"] }]
client_subnet = { trusted = ["127.0.0.3/32"] }
"#;

fn steered() -> (Meridian, Site) {
    let site = Site::new("eu");
    site.write("config/fleet.toml", FLEET);
    site.write("zones/one.test.zone", &zone("one.test.", 1, "static IN A 192.0.2.99"));
    site.write("zones/one.test.toml", &format!("{SERVICES}{CAUTIOUS}"));
    (site.serve(), site)
}

/// A server of Debian's, with its configuration in a file of its own.
fn start(name: &str, options: &[&str], site: &Site, configuration: &str) -> Process {
    let folder = site.path(name);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("conf");
    fs::write(&file, configuration).unwrap();
    let full = PathBuf::from("/usr/sbin").join(name);
    let mut command = Command::new(if full.exists() { full } else { name.into() });
    Process::start(name, command.args(options).arg(&file), &folder)
}

/// Unbound, asking the server about `one.test.` and handing on the subnets that clients give.
fn unbound(site: &Site, address: SocketAddr) -> Process {
    let folder = site.path("unbound");
    let (folder, dns) = (folder.display(), site.dns);
    let configuration = format!(
        "server:\n  chroot: \"\"\n  username: \"\"\n  directory: \"{folder}\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  interface: {ip}@{port}\n  do-ip6: no\n  num-threads: 1\n  \
         access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  \
         local-zone: \"test.\" nodefault\n  \
         module-config: \"subnetcache iterator\"\n  send-client-subnet: 127.0.0.0/8\n  \
         client-subnet-always-forward: yes\n  max-client-subnet-ipv4: 32\n  \
         min-client-subnet-ipv4: 0\n  rrset-roundrobin: no\n\
         stub-zone:\n  name: \"one.test.\"\n  stub-addr: {stub}@{stub_port}\n  stub-no-cache: no\n",
        ip = address.ip(),
        port = address.port(),
        stub = dns.ip(),
        stub_port = dns.port(),
    );
    start("unbound", &["-d", "-p", "-c"], site, &configuration)
}

/// BIND, which resolves names in `one.test.` from the server.
fn named(site: &Site, address: SocketAddr) -> Process {
    let folder = site.path("named");
    let (folder, dns, ip, port) = (folder.display(), site.dns, address.ip(), address.port());
    // `port` is also the one that it asks others at.
    let configuration = format!(
        "options {{ directory \"{folder}\"; port {dns_port}; listen-on port {port} {{ {ip}; }}; \
         listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion yes; \
         allow-query {{ any; }}; dnssec-validation no; empty-zones-enable no; }}; controls {{ }};\n\
         zone \"one.test\" {{ type static-stub; server-addresses {{ {}; }}; }};\n",
        dns.ip(),
        dns_port = dns.port(),
    );
    start("named", &["-g", "-c"], site, &configuration)
}

/// Asks a resolver, which must be told that recursion is wanted.
fn resolve(resolver: SocketAddr, ask: &Ask) -> Option<Reply> {
    let socket = UdpSocket::bind((IpAddr::from(Ipv4Addr::LOCALHOST), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut query = ask.encode(fastrand::u16(..));
    query[2] |= 1;
    socket.send_to(&query, resolver).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(Reply::decode(&buffer[..length]).unwrap())
}

fn wait_resolving(process: &mut Process, resolver: SocketAddr) {
    wait_for("a resolver that answers", || {
        let ended = process.ended();
        assert!(ended.is_none(), "ended: {ended:?}\n{}", process.log());
        let reply = resolve(resolver, &Ask::new("static.one.test.", A))?;
        (reply.rcode == 0 && reply.answer.len() == 1).then_some(())
    });
}

/// The response code and the records of a reply, without what ages.
fn told(reply: &Reply) -> String {
    let mut text = format!("{}", reply.rcode);
    let mut answer = reply.answer.clone();
    answer.sort();
    for record in answer {
        write!(text, " {} {} {:02x?}", record.owner, record.rtype, record.rdata).unwrap();
    }
    text
}

#[test]
fn unbound_never_gives_a_client_the_answer_of_another() {
    let (meridian, site) = steered();
    let address = free_address(site.address(9).into());
    let mut process = unbound(&site, address);
    wait_resolving(&mut process, address);
    let mut rng = seeded("unbound");
    let mut clients: Vec<IpAddr> =
        client_sample().into_iter().map(|(client, _)| client).filter(IpAddr::is_ipv4).collect();
    rng.shuffle(&mut clients);
    clients.truncate(CLIENTS);
    // Neighbours in one /24, of whom some are in a network of ours: their answers differ.
    clients.extend((0..=255).step_by(16).map(|last| IpAddr::from([203, 0, 113, last])));
    let mut direct = Client::new(site.dns);
    let before = meridian.metric("meridian_dns_queries_total", &["transport=\"udp\""]);
    let mut asked = 0;
    for _ in 0..ROUNDS {
        rng.shuffle(&mut clients);
        for client in &clients {
            let name = ["www.one.test.", "fenced.one.test.", "none.one.test."][rng.usize(..3)];
            // Whole addresses, so that only our scopes say who may share an answer.
            let ask = Ask::new(name, A).with_subnet(*client, 32);
            let own = direct.ask(&ask);
            let cached = resolve(address, &ask).unwrap_or_else(|| panic!("{}", process.log()));
            assert_eq!(told(&cached), told(&own), "{ask:?}");
            asked += 1;
        }
    }
    let after = meridian.metric("meridian_dns_queries_total", &["transport=\"udp\""]);
    let passed_on = (after - before) as usize - asked;
    assert!(passed_on < asked * 3 / 4, "nothing is cached: {passed_on} of {asked} passed on");
    assert!(passed_on > 50, "one answer for all: {passed_on} of {asked} passed on");
}

#[test]
fn bind_resolves_through_the_server() {
    let (meridian, site) = steered();
    // BIND listens only on addresses that an interface has.
    let address = free_address(Ipv4Addr::LOCALHOST.into());
    let mut process = named(&site, address);
    wait_resolving(&mut process, address);
    for (name, rtype, expected) in [
        ("static.one.test", "A", "192.0.2.99"),
        ("one.test", "NS", "ns1.one.test."),
        ("ns1.one.test", "A", "192.0.2.53"),
    ] {
        assert_eq!(dig(address, &[name, rtype]), [expected], "{name} {rtype}");
    }
    let steered = dig(address, &["www.one.test", "A"]);
    assert_eq!(steered.len(), 1);
    assert!(steered[0].starts_with("192.0.2."), "{steered:?}");
    assert!(dig(address, &["www.one.test", "AAAA"]).is_empty());
    assert!(dig(address, &["none.one.test", "A"]).is_empty());
    // BIND asks with cookies, and comes back with those that it got.
    assert!(meridian.metric("meridian_dns_cookies_total", &["cookie=\"valid\""]) > 0.0);
}

#[test]
fn delv_takes_the_answers() {
    let (_meridian, site) = steered();
    let delv = |arguments: &[&str]| {
        let mut command = Command::new("delv");
        command.arg(format!("@{}", site.dns.ip())).args(["-p", &site.dns.port().to_string()]);
        // Without trust anchors, and without keys of its own to look for.
        output(command.args(["-i", "+nomultiline"]).args(arguments))
    };
    let found = delv(&["static.one.test", "A"]);
    assert!(found.contains("authoritative") && found.contains("192.0.2.99"), "{found}");
    let none = delv(&["none.one.test", "A"]);
    assert!(none.contains("ncache nxdomain") || none.contains("negative response"), "{none}");
    let tcp = delv(&["+tcp", "www.one.test", "A"]);
    assert!(tcp.contains("192.0.2."), "{tcp}");
}

#[test]
fn a_service_goes_by_the_subnets_of_resolvers_that_it_trusts() {
    let (_meridian, site) = steered();
    let office = Ipv4Addr::new(203, 0, 113, 130).into();
    for (resolver, name, endpoint, scope) in [
        ("127.0.0.1", "www", 4, 25),
        ("127.0.0.1", "blind", 2, 0),
        ("127.0.0.3", "blind", 2, 0),
        ("127.0.0.1", "picky", 2, 0),
        ("127.0.0.3", "picky", 4, 25),
    ] {
        let mut client = Client::from_address(resolver.parse().unwrap(), site.dns);
        let ask = Ask::new(&format!("{name}.one.test."), A).with_subnet(office, 32);
        let reply = client.ask(&ask);
        assert_eq!(reply.answer[0].rdata, [192, 0, 2, endpoint], "{name} by {resolver}");
        assert_eq!(reply.scope, Some((32, scope)), "{name} by {resolver}");
    }
}
