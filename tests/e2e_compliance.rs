//! RFC 8906 section 8, test by test, with the queries that it gives for dig; and what resolvers and
//! validators of others make of a running server.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

#[path = "compliance/resolvers.rs"]
mod resolvers;
mod support;

use std::fmt::Write as _;
use std::process::Command;

use support::meridian::Meridian;
use support::process::output;
use support::site::{Site, zone};

const FLEET: &str = "version = 1\n[region.near]\nlocation = { lat = 50, lon = 8 }\n";

/// A test of the RFC: its section, what it asks, and what must be in the answer.
struct Case {
    section: &'static str,
    dig: &'static str,
    status: &'static str,
    flags: &'static str,
    soa: bool,
    /// The OPT record, as dig shows its version and flags.
    opt: Option<&'static str>,
}

const PLAIN: Case = Case {
    section: "8.1.1: is the server configured for the zone?",
    dig: "+noedns +noad +norec soa one.test",
    status: "NOERROR",
    flags: "qr aa",
    soa: true,
    opt: None,
};

const EDNS: Case = Case {
    section: "8.2.1: minimal EDNS",
    dig: "+nocookie +edns=0 +noad +norec soa one.test",
    opt: Some("version: 0, flags:; udp"),
    ..PLAIN
};

const NEWER: Case = Case {
    section: "8.2.2: EDNS version negotiation",
    dig: "+nocookie +edns=1 +noednsneg +noad +norec soa one.test",
    status: "BADVERS",
    flags: "qr",
    soa: false,
    ..EDNS
};

const CASES: [Case; 18] = [
    PLAIN,
    Case {
        section: "8.1.2: unknown types",
        dig: "+noedns +noad +norec type1000 one.test",
        soa: false,
        ..PLAIN
    },
    // RFC 4035 section 3.1.6: CD is copied.
    Case {
        section: "8.1.3.1: CD = 1",
        dig: "+noedns +noad +norec +cd soa one.test",
        flags: "qr aa cd",
        ..PLAIN
    },
    Case { section: "8.1.3.2: AD = 1", dig: "+noedns +norec +ad soa one.test", ..PLAIN },
    Case {
        section: "8.1.3.3: reserved bit",
        dig: "+noedns +noad +norec +zflag soa one.test",
        ..PLAIN
    },
    Case {
        section: "8.1.3.4: recursive queries",
        dig: "+noedns +noad +rec soa one.test",
        flags: "qr aa rd",
        ..PLAIN
    },
    Case {
        section: "8.1.4: unknown opcodes",
        dig: "+noedns +noad +opcode=15 +norec +header-only",
        status: "NOTIMP",
        flags: "qr",
        soa: false,
        ..PLAIN
    },
    Case { section: "8.1.5: TCP", dig: "+noedns +noad +norec +tcp soa one.test", ..PLAIN },
    EDNS,
    NEWER,
    Case {
        section: "8.2.3: unknown EDNS options",
        dig: "+nocookie +edns=0 +noad +norec +ednsopt=100 soa one.test",
        ..EDNS
    },
    Case {
        section: "8.2.4: unknown EDNS flags",
        dig: "+nocookie +edns=0 +noad +norec +ednsflags=0x40 soa one.test",
        ..EDNS
    },
    Case {
        section: "8.2.5: version negotiation with unknown flags",
        dig: "+nocookie +edns=1 +noednsneg +noad +norec +ednsflags=0x40 soa one.test",
        ..NEWER
    },
    Case {
        section: "8.2.6: version negotiation with unknown options",
        dig: "+nocookie +edns=1 +noednsneg +noad +norec +ednsopt=100 soa one.test",
        ..NEWER
    },
    Case {
        section: "8.2.7: truncated responses",
        dig: "+nocookie +norec +noad +dnssec +bufsize=512 +ignore txt big.one.test",
        flags: "qr aa tc",
        soa: false,
        opt: Some("version: 0, flags: do; udp"),
        ..EDNS
    },
    Case {
        section: "8.2.8: DO = 1",
        dig: "+nocookie +edns=0 +noad +norec +dnssec soa one.test",
        opt: Some("version: 0, flags: do; udp"),
        ..EDNS
    },
    Case {
        section: "8.2.9: version negotiation with DO = 1",
        dig: "+nocookie +edns=1 +noednsneg +noad +norec +dnssec soa one.test",
        opt: Some("version: 0, flags: do; udp"),
        ..NEWER
    },
    Case {
        section: "8.2.10: multiple defined EDNS options",
        dig: "+edns=0 +noad +norec +cookie +nsid +expire +subnet=0.0.0.0/0 soa one.test",
        ..EDNS
    },
];

/// A server, and its zone with a name too big for a datagram.
fn world() -> (Meridian, Site) {
    let site = Site::new("near");
    site.write("config/fleet.toml", FLEET);
    let mut records = "www IN A 192.0.2.1\n".to_owned();
    for n in 0..9 {
        writeln!(records, "big IN TXT \"{n}{}\"", "x".repeat(200)).unwrap();
    }
    site.write("zones/one.test.zone", &zone("one.test.", 1, &records));
    (site.serve(), site)
}

fn dig(arguments: &str) -> String {
    let (_meridian, site) = world();
    let mut command = Command::new("dig");
    command.arg(format!("@{}", site.dns.ip())).args(["-p", &site.dns.port().to_string()]);
    output(command.args(["+tries=1", "+timeout=5"]).args(arguments.split(' ')))
}

/// What stands between two marks of a text.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

fn check(case: &Case) {
    let text = dig(case.dig);
    let shown = format!("section {}\n{text}", case.section);
    assert_eq!(between(&text, "status: ", ","), Some(case.status), "{shown}");
    assert_eq!(between(&text, ";; flags: ", ";"), Some(case.flags), "{shown}");
    let answers = between(&text, "ANSWER: ", ",").unwrap();
    assert_eq!(answers, if case.soa { "1" } else { "0" }, "{shown}");
    assert_eq!(text.contains("\tSOA\tns1.one.test."), case.soa || answers_nothing(case), "{shown}");
    let opt = between(&text, "; EDNS: ", ":");
    assert_eq!(opt.is_some(), case.opt.is_some(), "{shown}");
    if let Some(opt) = case.opt {
        assert!(text.contains(&format!("; EDNS: {opt}")), "{shown}");
    }
    // Neither a reserved bit nor an option that is unknown comes back.
    assert!(!text.contains("MBZ") && !text.contains("OPT=100"), "{shown}");
}

/// Whether the answer is a negative one, with SOA in the authority section.
fn answers_nothing(case: &Case) -> bool {
    case.status == "NOERROR" && !case.soa && !case.flags.contains("tc")
}

macro_rules! sections {
    ($($name:ident: $number:literal,)*) => {
        $(#[test]
        fn $name() {
            check(&CASES[$number]);
        })*
    };
}

sections! {
    section_8_1_1_configured_for_the_zone: 0,
    section_8_1_2_unknown_types: 1,
    section_8_1_3_1_checking_disabled: 2,
    section_8_1_3_2_authentic_data: 3,
    section_8_1_3_3_reserved_bit: 4,
    section_8_1_3_4_recursive_queries: 5,
    section_8_1_4_unknown_opcodes: 6,
    section_8_1_5_tcp: 7,
    section_8_2_1_minimal_edns: 8,
    section_8_2_2_version_negotiation: 9,
    section_8_2_3_unknown_options: 10,
    section_8_2_4_unknown_flags: 11,
    section_8_2_5_version_negotiation_with_unknown_flags: 12,
    section_8_2_6_version_negotiation_with_unknown_options: 13,
    section_8_2_7_truncated_responses: 14,
    section_8_2_8_dnssec_ok: 15,
    section_8_2_9_version_negotiation_with_dnssec_ok: 16,
    section_8_2_10_several_options: 17,
}

#[test]
fn several_options_are_answered_each_on_its_own() {
    let text = dig(CASES[17].dig);
    for option in ["COOKIE: ", "NSID: ", "CLIENT-SUBNET: 0.0.0.0/0/0"] {
        assert!(text.contains(option), "{option}\n{text}");
    }
}
