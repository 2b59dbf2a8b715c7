//! Routes, heads, bodies, failures, limits, drain and reload.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::Front;
use crate::origin::{Origin, Talk, curl, get};
use crate::support::peers::Nginx;
use crate::support::{free_address, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// A pool of these addresses in the node's region.
pub(crate) fn pool(name: &str, addresses: &[std::net::Ipv4Addr], more: &str) -> String {
    let mut text = format!("[pool.{name}]\n{more}endpoints = [\n");
    for address in addresses {
        writeln!(text, "  {{ region = \"eu\", address = \"{address}\" }},").unwrap();
    }
    text + "]\n"
}

/// A route to a pool at a port.
pub(crate) fn route(pool: &str, port: u16, more: &str) -> String {
    format!("[[route]]\npool = \"{pool}\"\nupstream = {{ port = {port} }}\n{more}\n")
}

/// A front with one origin behind it.
fn front(proxy: &str, more: &str, origin: impl FnOnce(&Front) -> Origin) -> (Front, Origin) {
    let front = Front::new(proxy, "");
    let origin = origin(&front);
    let address = front.site.address(10);
    let fleet = pool("web", &[address], "") + &route("web", origin.address.port(), more);
    front.fleet(&fleet);
    (front, origin)
}

fn saying(reply: &'static str) -> impl FnOnce(&Front) -> Origin {
    move |front| Origin::saying(front.site.address(10), reply)
}

#[test]
fn requests_go_by_host_and_path_to_pools_of_real_servers() {
    let front = Front::new("", "");
    let [a, b, c] = [10, 11, 12].map(|number| front.site.address(number));
    let port = free_address(a.into()).port();
    let _servers = [a, b, c].map(|ip| Nginx::start(&front.site.path(""), (ip, port).into()));
    let fleet = pool("web", &[a, b], "")
        + &pool("api", &[c], "")
        + &route("web", port, "hosts = [\"www.proxy.test\", \"*.web.test\"]\nname = \"web\"")
        + &route("api", port, "hosts = [\"www.proxy.test\"]\npath = \"/api\"\nname = \"api\"")
        + &route("api", port, "hosts = [\"head.test\"]\nheaders = { x-tier = \"gold\" }");
    front.fleet(&fleet);
    let meridian = front.serve();
    let url = format!("http://{}", front.http);
    let by =
        |host: &str, path: &str| curl(&["-H", &format!("Host: {host}"), &format!("{url}{path}")]);
    let served = |ip| format!("served by {ip}:{port}\n");
    // Each thread has turns of its own.
    let mut both: Vec<String> = (0..20).map(|_| by("WWW.proxy.test:80", "/x")).collect();
    both.sort();
    both.dedup();
    assert_eq!(both, [served(a), served(b)]);
    assert_eq!(by("www.proxy.test", "/api/x?y=z"), served(c));
    assert_ne!(by("www.proxy.test", "/apix"), served(c));
    assert_ne!(by("x.web.test", "/api"), served(c));
    assert_eq!(curl(&["-H", "Host: head.test", "-H", "x-tier: gold", &url]), served(c));
    let lost = get(front.http, "head.test", "/");
    assert_eq!((lost.status, lost.values("x-meridian-cause")), (404, vec!["no-route"]));
    let web = ["route=\"web\"", "status=\"2xx\""];
    wait_for("counters", || {
        (meridian.metric("meridian_proxy_requests_total", &web) == 22.0).then_some(())
    });
    assert_eq!(meridian.metric("meridian_proxy_failures_total", &["cause=\"no-route\""]), 1.0);
    // HEAD has no body, whatever its length says, and the connection goes on.
    let head = curl(&["-I", "-H", "Host: www.proxy.test", &url, &url]);
    assert_eq!(head.matches("HTTP/1.1 200 OK").count(), 2, "{head}");
}

#[test]
fn heads_are_made_for_the_next_hop() {
    let (front, origin) = front(
        "trusted_proxies = [\"127.200.0.0/16\"]",
        "",
        saying(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x-gone, keep-alive\r\n\
             Keep-Alive: timeout=5\r\nx-gone: 1\r\nx-kept: 1\r\nSet-Cookie: a\r\n\
             Set-Cookie: b\r\n\r\n",
        ),
    );
    let _meridian = front.serve();
    let mut talk = Talk::to(front.http);
    talk.say(
        "GET /p%20q?x=1 HTTP/1.1\r\nHost: a.test:8080\r\nConnection: keep-alive, x-hop\r\n\
         x-hop: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\nProxy-Authorization: x\r\n\
         Upgrade: foo\r\nX-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n\
         X-Forwarded-Proto: https\r\nAccept: a\r\nAccept: b\r\n\r\n",
    );
    let reply = talk.hear().unwrap();
    assert_eq!(reply.values("set-cookie"), ["a", "b"]);
    assert_eq!((reply.values("x-kept").len(), reply.values("x-gone").len()), (1, 0), "{reply:?}");
    assert!(reply.values("keep-alive").is_empty(), "{reply:?}");
    let [asked] = &origin.asked()[..] else { panic!("one request") };
    assert!(asked.head.starts_with("GET /p%20q?x=1 HTTP/1.1\r\n"), "{asked:?}");
    let client = talk.stream.local_addr().unwrap().ip().to_string();
    for (name, values) in [
        ("host", vec!["a.test:8080"]),
        ("te", vec!["trailers"]),
        ("accept", vec!["a", "b"]),
        ("x-forwarded-for", vec![client.as_str()]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-host", vec!["a.test:8080"]),
    ] {
        assert_eq!(asked.values(name), values, "{name}");
    }
    let traces = asked.values("traceparent");
    let [trace] = traces[..] else { panic!("one trace: {asked:?}") };
    for name in ["x-hop", "keep-alive", "upgrade", "proxy-authorization", "forwarded"] {
        assert!(asked.values(name).is_empty(), "{name}: {asked:?}");
    }
    // The same connections on both sides serve what comes next.
    talk.say("GET /next HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!(talk.hear().unwrap().status, 200);
    let [next] = &origin.asked()[..] else { panic!("one request") };
    // Some collectors know a trace by one half of its name.
    let halves = |trace: &str| [trace[3..19].to_owned(), trace[19..35].to_owned()];
    let (first, second) = (halves(trace), halves(next.values("traceparent")[0]));
    assert!(first[0] != second[0] && first[1] != second[1], "{first:?} {second:?}");
    assert!(talk.ends());
}

#[test]
fn what_is_ambiguous_reaches_no_origin() {
    let (front, origin) = front(
        "limits = { target = \"1KiB\", header_size = \"4KiB\", \
        body = \"1KiB\" }",
        "",
        saying(OK),
    );
    let _meridian = front.serve();
    let long = "x".repeat(5000);
    for (case, request, status) in [
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("a tunnel", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), 405),
        ("dots", "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        (
            "a field that is not the connection's",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n".to_owned(),
            400,
        ),
        ("a long target", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..2000]), 414),
        ("a long head", format!("GET / HTTP/1.1\r\nHost: a\r\nx: {long}\r\n\r\n"), 431),
        (
            "a long body",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n".to_owned(),
            413,
        ),
    ] {
        let mut talk = Talk::to(front.http);
        talk.say(request);
        let reply = talk.hear().unwrap_or_else(|| panic!("{case}: no reply"));
        assert_eq!(reply.status, status, "{case}: {reply:?}");
    }
    assert!(origin.asked().is_empty());
    // A body whose length shows on the way is cut off.
    let mut talk = Talk::to(front.http);
    talk.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    talk.say(format!("800\r\n{}\r\n0\r\n\r\n", &long[..2048]));
    assert_eq!(talk.hear().unwrap().status, 413);
}

#[test]
fn bodies_stream_both_ways_with_their_framing_and_trailers() {
    let (front, origin) = front("", "", |front| {
        Origin::start(front.site.address(10), |asked, stream| {
            let chunks = "Transfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n\
                3\r\nabc\r\n2\r\nde\r\n0\r\nx-end: 1\r\n\r\n";
            let body = if asked.head.contains("/chunked") {
                chunks.to_owned()
            } else {
                format!("Content-Length: {}\r\n\r\n", asked.body.len())
            };
            let own = if body.starts_with('T') { Vec::new() } else { asked.body.clone() };
            let head = format!("HTTP/1.1 200 OK\r\n{body}");
            stream.write_all(&[head.as_bytes(), &own].concat()).is_ok()
        })
    });
    let meridian = front.serve();
    let mut talk = Talk::to(front.http);
    let large: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
    for body in [&large[..], b"x", b""] {
        talk.say(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        if !body.is_empty() {
            let mut interim = String::new();
            let mut octet = [0];
            while !interim.ends_with("\r\n\r\n") {
                std::io::Read::read_exact(&mut talk.stream, &mut octet).unwrap();
                interim.push(octet[0].into());
            }
            assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
        }
        let mut sender = talk.stream.try_clone().unwrap();
        let sent = body.to_vec();
        let sending = spawn(move || sender.write_all(&sent).unwrap());
        let reply = talk.hear().unwrap();
        sending.join().unwrap();
        assert!(reply.status == 200 && reply.body == body, "{} octets", body.len());
    }
    talk.say(
        "POST /chunked HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-last\r\n\
         Transfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\nx-last: 2\r\n\r\n",
    );
    let reply = talk.hear().unwrap();
    assert_eq!(reply.text(), "3\r\nabc\r\n2\r\nde\r\n0\r\nx-end: 1\r\n\r\n");
    let asked = origin.asked().pop().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.body), "4\r\nwxyz\r\n0\r\nx-last: 2\r\n\r\n");
    let received = ["direction=\"received\""];
    wait_for("octets", || {
        let octets = meridian.metric("meridian_proxy_body_bytes_total", &received);
        (octets == 8_000_005.0).then_some(())
    });
}

#[test]
fn what_is_down_gets_nothing_and_when_all_is_down_clients_are_told() {
    let front = Front::new("", "");
    let [a, b] = [10, 11].map(|number| front.site.address(number));
    let port = free_address(a.into()).port();
    let [mut first, mut second] =
        [a, b].map(|ip| Nginx::start(&front.site.path(""), (ip, port).into()));
    let monitor = format!(
        "[monitor.ready]\nkind = \"http\"\nport = {port}\npath = \"/health/ready\"\n\
         interval = \"200ms\"\ntimeout = \"150ms\"\nhold_down = \"0s\"\n\
         [safety]\nmax_removed = 1.0\n"
    );
    let fleet = monitor
        + &pool("web", &[a, b], "monitors = [\"ready\"]\n")
        + &route("web", port, "retry = { attempts = 1 }");
    front.fleet(&fleet);
    let meridian = front.serve();
    first.stop();
    let up = |ip| meridian.metric("meridian_endpoint_up", &[&format!("endpoint=\"{ip}\"")]) == 1.0;
    wait_for("the first one to be down", || (!up(a)).then_some(()));
    for _ in 0..10 {
        let reply = get(front.http, "any.test", "/");
        assert_eq!(reply.text(), format!("served by {b}:{port}\n"));
    }
    second.stop();
    wait_for("the other one to be down", || (!up(b)).then_some(()));
    let reply = get(front.http, "any.test", "/");
    assert_eq!((reply.status, reply.values("retry-after")), (503, vec!["5"]));
    assert_eq!(reply.values("x-meridian-cause"), ["unavailable"]);
    first.start_again();
    wait_for("the first one to be back", || up(a).then_some(()));
    assert_eq!(get(front.http, "any.test", "/").text(), format!("served by {a}:{port}\n"));
}

#[test]
fn an_endpoint_that_dies_costs_no_request_that_can_be_sent_again() {
    let front = Front::new("", "");
    let [a, b] = [10, 11].map(|number| front.site.address(number));
    let port = free_address(a.into()).port();
    let [mut first, _second] =
        [a, b].map(|ip| Nginx::start(&front.site.path(""), (ip, port).into()));
    front.fleet(&(pool("web", &[a, b], "") + &route("web", port, "retry = { budget = 1.0 }")));
    let meridian = front.serve();
    let mut talk = Talk::to(front.http);
    for round in 0..200 {
        if round == 50 {
            first.stop();
        }
        talk.say("GET / HTTP/1.1\r\nHost: any.test\r\n\r\n");
        let reply = talk.hear().unwrap();
        assert_eq!(reply.status, 200, "{round}: {reply:?}");
    }
    assert!(meridian.metric("meridian_proxy_retries_total", &[]) > 0.0);
}

#[test]
fn only_requests_without_effect_are_sent_again() {
    let front = Front::new("", "");
    let [a, b] = [10, 11].map(|number| front.site.address(number));
    let count = Arc::new(AtomicU32::new(0));
    let seen = count.clone();
    // It reads each request and says nothing.
    let broken = Origin::start(a, move |_, _| {
        seen.fetch_add(1, Ordering::Relaxed);
        false
    });
    let port = broken.address.port();
    let good = Nginx::start(&front.site.path(""), (b, port).into());
    let status = "retry = { on = [\"connect\", \"reset\", \"404\"], budget = 1.0 }";
    front.fleet(&(pool("web", &[a, b], "") + &route("web", port, status)));
    let _meridian = front.serve();
    for _ in 0..6 {
        assert_eq!(get(front.http, "any.test", "/").status, 200);
    }
    assert!(count.load(Ordering::Relaxed) > 0, "it was asked, too");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let mut talk = Talk::to(front.http);
        talk.say("POST / HTTP/1.1\r\nHost: any.test\r\nContent-Length: 1\r\n\r\nx");
        statuses.push(talk.hear().unwrap().status);
    }
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [200, 502], "half of them fail");
    drop(good);
}

#[test]
fn each_step_has_its_time() {
    let (front, _origin) = front(
        "limits = { header_timeout = \"300ms\", idle = \"700ms\" }",
        "timeouts = { response = \"200ms\", idle = \"300ms\", request = \"200ms\" }",
        |front| {
            Origin::start(front.site.address(10), |asked, stream| {
                let begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
                let reply = if asked.head.contains("/half") { begun } else { "" };
                stream.write_all(reply.as_bytes()).unwrap();
                sleep(Duration::from_secs(8));
                false
            })
        },
    );
    let meridian = front.serve();
    let begun = Instant::now();
    let reply = get(front.http, "a", "/");
    assert_eq!((reply.status, reply.values("x-meridian-cause")), (504, vec!["timeout"]));
    let mut talk = Talk::to(front.http);
    talk.say("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(talk.hear().is_none(), "a reply that breaks off is no whole one");
    let mut talk = Talk::to(front.http);
    talk.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(talk.hear().unwrap().status, 408);
    for (case, octets) in [("silence", ""), ("half a head", "GET / HTTP/1.1\r\nHost")] {
        let mut talk = Talk::to(front.http);
        talk.say(octets);
        assert!(talk.ends(), "{case}");
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let headers = ["reason=\"header_timeout\""];
    assert_eq!(meridian.metric("meridian_proxy_connections_closed_total", &headers), 2.0);
    // Octet by octet the whole head is still late.
    let mut talk = Talk::to(front.http);
    for octet in b"GET /slow HTTP/1.1\r\nHost: aaaaaaaaaaaaa".chunks(1) {
        if talk.stream.write_all(octet).is_err() {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    assert!(talk.ends(), "slowly");
}

#[test]
fn connections_are_bounded_for_each_client() {
    let (front, _origin) = front("limits.per_client = 3", "", saying(OK));
    let meridian = front.serve();
    let held: Vec<Talk> = (0..3)
        .map(|_| {
            let mut talk = Talk::to(front.http);
            talk.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(talk.hear().unwrap().status, 200);
            talk
        })
        .collect();
    assert!(Talk::to(front.http).ends());
    assert_eq!(meridian.metric("meridian_proxy_connections", &[]), 3.0);
    drop(held);
    wait_for("seats", || (meridian.metric("meridian_proxy_connections", &[]) == 0.0).then_some(()));
    assert_eq!(get(front.http, "a", "/").status, 200);
}

#[test]
fn at_the_end_what_is_under_way_is_answered() {
    let (front, origin) = front("drain = \"10s\"", "", |front| {
        Origin::start(front.site.address(10), |_, stream| {
            sleep(Duration::from_secs(1));
            stream.write_all(OK.as_bytes()).is_ok()
        })
    });
    let mut meridian = front.serve();
    let mut idle = Talk::to(front.http);
    idle.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.hear().unwrap().status, 200);
    origin.asked();
    let mut busy = Talk::to(front.http);
    busy.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for("the request", || {
        let asked = origin.asked();
        (!asked.is_empty()).then_some(asked)
    });
    let begun = Instant::now();
    meridian.process.signal("TERM");
    let reply = busy.hear().unwrap();
    assert_eq!((reply.status, reply.values("connection")), (200, vec!["close"]), "{reply:?}");
    assert!(busy.ends() && idle.ends());
    let status = meridian.process.wait(Duration::from_secs(8)).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn reloads_under_load_fail_no_request() {
    let front = Front::new("", "");
    let [a, b] = [10, 11].map(|number| front.site.address(number));
    let port = free_address(a.into()).port();
    let _servers = [a, b].map(|ip| Nginx::start(&front.site.path(""), (ip, port).into()));
    let fleet = |pool_of: &[_]| pool("web", pool_of, "") + &route("web", port, "");
    front.fleet(&fleet(&[a]));
    let meridian = front.serve();
    let (stop, http) = (Arc::new(AtomicBool::new(false)), front.http);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            spawn(move || {
                let mut talk = Talk::to(http);
                let mut served = 0;
                while !stop.load(Ordering::Relaxed) {
                    talk.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(talk.hear().expect("a reply").status, 200);
                    served += 1;
                }
                served
            })
        })
        .collect();
    for round in 1..=100 {
        front.fleet(&fleet(&[if round % 2 == 0 { a } else { b }]));
        meridian.process.signal("HUP");
        wait_for("the reload", || {
            let reloads = meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]);
            (reloads >= f64::from(round)).then_some(())
        });
    }
    front.fleet("[[route]]\npool = \"nowhere\"\n");
    meridian.process.signal("HUP");
    wait_for("the refusal", || {
        let refused = meridian.metric("meridian_reloads_total", &["outcome=\"refused\""]);
        (refused >= 1.0).then_some(())
    });
    assert_eq!(get(front.http, "a", "/").text(), format!("served by {a}:{port}\n"));
    stop.store(true, Ordering::Relaxed);
    let served: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(served > 100, "{served}");
}
