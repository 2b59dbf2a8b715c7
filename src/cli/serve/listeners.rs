//! The DNS listeners: opened first, served later, drained at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::node::cannot;
use crate::dns::{
    Counters, LogNames, LogWriter, QueryLog, TcpLimits, TcpServer, TcpSockets, UdpServer,
    UdpSockets,
};
use crate::model::{Dns, LogTarget, Node};
use crate::snapshot::{Labels, Snapshot};

/// Open listeners that nobody answers yet.
pub(super) struct Listeners {
    udp: UdpSockets,
    tcp: TcpSockets,
    limits: TcpLimits,
}

/// Running servers.
pub(super) struct Servers {
    udp: UdpServer,
    tcp: TcpServer,
    log: Option<LogWriter>,
}

impl Listeners {
    /// Opens the sockets of all addresses.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub(super) fn open(dns: &Dns) -> Result<Self, String> {
        let udp = UdpSockets::bind(&dns.listen, dns.workers).map_err(with_hint)?;
        // Where the system chose the port, TCP takes the one that UDP got.
        let tcp = TcpSockets::bind(udp.addresses()).map_err(with_hint)?;
        let limits = TcpLimits { clients: dns.tcp_clients, idle: dns.tcp_idle };
        Ok(Self { udp, tcp, limits })
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
        let tcp = self.tcp.serve(self.limits, snapshot, counters);
        let tcp = tcp.map_err(|error| cannot("answer over TCP", &error))?;
        let udp = self.udp.serve(snapshot, counters);
        let udp = udp.map_err(|error| cannot("answer over UDP", &error))?;
        Ok(Servers { udp, tcp, log })
    }
}

impl Servers {
    /// The addresses that are answered, with their true ports.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.udp.addresses()
    }

    /// Answers what has arrived, then stops.
    pub(super) async fn shutdown(self) {
        let Self { udp, tcp, log } = self;
        // The workers end within 100 ms; waiting for them must not hold up TCP.
        let udp = tokio::task::spawn_blocking(move || udp.shutdown());
        tcp.shutdown().await;
        // A panic of the worker threads was caught and counted where it happened.
        let _ = udp.await;
        if let Some(log) = log {
            // A panic of its thread was reported where it happened.
            let _ = tokio::task::spawn_blocking(move || log.shutdown()).await;
        }
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
