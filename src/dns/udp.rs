//! DNS over UDP: worker threads, each with a socket of its own.
//!
//! The kernel spreads queries over the sockets that share an address (`SO_REUSEPORT`), so workers
//! share nothing but the snapshot, which they load once a batch.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::Type;
#[cfg(feature = "xdp")]
use tracing::{info, warn};

use super::counters::{Counters, WorkerCounters};
use super::desk::{Common, Desk};
use super::draws::Draws;
use super::io::Io;
use super::limit::Limiter;
use super::socket::UdpSocket;
#[cfg(feature = "xdp")]
use super::xdp::{self, Attachment, Port};
use crate::handed::Handed;
use crate::listening::not_bound;
use crate::model;
use crate::snapshot::Snapshot;

/// Batches a worker answers after it was told to stop: more than a full kernel buffer holds, so
/// that a client that sends without end cannot keep it running.
const DRAIN_BATCHES: usize = 1024;
/// Rest after an unexpected failure to receive, so that a broken socket does not take the core.
const FAILURE_REST: Duration = Duration::from_millis(10);

/// Bound UDP sockets that nobody serves yet.
#[derive(Debug)]
pub struct UdpSockets {
    sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
    io: model::Io,
}

/// Running UDP workers.
#[derive(Debug)]
pub struct UdpServer {
    /// Ends when it is dropped.
    #[cfg(feature = "xdp")]
    attachment: Option<Attachment>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
}

impl UdpSockets {
    /// Binds a socket for each of `workers` workers (0: one per core) to each address. All sockets
    /// of an address with port 0 share the port that the first one gets.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn bind(listen: &[SocketAddr], workers: usize) -> io::Result<Self> {
        Self::bind_over(&mut Handed::default(), listen, workers)
    }

    /// [`UdpSockets::bind`], but for sockets that were handed over: all of them, however many
    /// workers there are to be, since each may hold queries.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn bind_over(
        handed: &mut Handed,
        listen: &[SocketAddr],
        workers: usize,
    ) -> io::Result<Self> {
        let workers = match workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for address in listen {
            let named = |error| not_bound(*address, "UDP", &error);
            let own = handed.take(Type::DGRAM, *address).into_iter();
            let own = own.map(|socket| UdpSocket::over(socket, *address));
            let mut own = own.collect::<io::Result<Vec<_>>>().map_err(named)?;
            if own.is_empty() {
                own.push(UdpSocket::bind(*address).map_err(named)?);
            }
            let mut bound = *address;
            if let Some(first) = own.first() {
                bound = first.address().map_err(named)?;
            }
            let had = own.len();
            sockets.append(&mut own);
            for _ in had..workers {
                sockets.push(UdpSocket::bind_another(bound).map_err(named)?);
            }
            addresses.push(bound);
        }
        Ok(Self { sockets, addresses, io: model::Io::Mmsg })
    }

    /// Says how queries come in and replies go out; `Mmsg` otherwise.
    #[must_use]
    pub fn with_io(self, io: model::Io) -> Self {
        Self { io, ..self }
    }

    /// Second handles on all sockets, to be handed over.
    ///
    /// # Errors
    /// When file descriptors run out.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(UdpSocket::descriptor).collect()
    }

    /// The bound addresses, in the order asked for, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// When a thread cannot be started; those that run are stopped.
    pub fn serve(
        self,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        counters: &Counters,
    ) -> io::Result<UdpServer> {
        let stop = Arc::new(AtomicBool::new(false));
        let common = Common {
            snapshot: snapshot.clone(),
            limiter: Arc::new(Limiter::new([fastrand::u64(..), fastrand::u64(..)])),
            draws: Arc::new(Draws::default()),
            log: counters.log.clone(),
        };
        #[cfg(feature = "xdp")]
        let (attachment, ports) = past_the_kernel(&self.io, &self.addresses);
        let mut server = UdpServer {
            #[cfg(feature = "xdp")]
            attachment,
            stop: stop.clone(),
            workers: Vec::new(),
            addresses: self.addresses,
        };
        let sockets = self.sockets.into_iter().map(|socket| Io::new(socket, &self.io));
        let ios = sockets.enumerate().map(|(number, io)| (format!("dns-udp-{number}"), io));
        #[cfg(feature = "xdp")]
        let ios = {
            let ports = ports.into_iter().map(Io::Xdp).enumerate();
            ios.chain(ports.map(|(queue, io)| (format!("dns-xdp-{queue}"), io)))
        };
        for (name, io) in ios {
            let counters = counters.worker(false);
            let worker = Worker { io, common: common.clone(), counters, stop: stop.clone() };
            let thread = thread::Builder::new().name(name);
            match thread.spawn(move || worker.run()) {
                Ok(thread) => server.workers.push(thread),
                Err(error) => {
                    server.shutdown();
                    return Err(error);
                }
            }
        }
        Ok(server)
    }
}

impl UdpServer {
    /// The bound addresses, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers what has been received and stops; takes less than 100 ms.
    pub fn shutdown(self) {
        // First, so that what still comes goes to the sockets while the queues are emptied.
        #[cfg(feature = "xdp")]
        drop(self.attachment);
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            // A worker catches its panics; there is nothing to learn from one that did not.
            let _ = worker.join();
        }
    }
}

/// Opens the queues of the interface, if the node has one for that.
#[cfg(feature = "xdp")]
fn past_the_kernel(io: &model::Io, addresses: &[SocketAddr]) -> (Option<Attachment>, Vec<Port>) {
    let model::Io::Xdp { interface } = io else { return (None, Vec::new()) };
    match xdp::open(interface, addresses) {
        Ok((attachment, ports)) => {
            let (mode, addresses) = (attachment.mode(), attachment.targets());
            info!(interface, mode, queues = ports.len(), addresses, "AF_XDP answers UDP");
            (Some(attachment), ports)
        }
        Err(error) => {
            warn!(interface, error, "AF_XDP is not to be had, sockets answer all UDP");
            (None, Vec::new())
        }
    }
}

/// One thread and where its queries come from.
struct Worker {
    io: Io,
    common: Common,
    counters: Arc<WorkerCounters>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Works until told to stop; a panic costs the batch at most.
    fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.counters.panicked();
        }
    }

    fn work(&mut self) {
        let mut desk = Desk::new(self.common.clone(), self.counters.clone());
        let mut drained = 0;
        while drained < DRAIN_BATCHES {
            let stopping = self.stop.load(Ordering::Relaxed);
            match self.io.receive(!stopping) {
                Ok(count) => desk.serve(&mut self.io, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && stopping => return,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    _ => {
                        self.counters.receive_failed();
                        thread::sleep(FAILURE_REST);
                    }
                },
            }
            for _ in 0..self.io.refused() {
                self.counters.receive_failed();
            }
            drained += usize::from(stopping);
        }
    }
}
