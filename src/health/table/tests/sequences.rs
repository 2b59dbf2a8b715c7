//! Any sequence of events: what must hold after each of them, and after everything has healed.

use proptest::prelude::*;

use super::peers::{World, fleet_of};
use super::*;
use crate::health::{Action, Forced, PeerEvent, Quorum, Standing};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Say { region: usize, endpoint: usize, verdict: Verdict },
    Stand { region: usize, standing: Standing },
    Link(bool),
    Force(Option<Action>),
    Traffic { endpoint: usize, success: bool },
    Reload,
    Restart,
    Pass(u64),
}

fn step(regions: usize) -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![Just(Verdict::Up), Just(Verdict::Down), Just(Verdict::Unknown)];
    let standing = prop_oneof![
        Just(Standing::Live),
        Just(Standing::Late),
        Just(Standing::Dead),
        Just(Standing::Impaired)
    ];
    let action = prop_oneof![Just(Action::Up), Just(Action::Down), Just(Action::Drain)];
    prop_oneof![
        12 => (0..regions, 0..regions, verdict)
            .prop_map(|(region, endpoint, verdict)| Step::Say { region, endpoint, verdict }),
        4 => (1..regions, standing).prop_map(|(region, standing)| Step::Stand { region, standing }),
        1 => any::<bool>().prop_map(Step::Link),
        1 => prop::option::of(action).prop_map(Step::Force),
        2 => (0..regions, any::<bool>())
            .prop_map(|(endpoint, success)| Step::Traffic { endpoint, success }),
        1 => Just(Step::Reload),
        1 => Just(Step::Restart),
        4 => prop_oneof![0_u64..10_000, Just(60_000), Just(3_600_000)].prop_map(Step::Pass),
    ]
}

/// Does it, and gives back what changed.
fn apply(world: &mut World, step: &Step) -> Vec<Change> {
    match step {
        Step::Say { region: 0, verdict: Verdict::Unknown, .. } => Vec::new(),
        Step::Say { region, endpoint, verdict } => world.say(*region, *endpoint, *verdict),
        Step::Stand { region, standing } => world.stand(*region, *standing),
        Step::Link(up) => world.event(&PeerEvent::Link { up: *up }),
        Step::Force(action) => {
            let forced = action.map(|action| Forced { action, words: "test".into() });
            world.table.set_overrides(&[forced], world.now)
        }
        Step::Traffic { endpoint, success } => {
            let outcome = if *success { Outcome::Success } else { refused() };
            let at = EndpointId(*endpoint as u32);
            world.table.observe(at, Source::Traffic, &outcome, world.now)
        }
        Step::Reload => {
            let (fleet, now) = (&world.fleet, world.now);
            world.table = HealthTable::carry_over(&world.table, fleet, fleet, now);
            Vec::new()
        }
        Step::Restart => {
            let saved = world.table.save(&world.fleet, world.now, 1_800_000_000);
            world.table = HealthTable::restore(&world.fleet, &saved, world.now, 1_800_000_000);
            Vec::new()
        }
        Step::Pass(milliseconds) => world.pass(*milliseconds),
    }
}

/// Forgets overrides, hears everyone, and lets all of them say the same for long enough: all is up,
/// and of the last one `truth` holds.
fn heal(world: &mut World, truth: Verdict) {
    world.table.set_overrides(&[], world.now);
    world.event(&PeerEvent::Link { up: true });
    for region in 1..world.fleet.regions.len() {
        world.stand(region, Standing::Live);
    }
    // Holds of this node's own machines end with results alone.
    for _ in 0..30 {
        let last = world.fleet.regions.len() - 1;
        for endpoint in 0..last {
            world.all_say(endpoint, Verdict::Up);
        }
        world.all_say(last, truth);
        world.pass(20_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_sequence_of_events_is_a_dead_end(
        (regions, steps) in (2..=5_usize).prop_flat_map(|regions| {
            (Just(regions), prop::collection::vec(step(regions), 0..60))
        }),
        up: bool, share in prop::sample::select(vec![0.0, 0.2, 0.5, 1.0]), hold in 0_u64..2,
    ) {
        let mut fleet = fleet_of(&["eu", "us", "ap", "br", "za"][..regions]);
        fleet.safety.max_removed = share;
        fleet.monitors[0].hold_down = Duration::from_secs(10 * hold);
        let mut world = World::over(fleet);
        for step in &steps {
            let before = world.levels();
            let changes = apply(&mut world, step);
            let told = !matches!(step, Step::Restart | Step::Reload);
            for (at, (old, new)) in before.iter().zip(world.levels()).enumerate() {
                let flips = changes.iter().filter(|change| change.endpoint.0 as usize == at);
                let flips = flips.filter(|change| change.flip.is_some()).count();
                prop_assert!(!told || *old == new || flips > 0, "{at} changed untold by {step:?}");
            }
            // Due in the past is due at once, never twice.
            world.table.tick(world.now);
            prop_assert!(world.table.next_due().is_none_or(|due| due > world.now));
            let lost = world.table.council().quorum == Quorum::Lost;
            // The first one may be forced.
            for (at, level) in world.levels().into_iter().enumerate().skip(1) {
                let known = world.table.rows[at].cells.iter().any(|c| c.settled == Verdict::Down);
                let falls = before[at] != Level::Down && level == Level::Down;
                prop_assert!(!(lost && falls) || known, "{at} fell in a cut by {step:?}");
            }
        }
        let truth = if up { Verdict::Up } else { Verdict::Down };
        heal(&mut world, truth);
        let mut expected = vec![Level::Up; regions];
        expected[regions - 1] = truth.into();
        prop_assert_eq!(world.levels(), expected);
    }

    #[test]
    fn the_same_votes_in_any_order_come_to_the_same(
        says in prop::collection::vec((1..4_usize, 0..4_usize, any::<bool>()), 0..40),
        seed: u64,
    ) {
        let mut last = std::collections::BTreeMap::new();
        for (region, endpoint, up) in says {
            last.insert((region, endpoint), if up { Verdict::Up } else { Verdict::Down });
        }
        let mut order: Vec<_> = last.into_iter().collect();
        let settle = |order: &[((usize, usize), Verdict)]| {
            let mut fleet = fleet_of(&["eu", "us", "ap", "br"]);
            // What falls late falls the same.
            fleet.safety.max_removed = 1.0;
            fleet.monitors[0].hold_down = Duration::ZERO;
            let mut world = World::over(fleet);
            for ((region, endpoint), verdict) in order {
                world.say(*region, *endpoint, *verdict);
            }
            let settled = world.table.rows.iter().map(|row| row.cells[0].settled);
            settled.collect::<Vec<_>>()
        };
        let first = settle(&order);
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        prop_assert_eq!(settle(&order), first);
    }
}
