//! A generated zone in which every kind of name meets every other.

use std::fmt::Write as _;

use fastrand::Rng;

/// Apex of the generated zone.
pub(crate) const ORIGIN: &str = "mesh.test.";

/// Names of one sort: how many there are.
pub(crate) const HOSTS: usize = 300;
pub(crate) const EMPTY: usize = 40;
pub(crate) const WILD: usize = 40;
pub(crate) const CUTS: usize = 40;
pub(crate) const CHAINS: usize = 60;
pub(crate) const DNAMES: usize = 40;

/// A type and the text of its RDATA, with a number to vary it.
type Data = (&'static str, fn(usize) -> String);

const RDATA: [Data; 19] = [
    ("A", |n| format!("192.0.2.{}", n % 256)),
    ("AAAA", |n| format!("2001:db8::{:x}", 1 + n % 65_535)),
    ("TXT", |n| format!("\"Text {n}; (not a comment)\" second{n} \"\"")),
    ("MX", |n| format!("{} Host{}", n % 50, n % HOSTS)),
    ("SRV", |n| format!("{} {} {} host{}", n % 9, n % 5, n % 9999, n % HOSTS)),
    ("PTR", |n| format!("host{}.{ORIGIN}", n % HOSTS)),
    ("CAA", |n| format!("{} issue \"ca{n}.example; a=b\"", n % 2 * 128)),
    ("HINFO", |n| format!("\"cpu {n}\" os")),
    ("LOC", |n| format!("{} 30 12.500 N {} 15 0.000 W 10.00m 1m 100m 10m", n % 89, n % 179)),
    ("SSHFP", |n| format!("4 2 {n:064x}")),
    ("TLSA", |n| format!("3 1 1 {n:064x}")),
    ("NAPTR", |n| format!("{} 10 \"u\" \"E2U+sip\" \"!^.*$!sip:{n}@x.test!\" .", n % 99)),
    ("RP", |n| format!("admin{n} host{}", n % HOSTS)),
    ("AFSDB", |n| format!("1 host{}", n % HOSTS)),
    ("URI", |n| format!("{} 1 \"https://x.test/{n}\"", n % 99)),
    ("HTTPS", |n| format!("1 . alpn=h2,h3 port={} ipv4hint=192.0.2.{}", 1 + n % 999, n % 256)),
    ("SVCB", |n| format!("{} svc{n}.x.test. port=53", 1 + n % 9)),
    ("SPF", |n| format!("\"v=spf1 ip4:192.0.2.{} -all\"", n % 256)),
    ("TYPE65280", |n| format!("\\# 4 {n:08x}")),
];

/// The zone file.
pub(crate) fn zone(rng: &mut Rng) -> String {
    let mut text = format!(
        "$ORIGIN {ORIGIN}\n$TTL 3600\n\
         @ IN SOA ns1 hostmaster 2026092101 7200 900 1209600 300\n\
         @ 7200 IN NS ns1\n@ 7200 IN NS NS2\n@ 7200 IN NS ns.other.example.\n\
         ns1 IN A 192.0.2.1\nns2 IN AAAA 2001:db8::53\n\
         @ 60 IN A 192.0.2.80\n@ IN MX 10 host1\n@ IN TXT \"apex\"\n"
    );
    for n in 0..HOSTS {
        let owner = mixed(rng, &format!("host{n}"));
        records(&mut text, rng, &owner);
    }
    for n in 0..EMPTY {
        let depth = ["b", "a.b", "a.a.b"][n % 3];
        records(&mut text, rng, &format!("{depth}.empty{n}"));
    }
    wildcards(&mut text, rng);
    cuts(&mut text, rng);
    chains(&mut text, rng);
    dnames(&mut text);
    text
}

/// One to four RRsets of one to three records at `owner`.
fn records(text: &mut String, rng: &mut Rng, owner: &str) {
    let mut left: Vec<usize> = (0..RDATA.len()).collect();
    for _ in 0..rng.usize(1..=4) {
        let (rtype, rdata) = RDATA[left.swap_remove(rng.usize(..left.len()))];
        let ttl = rng.u32(1..100_000);
        let first = rng.usize(..100_000);
        for number in 0..rng.usize(1..=3) {
            writeln!(text, "{owner} {ttl} IN {rtype} {}", rdata(first + number)).unwrap();
        }
    }
}

fn wildcards(text: &mut String, rng: &mut Rng) {
    for n in 0..WILD {
        match n % 6 {
            0 => writeln!(text, "*.wild{n} IN CNAME host{n}").unwrap(),
            1 => writeln!(text, "*.wild{n} IN CNAME none.wild{n}.empty1").unwrap(),
            _ => records(text, rng, &format!("*.wild{n}")),
        }
        if n % 2 == 0 {
            // A name beside the wildcard, one that makes an empty non-terminal beside it, and
            // one below the asterisk itself (RFC 4592 section 2.2.1).
            records(text, rng, &format!("known.wild{n}"));
            records(text, rng, &format!("deep.hollow.wild{n}"));
            records(text, rng, &format!("below.*.wild{n}"));
        }
    }
}

fn cuts(text: &mut String, rng: &mut Rng) {
    for n in 0..CUTS {
        let cut = format!("cut{n}");
        match n % 5 {
            0 => writeln!(text, "{cut} 900 IN NS ns.{cut}\nns.{cut} IN A 192.0.2.{n}").unwrap(),
            1 => writeln!(
                text,
                "{cut} IN NS ns.deep.{cut}\n{cut} IN NS ns1\n\
                 ns.deep.{cut} IN A 192.0.2.{n}\nns.deep.{cut} 60 IN AAAA 2001:db8::{n}"
            )
            .unwrap(),
            2 => writeln!(text, "{cut} IN NS ns.elsewhere.example.").unwrap(),
            3 => writeln!(text, "{cut} IN NS Host{n}\n{cut} IN NS ns.other{n}.example.").unwrap(),
            _ => writeln!(text, "a.b.{cut} IN NS {cut}.a.b.{cut}\n{cut}.a.b.{cut} IN A 192.0.2.9")
                .unwrap(),
        }
        if n % 10 < 3 {
            let digest = rng.u64(..);
            writeln!(text, "{cut} 1800 IN DS {n} 13 2 {digest:064x}").unwrap();
        }
    }
}

fn chains(text: &mut String, rng: &mut Rng) {
    for n in 0..CHAINS {
        let end = match n % 10 {
            0 => format!("host{}", rng.usize(..HOSTS)),
            1 => "missing".to_owned(),
            2 => format!("empty{}", rng.usize(..EMPTY)),
            3 => format!("any{n}.wild{}", rng.usize(..WILD)),
            4 => format!("below.cut{}", rng.usize(..CUTS)),
            5 => "outside.example.".to_owned(),
            6 => format!("x.alias{}", rng.usize(..DNAMES)),
            7 => format!("cut{}", rng.usize(..CUTS)),
            8 => format!("HOST{}", rng.usize(..HOSTS)),
            _ => ORIGIN.to_owned(),
        };
        let length = rng.usize(1..=6);
        for link in 0..length {
            let target =
                if link + 1 == length { end.clone() } else { format!("link{}.chain{n}", link + 1) };
            let ttl = 10 * (link + 1);
            writeln!(text, "link{link}.chain{n} {ttl} IN CNAME {target}").unwrap();
        }
    }
}

fn dnames(text: &mut String) {
    for n in 0..DNAMES {
        let target = match n % 6 {
            0 => "mesh.test.".to_owned(),
            1 => "tree.example.".to_owned(),
            // To a lower number, so that no chain runs in a circle.
            2 => format!("alias{}", n - 2),
            3 => format!("wild{n}"),
            4 => format!("cut{n}"),
            _ => format!("{0}.{0}.{0}.empty{n}", "long-label-".repeat(5)),
        };
        writeln!(text, "Alias{n} {} IN DNAME {target}", 30 + n).unwrap();
        if n % 4 == 0 {
            writeln!(text, "alias{n} IN A 192.0.2.{n}\nalias{n} IN TXT \"beside\"").unwrap();
        }
    }
}

/// The same name with some letters in upper case.
pub(crate) fn mixed(rng: &mut Rng, name: &str) -> String {
    name.chars().map(|c| if rng.bool() { c.to_ascii_uppercase() } else { c }).collect()
}
