//! Broken and hostile files: an error that names file and reason, or safe answers, and soon.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meridian::clock::stopwatch;
use meridian::geo::{Database, Databases, Ground};

use crate::writer::{Slot, Value, Writer, encode, map, saved, text};

/// Time in which any file must be opened or refused, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a file and, when it opens, uses all of it.
fn outcome(path: &Path) -> Result<(), String> {
    let start = stopwatch();
    let opened = Databases::load(&[path.to_owned()]);
    let outcome = match opened {
        Ok(databases) => {
            let ground = Ground::new(&databases, &[]);
            let table = ground.compile(|client| u32::from(client.place.country.is_some()));
            for address in ["1.1.1.1", "::1", "2001:db8::1", "::ffff:1.1.1.1", "255.255.255.255"] {
                let address: IpAddr = address.parse().unwrap();
                assert_eq!(ground.client(address).place, &databases.place(address));
                table.lookup(address);
            }
            Ok(())
        }
        Err(errors) => {
            assert_eq!(errors.len(), 1);
            assert_eq!(errors[0].file(), path.display().to_string());
            Err(errors[0].to_string())
        }
    };
    assert!(start.elapsed() < PATIENCE, "{} took {:?}", path.display(), start.elapsed());
    outcome
}

/// Checks what a file leads to: a part of the error message, or safe answers.
fn check(path: &Path, expected: Option<&str>) {
    check_named(&path.display().to_string(), path, expected);
}

/// As [`check`], with a name for the case.
fn check_named(what: &str, path: &Path, expected: Option<&str>) {
    let outcome = outcome(path);
    match (&outcome, expected) {
        (Ok(()), None) => {}
        (Err(message), Some(part)) if message.contains(part) => {}
        _ => panic!("{what}: {outcome:?}, expected {expected:?}"),
    }
}

#[test]
fn known_bad_files_are_refused_or_safe() {
    let values = Some("exceeded maximum number of data structure values");
    let payload = Some("exceeded maximum size of data structure string and bytes values");
    let pointer = Some("data pointer resolves to an invalid location");
    let depth = Some("exceeded maximum data structure depth");
    let end = Some("unexpected end of buffer");
    let cases = [
        ("GeoIP2-City-Test-Broken-Double-Format", Some("double of size 5")),
        ("GeoIP2-City-Test-Invalid-Node-Count", Some("search tree extends beyond")),
        ("MaxMind-DB-test-broken-pointers-24", pointer),
        ("MaxMind-DB-test-broken-search-tree-24", Some("a cycle or invalid structure")),
        ("MaxMind-DB-test-decode-path-shared-budget", payload),
        ("MaxMind-DB-test-decoder-payload-limit-over", payload),
        ("MaxMind-DB-test-decoder-value-limit-over", values),
        ("MaxMind-DB-test-decoder-value-limit-pointer-heavy", None),
        ("MaxMind-DB-test-metadata-payload-limit", payload),
        ("MaxMind-DB-test-payload-amplification-dos-string", payload),
        ("MaxMind-DB-test-payload-amplification-dos-worst-case", payload),
        ("MaxMind-DB-test-payload-amplification-dos", payload),
        ("MaxMind-DB-test-pointer-decoder-dos-ipv6", values),
        ("MaxMind-DB-test-pointer-decoder-dos", values),
        ("bad-unicode-in-map-key", pointer),
        ("cyclic-data-structure", Some("u16 of size 1")),
        ("invalid-bytes-length", end),
        ("invalid-data-record-offset", Some("double of size 6")),
        ("invalid-map-key-length", Some("u16 of size 1")),
        ("invalid-string-length", end),
        ("libmaxminddb-corrupt-search-tree", None),
        ("libmaxminddb-deep-array-nesting", depth),
        ("libmaxminddb-deep-nesting", depth),
        ("libmaxminddb-empty-array-last-in-metadata", None),
        ("libmaxminddb-empty-map-last-in-metadata", None),
        ("libmaxminddb-metadata-marker-only", end),
        ("libmaxminddb-offset-integer-overflow", end),
        ("libmaxminddb-oversized-array", values),
        ("libmaxminddb-oversized-map", values),
        ("libmaxminddb-separator-record-max-left", pointer),
        ("libmaxminddb-separator-record-min-left", pointer),
        ("libmaxminddb-separator-record-min-right", pointer),
        ("libmaxminddb-uint64-max-epoch", Some("timestamp is too large")),
        ("metadata-is-an-uint128", Some("expected map, got type 10")),
        ("unexpected-bytes", Some("expected array, got type 4")),
    ];
    let folder = Path::new("tests/data/mmdb/bad");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), cases.len(), "every file has its case");
    for (file, expected) in cases {
        check(&folder.join(file).with_extension("mmdb"), expected);
    }
}

#[test]
fn errors_name_the_file_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.mmdb");
    let message = Database::open(&missing).unwrap_err().to_string();
    let path = missing.display();
    assert_eq!(message, format!("cannot read `{path}`: No such file or directory (os error 2)"));
    let message = Database::open(folder.path()).unwrap_err().to_string();
    let path = folder.path().display();
    assert_eq!(message, format!("cannot read `{path}`: expected a regular file"));
    check(Path::new("/dev/zero"), Some("expected a regular file"));
    for octets in [&b""[..], b"no database", b"\xab\xcd\xefMaxMind.com"] {
        let (_folder, path) = saved(octets);
        check(&path, Some("is no sound geo database: "));
    }
}

#[test]
fn all_files_that_cannot_be_used_are_reported() {
    let good = PathBuf::from("tests/data/mmdb/maxmind/GeoLite2-ASN-Test.mmdb");
    let errors =
        Databases::load(&[PathBuf::from("a.mmdb"), good, PathBuf::from("b.mmdb")]).unwrap_err();
    let files: Vec<&str> = errors.iter().map(meridian::geo::GeoError::file).collect();
    assert_eq!(files, ["a.mmdb", "b.mmdb"]);
}

/// A tree in which both sides of every node lead to the next, so that a file of a few hundred
/// octets has 2^`levels` networks.
fn fan(ip_version: u16, levels: usize, end: Slot) -> Writer {
    let mut writer = Writer::new(ip_version, 24);
    encode(&map([("country_code", text("DE"))]), &mut writer.data);
    writer.nodes = (1..levels).map(|next| [Slot::Node(next); 2]).collect();
    writer.nodes.push([end; 2]);
    writer
}

#[test]
fn trees_that_share_nodes_without_end_are_refused() {
    let too_many = Some("its tree holds more networks than its number of nodes allows");
    // Both sides of 96 nodes lead to the IPv4 tree, which the library takes for aliases.
    let mut aliases = fan(6, 97, Slot::Data(0));
    aliases.nodes[96] = [Slot::Data(0), Slot::Empty];
    for (what, writer, expected) in [
        ("networks with data", fan(4, 32, Slot::Data(0)), too_many),
        ("networks without data", fan(4, 32, Slot::Empty), too_many),
        ("IPv6 networks", fan(6, 128, Slot::Data(0)), too_many),
        ("aliases", aliases, too_many),
        ("a node below the last bit", fan(4, 33, Slot::Data(0)), Some("cycle")),
        ("a node that leads to itself", fan(4, 1, Slot::Node(0)), Some("cycle")),
        ("data past the end", fan(4, 1, Slot::Data(1 << 20)), Some("invalid location")),
        ("a small share is fine", fan(4, 3, Slot::Data(0)), None),
    ] {
        let (_folder, path) = saved(&writer.octets());
        check_named(what, &path, expected);
    }
}

#[test]
fn records_that_share_large_values_without_end_are_refused() {
    let mut writer = Writer::new(4, 24);
    encode(&Value::Array(vec![Value::U32(1); 60_000]), &mut writer.data);
    writer.nodes.clear();
    // A thousand records, a thousand times the same large value.
    for record in 0..1000usize {
        let offset = writer.data.len();
        encode(&map([("a", Value::Pointer(0))]), &mut writer.data);
        writer.nodes.push([Slot::Data(offset), Slot::Node(record + 1)]);
    }
    // Chains as long as an address hang below a balanced tree.
    let chains = writer.nodes.split_off(0);
    writer.nodes =
        (0..63).map(|node| [Slot::Node(2 * node + 1), Slot::Node(2 * node + 2)]).collect();
    let base = writer.nodes.len();
    for (at, [data, _]) in chains.into_iter().enumerate() {
        let last = at % 16 == 15 || at == 999;
        let next = if last { Slot::Empty } else { Slot::Node(base + at + 1) };
        writer.nodes.push([data, next]);
    }
    for leaf in 31..63 {
        let chain = |at: usize| match base + 16 * at {
            node if node < writer.nodes.len() => Slot::Node(node),
            _ => Slot::Empty,
        };
        let first = 2 * (leaf - 31);
        writer.nodes[leaf] = [chain(first), chain(first + 1)];
    }
    let (_folder, path) = saved(&writer.octets());
    check(&path, Some("its records hold more values than its size allows"));
}

#[test]
fn damaged_copies_of_a_sound_file_are_refused_or_safe() {
    let sound = std::fs::read("tests/data/mmdb/maxmind/GeoLite2-City-Test.mmdb").unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.mmdb");
    let (mut refused, mut safe) = (0, 0);
    for round in 0..400 {
        let mut octets = sound.clone();
        if round % 4 == 0 {
            octets.truncate(random.usize(..octets.len()));
        } else {
            for _ in 0..random.usize(1..20) {
                let at = random.usize(..octets.len());
                octets[at] = random.u8(..);
            }
        }
        std::fs::write(&path, octets).unwrap();
        match outcome(&path) {
            Ok(()) => safe += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100 && safe > 0, "{refused} refused, {safe} safe");
}
