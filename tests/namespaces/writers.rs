//! Connections to the bus in the name of nodes: they hear what all say, and say what they were not
//! asked to.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use meridian::cluster::{Bus, Engine, Outgoing, Signal, Subjects};
use meridian::health::Prober;
use meridian::metrics::Metrics;
use meridian::model::Nats;
use tokio::sync::mpsc as queue;
use tokio_util::sync::CancellationToken;

use super::bus::user_name;
use super::namespace::Namespace;
use super::region::{BUS, address};
use crate::fleet::Fleet;

/// A message as it was heard: its subject and what it says.
pub(crate) type Message = (String, Vec<u8>);

/// A connection with the rights of one node, at its region's server.
pub(crate) struct Writer {
    say: queue::UnboundedSender<Message>,
    heard: mpsc::Receiver<Message>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Connects as the node of this name.
    pub(crate) fn new(fleet: &Fleet, region: usize, node: &str) -> Self {
        let region = &fleet.regions[region];
        let at = SocketAddr::new(address(region.number, BUS).into(), 4222);
        let nats = fleet.authority.nats(at, Some(&user_name(node)));
        let me = Prober { region: region.name.into(), node: node.into() };
        let (say, to_say) = queue::unbounded_channel();
        let (hears, heard) = mpsc::channel();
        let stop = CancellationToken::new();
        let thread = Some(run(&region.bus, nats, me, to_say, hears, stop.clone()));
        Self { say, heard, stop, thread }
    }

    /// What was heard since this was last asked.
    pub(crate) fn take_heard(&self) -> Vec<Message> {
        self.heard.try_iter().collect()
    }

    /// Says something again.
    pub(crate) fn say(&self, message: &Message) {
        self.say.send(message.clone()).unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    host: &Namespace,
    nats: Nats,
    me: Prober,
    mut to_say: queue::UnboundedReceiver<Message>,
    hears: mpsc::Sender<Message>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    host.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let filters = Subjects::new("meridian").listened(&me).to_vec();
        runtime.block_on(async {
            let metrics = Arc::new(Metrics::new().unwrap());
            let (bus, _) = Bus::start(Arc::new(nats), me.node, filters, metrics, stop.clone());
            let mut engine = Engine::Nats(bus);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    said = to_say.recv() => if let Some((subject, payload)) = said {
                        let kind = "health";
                        assert!(engine.publish(Outgoing { kind, subject, payload }));
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    },
                    signal = engine.signal(true) => {
                        if let Some(Signal::Message { subject, payload }) = signal {
                            let _ = hears.send((subject, payload.to_vec()));
                        }
                    }
                }
            }
        });
    })
}
