//! This server as the primary of others.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crate::peers::{KEY, Peer, SECRET, serial, wait_serial};
use crate::support::dns::Client;
use crate::support::meridian::Meridian;
use crate::support::process::Process;
use crate::support::site::{Site, zone};
use crate::support::wire::{Ask, Rr};
use crate::support::{PATIENCE, free_address, poll, wait_for};

pub(crate) const ORIGIN: &str = "app.example.com.";

const FLEET: &str = "version = 1\n\
    [region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
    [region.us]\nlocation = { lat = 38.95, lon = -77.45 }\n\
    [pool.web]\nendpoints = [\n\
    { region = \"eu\", address = \"192.0.2.10\" },\n\
    { region = \"us\", address = \"192.0.2.20\", weight = 3 },\n\
    { region = \"us\", address = \"2001:db8::20\" }]\n";

const SERVICES: &str = "version = 1\n[service.www]\npool = \"web\"\n";

/// Many records, so that a transfer takes several messages, and one of every awkward kind.
pub(crate) fn records(extra: &str) -> String {
    let mut text = String::new();
    for n in 0..3000 {
        writeln!(text, "host{n} IN A 10.0.{}.{}", n / 250, n % 250).unwrap();
    }
    let long = "x".repeat(250);
    for n in 0..9 {
        writeln!(text, "long IN TXT \"{n} {long}\" \"{long}\"").unwrap();
    }
    text + "*.wild IN TXT \"w\"\nsub IN NS ns.sub\nns.sub IN A 192.0.2.7\n\
            a\\.b IN TYPE65280 \\# 3 010203\nUPPER IN MX 10 Mail.Example.NET.\n"
        + extra
}

/// A site whose zone these addresses may transfer.
pub(crate) fn site(transfer: &str, extra: &str) -> Site {
    let site = Site::new("eu");
    let node = site.node("eu");
    let node = node.replace("workers = 2\n", &format!("workers = 2\ntransfer = [{transfer}]\n"));
    site.write("config/node.toml", &node.replace("[probe]\nallow_private = true\n", ""));
    site.write("config/fleet.toml", FLEET);
    site.write("config/xfr.secret", SECRET);
    site.write(
        "config/keys.toml",
        &format!(
            "version = 1\n[key.\"{KEY}\"]\nalgorithm = \"hmac-sha256\"\n\
             secret_file = \"xfr.secret\"\n"
        ),
    );
    site.write("zones/app.example.com.zone", &zone(ORIGIN, 5, &records(extra)));
    site.write("zones/app.example.com.toml", SERVICES);
    site
}

/// All that a server says of a few names.
fn answers(server: SocketAddr) -> BTreeSet<Rr> {
    let mut client = Client::new(server);
    let asks = [
        ("host0", 1),
        ("host2999", 1),
        ("new", 1),
        ("long", 16),
        ("x.wild", 16),
        ("sub", 2),
        ("a\\.b", 65280),
        ("upper", 15),
        ("ns1", 1),
    ];
    let mut all = BTreeSet::new();
    for (name, rtype) in asks {
        let reply = client.ask_whole(&Ask::new(&format!("{name}.{ORIGIN}"), rtype)).unwrap();
        // What some servers add beside the answer says nothing of the zone.
        let records = if reply.answer.is_empty() { reply.authority } else { reply.answer };
        all.extend(records);
    }
    all.extend(client.ask(&Ask::new(ORIGIN, 6)).answer);
    all
}

#[track_caller]
pub(crate) fn assert_alike(there: SocketAddr, here: SocketAddr) {
    let mut differing = Vec::new();
    // A process of NSD that is being replaced may answer a moment longer.
    let alike = poll(PATIENCE, Duration::from_millis(20), || {
        let (there, here) = (answers(there), answers(here));
        let short = |record: &Rr| (record.owner.clone(), record.rtype, record.ttl);
        differing = there.symmetric_difference(&here).map(short).collect();
        differing.is_empty().then_some(())
    });
    assert!(alike.is_some(), "{differing:?}");
}

/// The addresses that a server gives for the steered name.
fn steered(server: SocketAddr, rtype: u16) -> BTreeSet<IpAddr> {
    let mut client = Client::new(server);
    let reply = client.ask(&Ask::new(&format!("www.{ORIGIN}"), rtype));
    reply.answer.iter().filter_map(Rr::address).collect()
}

fn addresses(all: &[&str]) -> BTreeSet<IpAddr> {
    all.iter().map(|address| address.parse().unwrap()).collect()
}

/// A secondary keeps up with a zone through NOTIFY and IXFR, whatever changes.
#[track_caller]
fn follows(signed: bool, start: fn(&Peer) -> Process) {
    let there = free_address(IpAddr::from([127, 0, 0, 1]));
    let key = if signed { format!(", key = \"{KEY}\"") } else { String::new() };
    let site = site(&format!("{{ to = \"{there}\"{key} }}"), "");
    let meridian = site.serve();
    let folder = site.path("state");
    std::fs::create_dir_all(&folder).unwrap();
    let (origin, own) = (ORIGIN, site.dns);
    let peer = Peer { folder: folder.clone(), address: there, meridian: own, origin, signed };
    let mut process = start(&peer);

    wait_serial(&mut process, there, ORIGIN, 5);
    assert_alike(there, site.dns);
    assert_eq!(steered(there, 1), addresses(&["192.0.2.10", "192.0.2.20"]));
    assert_eq!(steered(there, 28), addresses(&["2001:db8::20"]));
    assert_eq!(meridian.metric("meridian_transfers_total", &["kind=\"axfr\""]) as u32, 1);

    // A record more, under a new serial.
    let text = zone(ORIGIN, 6, &records("new IN A 192.0.2.99\n"));
    site.write("zones/app.example.com.zone", &text);
    wait_serial(&mut process, there, ORIGIN, 6);
    assert_alike(there, site.dns);

    // The file's serial goes back: the zone moves on all the same.
    site.write("zones/app.example.com.zone", &zone(ORIGIN, 3, &records("")));
    wait_serial(&mut process, there, ORIGIN, 7);
    assert_alike(there, site.dns);

    // Another endpoint, with the zone file as it was.
    site.write("config/fleet.toml", &FLEET.replace("192.0.2.10", "192.0.2.11"));
    wait_serial(&mut process, there, ORIGIN, 8);
    wait_for("the other endpoint", || {
        (steered(there, 1) == addresses(&["192.0.2.11", "192.0.2.20"])).then_some(())
    });
    assert_eq!(meridian.metric("meridian_transfers_total", &["kind=\"axfr\""]) as u32, 1);
    assert!(meridian.metric("meridian_transfers_total", &["kind=\"ixfr\""]) >= 3.0);
    assert!(meridian.metric("meridian_notifies_total", &["result=\"heard\""]) >= 3.0);

    // A restart neither forgets nor reuses a serial.
    drop(meridian);
    let meridian = site.serve();
    assert_eq!(serial(site.dns, ORIGIN), Some(8));
    drop(meridian);
    site.write("config/fleet.toml", FLEET);
    let _meridian = site.serve();
    wait_serial(&mut process, there, ORIGIN, 9);
    wait_for("the first endpoint again", || {
        (steered(there, 1) == addresses(&["192.0.2.10", "192.0.2.20"])).then_some(())
    });
}

#[test]
fn knot_follows_with_signatures() {
    follows(true, Peer::knot);
}

#[test]
fn nsd_follows_with_signatures() {
    follows(true, Peer::nsd);
}

#[test]
fn bind_follows_with_signatures() {
    follows(true, Peer::bind);
}

#[test]
fn knot_follows_by_its_address_alone() {
    follows(false, Peer::knot);
}

/// What `kdig` says of a transfer.
fn transfer(meridian: &Meridian, server: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("kdig");
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
    let output = command.args(arguments).arg(ORIGIN).output().expect("kdig");
    assert!(meridian.readyz().is_some());
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn only_who_may_gets_the_zone() {
    let site = site(&format!("{{ to = \"127.0.0.1\", key = \"{KEY}\" }}"), "");
    let meridian = site.serve();
    let own = format!("hmac-sha256:{KEY}:{SECRET}");
    let wrong = format!("hmac-sha256:{KEY}:c2VjcmV0");
    let unknown = format!("hmac-sha256:other.:{SECRET}");
    let ask = |arguments: &[&str]| transfer(&meridian, site.dns, arguments);
    let whole = ask(&["-b", "127.0.0.1", "-y", &own, "AXFR"]);
    assert!(whole.contains("host2999") && whole.contains("192.0.2.20"), "{whole}");
    for (what, arguments, expected) in [
        ("no key", &["-b", "127.0.0.1", "AXFR"][..], "REFUSED"),
        ("another address", &["-b", "127.0.0.2", "-y", &own, "AXFR"], "REFUSED"),
        ("a wrong secret", &["-b", "127.0.0.1", "-y", &wrong, "AXFR"], "BADSIG"),
        ("an unknown key", &["-b", "127.0.0.1", "-y", &unknown, "AXFR"], "BADKEY"),
    ] {
        let said = ask(arguments);
        assert!(said.contains(expected) && !said.contains("host2999"), "{what}: {said}");
    }
    // Secondaries sign their queries for the SOA too, and want the reply signed.
    let soa = ask(&["+notcp", "-b", "127.0.0.1", "-y", &own, "SOA"]);
    assert!(soa.contains("TSIG") && soa.contains("hostmaster") && !soa.contains("WARN"), "{soa}");
}

#[test]
fn steered_names_may_be_left_out() {
    let site = site("{ to = \"127.0.0.1\" }", "");
    let omit = format!("{SERVICES}[zone.transfer]\nsteered = \"omit\"\n");
    site.write("zones/app.example.com.toml", &omit);
    let meridian = site.serve();
    let whole = transfer(&meridian, site.dns, &["-b", "127.0.0.1", "AXFR"]);
    assert!(whole.contains("host2999") && !whole.contains("192.0.2.20"), "{whole}");
}
