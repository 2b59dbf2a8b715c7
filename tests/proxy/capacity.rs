//! Four regions with proxies and backends, of which one dies: none of the others is overrun.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use meridian::zone::rtype::A;
use serde_json::Value;

use crate::origin::Origin;
use crate::support::api::request;
use crate::support::dns::Client;
use crate::support::meridian::{Meridian, http_get};
use crate::support::site::{Site, zone};
use crate::support::wire::Ask;
use crate::support::{free_pair, wait_for};

const REGIONS: [&str; 4] = ["ap", "eu", "sa", "us"];
/// A client network near each of them.
const CLIENTS: [[u8; 4]; 4] = [[202, 156, 0, 0], [91, 0, 0, 0], [200, 128, 0, 0], [12, 0, 0, 0]];
/// Requests a second that each region can take.
const CAPACITY: f64 = 100.0;
/// Requests a second of each region's clients.
const RATE: f64 = 70.0;
/// Seconds over which load is measured.
const WINDOW: u64 = 5;

const REPLY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One request: when it ended, the address it went to, and whether it was served.
type Done = (Instant, Option<IpAddr>, bool);

/// A region's node, and where its API is.
struct Region {
    node: Meridian,
    admin: SocketAddr,
    address: IpAddr,
}

fn node(site: &Site, number: u8, region: &str, port: u16) -> Region {
    let own = site.address(number);
    let (dns, admin) = free_pair(own.into());
    let text = site.node(region);
    let text = text.replace(&site.dns.to_string(), &dns.to_string());
    let text = text.replace(&site.admin.to_string(), &admin.to_string());
    let text = text.replace("test-1", region).replace("../state", "state");
    let folder = format!("nodes/{region}");
    let role = format!("[proxy]\nhttp = [\"{own}:{port}\"]\nworkers = 1\n");
    site.write(&format!("{folder}/node.toml"), &format!("{text}{role}"));
    let fleet = std::fs::read_to_string(site.path("config/fleet.toml")).unwrap();
    site.write(&format!("{folder}/fleet.toml"), &fleet);
    site.write(&format!("{folder}/zones/example.com.zone"), &zone("example.com.", 1, ""));
    let services = "version = 1\n[service.www]\npool = \"web\"\n\
        policy = [\"proximity\", \"spill\"]\nttl = { min = \"1s\", max = \"2s\" }\n";
    site.write(&format!("{folder}/zones/example.com.toml"), services);
    let path = site.path(&folder);
    let text = std::fs::read_to_string(path.join("node.toml")).unwrap();
    site.write(&format!("{folder}/node.toml"), &text.replace("../zones", "zones"));
    let node = Meridian::start(&path, Path::new(&path), dns, admin);
    Region { node, admin, address: own.into() }
}

/// Writes what all nodes share, whose proxies listen at this port.
fn fleet(site: &Site, backends: &[SocketAddr], open: u16) {
    let places = ["aws:ap-southeast-1", "aws:eu-central-1", "aws:sa-east-1", "aws:us-east-1"];
    let located = |(region, place)| format!("[region.{region}]\nlocation = \"{place}\"\n");
    let regions = REGIONS.iter().zip(places).map(located).collect::<Vec<_>>().concat();
    let (mut web, mut apps) = (Vec::new(), Vec::new());
    for ((number, region), backend) in (11..).zip(REGIONS).zip(backends) {
        let address = site.address(number);
        web.push(format!(
            "{{ region = \"{region}\", address = \"{address}\", depends_on = [\"apps\"] }}"
        ));
        apps.push(format!("{{ region = \"{region}\", address = \"{}\" }}", backend.ip()));
    }
    let (web, apps, port) = (web.join(","), apps.join(","), backends[0].port());
    let text = format!(
        "version = 1\n[monitor.open]\nkind = \"tcp\"\nport = {open}\n\
         interval = \"500ms\"\ntimeout = \"400ms\"\nfall = 2\nvantage = \"any\"\n{regions}\
         [pool.web]\nmonitors = [\"open\"]\nendpoints = [{web}]\n\
         capacity = {{ ap = 100, eu = 100, sa = 100, us = 100 }}\n\
         [pool.apps]\nendpoints = [{apps}]\n\
         [[route]]\npool = \"apps\"\nupstream = {{ port = {port} }}\n"
    );
    site.write("config/fleet.toml", &text);
}

/// One request of a client in this network: a look-up, then a connection of its own to a port.
fn go(
    dns: &mut Client,
    port: u16,
    network: [u8; 4],
    random: &mut fastrand::Rng,
) -> (Option<IpAddr>, bool) {
    let subnet = Ipv4Addr::new(network[0], network[1], random.u8(..), 0);
    let ask = Ask::new("www.example.com", A).with_subnet(subnet.into(), 24);
    let Some(address) = dns.try_ask(&ask).ok().and_then(|reply| reply.addresses().pop()) else {
        return (None, false);
    };
    let at = SocketAddr::new(address, port);
    let served = TcpStream::connect_timeout(&at, Duration::from_secs(2)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply.starts_with("HTTP/1.1 200"))
    });
    (Some(address), served.unwrap_or(false))
}

/// Sends the requests of one region's clients at an even pace until `stop`.
fn clients(
    at: usize,
    (dns, port): (SocketAddr, u16),
    stop: &Arc<AtomicBool>,
    done: Sender<Done>,
) -> JoinHandle<()> {
    let (stop, begun) = (stop.clone(), Instant::now());
    spawn(move || {
        let mut random = fastrand::Rng::with_seed(at as u64);
        let mut client = Client::new(dns);
        let mut sent = 0u32;
        while !stop.load(Ordering::Relaxed) {
            let due = begun + Duration::from_secs_f64(f64::from(sent) / RATE);
            sleep(due.saturating_duration_since(Instant::now()));
            let (address, served) = go(&mut client, port, CLIENTS[at], &mut random);
            let _ = done.send((Instant::now(), address, served));
            sent += 1;
        }
    })
}

/// Tells the node that answers of the loads that the others have measured, as a balancer would.
fn relay(from: &[(String, SocketAddr)], to: SocketAddr) {
    for (region, admin) in from {
        let Some((200, text)) = http_get(*admin, "/api/v1/status") else { continue };
        let status: Value = serde_json::from_str(&text).unwrap();
        let pools = status["pools"].as_array().unwrap();
        let own = pools.iter().find(|pool| pool["pool"] == "apps" && pool["region"] == **region);
        let Some(requests) = own.and_then(|pool| pool["load"]["requests"].as_f64()) else {
            continue;
        };
        let headers =
            [&*format!("Host: {to}"), "Content-Type: application/json", "Connection: close"];
        let line = format!("POST /api/v1/load/apps/{region}");
        let (status, _, body) =
            request(to, &line, &headers, &format!("{{ \"requests\": {requests} }}"));
        assert_eq!(status, 200, "{body}");
    }
}

/// Requests a second that each address had, in the windows between two times: its share of what was
/// served, since a busy machine may keep the clients from their pace.
fn loads(done: &[Done], from: Instant, to: Instant) -> BTreeMap<IpAddr, Vec<f64>> {
    let windows = (to - from).as_secs() / WINDOW;
    let mut loads: BTreeMap<IpAddr, Vec<f64>> = BTreeMap::new();
    let mut all = vec![0.0; windows as usize];
    for (at, address, _) in done.iter().filter(|(at, _, served)| *served && *at >= from) {
        let window = (*at - from).as_secs() / WINDOW;
        if let Some(address) = address.filter(|_| window < windows) {
            let counts = loads.entry(address).or_insert_with(|| vec![0.0; windows as usize]);
            counts[window as usize] += 1.0;
            all[window as usize] += 1.0;
        }
    }
    for (count, all) in loads.values_mut().flat_map(|counts| counts.iter_mut().zip(&all)) {
        *count *= RATE * REGIONS.len() as f64 / all;
    }
    loads
}

#[test]
fn a_region_that_dies_at_70_percent_overruns_none_of_the_others() {
    let site = Site::new("eu");
    let (proxies, apps) = free_pair(site.address(11).into());
    let backends = [21, 22, 23, 24].map(|number| {
        let at = SocketAddr::new(site.address(number).into(), apps.port());
        Origin::at(at, |_, stream| stream.write_all(REPLY.as_bytes()).is_ok())
    });
    fleet(&site, &backends.each_ref().map(|backend| backend.address), proxies.port());
    let mut regions: Vec<Region> = (11..)
        .zip(REGIONS)
        .map(|(number, region)| node(&site, number, region, proxies.port()))
        .collect();
    for region in &mut regions {
        region.node.wait_ready();
    }
    // The node of `eu` answers, and the region of `us` dies.
    let (dns, told) = (regions[1].node.dns, regions[1].admin);
    let dead = regions[3].address;
    let others = [0, 2, 3].map(|at| (REGIONS[at].to_owned(), regions[at].admin));
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, done): (Sender<Done>, Receiver<Done>) = channel();
    let threads: Vec<_> =
        (0..4).map(|at| clients(at, (dns, proxies.port()), &stop, sender.clone())).collect();
    let shared = Arc::new(Mutex::new(others.to_vec()));
    let relaying = {
        let (stop, shared) = (stop.clone(), shared.clone());
        spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                relay(&shared.lock().unwrap().clone(), told);
                sleep(Duration::from_secs(1));
            }
        })
    };
    // Until the load is known as it is: the meters forget in five seconds.
    sleep(Duration::from_secs(25));
    shared.lock().unwrap().pop();
    regions[3].node.process.kill();
    let killed = Instant::now();
    wait_for("the loss is seen", || {
        let down = ["region=\"us\"", "pool=\"web\""];
        (regions[1].node.metric("meridian_endpoint_up", &down) == 0.0).then_some(())
    });
    let seen = Instant::now();
    sleep(Duration::from_secs(4 * WINDOW + 1));
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    relaying.join().unwrap();
    drop(sender);
    let done: Vec<Done> = done.into_iter().collect();
    let before = loads(&done, killed.checked_sub(Duration::from_secs(2 * WINDOW)).unwrap(), killed);
    let after = loads(&done, seen + Duration::from_secs(1), seen + Duration::from_secs(21));
    for region in &regions[..3] {
        let [one, other] = [&before, &after].map(|loads| loads[&region.address].clone());
        println!("{}: {one:.1?} requests a second, then {other:.1?}", region.address);
        assert!(one.iter().all(|load| (load - RATE).abs() < 5.0), "before: {one:?}");
        // Chance has its say in a window, the more so where a busy machine sends fewer.
        let most = CAPACITY * 1.1;
        assert!(other.iter().all(|load| *load <= most), "{}: {other:?}", region.address);
        let mean = other.iter().sum::<f64>() / other.len() as f64;
        // A third of what the dead region had, within 5 % of the capacity.
        assert!((mean - RATE * 4.0 / 3.0).abs() < 5.0, "{}: {mean}", region.address);
    }
    let lost: Vec<&Done> = done.iter().filter(|(_, _, served)| !served).collect();
    let to_survivors = lost.iter().filter(|(_, address, _)| *address != Some(dead)).count();
    assert_eq!(to_survivors, 0, "requests were lost at regions that live");
    let late = lost.iter().filter(|(at, ..)| *at > seen + Duration::from_secs(1)).count();
    assert_eq!(late, 0, "requests went to the dead region after it was known to be");
}
