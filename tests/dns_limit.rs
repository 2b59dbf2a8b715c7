//! Response rate limiting and cookies through real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // Test.

mod dns_support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dns_support::{Query, script};
use meridian::dns::limit::{Kind, Limited};
use meridian::dns::{Counters, Standing, Totals, UdpServer, UdpSockets};
use meridian::snapshot::Labels;

/// No test waits longer than this for a datagram.
const DEADLINE: Duration = Duration::from_secs(10);
/// Octets of the TC bit's place in a reply, and the bit.
const TC: (usize, u8) = (2, 0x02);

/// The world of the tests, with these options.
fn serve(options: &str) -> (UdpServer, Counters) {
    let world = include_str!("data/dns/properties.world");
    let world = script::world(&format!("{world}\n{options}"));
    let labels = || Arc::new(Labels::new(16));
    let counters = Counters::new(labels(), labels());
    let sockets = UdpSockets::bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap();
    let server = sockets.serve(&Arc::new(ArcSwap::from_pointee(world)), &counters).unwrap();
    (server, counters)
}

/// A client at this address.
fn client(server: &UdpServer, address: [u8; 4]) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::from(address), 0))).unwrap();
    socket.connect(server.addresses()[0]).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn exchange(client: &UdpSocket, query: &[u8]) -> Vec<u8> {
    client.send(query).unwrap();
    let mut reply = vec![0; 4096];
    let length = client.recv(&mut reply).expect("a reply");
    reply.truncate(length);
    reply
}

/// Takes what has come without waiting: whole replies, truncated ones, octets of all.
fn drain(client: &UdpSocket, seen: &mut [usize; 3], longest: usize) {
    client.set_nonblocking(true).unwrap();
    let mut reply = [0; 4096];
    while let Ok(length) = client.recv(&mut reply) {
        let cut = reply[TC.0] & TC.1 != 0;
        assert!(!cut || length <= longest, "{length} octets for a query of {longest}");
        seen[usize::from(cut)] += 1;
        seen[2] += length;
    }
    client.set_nonblocking(false).unwrap();
}

/// Answers of this fate, over all kinds.
fn limited(totals: &Totals, fate: Limited) -> u64 {
    totals.limited.iter().filter(|(_, found, _)| *found == fate).map(|(.., n)| n).sum()
}

#[test]
fn a_flood_from_one_prefix_gets_less_than_it_sends_and_others_get_all() {
    let options = "option positive=50\noption negative=50\noption error=50\noption slip=2";
    let (server, counters) = serve(options);
    // Data, no such name, refused; with and without EDNS.
    let queries: Vec<Vec<u8>> = ["www.example.com.", "no.example.com.", "www.example.net."]
        .iter()
        .flat_map(|name| [Query::new(name, 1), Query::new(name, 1).edns(1232, &[])])
        .map(|query| query.wire())
        .collect();
    let longest = queries.iter().map(Vec::len).max().unwrap();
    // One /24 with many addresses and ports, so that both workers hear of it.
    let attackers: Vec<UdpSocket> = (1..=10).map(|n| client(&server, [127, 9, 9, n])).collect();
    let (mut sent, mut octets, mut seen) = (0, 0, [0; 3]);
    for round in 0..100 {
        for number in 0..300 {
            let query = &queries[number % queries.len()];
            attackers[number % attackers.len()].send(query).unwrap();
            (sent, octets) = (sent + 1, octets + query.len());
        }
        let other = client(&server, [127, 20, round, 1]);
        for query in &queries {
            let reply = exchange(&other, query);
            assert_eq!(reply[TC.0] & TC.1, 0, "a client in peace got a truncated answer");
        }
        for attacker in &attackers {
            drain(attacker, &mut seen, longest);
        }
    }
    server.shutdown();
    for attacker in &attackers {
        drain(attacker, &mut seen, longest);
    }
    let totals = counters.totals();
    let (dropped, slipped) =
        (limited(&totals, Limited::Dropped), limited(&totals, Limited::Slipped));
    let [whole, cut, reflected] = seen;
    assert!(reflected <= octets, "{reflected} octets for {octets}");
    assert!(whole as u64 + dropped + slipped <= sent, "{seen:?} {dropped} {slipped} of {sent}");
    assert!(dropped + slipped > sent * 9 / 10, "{dropped} + {slipped} of {sent}");
    assert!(cut as u64 <= slipped && slipped.abs_diff(dropped) < sent / 20, "{slipped} {dropped}");
    for kind in Kind::ALL {
        let of = |fate| totals.limited.iter().find(|(k, f, _)| (*k, *f) == (kind, fate)).unwrap().2;
        assert!(of(Limited::Dropped) > 0 && of(Limited::Slipped) > 0, "{kind:?}");
    }
    assert_eq!((totals.evicted, totals.panics, totals.send_errors), (0, 0, 0));
}

#[test]
fn a_valid_cookie_lifts_the_limit_and_no_other_does() {
    let options =
        "option positive=1\noption slip=0\noption secret=e5e973e5a6b2a43f48e7dc849e37bfcf";
    let (server, counters) = serve(options);
    let query = |cookie: &[u8]| {
        let option = [&[0, 10, 0, cookie.len() as u8], cookie].concat();
        Query::new("www.example.com.", 1).edns(1232, &option).wire()
    };
    let client = client(&server, [127, 30, 1, 1]);
    let reply = exchange(&client, &query(&[7; 8]));
    // The only option, at the end of the reply.
    let cookie = &reply[reply.len() - 24..];
    assert_eq!(cookie[..8], [7; 8]);
    for _ in 0..500 {
        assert_eq!(exchange(&client, &query(cookie)), reply);
    }
    let mut forged = cookie.to_vec();
    forged[20] ^= 1;
    for cookie in [&forged[..], &[7; 8]] {
        for _ in 0..50 {
            client.send(&query(cookie)).unwrap();
        }
    }
    // The workers answer the queries of one socket in turn.
    assert_eq!(exchange(&client, &query(cookie)), reply);
    server.shutdown();
    let totals = counters.totals();
    let expected = [(Standing::New, 51), (Standing::Invalid, 50), (Standing::Valid, 501)];
    assert_eq!(totals.cookies, expected);
    // A second may have passed, and another, for one answer each.
    let dropped = limited(&totals, Limited::Dropped);
    assert!((90..=100).contains(&dropped), "{dropped}");
}

#[test]
fn on_trial_everything_is_answered_and_counted() {
    let (server, counters) = serve("option error=1\noption slip=2\noption dry_run=on");
    let client = client(&server, [127, 40, 1, 1]);
    let query = Query::new("www.example.net.", 1).wire();
    for _ in 0..200 {
        let reply = exchange(&client, &query);
        assert_eq!((reply[TC.0] & TC.1, reply[3] & 0xf), (0, 5));
    }
    server.shutdown();
    let totals = counters.totals();
    assert_eq!(totals.replies, [(5, 200)]);
    assert!(limited(&totals, Limited::Spared) > 150, "{:?}", totals.limited);
    assert_eq!(limited(&totals, Limited::Dropped) + limited(&totals, Limited::Slipped), 0);
}
