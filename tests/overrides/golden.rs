//! What the commands print, held to files: `UPDATE_GOLDEN=1` rewrites them.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::support::api::request;
use crate::support::meridian::{Meridian, command, http_get};
use crate::support::site::Site;
use crate::support::wait_for;
use crate::{FLEET, answer, ip, site};

/// What differs from run to run, and what stands for it.
const VARYING: [(&str, &str); 18] = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "DATE"),
    (r#""(started|created|until)": \d+"#, r#""$1": N"#),
    (r"\b[0-9a-f]{10}\b", "ID"),
    (r#""(age_seconds|left_seconds|generation|revision)": \d+"#, r#""$1": N"#),
    (r#""(\w+_ms|answers|with_lost|queries)": \d+"#, r#""$1": N"#),
    (r#""slots": \[[^\]]*\]"#, r#""slots": [ … ]"#),
    (r#""version": "\d+\.\d+\.\d+""#, r#""version": "VERSION""#),
    (r"of \d+ answers \d+ with", "of N answers N with"),
    (r"\bmrd_[\w-]+", "TOKEN"),
    (r#""silent": \d+"#, r#""silent": N"#),
    (r"\d+ (missing|questions unanswered)", "N $1"),
    (r"DNS +moved", "DNS moved"),
    (r"\b\d+[dhms]( \d+[hms])? left", "TIME left"),
    (r"for \d+[dhms]( \d+[hms])?: ", "for TIME: "),
    (r"\b\d+\.\d+ s\b", "TIME"),
    (r"generation \d+", "generation N"),
    (r"meridian \d+\.\d+\.\d+", "meridian VERSION"),
    (r"\b[0-9a-f]{12}[0-9a-f]*\b", "DIGEST"),
];

/// What a command prints, with its exit code, on both outputs; what varies is masked.
fn printed(site: &Site, arguments: &[&str]) -> String {
    let mut own = command();
    let own = own.args(arguments).env("USER", "alice").env_remove("MERIDIAN_TOKEN");
    let output = own.output().unwrap();
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let code = output.status.code().unwrap();
    let mut shown = format!("exit {code}\n{out}");
    if !err.is_empty() {
        shown = format!("{shown}--- standard error\n{err}");
    }
    for (from, to) in [
        (site.dns.to_string(), "DNS"),
        (site.admin.to_string(), "ADMIN"),
        (site.path("").display().to_string(), "DIR/"),
        (env!("CARGO_MANIFEST_DIR").to_owned(), "TOP"),
    ] {
        shown = shown.replace(&from, to);
    }
    for (pattern, to) in VARYING {
        shown = Regex::new(pattern).unwrap().replace_all(&shown, to).into_owned();
    }
    shown
}

/// Holds a text to its file.
fn hold(name: &str, found: &str, wrong: &mut Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/commands");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, found).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    if known != found {
        wrong.push(format!("--- {name}, as it was\n{known}--- as it is\n{found}"));
    }
}

fn settled(meridian: &Meridian) {
    wait_for("the answer", || (answer(meridian) == ip("192.0.2.1")).then_some(()));
}

#[test]
fn every_command_prints_what_it_did() {
    let site = site();
    let meridian = site.serve();
    settled(&meridian);
    let (node, dns) = (format!("http://{}", site.admin), site.dns.to_string());
    let config = site.path("config").display().to_string();
    let other = Site::path(&site, "elsewhere").display().to_string();
    let question = ["explain", "www.force.test", "--client", "141.20.0.1"];
    let set = ["--for", "10m", "--reason", "network work", "--node", &node];
    let plan = ["drill", "plan", "--region", "eu", "--for", "2s", "--dns", &dns, "--node", &node];
    let run = ["drill", "run", "--region", "eu", "--for", "2s", "--dns", &dns, "--node", &node];
    let cases: [(&str, Vec<&str>); 19] = [
        ("init", vec!["init", &other]),
        ("init_again", vec!["init", &other]),
        ("check", vec!["check", "--config", &config]),
        ("check_json", vec!["check", "--config", &config, "--format", "json"]),
        ("check_missing", vec!["check", "--config", "/nowhere"]),
        ("explain", [&question[..], &["--config", &config]].concat()),
        ("explain_node", [&question[..], &["--node", &node]].concat()),
        ("explain_down", [&question[..], &["--down", "eu", "--config", &config]].concat()),
        ("status", vec!["status", "--node", &node]),
        ("force_list_empty", vec!["force", "list", "--node", &node]),
        ("drill_plan", plan.to_vec()),
        ("drill_history_empty", vec!["drill", "history", "--node", &node]),
        ("force_drain", [&["force", "drain", "region:us"][..], &set].concat()),
        ("force_down_refused", [&["force", "down", "region:eu"][..], &set].concat()),
        ("force_unknown", [&["force", "down", "region:ue"][..], &set].concat()),
        ("force_list", vec!["force", "list", "--node", &node]),
        ("status_overridden", vec!["status", "--node", &node]),
        ("drill_run_refused", run.to_vec()),
        ("cluster_check", vec!["cluster", "check", "--config", &config]),
    ];
    let clear = ["force", "clear", "region:us", "--node", &node];
    let cleared = [("force_clear", clear.to_vec()), ("force_clear_unknown", clear.to_vec())];
    hold_all(&site, cases.into_iter().chain(cleared));
}

/// Runs commands one after the other, and holds what each prints to its file.
fn hold_all<'a>(site: &Site, cases: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) {
    let mut wrong = Vec::new();
    for (name, arguments) in cases {
        hold(name, &printed(site, &arguments), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn programs_are_told_the_same_as_json() {
    let site = site();
    let meridian = site.serve();
    settled(&meridian);
    let node = format!("http://{}", site.admin);
    let config = site.path("config").display().to_string();
    let at = ["--node", &node, "--format", "json"];
    let on = |arguments: &[&'static str]| [arguments, &at].concat();
    let set = ["--for", "10m", "--reason", "network work"];
    let question = ["explain", "www.force.test", "--client", "141.20.0.1"];
    hold_all(
        &site,
        [
            ("status_json", on(&["status"])),
            ("explain_json", on(&question)),
            ("force_list_empty_json", on(&["force", "list"])),
            ("force_up_json", on(&[&["force", "up", "endpoint:192.0.2.2"], &set[..]].concat())),
            ("force_list_json", on(&["force", "list"])),
            ("force_clear_json", on(&["force", "clear", "endpoint:192.0.2.2"])),
            ("drill_plan_unknown_json", on(&["drill", "plan", "--region", "ue"])),
            ("drill_history_empty_json", on(&["drill", "history"])),
            (
                "cluster_check_json",
                vec!["cluster", "check", "--config", &config, "--format", "json"],
            ),
            ("admin_audit", vec!["admin", "audit", "--config", &config]),
            ("admin_audit_json", vec!["admin", "audit", "--config", &config, "--format", "json"]),
            ("admin_token", vec!["admin", "token", "carol", "--role", "operate"]),
            (
                "admin_token_json",
                vec!["admin", "token", "carol", "--role", "read", "--format", "json"],
            ),
            ("admin_token_name", vec!["admin", "token", "Carol", "--role", "read"]),
        ],
    );
}

#[test]
fn a_drill_prints_what_it_found() {
    let site = site();
    let meridian = site.serve();
    settled(&meridian);
    let (node, dns) = (format!("http://{}", site.admin), site.dns.to_string());
    let of = |act: &'static str, region: &'static str| {
        vec!["drill", act, "--region", region, "--for", "3s", "--dns", &dns, "--node", &node]
    };
    let history = ["drill", "history", "--node", &node];
    hold_all(
        &site,
        [
            ("drill_run", of("run", "eu")),
            ("drill_run_json", [of("run", "us"), vec!["--format", "json"]].concat()),
            ("drill_plan_json", [of("plan", "eu"), vec!["--format", "json"]].concat()),
            ("drill_history", history.to_vec()),
            ("drill_history_json", [&history[..], &["--format", "json"]].concat()),
        ],
    );
    // One that is under way, as `status` and `force list` show it.
    let body = "{\"action\":\"down\",\"target\":\"region:us\",\"reason\":\"x\",\
                \"author\":\"carol\",\"for_seconds\":600,\"drill\":\"lose us\"}";
    let headers = [&*format!("Host: {}", site.admin), "Content-Type: application/json"];
    let (status, _, reply) = request(site.admin, "POST /api/v1/overrides", &headers, body);
    assert_eq!(status, 201, "{reply}");
    hold_all(
        &site,
        [
            ("status_drill", vec!["status", "--node", &node]),
            ("force_list_drill", vec!["force", "list", "--node", &node]),
            ("drill_run_overlapping", of("run", "eu")),
        ],
    );
}

#[test]
fn a_drill_that_must_not_run_is_refused_with_the_reason() {
    let site = site();
    let meridian = site.serve();
    settled(&meridian);
    let (node, dns) = (format!("http://{}", site.admin), site.dns.to_string());
    let headers = [&*format!("Host: {}", site.admin), "Content-Type: application/json"];
    for (region, body) in
        [("eu", "{\"requests\":60,\"capacity\":100}"), ("us", "{\"requests\":50,\"capacity\":100}")]
    {
        let line = format!("POST /api/v1/load/web/{region}");
        let (status, _, reply) = request(site.admin, &line, &headers, body);
        assert_eq!(status, 200, "{reply}");
    }
    wait_for("the load", || {
        let (_, text) = http_get(site.admin, "/api/v1/status")?;
        (text.matches("\"requests\":").count() == 2).then_some(())
    });
    let all = format!(
        "version = 1\n[drill]\nname = \"all\"\nfail = [\"region:*\"]\nfor = \"1m\"\n\
         services = [\"www.force.test\"]\nnodes = [\"{dns}\"]\n"
    );
    site.write("all.toml", &all);
    let file = site.path("all.toml").display().to_string();
    let plan = ["drill", "plan", "--node", &node];
    hold_all(
        &site,
        [
            ("drill_plan_over_capacity", [&plan[..], &["--region", "eu", "--dns", &dns]].concat()),
            ("drill_plan_last_region", [&plan[..], &[&file]].concat()),
        ],
    );
}

#[test]
fn what_needs_no_node_is_printed_alike() {
    let site = site();
    site.write("people.csv", "prefix,country,weight\n141.20.0.0/24,DE,3\n73.0.0.0/24,US,1\n");
    for file in ["config/node.toml", "zones/force.test.zone", "zones/force.test.toml"] {
        let text = fs::read_to_string(site.path(file)).unwrap();
        site.write(&format!("later/{file}"), &text);
    }
    let us = FLEET.lines().find(|line| line.contains("192.0.2.11")).unwrap();
    site.write("later/config/fleet.toml", &FLEET.replace(us, ""));
    site.write("bad/config/fleet.toml", &FLEET.replace("location = ", "lokation = "));
    site.write("drill.toml", "version = 1\n[drill]\nname = \"x\"\nfail = [\"eu\"]\n");
    let path = |name: &str| site.path(name).display().to_string();
    let (config, later, bad) = (path("config"), path("later/config"), path("bad/config"));
    let (people, drill) = (path("people.csv"), path("drill.toml"));
    let nobody = format!("http://{}", crate::support::free_address(site.address(9).into()));
    let on = ["--config", &config];
    let simulate = ["simulate", "--population", &people, "--clients", "1000", "--config", &config];
    let fails =
        |format: &'static str| [&simulate[..], &["--fail", "eu", "--format", format]].concat();
    let explain = |rest: &[&'static str]| [&["explain", "www.force.test"], rest, &on[..]].concat();
    let found = printed(&site, &["status", "--node", &nobody]).replace(&nobody, "http://NOBODY");
    let mut wrong = Vec::new();
    hold("status_unreachable", &found, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    hold_all(
        &site,
        [
            ("check_effective", [&["check", "--effective"], &on[..]].concat()),
            ("check_mistakes", vec!["check", "--config", &bad]),
            ("check_diff", [&["check", "--diff", &later], &on[..]].concat()),
            ("explain_https", explain(&["HTTPS", "--client", "141.20.0.1"])),
            ("explain_resolver", explain(&["--client", "141.20.0.1", "--resolver", "8.8.8.8"])),
            ("explain_address_as_type", explain(&["141.20.0.1"])),
            ("explain_without_client", explain(&["AAAA"])),
            (
                "explain_outside",
                [&["explain", "www.other.test", "--client", "192.0.2.1"], &on[..]].concat(),
            ),
            ("simulate", fails("text")),
            ("simulate_json", fails("json")),
            ("simulate_csv", fails("csv")),
            ("simulate_unknown", [&simulate[..], &["--fail", "ue"]].concat()),
            ("drill_file", vec!["drill", "plan", &drill]),
            ("admin_audit_none", [&["admin", "audit"], &on[..]].concat()),
            ("cluster_check_missing", vec!["cluster", "check", "--config", "/nowhere"]),
            ("completions_unknown", vec!["completions", "tcsh"]),
            ("unknown", vec!["drain", "region:eu"]),
        ],
    );
}
