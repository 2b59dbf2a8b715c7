//! The network between sites: takes each packet from one site's device and gives it to another's,
//! later or never. The kernel has no netem everywhere.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::link::{Counts, Link, Profile};

/// Site `n` has the addresses `10.213.n.0/24`.
pub(crate) const NETWORK: [u8; 2] = [10, 213];
/// One of clients has `198.18.n.0/24`, which no geo database knows and which is not private.
pub(crate) const CLIENTS: [u8; 2] = [198, 18];
/// Longest rest, after which the end is looked for.
const REST: Duration = Duration::from_millis(50);
/// Packets taken from one device before another has its turn.
const BATCH: usize = 64;

/// Site from which and to which.
type Way = (u8, u8);

/// The network between sites; ends when dropped.
pub(crate) struct Emulator {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    state: Mutex<State>,
}

struct State {
    links: HashMap<Way, Link>,
    /// How much later than it should a packet was given, at most.
    lag: Duration,
}

/// A packet under way: when it arrives, which it was (so that order is kept), its way, itself.
type Flight = Reverse<(Instant, u64, Way, Vec<u8>)>;

impl Emulator {
    /// Connects sites by their devices. What has no link does not pass.
    pub(crate) fn start(devices: Vec<(u8, File)>, links: &[(Way, Profile)], seed: u64) -> Self {
        let links = links.iter().zip(seed..);
        let links = links.map(|((way, profile), seed)| (*way, Link::new(*profile, seed)));
        let state = Mutex::new(State { links: links.collect(), lag: Duration::ZERO });
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), state });
        let thread = Some(thread::spawn({
            let shared = shared.clone();
            move || run(&devices, &shared)
        }));
        Self { shared, thread }
    }

    /// Changes all links for which `wanted` holds.
    pub(crate) fn change(&self, wanted: impl Fn(Way) -> bool, change: impl Fn(&mut Profile)) {
        let mut state = self.shared.state.lock().unwrap();
        let links = state.links.iter_mut().filter(|(way, _)| wanted(**way));
        links.for_each(|(_, link)| change(&mut link.profile));
    }

    /// Cuts a site off from all others, or connects it again.
    pub(crate) fn cut(&self, site: u8, cut: bool) {
        self.change(|(from, to)| from == site || to == site, |profile| profile.cut = cut);
    }

    /// What became of the packets of a way.
    pub(crate) fn counts(&self, way: Way) -> Counts {
        self.shared.state.lock().unwrap().links[&way].counts
    }

    /// How late a packet was given at most since this was last asked: what the machine added.
    pub(crate) fn take_lag(&self) -> Duration {
        std::mem::take(&mut self.shared.state.lock().unwrap().lag)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(devices: &[(u8, File)], shared: &Shared) {
    let mut flights: BinaryHeap<Flight> = BinaryHeap::new();
    let (mut number, mut buffer) = (0, vec![0; 65_536]);
    while !shared.stop.load(Ordering::Relaxed) {
        wait(devices, flights.peek().map(|Reverse(first)| first.0));
        for (from, device) in devices {
            for _ in 0..BATCH {
                let Ok(length) = (&*device).read(&mut buffer) else { break };
                let packet = &buffer[..length];
                let Some(to) = destination(packet) else { continue };
                let (now, way) = (Instant::now(), (*from, to));
                let mut state = shared.state.lock().unwrap();
                let arrives = state.links.get_mut(&way).and_then(|link| link.send(now));
                if let Some(arrives) = arrives {
                    number += 1;
                    flights.push(Reverse((arrives, number, way, packet.to_vec())));
                }
            }
        }
        let mut state = shared.state.lock().unwrap();
        while let Some(Reverse((arrives, _, way, packet))) = flights.peek() {
            let now = Instant::now();
            if *arrives > now {
                break;
            }
            state.lag = state.lag.max(now - *arrives);
            let passes = state.links.get_mut(way).is_some_and(Link::arrive);
            let device = devices.iter().find(|(site, _)| *site == way.1);
            if let Some((_, mut device)) = device.filter(|_| passes).map(|(n, file)| (n, file)) {
                // What a full device does not take is lost, as anywhere.
                let _ = device.write(packet);
            }
            flights.pop();
        }
    }
}

/// Waits for a packet, until the next one arrives.
fn wait(devices: &[(u8, File)], next: Option<Instant>) {
    let mut waited: Vec<PollFd<'_>> =
        devices.iter().map(|(_, file)| PollFd::new(file.as_fd(), PollFlags::POLLIN)).collect();
    let rest = next.map_or(REST, |next| next.saturating_duration_since(Instant::now()).min(REST));
    let _ = ppoll(&mut waited, Some(TimeSpec::from_duration(rest)), None);
}

/// The site that a packet is for; `None`: it is not IPv4, or for nobody here.
fn destination(packet: &[u8]) -> Option<u8> {
    let address = packet.get(16..20).filter(|_| packet[0] >> 4 == 4)?;
    (address[..2] == NETWORK || address[..2] == CLIENTS).then_some(address[2])
}
