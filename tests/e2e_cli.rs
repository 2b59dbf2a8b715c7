//! The command as an operator meets it: exit codes, output, start, stop, and bad surroundings.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use support::geography::client_sample;
use support::meridian::{Meridian, command};
use support::site::{Site, zone};
use support::wire::Ask;
use support::{free_pair, seeded};
use tempfile::TempDir;

const A: u16 = 1;
/// SIGTERM to exit of a server with nothing to finish.
const STOP_LIMIT: Duration = Duration::from_secs(5);

const FLEET: &str = "version = 1\n\
    [region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
    [region.us]\nlocation = { lat = 38.95, lon = -77.45 }\n\
    [region.ap]\nlocation = { lat = 1.35, lon = 103.82 }\n\
    [pool.web]\nendpoints = [\n\
    { region = \"eu\", address = \"192.0.2.1\" },\n\
    { region = \"us\", address = \"192.0.2.2\" },\n\
    { region = \"ap\", address = \"192.0.2.3\" },\n]\n";

const SERVICES: &str = "version = 1\n[service.www]\npool = \"web\"\n\
    policy = [{ method = \"fence\", by = \"continent\" }, \"proximity\"]\nanswers = 1\n";

/// A site without monitors, so that every answer is a matter of the files alone.
fn site() -> Site {
    let site = Site::new("eu");
    site.write("config/fleet.toml", FLEET);
    site.write("zones/cli.test.zone", &zone("cli.test.", 1, ""));
    site.write("zones/cli.test.toml", SERVICES);
    site
}

fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// Runs `meridian` with `--config` of the site and expects this exit code.
fn run_on(site: &Site, arguments: &[&str], code: i32) -> (String, String) {
    let config = site.path("config");
    let output = command().args(arguments).arg("--config").arg(&config).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

#[test]
fn every_command_explains_itself_with_two_examples() {
    let alone = ["serve", "check", "explain", "init", "demo", "status", "simulate"];
    let acts = [
        "force up",
        "force down",
        "force drain",
        "force clear",
        "force list",
        "drill plan",
        "drill run",
        "drill history",
        "cluster check",
        "admin token",
        "admin audit",
    ];
    for name in alone.into_iter().chain(acts) {
        let output = run(&name.split(' ').chain(["--help"]).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{name}");
        let help = text(&output.stdout);
        let examples = help.lines().filter(|line| line.trim_start().starts_with("meridian "));
        let tail =
            help.lines().rev().take(8).any(|line| line.contains(&format!("meridian {name}")));
        assert!(examples.count() >= 2 && tail, "{name} --help ends with two examples\n{help}");
        assert!(help.contains("--format <FORMAT>"), "{name} is for programs too\n{help}");
    }
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    for wrong in [&["chekc"][..], &["serve"], &["explain"], &["check", "--colour"], &["init"]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?} is wrong usage");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{wrong:?}");
    }
}

#[test]
fn completions_are_what_a_shell_reads() {
    let made = run(&["completions", "bash"]);
    assert_eq!(made.status.code(), Some(0));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("meridian.bash");
    fs::write(&path, &made.stdout).unwrap();
    // What bash itself would offer behind `meridian dr` and `meridian force up --u`.
    for (words, offered) in [("meridian dr", "drill"), ("meridian force up --u", "--until-cleared")]
    {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _meridian meridian \"${{COMP_WORDS[COMP_CWORD]}}\" x; echo \"${{COMPREPLY[@]}}\"",
            path.display()
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(out.trim(), offered, "{words}: {err}");
    }
}

#[test]
fn check_names_every_mistake_and_passes_what_is_good() {
    let site = site();
    run_on(&site, &["check"], 0);
    let (out, _) = run_on(&site, &["check", "--effective"], 0);
    for value in ["udp_payload", "1232", "tcp_idle", "answers"] {
        assert!(out.contains(value), "--effective shows `{value}`\n{out}");
    }
    let (json, _) = run_on(&site, &["check", "--format", "json"], 0);
    serde_json::from_str::<Value>(&json).expect("one JSON value");
    site.write("config/fleet.toml", &FLEET.replace("[pool.web]", "[pool.web]\nmonitor = []\n"));
    site.write("zones/cli.test.toml", &SERVICES.replace("\"web\"", "\"wep\""));
    site.write("zones/cli.test.zone", &zone("cli.test.", 1, "bad IN A 192.0.2.256"));
    let (out, err) = run_on(&site, &["check"], 2);
    let shown = format!("{out}{err}");
    for part in [
        "fleet.toml:9:1: error: ",
        "cli.test.toml:3:8: error: ",
        "cli.test.zone:6:10: error: ",
        "`monitors`",
        "`web`",
        "`192.0.2.256`",
        "^^^",
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    let (json, _) = run_on(&site, &["check", "--format", "json"], 2);
    serde_json::from_str::<Value>(&json).expect("one JSON value");
    let (_, err) = run_on(&site, &["serve"], 2);
    assert!(err.contains("fleet.toml:9:1: error: "), "serve refuses it too\n{err}");
}

#[test]
fn init_writes_a_configuration_that_serves_and_never_overwrites() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("gslb");
    let init = || command().arg("init").arg(&target).output().unwrap();
    assert_eq!(init().status.code(), Some(0));
    let before = files(&target);
    assert!(before.len() >= 4, "{before:?}");
    let again = init();
    assert_eq!(again.status.code(), Some(2), "it never overwrites");
    assert!(!again.stderr.is_empty());
    assert_eq!(files(&target), before);
    let config = target.join("config");
    let check = command().arg("check").arg("--config").arg(&config).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}{}", text(&check.stdout), text(&check.stderr));
    let own = "127.0.0.1".parse().unwrap();
    let (dns, admin) = free_pair(own);
    let path = config.join("node.toml");
    let node: Vec<String> = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| with_listeners(line, &dns.to_string(), &admin.to_string()))
        .collect();
    fs::write(&path, node.join("\n")).unwrap();
    let mut meridian = Meridian::start(&config, folder.path(), dns, admin);
    meridian.wait_ready();
    let outside = meridian.client().ask(&Ask::new("nowhere.test.", A));
    assert_eq!(outside.rcode, 5, "a name outside every zone: REFUSED");
}

/// Puts free ports in the place of the `listen` line of `[dns]` (a list) and of `[admin]` (a text).
fn with_listeners(line: &str, dns: &str, admin: &str) -> String {
    let value =
        line.trim_start().strip_prefix("listen").map(|rest| rest.trim_start_matches([' ', '=']));
    match value {
        Some(list) if list.starts_with('[') => format!("listen = [\"{dns}\"]"),
        Some(_) => format!("listen = \"{admin}\""),
        None => line.to_owned(),
    }
}

/// All files below a folder with their content.
fn files(folder: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let mut found = BTreeSet::new();
    // A folder that is not there yet has no files.
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn explain_calls_a_failure_by_its_name() {
    let site = site();
    for (name, code, said) in [
        ("none.cli.test", 1, ": NXDOMAIN\nstatic    no service steers this answer\n"),
        ("www.other.test", 1, ": REFUSED\nzone      no zone of this node holds the name\n"),
        ("ns1.cli.test", 0, ": NOERROR\n"),
    ] {
        let (out, _) = run_on(&site, &["explain", name, "--client", "192.0.2.7"], code);
        assert!(out.contains(said), "{name}\n{out}");
    }
    site.write("zones/cli.test.zone", "broken\n");
    let (out, _) = run_on(&site, &["explain", "www.cli.test", "--client", "192.0.2.7"], 1);
    assert!(out.contains(": SERVFAIL\n") && out.contains("`meridian check` shows them"), "{out}");
}

#[test]
fn explain_says_what_is_served() {
    let site = site();
    let meridian = site.serve();
    let mut client = meridian.client();
    let mut rng = seeded("explain");
    let sample = client_sample();
    // A thousand clients are compared in the unit tests; here the processes are real.
    for _ in 0..40 {
        let (address, _) = sample[rng.usize(..sample.len())];
        let length = if address.is_ipv4() { 24 } else { 56 };
        let served = client.ask(&Ask::new("www.cli.test", A).with_subnet(address, length));
        let address = address.to_string();
        let arguments =
            ["explain", "www.cli.test", "--client", &address, "--resolver", "127.0.0.1"];
        let (json, _) = run_on(&site, &[&arguments[..], &["--format", "json"]].concat(), 0);
        let value: Value = serde_json::from_str(&json).expect("one JSON value");
        assert_eq!(value["scope"], served.scope.expect("a scope").1, "{address}\n{json}");
        let [told] = &value["answers"].as_array().unwrap()[..] else { panic!("{json}") };
        assert_eq!(told["ttl"], served.answer[0].ttl, "{address}\n{json}");
        let tied = value["steering"]["tied"].as_array().unwrap();
        let answer = served.addresses()[0].to_string();
        assert!(tied.iter().any(|tied| tied["address"] == *answer), "{address}: {answer}\n{json}");
        assert!(tied.len() > 1 || told["data"] == *answer, "{address}: {answer}\n{json}");
    }
    let (out, _) = run_on(&site, &["explain", "www.cli.test", "--client", "141.20.0.1"], 0);
    for part in ["fence", "proximity", "eu", "192.0.2.1"] {
        assert!(out.contains(part), "`{part}` is not in\n{out}");
    }
    let down =
        ["explain", "www.cli.test", "--client", "141.20.0.1", "--down", "eu", "--format", "json"];
    let (out, _) = run_on(&site, &down, 0);
    let value: Value = serde_json::from_str(&out).expect("one JSON value");
    assert_eq!(value["answers"][0]["data"], "192.0.2.2", "from Germany, the next is in the east");
    for (wrong, code) in [
        (&["www.cli.test", "--client", "somewhere"][..], 2),
        (&["www.cli.test", "--client", "192.0.2.1", "--down", "eo"], 2),
        (&["none.cli.test", "--client", "192.0.2.1"], 1),
        (&["www.other.test", "--client", "192.0.2.1"], 1),
    ] {
        let (out, err) = run_on(&site, &[&["explain"], wrong].concat(), code);
        assert!(!err.is_empty() || out.contains(wrong[0]), "{wrong:?}\n{out}\n{err}");
    }
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let site = site();
    let _taken = UdpSocket::bind(site.dns).unwrap();
    let mut meridian = site.start();
    let status = meridian.process.wait(STOP_LIMIT).expect("it gives up in time");
    let log = meridian.process.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let words = format!("error: cannot listen on `{}` (UDP): Address already in use", site.dns);
    assert!(log.contains(&words) && log.contains("another process"), "{words}\n{log}");
    assert!(!log.contains("panicked"), "{log}");
}
