//! A database that breaks while a node runs: the load is refused by name, so the last one serves.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use meridian::diagnostic::{Diagnostics, Severity};
use meridian::snapshot::{Loaded, load};

const NODE: &str = r#"version = 1
[node]
name = "one"
region = "eu"
state = "../state"
[zones]
directory = "../zones"
[geo]
databases = ["../geo.mmdb"]
max_age = "3650d"
[dns]
listen = ["127.0.0.1:5300"]
"#;

const FLEET: &str = "version = 1\n[region.eu]\nlocation = { lat = 50.0, lon = 8.0 }\n";

const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 60 60 60 60\n@ NS ns1\nns1 A 192.0.2.53\n";

/// What the file of the database is made to hold.
fn sample(name: &str) -> Vec<u8> {
    fs::read(Path::new("tests/data/mmdb/maxmind").join(name).with_extension("mmdb")).unwrap()
}

/// The country of an address that the sample has in Sweden.
fn country(loaded: &Loaded) -> Option<String> {
    let client: IpAddr = "89.160.20.112".parse().unwrap();
    assert_eq!(*loaded.ground.client(client).place, loaded.databases.place(client));
    loaded.databases.place(client).country.map(|country| country.to_string())
}

fn errors(diagnostics: &Diagnostics) -> Vec<String> {
    let errors = diagnostics.sorted().into_iter().filter(|d| d.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

#[test]
fn a_broken_database_refuses_the_load_until_it_is_whole_again() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config", "zones"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let (config, file) = (folder.path().join("config"), folder.path().join("geo.mmdb"));
    fs::write(config.join("node.toml"), NODE).unwrap();
    fs::write(config.join("fleet.toml"), FLEET).unwrap();
    fs::write(folder.path().join("zones/a.test.zone"), ZONE).unwrap();
    let good = sample("GeoLite2-City-Test");
    fs::write(&file, &good).unwrap();
    let first = load(&config, None).unwrap();
    assert_eq!(country(&first).as_deref(), Some("SE"));

    for (what, octets) in [
        ("cut short", &good[..good.len() / 2]),
        ("empty", b""),
        ("another kind of file", b"version = 1\n"),
    ] {
        fs::write(&file, octets).unwrap();
        let refused = errors(&load(&config, Some(&first)).unwrap_err());
        let [only] = refused.as_slice() else { panic!("{what}: {refused:?}") };
        let start = format!("{}: error: no sound geo database: ", file.display());
        assert!(only.starts_with(&start), "{what}: {only}");
        assert!(only.contains("what was loaded before serves on"), "{what}: {only}");
    }

    fs::write(&file, sample("GeoLite2-ASN-Test")).unwrap();
    let other = load(&config, Some(&first)).unwrap();
    assert_eq!(country(&other), None, "the new file is read");
    fs::write(&file, &good).unwrap();
    assert_eq!(country(&load(&config, Some(&other)).unwrap()).as_deref(), Some("SE"));
}
