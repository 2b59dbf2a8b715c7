//! Lengths and counts at which a reply changes its form, and one octet beside them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Test.

mod dns_support;

use dns_support::{Builder, Query, ask, ask_as, decode, peer};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use meridian::dns::{Peer, Transport};
use meridian::snapshot::Snapshot;

/// Octets of a reply without records to `t.example.com.`, of a record owned by it, of OPT.
const EMPTY: usize = 12 + 15 + 4;
const RECORD: usize = 12;
const OPT: usize = 11;

fn zone() -> Builder {
    let mut world = Builder::default();
    world.zone("example.com.");
    world.record("@ 60 SOA ns1 host 1 60 60 60 60");
    world.record("@ 60 NS ns1");
    world
}

/// A world in which the reply for type 65280 has this length, without OPT.
fn reply_of(length: usize) -> Snapshot {
    let mut world = zone();
    let octets = length - EMPTY - RECORD;
    world.record(&format!("t 60 TYPE65280 \\# {octets} {}", "ab".repeat(octets)));
    world.build()
}

#[test]
fn a_reply_as_long_as_the_limit_is_whole_and_one_octet_more_is_cut() {
    let plain = Query::new("t.example.com.", 65280);
    let edns = |size| plain.clone().edns(size, &[]);
    for (what, query, limit) in [
        ("without EDNS", plain.clone(), 512),
        ("the client's size", edns(900), 900 - OPT),
        ("a size too small to be one", edns(100), 512 - OPT),
        ("our own limit", edns(4096), 1232 - OPT),
        ("our own limit with a subnet", plain.clone().subnet([0; 4].into(), 0), 1232 - OPT - 8),
    ] {
        for (length, cut) in [(limit - 1, false), (limit, false), (limit + 1, true)] {
            let world = reply_of(length);
            let (reply, facts) = ask(&world, &query.wire(), Transport::Udp);
            let reply = reply.unwrap();
            let message = decode(&reply);
            assert_eq!(message.metadata.truncation, cut, "{what}: {length}");
            assert_eq!(facts.truncated, cut, "{what}: {length}");
            assert_eq!(message.answers.len(), usize::from(!cut), "{what}: {length}");
            assert_eq!(message.edns.is_some(), query.edns.is_some(), "{what}: {length}");
            let (tcp, _) = ask(&world, &query.wire(), Transport::Tcp);
            assert!(!decode(&tcp.unwrap()).metadata.truncation);
        }
    }
}

#[test]
fn an_extended_error_is_left_out_where_only_the_answer_fits() {
    let mut world = zone();
    let addresses: Vec<String> = (0..40).map(|n| format!("192.0.2.{n}")).collect();
    world.service(&format!("t ttl=5 v4={} down", addresses.join(",")));
    let world = world.build();
    let whole = EMPTY + 40 * 16 + OPT;
    let ede = 6 + "everything is down".len();
    for (size, error) in [(whole, false), (whole + ede - 1, false), (whole + ede, true)] {
        let query = Query::new("t.example.com.", 1).edns(size as u16, &[]).wire();
        let reply = ask(&world, &query, Transport::Udp).0.unwrap();
        let message = decode(&reply);
        assert!(!message.metadata.truncation && message.answers.len() == 40, "{size}");
        assert_eq!(reply.len(), if error { size } else { whole }, "{size}");
        assert_eq!(message.edns.unwrap().options().as_ref().len(), usize::from(error), "{size}");
    }
    let query = Query::new("t.example.com.", 1).edns(whole as u16 - 1, &[]).wire();
    let reply = ask(&world, &query, Transport::Udp).0.unwrap();
    assert!(decode(&reply).metadata.truncation);
}

#[test]
fn a_redirected_name_may_have_255_octets_and_no_more() {
    // The target has 4 + 1 octets more than what stands before the DNAME: 250 of 255 are left.
    let mut world = zone();
    world.record("d 60 DNAME far.");
    let world = world.build();
    let prefix = |last: usize| {
        let labels = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "e".repeat(last)];
        labels.join(".")
    };
    // 3 * 64 octets, the last label, and `d.example.com.` of 15: 255 at most to be asked for.
    let longest = Query::new(&format!("{}.d.example.com.", prefix(47)), 1);
    let reply = decode(&ask(&world, &longest.wire(), Transport::Tcp).0.unwrap());
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert_eq!(reply.answers.len(), 2);

    let mut world = zone();
    world.record("d 60 DNAME as.long.as.it.must.be.to.pass.it");
    let world = world.build();
    let target = "as.long.as.it.must.be.to.pass.it.example.com.".len() + 1;
    let fits = 255 - target - 3 * 64 - 1;
    for (last, code) in [(fits, ResponseCode::NXDomain), (fits + 1, ResponseCode::YXDomain)] {
        let query = Query::new(&format!("{}.d.example.com.", prefix(last)), 1);
        let reply = decode(&ask(&world, &query.wire(), Transport::Tcp).0.unwrap());
        assert_eq!(reply.metadata.response_code, code, "{last}");
        assert!(reply.answers.iter().any(|r| r.record_type() == RecordType::DNAME));
    }
}

#[test]
fn a_chain_is_followed_for_16_names_and_the_rest_is_the_resolvers_to_ask() {
    let mut world = zone();
    for link in 0..20 {
        world.record(&format!("c{link} 60 CNAME c{}", link + 1));
    }
    world.record("c20 60 A 192.0.2.1");
    let world = world.build();
    for (first, aliases, address) in [(19, 1, 1), (5, 15, 1), (4, 16, 0), (0, 16, 0)] {
        let query = Query::new(&format!("c{first}.example.com."), 1).wire();
        let reply = decode(&ask(&world, &query, Transport::Tcp).0.unwrap());
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert!(reply.metadata.authoritative && reply.authorities.is_empty());
        let count = |rtype| reply.answers.iter().filter(|r| r.record_type() == rtype).count();
        assert_eq!((count(RecordType::CNAME), count(RecordType::A)), (aliases, address), "{first}");
    }
}

#[test]
fn a_query_from_port_0_has_no_reply() {
    let world = reply_of(100);
    let query = Query::new("t.example.com.", 65280).wire();
    let mut peer: Peer = peer(Transport::Udp);
    assert!(ask_as(&world, &query, peer).0.is_some());
    peer.address.set_port(0);
    let (reply, facts) = ask_as(&world, &query, peer);
    assert!(reply.is_none() && facts.malformed);
}
