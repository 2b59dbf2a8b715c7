//! What holds for every reply, whatever the query.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // Test.

mod dns_support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use dns_support::{Query, script, sound};
use meridian::dns::limit::Limited;
use meridian::dns::{Parsed, Reply, Transport, answer, engine};
use meridian::name::NAME_MAX;
use meridian::snapshot::Snapshot;
use proptest::prelude::*;

static WORLD: LazyLock<Snapshot> = LazyLock::new(|| {
    let world = include_str!("data/dns/properties.world");
    let options = "option nsid=a-name\noption secret=e5e973e5a6b2a43f48e7dc849e37bfcf";
    script::world(&format!("{world}\n{options}"))
});

/// Names that lie everywhere in the world, in any case, with a label or two more.
fn names() -> impl Strategy<Value = String> {
    let known = [
        "", "ns1.", "www.", "w.", "host.w.", "x.loop.", "sub.", "ns.sub.", "one.", "a.", "d.",
        "x.d.", "x.e.", "grow.", "q.grow.", "big.", "geo.", "apart.", "x.geo.", "six.", "near.",
        "ill.", "dead.", "no.", "bound.", "_s.",
    ];
    let zones = ["example.com.", "example.com.", "example.com.", "broken.test.", "org.", ""];
    let more = prop_oneof![4 => Just(String::new()), 1 => "[a-zA-Z0-9*_-]{1,63}\\.",
        1 => "([a-z]{1,9}\\.){1,40}"];
    let parts = (more, prop::sample::select(known.to_vec()), prop::sample::select(zones.to_vec()));
    (parts, any::<u64>()).prop_map(|((more, known, zone), case)| {
        let mut name = format!("{more}{known}{zone}");
        // 255 octets in wire form at most: of a longer name the last labels, which are in a zone.
        while name.len() >= NAME_MAX {
            name = name.split_once('.').unwrap().1.to_owned();
        }
        if name.is_empty() {
            name.push('.');
        }
        let flip = |(at, letter): (usize, char)| {
            if case >> (at % 64) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
        };
        name.chars().enumerate().map(flip).collect()
    })
}

fn queries() -> impl Strategy<Value = Vec<u8>> {
    let types = prop_oneof![
        prop::sample::select(&[1u16, 1, 28, 2, 5, 6, 16, 33, 39, 43, 65, 65, 255, 252, 65280][..]),
        any::<u16>(),
    ];
    let edns = prop::option::of((0..5000u16, any::<bool>(), 0..=32u8, any::<u32>(), 0..4u8));
    let others =
        prop::collection::vec((prop::sample::select(&[3u8, 10, 10, 15][..]), others()), 0..3);
    (names(), types, edns, others, any::<[u8; 2]>()).prop_map(
        |(name, qtype, edns, others, flags)| {
            let mut query = Query::new(&name, qtype);
            if let Some((size, dnssec_ok, source, address, options)) = edns {
                let masked = meridian::prefix::mask32(source) & address;
                if options > 0 {
                    query = query.subnet(IpAddr::V4(Ipv4Addr::from(masked)), source);
                } else {
                    query = query.edns(size, &[]);
                }
                let edns = query.edns.as_mut().unwrap();
                (edns.0, edns.2) = (size, dnssec_ok);
                for (code, data) in others {
                    edns.3.extend([0, code, 0, data.len() as u8]);
                    edns.3.extend(data);
                }
            }
            // Mostly opcode QUERY; RD, CD, AD and the reserved bit in all mixtures.
            query.flags = [flags[0] & 0x07, flags[1]];
            query.wire()
        },
    )
}

/// Data of other options: cookies of all lengths, and one of ours.
fn others() -> impl Strategy<Value = Vec<u8>> {
    let ours = [
        0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57, 1, 0, 0, 0, 0x5c, 0xf7, 0x9f, 0x11, 0x1f,
        0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80,
    ];
    prop_oneof![
        prop::sample::select(&[0usize, 8, 16, 24, 40][..]).prop_map(|length| vec![7; length]),
        prop::collection::vec(any::<u8>(), 0..50),
        Just(ours.to_vec()),
    ]
}

/// Flips, cuts, doubles and inserts octets.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6);
    (queries(), changes).prop_map(|(mut wire, changes)| {
        for (place, octet, change) in changes {
            if wire.is_empty() {
                break;
            }
            let at = place.index(wire.len());
            match change {
                0 => wire[at] = octet,
                1 => wire[at] ^= 1 << (octet % 8),
                2 => wire.insert(at, octet),
                _ => wire.truncate(at),
            }
        }
        wire
    })
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

/// What slips through the limiter is no longer than the query, and has no records.
fn check_slip(query: &[u8]) {
    let (mut out, mut parsed) = (vec![0xaa; 4096], Parsed::default());
    let peer = dns_support::peer(Transport::Udp);
    let answer = answer(&WORLD, query, peer, 7, &mut out);
    parsed.parse(query);
    let curbed = engine::curb(&WORLD, query, &parsed, answer, Limited::Slipped, &mut out);
    let Reply::Length(length) = curbed.reply else { panic!("no slip") };
    assert!(length <= query.len(), "{length} octets for {}", query.len());
    let decoded = sound::decode(&out[..length]);
    assert!(decoded.metadata.truncation);
    let records = decoded.answers.len() + decoded.authorities.len() + decoded.additionals.len();
    assert_eq!((records, u16::from(decoded.metadata.response_code)), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn sound_queries_get_sound_replies_within_the_limit(query in queries()) {
        prop_assert!(sound::check(&WORLD, &query).is_some());
        check_slip(&query);
    }

    #[test]
    fn mutated_queries_get_sound_replies_or_none(query in mutated()) {
        if sound::check(&WORLD, &query).is_some() {
            check_slip(&query);
        }
    }

    #[test]
    fn arbitrary_octets_get_sound_replies_or_none(query in octets()) {
        if sound::check(&WORLD, &query).is_some() {
            check_slip(&query);
        }
    }
}

#[test]
fn queries_never_differ_by_how_a_value_was_used_before() {
    let mut parsed = Parsed::default();
    let wires: Vec<Vec<u8>> = [("www.example.com.", 1), ("x.geo.example.com.", 28), ("a.b.c.", 1)]
        .iter()
        .flat_map(|(name, qtype)| {
            let query = Query::new(name, *qtype);
            [query.clone().wire(), query.edns(1232, &[]).wire(), vec![0; 5], vec![0; 12]]
        })
        .collect();
    for wire in wires.iter().chain(wires.iter().rev()) {
        let mut out = vec![0; 1232];
        parsed.parse(wire);
        engine::locate(&WORLD, &mut parsed);
        engine::touch(&WORLD, std::slice::from_ref(&parsed));
        let peer = dns_support::peer(Transport::Udp);
        let reused = engine::respond(&WORLD, wire, &parsed, peer, 7, &mut out);
        let mut fresh = vec![0; 1232];
        let answer = answer(&WORLD, wire, peer, 7, &mut fresh);
        assert_eq!((reused.reply, reused.facts), (answer.reply, answer.facts));
        assert_eq!(out, fresh);
    }
}
