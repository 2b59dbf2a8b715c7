//! This server as the secondary of others.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::peers::{KEY, Peer, SECRET, serial, wait_serial};
use crate::support::dns::Client;
use crate::support::meridian::Meridian;
use crate::support::process::Process;
use crate::support::site::Site;
use crate::support::wire::Ask;
use crate::support::{free_address, wait_for};

const ORIGIN: &str = "app.example.com.";

const FLEET: &str = "version = 1\n\
    [region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
    [pool.web]\nendpoints = [{ region = \"eu\", address = \"192.0.2.10\" }]\n";

/// A zone that is asked after every two seconds.
fn text(serial: u32, records: &str) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "$ORIGIN {ORIGIN}\n$TTL 300\n@ IN SOA ns1 hostmaster {serial} 2 1 604800 60\n\
         @ IN NS ns1\nns1 IN A 192.0.2.53\nwww IN A 192.0.2.1\nwww IN TXT \"static\"\n\
         mail IN MX 10 Mail.Host\n{records}\n"
    );
    for n in 0..2000 {
        writeln!(text, "host{n} IN A 10.0.{}.{}", n / 250, n % 250).unwrap();
    }
    text
}

/// A site with one zone, fetched from this address.
fn site(primary: SocketAddr, signed: bool) -> Site {
    let site = Site::new("eu");
    site.write("config/node.toml", &site.node("eu").replace("[probe]\nallow_private = true\n", ""));
    site.write("config/fleet.toml", FLEET);
    site.write("config/xfr.secret", SECRET);
    let keys = "algorithm = \"hmac-sha256\"\nsecret_file = \"xfr.secret\"\n";
    site.write("config/keys.toml", &format!("version = 1\n[key.\"{KEY}\"]\n{keys}"));
    let key = if signed { format!("key = \"{KEY}\"\n") } else { String::new() };
    let zone = format!(
        "version = 1\n[zone.primary]\naddress = \"{primary}\"\n{key}\
         [service.www]\npool = \"web\"\n"
    );
    site.write("zones/app.example.com.toml", &zone);
    site
}

/// The first address of a name.
fn address(site: &Site, name: &str) -> Option<IpAddr> {
    let reply = Client::new(site.dns).ask(&Ask::new(&format!("{name}.{ORIGIN}"), 1));
    reply.answer.first()?.address()
}

fn fetches(meridian: &Meridian, outcome: &str) -> u32 {
    let label = format!("outcome=\"{outcome}\"");
    meridian.metric("meridian_zone_fetches_total", &[&label]) as u32
}

/// The server starts without the zone; a zone that was never fetched does not make it ready.
fn serve(site: &Site) -> Meridian {
    let meridian = site.start();
    wait_for("an answer", || meridian.readyz());
    meridian
}

/// A primary's changes arrive, and survive its absence.
#[track_caller]
fn follows(signed: bool, program: &str, start: fn(&Peer, &str) -> Process) {
    let there = free_address(IpAddr::from([127, 0, 0, 1]));
    let site = site(there, signed);
    let mut meridian = serve(&site);
    let folder = site.path("state");
    std::fs::create_dir_all(&folder).unwrap();
    let (meridian_at, origin) = (site.dns, ORIGIN);
    let peer =
        Peer { folder: folder.clone(), address: there, meridian: meridian_at, origin, signed };
    let mut primary = start(&peer, &text(5, ""));

    wait_serial(&mut meridian.process, site.dns, ORIGIN, 5);
    assert_eq!(address(&site, "host1999"), Some(IpAddr::from([10, 0, 7, 249])));
    assert_eq!(address(&site, "www"), Some(IpAddr::from([192, 0, 2, 10])), "steered");
    let txt = Client::new(site.dns).ask(&Ask::new(&format!("www.{ORIGIN}"), 16));
    assert_eq!(txt.answer.len(), 1, "beside the steered name");

    // A change comes by NOTIFY or refresh, as changes alone.
    peer.change(&primary, program, &text(6, "new IN A 192.0.2.99\n"));
    wait_serial(&mut meridian.process, site.dns, ORIGIN, 6);
    assert_eq!(address(&site, "new"), Some(IpAddr::from([192, 0, 2, 99])));
    assert!(fetches(&meridian, "fetched") >= 2);

    // Without the primary the zone is served on, also over a restart.
    primary.stop();
    wait_for("a failed visit", || (fetches(&meridian, "failed") > 0).then_some(()));
    assert_eq!(serial(site.dns, ORIGIN), Some(6));
    drop(meridian);
    let meridian = site.serve();
    assert_eq!(serial(site.dns, ORIGIN), Some(6));
    assert_eq!(address(&site, "new"), Some(IpAddr::from([192, 0, 2, 99])));
    drop(meridian);

    // After the expire time it is served no more.
    let kept = File::options().append(true).open(site.path("state/zones/app.example.com.zone"));
    let long_ago = SystemTime::now() - Duration::from_secs(700_000);
    kept.unwrap().set_modified(long_ago).unwrap();
    let meridian = serve(&site);
    let reply = wait_for("SERVFAIL", || {
        Client::new(site.dns).try_ask(&Ask::new(ORIGIN, 6).with_edns()).ok()
    });
    assert_eq!(reply.rcode, 2);
    let state = meridian.metric("meridian_zone_state", &["state=\"expired\""]);
    assert!(state > 0.0);

    // Until the primary is back.
    let _primary = start(&peer, &text(6, ""));
    wait_for("the zone", || serial(site.dns, ORIGIN));
}

#[test]
fn a_zone_comes_from_bind_with_signatures() {
    follows(true, "named", Peer::bind_primary);
}

#[test]
fn a_zone_comes_from_knot_with_signatures() {
    follows(true, "knot", Peer::knot_primary);
}

#[test]
fn a_zone_comes_from_knot_without_signatures() {
    follows(false, "knot", Peer::knot_primary);
}

#[test]
fn a_notification_is_taken_from_the_primary_alone() {
    let there = free_address(IpAddr::from([127, 0, 0, 1]));
    let site = site(there, false);
    let _meridian = serve(&site);
    let notify = |from: &str| {
        let mut command = Command::new("kdig");
        command.arg(format!("@{}", site.dns.ip())).args(["-p", &site.dns.port().to_string()]);
        command.args(["-b", from, "+notcp", "+noedns", ORIGIN, "NOTIFY=5"]);
        let output = command.output().expect("kdig");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(notify("127.0.0.1").contains("NOERROR"), "{}", notify("127.0.0.1"));
    assert!(notify("127.0.0.2").contains("REFUSED"), "{}", notify("127.0.0.2"));
}
