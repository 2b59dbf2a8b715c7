//! Plans on a real node: what came late, was cut or is empty never takes the place of what serves.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Counts are exact.

mod support;

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;
use support::meridian::{Meridian, http_get};
use support::site::{Site, zone};
use support::wait_for;
use support::wire::Ask;

const A: u16 = 1;

const SERVICES: &str = "version = 1\n[service.www]\npool = \"web\"\nanswers = 8\n\
    policy = [\"rotate\"]\nttl = { min = \"1s\", max = \"1s\" }\n";

/// A fleet with this plan and as many endpoints, the last octet of whose addresses is from `first`.
fn fleet(plan: &str, first: u8, endpoints: u8) -> String {
    let mut text = format!(
        "version = 1\n{plan}[region.eu]\nlocation = {{ lat = 50.11, lon = 8.68 }}\n\
         [pool.web]\nendpoints = [\n"
    );
    for number in first..first + endpoints {
        writeln!(text, "{{ region = \"eu\", address = \"192.0.2.{number}\" }},").unwrap();
    }
    text + "]\n"
}

fn plan(epoch: u32, version: u32) -> String {
    format!("[plan]\nepoch = {epoch}\nversion = {version}\n")
}

fn site(fleet: &str) -> Site {
    let site = Site::new("eu");
    site.write("config/fleet.toml", fleet);
    site.write("zones/plan.test.zone", &zone("plan.test.", 1, "a IN A 192.0.2.100"));
    site.write("zones/plan.test.toml", SERVICES);
    site
}

/// The lowest address of an answer; every answer has some.
fn first(meridian: &Meridian) -> IpAddr {
    let reply = meridian.client().ask(&Ask::new("www.plan.test", A));
    assert_eq!(reply.rcode, 0, "{reply:?}");
    reply.addresses().into_iter().min().expect("never an empty answer")
}

fn address(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

fn count(meridian: &Meridian, outcome: &str) -> f64 {
    meridian.metric("meridian_reloads_total", &[&format!("outcome=\"{outcome}\"")])
}

/// Writes a file and waits until it was read with this outcome.
fn reload(site: &Site, meridian: &Meridian, path: &str, text: &str, outcome: &str) {
    let before = count(meridian, outcome);
    site.write(path, text);
    wait_for(outcome, || (count(meridian, outcome) > before).then_some(()));
}

#[test]
fn a_late_old_plan_after_a_newer_one_and_then_a_clean_up_give_no_empty_answer() {
    let site = site(&fleet(&plan(1, 5), 1, 4));
    let mut meridian = site.serve();
    let path = "config/fleet.toml";
    reload(&site, &meridian, path, &fleet(&plan(1, 7), 21, 4), "ok");
    assert_eq!(first(&meridian), address(21));
    // What was on its way for long arrives at last.
    reload(&site, &meridian, path, &fleet(&plan(1, 6), 11, 4), "refused");
    assert_eq!(first(&meridian), address(21));
    // The clean-up takes the plans before the newest one away, and so what the late one wrote.
    let empty = fleet(&plan(1, 6), 1, 0).replace("endpoints = [\n]", "endpoints = []");
    reload(&site, &meridian, path, &empty, "refused");
    assert_eq!(first(&meridian), address(21));
    let log = meridian.process.log();
    assert!(log.contains("plan (1, 6) is older than (1, 7), which was served before"), "{log}");
    assert_eq!(meridian.metric("meridian_plan_number", &["part=\"version\""]), 7.0);

    // After a restart there is nothing but the old plan, which is served, and told of.
    meridian.process.stop();
    site.write(path, &fleet(&plan(1, 6), 11, 4));
    let meridian = site.serve();
    assert_eq!(first(&meridian), address(11));
    assert_eq!(meridian.metric("meridian_plan_behind", &[]), 1.0);
    assert!(meridian.process.log().contains("an older plan is served, as there is no other"));
    reload(&site, &meridian, path, &fleet("", 31, 4), "refused");
    reload(&site, &meridian, path, &fleet(&plan(2, 0), 31, 4), "ok");
    assert_eq!(first(&meridian), address(31));
    assert_eq!(meridian.metric("meridian_plan_behind", &[]), 0.0);
}

#[test]
fn a_generated_file_over_its_limit_is_refused_and_serving_goes_on() {
    let site = site(&fleet(&plan(1, 1), 1, 8));
    let meridian = site.serve();
    let path = "config/fleet.toml";
    // One endpoint twice as often as there may be octets in a file.
    let endpoint = "{ region = \"eu\", address = \"192.0.2.1\" },\n";
    let long = fleet(&plan(1, 2), 1, 8).replace("]\n", "") + &endpoint.repeat((65 << 20) / 40);
    reload(&site, &meridian, path, &long, "refused");
    assert_eq!(first(&meridian), address(1));
    // One that was cut to what fits.
    reload(&site, &meridian, path, &fleet(&plan(1, 2), 1, 3), "refused");
    assert_eq!(first(&meridian), address(1));
    let log = meridian.process.log();
    assert!(log.contains("it has 3 endpoints instead of 8"), "{log}");
    assert_eq!(meridian.metric("meridian_plan_refusals_total", &[]), 1.0);
    let meant = plan(1, 2) + "shrink = true\n";
    reload(&site, &meridian, path, &fleet(&meant, 5, 3), "ok");
    assert_eq!(first(&meridian), address(5));
}

#[test]
fn an_empty_zone_file_is_the_last_good_data_or_servfail_and_never_nxdomain() {
    let site = site(&fleet(&plan(1, 1), 1, 2));
    let mut meridian = site.serve();
    let ask = |meridian: &Meridian, name: &str| meridian.client().ask(&Ask::new(name, A));
    reload(&site, &meridian, "zones/plan.test.zone", "", "partial");
    assert_eq!(first(&meridian), address(1));
    assert_eq!(ask(&meridian, "a.plan.test").addresses(), [address(100)]);
    meridian.process.stop();
    // It is not ready without any zone, but whoever asks it gets an answer.
    let meridian = site.start();
    wait_for("an answer", || meridian.client().try_ask(&Ask::new("plan.test", A)).ok());
    for name in ["a.plan.test", "www.plan.test", "nothing.plan.test"] {
        assert_eq!(ask(&meridian, name).rcode, 2, "{name}: SERVFAIL");
    }
}

#[test]
fn nodes_that_serve_the_same_have_the_same_digest() {
    let text = fleet(&plan(1, 1), 1, 2);
    let digest = |site: &Site| {
        let (_, status) = http_get(site.admin, "/api/v1/status").unwrap();
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["plan"]["version"], 1, "{status}");
        status["digest"].as_str().unwrap().to_owned()
    };
    let first = {
        let site = site(&text);
        let _meridian = site.serve();
        digest(&site)
    };
    // Another node, elsewhere, with another node.toml.
    let site = site(&text);
    site.write("config/node.toml", &site.node("eu").replace("test-1", "test-2"));
    let meridian = site.serve();
    assert_eq!(digest(&site), first);
    let metric = meridian.metric("meridian_config_digest", &[]);
    assert_eq!(metric, u64::from_str_radix(&first[..12], 16).unwrap() as f64);
    let changed = zone("plan.test.", 2, "a IN A 192.0.2.101");
    reload(&site, &meridian, "zones/plan.test.zone", &changed, "ok");
    assert_ne!(digest(&site), first, "a record more shows");
    reload(
        &site,
        &meridian,
        "config/fleet.toml",
        &text.replace("version = 1\n[plan]", "# same\nversion = 1\n[plan]"),
        "ok",
    );
    assert!(meridian.process.log().contains("plan (1, 1) has another content"), "and is warned of");
}
