//! What the dashboard shows while regions die, come back, and the node itself is gone.

use std::time::{Duration, Instant};

use crate::browser::{Browser, DARK, DESK, PHONE};
use crate::fleet::Fleet;
use crate::support::peers::Nginx;

/// What the map shows of a region.
fn state(region: &str, state: &str) -> String {
    format!("document.querySelector('[data-region={region}]')?.dataset.state === '{state}'")
}

/// The map must show a dead region by then.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn a_region_that_dies_is_on_the_map_within_two_seconds() {
    let mut fleet = Fleet::start();
    fleet.report_load();
    let mut browser = Browser::start();
    browser.open(&fleet.url(), DESK);
    for region in ["ap", "eu", "us"] {
        browser.wait(&state(region, "up"));
    }
    browser.wait_text("#verdict", "All regions are up");
    browser.wait_text("#verdict", "all clients are where they usually are");
    browser.wait_text("#link", "live");
    browser.wait_text("#rate-now", "a second now");
    browser.wait("parseFloat(document.querySelector('#rate-now').textContent) > 5");
    browser.picture("desk-healthy");

    // Each once: what fails again and again is held down.
    let mut shown = Vec::new();
    for (region, endpoints) in [("eu", 0..2), ("us", 2..3), ("ap", 3..4)] {
        let killed = Instant::now();
        fleet.endpoints[endpoints.clone()].iter_mut().for_each(Nginx::stop);
        browser.wait(&state(region, "down"));
        shown.push(killed.elapsed());
        browser.wait_text("#verdict", &format!("{region}: down"));
        browser.wait_text("#verdict", "are elsewhere than usual");
        browser.wait("document.querySelectorAll('.way.away').length > 10");
        browser.wait_text("#endpoints tbody", "down");
        browser.wait_text("#events", &format!("region {region} is down"));
        browser.wait_text("#regions", "usually");
        browser.picture(&format!("desk-{region}-down"));
        fleet.endpoints[endpoints].iter_mut().for_each(Nginx::start_again);
        browser.wait(&state(region, "up"));
        browser.wait_text("#verdict", "All regions are up");
        browser.wait("document.querySelectorAll('.way.away').length === 0");
    }
    println!("shown after {shown:?}");
    // A busy machine may be late once, not always.
    assert!(shown.iter().any(|after| *after <= SHOWN_WITHIN), "{shown:?}");
    browser.assert_silent(&[]);

    // Who comes later is told what happened before.
    browser.reload();
    browser.wait_text("#events", "region eu is down");
    browser.wait_text("#events", "region eu is up");
    browser.wait("document.querySelectorAll('#rate .mark-at').length >= 2");
    browser.assert_silent(&[]);
}

#[test]
fn every_part_is_accessible_in_light_and_dark_and_on_a_phone() {
    let mut fleet = Fleet::start();
    fleet.report_load();
    let mut browser = Browser::start();
    for (window, name) in [(DESK, "desk"), (DARK, "dark"), (PHONE, "phone")] {
        browser.open(&fleet.url(), window);
        browser.wait(&state("eu", "up"));
        browser.wait("document.querySelectorAll('.way').length > 10");
        browser.assert_accessible(&format!("{name}, all up"));
        let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{name}: the page is too wide by {wide}");
    }
    fleet.endpoints[2].stop();
    fleet.endpoints[0].stop();
    for (window, name) in [(DESK, "desk"), (DARK, "dark"), (PHONE, "phone")] {
        browser.open(&fleet.url(), window);
        browser.wait(&state("us", "down"));
        browser.wait(&state("eu", "degraded"));
        browser.wait("document.querySelectorAll('.way.away').length > 10");
        browser.wait("document.querySelectorAll('#rate .series').length === 3");
        browser.fill("#explain [name=name]", crate::fleet::NAME);
        browser.fill("#explain [name=client]", "73.0.0.1");
        browser.press("Enter");
        browser.wait_text("#explained", "Ranking");
        browser.assert_accessible(&format!("{name}, us down"));
        browser.picture(&format!("{name}-outage"));
        browser.click("#force");
        browser.fill("#set-form [name=target]", "region:ap");
        browser.press("Tab");
        browser.wait_text("#set-form .ahead", "would change");
        browser.assert_accessible(&format!("{name}, about to set an override"));
        browser.picture(&format!("{name}-set"));
        browser.assert_silent(&[]);
    }
}

#[test]
fn a_node_that_is_gone_is_told_of_and_found_again() {
    let mut fleet = Fleet::start();
    let mut browser = Browser::start();
    browser.open(&fleet.url(), DESK);
    browser.wait_text("#link", "live");
    browser.wait("document.querySelector('#lost').hidden");
    fleet.node.process.kill();
    browser.wait("!document.querySelector('#lost').hidden");
    browser.wait_text("#lost", "Connection lost");
    browser.wait_text("#link", "connection lost");
    browser.wait("document.body.classList.contains('stale')");
    // What was known is still there.
    browser.wait(&state("eu", "up"));
    browser.picture("desk-lost");
    fleet.node = fleet.site.serve();
    browser.wait("document.querySelector('#lost').hidden");
    browser.wait_text("#link", "live");
    browser.wait("!document.body.classList.contains('stale')");
    browser.assert_silent(&[
        "ERR_CONNECTION_REFUSED",
        "ERR_CONNECTION_RESET",
        "ERR_INCOMPLETE",
        "ERR_EMPTY_RESPONSE",
    ]);
}
