//! Tests of the zone tree.

use super::*;
use crate::zone::Record;

fn name(text: &str) -> Name {
    Name::parse(text, &Name::parse("example.com.", &Name::root()).unwrap()).unwrap()
}

/// Builds `example.com.` of owners and types; each record's RDATA is its owner name.
fn zone(records: &[(&str, u16)], steered: &[&str]) -> Zone {
    let mut all = Records::default();
    for (line, (owner, rtype)) in records.iter().enumerate() {
        let owner = name(owner);
        let rdata = owner.as_wire();
        let line = line as u32 + 1;
        let record =
            Record { owner: owner.as_wire(), rtype: *rtype, ttl: 300, rdata, file: 0, line };
        assert!(all.push(record));
    }
    all.sort();
    let owners: Vec<Name> = steered.iter().map(|owner| name(owner)).collect();
    let steered: Vec<_> =
        (0..).zip(&owners).map(|(service, owner)| SteeredOwner { owner, service }).collect();
    Zone::build(&name("@"), &all, &steered).unwrap()
}

/// What is found for a name, as a short text.
fn found(zone: &Zone, owner: &str) -> String {
    let mut query = QueryName::default();
    query.read(name(owner).as_wire()).unwrap();
    let wire = |node: Node<'_>| {
        let whole = [node.name, zone.apex().as_wire()].concat();
        crate::name::decode(&whole).replace("example.com.", "@")
    };
    match zone.look_up(&query, zone.hash(&query)) {
        Found::Name(node) => {
            let types: Vec<_> = node.rrsets().map(|rrset| rrset.rtype.to_string()).collect();
            let service = node.service().map_or(String::new(), |service| format!(" s{service}"));
            format!("{} [{}]{service}", wire(node), types.join(" "))
        }
        Found::Cut(node, label) => format!("cut {} at {label}", wire(node)),
        Found::Dname(node, label) => format!("dname {} at {label}", wire(node)),
        Found::Nothing => "nothing".to_owned(),
    }
}

/// A zone with names of every kind.
fn varied() -> Zone {
    zone(
        &[
            ("@", rtype::SOA),
            ("@", rtype::NS),
            ("www", rtype::A),
            ("WWW", rtype::AAAA),
            ("a.b.c", rtype::A),
            ("*.wild", 16),
            ("host.wild", rtype::A),
            ("below.deep.wild", rtype::A),
            ("x.*.odd", rtype::A),
            ("sub", rtype::NS),
            ("ns.sub", rtype::A),
            ("*.sub", rtype::A),
            ("deeper.sub", rtype::NS),
            ("ns.deeper.sub", rtype::A),
            ("d", rtype::DNAME),
            ("d", 16),
            ("hidden.d", rtype::A),
            ("api", 16),
            ("api", rtype::A),
            ("*.ns", rtype::NS),
        ],
        &["api", "*.geo", "zz.y", "@"],
    )
}

#[test]
fn finds_what_the_rfcs_say() {
    let zone = varied();
    for (query, expected) in [
        ("@", "@ [2 6] s3"),
        ("www", "www.@ [1 28]"),
        ("no", "nothing"),
        ("no.www", "nothing"),
        // RFC 4592 section 2.2.2: empty non-terminals exist.
        ("c", "c.@ []"),
        ("b.c", "b.c.@ []"),
        ("a.b.c", "a.b.c.@ [1]"),
        ("x.b.c", "nothing"),
        ("wild", "wild.@ []"),
        ("y", "y.@ []"),
        // RFC 4592 section 3.3.1: only the closest encloser's wildcard counts.
        ("any.wild", "*.wild.@ [16]"),
        ("very.any.wild", "*.wild.@ [16]"),
        ("*.wild", "*.wild.@ [16]"),
        ("host.wild", "host.wild.@ [1]"),
        ("x.host.wild", "nothing"),
        ("deep.wild", "deep.wild.@ []"),
        ("x.deep.wild", "nothing"),
        // RFC 4592 section 2.2.3: a wildcard may be an empty non-terminal.
        ("q.odd", "*.odd.@ []"),
        ("x.*.odd", "x.*.odd.@ [1]"),
        // RFC 1034 section 4.3.2, step 3b: the topmost cut, at and below it.
        ("sub", "cut sub.@ at 0"),
        ("ns.sub", "cut sub.@ at 1"),
        ("no.sub", "cut sub.@ at 1"),
        ("deeper.sub", "cut sub.@ at 1"),
        ("ns.deeper.sub", "cut sub.@ at 2"),
        ("a.b.c.d.e.f.sub", "cut sub.@ at 6"),
        // RFC 6672 section 2.3: a DNAME redirects what is below it and not its owner.
        ("d", "d.@ [16 39]"),
        ("x.d", "dname d.@ at 1"),
        ("hidden.d", "dname d.@ at 1"),
        ("x.y.z.d", "dname d.@ at 3"),
        // Steered names: beside other types, as wildcards, below empty non-terminals.
        ("api", "api.@ [16] s0"),
        ("x.geo", "*.geo.@ [] s1"),
        ("zz.y", "zz.y.@ [] s2"),
        ("x.ns", "*.ns.@ [2]"),
    ] {
        assert_eq!(found(&zone, query), expected, "{query}");
    }
    assert_eq!(zone.names(), 27);
    assert_eq!(zone.records(), 20);
}

#[test]
fn finds_the_cut_at_any_depth_and_the_wildcard_at_the_apex() {
    let zone = zone(&[("*", rtype::A), ("a.b", rtype::A)], &[]);
    assert_eq!(found(&zone, "x"), "*.@ [1]");
    assert_eq!(found(&zone, "x.y.z"), "*.@ [1]");
    assert_eq!(found(&zone, "x.b"), "nothing");
    assert_eq!(found(&zone, "@"), "@ []");
}

#[test]
fn a_dname_at_the_apex_redirects_the_whole_zone() {
    let zone = zone(&[("@", rtype::SOA), ("@", rtype::DNAME), ("www", rtype::A)], &[]);
    assert_eq!(found(&zone, "www"), "dname @ at 1");
    assert_eq!(found(&zone, "a.b"), "dname @ at 2");
    assert_eq!(found(&zone, "@"), "@ [6 39]");
}

#[test]
fn keeps_records_as_ready_bytes_without_duplicates() {
    let mut records = Records::default();
    let owner = name("www");
    let push = |records: &mut Records, rdata: &[u8]| {
        let owner = owner.as_wire();
        assert!(records.push(Record { owner, rtype: 1, ttl: 60, rdata, file: 0, line: 1 }));
    };
    for last in [1, 2, 1, 3, 2] {
        push(&mut records, &[192, 0, 2, last]);
    }
    let mut query = QueryName::default();
    query.read(owner.as_wire()).unwrap();
    let zone = Zone::build(&name("@"), &records, &[]).unwrap();
    let Found::Name(node) = zone.look_up(&query, zone.hash(&query)) else { panic!("no node") };
    let rrset = node.rrset(1).unwrap();
    assert_eq!(rrset.count, 3);
    assert_eq!(rrset.ttl(), 60);
    let wire = rrset.wire.unwrap();
    assert_eq!(wire[..16], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    let records: Vec<_> = rrset.records().collect();
    let expected: [(usize, &[u8]); 3] =
        [(0, &[192, 0, 2, 1]), (16, &[192, 0, 2, 2]), (32, &[192, 0, 2, 3])];
    assert_eq!(records, expected);
}

#[test]
fn an_rrset_longer_than_any_message_is_known_but_has_no_bytes() {
    let mut records = Records::default();
    let owner = name("big");
    for number in 0..300u32 {
        let rdata = [[250; 1].as_slice(), &[number as u8; 250], &number.to_be_bytes()].concat();
        let owner = owner.as_wire();
        let record = Record { owner, rtype: 16, ttl: 60, rdata: &rdata, file: 0, line: 1 };
        assert!(records.push(record));
    }
    let zone = Zone::build(&name("@"), &records, &[]).unwrap();
    let mut query = QueryName::default();
    query.read(owner.as_wire()).unwrap();
    let Found::Name(node) = zone.look_up(&query, zone.hash(&query)) else { panic!("no node") };
    assert_eq!(node.rrset(16), Some(Rrset { rtype: 16, count: 300, wire: None }));
}

#[test]
fn the_negative_soa_has_the_lesser_ttl_and_pointers_to_the_apex() {
    let rdata = |mname: &[u8], rname: &[u8]| {
        let numbers = [7u32, 3600, 900, 86400, 60].map(u32::to_be_bytes);
        [mname, rname, numbers.as_flattened()].concat()
    };
    let soa = |rdata: &[u8], ttl| {
        let mut records = Records::default();
        let apex = name("@");
        let owner = apex.as_wire();
        assert!(records.push(Record { owner, rtype: 6, ttl, rdata, file: 0, line: 1 }));
        Zone::build(&apex, &records, &[]).unwrap().soa.unwrap()
    };
    let inside = rdata(b"\x03Ns1\x07Example\x03com\x00", b"\x07example\x03com\x00");
    let found = soa(&inside, 300);
    assert_eq!((found.ttl, found.serial), (60, 7));
    assert_eq!(*found.pointers, [0, 16, 18]);
    assert_eq!(found.wire[12..20], *b"\x03Ns1\0\0\0\0");
    assert_eq!(found.wire[10..12], [0, 28]);
    assert_eq!(found.wire.len(), 40);
    let outside = soa(&rdata(b"\x02ns\x03net\x00", b"\x00"), 30);
    assert_eq!((outside.ttl, outside.pointers.len()), (30, 1));
    let mut cut = Records::default();
    let apex = name("@");
    let owner = apex.as_wire();
    assert!(cut.push(Record { owner, rtype: 6, ttl: 1, rdata: b"\x03n", file: 0, line: 1 }));
    assert!(Zone::build(&apex, &cut, &[]).unwrap().negative_soa().is_none());
}

#[test]
fn odd_records_never_panic() {
    let mut records = Records::default();
    for (owner, rtype) in [
        (&b"\x03org\x00"[..], 1),
        (b"\x01b\x07example\x03com\x00", 1),
        (b"\x01a\x07example\x03com\x00", 5),
        (b"\x01b\x07example\x03com\x00", 2),
        (b"badexample\x03com\x00", 1),
        (b"", 1),
        (b"\x3f", 1),
    ] {
        assert!(records.push(Record { owner, rtype, ttl: 0, rdata: b"", file: 0, line: 1 }));
    }
    let other = Name::parse("x.org.", &Name::root()).unwrap();
    let steered = [SteeredOwner { owner: &other, service: 0 }];
    let zone = Zone::build(&name("@"), &records, &steered).unwrap();
    assert_eq!(found(&zone, "no"), "nothing");
}

#[test]
fn a_root_zone_can_be_served() {
    let mut records = Records::default();
    for (owner, rtype, rdata) in
        [(&b"\x00"[..], 2, &b"\x01a\x00"[..]), (b"\x01a\x00", 1, &[192, 0, 2, 1])]
    {
        assert!(records.push(Record { owner, rtype, ttl: 0, rdata, file: 0, line: 1 }));
    }
    let zone = Zone::build(&Name::root(), &records, &[]).unwrap();
    let mut query = QueryName::default();
    query.read(b"\x01A\x00").unwrap();
    let found = zone.look_up(&query, zone.hash(&query));
    assert!(matches!(found, Found::Name(node) if node.rrset(1).is_some()));
}

#[test]
#[ignore = "measures a million names; wants a release build and a quiet machine"]
fn a_million_names_build_in_half_a_second_and_seventy_mebibytes() {
    let mut records = Records::default();
    for number in 0..1_000_000u32 {
        let owner = name(&format!("h{number}"));
        let rdata = &number.to_be_bytes();
        let owner = owner.as_wire();
        assert!(records.push(Record { owner, rtype: 1, ttl: 300, rdata, file: 0, line: 1 }));
    }
    records.sort();
    let start = crate::clock::stopwatch();
    let zone = Zone::build(&name("@"), &records, &[]).unwrap();
    let took = start.elapsed();
    println!("{} names in {took:?}, {} KiB", zone.names(), zone.octets() / 1024);
    assert!(took.as_millis() < 500, "{took:?}");
    assert!(zone.octets() < 70 << 20, "{}", zone.octets());
}
