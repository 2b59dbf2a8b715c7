//! The DNS listeners: opened first, served later, drained at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::node::cannot;
use crate::dns::{Counters, TcpLimits, TcpServer, TcpSockets, UdpServer, UdpSockets};
use crate::model::Dns;
use crate::snapshot::Snapshot;

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
    ) -> Result<Servers, String> {
        let tcp = self.tcp.serve(self.limits, snapshot, counters);
        let tcp = tcp.map_err(|error| cannot("answer over TCP", &error))?;
        let udp = self.udp.serve(snapshot, counters);
        let udp = udp.map_err(|error| cannot("answer over UDP", &error))?;
        Ok(Servers { udp, tcp })
    }
}

impl Servers {
    /// The addresses that are answered, with their true ports.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.udp.addresses()
    }

    /// Answers what has arrived, then stops.
    pub(super) async fn shutdown(self) {
        let Self { udp, tcp } = self;
        // The workers end within 100 ms; waiting for them must not hold up TCP.
        let udp = tokio::task::spawn_blocking(move || udp.shutdown());
        tcp.shutdown().await;
        // A panic of the worker threads was caught and counted where it happened.
        let _ = udp.await;
    }
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
