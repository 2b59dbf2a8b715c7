//! DNS over HTTPS (RFC 8484) over HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request, StatusCode};
use meridian::clock::stopwatch;
use meridian::dns::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clients::{self, HERE, ask_http2, get, http2, in_time, post, request};
use crate::dns_support::{Query, ask};
use crate::server::{Server, Settings, world};

fn www() -> Vec<u8> {
    Query::new("www.example.com.", 1).wire()
}

#[test]
fn both_methods_get_the_reply_that_tcp_gets_and_may_keep_it_as_long_as_it_lives() {
    let mut server = Server::start(&Settings::default());
    let world = world(|_| ());
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let client = http2(https, HERE).await.unwrap();
        for (name, rtype, fresh) in [
            ("www.example.com.", 1, "max-age=300"),
            ("big.example.com.", 16, "max-age=60"),
            ("no.example.com.", 1, "max-age=300"),
            ("x.geo.example.com.", 1, "private, max-age=20"),
            ("broken.test.", 1, "max-age=0"),
            ("example.org.", 1, "max-age=0"),
        ] {
            let query = Query::new(name, rtype).edns(1232, &[]).wire();
            let expected = ask(&world, &query, Transport::Https).0.unwrap();
            for (head, body) in [(get(&query), &[][..]), (post(), &query)] {
                let (head, reply) = request(&client, head, body).await.unwrap();
                assert_eq!(head.status(), StatusCode::OK, "{name}");
                assert_eq!(reply, expected, "{name}");
                let header = |name| head.headers()[name].to_str().unwrap().to_owned();
                assert_eq!(header("content-type"), "application/dns-message");
                assert_eq!(header("content-length"), reply.len().to_string());
                assert_eq!(header("cache-control"), fresh, "{name}");
            }
        }
    }));
    server.stop();
    let totals = server.counters.totals();
    assert_eq!(totals.queries[Transport::Https as usize], (Transport::Https, 12));
}

#[test]
fn what_is_no_query_is_refused_and_the_connection_stays() {
    let mut server = Server::start(&Settings::default());
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let client = http2(https, HERE).await.unwrap();
        let wrong = |method: Method, path: &str, kind: &str| {
            let request = Request::builder().method(method).uri(format!("https://x{path}"));
            request.header("content-type", kind).body(()).unwrap()
        };
        let dns = "application/dns-message";
        for (what, head, body, expected) in [
            ("another path", wrong(Method::POST, "/", dns), www(), 404),
            ("no query", wrong(Method::GET, "/dns-query", dns), vec![], 400),
            ("another method", wrong(Method::PUT, "/dns-query", dns), www(), 405),
            ("another type", wrong(Method::POST, "/dns-query", "text/plain"), www(), 415),
            ("a long body", post(), vec![0; 4097], 413),
            ("a response", post(), [&www()[..2], &[0x80], &www()[3..]].concat(), 400),
            ("half a header", post(), vec![0; 5], 400),
        ] {
            let (head, body) = request(&client, head, &body).await.unwrap();
            assert_eq!(head.status().as_u16(), expected, "{what}");
            assert!(body.is_empty(), "{what}");
        }
        ask_http2(&client, &www()).await.unwrap();
    }));
    assert_eq!(server.connections(Transport::Https).refused_requests, 7);
    server.stop();
}

#[test]
fn a_request_that_is_not_finished_delays_no_other() {
    let mut server = Server::start(&Settings::default());
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let client = http2(https, HERE).await.unwrap();
        let (first, mut body) = client.clone().send_request(post(), false).unwrap();
        body.send_data(Bytes::copy_from_slice(&www()[..9]), false).unwrap();
        for _ in 0..50 {
            ask_http2(&client, &www()).await.unwrap();
        }
        body.send_data(Bytes::copy_from_slice(&www()[9..]), true).unwrap();
        assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    }));
    server.stop();
}

#[test]
fn whoever_is_slow_is_closed() {
    let idle = Duration::from_millis(200);
    let mut server = Server::start(&Settings { idle, ..Settings::default() });
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let mut silent = clients::tcp(https, HERE).await.unwrap();
        let mut greeted = clients::tls(https, HERE, &["h2"]).await.unwrap();
        let mut prefaced = clients::tls(https, HERE, &["h2"]).await.unwrap();
        prefaced.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut rest = Vec::new();
        // Ends are all that is waited for; how each looks like is up to TLS and TCP.
        let _ = silent.read_to_end(&mut rest).await;
        let _ = greeted.read_to_end(&mut rest).await;
        let _ = prefaced.read_to_end(&mut rest).await;
        let client = http2(https, HERE).await.unwrap();
        let (half, mut body) = client.clone().send_request(post(), false).unwrap();
        body.send_data(Bytes::from_static(b"\0\0"), false).unwrap();
        assert_eq!(half.await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
        let asked = http2(https, HERE).await.unwrap();
        ask_http2(&asked, &www()).await.unwrap();
        while ask_late(&asked).await {}
    }));
    assert!(server.connections(Transport::Https).timed_out >= 4);
    server.stop();
}

/// Whether a connection still takes a request after it was left alone for longer than allowed.
async fn ask_late(client: &h2::client::SendRequest<Bytes>) -> bool {
    tokio::time::sleep(Duration::from_millis(400)).await;
    ask_http2(client, &www()).await.is_ok()
}

#[test]
fn a_connection_has_an_end_however_busy_it_is() {
    let life = Duration::from_millis(300);
    let mut server = Server::start(&Settings { life, ..Settings::default() });
    let https = server.https;
    server.runtime.block_on(in_time(async {
        let start = stopwatch();
        let client = http2(https, HERE).await.unwrap();
        // Requests that were accepted are answered; those behind the end may be asked elsewhere.
        while ask_http2(&client, &www()).await.is_ok() {}
        assert!(start.elapsed() >= life);
    }));
    assert_eq!(server.connections(Transport::Https).timed_out, 0);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_refused_and_closed() {
    let idle = Duration::from_secs(1);
    let mut server = Server::start(&Settings { idle, ..Settings::default() });
    let https = server.https;
    let query = Query::new("big.example.com.", 16).wire();
    server.runtime.block_on(in_time(async {
        let stream = clients::tls(https, HERE, &["h2"]).await.unwrap();
        // No window for the server to write into.
        let builder = h2::client::Builder::new().initial_window_size(0).to_owned();
        let (client, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut refused = 0;
        let mut held = Vec::new();
        while refused == 0 {
            let Ok(mut ready) = client.clone().ready().await else { break };
            let Ok((response, mut body)) = ready.send_request(post(), false) else { break };
            body.send_data(Bytes::copy_from_slice(&query), true).unwrap();
            match response.await {
                Ok(response) => held.push(response),
                Err(error) if error.reason() == Some(Reason::REFUSED_STREAM) => refused += 1,
                Err(_) => break,
            }
            // A hundred streams may be open; the replies of a world are small.
            if held.len() == 99 {
                break;
            }
        }
        // The server ends the connection in the end, as nothing is read.
        let _ = connection.await;
    }));
    assert_eq!(server.connections(Transport::Https).timed_out, 1);
    server.stop();
}

#[test]
fn shutdown_answers_what_was_asked() {
    let mut server = Server::start(&Settings::default());
    let https = server.https;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, pending) = runtime.block_on(in_time(async {
        let client = http2(https, HERE).await.unwrap();
        ask_http2(&client, &www()).await.unwrap();
        let (response, mut body) = client.clone().send_request(post(), false).unwrap();
        body.send_data(Bytes::copy_from_slice(&www()), true).unwrap();
        // Sent before the shutdown, since it is answered in order.
        ask_http2(&client, &www()).await.unwrap();
        (client, response)
    }));
    let start = stopwatch();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    runtime.block_on(in_time(async {
        assert_eq!(pending.await.unwrap().status(), StatusCode::OK);
        assert!(ask_http2(&client, &www()).await.is_err());
    }));
}

#[test]
fn other_protocols_are_turned_away() {
    let mut server = Server::start(&Settings::default());
    let https = server.https;
    server.runtime.block_on(in_time(async {
        assert!(clients::tls(https, HERE, &["dot"]).await.is_err());
        assert!(clients::tls(https, HERE, &["http/1.1"]).await.is_err());
    }));
    server.stop();
    assert_eq!(server.connections(Transport::Https).failed_handshakes, 2);
}
