//! DNS over UDP: worker threads, each with a socket of its own.
//!
//! The kernel spreads queries over the sockets that share an address (`SO_REUSEPORT`), so workers
//! share nothing but the snapshot, which they load once a batch.

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::counters::{Counters, WorkerCounters};
use super::draws::{Draws, Random};
use super::engine::{self, Answer, Peer, Reply, Transport};
use super::limit::{Client, Limiter};
use super::query_log::{QueryLog, Sampler};
use super::socket::{Batch, Exchange, UdpSocket, WIDTH};
use super::wire::Parsed;
use crate::clock::{self, Tick};
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
}

/// Running UDP workers.
#[derive(Debug)]
pub struct UdpServer {
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
        let workers = match workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for address in listen {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("cannot listen on `{address}` (UDP): {error}"))
            };
            let first = UdpSocket::bind(*address).map_err(named)?;
            let bound = first.address().map_err(named)?;
            sockets.push(first);
            for _ in 1..workers {
                sockets.push(UdpSocket::bind_another(bound).map_err(named)?);
            }
            addresses.push(bound);
        }
        Ok(Self { sockets, addresses })
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
        let limiter = Arc::new(Limiter::new([fastrand::u64(..), fastrand::u64(..)]));
        let mut server =
            UdpServer { stop: stop.clone(), workers: Vec::new(), addresses: self.addresses };
        let draws = Arc::new(Draws::default());
        for (number, socket) in self.sockets.into_iter().enumerate() {
            let worker = Worker {
                socket,
                snapshot: snapshot.clone(),
                counters: counters.worker(false),
                limiter: limiter.clone(),
                log: counters.log.clone(),
                draws: draws.clone(),
                stop: stop.clone(),
            };
            let thread = thread::Builder::new().name(format!("dns-udp-{number}"));
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
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            // A worker catches its panics; there is nothing to learn from one that did not.
            let _ = worker.join();
        }
    }
}

/// One thread and its socket.
struct Worker {
    socket: UdpSocket,
    snapshot: Arc<ArcSwap<Snapshot>>,
    counters: Arc<WorkerCounters>,
    limiter: Arc<Limiter>,
    log: Option<QueryLog>,
    /// One for all workers: the kernel hands a client's queries to any of them.
    draws: Arc<Draws>,
    stop: Arc<AtomicBool>,
}

/// The parts of a batch that outlive it.
struct Desk {
    batch: Batch,
    parsed: Vec<Parsed>,
    answers: [Option<Answer>; WIDTH],
    clients: [Option<Client>; WIDTH],
    random: fastrand::Rng,
    /// Prefixes that the limiter forgot in this batch.
    forgotten: u64,
    draws: Arc<Draws>,
    sampler: Option<Sampler>,
}

/// What all queries of a batch share.
struct Shared<'s> {
    snapshot: &'s Snapshot,
    limiter: &'s Limiter,
    /// Read once a batch: reading a clock costs as much as an answer.
    now: Tick,
    unix_seconds: u32,
}

impl Worker {
    /// Works until told to stop; a panic costs the batch at most.
    fn run(&self) {
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.counters.panicked();
        }
    }

    fn work(&self) {
        let mut random = fastrand::Rng::new();
        let mut desk = Desk {
            batch: Batch::new(),
            parsed: vec![Parsed::default(); WIDTH],
            answers: [None; WIDTH],
            clients: [None; WIDTH],
            sampler: self.log.as_ref().map(|log| log.sampler(&mut random)),
            random,
            forgotten: 0,
            draws: self.draws.clone(),
        };
        let mut drained = 0;
        while drained < DRAIN_BATCHES {
            let stopping = self.stop.load(Ordering::Relaxed);
            match desk.batch.receive(&self.socket, !stopping) {
                Ok(count) => self.serve(&mut desk, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && stopping => return,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    _ => {
                        self.counters.receive_failed();
                        thread::sleep(FAILURE_REST);
                    }
                },
            }
            drained += usize::from(stopping);
        }
    }

    /// Answers a batch and sends the replies.
    fn serve(&self, desk: &mut Desk, count: usize) {
        let lost = {
            let snapshot = self.snapshot.load();
            let shared = Shared {
                snapshot: &snapshot,
                limiter: &self.limiter,
                now: clock::now(),
                unix_seconds: clock::unix_seconds() as u32,
            };
            spare_others(count, |index, lost| desk.answer(&shared, count, index, lost))
        };
        for answer in desk.answers.iter().take(count).flatten() {
            self.counters.answered(Transport::Udp, answer);
        }
        for _ in 0..lost {
            self.counters.panicked();
        }
        if desk.forgotten > 0 {
            self.counters.forgot(mem::take(&mut desk.forgotten));
        }
        let failed = desk.batch.send(&self.socket);
        if failed > 0 {
            self.counters.sends_failed(failed);
        }
        // After the replies are gone, so that no client waits for it.
        if let Some(log) = &self.log {
            desk.log(log, count);
        }
    }
}

impl Desk {
    /// Hands the sampled queries of a batch to the log.
    fn log(&mut self, log: &QueryLog, count: usize) {
        let Some(sampler) = &mut self.sampler else { return };
        if sampler.passes(count) {
            return;
        }
        for (index, answer) in self.answers.iter().enumerate().take(count) {
            if !sampler.takes(&mut self.random) {
                continue;
            }
            if let (Some(answer), Some(exchange)) = (answer, self.batch.exchange(index)) {
                let Exchange { query, peer, reply, .. } = exchange;
                log.offer(peer, Transport::Udp, query, reply, answer);
            }
        }
    }

    /// Answers a batch without its lost queries. Each step runs over the whole batch, so that the
    /// queries wait for memory together; `at` tells which query is under work.
    fn answer(
        &mut self,
        shared: &Shared<'_>,
        count: usize,
        at: &Cell<usize>,
        lost: &[bool; WIDTH],
    ) {
        let alive = |index: usize| {
            at.set(index);
            lost.get(index) == Some(&false)
        };
        let &Shared { snapshot, limiter, now, unix_seconds } = shared;
        let rates = &snapshot.options.response_rates;
        let places = self.parsed.iter_mut().zip(&mut self.clients).enumerate();
        for (index, (parsed, client)) in places.take(count) {
            if alive(index) {
                parsed.parse(self.batch.query(index));
                engine::locate(snapshot, parsed);
                let limited = self.batch.peer(index).filter(|_| !rates.is_off());
                *client = limited.map(|peer| limiter.client(peer.ip()));
            }
        }
        black_box(engine::touch(snapshot, self.parsed.get(..count).unwrap_or_default()));
        let clients = self.clients.iter().take(count).flatten();
        black_box(clients.fold(0, |all, client| all ^ limiter.touch(*client)));
        let places = self.parsed.iter().zip(&self.clients).zip(&mut self.answers).enumerate();
        for (index, ((parsed, client), answer)) in places.take(count) {
            *answer = None;
            let Some(exchange) = self.batch.exchange(index) else { continue };
            *exchange.length = 0;
            if !alive(index) {
                continue;
            }
            let peer = Peer { address: exchange.peer, transport: Transport::Udp, unix_seconds };
            let (query, reply) = (exchange.query, exchange.reply);
            let number = self.random.u64(..);
            let random = Random::shared(number, &self.draws, unix_seconds);
            let mut given = engine::respond(snapshot, query, parsed, peer, random, reply);
            snapshot.notified(&given.facts.notified);
            if let (Some(client), Reply::Length(_)) = (client, given.reply) {
                let kind = (given.facts.kind, given.facts.standing);
                let ruling = limiter.rule(rates, *client, kind, now, number);
                self.forgotten += u64::from(ruling.evicted);
                if let Some(limited) = ruling.limited {
                    given = engine::curb(snapshot, query, parsed, given, limited, reply);
                }
            }
            if let Reply::Length(length) = given.reply {
                *exchange.length = length;
            }
            *answer = Some(given);
        }
    }
}

/// Runs `work` over a batch until it comes to its end, each time without the queries at which it
/// panicked; returns how many those are. `work` sets the cell to the query it works on.
fn spare_others(count: usize, mut work: impl FnMut(&Cell<usize>, &[bool; WIDTH])) -> usize {
    let at = Cell::new(0);
    let mut lost = [false; WIDTH];
    // Each turn loses a query, so there are at most as many as queries, and one.
    for turn in 0..=count {
        if catch_unwind(AssertUnwindSafe(|| work(&at, &lost))).is_ok() {
            return turn;
        }
        if let Some(lost) = lost.get_mut(at.get()) {
            *lost = true;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_the_one_query_it_came_from() {
        let mut answered = Vec::new();
        let lost = spare_others(8, |at, lost| {
            answered.clear();
            for (index, lost) in lost.iter().enumerate().take(8) {
                at.set(index);
                if *lost {
                    continue;
                }
                assert!(index != 2 && index != 7, "a query that cannot be answered");
                answered.push(index);
            }
        });
        assert_eq!(lost, 2);
        assert_eq!(answered, [0, 1, 3, 4, 5, 6]);
    }
}
