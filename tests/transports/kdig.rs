//! The transports through kdig.

use std::process::Command;

use crate::certificates::{self, NAME};
use crate::server::{Server, Settings};

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
