//! Answers the queries of a batch, however they came.

use std::cell::Cell;
use std::hint::black_box;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::counters::WorkerCounters;
use super::draws::{Draws, Random};
use super::engine::{self, Answer, Peer, Reply, Transport};
use super::io::{Exchange, Io, WIDTH};
use super::limit::{Client, Limiter};
use super::query_log::{QueryLog, Sampler};
use super::wire::Parsed;
use crate::clock::{self, Tick};
use crate::snapshot::Snapshot;

/// What all workers share.
#[derive(Clone)]
pub(super) struct Common {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub limiter: Arc<Limiter>,
    /// One for all workers: the kernel hands a client's queries to any of them.
    pub draws: Arc<Draws>,
    pub log: Option<QueryLog>,
}

/// Answers batches for one worker.
pub(super) struct Desk {
    common: Common,
    counters: Arc<WorkerCounters>,
    work: Work,
}

/// The parts of a batch that outlive it.
struct Work {
    parsed: Vec<Parsed>,
    answers: [Option<Answer>; WIDTH],
    clients: [Option<Client>; WIDTH],
    random: fastrand::Rng,
    /// Prefixes that the limiter forgot in this batch.
    forgotten: u64,
    sampler: Option<Sampler>,
}

/// What all queries of a batch share.
struct Shared<'s> {
    snapshot: &'s Snapshot,
    limiter: &'s Limiter,
    draws: &'s Draws,
    /// Read once a batch: reading a clock costs as much as an answer.
    now: Tick,
    unix_seconds: u32,
}

impl Desk {
    pub(super) fn new(common: Common, counters: Arc<WorkerCounters>) -> Self {
        let mut random = fastrand::Rng::new();
        let work = Work {
            parsed: vec![Parsed::default(); WIDTH],
            answers: [None; WIDTH],
            clients: [None; WIDTH],
            sampler: common.log.as_ref().map(|log| log.sampler(&mut random)),
            random,
            forgotten: 0,
        };
        Self { common, counters, work }
    }

    /// Answers the `count` queries that came last and sends the replies.
    pub(super) fn serve(&mut self, io: &mut Io, count: usize) {
        let Self { common, counters, work } = self;
        let lost = {
            let snapshot = common.snapshot.load();
            let shared = Shared {
                snapshot: &snapshot,
                limiter: &common.limiter,
                draws: &common.draws,
                now: clock::now(),
                unix_seconds: clock::unix_seconds() as u32,
            };
            spare_others(count, |index, lost| work.answer(io, &shared, count, index, lost))
        };
        for answer in work.answers.iter().take(count).flatten() {
            counters.answered(Transport::Udp, answer);
        }
        for _ in 0..lost {
            counters.panicked();
        }
        if work.forgotten > 0 {
            counters.forgot(mem::take(&mut work.forgotten));
        }
        if let Some(log) = &common.log {
            work.log(io, log, count);
        }
        let failed = io.send();
        if failed > 0 {
            counters.sends_failed(failed);
        }
    }
}

impl Work {
    /// Hands the sampled queries of a batch to the log.
    fn log(&mut self, io: &mut Io, log: &QueryLog, count: usize) {
        let Some(sampler) = &mut self.sampler else { return };
        if sampler.passes(count) {
            return;
        }
        for (index, answer) in self.answers.iter().enumerate().take(count) {
            if !sampler.takes(&mut self.random) {
                continue;
            }
            if let (Some(answer), Some(exchange)) = (answer, io.exchange(index)) {
                let Exchange { query, peer, reply, .. } = exchange;
                log.offer(peer, Transport::Udp, query, reply, answer);
            }
        }
    }

    /// Answers a batch without its lost queries. Each step runs over the whole batch, so that the
    /// queries wait for memory together; `at` tells which query is under work.
    fn answer(
        &mut self,
        io: &mut Io,
        shared: &Shared<'_>,
        count: usize,
        at: &Cell<usize>,
        lost: &[bool; WIDTH],
    ) {
        let alive = |index: usize| {
            at.set(index);
            lost.get(index) == Some(&false)
        };
        let &Shared { snapshot, limiter, draws, now, unix_seconds } = shared;
        let rates = &snapshot.options.response_rates;
        let places = self.parsed.iter_mut().zip(&mut self.clients).enumerate();
        for (index, (parsed, client)) in places.take(count) {
            if alive(index) {
                parsed.parse(io.query(index));
                engine::locate(snapshot, parsed);
                let limited = io.peer(index).filter(|_| !rates.is_off());
                *client = limited.map(|peer| limiter.client(peer.ip()));
            }
        }
        black_box(engine::touch(snapshot, self.parsed.get(..count).unwrap_or_default()));
        let clients = self.clients.iter().take(count).flatten();
        black_box(clients.fold(0, |all, client| all ^ limiter.touch(*client)));
        let places = self.parsed.iter().zip(&self.clients).zip(&mut self.answers).enumerate();
        for (index, ((parsed, client), answer)) in places.take(count) {
            *answer = None;
            let Some(exchange) = io.exchange(index) else { continue };
            *exchange.length = 0;
            if !alive(index) {
                continue;
            }
            let peer = Peer { address: exchange.peer, transport: Transport::Udp, unix_seconds };
            let (query, reply) = (exchange.query, exchange.reply);
            let number = self.random.u64(..);
            let random = Random::shared(number, draws, unix_seconds);
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
