//! Loads that follow from shares.

use proptest::prelude::*;

use super::*;

const RULE: Spill = Spill { target: 0.8, ramp: 0.1, standby: 0.0 };

fn site(stance: Stance, demand: f64, capacity: f64) -> Site {
    let capacity = (capacity > 0.0).then_some(capacity);
    Site { stance, capacity, demand: Some(demand), is_fresh: true }
}

fn active(demand: f64, capacity: f64) -> Site {
    site(Stance::Active(FULL), demand, capacity)
}

fn gone(demand: f64, capacity: f64) -> Site {
    site(Stance::Gone, demand, capacity)
}

/// The load of each region that follows.
fn loads(sites: &[Site], shares: &Shares) -> Vec<f64> {
    let load = |region: usize| {
        let of = sites.iter().zip(&shares.of);
        of.map(|(site, shares)| site.demand.unwrap_or(0.0) * shares[region]).sum()
    };
    (0..sites.len()).map(load).collect()
}

/// What it is a case of, the regions, and the load of each that follows.
type Case = (&'static str, Vec<Site>, Vec<f64>);

fn cases() -> Vec<Case> {
    vec![
        ("all below the target", vec![active(80.0, 100.0), active(10.0, 100.0)], vec![80.0, 10.0]),
        (
            "one above it",
            vec![active(100.0, 100.0), active(20.0, 100.0), active(60.0, 100.0)],
            // The others have 80 and 40 left.
            vec![80.0, 20.0 + 20.0 * 2.0 / 3.0, 60.0 + 20.0 / 3.0],
        ),
        (
            "one that would be above it then gets up to it",
            vec![active(120.0, 100.0), active(10.0, 100.0), active(79.0, 100.0)],
            vec![80.0, 49.0, 80.0],
        ),
        (
            "all above the target and none full",
            vec![active(85.0, 100.0), active(95.0, 100.0)],
            vec![85.0, 95.0],
        ),
        (
            "one full among those above the target",
            vec![active(110.0, 100.0), active(85.0, 100.0)],
            vec![100.0, 95.0],
        ),
        ("more than all take", vec![active(50.0, 100.0), active(190.0, 100.0)], vec![120.0; 2]),
    ]
}

fn cases_of_losses_and_gaps() -> Vec<Case> {
    let standby = site(Stance::Standby, 0.0, 100.0);
    let stale = Site { is_fresh: false, ..active(10.0, 100.0) };
    let half = site(Stance::Active(5), 60.0, 100.0);
    vec![
        (
            "one of four is gone, at 70 %",
            vec![gone(70.0, 100.0), active(70.0, 100.0), active(70.0, 100.0), active(70.0, 100.0)],
            vec![0.0, 280.0 / 3.0, 280.0 / 3.0, 280.0 / 3.0],
        ),
        (
            "one is gone, the others unlike",
            vec![gone(70.0, 100.0), active(50.0, 100.0), active(70.0, 100.0), active(90.0, 100.0)],
            vec![0.0, 50.0 + 70.0 * 5.0 / 9.0, 70.0 + 70.0 / 3.0, 90.0 + 70.0 / 9.0],
        ),
        (
            "one is gone, and too much",
            vec![gone(150.0, 100.0), active(50.0, 100.0)],
            vec![0.0, 200.0],
        ),
        (
            "standbys are for what no other can take",
            vec![active(70.0, 100.0), active(160.0, 100.0), standby],
            vec![100.0, 100.0, 30.0],
        ),
        (
            "whose capacity nobody knows neither gives nor takes",
            vec![active(900.0, 0.0), active(100.0, 100.0), active(0.0, 100.0)],
            vec![900.0, 80.0, 20.0],
        ),
        (
            "whose load nobody knows takes nothing",
            vec![active(100.0, 100.0), stale, active(0.0, 100.0)],
            vec![80.0, 10.0, 20.0],
        ),
        (
            "one comes back",
            vec![half, active(20.0, 100.0)],
            vec![30.0 + 30.0 / 5.0, 20.0 + 30.0 * 4.0 / 5.0],
        ),
        ("a sole region is full", vec![active(120.0, 100.0)], vec![120.0]),
    ]
}

#[test]
fn surplus_goes_where_there_is_room() {
    for (case, sites, expected) in cases().into_iter().chain(cases_of_losses_and_gaps()) {
        let shares = spill(&sites, &RULE, &[]).expect(case);
        let loads = loads(&sites, &shares);
        let near =
            loads.iter().zip(&expected).all(|(load, expected)| (load - expected).abs() < 1e-6);
        assert!(near, "{case}: {loads:?}, expected {expected:?}");
    }
    assert_eq!(spill(&[active(10.0, 0.0)], &RULE, &[]), None, "no capacity is known");
    assert_eq!(spill(&[gone(10.0, 10.0)], &RULE, &[]), None, "nothing is there");
    assert!(spill(&[active(120.0, 100.0)], &RULE, &[]).is_some_and(|shares| shares.is_full));
}

#[test]
fn who_leaves_stays_within_the_narrowest_fence_that_has_room() {
    // Two of one country, a third on their continent, a fourth elsewhere.
    let fences = [vec![0, 0, 1, 2], vec![0, 0, 0, 1]];
    let full = active(100.0, 100.0);
    for (case, sites, expected) in [
        (
            "room in the country",
            [full, active(30.0, 100.0), active(10.0, 100.0), active(0.0, 100.0)],
            [80.0, 50.0, 10.0, 0.0],
        ),
        (
            "less there than it takes",
            [full, active(70.0, 100.0), active(30.0, 100.0), active(0.0, 100.0)],
            [80.0, 80.0, 40.0, 0.0],
        ),
        (
            "none on the continent",
            [full, active(80.0, 100.0), active(75.0, 100.0), active(0.0, 200.0)],
            [80.0, 80.0, 80.0, 15.0],
        ),
        (
            "a region of it is gone",
            [gone(90.0, 100.0), active(20.0, 100.0), active(60.0, 100.0), active(0.0, 200.0)],
            [0.0, 80.0, 80.0, 10.0],
        ),
    ] {
        let shares = spill(&sites, &RULE, &fences).expect(case);
        let loads = loads(&sites, &shares);
        let near = loads.iter().zip(expected).all(|(load, wanted)| (load - wanted).abs() < 1e-6);
        assert!(near, "{case}: {loads:?}, expected {expected:?}");
    }
    let calm = [gone(0.0, 100.0), active(20.0, 100.0), active(0.0, 100.0), active(0.0, 100.0)];
    let shares = spill(&calm, &RULE, &fences).unwrap();
    assert_eq!(shares.of[0], [0.0, 1.0, 0.0, 0.0], "should somebody come");
}

#[test]
fn a_trickle_keeps_standbys_warm() {
    let rule = Spill { standby: 0.02, ..RULE };
    let sites =
        [active(50.0, 100.0), site(Stance::Standby, 0.0, 0.0), site(Stance::Standby, 0.0, 10.0)];
    let shares = spill(&sites, &rule, &[]).unwrap();
    assert_eq!(shares.of[0], [0.98, 0.01, 0.01]);
}

fn any_site() -> impl Strategy<Value = Site> {
    let stance = prop_oneof![
        4 => Just(Stance::Active(FULL)),
        1 => Just(Stance::Gone),
        1 => Just(Stance::Standby),
    ];
    (stance, 0.0..200.0, 1.0..200.0).prop_map(|(stance, demand, capacity)| {
        let demand = if stance == Stance::Standby { 0.0 } else { demand };
        site(stance, demand, capacity)
    })
}

proptest! {
    #[test]
    fn no_region_is_overrun_while_any_has_room(
        sites in prop::collection::vec(any_site(), 1..8),
        circles in prop::collection::vec(0..3_u16, 8),
        is_fenced in any::<bool>(),
    ) {
        let fences = if is_fenced { vec![circles] } else { Vec::new() };
        let Some(shares) = spill(&sites, &RULE, &fences) else { return Ok(()) };
        let loads = loads(&sites, &shares);
        let demand: f64 = sites.iter().filter_map(|site| site.demand).sum();
        prop_assert!((loads.iter().sum::<f64>() - demand).abs() < 1e-6, "nobody is lost");
        let there = |site: &Site| matches!(site.stance, Stance::Active(_) | Stance::Standby);
        let room: f64 = sites.iter().filter(|s| there(s)).filter_map(|s| s.capacity).sum();
        for (site, load) in sites.iter().zip(&loads) {
            let capacity = site.capacity.unwrap();
            if demand <= room {
                prop_assert!(*load <= capacity * HARD + 1e-6, "{load} of {capacity}");
                prop_assert!(!shares.is_full);
            } else if there(site) {
                prop_assert!((load / capacity - demand / room).abs() < 1e-6, "shed evenly");
                prop_assert!(shares.is_full);
            }
            if !there(site) {
                prop_assert!(*load == 0.0, "a region that is gone gets {load}");
            }
        }
    }
}
