//! The DNS listeners: opened first, served later, drained at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use super::node::cannot;
use crate::dns::{
    Counters, Limits, LogNames, LogWriter, QueryLog, QuicServer, QuicSockets, StreamServer,
    StreamSockets, UdpServer, UdpSockets,
};
use crate::metrics::Metrics;
use crate::model::{Dns, LogTarget, Node, Proxy};
use crate::proxy::{ProxyServer, ProxySockets};
use crate::snapshot::{Labels, Snapshot};

/// Open listeners that nobody answers yet.
pub(super) struct Listeners {
    udp: UdpSockets,
    streams: Vec<StreamSockets>,
    quic: Vec<QuicSockets>,
    limits: Limits,
}

/// Running servers.
pub(super) struct Servers {
    udp: UdpServer,
    streams: Vec<StreamServer>,
    quic: Vec<QuicServer>,
    log: Option<LogWriter>,
}

impl Listeners {
    /// Opens the sockets of all addresses.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub(super) fn open(dns: &Dns) -> Result<Self, String> {
        let udp = UdpSockets::bind(&dns.listen, dns.workers).map_err(with_hint)?;
        let udp = udp.with_io(dns.io.clone());
        // Where the system chose the port, TCP takes the one that UDP got.
        let mut streams = vec![StreamSockets::tcp(udp.addresses()).map_err(with_hint)?];
        if !dns.transports.tls.is_empty() {
            streams.push(StreamSockets::tls(&dns.transports.tls).map_err(with_hint)?);
        }
        let mut quic = Vec::new();
        if !dns.transports.quic.is_empty() {
            quic.push(QuicSockets::quic(&dns.transports.quic).map_err(with_hint)?);
        }
        if !dns.transports.https.is_empty() {
            let https = StreamSockets::https(&dns.transports.https).map_err(with_hint)?;
            quic.push(QuicSockets::http3(https.addresses()).map_err(with_hint)?);
            streams.push(https);
        }
        let limits = Limits { clients: dns.tcp_clients, life: Limits::LIFE };
        Ok(Self { udp, streams, quic, limits })
    }

    /// Starts to answer.
    ///
    /// # Errors
    /// When threads or sockets run out.
    pub(super) fn serve(
        self,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        counters: &Arc<Counters>,
        log: Option<LogWriter>,
    ) -> Result<Servers, String> {
        let serve = |sockets: StreamSockets| sockets.serve(self.limits, snapshot, counters);
        let streams = self.streams.into_iter().map(serve).collect::<Result<_, _>>();
        let streams = streams.map_err(|error| cannot("answer over TCP", &error))?;
        let serve = |sockets: QuicSockets| sockets.serve(self.limits, snapshot, counters);
        let quic = self.quic.into_iter().map(serve).collect::<Result<_, _>>();
        let quic = quic.map_err(|error| cannot("answer over QUIC", &error))?;
        let udp = self.udp.serve(snapshot, counters);
        let udp = udp.map_err(|error| cannot("answer over UDP", &error))?;
        Ok(Servers { udp, streams, quic, log })
    }
}

impl Servers {
    /// The addresses of DNS over UDP and TCP, with their true ports.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.udp.addresses()
    }

    /// All addresses that are answered, each behind its transport, for people.
    pub(super) fn described(&self) -> Vec<String> {
        let udp = self.udp.addresses().iter().map(|address| format!("udp {address}"));
        let streams = self.streams.iter().map(|server| (server.transport(), server.addresses()));
        let quic = self.quic.iter().map(|server| (server.transport(), server.addresses()));
        let others = streams.chain(quic).flat_map(|(transport, addresses)| {
            addresses.iter().map(move |address| format!("{} {address}", transport.name()))
        });
        udp.chain(others).collect()
    }

    /// Answers what has arrived, then stops.
    pub(super) async fn shutdown(self) {
        let Self { udp, streams, quic, log } = self;
        // The workers end within 100 ms; waiting for them must not hold up the others.
        let udp = tokio::task::spawn_blocking(move || udp.shutdown());
        let mut ends = JoinSet::new();
        for server in streams {
            ends.spawn(server.shutdown());
        }
        for server in quic {
            ends.spawn(server.shutdown());
        }
        ends.join_all().await;
        // A panic of the worker threads was caught and counted where it happened.
        let _ = udp.await;
        if let Some(log) = log {
            // A panic of its thread was reported where it happened.
            let _ = tokio::task::spawn_blocking(move || log.shutdown()).await;
        }
    }
}

/// The proxy's listeners, open or answered.
pub(super) struct Front {
    settings: Proxy,
    sockets: ProxySockets,
}

impl Front {
    /// Opens the sockets of a node that has the role.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub(super) fn open(node: &Node) -> Result<Option<Self>, String> {
        let Some(settings) = node.proxy.clone() else { return Ok(None) };
        let sockets = ProxySockets::bind(&settings.http, &settings.https, settings.workers)
            .map_err(with_hint)?;
        Ok(Some(Self { settings, sockets }))
    }

    /// Starts to answer.
    ///
    /// # Errors
    /// When threads run out.
    pub(super) fn serve(
        self,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        metrics: &Arc<Metrics>,
    ) -> Result<ProxyServer, String> {
        let server = self.sockets.serve(&self.settings, snapshot, metrics);
        server.map_err(|error| cannot("start the proxy", &error))
    }
}

/// Opens the query log of a node that has one.
///
/// # Errors
/// Why it cannot be written.
pub(super) fn query_log(
    node: &Node,
    services: &Arc<Labels>,
    regions: &Arc<Labels>,
) -> Result<Option<(QueryLog, LogWriter)>, String> {
    let Some(settings) = node.dns.as_ref().and_then(|dns| dns.query_log.as_ref()) else {
        return Ok(None);
    };
    let (services, regions) = (services.clone(), regions.clone());
    let names = LogNames { node: node.name.clone(), services, regions };
    let started = QueryLog::start(settings, names);
    let (LogTarget::File(path) | LogTarget::Socket(path)) = &settings.target;
    let what = format!("write the query log `{}`", path.display());
    started.map(Some).map_err(|error| cannot(&what, &error))
}

/// `what` for a failure to listen of this kind, with what can be done about it.
pub(super) fn not_bound(kind: io::ErrorKind, what: String) -> String {
    let hint = match kind {
        io::ErrorKind::AddrInUse => "another process listens there, perhaps this one's twin",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
        _ => return what,
    };
    format!("{what} ({hint})")
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` calls takes values")]
fn with_hint(error: io::Error) -> String {
    not_bound(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_to_listen_say_what_can_be_done() {
        for (kind, hint) in [
            (io::ErrorKind::AddrInUse, " (another process listens there, perhaps this one's twin)"),
            (
                io::ErrorKind::PermissionDenied,
                " (ports below 1024 need root or the capability CAP_NET_BIND_SERVICE)",
            ),
            (io::ErrorKind::AddrNotAvailable, " (no interface of this machine has this address)"),
            (io::ErrorKind::OutOfMemory, ""),
        ] {
            let text = with_hint(io::Error::new(kind, "cannot listen on `x`"));
            assert_eq!(text, format!("cannot listen on `x`{hint}"));
        }
    }
}
