//! Drills on a live node: what they report, what they refuse, and that they always end.

use std::ffi::OsString;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::meridian::{Meridian, command, http_get};
use crate::support::site::Site;
use crate::support::{poll, wait_for};
use crate::{answer, ip, run, site};

/// A drill that takes out eu for a while.
fn file(site: &Site, lasts: &str) -> String {
    let dns = site.dns;
    format!(
        "version = 1\n[drill]\nname = \"lose eu\"\nfail = [\"region:eu\"]\nfor = \"{lasts}\"\n\
         services = [\"www.force.test\"]\nnodes = [\"{dns}\"]\nevery = \"20ms\"\n\
         clients = [\"141.20.0.0/24\", \"73.0.0.0/24\"]\n\
         [expect]\nmoved_within = \"5s\"\nback_within = \"5s\"\n"
    )
}

fn overrides(site: &Site) -> usize {
    let (_, text) = http_get(site.admin, "/api/v1/overrides").unwrap();
    let listed: Value = serde_json::from_str(&text).unwrap();
    listed["overrides"].as_array().unwrap().len()
}

/// Starts `drill run` on the drill file.
fn start(site: &Site) -> Child {
    let node = format!("http://{}", site.admin);
    let path = site.path("drill.toml");
    let mut own = command();
    let own = own.arg("drill").arg("run").arg(path).args(["--node", &node, "--author", "carol"]);
    own.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// When answers are not, and when they are again, those of eu, as somebody else sees it.
fn watch(meridian: &Meridian) -> (Instant, Instant) {
    let (eu, step) = (ip("192.0.2.1"), Duration::from_millis(10));
    let patience = Duration::from_secs(30);
    let left = poll(patience, step, || (answer(meridian) != eu).then(Instant::now));
    let back = poll(patience, step, || (answer(meridian) == eu).then(Instant::now));
    (left.expect("eu is taken out"), back.expect("eu is back"))
}

#[test]
fn a_drill_reports_what_somebody_else_sees_and_leaves_nothing_behind() {
    let site = site();
    let meridian = site.serve();
    let node = format!("http://{}", site.admin);
    site.write("drill.toml", &file(&site, "3s"));
    let path = site.path("drill.toml").display().to_string();
    let (out, _) = run(&["drill", "plan", &path, "--node", &node], 0);
    assert!(out.contains("drill `lose eu` may run") && out.contains("survivor  us"), "{out}");
    assert_eq!(overrides(&site), 0, "a plan changes nothing");

    let reports = ["html", "json", "xml", "txt"].map(|form| site.path(&format!("report.{form}")));
    let mut own = command();
    own.args(["drill", "run", &path, "--node", &node]).env("USER", "carol");
    own.args(reports.iter().flat_map(|path| [OsString::from("--report"), path.clone().into()]));
    let child = own.stdout(Stdio::piped()).spawn().unwrap();
    let (left, back) = watch(&meridian);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    assert!(out.contains("drill `lose eu`: passed"), "{out}");
    let report: Value = serde_json::from_slice(&fs::read(&reports[1]).unwrap()).unwrap();
    let ms = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report:#}"));
    assert!(ms("moved_ms") < 1_000 && ms("detected_ms") <= ms("moved_ms"), "{report:#}");
    let seen = back.duration_since(left).as_millis() as u64;
    let told = ms("lasted_ms") + ms("back_ms") - ms("moved_ms");
    assert!(seen.abs_diff(told) <= 100, "{told} ms told, {seen} ms seen");
    assert!(report["timeline"]["slots"].as_array().unwrap().len() > 10);
    let texts = reports.map(|path| fs::read_to_string(path).unwrap());
    assert!(texts[0].contains("<svg") && texts[2].contains("<testsuite "), "{}", texts[2]);
    assert_eq!(texts[3], out);
    assert_eq!(overrides(&site), 0);
    let (out, _) = run(&["drill", "history", "--node", &node], 0);
    assert!(out.contains("lose eu: passed, moved in "), "{out}");
    let audit = fs::read_to_string(site.path("state/audit.log")).unwrap();
    assert!(audit.contains("\"what\":\"drill.report\""), "{audit}");
    for kind in ["started", "ended", "reported"] {
        let label = format!("kind=\"drill.{kind}\"");
        assert_eq!(meridian.metric("meridian_events_total", &[&label]), 1.0, "{kind}");
    }
}

#[test]
fn a_drill_ends_when_its_command_dies_and_when_its_node_does() {
    let site = site();
    let mut meridian = site.serve();
    site.write("drill.toml", &file(&site, "10s"));
    let mut child = start(&site);
    wait_for("the drill", || (answer(&meridian) == ip("192.0.2.11")).then_some(()));
    let begun = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    // The node dies, too, and comes back with what it had saved.
    meridian.process.kill();
    let meridian = site.serve();
    assert!(begun.elapsed() < Duration::from_secs(8), "a slow machine, {:?}", begun.elapsed());
    assert_eq!(answer(&meridian), ip("192.0.2.11"));
    wait_for("the end", || (answer(&meridian) == ip("192.0.2.1")).then_some(()));
    let lasted = begun.elapsed();
    assert!(lasted > Duration::from_secs(8) && lasted < Duration::from_secs(13), "{lasted:?}");
    assert_eq!(overrides(&site), 0);
}

#[test]
fn an_interrupted_drill_is_taken_back_at_once_and_there_is_one_at_a_time() {
    let site = site();
    let meridian = site.serve();
    let node = format!("http://{}", site.admin);
    site.write("drill.toml", &file(&site, "10m"));
    let child = start(&site);
    wait_for("the drill", || (answer(&meridian) == ip("192.0.2.11")).then_some(()));
    let path = site.path("drill.toml").display().to_string();
    let (_, err) = run(&["drill", "run", &path, "--node", &node], 1);
    assert!(err.contains("the drill `lose eu` of carol is under way"), "{err}");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("drill `lose eu`: aborted") && out.contains("interrupted"), "{out}");
    assert_eq!(answer(&meridian), ip("192.0.2.1"));
    assert_eq!(overrides(&site), 0);
}

#[test]
fn mistakes_in_a_drill_file_are_shown_where_they_stand() {
    let site = site();
    let _meridian = site.serve();
    let node = format!("http://{}", site.admin);
    let good = file(&site, "3s");
    for (case, from, to, place, what) in [
        ("an unknown region", "region:eu", "region:ue", "4:9", "no region `ue`"),
        ("a zero duration", "\"3s\"", "\"0s\"", "5:7", "`for` must be from 1s to 1d, found `0s`"),
        (
            "a past date",
            "for = \"3s\"\n",
            "for = \"3s\"\nat = \"2020-01-01 00:00 UTC\"\n",
            "6:6",
            "`2020-01-01 00:00 UTC` is past",
        ),
        ("an unknown key", "every", "evry", "8:1", "unknown key `evry`"),
        ("an unknown service", "www.force", "ww.force", "6:13", "no service `ww.force.test.`"),
        ("no services", "services = [\"www.force.test\"]\n", "", "2:1", "`services` is missing"),
        ("a cut network", "for =", "how = \"network\"\nfor =", "5:7", "a node cannot cut"),
    ] {
        site.write("drill.toml", &good.replace(from, to));
        let path = site.path("drill.toml").display().to_string();
        let (_, err) = run(&["drill", "plan", &path, "--node", &node], 2);
        assert!(err.contains(&format!("drill.toml:{place}: error: {what}")), "{case}: {err}");
    }
    // Without a file the region alone says it.
    let dns = site.dns.to_string();
    let short = ["drill", "plan", "--region", "eu", "--for", "2s", "--dns", &dns, "--node", &node];
    let (out, _) = run(&short, 0);
    assert!(out.contains("services  www.force.test."), "{out}");
    let (_, err) = run(&["drill", "plan", "--region", "ue", "--node", &node], 2);
    assert!(err.contains("error: no region `ue` (did you mean `eu`?)"), "{err}");
    run(&["force", "drain", "region:us", "--for", "1h", "--reason", "x", "--node", &node], 0);
    let (_, err) = run(&short, 1);
    assert!(err.contains("the fleet is not healthy: 192.0.2.11 in us is drained"), "{err}");
}
