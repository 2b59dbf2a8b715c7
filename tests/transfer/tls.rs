//! Transfers over TLS (RFC 9103).

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::out::{ORIGIN, assert_alike, records, site};
use crate::peers::{KEY, Peer, wait_serial};
use crate::support::certificates;
use crate::support::site::{Site, zone};
use crate::support::wire::Ask;
use crate::support::{PATIENCE, free_address, free_beside};

/// A site whose zone this may transfer, also over TLS at the address beside it.
fn encrypted(transfer: &str) -> (Site, SocketAddr) {
    let site = site(transfer, "");
    let tls = free_beside(site.dns.ip(), &[site.dns, site.admin]);
    let (chain, key) = certificates::pem();
    site.write("config/tls/dns.pem", &chain);
    site.write("config/tls/dns.key", &key);
    let node = std::fs::read_to_string(site.path("config/node.toml")).unwrap();
    let keys = format!(
        "workers = 2\ntls = [\"{tls}\"]\n\
         certificate = {{ chain = \"tls/dns.pem\", key = \"tls/dns.key\" }}\n"
    );
    site.write("config/node.toml", &node.replace("workers = 2\n", &keys));
    (site, tls)
}

#[test]
fn bind_fetches_and_follows_over_tls() {
    let there = free_address(IpAddr::from([127, 0, 0, 1]));
    let (site, tls) = encrypted(&format!("{{ to = \"{there}\", key = \"{KEY}\" }}"));
    let meridian = site.serve();
    let (folder, own) = (site.path("state"), site.dns);
    std::fs::create_dir_all(&folder).unwrap();
    let peer = Peer { folder, address: there, meridian: own, origin: ORIGIN, signed: true };
    let mut process = peer.bind_over_tls(tls);
    wait_serial(&mut process, there, ORIGIN, 5);
    assert_alike(there, site.dns);
    let changed = zone(ORIGIN, 6, &records("new IN A 192.0.2.99\n"));
    site.write("zones/app.example.com.zone", &changed);
    wait_serial(&mut process, there, ORIGIN, 6);
    assert_alike(there, site.dns);
    let count = |name, label| meridian.metric(name, &[label]) as u32;
    assert_eq!(count("meridian_transfers_total", "kind=\"axfr\""), 1);
    assert_eq!(count("meridian_transfers_total", "kind=\"ixfr\""), 1);
    assert!(count("meridian_dns_queries_total", "transport=\"tls\"") >= 2);
}

/// What comes back for a transfer asked for in this version of TLS.
fn octets_in(version: &'static SupportedProtocolVersion, tls: SocketAddr) -> usize {
    let mut roots = RootCertStore::empty();
    let authority = certificates::authority();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(certificates::NAME).unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(tls).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let query = Ask::new(ORIGIN, 252).encode(1);
    stream.write_all(&(query.len() as u16).to_be_bytes()).unwrap();
    stream.write_all(&query).unwrap();
    let mut start = [0; 1000];
    let mut read = 0;
    while read < start.len() {
        match stream.read(&mut start[read..]) {
            Ok(0) => break,
            Ok(some) => read += some,
            Err(error) => panic!("neither a zone nor an end: {error}"),
        }
    }
    read
}

#[test]
fn no_zone_travels_in_an_older_tls() {
    let (site, tls) = encrypted("{ to = \"127.0.0.1\" }");
    let _meridian = site.serve();
    assert_eq!(octets_in(&TLS13, tls), 1000);
    assert_eq!(octets_in(&TLS12, tls), 0);
}
