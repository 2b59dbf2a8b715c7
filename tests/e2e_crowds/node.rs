//! A server with every transport on one address, and what it costs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use meridian::clock::stopwatch;

use crate::clients::{
    HERE, ask_http2, ask_http3, ask_quic, ask_stream, http2, http3, in_time, quic, tcp, tls,
};
use crate::support::meridian::Meridian;
use crate::support::site::{Site, zone};
use crate::support::wire::Ask;

/// The transports that have connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Tls,
    Https,
    Http3,
    Quic,
}

/// A running server.
pub(crate) struct Node {
    pub(crate) meridian: Meridian,
    _site: Site,
    dns: SocketAddr,
    tls: SocketAddr,
    https: SocketAddr,
    quic: SocketAddr,
}

impl Node {
    /// A node whose zone has a small answer at `www` and one of nearly 60,000 octets at `big`.
    pub(crate) fn start() -> Self {
        let site = Site::new("eu");
        let [tls, https, quic] = site.encrypt("eu");
        site.write(
            "config/fleet.toml",
            "version = 1\n[region.eu]\nlocation = { lat = 50.1, lon = 8.7 }\n",
        );
        let text = "x".repeat(250);
        let big: Vec<String> =
            (0..220).map(|number| format!("big IN TXT \"{number} {text}\"\n")).collect();
        let records = format!("www IN A 192.0.2.1\n{}", big.concat());
        site.write("zones/example.com.zone", &zone("example.com.", 1, &records));
        let meridian = site.serve();
        Self { meridian, dns: site.dns, _site: site, tls, https, quic }
    }

    /// Where a transport is answered.
    pub(crate) fn address(&self, kind: Kind) -> SocketAddr {
        match kind {
            Kind::Tcp => self.dns,
            Kind::Tls => self.tls,
            Kind::Https | Kind::Http3 => self.https,
            Kind::Quic => self.quic,
        }
    }

    /// Octets of memory that the server has resident.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.meridian.process.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Asks a hundred times, each time over a connection of its own; the longest it took.
    pub(crate) async fn ask_100(&self, kind: Kind) -> Duration {
        let query = query("www");
        let mut slowest = Duration::ZERO;
        for _ in 0..100 {
            let start = stopwatch();
            let address = self.address(kind);
            let reply = in_time(async {
                match kind {
                    Kind::Tcp => ask_stream(&mut tcp(address, HERE).await?, &query).await,
                    Kind::Tls => ask_stream(&mut tls(address, HERE, &["dot"]).await?, &query).await,
                    Kind::Https => ask_http2(&http2(address, HERE).await?, &query).await,
                    Kind::Http3 => ask_http3(&mut http3(address, HERE).await?, &query).await,
                    Kind::Quic => ask_quic(&quic(address, HERE).await?, &query).await,
                }
            });
            let reply = reply.await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            assert_eq!(reply[3] & 0xf, 0, "an answer");
            slowest = slowest.max(start.elapsed());
        }
        slowest
    }
}

/// A query, with the ID that QUIC asks for.
pub(crate) fn query(name: &str) -> Vec<u8> {
    let rtype = if name == "big" { 16 } else { 1 };
    Ask::new(&format!("{name}.example.com."), rtype).encode(0)
}

/// A loopback address whose /24 ten clients share.
pub(crate) fn source(number: usize) -> Ipv4Addr {
    let network = number / 10;
    Ipv4Addr::new(127, 200 + (network / 250) as u8, (network % 250) as u8, 1 + (number % 10) as u8)
}
