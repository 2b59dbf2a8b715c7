//! Operator overrides on a real node: answers, restarts, ends, refusals, and who may set them.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Counts are exact.

#[path = "overrides/access.rs"]
mod access;
#[path = "overrides/canary.rs"]
mod canary;
#[path = "overrides/drill.rs"]
mod drill;
#[path = "overrides/explain.rs"]
mod explain;
#[path = "overrides/force.rs"]
mod force;
#[path = "overrides/golden.rs"]
mod golden;
#[path = "overrides/matrix.rs"]
mod matrix;
#[path = "overrides/safety.rs"]
mod safety;
#[path = "overrides/schema.rs"]
mod schema;
#[path = "overrides/stream.rs"]
mod stream;
mod support;
#[path = "overrides/terminal.rs"]
mod terminal;
#[path = "overrides/webhook.rs"]
mod webhook;

use std::net::IpAddr;
use std::process::Output;

use support::meridian::{Meridian, command};
use support::site::{Site, zone};
use support::wire::Ask;

const A: u16 = 1;

const FLEET: &str = "version = 1\n\
    [region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
    [region.us]\nlocation = { lat = 38.95, lon = -77.45 }\n\
    [pool.web]\nendpoints = [\n\
    { region = \"eu\", address = \"192.0.2.1\" },\n\
    { region = \"eu\", address = \"192.0.2.2\", weight = 0 },\n\
    { region = \"us\", address = \"192.0.2.11\" },\n]\n";

const SERVICES: &str = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"proximity\"]\n\
    ttl = { min = \"1s\", max = \"1s\" }\n";

/// A site without monitors, so that overrides alone change what is answered.
fn site() -> Site {
    let site = Site::new("eu");
    site.write("config/fleet.toml", FLEET);
    site.write("zones/force.test.zone", &zone("force.test.", 1, ""));
    site.write("zones/force.test.toml", SERVICES);
    site
}

/// The one address that a client in Germany is sent to.
fn answer(meridian: &Meridian) -> IpAddr {
    let ask = Ask::new("www.force.test", A).with_subnet("141.20.0.0".parse().unwrap(), 24);
    let reply = meridian.client().ask(&ask);
    let [address] = reply.addresses()[..] else { panic!("{reply:?}") };
    address
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Standard output and standard error of a command that must end with this code.
#[track_caller]
fn run(arguments: &[&str], code: i32) -> (String, String) {
    let output = command().args(arguments).env("USER", "alice").output().unwrap();
    ended(arguments, &output, code)
}

#[track_caller]
fn ended(arguments: &[&str], output: &Output, code: i32) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}
