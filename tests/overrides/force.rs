//! What overrides do to answers, and what they survive.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::meridian::http_get;
use crate::support::wait_for;
use crate::{FLEET, answer, ip, run, site};

#[test]
fn answers_follow_an_override_and_return_when_it_is_cleared() {
    let site = site();
    let meridian = site.serve();
    let node = format!("http://{}", site.admin);
    let on = |arguments: &[&str], code| run(&[arguments, &["--node", &node]].concat(), code);
    assert_eq!(answer(&meridian), ip("192.0.2.1"));
    let for_long = ["--for", "10m", "--reason", "network work"];
    let (out, _) = on(&[&["force", "down", "region:eu"], &for_long[..]].concat(), 0);
    assert!(out.starts_with("in force: ") && out.contains("down region:eu, 10m left"), "{out}");
    assert!(out.contains("by alice: network work, 2 endpoints"), "{out}");
    assert_eq!(answer(&meridian), ip("192.0.2.11"), "changed when the command is done");
    assert_eq!(meridian.metric("meridian_overrides", &["action=\"down\""]), 1.0);

    // On the node's own machine `explain` knows of it.
    let config = site.path("config").display().to_string();
    let question = ["explain", "www.force.test", "--client", "141.20.0.1", "--config", &config];
    let (out, _) = run(&question, 0);
    assert!(out.contains("192.0.2.1: down (forced down by alice, until 2"), "{out}");
    assert!(out.contains(": network work)") && out.contains("A 192.0.2.11"), "{out}");

    // A narrower one goes before it.
    on(&[&["force", "up", "endpoint:192.0.2.1"], &for_long[..]].concat(), 0);
    assert_eq!(answer(&meridian), ip("192.0.2.1"));
    let (out, _) = on(&["status"], 0);
    let down = "forced down by alice, until 2";
    assert!(
        out.contains("test-1 in eu") && out.contains(down) && out.contains("overrides"),
        "{out}"
    );
    let (json, _) = on(&["status", "--format", "json"], 0);
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["overrides"].as_array().unwrap().len(), 2);
    assert_eq!(status["endpoints"][1]["health"], "down", "{json}");
    on(&["force", "clear", "endpoint:192.0.2.1", "--reason", "done"], 0);
    assert_eq!(answer(&meridian), ip("192.0.2.11"));
    let (json, _) = on(&["force", "list", "--format", "json"], 0);
    let list: Value = serde_json::from_str(&json).unwrap();
    let id = list["overrides"][0]["id"].as_str().unwrap();
    on(&["force", "clear", id], 0);
    assert_eq!(answer(&meridian), ip("192.0.2.1"));
    let (out, _) = on(&["force", "list"], 0);
    assert_eq!(out, "no override is in force\n");
    on(&["force", "clear", id], 1);

    let audit = fs::read_to_string(site.path("state/audit.log")).unwrap();
    let lines: Vec<Value> = audit.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let told: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(told, ["override.set", "override.set", "override.clear", "override.clear"]);
    assert_eq!(lines[2]["reason"], "done");
    assert_eq!(lines[3]["previous"], lines[2]["hash"]);
}

#[test]
fn what_would_leave_a_service_without_a_region_is_refused_with_the_reason() {
    let site = site();
    let meridian = site.serve();
    let node = format!("http://{}", site.admin);
    let force = |target: &str, more: &[&str], code| {
        let own = ["force", "drain", target, "--for", "1h", "--reason", "x", "--node", &node];
        run(&[&own, more].concat(), code)
    };
    force("region:us", &[], 0);
    let (_, err) = force("region:eu", &[], 1);
    let told = "`www.force.test.` would lose eu and be left with 0 regions";
    assert!(err.contains(told) && err.contains("min_regions"), "{err}");
    assert_eq!(answer(&meridian), ip("192.0.2.1"), "nothing has changed");
    let (_, err) = force("region:eu", &["--anyway"], 0);
    assert!(err.contains("less than [safety] asks for is left of www.force.test."), "{err}");
    assert!(meridian.process.log().contains("breaks a rule of [safety], as ordered"));
    // An operator's mistakes are wrong usage.
    for (target, hint) in [
        ("region:ue", "did you mean `eu`?"),
        ("pool:wep@eu", "did you mean `web`?"),
        ("eu", "such as `region:eu`"),
    ] {
        let (_, err) = force(target, &[], 2);
        assert!(err.contains(hint), "{target}: {err}");
    }
    let without_end = ["force", "down", "region:us", "--reason", "x", "--node", &node];
    run(&without_end, 2);
    run(&[&without_end[..], &["--until-cleared", "--local"]].concat(), 2);
    let nobody = crate::support::free_address(site.address(9).into());
    let (_, err) = run(&["force", "list", "--node", &format!("http://{nobody}")], 3);
    assert!(err.contains("cannot reach the node"), "{err}");
}

#[test]
fn an_override_survives_a_crash_and_a_reload_and_ends_in_time() {
    let site = site();
    let mut meridian = site.serve();
    let node = format!("http://{}", site.admin);
    let set = Instant::now();
    let reason = ["--reason", "x", "--node", &node];
    run(&[&["force", "down", "region:eu", "--for", "6s"], &reason[..]].concat(), 0);
    run(&[&["force", "up", "region:us", "--until-cleared"], &reason[..]].concat(), 0);
    meridian.process.kill();
    let mut meridian = site.serve();
    assert!(set.elapsed() < Duration::from_secs(5), "a slow machine, {:?}", set.elapsed());
    assert_eq!(answer(&meridian), ip("192.0.2.11"), "in force from the first answer on");
    // Endpoints of the new files are numbered otherwise.
    site.write(
        "config/fleet.toml",
        &FLEET.replace(
            "[pool.web]",
            "[pool.all]\nendpoints = [\
        { region = \"us\", address = \"192.0.2.99\" }]\n[pool.web]",
        ),
    );
    wait_for("a reload", || {
        (meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]) > 0.0).then_some(())
    });
    assert_eq!(answer(&meridian), ip("192.0.2.11"));
    wait_for("the end", || (answer(&meridian) == ip("192.0.2.1")).then_some(()));
    let lasted = set.elapsed();
    assert!(lasted > Duration::from_secs(4), "it ended after {lasted:?}");
    assert!(meridian.process.log().contains("an override has ended, its time is up"));
    let (_, listed) = http_get(site.admin, "/api/v1/overrides").unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["overrides"].as_array().unwrap().len(), 1, "{listed}");

    // A damaged file is set aside, and serving goes on.
    meridian.process.stop();
    site.write("state/overrides.json", "{\"version\":1,\"ove");
    let meridian = site.serve();
    assert_eq!(answer(&meridian), ip("192.0.2.1"));
    let log = meridian.process.log();
    assert!(log.contains("overrides are lost") && log.contains("overrides.json.damaged"), "{log}");
    assert!(site.path("state/overrides.json.damaged").is_file());
}

#[test]
fn a_full_disk_costs_the_restart_and_not_the_override() {
    let site = site();
    let meridian = site.serve();
    let node = format!("http://{}", site.admin);
    fs::create_dir_all(site.path("state")).unwrap();
    std::os::unix::fs::symlink("/dev/full", site.path("state/overrides.json.new")).unwrap();
    let order = ["force", "down", "region:eu", "--for", "1h", "--reason", "x", "--node", &node];
    let (_, err) = run(&order, 0);
    assert!(err.contains("the node cannot save this"), "{err}");
    assert_eq!(answer(&meridian), ip("192.0.2.11"));
    assert_eq!(meridian.metric("meridian_state_write_failures_total", &[]), 1.0);
}
