//! Start, readiness, signals, end.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::support::meridian::{Meridian, command};
use crate::support::wire::{Ask, Reply};
use crate::support::{PATIENCE, poll, wait_for};
use crate::{A, POOL, add_to_node, answer, monitor, site};

/// From a signal to the end of a server with nothing to finish.
const STOP_LIMIT: Duration = Duration::from_secs(5);

#[test]
fn a_node_with_nothing_to_probe_is_ready_at_once() {
    let site = site(POOL);
    let started = Instant::now();
    let meridian = site.serve();
    assert!(started.elapsed() < Duration::from_secs(4), "ready after {:?}", started.elapsed());
    assert!(meridian.metric("meridian_snapshot_generation", &[]) >= 1.0);
    assert_eq!(meridian.readyz(), Some((200, "ready\n".to_owned())));
}

/// A site whose only endpoint accepts connections and says nothing.
fn silent() -> (crate::support::site::Site, TcpListener) {
    let site = site("");
    let listener = TcpListener::bind((site.address(10), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let monitor = monitor(port, "").replace("\"1s\"", "\"60s\"").replace("\"700ms\"", "\"50s\"");
    let endpoint = format!("{{ region = \"eu\", address = \"{}\" }}", site.address(10));
    let pool = format!("[pool.web]\nmonitors = [\"ready\"]\nendpoints = [{endpoint}]\n");
    site.write("config/fleet.toml", &format!("{}{monitor}{pool}", crate::REGIONS));
    (site, listener)
}

#[test]
fn the_first_round_is_waited_for_but_not_for_ever() {
    let (site, _listener) = silent();
    let started = Instant::now();
    let mut meridian = site.start();
    let (status, text) = wait_for("the admin listener", || meridian.readyz());
    assert_eq!((status, &*text), (503, "not ready: the first probe round is under way\n"));
    meridian.wait_ready();
    assert!(started.elapsed() >= Duration::from_secs(5), "ready after {:?}", started.elapsed());
    let reply = meridian.client().ask(&crate::german());
    assert_eq!(reply.addresses(), [IpAddr::from(site.address(10))], "unknown is eligible");
    assert_eq!(reply.answer[0].ttl, 1, "and may change at any moment");
    assert_eq!(meridian.metric("meridian_endpoint_up", &[]), 0.5);
}

#[test]
fn a_signal_in_the_first_round_ends_it() {
    let (site, _listener) = silent();
    for signal in ["TERM", "INT"] {
        let mut meridian = site.start();
        wait_for("the admin listener", || meridian.readyz());
        let sent = Instant::now();
        meridian.process.signal(signal);
        let status = meridian.process.wait(STOP_LIMIT).expect("it ends in time");
        assert_eq!(status.code(), Some(0), "{}", meridian.process.log());
        assert!(sent.elapsed() < Duration::from_secs(3), "{signal}: {:?}", sent.elapsed());
    }
}

#[test]
fn a_stopped_node_answers_what_has_arrived() {
    let site = site(POOL);
    for signal in ["TERM", "INT"] {
        let mut meridian = site.serve();
        let mut stream = TcpStream::connect(site.dns).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Served before the signal, so that it is accepted for sure.
        let asked: Vec<Vec<u8>> =
            (0..300).map(|id| Ask::new("www.serve.test", A).encode(id)).collect();
        let framed = |query: &Vec<u8>| [&(query.len() as u16).to_be_bytes()[..], query].concat();
        stream.write_all(&asked.iter().map(framed).collect::<Vec<_>>().concat()).unwrap();
        // Half a query more, and a client of the admin listener that says half a word.
        stream.write_all(&[0, 40, 1, 2]).unwrap();
        let mut slow = TcpStream::connect(site.admin).unwrap();
        slow.write_all(b"GET /live").unwrap();
        meridian.process.signal(signal);
        let mut replies = Vec::new();
        let _ = stream.read_to_end(&mut replies);
        let mut rest = &replies[..];
        let mut ids = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk() {
            let (message, next) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            let reply = Reply::decode(message).unwrap();
            assert_eq!((reply.rcode, reply.answer.len()), (0, 1), "{reply:?}");
            ids.push(reply.id);
            rest = next;
        }
        assert_eq!(ids, (0..300).collect::<Vec<u16>>(), "after SIG{signal}");
        let status = meridian.process.wait(STOP_LIMIT).expect("it ends in time");
        assert_eq!(status.code(), Some(0), "{}", meridian.process.log());
        UdpSocket::bind(site.dns).expect("its port is free again");
    }
}

#[test]
fn systemd_is_told_of_readiness_and_end() {
    let site = site(POOL);
    let path = site.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut own = command();
    own.env("NOTIFY_SOCKET", &path);
    let folder = site.path("");
    let mut meridian =
        Meridian::start_with(&mut own, &site.path("config"), &folder, site.dns, site.admin);
    let told = || {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    };
    assert_eq!(told(), "READY=1");
    answer(&meridian);
    meridian.process.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    assert!(meridian.process.wait(STOP_LIMIT).expect("it ends in time").success());
}

#[test]
fn changed_listeners_wait_for_a_restart() {
    let site = site(POOL);
    let mut meridian = site.serve();
    let elsewhere = crate::free_address(site.address(2).into());
    let node = site.node("eu").replace(&site.dns.to_string(), &elsewhere.to_string());
    site.write("config/node.toml", &node);
    meridian.process.signal("HUP");
    wait_for("a reload", || {
        (meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]) > 0.0).then_some(())
    });
    let log = meridian.process.log();
    assert!(log.contains("of [dns] changed: this takes a restart"), "{log}");
    answer(&meridian);
    assert!(TcpStream::connect(elsewhere).is_err(), "nobody listens there yet");
    meridian.process.signal("TERM");
    meridian.process.wait(STOP_LIMIT).expect("it ends in time");
    let again = Meridian::start(&site.path("config"), &site.path(""), elsewhere, site.admin);
    let reply =
        poll(PATIENCE, Duration::from_millis(20), || again.client().try_ask(&crate::german()).ok());
    assert!(reply.is_some(), "{}", again.process.log());
}

#[test]
fn a_zone_that_never_loaded_fails_alone_and_readiness_tells() {
    let site = site(POOL);
    site.write("zones/broken.test.zone", "@ IN SOA");
    let meridian = site.serve();
    let ask = |name: &str| meridian.client().ask(&Ask::new(name, A)).rcode;
    assert_eq!((ask("x.broken.test"), ask("www.serve.test")), (2, 0));
    let text = "ready\nzone broken.test. was never loaded: SERVFAIL\n".to_owned();
    assert_eq!(meridian.readyz(), Some((200, text)));
    site.write("zones/serve.test.zone", "@ IN SOA");
    let stale = "ready\nzone serve.test. has errors: its last good data are served\n\
                 zone broken.test. was never loaded: SERVFAIL\n";
    wait_for("the last good data", || {
        meridian.readyz().filter(|(status, text)| (*status, &**text) == (200, stale))
    });
    assert_eq!((ask("x.broken.test"), ask("www.serve.test")), (2, 0));
    drop(meridian);
    // Without the last good data there is nothing to serve.
    let meridian = site.start();
    let told = wait_for("the end of the start", || {
        meridian.readyz().filter(|(_, text)| !text.contains("probe round"))
    });
    assert_eq!(told.0, 503);
    assert!(told.1.starts_with("not ready: no zone could be loaded\n"), "{}", told.1);
    assert_eq!(meridian.client().ask(&Ask::new("www.serve.test", A)).rcode, 2);
}

#[test]
fn the_log_is_one_json_object_a_line_when_asked_for() {
    // A pool that no service names is warned of.
    let site = site(&format!(
        "{POOL}[pool.spare]\nendpoints = [{{ region = \"eu\", address = \"192.0.2.9\" }}]\n"
    ));
    add_to_node(&site, "[log]\nformat = \"json\"\n");
    let mut meridian = site.serve();
    site.write("config/fleet.toml", "version = 1\n[region]\n");
    wait_for("a refusal", || {
        (meridian.metric("meridian_reloads_total", &["outcome=\"refused\""]) > 0.0).then_some(())
    });
    meridian.process.signal("TERM");
    meridian.process.wait(STOP_LIMIT).expect("it ends in time");
    let log = meridian.process.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let warned = lines.iter().filter(|line| line.to_string().contains("used by no service"));
    assert_eq!(warned.count(), 1, "{log}");
    for (level, message) in [
        ("INFO", "serving"),
        ("ERROR", "reload refused; what was served before serves on"),
        ("INFO", "stopped"),
    ] {
        let mut found = lines.iter().filter(|line| line["message"] == message);
        assert_eq!(found.next().expect(message)["level"], level, "{message}");
        assert!(found.next().is_none(), "{message} is there once");
    }
}
