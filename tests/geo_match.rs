//! Whether a client is located, as services note it, against straight look-ups in the database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing)] // As above.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use meridian::clock::Tick;
use meridian::health::HealthTable;
use meridian::snapshot::{Loaded, Prepared, Publisher, ServiceAnswers, load};
use tempfile::TempDir;

/// [`PREFIXES`] or [`COUNTRIES`] completes it.
const FLEET: &str = r#"
version = 1
[region.eu]
location = "aws:eu-central-1"
[region.us]
location = "aws:us-east-1"
[pool.web]
endpoints = [
  { region = "eu", address = "192.0.2.1" },
  { region = "us", address = "192.0.2.2" },
]
[network.office]
regions = ["us", "eu"]
"#;

const PREFIXES: &str = r#"prefixes = ["9.0.0.0/8", "10.0.0.0/8"]"#;
const COUNTRIES: &str = r#"countries = ["BR"]"#;

const NODE: &str = r#"
version = 1
[node]
name = "a"
region = "eu"
[dns]
listen = ["127.0.0.1:53"]
"#;

/// A configuration with one service of this policy, and a network of these clients.
fn loaded(policy: &str, clients: &str) -> (TempDir, Loaded) {
    let folder = TempDir::new().unwrap();
    let zone = "@ 60 SOA ns1 host 1 60 60 60 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
    let services = format!("version = 1\n[service.www]\npool = \"web\"\npolicy = {policy}\n");
    let fleet = format!("{FLEET}{clients}\n");
    for (path, text) in [
        ("config/node.toml", NODE),
        ("config/fleet.toml", &fleet),
        ("zones/example.com.zone", zone),
        ("zones/example.com.toml", &services),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        fs::write(path, text).unwrap();
    }
    let loaded = load(&folder.path().join("config"), None).unwrap_or_else(|e| panic!("{e}"));
    (folder, loaded)
}

/// The service of a configuration while nothing is known of its health.
fn service(loaded: Loaded) -> (Arc<Loaded>, ServiceAnswers) {
    let health = HealthTable::new(&loaded.model.fleet, Tick(0));
    let publisher = Publisher::new(loaded, health);
    let loaded = publisher.loaded().clone();
    let steering = loaded.plan.steerings[0].clone();
    let prepared = Arc::new(Prepared::new(&steering, &publisher.view(0)));
    (loaded, ServiceAnswers::new("www".into(), steering, prepared))
}

/// An address and, for an IPv4 one, two IPv6 forms that carry it.
fn forms(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V4(v4) = address else { return vec![address] };
    let [a, b, c, d] = v4.octets();
    let six_to_four =
        [0x2002, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), 0, 0, 0, 0, 1];
    vec![address, v4.to_ipv6_mapped().into(), IpAddr::from(six_to_four)]
}

#[test]
fn every_client_is_noted_as_the_database_has_it_whatever_the_policy_makes_of_it() {
    // With the second, all but the network share a class; with the third, Asia has no opinion,
    // like clients of whom nothing is known.
    for policy in [
        r#"["proximity"]"#,
        r#"["network"]"#,
        r#"[{ method = "fence", by = "continent" }, "weighted"]"#,
        r#"[{ method = "fence", by = "country", strict = true }]"#,
    ] {
        let (_folder, loaded) = loaded(policy, COUNTRIES);
        let (loaded, service) = service(loaded);
        let (mut located, mut unlocated) = (0, 0);
        for (first, last, _) in loaded.ground.runs() {
            for client in forms(first).into_iter().chain(forms(last)) {
                let expected = loaded.databases.place(client).country.is_some();
                let matched = service.locate(client).matched;
                assert_eq!(matched, Some(expected), "{policy} {client}");
                if expected { located += 1 } else { unlocated += 1 }
            }
        }
        assert!(located > 100_000 && unlocated > 1_000, "{policy}: {located}, {unlocated}");
    }
}

#[test]
fn a_policy_that_needs_no_database_notes_nothing() {
    for policy in [
        r#"["weighted"]"#,
        r#"["affinity"]"#,
        r#"["nearest", "rotate"]"#,
        r#"["network", { method = "fence", by = { network = "office" } }]"#,
    ] {
        let (_folder, loaded) = loaded(policy, PREFIXES);
        let (_, service) = service(loaded);
        let client = Ipv4Addr::new(80, 130, 0, 1).into();
        assert_eq!(service.locate(client).matched, None, "{policy}");
    }
}
