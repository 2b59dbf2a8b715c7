//! A server with every transport, answering from the world of the properties.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use meridian::dns::{
    Connections, Counters, Limits, QuicServer, QuicSockets, StreamServer, StreamSockets, Transport,
    UdpServer, UdpSockets,
};
use meridian::snapshot::{AnswerOptions, Labels, Snapshot};
use tokio::runtime::Runtime;

use crate::certificates;
use crate::dns_support::script;

/// No test waits longer than this for the server.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What the tests choose.
pub(crate) struct Settings {
    pub(crate) clients: usize,
    pub(crate) idle: Duration,
    pub(crate) life: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { clients: 100, idle: Duration::from_secs(10), life: Limits::LIFE }
    }
}

/// Running transports.
pub(crate) struct Server {
    pub(crate) runtime: Runtime,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) udp: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// Over TCP and over QUIC.
    pub(crate) https: SocketAddr,
    pub(crate) quic: SocketAddr,
    running: Option<(UdpServer, Vec<StreamServer>, Vec<QuicServer>)>,
}

/// The world that the server answers from.
pub(crate) fn world(options: impl FnOnce(&mut AnswerOptions)) -> Snapshot {
    let mut world = script::world(include_str!("../data/dns/properties.world"));
    options(&mut world.options);
    world
}

impl Server {
    /// All transports on ports of their own; TCP has the port of UDP.
    pub(crate) fn start(settings: &Settings) -> Self {
        let runtime = Runtime::new().unwrap();
        let labels = || Arc::new(Labels::new(16));
        let counters = Arc::new(Counters::new(labels(), labels()));
        let world = world(|options| {
            options.tcp_idle = settings.idle;
            options.certificate = Some(certificates::certificate());
        });
        let snapshot = Arc::new(ArcSwap::from_pointee(world));
        let any = ["127.0.0.1:0".parse().unwrap()];
        // The port that one protocol was given may be taken for the other.
        let both = || {
            let udp = UdpSockets::bind(&any, 1).unwrap();
            StreamSockets::tcp(udp.addresses()).ok().map(|tcp| (udp, tcp))
        };
        let (udp, tcp) = (0..100).find_map(|_| both()).unwrap();
        let tls = StreamSockets::tls(&any).unwrap();
        let quic = QuicSockets::quic(&any).unwrap();
        let both = || {
            let https = StreamSockets::https(&any).unwrap();
            QuicSockets::http3(https.addresses()).ok().map(|http3| (https, http3))
        };
        let (https, http3) = (0..100).find_map(|_| both()).unwrap();
        let streams = [udp.addresses()[0], tls.addresses()[0], https.addresses()[0]];
        let addresses = (streams, quic.addresses()[0]);
        let limits = Limits { clients: settings.clients, life: settings.life };
        let inside = runtime.enter();
        let streams =
            [tcp, tls, https].map(|sockets| sockets.serve(limits, &snapshot, &counters).unwrap());
        let udp = udp.serve(&snapshot, &counters).unwrap();
        let quic =
            [quic, http3].map(|sockets| sockets.serve(limits, &snapshot, &counters).unwrap());
        let running = Some((udp, streams.into(), quic.into()));
        drop(inside);
        let ([udp, tls, https], quic) = addresses;
        Self { runtime, snapshot, counters, udp, tls, https, quic, running }
    }

    /// What is counted of the connections of a transport.
    pub(crate) fn connections(&self, transport: Transport) -> Connections {
        let all = self.counters.totals().connections;
        all.iter().find(|(found, _)| *found == transport).unwrap().1
    }

    /// Answers what has come and stops.
    pub(crate) fn stop(&mut self) {
        let (udp, streams, quic) = self.running.take().unwrap();
        udp.shutdown();
        self.runtime.block_on(async {
            for server in streams {
                server.shutdown().await;
            }
            for server in quic {
                server.shutdown().await;
            }
        });
    }
}
