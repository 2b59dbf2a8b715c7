//! The rules of `[safety]`: what they refuse, and that all goes on as before.

use crate::support::wait_for;
use crate::{FLEET, answer, ip, run, site};

/// The fleet with these rules.
fn with(rules: &str) -> String {
    format!("{FLEET}[safety]\n{rules}")
}

#[test]
fn overrides_drills_and_reloads_are_refused_by_the_same_rules() {
    let site = site();
    site.write("config/fleet.toml", &with("min_capacity = 0.6\n"));
    let meridian = site.serve();
    let (node, dns) = (format!("http://{}", site.admin), site.dns.to_string());
    let told = "`www.force.test.` would be left with 50 % of its capacity";
    let order = ["force", "down", "region:us", "--for", "1h", "--reason", "x", "--node", &node];
    let (_, err) = run(&order, 1);
    assert!(err.contains(told) && err.contains("`min_capacity` of [safety]"), "{err}");
    let (_, err) = run(&["drill", "plan", "--region", "us", "--dns", &dns, "--node", &node], 1);
    assert!(err.contains(told) && err.contains("`min_capacity` of [safety]"), "{err}");

    // Half of it is gone from the files.
    let refused = || meridian.metric("meridian_reloads_total", &["outcome=\"refused\""]);
    let us = FLEET.lines().find(|line| line.contains("192.0.2.11")).unwrap();
    let fewer = FLEET.replace(us, "");
    site.write("config/fleet.toml", &format!("{fewer}[safety]\nmin_capacity = 0.6\n"));
    wait_for("a refusal", || (refused() > 0.0).then_some(()));
    let log = meridian.process.log();
    assert!(log.contains("`min_capacity` of [safety] forbids the reload") && log.contains(told));
    run(&[&order[..], &["--anyway"]].concat(), 0);
    run(&["force", "clear", "region:us", "--node", &node], 0);

    // It is meant, so the rule goes, too.
    site.write("config/fleet.toml", &fewer);
    wait_for("a reload", || {
        (meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]) > 0.0).then_some(())
    });
    assert_eq!(answer(&meridian), ip("192.0.2.1"));
    let (_, err) = run(&order, 2);
    assert!(err.contains("`region:us` has no endpoints"), "{err}");
}
