//! Simulations of small fleets, held to files: `UPDATE_GOLDEN=1` rewrites them.

use std::fs;

use clap::Parser;

use super::*;
use crate::cli::golden::hold;
use crate::written;

const NODE: &str = "version = 1\n[node]\nname = \"t\"\nregion = \"eu\"\n\
    [dns]\nlisten = [\"127.0.0.1:5300\"]\n[probe]\n";

const FLEET: &str = r#"version = 1
[region.ap]
location = "aws:ap-southeast-1"
[region.eu]
location = "aws:eu-central-1"
[region.sa]
location = "aws:sa-east-1"
[region.us]
location = "aws:us-east-1"
[monitor.ready]
kind = "tcp"
port = 80
interval = "5s"
timeout = "2s"
fall = 2
[pool.web]
monitors = ["ready"]
capacity = { ap = 600, eu = 400, sa = 200, us = 400 }
endpoints = [
  { region = "ap", address = "192.0.2.1" },
  { region = "ap", address = "2001:db8::1" },
  { region = "eu", address = "192.0.2.2" },
  { region = "eu", address = "2001:db8::2" },
  { region = "sa", address = "192.0.2.3" },
  { region = "sa", address = "2001:db8::3" },
  { region = "us", address = "lb.example.net" },
]
"#;

const ZONE: &str = "$TTL 300\n@ IN SOA ns1 root 1 3600 600 604800 60\n@ IN NS ns1\n\
    ns1 IN A 192.0.2.53\n";

const SERVICES: &str = r#"version = 1
[service.near]
pool = "web"
policy = ["proximity"]
[service.spilling]
pool = "web"
policy = ["proximity", "spill"]
"#;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Writes the files and gives the options of a command line.
fn options(folder: &Path, arguments: &[&str]) -> Options {
    let files = [
        ("config/node.toml", NODE),
        ("config/fleet.toml", FLEET),
        ("zones/x.test.zone", ZONE),
        ("zones/x.test.toml", SERVICES),
    ];
    written::write(folder, &files);
    let config = folder.join("config").display().to_string();
    let own = ["simulate", "--config", &config];
    Line::parse_from(own.iter().chain(arguments)).options
}

fn simulated(arguments: &[&str]) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), arguments);
    match simulate(&options, Tick(1_000_000)) {
        Ok(report) => report,
        Err(Trouble::Files(found)) => panic!("{found}"),
        Err(Trouble::Words(error)) => panic!("{error}"),
    }
}

#[test]
fn reports_are_as_they_were() {
    let cases = [
        ("nothing_fails", vec!["--service", "near.x.test", "--clients", "20000"]),
        ("near", vec!["--fail", "eu", "--service", "near.x.test", "--clients", "20000"]),
        ("spilling", vec!["--fail", "eu", "--service", "spilling.x.test.", "--clients", "20000"]),
        ("all", vec!["--fail", "ap", "eu", "sa", "us", "--clients", "1000"]),
    ];
    for (name, arguments) in cases {
        let report = simulated(&arguments);
        let found = format!(
            "{report}\n\n{}\n",
            report.csv().lines().take(20).collect::<Vec<_>>().join("\n")
        );
        hold("simulate", name, &found);
    }
}

#[test]
fn the_load_of_a_region_that_fails_overruns_nobody_where_it_spills() {
    let service = ["--fail", "eu", "--clients", "50000", "--requests", "1100", "--service"];
    let near = simulated(&[&service[..], &["near.x.test."]].concat());
    assert!(!near.warnings.is_empty(), "the next nearest gets all of it");
    let spilling = simulated(&[&service[..], &["spilling.x.test."]].concat());
    assert!(spilling.warnings.is_empty(), "{:?}", spilling.warnings);
    for pool in &spilling.pools {
        let share = pool.after / pool.capacity.unwrap();
        assert!(share < 1.005, "{}: {share}", pool.region);
    }
}

#[test]
fn files_say_who_the_clients_are_what_they_ask_and_how_far_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let people = write("people.csv", "weight,prefix,country\n3,5.1.0.0/16,DE\n1,2a00::/24,FR\n");
    let queries =
        write("queries.csv", "name,requests\nnear.x.test,30\nspilling.x.test,10\nnear.x.test,60\n");
    let latency = write("latency.csv", "from,to,ms\nDE,eu,12\nDE,us,100\neu,us,90\n");
    let report = simulated(&[
        "--fail",
        "eu",
        "--population",
        &people,
        "--queries",
        &queries,
        "--latency",
        &latency,
        "--clients",
        "1000",
    ]);
    assert_eq!(report.requests, Some(100.0));
    let near = &report.services[0];
    assert_eq!(near.service, "near.x.test.");
    assert_eq!(near.countries[0].country, "DE");
    assert!((near.countries[0].share - 0.75).abs() < 1e-9);
    assert_eq!(near.countries[0].latency.median_ms, [Some(12), Some(100)]);
    // Where the prefix is by the databases is what decides.
    assert!(near.moved > 0.5, "{}", near.moved);
    let time = near.time.as_ref().unwrap();
    assert!((time.found - 10.0).abs() < 1e-9 && time.half > time.found, "{time:?}");
    let bad = write("bad.csv", "from,to,ms\nxx1,us,5\neu,us,-4\n");
    let options = options(folder.path(), &["--latency", &bad]);
    let Err(Trouble::Files(found)) = simulate(&options, Tick(0)) else { panic!("no mistake") };
    let found = found.to_string();
    assert!(found.contains(":2:1: error: unknown region `xx1`"), "{found}");
    assert!(found.contains(":3:7: error: `-4` is not a number from 0 to 10000"), "{found}");
}

#[test]
fn round_trips_that_were_configured_or_learnt_decide_as_on_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let people = folder.path().join("people.csv");
    fs::write(&people, "prefix,country,lat,lon\n5.1.2.0/24,DE,52.5,13.4\n").unwrap();
    let people = people.display().to_string();
    let options = options(
        folder.path(),
        &["--population", &people, "--clients", "10", "--service", "near.x.test."],
    );
    let services = SERVICES.replace("policy = [\"proximity\"]", "policy = [\"latency\"]");
    fs::write(folder.path().join("zones/x.test.toml"), services).unwrap();
    let matrix = "\n[latency]\nexplore = 0\nmatrix = \"latency.csv\"\n";
    fs::write(folder.path().join("config/fleet.toml"), FLEET.to_owned() + matrix).unwrap();
    fs::write(folder.path().join("config/latency.csv"), "eu,us,90\neu,eu,4\neu,ap,160\n").unwrap();
    let found = |now: Tick| match simulate(&options, now) {
        Ok(report) => {
            let all: Vec<(String, bool)> = report.services[0]
                .regions
                .iter()
                .map(|share| (share.region.clone(), share.before > 0.99))
                .collect();
            (all, report.services[0].latency.median_ms[0].unwrap(), report.warnings)
        }
        Err(Trouble::Files(found)) => panic!("{found}"),
        Err(Trouble::Words(error)) => panic!("{error}"),
    };
    let (regions, ms, _) = found(Tick(1 << 40));
    assert_eq!(regions, [("eu".to_owned(), true)]);
    assert!((14..30).contains(&ms), "{ms}: the matrix, and the way there");
    // This node has found that another region is nearer.
    let model = load(&options.config.config, None).unwrap().model;
    let mut map = saved_latency(&model, Tick(1 << 40)).unwrap();
    for (region, ms) in [("eu", 250.0), ("us", 80.0)] {
        let measured = crate::latency::Measured {
            client: crate::latency::Client::of("5.1.2.0/24".parse().unwrap()).unwrap(),
            settled: crate::latency::Rtt::from_ms(ms),
            samples: 64,
            age: std::time::Duration::ZERO,
        };
        let node = "other".to_owned();
        let from = crate::latency::Reporter { region: region.to_owned(), node };
        map.hear(&from, &[measured], Tick(1 << 40));
    }
    let state = folder.path().join("state");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("latency.map"), map.save(Tick(1 << 40), clock::unix_seconds())).unwrap();
    let (regions, ..) = found(Tick(1 << 40));
    assert_eq!(regions, [("us".to_owned(), true)]);
    fs::write(state.join("latency.map"), "nothing of the sort").unwrap();
    let (regions, _, warnings) = found(Tick(1 << 40));
    assert_eq!(regions, [("eu".to_owned(), true)]);
    let doubt = |warning: &String| warning.starts_with("the latency map is left out: ");
    assert!(warnings.iter().any(doubt), "{warnings:?}");
}

#[test]
fn a_picture_is_drawn() {
    let report = simulated(&["--fail", "eu", "--clients", "500"]);
    let folder = tempfile::tempdir().unwrap();
    let saved = |name: &str| {
        let path = folder.path().join(name);
        picture::save(&report, &path, picture::Form::of(&path).unwrap()).unwrap();
        fs::read(path).unwrap()
    };
    let text = String::from_utf8(saved("a.svg")).unwrap();
    assert!(text.starts_with("<svg") && text.contains("near.x.test."), "{text}");
    let octets = saved("a.PNG");
    let mut reader = png::Decoder::new(std::io::Cursor::new(&octets)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (1_000, 680), "of two services");
    // Bars before and after, and letters, which are neither.
    let count = |colour: [u8; 3]| pixels.chunks_exact(3).filter(|pixel| *pixel == colour).count();
    let (white, before, after) = (count([255; 3]), count([70, 110, 180]), count([215, 95, 45]));
    let dark = pixels.chunks_exact(3).filter(|pixel| pixel.iter().all(|part| *part < 90)).count();
    assert!(before > 10_000 && after > 10_000 && white > 300_000, "{before} {after} {white}");
    assert!(dark > 2_000, "{dark}");
    for none in ["a.jpg", "a", "svg"] {
        assert_eq!(picture::Form::of(Path::new(none)), None, "{none}");
    }
}
