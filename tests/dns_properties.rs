//! What holds for every reply, whatever the query.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Test.

mod dns_support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use dns_support::{Query, ask, decode, script, without_transport_options};
use meridian::dns::Transport;
use meridian::snapshot::Snapshot;
use proptest::prelude::*;

static WORLD: LazyLock<Snapshot> =
    LazyLock::new(|| script::world(include_str!("data/dns/properties.world")));

/// Names that lie everywhere in the world, in any case, with a label or two more.
fn names() -> impl Strategy<Value = String> {
    let known = [
        "", "ns1.", "www.", "w.", "host.w.", "x.loop.", "sub.", "ns.sub.", "one.", "a.", "d.",
        "x.d.", "x.e.", "grow.", "q.grow.", "big.", "geo.", "x.geo.", "six.", "near.", "ill.",
        "dead.", "no.",
    ];
    let zones = ["example.com.", "example.com.", "example.com.", "broken.test.", "org.", ""];
    let more = prop_oneof![4 => Just(String::new()), 1 => "[a-zA-Z0-9*_-]{1,63}\\.",
        1 => "([a-z]{1,9}\\.){1,40}"];
    let parts = (more, prop::sample::select(known.to_vec()), prop::sample::select(zones.to_vec()));
    (parts, any::<u64>()).prop_map(|((more, known, zone), case)| {
        let name = format!("{more}{known}{zone}");
        let name = match name.len() {
            0 => ".".to_owned(),
            1..=254 => name,
            _ => known.to_owned() + "example.com.",
        };
        let flip = |(at, letter): (usize, char)| {
            if case >> (at % 64) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
        };
        name.chars().enumerate().map(flip).collect()
    })
}

fn queries() -> impl Strategy<Value = Vec<u8>> {
    let types = prop_oneof![
        prop::sample::select(&[1u16, 1, 28, 2, 5, 6, 16, 39, 43, 255, 252, 65280][..]),
        any::<u16>(),
    ];
    let edns = prop::option::of((0..5000u16, any::<bool>(), 0..=32u8, any::<u32>(), 0..4u8));
    (names(), types, edns, any::<[u8; 2]>()).prop_map(|(name, qtype, edns, flags)| {
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
        }
        // Mostly opcode QUERY; RD, CD, AD and the reserved bit in all mixtures.
        query.flags = [flags[0] & 0x07, flags[1]];
        query.wire()
    })
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

/// The question of a query or reply that has one, as its octets.
fn question(message: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    loop {
        match *message.get(at)? {
            0 => break,
            length => at += 1 + usize::from(length),
        }
    }
    message.get(12..at + 5)
}

fn check(query: &[u8]) {
    let (udp, facts) = ask(&WORLD, query, Transport::Udp);
    let (tcp, _) = ask(&WORLD, query, Transport::Tcp);
    assert_eq!(udp.is_some(), tcp.is_some());
    let (Some(udp), Some(tcp)) = (udp, tcp) else { return };
    let (decoded, _) = (decode(&udp), decode(&tcp));
    let bare = without_transport_options(&tcp);
    for transport in [Transport::Tls, Transport::Https, Transport::Http3, Transport::Quic] {
        let reply = ask(&WORLD, query, transport).0.unwrap();
        assert_eq!(without_transport_options(&reply), bare, "{transport:?} differs");
    }
    assert_eq!(udp[..2], query[..2], "the id");
    assert_eq!(udp[2] & 0x80, 0x80, "QR");
    let edns = decoded.edns.as_ref();
    let limit = if edns.is_some() { 700 } else { 512 };
    assert!(udp.len() <= limit, "{} octets", udp.len());
    assert_eq!(facts.truncated, decoded.metadata.truncation);
    if decoded.metadata.truncation {
        let records = decoded.answers.len() + decoded.authorities.len();
        assert_eq!(records + decoded.additionals.len(), 0, "a cut reply has records");
    } else {
        assert_eq!(udp, bare, "UDP and TCP differ");
    }
    if !decoded.queries.is_empty() {
        assert_eq!(question(&udp), question(query), "the question");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn sound_queries_get_sound_replies_within_the_limit(query in queries()) {
        check(&query);
        prop_assert!(ask(&WORLD, &query, Transport::Udp).0.is_some());
    }

    #[test]
    fn mutated_queries_get_sound_replies_or_none(query in mutated()) {
        check(&query);
    }

    #[test]
    fn arbitrary_octets_get_sound_replies_or_none(query in octets()) {
        check(&query);
    }
}

#[test]
fn queries_never_differ_by_how_a_value_was_used_before() {
    use meridian::dns::{Parsed, engine};
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
        let answer = engine::answer(&WORLD, wire, peer, 7, &mut fresh);
        assert_eq!((reused.reply, reused.facts), (answer.reply, answer.facts));
        assert_eq!(out, fresh);
    }
}
