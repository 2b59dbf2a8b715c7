//! Zones, and what the checks say of them.

use std::path::Path;

use super::*;
use crate::zone::read_from;

/// A zone without a mistake, for each case to add to.
const START: &str = "$TTL 60\n@ SOA ns1 . 1 1 1 1 1\n@ NS ns1\nns1 A 192.0.2.1\n";

/// The findings as `LINE SEVERITY: WHAT`, counted from the line after the start.
fn said(text: &str, steered: &[&str]) -> Vec<String> {
    let origin = Name::parse("example.com.", &Name::root()).unwrap();
    let text = format!("{START}{text}");
    let mut open = |_: &Path| Ok(text.clone().into_bytes());
    let (records, files, read) = read_from(&origin, "z", text.as_bytes(), &mut open);
    assert!(!read.has_errors(), "{read}");
    let steered = steered.iter().map(|text| {
        let (name, https) = text.strip_suffix("+https").map_or((*text, false), |name| (name, true));
        Steered { owner: Name::parse(name, &origin).unwrap(), https }
    });
    let steered: Vec<Steered> = steered.collect();
    let (records, steered, files) = (&records, &steered[..], &files);
    let content = Content { origin: &origin, records, steered, files, complete: true };
    let diagnostics = check(&content, &mut open);
    let shown = diagnostics.sorted().into_iter().map(|found| {
        let severity = if found.severity == Severity::Error { "error" } else { "warning" };
        format!("{} {severity}: {}", i64::from(found.at.line) - 4, found.what)
    });
    shown.collect()
}

#[test]
fn accepts_what_is_right() {
    for (case, text) in [
        ("nothing more", ""),
        ("several records of a set", "a A 192.0.2.1\na A 192.0.2.2\na AAAA ::1\n"),
        (
            "a CNAME with its signature",
            "a CNAME b\na RRSIG CNAME 8 3 60 1 1 1 @ AQ==\na NSEC b CNAME\n",
        ),
        (
            "signatures of unequal TTL",
            "a 60 RRSIG A 8 3 60 1 1 1 @ AQ==\na 90 RRSIG TXT 8 3 90 1 1 1 @ AQ==\n",
        ),
        ("a delegation with glue below", "sub NS ns.sub\nns.sub A 192.0.2.1\nns.sub AAAA ::1\n"),
        ("a delegation whose server is the cut", "sub NS sub\nsub A 192.0.2.1\n"),
        ("a delegation to a host of the zone", "sub NS ns1\nsub DS 1 8 9 ab\n"),
        ("a delegation elsewhere", "sub NS ns.example.net.\n"),
        ("glue in a sibling zone", "a NS ns.b\nb NS ns.b\nns.b A 192.0.2.1\n"),
        ("a DNAME beside other data", "a DNAME b\na TXT x\na A 192.0.2.1\n"),
        ("a mail exchange elsewhere, or none", "@ MX 1 mx.example.net.\n"),
        ("no service at all", "@ MX 0 .\n_x._tcp SRV 0 0 0 .\n"),
        ("names in upper case in RDATA", "@ MX 1 NS1\nsub NS NS.SUB\nns.sub A 192.0.2.1\n"),
        ("CNAME records in a row", "a CNAME b\nb CNAME c\nc A 192.0.2.1\n"),
        ("an address by a wildcard", "@ MX 1 mx.w\n*.w A 192.0.2.1\n"),
    ] {
        assert_eq!(said(text, &[]), [""; 0], "{case}");
    }
}

#[test]
fn finds_what_is_wrong() {
    for (case, text, expected) in [
        (
            "a third TTL in a set",
            "a 60 A 192.0.2.1\na 60 A 192.0.2.2\na 61 A 192.0.2.3\n",
            "3 error: TTL 61 differs from TTL 60 on line 6 of the same RRset",
        ),
        (
            "equal data of unequal TTL",
            "a 60 A 192.0.2.1\na 61 A 192.0.2.1\n",
            "2 error: TTL 61 differs from TTL 60 on line 5 of the same RRset",
        ),
        (
            "a CNAME beside a key",
            "a CNAME b\na DNSKEY 256 3 8 AQ==\n",
            "1 error: `a.example.com.` has a CNAME record and other data: `DNSKEY` on line 6",
        ),
        (
            "a name below a DNAME below a cut",
            "b.a DNAME c\na NS ns1\nx.b.a TXT x\n",
            "1 warning: the `DNAME` record of `b.a.example.com.` is never answered: \
             `a.example.com.` is delegated",
        ),
        (
            "a DNAME at the apex with a name below",
            "@ DNAME example.net.\n",
            "0 error: `ns1.example.com.` is below the DNAME record of `example.com.`",
        ),
        (
            "a loop behind a tail",
            "z CNAME y\ny CNAME x\nx CNAME y\n",
            "3 error: CNAME records in a loop: `x.example.com.` → `y.example.com.` → \
             `x.example.com.`",
        ),
        (
            "glue that only a wildcard would give",
            "sub NS ns.sub\n*.sub A 192.0.2.1\n",
            "1 error: `sub.example.com.` is delegated to `ns.sub.example.com.`, which has no glue",
        ),
        (
            "a server in a sibling zone without glue",
            "a NS ns.b\nb NS ns1\n",
            "1 warning: the `NS` record of `a.example.com.` points to `ns.b.example.com.`, which \
             has no address",
        ),
        (
            "a delegation to an alias",
            "sub NS b\nb CNAME ns1\n",
            "1 error: the `NS` record of `sub.example.com.` points to `b.example.com.`, an alias \
             by the CNAME record on line 6",
        ),
    ] {
        let found = said(text, &[]);
        assert!(found.iter().any(|found| found == expected), "{case}: {found:?}");
    }
}

#[test]
fn knows_the_names_services_answer() {
    for (case, text, steered, expected) in [
        ("a service is an address", "@ MX 1 www\n", &["www"][..], &[][..]),
        ("a service at a wildcard is one too", "@ MX 1 a.w\n", &["*.w"], &[]),
        ("other types stand beside a service", "www TXT x\nwww CAA 0 issue \";\"\n", &["www"], &[]),
        (
            "addresses do not",
            "www A 192.0.2.1\n",
            &["www"],
            &["1 error: a service answers for `www.example.com.`, which has `A` records too"],
        ),
        ("HTTPS beside a service", "www HTTPS 1 . alpn=h2\n", &["www"], &[]),
        (
            "HTTPS beside a service that answers it",
            "www HTTPS 1 . alpn=h2\n",
            &["www+https"],
            &["1 error: a service answers for `www.example.com.`, which has `HTTPS` records too"],
        ),
        (
            "an alias does not",
            "www CNAME ns1\n",
            &["WWW"],
            &["1 error: a service answers for `www.example.com.`, which has `CNAME` records too"],
        ),
        (
            "a service below a cut",
            "sub NS ns1\n",
            &["www.sub"],
            &["1 error: the service at `www.sub.example.com.` is in the zone delegated at \
               `sub.example.com.`"],
        ),
        (
            "a service at a cut",
            "sub NS ns1\n",
            &["sub"],
            &["1 error: the service at `sub.example.com.` is in the zone delegated at \
               `sub.example.com.`"],
        ),
        (
            "a service below a DNAME",
            "d DNAME ns1\n",
            &["www.d"],
            &["1 error: the service at `www.d.example.com.` is below the DNAME record of \
               `d.example.com.`"],
        ),
    ] {
        assert_eq!(said(text, steered), expected, "{case}");
    }
}

#[test]
fn says_nothing_about_what_is_missing_after_a_mistake() {
    let origin = Name::parse("example.com.", &Name::root()).unwrap();
    let mut open = |_: &Path| Ok(Vec::new());
    let (records, files, _) = read_from(&origin, "z", b"@ 1 NS ns1\nx 1 NS ns.x", &mut open);
    for (complete, errors) in [(true, 2), (false, 0)] {
        let (records, files) = (&records, &files);
        let content = Content { origin: &origin, records, steered: &[], files, complete };
        assert_eq!(check(&content, &mut open).counts().0, errors);
    }
}
