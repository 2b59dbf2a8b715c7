//! What goes wrong in a simulated world, and when: drawn from its seed.

use std::time::Duration;

use super::scale::{PROBERS, SimFleet};

/// What goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A region is cut off from all others: what leaves it, what reaches it, or both.
    Cut { region: usize, out: bool, into: bool },
    /// The server of a region is away.
    Bus { region: usize },
    /// A node is held still while its clock goes on.
    Pause { node: usize },
    /// A node is stopped, and started again from what it saved.
    Stop { node: usize },
    /// A region is lost: its nodes stop, its endpoints die.
    Region { region: usize },
    /// All probers of a region stop.
    Probers { region: usize },
    /// Nothing that a prober looks at answers it.
    Blind { prober: usize },
    /// A prober says that all it looks at is down.
    Lie { prober: usize },
    /// Endpoints die.
    Endpoints { endpoints: Vec<u32> },
    /// The last node of a prober's region starts under the prober's name.
    Double { prober: usize },
    /// The wall clock of a node steps.
    Clock { node: usize, seconds: i64 },
}

/// A fault with its times since the start.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) begins: Duration,
    /// `None`: it is there for good.
    pub(crate) ends: Option<Duration>,
    pub(crate) fault: Fault,
}

/// Faults begin after this.
pub(crate) const CALM_UNTIL: Duration = Duration::from_secs(8);
/// All of them have ended, or are there for good, by then.
pub(crate) const HEALED: Duration = Duration::from_secs(70);

/// Draws troubles; `heavy`: many of them at a time.
pub(crate) fn draw(rng: &mut fastrand::Rng, fleet: &SimFleet, heavy: bool) -> Vec<Trouble> {
    let scale = fleet.scale;
    let mut troubles = Vec::new();
    let nodes = scale.regions * scale.nodes;
    let probers = scale.regions * PROBERS;
    let times = |rng: &mut fastrand::Rng| {
        let begins = rng.u64(8_000..60_000);
        let ends = (begins + rng.u64(500..45_000)).min(69_000);
        (Duration::from_millis(begins), Some(Duration::from_millis(ends)))
    };
    let ordinary = if heavy { 24 } else { 8 };
    for at in 0..ordinary {
        let region = rng.usize(0..scale.regions);
        let (node, prober) = (rng.usize(0..nodes), rng.usize(0..probers));
        let seconds = if rng.bool() { 86_400 } else { -86_400 };
        let (begins, ends) = times(rng);
        // Each kind in turn, so that no seed lacks any.
        let fault = match at % 10 {
            0 => Fault::Cut { region, out: true, into: true },
            1 => Fault::Stop { node },
            2 => Fault::Pause { node },
            3 => Fault::Lie { prober },
            4 => Fault::Double { prober },
            5 => Fault::Blind { prober },
            6 => Fault::Cut { region, out: at % 20 < 10, into: at % 20 >= 10 },
            7 => Fault::Bus { region },
            8 => Fault::Region { region },
            _ => Fault::Clock { node, seconds },
        };
        troubles.push(Trouble { begins, ends, fault });
    }
    let all = fleet.fleet().endpoints.len() as u32;
    for _ in 0..(all / if heavy { 25 } else { 60 }).clamp(3, 40) {
        let (begins, ends) = times(rng);
        let first = rng.u32(0..all);
        let endpoints = (first..(first + rng.u32(1..12)).min(all)).collect();
        let ends = ends.filter(|_| rng.bool());
        troubles.push(Trouble { begins, ends, fault: Fault::Endpoints { endpoints } });
    }
    troubles.extend(for_good(rng, fleet));
    troubles
}

/// A region that is lost for good, a whole pool, and the probers of three regions that watch a
/// fourth, whose endpoints die afterwards.
fn for_good(rng: &mut fastrand::Rng, fleet: &SimFleet) -> Vec<Trouble> {
    let regions = fleet.scale.regions;
    let pools = &fleet.fleet().pools;
    let pool = pools[rng.usize(0..pools.len())].endpoints.clone();
    let mut troubles = vec![(30, Fault::Endpoints { endpoints: pool.collect() })];
    let target = rng.usize(0..regions);
    let dying = fleet.endpoints_in(target);
    let mut watching: Vec<usize> =
        fleet.watchers[dying[0] as usize].iter().map(|(prober, _)| prober / PROBERS).collect();
    watching.retain(|region| *region != target);
    troubles.extend(watching.iter().take(3).map(|region| (12, Fault::Probers { region: *region })));
    troubles.push((52, Fault::Endpoints { endpoints: dying }));
    let free = |region: &usize| *region != target && !watching.contains(region);
    let lost = (0..regions).rev().find(free);
    troubles.extend(lost.map(|region| (20, Fault::Region { region })));
    let trouble =
        |(begins, fault)| Trouble { begins: Duration::from_secs(begins), ends: None, fault };
    let mut troubles: Vec<Trouble> = troubles.into_iter().map(trouble).collect();
    // What those probers say of the dying endpoints, a region that may not ask does not hear.
    let deaf = (0..regions).find(|region| is_mute(*region) && free(region));
    troubles.extend(deaf.map(|region| {
        let (begins, ends) = (Duration::from_secs(50), Some(Duration::from_secs(69)));
        Trouble { begins, ends, fault: Fault::Cut { region, out: false, into: true } }
    }));
    troubles
}

/// Whether the nodes of a region have no right to ask for pages; requests of others in the region
/// would bring them all that they lack.
pub(crate) fn is_mute(region: usize) -> bool {
    region % 8 == 1
}
