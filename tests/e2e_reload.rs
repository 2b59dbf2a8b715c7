//! Reloads under load: no question lost, no answer wrong, broken files without effect.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

#[path = "reload/broken.rs"]
mod broken;
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use broken::BROKEN;
use support::dns::Client;
use support::load::{Load, Question};
use support::meridian::Meridian;
use support::site::{Site, zone};
use support::wait_for;
use support::wire::{Ask, Reply};

const A: u16 = 1;
const SOA: u16 = 6;
const TXT: u16 = 16;
/// Questions a second while files change.
const RATE: u32 = 2000;
/// Reloads of good files.
const RELOADS: u32 = 100;

/// Numbers of one file's states: what was seen in answers, and what was written.
#[derive(Default)]
struct Turns {
    seen: AtomicU32,
    written: AtomicU32,
}

impl Turns {
    /// Whether an answer from state `turn` may be given to a question asked after `seen` had been
    /// seen: neither older than that, nor newer than what is written.
    fn judge(&self, turn: u32, seen: u32) -> Result<(), String> {
        let written = self.written.load(Ordering::SeqCst);
        let fits = (seen..=written).contains(&turn);
        let what = || format!("answered from state {turn}, not one of {seen} to {written}");
        fits.then_some(()).ok_or_else(what)
    }
}

/// A served site whose zone file and fleet file carry a number that answers show.
struct World {
    meridian: Meridian,
    zone: Arc<Turns>,
    fleet: Arc<Turns>,
    /// Last, so that the folder is there until the process has ended.
    site: Site,
}

impl World {
    fn new() -> Self {
        let site = Site::new("near");
        site.write("config/fleet.toml", &fleet_text(0));
        site.write("zones/turn.test.zone", &zone_text(0));
        site.write("zones/turn.test.toml", SERVICES);
        let meridian = site.serve();
        Self { site, meridian, zone: Arc::default(), fleet: Arc::default() }
    }

    /// Questions about both files in turn, and a judge for each.
    fn load(&self) -> Load {
        let in_zone = |name: &str, rtype, turn: fn(&Reply) -> Option<u32>| {
            let turns = self.zone.clone();
            judged(name, rtype, turn, move |turn, mark| turns.judge(turn, (mark >> 32) as u32))
        };
        let turns = self.fleet.clone();
        let steered = judged("www.turn.test", A, address_turn, move |turn, mark| {
            turns.judge(turn, mark as u32)
        });
        let questions = vec![
            in_zone("text.turn.test", TXT, text_turn),
            in_zone("alias.turn.test", A, address_turn),
            in_zone("missing.turn.test", A, serial_turn),
            steered,
        ];
        let (zone, fleet) = (self.zone.clone(), self.fleet.clone());
        Load::start(self.site.dns, RATE, questions, move || {
            let seen = |turns: &Turns| u64::from(turns.seen.load(Ordering::SeqCst));
            seen(&zone) << 32 | seen(&fleet)
        })
    }

    /// Writes the next state of a file, tells the server if `signal`, and waits until it answers.
    fn next(&self, of_zone: bool, signal: bool) {
        let turns = if of_zone { &self.zone } else { &self.fleet };
        let turn = turns.written.fetch_add(1, Ordering::SeqCst) + 1;
        let (path, text, name) = if of_zone {
            ("zones/turn.test.zone", zone_text(turn), "alias.turn.test")
        } else {
            ("config/fleet.toml", fleet_text(turn), "www.turn.test")
        };
        self.site.write(path, &text);
        if signal {
            self.meridian.process.signal("HUP");
        }
        let mut client = Client::new(self.site.dns);
        wait_for("the new state in answers", || {
            let reply = client.ask(&Ask::new(name, A));
            (address_turn(&reply) == Some(turn)).then_some(())
        });
        turns.seen.store(turn, Ordering::SeqCst);
    }
}

/// A question whose reply shows a number, and the judge of that number.
fn judged(
    name: &str,
    rtype: u16,
    turn: fn(&Reply) -> Option<u32>,
    judge: impl Fn(u32, u64) -> Result<(), String> + Send + Sync + 'static,
) -> Question {
    let judge = move |reply: &Reply, mark| match turn(reply) {
        Some(turn) => judge(turn, mark),
        None => Err(format!("an answer of another form: {reply:?}")),
    };
    Question { ask: Ask::new(name, rtype), judge: Box::new(judge) }
}

/// The number in the one address of an answer.
fn address_turn(reply: &Reply) -> Option<u32> {
    match reply.addresses()[..] {
        [IpAddr::V4(address)] if reply.rcode == 0 && reply.aa => {
            Some(u32::from(address) & 0x00ff_ffff)
        }
        _ => None,
    }
}

/// The number in both records of a text answer; they are from one state or the answer is wrong.
fn text_turn(reply: &Reply) -> Option<u32> {
    let text = |rdata: &[u8]| String::from_utf8_lossy(&rdata[1..]).parse::<u32>().ok();
    match &reply.answer[..] {
        [one, two] => {
            let (one, two) = (text(&one.rdata)?, text(&two.rdata)?);
            (one.abs_diff(two) == 1_000_000).then_some(one.min(two))
        }
        _ => None,
    }
}

/// The serial in the SOA of a negative answer.
fn serial_turn(reply: &Reply) -> Option<u32> {
    let [soa] = &reply.authority[..] else { return None };
    let serial = soa.rdata.len().checked_sub(20)?;
    let serial = soa.rdata.get(serial..serial + 4)?;
    let negative = reply.rcode == 3 && soa.rtype == SOA;
    negative.then_some(u32::from_be_bytes(serial.try_into().ok()?) - 1)
}

const SERVICES: &str = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"proximity\"]\n";

fn zone_text(turn: u32) -> String {
    let address = Ipv4Addr::from(0x0a00_0000 | turn);
    let other = turn + 1_000_000;
    let records = format!(
        "text IN TXT \"{turn}\"\ntext IN TXT \"{other}\"\n\
         alias IN CNAME target\ntarget IN A {address}\n"
    );
    zone("turn.test.", turn + 1, &records)
}

fn fleet_text(turn: u32) -> String {
    let address = Ipv4Addr::from(0x0a00_0000 | turn);
    format!(
        "version = 1\n[region.near]\nlocation = {{ lat = 50.11, lon = 8.68 }}\n\
         [pool.web]\nendpoints = [{{ region = \"near\", address = \"{address}\" }}]\n"
    )
}

#[test]
fn a_hundred_reloads_under_load_lose_and_falsify_nothing() {
    let world = World::new();
    let started = Instant::now();
    let load = world.load();
    for reload in 0..RELOADS {
        world.next(reload % 4 < 2, reload % 2 == 0);
    }
    let seconds = started.elapsed().as_secs_f64();
    let outcome = load.finish();
    println!("{RELOADS} reloads in {seconds:.1} s, {} questions", outcome.asked);
    // A busy machine may send fewer than planned, but not so few that nothing is shown.
    outcome.assert_clean((seconds * f64::from(RATE) * 0.8) as u64);
}

#[test]
fn broken_files_change_nothing_until_they_are_mended() {
    let world = World::new();
    let load = world.load();
    let outcome = |label| world.meridian.metric("meridian_reloads_total", &[label]);
    // A broken configuration is refused; a broken master file keeps its zone's last good data.
    let refused = || outcome("outcome=\"refused\"") + outcome("outcome=\"partial\"");
    assert_eq!(BROKEN.len(), 30);
    for (number, case) in (0..).zip(&BROKEN) {
        let before = refused();
        let good = std::fs::read_to_string(world.site.path(case.file)).unwrap();
        world.site.write_bytes(case.file, &case.apply(&good));
        if number % 2 == 0 {
            world.meridian.process.signal("HUP");
        }
        wait_for(case.what, || (refused() > before).then_some(()));
        world.site.write(case.file, &good);
        // The mended files are read, since their next state shows in answers.
        world.next(number % 3 != 0, number % 2 == 1);
    }
    load.finish().assert_clean(1000);
}
