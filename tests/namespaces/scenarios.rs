//! What happens to the fleet, and what every node answers meanwhile.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use meridian::cluster::{Beat, Page};
use meridian::health::Verdict;

use crate::fleet::{Fleet, INTERVAL, TIMEOUT, all_of, fleet_toml, is_live, on_fleet, watch};
use crate::record::Answer;
use crate::region::{PORTS, endpoints};
use crate::stepped::SteppedClock;
use crate::writers::{Message, Writer};

/// When a dead endpoint must be gone everywhere.
const GONE: Duration = Duration::from_millis(3 * INTERVAL.as_millis() as u64 + 500);
/// Far longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// How often old words are said again.
const TIMES: usize = 40;
const DAY: i64 = 86_400;
/// Places of the regions in the fleet.
const AP: usize = 0;
const EU: usize = 1;
const US: usize = 2;

/// Fails unless every node answers all but the first endpoint of a region from `GONE` after it died
/// just now.
fn assert_gone(fleet: &Fleet, region: usize, died: Instant) {
    watch(GONE + SECOND);
    let bound = fleet.with_lag(GONE);
    watch((died + bound + SECOND).saturating_duration_since(Instant::now()));
    let dead = endpoints(fleet.regions[region].number)[0];
    let left: Vec<_> = fleet.everything().into_iter().filter(|at| *at != dead).collect();
    fleet.assert_only("it is gone", fleet.nodes(), died + bound, &left);
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn an_endpoint_that_dies_is_gone_on_every_node_within_three_intervals() {
    on_fleet(|fleet| {
        fleet.nothing_changes("before anything happens", fleet.begin(), 3 * SECOND);
        fleet.regions[US].kill_endpoint(0);
        assert_gone(fleet, US, Instant::now());
        fleet.regions[US].start_endpoint(0);
        let returns = fleet.wait("it is back", PATIENCE, || {
            fleet.nodes().all(|node| fleet.is_answering(node, &fleet.everything()))
        });
        println!("back after {returns:?}");
    });
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn a_region_that_dies_is_gone_on_every_node_of_the_others_and_returns() {
    on_fleet(|fleet| {
        let begun = fleet.begin();
        fleet.emulator.cut(fleet.regions[US].number, true);
        let died = Instant::now();
        fleet.kill_bus([US]);
        let region = &mut fleet.regions[US];
        (0..2).for_each(|at| region.kill_endpoint(at));
        region.nodes.iter_mut().for_each(crate::region::Node::kill);
        // Long enough for its probers to lose their votes, which must change nothing more.
        watch(25 * SECOND);
        // Nobody refuses a probe: it takes its time-out to fail.
        let bound = fleet.with_lag(GONE + TIMEOUT);
        let left = all_of(&[&fleet.regions[AP], &fleet.regions[EU]]);
        fleet.assert_only("it is gone", fleet.nodes(), died + bound, &left);
        assert_has(fleet, "those that live stay", begun, &left);

        fleet.emulator.cut(fleet.regions[US].number, false);
        fleet.start_bus_of(US);
        let (back, region) = (Instant::now(), &mut fleet.regions[US]);
        (0..2).for_each(|at| region.start_endpoint(at));
        let survivors: Vec<&str> = [AP, EU].into_iter().flat_map(|at| names(fleet, at)).collect();
        fleet.regions[US].nodes.iter_mut().for_each(|node| node.start(&[]));
        fleet.wait_whole();
        println!("whole after {:?}", back.elapsed());
        let nodes = fleet.nodes().filter(|node| survivors.contains(&node.name));
        fleet.assert_each("while it returns", nodes, begun, |run| has(&run.answer, &left));
    });
}

/// Names of a region's nodes.
fn names(fleet: &Fleet, region: usize) -> [&'static str; 2] {
    [0, 1].map(|at| fleet.regions[region].nodes[at].name)
}

fn has(answer: &Answer, addresses: &[std::net::Ipv4Addr]) -> bool {
    let Answer::Addresses(all) = answer else { return false };
    addresses.iter().all(|address| all.contains(&IpAddr::V4(*address)))
}

/// Fails unless all answers since `begun` had these addresses.
fn assert_has(fleet: &Fleet, what: &str, begun: Instant, addresses: &[std::net::Ipv4Addr]) {
    fleet.assert_each(what, fleet.nodes(), begun, |run| has(&run.answer, addresses));
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn a_region_that_is_cut_off_answers_and_is_answered_without_and_heals_by_itself() {
    on_fleet(|fleet| {
        let begun = fleet.begin();
        fleet.emulator.cut(fleet.regions[AP].number, true);
        let cut = Instant::now();
        watch(25 * SECOND);
        let bound = fleet.with_lag(GONE + TIMEOUT);
        let (inside, outside) =
            (all_of(&[&fleet.regions[AP]]), all_of(&[&fleet.regions[EU], &fleet.regions[US]]));
        let sides = |fleet: &Fleet, begun: Instant| {
            for region in &fleet.regions {
                let (what, near) = match region.name {
                    "ap" => ("the side that is cut off has its own", &inside),
                    _ => ("the other side has its own", &outside),
                };
                fleet.assert_each(what, &region.nodes, begun, |run| has(&run.answer, near));
            }
        };
        sides(fleet, begun);
        let others = fleet.regions[EU].nodes.iter().chain(&fleet.regions[US].nodes);
        fleet.assert_only("gone on the other side", others, cut + bound, &outside);
        for node in &fleet.regions[AP].nodes {
            let isolated = node.metric("meridian_cluster_mode", &["mode=\"isolated\""]);
            assert_eq!(isolated, Some(1.0), "{}", node.name);
            if !fleet.is_answering(node, &inside) {
                fleet.fail("who is cut off prefers what it reaches");
            }
        }
        fleet.emulator.cut(fleet.regions[AP].number, false);
        let healed = Instant::now();
        fleet.wait_whole();
        println!("healed after {:?}", healed.elapsed());
        sides(fleet, begun);
    });
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn a_prober_whose_probes_vanish_changes_no_answer() {
    on_fleet(|fleet| {
        let begun = fleet.begin();
        let node = &fleet.regions[EU].nodes[1];
        let hole = "10.213.2.99";
        let ways = |order: &str| {
            let each = fleet.everything().into_iter();
            each.map(|at| format!("route {order} {at}/32 via {hole}"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        // Nobody has this hardware address: packets go out, and nothing comes back.
        node.host.ip(&format!(
            "neigh replace {hole} lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n{}",
            ways("add")
        ));
        fleet.wait("it suspects itself", PATIENCE, || {
            node.metric("meridian_prober_suspect", &[]) == Some(1.0)
        });
        fleet.nothing_changes("a prober sees nothing", begun, 8 * SECOND);
        node.host.ip(&ways("del"));
        fleet.wait("it trusts itself", PATIENCE, || {
            node.metric("meridian_prober_suspect", &[]) == Some(0.0)
        });
        fleet.nothing_changes("it sees again", begun, 2 * SECOND);
    });
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn probers_that_lie_change_no_answer() {
    on_fleet(|fleet| {
        let begun = fleet.begin();
        let told = |node: &crate::region::Node, verdict: &str| {
            let endpoint = format!("endpoint=\"{}\"", endpoints(3)[0]);
            let verdict = format!("verdict=\"{verdict}\"");
            node.metric("meridian_endpoint_votes", &[&endpoint, &verdict])
        };
        let lie = |node: &crate::region::Node, port: u16| {
            node.write("config/fleet.toml", &fleet_toml(port));
        };
        let liars = &fleet.regions[AP].nodes;
        lie(&liars[0], PORTS[1]);
        fleet.wait("it sees what is not", PATIENCE, || {
            let failures = liars[0].metric("meridian_probe_failures_total", &["status"]);
            failures.is_some_and(|count| count >= 10.0)
        });
        fleet.nothing_changes("one lies", begun, 2 * SECOND);
        // Both, and so their whole region.
        lie(&liars[1], PORTS[1]);
        for node in fleet.regions[EU].nodes.iter().chain(&fleet.regions[US].nodes) {
            fleet.wait("the lie is heard", PATIENCE, || told(node, "down") == Some(1.0));
        }
        fleet.nothing_changes("a region lies", begun, 5 * SECOND);
        for node in liars {
            lie(node, PORTS[0]);
        }
        // A page that is lost with a connection is asked for again by the next beats.
        for node in fleet.nodes() {
            fleet.wait("the truth is heard", PATIENCE, || told(node, "up") == Some(3.0));
        }
        fleet.nothing_changes("they tell the truth", begun, SECOND);
    });
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn a_bus_that_is_killed_for_thirty_seconds_changes_no_answer() {
    on_fleet(|fleet| {
        let begun = fleet.begin();
        fleet.kill_bus(0..4);
        fleet.nothing_changes("without the bus", begun, 30 * SECOND);
        for node in fleet.nodes() {
            let isolated = node.metric("meridian_cluster_mode", &["mode=\"isolated\""]);
            assert_eq!(isolated, Some(1.0), "{}", node.name);
        }
        fleet.start_bus();
        let took = fleet.wait("all are live", PATIENCE, || fleet.nodes().all(is_live));
        println!("live after {took:?}");
        let bound = fleet.with_lag(10 * SECOND);
        if took > bound {
            fleet.fail(&format!("live after {took:?}"));
        }
        fleet.nothing_changes("the bus is back", begun, 2 * SECOND);
    });
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn what_was_said_before_a_restart_is_ignored_after_it() {
    on_fleet(|fleet| {
        let ghosts: Vec<(Writer, &str)> = [AP, US]
            .into_iter()
            .flat_map(|region| names(fleet, region).map(|name| (region, name)))
            .map(|(region, name)| (Writer::new(fleet, region, name), name))
            .collect();
        let said = hear_of_a_death(fleet, &ghosts);
        for region in [AP, US] {
            for node in &mut fleet.regions[region].nodes {
                node.kill();
                node.start(&[]);
            }
        }
        fleet.wait_whole();

        let begun = fleet.begin();
        let stale = |fleet: &Fleet| {
            let dropped = "meridian_cluster_dropped_total";
            let each = fleet.nodes().map(|node| node.metric(dropped, &["reason=\"stale\""]));
            each.map(Option::unwrap).collect::<Vec<f64>>()
        };
        let before = stale(fleet);
        for _ in 0..TIMES {
            for ((writer, _), messages) in ghosts.iter().zip(&said) {
                for message in messages {
                    writer.say(message);
                }
            }
            watch(SECOND / 10);
        }
        fleet.nothing_changes("old words", begun, 2 * SECOND);
        let heard: usize = said.iter().map(|messages| messages.len() * TIMES).sum();
        for (before, after) in before.into_iter().zip(stale(fleet)) {
            // One's own old words come back to one as well.
            assert!(after - before >= heard as f64, "{before} {after} {heard}");
        }
        let silenced = |node| crate::region::Node::metric(node, "meridian_cluster_cloned", &[]);
        assert!(fleet.nodes().all(|node| silenced(node) == Some(0.0)));
    });
}

/// Lets an endpoint die and return; gives what each of these said of its death.
fn hear_of_a_death(fleet: &mut Fleet, ghosts: &[(Writer, &str)]) -> Vec<Vec<Message>> {
    let mut said = vec![Vec::new(); ghosts.len()];
    fleet.regions[EU].kill_endpoint(0);
    fleet.wait("all have said that it is dead", PATIENCE, || {
        for ((writer, name), said) in ghosts.iter().zip(&mut said) {
            let own = |message: &Message| message.0.split('.').nth(4) == Some(*name);
            said.extend(writer.take_heard().into_iter().filter(own));
        }
        let dies = |message: &Message| match Page::decode(&message.1) {
            Ok(page) => page.votes.iter().any(|vote| vote.verdict == Verdict::Down),
            Err(_) => false,
        };
        let beats = |message: &Message| Beat::decode(&message.1).is_ok();
        said.iter().all(|said: &Vec<Message>| said.iter().any(dies) && said.iter().any(beats))
    });
    fleet.regions[EU].start_endpoint(0);
    fleet.wait_whole();
    said
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn an_override_at_the_hub_reaches_every_region_and_holds_where_that_is_cut_off() {
    on_fleet(|fleet| {
        let down = endpoints(fleet.regions[US].number)[0];
        let target = format!("endpoint:{down}");
        fleet.force(&["down", &target, "--for", "10m", "--reason", "network work"]);
        let told = Instant::now();
        let left: Vec<_> = fleet.everything().into_iter().filter(|at| *at != down).collect();
        // After a cut a region's server takes up to a minute to ask for the rest of its copy.
        fleet.wait("all are told", 90 * SECOND, || {
            fleet.nodes().all(|node| fleet.is_answering(node, &left))
        });
        println!("told after {:?}", told.elapsed());
        let ap = &fleet.regions[AP];
        fleet.emulator.cut(ap.number, true);
        let begun = fleet.begin();
        fleet.force(&["clear", &target]);
        // So short that connections outlast it, or the copy would follow only after a minute.
        watch(2 * SECOND);
        fleet.assert_only("it holds", &ap.nodes, begun, &left);
        fleet.emulator.cut(ap.number, false);
        let healed = Instant::now();
        fleet.wait_whole();
        println!("cleared everywhere after {:?}", healed.elapsed());
    });
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn a_clock_that_is_a_day_wrong_changes_nothing() {
    on_fleet(|fleet| {
        let clock = SteppedClock::new(fleet.folder());
        let restart = |fleet: &mut Fleet, environment: &[(&str, String)]| {
            let node = &mut fleet.regions[EU].nodes[0];
            node.kill();
            node.start(environment);
            fleet.wait_whole();
        };
        let age = |fleet: &Fleet| {
            fleet.regions[EU].nodes[0].metric("meridian_geo_database_age_seconds", &[]).unwrap()
        };
        restart(fleet, clock.environment());
        let (begun, right) = (fleet.begin(), age(fleet));
        for (what, days) in [("a day ahead", 1), ("a day behind", -1), ("right again", 0)] {
            clock.set(days * DAY);
            fleet.nothing_changes(what, begun, 4 * SECOND);
            let moved = age(fleet) - right;
            // The node's clock is wrong, or nothing would be shown by this.
            assert!((moved - (days * DAY) as f64).abs() < 60.0, "{what}: {moved} s");
        }
        clock.set(DAY);
        fleet.regions[EU].kill_endpoint(0);
        assert_gone(fleet, EU, Instant::now());
        fleet.regions[EU].start_endpoint(0);
        fleet.wait_whole();
        // Behind that of its last start: its words count all the same.
        clock.set(-DAY);
        restart(fleet, clock.environment());
        fleet.nothing_changes("behind at the start", fleet.begin(), SECOND);
        restart(fleet, &[]);
    });
}
