//! The DNS listeners: opened first, served later, drained at the end.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::Type;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::descriptors;
use super::node::cannot;
use super::running::Sockets;
use crate::admin::Socket;
use crate::dns::{
    Counters, Limits, LogNames, LogWriter, QueryLog, QuicServer, QuicSockets, StreamServer,
    StreamSockets, Transport, UdpServer, UdpSockets,
};
use crate::handed::Handed;
use crate::metrics::Metrics;
use crate::model::{AdminListen, Dns, Io, LogTarget, Model, Node, Proxy};
use crate::proxy::cache::Shelves;
use crate::proxy::{
    AccessLog, AccessLogWriter, ProxyServer, ProxySockets, SpanSender, Traces, Witness,
};
use crate::snapshot::{Labels, Snapshot};

/// Time for a client that has connected to shake hands and to ask, when another process takes over.
const ARRIVAL: Duration = Duration::from_millis(500);

/// All that a node listens on, opened before anything starts, so that a port in use is told at
/// once.
pub(super) struct Opened {
    /// Of DNS.
    pub(super) dns: Option<Listeners>,
    /// Of the proxy.
    pub(super) front: Option<Front>,
    /// Of the admin listener.
    pub(super) admin: Option<Socket>,
    /// Second handles, for a successor.
    pub(super) sockets: Sockets,
}

impl Opened {
    /// Opens the listeners of a node, but for what was handed over.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub(super) fn open(
        model: &Model,
        handed: &mut Handed,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let node = &model.node;
        descriptors::raise(node);
        let dns = node.dns.as_ref().map(|dns| Listeners::open(dns, handed)).transpose()?;
        let front = Front::open(model, handed, metrics)?;
        let admin = admin_socket(node, handed)?;
        let collect = || {
            let mut all = Vec::new();
            if let Some(dns) = &dns {
                all.append(&mut dns.descriptors()?);
            }
            if let Some(front) = &front {
                all.append(&mut front.sockets.descriptors()?);
            }
            if let Some(Socket::Tcp(listener)) = &admin {
                all.push(listener.as_fd().try_clone_to_owned()?);
            }
            Ok(all)
        };
        let all: io::Result<Vec<OwnedFd>> = collect();
        let all = all.map_err(|error| cannot("hold the listeners", &error))?;
        let past = node.dns.as_ref().is_some_and(|dns| matches!(dns.io, Io::Xdp { .. }));
        let sockets = if past { Err("AF_XDP cannot be handed over") } else { Ok(all) };
        Ok(Self { dns, front, admin, sockets })
    }
}

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
    fn open(dns: &Dns, handed: &mut Handed) -> Result<Self, String> {
        let udp = UdpSockets::bind_over(handed, &dns.listen, dns.workers).map_err(with_hint)?;
        let udp = udp.with_io(dns.io.clone());
        // Where the system chose the port, TCP takes the one that UDP got.
        let mut stream = |transport, listen: &[SocketAddr]| {
            StreamSockets::bind_over(handed, transport, listen).map_err(with_hint)
        };
        let mut streams = vec![stream(Transport::Tcp, udp.addresses())?];
        if !dns.transports.tls.is_empty() {
            streams.push(stream(Transport::Tls, &dns.transports.tls)?);
        }
        if !dns.transports.https.is_empty() {
            streams.push(stream(Transport::Https, &dns.transports.https)?);
        }
        let mut quic = Vec::new();
        for (transport, listen) in
            [(Transport::Quic, &dns.transports.quic), (Transport::Http3, &dns.transports.https)]
        {
            if !listen.is_empty() {
                let sockets = QuicSockets::bind_over(handed, transport, listen);
                quic.push(sockets.map_err(with_hint)?);
            }
        }
        let limits = Limits { clients: dns.tcp_clients, life: Limits::LIFE };
        Ok(Self { udp, streams, quic, limits })
    }

    /// Second handles on all sockets.
    fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let mut all = self.udp.descriptors()?;
        for sockets in &self.streams {
            all.append(&mut sockets.descriptors()?);
        }
        for sockets in &self.quic {
            all.append(&mut sockets.descriptors()?);
        }
        Ok(all)
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

    /// Leaves to another process what comes, answers what has arrived, then stops.
    pub(super) async fn retire(self) {
        for server in &self.streams {
            server.leave_listeners();
        }
        tokio::time::sleep(ARRIVAL).await;
        self.shutdown().await;
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
    log: Option<(Arc<AccessLog>, AccessLogWriter)>,
    traces: Option<(Arc<Traces>, SpanSender)>,
    /// The replies that it keeps.
    pub(super) shelves: Arc<Shelves>,
}

impl Front {
    /// Opens the sockets and the logs of a node that has the role.
    ///
    /// # Errors
    /// Which address cannot be listened on, or what cannot be written, and why.
    fn open(model: &Model, handed: &mut Handed, metrics: &Metrics) -> Result<Option<Self>, String> {
        let node = &model.node;
        let Some(settings) = node.proxy.clone() else { return Ok(None) };
        let sockets = ProxySockets::bind_over(handed, &settings).map_err(with_hint)?;
        let start = |log| AccessLog::start(log, &node.name, &metrics.proxy);
        let log = settings.access_log.as_ref().map(start).transpose().map_err(|error| {
            let file = settings.access_log.as_ref().and_then(|log| log.file.as_deref());
            let file = file.unwrap_or(Path::new("standard error"));
            cannot(&format!("write the access log `{}`", file.display()), &error)
        })?;
        let traces = traces(model, metrics)?;
        Ok(Some(Self { settings, sockets, log, traces, shelves: Arc::default() }))
    }

    /// Starts to answer.
    ///
    /// # Errors
    /// When threads run out.
    pub(super) fn serve(
        self,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        metrics: &Arc<Metrics>,
        witness: &Arc<Witness>,
    ) -> Result<ProxyServer, String> {
        let Self { sockets, settings, log, traces, shelves } = self;
        let shared = (witness, &shelves);
        let server = sockets.serve(&settings, snapshot, metrics, shared, log, traces);
        server.map_err(|error| cannot("start the proxy", &error))
    }
}

/// Starts to send spans of requests, where the node is to.
#[cfg(feature = "otlp")]
fn traces(model: &Model, metrics: &Metrics) -> Result<Option<(Arc<Traces>, SpanSender)>, String> {
    let Some(settings) = &model.node.telemetry else { return Ok(None) };
    let who = (&*model.node.name, &*model.fleet.region(model.node.region).name);
    let started = Traces::start(settings, who, &metrics.proxy);
    started.map(Some).map_err(|error| format!("cannot send traces: {error}"))
}

/// Without the feature no configuration asks for traces.
#[cfg(not(feature = "otlp"))]
fn traces(_: &Model, _: &Metrics) -> Result<Option<(Arc<Traces>, SpanSender)>, String> {
    Ok(None)
}

/// Opens the socket of a node that has the admin listener.
fn admin_socket(node: &Node, handed: &mut Handed) -> Result<Option<Socket>, String> {
    let Some(admin) = &node.admin else { return Ok(None) };
    let opened = match &admin.listen {
        AdminListen::Tcp(address) => admin_listener(*address, handed)
            .map(Socket::Tcp)
            .map_err(|error| (format!("listen on `{address}` (admin)"), error)),
        AdminListen::Unix(path) => socket_file(path, !handed.is_empty())
            .map(Socket::Unix)
            .map_err(|error| (format!("listen on `{}` (admin)", path.display()), error)),
    };
    opened.map(Some).map_err(|(what, error)| not_bound(error.kind(), cannot(&what, &error)))
}

fn admin_listener(address: SocketAddr, handed: &mut Handed) -> io::Result<TcpListener> {
    let own = match handed.take(Type::STREAM, address).pop() {
        Some(own) => own.into(),
        None => std::net::TcpListener::bind(address)?,
    };
    own.set_nonblocking(true)?;
    TcpListener::from_std(own)
}

/// Opens a socket file that its owner alone may use. One that a crash has left is replaced; one
/// that somebody answers is not, unless that is the process whose place this one takes.
fn socket_file(path: &Path, takes_over: bool) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if !takes_over && std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if !takes_over && fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    // It gets its name only after its rights, so that nobody else can connect in between.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let listener = UnixListener::bind(&aside)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o600))?;
    fs::rename(&aside, path)?;
    Ok(listener)
}

/// Where queries are counted, and the writer of the query log where there is one.
pub(super) fn counting(
    node: &Node,
    (services, regions): (Arc<Labels>, Arc<Labels>),
) -> Result<(Arc<Counters>, Option<LogWriter>), String> {
    let (log, writer) = query_log(node, &services, &regions)?.unzip();
    Ok((Arc::new(Counters::new(services, regions).with_log(log)), writer))
}

/// Opens the query log of a node that has one.
///
/// # Errors
/// Why it cannot be written.
fn query_log(
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
