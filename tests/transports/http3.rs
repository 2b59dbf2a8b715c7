//! DNS over HTTPS over HTTP/3.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use meridian::clock::stopwatch;
use meridian::dns::Transport;
use quinn::VarInt;

use crate::certificates::NAME;
use crate::clients::{HERE, get, http3, in_time, post, quic_endpoint};
use crate::dns_support::{Query, ask};
use crate::server::{Server, Settings, world};

fn www() -> Vec<u8> {
    Query::new("www.example.com.", 1).wire()
}

#[test]
fn both_methods_get_the_reply_that_tcp_gets() {
    let mut server = Server::start(&Settings::default());
    let world = world(|_| ());
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let mut client = http3(https, HERE).await.unwrap();
        for name in ["www.example.com.", "big.example.com.", "no.example.com.", "broken.test."] {
            let query = Query::new(name, 16).edns(1232, &[]).wire();
            let expected = ask(&world, &query, Transport::Http3).0.unwrap();
            for (head, body) in [(get(&query), &[][..]), (post(), &query)] {
                let (head, reply) = client.request(head, body).await.unwrap();
                assert_eq!(head.status(), StatusCode::OK, "{name}");
                assert_eq!(head.headers()["content-type"], "application/dns-message");
                assert_eq!(reply, expected, "{name}");
            }
        }
    }));
    server.stop();
    let totals = server.counters.totals();
    assert_eq!(totals.queries[Transport::Http3 as usize], (Transport::Http3, 8));
}

#[test]
fn what_is_no_query_is_refused_and_the_connection_stays() {
    let mut server = Server::start(&Settings::default());
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let mut client = http3(https, HERE).await.unwrap();
        let path = |path: &str| Request::get(format!("https://{NAME}{path}")).body(()).unwrap();
        let put = Request::builder().method(Method::PUT).uri(format!("https://{NAME}/dns-query"));
        for (what, head, body, expected) in [
            ("another path", path("/"), vec![], 404),
            ("no query", path("/dns-query"), vec![], 400),
            ("another method", put.body(()).unwrap(), vec![], 405),
            ("a long body", post(), vec![0; 4097], 413),
            ("half a header", post(), vec![0; 5], 400),
        ] {
            let (head, body) = client.request(head, &body).await.unwrap();
            assert_eq!(head.status().as_u16(), expected, "{what}");
            assert!(body.is_empty(), "{what}");
        }
        assert_eq!(client.request(post(), &www()).await.unwrap().0.status(), StatusCode::OK);
    }));
    assert_eq!(server.connections(Transport::Http3).refused_requests, 5);
    server.stop();
}

#[test]
fn a_request_that_is_not_finished_delays_no_other_and_is_refused_in_the_end() {
    let idle = Duration::from_millis(500);
    let mut server = Server::start(&Settings { idle, ..Settings::default() });
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let mut client = http3(https, HERE).await.unwrap();
        let mut half = client.requests.send_request(post()).await.unwrap();
        half.send_data(Bytes::copy_from_slice(&www()[..9])).await.unwrap();
        for _ in 0..20 {
            client.request(post(), &www()).await.unwrap();
        }
        let head = half.recv_response().await.unwrap();
        assert_eq!(head.status(), StatusCode::REQUEST_TIMEOUT);
        // Then nothing is asked, and the connection ends.
        client.connection.closed().await;
    }));
    server.stop();
}

#[test]
fn a_stream_that_brings_too_much_is_stopped() {
    let mut server = Server::start(&Settings::default());
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let endpoint = quic_endpoint(HERE, "h3", quinn::TransportConfig::default());
        let connection = endpoint.connect(https, NAME).unwrap().await.unwrap();
        // A frame of headers, or one that means nothing, that tells a length of 2^30.
        for kind in [0x01, 0x21] {
            let (mut send, _receive) = connection.open_bi().await.unwrap();
            send.write_all(&[kind, 0xc0, 0, 0, 0, 0x40, 0, 0, 0]).await.unwrap();
            let mut sent = 0;
            while send.write_all(&[0; 4096]).await.is_ok() {
                sent += 4096;
                assert!(sent < 1 << 20, "a stream is read without end");
            }
            assert_eq!(send.stopped().await.unwrap(), Some(VarInt::from_u32(0x107)));
        }
        let mut other = http3(https, HERE).await.unwrap();
        other.request(post(), &www()).await.unwrap();
    }));
    server.stop();
}

#[test]
fn shutdown_answers_what_was_asked() {
    let mut server = Server::start(&Settings::default());
    let https = server.https;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(in_time(async {
        let mut client = http3(https, HERE).await.unwrap();
        client.request(post(), &www()).await.unwrap();
        client
    }));
    let start = stopwatch();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    runtime.block_on(in_time(client.connection.closed()));
}
