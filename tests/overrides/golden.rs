//! What the commands print, held to files: `UPDATE_GOLDEN=1` rewrites them.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::support::meridian::{Meridian, command};
use crate::support::site::Site;
use crate::support::wait_for;
use crate::{answer, ip, site};

/// What differs from run to run, and what stands for it.
const VARYING: [(&str, &str); 9] = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "DATE"),
    (r#""(started|created|until)": \d+"#, r#""$1": N"#),
    (r#""(age_seconds|left_seconds|generation|revision)": \d+"#, r#""$1": N"#),
    (r"\b\d+[dhms]( \d+[hms])? left", "TIME left"),
    (r"for \d+[dhms]( \d+[hms])?: ", "for TIME: "),
    (r"\b\d+\.\d+ s\b", "TIME"),
    (r"generation \d+", "generation N"),
    (r"meridian \d+\.\d+\.\d+", "meridian VERSION"),
    (r"\b[0-9a-f]{12}[0-9a-f]*\b", "DIGEST"),
];

/// What a command prints, with its exit code, on both outputs; what varies is masked.
fn printed(site: &Site, arguments: &[&str]) -> String {
    let output = command().args(arguments).env("USER", "alice").output().unwrap();
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let code = output.status.code().unwrap();
    let mut shown = format!("exit {code}\n{out}");
    if !err.is_empty() {
        shown = format!("{shown}--- standard error\n{err}");
    }
    // Before digests, of which these might look like a part.
    let id = Regex::new(r"\b[0-9a-f]{10}\b").unwrap();
    for (from, to) in [
        (site.dns.to_string(), "DNS"),
        (site.admin.to_string(), "ADMIN"),
        (site.path("").display().to_string(), "DIR/"),
    ] {
        shown = shown.replace(&from, to);
    }
    shown = id.replace_all(&shown, "ID").into_owned();
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
    let mut wrong = Vec::new();
    for (name, arguments) in cases {
        hold(name, &printed(&site, &arguments), &mut wrong);
    }
    let clear = ["force", "clear", "region:us", "--node", &node];
    hold("force_clear", &printed(&site, &clear), &mut wrong);
    hold("force_clear_unknown", &printed(&site, &clear), &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
