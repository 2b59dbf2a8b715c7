//! The transports through kdig.

use std::process::Command;
use std::sync::Arc;

use meridian::dns::Transport;

use crate::certificates::{self, NAME};
use crate::server::{Server, Settings, world};

/// What kdig prints.
fn kdig(port: u16, arguments: &str) -> String {
    let output = Command::new("kdig")
        .args(["@127.0.0.1", "-p", &port.to_string(), "+norec"])
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("kdig is missing ({error}): run scripts/test"));
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    out + &errors
}

#[test]
fn kdig_understands_every_transport() {
    let mut server = Server::start(&Settings::default());
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, certificates::authority()).unwrap();
    let trust = format!("+tls-ca={} +tls-hostname={NAME}", authority.display());
    for (port, arguments, expected) in [
        (server.udp.port(), "www.example.com A".to_owned(), &["192.0.2.1", "(UDP)"][..]),
        (server.udp.port(), "+tcp www.example.com A".to_owned(), &["192.0.2.1", "(TCP)"]),
        (server.tls.port(), "+tls www.example.com A".to_owned(), &["192.0.2.1", "TLS session"]),
        (
            server.tls.port(),
            format!("{trust} +keepopen www.example.com AAAA big.example.com TXT"),
            &["2001:db8::1", "TLS session", "\"2 aaa"],
        ),
        (
            server.https.port(),
            "+https www.example.com A".to_owned(),
            &["192.0.2.1", "HTTP session"],
        ),
        (
            server.https.port(),
            format!("{trust} +https-get big.example.com TXT"),
            &["HTTP session", "\"2 aaa"],
        ),
        (server.quic.port(), "+quic www.example.com A".to_owned(), &["192.0.2.1", "QUIC session"]),
        (server.quic.port(), format!("{trust} +quic big.example.com TXT"), &["\"2 aaa"]),
    ] {
        let output = kdig(port, &arguments);
        for text in ["NOERROR", " aa"].iter().chain(expected) {
            assert!(output.contains(text), "kdig {arguments}: no `{text}` in\n{output}");
        }
        for bad in ["malformed", "WARNING", "extra bytes", "failed"] {
            assert!(!output.contains(bad), "kdig {arguments}:\n{output}");
        }
    }
    server.stop();
}

#[test]
fn kdig_is_heard_through_a_proxy() {
    let mut server = Server::start(&Settings::default());
    let trusting = world(|options| options.proxy_protocol = vec!["127.0.0.1/32".parse().unwrap()]);
    server.snapshot.store(Arc::new(trusting));
    let ask = |proxy: &str| kdig(server.udp.port(), &format!("+tcp {proxy} www.example.com A"));
    let output = ask("+proxy=203.0.113.7#4660-192.0.2.53#53");
    assert!(output.contains("192.0.2.1"), "{output}");
    // Whoever is listed has to name a client.
    let output = ask("+retry=0 +timeout=5");
    assert!(!output.contains("192.0.2.1"), "{output}");
    let connections = server.connections(Transport::Tcp);
    assert_eq!((connections.refused_headers, connections.timed_out), (1, 0));
    server.stop();
}
