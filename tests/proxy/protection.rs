//! What keeps endpoints and the proxy alive: ejection, queues, rates, other regions, and health.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::Front;
use crate::origin::{Origin, Reply, Talk, get};
use crate::support::meridian::{Meridian, command};
use crate::support::site::zone;
use crate::support::wire::Ask;
use crate::support::{free_address, poll, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// An origin that replies to requests with the status of the moment, and to probes with 200.
fn switched(address: (Ipv4Addr, u16)) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let now = status.clone();
    let origin = Origin::at((IpAddr::from(address.0), address.1).into(), move |asked, stream| {
        let healthy = asked.head.starts_with("GET /ready ");
        let status = if healthy { 200 } else { now.load(Ordering::Relaxed) };
        // 0: it breaks off.
        let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        status > 0 && stream.write_all(reply.as_bytes()).is_ok()
    });
    (origin, status)
}

/// A pool `web` of endpoints in regions, and what else is in its table.
fn pool(endpoints: &[(&str, Ipv4Addr)], more: &str) -> String {
    let mut text = format!("[pool.web]\n{more}endpoints = [\n");
    for (region, address) in endpoints {
        writeln!(text, "  {{ region = \"{region}\", address = \"{address}\" }},").unwrap();
    }
    text + "]\n"
}

/// A route to the pool, with more in its table and in `upstream`.
fn route(port: u16, upstream: &str, more: &str) -> String {
    let upstream = format!("upstream = {{ port = {port}{upstream} }}");
    format!("[[route]]\nname = \"r\"\npool = \"web\"\n{upstream}\n{more}\n")
}

/// A front with one slow origin behind it.
fn slow(upstream: &str, more: &str, time: Duration) -> (Front, Origin) {
    let front = Front::new("", "");
    let origin = Origin::start(front.site.address(10), move |asked, stream| {
        if asked.head.contains("/slow") {
            sleep(time);
        }
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let address = front.site.address(10);
    let route = route(origin.address.port(), upstream, more);
    front.fleet(&(pool(&[("eu", address)], "") + &route));
    (front, origin)
}

fn cause(reply: &Reply) -> (u16, Vec<&str>) {
    (reply.status, reply.values("x-meridian-cause"))
}

/// Sends a request in a thread of its own.
fn asking(front: &Front, path: &'static str) -> std::thread::JoinHandle<Reply> {
    let http = front.http;
    spawn(move || get(http, "a", path))
}

fn in_flight(meridian: &Meridian, count: f64) {
    wait_for("requests under way", || {
        let there = meridian.metric("meridian_proxy_requests_in_flight", &[]);
        (there == count).then_some(())
    });
}

#[test]
fn an_endpoint_that_fails_is_left_out_for_a_time() {
    let front = Front::new("", "");
    let [a, b] = [10, 11].map(|number| front.site.address(number));
    let port = free_address(a.into()).port();
    let (first, status) = switched((a, port));
    let (_second, _) = switched((b, port));
    let eject = "balance = \"round-robin\"\neject = { errors = 3, for = \"1s\" }";
    front.fleet(&(pool(&[("eu", a), ("eu", b)], "") + &route(port, "", eject)));
    let meridian = front.serve();
    for failing in [503, 0] {
        status.store(failing, Ordering::Relaxed);
        first.asked();
        // Those that break off are sent to the other one.
        let statuses: Vec<u16> = (0..40).map(|_| get(front.http, "a", "/").status).collect();
        let failed = statuses.iter().filter(|status| **status != 200).count();
        assert_eq!(failed, if failing == 503 { 3 } else { 0 }, "{statuses:?}");
        let asked = first.asked().len();
        assert!((3..=6).contains(&asked), "{asked}");
        let out = || meridian.metric("meridian_proxy_ejected", &["pool=\"web\""]);
        wait_for("it to be shown", || (out() == 1.0).then_some(()));
        status.store(200, Ordering::Relaxed);
        wait_for("its return", || {
            get(front.http, "a", "/");
            (!first.asked().is_empty()).then_some(())
        });
    }
    let labels = ["region=\"eu\"", "cause=\"errors\"", "result=\"ejected\""];
    assert!(meridian.metric("meridian_proxy_ejections_total", &labels) >= 2.0);
}

#[test]
fn an_endpoint_far_slower_than_the_others_is_left_out_too() {
    let front = Front::new("", "");
    let addresses = [10, 11, 12].map(|number| front.site.address(number));
    let port = free_address(addresses[0].into()).port();
    let _origins = addresses.map(|ip| {
        let is_slow = ip == addresses[0];
        Origin::at((ip, port).into(), move |_, stream| {
            sleep(Duration::from_millis(if is_slow { 150 } else { 2 }));
            stream.write_all(OK.as_bytes()).is_ok()
        })
    });
    let eject = "balance = \"round-robin\"\neject = { slow = 4, within = \"1s\" }";
    let endpoints = addresses.map(|ip| ("eu", ip));
    front.fleet(&(pool(&endpoints, "") + &route(port, "", eject)));
    let meridian = front.serve();
    let slow = ["cause=\"slow\"", "result=\"ejected\""];
    wait_for("its ejection", || {
        assert_eq!(get(front.http, "a", "/").status, 200);
        (meridian.metric("meridian_proxy_ejections_total", &slow) == 1.0).then_some(())
    });
}

#[test]
fn what_clients_meet_moves_the_answers_of_dns() {
    let front = Front::new("", "");
    let [a, b, c] = [10, 11, 20].map(|number| front.site.address(number));
    let port = free_address(a.into()).port();
    let [(_a, first), (_b, second), (third, _)] = [a, b, c].map(|ip| switched((ip, port)));
    let monitor = format!(
        "[monitor.ready]\nkind = \"http\"\nport = {port}\npath = \"/ready\"\n\
         interval = \"500ms\"\ntimeout = \"400ms\"\n"
    );
    let pool = pool(&[("eu", a), ("eu", b), ("us", c)], "monitors = [\"ready\"]\n");
    let eject = "eject = { errors = 3, for = \"8s\", max_share = 1.0 }";
    front.fleet(&(monitor + &pool + &route(port, "", eject)));
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let dns = format!("[dns]\nlisten = [\"{}\"]\n", front.site.dns);
    front.site.write("config/node.toml", &node.replace("[proxy]", &(dns + "[proxy]")));
    front.site.write("zones/p.test.zone", &zone("p.test.", 1, ""));
    front.site.write(
        "zones/p.test.toml",
        "version = 1\n[service.www]\npool = \"web\"\n\
         policy = [{ method = \"order\", regions = [\"eu\", \"us\"] }]\n\
         ttl = { min = \"1s\", max = \"1s\" }\n",
    );
    let meridian = front.serve();
    let answer = || -> IpAddr {
        let reply = meridian.client().ask(&Ask::new("www.p.test", 1));
        reply.addresses()[0]
    };
    assert!([a, b].map(IpAddr::from).contains(&answer()));
    let up = |ip: Ipv4Addr| {
        meridian.metric("meridian_endpoint_up", &[&format!("endpoint=\"{ip}\"")]) == 1.0
    };
    wait_for("the third endpoint", || up(c).then_some(()));
    // The probes go on to succeed.
    first.store(503, Ordering::Relaxed);
    second.store(503, Ordering::Relaxed);
    wait_for("another region", || {
        get(front.http, "a", "/");
        (answer() == IpAddr::from(c)).then_some(())
    });
    assert!(!up(a) && !up(b) && up(c));
    third.asked();
    assert_eq!(get(front.http, "a", "/").status, 200, "clients with an old answer are served");
    let asked = third.asked();
    let rescued = asked.iter().find(|asked| asked.head.starts_with("GET / ")).unwrap();
    assert_eq!(rescued.values("cdn-loop"), ["meridian"]);
    let reason = ["route=\"r\"", "region=\"us\"", "reason=\"down\""];
    assert!(meridian.metric("meridian_proxy_rescued_total", &reason) >= 1.0);
    let mut looped = Talk::to(front.http);
    looped.say("GET / HTTP/1.1\r\nHost: a\r\nCDN-Loop: meridian\r\n\r\n");
    let last_resort = looped.hear().unwrap();
    assert_eq!(cause(&last_resort), (503, vec![]), "once is enough, then who fails is asked");
    first.store(200, Ordering::Relaxed);
    second.store(200, Ordering::Relaxed);
    let back = poll(Duration::from_secs(45), Duration::from_millis(100), || {
        [a, b].map(IpAddr::from).contains(&answer()).then_some(())
    });
    assert!(back.is_some(), "it comes back");
    wait_for("its requests", || {
        let before = meridian.metric("meridian_proxy_rescued_total", &reason);
        assert_eq!(get(front.http, "a", "/").status, 200);
        (meridian.metric("meridian_proxy_rescued_total", &reason) == before).then_some(())
    });
}

#[test]
fn requests_wait_for_a_place_and_are_told_when_there_is_none() {
    let more = "timeouts = { queue = \"5s\" }";
    let (front, _origin) =
        slow(", max_connections = 1, queue = 3", more, Duration::from_millis(150));
    let meridian = front.serve();
    let first = asking(&front, "/slow");
    in_flight(&meridian, 1.0);
    let waiting: Vec<_> = (0..3).map(|_| asking(&front, "/slow")).collect();
    wait_for("the queue", || {
        (meridian.metric("meridian_proxy_queue_requests", &[]) >= 2.0).then_some(())
    });
    for reply in waiting.into_iter().chain([first]) {
        assert_eq!(reply.join().unwrap().status, 200);
    }
    let waited = meridian.metric("meridian_proxy_queue_duration_seconds_count", &[]);
    assert_eq!(waited, 3.0);
    assert_eq!(meridian.metric("meridian_proxy_queue_requests", &[]), 0.0);
}

#[test]
fn who_waits_too_long_is_told_and_so_is_who_may_not_wait() {
    let hold = Duration::from_secs(3);
    for (upstream, expected) in [
        (", max_connections = 1", "queue-timeout"),
        (", max_connections = 1, queue = 0", "overloaded"),
    ] {
        let (front, _origin) = slow(upstream, "timeouts = { queue = \"100ms\" }", hold);
        let meridian = front.serve();
        let held = asking(&front, "/slow");
        in_flight(&meridian, 1.0);
        let begun = Instant::now();
        let reply = get(front.http, "a", "/");
        assert_eq!(cause(&reply), (503, vec![expected]));
        assert_eq!(reply.values("retry-after"), ["5"]);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(held.join().unwrap().status, 200);
    }
}

#[test]
fn what_matters_less_is_turned_away_first() {
    let more = "priority = { header = \"x-priority\", from = \"all\" }";
    let (front, _origin) = slow(", max_connections = 4, queue = 0", more, Duration::from_secs(2));
    let meridian = front.serve();
    let held: Vec<_> = (0..3).map(|_| asking(&front, "/slow")).collect();
    in_flight(&meridian, 3.0);
    let ask = |priority: &str| {
        let mut talk = Talk::to(front.http);
        talk.say(format!("GET / HTTP/1.1\r\nHost: a\r\nx-priority: {priority}\r\n\r\n"));
        talk.hear().unwrap()
    };
    assert_eq!(cause(&ask("low")), (503, vec!["shed"]));
    assert_eq!(ask("high").status, 200);
    let shed = ["route=\"r\"", "priority=\"low\""];
    assert_eq!(meridian.metric("meridian_proxy_shed_total", &shed), 1.0);
    for reply in held {
        assert_eq!(reply.join().unwrap().status, 200);
    }
}

#[test]
fn the_same_client_gets_its_rate_and_no_more() {
    let limit = "rate_limit = { by = \"header:x-key\", rate = \"1/m\", burst = 2 }";
    let (front, origin) = slow("", limit, Duration::ZERO);
    let meridian = front.serve();
    let ask = |key: &str| {
        let mut talk = Talk::to(front.http);
        talk.say(format!("GET / HTTP/1.1\r\nHost: a\r\nx-key: {key}\r\n\r\n"));
        talk.hear().unwrap()
    };
    assert_eq!([ask("a"), ask("a")].map(|reply| reply.status), [200, 200]);
    let beyond = ask("a");
    assert_eq!(cause(&beyond), (429, vec!["rate-limited"]));
    let wait: u64 = beyond.values("retry-after")[0].parse().unwrap();
    assert!((55..=60).contains(&wait), "{wait}");
    assert_eq!(ask("b").status, 200, "somebody else");
    assert_eq!(origin.asked().len(), 3);
    let limited = ["route=\"r\"", "cause=\"rate-limited\""];
    assert_eq!(meridian.metric("meridian_proxy_failures_total", &limited), 1.0);
}

#[test]
fn another_region_helps_where_the_own_one_fails_unless_the_route_says_no() {
    for (rescue, expected) in
        [("", 200), ("rescue = \"off\"", 502), ("rescue = { share = 0 }", 502)]
    {
        let front = Front::new("", "");
        let [a, b] = [10, 20].map(|number| front.site.address(number));
        let port = free_address(b.into()).port();
        let (_there, _) = switched((b, port));
        // Nobody listens at the first one.
        front.fleet(&(pool(&[("eu", a), ("us", b)], "") + &route(port, "", rescue)));
        let meridian = front.serve();
        assert_eq!(get(front.http, "a", "/").status, expected, "{rescue}");
        let reason = ["region=\"us\"", "reason=\"failed\""];
        let rescued = meridian.metric("meridian_proxy_rescued_total", &reason);
        assert_eq!(rescued, f64::from(u8::from(expected == 200)), "{rescue}");
    }
}

#[test]
fn bodies_that_crawl_and_replies_that_never_end_are_cut_off() {
    let front = Front::new("limits = { body_rate = \"1KiB/s\" }", "");
    let origin = Origin::start(front.site.address(10), |asked, stream| {
        if !asked.head.contains("/endless") {
            return stream.write_all(OK.as_bytes()).is_ok();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        while stream.write_all(b"1\r\nx\r\n").is_ok() {
            sleep(Duration::from_millis(50));
        }
        false
    });
    let total = "timeouts = { total = \"700ms\", request = \"500ms\", response = \"500ms\" }";
    let more = format!("path = \"/endless\"\n{total}");
    let port = origin.address.port();
    let routes = route(port, "", &more) + &route(port, "", "").replace("\"r\"", "\"plain\"");
    front.fleet(&(pool(&[("eu", front.site.address(10))], "") + &routes));
    let meridian = front.serve();
    let begun = Instant::now();
    let mut talk = Talk::to(front.http);
    talk.say("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(talk.hear().is_none(), "it is no whole reply");
    let took = begun.elapsed();
    assert!((600..3_000).contains(&took.as_millis()), "{took:?}");
    let mut talk = Talk::to(front.http);
    talk.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let mut stream = talk.stream.try_clone().unwrap();
    spawn(move || {
        while stream.write_all(b"slowly").is_ok() {
            sleep(Duration::from_millis(200));
        }
    });
    assert_eq!(cause(&talk.hear().unwrap()), (408, vec!["body-slow"]));
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    let rtts = || meridian.metric("meridian_proxy_client_rtt_seconds_count", &["region=\"eu\""]);
    wait_for("round trips of both ends of a connection", || (rtts() >= 3.0).then_some(()));
    let sum =
        |name: &str| meridian.metric(&format!("meridian_proxy_client_{name}_seconds_sum"), &[]);
    let (least, smoothed) = (sum("rtt_least"), sum("rtt"));
    assert!(0.0 < least && least <= smoothed, "{least} and {smoothed}");
}

#[test]
fn operators_see_what_still_comes_to_a_drained_endpoint() {
    let (front, _origin) = slow("", "priority = \"low\"", Duration::from_secs(2));
    let meridian = front.serve();
    let endpoint = format!("endpoint:{}", front.site.address(10));
    let node = format!("http://{}", front.site.admin);
    let run = |arguments: &[&str]| {
        let output = command().args(arguments).args(["--node", &node]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["force", "drain", &endpoint, "--for", "10m", "--reason", "a test"]);
    let held = asking(&front, "/slow");
    in_flight(&meridian, 1.0);
    let drained = meridian.metric("meridian_proxy_drained_requests_total", &["pool=\"web\""]);
    assert_eq!(drained, 1.0);
    let status = run(&["status"]);
    assert!(status.contains("1 request under way, 1 came while drained"), "{status}");
    assert_eq!(held.join().unwrap().status, 200);
    let status = run(&["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let residual = &status["endpoints"][0]["residual"];
    assert_eq!((&residual["in_flight"], &residual["requests"]), (&0.into(), &1.into()), "{status}");
}
