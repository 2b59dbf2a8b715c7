//! Master files, and the records and mistakes they hold.

use std::collections::HashMap;
use std::io;

use proptest::prelude::*;

use super::*;
use crate::name;
use crate::zone::rdata::TypeName;

fn origin() -> Name {
    Name::parse("example.com.", &Name::root()).unwrap()
}

/// Reads a zone from memory with the files it may include.
fn read_with(text: &[u8], included: &[(&str, &str)]) -> (Records, Files, Diagnostics) {
    let included: HashMap<&str, &str> = included.iter().copied().collect();
    let mut open = |path: &Path| {
        let text = included.get(path.to_str().unwrap()).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.as_bytes().to_vec())
    };
    read_from(&origin(), "z", text, &mut open)
}

/// The records in the order of the lines: `OWNER TTL TYPE HEX`, then the diagnostics.
fn read_text(text: &str, included: &[(&str, &str)]) -> (Vec<String>, String) {
    let (records, _, diagnostics) = read_with(text.as_bytes(), included);
    let mut all: Vec<Record<'_>> = records.iter().collect();
    all.sort_by_key(|record| (record.file, record.line));
    (all.iter().map(print).collect(), diagnostics.to_string())
}

fn print(record: &Record<'_>) -> String {
    let owner = name::decode(record.owner);
    let owner = owner.strip_suffix("example.com.").unwrap_or(&owner);
    let hex = data_encoding::HEXLOWER.encode(record.rdata);
    format!("{owner} {} {} {hex}", record.ttl, TypeName(record.rtype))
}

#[test]
fn reads_what_rfc_1035_section_5_allows() {
    for (case, text, expected) in [
        ("a line with everything", "a 300 IN A 192.0.2.1", &["a. 300 A c0000201"][..]),
        ("class before TTL", "a IN 300 A 192.0.2.1", &["a. 300 A c0000201"]),
        ("no class", "a 1h30m A 192.0.2.1", &["a. 5400 A c0000201"]),
        ("the apex", "@ 1 A 192.0.2.1", &[" 1 A c0000201"]),
        ("an absolute owner", "A.example.COM. 1 A 192.0.2.1", &["a. 1 A c0000201"]),
        (
            "an owner with escapes",
            "a\\.b\\032c\\@ 1 A 192.0.2.1",
            &["a\\.b\\032c\\@. 1 A c0000201"],
        ),
        ("a wildcard", "*.a 1 A 192.0.2.1", &["*.a. 1 A c0000201"]),
        ("names keep their case in RDATA", "a 1 NS Ns.ORG.", &["a. 1 NS 024e73034f524700"]),
        ("the origin in RDATA", "a 1 CNAME @", &["a. 1 CNAME 076578616d706c6503636f6d00"]),
        (
            "an omitted owner",
            "a 1 A 192.0.2.1\n  A 192.0.2.2\n\tTXT x",
            &["a. 1 A c0000201", "a. 1 A c0000202", "a. 1 TXT 0178"],
        ),
        (
            "the TTL stated last",
            "a 1 A 192.0.2.1\nb 2 A 192.0.2.1\nc A 192.0.2.1",
            &["a. 1 A c0000201", "b. 2 A c0000201", "c. 2 A c0000201"],
        ),
        (
            "$TTL before the TTL stated last",
            "$TTL 1m\na A 192.0.2.1\nb 2 A 192.0.2.1\nc A 192.0.2.1\n$ttl 5\nd A 192.0.2.1",
            &["a. 60 A c0000201", "b. 2 A c0000201", "c. 60 A c0000201", "d. 5 A c0000201"],
        ),
        (
            "the SOA minimum where no TTL was stated",
            "@ SOA . . 1 1 1 1 7\na A 192.0.2.1",
            &[" 7 SOA 00000000000100000001000000010000000100000007", "a. 7 A c0000201"],
        ),
        (
            "$ORIGIN, relative and absolute",
            "$ORIGIN b\na 1 CNAME c\n$ORIGIN d.example.com.\n@ 1 CNAME e.",
            &["a.b. 1 CNAME 01630162076578616d706c6503636f6d00", "d. 1 CNAME 016500"],
        ),
        ("parentheses around everything", "(a\n1\nIN\nA\n192.0.2.1)", &["a. 1 A c0000201"]),
        (
            "the DKIM record that others misread",
            "a._domainkey 1 TXT ( \"v=DKIM1; k=rsa; \" ; comment\n  \"p=A;(B\" )",
            &["a._domainkey. 1 TXT 10763d444b494d313b206b3d7273613b2006703d413b2842"],
        ),
        ("a generic class and type", "a CLASS1 1 TYPE1 \\# 4 c0000201", &["a. 1 A c0000201"]),
        ("an unknown type", "a 1 TYPE65280 \\# 2 abcd", &["a. 1 TYPE65280 abcd"]),
        ("nothing to read", "; comment\n\n   \n", &[]),
    ] {
        let (records, diagnostics) = read_text(text, &[]);
        assert_eq!(records, expected, "{case}");
        assert_eq!(diagnostics, "", "{case}");
    }
}

#[test]
fn generates_records() {
    for (text, expected) in [
        ("$GENERATE 1-2 a$ 1 A 192.0.2.$", &["a1. 1 A c0000201", "a2. 1 A c0000202"][..]),
        (
            "$GENERATE 0-8/8 ${0,2,x} IN 1 TYPE1 192.0.2.${1}",
            &["00. 1 A c0000201", "08. 1 A c0000209"],
        ),
        ("$generate 1-1 a$ 1 MX \"10 b$\"", &["a1. 1 MX 000a026231076578616d706c6503636f6d00"]),
        ("$GENERATE 1-1 a$ 1 TXT \"x y$\" z$", &["a1. 1 TXT 0478207931027a31"]),
        ("$GENERATE 1-1 $ 1 PTR a\\$$.", &["1. 1 PTR 0361243100"]),
    ] {
        let (records, diagnostics) = read_text(text, &[]);
        assert_eq!(records, expected, "{text}");
        assert_eq!(diagnostics, "", "{text}");
    }
    let (records, _) = read_text("a 7 A 192.0.2.1\n$GENERATE 1-2 $ 8 TXT x\n  TXT y", &[]);
    assert_eq!(records.last().unwrap(), "a. 7 TXT 0179", "owner and TTL are those before it");
}

#[test]
fn what_an_included_file_changes_ends_with_it() {
    let (records, diagnostics) = read_text(
        "$TTL 1\n$ORIGIN x\na A 192.0.2.1\n$INCLUDE inc/one\n  TXT t\nb CNAME c\n\
         $INCLUDE \"inc/one\" y\n",
        &[
            ("inc/one", "  TXT i\n$TTL 2\n$ORIGIN sub\nd TXT d\n$INCLUDE two\n"),
            ("inc/two", "e TXT e\n"),
        ],
    );
    assert_eq!(diagnostics, "");
    let short: Vec<&str> =
        records.iter().map(|record| record.split(" CNAME").next().unwrap()).collect();
    assert_eq!(
        short,
        [
            "a.x. 1 A c0000201",
            "a.x. 1 TXT 0174",
            "b.x. 1",
            "a.x. 1 TXT 0169",
            "b.x. 1 TXT 0169",
            "d.sub.x. 2 TXT 0164",
            "d.sub.y.x. 2 TXT 0164",
            "e.sub.x. 2 TXT 0165",
            "e.sub.y.x. 2 TXT 0165",
        ]
    );
}

#[test]
fn numbers_the_files_it_reads() {
    let included = [("one", "a 1 TXT a\n"), ("two", "b 1 TXT b\n")];
    let text = b"$INCLUDE one\n$INCLUDE two\n$INCLUDE one b\n$INCLUDE three\n";
    let (records, files, diagnostics) = read_with(text, &included);
    let paths: Vec<&str> = files.paths().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(paths, ["z", "one", "two", "three"], "a missing file is watched too");
    assert_eq!(files.shown(2).map(|shown| &**shown), Some("two"));
    assert_eq!(records.iter().map(|record| record.file).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(diagnostics.counts(), (1, 0));
}

#[test]
fn bounds_includes() {
    let deep: Vec<(String, String)> =
        (0..40).map(|n| (format!("f{n}"), format!("$INCLUDE f{}\n", n + 1))).collect();
    let deep: Vec<(&str, &str)> = deep.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let (_, diagnostics) = read_text("$INCLUDE f0\n", &deep);
    assert!(
        diagnostics.starts_with(
            "f15:1:10: error: `f16` is included too deep: included by f15:1, included by f14:1,"
        ),
        "{diagnostics}"
    );
    // Each file includes the next twice: 2^15 files if nothing stopped it.
    let wide: Vec<(String, String)> = (0..15)
        .map(|n| (format!("f{n}"), format!("$INCLUDE f{0}\n$INCLUDE f{0}\n", n + 1)))
        .collect();
    let mut wide: Vec<(&str, &str)> = wide.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    wide.push(("f15", ""));
    let (_, diagnostics) = read_text("$INCLUDE f0\n", &wide);
    assert!(diagnostics.contains("the zone includes more than 1000 files"), "{diagnostics}");
}

#[test]
fn bounds_generated_records_over_the_whole_zone() {
    let line = "$GENERATE 1-400000 a$ 1 A 192.0.2.1\n";
    let (records, _, diagnostics) = read_with(line.repeat(3).as_bytes(), &[]);
    assert_eq!(records.len(), 400_000);
    assert!(
        diagnostics.to_string().contains("z:3:11: error: `1-400000` generates too many records")
    );
}

#[test]
fn bounds_the_length_of_generated_records_too() {
    let word = format!(" {}", "x".repeat(249));
    let line = format!("a 1 A 192.0.2.1\n$GENERATE 1-9999 a$ 1 TXT{}\n", word.repeat(250));
    let (records, _, diagnostics) = read_with(line.as_bytes(), &[]);
    assert!((2000..2200).contains(&records.len()), "{} records", records.len());
    let found: Vec<_> = diagnostics.sorted().iter().map(|one| one.what.clone()).collect();
    assert_eq!(found, ["`1-9999` generates too long records"]);
}

#[test]
fn says_a_missing_ttl_once() {
    for text in ["a A 192.0.2.1\nb A 192.0.2.2\n", "$TTL x\na A 192.0.2.1\nb A 192.0.2.2\n"] {
        let (_, _, diagnostics) = read_with(text.as_bytes(), &[]);
        assert_eq!(diagnostics.counts(), (1, 0), "{diagnostics}");
    }
}

#[test]
fn gives_up_on_a_file_that_is_no_zone() {
    let (_, _, diagnostics) = read_with("some,other,format\n".repeat(5000).as_bytes(), &[]);
    let said = diagnostics.to_string();
    let summary =
        "z: error: 900 more errors than the 100 mistakes shown; the file is not read further";
    assert!(said.starts_with(summary), "{said}");
    let garbage = format!("a {}", "x".repeat(1 << 20)).into_bytes();
    assert_eq!(read_with(&garbage, &[]).2.counts(), (1, 0));
}

#[test]
fn the_minimum_of_an_included_soa_record_is_a_default_for_the_zone() {
    let soa = [("soa", "@ SOA . . 1 1 1 1 7\n")];
    let (records, diagnostics) = read_text("$INCLUDE soa\na A 192.0.2.1\n", &soa);
    assert_eq!((records.first().unwrap().as_str(), diagnostics.as_str()), ("a. 7 A c0000201", ""));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.zone");
    let (records, files, diagnostics) = read(&origin(), &path, "zones/none.zone");
    assert!(records.is_empty());
    assert_eq!(files.paths().collect::<Vec<_>>(), [path]);
    let said = diagnostics.to_string();
    assert!(said.starts_with("zones/none.zone: error: the zone file cannot be read: "), "{said}");
}

/// Printable RDATA of a few types, as a master file has it.
fn rdata() -> impl Strategy<Value = String> {
    let label = "[a-z0-9_-]{1,12}";
    prop_oneof![
        any::<[u8; 4]>().prop_map(|a| format!("A {}", std::net::Ipv4Addr::from(a))),
        any::<[u8; 16]>().prop_map(|a| format!("AAAA {}", std::net::Ipv6Addr::from(a))),
        (any::<u16>(), label).prop_map(|(p, name)| format!("MX {p} {name}.example.net.")),
        prop::collection::vec(any::<u8>(), 0..255).prop_map(|octets| {
            let text =
                octets.iter().fold(String::new(), |text, octet| text + &format!("\\{octet:03}"));
            format!("TXT \"{text}\" plain")
        }),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|octets| {
            format!("TYPE65400 \\# {} {}", octets.len(), data_encoding::HEXUPPER.encode(&octets))
        }),
    ]
}

proptest! {
    #[test]
    fn any_octets_are_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read_with(&text, &[]);
    }

    #[test]
    fn any_text_of_the_right_words_is_read_without_a_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "@", "a", "IN", "300", "1w", "A", "MX", "TXT", "SOA", "LOC", "HTTPS", "NSEC", "SVCB",
            "192.0.2.1", "\"", "(", ")", "\n", "\r", ";", "\\", "\\#", "$TTL", "$ORIGIN",
            "$GENERATE", "1-9", "${1,2,x}", "$", "x=\"", "alpn=h2", "N", "E", "-", "4", "z",
            "\t", "\n@", "APL", "$INCLUDE",
        ]), 0..60),
        blanks in prop::collection::vec(prop::bool::ANY, 60),
    ) {
        let blanks = blanks.iter().map(|blank| if *blank { " " } else { "" });
        let pieces = words.iter().zip(blanks).map(|(word, blank)| format!("{word}{blank}"));
        let text: String = pieces.collect();
        let (records, files, _) = read_with(text.as_bytes(), &[]);
        let origin = origin();
        let content = crate::zone::Content {
            origin: &origin, records: &records, steered: &[], files: &files, complete: true,
        };
        let _ = crate::zone::check(&content, &mut |_| Ok(text.clone().into_bytes()));
    }

    #[test]
    fn records_printed_in_the_generic_form_read_the_same(
        lines in prop::collection::vec(("[a-z]{1,8}", 0u32..1 << 31, rdata()), 1..20),
    ) {
        let lines: Vec<String> =
            lines.iter().map(|(owner, ttl, rdata)| format!("{owner} {ttl} IN {rdata}\n")).collect();
        let text = lines.concat();
        let (records, _, diagnostics) = read_with(text.as_bytes(), &[]);
        prop_assert!(!diagnostics.has_errors(), "{diagnostics}");
        let printed: Vec<String> = records.iter().map(|record| {
            let owner = name::decode(record.owner);
            let hex = data_encoding::HEXLOWER.encode(record.rdata);
            let (ttl, rtype) = (record.ttl, record.rtype);
            format!("{owner} CLASS1 {ttl} TYPE{rtype} \\# {} {hex}\n", record.rdata.len())
        }).collect();
        let (again, _, _) = read_with(printed.concat().as_bytes(), &[]);
        let content = |records: &Records| -> Vec<(Vec<u8>, u16, u32, Vec<u8>)> {
            records.iter().map(|r| (r.owner.to_vec(), r.rtype, r.ttl, r.rdata.to_vec())).collect()
        };
        prop_assert_eq!(content(&records), content(&again));
        prop_assert!(records.len() <= lines.len());
    }
}
