//! Monitors of every kind on one node: what is configured is what is done, and answers follow.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Levels of health are exact.

mod support;

use std::fs;
use std::time::Duration;

use support::api::request;
use support::meridian::Meridian;
use support::poll;
use support::site::{Site, zone};
use support::wire::Ask;

const A: u16 = 1;

/// A monitor of each kind that needs no other server than this node.
fn monitors(site: &Site) -> String {
    let (dns, admin) = (site.dns.port(), site.admin.port());
    let times = "interval = \"200ms\"\ntimeout = \"150ms\"\nhold_down = \"0s\"\n";
    format!(
        "[monitor.question]\nkind = \"dns\"\nport = {dns}\nname = \"ns1.monitors.test\"\n\
         transport = \"tcp\"\nexpect = [\"192.0.2.53\"]\n{times}\
         [monitor.talk]\nkind = \"tcp\"\nport = {admin}\n{times}\
         send = 'GET /livez HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n'\n\
         expect = \"^HTTP/1.1 200 OK\\r\\n\"\n\
         [monitor.command]\nkind = \"exec\"\ncommand = [\"checks/same\", \"{address}\"]\n{times}\
         [monitor.reports]\nkind = \"feed\"\nfile = \"reports\"\nstale = \"unknown\"\n\
         interval = \"200ms\"\nhold_down = \"0s\"\n\
         [monitor.nobody]\nkind = \"tcp\"\nport = 1\n{times}\
         [monitor.either]\nkind = \"calculated\"\nof = [\"nobody\", \"question\"]\nat_least = 1\n",
        address = site.dns.ip(),
    )
}

/// A site with one pool of two endpoints, both probed at this node.
fn site() -> Site {
    let site = Site::new("eu");
    let pool = format!(
        "[pool.web]\nmonitors = [\"talk\", \"command\", \"reports\", \"either\"]\nendpoints = [\n\
         {{ region = \"eu\", address = \"192.0.2.1\", probe = \"{ip}\" }},\n\
         {{ region = \"eu\", address = \"192.0.2.2\", probe = \"{ip}\" }},\n]\n",
        ip = site.dns.ip(),
    );
    let region = "version = 1\n[region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n";
    site.write("config/fleet.toml", &format!("{region}{}{pool}", monitors(&site)));
    site.write("config/reports", "192.0.2.1 up\n192.0.2.2 up\n");
    site.write("config/checks/same", "#!/bin/sh\ntest \"$MERIDIAN_ADDRESS\" = \"$1\"\n");
    let script = site.path("config/checks/same");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    site.write("zones/monitors.test.zone", &zone("monitors.test.", 1, ""));
    let services = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"rotate\"]\n\
                    ttl = { min = \"1s\", max = \"5s\" }\n";
    site.write("zones/monitors.test.toml", services);
    site
}

/// The addresses that are answered, in order.
fn answer(meridian: &Meridian) -> Vec<String> {
    let reply = meridian.client().ask(&Ask::new("www.monitors.test", A));
    let mut addresses: Vec<String> = reply.addresses().iter().map(ToString::to_string).collect();
    addresses.sort();
    addresses
}

/// Waits until these addresses are answered.
fn wait_for_answer(meridian: &Meridian, expected: &[&str]) {
    let every = Duration::from_millis(10);
    let found =
        poll(Duration::from_secs(10), every, || (answer(meridian) == expected).then_some(()));
    assert!(found.is_some(), "{:?}\n{}", answer(meridian), meridian.process.log());
}

#[test]
fn answers_follow_what_monitors_of_every_kind_find() {
    let site = site();
    let mut meridian = Meridian::start(&site.path("config"), &site.path(""), site.dns, site.admin);
    meridian.wait_ready();
    // With everything down both are answered, too.
    for endpoint in ["endpoint=\"192.0.2.1\"", "endpoint=\"192.0.2.2\""] {
        let is_up = || (meridian.metric("meridian_endpoint_up", &[endpoint]) == 1.0).then_some(());
        assert!(poll(Duration::from_secs(10), Duration::from_millis(10), is_up).is_some());
    }
    wait_for_answer(&meridian, &["192.0.2.1", "192.0.2.2"]);
    site.write("config/reports.new", "192.0.2.1 up\n192.0.2.2 down 4000000000 repairs\n");
    fs::rename(site.path("config/reports.new"), site.path("config/reports")).unwrap();
    wait_for_answer(&meridian, &["192.0.2.1"]);
    let log = meridian.process.log();
    assert!(log.contains("monitor reports: reported down: repairs"), "{log}");
    let down = ["endpoint=\"192.0.2.2\"", "cause=\"reported\""];
    assert_eq!(meridian.metric("meridian_endpoint_up", &down), 0.0);
    site.write("config/reports.new", "{\"192.0.2.1\": \"up\", \"192.0.2.2\": \"up\"}");
    fs::rename(site.path("config/reports.new"), site.path("config/reports")).unwrap();
    wait_for_answer(&meridian, &["192.0.2.1", "192.0.2.2"]);
    for name in ["question", "talk", "command", "reports", "nobody"] {
        let monitor = format!("monitor=\"{name}\"");
        let count = meridian.metric("meridian_probe_duration_seconds_count", &[&monitor]);
        assert!(count > 0.0, "{name} is probed, listed or not");
    }
    let sum = meridian.metric("meridian_probe_duration_seconds_count", &["monitor=\"either\""]);
    assert_eq!(sum, 0.0, "what is calculated is not probed");
}

#[test]
fn an_endpoint_leaves_the_answers_with_what_it_depends_on() {
    let site = Site::new("eu");
    let pools = "version = 1\n[region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
                 [monitor.reports]\nkind = \"feed\"\nfile = \"reports\"\n\
                 interval = \"200ms\"\nhold_down = \"0s\"\n\
                 [pool.api]\nmonitors = [\"reports\"]\nendpoints = [\n\
                 { region = \"eu\", address = \"192.0.2.8\" },\n\
                 { region = \"eu\", address = \"192.0.2.9\" },\n]\n\
                 [pool.web]\nendpoints = [\n\
                 { region = \"eu\", address = \"192.0.2.1\", depends_on = [\"api\"] },\n\
                 { region = \"eu\", address = \"192.0.2.2\" },\n]\n";
    site.write("config/fleet.toml", pools);
    site.write("config/reports", "192.0.2.8 up\n192.0.2.9 up\n");
    site.write("zones/monitors.test.zone", &zone("monitors.test.", 1, ""));
    let services = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"rotate\"]\n\
                    ttl = { min = \"1s\", max = \"5s\" }\n";
    site.write("zones/monitors.test.toml", services);
    let mut meridian = Meridian::start(&site.path("config"), &site.path(""), site.dns, site.admin);
    meridian.wait_ready();
    wait_for_answer(&meridian, &["192.0.2.1", "192.0.2.2"]);
    let report = |text: &str| {
        site.write("config/reports.new", text);
        fs::rename(site.path("config/reports.new"), site.path("config/reports")).unwrap();
    };
    report("192.0.2.8 down 4000000000 repairs\n192.0.2.9 down 4000000000 repairs\n");
    wait_for_answer(&meridian, &["192.0.2.2"]);
    let log = meridian.process.log();
    let why = "pool api is down here: monitor reports: reported down: repairs";
    assert!(log.contains(why), "{log}");
    report("192.0.2.8 up\n192.0.2.9 down 4000000000 repairs\n");
    wait_for_answer(&meridian, &["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn reports_come_over_the_api_too() {
    let site = Site::new("eu");
    let fleet = "version = 1\n[region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
                 [monitor.reports]\nkind = \"feed\"\ninterval = \"200ms\"\nhold_down = \"0s\"\n\
                 [monitor.port]\nkind = \"tcp\"\nport = 80\n\
                 [pool.other]\nmonitors = [\"port\"]\nendpoints = [\n\
                 { region = \"eu\", address = \"192.0.2.9\" },\n]\n\
                 [pool.web]\nmonitors = [\"reports\"]\nendpoints = [\n\
                 { region = \"eu\", address = \"192.0.2.1\" },\n\
                 { region = \"eu\", address = \"192.0.2.2\" },\n]\n";
    site.write("config/fleet.toml", fleet);
    site.write("zones/monitors.test.zone", &zone("monitors.test.", 1, ""));
    let services = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"rotate\"]\n\
                    answers = 2\nttl = { min = \"1s\", max = \"5s\" }\n";
    site.write("zones/monitors.test.toml", services);
    let mut meridian = Meridian::start(&site.path("config"), &site.path(""), site.dns, site.admin);
    meridian.wait_ready();
    let host = format!("Host: {}", site.admin);
    let headers = [&*host, "Content-Type: application/json"];
    let report = |monitor: &str, body: &str| {
        let line = format!("POST /api/v1/reports/{monitor}");
        let (status, _, reply) = request(site.admin, &line, &headers, body);
        (status, reply)
    };
    let down = "{\"192.0.2.1\":\"up\",\"192.0.2.2\":{\"state\":\"down\",\"why\":\"full\"}}";
    for (case, monitor, body, status, told) in [
        ("another endpoint", "reports", "{\"192.0.2.9\":\"up\"}", 400, "192.0.2.9"),
        ("no state", "reports", "{\"192.0.2.1\":\"sideways\"}", 400, "not as expected"),
        ("another kind", "port", "{}", 404, "no monitor `port` of kind feed"),
        ("a good one", "reports", down, 200, "{\"reports\":2}"),
    ] {
        let (found, reply) = report(monitor, body);
        assert_eq!(found, status, "{case}: {reply}");
        assert!(reply.contains(told), "{case}: {reply}");
    }
    wait_for_answer(&meridian, &["192.0.2.1"]);
    // What is unknown yet is not answered either.
    let why = "monitor reports: reported down: full";
    let told = || meridian.process.log().contains(why).then_some(());
    let told = poll(Duration::from_secs(10), Duration::from_millis(10), told);
    assert!(told.is_some(), "{}", meridian.process.log());
    assert_eq!(report("reports", "{\"192.0.2.2\":\"up\"}").0, 200);
    wait_for_answer(&meridian, &["192.0.2.1", "192.0.2.2"]);
}
