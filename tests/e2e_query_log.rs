//! The query log of a running server, as its readers see it: JSON, dnstap, and readers that stall.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Counters are exact.

mod support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::meridian::Meridian;
use support::process::{Process, output};
use support::site::{Site, zone};
use support::wait_for;
use support::wire::Ask;

const FLEET: &str = r#"version = 1
[region.eu]
location = "aws:eu-central-1"
[region.us]
location = "aws:us-east-1"
[pool.web]
endpoints = [
  { region = "eu", address = "192.0.2.10" },
  { region = "us", address = "198.51.100.10" },
]
"#;

const SERVICES: &str = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"proximity\"]\n";

/// A site whose node logs as `query_log` says.
fn site(query_log: &str) -> Site {
    let site = Site::new("eu");
    let node = site.node("eu").replace("workers = 2\n", &format!("workers = 2\n{query_log}\n"));
    site.write("config/node.toml", &node);
    site.write("config/fleet.toml", FLEET);
    site.write("zones/log.test.zone", &zone("log.test.", 1, "mail A 192.0.2.25\n"));
    site.write("zones/log.test.toml", SERVICES);
    site
}

fn entries(meridian: &Meridian, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    meridian.metric("meridian_dns_query_log_entries_total", &[&label])
}

fn wait_for_entries(meridian: &Meridian, result: &str, count: f64) {
    wait_for("entries", || (entries(meridian, result) >= count).then_some(()));
}

/// A client in the United States.
fn american(name: &str) -> Ask {
    Ask::new(name, 1).with_subnet("12.0.0.0".parse().unwrap(), 24)
}

#[test]
fn json_lines_say_why_each_query_was_answered_as_it_was() {
    let site = site(r#"query_log = { sample = 1, file = "../queries.log" }"#);
    let meridian = site.serve();
    let mut client = meridian.client();
    client.ask(&american("www.log.test"));
    client.ask(&Ask::new("mail.log.test", 1));
    client.ask(&Ask::new("www.elsewhere.test", 1));
    wait_for_entries(&meridian, "written", 3.0);
    // As a rotating tool does; the next entry begins a new file.
    fs::rename(site.path("queries.log"), site.path("queries.log.1")).unwrap();
    wait_for("a new file", || {
        let dig = ["+tcp", "+short", "www.log.test", "@", "-p"];
        let (server, port) = (format!("@{}", site.dns.ip()), site.dns.port().to_string());
        output(Command::new("dig").args([dig[0], dig[1], dig[2], &server, dig[4], &port]));
        site.path("queries.log").exists().then_some(())
    });
    drop(meridian);
    let lines = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(site.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let old = lines("queries.log.1");
    let fact = |line: &Value, key: &str| line[key].as_str().unwrap_or("-").to_owned();
    let shown: Vec<String> = old
        .iter()
        .take(3)
        .map(|line| {
            let keys = ["transport", "name", "rcode", "cause", "service", "region"];
            keys.map(|key| fact(line, key)).join(" ")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "udp www.log.test. NOERROR steered www.log.test. us",
            "udp mail.log.test. NOERROR static - -",
            "udp www.elsewhere.test. REFUSED refused - -",
        ]
    );
    assert_eq!(old[0]["subnet"], "12.0.0.0/24");
    assert!(old[0]["scope"].as_u64().unwrap() > 0);
    let new = lines("queries.log");
    assert!(!new.is_empty() && new.iter().all(|line| line["transport"] == "tcp"), "{new:?}");
}

#[test]
fn dnstap_tools_read_the_file_and_the_socket() {
    for target in [r#"file = "../taps""#, r#"socket = "../socket""#] {
        let site = site(&format!("query_log = {{ sample = 1, format = \"dnstap\", {target} }}"));
        let path = |name: &str| site.path(name).display().to_string();
        let mut reader = target.starts_with("socket").then(|| {
            let mut capture = Command::new("fstrm_capture");
            capture.args(["-t", "protobuf:dnstap.Dnstap", "-u", &path("socket")]);
            capture.args(["-w", &path("taps")]);
            Process::start("capture", &mut capture, &site.path(""))
        });
        let mut meridian = site.serve();
        let mut client = meridian.client();
        for _ in 0..5 {
            client.ask(&american("www.log.test"));
        }
        wait_for_entries(&meridian, "written", 5.0);
        meridian.process.stop();
        if let Some(reader) = &mut reader {
            // Flushes what it has read.
            reader.stop();
        }
        let said = output(Command::new("dnstap-ldns").args(["-y", "-r", &path("taps")]));
        assert_eq!(said.matches("type: AUTH_RESPONSE").count(), 5, "{said}");
        for part in [
            "identity: \"test-1\"",
            "socket_protocol: UDP",
            "query_address: \"127.",
            "www.log.test.\t30\tIN\tA\t198.51.100.10",
        ] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        // The tool does not show `extra`.
        let stream = String::from_utf8_lossy(&fs::read(site.path("taps")).unwrap()).into_owned();
        let decision = r#"{"service":"www.log.test.","region":"us","scope":"#;
        assert_eq!(stream.matches(decision).count(), 5);
    }
}

#[test]
fn a_pipe_that_nobody_reads_slows_no_answer() {
    let site = site(r#"query_log = { sample = 1, file = "../pipe" }"#);
    output(Command::new("mkfifo").arg(site.path("pipe")));
    let mut meridian = site.serve();
    let mut client = meridian.client();
    let ask = american("www.log.test");
    let mut times: Vec<Duration> = Vec::new();
    while entries(&meridian, "dropped") == 0.0 {
        for _ in 0..1000 {
            let begun = Instant::now();
            client.ask(&ask);
            times.push(begun.elapsed());
        }
    }
    times.sort();
    assert!(times[times.len() / 2] < Duration::from_millis(5), "{:?}", times[times.len() / 2]);
    assert_eq!(entries(&meridian, "written"), 0.0);
    meridian.process.signal("TERM");
    assert!(meridian.process.wait(Duration::from_secs(5)).is_some(), "the log keeps it running");
}
