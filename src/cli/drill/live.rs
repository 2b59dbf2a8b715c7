//! Runs a drill: sets the overrides, listens, takes them back, whatever happens.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Serialize;
use tokio::sync::mpsc;

use super::poller::{News, Poller};
use super::{Ready, clients, values};
use crate::admin::{Asked, Listing, Question, Status, Wish, Written};
use crate::cli::output::time;
use crate::cli::remote::{Failure, Remote};
use crate::cli::{Exit, Output};
use crate::clock;
use crate::drill::{Demand, Report, Run, Seen, Setup};
use crate::health::overrides::Scope;
use crate::model::How;
use crate::prefix::Prefix;
use crate::steering::Family;

/// Answers are listened to for so long before anything is done.
const LEAD: Duration = Duration::from_secs(1);
/// How long the nodes get to answer everything once.
const BASELINE: Duration = Duration::from_secs(5);
/// How often the node is asked about the fleet.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the line of progress is written anew.
const SHOWN_EVERY: Duration = Duration::from_millis(500);

/// The body of a clearing.
#[derive(Serialize)]
struct Clearing<'a> {
    reason: &'a str,
}

/// Runs a drill to its end.
///
/// # Errors
/// When it could not begin; nothing is left behind then.
pub(super) fn perform(
    ready: &Ready,
    author: Option<&str>,
    remote: &Remote,
    output: &mut Output,
) -> Result<Report, Failure> {
    let questions = questions(ready);
    let begun = clock::stopwatch();
    let poller = Poller::start(&ready.nodes, &questions, ready.drill.every);
    let poller = poller.map_err(|error| failed(&format!("cannot start to ask: {error}")))?;
    look(remote, &poller.tell)?;
    let mut stage = Stage {
        ready,
        author,
        poller,
        begun,
        run: Run::new(setup(ready, &questions)),
        set: Vec::new(),
        ends: None,
        shown: None,
        output,
    };
    stage.baseline()?;
    stage.take_out()?;
    stage.watch();
    stage.clean_up();
    Ok(stage.run.report())
}

fn failed(what: &str) -> Failure {
    Failure { exit: Exit::Failed, what: format!("error: {what}"), problem: None }
}

/// What every node is asked.
fn questions(ready: &Ready) -> Vec<Question> {
    let lost = &ready.plan.preflight.lost;
    let families = [
        (Family::V4, lost.iter().any(IpAddr::is_ipv4)),
        (Family::V6, lost.iter().any(IpAddr::is_ipv6)),
    ];
    let families = families.into_iter().filter(|(_, asked)| *asked).map(|(family, _)| family);
    let clients: Vec<IpAddr> = clients(ready)
        .iter()
        .filter_map(|text| text.parse::<Prefix>().ok().map(Prefix::address))
        .collect();
    let names = ready
        .plan
        .services
        .iter()
        .filter_map(|text| crate::name::Name::parse(text, &crate::name::Name::root()).ok());
    let names: Vec<_> = names.collect();
    let mut all = Vec::new();
    for family in families {
        for name in &names {
            all.extend(clients.iter().map(|client| Question {
                name: name.clone(),
                asked: Asked::Addresses(family),
                client: *client,
                resolver: Some(*client),
            }));
        }
    }
    all
}

fn setup(ready: &Ready, questions: &[Question]) -> Setup {
    let drill = &ready.drill;
    let words = |question: &Question| {
        let subnet = question.subnet().map_or_else(String::new, |prefix| prefix.to_string());
        format!("{} {} for {subnet}", question.name, question.rtype())
    };
    Setup {
        name: drill.name.clone(),
        how: drill.how.as_str().to_owned(),
        fail: values(&drill.fail),
        services: ready.plan.services.clone(),
        started: clock::unix_seconds(),
        lasts: drill.lasts,
        every: drill.every,
        nodes: ready.nodes.iter().map(|(name, _)| name.clone()).collect(),
        questions: questions.iter().map(words).collect(),
        lost: ready.plan.preflight.lost.iter().copied().collect(),
        expect: drill.expect.clone(),
        abort: drill.abort.clone(),
    }
}

/// Asks the node about the fleet, in a thread of its own that ends with the poller: a node that
/// hangs must not hold up the drill.
fn look(remote: &Remote, tell: &mpsc::Sender<News>) -> Result<(), Failure> {
    let (node, tell) = (remote.open()?, tell.clone());
    let looking = move || {
        while !tell.is_closed() {
            let asked: Result<Status, Failure> = node.ask(Method::GET, &["status"], None::<&()>);
            if let Ok(status) = asked {
                let news = News::Seen { at: clock::stopwatch(), seen: seen(&status) };
                if tell.blocking_send(news).is_err() {
                    return;
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    };
    let started = thread::Builder::new().name("drill-status".to_owned()).spawn(looking);
    started.map(drop).map_err(|error| failed(&format!("cannot start to look: {error}")))
}

fn seen(status: &Status) -> Seen {
    let shares = status.regions.iter().map(|region| &region.share);
    let down = shares.filter(|r| r.endpoints > 0 && r.up + r.unknown == 0);
    let residual = status.endpoints.iter().filter_map(|e| e.residual);
    let residual: Vec<u64> = residual.map(|residual| residual.requests).collect();
    let mut loads: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut rates: BTreeMap<String, f64> = BTreeMap::new();
    for pool in &status.pools {
        if let Some(requests) = pool.load.as_ref().and_then(|load| load.requests) {
            *rates.entry(pool.share.region.clone()).or_default() += requests;
        }
        let known = pool.load.as_ref().and_then(|load| load.requests.zip(load.capacity));
        if let Some((requests, capacity)) = known {
            let (load, whole) = loads.entry(pool.share.region.clone()).or_default();
            (*load, *whole) = (*load + requests, *whole + capacity);
        }
    }
    let loads = loads.into_iter().filter(|(_, (_, capacity))| *capacity > 0.0);
    Seen {
        down: down.map(|share| share.region.clone()).collect(),
        loads: loads.map(|(region, (load, capacity))| (region, load / capacity)).collect(),
        rates,
        residual: (!residual.is_empty()).then(|| residual.iter().sum()),
    }
}

/// A drill that is under way.
struct Stage<'a> {
    ready: &'a Ready,
    author: Option<&'a str>,
    poller: Poller,
    begun: Instant,
    run: Run,
    /// The overrides that were set.
    set: Vec<String>,
    /// When they end by themselves.
    ends: Option<Instant>,
    shown: Option<Instant>,
    output: &'a mut Output,
}

impl Stage<'_> {
    fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.begun)
    }

    /// Takes in one piece of news; `None`: nobody asks any more.
    fn hear(&mut self) -> Option<()> {
        match self.poller.news.blocking_recv()? {
            News::Heard { at, place, heard } => self.run.heard(self.since(at), place, &heard),
            News::Seen { at, seen } => self.run.seen(self.since(at), &seen),
            News::Tick => {}
            News::Interrupted => self.run.abort(self.since(clock::stopwatch()), "interrupted"),
            News::Broken(why) => self.output.trouble(format!("warning: {why}")),
        }
        Some(())
    }

    /// Listens before anything is done: a fleet that answers badly already shows nothing.
    fn baseline(&mut self) -> Result<(), Failure> {
        loop {
            let passed = self.since(clock::stopwatch());
            let answered = self.run.baseline();
            if passed >= LEAD && answered.is_ok() {
                break;
            }
            if passed >= BASELINE {
                return answered.map_err(|why| failed(&why));
            }
            if let Some(News::Interrupted) = self.peek() {
                return Err(failed("interrupted before anything was done"));
            }
        }
        if self.run.is_about_something() {
            return Ok(());
        }
        let what = "no node answers any of these clients with what is to fail";
        Err(failed(&format!("{what} (name others in `clients`)")))
    }

    /// [`Self::hear`] that hands on what ends the command.
    fn peek(&mut self) -> Option<News> {
        match self.poller.news.blocking_recv()? {
            News::Interrupted => Some(News::Interrupted),
            News::Heard { at, place, heard } => {
                self.run.heard(self.since(at), place, &heard);
                None
            }
            News::Broken(why) => {
                self.output.trouble(format!("warning: {why}"));
                None
            }
            News::Seen { at, seen } => {
                self.run.seen(self.since(at), &seen);
                None
            }
            News::Tick => None,
        }
    }

    /// Sets the overrides, each with the end of the drill as its own.
    fn take_out(&mut self) -> Result<(), Failure> {
        let drill = &self.ready.drill;
        let began = clock::stopwatch();
        let action = if drill.how == How::Drain { "drain" } else { "down" };
        for target in values(&drill.fail) {
            let wish = Wish {
                action: action.to_owned(),
                target,
                reason: format!("drill: {}", drill.name),
                author: self.author.map(str::to_owned),
                for_seconds: Some(drill.lasts.as_secs().max(1)),
                scope: Scope::Fleet,
                drill: Some(drill.name.clone()),
                ..Wish::default()
            };
            let written: Result<Written, Failure> =
                self.ready.node.ask(Method::POST, &["overrides"], Some(&wish));
            match written {
                Ok(written) => {
                    let ids = written.overrides.iter().map(|one| one.what.id.clone());
                    self.set.extend(ids);
                }
                Err(failure) => {
                    self.take_back("it could not begin");
                    return Err(failure);
                }
            }
        }
        // They end by themselves, counted from when the last was in force.
        self.ends = Some(clock::stopwatch() + drill.lasts);
        self.run.began(self.since(began));
        Ok(())
    }

    /// Listens until there is nothing more to hear.
    fn watch(&mut self) {
        while self.hear().is_some() {
            let now = clock::stopwatch();
            if let Some(ends) = self.ends.filter(|ends| *ends <= now) {
                self.ends = None;
                self.run.ended(self.since(ends));
            }
            match self.run.demand(self.since(now)) {
                Some(Demand::Clear(why)) => {
                    self.take_back(&why);
                    self.ends = None;
                    self.run.ended(self.since(clock::stopwatch()));
                }
                Some(Demand::Finish) => break,
                None => {}
            }
            self.progress(now);
        }
        if self.shown.is_some() {
            self.output.part("\r\u{1b}[K");
        }
    }

    /// One line on a terminal, none in a pipe.
    fn progress(&mut self, now: Instant) {
        let due = self.shown.is_none_or(|shown| now.duration_since(shown) >= SHOWN_EVERY);
        if !due || !io::stdout().is_terminal() {
            return;
        }
        self.shown = Some(now);
        let whole = self.ready.drill.lasts.as_secs().max(1);
        let left = self.ends.map(|ends| ends.saturating_duration_since(now).as_secs());
        let done = whole - left.unwrap_or(0).min(whole);
        let bar = "#".repeat((done * 30 / whole) as usize);
        let words =
            left.map_or_else(|| "returning".to_owned(), |left| format!("{} left", time(left)));
        let moved = self.run.moved_nodes();
        let nodes = self.ready.nodes.len();
        self.output.part(&format!("\r\u{1b}[K[{bar:<30}] {words}, {moved} of {nodes} nodes moved"));
    }

    /// Takes the overrides back; those that cannot be cleared end by themselves.
    fn take_back(&mut self, why: &str) {
        for id in std::mem::take(&mut self.set) {
            let body = Clearing { reason: why };
            let cleared: Result<Written, Failure> =
                self.ready.node.ask(Method::DELETE, &["overrides", &id], Some(&body));
            // It may have ended meanwhile, which is as well.
            if let Err(failure) = cleared
                && failure.exit == Exit::Unreachable
            {
                let what = "the override ends by itself, as the node cannot be reached";
                self.output.trouble(format!("warning: {what}: {}", failure.what));
            }
        }
    }

    /// Clears what should have ended by itself and has not.
    fn clean_up(&mut self) {
        let listed: Result<Listing, Failure> =
            self.ready.node.ask(Method::GET, &["overrides"], None::<&()>);
        let Ok(listed) = listed else { return };
        let left: Vec<String> = listed.overrides.iter().map(|one| one.what.id.clone()).collect();
        self.set.retain(|id| left.contains(id));
        self.take_back("the drill is over");
    }
}
