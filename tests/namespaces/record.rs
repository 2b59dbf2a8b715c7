//! What every node answered, and when: asked each 10 ms, kept as runs of equal answers.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Display, Formatter, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use meridian::zone::rtype::A;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::namespace::Namespace;
use crate::support::wire::{Ask, Reply};

/// Between two queries to a node.
const STEP: Duration = Duration::from_millis(10);
/// A query without a reply for so long has none.
const SILENCE: Duration = Duration::from_secs(1);

/// What came of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// These addresses; none of them is a mistake that no test forgives.
    Addresses(BTreeSet<IpAddr>),
    /// A reply that is no answer.
    Failure(String),
    /// No reply.
    Silence,
}

/// Queries with the same answer, one after another.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) node: &'static str,
    pub(crate) answer: Answer,
    /// When the first and the last of them were sent.
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    count: u64,
}

/// All runs so far.
pub(crate) struct Record {
    begun: Instant,
    runs: Vec<Run>,
    /// The longest that a query was sent after its time: what the machine added.
    lag: Duration,
}

impl Record {
    pub(crate) fn new() -> Arc<Mutex<Self>> {
        let begun = Instant::now();
        Arc::new(Mutex::new(Self { begun, runs: Vec::new(), lag: Duration::ZERO }))
    }

    fn note(&mut self, node: &'static str, sent: Instant, answer: Answer) {
        let last = self.runs.iter_mut().rev().find(|run| run.node == node);
        match last {
            // A reply may overtake one to an earlier query.
            Some(run) if run.answer == answer => {
                (run.last, run.count) = (run.last.max(sent), run.count + 1);
            }
            _ => self.runs.push(Run { node, answer, first: sent, last: sent, count: 1 }),
        }
    }

    /// The lag since this was last asked.
    pub(crate) fn take_lag(&mut self) -> Duration {
        std::mem::take(&mut self.lag)
    }

    /// What a node answered to queries sent at `since` or later.
    pub(crate) fn since(&self, node: &str, since: Instant) -> Vec<Run> {
        let of = self.runs.iter().filter(|run| run.node == node && run.last >= since);
        of.cloned().collect()
    }

    /// What a node answered last.
    pub(crate) fn latest(&self, node: &str) -> Option<&Run> {
        self.runs.iter().rev().find(|run| run.node == node)
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Run { node, answer, first, last, count } in &self.runs {
            let [from, to] = [first, last].map(|at| (*at - self.begun).as_secs_f64());
            writeln!(f, "{from:8.3}..{to:8.3} s {node}: {answer} ({count} queries)")?;
        }
        f.write_char('\n')
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(all) => {
                let text: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&text.join(" "))
            }
            Self::Failure(what) => f.write_str(what),
            Self::Silence => f.write_str("no reply"),
        }
    }
}

/// A thread that asks the nodes of one region, until it is dropped.
pub(crate) struct Poller {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Begins to ask these nodes from here.
    pub(crate) fn start(
        here: &Namespace,
        nodes: Vec<(&'static str, SocketAddr)>,
        name: &'static str,
        record: Arc<Mutex<Record>>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = here.spawn(move || {
            let mut asked: Vec<Asked> = nodes.into_iter().map(Asked::new).collect();
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let now = Instant::now();
                let late = now.saturating_duration_since(due);
                {
                    let mut record = record.lock().unwrap();
                    record.lag = record.lag.max(late);
                    for node in &mut asked {
                        node.silence(now, &mut record);
                    }
                }
                for node in &mut asked {
                    node.ask(name, now);
                }
                // What was missed is not made up for: it would say nothing new.
                due = due.max(now) + STEP;
                collect(&mut asked, due, &record);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A node that is asked.
struct Asked {
    node: &'static str,
    socket: UdpSocket,
    id: u16,
    /// Queries without a reply so far.
    open: HashMap<u16, Instant>,
}

impl Asked {
    fn new((node, address): (&'static str, SocketAddr)) -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { node, socket, id: 0, open: HashMap::new() }
    }

    fn ask(&mut self, name: &str, now: Instant) {
        self.id = self.id.wrapping_add(1);
        // Where the node is gone this may fail, and then nothing replies.
        let _ = self.socket.send(&Ask::new(name, A).encode(self.id));
        self.open.insert(self.id, now);
    }

    fn take(&mut self, record: &Mutex<Record>) {
        let mut buffer = [0; 4096];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                // The port was refused to a query before; the socket has now said so.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
                Err(_) => return,
            };
            let (id, answer) = match Reply::decode(&buffer[..length]) {
                Ok(reply) if reply.rcode == 0 => {
                    (reply.id, Answer::Addresses(reply.addresses().into_iter().collect()))
                }
                Ok(reply) => (reply.id, Answer::Failure(format!("RCODE {}", reply.rcode))),
                Err(error) => (self.id, Answer::Failure(error)),
            };
            if let Some(sent) = self.open.remove(&id) {
                record.lock().unwrap().note(self.node, sent, answer);
            }
        }
    }

    fn silence(&mut self, now: Instant, record: &mut Record) {
        let node = self.node;
        self.open.retain(|_, sent| {
            let waits = now.duration_since(*sent) < SILENCE;
            if !waits {
                record.note(node, *sent, Answer::Silence);
            }
            waits
        });
    }
}

/// Takes what comes until `end`.
fn collect(asked: &mut [Asked], end: Instant, record: &Mutex<Record>) {
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return;
        }
        let mut sockets: Vec<PollFd<'_>> =
            asked.iter().map(|node| PollFd::new(node.socket.as_fd(), PollFlags::POLLIN)).collect();
        let _ = ppoll(&mut sockets, Some(TimeSpec::from_duration(rest)), None);
        for node in &mut *asked {
            node.take(record);
        }
    }
}
