//! All transports give the same octets, apart from what the transport itself adds.

use std::net::UdpSocket;

use crate::clients::{
    HERE, ask_http2, ask_quic, ask_stream, get, http2, http3, in_time, post, quic, request, tcp,
    tls,
};
use crate::dns_support::{Query, without_transport_options};
use crate::server::{DEADLINE, Server, Settings};

/// EDNS options that ask for what only some transports add: keepalive and padding.
const ASKING: [u8; 12] = [0, 11, 0, 0, 0, 12, 0, 4, 0, 0, 0, 0];

/// Queries for answers of every kind, without and with EDNS; QUIC asks for the ID.
fn queries() -> Vec<Vec<u8>> {
    let names = [
        "www.", "w.", "x.loop.", "x.sub.", "one.", "x.d.", "grow.", "geo.", "x.geo.", "six.",
        "near.", "ill.", "dead.", "no.",
    ];
    let mut queries = Vec::new();
    for name in names {
        for rtype in [1, 28, 16, 255] {
            let query = Query::new(&format!("{name}example.com."), rtype);
            for query in [query.clone(), query.edns(1232, &[])] {
                let mut wire = query.wire();
                wire[..2].fill(0);
                queries.push(wire);
            }
        }
    }
    queries.push(Query::new("broken.test.", 1).edns(1232, &[]).wire());
    queries.push(Query::new("example.org.", 1).edns(1232, &[]).wire());
    for query in &mut queries {
        query[..2].fill(0);
    }
    queries
}

#[test]
fn every_transport_gives_the_octets_that_udp_gives() {
    let mut server = Server::start(&Settings::default());
    let udp = UdpSocket::bind((HERE, 0)).unwrap();
    udp.connect(server.udp).unwrap();
    udp.set_read_timeout(Some(DEADLINE)).unwrap();
    let (plain, encrypted, https, doq) = (server.udp, server.tls, server.https, server.quic);
    server.runtime.block_on(in_time(async {
        let mut tcp = tcp(plain, HERE).await.unwrap();
        let mut tls = tls(encrypted, HERE, &["dot"]).await.unwrap();
        let http2 = http2(https, HERE).await.unwrap();
        let mut http3 = http3(https, HERE).await.unwrap();
        let quic = quic(doq, HERE).await.unwrap();
        for query in queries() {
            udp.send(&query).unwrap();
            let mut expected = vec![0; 4096];
            let length = udp.recv(&mut expected).unwrap();
            expected.truncate(length);
            assert_eq!(expected[2] & 2, 0, "the answers of this test are not cut");
            let replies = [
                ("TCP", ask_stream(&mut tcp, &query).await.unwrap()),
                ("TLS", ask_stream(&mut tls, &query).await.unwrap()),
                ("HTTP/2 by POST", ask_http2(&http2, &query).await.unwrap()),
                ("HTTP/2 by GET", request(&http2, get(&query), &[]).await.unwrap().1),
                ("HTTP/3 by POST", http3.request(post(), &query).await.unwrap().1),
                ("HTTP/3 by GET", http3.request(get(&query), &[]).await.unwrap().1),
                ("QUIC", ask_quic(&quic, &query).await.unwrap()),
            ];
            for (transport, reply) in replies {
                assert_eq!(reply, expected, "{transport}: {query:02x?}");
            }
        }
    }));
    server.stop();
}

#[test]
fn encrypted_replies_are_padded_and_streams_tell_how_long_they_may_be_idle() {
    let mut server = Server::start(&Settings::default());
    let (plain, encrypted, https) = (server.udp, server.tls, server.https);
    let query = Query::new("www.example.com.", 1).edns(1232, &ASKING).wire();
    // QUIC forbids keepalive.
    let padding = Query::new("www.example.com.", 1).edns(1232, &ASKING[4..]);
    let mut padding = padding.wire();
    padding[..2].fill(0);
    let doq = server.quic;
    let keepalive = [0, 11, 0, 2, 0, 100];
    server.runtime.block_on(in_time(async {
        let tcp = ask_stream(&mut tcp(plain, HERE).await.unwrap(), &query).await.unwrap();
        let mut tls = tls(encrypted, HERE, &["dot"]).await.unwrap();
        let tls = ask_stream(&mut tls, &query).await.unwrap();
        let http2 = ask_http2(&http2(https, HERE).await.unwrap(), &query).await.unwrap();
        let quic = ask_quic(&quic(doq, HERE).await.unwrap(), &padding).await.unwrap();
        let has = |reply: &[u8]| reply.windows(keepalive.len()).any(|window| window == keepalive);
        assert!(has(&tcp) && has(&tls) && !has(&http2) && !has(&quic));
        assert!(tcp.len() < 100, "{} octets", tcp.len());
        for reply in [&tls, &http2, &quic] {
            assert_eq!(reply.len(), 468);
        }
        let bare = without_transport_options(&tcp);
        assert_eq!(without_transport_options(&tls), bare);
        assert_eq!(without_transport_options(&http2), bare);
        assert_eq!(without_transport_options(&quic)[2..], bare[2..]);
    }));
    server.stop();
}
