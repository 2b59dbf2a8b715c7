//! What is read from databases of different layouts, record sizes and address families.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meridian::geo::{Database, Databases, Ground};
use meridian::place::Place;

use crate::writer::{Value, Writer, double, map, saved, text};

/// A place in words: country, continent, point and ASN, as far as known.
fn words(place: Place) -> String {
    let point = place.point.map(|at| format!("{:.2},{:.2}", at.latitude, at.longitude));
    let parts = [
        place.country.map(|country| country.to_string()),
        place.continent.map(|continent| continent.code().to_owned()),
        point,
        place.asn.map(|asn| format!("AS{asn}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn maxmind(name: &str) -> PathBuf {
    Path::new("tests/data/mmdb/maxmind").join(name).with_extension("mmdb")
}

#[test]
fn reads_maxminds_databases() {
    for (file, address, expected) in [
        ("GeoIP2-City-Test", "81.2.69.142", "GB EU 51.51,-0.09"),
        ("GeoIP2-City-Test", "2001:218::1", "JP AS 35.69,139.75"),
        ("GeoIP2-City-Test", "::ffff:81.2.69.142", "GB EU 51.51,-0.09"),
        ("GeoIP2-City-Test", "2002:5102:458e::", "GB EU 51.51,-0.09"),
        ("GeoIP2-City-Test", "::81.2.69.142", ""),
        ("GeoIP2-City-Test", "127.0.0.1", ""),
        ("GeoLite2-City-Test", "89.160.20.112", "SE EU 58.42,15.62"),
        ("GeoIP2-Country-Test", "81.2.69.142", "GB EU 52.04,-0.76"),
        ("GeoLite2-ASN-Test", "1.128.0.0", "AS1221"),
        ("GeoLite2-ASN-Test", "2600:7000::1", "AS6939"),
        ("GeoIP2-Enterprise-Test", "74.209.24.0", "US NA 42.35,-73.55 AS14671"),
        ("MaxMind-DB-string-value-entries", "1.1.1.1", ""),
        ("MaxMind-DB-test-decoder", "1.1.1.0", ""),
    ] {
        let databases = Databases::load(&[maxmind(file)]).unwrap();
        assert_eq!(words(databases.place(ip(address))), expected, "{file} {address}");
        let ground = Ground::new(&databases, &[]);
        assert_eq!(words(*ground.client(ip(address)).place), expected, "{file} {address}");
    }
}

#[test]
fn opens_every_sound_test_database() {
    let mut opened = 0;
    for entry in std::fs::read_dir("tests/data/mmdb/maxmind").unwrap() {
        let path = entry.unwrap().path();
        let database = Database::open(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!database.kind().is_empty(), "{}", path.display());
        opened += 1;
    }
    assert_eq!(opened, 20);
}

/// Asserts what a database with one record says of the addresses under it and beside it.
#[track_caller]
fn assert_places(cases: &[(&str, Value, &str)]) {
    for (what, record, expected) in cases {
        let mut writer = Writer::new(4, 24);
        writer.add("192.0.2.0/24".parse().unwrap(), record);
        let (_folder, path) = saved(&writer.octets());
        let databases = Databases::load(&[path]).unwrap();
        assert_eq!(words(databases.place(ip("192.0.2.1"))), *expected, "{what}");
        assert_eq!(words(databases.place(ip("192.0.3.1"))), "", "{what}");
        let ground = Ground::new(&databases, &[]);
        assert_eq!(words(*ground.client(ip("192.0.2.1")).place), *expected, "{what}");
    }
}

#[test]
fn reads_flat_records() {
    let de = || ("country_code", text("DE"));
    assert_places(&[
        ("flat country", map([de()]), "DE EU 51.72,8.75"),
        (
            "flat city with numbers",
            map([de(), ("latitude", double(50.1)), ("longitude", double(8.7))]),
            "DE EU 50.10,8.70",
        ),
        (
            "flat city with texts",
            map([de(), ("latitude", text("50.1")), ("longitude", text("-8.7"))]),
            "DE EU 50.10,-8.70",
        ),
        ("flat ASN", map([("autonomous_system_number", Value::U32(64500))]), "AS64500"),
        ("flat ASN as text", map([("asn", text("AS64500"))]), "AS64500"),
        ("ASN without its prefix", map([("asn", text("64500"))]), "AS64500"),
        ("ASN 0", map([("asn", Value::U32(0))]), ""),
        (
            "country name beside the code",
            map([("country", text("Germany")), de(), ("continent", text("Europe"))]),
            "DE EU 51.72,8.75",
        ),
        ("code as country", map([("country", text("DE"))]), "DE EU 51.72,8.75"),
        ("continent code alone", map([("continent_code", text("AS"))]), "AS"),
    ]);
}

#[test]
fn reads_nested_records_and_passes_over_what_is_unknown() {
    let de = || ("country_code", text("DE"));
    assert_places(&[
        (
            "nested country",
            map([("country", map([("iso_code", text("DE")), ("names", map([]))]))]),
            "DE EU 51.72,8.75",
        ),
        (
            "nested, registered country as the last resort",
            map([
                ("registered_country", map([("iso_code", text("FR"))])),
                ("continent", map([("code", text("EU"))])),
            ]),
            "FR EU 48.82,2.38",
        ),
        (
            "nested, both countries",
            map([
                ("registered_country", map([("iso_code", text("FR"))])),
                ("country", map([("iso_code", text("DE"))])),
            ]),
            "DE EU 51.72,8.75",
        ),
        (
            "nested location",
            map([("location", map([("longitude", double(8.7)), ("latitude", double(50.1))]))]),
            "50.10,8.70",
        ),
        ("no country", map([("country_code", text("ZZ"))]), ""),
        ("a dash for unknown", map([("country_code", text("-"))]), ""),
        ("no continent", map([("continent", map([("code", text("XX"))]))]), ""),
        (
            "0, 0 for unknown",
            map([de(), ("latitude", double(0.0)), ("longitude", double(0.0))]),
            "DE EU 51.72,8.75",
        ),
        ("off the globe", map([("latitude", double(91.0)), ("longitude", double(8.0))]), ""),
        ("no number", map([("latitude", double(f64::NAN)), ("longitude", double(8.0))]), ""),
        ("one coordinate", map([("latitude", double(50.0))]), ""),
        (
            "unexpected types",
            map([
                ("country", Value::Array(vec![text("DE")])),
                ("location", text("50.1,8.7")),
                ("asn", double(1.5)),
            ]),
            "",
        ),
        ("a text", text("DE"), ""),
        ("an empty map", map([]), ""),
    ]);
}

#[test]
fn reads_trees_of_every_record_size_and_family() {
    for record_size in [24, 28, 32] {
        for ip_version in [4, 6] {
            let mut writer = Writer::new(ip_version, record_size);
            writer.add("192.0.2.0/24".parse().unwrap(), &map([("asn", Value::U32(1))]));
            writer.add("203.0.113.7/32".parse().unwrap(), &map([("asn", Value::U32(2))]));
            if ip_version == 6 {
                writer.add("2001:db8::/32".parse().unwrap(), &map([("asn", Value::U32(3))]));
                writer.add("2001:db8::1/128".parse().unwrap(), &map([("asn", Value::U32(4))]));
            }
            let (_folder, path) = saved(&writer.octets());
            let databases = Databases::load(&[path]).unwrap();
            let ground = Ground::new(&databases, &[]);
            for (address, asn) in [
                ("192.0.2.255", Some(1)),
                ("192.0.3.0", None),
                ("203.0.113.7", Some(2)),
                ("203.0.113.6", None),
                ("64:ff9b::192.0.2.1", Some(1)),
                ("2001:db8:ffff::", Some(3).filter(|_| ip_version == 6)),
                ("2001:db8::1", Some(4).filter(|_| ip_version == 6)),
                ("2001:db9::", None),
                ("::1", None),
            ] {
                let what = format!("{address} in {record_size} bits, IPv{ip_version}");
                assert_eq!(databases.place(ip(address)).asn, asn, "{what}");
                assert_eq!(ground.client(ip(address)).place.asn, asn, "{what}");
            }
        }
    }
}

#[test]
fn each_part_comes_from_the_first_database_that_has_it() {
    let mut country = Writer::new(4, 24);
    country.add("192.0.2.0/24".parse().unwrap(), &map([("country_code", text("DE"))]));
    country.add("192.0.3.0/24".parse().unwrap(), &map([("country_code", text("EU"))]));
    let mut city = Writer::new(6, 28);
    let point = [("latitude", double(1.0)), ("longitude", double(2.0))];
    let [latitude, longitude] = point;
    let record = map([("country_code", text("FR")), latitude, longitude]);
    city.add("192.0.0.0/16".parse().unwrap(), &record);
    city.add("2001:db8::/32".parse().unwrap(), &record);
    let mut asn = Writer::new(6, 32);
    asn.add("192.0.2.128/25".parse().unwrap(), &map([("asn", Value::U32(64500))]));
    let files: Vec<_> = [country, city, asn].iter().map(|writer| saved(&writer.octets())).collect();
    let paths: Vec<PathBuf> = files.iter().map(|(_, path)| path.clone()).collect();
    let databases = Databases::load(&paths).unwrap();
    let ground = Ground::new(&databases, &[]);
    for (address, expected) in [
        ("192.0.2.1", "DE EU 1.00,2.00"),
        ("192.0.2.200", "DE EU 1.00,2.00 AS64500"),
        ("192.0.3.1", "FR EU 1.00,2.00"),
        ("192.0.4.1", "FR EU 1.00,2.00"),
        ("2001:db8::1", "FR EU 1.00,2.00"),
        ("192.1.0.0", ""),
    ] {
        assert_eq!(words(databases.place(ip(address))), expected, "{address}");
        assert_eq!(words(*ground.client(ip(address)).place), expected, "{address}");
    }
}

#[test]
fn a_database_knows_its_age() {
    let mut writer = Writer::new(4, 24);
    writer.built = 1_700_000_000;
    let database = writer.open();
    assert_eq!(database.built(), 1_700_000_000);
    assert_eq!(database.age(1_700_086_400), Duration::from_secs(86_400));
    assert_eq!(database.age(0), Duration::ZERO, "a clock that is wrong gives no age");
}

#[test]
fn without_files_the_embedded_database_is_used() {
    let databases = Databases::load(&[]).unwrap();
    let [database] = databases.all() else { panic!("one database") };
    assert_eq!(database.kind(), "country ipvAll");
    assert!(database.built() > 1_700_000_000);
    assert_eq!(words(databases.place(ip("193.0.6.139"))), "NL EU 52.09,5.05");
}
