//! What must hold of every decision, whatever the fleet, its health and the client.

use proptest::prelude::*;

use super::*;
use crate::model::Fence;

const NAMES: [&str; 5] = ["ap", "br", "eu", "uk", "us"];

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::Up), Just(Level::Unknown), Just(Level::Down)]
}

/// Endpoints with their health: some of one family, some of the other.
fn pool() -> impl Strategy<Value = Vec<(usize, bool, u32, Level)>> {
    prop::collection::vec(
        (0..5usize, any::<bool>(), prop::sample::select(vec![0, 1, 50, 100]), level()),
        1..12,
    )
}

fn method() -> impl Strategy<Value = Method> {
    let tolerance = prop::sample::select(vec![0.0, 0.1, 1.0]);
    prop_oneof![
        Just(Method::Network),
        (any::<bool>(), any::<bool>()).prop_map(|(country, strict)| Method::Fence {
            by: if country { Fence::Country } else { Fence::Continent },
            strict,
        }),
        (tolerance.clone(), -99..99i8).prop_map(|(tolerance, bias)| Method::Proximity {
            bias: vec![(region("eu"), bias)],
            tolerance,
        }),
        Just(Method::Order { regions: vec![region("us"), region("ap")] }),
        (1..4u16, tolerance).prop_map(|(count, tolerance)| Method::Nearest { count, tolerance }),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let known = (-90.0..90.0f64, -180.0..180.0f64, 0..5usize).prop_map(|(lat, lon, at)| {
        let (.., country, continent) = REGIONS[at];
        client(lat, lon, country, continent)
    });
    prop_oneof![9 => known, 1 => Just(Place::default())]
}

fn world(pool: &[(usize, bool, u32, Level)]) -> World {
    let endpoints: Vec<String> = pool
        .iter()
        .enumerate()
        .map(|(n, (at, v4, weight, _))| match v4 {
            true => format!("{} 192.0.2.{n} {weight}", NAMES[*at]),
            false => format!("{} 2001:db8::{n:x} {weight}", NAMES[*at]),
        })
        .collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let mut world = World::new(&[&endpoints]);
    for (health, (.., level)) in world.health.iter_mut().zip(pool) {
        health.level = *level;
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn never_a_down_endpoint_while_an_eligible_one_is_up(
        pool in pool(), policy in prop::collection::vec(method(), 0..4), place in place(),
    ) {
        let world = world(&pool);
        let (contest, class) = world.contest(&service(1, policy), &place);
        let decision = contest.decide(&class, Family::V4, &world.view());
        let Outcome::Tied(tied) = &decision.outcome else {
            // Without endpoints of the family, or all of them fenced off, there is nothing to say.
            let none = contest.members(PoolId(0)).iter().all(|(local, id)| {
                let own = matches!(world.fleet.endpoint(*id).address, Address::Ip(IpAddr::V4(_)));
                !own || !class.allows(*local)
            });
            prop_assert!(none, "no answer although there are endpoints");
            return Ok(());
        };
        prop_assert!(!tied.is_empty(), "an empty answer by accident");
        let reachable = contest.members(PoolId(0)).iter().filter(|(local, id)| {
            let own = matches!(world.fleet.endpoint(*id).address, Address::Ip(IpAddr::V4(_)));
            own && class.allows(*local)
        });
        let levels: Vec<Level> = reachable.map(|(_, id)| world.view().level(*id)).collect();
        let down = tied.iter().filter(|c| world.view().level(c.endpoint) == Level::Down).count();
        prop_assert!(down == 0 || levels.iter().all(|level| *level == Level::Down));
        prop_assert!(tied.iter().all(|candidate| class.allows(candidate.region)));
    }

    #[test]
    fn the_order_of_the_file_does_not_matter(
        pool in pool(), policy in prop::collection::vec(method(), 0..4), place in place(),
        random in any::<u64>(),
    ) {
        let forward = world(&pool);
        let mut backward = world(&pool);
        // The same endpoints, listed the other way round.
        backward.fleet.endpoints.reverse();
        backward.health.reverse();
        let service = service(1, policy);
        let picked = |world: &World| {
            let (contest, class) = world.contest(&service, &place);
            let decision = contest.decide(&class, Family::V4, &world.view());
            let Outcome::Tied(tied) = &decision.outcome else { return (decision.ttl, Vec::new()) };
            let (contenders, _) = contenders(&contest, &class, Family::V4, &world.view());
            let chosen = contest.pick().choose(&contenders, [192, 0, 2, 1].into(), random, 1);
            (decision.ttl, chosen.iter().map(|at| target(&tied[at])).collect())
        };
        prop_assert_eq!(picked(&forward), picked(&backward));
    }

    #[test]
    fn the_shortcut_for_prepared_answers_agrees_with_the_decision(
        pool in pool(), policy in prop::collection::vec(method(), 0..4), place in place(),
    ) {
        let world = world(&pool);
        let (contest, class) = world.contest(&service(1, policy), &place);
        let view = world.view();
        let found = contest.eligible(Family::V4, &view, |region| class.allows(region));
        let decision = contest.decide(&class, Family::V4, &view);
        prop_assert_eq!(found.is_some(), decision.eligible.is_some());
        if let (Some(found), Outcome::Tied(tied)) = (found, &decision.outcome) {
            let (best, ttl) = contest.best(&class, &found, &view);
            prop_assert_eq!(ttl, decision.ttl);
            prop_assert!(tied.iter().all(|candidate| best.contains(&candidate.region)));
        }
    }

    #[test]
    fn a_failure_moves_only_the_failed_share(
        weights in prop::collection::vec(1..100u32, 2..6), gone in 0..6usize,
    ) {
        let endpoints: Vec<String> =
            weights.iter().enumerate().map(|(n, w)| format!("eu 192.0.2.{n} {w}")).collect();
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        let mut world = World::new(&[&endpoints]);
        world.fleet.pools[0].min_up = 0.0;
        let service = service(1, vec![]);
        let weights_of = |world: &World| -> Vec<(String, u64)> {
            let decision = world.decide(&service, Family::V4, &Place::default());
            let Outcome::Tied(tied) = decision.outcome else { return Vec::new() };
            tied.iter().map(|c| (target(c), c.weight)).collect()
        };
        let before = weights_of(&world);
        let gone = gone % weights.len();
        world.health[gone].level = Level::Down;
        let after = weights_of(&world);
        let lost = format!("192.0.2.{gone}");
        let expected: Vec<_> = before.into_iter().filter(|(address, _)| *address != lost).collect();
        prop_assert_eq!(after, expected, "the others keep their weights among each other");
    }
}
