//! Counts of queries and replies, written by each worker for itself and summed by a scrape.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::cookie::Standing;
use super::engine::{Answer, Reply, Transport};
use super::limit::{Kind, Limited};
use super::query_log::QueryLog;
use crate::snapshot::Labels;

/// Response codes that are counted apart: those of RFC 6895 section 2.3 up to BADCOOKIE.
const RCODES: usize = 24;

/// The counters of all transports.
#[derive(Debug)]
pub struct Counters {
    services: Arc<Labels>,
    regions: Arc<Labels>,
    /// Only grows when a transport starts; the lock is taken then and by scrapes.
    workers: Mutex<Vec<Arc<WorkerCounters>>>,
    /// By transport, for those that have connections; grows likewise.
    connections: Mutex<Vec<(Transport, Arc<ConnectionCounters>)>>,
    /// Zone transfers.
    pub transfers: TransferCounters,
    /// Where queries are logged that a worker counts; `None`: nowhere.
    pub log: Option<QueryLog>,
}

/// What concerns zone transfers.
#[derive(Debug, Default)]
pub struct TransferCounters {
    /// Zones sent whole.
    pub axfr: AtomicU64,
    /// Changes sent.
    pub ixfr: AtomicU64,
    /// Transfers that were permitted and did not come to their end.
    pub failed: AtomicU64,
    /// Secondaries that took note of a change.
    pub notified: AtomicU64,
    /// Secondaries that were told of a change and never replied.
    pub unheard: AtomicU64,
}

/// What concerns the connections of one transport.
#[derive(Debug, Default)]
pub(super) struct ConnectionCounters {
    pub open: AtomicU64,
    pub evicted: AtomicU64,
    pub timed_out: AtomicU64,
    pub failed_handshakes: AtomicU64,
    pub refused_requests: AtomicU64,
    pub refused_headers: AtomicU64,
    pub accept_errors: AtomicU64,
}

/// The connections of one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// Closed early to make room for new ones, or for want of memory.
    pub evicted: u64,
    /// Closed because the client did not keep the time limits.
    pub timed_out: u64,
    /// Closed because TLS could not be agreed on.
    pub failed_handshakes: u64,
    /// HTTP requests that were no query, or one that took too long.
    pub refused_requests: u64,
    /// Closed because a listed proxy sent no sound PROXY header.
    pub refused_headers: u64,
    /// Failures to accept one.
    pub accept_errors: u64,
}

/// The counters of one UDP worker, or of all connections of a transport.
///
/// One worker writes and a scrape reads, so relaxed loads and stores are enough. They begin a
/// cache line of their own, so that workers do not slow each other.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct WorkerCounters {
    /// Whether several threads write, as for connections.
    shared: bool,
    queries: [AtomicU64; Transport::ALL.len()],
    rcodes: [AtomicU64; RCODES],
    dropped: AtomicU64,
    malformed: AtomicU64,
    truncated: AtomicU64,
    panics: AtomicU64,
    receive_errors: AtomicU64,
    send_errors: AtomicU64,
    /// By kind, then by what became of the answer.
    limited: [[AtomicU64; Limited::ALL.len()]; Kind::ALL.len()],
    evicted: AtomicU64,
    /// By standing; there is none for absent ones.
    cookies: [AtomicU64; 1 + Standing::KNOWN.len()],
    located: AtomicU64,
    unlocated: AtomicU64,
    services: Box<[AtomicU64]>,
    all_down: Box<[AtomicU64]>,
    explored: Box<[AtomicU64]>,
    regions: Box<[AtomicU64]>,
}

/// Sums over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Queries received, by transport.
    pub queries: Vec<(Transport, u64)>,
    /// Connections, by transport; those that are not served are left out.
    pub connections: Vec<(Transport, Connections)>,
    /// Replies, by response code; codes that never occurred are left out.
    pub replies: Vec<(u16, u64)>,
    /// Answers by service.
    pub services: Vec<(String, u64)>,
    /// Answers by service, of those given while everything behind it was down.
    pub all_down: Vec<(String, u64)>,
    /// Answers by service, of those that went to a runner-up.
    pub explored: Vec<(String, u64)>,
    /// Answers by region of the first address.
    pub regions: Vec<(String, u64)>,
    /// Queries without a reply, by intent.
    pub dropped: u64,
    /// Malformed queries, answered or not.
    pub malformed: u64,
    /// Replies cut to fit.
    pub truncated: u64,
    /// Queries to services that ask the geo databases, from clients whom these locate.
    pub located: u64,
    /// The same from other clients.
    pub unlocated: u64,
    /// Queries lost to a panic, or a worker restarted after one.
    pub panics: u64,
    /// Failures to receive.
    pub receive_errors: u64,
    /// Replies that could not be sent.
    pub send_errors: u64,
    /// Answers above the rate, by kind and what became of them.
    pub limited: Vec<(Kind, Limited, u64)>,
    /// Prefixes that the limiter forgot to make room for others.
    pub evicted: u64,
    /// Queries with a cookie, by what it was worth.
    pub cookies: Vec<(Standing, u64)>,
}

impl Counters {
    /// Counters whose services and regions are numbered by these labels.
    pub fn new(services: Arc<Labels>, regions: Arc<Labels>) -> Self {
        let (workers, connections) = (Mutex::default(), Mutex::default());
        let transfers = TransferCounters::default();
        Self { services, regions, workers, connections, transfers, log: None }
    }

    /// The same, with a log of the queries.
    #[must_use]
    pub fn with_log(self, log: Option<QueryLog>) -> Self {
        Self { log, ..self }
    }

    /// The counters of the connections of a transport.
    pub(super) fn connections(&self, transport: Transport) -> Arc<ConnectionCounters> {
        let counters = Arc::<ConnectionCounters>::default();
        let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((transport, counters.clone()));
        counters
    }

    /// The counters of a new worker; `shared`: several threads will write them.
    pub(super) fn worker(&self, shared: bool) -> Arc<WorkerCounters> {
        let zeros = |count: u32| (0..count).map(|_| AtomicU64::new(0)).collect();
        let worker = Arc::new(WorkerCounters {
            shared,
            queries: Default::default(),
            rcodes: Default::default(),
            dropped: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
            send_errors: AtomicU64::new(0),
            limited: Default::default(),
            evicted: AtomicU64::new(0),
            cookies: Default::default(),
            located: AtomicU64::new(0),
            unlocated: AtomicU64::new(0),
            services: zeros(self.services.limit()),
            all_down: zeros(self.services.limit()),
            explored: zeros(self.services.limit()),
            regions: zeros(self.regions.limit()),
        });
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker.clone());
        worker
    }

    /// The sums of the moment.
    pub fn totals(&self) -> Totals {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sum = |read: &dyn Fn(&WorkerCounters) -> Option<&AtomicU64>| -> u64 {
            workers
                .iter()
                .filter_map(|worker| read(worker))
                .map(|c| c.load(Ordering::Relaxed))
                .sum()
        };
        let named = |labels: &Labels, read: fn(&WorkerCounters) -> &[AtomicU64]| {
            let names = labels.names().into_iter().enumerate();
            let counted = names.map(|(at, name)| (name, sum(&|worker| read(worker).get(at))));
            // Number 0 exists for the surplus alone.
            counted.enumerate().filter(|(at, (_, n))| *at > 0 || *n > 0).map(|(_, c)| c).collect()
        };
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = connections.iter().map(|(transport, counters)| {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let connections = Connections {
                open: read(&counters.open),
                evicted: read(&counters.evicted),
                timed_out: read(&counters.timed_out),
                failed_handshakes: read(&counters.failed_handshakes),
                refused_requests: read(&counters.refused_requests),
                refused_headers: read(&counters.refused_headers),
                accept_errors: read(&counters.accept_errors),
            };
            (*transport, connections)
        });
        let connections = connections.collect();
        let replies = (0..RCODES).map(|rcode| (rcode as u16, sum(&|w| w.rcodes.get(rcode))));
        Totals {
            queries: Transport::ALL
                .map(|transport| (transport, sum(&|worker| worker.queries(transport))))
                .to_vec(),
            connections,
            replies: replies.filter(|(_, count)| *count > 0).collect(),
            services: named(&self.services, |worker| &worker.services),
            all_down: named(&self.services, |worker| &worker.all_down),
            explored: named(&self.services, |worker| &worker.explored),
            regions: named(&self.regions, |worker| &worker.regions),
            dropped: sum(&|worker| Some(&worker.dropped)),
            malformed: sum(&|worker| Some(&worker.malformed)),
            truncated: sum(&|worker| Some(&worker.truncated)),
            located: sum(&|worker| Some(&worker.located)),
            unlocated: sum(&|worker| Some(&worker.unlocated)),
            panics: sum(&|worker| Some(&worker.panics)),
            receive_errors: sum(&|worker| Some(&worker.receive_errors)),
            send_errors: sum(&|worker| Some(&worker.send_errors)),
            limited: Kind::ALL
                .iter()
                .flat_map(|kind| Limited::ALL.map(|limited| (*kind, limited)))
                .map(|(kind, limited)| (kind, limited, sum(&|w| w.limited(kind, limited))))
                .collect(),
            evicted: sum(&|worker| Some(&worker.evicted)),
            cookies: Standing::KNOWN
                .map(|standing| (standing, sum(&|w| w.cookies.get(standing as usize))))
                .to_vec(),
        }
    }
}

impl WorkerCounters {
    /// Counts a query and what became of it.
    pub(super) fn answered(&self, transport: Transport, answer: &Answer) {
        let facts = &answer.facts;
        self.add(self.queries(transport), 1);
        match answer.reply {
            Reply::Length(_) => self.add(self.rcodes.get(usize::from(facts.rcode)), 1),
            Reply::Drop => self.add(Some(&self.dropped), 1),
            // Counted with what became of it.
            Reply::Transfer => {}
        }
        if facts.malformed {
            self.add(Some(&self.malformed), 1);
        }
        if facts.truncated {
            self.add(Some(&self.truncated), 1);
        }
        if let Some(limited) = facts.limited {
            self.add(self.limited(facts.kind, limited), 1);
        }
        if facts.standing != Standing::Absent {
            self.add(self.cookies.get(facts.standing as usize), 1);
        }
        if let Some(service) = facts.service {
            self.add(self.services.get(service as usize), 1);
            if facts.all_down {
                self.add(self.all_down.get(service as usize), 1);
            }
            if facts.explored {
                self.add(self.explored.get(service as usize), 1);
            }
        }
        match facts.matched {
            Some(true) => self.add(Some(&self.located), 1),
            Some(false) => self.add(Some(&self.unlocated), 1),
            None => {}
        }
        if let Some(region) = facts.region {
            self.add(self.regions.get(region as usize), 1);
        }
    }

    /// Counts a query that a panic took, which is all that is known of it.
    pub(super) fn panicked(&self) {
        self.add(Some(&self.panics), 1);
    }

    /// Counts a failure to receive.
    pub(super) fn receive_failed(&self) {
        self.add(Some(&self.receive_errors), 1);
    }

    /// Counts replies that could not be sent.
    pub(super) fn sends_failed(&self, replies: usize) {
        self.add(Some(&self.send_errors), replies as u64);
    }

    /// Counts prefixes that the limiter forgot.
    pub(super) fn forgot(&self, prefixes: u64) {
        self.add(Some(&self.evicted), prefixes);
    }

    fn limited(&self, kind: Kind, limited: Limited) -> Option<&AtomicU64> {
        self.limited.get(kind as usize)?.get(limited as usize)
    }

    fn queries(&self, transport: Transport) -> Option<&AtomicU64> {
        self.queries.get(transport as usize)
    }

    fn add(&self, counter: Option<&AtomicU64>, more: u64) {
        let Some(counter) = counter else { return };
        if self.shared {
            counter.fetch_add(more, Ordering::Relaxed);
        } else {
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::engine::Facts;

    #[test]
    fn totals_are_the_sums_of_all_workers_by_name() {
        let labels = |names: [&str; 2]| {
            let labels = Arc::new(Labels::new(3));
            for name in names {
                labels.number(name);
            }
            labels
        };
        let counters = Counters::new(labels(["www", "api"]), labels(["eu", "us"]));
        let facts =
            Facts { service: Some(2), region: Some(1), matched: Some(true), ..Facts::default() };
        let facts = Facts { explored: true, ..facts };
        let answer = Answer { reply: Reply::Length(40), facts };
        for (shared, transport) in [(false, Transport::Udp), (true, Transport::Tcp)] {
            let worker = counters.worker(shared);
            worker.answered(transport, &answer);
            worker.answered(transport, &answer);
            let cut = Facts { truncated: true, ..Facts::default() };
            worker.answered(transport, &Answer { reply: Reply::Length(12), facts: cut });
            let (service, matched) = (Some(1), Some(false));
            let down = Facts { service, matched, all_down: true, ..Facts::default() };
            worker.answered(transport, &Answer { reply: Reply::Length(40), facts: down });
            let bad = Facts { rcode: 1, malformed: true, ..Facts::default() };
            worker.answered(transport, &Answer { reply: Reply::Length(12), facts: bad });
            let lost = Facts { malformed: true, ..Facts::default() };
            worker.answered(transport, &Answer { reply: Reply::Drop, facts: lost });
            let limited = Some(Limited::Dropped);
            let (kind, standing) = (Kind::Error, Standing::Invalid);
            let above = Facts { kind, standing, limited, ..Facts::default() };
            worker.answered(transport, &Answer { reply: Reply::Drop, facts: above });
            worker.forgot(2);
            worker.panicked();
            worker.sends_failed(3);
            worker.receive_failed();
        }
        counters.connections(Transport::Tls).open.fetch_add(1, Ordering::Relaxed);
        let name = |text: &str| text.to_owned();
        let asked = |t: Transport| if matches!(t, Transport::Udp | Transport::Tcp) { 7 } else { 0 };
        let expected = Totals {
            queries: Transport::ALL.map(|transport| (transport, asked(transport))).to_vec(),
            connections: vec![(Transport::Tls, Connections { open: 1, ..Connections::default() })],
            replies: vec![(0, 8), (1, 2)],
            services: vec![(name("www"), 2), (name("api"), 4)],
            all_down: vec![(name("www"), 2), (name("api"), 0)],
            explored: vec![(name("www"), 0), (name("api"), 4)],
            regions: vec![(name("eu"), 4), (name("us"), 0)],
            dropped: 4,
            malformed: 4,
            truncated: 2,
            located: 4,
            unlocated: 2,
            panics: 2,
            receive_errors: 2,
            send_errors: 6,
            limited: Kind::ALL
                .iter()
                .flat_map(|kind| Limited::ALL.map(|limited| (*kind, limited, 0)))
                .map(|(kind, limited, _)| {
                    let counted = (kind, limited) == (Kind::Error, Limited::Dropped);
                    (kind, limited, if counted { 2 } else { 0 })
                })
                .collect(),
            evicted: 4,
            cookies: vec![(Standing::New, 0), (Standing::Invalid, 2), (Standing::Valid, 0)],
        };
        assert_eq!(counters.totals(), expected);
    }
}
